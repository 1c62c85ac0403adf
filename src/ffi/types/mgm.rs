//! The types of mgm.h proper: callbacks, configuration, rows, flags.
#![expect(non_camel_case_types, reason = "the names of mgm.h")]
#![expect(non_snake_case, reason = "the names of mgm.h")]

use super::{BOOL, DWORD, PBYTE, PDWORD, layout};

/// dwFlags of MgmAddGroupMembershipEntry and MgmDeleteGroupMembershipEntry: the membership
/// itself.
pub const MGM_JOIN_STATE_FLAG: DWORD = 0x0000_0001;
/// dwFlags of the same: the outgoing interfaces of the forwarding entries that exist.
pub const MGM_FORWARD_STATE_FLAG: DWORD = 0x0000_0002;
/// dwFlags of the statistics functions: records are MIB_IPMCAST_MFE_STATS.
pub const MGM_MFE_STATS_0: DWORD = 0x0000_0001;
/// dwFlags of the statistics functions: records are MIB_IPMCAST_MFE_STATS_EX.
pub const MGM_MFE_STATS_1: DWORD = 0x0000_0002;

/// One outgoing interface in a creation alert.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MGM_IF_ENTRY {
    /// The interface's index.
    pub dwIfIndex: DWORD,
    /// The next hop's address, network byte order; 0 where there is none.
    pub dwIfNextHopAddr: DWORD,
    /// Whether IGMP is on the interface too.
    pub bIGMP: BOOL,
    /// TRUE when the callback is entered. FALSE when it returns: nothing of this flow is to go
    /// out of the interface.
    pub bIsEnabled: BOOL,
}
/// One outgoing interface in a creation alert.
pub type MGM_IF_ENTRY = _MGM_IF_ENTRY;
/// A pointer to MGM_IF_ENTRY.
pub type PMGM_IF_ENTRY = *mut _MGM_IF_ENTRY;

/// The first packet of a new flow came in, or a flow's entry is made anew. Goes to the client
/// that owns the interface toward the source; comes before every other callback of the flow.
///
/// The three pointers hold the unicast route's answer and may be changed: the incoming interface
/// to another one that the client owns (any other is ignored), the upstream neighbour to any
/// address. With interface 0 it refuses the flow, whose packets are dropped for 60 seconds without
/// another callback.
///
/// pbPacketHdr is the packet's IP header with its options, and as much of its data as the forwarder
/// has: all of it, or none on the kernel forwarder; dwHdrSize >= 20 octets in all. Where an entry is
/// made anew without a packet it is a header of 20 octets. pbRoute is an RTM_DEST_INFO with the
/// prefix that matched. Both are copies, valid until the callback returns; what is written into them
/// is not read.
pub type PMGM_RPF_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwSourceMask: DWORD,
        dwGroupAddr: DWORD,
        dwGroupMask: DWORD,
        pdwInIfIndex: PDWORD,
        pdwInIfNextHopAddr: PDWORD,
        pdwUpStreamNbr: PDWORD,
        dwHdrSize: DWORD,
        pbPacketHdr: PBYTE,
        pbRoute: PBYTE,
    ) -> DWORD,
>;

/// An entry is about to be made. Goes to each client that owns interfaces among the outgoing
/// ones, with its own interfaces only, before the first packet is forwarded.
///
/// dwInIfIndex and dwInIfNextHopAddr name the incoming interface. To keep an interface out of the
/// entry set its bIsEnabled to FALSE; everything else in the array is only read. The array is
/// valid until the callback returns.
///
/// A member that comes when the entry is there raises no creation alert: its interface joins the
/// entry at once. An owner that does not want it there deletes the membership with
/// MGM_FORWARD_STATE_FLAG, which may be done inside its local-join callback.
pub type PMGM_CREATION_ALERT_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwSourceMask: DWORD,
        dwGroupAddr: DWORD,
        dwGroupMask: DWORD,
        dwInIfIndex: DWORD,
        dwInIfNextHopAddr: DWORD,
        dwIfCount: DWORD,
        pmieOutIfList: PMGM_IF_ENTRY,
    ) -> DWORD,
>;

/// Receivers are gone.
///
/// bMemberDelete TRUE: no other client has this membership any more, or routes have changed and
/// the client does not own the interface toward its source any more; (0, 0) means all sources and
/// groups.
/// bMemberDelete FALSE: an entry whose incoming interface the client owns has no outgoing
/// interfaces any more (or never had any); *pdwTimeout, 900 on entry, then becomes the entry's
/// lifetime in seconds (0 means 900, at most 86400).
///
/// dwIfIndex and dwIfNextHopAddr name the interface that was removed.
pub type PMGM_PRUNE_ALERT_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwSourceMask: DWORD,
        dwGroupAddr: DWORD,
        dwGroupMask: DWORD,
        dwIfIndex: DWORD,
        dwIfNextHopAddr: DWORD,
        bMemberDelete: BOOL,
        pdwTimeout: PDWORD,
    ) -> DWORD,
>;

/// Receivers are there.
///
/// bMemberUpdate TRUE: other clients have this membership now; (0, 0) means all sources and groups.
/// bMemberUpdate FALSE: an entry whose incoming interface the client owns has an outgoing
/// interface, by another client's doing.
pub type PMGM_JOIN_ALERT_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwSourceMask: DWORD,
        dwGroupAddr: DWORD,
        dwGroupMask: DWORD,
        bMemberUpdate: BOOL,
    ) -> DWORD,
>;

