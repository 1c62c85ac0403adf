//! Records written into a caller's buffer.
//!
//! The buffer is only reached through raw pointers: it may be unaligned and uninitialised.

use super::MGM;
use super::convert::{ONE_ADDRESS, dword, mask_with, required};
use super::types::{
    _MIB_IPMCAST_MFE, _MIB_IPMCAST_MFE_STATS, _MIB_IPMCAST_MFE_STATS_EX, _MIB_IPMCAST_OIF,
    _MIB_IPMCAST_OIF_STATS, _SOURCE_GROUP_ENTRY, DWORD, MGM_MFE_STATS_0, MGM_MFE_STATS_1, PBYTE,
    PDWORD,
};
use crate::core::record::{MfeRecord, OifRecord, Rest};
use crate::core::types::{EnumId, SourceGroup, mask_of};
use crate::error::Error;
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::ptr::NonNull;

/// Records that are nothing but 32-bit words.
///
/// # Safety
/// The type has no padding: every octet of it is initialised.
unsafe trait Words: Copy {}
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

/// A caller's buffer that is filled with whole records, its size, and its number of records.
pub(super) struct OutBuffer {
    size: NonNull<DWORD>,
    data: PBYTE,
    room: usize,
    used: usize,
    num_entries: Option<NonNull<DWORD>>,
    entries: DWORD,
    /// The size of the first record, where it did not fit.
    needed: Option<usize>,
}

impl OutBuffer {
    /// Takes the buffer arguments of a reading function; `num_entries` is None where the function
    /// has no such parameter. A null buffer is allowed where its size is 0: it is not touched.
    ///
    /// # Safety
    /// Each pointer is null or valid while the `OutBuffer` lives: `size` and `num_entries` for a
    /// DWORD, `data` for writing `*size` octets.
    pub(super) unsafe fn new(
        size: PDWORD,
        data: PBYTE,
        num_entries: Option<PDWORD>,
    ) -> Result<Self, Error> {
        let size = required(size, "pdwBufferSize")?;
        let num_entries = match num_entries {
            Some(pointer) => Some(required(pointer, "pdwNumEntries")?),
            None => None,
        };
        // SAFETY: not null, and the caller's promise.
        let room = unsafe { size.read_unaligned() } as usize;
        if room != 0 {
            required(data, "pbBuffer")?;
        }
        Ok(Self { size, data, room, used: 0, num_entries, entries: 0, needed: None })
    }

    /// Octets not written yet.
    pub(super) fn left(&self) -> usize {
        self.room - self.used
    }

    /// Octets written.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Writes octets behind those that are there. The caller has checked that there is room.
    pub(super) fn write(&mut self, octets: &[u8]) {
        assert!(octets.len() <= self.left());
        // SAFETY: `new` was promised `room` octets at `data`, and `used + len <= room`. `octets`
        // is memory of ours, so the two do not overlap.
        unsafe {
            self.data.add(self.used).copy_from_nonoverlapping(octets.as_ptr(), octets.len());
        }
        self.used += octets.len();
    }

    /// Writes the first `size` octets of `value`.
    fn write_words<T: Words>(&mut self, value: &T, size: usize) {
        assert!(size <= size_of::<T>());
        // SAFETY: `Words` has no uninitialised octets, and `size` is within the value.
        self.write(unsafe { std::slice::from_raw_parts((&raw const *value).cast(), size) });
    }

    /// Writes a record, of which only the first `head_size` octets count, with its trailing list.
    /// False: it does not fit and nothing was written.
    fn put<H: Words, T: Words>(
        &mut self,
        head: &H,
        head_size: usize,
        list: impl ExactSizeIterator<Item = T>,
    ) -> bool {
        let size = head_size + list.len() * size_of::<T>();
        if size > self.left() {
            if self.entries == 0 {
                self.needed = Some(size);
            }
            return false;
        }
        self.write_words(head, head_size);
        for item in list {
            self.write_words(&item, size_of::<T>());
        }
        self.entries += 1;
        true
    }

    /// Tells the caller the size that would do (rule A2).
    pub(super) fn insufficient(&mut self, needed: usize) -> Error {
        let needed = DWORD::try_from(needed).unwrap_or(DWORD::MAX);
        // SAFETY: the promise made to `new`.
        unsafe { self.size.write_unaligned(needed) };
        self.entries = 0;
        self.write_entries();
        Error::InsufficientBuffer { needed }
    }

