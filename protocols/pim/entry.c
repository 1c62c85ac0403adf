/* (S,G) entries: the links that their packets leave by, what changes them, and when they end. */
#include "../common/log.h"
#include "../common/net.h"
#include "pim.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

const struct settings default_settings = {
    .hello_period = 30000, .triggered_hello = 5000, .join_period = 60000, .propagation = 500, .override_interval = 2500,
    .assert_time = 180000, .assert_override = 3000, .graft_retry = 3000, .prune_hold = 210000, .refresh_interval = 60000,
    .source_lifetime = 210000, .priority = 1, .max_entries = 65536,
};

void pim_init(struct pim *p, const struct settings *settings, const struct pim_host *host)
{
    memset(p, 0, sizeof *p);
    p->settings = *settings;
    p->host = host;
    timer_init(&p->flush, message_flush, p);
}

/* ---- the table --------------------------------------------------------------------------------------------- */

static struct entry **bucket_of(struct pim *p, uint32_t source, uint32_t group)
{
    uint32_t hash = (ntohl(source) * 2654435761u) ^ (ntohl(group) * 2246822519u);
    return &p->buckets[(hash ^ hash >> 16) % BUCKETS];
}

struct entry *entry_find(struct pim *p, uint32_t source, uint32_t group)
{
    struct entry *e = *bucket_of(p, source, group);
    while (e != NULL && (e->source != source || e->group != group))
        e = e->next;
    return e;
}

static void join_due(void *entry);
static void graft_due(void *entry);
static void life_due(void *entry);
static void reroute(struct entry *e);

struct entry *entry_get(struct pim *p, uint32_t source, uint32_t group)
{
    static log_limit limit;
    struct entry *e = entry_find(p, source, group), **bucket = bucket_of(p, source, group);
    if (e != NULL)
        return e;
    if (p->entry_count >= p->settings.max_entries || (e = calloc(1, sizeof *e)) == NULL) {
        log_limited(&limit, LEVEL_WARN, "no room for %s beside %u entries", entry_text(source, group), p->entry_count);
        return NULL;
    }
    e->pim = p;
    e->source = source;
    e->group = group;
    timer_init(&e->join, join_due, e);
    timer_init(&e->graft, graft_due, e);
    timer_init(&e->prune_limit, life_due, e); /* another prune may be sent, if packets come */
    timer_init(&e->refresh, refresh_due, e);
    timer_init(&e->life, life_due, e);
    e->next = *bucket;
    *bucket = e;
    p->entry_count++;
    if (source != 0) {
        struct route r;
        if (p->host->route(p, source, &r)) {
            e->route = r;
            e->rpf = pim_link(p, r.index);
        }
    }
    return e;
}

static void oif_free(struct oif *o)
{
    timer_clear(&o->expiry);
    timer_clear(&o->pending);
    timer_clear(&o->assert_timer);
    free(o);
}

static void entry_free(struct entry *e)
{
    struct entry **at = bucket_of(e->pim, e->source, e->group);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    while (e->oifs != NULL) {
        struct oif *o = e->oifs;
        e->oifs = o->next;
        oif_free(o);
    }
    timer_clear(&e->join);
    timer_clear(&e->graft);
    timer_clear(&e->prune_limit);
    timer_clear(&e->refresh);
    timer_clear(&e->life);
    e->pim->entry_count--;
    free(e);
}

struct oif *oif_find(const struct entry *e, const struct link *l)
{
    struct oif *o = e->oifs;
    while (o != NULL && o->link != l)
        o = o->next;
    return o;
}

static void expiry_due(void *oif)
{
    struct oif *o = oif;
    o->down = NO_INFO;
    o->hold = 0;
    timer_clear(&o->pending);
    entry_update(o->entry);
}

static void pending_due(void *oif)
{
    struct oif *o = oif;
    if (o->link->mode == MODE_SPARSE)
        sparse_prune_due(o);
    else
        dense_prune_due(o);
}

struct oif *oif_get(struct entry *e, struct link *l)
{
    struct oif *o = oif_find(e, l);
    if (o != NULL || (o = calloc(1, sizeof *o)) == NULL)
        return o;
    o->entry = e;
    o->link = l;
    timer_init(&o->expiry, expiry_due, o);
    timer_init(&o->pending, pending_due, o);
    timer_init(&o->assert_timer, assert_due, o);
    o->next = e->oifs;
    e->oifs = o;
    return o;
}

