#include "router.h"
#include "../common/log.h"
#include "../common/manager.h"
#include "../common/net.h"
#include "../igmp/igmp.h"
#include "route.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PROTOCOL PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 103)
enum { RECHECK_MS = 5000 };

struct use { /* an interface that was named */
    struct use *next;
    iface *on;
    enum mode mode;
    bool over; /* it is still the client's, but PIM has ended there */
};

static struct pim pim;
static struct use *uses;
static int hearing = -1, sending = -1;
static uint64_t heard, refused;
static timer recheck;

static const char *link_name(DWORD index)
{
    const struct link *l = pim_link(&pim, index);
    return l ? l->name : "an interface of another protocol";
}

/* ---- what mgm.h tells ---------------------------------------------------------------------------------------- */

#define UNUSED(x) (void)(x)

static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index, PDWORD next_hop, PDWORD upstream,
                 DWORD header_size, PBYTE header, PBYTE route)
{
    const struct entry *e;
    UNUSED(source_mask), UNUSED(group_mask), UNUSED(next_hop), UNUSED(route);
    log_debug("flow %s comes in on %s", entry_text(source, group), link_name(*index));
    pim_new_flow(&pim, source, group, header_size >= 20 ? header[8] : 0);
    e = entry_find(&pim, source, group);
    if (e != NULL && e->rpf != NULL && e->rpf->index == *index && entry_upstream(e) != 0)
        *upstream = entry_upstream(e); /* it may be the winner of an assert */
    return NO_ERROR;
}

static DWORD creation(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop, DWORD count,
                      PMGM_IF_ENTRY out)
{
    UNUSED(source_mask), UNUSED(group_mask), UNUSED(index), UNUSED(next_hop);
    pim_new_flow(&pim, source, group, 0);
    for (DWORD n = 0; n < count; n++) {
        struct link *l = pim_link(&pim, out[n].dwIfIndex);
        out[n].bIsEnabled = l != NULL && pim_wanted(l, source, group);
    }
    return NO_ERROR;
}

static DWORD prune(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop, BOOL member,
                   PDWORD timeout)
{
    UNUSED(source_mask), UNUSED(group_mask), UNUSED(index), UNUSED(next_hop);
    if (is_link_local_group(group))
        return NO_ERROR;
    if (member) {
        pim_external(&pim, source, group, false);
    } else {
        unsigned time = pim_no_receivers(&pim, source, group);
        if (time != 0)
            *timeout = time;
    }
    return NO_ERROR;
}

static DWORD join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    UNUSED(source_mask), UNUSED(group_mask);
    if (is_link_local_group(group))
        return NO_ERROR;
    if (member)
        pim_external(&pim, source, group, true);
    else
        pim_some_receivers(&pim, source, group);
    return NO_ERROR;
}

static DWORD wrong_interface(DWORD source, DWORD group, DWORD index, DWORD next_hop, DWORD header_size, PBYTE header)
{
    struct link *l = pim_link(&pim, index);
    UNUSED(next_hop), UNUSED(header_size), UNUSED(header);
    log_debug("%s comes in on %s as well", entry_text(source, group), link_name(index));
    if (l != NULL)
        pim_wrong_link(l, source, group);
    return NO_ERROR;
}

static DWORD local(DWORD source, DWORD group, DWORD index, bool member)
{
    struct link *l = pim_link(&pim, index);
    if (l != NULL && !is_link_local_group(group))
        pim_local(l, source, group, member);
    return NO_ERROR;
}

static DWORD local_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop)
{
    UNUSED(source_mask), UNUSED(group_mask), UNUSED(next_hop);
    return local(source, group, index, true);
}

static DWORD local_leave(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop)
{
    UNUSED(source_mask), UNUSED(group_mask), UNUSED(next_hop);
    return local(source, group, index, false);
}

static void registered(void);
static void taken(iface *i);
static void left(iface *i);
static void lost(void);

static client me = {
    .name = "PIM", .protocol = PROTOCOL,
    .callbacks = {
        .pfnRpfCallback = rpf, .pfnCreationAlertCallback = creation, .pfnPruneAlertCallback = prune,
        .pfnJoinAlertCallback = join, .pfnWrongIfCallback = wrong_interface, .pfnLocalJoinCallback = local_join,
        .pfnLocalLeaveCallback = local_leave,
    },
    .taken = taken, .left = left, .registered = registered, .lost = lost,
};

/* What others held before this client came: no alert tells of it. The rows do not say who holds them. After a restart they may be
 * what this client's predecessor left (MGM_HOLD), so they are looked at again until they have gone. */
