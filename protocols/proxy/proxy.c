#include "proxy.h"
#include "host.h"
#include "wants.h"
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/manager.h"
#include "../common/net.h"
#include "../igmp/igmp.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { HOLD_MS = 20000, HOLD_AFTER_MS = 5000, CHECK_MS = 60000, SOON_MS = 200, SWEEP_MS = 30000, MAX_SENT_UP = 65536 };

static const prefix_rule *sources;
static iface *upstream, *downstream[MAX_SLOTS]; /* NULL: a slot that is free */
static int heard = -1;
static timer hold_over, check, sweep;
static client me;

static int slot_of(DWORD index)
{
    for (int n = 0; n < MAX_SLOTS; n++)
        if (downstream[n] != NULL && downstream[n]->index == index && index != 0)
            return n;
    return -1;
}

/* ---- sources downstream, whose packets go upstream as well (RFC 4605 section 4.2) ------------------------------- */

/* The flow has a membership on the upstream interface for as long as its forwarding entry is there. */
typedef struct sent_up {
    struct sent_up *next;
    DWORD source, group;
} sent_up;
static sent_up *all_sent_up;
static unsigned sent_up_count;

static void send_up(DWORD source, DWORD group)
{
    static log_limit full;
    sent_up *s = all_sent_up;
    while (s != NULL && (s->source != source || s->group != group))
        s = s->next;
    if (s != NULL)
        return;
    if (sent_up_count == MAX_SENT_UP || (s = malloc(sizeof *s)) == NULL) {
        log_limited(&full, LEVEL_WARN, "%s does not go upstream: there are %u such flows already", entry_text(source, group),
                    sent_up_count);
        return;
    }
    s->source = source;
    s->group = group;
    s->next = all_sent_up;
    all_sent_up = s;
    sent_up_count++;
    if (client_has(&me, upstream))
        client_add(&me, source, group, upstream->index, MGM_JOIN_STATE_FLAG);
    if (!sweep.set)
        timer_set(&sweep, SWEEP_MS);
}

static bool entry_exists(DWORD source, DWORD group)
{
    MIB_IPMCAST_MFE mfe = {.dwSource = source, .dwGroup = group};
    DWORD size = 0;
    return MgmGetMfe(&mfe, &size, NULL) != ERROR_NOT_FOUND;
}

static void sweep_now(void *with)
{
    sent_up **link = &all_sent_up;
    (void)with;
    while (*link != NULL) {
        sent_up *s = *link;
        if (entry_exists(s->source, s->group)) {
            link = &s->next;
            continue;
        }
        if (client_has(&me, upstream))
            client_delete(&me, s->source, s->group, upstream->index, MGM_JOIN_STATE_FLAG);
        *link = s->next;
        free(s);
        sent_up_count--;
    }
    if (all_sent_up != NULL)
        timer_set(&sweep, SWEEP_MS);
}

/* ---- flows --------------------------------------------------------------------------------------------------------- */

/* *index is where the unicast route leads; without one over our interfaces (`unicast` is NULL), where the packet came in. */
static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index, PDWORD next_hop, PDWORD neighbour,
                 DWORD header_size, PBYTE header, PBYTE unicast)
{
    bool from_upstream = *index == upstream->index;
    (void)source_mask, (void)group_mask, (void)next_hop, (void)neighbour, (void)header_size, (void)header;
    if (unicast == NULL && !prefix_permits(sources, source, sources == NULL && from_upstream)) {
        static log_limit refused;
        log_limited(&refused, LEVEL_WARN, "%s is refused: no route to the source over the proxy's interfaces, and it is not among those allowed",
                    entry_text(source, group));
        *index = 0;
    } else if (!from_upstream) {
        send_up(source, group);
    }
    log_debug("new flow %s from %s", entry_text(source, group), from_upstream ? "upstream" : *index ? "downstream" : "nowhere");
    return NO_ERROR;
}

/* Sources that the hosts of a link exclude are kept from it. */
static DWORD creation_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD in_index, DWORD in_next_hop,
                            DWORD count, PMGM_IF_ENTRY out)
{
    (void)source_mask, (void)group_mask, (void)in_index, (void)in_next_hop;
    for (DWORD n = 0; n < count; n++)
        if (igmp_blocks(out[n].dwIfIndex, source, group))
            out[n].bIsEnabled = FALSE;
    return NO_ERROR;
}

static void blocked(iface *i, DWORD source, DWORD group, bool now_blocked)
{
    if (slot_of(i->index) < 0 || !client_has(&me, i))
        return;
    if (now_blocked) {
        client_delete(&me, source, group, i->index, MGM_FORWARD_STATE_FLAG);
    } else { /* a new membership lifts the veto; where hosts want the source its local join comes as well */
        client_delete(&me, source, group, i->index, MGM_JOIN_STATE_FLAG);
        client_add(&me, source, group, i->index, MGM_JOIN_STATE_FLAG);
        client_delete(&me, source, group, i->index, MGM_JOIN_STATE_FLAG);
    }
}

