/*
 * mgm.h: the multicast group manager, for Linux.
 *
 * A multicast routing protocol registers here, takes the interfaces that it runs on, says where
 * receivers are, and is called back when sources start and when other protocols' receivers come
 * and go. The group manager merges what all protocols and IGMP say into multicast forwarding
 * entries (MFEs). The interface is that of Windows' mgm.h.
 *
 * CALLS
 *   Every function returns a DWORD: NO_ERROR or one of the codes documented with it. The functions
 *   that read many records return ERROR_MORE_DATA or ERROR_NO_MORE_ITEMS when they succeed.
 *   A call that fails changes nothing and writes nothing, except that ERROR_INSUFFICIENT_BUFFER
 *   writes the size needed to *pdwBufferSize, and 0 to *pdwNumEntries where there is one.
 *   *pdwBufferSize is otherwise left as it was.
 *   Where memory runs out, a call changes nothing and gives ERROR_NOT_ENOUGH_MEMORY, or
 *   ERROR_CAN_NOT_COMPLETE where the function does not document that code.
 *   After a fault inside the library every function gives ERROR_CAN_NOT_COMPLETE, because the state
 *   can no longer be trusted. The log has a line for every call that fails.
 *
 * NUMBERS
 *   DWORD, ULONG and BOOL have 32 bits on every platform. Addresses and masks are DWORDs in network
 *   byte order, as inet_addr() returns them. All other numbers are in host byte order.
 *   An interface is the pair of its index and a next hop's address; the latter is 0 except on
 *   point-to-multipoint interfaces.
 *
 * HANDLES
 *   A HANDLE is a number, not a pointer, and never NULL. A handle that is NULL, was ended, is of
 *   the other kind or was made up gives ERROR_INVALID_PARAMETER. A handle can be used on any thread.
 *
 * THREADS AND CALLBACKS
 *   Any function can be called from any thread at any time, from inside any callback too.
 *   Hold no lock across a call if one of your callbacks takes it. Callbacks run during the call: on
 *   the calling thread, where the program then deadlocks, or on another one, where the call waits
 *   for 5 seconds and goes on without the callback.
 *   Callbacks run on the library's threads or on a thread that is calling the library. They come to
 *   one client one at a time, in the order of the changes that caused them. Alerts that a call made
 *   outside any callback causes have been delivered when it returns. Those that a call made inside a
 *   callback causes are delivered, at the latest, when that callback has returned. A client that
 *   stays in one callback for 5 seconds is not waited for any more until it has returned, neither
 *   by calls nor by packets; its alerts stay queued, in order.
 *   A callback's address may be NULL: it is then skipped. What a callback returns is ignored. It
 *   should return soon, since packets of new flows wait for it. One that is left by a C++ exception,
 *   or with its thread (pthread_exit(), pthread_cancel()), ends the process with abort(). One that is left by longjmp() goes unnoticed:
 *   what the library was doing is left half done, and the client counts as still inside it.
 *   Alerts are not given again to a client that registers later: it enumerates the groups then.
 *   A call needs up to 32 KiB of stack, and one that starts or ends the library up to 64 KiB; what
 *   callbacks use comes on top. Signals are blocked on the library's own threads.
 *   After MgmDeRegisterMProtocol has returned NO_ERROR no callback of that client runs any more.
 *   In a child of fork() that was made while the library ran, every function gives
 *   ERROR_CAN_NOT_COMPLETE and does nothing; the parent goes on. A child made inside a callback must not return from
 *   it, and one made by clone() or _Fork() must not call any function.
 *
 * This file is generated from src/ffi; `make header` writes it anew.
 */
#ifndef MGM_H
#define MGM_H

/*
 * Windows' base types, where no windows.h (Windows' own, mingw's, Wine's or WinPR's) has defined
 * them already.
 */
#if defined(_WIN32)
#include <windows.h>
#include <iprtrmib.h>
#include <rtmv2.h>
#elif !defined(_WINDEF_) && !defined(__WINE_WINDEF_H) && !defined(WINPR_WTYPES_H)
#include <stdint.h>
typedef uint8_t BYTE, *PBYTE;
typedef uint16_t USHORT, *PUSHORT;
typedef int32_t INT, *PINT;
typedef uint32_t UINT, *PUINT;
typedef uint32_t DWORD, *PDWORD;
typedef uint32_t ULONG, *PULONG;
typedef uint64_t ULONGLONG;
typedef int32_t BOOL, *PBOOL;
typedef void *PVOID;
typedef void *HANDLE, **PHANDLE;
typedef struct _FILETIME {
    DWORD dwLowDateTime;
    DWORD dwHighDateTime;
} FILETIME, *PFILETIME;
#endif

#ifndef FALSE
#define FALSE 0
#endif
#ifndef TRUE
#define TRUE 1
#endif

/* The codes that the functions return. */
#ifndef NO_ERROR
#define NO_ERROR 0
#endif
#ifndef ERROR_NOT_ENOUGH_MEMORY
#define ERROR_NOT_ENOUGH_MEMORY 8
#endif
#ifndef ERROR_INVALID_PARAMETER
#define ERROR_INVALID_PARAMETER 87
#endif
#ifndef ERROR_INSUFFICIENT_BUFFER
#define ERROR_INSUFFICIENT_BUFFER 122
#endif
#ifndef ERROR_ALREADY_EXISTS
#define ERROR_ALREADY_EXISTS 183
#endif
#ifndef ERROR_MORE_DATA
#define ERROR_MORE_DATA 234
#endif
#ifndef ERROR_NO_MORE_ITEMS
#define ERROR_NO_MORE_ITEMS 259
#endif
#ifndef ERROR_CAN_NOT_COMPLETE
#define ERROR_CAN_NOT_COMPLETE 1003
#endif
#ifndef ERROR_NOT_FOUND
#define ERROR_NOT_FOUND 1168
#endif

/* Wine has the numbers of routes' protocols as enumerators, which must come before our macros. */
#if (defined(_WINDEF_) || defined(__WINE_WINDEF_H)) && defined(__has_include)
#if __has_include(<nldef.h>)
#include <nldef.h>
#endif
#endif

/*
 * The protocol that a route came from, as dwRouteProtocol tells it; first what every ipmib.h has,
 * then what later ones added.
 */
#ifndef MIB_IPPROTO_OTHER
#define MIB_IPPROTO_OTHER 1
#define MIB_IPPROTO_LOCAL 2
#define MIB_IPPROTO_NETMGMT 3
#define MIB_IPPROTO_ICMP 4
#define MIB_IPPROTO_EGP 5
#define MIB_IPPROTO_GGP 6
#define MIB_IPPROTO_HELLO 7
#define MIB_IPPROTO_RIP 8
#define MIB_IPPROTO_IS_IS 9
#define MIB_IPPROTO_ES_IS 10
#define MIB_IPPROTO_CISCO 11
#define MIB_IPPROTO_BBN 12
#define MIB_IPPROTO_OSPF 13
#define MIB_IPPROTO_BGP 14
#define MIB_IPPROTO_NT_AUTOSTATIC 10002
#define MIB_IPPROTO_NT_STATIC 10006
#define MIB_IPPROTO_NT_STATIC_NON_DOD 10007
#endif
#ifndef MIB_IPPROTO_IDPR
#define MIB_IPPROTO_IDPR 15
#define MIB_IPPROTO_EIGRP 16
#define MIB_IPPROTO_DVMRP 17
#define MIB_IPPROTO_RPL 18
#define MIB_IPPROTO_DHCP 19
#endif

