/* The proxy as a client of the group manager, with IGMP beside it, on the memory forwarder and a clock of its own: which flows go
 * where, and what is asked for upstream (RFC 4605 sections 4.1 and 4.2). Ends with "N passed, N failed". */
#include "../common/net.h"
#include "../igmp/link.h"
#include "../proxy/host.h"
#include "../proxy/proxy.h"
#include "sim_clock.h"
#include "unit.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>

/* ---- the loop ---- */

static struct { int fd; void (*ready)(void *with, short events); void *with; } watched[8];

void loop_watch(int fd, void (*ready)(void *with, short events), void *with)
{
    for (unsigned n = 0; n < 8; n++)
        if (watched[n].ready == NULL) {
            watched[n].fd = fd, watched[n].ready = ready, watched[n].with = with;
            return;
        }
}
void loop_unwatch(int fd)
{
    for (unsigned n = 0; n < 8; n++)
        if (watched[n].fd == fd)
            watched[n].ready = NULL;
}

/* Lets both clients hear what there is, and the time pass that a change takes to be reported. */
static void pass(unsigned ms)
{
    bool any = true;
    while (any) {
        any = false;
        for (unsigned n = 0; n < 8; n++) {
            struct pollfd polled = {.fd = watched[n].fd, .events = POLLIN};
            if (watched[n].ready == NULL || poll(&polled, 1, 0) != 1)
                continue;
            any = true;
            watched[n].ready(watched[n].with, polled.revents);
        }
    }
    sim_run(ms);
}

/* ---- the wire (linked with --wrap) ---- */

static char said[1024]; /* "TO_EX 1 ": the records that went upstream */


/* Sockets: IGMP's two, then the proxy's. What was put into `packet` comes out of the proxy's. */
static int pipes[8][2];
static unsigned pipe_count;
static struct { uint8_t octets[128]; size_t size; unsigned index; } packet;

int __wrap_packet_socket(uint8_t protocol);
int __wrap_packet_socket(uint8_t protocol)
{
    (void)protocol;
    return pipe_count < 8 && pipe(pipes[pipe_count]) == 0 ? pipes[pipe_count++][0] : -1;
}
long __wrap_packet_read(int fd, uint8_t *buffer, size_t size, unsigned *index);
long __wrap_packet_read(int fd, uint8_t *buffer, size_t size, unsigned *index)
{
    size_t length = packet.size;
    if (length == 0 || size < length || read(fd, buffer, 1) != 1)
        return -1;
    memcpy(buffer, packet.octets, length);
    *index = packet.index;
    packet.size = 0;
    return (long)length;
}

/* Devices that go and come: whoever listens is told here. */
static iface_listener *listeners[4];
static unsigned listener_count;
void __wrap_iface_listen(iface_listener *listener);
void __wrap_iface_listen(iface_listener *listener) { listeners[listener_count++] = listener; }
int __wrap_raw_socket(uint8_t protocol, bool router_alert);
int __wrap_raw_socket(uint8_t protocol, bool router_alert) { return (void)router_alert, __wrap_packet_socket(protocol); }
bool __wrap_packet_hear_only(int fd, unsigned index);
bool __wrap_packet_hear_only(int fd, unsigned index) { return (void)fd, index != 0; }