/// A packet came in on an interface that is not its entry's incoming one. Goes to the client that
/// owns the interface it came in on, for one entry at most once in 3 seconds.
///
/// pbPacketHdr and dwHdrSize are as in the RPF callback; valid until the callback returns.
pub type PMGM_WRONG_IF_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwGroupAddr: DWORD,
        dwIfIndex: DWORD,
        dwIfNextHopAddr: DWORD,
        dwHdrSize: DWORD,
        pbPacketHdr: PBYTE,
    ) -> DWORD,
>;

/// IGMP added a membership on an interface that the client owns. A client without this callback
/// has IGMP's memberships counted like any client's.
pub type PMGM_LOCAL_JOIN_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwSourceMask: DWORD,
        dwGroupAddr: DWORD,
        dwGroupMask: DWORD,
        dwIfIndex: DWORD,
        dwIfNextHopAddr: DWORD,
    ) -> DWORD,
>;

/// IGMP deleted a membership on an interface that the client owns.
pub type PMGM_LOCAL_LEAVE_CALLBACK = Option<
    unsafe extern "C-unwind" fn(
        dwSourceAddr: DWORD,
        dwSourceMask: DWORD,
        dwGroupAddr: DWORD,
        dwGroupMask: DWORD,
        dwIfIndex: DWORD,
        dwIfNextHopAddr: DWORD,
    ) -> DWORD,
>;

/// To IGMP: a routing protocol is about to take or release this interface. Until the enable
/// callback, IGMP's adds and deletes on it give ERROR_CAN_NOT_COMPLETE.
pub type PMGM_DISABLE_IGMP_CALLBACK =
    Option<unsafe extern "C-unwind" fn(dwIfIndex: DWORD, dwIfNextHopAddr: DWORD) -> DWORD>;

/// To IGMP: the interface has its new owner and IGMP's memberships on it were dropped; they are
/// to be added again, which may be done inside this callback.
pub type PMGM_ENABLE_IGMP_CALLBACK =
    Option<unsafe extern "C-unwind" fn(dwIfIndex: DWORD, dwIfNextHopAddr: DWORD) -> DWORD>;

/// A client's callbacks. Any of them may be NULL. MgmRegisterMProtocol copies the structure.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _ROUTING_PROTOCOL_CONFIG {
    /// 0, or MGM_DISPATCHED and MGM_ROUTELESS_FLOWS of mgm_host.h. Anything whose upper 16 bits are not
    /// 0x4D47 is ignored.
    pub dwCallbackFlags: DWORD,
    /// A new flow.
    pub pfnRpfCallback: PMGM_RPF_CALLBACK,
    /// An entry is about to be made.
    pub pfnCreationAlertCallback: PMGM_CREATION_ALERT_CALLBACK,
    /// Receivers are gone.
    pub pfnPruneAlertCallback: PMGM_PRUNE_ALERT_CALLBACK,
    /// Receivers are there.
    pub pfnJoinAlertCallback: PMGM_JOIN_ALERT_CALLBACK,
    /// A packet came in on the wrong interface.
    pub pfnWrongIfCallback: PMGM_WRONG_IF_CALLBACK,
    /// IGMP added a membership.
    pub pfnLocalJoinCallback: PMGM_LOCAL_JOIN_CALLBACK,
    /// IGMP deleted a membership.
    pub pfnLocalLeaveCallback: PMGM_LOCAL_LEAVE_CALLBACK,
    /// To IGMP only: an interface is about to change its owner.
    pub pfnDisableIgmpCallback: PMGM_DISABLE_IGMP_CALLBACK,
    /// To IGMP only: it has changed its owner.
    pub pfnEnableIgmpCallback: PMGM_ENABLE_IGMP_CALLBACK,
}
/// A client's callbacks.
pub type ROUTING_PROTOCOL_CONFIG = _ROUTING_PROTOCOL_CONFIG;
/// A pointer to ROUTING_PROTOCOL_CONFIG.
pub type PROUTING_PROTOCOL_CONFIG = *mut _ROUTING_PROTOCOL_CONFIG;

/// One row of a group enumeration. A source of 0 with a group is any source; the all-zero row is
/// every group. Masks are all ones where the address is not 0, and 0 where it is.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _SOURCE_GROUP_ENTRY {
    /// The source, network byte order.
    pub dwSourceAddr: DWORD,
    /// Its mask.
    pub dwSourceMask: DWORD,
    /// The group, network byte order.
    pub dwGroupAddr: DWORD,
    /// Its mask.
    pub dwGroupMask: DWORD,
}
/// One row of a group enumeration.
pub type SOURCE_GROUP_ENTRY = _SOURCE_GROUP_ENTRY;
/// A pointer to SOURCE_GROUP_ENTRY.
pub type PSOURCE_GROUP_ENTRY = *mut _SOURCE_GROUP_ENTRY;

layout!(_MGM_IF_ENTRY, 16, { dwIfIndex 0, dwIfNextHopAddr 4, bIGMP 8, bIsEnabled 12 });
layout!(_SOURCE_GROUP_ENTRY, 16, {
    dwSourceAddr 0, dwSourceMask 4, dwGroupAddr 8, dwGroupMask 12,
});
layout!(_ROUTING_PROTOCOL_CONFIG, (80 / 40), {
    dwCallbackFlags 0,
    pfnRpfCallback (8 / 4),
    pfnCreationAlertCallback (16 / 8),
    pfnPruneAlertCallback (24 / 12),
    pfnJoinAlertCallback (32 / 16),
    pfnWrongIfCallback (40 / 20),
    pfnLocalJoinCallback (48 / 24),
    pfnLocalLeaveCallback (56 / 28),
    pfnDisableIgmpCallback (64 / 32),
    pfnEnableIgmpCallback (72 / 36),
});
