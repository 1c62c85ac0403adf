/* Many PIM routers in one process, on links of their own and a clock of their own: for the unit tests and the fuzzer. It stands in
 * for common/loop.c, for the group manager and for the wire. */
#ifndef PIM_SIM_H
#define PIM_SIM_H

#include "../common/log.h"
#include "../pim/pim.h"
#include "sim_clock.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- routers and links ---- */

enum { SIM_ROUTERS = 6, SIM_LANS = 8, SIM_ROUTES = 16, SIM_FLOWS = 8, SIM_KEYS = 64 };

typedef struct sim_flow { /* what the group manager keeps: iif and oifs */
    uint32_t source, group, count;
    unsigned iif, oifs; /* bits by LAN */
    bool used;
} sim_flow;

typedef struct sim_key { uint32_t source, group; unsigned index; } sim_key; /* a membership */

typedef struct sim_router {
    struct pim pim;
    bool runs, others;
    struct { uint32_t source; struct route route; } routes[SIM_ROUTES];
    unsigned route_count;
    sim_flow flows[SIM_FLOWS];
    sim_key keys[SIM_KEYS];
    unsigned key_count;
    uint32_t blocked; /* the one source that members exclude */
} sim_router;

typedef struct sim_message {
    timer arrives;
    unsigned lan;
    uint32_t from, to;
    size_t size;
    uint8_t bytes[PIM_MESSAGE_SIZE];
} sim_message;

static sim_router sim_routers[SIM_ROUTERS];
static unsigned sim_sent[SIM_LANS][16];  /* messages by type */
static unsigned sim_data[SIM_LANS];      /* packets of data that a router put there */
static bool (*sim_drops)(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size);
static bool sim_muted;
static const char *sim_wrong;            /* what a router said of a message last */

static uint32_t sim_address(unsigned router, unsigned lan) { return htonl(0x0a000001u + (lan << 8) + router); }
static struct link *sim_link(unsigned router, unsigned lan) { return pim_link(&sim_routers[router].pim, lan + 1); }

static void sim_arrive(void *with)
{
    sim_message *m = with;
    for (unsigned r = 0; r < SIM_ROUTERS; r++) {
        struct link *l = sim_routers[r].runs ? sim_link(r, m->lan) : NULL;
        if (l == NULL || l->address == m->from || (m->to != htonl(0xe000000d) && m->to != l->address))
            continue;
        const char *wrong = pim_receive(l, m->from, m->to, m->bytes, m->size);
        if (wrong != NULL)
            sim_wrong = wrong;
    }
    free(m);
}

static void sim_send(struct link *l, uint32_t to, const uint8_t *bytes, size_t size)
{
    sim_message *m;
    if (sim_muted)
        return;
    m = calloc(1, sizeof *m);
    sim_sent[l->index - 1][bytes[0] & 15]++;
    if (sim_drops != NULL && sim_drops(l->index - 1, l->address, bytes, size)) {
        free(m);
        return;
    }
    timer_init(&m->arrives, sim_arrive, m);
    m->lan = l->index - 1;
    m->from = l->address;
    m->to = to;
    m->size = size;
    memcpy(m->bytes, bytes, size);
    timer_set(&m->arrives, 1);
}

static sim_router *sim_of(const struct pim *p) { return (sim_router *)(uintptr_t)p; } /* pim is its first member */

static sim_flow *sim_flow_of(sim_router *r, uint32_t source, uint32_t group, bool make)
{
    sim_flow *f;
    for (f = r->flows; f < r->flows + SIM_FLOWS; f++)
        if (f->used && f->source == source && f->group == group)
            return f;
    for (f = r->flows; make && f < r->flows + SIM_FLOWS; f++)
        if (!f->used) {
            *f = (sim_flow){.source = source, .group = group, .used = true};
            return f;
        }
    return NULL;
}

static void sim_forward(struct entry *e, struct oif *o)
{
    bool on = o->on;
    sim_router *r = sim_of(e->pim);
    unsigned n = 0;
    while (n < r->key_count && (r->keys[n].source != e->source || r->keys[n].group != e->group || r->keys[n].index != o->link->index))
        n++;
    if (!o->key && n < r->key_count)
        r->keys[n] = r->keys[--r->key_count];
    else if (o->key && n == r->key_count && n < SIM_KEYS)
        r->keys[r->key_count++] = (sim_key){e->source, e->group, o->link->index};
    sim_flow *f = sim_flow_of(sim_of(e->pim), e->source, e->group, false);
    unsigned bit = 1u << (o->link->index - 1);
    if (f != NULL && o->link->index != f->iif)
        f->oifs = on ? f->oifs | bit : f->oifs & ~bit;
}

static bool sim_others(const struct entry *e) { return sim_of(e->pim)->others; }

