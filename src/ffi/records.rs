//! Converts the core's records to those of C.

use super::buffer::{OutBuffer, Words};
use super::convert::{ONE_ADDRESS, dword, mask_with};
use super::manager::manager;
use super::sizes::{PLAIN_HEAD, STATS_EX_HEAD, STATS_HEAD};
use super::types::{
    _MIB_IPMCAST_MFE, _MIB_IPMCAST_MFE_STATS, _MIB_IPMCAST_MFE_STATS_EX, _MIB_IPMCAST_OIF,
    _MIB_IPMCAST_OIF_STATS, _SOURCE_GROUP_ENTRY, DWORD, MGM_MFE_STATS_0, MGM_MFE_STATS_1,
};
use crate::core::state::record::{MfeRecord, OifRecord, Rest};
use crate::error::Error;
use crate::types::{EnumId, SourceGroup, mask_of};
use std::ops::ControlFlow;

// SAFETY: DWORDs and ULONGs only, see the layout assertions beside each type.
unsafe impl Words for _MIB_IPMCAST_MFE {}
// SAFETY: as above.
unsafe impl Words for _MIB_IPMCAST_MFE_STATS {}
// SAFETY: as above.
unsafe impl Words for _MIB_IPMCAST_MFE_STATS_EX {}
// SAFETY: as above.
unsafe impl Words for _MIB_IPMCAST_OIF {}
// SAFETY: as above.
unsafe impl Words for _MIB_IPMCAST_OIF_STATS {}
// SAFETY: as above.
unsafe impl Words for _SOURCE_GROUP_ENTRY {}

/// The kind of record that an entry is read as.
#[derive(Clone, Copy)]
pub(super) enum MfeKind {
    /// MIB_IPMCAST_MFE
    Plain,
    /// MIB_IPMCAST_MFE_STATS
    Stats,
    /// MIB_IPMCAST_MFE_STATS_EX
    StatsEx,
}

impl MfeKind {
    /// Checks dwFlags of the statistics functions (rule E13).
    pub(super) fn of_stats(flags: DWORD) -> Result<Self, Error> {
        match flags {
            MGM_MFE_STATS_0 => Ok(Self::Stats),
            MGM_MFE_STATS_1 => Ok(Self::StatsEx),
            _ => {
                let allowed = "MGM_MFE_STATS_0 (1), MGM_MFE_STATS_1 (2)";
                Err(Error::BadValue { name: "dwFlags", value: flags, allowed })
            }
        }
    }

