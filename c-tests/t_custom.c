/* A forwarding plane of the host's own: which of its functions is called when, with what, and what
 * comes of its refusals.
 * apart: no, the functions of a plane stay in the host. */
#include <mgm_host.h>

#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define ALL_ONES 0xffffffffu
#define JOIN MGM_JOIN_STATE_FLAG
#define REFUSED 31 /* a code of the host's own */

static char calls[2000];           /* what the plane was asked to do, a line each */
static DWORD refused_interface;    /* pfnAddInterface refuses this one, */
static DWORD refusal = REFUSED;    /* with this code */
static DWORD refuse_entries;       /* what pfnSetMfe gives */
static DWORD in_packets = 5;       /* what pfnGetMfeCounters tells */
static BOOL joins_meanwhile;       /* a joins 4 while pfnSetMfe runs next, and packets come */
static int watched = -1;           /* pfnSetMfe notes whether this descriptor is readable */
static DWORD inside_take, inside_read; /* what calls from inside pfnSetMfe gave */
static HANDLE a, b;                /* two routing protocols: a owns 1 and 3, b owns 2 */
static HANDLE leaves;              /* a third one, which goes while pfnAddInterface runs next */
static pthread_t joiner;
static int context, host_context;

static DWORD ip(int o1, int o2, int o3, int o4)
{
    BYTE octets[4];
    DWORD address;
    octets[0] = (BYTE)o1, octets[1] = (BYTE)o2, octets[2] = (BYTE)o3, octets[3] = (BYTE)o4;
    memcpy(&address, octets, sizeof address);
    return address;
}

static const char *text(DWORD address)
{
    static char texts[4][16];
    static int turn;
    BYTE o[4];
    memcpy(o, &address, sizeof o);
    turn = (turn + 1) % 4;
    snprintf(texts[turn], sizeof texts[turn], "%d.%d.%d.%d", o[0], o[1], o[2], o[3]);
    return texts[turn];
}

#define SOURCE ip(10, 0, 0, 9)
#define GROUP ip(239, 1, 1, 1)

static void note(const char *line)
{
    strncat(calls, line, sizeof calls - strlen(calls) - 1);
}

static void *leave_for_good(void *unused)
{
    CHECK_CODE(MgmDeRegisterMProtocol(leaves), NO_ERROR);
    leaves = NULL;
    return unused;
}

static DWORD add_interface(PVOID pv, DWORD index, DWORD next_hop)
{
    char line[64];
    pthread_t leaver;
    CHECK(pv == &context && next_hop == 0);
    snprintf(line, sizeof line, "add %u\n", (unsigned)index);
    note(line);
    if (leaves != NULL && CHECK(pthread_create(&leaver, NULL, leave_for_good, NULL) == 0))
        pthread_join(leaver, NULL);
    return index == refused_interface ? refusal : NO_ERROR;
}

static void remove_interface(PVOID pv, DWORD index, DWORD next_hop)
{
    char line[64];
    CHECK(pv == &context && next_hop == 0);
    snprintf(line, sizeof line, "remove %u\n", (unsigned)index);
    note(line);
}

static DWORD join(HANDLE who, DWORD index)
{
    return MgmAddGroupMembershipEntry(who, 0, 0, GROUP, ALL_ONES, index, 0, JOIN);
}

static void *join_4(void *unused)
{
    CHECK_CODE(join(a, 4), NO_ERROR);
    return unused;
}

/* The statistics of the entry, in `buffer`. */
static PMIB_IPMCAST_MFE_STATS statistics_in(BYTE *buffer, DWORD size)
{
    MIB_IPMCAST_MFE key;
    memset(&key, 0, sizeof key);
    key.dwSource = SOURCE;
    key.dwGroup = GROUP;
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0), NO_ERROR);
    return (PMIB_IPMCAST_MFE_STATS)(void *)buffer;
}