/* ---- members --------------------------------------------------------------------------------------------------------- */

static void keep_out(DWORD index, DWORD source, DWORD group)
{
    client_delete(&me, source, group, index, MGM_FORWARD_STATE_FLAG);
}

/* Hosts downstream: the proxy adds the membership too, so that other protocols hear of it (and forward their sources to it). */
static DWORD local(bool join, DWORD source, DWORD group, DWORD index)
{
    int slot = slot_of(index);
    if (slot < 0 || group == 0)
        return NO_ERROR; /* members on the upstream link are the upstream querier's */
    if (join) {
        client_add(&me, source, group, index, MGM_JOIN_STATE_FLAG);
        if (source == 0)
            igmp_each_blocked(index, group, keep_out); /* a new membership lets them out as well */
    } else
        client_delete(&me, source, group, index, MGM_JOIN_STATE_FLAG);
    wants_local((unsigned)slot, source, group, join);
    if (!join && check.set && timer_left(&check) > SOON_MS && wants_uncertain())
        timer_set(&check, SOON_MS); /* what was read from the list may have been this */
    return NO_ERROR;
}

static DWORD local_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop)
{
    (void)source_mask, (void)group_mask, (void)next_hop;
    return local(true, source, group, index);
}

static DWORD local_leave(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop)
{
    (void)source_mask, (void)group_mask, (void)next_hop;
    return local(false, source, group, index);
}

/* Other protocols' members. */
static void others(DWORD source, DWORD group, bool wanted, bool certain)
{
    if (group != 0)
        wants_others(source, group, wanted, certain);
    else if (wanted)
        log_warn("another protocol wants all groups: a proxy has no way to ask for that upstream");
}

static DWORD join_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source_mask, (void)group_mask;
    if (member)
        others(source, group, true, true);
    return NO_ERROR;
}

static DWORD prune_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop,
                         BOOL member, PDWORD lifetime)
{
    (void)source_mask, (void)group_mask, (void)index, (void)next_hop, (void)lifetime;
    if (member)
        others(source, group, false, true);
    return NO_ERROR;
}

/* ---- the list of groups, for what others had before the proxy came ------------------------------------------------------ */

static SOURCE_GROUP_ENTRY *rows;
static size_t row_count;

static int compare_rows(const void *a, const void *b) { return memcmp(a, b, sizeof *rows); }

static void read_rows(void)
{
    DWORD code, size, count;
    HANDLE list;
    row_count = 0;
    if (MgmGroupEnumerationStart(me.handle, ALL_SOURCES, &list) != NO_ERROR)
        return;
    do {
        SOURCE_GROUP_ENTRY *more = realloc(rows, (row_count + 1024) * sizeof *more);
        if (more == NULL)
            break;
        rows = more;
        size = 1024 * sizeof *rows;
        code = MgmGroupEnumerationGetNext(list, &size, (PBYTE)(rows + row_count), &count);
        if (code == ERROR_MORE_DATA || code == ERROR_NO_MORE_ITEMS)
            row_count += count;
    } while (code == ERROR_MORE_DATA);
    MgmGroupEnumerationEnd(list);
    if (row_count > 0)
        qsort(rows, row_count, sizeof *rows, compare_rows);
}

static bool is_listed(uint32_t source, uint32_t group)
{
    SOURCE_GROUP_ENTRY row = {source, source ? ALL_ONES : 0, group, ALL_ONES};
    return row_count > 0 && bsearch(&row, rows, row_count, sizeof row, compare_rows) != NULL;
}

static void check_now(void *with)
{
    (void)with;
    if (me.handle == NULL || !wants_uncertain())
        return;
    read_rows();
    wants_check(is_listed);
    timer_set(&check, CHECK_MS);
}

static void registered(void)
{
    read_rows();
    for (size_t n = 0; n < row_count; n++)
        others(rows[n].dwSourceAddr, rows[n].dwGroupAddr, true, false);
    timer_set(&check, CHECK_MS);
    if (hold_over.set)
        timer_set(&hold_over, HOLD_AFTER_MS); /* IGMP is back as soon as this client is */
}

/* ---- interfaces ------------------------------------------------------------------------------------------------------------ */

static void taken(iface *i)
{
    if (i == upstream)
        for (const sent_up *s = all_sent_up; s != NULL; s = s->next)
            client_add(&me, s->source, s->group, i->index, MGM_JOIN_STATE_FLAG);
}

static void left(iface *i)
{
    int slot = slot_of(i->index);
    if (slot >= 0)
        wants_no_slot((unsigned)slot);
}

/* The group manager has gone. Its members are told again when it is back; until then what was wanted is not given up. */
static void hold_now(void)
{
    wants_hold(true);
    timer_set(&hold_over, HOLD_MS);
}
static void hold_ends(void *with)
{
    (void)with;
    wants_hold(false);
}
static void lost(void)
{
    wants_no_others();
    timer_clear(&check);
}

