/* Source-specific mode: (S,G) joins, received (RFC 7761 section 4.5.2) and sent (section 4.5.5). There is no rendezvous point, and
 * so no (*,G) and no register. */
#include "pim.h"

/* JoinDesired(S,G): somebody asked for this very source. Members for any source, and what dense mode would merely be flooded with,
 * do not count. */
bool sparse_wanted(const struct entry *e)
{
    if (e->external)
        return true;
    for (const struct oif *o = e->oifs; o != NULL; o = o->next)
        if (oif_asked(e, o) && oif_forwards(e, o->link))
            return true;
    return false;
}

/* ---- upstream ------------------------------------------------------------------------------------------------ */

static uint16_t holdtime(const struct entry *e) { return seconds(e->pim->settings.join_period * 7 / 2); }

void sparse_join_due(struct entry *e)
{
    unsigned period = e->pim->settings.join_period;
    if (e->up_neighbour == 0) {
        timer_clear(&e->join);
        return;
    }
    message_add(e, PIM_JOIN_PRUNE, e->up_link, e->up_neighbour, false, holdtime(e));
    /* On whole seconds, so that the joins of many entries go in one message. */
    timer_set(&e->join, period < 10000 ? period : period + 1000 - (now_ms() + period) % 1000);
}

void sparse_leave(struct entry *e)
{
    if (e->up == UP_JOINED && e->up_neighbour != 0)
        message_add(e, PIM_JOIN_PRUNE, e->up_link, e->up_neighbour, true, holdtime(e));
    timer_clear(&e->join);
    e->up = NOT_JOINED;
    e->up_link = NULL;
    e->up_neighbour = 0;
}

void sparse_upstream(struct entry *e)
{
    const struct oif *o = oif_find(e, e->rpf);
    bool by_assert = o != NULL && o->assert == LOSER, was_by_assert = e->up_by_assert;
    uint32_t neighbour = entry_upstream(e), before = e->up_neighbour;
    if (!sparse_wanted(e)) {
        if (e->up == UP_JOINED)
            sparse_leave(e);
        return;
    }
    if (e->up == UP_JOINED && neighbour == before)
        return;
    e->up_by_assert = by_assert;
    e->up_neighbour = neighbour;
    if (e->up == UP_JOINED && (by_assert || was_by_assert) && e->join.set) {
        unsigned soon = link_random_override(e->rpf);
        if (timer_left(&e->join) > soon)
            timer_set(&e->join, soon);
        return;
    }
    if (e->up == UP_JOINED && before != 0 && neighbour_find(e->rpf, before) != NULL)
        message_add(e, PIM_JOIN_PRUNE, e->rpf, before, true, holdtime(e));
    e->up = UP_JOINED;
    e->begun = true;
    e->up_link = e->rpf;
    sparse_join_due(e);
}

/* Another router on the link upstream has joined or pruned what we get. */
void sparse_overheard(struct entry *e, bool prune, uint16_t hold)
{
    unsigned period = e->pim->settings.join_period, time;
    if (e->up != UP_JOINED)
        return;
    if (prune) { /* has to be overridden */
        time = link_random_override(e->up_link);
        if (timer_left(&e->join) > time)
            timer_set(&e->join, time);
    } else if (link_suppresses(e->up_link)) { /* serves for us too */
        time = period + period / 10 + random_below(period * 3 / 10);
        if (time > hold * 1000u)
            time = hold * 1000u;
        if (timer_left(&e->join) < time)
            timer_set(&e->join, time);
    }
}

/* ---- downstream ---------------------------------------------------------------------------------------------- */

void sparse_downstream(struct oif *o, bool prune, uint16_t hold)
{
    struct entry *e = o->entry;
    if (!prune) {
        if (o->assert == LOSER) /* whoever sent it may know that the winner has died */
            assert_forget(o);
        o->down = JOINED;
        timer_clear(&o->pending);
        if (hold == PIM_FOREVER)
            timer_clear(&o->expiry);
        else if (timer_left(&o->expiry) < hold * 1000u)
            timer_set(&o->expiry, hold * 1000u);
        entry_update(e);
    } else if (o->down == JOINED) {
        o->down = PRUNE_PENDING;
        if (link_many(o->link))
            timer_set(&o->pending, link_wait(o->link));
        else
            sparse_prune_due(o);
    }
}

void sparse_prune_due(struct oif *o)
{
    if (link_many(o->link)) /* an echo: whoever missed the prune may still override it */
        message_record(o->link, PIM_JOIN_PRUNE, 0, o->link->address, o->entry->source, o->entry->group, true,
                       holdtime(o->entry));
    o->down = NO_INFO;
    timer_clear(&o->expiry);
    entry_update(o->entry);
}
