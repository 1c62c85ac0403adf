//! The types of mgm_host.h: the configuration of a host and its callbacks.
#![expect(non_camel_case_types, reason = "Windows' style of names, as in mgm.h")]
#![expect(non_snake_case, reason = "Windows' style of names, as in mgm.h")]

use super::{BYTE, DWORD, MIB_IPMCAST_OIF, PVOID, ULONG, ULONGLONG, layout};
use std::ffi::c_char;

/// dwForwarder: the software forwarding plane inside the process.
pub const MGM_FORWARDER_MEMORY: DWORD = 0;
/// dwForwarder: Linux's own multicast forwarding; needs CAP_NET_ADMIN and CAP_NET_RAW in the network
/// namespace.
pub const MGM_FORWARDER_KERNEL: DWORD = 1;
/// dwForwarder: the functions that pForwarder points at.
pub const MGM_FORWARDER_CUSTOM: DWORD = 2;

/// dwCallbackFlags of ROUTING_PROTOCOL_CONFIG: the client's callbacks run inside MgmHostDispatch
/// alone, on the thread that calls it. Flags count only where the upper 16 bits of the field are 0x4D47;
/// anything else in it is ignored.
pub const MGM_DISPATCHED: DWORD = 0x4d47_0001;

/// dwLogLevel: as MGM_LOG_ERROR.
pub const MGM_LOG_DEFAULT: DWORD = 0;
/// dwLogLevel and dwLevel: a call failed, or the library could not do what it was asked.
pub const MGM_LOG_ERROR: DWORD = 1;
/// dwLogLevel and dwLevel: something was ignored or is not as it should be.
pub const MGM_LOG_WARN: DWORD = 2;
/// dwLogLevel and dwLevel: starts, stops, ownership.
pub const MGM_LOG_INFO: DWORD = 3;
/// dwLogLevel and dwLevel: entries made and removed.
pub const MGM_LOG_DEBUG: DWORD = 4;
/// dwLogLevel and dwLevel: each callback and each packet report.
pub const MGM_LOG_TRACE: DWORD = 5;
/// dwLogLevel: nothing is logged.
pub const MGM_LOG_OFF: DWORD = 0xffff_ffff;

/// dwCallbackFlags of ROUTING_PROTOCOL_CONFIG: the client's RPF callback is asked about flows that come
/// in on its interfaces without a route to their source, or with one over an interface that no client
/// owns. It gets the interface that the packet came in on, the source as the upstream neighbour, and
/// NULL as pbRoute. It accepts the flow by leaving the interface as it is, or by naming another one
/// that it owns; with interface 0 it refuses it. Flags count only where the upper 16 bits are these.
pub const MGM_ROUTELESS_FLOWS: DWORD = 0x4d47_0002;

/// dwFlags of MGM_HOST_CONFIG: what the fields leave 0 or NULL comes from the environment, as for a
/// program that does not call MgmHostStart.
pub const MGM_HOST_USE_ENVIRONMENT: DWORD = 0x0000_0001;

/// The unicast route toward a source. Addresses and masks are in network byte order.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MGM_ROUTE {
    /// The index of the interface toward the source.
    pub dwIfIndex: DWORD,
    /// The next hop's address on it, or 0.
    pub dwIfNextHopAddr: DWORD,
    /// The neighbour that packets of this source come from: the route's gateway, or the source
    /// itself where it is directly connected.
    pub dwUpStreamNbr: DWORD,
    /// The protocol that the route came from (MIB_IPPROTO_*).
    pub dwRouteProtocol: DWORD,
    /// The prefix that matched.
    pub dwRouteNetwork: DWORD,
    /// Its mask, ones first.
    pub dwRouteMask: DWORD,
}
/// The unicast route toward a source.
pub type MGM_ROUTE = _MGM_ROUTE;
/// A pointer to MGM_ROUTE.
pub type PMGM_ROUTE = *mut _MGM_ROUTE;