static void enumerate(void *with)
{
    union {
        SOURCE_GROUP_ENTRY rows[256];
        BYTE octets[1];
    } buffer;
    HANDLE rows;
    DWORD size, count, code;
    bool more = true, any = false;
    EACH_ENTRY(&pim, e, b, following)
        e->found = false;
    if (me.handle == NULL || MgmGroupEnumerationStart(me.handle, ALL_SOURCES, &rows) != NO_ERROR)
        return;
    while (more) {
        size = sizeof buffer;
        code = MgmGroupEnumerationGetNext(rows, &size, buffer.octets, &count);
        more = code == ERROR_MORE_DATA;
        if (!more && code != ERROR_NO_MORE_ITEMS)
            break;
        for (DWORD n = 0; n < count; n++) {
            DWORD source = buffer.rows[n].dwSourceAddr, group = buffer.rows[n].dwGroupAddr;
            struct entry *e;
            if (is_link_local_group(group) || group == 0)
                continue; /* who holds (*,*) shows in each forwarding entry */
            if (with == NULL)
                pim_external(&pim, source, group, true);
            if ((e = entry_find(&pim, source, group)) == NULL)
                continue;
            e->found = true;
            e->doubtful = e->doubtful || with == NULL;
        }
    }
    MgmGroupEnumerationEnd(rows);
    EACH_ENTRY(&pim, e, b, following) {
        bool doubtful = e->doubtful;
        any = any || (doubtful && e->found);
        if (doubtful && !e->found) {
            e->doubtful = false;
            pim_external(&pim, e->source, e->group, false);
        }
    }
    if (any)
        timer_set(&recheck, RECHECK_MS);
}

static void registered(void) { enumerate(NULL); }

/* ---- what is asked of mgm.h ---------------------------------------------------------------------------------- */

/* A key that is asked for is a membership. What else an entry is to do changes forwarding entries alone (FORWARD): in dense mode
 * (*,*) lets everything out of the interface, and prunes and grafts take it out and put it back. What is done for (*,G) reaches
 * all sources of the group: a membership that is new lets out what was pruned, and deleting takes out what is to leave. */
static void ask_for(struct entry *e, struct oif *o)
{
    DWORD index = o->link->index;
    if (o->key)
        client_add(&me, e->source, e->group, index, MGM_JOIN_STATE_FLAG);
    if (o->on && e->source != 0)
        client_add(&me, e->source, e->group, index, MGM_FORWARD_STATE_FLAG);
    if (!o->key)
        client_delete(&me, e->source, e->group, index, MGM_JOIN_STATE_FLAG | (o->on ? 0 : MGM_FORWARD_STATE_FLAG));
    if (e->source != 0)
        return;
    EACH_ENTRY(&pim, other, b, following) {
        struct oif *same = other->group == e->group && other->source != 0 ? oif_find(other, o->link) : NULL;
        if (same != NULL && same->on)
            client_add(&me, other->source, other->group, index, MGM_FORWARD_STATE_FLAG);
        else if (same != NULL && o->on)
            client_delete(&me, other->source, other->group, index, MGM_FORWARD_STATE_FLAG);
    }
}

/* The line comes when it has been asked for: whoever waits for it sends packets then. */
static void forward(struct entry *e, struct oif *o)
{
    ask_for(e, o);
    log_debug("%s %s %s", entry_text(e->source, e->group), o->on ? "leaves by" : "does not leave by", o->link->name);
}

/* The entry's record from MgmGetMfe or MgmGetMfeStats. */
union record {
    MIB_IPMCAST_MFE mfe;
    MIB_IPMCAST_MFE_STATS stats;
    BYTE octets[4096];
};

static bool others(const struct entry *e)
{
    MIB_IPMCAST_MFE key = {.dwSource = e->source, .dwSrcMask = ALL_ONES, .dwGroup = e->group};
    union record r;
    DWORD size = sizeof r;
    const struct entry *group;
    if (me.handle != NULL && MgmGetMfe(&key, &size, r.octets) == NO_ERROR) {
        for (ULONG n = 0; n < r.mfe.ulNumOutIf; n++)
            if (pim_link(&pim, r.mfe.rgmioOutInfo[n].dwOutIfIndex) == NULL)
                return true;
        return false;
    }
    group = entry_find(&pim, 0, e->group);
    return e->external || (group != NULL && group->external) || pim.external_all;
}

static bool packets(const struct entry *e, uint32_t *count)
{
    MIB_IPMCAST_MFE key = {.dwSource = e->source, .dwSrcMask = ALL_ONES, .dwGroup = e->group};
    union record r;
    DWORD size = sizeof r;
    if (me.handle == NULL || MgmGetMfeStats(&key, &size, r.octets, MGM_MFE_STATS_0) != NO_ERROR)
        return false;
    *count = r.stats.ulInPkts;
    return true;
}