/* The entry has `count` outgoing interfaces within ten seconds. */
static BOOL comes_to(DWORD count)
{
    ULONGLONG buffer[64];
    const struct timespec pause = {0, 1000000};
    int n;
    for (n = 0; n < 10000; n++) {
        if (statistics_in((BYTE *)buffer, sizeof buffer)->ulNumOutIf == count)
            return TRUE;
        nanosleep(&pause, NULL);
    }
    return FALSE;
}

static BOOL is_readable(int fd)
{
    struct pollfd polled;
    polled.fd = fd;
    polled.events = POLLIN;
    return poll(&polled, 1, 0) == 1;
}

static DWORD set_mfe(PVOID pv, DWORD source, DWORD group, DWORD in, DWORD in_hop, DWORD count,
                     const MIB_IPMCAST_OIF *out)
{
    char line[200];
    DWORD i, size = 0, entries;
    CHECK(pv == &context && in_hop == 0);
    snprintf(line, sizeof line, "set %s %s in %u out", text(source), text(group), (unsigned)in);
    for (i = 0; i < count; i++) {
        size_t used = strlen(line);
        CHECK(out[i].dwNextHopAddr == 0 && out[i].dwReserved == 0 && out[i].dwReserved1 == 0);
        snprintf(line + used, sizeof line - used, " %u", (unsigned)out[i].dwOutIfIndex);
    }
    note(strcat(line, "\n"));
    if (watched >= 0)
        note(is_readable(watched) ? "readable\n" : "not readable\n");
    inside_take = MgmTakeInterfaceOwnership(a, 9, 0);
    inside_read = MgmGetFirstMfe(&size, NULL, &entries);
    if (joins_meanwhile) {
        joins_meanwhile = FALSE;
        CHECK_EQ(pthread_create(&joiner, NULL, join_4, NULL), 0);
        CHECK(comes_to(count + 1));
        in_packets += 100;
    }
    return refuse_entries;
}

static DWORD delete_mfe(PVOID pv, DWORD source, DWORD group)
{
    char line[64];
    CHECK(pv == &context);
    snprintf(line, sizeof line, "delete %s %s\n", text(source), text(group));
    note(line);
    return NO_ERROR;
}

static DWORD get_counters(PVOID pv, DWORD source, DWORD group, PMGM_MFE_COUNTERS counters)
{
    CHECK(pv == &context && source == SOURCE && group == GROUP);
    CHECK(counters->ulInPkts == 0 && counters->ulInOctets == 0);
    counters->ulInPkts = in_packets;
    counters->ulInOctets = 500;
    counters->ulPktsDifferentIf = 2;
    return NO_ERROR;
}

static DWORD route_by(PVOID pv, PVOID expected, DWORD source, PMGM_ROUTE route)
{
    CHECK(pv == expected && route->dwIfIndex == 0 && route->dwRouteMask == 0);
    if (source != SOURCE)
        return ERROR_NOT_FOUND;
    route->dwIfIndex = 1;
    route->dwUpStreamNbr = ip(10, 0, 0, 1);
    route->dwRouteProtocol = 13;
    route->dwRouteNetwork = ip(10, 0, 0, 0);
    route->dwRouteMask = ip(255, 255, 0, 0);
    return NO_ERROR;
}

static DWORD table_route(PVOID pv, DWORD source, PMGM_ROUTE route)
{
    return route_by(pv, &context, source, route);
}

static DWORD host_route(PVOID pv, DWORD source, PMGM_ROUTE route)
{
    return route_by(pv, &host_context, source, route);
}

static void stop(PVOID pv)
{
    CHECK(pv == &context);
    note("stop\n");
}

static MGM_HOST_FORWARDER whole_table(void)
{
    MGM_HOST_FORWARDER table;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    table.pvContext = &context;
    table.pfnAddInterface = add_interface;
    table.pfnRemoveInterface = remove_interface;
    table.pfnSetMfe = set_mfe;
    table.pfnDeleteMfe = delete_mfe;
    table.pfnGetMfeCounters = get_counters;
    table.pfnRoute = table_route;
    table.pfnStop = stop;
    return table;
}

