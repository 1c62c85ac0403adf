/* The routes that mgm-static was given: "eth1: 239.1.1.1 10.0.0.1,239.1.2.0/24 > eth2 eth3". */
#ifndef STATIC_ROUTES_H
#define STATIC_ROUTES_H

#include "../common/iface.h"
#include <stdbool.h>
#include <stddef.h>
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
    bool join;       /* its groups are joined on `in`, as a host does */
    flow_range *flows;
    iface_list *out;
} route;

/* All zero at first. */
typedef struct route_table {
    route *routes, *last;
    bool out_begun;           /* the '>' of the last route has been read */
    bool join;                /* the routes that follow join */
    uint64_t memberships, joins;
    char mistake[256];        /* why the words make no sense; empty: they do */
} route_table;

enum {
    MAX_MEMBERSHIPS = 1000000, /* of all routes, on all their outgoing interfaces */
    MAX_JOINS = 10000,         /* of all routes, on their incoming interfaces */
};

/* Takes one word more. Words are split at blanks; a route begins with its incoming interface and a colon. Does nothing once
 * there is a mistake. */
void routes_word(route_table *t, const char *word);
/* After the last word: is the last route whole? */
void routes_end(route_table *t);
void routes_free(route_table *t);

/* Addresses in network byte order. */
bool route_matches(const route *r, uint32_t source, uint32_t group);
bool route_leads_to(const route *r, uint32_t index);
bool flow_has(const flow_range *f, uint32_t source, uint32_t group);
/* Do routes lead the flow to the interface `out`, but none of them from `in`, where it comes in? It must not leave there. */
bool routes_keep_from(const route_table *t, uint32_t source, uint32_t group, uint32_t in, uint32_t out);

/* A source (0: any) and group on an interface, in network byte order: a membership, or what is joined. */
typedef struct wanted_flow {
    iface *on;
    uint32_t source, group;
} wanted_flow;

/* All memberships of the table on outgoing interfaces, or all that it joins on incoming ones: in order, each once. */
wanted_flow *routes_memberships(const route_table *t, size_t *count);
wanted_flow *routes_joins(const route_table *t, size_t *count);
int wanted_order(const wanted_flow *a, const wanted_flow *b);

/* Calls `each` for what `list` has and `other` has not. Both are in order. */
void wanted_without(const wanted_flow *list, size_t count, const wanted_flow *other, size_t other_count,
                    void (*each)(const wanted_flow *w));

#endif