static void older_flows(struct link *l)
{
    MIB_IPMCAST_MFE last = {0}; /* before the first one */
    union record r;
    DWORD size, count, code;
    do {
        const BYTE *at = r.octets;
        size = sizeof r;
        code = me.handle == NULL ? ERROR_CAN_NOT_COMPLETE : MgmGetNextMfe(&last, &size, r.octets, &count);
        if (code != ERROR_MORE_DATA && code != ERROR_NO_MORE_ITEMS)
            return;
        for (DWORD n = 0; n < count; n++) {
            memcpy(&last, at, SIZEOF_BASIC_MIB_MFE);
            at += SIZEOF_MIB_MFE(last.ulNumOutIf);
            if (last.dwInIfIndex != l->index && entry_find(&pim, last.dwSource, last.dwGroup) == NULL)
                pim_new_flow(&pim, last.dwSource, last.dwGroup, 0);
        }
    } while (code == ERROR_MORE_DATA);
}

static bool route(struct pim *p, uint32_t source, struct route *r)
{
    UNUSED(p);
    return route_find(source, r);
}

static void send_message(struct link *l, uint32_t to, const uint8_t *bytes, size_t size)
{
    static log_limit limit;
    if (!raw_send(sending, l->with, l->address, to, bytes, size))
        log_limited(&limit, LEVEL_WARN, "%s: sending to %s: %s", l->name, ip_text(to), strerror(errno));
}

static bool blocked(const struct link *l, uint32_t source, uint32_t group) { return igmp_blocks(l->index, source, group); }

static const struct pim_host host = {send_message, forward, blocked, others, route, packets, older_flows};

static void blocked_changed(iface *i, DWORD source, DWORD group, bool now)
{
    struct link *l = pim_link(&pim, i->index);
    UNUSED(now);
    if (l != NULL)
        pim_blocked(l, source, group);
}

/* ---- interfaces ---------------------------------------------------------------------------------------------- */

static struct use *use_of(const iface *i)
{
    struct use *u = uses;
    while (u != NULL && u->on != i)
        u = u->next;
    return u;
}

static void use(iface *i, enum mode mode)
{
    struct use *u = use_of(i), **end = &uses;
    if (u != NULL) {
        if (u->mode != mode) {
            u->mode = mode;
            client_retake(&me, i); /* a link anew */
        }
        return;
    }
    if ((u = calloc(1, sizeof *u)) == NULL)
        die("out of memory");
    u->on = i;
    u->mode = mode;
    while (*end != NULL)
        end = &(*end)->next;
    *end = u;
    client_use(&me, i);
}

void router_use_all(const igmp_named *list, unsigned count)
{
    struct use **at = &uses;
    while (*at != NULL) {
        struct use *u = *at;
        unsigned n = 0;
        while (n < count && list[n].on != u->on)
            n++;
        if (n < count) {
            at = &u->next;
            continue;
        }
        client_do_without(&me, u->on);
        *at = u->next;
        free(u);
    }
    for (unsigned n = 0; n < count; n++)
        use(list[n].on, (enum mode)list[n].mode);
}

void router_set(const struct settings *settings) { pim_set(&pim, settings); }

static void set_secondary(struct link *l, const iface *i)
{
    uint32_t addresses[PIM_MAX_SECONDARY];
    unsigned count = 0;
    for (unsigned n = 0; n < i->net_count && count < PIM_MAX_SECONDARY; n++)
        if (i->nets[n].address != l->address)
            addresses[count++] = i->nets[n].address;
    if (count != l->secondary_count || memcmp(addresses, l->secondary, count * sizeof *addresses) != 0)
        pim_link_secondary(l, addresses, count);
}

/* A link needs the interface, an address on it and the device up. */
static void look(iface *i)
{
    struct use *u = use_of(i);
    struct link *l = i->index != 0 ? pim_link(&pim, i->index) : NULL;
    bool wanted = u != NULL && client_has(&me, i) && i->up && i->address != 0;
    if (l != NULL && (!wanted || l->address != i->address)) {
        if (l->address != i->address)
            log_info("%s: the address is not %s any more", i->name, ip_text(l->address));
        log_info("%s: PIM runs no more", i->name);
        if (u != NULL && u->mode == MODE_DENSE)
            client_delete(&me, 0, 0, i->index, MGM_JOIN_STATE_FLAG);
        pim_link_remove(l);
        l = NULL;
        if (u != NULL)
            u->over = true;
    }
    if (wanted && l == NULL && u->over) { /* what IGMP has there is told to a client that takes it */
        u->over = false;
        client_retake(&me, i);
        return;
    }
    if (wanted && l == NULL) {
        if (u->mode == MODE_DENSE) /* at first: a membership that is new lets out all flows, whatever has been said of them */
            client_add(&me, 0, 0, i->index, MGM_JOIN_STATE_FLAG);
        l = pim_link_add(&pim, i->index, i->name, u->mode, i->address, i);
        if (l == NULL)
            die("out of memory");
        log_info("%s: PIM runs in %s mode, as %s", i->name, u->mode == MODE_DENSE ? "dense" : "source-specific", ip_text(i->address));
    }
    if (l != NULL)
        set_secondary(l, i);
}