/* ---- where packets go ------------------------------------------------------------------------------------- */

static bool is_ssm(uint32_t group) { return ntohl(group) >> 24 == 232; }

/* Members of the group that this router is to serve on the link. A member for any source counts neither in source-specific mode's
 * own range (RFC 4607) nor pulls a source from afar: there is no rendezvous point that would know it. */
static bool members(const struct entry *e, const struct link *l, const struct oif *o)
{
    const struct oif *any = NULL;
    bool local = o != NULL && o->local;
    if (l->mode == MODE_SPARSE && e->source == 0 && is_ssm(e->group))
        return false;
    if (!local && e->source != 0 && (l->mode == MODE_DENSE || !is_ssm(e->group))) {
        const struct entry *group = entry_find(e->pim, 0, e->group);
        any = group ? oif_find(group, l) : NULL;
        local = any != NULL && any->local && !e->pim->host->blocked(l, e->source, e->group);
    }
    return local && (link_responsible(l) || (o != NULL && o->assert == WINNER));
}

bool oif_wanted(const struct entry *e, const struct link *l)
{
    const struct oif *o = oif_find(e, l);
    if (members(e, l, o))
        return true;
    if (e->source == 0)
        return false;
    if (l->mode == MODE_SPARSE)
        return o != NULL && (o->down == JOINED || o->down == PRUNE_PENDING);
    return l->neighbours != NULL && (o == NULL || o->down != PRUNED);
}

bool oif_forwards(const struct entry *e, const struct link *l)
{
    const struct oif *o = oif_find(e, l);
    return l != e->rpf && (o == NULL || o->assert != LOSER) && oif_wanted(e, l);
}

bool entry_forwards(const struct entry *e)
{
    for (const struct link *l = e->pim->links; l != NULL; l = l->next)
        if (oif_forwards(e, l))
            return true;
    return e->pim->host->others(e);
}

bool entry_connected(const struct entry *e) { return e->rpf != NULL && e->route.next_hop == 0; }

uint32_t entry_upstream(const struct entry *e)
{
    const struct oif *o = e->rpf ? oif_find(e, e->rpf) : NULL;
    const struct neighbour *n;
    if (e->rpf == NULL || entry_connected(e))
        return 0;
    if (o != NULL && o->assert == LOSER)
        return o->winner.address;
    n = neighbour_find(e->rpf, e->route.next_hop);
    return n ? n->address : 0;
}

/* Is this very key asked for on the link, and not merely wanted with others? */
bool oif_asked(const struct entry *e, const struct oif *o)
{
    bool joined = o->link->mode == MODE_SPARSE && (o->down == JOINED || o->down == PRUNE_PENDING);
    return e->source == 0 || o->local || joined;
}

/* ---- changes ---------------------------------------------------------------------------------------------- */

static bool idle(const struct entry *e)
{
    if (e->external || e->flows || e->up == UP_JOINED || e->graft.set || e->prune_limit.set)
        return false;
    for (const struct oif *o = e->oifs; o != NULL; o = o->next)
        if (o->local || o->down != NO_INFO || o->assert != NO_ASSERT)
            return false;
    return true;
}

static void tell(struct entry *e, struct oif *o)
{
    o->on = oif_forwards(e, o->link);
    o->key = o->on && oif_asked(e, o);
    o->told = true;
    e->pim->host->forward(e, o);
}

void entry_update(struct entry *e)
{
    struct pim *p = e->pim;
    assert_review(e);
    for (struct link *l = p->links; l != NULL; l = l->next) {
        bool on = oif_forwards(e, l), dense = l->mode == MODE_DENSE && e->source != 0;
        struct oif *o = on || dense ? oif_get(e, l) : oif_find(e, l);
        if (o != NULL && (o->on != on || o->key != (on && oif_asked(e, o)) || (dense && !o->told)))
            tell(e, o);
    }
    if (e->source != 0) {
        if (e->up_link != NULL && e->up_link != e->rpf) {
            if (e->up_link->mode == MODE_SPARSE)
                sparse_leave(e);
            else
                dense_leave(e);
        }
        if (e->rpf == NULL) {
            e->up_link = NULL;
            e->up_neighbour = 0;
            e->up = e->up == UP_JOINED ? NOT_JOINED : e->up;
            timer_clear(&e->join);
        } else if (e->rpf->mode == MODE_SPARSE)
            sparse_upstream(e);
        else
            dense_upstream(e);
    }
    if (idle(e))
        entry_free(e);
}

