/* Interfaces by name. A name may stand for a device that is not there yet, that goes, and that comes again with another
 * index: the listeners are told. */
#ifndef COMMON_IFACE_H
#define COMMON_IFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum { IFACE_NETS = 32 }; /* addresses of one interface that are kept */

typedef struct iface_net {
    uint32_t address;         /* ours on it */
    uint32_t network, mask;   /* the prefix that is on the link */
} iface_net;

typedef struct iface {
    struct iface *next;
    char name[IF_NAMESIZE];
    unsigned index;           /* 0 while there is no such device */
    bool up;                  /* it is there, is up and has a carrier */
    bool point_to_point;
    unsigned mtu;
    uint32_t address;         /* its first IPv4 address, network byte order; 0: none */
    unsigned net_count;
    iface_net nets[IFACE_NETS];
} iface;

/* Whoever wants to hear of changes has one, for as long as the program runs. Each function may be NULL. Those that began to
 * listen first are told first. */
typedef struct iface_listener {
    struct iface_listener *next;
    void (*came)(iface *i);    /* there is such a device now; its fields are filled in */
    void (*went)(iface *i);    /* it has gone; `index` still has the number that it had */
    void (*changed)(iface *i); /* up, mtu or addresses are not what they were */
} iface_listener;

/* Reads what there is and listens to rtnetlink from now on. Names may be added before and after. */
void iface_start(void);
void iface_listen(iface_listener *listener);

/* The interface of that name, made where it is new; NULL: no name of a device can be like this. It is never freed. */
iface *iface_named(const char *name);
iface *iface_by_index(unsigned index);   /* among those that were named; NULL: none */
extern iface *ifaces;                    /* all that were named */

/* Is this address on the link, by the interface's prefixes? Without an address of its own everything is. */
bool iface_on_link(const iface *i, uint32_t address);
/* Is this one of the interface's own addresses? */
bool iface_owns(const iface *i, uint32_t address);

#endif
