/*
 * mgm_host.h: the host's side of the multicast group manager.
 *
 * A program that uses mgm.h alone needs nothing of this: its first MgmRegisterMProtocol starts the
 * group manager from the environment:
 *   MGM_FORWARDER  memory (default), kernel, or kernel:TABLE (a multicast routing table's id)
 *   MGM_LOG        off, error (default), warn, info, debug, trace; to standard error
 *   MGM_MAX_MFES   the most forwarding entries there may be
 *   MGM_CONTROL    the path of a control socket to serve
 *   LISTEN_FDNAMES with LISTEN_FDS and LISTEN_PID, as a service manager sets them: the descriptor
 *                  named mgm is the multicast socket for the kernel forwarder (dwMulticastSocket)
 * A program that wants more calls MgmHostStart first. The environment is then ignored, or, with the
 * flag MGM_HOST_USE_ENVIRONMENT, supplies what the configuration leaves 0 or NULL.
 *
 * What mgm.h says of calls, numbers, threads and callbacks holds here too: from inside pfnLog,
 * pfnTransmit, pfnClock and, with the memory forwarder, pfnRoute any function can be called, as from
 * inside a client's callback. From inside the functions of a custom forwarder only those that read
 * may be called (MGM_HOST_FORWARDER). All of them can run on several threads at once, except those of
 * a custom forwarder that MGM_HOST_FORWARDER says come one at a time. A function that is not returned
 * from (a C++ exception, longjmp()), or that takes a lock which is held across a call, has the
 * consequences that mgm.h names for a client's callbacks.
 *
 * This file is generated from src/ffi; `make header` writes it anew.
 */
#ifndef MGM_HOST_H
#define MGM_HOST_H

#include "mgm.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The unicast route toward a source. Addresses and masks are in network byte order. */
struct _MGM_ROUTE {
    /** The index of the interface toward the source. */
    DWORD dwIfIndex;
    /** The next hop's address on it, or 0. */
    DWORD dwIfNextHopAddr;
    /**
     * The neighbour that packets of this source come from: the route's gateway, or the source
     * itself where it is directly connected.
     */
    DWORD dwUpStreamNbr;
    /** The protocol that the route came from (MIB_IPPROTO_*). */
    DWORD dwRouteProtocol;
    /** The prefix that matched. */
    DWORD dwRouteNetwork;
    /** Its mask, ones first. */
    DWORD dwRouteMask;
};

/** The unicast route toward a source. */
typedef struct _MGM_ROUTE MGM_ROUTE;

/** A pointer to MGM_ROUTE. */
typedef struct _MGM_ROUTE *PMGM_ROUTE;

/** What a custom forwarder counted for one entry since it was added. Counters wrap. */
struct _MGM_MFE_COUNTERS {
    /**
     * Packets that arrived on the incoming interface: forwarded, or dropped where there is no outgoing
     * one.
     */
    ULONG ulInPkts;
    /** Octets of those packets, IP headers included. */
    ULONG ulInOctets;
    /** Packets that arrived on another interface and were dropped. */
    ULONG ulPktsDifferentIf;
};

/** What a custom forwarder counted for one entry. */
typedef struct _MGM_MFE_COUNTERS MGM_MFE_COUNTERS;

/** A pointer to MGM_MFE_COUNTERS. */
typedef struct _MGM_MFE_COUNTERS *PMGM_MFE_COUNTERS;

/**
 * Finds the route toward a source. *pRoute is all zero on entry. Returns NO_ERROR and fills it,
 * or ERROR_NOT_FOUND: there is no route.
 */
typedef DWORD (*PMGM_HOST_ROUTE_CALLBACK)(PVOID pvContext, DWORD dwSourceAddr, PMGM_ROUTE pRoute);

/**
 * One copy of a packet leaves an interface: the whole IP packet, its TTL decremented and its
 * header checksum right. Valid until the callback returns.
 */
typedef void (*PMGM_HOST_TRANSMIT_CALLBACK)(PVOID pvContext,
                                            DWORD dwIfIndex,
                                            DWORD dwIfNextHopAddr,
                                            const BYTE *pbPacket,
                                            DWORD dwPacketSize);