    /// Ends a reading of many records (rule E11).
    fn finish(&mut self, rest: Rest) -> Result<Rest, Error> {
        match self.needed {
            Some(needed) => Err(self.insufficient(needed)),
            None => {
                self.write_entries();
                Ok(rest)
            }
        }
    }

    fn write_entries(&mut self) {
        if let Some(pointer) = self.num_entries {
            // SAFETY: the promise made to `new`.
            unsafe { pointer.write_unaligned(self.entries) };
        }
    }
}

/// Which statistics record.
#[derive(Clone, Copy)]
pub(super) enum StatsKind {
    Basic,
    Extended,
}

impl StatsKind {
    /// Checks dwFlags of the statistics functions (rule E13).
    pub(super) fn from_flags(value: DWORD) -> Result<Self, Error> {
        match value {
            MGM_MFE_STATS_0 => Ok(Self::Basic),
            MGM_MFE_STATS_1 => Ok(Self::Extended),
            _ => {
                let allowed = "MGM_MFE_STATS_0 (1), MGM_MFE_STATS_1 (2)";
                Err(Error::BadValue { name: "dwFlags", value, allowed })
            }
        }
    }
}

/// Reads forwarding entries into a caller's buffer, as records of one kind.
pub(super) struct MfeRecords {
    out: OutBuffer,
    stats: Option<StatsKind>,
}

impl MfeRecords {
    pub(super) fn new(out: OutBuffer, stats: Option<StatsKind>) -> Self {
        Self { out, stats }
    }

    /// Reads the entry of one flow.
    pub(super) fn one(mut self, flow: SourceGroup) -> Result<(), Error> {
        MGM.read_mfe(flow, self.stats.is_some(), &mut |record| {
            self.put(record);
        })?;
        self.out.finish(Rest::End).map(|_| ())
    }

