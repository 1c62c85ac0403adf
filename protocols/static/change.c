#include "change.h"
#include "../common/log.h"
#include <stdlib.h>
#include <string.h>

static client *me;
static const route_table *old, *now;

/* ---- interfaces with IGMP ----------------------------------------------------------------------------------- */

enum { INTERFACES = 64 }; /* more than the kernel's forwarding can use */
static uint32_t with_igmp[INTERFACES];

void change_igmp_is(uint32_t index, bool there)
{
    uint32_t *empty = NULL;
    for (unsigned n = 0; n < INTERFACES; n++) {
        if (with_igmp[n] == index) {
            with_igmp[n] = there ? index : 0;
            return;
        }
        if (with_igmp[n] == 0 && empty == NULL)
            empty = &with_igmp[n];
    }
    if (there && empty != NULL)
        *empty = index;
}

static bool has_igmp(uint32_t index)
{
    for (unsigned n = 0; n < INTERFACES; n++)
        if (with_igmp[n] == index)
            return true;
    return false;
}

/* ---- memberships -------------------------------------------------------------------------------------------- */

static void add(const wanted_flow *w)
{
    if (client_has(me, w->on))
        client_add(me, w->source, w->group, w->on->index, MGM_JOIN_STATE_FLAG);
}

static void delete(const wanted_flow *w)
{
    if (client_has(me, w->on))
        client_delete(me, w->source, w->group, w->on->index, MGM_JOIN_STATE_FLAG);
}

/* ---- interfaces --------------------------------------------------------------------------------------------- */

static bool names(const route_table *t, const iface *i)
{
    for (const route *r = t->routes; r != NULL; r = r->next) {
        if (r->in == i)
            return true;
        for (const iface_list *o = r->out; o != NULL; o = o->next)
            if (o->on == i)
                return true;
    }
    return false;
}

static void use_all(void)
{
    for (const route *r = now->routes; r != NULL; r = r->next) {
        client_use(me, r->in);
        for (const iface_list *o = r->out; o != NULL; o = o->next)
            client_use(me, o->on);
    }
}

/* ---- flows that there are ----------------------------------------------------------------------------------- */

static bool holds(const route_table *t, uint32_t source, uint32_t group, uint32_t out)
{
    for (const route *r = t->routes; r != NULL; r = r->next)
        if (route_leads_to(r, out))
            for (const flow_range *f = r->flows; f != NULL; f = f->next)
                if (!f->any_source && flow_has(f, source, group))
                    return true;
    return false;
}

/* The flow does not leave by an interface that has a membership for it: the creation alert kept it from there. A membership
 * that is new ends that; where we have the one for this source it is made new, and elsewhere it is there for a moment. */
static void let_leave(uint32_t source, uint32_t group, uint32_t out)
{
    if (holds(now, source, group, out)) {
        client_delete(me, source, group, out, MGM_JOIN_STATE_FLAG);
        client_add(me, source, group, out, MGM_JOIN_STATE_FLAG);
    } else {
        client_add(me, source, group, out, MGM_JOIN_STATE_FLAG);
        client_delete(me, source, group, out, MGM_JOIN_STATE_FLAG);
    }
}

static void bring_up_to_date(uint32_t source, uint32_t group, uint32_t in)
{
    for (const route *r = now->routes; r != NULL; r = r->next) {
        if (!route_matches(r, source, group))
            continue;
        for (const iface_list *o = r->out; o != NULL; o = o->next) {
            uint32_t out = o->on->index;
            bool before = routes_keep_from(old, source, group, in, out), after = routes_keep_from(now, source, group, in, out);
            if (!client_has(me, o->on) || out == in || before == after)
                continue;
            if (before)
                let_leave(source, group, out);
            else if (!has_igmp(out))
                client_delete(me, source, group, out, MGM_FORWARD_STATE_FLAG);
        }
    }
}

/* Is there a route for the flow, from an interface that we have, but none from this one? It is then accepted elsewhere. */
static bool moves(uint32_t source, uint32_t group, uint32_t in)
{
    bool elsewhere = false;
    for (const route *r = now->routes; r != NULL; r = r->next)
        if (route_matches(r, source, group)) {
            if (r->in->index == in)
                return false;
            elsewhere |= client_has(me, r->in);
        }
    return elsewhere;
}

/* Looks at all entries. Interfaces from which a flow is not accepted any more are given up for a moment, which is how the group
 * manager asks about their flows anew. */
static void look_at_flows(void)
{
    static DWORD buffer[16384];
    uint32_t again[INTERFACES];
    unsigned again_count = 0;
    MIB_IPMCAST_MFE last = {0};
    DWORD count, size = sizeof buffer;
    DWORD code = MgmGetFirstMfe(&size, (PBYTE)buffer, &count);
    while (code == ERROR_MORE_DATA || code == ERROR_NO_MORE_ITEMS) {
        PBYTE at = (PBYTE)buffer;
        for (DWORD n = 0; n < count; n++) {
            PMIB_IPMCAST_MFE entry = (PMIB_IPMCAST_MFE)at;
            unsigned a = 0;
            const iface *in = iface_by_index(entry->dwInIfIndex);
            last.dwGroup = entry->dwGroup;
            last.dwSource = entry->dwSource;
            at += SIZEOF_MIB_MFE(entry->ulNumOutIf);
            if (in == NULL || !client_has(me, in))
                continue;
            bring_up_to_date(last.dwSource, last.dwGroup, in->index);
            while (a < again_count && again[a] != in->index)
                a++;
            if (a == again_count && a < INTERFACES && moves(last.dwSource, last.dwGroup, in->index))
                again[again_count++] = in->index;
        }
        if (code == ERROR_NO_MORE_ITEMS)
            break;
        size = sizeof buffer;
        code = MgmGetNextMfe(&last, &size, (PBYTE)buffer, &count);
    }
    for (unsigned a = 0; a < again_count; a++)
        client_retake(me, iface_by_index(again[a]));
}

void change_routes(client *c, const route_table *before, const route_table *after)
{
    size_t old_count, now_count;
    me = c;
    old = before;
    now = after;
    wanted_flow *old_list = routes_memberships(old, &old_count), *now_list = routes_memberships(now, &now_count);
    use_all();
    wanted_without(now_list, now_count, old_list, old_count, add);
    wanted_without(old_list, old_count, now_list, now_count, delete);
    look_at_flows();
    free(old_list);
    free(now_list);
    for (iface *i = ifaces; i != NULL; i = i->next)
        if (names(old, i) && !names(now, i))
            client_do_without(me, i);
}