/**
 * A line for the log, without a line end, NUL-terminated, at most 511 octets of UTF-8; dwLevel
 * is MGM_LOG_ERROR to MGM_LOG_TRACE. Valid until the callback returns. May run on several threads at
 * once, those of the library among them.
 */
typedef void (*PMGM_HOST_LOG_CALLBACK)(PVOID pvContext, DWORD dwLevel, const char *pszMessage);

/** The time in milliseconds since any fixed moment; must not go backwards. */
typedef ULONGLONG (*PMGM_HOST_CLOCK_CALLBACK)(PVOID pvContext);

/**
 * Makes an interface usable. Anything but NO_ERROR refuses it: MgmTakeInterfaceOwnership then
 * gives ERROR_CAN_NOT_COMPLETE (ERROR_NOT_ENOUGH_MEMORY where this function does). Doing it twice
 * is no error.
 */
typedef DWORD (*PMGM_HOST_ADD_INTERFACE_CALLBACK)(PVOID pvContext,
                                                  DWORD dwIfIndex,
                                                  DWORD dwIfNextHopAddr);

/** The interface is in no entry any more and no client is on it. */
typedef void (*PMGM_HOST_REMOVE_INTERFACE_CALLBACK)(PVOID pvContext,
                                                    DWORD dwIfIndex,
                                                    DWORD dwIfNextHopAddr);

/**
 * Adds an entry, or replaces it in place. The incoming interface is never among the dwNumOutIf
 * outgoing ones; none at all is a negative entry: packets are dropped and not reported. Returns
 * NO_ERROR when the entry is as asked. pOutIf is valid until the callback returns.
 */
typedef DWORD (*PMGM_HOST_SET_MFE_CALLBACK)(PVOID pvContext,
                                            DWORD dwSourceAddr,
                                            DWORD dwGroupAddr,
                                            DWORD dwInIfIndex,
                                            DWORD dwInIfNextHopAddr,
                                            DWORD dwNumOutIf,
                                            const MIB_IPMCAST_OIF *pOutIf);

/** Removes an entry. Returns NO_ERROR, or ERROR_NOT_FOUND where there is none. */
typedef DWORD (*PMGM_HOST_DELETE_MFE_CALLBACK)(PVOID pvContext,
                                               DWORD dwSourceAddr,
                                               DWORD dwGroupAddr);

/**
 * Reads an entry's counters. *pCounters is all zero on entry. Returns NO_ERROR, or
 * ERROR_NOT_FOUND where there is no such entry.
 */
typedef DWORD (*PMGM_HOST_GET_MFE_COUNTERS_CALLBACK)(PVOID pvContext,
                                                     DWORD dwSourceAddr,
                                                     DWORD dwGroupAddr,
                                                     PMGM_MFE_COUNTERS pCounters);

/** The end: the plane is to drop its entries and interfaces. */
typedef void (*PMGM_HOST_STOP_CALLBACK)(PVOID pvContext);

/**
 * A forwarding plane of the host's own: a switch chip, DPDK, eBPF.
 *
 * The plane forwards each packet by its entries; one that no entry matches, or that came in on
 * another interface than its entry's, it hands to MgmHostReceive. pfnAddInterface,
 * pfnRemoveInterface, pfnSetMfe and pfnDeleteMfe come one at a time, in order; pfnRoute and
 * pfnGetMfeCounters at any moment and on any thread. From inside any function of the plane's, and
 * the pfnRoute of MGM_HOST_CONFIG in its place, only the functions that read (MgmGet* and
 * MgmHostGetState) may be called; the others give ERROR_CAN_NOT_COMPLETE.
 *
 * MgmHostStart copies the structure.
 */