bool __wrap_raw_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size);
bool __wrap_raw_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size)
{
    static const char *const types[] = {"", "IS_IN", "IS_EX", "TO_IN", "TO_EX", "ALLOW", "BLOCK"};
    igmp_message m;
    igmp_record r;
    (void)fd, (void)source, (void)to;
    CHECK(igmp_parse(data, size, &m) == NULL);
    if (m.type == IGMP_QUERY)
        return true;
    CHECK(strcmp(i->name, "up") == 0);
    while (m.type == IGMP_V3_REPORT && igmp_next_record(&m, &r)) {
        size_t at = strlen(said);
        if (at + 64 > sizeof said)
            break;
        at += (size_t)sprintf(said + at, "%s %u", types[r.type], ((const uint8_t *)&r.group)[3]);
        for (unsigned n = 0; n < r.count && n < 8; n++)
            at += (size_t)sprintf(said + at, "%c%u", n ? ',' : '/', r.sources[4 * n + 3]);
        strcat(said, " ");
    }
    return true;
}
static void said_is(const char *expected, int line)
{
    pass(1000);
    if (strcmp(said, expected) != 0) {
        printf("    line %d: \"%s\" instead of \"%s\"\n", line, said, expected);
        unit_wrong++;
    }
    said[0] = 0;
}
#define SAID(expected) said_is(expected, __LINE__)

/* ---- interfaces, members, packets ---- */

static iface *up, *down[3];
static igmp_settings settings;
static HANDLE other; /* another protocol, on interface 9 */

static uint32_t ip(const char *text)
{
    uint32_t address = 0;
    CHECK(parse_address(text, &address));
    return address;
}

static igmp_link *link_on(unsigned n)
{
    igmp_link *l = igmp_links;
    while (l != NULL && l->on != down[n])
        l = l->next;
    return l;
}

/* A host on a downstream link; sources are 10.0.0.N, 0: none. */
static void report(unsigned n, enum igmp_record_type type, const char *group, unsigned source)
{
    uint8_t octets[4];
    igmp_record r = {.type = type, .group = ip(group), .count = source != 0, .sources = octets};
    put_address(octets, htonl(0x0a000000u + source));
    group_record(link_on(n), &r);
    pass(0);
}

/* Downstream are the first so many, and those that `which` has bits for. */
static void use(unsigned which, const prefix_rule *sources)
{
    igmp_named list[3];
    unsigned count = 0;
    for (unsigned n = 0; n < 3; n++)
        if (which >> n & 1)
            list[count++] = (igmp_named){.on = down[n], .settings = settings};
    proxy_set_sources(sources);
    igmp_use_all(list, count);
    proxy_use_downstream(list, count);
    pass(0);
}

/* "1,3" for a packet of 10.0.0.N to the group that comes in on an interface: where its flow goes. */
static const char *to(unsigned index, unsigned source, const char *group)
{
    static char text[64];
    uint32_t octets_of_group = ip(group);
    BYTE octets[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17, 0, 0, 10, 0, 0, (BYTE)source};
    DWORD record[128], size = sizeof record;
    PMIB_IPMCAST_MFE mfe = (PMIB_IPMCAST_MFE)record;
    memcpy(octets + 16, &octets_of_group, 4);
    put16(octets + 10, ip_checksum(octets, 20));
    CHECK(MgmHostReceive(index, 0, octets, sizeof octets) == NO_ERROR);
    pass(0);
    memset(record, 0, sizeof record);
    mfe->dwSource = htonl(0x0a000000u + source);
    mfe->dwGroup = octets_of_group;
    text[0] = 0;
    if (MgmGetMfe(mfe, &size, (PBYTE)record) != NO_ERROR)
        return "no entry";
    for (ULONG n = 0; n < mfe->ulNumOutIf; n++)
        sprintf(text + strlen(text), "%s%u", n ? "," : "", (unsigned)mfe->rgmioOutInfo[n].dwOutIfIndex);
    return text;
}
static void goes_to(const char *is, const char *expected, int line)
{
    if (strcmp(is, expected) != 0) {
        printf("    line %d: to \"%s\" instead of \"%s\"\n", line, is, expected);
        unit_wrong++;
    }
}
#define GOES(index, source, group, expected) goes_to(to(index, source, group), expected, __LINE__)

