/* Rule E13 on the memory forwarder, which counts for each outgoing interface: ulOutPackets is what its
 * transmit function got since the interface joined the entry, ulTtlTooLow what it did not get because
 * the TTL ended. */
#include "host.h"
#include <sched.h>

#define JOIN MGM_JOIN_STATE_FLAG
#define MANY 40u /* interfaces: more than the plane looks at in one go */

static HANDLE owner; /* on interface 1, where packets come in, and on 2 to MANY */
static unsigned sent[MANY + 1]; /* what the transmit function got for each interface */

static void transmit(PVOID unused, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    (void)unused;
    CHECK(next_hop == 0 && size == 28 && packet[8] >= 1 && index <= MANY);
    __atomic_add_fetch(&sent[index], 1, __ATOMIC_SEQ_CST);
}

static DWORD route(PVOID unused, DWORD source, PMGM_ROUTE to)
{
    (void)unused;
    fill_route(source, to);
    return NO_ERROR;
}

static void start(PMGM_HOST_TRANSMIT_CALLBACK function)
{
    MGM_HOST_CONFIG config = plain_host();
    ROUTING_PROTOCOL_CONFIG none;
    DWORD index;
    memset(&none, 0, sizeof none);
    memset(sent, 0, sizeof sent);
    config.pfnTransmit = function;
    config.pfnRoute = route;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&none, 1, 1, &owner), NO_ERROR);
    for (index = 1; index <= MANY; index++)
        CHECK_CODE(MgmTakeInterfaceOwnership(owner, index, 0), NO_ERROR);
}

static DWORD join(DWORD index)
{
    return MgmAddGroupMembershipEntry(owner, 0, 0, the_group(), ALL_ONES, index, 0, JOIN);
}

static DWORD leave(DWORD index)
{
    return MgmDeleteGroupMembershipEntry(owner, 0, 0, the_group(), ALL_ONES, index, 0, JOIN);
}

/* A packet of the one flow, 28 octets long. */
static DWORD packet(DWORD arrival, int ttl)
{
    BYTE octets[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 0, 17};
    DWORD source = ip4(10, 0, 0, 1), group = the_group();
    octets[8] = (BYTE)ttl;
    memcpy(octets + 12, &source, 4);
    memcpy(octets + 16, &group, 4);
    return MgmHostReceive(arrival, 0, octets, sizeof octets);
}

static void packets(int n, int ttl)
{
    for (; n > 0; n--)
        CHECK_CODE(packet(1, ttl), NO_ERROR);
}

typedef struct counts {
    DWORD in, octets, out_sum, ifs;
    DWORD out[MANY + 1], ttl_too_low[MANY + 1]; /* by interface */
} counts;

/* The entry's record, by both kinds of statistics. */
static counts counted(void)
{
    static BYTE buffer[SIZEOF_MIB_MFE_STATS_EX(MANY)];
    MIB_IPMCAST_MFE key;
    MIB_IPMCAST_MFE_STATS_EX head;
    MIB_IPMCAST_MFE_STATS brief;
    DWORD size = sizeof buffer, n;
    counts c;
    memset(&c, 0, sizeof c);
    memset(&key, 0, sizeof key);
    key.dwSource = ip4(10, 0, 0, 1);
    key.dwGroup = the_group();
    CHECK_CODE(MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_1), NO_ERROR);
    memset(&head, 0, sizeof head);
    memcpy(&head, buffer, SIZEOF_BASIC_MIB_MFE_STATS_EX);
    c.in = head.ulInPkts;
    c.octets = head.ulInOctets;
    c.out_sum = head.ulTotalOutPackets;
    c.ifs = head.ulNumOutIf;
    for (n = 0; n < c.ifs; n++) {
        MIB_IPMCAST_OIF_STATS oif;
        memcpy(&oif, buffer + SIZEOF_MIB_MFE_STATS_EX(n), sizeof oif);
        CHECK(oif.ulFragNeeded == 0 && oif.ulOutDiscards == 0 && oif.dwDialContext == 0);
        c.out[oif.dwOutIfIndex] = oif.ulOutPackets;
        c.ttl_too_low[oif.dwOutIfIndex] = oif.ulTtlTooLow;
    }
    size = sizeof buffer;
    n = 99;
    CHECK_CODE(MgmGetFirstMfeStats(&size, buffer, &n, MGM_MFE_STATS_0), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(n, 1);
    memset(&brief, 0, sizeof brief);
    memcpy(&brief, buffer, SIZEOF_BASIC_MIB_MFE_STATS);
    CHECK(brief.ulInPkts >= c.in && brief.ulNumOutIf == c.ifs);
    for (n = 0; n < c.ifs; n++) {
        MIB_IPMCAST_OIF_STATS oif;
        memcpy(&oif, buffer + SIZEOF_MIB_MFE_STATS(n), sizeof oif);
        CHECK(oif.ulOutPackets == c.out[oif.dwOutIfIndex]);
        CHECK(oif.ulTtlTooLow == c.ttl_too_low[oif.dwOutIfIndex]);
    }
    return c;
}

