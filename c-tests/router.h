/* A small multicast router on libmgm, in four files, of which each uses only those below it:
 *   router.c           the process: options, signals, the table, start and end
 *   router_igmp.c      the IGMP client: reads reports and leaves, keeps memberships
 *   router_protocol.c  the routing protocol: owns the interfaces and forwards to members
 *   router_util.c      what these share: the interfaces, checks of codes, lines and texts
 * Both clients use nothing but mgm.h. As processes of their own (router -o) each is called in its own
 * poll loop, for which mgm_host.h has two functions more. */
#ifndef ROUTER_H
#define ROUTER_H

#include "codes.h"
#include <stdint.h>

enum { MAX_INTERFACES = 32 }; /* the kernel has 32 VIFs in a table */
#define ALL_ONES 0xffffffffu
#define ROUTER_PROTOCOL PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 2)

typedef struct router_interface {
    char name[32];
    DWORD index;
} router_interface;

/* ---- router_util.c ---- */
extern router_interface interfaces[MAX_INTERFACES];
extern int interface_count;
extern int apart;     /* one client alone in this process, with a host in another (router -o) */
extern int host_gone; /* or not there yet */

/* Ends the process with status 1, saying which call, unless `actual` is `expected`. Where the host is
 * another process it may have gone: the main loop then registers again. */
void must(DWORD actual, DWORD expected, const char *call);
#define MUST(call) must((call), NO_ERROR, #call)

/* One line to standard output: "WHO: text". */
void say(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *interface_name(DWORD index); /* "?" for one that is not ours */

/* Text for an address and for (source,group), 0 shown as "*". Several may stand in one printf. */
const char *address_text(DWORD address);
const char *entry_text(DWORD source, DWORD group);
uint64_t now_ms(void); /* monotonic */

/* ---- router_igmp.c ---- */
void igmp_open(unsigned query_interval_s); /* opens the socket */
DWORD igmp_register(void);                 /* and takes all interfaces, and says who is there */
HANDLE igmp_handle(void);
int igmp_socket(void);                     /* readable: call igmp_read */
void igmp_read(void);
int igmp_tick(void); /* due queries and members that fell silent; milliseconds until the next */
void igmp_stop(void);

/* ---- router_protocol.c ---- */
DWORD protocol_register(void); /* and takes all interfaces */
HANDLE protocol_handle(void);
void protocol_stop(void);

#endif