struct _MGM_HOST_FORWARDER {
    /** sizeof(MGM_HOST_FORWARDER). */
    DWORD dwSize;
    /** The first argument of each function below. */
    PVOID pvContext;
    /** Makes an interface usable. NULL: every interface is. */
    PMGM_HOST_ADD_INTERFACE_CALLBACK pfnAddInterface;
    /** An interface is not needed any more. May be NULL. */
    PMGM_HOST_REMOVE_INTERFACE_CALLBACK pfnRemoveInterface;
    /** Adds or replaces an entry. Required. */
    PMGM_HOST_SET_MFE_CALLBACK pfnSetMfe;
    /** Removes an entry. Required. */
    PMGM_HOST_DELETE_MFE_CALLBACK pfnDeleteMfe;
    /** Reads an entry's counters. NULL: they are all 0. */
    PMGM_HOST_GET_MFE_COUNTERS_CALLBACK pfnGetMfeCounters;
    /** Finds the route toward a source. NULL: the pfnRoute of MGM_HOST_CONFIG. */
    PMGM_HOST_ROUTE_CALLBACK pfnRoute;
    /**
     * MgmHostStop was called; all other functions of the plane's have returned, and none will be
     * called again. NULL: the host clears its plane when MgmHostStop has returned.
     */
    PMGM_HOST_STOP_CALLBACK pfnStop;
};

/** A forwarding plane of the host's own. */
typedef struct _MGM_HOST_FORWARDER MGM_HOST_FORWARDER;

/** A pointer to MGM_HOST_FORWARDER. */
typedef struct _MGM_HOST_FORWARDER *PMGM_HOST_FORWARDER;

/**
 * What MgmHostStart is told. Set it to all zero and dwSize to its sizeof, then fill in what is
 * needed: zero stands for the default everywhere. MgmHostStart copies it, strings included.
 *
 * A dwSize from an older header is accepted, down to the end of pForwarder, and one from a newer
 * header where the fields that this library does not know are zero.
 */
struct _MGM_HOST_CONFIG {
    /** sizeof(MGM_HOST_CONFIG). */
    DWORD dwSize;
    /** MGM_FORWARDER_*. */
    DWORD dwForwarder;
    /** Kernel: the multicast routing table's id, 0 for the default one. Others: 0. */
    DWORD dwTableId;
    /** The most forwarding entries there may be, 0 for 1048576. At most a quarter are negative. */
    DWORD dwMaxMfes;
    /** The first argument of the callbacks below. */
    PVOID pvContext;
    /**
     * Memory and custom: the route toward a source. NULL: the interface that a source's packet
     * came in on is the one toward it. Kernel: not used, the routes are the kernel's.
     */
    PMGM_HOST_ROUTE_CALLBACK pfnRoute;
    /** Memory: one copy of a packet leaves an interface. May be NULL. */
    PMGM_HOST_TRANSMIT_CALLBACK pfnTransmit;
    /**
     * A line for the log. It hears of a start that fails, too. NULL: standard error. That hears of
     * errors while nothing runs (before a start, of a start that fails, after MgmHostStop) whatever
     * dwLogLevel says.
     */
    PMGM_HOST_LOG_CALLBACK pfnLog;
    /** Custom: the plane's functions. Others: NULL. */
    const MGM_HOST_FORWARDER *pForwarder;
    /**
     * The path of the control socket to serve, or NULL: a UNIX stream socket with mode 0600. A
     * request is a line (state, mfes, groups, interfaces, clients or counters), the answer JSON.
     */
    const char *pszControlPath;
    /**
     * A clock to go by instead of the system's, for simulations. The library then starts no
     * timer thread: what is due is done at the start of each MgmHostReceive, MgmHostRouteChanged and
     * MgmHostInterfaceDown. NULL: the system's.
     */
    PMGM_HOST_CLOCK_CALLBACK pfnClock;
    /** The most new entries in one second, 0 for no limit. */
    DWORD dwMaxNewMfesPerSecond;
    /** The same for one source. */
    DWORD dwMaxNewMfesPerSource;
    /** MGM_LOG_*: what is logged. */
    DWORD dwLogLevel;
    /**
     * MGM_HOST_USE_ENVIRONMENT or 0. With the flag MGM_FORWARDER counts where dwForwarder is 0 (its
     * table where dwTableId is 0), MGM_LOG where dwLogLevel is 0, MGM_MAX_MFES where dwMaxMfes is 0,
     * MGM_CONTROL where pszControlPath is NULL, and LISTEN_FDNAMES where dwMulticastSocket is 0. A
     * variable whose field is set is not looked at.
     */
    DWORD dwFlags;
    /**
     * Kernel: the descriptor of a raw IGMP socket (AF_INET, SOCK_RAW, IPPROTO_IGMP) to use instead
     * of a new one; 0: none. It is duplicated. If an earlier program made it the owner of the
     * table, and has ended without MgmHostStop, the kernel has gone on forwarding: its interfaces
     * and entries are taken over, and after 20 seconds what no client wants is removed.
     */
    DWORD dwMulticastSocket;
    /**
     * The path of the socket to serve clients in other processes at, or NULL: a UNIX SOCK_SEQPACKET
     * socket with mode 0660. A process that has MGM_HOST set to this path is a client of this host.
     */
    const char *pszServePath;
    /**
     * Seconds: how long the entries and memberships of a client go on after its process has ended.
     * Whoever registers the same protocol and component meanwhile takes its place. 0: not at all.
     * Without pszServePath: 0.
     */
    DWORD dwHoldSeconds;
};

