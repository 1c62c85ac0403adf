/* A client of the group manager: registered, on its interfaces as far as they exist, called on the program's own loop
 * (MGM_DISPATCHED). Where the group manager is another process (MGM_HOST) the client waits for it, and comes back when it has
 * gone and is there again. */
#ifndef COMMON_MANAGER_H
#define COMMON_MANAGER_H

#include "iface.h"
#include <mgm.h>
#include <mgm_host.h>
#include <stdbool.h>

#define ALL_ONES 0xffffffffu

typedef struct client {
    const char *name;                 /* for the log */
    DWORD protocol, component;
    ROUTING_PROTOCOL_CONFIG callbacks; /* MGM_DISPATCHED is added */
    /* Each may be NULL. */
    void (*taken)(iface *i);          /* the interface is the client's now: add the memberships on it */
    void (*left)(iface *i);           /* it is not any more, and its memberships are gone: the device went, or the host */
    void (*registered)(void);         /* before the first `taken`; after a restart of the host once more */
    void (*losing)(void);             /* before the first `left` where it is the host that has gone */
    void (*lost)(void);               /* after the last of these */
    /* The rest is manager.c's. */
    HANDLE handle;                    /* NULL while it is not registered */
    int fd;
    struct place *uses;
    struct client *next;
} client;

/* Sets MGM_FORWARDER=kernel and MGM_LOG=warn where nothing is set. True: the group manager is another process. */
bool manager_environment(void);

/* Registers. Without MGM_HOST a failure ends the program; with it, it is tried again every second. */
void client_start(client *c);
/* The client wants to be on this interface whenever it exists. It is taken at once where possible; where another protocol
 * has it, it is tried again every five seconds. May come before client_start. */
void client_use(client *c, iface *i);
/* It does not any more: the interface is released, and `left` is called. */
void client_do_without(client *c, const iface *i);
/* Releases the interface and takes it again, with `left` and `taken`: its flows are asked about anew. */
void client_retake(client *c, const iface *i);
bool client_has(const client *c, const iface *i); /* is it taken now? */
/* Releases all and deregisters. `left` and `lost` are not called. */
void client_stop(client *c);

/* A membership on an interface; source 0 is (*,G), both 0 (*,*). Flags are those of mgm.h. The code is mgm.h's; one that is not
 * NO_ERROR has been logged, except ERROR_CAN_NOT_COMPLETE (IGMP between DISABLE and ENABLE; the host has gone). */
DWORD client_add(client *c, DWORD source, DWORD group, DWORD index, DWORD flags);
DWORD client_delete(client *c, DWORD source, DWORD group, DWORD index, DWORD flags);

/* "ERROR_NOT_FOUND". */
const char *code_text(DWORD code);

#endif
