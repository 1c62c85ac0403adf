/* Rules E11 to E13: reading forwarding entries and statistics. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_2_3[] = {2, 3, 0};

static MIB_IPMCAST_MFE key_of(const char *source, const char *group)
{
    MIB_IPMCAST_MFE key;
    memset(&key, 0, sizeof key);
    key.dwSource = ip(source);
    key.dwSrcMask = ALL_ONES;
    key.dwGroup = ip(group);
    return key;
}

/* Six entries. By numeric value of group, then source, they come as listed here; by bytes in
 * memory order or by text they would not. */
static const char *const flows[][2] = {
    {"10.1.0.200", "225.0.0.1"}, {"10.1.1.3", "225.0.0.1"},  {"10.1.0.9", "225.0.1.0"},
    {"10.1.0.10", "225.0.1.0"},  {"10.1.0.2", "239.0.0.1"},  {"10.1.0.2", "239.0.0.2"},
};
enum { FLOWS = sizeof flows / sizeof flows[0] };

/* Flow n of `flows` has n % 3 outgoing interfaces. */
static void six_entries(void)
{
    static const int order[FLOWS] = {3, 5, 0, 2, 4, 1};
    int n;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    for (n = 0; n < FLOWS; n++) {
        int f = order[n];
        if (f % 3 > 0)
            CHECK_CODE(add(&B, flows[f][0], flows[f][1], 2, JOIN), NO_ERROR);
        if (f % 3 > 1)
            CHECK_CODE(add(&B, flows[f][0], flows[f][1], 3, JOIN), NO_ERROR);
        CHECK_CODE(packet_in(1, flows[f][0], flows[f][1]), NO_ERROR);
    }
}

static DWORD record_size(int flow) { return SIZEOF_MIB_MFE((DWORD)(flow % 3)); }

/* Takes the record at `at` for the flow that is due, gives its size. */
static DWORD expect_flow(const BYTE *at, int flow)
{
    MIB_IPMCAST_MFE mfe;
    memcpy(&mfe, at, SIZEOF_BASIC_MIB_MFE);
    CHECK(flow < FLOWS);
    if (flow < FLOWS) {
        CHECK_EQ(mfe.dwSource, ip(flows[flow][0]));
        CHECK_EQ(mfe.dwGroup, ip(flows[flow][1]));
        CHECK_EQ(mfe.ulNumOutIf, (DWORD)(flow % 3));
    }
    return SIZEOF_MIB_MFE(mfe.ulNumOutIf);
}