/*
 * Protocol ids: type, vendor and number in one DWORD. The numbers of unicast protocols are those of
 * their routes.
 */
#ifndef PROTO_TYPE_UCAST
#define PROTO_TYPE_UCAST 0
#define PROTO_TYPE_MCAST 1
#define PROTO_TYPE_MS0 2
#define PROTO_TYPE_MS1 3
#endif
#ifndef PROTO_VENDOR_MS0
#define PROTO_VENDOR_MS0 0x0000
#define PROTO_VENDOR_MS1 0x137
#define PROTO_VENDOR_MS2 0x3FFF
#endif
#ifndef PROTO_IP_OTHER
#define PROTO_IP_OTHER 1
#define PROTO_IP_LOCAL 2
#define PROTO_IP_NETMGMT 3
#define PROTO_IP_ICMP 4
#define PROTO_IP_EGP 5
#define PROTO_IP_GGP 6
#define PROTO_IP_HELLO 7
#define PROTO_IP_RIP 8
#define PROTO_IP_IS_IS 9
#define PROTO_IP_ES_IS 10
#define PROTO_IP_CISCO 11
#define PROTO_IP_BBN 12
#define PROTO_IP_OSPF 13
#define PROTO_IP_BGP 14
#define PROTO_IP_NT_AUTOSTATIC 10002
#define PROTO_IP_NT_STATIC 10006
#define PROTO_IP_NT_STATIC_NON_DOD 10007
#endif
#ifndef PROTO_IP_IDPR
#define PROTO_IP_IDPR 15
#define PROTO_IP_EIGRP 16
#define PROTO_IP_DVMRP 17
#define PROTO_IP_RPL 18
#define PROTO_IP_DHCP 19
#endif
/* IGMP is whoever registers with PROTO_IP_IGMP, alone or within MS_IP_IGMP. */
#ifndef PROTO_IP_IGMP
#define PROTO_IP_MSDP 9
#define PROTO_IP_IGMP 10
#define PROTO_IP_BGMP 11
#define PROTO_IP_VRRP 112
#define PROTO_IP_BOOTP 9999
#define PROTO_IP_DNS_PROXY 10003
#define PROTO_IP_DHCP_ALLOCATOR 10004
#define PROTO_IP_NAT 10005
#define PROTO_IP_DIFFSERV 10008
#define PROTO_IP_MGM 10009
#define PROTO_IP_ALG 10010
#define PROTO_IP_H323 10011
#define PROTO_IP_FTP 10012
#define PROTO_IP_DTP 10013
#endif
#ifndef PROTOCOL_ID
#define PROTOCOL_ID(Type, VendorId, ProtocolId) \
    ((((DWORD)(Type) & 0x03) << 30) | (((DWORD)(VendorId) & 0x3FFF) << 16) | \
     ((DWORD)(ProtocolId) & 0xFFFF))
#endif
#ifndef TYPE_FROM_PROTO_ID
#define TYPE_FROM_PROTO_ID(Id) (((Id) >> 30) & 0x03)
#define VENDOR_FROM_PROTO_ID(Id) (((Id) >> 16) & 0x3FFF)
#define PROTO_FROM_PROTO_ID(Id) ((Id) & 0xFFFF)
#endif
#ifndef MS_IP_IGMP
#define MS_IP_IGMP 0x4137000A
#endif
#ifndef MS_IP_MGM
#define MS_IP_MGM 0x81372719
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Forwarding entries: the records of ipmib.h, unless ipmib.h has defined them already. */
#ifndef SIZEOF_BASIC_MIB_MFE

#ifndef ANY_SIZE
#define ANY_SIZE 1
#endif

/** One outgoing interface of a MIB_IPMCAST_MFE. */
struct _MIB_IPMCAST_OIF {
    /** The interface's index. */
    DWORD dwOutIfIndex;
    /** The next hop's address, network byte order; 0 where there is none. */
    DWORD dwNextHopAddr;
    /** Always 0. */
    DWORD dwReserved;
    /** Always 0. */
    DWORD dwReserved1;
};

/** One outgoing interface of a MIB_IPMCAST_MFE. */
typedef struct _MIB_IPMCAST_OIF MIB_IPMCAST_OIF;

/** A pointer to MIB_IPMCAST_OIF. */
typedef struct _MIB_IPMCAST_OIF *PMIB_IPMCAST_OIF;

/**
 * A multicast forwarding entry (MFE).
 *
 * Addresses and masks are in network byte order, times in seconds. The record is as long as its
 * list of outgoing interfaces: SIZEOF_MIB_MFE(ulNumOutIf) octets, even where ulNumOutIf is 0.
 *
 * As an argument (pimm, pimmStart, pmimm) only dwGroup and dwSource are read, by MgmSetMfe
 * dwUpStrmNgbr also.
 */
struct _MIB_IPMCAST_MFE {
    /** The group. */
    DWORD dwGroup;
    /** The source. */
    DWORD dwSource;
    /** The source's mask: always 255.255.255.255. */
    DWORD dwSrcMask;
    /** The upstream neighbour: where packets of this source come from. */
    DWORD dwUpStrmNgbr;
    /** The incoming interface's index. */
    DWORD dwInIfIndex;
    /** The protocol id of the client that owns the incoming interface; 0 where nobody does. */
    DWORD dwInIfProtocol;
    /** The protocol that the route toward the source came from (MIB_IPPROTO_*). */
    DWORD dwRouteProtocol;
    /** The prefix of that route. */
    DWORD dwRouteNetwork;
    /** The mask of that prefix. */
    DWORD dwRouteMask;
    /** Seconds since the entry was made. Goes on where its lifetime ends and it is made anew in place. */
    ULONG ulUpTime;
    /** Seconds until its lifetime ends, begun seconds counted as whole. */
    ULONG ulExpiryTime;
    /** Its whole lifetime in seconds. */
    ULONG ulTimeOut;
    /** How many outgoing interfaces follow; 0: a negative entry. */
    ULONG ulNumOutIf;
    /** Always 0. */
    DWORD fFlags;
    /** Always 0. */
    DWORD dwReserved;
    /** The outgoing interfaces, by index, then next hop. */
    MIB_IPMCAST_OIF rgmioOutInfo[1];
};

/** A multicast forwarding entry. */
typedef struct _MIB_IPMCAST_MFE MIB_IPMCAST_MFE;

/** A pointer to MIB_IPMCAST_MFE. */
typedef struct _MIB_IPMCAST_MFE *PMIB_IPMCAST_MFE;

/** A counted array of entries; no function of mgm.h takes one. */
struct _MIB_MFE_TABLE {
    /** How many. */
    DWORD dwNumEntries;
    /** The entries. */
    MIB_IPMCAST_MFE table[1];
};

/** A counted array of entries. */
typedef struct _MIB_MFE_TABLE MIB_MFE_TABLE;

/** A pointer to MIB_MFE_TABLE. */
typedef struct _MIB_MFE_TABLE *PMIB_MFE_TABLE;

