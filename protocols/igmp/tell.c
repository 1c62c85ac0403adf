/* What the group manager is told of a group: (*,G) in EXCLUDE mode; (S,G) for each source that is wanted; and that the
 * sources which hosts exclude are not forwarded. */
#include "link.h"

void (*igmp_on_blocked)(iface *i, DWORD source, DWORD group, bool blocked);

/* A source that is excluded leaves the forwarding entries by a delete with MGM_FORWARD_STATE_FLAG, which vetoes what (*,G)
 * would do; a new entry is vetoed by the creation alert. Only the interface's owner can do this: IGMP where it is alone, and
 * otherwise a routing protocol, which hears of it where it is part of the same program. */
static void tell_blocked(igmp_source *s, bool blocked)
{
    igmp_group *g = s->of;
    iface *i = g->on->on;
    DWORD owner, component;
    if (s->blocked == blocked)
        return;
    s->blocked = blocked;
    if (MgmGetProtocolOnInterface(i->index, 0, &owner, &component) != NO_ERROR)
        return;
    if (owner != igmp_client.protocol || component != igmp_client.component) {
        if (igmp_on_blocked != NULL)
            igmp_on_blocked(i, s->address, g->address, blocked);
    } else if (blocked) {
        client_delete(&igmp_client, s->address, g->address, i->index, MGM_FORWARD_STATE_FLAG);
    } else if (!s->joined) {
        /* A new membership lifts the veto; it need not stay. */
        client_add(&igmp_client, s->address, g->address, i->index, MGM_JOIN_STATE_FLAG);
        client_delete(&igmp_client, s->address, g->address, i->index, MGM_JOIN_STATE_FLAG);
    }
}

/* `told` is what the group manager knows; it becomes `wish` where the group manager takes it. */
static void tell(igmp_group *g, uint32_t source, bool *told, bool wish)
{
    DWORD index = g->on->on->index;
    wish &= !g->on->settings.querier_only || g->on->querier;
    if (*told == wish || !client_has(&igmp_client, g->on->on))
        return;
    if (wish)
        *told = client_add(&igmp_client, source, g->address, index, MGM_JOIN_STATE_FLAG) == NO_ERROR;
    else {
        client_delete(&igmp_client, source, g->address, index, MGM_JOIN_STATE_FLAG);
        *told = false;
    }
}

void tell_group(igmp_group *g)
{
    igmp_source *s;
    /* Additions first, so that nothing that goes on being wanted is without a membership in between. */
    if (g->exclude)
        tell(g, 0, &g->joined, true);
    for (s = g->sources; s != NULL; s = s->next)
        if (s->wanted.set) {
            tell(g, s->address, &s->joined, true);
            tell_blocked(s, false);
        }
    if (!g->exclude)
        tell(g, 0, &g->joined, false);
    for (s = g->sources; s != NULL; s = s->next)
        if (!s->wanted.set) {
            tell(g, s->address, &s->joined, false);
            tell_blocked(s, g->exclude);
        }
}

void tell_source_gone(igmp_source *s)
{
    tell(s->of, s->address, &s->joined, false);
    tell_blocked(s, false);
}

void tell_group_gone(igmp_group *g)
{
    tell(g, 0, &g->joined, false);
}

void tell_all(igmp_link *l, bool forgotten)
{
    for (unsigned n = 0; n < l->bucket_count; n++)
        for (igmp_group *g = l->buckets[n]; g != NULL; g = g->next) {
            if (forgotten) {
                g->joined = false;
                for (igmp_source *s = g->sources; s != NULL; s = s->next)
                    s->joined = s->blocked = false;
            }
            if (client_has(&igmp_client, l->on))
                tell_group(g);
        }
}

/* The group on the interface, if it is in EXCLUDE mode. */
static const igmp_group *excluding(DWORD index, DWORD group)
{
    const igmp_link *l = igmp_links;
    const igmp_group *g;
    while (l != NULL && l->on->index != index)
        l = l->next;
    g = l ? group_find(l, group) : NULL;
    return g != NULL && g->exclude ? g : NULL;
}

bool igmp_blocks(DWORD index, DWORD source, DWORD group)
{
    const igmp_group *g = excluding(index, group);
    const igmp_source *s = g ? source_find(g, source) : NULL;
    return s != NULL && !s->wanted.set;
}

void igmp_each_blocked(DWORD index, DWORD group, void (*each)(DWORD index, DWORD source, DWORD group))
{
    const igmp_group *g = excluding(index, group);
    for (const igmp_source *s = g ? g->sources : NULL; s != NULL; s = s->next)
        if (!s->wanted.set)
            each(index, s->address, group);
}