static void taken(iface *i) { look(i); }

static void left(iface *i)
{
    struct link *l = pim_link(&pim, i->index);
    struct use *u = use_of(i);
    if (l != NULL)
        pim_link_remove(l);
    if (u != NULL)
        u->over = false; /* whoever takes it anew is told everything */
}

/* The host has gone, and with it what others told. */
static void lost(void)
{
    struct settings settings = pim.settings;
    pim_end_all(&pim);
    pim_init(&pim, &settings, &host);
}

static void routes_changed(void) { pim_routes_changed(&pim); }

static iface_listener listener = {.changed = look};

/* ---- messages ------------------------------------------------------------------------------------------------ */

static void message_came(void *with, short events)
{
    static uint8_t buffer[65536];
    static log_limit limit;
    unsigned index;
    long size;
    UNUSED(with), UNUSED(events);
    for (int turn = 0; turn < 256 && (size = packet_read(hearing, buffer, sizeof buffer, &index)) >= 0; turn++) {
        struct link *l = pim_link(&pim, index);
        const char *wrong;
        ip_packet p;
        if (l == NULL)
            continue;
        wrong = ip_parse(buffer, (size_t)size, &p);
        if (wrong == NULL && !iface_owns(l->with, p.destination) && p.destination != htonl(0xe000000d))
            continue; /* a register to somebody else, for instance */
        heard++;
        if (wrong == NULL && p.ttl != 1)
            wrong = "a TTL that is not 1";
        if (wrong == NULL && (!iface_on_link(l->with, p.source) || !is_host_address(p.source)))
            wrong = "a sender that is not on the link";
        if (wrong == NULL && iface_owns(l->with, p.source))
            wrong = "a sender with an address of this router";
        if (wrong == NULL)
            wrong = pim_receive(l, p.source, p.destination, p.data, p.size);
        if (wrong == NULL)
            continue;
        refused++;
        log_limited(&limit, LEVEL_WARN, "%s: a message from %s is not heard: %s", l->name, ip_text(p.source), wrong);
    }
}

/* ---- start, end and what there is ---------------------------------------------------------------------------- */

void router_start(const struct settings *settings, DWORD component)
{
    const int one = 1;
    pim_init(&pim, settings, &host);
    hearing = packet_socket(PIM_PROTOCOL);
    sending = raw_socket(PIM_PROTOCOL, false);
    if (hearing < 0 || sending < 0)
        die("PIM needs raw sockets and so CAP_NET_RAW: %s", strerror(errno));
    setsockopt(sending, IPPROTO_IP, IP_TTL, &one, sizeof one); /* grafts are unicast, and stay on the link too */
    loop_watch(hearing, message_came, NULL);
    timer_init(&recheck, enumerate, &recheck);
    route_start(routes_changed);
    me.component = component;
    igmp_on_blocked = blocked_changed;
    client_start(&me);
    iface_listen(&listener);
}

void router_stop(void)
{
    pim_end_all(&pim);
    client_stop(&me);
}

static const char *downstream_text(const struct oif *o)
{
    static const char *const states[] = {"", " joined", " prune pending", " pruned"};
    return states[o->down];
}

void router_print(void)
{
    static const char *const states[] = {"not joined", "joined", "forwarding", "pruned", "graft sent"};
    unsigned count = 0;
    for (const struct link *l = pim.links; l != NULL; l = l->next) {
        log_info("%s: %s, %s mode, designated router %s", l->name, ip_text(l->address),
                 l->mode == MODE_DENSE ? "dense" : "source-specific", ip_text(l->designated));
        for (const struct neighbour *n = l->neighbours; n != NULL; n = n->next)
            log_info("  neighbour %s for another %u s", ip_text(n->address), (unsigned)(timer_left(&n->liveness) / 1000));
    }
    EACH_ENTRY(&pim, e, b, following) {
        if (++count > 1000)
            continue;
        log_info("%s%s: %s by %s from %s", entry_text(e->source, e->group), e->external ? " (others want it)" : "",
                 e->source ? states[e->up] : "members", e->rpf ? e->rpf->name : "-",
                 e->up_neighbour ? ip_text(e->up_neighbour) : "-");
        for (const struct oif *o = e->oifs; o != NULL; o = o->next)
            log_info("  %s:%s%s%s%s", o->link->name, o->on ? " on" : " off", o->local ? " members" : "", downstream_text(o),
                     o->assert == WINNER ? " assert won" : o->assert == LOSER ? " assert lost" : "");
    }
    log_info("%u entries; %llu messages, %llu not heard", pim.entry_count, (unsigned long long)heard,
             (unsigned long long)refused);
}