/** One outgoing interface of a statistics record. Counters are 32 bits wide and wrap. */
struct _MIB_IPMCAST_OIF_STATS {
    /** The interface's index. */
    DWORD dwOutIfIndex;
    /** The next hop's address, network byte order; 0 where there is none. */
    DWORD dwNextHopAddr;
    /** Always 0. */
    DWORD dwDialContext;
    /**
     * Packets not sent out of it since it joined the entry, because their TTL was 1 or 0. Counted
     * by the memory forwarder; otherwise 0.
     */
    ULONG ulTtlTooLow;
    /** Always 0: not counted. */
    ULONG ulFragNeeded;
    /**
     * Packets sent out of it since it joined the entry. The kernel and a custom forwarder count for
     * an entry alone: with them it is what came in since the interface joined, whether or not it left.
     */
    ULONG ulOutPackets;
    /** Always 0: not counted. */
    ULONG ulOutDiscards;
};

/** One outgoing interface of a statistics record. */
typedef struct _MIB_IPMCAST_OIF_STATS MIB_IPMCAST_OIF_STATS;

/** A pointer to MIB_IPMCAST_OIF_STATS. */
typedef struct _MIB_IPMCAST_OIF_STATS *PMIB_IPMCAST_OIF_STATS;

/**
 * An entry with its statistics (MGM_MFE_STATS_0).
 *
 * As MIB_IPMCAST_MFE, but with times in hundredths of a second. Counters are 32 bits wide and
 * wrap. Its length is SIZEOF_MIB_MFE_STATS(ulNumOutIf).
 */
struct _MIB_IPMCAST_MFE_STATS {
    /** The group. */
    DWORD dwGroup;
    /** The source. */
    DWORD dwSource;
    /** The source's mask: always 255.255.255.255. */
    DWORD dwSrcMask;
    /** The upstream neighbour. */
    DWORD dwUpStrmNgbr;
    /** The incoming interface's index. */
    DWORD dwInIfIndex;
    /** The protocol id of the client that owns the incoming interface; 0 where nobody does. */
    DWORD dwInIfProtocol;
    /** The protocol that the route toward the source came from. */
    DWORD dwRouteProtocol;
    /** The prefix of that route. */
    DWORD dwRouteNetwork;
    /** The mask of that prefix. */
    DWORD dwRouteMask;
    /** Hundredths of a second since the entry was made. */
    ULONG ulUpTime;
    /** Hundredths of a second until its lifetime ends. */
    ULONG ulExpiryTime;
    /** How many outgoing interfaces follow. */
    ULONG ulNumOutIf;
    /**
     * Packets that came in on the incoming interface: forwarded, or dropped where there is no outgoing
     * one.
     */
    ULONG ulInPkts;
    /** Octets of those packets, IP headers included. */
    ULONG ulInOctets;
    /** Packets that came in on another interface and were dropped. */
    ULONG ulPktsDifferentIf;
    /** Always 0: not counted. */
    ULONG ulQueueOverflow;
    /** The outgoing interfaces, by index, then next hop. */
    MIB_IPMCAST_OIF_STATS rgmiosOutStats[1];
};

/** An entry with its statistics. */
typedef struct _MIB_IPMCAST_MFE_STATS MIB_IPMCAST_MFE_STATS;

/** A pointer to MIB_IPMCAST_MFE_STATS. */
typedef struct _MIB_IPMCAST_MFE_STATS *PMIB_IPMCAST_MFE_STATS;

/** A counted array of entries with statistics; no function of mgm.h takes one. */
struct _MIB_MFE_STATS_TABLE {
    /** How many. */
    DWORD dwNumEntries;
    /** The entries. */
    MIB_IPMCAST_MFE_STATS table[1];
};

/** A counted array of entries with statistics. */
typedef struct _MIB_MFE_STATS_TABLE MIB_MFE_STATS_TABLE;

/** A pointer to MIB_MFE_STATS_TABLE. */
typedef struct _MIB_MFE_STATS_TABLE *PMIB_MFE_STATS_TABLE;

/**
 * An entry with extended statistics (MGM_MFE_STATS_1).
 *
 * As MIB_IPMCAST_MFE_STATS; its length is SIZEOF_MIB_MFE_STATS_EX(ulNumOutIf).
 */
struct _MIB_IPMCAST_MFE_STATS_EX {
    /** The group. */
    DWORD dwGroup;
    /** The source. */
    DWORD dwSource;
    /** The source's mask: always 255.255.255.255. */
    DWORD dwSrcMask;
    /** The upstream neighbour. */
    DWORD dwUpStrmNgbr;
    /** The incoming interface's index. */
    DWORD dwInIfIndex;
    /** The protocol id of the client that owns the incoming interface; 0 where nobody does. */
    DWORD dwInIfProtocol;
    /** The protocol that the route toward the source came from. */
    DWORD dwRouteProtocol;
    /** The prefix of that route. */
    DWORD dwRouteNetwork;
    /** The mask of that prefix. */
    DWORD dwRouteMask;
    /** Hundredths of a second since the entry was made. */
    ULONG ulUpTime;
    /** Hundredths of a second until its lifetime ends. */
    ULONG ulExpiryTime;
    /** How many outgoing interfaces follow. */
    ULONG ulNumOutIf;
    /**
     * Packets that came in on the incoming interface: forwarded, or dropped where there is no outgoing
     * one.
     */
    ULONG ulInPkts;
    /** Octets of those packets, IP headers included. */
    ULONG ulInOctets;
    /** Packets that came in on another interface and were dropped. */
    ULONG ulPktsDifferentIf;
    /** Always 0: not counted. */
    ULONG ulQueueOverflow;
    /** Always 0: not counted. */
    ULONG ulUninitMfe;
    /** Always 0: not counted. */
    ULONG ulNegativeMfe;
    /** Always 0: not counted. */
    ULONG ulInDiscards;
    /** Always 0: not counted. */
    ULONG ulInHdrErrors;
    /** The sum of all ulOutPackets. */
    ULONG ulTotalOutPackets;
    /** The outgoing interfaces, by index, then next hop. */
    MIB_IPMCAST_OIF_STATS rgmiosOutStats[1];
};

/** An entry with extended statistics. */
typedef struct _MIB_IPMCAST_MFE_STATS_EX MIB_IPMCAST_MFE_STATS_EX;

/** A pointer to MIB_IPMCAST_MFE_STATS_EX. */
typedef struct _MIB_IPMCAST_MFE_STATS_EX *PMIB_IPMCAST_MFE_STATS_EX;

/** A counted array of entries with extended statistics; no function of mgm.h takes one. */
struct _MIB_MFE_STATS_TABLE_EX {
    /** How many. */
    DWORD dwNumEntries;
    /** The entries. */
    MIB_IPMCAST_MFE_STATS_EX table[1];
};

/** A counted array of entries with extended statistics. */
typedef struct _MIB_MFE_STATS_TABLE_EX MIB_MFE_STATS_TABLE_EX;

/** A pointer to MIB_MFE_STATS_TABLE_EX. */
typedef struct _MIB_MFE_STATS_TABLE_EX *PMIB_MFE_STATS_TABLE_EX;

/*
 * The sizes of the records: BASIC without any outgoing interface, the others with n of them. In a
 * buffer the records stand back to back, each with its own n.
 */
#define SIZEOF_BASIC_MIB_MFE ((ULONG)(sizeof(MIB_IPMCAST_MFE) - sizeof(MIB_IPMCAST_OIF)))
#define SIZEOF_MIB_MFE(n) (SIZEOF_BASIC_MIB_MFE + (n) * (ULONG)sizeof(MIB_IPMCAST_OIF))
#define SIZEOF_BASIC_MIB_MFE_STATS \
    ((ULONG)(sizeof(MIB_IPMCAST_MFE_STATS) - sizeof(MIB_IPMCAST_OIF_STATS)))