static void e11_all_entries_in_order(void)
{
    BYTE buffer[1024];
    DWORD size = sizeof buffer, count = 99, n, at = 0;
    six_entries();
    CHECK_CODE(MgmGetFirstMfe(&size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(size, sizeof buffer);
    CHECK_EQ(count, FLOWS);
    for (n = 0; n < count && n < FLOWS; n++)
        at += expect_flow(buffer + at, (int)n);
    stop_host();
}

/* A buffer of every size from nothing to all: as many whole records as fit and nothing written
 * past the size. */
static void e11_buffers_of_every_size(void)
{
    BYTE buffer[1024];
    DWORD all = 0, room;
    int n;
    six_entries();
    for (n = 0; n < FLOWS; n++)
        all += record_size(n);
    for (room = 0; room <= all + 5; room++) {
        DWORD size = room, count = 99, fit = 0, used = 0, i, code;
        while (fit < FLOWS && used + record_size((int)fit) <= room)
            used += record_size((int)fit++);
        memset(buffer, 0xee, sizeof buffer);
        code = MgmGetFirstMfe(&size, buffer, &count);
        if (fit == 0) {
            CHECK_CODE(code, ERROR_INSUFFICIENT_BUFFER);
            CHECK_EQ(size, record_size(0));
            CHECK_EQ(count, 0);
        } else {
            CHECK_CODE(code, fit < FLOWS ? ERROR_MORE_DATA : ERROR_NO_MORE_ITEMS);
            CHECK_EQ(size, room);
            CHECK_EQ(count, fit);
        }
        for (i = used; i < sizeof buffer; i++)
            if (buffer[i] != 0xee)
                break;
        CHECK_EQ(i, sizeof buffer);
        if (check_wrong != 0)
            break;
    }
    stop_host();
}

static void e11_the_next_after_each(void)
{
    BYTE buffer[1024];
    int n;
    six_entries();
    for (n = 0; n < FLOWS; n++) {
        MIB_IPMCAST_MFE key = key_of(flows[n][0], flows[n][1]);
        DWORD size, count = 99;
        if (n + 1 < FLOWS) {
            size = record_size(n + 1) - 1;
            CHECK_CODE(MgmGetNextMfe(&key, &size, buffer, &count), ERROR_INSUFFICIENT_BUFFER);
            CHECK_EQ(size, record_size(n + 1));
            CHECK_EQ(count, 0);
            CHECK_CODE(MgmGetNextMfe(&key, &size, buffer, &count),
                       n + 2 < FLOWS ? ERROR_MORE_DATA : ERROR_NO_MORE_ITEMS);
            CHECK_EQ(count, 1);
            expect_flow(buffer, n + 1);
        } else {
            size = sizeof buffer;
            CHECK_CODE(MgmGetNextMfe(&key, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
            CHECK_EQ(count, 0);
        }
    }
    stop_host();
}

static void e11_next_after_a_key_that_is_not_there(void)
{
    BYTE buffer[1024];
    MIB_IPMCAST_MFE key = key_of("0.0.0.1", "225.0.1.0");
    DWORD size = sizeof buffer, count = 0;
    six_entries();
    CHECK_CODE(MgmGetNextMfe(&key, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 4);
    expect_flow(buffer, 2);
    /* Between two calls the entry that the first one ended with goes away. */
    size = record_size(0);
    CHECK_CODE(MgmGetFirstMfe(&size, buffer, &count), ERROR_MORE_DATA);
    memset(&key, 0, sizeof key);
    memcpy(&key, buffer, SIZEOF_BASIC_MIB_MFE);
    CHECK_CODE(release(&A, 1), NO_ERROR); /* all entries go */
    CHECK_CODE(take(&A, 1), NO_ERROR);
    CHECK_CODE(packet_in(1, flows[1][0], flows[1][1]), NO_ERROR);
    size = sizeof buffer;
    CHECK_CODE(MgmGetNextMfe(&key, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 1);
    expect_flow(buffer, 1);
    stop_host();
}

static void e11_nothing_there(void)
{
    BYTE buffer[256];
    MIB_IPMCAST_MFE key = key_of(S1, G1);
    DWORD size = sizeof buffer, count = 99;
    start_host();
    CHECK_CODE(MgmGetFirstMfe(&size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 0);
    count = 99;
    CHECK_CODE(MgmGetNextMfe(&key, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 0);
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), ERROR_NOT_FOUND);
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0), ERROR_NOT_FOUND);
    CHECK_CODE(MgmGetFirstMfeStats(&size, buffer, &count, MGM_MFE_STATS_1), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 0);
    CHECK_EQ(size, sizeof buffer);
    stop_host();
}

static void e11_one_entry(void)
{
    BYTE buffer[256];
    MIB_IPMCAST_MFE key = key_of("10.1.0.9", "225.0.1.0");
    DWORD size = 0;
    six_entries();
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), ERROR_INSUFFICIENT_BUFFER);
    CHECK_EQ(size, SIZEOF_MIB_MFE(2u));
    size--;
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), ERROR_INSUFFICIENT_BUFFER);
    CHECK_EQ(size, SIZEOF_MIB_MFE(2u));
    memset(buffer, 0xee, sizeof buffer);
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), NO_ERROR);
    CHECK_EQ(expect_flow(buffer, 2), size);
    CHECK_EQ(buffer[size], 0xee);
    key.dwGroup = ip("225.0.1.1");
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), ERROR_NOT_FOUND);
    stop_host();
}

