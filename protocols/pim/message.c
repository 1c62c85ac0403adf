/* Messages sent, several records in one where they go the same way, and messages received. */
#include "../common/log.h"
#include "../common/net.h"
#include "pim.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

uint16_t seconds(unsigned ms)
{
    unsigned s = ms / 1000 + (ms % 1000 != 0);
    return (uint16_t)(s < PIM_FOREVER ? s : PIM_FOREVER - 1);
}

/* ---- sent ---------------------------------------------------------------------------------------------------- */

/* Neighbours listen only to a router whose hello they have heard. */
void message_send(struct link *l, uint32_t to, const uint8_t *bytes, size_t size)
{
    if (!l->greeted)
        hello_now(l, false);
    l->pim->host->send(l, to, bytes, size);
}

static int compare(const void *left, const void *right)
{
    const struct outgoing *a = left, *b = right;
#define BY(field)              \
    if (a->field != b->field)  \
        return a->field < b->field ? -1 : 1
    BY(link->index);
    BY(type);
    BY(to);
    BY(upstream);
    BY(hold);
    BY(group);
    BY(prune);
    BY(source);
#undef BY
    return 0;
}

void message_flush(void *pim)
{
    struct pim *p = pim;
    struct pim_builder builder;
    const struct outgoing *first = NULL;
    unsigned count = p->outbox_count;
    timer_clear(&p->flush);
    p->outbox_count = 0;
    memset(p->outbox_slots, 0, sizeof p->outbox_slots);
    qsort(p->outbox, count, sizeof *p->outbox, compare);
    for (unsigned n = 0; n < count; n++) {
        const struct outgoing *o = &p->outbox[n];
        bool same = first != NULL && o->link == first->link && o->type == first->type && o->to == first->to &&
                    o->upstream == first->upstream && o->hold == first->hold;
        if (same && pim_add(&builder, o->group, o->source, o->prune))
            continue;
        if (first != NULL)
            message_send(first->link, first->to, builder.bytes, pim_end(&builder));
        first = o;
        pim_begin(&builder, o->type, o->upstream, o->hold, o->link->mode == MODE_SPARSE);
        pim_add(&builder, o->group, o->source, o->prune);
    }
    if (first != NULL)
        message_send(first->link, first->to, builder.bytes, pim_end(&builder));
}

static bool is_wish(enum pim_type type) { return type == PIM_JOIN_PRUNE || type == PIM_GRAFT; }

/* Whether the later one of two records makes the other one void. A graft and a prune to the same neighbour do: sent one
 * after the other they would be sorted, and the neighbour would keep to the graft. */
static bool same_subject(const struct outgoing *a, const struct outgoing *b)
{
    if (a->link != b->link || a->upstream != b->upstream || a->source != b->source || a->group != b->group)
        return false;
    return (a->type == b->type && a->to == b->to) || (is_wish(a->type) && is_wish(b->type));
}

/* The slot of what is said about the same to the same, or the free one for it. */
static uint8_t *slot_of(struct pim *p, const struct outgoing *record)
{
    uint32_t hash = (record->group ^ record->source) * 2654435761u + record->upstream;
    for (hash >>= 24;; hash++) {
        uint8_t *slot = &p->outbox_slots[hash % OUTBOX_SLOTS];
        const struct outgoing *o = *slot ? &p->outbox[*slot - 1] : NULL;
        if (o == NULL || same_subject(o, record))
            return slot;
    }
}

/* `to` 0: all routers on the link. What is said again about the same before it has been sent replaces it. */
void message_record(struct link *l, enum pim_type type, uint32_t to, uint32_t upstream, uint32_t source, uint32_t group,
                    bool prune, uint16_t hold)
{
    struct pim *p = l->pim;
    struct outgoing record = {l, to ? to : htonl(0xe000000d), upstream, group, source, type, hold, prune};
    uint8_t *slot = slot_of(p, &record);
    if (*slot == 0 && p->outbox_count == OUTBOX) {
        message_flush(p);
        slot = slot_of(p, &record);
    }
    if (*slot == 0)
        *slot = (uint8_t)++p->outbox_count;
    p->outbox[*slot - 1] = record;
    if (!p->flush.set)
        timer_set(&p->flush, 0);
}

