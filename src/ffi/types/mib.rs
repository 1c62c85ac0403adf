//! The multicast records of ipmib.h (`<iprtrmib.h>` on Windows).
#![expect(non_camel_case_types, reason = "the names of ipmib.h")]
#![expect(non_snake_case, reason = "the names of ipmib.h")]

use super::{DWORD, ULONG, layout};

/// One outgoing interface of a MIB_IPMCAST_MFE.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_IPMCAST_OIF {
    /// The interface's index.
    pub dwOutIfIndex: DWORD,
    /// The next hop's address, network byte order; 0 where there is none.
    pub dwNextHopAddr: DWORD,
    /// Always 0.
    pub dwReserved: DWORD,
    /// Always 0.
    pub dwReserved1: DWORD,
}
/// One outgoing interface of a MIB_IPMCAST_MFE.
pub type MIB_IPMCAST_OIF = _MIB_IPMCAST_OIF;
/// A pointer to MIB_IPMCAST_OIF.
pub type PMIB_IPMCAST_OIF = *mut _MIB_IPMCAST_OIF;

/// A multicast forwarding entry (MFE).
///
/// Addresses and masks are in network byte order, times in seconds. The record is as long as its
/// list of outgoing interfaces: SIZEOF_MIB_MFE(ulNumOutIf) octets, even where ulNumOutIf is 0.
///
/// As an argument (pimm, pimmStart, pmimm) only dwGroup and dwSource are read, by MgmSetMfe
/// dwUpStrmNgbr also.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_IPMCAST_MFE {
    /// The group.
    pub dwGroup: DWORD,
    /// The source.
    pub dwSource: DWORD,
    /// The source's mask: always 255.255.255.255.
    pub dwSrcMask: DWORD,
    /// The upstream neighbour: where packets of this source come from.
    pub dwUpStrmNgbr: DWORD,
    /// The incoming interface's index.
    pub dwInIfIndex: DWORD,
    /// The protocol id of the client that owns the incoming interface; 0 where nobody does.
    pub dwInIfProtocol: DWORD,
    /// The protocol that the route toward the source came from (MIB_IPPROTO_*).
    pub dwRouteProtocol: DWORD,
    /// The prefix of that route.
    pub dwRouteNetwork: DWORD,
    /// The mask of that prefix.
    pub dwRouteMask: DWORD,
    /// Seconds since the entry was made. Goes on where its lifetime ends and it is made anew in place.
    pub ulUpTime: ULONG,
    /// Seconds until its lifetime ends, begun seconds counted as whole.
    pub ulExpiryTime: ULONG,
    /// Its whole lifetime in seconds.
    pub ulTimeOut: ULONG,
    /// How many outgoing interfaces follow; 0: a negative entry.
    pub ulNumOutIf: ULONG,
    /// Always 0.
    pub fFlags: DWORD,
    /// Always 0.
    pub dwReserved: DWORD,
    /// The outgoing interfaces, by index, then next hop.
    pub rgmioOutInfo: [MIB_IPMCAST_OIF; 1],
}
/// A multicast forwarding entry.
pub type MIB_IPMCAST_MFE = _MIB_IPMCAST_MFE;
/// A pointer to MIB_IPMCAST_MFE.
pub type PMIB_IPMCAST_MFE = *mut _MIB_IPMCAST_MFE;

/// A counted array of entries; no function of mgm.h takes one.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_MFE_TABLE {
    /// How many.
    pub dwNumEntries: DWORD,
    /// The entries.
    pub table: [MIB_IPMCAST_MFE; 1],
}
/// A counted array of entries.
pub type MIB_MFE_TABLE = _MIB_MFE_TABLE;
/// A pointer to MIB_MFE_TABLE.
pub type PMIB_MFE_TABLE = *mut _MIB_MFE_TABLE;

/// One outgoing interface of a statistics record. Counters are 32 bits wide and wrap.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_IPMCAST_OIF_STATS {
    /// The interface's index.
    pub dwOutIfIndex: DWORD,
    /// The next hop's address, network byte order; 0 where there is none.
    pub dwNextHopAddr: DWORD,
    /// Always 0.
    pub dwDialContext: DWORD,
    /// Packets not sent out of it since it joined the entry, because their TTL was 1 or 0. Counted
    /// by the memory forwarder; otherwise 0.
    pub ulTtlTooLow: ULONG,
    /// Always 0: not counted.
    pub ulFragNeeded: ULONG,
    /// Packets sent out of it since it joined the entry. The kernel and a custom forwarder count for
    /// an entry alone: with them it is what came in since the interface joined, whether or not it left.
    pub ulOutPackets: ULONG,
    /// Always 0: not counted.
    pub ulOutDiscards: ULONG,
}
/// One outgoing interface of a statistics record.
pub type MIB_IPMCAST_OIF_STATS = _MIB_IPMCAST_OIF_STATS;
/// A pointer to MIB_IPMCAST_OIF_STATS.
pub type PMIB_IPMCAST_OIF_STATS = *mut _MIB_IPMCAST_OIF_STATS;