/* What the other protocol hears of members: "join 1 prune 1 ". */
static char alerts[256];
static DWORD join_alert(DWORD source, DWORD source_mask, DWORD of_group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group_mask;
    if (member)
        sprintf(alerts + strlen(alerts), "join %u ", ((const uint8_t *)&of_group)[3]);
    return NO_ERROR;
}
static DWORD prune_alert(DWORD source, DWORD source_mask, DWORD of_group, DWORD group_mask, DWORD index, DWORD next_hop, BOOL member,
                         PDWORD timeout)
{
    (void)source, (void)source_mask, (void)group_mask, (void)index, (void)next_hop, (void)timeout;
    if (member)
        sprintf(alerts + strlen(alerts), "prune %u ", ((const uint8_t *)&of_group)[3]);
    return NO_ERROR;
}

static DWORD membership(bool join, const char *group, uint32_t source)
{
    return (join ? MgmAddGroupMembershipEntry : MgmDeleteGroupMembershipEntry)(
        other, source, source ? ALL_ONES : 0, ip(group), ALL_ONES, 9, 0, MGM_JOIN_STATE_FLAG);
}

static unsigned rows(void)
{
    SOURCE_GROUP_ENTRY all[64];
    DWORD size = sizeof all, count = 0;
    HANDLE list;
    CHECK(MgmGroupEnumerationStart(other, ALL_SOURCES, &list) == NO_ERROR);
    CHECK(MgmGroupEnumerationGetNext(list, &size, (PBYTE)all, &count) == ERROR_NO_MORE_ITEMS);
    MgmGroupEnumerationEnd(list);
    return count;
}

/* ---- tests ---- */

/* What was held before the proxy came: 7 by another protocol, 10 by IGMP, which does not tell that it was its. So the list is looked
 * at again when a member has left. */
static void what_was_there_before(void)
{
    SAID("TO_EX 10 TO_EX 7 TO_EX 7 TO_EX 10 ");
    CHECK(membership(false, "239.1.1.7", 0) == NO_ERROR);
    SAID("TO_IN 7 TO_IN 7 ");
    report(0, TO_IN, "239.1.1.10", 0);
    sim_run(2000);
    SAID("TO_IN 10 TO_IN 10 ");
}

/* Other protocols hear of members downstream, since the proxy holds their memberships as well. */
static void others_hear_of_members(void)
{
    alerts[0] = 0;
    report(0, IS_EX, "239.1.1.12", 0);
    CHECK(strcmp(alerts, "join 12 ") == 0);
    report(0, TO_IN, "239.1.1.12", 0);
    sim_run(3000), pass(1000);
    CHECK(strcmp(alerts, "join 12 prune 12 ") == 0);
    said[0] = 0;
}

/* A general query, as it comes over the wire. */
static void query(unsigned index, uint32_t source, uint8_t ttl, bool sound)
{
    const igmp_query general = {.version = 3, .max_response_ms = 100, .robustness = 2, .interval_s = 125};
    uint8_t *at = packet.octets;
    size_t size = igmp_write_query(at + 20, &general, NULL, 0);
    memset(at, 0, 20);
    at[0] = 0x45, at[3] = (uint8_t)(20 + size), at[8] = ttl, at[9] = 2;
    put_address(at + 12, source), put_address(at + 16, htonl(0xe0000001));
    put16(at + 10, ip_checksum(at, 20));
    at[21] ^= !sound; /* the checksum does not fit */
    packet.size = 20 + size, packet.index = index;
    CHECK(write(pipes[2][1], "x", 1) == 1);
    pass(1000);
    CHECK(packet.size == 0);
}

static void queries_upstream(void)
{
    report(0, IS_EX, "239.1.1.1", 0), SAID("TO_EX 1 TO_EX 1 ");
    query(1, ip("10.0.1.9"), 1, true), SAID("IS_EX 1 ");
    query(1, ip("10.0.1.9"), 2, true), SAID("");
    query(1, up->address, 1, true), SAID("");
    query(2, ip("10.0.1.9"), 1, true), SAID("");
    query(1, ip("10.0.1.9"), 1, false), SAID("");
}