static ULONGLONG now = 1000;

static ULONGLONG clock_read(PVOID pv)
{
    CHECK(pv == &host_context);
    return now;
}

static DWORD wrong_if_at, rpf_upstream, rpf_bits;

static DWORD on_wrong_if(DWORD source, DWORD group, DWORD index, DWORD next_hop, DWORD size,
                         PBYTE header)
{
    CHECK(source == SOURCE && group == GROUP && next_hop == 0 && size == 28); /* with its data */
    CHECK(memcmp(header + 12, &source, 4) == 0 && memcmp(header + 16, &group, 4) == 0);
    wrong_if_at = index;
    return NO_ERROR;
}

static DWORD on_rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                    PDWORD next_hop, PDWORD upstream, DWORD size, PBYTE header, PBYTE route)
{
    RTM_DEST_INFO info;
    memcpy(&info, route, sizeof info);
    CHECK(source == SOURCE && source_mask == ALL_ONES);
    CHECK(group == GROUP && group_mask == ALL_ONES);
    CHECK(*index == 1 && *next_hop == 0);
    /* With its data, or made where there was no packet. */
    CHECK((size == 28 || size == 20) && header[0] >> 4 == 4);
    CHECK(size == 20 || header[24] == 0x5a);
    /* Headers are read as 32-bit words. */
    CHECK((size_t)header % 4 == 0 && (size_t)route % sizeof(void *) == 0);
    CHECK(info.DestHandle == NULL && info.BelongsToViews == RTM_VIEW_MASK_MCAST);
    CHECK(info.NumberOfViews == 1 && info.ViewInfo[0].ViewId == RTM_VIEW_ID_MCAST);
    CHECK(info.ViewInfo[0].NumRoutes == 1);
    CHECK(info.DestAddress.AddressFamily == 2 && info.DestAddress.AddrBits[0] == 10);
    rpf_upstream = *upstream;
    rpf_bits = info.DestAddress.NumBits;
    /* Both are copies: writing to them harms nobody. */
    memset(header, 0xee, size);
    memset(route, 0xee, sizeof info);
    return NO_ERROR;
}

/* What the plane was asked since the last time. */
#define EXPECT_CALLS(expected)         \
    do {                               \
        CHECK_TEXT(calls, (expected)); \
        calls[0] = 0;                  \
    } while (0)

static void start(const MGM_HOST_FORWARDER *table, PMGM_HOST_ROUTE_CALLBACK route)
{
    MGM_HOST_CONFIG config;
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnRpfCallback = on_rpf;
    callbacks.pfnWrongIfCallback = on_wrong_if;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.dwLogLevel = MGM_LOG_OFF;
    config.pvContext = &host_context;
    config.pfnRoute = route;
    config.pfnClock = clock_read;
    config.pForwarder = table;
    calls[0] = 0;
    refused_interface = refuse_entries = 0;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 1, 1, &a), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 2, 1, &b), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(b, 2, 0), NO_ERROR);
}

static DWORD packet_on(DWORD index)
{
    BYTE packet[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17};
    DWORD source = SOURCE, group = GROUP;
    packet[24] = 0x5a;
    memcpy(packet + 12, &source, 4);
    memcpy(packet + 16, &group, 4);
    return MgmHostReceive(index, 0, packet, sizeof packet);
}

static DWORD leave(HANDLE who, DWORD index)
{
    return MgmDeleteGroupMembershipEntry(who, 0, 0, GROUP, ALL_ONES, index, 0, JOIN);
}

static void interfaces(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    DWORD protocol, component;
    start(&table, NULL);
    EXPECT_CALLS("add 1\nadd 2\n");
    refused_interface = 5;
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 5, 0), ERROR_CAN_NOT_COMPLETE);
    EXPECT_CALLS("add 5\n");
    CHECK_CODE(MgmGetProtocolOnInterface(5, 0, &protocol, &component), ERROR_NOT_FOUND);
    CHECK_CODE(MgmReleaseInterfaceOwnership(a, 5, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmReleaseInterfaceOwnership(b, 2, 0), NO_ERROR);
    EXPECT_CALLS("remove 2\n");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK(strstr(calls, "stop\n") != NULL);
}

