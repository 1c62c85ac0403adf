/* The numbers of the ABI as a C program sees them: sizes, offsets and constants, on 64-bit and
 * 32-bit platforms, with the public headers only.
 *
 * With WITNESS defined the same numbers are held, while compiling, against mingw-w64's headers
 * (tests/abi.rs): every CHECK that does not hold is then a compiler's error. */
#ifdef WITNESS
#include <winsock2.h>
#include <windows.h>
#include <iphlpapi.h>
#include <iprtrmib.h>
#define MPR50 1
#include <routprot.h>
#include <rtmv2.h>
#include <mgm.h>
#define CHECK_EQ(actual, expected) ((void)sizeof(char[(actual) == (expected) ? 1 : -1]))
#define CHECK(condition) CHECK_EQ(!(condition), 0)
#else
#include <arpa/inet.h>
#include <mgm.h>
#include <mgm_host.h>

#include "check.h"
#endif
#include <stddef.h>
#include <string.h>

/* The size or offset on a 64-bit and on a 32-bit platform. */
#define WIDE_NARROW(wide, narrow) (sizeof(void *) == 8 ? (wide) : (narrow))
#define SIZE(type, size) CHECK_EQ(sizeof(type), size)
#define AT(type, field, offset) CHECK_EQ(offsetof(type, field), offset)

static void base_types(void)
{
    SIZE(BYTE, 1);
    SIZE(USHORT, 2);
    SIZE(INT, 4);
    SIZE(UINT, 4);
    SIZE(DWORD, 4);
    SIZE(ULONG, 4);
    SIZE(BOOL, 4);
    SIZE(ULONGLONG, 8);
    SIZE(FILETIME, 8);
    SIZE(HANDLE, sizeof(void *));
    SIZE(PVOID, sizeof(void *));
    SIZE(MGM_ENUM_TYPES, 4);
    /* Unsigned and signed as on Windows. */
    CHECK((BYTE)-1 > 0 && (DWORD)-1 > 0 && (ULONG)-1 > 0 && (UINT)-1 > 0 && (USHORT)-1 > 0);
    CHECK((BOOL)-1 < 0 && (INT)-1 < 0);
    CHECK(TRUE == 1 && FALSE == 0);
}

static void mgm_if_entry(void)
{
    SIZE(MGM_IF_ENTRY, 16);
    AT(MGM_IF_ENTRY, dwIfIndex, 0);
    AT(MGM_IF_ENTRY, dwIfNextHopAddr, 4);
    AT(MGM_IF_ENTRY, bIGMP, 8);
    AT(MGM_IF_ENTRY, bIsEnabled, 12);
}

static void source_group_entry(void)
{
    SIZE(SOURCE_GROUP_ENTRY, 16);
    AT(SOURCE_GROUP_ENTRY, dwSourceAddr, 0);
    AT(SOURCE_GROUP_ENTRY, dwSourceMask, 4);
    AT(SOURCE_GROUP_ENTRY, dwGroupAddr, 8);
    AT(SOURCE_GROUP_ENTRY, dwGroupMask, 12);
}

static void routing_protocol_config(void)
{
    SIZE(ROUTING_PROTOCOL_CONFIG, WIDE_NARROW(80u, 40u));
    AT(ROUTING_PROTOCOL_CONFIG, dwCallbackFlags, 0);
    AT(ROUTING_PROTOCOL_CONFIG, pfnRpfCallback, 1 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnCreationAlertCallback, 2 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnPruneAlertCallback, 3 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnJoinAlertCallback, 4 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnWrongIfCallback, 5 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnLocalJoinCallback, 6 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnLocalLeaveCallback, 7 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnDisableIgmpCallback, 8 * sizeof(void *));
    AT(ROUTING_PROTOCOL_CONFIG, pfnEnableIgmpCallback, 9 * sizeof(void *));
}