static bool sim_route(struct pim *p, uint32_t source, struct route *route)
{
    sim_router *r = sim_of(p);
    for (unsigned n = 0; n < r->route_count; n++)
        if (r->routes[n].source == source) {
            *route = r->routes[n].route;
            return true;
        }
    return false;
}

static bool sim_packets(const struct entry *e, uint32_t *count)
{
    sim_flow *f = sim_flow_of(sim_of(e->pim), e->source, e->group, false);
    if (f != NULL)
        *count = f->count;
    return f != NULL;
}

static bool sim_blocked(const struct link *l, uint32_t source, uint32_t group)
{
    (void)group;
    return sim_of(l->pim)->blocked != 0 && sim_of(l->pim)->blocked == source;
}

static void sim_older_flows(struct link *l)
{
    sim_router *r = sim_of(l->pim);
    for (unsigned n = 0; n < sizeof r->flows / sizeof *r->flows; n++) {
        const sim_flow *f = &r->flows[n];
        if (f->used && f->iif != l->index && entry_find(&r->pim, f->source, f->group) == NULL)
            pim_new_flow(&r->pim, f->source, f->group, 0);
    }
}

static const struct pim_host sim_host = {sim_send, sim_forward, sim_blocked, sim_others, sim_route, sim_packets, sim_older_flows};

/* Toward the source: by the LAN, over the neighbour that is router `hop` there (its own number: on the link). */
static void sim_set_route(unsigned router, uint32_t source, unsigned lan, unsigned hop, uint32_t metric)
{
    sim_router *r = &sim_routers[router];
    unsigned n = 0;
    while (n < r->route_count && r->routes[n].source != source)
        n++;
    if (n == r->route_count)
        r->route_count++;
    r->routes[n].source = source;
    r->routes[n].route = (struct route){lan + 1, hop == router ? 0 : sim_address(hop, lan), 1, metric, 24};
    if (r->runs)
        pim_routes_changed(&r->pim);
}

static void sim_start(unsigned router, const struct settings *settings)
{
    sim_router *r = &sim_routers[router];
    pim_init(&r->pim, settings, &sim_host);
    memset(r->flows, 0, sizeof r->flows);
    r->key_count = 0;
    r->runs = true;
}

static struct link *sim_join_lan(unsigned router, unsigned lan, enum mode mode)
{
    return pim_link_add(&sim_routers[router].pim, lan + 1, "lan", mode, sim_address(router, lan), NULL);
}

/* Dies without a word. */
static void sim_kill(unsigned router)
{
    sim_muted = true;
    pim_end_all(&sim_routers[router].pim);
    sim_muted = false;
    sim_routers[router].runs = false;
}

static void sim_reset(void)
{
    sim_drops = NULL;
    for (unsigned r = 0; r < SIM_ROUTERS; r++) {
        if (sim_routers[r].runs)
            sim_kill(r);
        memset(&sim_routers[r], 0, sizeof sim_routers[r]);
    }
    while (sim_timers != NULL) { /* messages under way */
        timer *t = sim_timers;
        timer_clear(t);
        free(t);
    }
    memset(sim_sent, 0, sizeof sim_sent);
    memset(sim_data, 0, sizeof sim_data);
}

/* ---- data ---- */

/* A packet is on the LAN; every router that gets it does what the kernel and the group manager would. Those in `from` put it there. */
static void sim_packet_on(unsigned lan, unsigned from, uint32_t source, uint32_t group, unsigned ttl)
{
    for (unsigned n = 0; n < SIM_ROUTERS; n++) {
        sim_router *r = &sim_routers[n];
        struct link *l = r->runs && n != from ? sim_link(n, lan) : NULL;
        struct route route;
        sim_flow *f;
        bool created = false;
        if (l == NULL || !sim_route(&r->pim, source, &route))
            continue;
        f = sim_flow_of(r, source, group, false);
        if (f == NULL || f->iif != route.index) {
            f = sim_flow_of(r, source, group, true);
            if (f == NULL)
                continue;
            created = true;
            f->iif = route.index;
            f->oifs = 0;
            pim_new_flow(&r->pim, source, group, (uint8_t)ttl);
            for (struct link *o = r->pim.links; o != NULL; o = o->next)
                if (o->index != f->iif && pim_wanted(o, source, group))
                    f->oifs |= 1u << (o->index - 1);
        }
        if (l->index != f->iif) {
            pim_wrong_link(l, source, group);
            continue;
        }
        f->count++;
        if (created && f->oifs == 0 && !r->others)
            pim_no_receivers(&r->pim, source, group);
        for (unsigned o = 0; o < SIM_LANS && ttl > 1; o++)
            if (f->oifs >> o & 1) {
                sim_data[o]++;
                sim_packet_on(o, n, source, group, ttl - 1);
            }
    }
}

static void sim_packet(unsigned lan, uint32_t source, uint32_t group)
{
    sim_packet_on(lan, SIM_ROUTERS, source, group, 16);
}

#endif