static void device(iface *i, unsigned index)
{
    if (index == 0) {
        i->up = false;
        for (unsigned n = 0; n < listener_count; n++)
            if (listeners[n]->went != NULL)
                listeners[n]->went(i);
    }
    i->index = index, i->up = index != 0;
    for (unsigned n = 0; n < listener_count && index != 0; n++)
        if (listeners[n]->came != NULL)
            listeners[n]->came(i);
    pass(0);
}

static void the_device_upstream_goes_and_comes(void)
{
    device(up, 0);
    report(1, IS_EX, "239.1.1.2", 0), SAID("");
    device(up, 11);
    SAID("TO_EX 1 TO_EX 2 TO_EX 2 TO_EX 1 ");
    GOES(11, 35, "239.1.1.2", "3"); /* without a route: what comes in upstream is allowed */
    query(1, ip("10.0.1.9"), 1, true), SAID("");
    query(11, ip("10.0.1.9"), 1, true);
    CHECK(strlen(said) == strlen("IS_EX 2 IS_EX 1 "));
    said[0] = 0;
    device(up, 0), device(up, 1);
    pass(1000), said[0] = 0;
    /* One downstream: its members go with it. */
    device(down[1], 0);
    SAID("TO_IN 2 TO_IN 2 ");
    device(down[1], 3);
    report(1, IS_EX, "239.1.1.2", 0), SAID("TO_EX 2 TO_EX 2 ");
    report(0, TO_IN, "239.1.1.1", 0), report(1, TO_IN, "239.1.1.2", 0);
    sim_run(3000), pass(1000), said[0] = 0;
}

static void members_downstream(void)
{
    report(0, IS_EX, "239.1.1.1", 0), SAID("TO_EX 1 TO_EX 1 ");
    GOES(1, 9, "239.1.1.1", "2");
    report(1, IS_EX, "239.1.1.1", 0), SAID("");
    GOES(1, 9, "239.1.1.1", "2,3");
    report(0, TO_IN, "239.1.1.1", 0), SAID("");
    sim_run(3000), pass(0);
    GOES(1, 9, "239.1.1.1", "3");
    SAID("");
    report(1, TO_IN, "239.1.1.1", 0);
    sim_run(3000), SAID("TO_IN 1 TO_IN 1 ");
    GOES(1, 9, "239.1.1.1", "");
    report(0, ALLOW, "239.1.1.2", 8), SAID("ALLOW 2/8 ALLOW 2/8 ");
    GOES(1, 8, "239.1.1.2", "2");
    GOES(1, 9, "239.1.1.2", "");
    report(0, BLOCK, "239.1.1.2", 8);
    sim_run(3000), SAID("BLOCK 2/8 BLOCK 2/8 ");
}

/* Members on another protocol's interface. */
static void others_members(void)
{
    CHECK(membership(true, "239.1.1.3", 0) == NO_ERROR);
    SAID("TO_EX 3 TO_EX 3 ");
    GOES(1, 9, "239.1.1.3", "9");
    CHECK(membership(true, "239.1.1.3", htonl(0x0a000009)) == NO_ERROR);
    SAID("");
    CHECK(membership(false, "239.1.1.3", 0) == NO_ERROR);
    SAID("TO_IN 3/9 TO_IN 3/9 ");
    CHECK(membership(false, "239.1.1.3", htonl(0x0a000009)) == NO_ERROR);
    SAID("BLOCK 3/9 BLOCK 3/9 ");
    /* All groups: there is no way to ask for these. */
    CHECK(MgmAddGroupMembershipEntry(other, 0, 0, 0, 0, 9, 0, MGM_JOIN_STATE_FLAG) == NO_ERROR);
    SAID("");
    CHECK(MgmDeleteGroupMembershipEntry(other, 0, 0, 0, 0, 9, 0, MGM_JOIN_STATE_FLAG) == NO_ERROR);
    SAID("");
}

/* RFC 4605 section 4.2: packets of a downstream source go upstream, and to members on the other links; for as long as there is an
 * entry. */