void entries_update(struct pim *p)
{
    EACH_ENTRY(p, e, b, following)
        entry_update(e);
}

/* The members of a group for any source have changed: that concerns all its sources. */
static void group_update(struct pim *p, uint32_t group)
{
    EACH_ENTRY(p, e, b, following)
        if (e->group == group && e->source != 0)
            entry_update(e);
}

static void join_due(void *entry)
{
    struct entry *e = entry;
    if (e->up_link != NULL && e->up_link->mode == MODE_SPARSE)
        sparse_join_due(e);
    else if (e->up_link != NULL)
        dense_join_due(e);
}

static void graft_due(void *entry)
{
    struct entry *e = entry;
    if (e->up == ACK_PENDING && e->up_neighbour != 0) {
        message_add(e, PIM_GRAFT, e->up_link, e->up_neighbour, false, 0);
        timer_set(&e->graft, e->pim->settings.graft_retry);
    }
}

/* Looks from time to time whether the source sends and whether there still is a forwarding entry. Of packets that come though a
 * prune of ours has ended nobody tells: an entry that this router itself has left without an outgoing interface makes no alert. */
static void life_due(void *entry)
{
    struct entry *e = entry;
    uint32_t count = 0;
    e->flows = e->pim->host->packets(e, &count);
    if (e->flows && count != e->packets) {
        e->active_until = now_ms() + e->pim->settings.source_lifetime;
        if (e->up_link != NULL && e->up_link->mode == MODE_DENSE)
            dense_data(e);
    }
    e->packets = count;
    if (e->flows)
        timer_set(&e->life, e->pim->settings.source_lifetime / 7);
    entry_update(e);
}

static void reroute(struct entry *e)
{
    struct pim *p = e->pim;
    struct route r = {0};
    struct link *rpf = p->host->route(p, e->source, &r) ? pim_link(p, r.index) : NULL;
    if (rpf != e->rpf) {
        struct oif *before = e->rpf ? oif_find(e, e->rpf) : NULL, *now = rpf ? oif_find(e, rpf) : NULL;
        if (before != NULL && before->assert == LOSER)
            assert_forget(before);
        if (now != NULL && rpf->mode == MODE_DENSE) {
            if (now->assert == LOSER)
                assert_forget(now);
            now->down = NO_INFO;
            now->hold = 0;
            timer_clear(&now->expiry);
            timer_clear(&now->pending);
        }
        log_debug("%s comes in on %s now", entry_text(e->source, e->group), rpf ? rpf->name : "no link of ours");
    }
    e->route = r;
    e->rpf = rpf;
    entry_update(e);
}

void pim_routes_changed(struct pim *p)
{
    EACH_ENTRY(p, e, b, following)
        if (e->source != 0)
            reroute(e);
}

void entries_neighbour(struct neighbour *n, bool restarted)
{
    struct link *l = n->link;
    EACH_ENTRY(l->pim, e, b, following) {
        struct oif *o = oif_find(e, l);
        bool upstream = e->up_link == l && e->up_neighbour == n->address;
        if (e->source == 0)
            continue;
        if (o != NULL && o->assert == LOSER && o->winner.address == n->address)
            assert_forget(o);
        if (!restarted)
            continue;
        if (upstream && l->mode == MODE_SPARSE && e->up == UP_JOINED) { /* it has forgotten our join */
            unsigned soon = link_random_override(l);
            if (timer_left(&e->join) > soon)
                timer_set(&e->join, soon);
        } else if (upstream && l->mode == MODE_DENSE) {
            dense_restarted(e);
        } else if (o != NULL && l->mode == MODE_DENSE && l != e->rpf && o->down != NO_INFO) {
            /* It may want what it pruned, and cannot know that it has to ask for it. */
            expiry_due(o);
            continue;
        }
        entry_update(e);
    }
}