/** What MgmHostStart is told. */
typedef struct _MGM_HOST_CONFIG MGM_HOST_CONFIG;

/** A pointer to MGM_HOST_CONFIG. */
typedef struct _MGM_HOST_CONFIG *PMGM_HOST_CONFIG;

/** dwForwarder: the software forwarding plane inside the process. */
#define MGM_FORWARDER_MEMORY 0

/**
 * dwForwarder: Linux's own multicast forwarding; needs CAP_NET_ADMIN and CAP_NET_RAW in the network
 * namespace.
 */
#define MGM_FORWARDER_KERNEL 1

/** dwForwarder: the functions that pForwarder points at. */
#define MGM_FORWARDER_CUSTOM 2

/**
 * dwCallbackFlags of ROUTING_PROTOCOL_CONFIG: the client's callbacks run inside MgmHostDispatch
 * alone, on the thread that calls it. Flags count only where the upper 16 bits of the field are 0x4D47;
 * anything else in it is ignored.
 */
#define MGM_DISPATCHED 1296498689

/** dwLogLevel: as MGM_LOG_ERROR. */
#define MGM_LOG_DEFAULT 0

/** dwLogLevel and dwLevel: a call failed, or the library could not do what it was asked. */
#define MGM_LOG_ERROR 1

/** dwLogLevel and dwLevel: something was ignored or is not as it should be. */
#define MGM_LOG_WARN 2

/** dwLogLevel and dwLevel: starts, stops, ownership. */
#define MGM_LOG_INFO 3

/** dwLogLevel and dwLevel: entries made and removed. */
#define MGM_LOG_DEBUG 4

/** dwLogLevel and dwLevel: each callback and each packet report. */
#define MGM_LOG_TRACE 5

/** dwLogLevel: nothing is logged. */
#define MGM_LOG_OFF 4294967295

/**
 * dwCallbackFlags of ROUTING_PROTOCOL_CONFIG: the client's RPF callback is asked about flows that come
 * in on its interfaces without a route to their source, or with one over an interface that no client
 * owns. It gets the interface that the packet came in on, the source as the upstream neighbour, and
 * NULL as pbRoute. It accepts the flow by leaving the interface as it is, or by naming another one
 * that it owns; with interface 0 it refuses it. Flags count only where the upper 16 bits are these.
 */
#define MGM_ROUTELESS_FLOWS 1296498690

/**
 * dwFlags of MGM_HOST_CONFIG: what the fields leave 0 or NULL comes from the environment, as for a
 * program that does not call MgmHostStart.
 */
#define MGM_HOST_USE_ENVIRONMENT 1