static void mib_ipmcast_mfe(void)
{
    SIZE(MIB_IPMCAST_OIF, 16);
    AT(MIB_IPMCAST_OIF, dwOutIfIndex, 0);
    AT(MIB_IPMCAST_OIF, dwNextHopAddr, 4);
    AT(MIB_IPMCAST_OIF, dwReserved, 8);
    AT(MIB_IPMCAST_OIF, dwReserved1, 12);
    SIZE(MIB_IPMCAST_MFE, 76);
    AT(MIB_IPMCAST_MFE, dwGroup, 0);
    AT(MIB_IPMCAST_MFE, dwSource, 4);
    AT(MIB_IPMCAST_MFE, dwSrcMask, 8);
    AT(MIB_IPMCAST_MFE, dwUpStrmNgbr, 12);
    AT(MIB_IPMCAST_MFE, dwInIfIndex, 16);
    AT(MIB_IPMCAST_MFE, dwInIfProtocol, 20);
    AT(MIB_IPMCAST_MFE, dwRouteProtocol, 24);
    AT(MIB_IPMCAST_MFE, dwRouteNetwork, 28);
    AT(MIB_IPMCAST_MFE, dwRouteMask, 32);
    AT(MIB_IPMCAST_MFE, ulUpTime, 36);
    AT(MIB_IPMCAST_MFE, ulExpiryTime, 40);
    AT(MIB_IPMCAST_MFE, ulTimeOut, 44);
    AT(MIB_IPMCAST_MFE, ulNumOutIf, 48);
    AT(MIB_IPMCAST_MFE, fFlags, 52);
    AT(MIB_IPMCAST_MFE, dwReserved, 56);
    AT(MIB_IPMCAST_MFE, rgmioOutInfo, 60);
    SIZE(MIB_MFE_TABLE, 80);
    AT(MIB_MFE_TABLE, dwNumEntries, 0);
    AT(MIB_MFE_TABLE, table, 4);
}

/* The eleven fields that MIB_IPMCAST_MFE_STATS and _EX begin with, and four more. */
#define CHECK_STATS_HEAD(type)            \
    do {                                  \
        AT(type, dwGroup, 0);             \
        AT(type, dwSource, 4);            \
        AT(type, dwSrcMask, 8);           \
        AT(type, dwUpStrmNgbr, 12);       \
        AT(type, dwInIfIndex, 16);        \
        AT(type, dwInIfProtocol, 20);     \
        AT(type, dwRouteProtocol, 24);    \
        AT(type, dwRouteNetwork, 28);     \
        AT(type, dwRouteMask, 32);        \
        AT(type, ulUpTime, 36);           \
        AT(type, ulExpiryTime, 40);       \
        AT(type, ulNumOutIf, 44);         \
        AT(type, ulInPkts, 48);           \
        AT(type, ulInOctets, 52);         \
        AT(type, ulPktsDifferentIf, 56);  \
        AT(type, ulQueueOverflow, 60);    \
    } while (0)

static void mib_ipmcast_mfe_stats(void)
{
    SIZE(MIB_IPMCAST_OIF_STATS, 28);
    AT(MIB_IPMCAST_OIF_STATS, dwOutIfIndex, 0);
    AT(MIB_IPMCAST_OIF_STATS, dwNextHopAddr, 4);
    AT(MIB_IPMCAST_OIF_STATS, dwDialContext, 8);
    AT(MIB_IPMCAST_OIF_STATS, ulTtlTooLow, 12);
    AT(MIB_IPMCAST_OIF_STATS, ulFragNeeded, 16);
    AT(MIB_IPMCAST_OIF_STATS, ulOutPackets, 20);
    AT(MIB_IPMCAST_OIF_STATS, ulOutDiscards, 24);
    SIZE(MIB_IPMCAST_MFE_STATS, 92);
    CHECK_STATS_HEAD(MIB_IPMCAST_MFE_STATS);
    AT(MIB_IPMCAST_MFE_STATS, rgmiosOutStats, 64);
    SIZE(MIB_IPMCAST_MFE_STATS_EX, 112);
    CHECK_STATS_HEAD(MIB_IPMCAST_MFE_STATS_EX);
    AT(MIB_IPMCAST_MFE_STATS_EX, ulUninitMfe, 64);
    AT(MIB_IPMCAST_MFE_STATS_EX, ulNegativeMfe, 68);
    AT(MIB_IPMCAST_MFE_STATS_EX, ulInDiscards, 72);
    AT(MIB_IPMCAST_MFE_STATS_EX, ulInHdrErrors, 76);
    AT(MIB_IPMCAST_MFE_STATS_EX, ulTotalOutPackets, 80);
    AT(MIB_IPMCAST_MFE_STATS_EX, rgmiosOutStats, 84);
    SIZE(MIB_MFE_STATS_TABLE, 96);
    AT(MIB_MFE_STATS_TABLE, dwNumEntries, 0);
    AT(MIB_MFE_STATS_TABLE, table, 4);
    CHECK_EQ(sizeof(*((PMIB_MFE_STATS_TABLE)0)->table), sizeof(MIB_IPMCAST_MFE_STATS));
    SIZE(MIB_MFE_STATS_TABLE_EX, 116);
    AT(MIB_MFE_STATS_TABLE_EX, dwNumEntries, 0);
    AT(MIB_MFE_STATS_TABLE_EX, table, 4);
    CHECK_EQ(sizeof(*((PMIB_MFE_STATS_TABLE_EX)0)->table), sizeof(MIB_IPMCAST_MFE_STATS_EX));
}