/// What a custom forwarder counted for one entry since it was added. Counters wrap.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MGM_MFE_COUNTERS {
    /// Packets that arrived on the incoming interface: forwarded, or dropped where there is no outgoing
    /// one.
    pub ulInPkts: ULONG,
    /// Octets of those packets, IP headers included.
    pub ulInOctets: ULONG,
    /// Packets that arrived on another interface and were dropped.
    pub ulPktsDifferentIf: ULONG,
}
/// What a custom forwarder counted for one entry.
pub type MGM_MFE_COUNTERS = _MGM_MFE_COUNTERS;
/// A pointer to MGM_MFE_COUNTERS.
pub type PMGM_MFE_COUNTERS = *mut _MGM_MFE_COUNTERS;

/// Finds the route toward a source. *pRoute is all zero on entry. Returns NO_ERROR and fills it,
/// or ERROR_NOT_FOUND: there is no route.
pub type PMGM_HOST_ROUTE_CALLBACK = Option<
    unsafe extern "C-unwind" fn(pvContext: PVOID, dwSourceAddr: DWORD, pRoute: PMGM_ROUTE) -> DWORD,
>;

/// One copy of a packet leaves an interface: the whole IP packet, its TTL decremented and its
/// header checksum right. Valid until the callback returns.
pub type PMGM_HOST_TRANSMIT_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        pvContext: PVOID,
        dwIfIndex: DWORD,
        dwIfNextHopAddr: DWORD,
        pbPacket: *const BYTE,
        dwPacketSize: DWORD,
    ),
>;

/// A line for the log, without a line end, NUL-terminated, at most 511 octets of UTF-8; dwLevel
/// is MGM_LOG_ERROR to MGM_LOG_TRACE. Valid until the callback returns. May run on several threads at
/// once, those of the library among them.
pub type PMGM_HOST_LOG_CALLBACK = Option<
    unsafe extern "C-unwind" fn(pvContext: PVOID, dwLevel: DWORD, pszMessage: *const c_char),
>;

/// The time in milliseconds since any fixed moment; must not go backwards.
pub type PMGM_HOST_CLOCK_CALLBACK =
    Option<unsafe extern "C-unwind" fn(pvContext: PVOID) -> ULONGLONG>;

/// Makes an interface usable. Anything but NO_ERROR refuses it: MgmTakeInterfaceOwnership then
/// gives ERROR_CAN_NOT_COMPLETE (ERROR_NOT_ENOUGH_MEMORY where this function does). Doing it twice
/// is no error.
pub type PMGM_HOST_ADD_INTERFACE_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        pvContext: PVOID,
        dwIfIndex: DWORD,
        dwIfNextHopAddr: DWORD,
    ) -> DWORD,
>;

/// The interface is in no entry any more and no client is on it.
pub type PMGM_HOST_REMOVE_INTERFACE_CALLBACK =
    Option<unsafe extern "C-unwind" fn(pvContext: PVOID, dwIfIndex: DWORD, dwIfNextHopAddr: DWORD)>;

/// Adds an entry, or replaces it in place. The incoming interface is never among the dwNumOutIf
/// outgoing ones; none at all is a negative entry: packets are dropped and not reported. Returns
/// NO_ERROR when the entry is as asked. pOutIf is valid until the callback returns.
pub type PMGM_HOST_SET_MFE_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        pvContext: PVOID,
        dwSourceAddr: DWORD,
        dwGroupAddr: DWORD,
        dwInIfIndex: DWORD,
        dwInIfNextHopAddr: DWORD,
        dwNumOutIf: DWORD,
        pOutIf: *const MIB_IPMCAST_OIF,
    ) -> DWORD,
>;

/// Removes an entry. Returns NO_ERROR, or ERROR_NOT_FOUND where there is none.
pub type PMGM_HOST_DELETE_MFE_CALLBACK = Option<
    unsafe extern "C-unwind" fn(pvContext: PVOID, dwSourceAddr: DWORD, dwGroupAddr: DWORD) -> DWORD,
>;

/// Reads an entry's counters. *pCounters is all zero on entry. Returns NO_ERROR, or
/// ERROR_NOT_FOUND where there is no such entry.
pub type PMGM_HOST_GET_MFE_COUNTERS_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        pvContext: PVOID,
        dwSourceAddr: DWORD,
        dwGroupAddr: DWORD,
        pCounters: PMGM_MFE_COUNTERS,
    ) -> DWORD,