#define SIZEOF_MIB_MFE_STATS(n) \
    (SIZEOF_BASIC_MIB_MFE_STATS + (n) * (ULONG)sizeof(MIB_IPMCAST_OIF_STATS))
#define SIZEOF_BASIC_MIB_MFE_STATS_EX \
    ((ULONG)(sizeof(MIB_IPMCAST_MFE_STATS_EX) - sizeof(MIB_IPMCAST_OIF_STATS)))
#define SIZEOF_MIB_MFE_STATS_EX(n) \
    (SIZEOF_BASIC_MIB_MFE_STATS_EX + (n) * (ULONG)sizeof(MIB_IPMCAST_OIF_STATS))

#endif /* SIZEOF_BASIC_MIB_MFE */

/* What pbRoute of an RPF callback points at, unless rtmv2.h has defined it already. */
#ifndef RTM_MAX_ADDRESS_SIZE

/** The octets of the longest address. */
#define RTM_MAX_ADDRESS_SIZE 16

/** A view: RTM_VIEW_ID_UCAST or RTM_VIEW_ID_MCAST. */
typedef INT RTM_VIEW_ID;

/** A set of views: RTM_VIEW_MASK_*. */
typedef DWORD RTM_VIEW_SET;

/** A destination in a routing table; here always NULL. */
typedef HANDLE RTM_DEST_HANDLE;

/** A route in a routing table; here always NULL. */
typedef HANDLE RTM_ROUTE_HANDLE;

/** Who put a route there; here always NULL. */
typedef HANDLE RTM_ENTITY_HANDLE;

/** An address prefix. */
struct _RTM_NET_ADDRESS {
    /** AF_INET. */
    USHORT AddressFamily;
    /** The prefix's length in bits: 0 to 32. */
    USHORT NumBits;
    /** The address in network byte order, in the first four octets. */
    BYTE AddrBits[16];
};

/** An address prefix. */
typedef struct _RTM_NET_ADDRESS RTM_NET_ADDRESS;

/** A pointer to RTM_NET_ADDRESS. */
typedef struct _RTM_NET_ADDRESS *PRTM_NET_ADDRESS;

/** A destination in one view. */
struct _RTM_DEST_VIEW_INFO {
    /** RTM_VIEW_ID_MCAST. */
    RTM_VIEW_ID ViewId;
    /** 1. */
    UINT NumRoutes;
    /** NULL. */
    RTM_ROUTE_HANDLE Route;
    /** NULL. */
    RTM_ENTITY_HANDLE Owner;
    /** 0. */
    DWORD DestFlags;
    /** NULL. */
    RTM_ROUTE_HANDLE HoldRoute;
};

/** The unicast destination that a source falls under: what pbRoute of an RPF callback points at. */
struct _RTM_DEST_INFO {
    /** NULL: there is no routing table manager to ask. */
    RTM_DEST_HANDLE DestHandle;
    /** The prefix that matched. */
    RTM_NET_ADDRESS DestAddress;
    /** 0. */
    FILETIME LastChanged;
    /** RTM_VIEW_MASK_MCAST. */
    RTM_VIEW_SET BelongsToViews;
    /** 1. */
    UINT NumberOfViews;
    /** The one view. */
    struct _RTM_DEST_VIEW_INFO ViewInfo[1];
};

/** The unicast destination that a source falls under. */
typedef struct _RTM_DEST_INFO RTM_DEST_INFO;

/** A pointer to RTM_DEST_INFO. */
typedef struct _RTM_DEST_INFO *PRTM_DEST_INFO;

/** The view for unicast routing. */
#define RTM_VIEW_ID_UCAST 0

/** The view for multicast routing. */
#define RTM_VIEW_ID_MCAST 1

/** RTM_VIEW_ID_UCAST as a bit of RTM_VIEW_SET. */
#define RTM_VIEW_MASK_UCAST 1

/** RTM_VIEW_ID_MCAST as a bit of RTM_VIEW_SET. */
#define RTM_VIEW_MASK_MCAST 2

/* The size of an RTM_DEST_INFO with so many views; pbRoute points at one with one view. */
#define RTM_BASIC_DEST_INFO_SIZE ((ULONG)(sizeof(RTM_DEST_INFO) - RTM_DEST_VIEW_INFO_SIZE))
#define RTM_DEST_VIEW_INFO_SIZE ((ULONG)sizeof(struct _RTM_DEST_VIEW_INFO))
#define RTM_SIZE_OF_DEST_INFO(NumViews) \
    (RTM_BASIC_DEST_INFO_SIZE + (ULONG)(NumViews) * RTM_DEST_VIEW_INFO_SIZE)

/*
 * IPv4 prefixes in an RTM_NET_ADDRESS, which NetAddress points at. Addr and Mask are in network byte
 * order, Len is the length of the prefix. They need htonl() and ntohl(): <arpa/inet.h>. Those that
 * are called GET and LEN_FROM_MASK assign to their first arguments; MASK_FROM_LEN is an expression,
 * all others are statements, with or without a semicolon behind them.
 */
#define RTM_IPV4_MAKE_NET_ADDRESS(NetAddress, Addr, Len) \
    RTM_IPV4_SET_ADDR_AND_LEN(NetAddress, Addr, Len)
#define RTM_IPV4_MASK_FROM_LEN(Len) \
    ((DWORD)((Len) != 0 ? htonl((DWORD)0xFFFFFFFF << (32 - (Len))) : 0))
#define RTM_IPV4_LEN_FROM_MASK(Len, Mask) \
    { \
        DWORD RtmBits_ = ntohl(Mask), RtmLen_ = 0; \
        for (; RtmBits_ != 0; RtmBits_ <<= 1) \
            RtmLen_++; \
        (Len) = (USHORT)RtmLen_; \
    }
#define RTM_IPV4_SET_ADDR_AND_LEN(NetAddress, Addr, Len) \
    { \
        DWORD RtmAddr_ = ntohl(Addr); \
        (NetAddress)->AddressFamily = 2; /* AF_INET, here and on Windows */ \
        (NetAddress)->NumBits = (USHORT)(Len); \
        (NetAddress)->AddrBits[0] = (BYTE)(RtmAddr_ >> 24); \
        (NetAddress)->AddrBits[1] = (BYTE)(RtmAddr_ >> 16 & 0xFF); \
        (NetAddress)->AddrBits[2] = (BYTE)(RtmAddr_ >> 8 & 0xFF); \
        (NetAddress)->AddrBits[3] = (BYTE)(RtmAddr_ & 0xFF); \
    }
#define RTM_IPV4_SET_ADDR_AND_MASK(NetAddress, Addr, Mask) \
    { \
        USHORT RtmBitsSet_; \
        RTM_IPV4_LEN_FROM_MASK(RtmBitsSet_, Mask) \
        RTM_IPV4_SET_ADDR_AND_LEN(NetAddress, Addr, RtmBitsSet_) \
    }
#define RTM_IPV4_GET_ADDR_AND_LEN(Addr, Len, NetAddress) \
    { \
        (Len) = (NetAddress)->NumBits; \
        (Addr) = htonl((DWORD)(NetAddress)->AddrBits[0] << 24 | \
                       (DWORD)(NetAddress)->AddrBits[1] << 16 | \
                       (DWORD)(NetAddress)->AddrBits[2] << 8 | (NetAddress)->AddrBits[3]); \
    }