static void record_sizes(void)
{
    CHECK_EQ(ANY_SIZE, 1);
    CHECK_EQ(SIZEOF_BASIC_MIB_MFE, 60);
    CHECK_EQ(SIZEOF_BASIC_MIB_MFE_STATS, 64);
    CHECK_EQ(SIZEOF_BASIC_MIB_MFE_STATS_EX, 84);
    CHECK_EQ(SIZEOF_MIB_MFE(0), 60);
    CHECK_EQ(SIZEOF_MIB_MFE(1), 76);
    CHECK_EQ(SIZEOF_MIB_MFE(31), 60 + 31 * 16);
    CHECK_EQ(SIZEOF_MIB_MFE_STATS(0), 64);
    CHECK_EQ(SIZEOF_MIB_MFE_STATS(1), 92);
    CHECK_EQ(SIZEOF_MIB_MFE_STATS(31), 64 + 31 * 28);
    CHECK_EQ(SIZEOF_MIB_MFE_STATS_EX(0), 84);
    CHECK_EQ(SIZEOF_MIB_MFE_STATS_EX(1), 112);
    CHECK_EQ(SIZEOF_MIB_MFE_STATS_EX(31), 84 + 31 * 28);
    /* The macros take expressions, and are expressions. */
    CHECK_EQ(2 * SIZEOF_MIB_MFE(1 + 1), 2 * (60 + 32));
}

static void rtm_dest_info(void)
{
    SIZE(RTM_NET_ADDRESS, 20);
    AT(RTM_NET_ADDRESS, AddressFamily, 0);
    AT(RTM_NET_ADDRESS, NumBits, 2);
    AT(RTM_NET_ADDRESS, AddrBits, 4);
    CHECK_EQ(sizeof(((PRTM_NET_ADDRESS)0)->AddrBits), 16);
    SIZE(RTM_DEST_INFO, WIDE_NARROW(88u, 64u));
    AT(RTM_DEST_INFO, DestHandle, 0);
    AT(RTM_DEST_INFO, DestAddress, WIDE_NARROW(8u, 4u));
    AT(RTM_DEST_INFO, LastChanged, WIDE_NARROW(28u, 24u));
    AT(RTM_DEST_INFO, BelongsToViews, WIDE_NARROW(36u, 32u));
    AT(RTM_DEST_INFO, NumberOfViews, WIDE_NARROW(40u, 36u));
    AT(RTM_DEST_INFO, ViewInfo, WIDE_NARROW(48u, 40u));
    AT(RTM_DEST_INFO, ViewInfo[0].ViewId, WIDE_NARROW(48u, 40u));
    AT(RTM_DEST_INFO, ViewInfo[0].NumRoutes, WIDE_NARROW(52u, 44u));
    AT(RTM_DEST_INFO, ViewInfo[0].Route, WIDE_NARROW(56u, 48u));
    AT(RTM_DEST_INFO, ViewInfo[0].Owner, WIDE_NARROW(64u, 52u));
    AT(RTM_DEST_INFO, ViewInfo[0].DestFlags, WIDE_NARROW(72u, 56u));
    AT(RTM_DEST_INFO, ViewInfo[0].HoldRoute, WIDE_NARROW(80u, 60u));
    CHECK_EQ(RTM_VIEW_ID_MCAST, 1);
    CHECK_EQ(RTM_VIEW_MASK_MCAST, 2);
    CHECK_EQ(RTM_BASIC_DEST_INFO_SIZE, WIDE_NARROW(48u, 40u));
    CHECK_EQ(RTM_DEST_VIEW_INFO_SIZE, WIDE_NARROW(40u, 24u));
    CHECK_EQ(RTM_SIZE_OF_DEST_INFO(0), WIDE_NARROW(48u, 40u));
    CHECK_EQ(RTM_SIZE_OF_DEST_INFO(1), sizeof(RTM_DEST_INFO));
    CHECK_EQ(RTM_SIZE_OF_DEST_INFO(1 + 1), WIDE_NARROW(128u, 88u));
}