void message_add(struct entry *e, enum pim_type type, struct link *l, uint32_t neighbour, bool prune, uint16_t hold)
{
    message_record(l, type, type == PIM_GRAFT ? neighbour : 0, neighbour, e->source, e->group, prune, hold);
}

/* ---- received ------------------------------------------------------------------------------------------------ */

/* To us, or to another router on the link; then what matters is whether that is where we get the same packets from. */
static void join_or_prune(struct link *l, bool to_us, uint32_t upstream, const struct pim_record *r, uint16_t hold)
{
    bool dense = l->mode == MODE_DENSE;
    bool makes = to_us && r->prune == dense; /* what calls for an entry */
    struct entry *e = makes ? entry_get(l->pim, r->source, r->group) : entry_find(l->pim, r->source, r->group);
    struct oif *o;
    if (e == NULL)
        return;
    if (to_us && (o = makes ? oif_get(e, l) : oif_find(e, l)) != NULL)
        (dense ? dense_downstream : sparse_downstream)(o, r->prune, hold);
    else if (!to_us && e->up_link == l && e->up_neighbour != 0 && e->up_neighbour == upstream)
        (dense ? dense_overheard : sparse_overheard)(e, r->prune, hold);
}

static void join_prune(struct link *l, uint32_t from, enum pim_type type, struct pim_join_prune *m)
{
    const struct neighbour *upstream = neighbour_find(l, m->upstream);
    bool to_us = m->upstream == l->address;
    struct pim_record r;
    for (unsigned n = 0; n < l->secondary_count; n++)
        to_us = to_us || m->upstream == l->secondary[n];
    while (pim_next_record(m, &r)) {
        struct entry *e;
        if (is_link_local_group(r.group))
            continue;
        if (type == PIM_JOIN_PRUNE)
            join_or_prune(l, to_us, upstream ? upstream->address : 0, &r, m->holdtime);
        else if (type == PIM_GRAFT && !r.prune && to_us)
            dense_graft(l, from, &r, m->holdtime);
        else if (type == PIM_GRAFT_ACK && (e = entry_find(l->pim, r.source, r.group)) != NULL && e->up_link == l &&
                 e->up_neighbour == from)
            dense_graft_ack(e);
    }
}

static void assert_message(struct link *l, uint32_t from, const struct pim_assert *m)
{
    const struct metric metric = {m->rpt, m->preference, m->metric, from};
    struct entry *e;
    struct oif *o;
    if (m->source == 0 || is_link_local_group(m->group))
        return; /* (*,G): of no concern without a rendezvous point */
    e = l->mode == MODE_DENSE ? entry_get(l->pim, m->source, m->group) : entry_find(l->pim, m->source, m->group);
    o = e ? oif_get(e, l) : NULL;
    if (o != NULL)
        assert_receive(o, &metric, l->pim->settings.assert_time);
}

const char *pim_receive(struct link *l, uint32_t from, uint32_t to, const uint8_t *bytes, size_t size)
{
    struct pim_message m;
    const char *wrong = pim_parse(bytes, size, &m);
    bool unicast;
    if (wrong != NULL)
        return wrong;
    unicast = m.type == PIM_GRAFT || m.type == PIM_GRAFT_ACK;
    if (unicast == (to == htonl(0xe000000d)))
        return "sent to the wrong address for its type";
    if (m.type == PIM_HELLO) {
        hello_receive(l, from, &m.u.hello);
        return NULL;
    }
    if (neighbour_find(l, from) == NULL)
        return "from a router that has said no hello";
    if (l->mode == MODE_SPARSE && (unicast || m.type == PIM_STATE_REFRESH))
        return "of dense mode, on an interface in source-specific mode";
    switch (m.type) {
    case PIM_ASSERT:
        assert_message(l, from, &m.u.assert);
        break;
    case PIM_STATE_REFRESH:
        if (!is_link_local_group(m.u.refresh.metric.group))
            refresh_receive(l, from, &m.u.refresh);
        break;
    default:
        join_prune(l, from, m.type, &m.u.join_prune);
        break;
    }
    return NULL;
}
