/* The client of the group manager, and what comes in from the links. */
#include "link.h"
#include "../common/net.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

igmp_link *igmp_links;
static int heard = -1;

static igmp_link *link_of(const iface *i)
{
    igmp_link *l = igmp_links;
    while (l != NULL && l->on != i)
        l = l->next;
    return l;
}

/* ---- the group manager ------------------------------------------------------------------------------------- */

static void taken(iface *i)
{
    igmp_link *l = link_of(i);
    tell_all(l, true);
    querier_update(l);
}

/* The group manager has gone, or the device. In the first case the groups stay, and are told again. */
static void left(iface *i)
{
    igmp_link *l = link_of(i);
    tell_all(l, true);
    querier_update(l);
}

/* A routing protocol came to the interface, or left it: the group manager has dropped IGMP's memberships there, and takes
 * them again after this. */
static DWORD enable_igmp(DWORD index, DWORD next_hop)
{
    iface *i = iface_by_index(index);
    igmp_link *l = i ? link_of(i) : NULL;
    (void)next_hop;
    if (l != NULL) {
        log_debug("%s: enabled", i->name);
        tell_all(l, true);
    }
    return NO_ERROR;
}

static DWORD disable_igmp(DWORD index, DWORD next_hop)
{
    const iface *i = iface_by_index(index);
    (void)next_hop;
    if (i != NULL)
        log_debug("%s: disabled for a moment", i->name);
    return NO_ERROR;
}

/* Where IGMP is alone on an interface it owns it, and is asked before a new flow goes out there. */
static DWORD creation_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD in_index, DWORD in_next_hop,
                            DWORD count, PMGM_IF_ENTRY out)
{
    (void)source_mask, (void)group_mask, (void)in_index, (void)in_next_hop;
    for (DWORD n = 0; n < count; n++)
        if (igmp_blocks(out[n].dwIfIndex, source, group))
            out[n].bIsEnabled = FALSE;
    return NO_ERROR;
}

client igmp_client = {
    .name = "IGMP",
    .protocol = MS_IP_IGMP,
    .component = 1,
    .callbacks = {
        .pfnEnableIgmpCallback = enable_igmp,
        .pfnDisableIgmpCallback = disable_igmp,
        .pfnCreationAlertCallback = creation_alert,
    },
    .taken = taken,
    .left = left,
};

/* ---- packets ------------------------------------------------------------------------------------------------ */

static void report(igmp_link *l, igmp_message *m)
{
    igmp_record record;
    l->reports++;
    switch (m->type) {
    case IGMP_V1_REPORT:
    case IGMP_V2_REPORT:
        group_old_report(l, m->group, m->type == IGMP_V1_REPORT ? 1 : 2);
        break;
    case IGMP_V2_LEAVE:
        group_leave(l, m->group);
        break;
    default:
        while (igmp_next_record(m, &record))
            group_record(l, &record);
    }
}

/* NULL: it has been acted on; otherwise what is wrong with it. */
static const char *packet(igmp_link *l, const uint8_t *octets, size_t size, uint32_t *from)
{
    ip_packet ip;
    igmp_message m;
    const char *wrong = ip_parse(octets, size, &ip);
    *from = ip.source;
    if (wrong != NULL)
        return wrong;
    if (iface_owns(l->on, ip.source))
        return NULL; /* our own, come back */
    if (ip.ttl != 1)
        return "a TTL that is not 1";
    if (!is_multicast(ip.destination) && !iface_owns(l->on, ip.destination))
        return "sent to another host";
    if ((wrong = igmp_parse(ip.data, ip.size, &m)) != NULL)
        return wrong;
    /* A host without an address yet reports from 0.0.0.0 (section 4.2.13), a querier without one asks so. */
    if (ip.source != 0 && (!is_host_address(ip.source) || !iface_on_link(l->on, ip.source)))
        return "from a source that is not on this link";
    if (m.type == IGMP_QUERY)
        querier_heard(l, ip.source, &m);
    else
        report(l, &m);
    return NULL;
}

static void packets_came(void *with, short events)
{
    static uint8_t buffer[65536];
    unsigned index;
    long size;
    (void)with, (void)events;
    /* A flood must not keep the loop from its other work. */
    for (int n = 0; n < 256 && (size = packet_read(heard, buffer, sizeof buffer, &index)) >= 0; n++) {
        static log_limit limit;
        const iface *i = iface_by_index(index);
        igmp_link *l = i ? link_of(i) : NULL;
        uint32_t from;
        const char *wrong;
        if (l == NULL || !client_has(&igmp_client, i) || (wrong = packet(l, buffer, (size_t)size, &from)) == NULL)
            continue;
        l->bad_packets++;
        log_limited(&limit, LEVEL_WARN, "%s: a bad packet from %s: %s", i->name, ip_text(from), wrong);
    }
}