/* An IPv4 prefix into an RTM_NET_ADDRESS and out of it, as sources for Windows do it: with the same
 * lines the macros of both headers compile. */
static int prefix_is_kept(DWORD address, DWORD length, DWORD mask)
{
    static const BYTE octets[4] = {10, 20, 30, 40};
    RTM_NET_ADDRESS net[3];
    DWORD got = 0, got_length = 99, got_mask = 99, n;
    int good = 1;

    memset(net, 0, sizeof net);
    RTM_IPV4_MAKE_NET_ADDRESS(&net[0], address, length);
    RTM_IPV4_SET_ADDR_AND_LEN(&net[1], address, length);
    RTM_IPV4_SET_ADDR_AND_MASK(&net[2], address, mask);
    for (n = 0; n < 3; n++) {
        good &= net[n].AddressFamily == AF_INET && net[n].NumBits == length;
        good &= memcmp(net[n].AddrBits, octets, 4) == 0 && net[n].AddrBits[4] == 0;
        RTM_IPV4_GET_ADDR_AND_LEN(got, got_length, &net[n]);
        good &= got == address && got_length == length;
        RTM_IPV4_GET_ADDR_AND_MASK(got, got_mask, &net[n]);
        good &= got == address && got_mask == mask;
    }
    RTM_IPV4_LEN_FROM_MASK(got_length, mask);
    got_mask = RTM_IPV4_MASK_FROM_LEN(length);
    return good && got_length == length && got_mask == mask;
}

#ifndef WITNESS
static void rtm_ipv4_prefixes(void)
{
    DWORD address = inet_addr("10.20.30.40"), length;
    CHECK(prefix_is_kept(address, 0, 0));
    CHECK(prefix_is_kept(address, 1, inet_addr("128.0.0.0")));
    CHECK(prefix_is_kept(address, 17, inet_addr("255.255.128.0")));
    CHECK(prefix_is_kept(address, 32, 0xffffffff));
    for (length = 1; length <= 32; length++)
        CHECK(prefix_is_kept(address, length, htonl(0xffffffffu << (32 - length))));
    /* A statement like any other behind an if. */
    if (length == 0)
        RTM_IPV4_LEN_FROM_MASK(length, 0xffffffff)
    CHECK_EQ(length, 33);
}
#endif