>;

/// The end: the plane is to drop its entries and interfaces.
pub type PMGM_HOST_STOP_CALLBACK = Option<unsafe extern "C-unwind" fn(pvContext: PVOID)>;

/// A forwarding plane of the host's own: a switch chip, DPDK, eBPF.
///
/// The plane forwards each packet by its entries; one that no entry matches, or that came in on
/// another interface than its entry's, it hands to MgmHostReceive. pfnAddInterface,
/// pfnRemoveInterface, pfnSetMfe and pfnDeleteMfe come one at a time, in order; pfnRoute and
/// pfnGetMfeCounters at any moment and on any thread. From inside any function of the plane's, and
/// the pfnRoute of MGM_HOST_CONFIG in its place, only the functions that read (MgmGet* and
/// MgmHostGetState) may be called; the others give ERROR_CAN_NOT_COMPLETE.
///
/// MgmHostStart copies the structure.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _MGM_HOST_FORWARDER {
    /// sizeof(MGM_HOST_FORWARDER).
    pub dwSize: DWORD,
    /// The first argument of each function below.
    pub pvContext: PVOID,
    /// Makes an interface usable. NULL: every interface is.
    pub pfnAddInterface: PMGM_HOST_ADD_INTERFACE_CALLBACK,
    /// An interface is not needed any more. May be NULL.
    pub pfnRemoveInterface: PMGM_HOST_REMOVE_INTERFACE_CALLBACK,
    /// Adds or replaces an entry. Required.
    pub pfnSetMfe: PMGM_HOST_SET_MFE_CALLBACK,
    /// Removes an entry. Required.
    pub pfnDeleteMfe: PMGM_HOST_DELETE_MFE_CALLBACK,
    /// Reads an entry's counters. NULL: they are all 0.
    pub pfnGetMfeCounters: PMGM_HOST_GET_MFE_COUNTERS_CALLBACK,
    /// Finds the route toward a source. NULL: the pfnRoute of MGM_HOST_CONFIG.
    pub pfnRoute: PMGM_HOST_ROUTE_CALLBACK,
    /// MgmHostStop was called; all other functions of the plane's have returned, and none will be
    /// called again. NULL: the host clears its plane when MgmHostStop has returned.
    pub pfnStop: PMGM_HOST_STOP_CALLBACK,
}
/// A forwarding plane of the host's own.
pub type MGM_HOST_FORWARDER = _MGM_HOST_FORWARDER;
/// A pointer to MGM_HOST_FORWARDER.
pub type PMGM_HOST_FORWARDER = *mut _MGM_HOST_FORWARDER;