static void e13_packets_whose_ttl_ends_are_not_sent(void)
{
    counts c;
    start(transmit);
    CHECK_CODE(join(2), NO_ERROR);
    packets(3, 1); /* no entry comes of them */
    packets(2, 2);
    packets(4, 1);
    packets(1, 0);
    CHECK_CODE(packet(5, 1), NO_ERROR); /* on the wrong interface: not the entry's */
    CHECK_CODE(join(3), NO_ERROR);
    packets(1, 255);
    packets(2, 1);
    c = counted();
    CHECK_EQ(c.ifs, 2);
    CHECK_EQ(c.in, 3); /* what was forwarded */
    CHECK_EQ(c.octets, 3 * 28);
    CHECK_EQ(c.out[2], 3);
    CHECK_EQ(c.out[3], 1);
    CHECK_EQ(c.out_sum, 4);
    CHECK_EQ(c.ttl_too_low[2], 7);
    CHECK_EQ(c.ttl_too_low[3], 2);
    CHECK(sent[2] == 3 && sent[3] == 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void e13_an_interface_that_leaves_and_joins_begins_anew(void)
{
    counts c;
    start(transmit);
    CHECK_CODE(join(2), NO_ERROR);
    CHECK_CODE(join(3), NO_ERROR);
    packets(5, 9);
    packets(2, 1);
    CHECK_CODE(leave(3), NO_ERROR);
    packets(1, 9);
    CHECK_EQ(counted().ifs, 1);
    CHECK_CODE(join(3), NO_ERROR);
    c = counted();
    CHECK(c.out[2] == 6 && c.out[3] == 0 && c.ttl_too_low[2] == 2 && c.ttl_too_low[3] == 0);
    packets(1, 9);
    c = counted();
    CHECK(c.out[2] == 7 && c.out[3] == 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void e13_each_of_many_interfaces(void)
{
    counts c;
    DWORD index;
    start(transmit);
    for (index = 2; index <= MANY; index++) {
        CHECK_CODE(join(index), NO_ERROR);
        packets(1, 9);
    }
    packets(1, 1);
    c = counted();
    for (index = 2; index <= MANY; index++) {
        CHECK_EQ(c.out[index], MANY + 1 - index);
        CHECK_EQ(c.out[index], sent[index]);
        CHECK_EQ(c.ttl_too_low[index], 1);
    }
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    /* Without a transmit function copies are only counted. */
    start(NULL);
    for (index = 2; index <= MANY; index++)
        CHECK_CODE(join(index), NO_ERROR);
    packets(3, 9);
    c = counted();
    CHECK(c.out[2] == 3 && c.out[MANY] == 3);
    CHECK_EQ(c.out_sum, 3 * (MANY - 1));
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static int enough;

static void *endless_packets(void *unused)
{
    while (!get(&enough))
        packets(1, 9);
    return unused;
}

/* Interfaces join while packets come: none counts that the transmit function did not get, and none
 * is forgotten. */
static void e13_joining_while_packets_come(void)
{
    int round;
    start(transmit);
    CHECK_CODE(join(2), NO_ERROR);
    packets(1, 9);
    for (round = 0; round < 300; round++) {
        pthread_t sender;
        counts c;
        memset(sent, 0, sizeof sent);
        set(&enough, 0);
        if (!CHECK_EQ(pthread_create(&sender, NULL, endless_packets, NULL), 0))
            break;
        while (__atomic_load_n(&sent[2], __ATOMIC_SEQ_CST) == 0)
            sched_yield();
        CHECK_CODE(join(3), NO_ERROR);
        CHECK_CODE(join(MANY), NO_ERROR);
        set(&enough, 1);
        pthread_join(sender, NULL);
        c = counted();
        if (!CHECK(c.out[3] == sent[3] && c.out[MANY] == sent[MANY] && c.ifs == 3))
            break;
        CHECK_CODE(leave(MANY), NO_ERROR);
        CHECK_CODE(leave(3), NO_ERROR);
    }
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

int main(void)
{
    RUN(e13_packets_whose_ttl_ends_are_not_sent);
    RUN(e13_an_interface_that_leaves_and_joins_begins_anew);
    RUN(e13_each_of_many_interfaces);
    RUN(e13_joining_while_packets_come);
    return check_summary();
}