static void constants(void)
{
    CHECK_EQ(NO_ERROR, 0);
    CHECK_EQ(ERROR_NOT_ENOUGH_MEMORY, 8);
    CHECK_EQ(ERROR_INVALID_PARAMETER, 87);
    CHECK_EQ(ERROR_INSUFFICIENT_BUFFER, 122);
    CHECK_EQ(ERROR_ALREADY_EXISTS, 183);
    CHECK_EQ(ERROR_MORE_DATA, 234);
    CHECK_EQ(ERROR_NO_MORE_ITEMS, 259);
    CHECK_EQ(ERROR_CAN_NOT_COMPLETE, 1003);
    CHECK_EQ(ERROR_NOT_FOUND, 1168);
    CHECK_EQ((DWORD)ANY_SOURCE, 0);
    CHECK_EQ((DWORD)ALL_SOURCES, 1);
    CHECK_EQ(MGM_JOIN_STATE_FLAG, 1);
    CHECK_EQ(MGM_FORWARD_STATE_FLAG, 2);
#ifndef WITNESS /* the documentation has this spelling, the SDK has not */
    CHECK_EQ(MGM_FORWARD_STATE, 2);
#endif
    CHECK_EQ(MGM_MFE_STATS_0, 1);
    CHECK_EQ(MGM_MFE_STATS_1, 2);
    CHECK_EQ(PROTO_IP_IGMP, 10);
    CHECK_EQ(PROTO_TYPE_MCAST, 1);
    CHECK_EQ(PROTO_VENDOR_MS1, 0x137);
    CHECK_EQ(MS_IP_IGMP, 0x4137000A);
    CHECK_EQ(MS_IP_MGM, 0x81372719);
    CHECK_EQ(PROTOCOL_ID(PROTO_TYPE_MCAST, PROTO_VENDOR_MS1, PROTO_IP_IGMP), MS_IP_IGMP);
    CHECK_EQ(PROTOCOL_ID(2, PROTO_VENDOR_MS1, 10009), MS_IP_MGM);
    CHECK_EQ(PROTOCOL_ID(7, 0xffff, 0x12345), 0xffff2345);
}