/**
 * Starts the group manager with a configuration of the program's own. Must be called before the first
 * MgmRegisterMProtocol, which otherwise starts it from the environment.
 *
 * @param pConfig what is wanted; copied, strings included.
 *
 * @par Callbacks and threads
 * The functions of the configuration may be called from now on, by threads of the library too and by
 * several at once, until MgmHostStop has returned. A program that calls with a lock held which one of
 * them takes deadlocks. They may call any function themselves, except that those of a custom
 * forwarder, and its pfnRoute, may only call functions that read.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: pConfig is NULL, or a field has a value that is not allowed.
 * - ERROR_ALREADY_EXISTS: a host runs; MgmHostStop ends it.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: the forwarder or a socket could not be set up, or a variable of the
 *   environment makes no sense; the log says why. Or the call is made inside a callback, or a function
 *   of the host's, while another thread is starting or stopping. Or the process is a client of another
 *   one's host (MGM_HOST).
 *
 * @pre pConfig points at dwSize octets; its pszControlPath and pForwarder are NULL or point at a
 * NUL-terminated string and at a table of functions. All functions are of the declared types and
 * can be called from any thread, with their pvContext, until MgmHostStop has returned or
 * MgmHostStart has failed.
 */
DWORD MgmHostStart(const MGM_HOST_CONFIG *pConfig);

/**
 * Ends everything: clients get no more callbacks, their handles are no longer valid, and what was put
 * into the forwarding plane is removed. The next MgmHostStart or MgmRegisterMProtocol begins anew.
 *
 * While it runs, handles are no longer valid, and inside a callback or a function of the host's
 * nothing can be started. Connections of client processes end; no callback in another process is
 * waited for.
 *
 * @par Callbacks and threads
 * When this has returned, no callback and no function of the host's (pfnRoute, pfnTransmit, pfnLog,
 * pfnClock, a forwarder's) is running or will ever run again, unless one did not return within 5
 * seconds: the log says so, and its code must stay loaded. So it waits for the functions that other
 * threads are inside of: do not call it while you hold a lock that one of these functions takes. Where
 * it is called inside one of them, none starts after that one has returned. Of a forwarder's
 * functions, pfnStop is called last.
 *
 * @return
 * - NO_ERROR
 * - ERROR_CAN_NOT_COMPLETE: no host runs, or it runs in another process (MGM_HOST). Or the call is
 *   made inside a callback, or a function of the host's, while another thread is starting or stopping
 *   the host. Or it is made inside a callback of a client that another callback, or a function of the
 *   host's, is deregistering; that one would wait for this callback.
 */
DWORD MgmHostStop(void);

/**
 * Hands in a packet that came in on an interface.
 *
 * Memory: when this returns, every copy of the packet has been handed to pfnTransmit. These packets
 * are dropped and counted: malformed ones, those whose destination is no multicast group or a group in
 * 224.0.0.0/24, those with a TTL of 0 or 1, and those from an address that cannot send (0.0.0.0,
 * 255.255.255.255, multicast, 127.0.0.0/8).
 *
 * Custom: a packet came in for which the plane has no entry, or on another interface than its entry's.
 * The call reports it to the group manager; forwarding it is up to the plane.
 *
 * @param dwIfIndex,dwIfNextHopAddr the interface it came in on: its index in host order, its next hop
 *        in network byte order.
 * @param pbPacket the IPv4 packet, from its header on; only read.
 * @param dwPacketSize its size in octets.
 *
 * @par Callbacks and threads
 * When this returns, every callback that the packet caused has run and every copy has been sent. The
 * one exception is a packet whose flow waits for the answer of a client that does not come out of a
 * callback, or that dispatches its callbacks itself: it waits with the flow.
 *
 * @return
 * - NO_ERROR: the packet was forwarded, or rightly not forwarded.
 * - ERROR_INVALID_PARAMETER: pbPacket is NULL or not a whole IPv4 packet.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: no host runs in this process, or its forwarder is the kernel; or a
 *   function of a custom forwarder called this.
 *
 * @pre pbPacket points at dwPacketSize octets.
 */
DWORD MgmHostReceive(DWORD dwIfIndex,
                     DWORD dwIfNextHopAddr,
                     const BYTE *pbPacket,
                     DWORD dwPacketSize);