/* ---- start and end --------------------------------------------------------------------------------------------- */

static void device_went(iface *i)
{
    igmp_link *l = link_of(i);
    if (l != NULL) {
        groups_drop(l);
        querier_update(l);
    }
}

static void device_changed(iface *i)
{
    igmp_link *l = link_of(i);
    if (l != NULL)
        querier_update(l);
}

/* The settings are others from now on. */
static void set(igmp_link *l, const igmp_settings *settings)
{
    prefix_rule *old = l->settings.groups;
    l->settings = *settings;
    l->settings.groups = prefix_copy(settings->groups);
    prefix_free(old);
    groups_permitted(l);
    querier_set(l);
    tell_all(l, false);
}

void igmp_use(iface *i, const igmp_settings *settings)
{
    igmp_link *l = link_of(i), **end = &igmp_links;
    if (l != NULL) {
        set(l, settings);
        return;
    }
    if ((l = calloc(1, sizeof *l)) == NULL)
        die("out of memory");
    l->on = i;
    l->settings = *settings;
    l->settings.groups = prefix_copy(settings->groups);
    l->robustness = settings->robustness;
    l->query_interval_ms = settings->query_interval_ms;
    while (*end != NULL)
        end = &(*end)->next;
    *end = l;
    client_use(&igmp_client, i);
}

void igmp_do_without(const iface *i)
{
    igmp_link *l = link_of(i), **at = &igmp_links;
    if (l == NULL)
        return;
    client_do_without(&igmp_client, i);
    groups_drop(l);
    querier_update(l); /* ends its timers */
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    prefix_free(l->settings.groups);
    free(l->buckets);
    free(l);
}

void igmp_use_all(const igmp_named *list, unsigned count)
{
    igmp_link *next;
    for (igmp_link *l = igmp_links; l != NULL; l = next) {
        unsigned n = 0;
        next = l->next;
        while (n < count && list[n].on != l->on)
            n++;
        if (n == count)
            igmp_do_without(l->on);
    }
    for (unsigned n = 0; n < count; n++)
        igmp_use(list[n].on, &list[n].settings);
}

void igmp_start(DWORD component)
{
    static iface_listener listener = {.went = device_went, .changed = device_changed};
    igmp_client.component = component;
    if ((heard = packet_socket(IPPROTO_IGMP)) < 0)
        die("packet socket (it needs CAP_NET_RAW): %s", strerror(errno));
    querier_open();
    loop_watch(heard, packets_came, NULL);
    client_start(&igmp_client);
    iface_listen(&listener); /* after the client's: it has left when a device's groups are dropped */
}

void igmp_stop(void) { client_stop(&igmp_client); }

void igmp_print(void)
{
    for (const igmp_link *l = igmp_links; l != NULL; l = l->next) {
        log_line(LEVEL_INFO, "%s: %s, querier %s, %u groups, %llu reports, %llu queries sent, %llu bad packets", l->on->name,
                 !l->active ? "not active" : l->querier ? "querying" : "listening", ip_text(l->querier_address),
                 l->group_count, (unsigned long long)l->reports, (unsigned long long)l->queries,
                 (unsigned long long)l->bad_packets);
        for (unsigned n = 0; n < l->bucket_count; n++)
            for (const igmp_group *g = l->buckets[n]; g != NULL; g = g->next) {
                log_line(LEVEL_INFO, "%s: %s %s, %u s%s", l->on->name, ip_text(g->address), g->exclude ? "EXCLUDE" : "INCLUDE",
                         (unsigned)(timer_left(&g->excluding) / 1000),
                         g->v1_host.set ? ", hosts of IGMPv1" : g->v2_host.set ? ", hosts of IGMPv2" : "");
                for (const igmp_source *s = g->sources; s != NULL; s = s->next)
                    log_line(LEVEL_INFO, "%s: %s source %s %s, %u s", l->on->name, ip_text(g->address), ip_text(s->address),
                             s->wanted.set ? "wanted" : "excluded", (unsigned)(timer_left(&s->wanted) / 1000));
            }
    }
}
