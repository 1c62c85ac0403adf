/* The routes that mgm-static was given: "eth1: 239.1.1.1 10.0.0.1,239.1.2.0/24 > eth2 eth3". */
#ifndef STATIC_ROUTES_H
#define STATIC_ROUTES_H

#include "../common/iface.h"
#include <stdbool.h>
#include <stdint.h>

/* Addresses from the first to the last, in host byte order. */
typedef struct range {
    uint32_t first, last;
} range;

typedef struct flow_range {
    struct flow_range *next;
    bool any_source;
    range sources, groups;
} flow_range;

typedef struct iface_list {
    struct iface_list *next;
    iface *on;
} iface_list;

typedef struct route {
    struct route *next;
    iface *in;
    flow_range *flows;
    iface_list *out;
} route;

extern route *routes;

enum { MAX_MEMBERSHIPS = 1000000 }; /* of all routes, on all their interfaces */

/* Takes one word more. Words are split at blanks; a route begins with its incoming interface and a colon. What makes no sense
 * ends the program. */
void routes_word(const char *word);
/* After the last word: is the last route whole? */
void routes_end(void);

/* Addresses in network byte order. */
bool route_matches(const route *r, uint32_t source, uint32_t group);
bool route_leads_to(const route *r, uint32_t index);

#endif