static void sources_downstream(void)
{
    report(1, IS_EX, "239.1.1.4", 0), said[0] = 0;
    GOES(2, 20, "239.1.1.4", "1,3");
    GOES(2, 21, "239.1.1.5", "1");
    GOES(2, 22, "239.1.1.5", "1"); /* each flow for itself */
    GOES(2, 22, "239.1.1.8", "1");
    pass(1000), said[0] = 0;
    unsigned before = rows();
    sim_run(31000), pass(0);
    CHECK(rows() == before);
    use(2, NULL); /* the entries go with their interface */
    sim_run(31000), pass(0);
    CHECK(rows() == before - 4);
    use(3, NULL);
    report(1, TO_IN, "239.1.1.4", 0);
    sim_run(3000), pass(1000), said[0] = 0;
}

/* Without a route over the proxy's interfaces the list of sources decides. */
static void sources_that_are_allowed(void)
{
    prefix_rule *list = NULL;
    report(0, IS_EX, "239.1.1.1", 0), SAID("TO_EX 1 TO_EX 1 ");
    GOES(1, 30, "239.1.1.1", "2");
    GOES(3, 31, "239.1.1.1", ""); /* from downstream: no */
    CHECK(prefix_add(&list, "10.0.0.33", false) && prefix_add(&list, "10.0.0.32/28", true));
    use(3, list);
    GOES(1, 30, "239.1.1.1", ""); /* asked about anew */
    GOES(1, 33, "239.1.1.1", "");
    GOES(1, 34, "239.1.1.1", "2");
    GOES(3, 35, "239.1.1.1", "1,2");
    SAID("");
    use(3, NULL);
    GOES(1, 30, "239.1.1.1", "2");
    prefix_free(list);
    report(0, TO_IN, "239.1.1.1", 0);
    sim_run(3000), SAID("TO_IN 1 TO_IN 1 ");
}

/* Sources that all hosts of a link exclude are kept from it. */
static void excluded_sources(void)
{
    report(0, IS_EX, "239.1.1.6", 40), SAID("TO_EX 6 TO_EX 6 ");
    report(1, IS_EX, "239.1.1.6", 0), SAID("");
    GOES(1, 40, "239.1.1.6", "3");
    GOES(1, 41, "239.1.1.6", "2,3");
    report(0, ALLOW, "239.1.1.6", 40);
    GOES(1, 40, "239.1.1.6", "2,3");
    report(0, BLOCK, "239.1.1.6", 40);
    sim_run(3000), pass(0);
    GOES(1, 40, "239.1.1.6", "3");
    /* Where the flow is there before the member. */
    GOES(1, 44, "239.1.1.11", "");
    report(0, IS_EX, "239.1.1.11", 44);
    GOES(1, 44, "239.1.1.11", "");
    GOES(1, 45, "239.1.1.11", "2");
    report(0, TO_IN, "239.1.1.11", 0);
    /* A new member for any source lets it out on its own link alone. */
    report(1, TO_IN, "239.1.1.6", 0);
    sim_run(3000), pass(0);
    GOES(1, 40, "239.1.1.6", "");
    report(1, IS_EX, "239.1.1.6", 0);
    GOES(1, 40, "239.1.1.6", "3");
    report(0, IS_EX, "239.1.1.6", 0);
    GOES(1, 40, "239.1.1.6", "2,3");
    report(0, TO_IN, "239.1.1.6", 0), report(1, TO_IN, "239.1.1.6", 0);
    sim_run(3000), pass(1000), said[0] = 0;
}