    /// Reads the entries after `start`, or from the first.
    pub(super) fn all_after(mut self, start: Option<SourceGroup>) -> Result<Rest, Error> {
        let (head, oif) = self.sizes();
        let mut left = self.out.left();
        let has_room = &mut |oifs: usize| {
            let size = head + oifs * oif;
            let fits = size <= left;
            left -= if fits { size } else { 0 };
            fits
        };
        let rest = MGM.read_mfes(start, self.stats.is_some(), has_room, &mut |record| {
            if self.put(record) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match rest {
            // What was read is good; the caller goes on from there (rules A2, A4).
            Err(Error::OutOfMemory) if self.out.entries > 0 => self.out.finish(Rest::More),
            rest => self.out.finish(rest?),
        }
    }

    /// The sizes of a record without its oifs, and of one oif.
    fn sizes(&self) -> (usize, usize) {
        let oif = size_of::<_MIB_IPMCAST_OIF_STATS>();
        match self.stats {
            None => (offset_of!(_MIB_IPMCAST_MFE, rgmioOutInfo), size_of::<_MIB_IPMCAST_OIF>()),
            Some(StatsKind::Basic) => (offset_of!(_MIB_IPMCAST_MFE_STATS, rgmiosOutStats), oif),
            Some(StatsKind::Extended) => {
                (offset_of!(_MIB_IPMCAST_MFE_STATS_EX, rgmiosOutStats), oif)
            }
        }
    }

    fn put(&mut self, record: &MfeRecord<'_>) -> bool {
        let (head, _) = self.sizes();
        let oifs = record.oifs.iter();
        match self.stats {
            None => self.out.put(&mfe(record), head, oifs.map(oif)),
            Some(StatsKind::Basic) => self.out.put(&mfe_stats(record), head, oifs.map(oif_stats)),
            Some(StatsKind::Extended) => {
                self.out.put(&mfe_stats_ex(record), head, oifs.map(oif_stats))
            }
        }
    }
}

/// Reads the next rows of an enumeration into a caller's buffer (rule F2).
pub(super) fn next_groups(id: EnumId, mut out: OutBuffer) -> Result<Rest, Error> {
    let row_size = size_of::<_SOURCE_GROUP_ENTRY>();
    let max = out.left() / row_size;
    let rest = MGM.next_groups(id, max, &mut |row| {
        out.put(&group_row(row), row_size, std::iter::empty::<_SOURCE_GROUP_ENTRY>());
    })?;
    match rest {
        Rest::More if max == 0 => Err(out.insufficient(row_size)),
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

/// Time in units of `unit` milliseconds, begun ones not counted.
fn elapsed(ms: u64, unit: u64) -> DWORD {
    DWORD::try_from(ms / unit).unwrap_or(DWORD::MAX)
}

/// Time left in units of `unit` milliseconds, begun ones counted: 0 is past.
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
        ulOutPackets: oif.packets,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::types::{Counters, IfKey, Seconds};
    use std::mem::MaybeUninit;
    use std::net::Ipv4Addr;

    const OIFS: [OifRecord; 2] = [
        OifRecord { interface: IfKey::new(2, Ipv4Addr::UNSPECIFIED), packets: u32::MAX },
        OifRecord { interface: IfKey::new(3, Ipv4Addr::new(10, 9, 8, 7)), packets: 3 },
    ];

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
            counters: Counters { packets: 1, octets: 2, wrong_interface: 3 },
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

        fn records(&mut self, stats: Option<StatsKind>) -> MfeRecords {
            let data = self.memory[1..].as_mut_ptr().cast();
            // SAFETY: the three outlive the test's use of the records.
            let out =
                unsafe { OutBuffer::new(&raw mut self.size, data, Some(&raw mut self.count)) };
            MfeRecords::new(out.unwrap(), stats)
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
        let mut records = caller.records(None);
        assert!(records.put(&record(&[])));
        assert!(records.put(&record(&OIFS[1..])));
        assert!(!records.put(&record(&[])), "59 octets are left");
        assert_eq!(records.out.finish(Rest::More), Ok(Rest::More));
        assert_eq!((caller.size, caller.count), (195, 2));
        // ulNumOutIf of both, and the second's only interface.
        assert_eq!((caller.word(48), caller.word(60 + 48)), (0, 1));
        assert_eq!(caller.word(60 + 60), 3);
        assert_eq!(caller.word(60 + 64), u32::from_ne_bytes([10, 9, 8, 7]));
    }

    #[test]
    fn e11_no_room_for_one_record() {
        let mut caller = Caller::new(91);
        let mut records = caller.records(None);
        assert!(!records.put(&record(&OIFS)));
        let insufficient = Err(Error::InsufficientBuffer { needed: 92 });
        assert_eq!(records.out.finish(Rest::More), insufficient);
        assert_eq!((caller.size, caller.count), (92, 0));
    }

    #[test]
    fn e12_units_of_time() {
        let mut caller = Caller::new(500);
        let mut records = caller.records(None);
        assert!(records.put(&record(&[])));
        records.stats = Some(StatsKind::Basic);
        assert!(records.put(&record(&[])));
        assert_eq!((caller.word(36), caller.word(40), caller.word(44)), (1, 899, 900));
        assert_eq!((caller.word(60 + 36), caller.word(60 + 40)), (199, 89_801));
    }

    #[test]
    fn e13_counters_wrap() {
        let mut caller = Caller::new(140);
        let mut records = caller.records(Some(StatsKind::Extended));
        assert!(records.put(&record(&OIFS)));
        let counters = (caller.word(48), caller.word(52), caller.word(56));
        assert_eq!(counters, (1, 2, 3));
        // The sum of u32::MAX and 3, and each of them.
        assert_eq!(caller.word(80), 2);
        assert_eq!((caller.word(84 + 20), caller.word(84 + 28 + 20)), (u32::MAX, 3));
    }

    #[test]
    fn null_buffers_of_no_size() {
        let (mut size, mut count) = (0, 99);
        // SAFETY: the two variables outlive the buffer, and 0 octets are there.
        let new = |size, count| unsafe { OutBuffer::new(size, std::ptr::null_mut(), count) };
        assert!(new(&raw mut size, Some(&raw mut count)).is_ok());
        size = 1;
        let null = |name| Some(Error::NullPointer(name));
        assert_eq!(new(&raw mut size, None).err(), null("pbBuffer"));
        assert_eq!(new(std::ptr::null_mut(), None).err(), null("pdwBufferSize"));
        assert_eq!(new(&raw mut size, Some(std::ptr::null_mut())).err(), null("pdwNumEntries"));
    }
}