/* In mingw's headers some of these are macros and enumerators at once. */
#define ROUTE_PROTOCOL(name, value)          \
    do {                                     \
        CHECK_EQ(MIB_IPPROTO_##name, value); \
        CHECK_EQ(PROTO_IP_##name, value);    \
    } while (0)

static void protocol_ids(void)
{
    ROUTE_PROTOCOL(OTHER, 1);
    ROUTE_PROTOCOL(LOCAL, 2);
    ROUTE_PROTOCOL(NETMGMT, 3);
    ROUTE_PROTOCOL(ICMP, 4);
    ROUTE_PROTOCOL(EGP, 5);
    ROUTE_PROTOCOL(GGP, 6);
    ROUTE_PROTOCOL(HELLO, 7);
    ROUTE_PROTOCOL(RIP, 8);
    ROUTE_PROTOCOL(IS_IS, 9);
    ROUTE_PROTOCOL(ES_IS, 10);
    ROUTE_PROTOCOL(CISCO, 11);
    ROUTE_PROTOCOL(BBN, 12);
    ROUTE_PROTOCOL(OSPF, 13);
    ROUTE_PROTOCOL(BGP, 14);
    ROUTE_PROTOCOL(NT_AUTOSTATIC, 10002);
    ROUTE_PROTOCOL(NT_STATIC, 10006);
    ROUTE_PROTOCOL(NT_STATIC_NON_DOD, 10007);
#ifndef WITNESS /* mingw's are older; tests/abi.rs holds them against windows-sys */
    ROUTE_PROTOCOL(IDPR, 15);
    ROUTE_PROTOCOL(EIGRP, 16);
    ROUTE_PROTOCOL(DVMRP, 17);
    ROUTE_PROTOCOL(RPL, 18);
    ROUTE_PROTOCOL(DHCP, 19);
#endif
    CHECK_EQ(PROTO_IP_MSDP, 9);
    CHECK_EQ(PROTO_IP_IGMP, 10);
    CHECK_EQ(PROTO_IP_BGMP, 11);
    CHECK_EQ(PROTO_IP_VRRP, 112);
    CHECK_EQ(PROTO_IP_BOOTP, 9999);
    CHECK_EQ(PROTO_IP_DNS_PROXY, 10003);
    CHECK_EQ(PROTO_IP_DHCP_ALLOCATOR, 10004);
    CHECK_EQ(PROTO_IP_NAT, 10005);
    CHECK_EQ(PROTO_IP_DIFFSERV, 10008);
    CHECK_EQ(PROTO_IP_MGM, 10009);
    CHECK_EQ(PROTO_IP_ALG, 10010);
    CHECK_EQ(PROTO_IP_H323, 10011);
    CHECK_EQ(PROTO_IP_FTP, 10012);
    CHECK_EQ(PROTO_IP_DTP, 10013);
    CHECK_EQ(PROTO_TYPE_UCAST, 0);
    CHECK_EQ(PROTO_TYPE_MS0, 2);
    CHECK_EQ(PROTO_TYPE_MS1, 3);
    CHECK_EQ(PROTO_VENDOR_MS0, 0);
    CHECK_EQ(PROTO_VENDOR_MS2, 0x3fff);
    CHECK_EQ(PROTOCOL_ID(PROTO_TYPE_MS0, PROTO_VENDOR_MS1, PROTO_IP_MGM), MS_IP_MGM);
    CHECK_EQ(TYPE_FROM_PROTO_ID(MS_IP_MGM), PROTO_TYPE_MS0);
    CHECK_EQ(VENDOR_FROM_PROTO_ID(MS_IP_MGM), PROTO_VENDOR_MS1);
    CHECK_EQ(PROTO_FROM_PROTO_ID(MS_IP_MGM), PROTO_IP_MGM);
}

#ifndef WITNESS
static void host_types(void)
{
    SIZE(MGM_ROUTE, 24);
    AT(MGM_ROUTE, dwIfIndex, 0);
    AT(MGM_ROUTE, dwIfNextHopAddr, 4);
    AT(MGM_ROUTE, dwUpStreamNbr, 8);
    AT(MGM_ROUTE, dwRouteProtocol, 12);
    AT(MGM_ROUTE, dwRouteNetwork, 16);
    AT(MGM_ROUTE, dwRouteMask, 20);
    SIZE(MGM_MFE_COUNTERS, 12);
    SIZE(MGM_HOST_FORWARDER, 9 * sizeof(void *));
    SIZE(MGM_HOST_CONFIG, WIDE_NARROW(112u, 72u));
    AT(MGM_HOST_CONFIG, dwSize, 0);
    AT(MGM_HOST_CONFIG, dwForwarder, 4);
    AT(MGM_HOST_CONFIG, dwTableId, 8);
    AT(MGM_HOST_CONFIG, dwMaxMfes, 12);
    AT(MGM_HOST_CONFIG, pvContext, 16);
    AT(MGM_HOST_CONFIG, pForwarder, WIDE_NARROW(48u, 32u));
    AT(MGM_HOST_CONFIG, dwFlags, WIDE_NARROW(84u, 56u));
    AT(MGM_HOST_CONFIG, dwMulticastSocket, WIDE_NARROW(88u, 60u));
    AT(MGM_HOST_CONFIG, pszServePath, WIDE_NARROW(96u, 64u));
    AT(MGM_HOST_CONFIG, dwHoldSeconds, WIDE_NARROW(104u, 68u));
    CHECK_EQ(MGM_FORWARDER_MEMORY, 0);
    CHECK_EQ(MGM_FORWARDER_KERNEL, 1);
    CHECK_EQ(MGM_FORWARDER_CUSTOM, 2);
}
#endif

/* Each function has the documented type: these would not compile otherwise. */
static DWORD (*const register_)(PROUTING_PROTOCOL_CONFIG, DWORD, DWORD, HANDLE *) =
    MgmRegisterMProtocol;
static DWORD (*const deregister)(HANDLE) = MgmDeRegisterMProtocol;
static DWORD (*const take)(HANDLE, DWORD, DWORD) = MgmTakeInterfaceOwnership;
static DWORD (*const release)(HANDLE, DWORD, DWORD) = MgmReleaseInterfaceOwnership;
static DWORD (*const protocol_on)(DWORD, DWORD, PDWORD, PDWORD) = MgmGetProtocolOnInterface;
static DWORD (*const add)(HANDLE, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD) =
    MgmAddGroupMembershipEntry;
static DWORD (*const delete_)(HANDLE, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD) =
    MgmDeleteGroupMembershipEntry;
static DWORD (*const get)(PMIB_IPMCAST_MFE, PDWORD, PBYTE) = MgmGetMfe;
static DWORD (*const first)(PDWORD, PBYTE, PDWORD) = MgmGetFirstMfe;
static DWORD (*const next)(PMIB_IPMCAST_MFE, PDWORD, PBYTE, PDWORD) = MgmGetNextMfe;
static DWORD (*const get_stats)(PMIB_IPMCAST_MFE, PDWORD, PBYTE, DWORD) = MgmGetMfeStats;
static DWORD (*const first_stats)(PDWORD, PBYTE, PDWORD, DWORD) = MgmGetFirstMfeStats;
static DWORD (*const next_stats)(PMIB_IPMCAST_MFE, PDWORD, PBYTE, PDWORD, DWORD) =
    MgmGetNextMfeStats;
static DWORD (*const set)(HANDLE, PMIB_IPMCAST_MFE) = MgmSetMfe;
static DWORD (*const start)(HANDLE, MGM_ENUM_TYPES, HANDLE *) = MgmGroupEnumerationStart;
static DWORD (*const get_next)(HANDLE, PDWORD, PBYTE, PDWORD) = MgmGroupEnumerationGetNext;
static DWORD (*const end)(HANDLE) = MgmGroupEnumerationEnd;

static DWORD rpf(DWORD s, DWORD sm, DWORD g, DWORD gm, PDWORD index, PDWORD hop, PDWORD upstream,
                 DWORD size, PBYTE header, PBYTE route)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop, (void)upstream, (void)size;
    (void)header, (void)route;
    return NO_ERROR;
}
static DWORD creation(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop, DWORD count,
                      PMGM_IF_ENTRY list)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop, (void)count, (void)list;
    return NO_ERROR;
}
static DWORD prune(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop, BOOL deleted,
                   PDWORD timeout)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop, (void)deleted, (void)timeout;
    return NO_ERROR;
}
static DWORD join(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL update)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)update;
    return NO_ERROR;
}
static DWORD wrong(DWORD s, DWORD g, DWORD index, DWORD hop, DWORD size, PBYTE header)
{
    (void)s, (void)g, (void)index, (void)hop, (void)size, (void)header;
    return NO_ERROR;
}
static DWORD local(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop;
    return NO_ERROR;
}
static DWORD igmp(DWORD index, DWORD hop)
{
    (void)index, (void)hop;
    return NO_ERROR;
}