#define RTM_IPV4_GET_ADDR_AND_MASK(Addr, Mask, NetAddress) \
    { \
        RTM_IPV4_GET_ADDR_AND_LEN(Addr, Mask, NetAddress) \
        (Mask) = RTM_IPV4_MASK_FROM_LEN((NetAddress)->NumBits); \
    }

#endif /* RTM_MAX_ADDRESS_SIZE */

/** One outgoing interface in a creation alert. */
struct _MGM_IF_ENTRY {
    /** The interface's index. */
    DWORD dwIfIndex;
    /** The next hop's address, network byte order; 0 where there is none. */
    DWORD dwIfNextHopAddr;
    /** Whether IGMP is on the interface too. */
    BOOL bIGMP;
    /**
     * TRUE when the callback is entered. FALSE when it returns: nothing of this flow is to go
     * out of the interface.
     */
    BOOL bIsEnabled;
};

/** One outgoing interface in a creation alert. */
typedef struct _MGM_IF_ENTRY MGM_IF_ENTRY;

/** A pointer to MGM_IF_ENTRY. */
typedef struct _MGM_IF_ENTRY *PMGM_IF_ENTRY;

/**
 * The first packet of a new flow came in, or a flow's entry is made anew. Goes to the client
 * that owns the interface toward the source; comes before every other callback of the flow.
 *
 * The three pointers hold the unicast route's answer and may be changed: the incoming interface
 * to another one that the client owns (any other is ignored), the upstream neighbour to any
 * address. With interface 0 it refuses the flow, whose packets are dropped for 60 seconds without
 * another callback.
 *
 * pbPacketHdr is the packet's IP header with its options, and as much of its data as the forwarder
 * has: all of it, or none on the kernel forwarder; dwHdrSize >= 20 octets in all. Where an entry is
 * made anew without a packet it is a header of 20 octets. pbRoute is an RTM_DEST_INFO with the
 * prefix that matched. Both are copies, valid until the callback returns; what is written into them
 * is not read.
 */
typedef DWORD (*PMGM_RPF_CALLBACK)(DWORD dwSourceAddr,
                                   DWORD dwSourceMask,
                                   DWORD dwGroupAddr,
                                   DWORD dwGroupMask,
                                   PDWORD pdwInIfIndex,
                                   PDWORD pdwInIfNextHopAddr,
                                   PDWORD pdwUpStreamNbr,
                                   DWORD dwHdrSize,
                                   PBYTE pbPacketHdr,
                                   PBYTE pbRoute);

/**
 * An entry is about to be made. Goes to each client that owns interfaces among the outgoing
 * ones, with its own interfaces only, before the first packet is forwarded.
 *
 * dwInIfIndex and dwInIfNextHopAddr name the incoming interface. To keep an interface out of the
 * entry set its bIsEnabled to FALSE; everything else in the array is only read. The array is
 * valid until the callback returns.
 *
 * A member that comes when the entry is there raises no creation alert: its interface joins the
 * entry at once. An owner that does not want it there deletes the membership with
 * MGM_FORWARD_STATE_FLAG, which may be done inside its local-join callback.
 */
typedef DWORD (*PMGM_CREATION_ALERT_CALLBACK)(DWORD dwSourceAddr,
                                              DWORD dwSourceMask,
                                              DWORD dwGroupAddr,
                                              DWORD dwGroupMask,
                                              DWORD dwInIfIndex,
                                              DWORD dwInIfNextHopAddr,
                                              DWORD dwIfCount,
                                              PMGM_IF_ENTRY pmieOutIfList);

/**
 * Receivers are gone.
 *
 * bMemberDelete TRUE: no other client has this membership any more, or routes have changed and
 * the client does not own the interface toward its source any more; (0, 0) means all sources and
 * groups.
 * bMemberDelete FALSE: an entry whose incoming interface the client owns has no outgoing
 * interfaces any more (or never had any); *pdwTimeout, 900 on entry, then becomes the entry's
 * lifetime in seconds (0 means 900, at most 86400).
 *
 * dwIfIndex and dwIfNextHopAddr name the interface that was removed.
 */
typedef DWORD (*PMGM_PRUNE_ALERT_CALLBACK)(DWORD dwSourceAddr,
                                           DWORD dwSourceMask,
                                           DWORD dwGroupAddr,
                                           DWORD dwGroupMask,
                                           DWORD dwIfIndex,
                                           DWORD dwIfNextHopAddr,
                                           BOOL bMemberDelete,
                                           PDWORD pdwTimeout);

/**
 * Receivers are there.
 *
 * bMemberUpdate TRUE: other clients have this membership now; (0, 0) means all sources and groups.
 * bMemberUpdate FALSE: an entry whose incoming interface the client owns has an outgoing
 * interface, by another client's doing.
 */
typedef DWORD (*PMGM_JOIN_ALERT_CALLBACK)(DWORD dwSourceAddr,
                                          DWORD dwSourceMask,
                                          DWORD dwGroupAddr,
                                          DWORD dwGroupMask,
                                          BOOL bMemberUpdate);

/**
 * A packet came in on an interface that is not its entry's incoming one. Goes to the client that
 * owns the interface it came in on, for one entry at most once in 3 seconds.
 *
 * pbPacketHdr and dwHdrSize are as in the RPF callback; valid until the callback returns.
 */
typedef DWORD (*PMGM_WRONG_IF_CALLBACK)(DWORD dwSourceAddr,
                                        DWORD dwGroupAddr,
                                        DWORD dwIfIndex,
                                        DWORD dwIfNextHopAddr,
                                        DWORD dwHdrSize,
                                        PBYTE pbPacketHdr);

/**
 * IGMP added a membership on an interface that the client owns. A client without this callback
 * has IGMP's memberships counted like any client's.
 */
typedef DWORD (*PMGM_LOCAL_JOIN_CALLBACK)(DWORD dwSourceAddr,
                                          DWORD dwSourceMask,
                                          DWORD dwGroupAddr,
                                          DWORD dwGroupMask,
                                          DWORD dwIfIndex,
                                          DWORD dwIfNextHopAddr);

/** IGMP deleted a membership on an interface that the client owns. */
typedef DWORD (*PMGM_LOCAL_LEAVE_CALLBACK)(DWORD dwSourceAddr,
                                           DWORD dwSourceMask,
                                           DWORD dwGroupAddr,
                                           DWORD dwGroupMask,
                                           DWORD dwIfIndex,
                                           DWORD dwIfNextHopAddr);

/**
 * To IGMP: a routing protocol is about to take or release this interface. Until the enable
 * callback, IGMP's adds and deletes on it give ERROR_CAN_NOT_COMPLETE.
 */
typedef DWORD (*PMGM_DISABLE_IGMP_CALLBACK)(DWORD dwIfIndex, DWORD dwIfNextHopAddr);

/**
 * To IGMP: the interface has its new owner and IGMP's memberships on it were dropped; they are
 * to be added again, which may be done inside this callback.
 */
typedef DWORD (*PMGM_ENABLE_IGMP_CALLBACK)(DWORD dwIfIndex, DWORD dwIfNextHopAddr);