static client me = {
    .name = "proxy",
    .protocol = PROTOCOL_ID(PROTO_TYPE_MCAST, PROTO_VENDOR_MS2, 0x5058),
    .component = 1,
    .callbacks = {
        .dwCallbackFlags = MGM_ROUTELESS_FLOWS,
        .pfnRpfCallback = rpf,
        .pfnCreationAlertCallback = creation_alert,
        .pfnJoinAlertCallback = join_alert,
        .pfnPruneAlertCallback = prune_alert,
        .pfnLocalJoinCallback = local_join,
        .pfnLocalLeaveCallback = local_leave,
    },
    .registered = registered,
    .taken = taken,
    .left = left,
    .losing = hold_now,
    .lost = lost,
};

/* Only queries upstream matter to the proxy: it need not wake up for what its hosts report to IGMP. */
static void hear_upstream(void)
{
    static unsigned on;
    if (on != upstream->index && upstream->index != 0)
        packet_hear_only(heard, upstream->index); /* one that has gone again meanwhile will be told */
    on = upstream->index;
}

static void changed(iface *i)
{
    if (i == upstream) {
        hear_upstream();
        host_changed();
    }
}

static void went(iface *i)
{
    if (i == upstream) {
        unsigned index = i->index;
        i->index = 0;
        hear_upstream();
        host_changed();
        i->index = index;
    }
}

/* ---- queries upstream ------------------------------------------------------------------------------------------------------- */

static void packets_came(void *with, short events)
{
    static uint8_t buffer[65536];
    unsigned index;
    long size;
    (void)with, (void)events;
    for (int n = 0; n < 256 && (size = packet_read(heard, buffer, sizeof buffer, &index)) >= 0; n++) {
        static log_limit limit;
        ip_packet ip;
        igmp_message m;
        const char *wrong;
        if (index != upstream->index)
            continue;
        wrong = ip_parse(buffer, (size_t)size, &ip);
        if (wrong == NULL && iface_owns(upstream, ip.source))
            continue;
        if (wrong == NULL && ip.ttl != 1)
            wrong = "a TTL that is not 1";
        if (wrong == NULL)
            wrong = igmp_parse(ip.data, ip.size, &m);
        if (wrong == NULL)
            host_heard(&m);
        else
            log_limited(&limit, LEVEL_WARN, "%s: a bad packet: %s", upstream->name, wrong);
    }
}

/* ---- start and end ------------------------------------------------------------------------------------------------------------ */

void proxy_upstream(iface *i)
{
    upstream = i;
    client_use(&me, i);
}

void proxy_use_downstream(const igmp_named *list, unsigned count)
{
    for (int slot = 0; slot < MAX_SLOTS; slot++) {
        const iface *i = downstream[slot];
        unsigned n = 0;
        while (n < count && list[n].on != i)
            n++;
        if (i == NULL || n < count)
            continue;
        client_do_without(&me, i); /* what its hosts wanted goes with it */
        downstream[slot] = NULL;
    }
    for (unsigned n = 0; n < count; n++) {
        int slot = 0, unused = -1;
        for (; slot < MAX_SLOTS && downstream[slot] != list[n].on; slot++)
            if (unused < 0 && downstream[slot] == NULL)
                unused = slot;
        if (slot < MAX_SLOTS || unused < 0)
            continue;
        downstream[unused] = list[n].on;
        client_use(&me, list[n].on);
    }
}

void proxy_set_sources(const prefix_rule *list)
{
    bool same = prefix_same(sources, list);
    sources = list;
    if (!same) /* flows from there are asked about anew */
        client_retake(&me, upstream);
}

void proxy_start(DWORD component)
{
    static iface_listener listener = {.went = went, .changed = changed, .came = changed};
    int reports;
    timer_init(&hold_over, hold_ends, NULL);
    timer_init(&check, check_now, NULL);
    timer_init(&sweep, sweep_now, NULL);
    me.component = component;
    igmp_on_blocked = blocked;
    if ((heard = packet_socket(IPPROTO_IGMP)) < 0)
        die("packet socket (it needs CAP_NET_RAW): %s", strerror(errno));
    loop_watch(heard, packets_came, NULL);
    hear_upstream();
    if ((reports = raw_socket(IPPROTO_IGMP, true)) < 0)
        die("raw IGMP socket (it needs CAP_NET_RAW): %s", strerror(errno));
    host_start(upstream, reports, raw_send);
    client_start(&me);
    iface_listen(&listener);
}

void proxy_stop(void)
{
    host_leave_all();
    client_stop(&me);
}

void proxy_print(void)
{
    host_print();
    log_line(LEVEL_INFO, "%u flows go upstream", sent_up_count);
    igmp_print();
}
