/* State refresh: the router at the source says from time to time that the source sends, so that prunes need not end and be made
 * anew. RFC 3973 section 4.5. */
#include "pim.h"
#include <arpa/inet.h>

enum { REFRESH_TTL = 64 }; /* where that of the packets is not known: Linux tells of a new flow, but not its TTL */

/* A copy to each link that leads on. */
static void send_on(struct entry *e, struct pim_refresh *r)
{
    uint8_t bytes[PIM_MESSAGE_SIZE];
    for (struct link *l = e->pim->links; l != NULL; l = l->next) {
        struct oif *o = oif_find(e, l);
        if (l == e->rpf || l->mode != MODE_DENSE || l->neighbours == NULL || o == NULL || o->assert == LOSER)
            continue;
        r->prune = o->down == PRUNED;
        if (r->prune && link_refreshes(l) && o->expiry.set)
            timer_set(&o->expiry, o->hold * 1000u);
        r->override = o->assert == NO_ASSERT;
        if (o->assert == WINNER)
            timer_set(&o->assert_timer, 3000u * r->interval);
        r->metric.preference = e->route.preference;
        r->metric.metric = e->route.metric;
        r->mask_length = e->route.mask_length;
        message_send(l, htonl(0xe000000d), bytes, pim_build_refresh(bytes, r));
    }
}

void refresh_start(struct entry *e)
{
    unsigned interval = e->pim->settings.refresh_interval;
    if (interval > 0 && e->source != 0 && entry_connected(e) && e->rpf->mode == MODE_DENSE && !e->refresh.set)
        timer_set(&e->refresh, interval);
}

void refresh_due(void *entry)
{
    struct entry *e = entry;
    struct pim_refresh r = {0};
    if (!e->flows || e->active_until <= now_ms() || !entry_connected(e) || e->rpf->mode != MODE_DENSE)
        return;
    r.metric.group = e->group;
    r.metric.source = e->source;
    r.originator = e->rpf->address;
    r.ttl = e->ttl > 0 ? e->ttl : REFRESH_TTL;
    r.prune_now = ++e->refresh_count % 3 == 0;
    r.interval = (uint8_t)seconds(e->pim->settings.refresh_interval);
    send_on(e, &r);
    refresh_start(e);
}

void refresh_receive(struct link *l, uint32_t from, const struct pim_refresh *refresh)
{
    struct pim_refresh r = *refresh;
    const struct metric theirs = {false, r.metric.preference, r.metric.metric, from};
    unsigned interval = r.interval > 0 ? r.interval * 1000u : 1000;
    uint64_t now = now_ms();
    struct entry *e = entry_get(l->pim, r.metric.source, r.metric.group);
    struct oif *o = e ? oif_get(e, l) : NULL;
    if (o == NULL)
        return;
    assert_receive(o, &theirs, 3 * interval);
    e = entry_find(l->pim, r.metric.source, r.metric.group);
    if (e == NULL || e->rpf != l || entry_upstream(e) != from)
        return;
    if (e->refreshed != 0 && now - e->refreshed < interval / 2)
        return; /* no more often than its sender says */
    e->refreshed = now;
    dense_refreshed(e, r.prune);
    if (r.ttl > 1) {
        r.ttl--;
        send_on(e, &r);
    }
}