/** A client's callbacks. Any of them may be NULL. MgmRegisterMProtocol copies the structure. */
struct _ROUTING_PROTOCOL_CONFIG {
    /**
     * 0, or MGM_DISPATCHED and MGM_ROUTELESS_FLOWS of mgm_host.h. Anything whose upper 16 bits are not
     * 0x4D47 is ignored.
     */
    DWORD dwCallbackFlags;
    /** A new flow. */
    PMGM_RPF_CALLBACK pfnRpfCallback;
    /** An entry is about to be made. */
    PMGM_CREATION_ALERT_CALLBACK pfnCreationAlertCallback;
    /** Receivers are gone. */
    PMGM_PRUNE_ALERT_CALLBACK pfnPruneAlertCallback;
    /** Receivers are there. */
    PMGM_JOIN_ALERT_CALLBACK pfnJoinAlertCallback;
    /** A packet came in on the wrong interface. */
    PMGM_WRONG_IF_CALLBACK pfnWrongIfCallback;
    /** IGMP added a membership. */
    PMGM_LOCAL_JOIN_CALLBACK pfnLocalJoinCallback;
    /** IGMP deleted a membership. */
    PMGM_LOCAL_LEAVE_CALLBACK pfnLocalLeaveCallback;
    /** To IGMP only: an interface is about to change its owner. */
    PMGM_DISABLE_IGMP_CALLBACK pfnDisableIgmpCallback;
    /** To IGMP only: it has changed its owner. */
    PMGM_ENABLE_IGMP_CALLBACK pfnEnableIgmpCallback;
};

/** A client's callbacks. */
typedef struct _ROUTING_PROTOCOL_CONFIG ROUTING_PROTOCOL_CONFIG;

/** A pointer to ROUTING_PROTOCOL_CONFIG. */
typedef struct _ROUTING_PROTOCOL_CONFIG *PROUTING_PROTOCOL_CONFIG;

/**
 * One row of a group enumeration. A source of 0 with a group is any source; the all-zero row is
 * every group. Masks are all ones where the address is not 0, and 0 where it is.
 */
struct _SOURCE_GROUP_ENTRY {
    /** The source, network byte order. */
    DWORD dwSourceAddr;
    /** Its mask. */
    DWORD dwSourceMask;
    /** The group, network byte order. */
    DWORD dwGroupAddr;
    /** Its mask. */
    DWORD dwGroupMask;
};

/** One row of a group enumeration. */
typedef struct _SOURCE_GROUP_ENTRY SOURCE_GROUP_ENTRY;

/** A pointer to SOURCE_GROUP_ENTRY. */
typedef struct _SOURCE_GROUP_ENTRY *PSOURCE_GROUP_ENTRY;

/**
 * dwFlags of MgmAddGroupMembershipEntry and MgmDeleteGroupMembershipEntry: the membership
 * itself.
 */
#define MGM_JOIN_STATE_FLAG 1

/** dwFlags of the same: the outgoing interfaces of the forwarding entries that exist. */
#define MGM_FORWARD_STATE_FLAG 2

/** dwFlags of the statistics functions: records are MIB_IPMCAST_MFE_STATS. */
#define MGM_MFE_STATS_0 1

/** dwFlags of the statistics functions: records are MIB_IPMCAST_MFE_STATS_EX. */
#define MGM_MFE_STATS_1 2

/* The flag's name in Microsoft's documentation. */
#define MGM_FORWARD_STATE MGM_FORWARD_STATE_FLAG

/* The kinds of group enumeration. */
typedef enum _MGM_ENUM_TYPES {
    /* One row for each group. */
    ANY_SOURCE = 0,
    /* One row for each group's membership for any source, and for each source. */
    ALL_SOURCES
} MGM_ENUM_TYPES;

/**
 * Registers a client: a routing protocol, or IGMP.
 *
 * IGMP is recognised by its protocol id: MS_IP_IGMP, the same of another vendor, or plain
 * PROTO_IP_IGMP. The pair (dwProtocolId, dwComponentId) must be new; the same protocol id with another
 * component id is another client. Where no host runs yet, one is started from the environment
 * (MGM_FORWARDER and its like, see mgm_host.h).
 *
 * @param prpiInfo the client's callbacks, and flags for them; copied.
 * @param dwProtocolId PROTOCOL_ID(type, vendor, number), in host order.
 * @param dwComponentId tells clients with the same protocol id apart, in host order.
 * @param phProtocol receives the client's handle.
 *
 * @par Callbacks and threads
 * Makes no callback. From here on the client's callbacks may run, some of them before this has
 * returned. Alerts of what happened before are not given: a client that registers late enumerates the
 * groups.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: prpiInfo or phProtocol is NULL.
 * - ERROR_ALREADY_EXISTS: the pair is registered.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: the library could not start (an environment variable makes no sense, the
 *   kernel refused), or nothing runs and the call is made inside a callback or a function of the
 *   host's while another thread is starting or stopping; the log says why.
 *
 * @pre prpiInfo points at a ROUTING_PROTOCOL_CONFIG whose functions are of the declared types and stay
 * callable until the client is deregistered; phProtocol points at a HANDLE.
 */
DWORD MgmRegisterMProtocol(PROUTING_PROTOCOL_CONFIG prpiInfo,
                           DWORD dwProtocolId,
                           DWORD dwComponentId,
                           HANDLE *phProtocol);

/**
 * Ends a registration. The client must have released its interfaces. Its open enumerations end with
 * it.
 *
 * @param hProtocol the client's handle.
 *
 * @par Callbacks and threads
 * When this has returned NO_ERROR, no callback of the client is running or will ever run again: its
 * code may be unloaded. So it waits for the client's running callback, without a limit. Where it is
 * called inside the client's own callback, none starts after that callback has returned.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client.
 * - ERROR_CAN_NOT_COMPLETE: the client still owns an interface, or (called from inside a callback)
 *   waiting for the client's running callback would never end.
 */
DWORD MgmDeRegisterMProtocol(HANDLE hProtocol);

/**
 * Takes an interface: the client will run multicast routing on it.
 *
 * One routing protocol owns an interface at a time; IGMP may be on it too, taken before or after.
 *
 * @param hProtocol the client's handle.
 * @param dwIfIndex the interface's index, in host order; the one that if_nametoindex() gives for the
 *        kernel forwarder.
 * @param dwIfNextHopAddr the next hop on a point-to-multipoint interface, network byte order; 0
 *        elsewhere. Two next hops on one index are two interfaces.
 *
 * @par Callbacks and threads
 * Where IGMP is on the interface already, it gets its disable callback; then the ownership changes,
 * and IGMP's memberships there are dropped; then it gets its enable callback and adds them again,
 * inside the callback or later. All of this has happened when the call returns, unless it is made
 * inside a callback and IGMP is inside one too. There is no alert about what other clients have said
 * before: the client enumerates the groups.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client.
 * - ERROR_ALREADY_EXISTS: another routing protocol owns the interface (to IGMP: another IGMP client is
 *   on it), or the client is on it already.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: the forwarder refused the interface (there is no such device, or no room
 *   for another); the log says why.
 */
DWORD MgmTakeInterfaceOwnership(HANDLE hProtocol,
                                DWORD dwIfIndex,
                                DWORD dwIfNextHopAddr);

/**
 * Releases an interface. The client's memberships on it go; forwarding entries whose incoming
 * interface it is are deleted, and it leaves the others' lists.
 *
 * @param hProtocol the client's handle.
 * @param dwIfIndex,dwIfNextHopAddr the interface, as it was taken: its index in host order, its next
 *        hop in network byte order.
 *
 * @par Callbacks and threads
 * Other clients hear the alerts that deleting the memberships one by one would cause. IGMP, where it
 * stays behind, gets its disable and enable callbacks as with MgmTakeInterfaceOwnership. All of them
 * have been delivered when a call made outside any callback returns.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or the client is not
 *   on that interface.
 * - ERROR_CAN_NOT_COMPLETE
 */