static void e12_fields(void)
{
    MIB_IPMCAST_MFE mfe;
    start_host();
    enrol_with(&A, on_1);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(later(5), NO_ERROR);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.dwSource, ip(S1));
    CHECK_EQ(mfe.dwSrcMask, ALL_ONES);
    CHECK_EQ(mfe.dwGroup, ip(G1));
    CHECK_EQ(mfe.dwUpStrmNgbr, ip(S1));
    CHECK_EQ(mfe.dwInIfIndex, 1);
    CHECK_EQ(mfe.dwInIfProtocol, A.protocol);
    CHECK_EQ(mfe.dwRouteProtocol, 3);
    CHECK_EQ(mfe.dwRouteNetwork, ip("10.1.0.0"));
    CHECK_EQ(mfe.dwRouteMask, ip("255.255.0.0"));
    CHECK_EQ(mfe.ulUpTime, 5);
    CHECK_EQ(mfe.ulExpiryTime, 895);
    CHECK_EQ(mfe.ulTimeOut, 900);
    CHECK_EQ(mfe.ulNumOutIf, 0);
    CHECK_EQ(mfe.fFlags, 0);
    CHECK_EQ(mfe.dwReserved, 0);
    stop_host();
}

/* Forwards 2 packets to interface 2, then 3 to 2 and 3, and drops 4 from the wrong side. */
static void some_traffic(void)
{
    int n;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    for (n = 0; n < 2; n++)
        CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    for (n = 0; n < 3; n++)
        CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    for (n = 0; n < 4; n++)
        CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);
    CHECK_CODE(later(7), NO_ERROR);
}

static void e13_statistics(void)
{
    BYTE buffer[256];
    MIB_IPMCAST_MFE key = key_of(S1, G1);
    MIB_IPMCAST_MFE_STATS stats;
    MIB_IPMCAST_OIF_STATS oif[2];
    DWORD size = 0;
    some_traffic();
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0), ERROR_INSUFFICIENT_BUFFER);
    CHECK_EQ(size, SIZEOF_MIB_MFE_STATS(2u));
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0), NO_ERROR);
    memset(&stats, 0, sizeof stats);
    memcpy(&stats, buffer, SIZEOF_BASIC_MIB_MFE_STATS);
    memcpy(oif, buffer + SIZEOF_BASIC_MIB_MFE_STATS, sizeof oif);
    CHECK_EQ(stats.dwSource, ip(S1));
    CHECK_EQ(stats.dwGroup, ip(G1));
    CHECK_EQ(stats.dwInIfIndex, 1);
    CHECK_EQ(stats.dwInIfProtocol, A.protocol);
    CHECK_EQ(stats.ulUpTime, 700); /* hundredths of a second */
    CHECK_EQ(stats.ulExpiryTime, 89300);
    CHECK_EQ(stats.ulNumOutIf, 2);
    CHECK_EQ(stats.ulInPkts, 5);
    CHECK_EQ(stats.ulInOctets, 5 * PACKET_SIZE);
    CHECK_EQ(stats.ulPktsDifferentIf, 4);
    CHECK_EQ(stats.ulQueueOverflow, 0);
    CHECK_EQ(oif[0].dwOutIfIndex, 2);
    CHECK_EQ(oif[0].ulOutPackets, 5);
    CHECK_EQ(oif[1].dwOutIfIndex, 3);
    CHECK_EQ(oif[1].ulOutPackets, 3); /* since it joined the entry */
    stop_host();
}