/* ---- what the host tells ---------------------------------------------------------------------------------- */

void pim_local(struct link *l, uint32_t source, uint32_t group, bool member)
{
    struct pim *p = l->pim;
    struct entry *e = member ? entry_get(p, source, group) : entry_find(p, source, group);
    struct oif *o = e ? oif_get(e, l) : NULL;
    if (o == NULL)
        return;
    if (o->local != member) {
        o->local = member;
        tell(e, o);
    }
    entry_update(e);
    if (source == 0)
        group_update(p, group);
}

void pim_blocked(struct link *l, uint32_t source, uint32_t group)
{
    struct entry *e = entry_get(l->pim, source, group);
    struct oif *o = e ? oif_get(e, l) : NULL;
    if (o == NULL)
        return;
    tell(e, o);
    entry_update(e);
}

void pim_external(struct pim *p, uint32_t source, uint32_t group, bool member)
{
    if (group == 0) {
        p->external_all = member;
        entries_update(p);
        return;
    }
    struct entry *e = member ? entry_get(p, source, group) : entry_find(p, source, group);
    if (e == NULL)
        return;
    e->external = member;
    entry_update(e);
    if (source == 0)
        group_update(p, group);
}

static bool any_dense(const struct pim *p)
{
    for (const struct link *l = p->links; l != NULL; l = l->next)
        if (l->mode == MODE_DENSE)
            return true;
    return false;
}

void pim_new_flow(struct pim *p, uint32_t source, uint32_t group, uint8_t ttl)
{
    /* With source-specific mode alone entries live by those who asked for them, whether or not packets flow. */
    struct entry *e = any_dense(p) ? entry_get(p, source, group) : NULL;
    if (e == NULL)
        return;
    e->flows = true;
    e->packets = 0;
    if (ttl > e->ttl)
        e->ttl = ttl;
    e->active_until = now_ms() + p->settings.source_lifetime;
    if (!e->life.set)
        timer_set(&e->life, p->settings.source_lifetime / 7);
    refresh_start(e);
    entry_update(e);
}

bool pim_wanted(struct link *l, uint32_t source, uint32_t group)
{
    struct entry *e = entry_find(l->pim, source, group);
    struct entry unknown = {.pim = l->pim, .source = source, .group = group};
    return oif_forwards(e ? e : &unknown, l);
}

unsigned pim_no_receivers(struct pim *p, uint32_t source, uint32_t group)
{
    struct entry *e = entry_find(p, source, group);
    if (e == NULL || e->rpf == NULL || e->rpf->mode != MODE_DENSE)
        return 0;
    dense_data(e);
    /* Packets that come all the same are told again as soon as another prune may be sent. */
    return seconds(e->prune_limit.set ? (unsigned)timer_left(&e->prune_limit) + 1000 : p->settings.prune_hold);
}

void pim_some_receivers(struct pim *p, uint32_t source, uint32_t group)
{
    struct entry *e = entry_find(p, source, group);
    if (e != NULL)
        entry_update(e);
}

void pim_wrong_link(struct link *l, uint32_t source, uint32_t group)
{
    struct entry *e = l->mode == MODE_DENSE ? entry_get(l->pim, source, group) : entry_find(l->pim, source, group);
    struct oif *o = e ? oif_get(e, l) : NULL;
    if (o != NULL)
        assert_data(o);
}

void pim_end_all(struct pim *p)
{
    message_flush(p);
    for (struct link *l = p->links; l != NULL; l = l->next)
        for (unsigned b = 0; b < BUCKETS; b++)
            for (struct entry *e = p->buckets[b]; e != NULL; e = e->next) {
                struct oif *o = oif_find(e, l);
                if (o != NULL && o->assert == WINNER) { /* others may take over at once */
                    struct link *rpf = e->rpf;
                    e->rpf = l;
                    assert_send(o);
                    e->rpf = rpf;
                }
            }
    while (p->links != NULL) {
        struct link *l = p->links;
        pim_link_remove(l);
    }
    for (unsigned b = 0; b < BUCKETS; b++)
        while (p->buckets[b] != NULL)
            entry_free(p->buckets[b]);
    timer_clear(&p->flush);
}