DWORD MgmReleaseInterfaceOwnership(HANDLE hProtocol,
                                   DWORD dwIfIndex,
                                   DWORD dwIfNextHopAddr);

/**
 * Gives the client that owns an interface: the routing protocol, or IGMP where it is alone. Needs no
 * registration.
 *
 * @param dwIfIndex,dwIfNextHopAddr the interface: its index in host order, its next hop in network
 *        byte order.
 * @param pdwIfProtocolId receives the owner's protocol id.
 * @param pdwIfComponentId receives the owner's component id.
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: pdwIfProtocolId or pdwIfComponentId is NULL.
 * - ERROR_NOT_FOUND: nobody is on that interface.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre Both pointers point at DWORDs.
 */
DWORD MgmGetProtocolOnInterface(DWORD dwIfIndex,
                                DWORD dwIfNextHopAddr,
                                PDWORD pdwIfProtocolId,
                                PDWORD pdwIfComponentId);

/**
 * Adds a group membership on an interface, or adds the interface to forwarding entries.
 *
 * A membership is for one source and group (S,G), for any source of a group (*,G: source 0), or for
 * everything (*,*: source and group 0). Each mask is 255.255.255.255, or 0 where its address is 0;
 * ranges are not supported. Groups in 224.0.0.0/24 may be joined; they are never forwarded.
 *
 * MGM_JOIN_STATE_FLAG adds the membership, brings every matching forwarding entry up to date and
 * alerts other clients. Adding what is there gives NO_ERROR and no alert. MGM_FORWARD_STATE_FLAG
 * changes existing entries only: the interface becomes an outgoing one of each that matches. It is for
 * the interface's owner; from IGMP, where a routing protocol owns the interface, it is ignored, and
 * the log says so.
 *
 * @param hProtocol the client's handle.
 * @param dwSourceAddr,dwSourceMask,dwGroupAddr,dwGroupMask in network byte order.
 * @param dwIfIndex,dwIfNextHopIPAddr an interface that the client has taken: its index in host order,
 *        its next hop in network byte order.
 * @param dwFlags MGM_JOIN_STATE_FLAG, MGM_FORWARD_STATE_FLAG or both.
 *
 * @par Callbacks and threads
 * Other clients hear of the first membership of each kind. (*,*), each (*,G) and each (S,G) stand
 * alone: a client that has (*,*) counts for no (*,G). The first client that has (*,G), or (*,*),
 * causes a join alert to all others, and a second one causes one to the first. For (S,G) the owner of
 * the interface toward S alone is alerted, of the first client other than itself. Where IGMP adds on
 * an interface that a routing protocol owns, the owner gets its local-join callback instead, and
 * causes the alerts when it adds the membership too; an owner without that callback has IGMP's
 * membership counted like any other. Alerts caused by a call made outside any callback have been
 * delivered when it returns.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client; a mask is a range;
 *   the group is not in 224.0.0.0/4; the source is multicast, 255.255.255.255 or in 127.0.0.0/8; a
 *   source without a group; dwFlags has no flag or an unknown one; the client is not on that
 *   interface.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: to IGMP, between its disable and enable callbacks.
 */
DWORD MgmAddGroupMembershipEntry(HANDLE hProtocol,
                                 DWORD dwSourceAddr,
                                 DWORD dwSourceMask,
                                 DWORD dwGroupAddr,
                                 DWORD dwGroupMask,
                                 DWORD dwIfIndex,
                                 DWORD dwIfNextHopIPAddr,
                                 DWORD dwFlags);

/**
 * Deletes a group membership on an interface, or takes the interface out of forwarding entries.
 *
 * MGM_JOIN_STATE_FLAG deletes the membership and brings the entries up to date; deleting one that is
 * not there gives NO_ERROR and no alert. With MGM_FORWARD_STATE_FLAG the interface leaves each
 * matching entry, even where a membership would keep it there (a prune), until the client adds a
 * membership that covers the entry. Addresses and masks are as in MgmAddGroupMembershipEntry.
 *
 * @param hProtocol the client's handle.
 * @param dwSourceAddr,dwSourceMask,dwGroupAddr,dwGroupMask in network byte order.
 * @param dwIfIndex,dwIfNextHopIPAddr an interface that the client has taken: its index in host order,
 *        its next hop in network byte order.
 * @param dwFlags MGM_JOIN_STATE_FLAG, MGM_FORWARD_STATE_FLAG or both.
 *
 * @par Callbacks and threads
 * The last clients to leave cause prune alerts, as the first ones cause join alerts
 * (MgmAddGroupMembershipEntry). Where IGMP deletes on an interface that a routing protocol owns, the
 * owner gets its local-leave callback instead. Alerts caused by a call made outside any callback have
 * been delivered when it returns.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client; a mask is a range;
 *   the group is not in 224.0.0.0/4; the source is multicast, 255.255.255.255 or in 127.0.0.0/8; a
 *   source without a group; dwFlags has no flag or an unknown one; only other clients are on that
 *   interface.
 * - ERROR_NOT_FOUND: no client is on that interface.
 * - ERROR_CAN_NOT_COMPLETE: to IGMP, between its disable and enable callbacks; or memory ran out.
 */
DWORD MgmDeleteGroupMembershipEntry(HANDLE hProtocol,
                                    DWORD dwSourceAddr,
                                    DWORD dwSourceMask,
                                    DWORD dwGroupAddr,
                                    DWORD dwGroupMask,
                                    DWORD dwIfIndex,
                                    DWORD dwIfNextHopIPAddr,
                                    DWORD dwFlags);

/**
 * Changes the upstream neighbour of a forwarding entry.
 *
 * @param hProtocol the handle of the client that owns the entry's incoming interface.
 * @param pmimm names the entry by dwSource and dwGroup and gives dwUpStrmNgbr, all in network byte
 *        order; nothing else of it is read.
 *
 * @par Callbacks and threads
 * Makes no callback.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or the client does
 *   not own the entry's incoming interface; pmimm is NULL.
 * - ERROR_NOT_FOUND: there is no such entry.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre pmimm points at a MIB_IPMCAST_MFE.
 */
DWORD MgmSetMfe(HANDLE hProtocol, PMIB_IPMCAST_MFE pmimm);

/**
 * Begins an enumeration of the groups that have members.
 *
 * A membership that is there throughout the enumeration appears exactly once; one that comes or goes
 * meanwhile appears at most once. The client must end the enumeration with MgmGroupEnumerationEnd;
 * MgmDeRegisterMProtocol ends it too.
 *
 * @param hProtocol the client's handle.
 * @param metEnumType ANY_SOURCE: one row for each group, with source 0. ALL_SOURCES: one row for each
 *        (*,G), with source 0, and each (S,G). (*,*) is one all-zero row in both.
 * @param phEnumHandle receives the enumeration's handle.
 *
 * @par Callbacks and threads
 * Makes no callback. A client that registers, and enumerates the groups then, misses no change.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client; metEnumType is
 *   neither ANY_SOURCE nor ALL_SOURCES; phEnumHandle is NULL.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre phEnumHandle points at a HANDLE.
 */
DWORD MgmGroupEnumerationStart(HANDLE hProtocol,
                               MGM_ENUM_TYPES metEnumType,
                               HANDLE *phEnumHandle);