/// An entry with its statistics (MGM_MFE_STATS_0).
///
/// As MIB_IPMCAST_MFE, but with times in hundredths of a second. Counters are 32 bits wide and
/// wrap. Its length is SIZEOF_MIB_MFE_STATS(ulNumOutIf).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_IPMCAST_MFE_STATS {
    /// The group.
    pub dwGroup: DWORD,
    /// The source.
    pub dwSource: DWORD,
    /// The source's mask: always 255.255.255.255.
    pub dwSrcMask: DWORD,
    /// The upstream neighbour.
    pub dwUpStrmNgbr: DWORD,
    /// The incoming interface's index.
    pub dwInIfIndex: DWORD,
    /// The protocol id of the client that owns the incoming interface; 0 where nobody does.
    pub dwInIfProtocol: DWORD,
    /// The protocol that the route toward the source came from.
    pub dwRouteProtocol: DWORD,
    /// The prefix of that route.
    pub dwRouteNetwork: DWORD,
    /// The mask of that prefix.
    pub dwRouteMask: DWORD,
    /// Hundredths of a second since the entry was made.
    pub ulUpTime: ULONG,
    /// Hundredths of a second until its lifetime ends.
    pub ulExpiryTime: ULONG,
    /// How many outgoing interfaces follow.
    pub ulNumOutIf: ULONG,
    /// Packets that came in on the incoming interface: forwarded, or dropped where there is no outgoing
    /// one.
    pub ulInPkts: ULONG,
    /// Octets of those packets, IP headers included.
    pub ulInOctets: ULONG,
    /// Packets that came in on another interface and were dropped.
    pub ulPktsDifferentIf: ULONG,
    /// Always 0: not counted.
    pub ulQueueOverflow: ULONG,
    /// The outgoing interfaces, by index, then next hop.
    pub rgmiosOutStats: [MIB_IPMCAST_OIF_STATS; 1],
}
/// An entry with its statistics.
pub type MIB_IPMCAST_MFE_STATS = _MIB_IPMCAST_MFE_STATS;
/// A pointer to MIB_IPMCAST_MFE_STATS.
pub type PMIB_IPMCAST_MFE_STATS = *mut _MIB_IPMCAST_MFE_STATS;

/// A counted array of entries with statistics; no function of mgm.h takes one.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_MFE_STATS_TABLE {
    /// How many.
    pub dwNumEntries: DWORD,
    /// The entries.
    pub table: [MIB_IPMCAST_MFE_STATS; 1],
}
/// A counted array of entries with statistics.
pub type MIB_MFE_STATS_TABLE = _MIB_MFE_STATS_TABLE;
/// A pointer to MIB_MFE_STATS_TABLE.
pub type PMIB_MFE_STATS_TABLE = *mut _MIB_MFE_STATS_TABLE;