#ifdef WITNESS
static void witness(void)
{
    ROUTING_PROTOCOL_CONFIG config = {0,     rpf,   creation, prune, join, wrong,
                                      local, local, igmp,     igmp};
    base_types();
    mgm_if_entry();
    source_group_entry();
    routing_protocol_config();
    mib_ipmcast_mfe();
    mib_ipmcast_mfe_stats();
    record_sizes();
    rtm_dest_info();
    constants();
    protocol_ids();
    if (config.dwCallbackFlags && prefix_is_kept(0, 0, 0))
        register_(&config, 0, 0, NULL);
}

int main(void)
{
    witness();
    return !(deregister && take && release && protocol_on && add && delete_ && get && first &&
             next && get_stats && first_stats && next_stats && set && start && get_next && end);
}
#else
static void function_types(void)
{
    ROUTING_PROTOCOL_CONFIG config = {0,     rpf,   creation, prune, join, wrong,
                                      local, local, igmp,     igmp};
    CHECK(config.pfnRpfCallback == rpf && config.pfnEnableIgmpCallback == igmp);
    CHECK(register_ && deregister && take && release && protocol_on && add && delete_ && get);
    CHECK(first && next && get_stats && first_stats && next_stats && set && start && get_next);
    CHECK(end != NULL);
}

int main(void)
{
    RUN(base_types);
    RUN(mgm_if_entry);
    RUN(source_group_entry);
    RUN(routing_protocol_config);
    RUN(mib_ipmcast_mfe);
    RUN(mib_ipmcast_mfe_stats);
    RUN(record_sizes);
    RUN(rtm_dest_info);
    RUN(rtm_ipv4_prefixes);
    RUN(constants);
    RUN(protocol_ids);
    RUN(host_types);
    RUN(function_types);
    return check_summary();
}
#endif