/**
 * Reads the next rows of an enumeration: as many SOURCE_GROUP_ENTRY as fit.
 *
 * Addresses and masks in a row are in network byte order; a mask is all ones, or 0 where its address
 * is 0.
 *
 * @param hEnum the enumeration's handle.
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the rows; may be NULL where *pdwBufferSize is 0.
 * @param pdwNumEntries receives their number.
 *
 * @par Callbacks and threads
 * Makes no callback.
 *
 * @return
 * - ERROR_MORE_DATA: there are more rows; those in the buffer are valid.
 * - ERROR_NO_MORE_ITEMS: there are no more; those in the buffer, if any, are valid.
 * - ERROR_INSUFFICIENT_BUFFER: not even one row fits; *pdwBufferSize now holds its size and
 *   *pdwNumEntries 0.
 * - ERROR_INVALID_PARAMETER: hEnum is not the handle of an open enumeration; a required pointer is
 *   NULL.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre pdwBufferSize and pdwNumEntries point at DWORDs, pbBuffer at *pdwBufferSize octets.
 */
DWORD MgmGroupEnumerationGetNext(HANDLE hEnum,
                                 PDWORD pdwBufferSize,
                                 PBYTE pbBuffer,
                                 PDWORD pdwNumEntries);

/**
 * Ends an enumeration; its handle is no longer valid.
 *
 * @param hEnum the enumeration's handle.
 *
 * @par Callbacks and threads
 * Makes no callback.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hEnum is not the handle of an open enumeration.
 * - ERROR_CAN_NOT_COMPLETE
 */
DWORD MgmGroupEnumerationEnd(HANDLE hEnum);

/**
 * Reads one forwarding entry as a MIB_IPMCAST_MFE. Needs no registration.
 *
 * The record is SIZEOF_MIB_MFE(ulNumOutIf) octets long.
 *
 * @param pimm names the entry by dwSource and dwGroup, in network byte order; nothing else of it is
 *        read.
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the record; may be NULL where *pdwBufferSize is 0.
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL.
 * - ERROR_NOT_FOUND: there is no such entry.
 * - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre pimm points at a MIB_IPMCAST_MFE, pdwBufferSize at a DWORD, pbBuffer at *pdwBufferSize octets.
 */
DWORD MgmGetMfe(PMIB_IPMCAST_MFE pimm, PDWORD pdwBufferSize, PBYTE pbBuffer);

/**
 * Reads forwarding entries from the first, by group, then source. Needs no registration.
 *
 * The order is that of the addresses' values as numbers. The buffer receives as many whole
 * MIB_IPMCAST_MFE records as fit, one behind the other; each is SIZEOF_MIB_MFE(ulNumOutIf) octets
 * long.
 *
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
 * @param pdwNumEntries receives their number.
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
 * - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
 * - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
 *   *pdwNumEntries 0.
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre pdwBufferSize and pdwNumEntries point at DWORDs, pbBuffer at *pdwBufferSize octets.
 */
DWORD MgmGetFirstMfe(PDWORD pdwBufferSize, PBYTE pbBuffer, PDWORD pdwNumEntries);

/**
 * Reads the forwarding entries that follow a given one, as MgmGetFirstMfe does. Needs no registration.
 *
 * @param pimmStart names the entry to go on after by dwSource and dwGroup, in network byte order,
 *        normally the last record of the call before; it need not exist any more.
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
 * @param pdwNumEntries receives their number.
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
 * - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
 * - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
 *   *pdwNumEntries 0.
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre As MgmGetFirstMfe; pimmStart points at a MIB_IPMCAST_MFE.
 */
DWORD MgmGetNextMfe(PMIB_IPMCAST_MFE pimmStart,
                    PDWORD pdwBufferSize,
                    PBYTE pbBuffer,
                    PDWORD pdwNumEntries);

/**
 * Reads one forwarding entry with its statistics. Needs no registration.
 *
 * ulInPkts and ulInOctets count what was forwarded, and what came in for an entry without outgoing
 * interfaces. ulPktsDifferentIf counts what came in on another interface than the entry's and was
 * dropped. Counters wrap; those that no forwarder has are 0.
 *
 * The memory forwarder counts for each outgoing interface: ulOutPackets is what left it since it
 * joined the entry, ulTtlTooLow what did not leave it because its TTL was 1 or 0. Linux and a custom
 * forwarder count for an entry alone: with them ulOutPackets is what came in for the entry since the
 * interface joined, also where it then did not leave (its TTL was 1, it was too long for the
 * interface, a firewall dropped it), and ulTtlTooLow is 0. What really left through an interface, for
 * all entries together, Linux tells in /proc/net/ip_mr_vif.
 *
 * @param pimm names the entry by dwSource and dwGroup, in network byte order; nothing else of it is
 *        read.
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the record; may be NULL where *pdwBufferSize is 0.
 * @param dwFlags MGM_MFE_STATS_0: the record is a MIB_IPMCAST_MFE_STATS; MGM_MFE_STATS_1: a
 *        MIB_IPMCAST_MFE_STATS_EX.
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL; dwFlags is neither of its values.
 * - ERROR_NOT_FOUND: there is no such entry.
 * - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre As MgmGetMfe.
 */
DWORD MgmGetMfeStats(PMIB_IPMCAST_MFE pimm,
                     PDWORD pdwBufferSize,
                     PBYTE pbBuffer,
                     DWORD dwFlags);

/**
 * Reads forwarding entries with their statistics from the first, by group, then source. Needs no
 * registration.
 *
 * Otherwise as MgmGetFirstMfe; MgmGetMfeStats tells what is counted.
 *
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
 * @param pdwNumEntries receives their number.
 * @param dwFlags MGM_MFE_STATS_0: records are MIB_IPMCAST_MFE_STATS, each
 *        SIZEOF_MIB_MFE_STATS(ulNumOutIf) octets long; MGM_MFE_STATS_1: MIB_IPMCAST_MFE_STATS_EX,
 *        SIZEOF_MIB_MFE_STATS_EX(ulNumOutIf).
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
 * - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
 * - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
 *   *pdwNumEntries 0.
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL; dwFlags is neither of its values.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre As MgmGetFirstMfe.
 */
DWORD MgmGetFirstMfeStats(PDWORD pdwBufferSize,
                          PBYTE pbBuffer,
                          PDWORD pdwNumEntries,
                          DWORD dwFlags);

/**
 * Reads the forwarding entries that follow a given one with their statistics. Needs no registration.
 *
 * Otherwise as MgmGetFirstMfeStats.
 *
 * @param pimmStart names the entry to go on after by dwSource and dwGroup, in network byte order,
 *        normally the last record of the call before; it need not exist any more.
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
 * @param pdwNumEntries receives their number.
 * @param dwFlags MGM_MFE_STATS_0: records are MIB_IPMCAST_MFE_STATS, each
 *        SIZEOF_MIB_MFE_STATS(ulNumOutIf) octets long; MGM_MFE_STATS_1: MIB_IPMCAST_MFE_STATS_EX,
 *        SIZEOF_MIB_MFE_STATS_EX(ulNumOutIf).
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
 * - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
 * - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
 *   *pdwNumEntries 0.
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL; dwFlags is neither of its values.
 * - ERROR_CAN_NOT_COMPLETE
 *
 * @pre As MgmGetNextMfe.
 */
DWORD MgmGetNextMfeStats(PMIB_IPMCAST_MFE pimmStart,
                         PDWORD pdwBufferSize,
                         PBYTE pbBuffer,
                         PDWORD pdwNumEntries,
                         DWORD dwFlags);

#ifdef __cplusplus
}
#endif

#endif /* MGM_H */