/* The plane gives an interface up that in the end nobody took. */
static void c5_a_client_that_goes_while_it_takes_an_interface(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    ROUTING_PROTOCOL_CONFIG none;
    HANDLE client;
    start(&table, NULL);
    memset(&none, 0, sizeof none);
    CHECK_CODE(MgmRegisterMProtocol(&none, 300, 1, &client), NO_ERROR);
    calls[0] = 0;
    leaves = client;
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 6, 0), ERROR_INVALID_PARAMETER);
    EXPECT_CALLS("add 6\nremove 6\n");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void entries(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    start(&table, NULL);
    CHECK_CODE(join(b, 2), NO_ERROR);
    calls[0] = 0;
    CHECK_CODE(packet_on(1), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 2\n");
    CHECK(rpf_upstream == ip(10, 0, 0, 1) && rpf_bits == 16);
    /* A function of the forwarder's may read, and must not change. */
    CHECK_CODE(inside_take, ERROR_CAN_NOT_COMPLETE);
    CHECK(inside_read == ERROR_INSUFFICIENT_BUFFER || inside_read == ERROR_NO_MORE_ITEMS);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 3, 0), NO_ERROR);
    CHECK_CODE(join(a, 3), NO_ERROR);
    EXPECT_CALLS("add 3\nset 10.0.0.9 239.1.1.1 in 1 out 2 3\n");
    CHECK_CODE(leave(b, 2), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 3\n");
    CHECK_CODE(leave(a, 3), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out\n");
    /* Where the plane lost the entry it gets it again. */
    CHECK_CODE(packet_on(1), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out\n");
    CHECK_CODE(MgmReleaseInterfaceOwnership(a, 1, 0), NO_ERROR);
    EXPECT_CALLS("delete 10.0.0.9 239.1.1.1\nremove 1\n");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static DWORD on_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    char line[64];
    (void)source_mask, (void)group_mask;
    snprintf(line, sizeof line, "join %s %s %d\n", text(source), text(group), (int)member);
    note(line);
    return NO_ERROR;
}

static DWORD on_local_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                           DWORD index, DWORD next_hop)
{
    char line[64];
    (void)source, (void)source_mask, (void)group_mask, (void)next_hop;
    snprintf(line, sizeof line, "local join %s %u\n", text(group), (unsigned)index);
    note(line);
    return NO_ERROR;
}

/* A loop, which may be another process, is woken when the plane has the entry, and not before. */
static void h2_a_loop_is_woken_when_the_plane_has_the_entry(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE loop, igmp;
    start(&table, NULL);
    CHECK_CODE(MgmReleaseInterfaceOwnership(a, 1, 0), NO_ERROR);
    memset(&callbacks, 0, sizeof callbacks);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, MS_IP_IGMP, 1, &igmp), NO_ERROR);
    callbacks.dwCallbackFlags = MGM_DISPATCHED;
    callbacks.pfnJoinAlertCallback = on_join;
    callbacks.pfnLocalJoinCallback = on_local_join;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 3, 1, &loop), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(loop, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(loop, 3, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(igmp, 3, 0), NO_ERROR);
    CHECK_CODE(packet_on(1), NO_ERROR);
    CHECK_CODE(MgmHostDispatch(loop), NO_ERROR);
    CHECK_CODE(MgmHostGetClientFd(loop, &watched), NO_ERROR);
    CHECK(!is_readable(watched));
    calls[0] = 0;
    /* A member: the alert and the entry. */
    CHECK_CODE(join(igmp, 3), NO_ERROR);
    CHECK(is_readable(watched));
    CHECK_CODE(MgmHostDispatch(loop), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 3\nnot readable\nlocal join 239.1.1.1 3\n"
                 "join 10.0.0.9 239.1.1.1 0\n");
    CHECK_CODE(leave(igmp, 3), NO_ERROR);
    CHECK_CODE(MgmHostDispatch(loop), NO_ERROR);
    calls[0] = 0;
    /* The entry has its first outgoing interface. */
    CHECK_CODE(join(b, 2), NO_ERROR);
    CHECK(is_readable(watched));
    CHECK_CODE(MgmHostDispatch(loop), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 2\nnot readable\njoin 0.0.0.0 239.1.1.1 1\n"
                 "join 10.0.0.9 239.1.1.1 0\n");
    watched = -1;
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void statistics(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    MIB_IPMCAST_MFE key;
    MIB_IPMCAST_MFE_STATS stats;
    DWORD size = sizeof stats;
    memset(&key, 0, sizeof key);
    key.dwSource = SOURCE;
    key.dwGroup = GROUP;
    start(&table, NULL);
    CHECK_CODE(join(b, 2), NO_ERROR);
    CHECK_CODE(packet_on(1), NO_ERROR);
    CHECK_CODE(MgmGetMfeStats(&key, &size, (PBYTE)&stats, MGM_MFE_STATS_0), NO_ERROR);
    CHECK_EQ(stats.ulInPkts, 5);
    CHECK_EQ(stats.ulInOctets, 500);
    CHECK_EQ(stats.ulPktsDifferentIf, 2);
    CHECK_EQ(stats.ulNumOutIf, 1);
    CHECK_EQ(stats.dwRouteProtocol, 13);
    CHECK(stats.dwRouteNetwork == ip(10, 0, 0, 0) && stats.dwRouteMask == ip(255, 255, 0, 0));
    CHECK(stats.dwUpStrmNgbr == ip(10, 0, 0, 1));
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* Packets that came before the plane heard of an interface are none of that interface's. */
static void e13_an_interface_that_joins_while_another_is_added(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    ULONGLONG buffer[64];
    PMIB_IPMCAST_MFE_STATS stats;
    start(&table, NULL);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 3, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 4, 0), NO_ERROR);
    CHECK_CODE(join(b, 2), NO_ERROR);
    CHECK_CODE(packet_on(1), NO_ERROR);
    calls[0] = 0;
    joins_meanwhile = TRUE;
    CHECK_CODE(join(a, 3), NO_ERROR);
    CHECK_EQ(pthread_join(joiner, NULL), 0);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 2 3\nset 10.0.0.9 239.1.1.1 in 1 out 2 3 4\n");
    stats = statistics_in((BYTE *)buffer, sizeof buffer);
    CHECK_EQ(stats->ulInPkts, 105);
    CHECK_EQ(stats->ulNumOutIf, 3);
    CHECK_EQ(stats->rgmiosOutStats[0].ulOutPackets, 105);
    CHECK_EQ(stats->rgmiosOutStats[1].ulOutPackets, 100);
    CHECK_EQ(stats->rgmiosOutStats[2].ulOutPackets, 0);
    in_packets = 5;
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* The plane cannot tell which packets waited for an entry: up to 4 are taken to have. */
static void e8_up_to_four_packets_may_have_waited(void)
{
    static const char set[] = "set 10.0.0.9 239.1.1.1 in 1 out 2\n";
    static const char delete_[] = "delete 10.0.0.9 239.1.1.1\n";
    MGM_HOST_FORWARDER table = whole_table();
    DWORD packets;
    start(&table, NULL);
    CHECK_CODE(join(b, 2), NO_ERROR);
    calls[0] = 0;
    for (packets = 0; packets <= 5; packets++) {
        in_packets = packets;
        CHECK_CODE(packet_on(1), NO_ERROR);
        EXPECT_CALLS(set);
        now += 900000;
        CHECK_CODE(MgmHostRouteChanged(ip(10, 99, 0, 0), ALL_ONES), NO_ERROR);
        EXPECT_CALLS(packets <= 4 ? delete_ : set);
    }
    /* Later lifetimes know what came before. */
    in_packets = 6;
    now += 900000;
    CHECK_CODE(MgmHostRouteChanged(ip(10, 99, 0, 0), ALL_ONES), NO_ERROR);
    EXPECT_CALLS(set);
    now += 900000;
    CHECK_CODE(MgmHostRouteChanged(ip(10, 99, 0, 0), ALL_ONES), NO_ERROR);
    EXPECT_CALLS(delete_);
    in_packets = 5;
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void wrong_interface(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    start(&table, NULL);
    CHECK_CODE(join(b, 2), NO_ERROR);
    CHECK_CODE(packet_on(1), NO_ERROR);
    wrong_if_at = 0;
    CHECK_CODE(packet_on(1), NO_ERROR);
    CHECK_EQ(wrong_if_at, 0);
    CHECK_CODE(packet_on(2), NO_ERROR);
    CHECK_EQ(wrong_if_at, 2);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* What the host does not give. */
static void least_table(void)
{
    MGM_HOST_FORWARDER table;
    MIB_IPMCAST_MFE key;
    MIB_IPMCAST_MFE_STATS_EX stats;
    DWORD size = sizeof stats;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    table.pvContext = &context;
    table.pfnSetMfe = set_mfe;
    table.pfnDeleteMfe = delete_mfe;
    memset(&key, 0, sizeof key);
    key.dwSource = SOURCE;
    key.dwGroup = GROUP;
    start(&table, host_route);
    CHECK_CODE(join(b, 2), NO_ERROR);
    CHECK_CODE(packet_on(2), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 2\n");
    CHECK_CODE(MgmGetMfeStats(&key, &size, (PBYTE)&stats, MGM_MFE_STATS_1), NO_ERROR);
    CHECK_EQ(stats.ulInPkts, 0);
    CHECK_EQ(stats.ulTotalOutPackets, 0);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    /* No route look-up at all: the source is where its packet came from. */
    start(&table, NULL);
    CHECK_CODE(join(b, 2), NO_ERROR);
    CHECK_CODE(packet_on(1), NO_ERROR);
    EXPECT_CALLS("set 10.0.0.9 239.1.1.1 in 1 out 2\n");
    CHECK(rpf_upstream == SOURCE && rpf_bits == 32);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* A plane without memory has not refused: that is another code of the take's. */
static void a4_a_plane_without_memory(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    DWORD protocol, component;
    start(&table, NULL);
    refused_interface = 5;
    refusal = ERROR_NOT_ENOUGH_MEMORY;
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 5, 0), ERROR_NOT_ENOUGH_MEMORY);
    CHECK_CODE(MgmGetProtocolOnInterface(5, 0, &protocol, &component), ERROR_NOT_FOUND);
    refusal = REFUSED;
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 5, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* A plane that refuses an entry does not keep the group manager from going on. */
static void refused_entries(void)
{
    MGM_HOST_FORWARDER table = whole_table();
    start(&table, NULL);
    CHECK_CODE(join(b, 2), NO_ERROR);
    refuse_entries = REFUSED;
    CHECK_CODE(packet_on(1), NO_ERROR);
    CHECK(strstr(calls, "set 10.0.0.9 239.1.1.1 in 1 out 2\n") != NULL);
    calls[0] = 0;
    refuse_entries = NO_ERROR;
    CHECK_CODE(packet_on(1), NO_ERROR);
    CHECK(strstr(calls, "set 10.0.0.9 239.1.1.1 in 1 out 2\n") != NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

int main(void)
{
    RUN(interfaces);
    RUN(a4_a_plane_without_memory);
    RUN(c5_a_client_that_goes_while_it_takes_an_interface);
    RUN(entries);
    RUN(h2_a_loop_is_woken_when_the_plane_has_the_entry);
    RUN(statistics);
    RUN(e13_an_interface_that_joins_while_another_is_added);
    RUN(e8_up_to_four_packets_may_have_waited);
    RUN(wrong_interface);
    RUN(least_table);
    RUN(refused_entries);
    return check_summary();
}