static void e13_statistics_extended(void)
{
    BYTE buffer[256];
    MIB_IPMCAST_MFE key = key_of(S1, G1);
    MIB_IPMCAST_MFE_STATS_EX stats;
    MIB_IPMCAST_OIF_STATS oif[2];
    DWORD size = 0;
    some_traffic();
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_1), ERROR_INSUFFICIENT_BUFFER);
    CHECK_EQ(size, SIZEOF_MIB_MFE_STATS_EX(2u));
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_1), NO_ERROR);
    memset(&stats, 0, sizeof stats);
    memcpy(&stats, buffer, SIZEOF_BASIC_MIB_MFE_STATS_EX);
    memcpy(oif, buffer + SIZEOF_BASIC_MIB_MFE_STATS_EX, sizeof oif);
    CHECK_EQ(stats.ulInPkts, 5);
    CHECK_EQ(stats.ulPktsDifferentIf, 4);
    CHECK_EQ(stats.ulTotalOutPackets, 8);
    CHECK_EQ(stats.ulUpTime, 700);
    CHECK_EQ(oif[0].ulOutPackets, 5);
    CHECK_EQ(oif[1].ulOutPackets, 3);
    stop_host();
}

static void e13_flags(void)
{
    BYTE buffer[256];
    MIB_IPMCAST_MFE key = key_of(S1, G1);
    DWORD size = sizeof buffer, count = 7, bad[] = {0, 3, 4, 0xffffffffu};
    size_t n;
    some_traffic();
    for (n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, bad[n]), ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmGetFirstMfeStats(&size, buffer, &count, bad[n]), ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmGetNextMfeStats(&key, &size, buffer, &count, bad[n]),
                   ERROR_INVALID_PARAMETER);
    }
    CHECK_EQ(size, sizeof buffer); /* rule A2 */
    CHECK_EQ(count, 7);
    stop_host();
}

static void e11_walking_the_statistics(void)
{
    BYTE buffer[SIZEOF_BASIC_MIB_MFE_STATS + 2 * 28];
    MIB_IPMCAST_MFE key;
    DWORD size, count = 0, code;
    int seen = 0;
    six_entries();
    size = sizeof buffer;
    code = MgmGetFirstMfeStats(&size, buffer, &count, MGM_MFE_STATS_0);
    while (code == ERROR_MORE_DATA || code == ERROR_NO_MORE_ITEMS) {
        DWORD n, at = 0;
        memset(&key, 0, sizeof key);
        for (n = 0; n < count; n++) {
            MIB_IPMCAST_MFE_STATS stats;
            memcpy(&stats, buffer + at, SIZEOF_BASIC_MIB_MFE_STATS);
            CHECK(seen < FLOWS);
            if (seen < FLOWS) {
                CHECK_EQ(stats.dwSource, ip(flows[seen][0]));
                CHECK_EQ(stats.dwGroup, ip(flows[seen][1]));
            }
            at += SIZEOF_MIB_MFE_STATS(stats.ulNumOutIf);
            key.dwSource = stats.dwSource;
            key.dwGroup = stats.dwGroup;
            seen++;
        }
        CHECK(at <= sizeof buffer);
        if (code == ERROR_NO_MORE_ITEMS || count == 0)
            break;
        size = sizeof buffer;
        code = MgmGetNextMfeStats(&key, &size, buffer, &count, MGM_MFE_STATS_0);
    }
    CHECK_CODE(code, ERROR_NO_MORE_ITEMS);
    CHECK_EQ(seen, FLOWS);
    stop_host();
}

static void e11_buffers_need_no_alignment(void)
{
    BYTE buffer[1024];
    DWORD size = sizeof buffer - 1, count = 0, n, at = 1;
    six_entries();
    CHECK_CODE(MgmGetFirstMfe(&size, buffer + 1, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, FLOWS);
    for (n = 0; n < count && n < FLOWS; n++)
        at += expect_flow(buffer + at, (int)n);
    stop_host();
}

int main(void)
{
    RUN(e11_all_entries_in_order);
    RUN(e11_buffers_of_every_size);
    RUN(e11_the_next_after_each);
    RUN(e11_next_after_a_key_that_is_not_there);
    RUN(e11_nothing_there);
    RUN(e11_one_entry);
    RUN(e11_walking_the_statistics);
    RUN(e11_buffers_need_no_alignment);
    RUN(e12_fields);
    RUN(e13_statistics);
    RUN(e13_statistics_extended);
    RUN(e13_flags);
    return check_summary();
}