/// What MgmHostStart is told. Set it to all zero and dwSize to its sizeof, then fill in what is
/// needed: zero stands for the default everywhere. MgmHostStart copies it, strings included.
///
/// A dwSize from an older header is accepted, down to the end of pForwarder, and one from a newer
/// header where the fields that this library does not know are zero.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _MGM_HOST_CONFIG {
    /// sizeof(MGM_HOST_CONFIG).
    pub dwSize: DWORD,
    /// MGM_FORWARDER_*.
    pub dwForwarder: DWORD,
    /// Kernel: the multicast routing table's id, 0 for the default one. Others: 0.
    pub dwTableId: DWORD,
    /// The most forwarding entries there may be, 0 for 1048576. At most a quarter are negative.
    pub dwMaxMfes: DWORD,
    /// The first argument of the callbacks below.
    pub pvContext: PVOID,
    /// Memory and custom: the route toward a source. NULL: the interface that a source's packet
    /// came in on is the one toward it. Kernel: not used, the routes are the kernel's.
    pub pfnRoute: PMGM_HOST_ROUTE_CALLBACK,
    /// Memory: one copy of a packet leaves an interface. May be NULL.
    pub pfnTransmit: PMGM_HOST_TRANSMIT_CALLBACK,
    /// A line for the log. It hears of a start that fails, too. NULL: standard error. That hears of
    /// errors while nothing runs (before a start, of a start that fails, after MgmHostStop) whatever
    /// dwLogLevel says.
    pub pfnLog: PMGM_HOST_LOG_CALLBACK,
    /// Custom: the plane's functions. Others: NULL.
    pub pForwarder: *const MGM_HOST_FORWARDER,
    /// The path of the control socket to serve, or NULL: a UNIX stream socket with mode 0600. A
    /// request is a line (state, mfes, groups, interfaces, clients or counters), the answer JSON.
    pub pszControlPath: *const c_char,
    /// A clock to go by instead of the system's, for simulations. The library then starts no
    /// timer thread: what is due is done at the start of each MgmHostReceive, MgmHostRouteChanged and
    /// MgmHostInterfaceDown. NULL: the system's.
    pub pfnClock: PMGM_HOST_CLOCK_CALLBACK,
    /// The most new entries in one second, 0 for no limit.
    pub dwMaxNewMfesPerSecond: DWORD,
    /// The same for one source.
    pub dwMaxNewMfesPerSource: DWORD,
    /// MGM_LOG_*: what is logged.
    pub dwLogLevel: DWORD,
    /// MGM_HOST_USE_ENVIRONMENT or 0. With the flag MGM_FORWARDER counts where dwForwarder is 0 (its
    /// table where dwTableId is 0), MGM_LOG where dwLogLevel is 0, MGM_MAX_MFES where dwMaxMfes is 0,
    /// MGM_CONTROL where pszControlPath is NULL, and LISTEN_FDNAMES where dwMulticastSocket is 0. A
    /// variable whose field is set is not looked at.
    pub dwFlags: DWORD,
    /// Kernel: the descriptor of a raw IGMP socket (AF_INET, SOCK_RAW, IPPROTO_IGMP) to use instead
    /// of a new one; 0: none. It is duplicated. If an earlier program made it the owner of the
    /// table, and has ended without MgmHostStop, the kernel has gone on forwarding: its interfaces
    /// and entries are taken over, and after 20 seconds what no client wants is removed.
    pub dwMulticastSocket: DWORD,
    /// The path of the socket to serve clients in other processes at, or NULL: a UNIX SOCK_SEQPACKET
    /// socket with mode 0660. A process that has MGM_HOST set to this path is a client of this host.
    pub pszServePath: *const c_char,
    /// Seconds: how long the entries and memberships of a client go on after its process has ended.
    /// Whoever registers the same protocol and component meanwhile takes its place. 0: not at all.
    /// Without pszServePath: 0.
    pub dwHoldSeconds: DWORD,
}
/// What MgmHostStart is told.
pub type MGM_HOST_CONFIG = _MGM_HOST_CONFIG;
/// A pointer to MGM_HOST_CONFIG.
pub type PMGM_HOST_CONFIG = *mut _MGM_HOST_CONFIG;

layout!(_MGM_ROUTE, 24, {
    dwIfIndex 0, dwIfNextHopAddr 4, dwUpStreamNbr 8, dwRouteProtocol 12, dwRouteNetwork 16,
    dwRouteMask 20,
});
layout!(_MGM_MFE_COUNTERS, 12, { ulInPkts 0, ulInOctets 4, ulPktsDifferentIf 8 });
layout!(_MGM_HOST_FORWARDER, (72 / 36), {
    dwSize 0, pvContext (8 / 4), pfnAddInterface (16 / 8), pfnRemoveInterface (24 / 12),
    pfnSetMfe (32 / 16), pfnDeleteMfe (40 / 20), pfnGetMfeCounters (48 / 24),
    pfnRoute (56 / 28), pfnStop (64 / 32),
});
layout!(_MGM_HOST_CONFIG, (112 / 72), {
    dwSize 0, dwForwarder 4, dwTableId 8, dwMaxMfes 12, pvContext 16,
    pfnRoute (24 / 20), pfnTransmit (32 / 24), pfnLog (40 / 28), pForwarder (48 / 32),
    pszControlPath (56 / 36), pfnClock (64 / 40), dwMaxNewMfesPerSecond (72 / 44),
    dwMaxNewMfesPerSource (76 / 48), dwLogLevel (80 / 52), dwFlags (84 / 56),
    dwMulticastSocket (88 / 60), pszServePath (96 / 64), dwHoldSeconds (104 / 68),
});