/// An entry with extended statistics (MGM_MFE_STATS_1).
///
/// As MIB_IPMCAST_MFE_STATS; its length is SIZEOF_MIB_MFE_STATS_EX(ulNumOutIf).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_IPMCAST_MFE_STATS_EX {
    /// The group.
    pub dwGroup: DWORD,
    /// The source.
    pub dwSource: DWORD,
    /// The source's mask: always 255.255.255.255.
    pub dwSrcMask: DWORD,
    /// The upstream neighbour.
    pub dwUpStrmNgbr: DWORD,
    /// The incoming interface's index.
    pub dwInIfIndex: DWORD,
    /// The protocol id of the client that owns the incoming interface; 0 where nobody does.
    pub dwInIfProtocol: DWORD,
    /// The protocol that the route toward the source came from.
    pub dwRouteProtocol: DWORD,
    /// The prefix of that route.
    pub dwRouteNetwork: DWORD,
    /// The mask of that prefix.
    pub dwRouteMask: DWORD,
    /// Hundredths of a second since the entry was made.
    pub ulUpTime: ULONG,
    /// Hundredths of a second until its lifetime ends.
    pub ulExpiryTime: ULONG,
    /// How many outgoing interfaces follow.
    pub ulNumOutIf: ULONG,
    /// Packets that came in on the incoming interface: forwarded, or dropped where there is no outgoing
    /// one.
    pub ulInPkts: ULONG,
    /// Octets of those packets, IP headers included.
    pub ulInOctets: ULONG,
    /// Packets that came in on another interface and were dropped.
    pub ulPktsDifferentIf: ULONG,
    /// Always 0: not counted.
    pub ulQueueOverflow: ULONG,
    /// Always 0: not counted.
    pub ulUninitMfe: ULONG,
    /// Always 0: not counted.
    pub ulNegativeMfe: ULONG,
    /// Always 0: not counted.
    pub ulInDiscards: ULONG,
    /// Always 0: not counted.
    pub ulInHdrErrors: ULONG,
    /// The sum of all ulOutPackets.
    pub ulTotalOutPackets: ULONG,
    /// The outgoing interfaces, by index, then next hop.
    pub rgmiosOutStats: [MIB_IPMCAST_OIF_STATS; 1],
}
/// An entry with extended statistics.
pub type MIB_IPMCAST_MFE_STATS_EX = _MIB_IPMCAST_MFE_STATS_EX;
/// A pointer to MIB_IPMCAST_MFE_STATS_EX.
pub type PMIB_IPMCAST_MFE_STATS_EX = *mut _MIB_IPMCAST_MFE_STATS_EX;

/// A counted array of entries with extended statistics; no function of mgm.h takes one.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _MIB_MFE_STATS_TABLE_EX {
    /// How many.
    pub dwNumEntries: DWORD,
    /// The entries.
    pub table: [MIB_IPMCAST_MFE_STATS_EX; 1],
}
/// A counted array of entries with extended statistics.
pub type MIB_MFE_STATS_TABLE_EX = _MIB_MFE_STATS_TABLE_EX;
/// A pointer to MIB_MFE_STATS_TABLE_EX.
pub type PMIB_MFE_STATS_TABLE_EX = *mut _MIB_MFE_STATS_TABLE_EX;

layout!(_MIB_IPMCAST_OIF, 16, {
    dwOutIfIndex 0, dwNextHopAddr 4, dwReserved 8, dwReserved1 12,
});
layout!(_MIB_IPMCAST_MFE, 76, {
    dwGroup 0, dwSource 4, dwSrcMask 8, dwUpStrmNgbr 12, dwInIfIndex 16, dwInIfProtocol 20,
    dwRouteProtocol 24, dwRouteNetwork 28, dwRouteMask 32, ulUpTime 36, ulExpiryTime 40,
    ulTimeOut 44, ulNumOutIf 48, fFlags 52, dwReserved 56, rgmioOutInfo 60,
});
layout!(_MIB_MFE_STATS_TABLE, 96, { dwNumEntries 0, table 4 });
layout!(_MIB_MFE_STATS_TABLE_EX, 116, { dwNumEntries 0, table 4 });
layout!(_MIB_MFE_TABLE, 80, { dwNumEntries 0, table 4 });
layout!(_MIB_IPMCAST_OIF_STATS, 28, {
    dwOutIfIndex 0, dwNextHopAddr 4, dwDialContext 8, ulTtlTooLow 12, ulFragNeeded 16,
    ulOutPackets 20, ulOutDiscards 24,
});
layout!(_MIB_IPMCAST_MFE_STATS, 92, {
    dwGroup 0, dwSource 4, dwSrcMask 8, dwUpStrmNgbr 12, dwInIfIndex 16, dwInIfProtocol 20,
    dwRouteProtocol 24, dwRouteNetwork 28, dwRouteMask 32, ulUpTime 36, ulExpiryTime 40,
    ulNumOutIf 44, ulInPkts 48, ulInOctets 52, ulPktsDifferentIf 56, ulQueueOverflow 60,
    rgmiosOutStats 64,
});
layout!(_MIB_IPMCAST_MFE_STATS_EX, 112, {
    dwGroup 0, dwSource 4, dwSrcMask 8, dwUpStrmNgbr 12, dwInIfIndex 16, dwInIfProtocol 20,
    dwRouteProtocol 24, dwRouteNetwork 28, dwRouteMask 32, ulUpTime 36, ulExpiryTime 40,
    ulNumOutIf 44, ulInPkts 48, ulInOctets 52, ulPktsDifferentIf 56, ulQueueOverflow 60,
    ulUninitMfe 64, ulNegativeMfe 68, ulInDiscards 72, ulInHdrErrors 76, ulTotalOutPackets 80,
    rgmiosOutStats 84,
});