    const fn has_counters(self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// The size of a record with so many outgoing interfaces.
    const fn size(self, oifs: usize) -> usize {
        match self {
            Self::Plain => PLAIN_HEAD + oifs * size_of::<_MIB_IPMCAST_OIF>(),
            Self::Stats => STATS_HEAD + oifs * size_of::<_MIB_IPMCAST_OIF_STATS>(),
            Self::StatsEx => STATS_EX_HEAD + oifs * size_of::<_MIB_IPMCAST_OIF_STATS>(),
        }
    }

    fn put(self, record: &MfeRecord<'_>, out: &mut OutBuffer) -> bool {
        let oifs = record.oifs;
        match self {
            Self::Plain => out.put::<PLAIN_HEAD, _, _, _>(&mfe(record), oifs, oif),
            Self::Stats => out.put::<STATS_HEAD, _, _, _>(&mfe_stats(record), oifs, oif_stats),
            Self::StatsEx => {
                out.put::<STATS_EX_HEAD, _, _, _>(&mfe_stats_ex(record), oifs, oif_stats)
            }
        }
    }
}

/// Reads the entry of one flow.
pub(super) fn one_mfe(kind: MfeKind, mut out: OutBuffer, flow: SourceGroup) -> Result<(), Error> {
    manager()?.read_mfe(flow, kind.has_counters(), &mut |record| {
        kind.put(record, &mut out);
    })?;
    out.finish(Rest::End).map(|_| ())
}

/// Reads the entries after `start`, or from the first.
pub(super) fn mfes_after(
    kind: MfeKind,
    mut out: OutBuffer,
    start: Option<SourceGroup>,
) -> Result<Rest, Error> {
    let mut left = out.left();
    let has_room = &mut |oifs: usize| {
        let size = kind.size(oifs);
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    };
    let room = out.left();
    let rest = manager()?.read_mfes(start, kind.has_counters(), room, has_room, &mut |record| {
        if kind.put(record, &mut out) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match rest {
        // What was read is good; the caller goes on from there (rules A2, A4).
        Err(Error::OutOfMemory) if out.entries() > 0 => out.finish(Rest::More),
        rest => out.finish(rest?),
    }
}

/// Reads the next rows of an enumeration into a caller's buffer (rule F2).
pub(super) fn next_groups(id: EnumId, mut out: OutBuffer) -> Result<Rest, Error> {
    const SIZE: usize = size_of::<_SOURCE_GROUP_ENTRY>();
    let max = out.left() / SIZE;
    let rest = manager()?.next_groups(id, max, &mut |row| {
        out.put::<SIZE, _, _, _>(&group_row(row), &[], |row: &_SOURCE_GROUP_ENTRY| *row);
    })?;
    match rest {
        Rest::More if max == 0 => Err(out.insufficient(SIZE)),
        rest => out.finish(rest),
    }
}

fn group_row(row: SourceGroup) -> _SOURCE_GROUP_ENTRY {
    _SOURCE_GROUP_ENTRY {
        dwSourceAddr: dword(row.source()),
        dwSourceMask: mask_with(row.source()),
        dwGroupAddr: dword(row.group()),
        dwGroupMask: mask_with(row.group()),
    }
}

/// Time in whole units of `unit` milliseconds; a unit that has begun does not count.
fn elapsed(ms: u64, unit: u64) -> DWORD {
    DWORD::try_from(ms / unit).unwrap_or(DWORD::MAX)
}

/// Time left in units of `unit` milliseconds; a unit that has begun counts. 0 means past.
fn left(ms: u64, unit: u64) -> DWORD {
    DWORD::try_from(ms.div_ceil(unit)).unwrap_or(DWORD::MAX)
}

/// Milliseconds in the records' units of time (rule E12).
const SECOND: u64 = 1000;
const HUNDREDTH: u64 = 10;

fn mfe(record: &MfeRecord<'_>) -> _MIB_IPMCAST_MFE {
    _MIB_IPMCAST_MFE {
        dwGroup: dword(record.flow.group()),
        dwSource: dword(record.flow.source()),
        dwSrcMask: ONE_ADDRESS,
        dwUpStrmNgbr: dword(record.upstream),
        dwInIfIndex: record.iif.index,
        dwInIfProtocol: record.iif_protocol,
        dwRouteProtocol: record.route_protocol,
        dwRouteNetwork: dword(record.route_network),
        dwRouteMask: dword(mask_of(record.route_prefix_len)),
        ulUpTime: elapsed(record.up_time_ms, SECOND),
        ulExpiryTime: left(record.expiry_ms, SECOND),
        ulTimeOut: record.lifetime.0,
        ulNumOutIf: record.oifs.len() as DWORD,
        ..Default::default()
    }
}

fn oif(oif: &OifRecord) -> _MIB_IPMCAST_OIF {
    _MIB_IPMCAST_OIF {
        dwOutIfIndex: oif.interface.index,
        dwNextHopAddr: dword(oif.interface.next_hop),
        ..Default::default()
    }
}

fn mfe_stats(record: &MfeRecord<'_>) -> _MIB_IPMCAST_MFE_STATS {
    let mfe = mfe(record);
    _MIB_IPMCAST_MFE_STATS {
        dwGroup: mfe.dwGroup,
        dwSource: mfe.dwSource,
        dwSrcMask: mfe.dwSrcMask,
        dwUpStrmNgbr: mfe.dwUpStrmNgbr,
        dwInIfIndex: mfe.dwInIfIndex,
        dwInIfProtocol: mfe.dwInIfProtocol,
        dwRouteProtocol: mfe.dwRouteProtocol,
        dwRouteNetwork: mfe.dwRouteNetwork,
        dwRouteMask: mfe.dwRouteMask,
        ulUpTime: elapsed(record.up_time_ms, HUNDREDTH),
        ulExpiryTime: left(record.expiry_ms, HUNDREDTH),
        ulNumOutIf: mfe.ulNumOutIf,
        ulInPkts: record.counters.packets,
        ulInOctets: record.counters.octets,
        ulPktsDifferentIf: record.counters.wrong_interface,
        ..Default::default()
    }
}

fn mfe_stats_ex(record: &MfeRecord<'_>) -> _MIB_IPMCAST_MFE_STATS_EX {
    let basic = mfe_stats(record);
    _MIB_IPMCAST_MFE_STATS_EX {
        dwGroup: basic.dwGroup,
        dwSource: basic.dwSource,
        dwSrcMask: basic.dwSrcMask,
        dwUpStrmNgbr: basic.dwUpStrmNgbr,
        dwInIfIndex: basic.dwInIfIndex,
        dwInIfProtocol: basic.dwInIfProtocol,
        dwRouteProtocol: basic.dwRouteProtocol,
        dwRouteNetwork: basic.dwRouteNetwork,
        dwRouteMask: basic.dwRouteMask,
        ulUpTime: basic.ulUpTime,
        ulExpiryTime: basic.ulExpiryTime,
        ulNumOutIf: basic.ulNumOutIf,
        ulInPkts: basic.ulInPkts,
        ulInOctets: basic.ulInOctets,
        ulPktsDifferentIf: basic.ulPktsDifferentIf,
        ulTotalOutPackets: record.oifs.iter().fold(0, |sum, oif| sum.wrapping_add(oif.packets)),
        ..Default::default()
    }
}

fn oif_stats(oif: &OifRecord) -> _MIB_IPMCAST_OIF_STATS {
    _MIB_IPMCAST_OIF_STATS {
        dwOutIfIndex: oif.interface.index,
        dwNextHopAddr: dword(oif.interface.next_hop),
        ulTtlTooLow: oif.ttl_too_low,
        ulOutPackets: oif.packets,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Counters, IfKey, Seconds};
    use std::mem::MaybeUninit;
    use std::net::Ipv4Addr;

    const OIFS: [OifRecord; 2] = [
        oif(IfKey::new(2, Ipv4Addr::UNSPECIFIED), u32::MAX, 0),
        oif(IfKey::new(3, Ipv4Addr::new(10, 9, 8, 7)), 3, 4),
    ];

    const fn oif(interface: IfKey, packets: u32, ttl_too_low: u32) -> OifRecord {
        OifRecord { interface, packets, ttl_too_low }
    }

    fn record(oifs: &[OifRecord]) -> MfeRecord<'_> {
        MfeRecord {
            flow: SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(239, 0, 0, 1)),
            iif: IfKey::new(1, Ipv4Addr::UNSPECIFIED),
            iif_protocol: 0x11,
            upstream: Ipv4Addr::new(10, 0, 0, 2),
            route_protocol: 13,
            route_network: Ipv4Addr::new(10, 0, 0, 0),
            route_prefix_len: 8,
            up_time_ms: 1_999,
            expiry_ms: 898_001,
            lifetime: Seconds(900),
            counters: Counters { packets: 1, octets: 2, wrong_interface: 3, waited: None },
            resolved: true,
            oifs,
        }
    }

    /// A caller's buffer, one octet off any alignment and not initialised.
    struct Caller {
        memory: Box<[MaybeUninit<u8>]>,
        size: DWORD,
        count: DWORD,
    }

    impl Caller {
        fn new(size: DWORD) -> Self {
            Self { memory: Box::new_uninit_slice(size as usize + 1), size, count: 99 }
        }

        fn out(&mut self) -> OutBuffer {
            let data = self.memory[1..].as_mut_ptr().cast();
            // SAFETY: the three outlive the test's use of the buffer.
            unsafe { OutBuffer::new(&raw mut self.size, data, Some(&raw mut self.count)) }.unwrap()
        }

        fn word(&self, at: usize) -> DWORD {
            let octets: [u8; 4] = std::array::from_fn(|i| {
                // SAFETY: tests read only what they saw being written.
                unsafe { self.memory[1 + at + i].assume_init() }
            });
            DWORD::from_ne_bytes(octets)
        }
    }

    #[test]
    fn e11_whole_records_back_to_back() {
        let mut caller = Caller::new(60 + 76 + 59);
        let mut out = caller.out();
        assert!(MfeKind::Plain.put(&record(&[]), &mut out));
        assert!(MfeKind::Plain.put(&record(&OIFS[1..]), &mut out));
        assert!(!MfeKind::Plain.put(&record(&[]), &mut out), "59 octets are left");
        assert_eq!(out.finish(Rest::More), Ok(Rest::More));
        assert_eq!((caller.size, caller.count), (195, 2));
        // ulNumOutIf of both, and the second's only interface.
        assert_eq!((caller.word(48), caller.word(60 + 48)), (0, 1));
        assert_eq!(caller.word(60 + 60), 3);
        assert_eq!(caller.word(60 + 64), u32::from_ne_bytes([10, 9, 8, 7]));
    }

    #[test]
    fn e11_no_room_for_one_record() {
        let mut caller = Caller::new(91);
        let mut out = caller.out();
        assert!(!MfeKind::Plain.put(&record(&OIFS), &mut out));
        let insufficient = Err(Error::InsufficientBuffer { needed: 92 });
        assert_eq!(out.finish(Rest::More), insufficient);
        assert_eq!((caller.size, caller.count), (92, 0));
    }

    #[test]
    fn e12_units_of_time() {
        let mut caller = Caller::new(500);
        let mut out = caller.out();
        assert!(MfeKind::Plain.put(&record(&[]), &mut out));
        assert!(MfeKind::Stats.put(&record(&[]), &mut out));
        assert_eq!((caller.word(36), caller.word(40), caller.word(44)), (1, 899, 900));
        assert_eq!((caller.word(60 + 36), caller.word(60 + 40)), (199, 89_801));
    }

    #[test]
    fn e13_counters_wrap() {
        let mut caller = Caller::new(140);
        let mut out = caller.out();
        assert!(MfeKind::StatsEx.put(&record(&OIFS), &mut out));
        let counters = (caller.word(48), caller.word(52), caller.word(56));
        assert_eq!(counters, (1, 2, 3));
        // The sum of u32::MAX and 3, and each of them.
        assert_eq!(caller.word(80), 2);
        assert_eq!((caller.word(84 + 20), caller.word(84 + 28 + 20)), (u32::MAX, 3));
        assert_eq!((caller.word(84 + 12), caller.word(84 + 28 + 12)), (0, 4));
    }
}
