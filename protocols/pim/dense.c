/* Dense mode: packets go everywhere until a prune says otherwise, and a graft takes the prune back. RFC 3973 section 4.4. */
#include "pim.h"

enum { PRUNE_REST_MS = 1000 };

/* ---- upstream ------------------------------------------------------------------------------------------------ */

static void prune(struct entry *e)
{
    unsigned hold = e->pim->settings.prune_hold;
    e->up = UP_PRUNED;
    timer_clear(&e->graft);
    timer_clear(&e->join);
    if (e->up_neighbour == 0)
        return;
    message_add(e, PIM_JOIN_PRUNE, e->up_link, e->up_neighbour, true, seconds(hold));
    timer_set(&e->prune_limit, hold);
}

static void graft(struct entry *e)
{
    timer_clear(&e->prune_limit);
    e->up = e->up_neighbour != 0 ? ACK_PENDING : FORWARDING;
    if (e->up == FORWARDING)
        return;
    message_add(e, PIM_GRAFT, e->up_link, e->up_neighbour, false, 0);
    timer_set(&e->graft, e->pim->settings.graft_retry);
}

/* Nothing is wanted, and the neighbour upstream is a new one or has restarted: packets will come, or do already. RFC 3973 section
 * 4.4.1 has the next one make the prune, but of packets that the kernel drops nobody tells, so the prune goes ahead of them.
 * Neighbours that come and go quickly make one each second; after that it is looked whether packets come. */
static void prune_ahead(struct entry *e)
{
    uint64_t now = now_ms(), since = now - e->pruned_ahead;
    if (!e->flows || e->active_until <= now || e->up_neighbour == 0)
        return;
    if (e->pruned_ahead != 0 && since < PRUNE_REST_MS) {
        if (timer_left(&e->life) > PRUNE_REST_MS - since)
            timer_set(&e->life, PRUNE_REST_MS - since);
        return;
    }
    e->pruned_ahead = now;
    prune(e);
}

void dense_leave(struct entry *e)
{
    timer_clear(&e->graft);
    timer_clear(&e->join);
    timer_clear(&e->prune_limit);
    e->up_link = NULL;
    e->up_neighbour = 0;
}

void dense_upstream(struct entry *e)
{
    bool wanted = entry_forwards(e);
    uint32_t neighbour = entry_upstream(e);
    bool moved = e->begun && (e->up_link != e->rpf || e->up_neighbour != neighbour);
    if (!e->begun)
        e->up = FORWARDING;
    e->begun = true;
    e->up_link = e->rpf;
    e->up_neighbour = neighbour;
    if (moved || entry_connected(e)) {
        timer_clear(&e->graft);
        timer_clear(&e->join);
        timer_clear(&e->prune_limit);
    }
    if (entry_connected(e))
        e->up = wanted ? FORWARDING : UP_PRUNED;
    else if (wanted && (moved || e->up == UP_PRUNED))
        graft(e);
    else if (!wanted && moved) {
        e->up = UP_PRUNED;
        prune_ahead(e);
    } else if (!wanted && e->up != UP_PRUNED)
        prune(e);
}

/* It does not know what it was told. */
void dense_restarted(struct entry *e)
{
    timer_clear(&e->prune_limit);
    if (e->up == UP_PRUNED && !entry_connected(e) && !entry_forwards(e))
        prune_ahead(e);
}

void dense_data(struct entry *e)
{
    if (!entry_connected(e) && !entry_forwards(e) && !e->prune_limit.set)
        prune(e);
}

/* Another router on the link upstream prunes or joins what we get from the same neighbour. */
void dense_overheard(struct entry *e, bool pruned, uint16_t hold)
{
    if (entry_connected(e))
        return;
    if (!pruned)
        timer_clear(&e->join);
    else if (e->up == UP_PRUNED && timer_left(&e->prune_limit) < hold * 1000u)
        timer_set(&e->prune_limit, hold * 1000u);
    else if (e->up != UP_PRUNED && !e->join.set)
        timer_set(&e->join, link_random_override(e->up_link));
}

void dense_join_due(struct entry *e)
{
    if (e->up != UP_PRUNED && e->up_neighbour != 0)
        message_add(e, PIM_JOIN_PRUNE, e->up_link, e->up_neighbour, false, seconds(e->pim->settings.prune_hold));
}

void dense_graft_ack(struct entry *e)
{
    if (e->up != ACK_PENDING)
        return;
    timer_clear(&e->graft);
    e->up = FORWARDING;
}

/* A state refresh came from the neighbour upstream; it says whether our link is pruned there. */
void dense_refreshed(struct entry *e, bool pruned)
{
    if (e->up == UP_PRUNED && pruned)
        timer_set(&e->prune_limit, e->pim->settings.prune_hold);
    else if (e->up == UP_PRUNED && !e->prune_limit.set)
        prune(e);
    else if (e->up != UP_PRUNED && pruned && !e->join.set)
        timer_set(&e->join, link_random_override(e->up_link));
    else if (e->up == ACK_PENDING && !pruned)
        dense_graft_ack(e);
}

/* ---- downstream ---------------------------------------------------------------------------------------------- */

static void unprune(struct oif *o)
{
    o->down = NO_INFO;
    o->hold = 0;
    timer_clear(&o->expiry);
    timer_clear(&o->pending);
    entry_update(o->entry);
}

void dense_downstream(struct oif *o, bool pruned, uint16_t hold)
{
    if (o->link == o->entry->rpf)
        return;
    if (o->assert == LOSER) /* let the sender learn who forwards here */
        assert_send(o);
    if (!pruned) {
        unprune(o);
        return;
    }
    if (hold > o->hold)
        o->hold = hold;
    if (o->down == NO_INFO) {
        o->down = PRUNE_PENDING;
        if (link_many(o->link))
            timer_set(&o->pending, link_wait(o->link));
        else
            dense_prune_due(o);
    } else if (o->down == PRUNED && hold == PIM_FOREVER) {
        timer_clear(&o->expiry);
    } else if (o->down == PRUNED && o->expiry.set && timer_left(&o->expiry) < hold * 1000u) {
        timer_set(&o->expiry, hold * 1000u);
    }
}

void dense_prune_due(struct oif *o)
{
    unsigned hold = o->hold * 1000u, wait = link_wait(o->link);
    o->down = PRUNED;
    if (o->hold != PIM_FOREVER)
        timer_set(&o->expiry, hold > 2 * wait ? hold - wait : hold / 2);
    if (link_many(o->link)) /* an echo: whoever missed the prune may still override it */
        message_record(o->link, PIM_JOIN_PRUNE, 0, o->link->address, o->entry->source, o->entry->group, true, o->hold);
    entry_update(o->entry);
}

/* A graft may be about a flow that this router does not know: after a restart the group manager may hold its forwarding entry as it
 * was, pruned. */
void dense_graft(struct link *l, uint32_t from, const struct pim_record *record, uint16_t hold)
{
    struct entry *e = entry_get(l->pim, record->source, record->group);
    struct oif *o = e ? oif_get(e, l) : NULL;
    message_record(l, PIM_GRAFT_ACK, from, from, record->source, record->group, false, hold);
    if (o == NULL || l == e->rpf)
        return;
    if (o->assert == LOSER)
        assert_send(o);
    unprune(o);
}