static void links_come_and_go(void)
{
    DWORD owner, component;
    report(0, IS_EX, "239.1.1.1", 0), report(1, IS_EX, "239.1.1.2", 0), SAID("TO_EX 1 TO_EX 2 TO_EX 1 TO_EX 2 ");
    use(6, NULL); /* the first goes, the third comes */
    SAID("TO_IN 1 TO_IN 1 ");
    CHECK(MgmGetProtocolOnInterface(2, 0, &owner, &component) == ERROR_NOT_FOUND);
    CHECK(MgmGetProtocolOnInterface(4, 0, &owner, &component) == NO_ERROR && owner == PROTOCOL_ID(PROTO_TYPE_MCAST, PROTO_VENDOR_MS2, 0x5058));
    report(2, IS_EX, "239.1.1.3", 0), SAID("TO_EX 3 TO_EX 3 ");
    GOES(1, 50, "239.1.1.3", "4");
    GOES(1, 50, "239.1.1.2", "3");
    use(7, NULL); /* each in a place of its own */
    report(0, IS_EX, "239.1.1.2", 0), SAID("");
    use(5, NULL);
    SAID("");
    GOES(1, 51, "239.1.1.2", "2");
    use(4, NULL);
    SAID("TO_IN 2 TO_IN 2 ");
    use(3, NULL);
    SAID("TO_IN 3 TO_IN 3 ");
}

static void the_end(void)
{
    report(0, IS_EX, "239.1.1.1", 0), SAID("TO_EX 1 TO_EX 1 ");
    proxy_stop();
    CHECK(strcmp(said, "TO_IN 1 ") == 0);
    said[0] = 0;
}

/* To 10.0.0.20 to .29 by interface 2, to .30 to .39 none, to all others upstream. */
static DWORD route_to(PVOID context, DWORD source, PMGM_ROUTE route)
{
    unsigned last = ((const uint8_t *)&source)[3];
    (void)context;
    if (last / 10 == 3)
        return ERROR_NOT_FOUND;
    route->dwIfIndex = last / 10 == 2 ? 2 : 1;
    route->dwUpStreamNbr = source;
    route->dwRouteNetwork = source;
    route->dwRouteMask = ALL_ONES;
    return NO_ERROR;
}

static iface *made(const char *name, unsigned index)
{
    iface *i = iface_named(name);
    CHECK(i != NULL);
    i->index = index, i->up = true, i->mtu = 1500, i->address = htonl(0x0a000001u + (index << 8));
    i->nets[i->net_count++] = (iface_net){i->address, htonl(0x0a000000u + (index << 8)), htonl(0xffffff00)};
    return i;
}

int main(void)
{
    MGM_HOST_CONFIG config = {.dwSize = sizeof config, .dwLogLevel = MGM_LOG_OFF, .pfnRoute = route_to};
    ROUTING_PROTOCOL_CONFIG callbacks = {.pfnJoinAlertCallback = join_alert, .pfnPruneAlertCallback = prune_alert};
    log_level = LEVEL_OFF;
    settings = igmp_defaults;
    host_settings_used.unsolicited_interval_ms = 20;
    up = made("up", 1);
    for (unsigned n = 0; n < 3; n++)
        down[n] = made(n == 0 ? "down0" : n == 1 ? "down1" : "down2", n + 2);
    if (MgmHostStart(&config) != NO_ERROR ||
        MgmRegisterMProtocol(&callbacks, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 1), 1, &other) != NO_ERROR ||
        MgmTakeInterfaceOwnership(other, 9, 0) != NO_ERROR)
        return 1;
    CHECK(membership(true, "239.1.1.7", 0) == NO_ERROR);
    proxy_upstream(up);
    use(3, NULL);
    igmp_start(1);
    report(0, IS_EX, "239.1.1.10", 0);
    proxy_start(1);
    RUN(what_was_there_before);
    RUN(others_hear_of_members);
    RUN(queries_upstream);
    RUN(the_device_upstream_goes_and_comes);
    RUN(members_downstream);
    RUN(others_members);
    RUN(sources_downstream);
    RUN(sources_that_are_allowed);
    RUN(excluded_sources);
    RUN(links_come_and_go);
    RUN(the_end);
    igmp_stop();
    return unit_end();
}
