/* Who asks, and when: RFC 3376 sections 6.1, 6.6.1, 6.6.2 and 7.3.1. */
#include "link.h"
#include "../common/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static int queries = -1;

void querier_open(void)
{
    if ((queries = raw_socket(IPPROTO_IGMP, true)) < 0)
        die("raw IGMP socket (it needs CAP_NET_RAW): %s", strerror(errno));
}

unsigned link_membership_ms(const igmp_link *l)
{
    return l->robustness * l->query_interval_ms + l->settings.response_interval_ms;
}

unsigned link_last_member_count(const igmp_link *l)
{
    return l->settings.last_member_count ? l->settings.last_member_count : l->robustness;
}

unsigned link_last_member_ms(const igmp_link *l)
{
    return link_last_member_count(l) * l->settings.last_member_interval_ms;
}

void querier_ask(igmp_link *l, uint32_t group, bool suppress, const uint32_t *sources, unsigned count)
{
    static log_limit limit;
    uint8_t message[12 + 4 * 512];
    igmp_query query = {
        .version = l->settings.version,
        .group = group,
        .max_response_ms = group ? l->settings.last_member_interval_ms : l->settings.response_interval_ms,
        .robustness = l->robustness,
        .interval_s = l->query_interval_ms / 1000,
        .suppress = suppress,
    };
    /* 24 octets of IP with router alert and 12 of IGMP go before the sources. */
    unsigned fit = l->on->mtu < 100 ? 16 : (l->on->mtu - 36) / 4, at = 0;
    if (fit > 512)
        fit = 512;
    do {
        unsigned part = count - at < fit ? count - at : fit;
        size_t size = igmp_write_query(message, &query, part ? sources + at : NULL, part);
        if (!raw_send(queries, l->on, 0, group ? group : htonl(INADDR_ALLHOSTS_GROUP), message, size))
            log_limited(&limit, LEVEL_WARN, "%s: sending a query: %s", l->on->name, strerror(errno));
        l->queries++;
        at += part;
    } while (at < count);
}

/* ---- general queries ----------------------------------------------------------------------------------- */

static void query_now(void *with)
{
    igmp_link *l = with;
    unsigned startup = l->settings.startup_interval_ms ? l->settings.startup_interval_ms : l->query_interval_ms / 4;
    querier_ask(l, 0, false, NULL, 0);
    if (l->startup_left > 0)
        l->startup_left--;
    timer_set(&l->query, l->startup_left > 0 ? startup : l->query_interval_ms);
}

static void become_querier(igmp_link *l, bool startup)
{
    l->querier = true;
    l->querier_address = l->on->address;
    l->robustness = l->settings.robustness;
    l->query_interval_ms = l->settings.query_interval_ms;
    l->startup_left = !startup ? 0 : l->settings.startup_count ? l->settings.startup_count : l->robustness;
    timer_clear(&l->other_querier);
    log_info("%s: querier, as %s", l->on->name, ip_text(l->on->address));
    query_now(l);
    if (l->settings.querier_only)
        tell_all(l, false);
}

static void other_is_silent(void *with)
{
    igmp_link *l = with;
    log_info("%s: the querier %s has fallen silent", l->on->name, ip_text(l->querier_address));
    become_querier(l, false);
}

void querier_update(igmp_link *l)
{
    bool active = client_has(&igmp_client, l->on) && l->on->up && l->on->address != 0;
    if (l->query.run == NULL) {
        timer_init(&l->query, query_now, l);
        timer_init(&l->other_querier, other_is_silent, l);
    }
    if (active && (!l->active || (l->querier && l->querier_address != l->on->address))) {
        become_querier(l, true);
    } else if (!active && l->active) {
        timer_clear(&l->query);
        timer_clear(&l->other_querier);
        l->querier = false;
    }
    l->active = active;
}

void querier_set(igmp_link *l)
{
    const igmp_settings *s = &l->settings;
    bool same = l->robustness == s->robustness && l->query_interval_ms == s->query_interval_ms;
    if (l->querier && l->active && !same) /* as after a start: the other routers and the hosts are to know soon */
        become_querier(l, true);
}

/* ---- other routers' queries ------------------------------------------------------------------------------ */

void querier_heard(igmp_link *l, uint32_t from, const igmp_message *query)
{
    static log_limit other_version;
    bool elected;
    if (!l->active)
        return;
    if (query->version != l->settings.version)
        log_limited(&other_version, LEVEL_WARN,
                    "%s: %s asks in IGMPv%u and this router in IGMPv%u: all routers of a link must be set to the same version",
                    l->on->name, ip_text(from), query->version, l->settings.version);
    elected = from != 0 && ntohl(from) < ntohl(l->on->address);
    if (elected) {
        bool was = l->querier;
        if (l->querier || l->querier_address != from)
            log_info("%s: %s is the querier", l->on->name, ip_text(from));
        l->querier = false;
        if (was && l->settings.querier_only)
            tell_all(l, false);
        l->querier_address = from;
        timer_clear(&l->query);
        l->robustness = query->robustness ? query->robustness : l->settings.robustness;
        l->query_interval_ms = query->interval_s ? query->interval_s * 1000 : l->settings.query_interval_ms;
        timer_set(&l->other_querier, l->robustness * l->query_interval_ms + l->settings.response_interval_ms / 2);
    }
    if (query->group != 0 && !query->suppress)
        group_lower(l, query, link_last_member_count(l) * query->max_response_ms);
}