/**
 * Says that routes toward the sources in a prefix have changed (memory and custom forwarders).
 * Forwarding entries of those sources are made anew where the route now leads elsewhere.
 *
 * @param dwNetwork,dwMask the prefix in network byte order; 0 and 0 for all sources.
 *
 * @par Callbacks and threads
 * Entries that are made anew ask their clients as new flows do; all of that has happened when this
 * returns, but for what waits for a client that does not return from a callback.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: dwMask has a zero before a one.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: no host runs in this process, or its forwarder is the kernel; or a
 *   function of a custom forwarder called this.
 */
DWORD MgmHostRouteChanged(DWORD dwNetwork, DWORD dwMask);

/**
 * Says that an interface stopped working (memory and custom forwarders). Forwarding entries whose
 * incoming interface it is are deleted and it leaves the others' lists; memberships and ownership
 * stay. It works again when a packet comes in on it or a client takes it.
 *
 * @param dwIfIndex,dwIfNextHopAddr the interface: its index in host order, its next hop in network
 *        byte order.
 *
 * @par Callbacks and threads
 * Owners of entries that lose their last outgoing interface get prune alerts; they have been delivered
 * when a call made outside any callback returns.
 *
 * @return
 * - NO_ERROR
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: no host runs in this process, or its forwarder is the kernel; or a
 *   function of a custom forwarder called this.
 */
DWORD MgmHostInterfaceDown(DWORD dwIfIndex,
                           DWORD dwIfNextHopAddr);

/**
 * Writes the whole state as JSON text with a final NUL; mgm_control(7) describes its members.
 *
 * @param pdwBufferSize the size of pbBuffer in octets.
 * @param pbBuffer receives the text; may be NULL where *pdwBufferSize is 0.
 *
 * @par Callbacks and threads
 * Makes no callback, and waits for none.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: a required pointer is NULL.
 * - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed at this moment, the final NUL
 *   included.
 * - ERROR_NOT_ENOUGH_MEMORY
 * - ERROR_CAN_NOT_COMPLETE: no host runs; or the text with its NUL is longer than a DWORD can tell (4
 *   GiB). Then read it in parts, with MgmGetFirstMfe and MgmGetNextMfe or over the control socket.
 *
 * @pre pdwBufferSize points at a DWORD, pbBuffer at *pdwBufferSize octets.
 */
DWORD MgmHostGetState(PDWORD pdwBufferSize,
                      PBYTE pbBuffer);

/**
 * Gives the descriptor that tells a program's poll loop that callbacks wait for a client with
 * MGM_DISPATCHED.
 *
 * It is readable (poll, select, epoll; level-triggered) exactly while there are some. It is the
 * library's, the same each time, and ends with the registration. In a client process (MGM_HOST) it has
 * an error condition (POLLHUP or POLLERR) when the host has ended.
 *
 * @param hProtocol the client's handle.
 * @param pFd gets the descriptor.
 *
 * @par Callbacks and threads
 * Makes no callback.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or that has no
 *   MGM_DISPATCHED; pFd is NULL.
 * - ERROR_CAN_NOT_COMPLETE: the host of this client process has gone.
 *
 * @pre pFd points at an int.
 */
DWORD MgmHostGetClientFd(HANDLE hProtocol,
                         int *pFd);

/**
 * Calls the callbacks that wait for a client with MGM_DISPATCHED, on this thread: what waited when it
 * began and what this causes, but at most 256; where there are more the descriptor stays readable.
 *
 * It never blocks. Where none waits it returns at once.
 *
 * @param hProtocol the client's handle.
 *
 * @par Callbacks and threads
 * The client's callbacks run in here and nowhere else. No call of another client waits for them; what
 * a new flow is asked waits for them, as for a slow client. Where IGMP is such a client, a take or
 * release changes the owner at once, and its disable and enable callbacks follow in its next dispatch.
 *
 * @return
 * - NO_ERROR
 * - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or that has no
 *   MGM_DISPATCHED.
 * - ERROR_CAN_NOT_COMPLETE: another thread is dispatching this client's callbacks, or the call is made
 *   inside one of them; or the host of this client process has gone, maybe since poll said that the
 *   descriptor is readable and nothing else.
 */
DWORD MgmHostDispatch(HANDLE hProtocol);

#ifdef __cplusplus
}
#endif

#endif /* MGM_HOST_H */
