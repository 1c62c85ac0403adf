//! Forwarding entries and rows of group enumerations as a host sends them: words of 32 bits in the
//! machine's byte order, behind a [`Reply::List`](super::wire::Reply::List) up to the message's end.
//!
//! An encoding that is smaller, or tells its own types, would cost more per record than the record
//! itself. Both sides know from the request what is sent, and nothing in it is trusted: a record is
//! read only as far as the message reaches, and its number of interfaces is checked against that.

use crate::core::state::record::{GroupRow, MfeRecord, OifRecord};
use crate::error::Error;
use crate::types::{Counters, IfKey, Seconds, SourceGroup};
use std::net::Ipv4Addr;

/// The words of an entry's fixed part.
const HEAD: usize = 15;

/// The words of its counters, where they were asked for.
const COUNTERS: usize = 5;

/// The words of an outgoing interface without and with its counters.
const OIF: usize = 2;
const COUNTED_OIF: usize = 4;

/// The octets of a row of a group enumeration.
const ROW: usize = 8;

/// The octets of an entry with so many outgoing interfaces.
pub const fn size(oifs: usize, counted: bool) -> usize {
    let words = if counted { HEAD + COUNTERS + COUNTED_OIF * oifs } else { HEAD + OIF * oifs };
    words * 4
}

/// Writes words, and gives the room behind them; none: there was too little.
fn put<const N: usize>(room: &mut [u8], words: [u32; N]) -> Option<&mut [u8]> {
    let (to, rest) = room.split_at_mut_checked(N * 4)?;
    for (to, word) in to.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *to = word.to_ne_bytes();
    }
    Some(rest)
}

/// Reads words, and gives what is behind them; none: there are fewer.
fn take<const N: usize>(octets: &[u8]) -> Option<([u32; N], &[u8])> {
    let (from, rest) = octets.split_at_checked(N * 4)?;
    let from = from.as_chunks::<4>().0;
    Some((std::array::from_fn(|n| u32::from_ne_bytes(from[n])), rest))
}

const fn halves(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

const fn whole(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// Writes records for one message.
pub struct Writer<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    /// Writes into this room.
    pub const fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// How many octets were written.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Adds an entry; false: there was no room, and nothing counts as written.
    pub fn add_mfe(&mut self, record: &MfeRecord<'_>, counted: bool) -> bool {
        let left = put_mfe(&mut self.room[self.used..], record, counted);
        let used = left.map(|left| self.room.len() - left);
        self.used = used.unwrap_or(self.used);
        used.is_some()
    }

    /// Adds a row; false: there was no room.
    pub fn add_row(&mut self, row: GroupRow) -> bool {
        let (group, source) = halves(row.to_bits());
        let added = put(&mut self.room[self.used..], [group, source]).is_some();
        self.used += if added { ROW } else { 0 };
        added
    }
}

/// Gives how much room is left.
fn put_mfe(room: &mut [u8], record: &MfeRecord<'_>, counted: bool) -> Option<usize> {
    let (group, source) = halves(record.flow.to_bits());
    let (up_high, up_low) = halves(record.up_time_ms);
    let (expiry_high, expiry_low) = halves(record.expiry_ms);
    let head: [u32; HEAD] = [
        group,
        source,
        record.iif.index,
        record.iif.next_hop.to_bits(),
        record.iif_protocol,
        record.upstream.to_bits(),
        record.route_protocol,
        record.route_network.to_bits(),
        u32::from(record.route_prefix_len) << 1 | u32::from(record.resolved),
        up_high,
        up_low,
        expiry_high,
        expiry_low,
        record.lifetime.0,
        record.oifs.len() as u32,
    ];
    let mut rest = put(room, head)?;
    if !counted {
        for OifRecord { interface, .. } in record.oifs {
            rest = put::<OIF>(rest, [interface.index, interface.next_hop.to_bits()])?;
        }
        return Some(rest.len());
    }
    let Counters { packets, octets, wrong_interface, waited } = record.counters;
    let (waited, is_known) = (waited.unwrap_or(0), u32::from(waited.is_some()));
    rest = put::<COUNTERS>(rest, [packets, octets, wrong_interface, is_known, waited])?;
    for OifRecord { interface, packets, ttl_too_low } in record.oifs {
        let name = (interface.index, interface.next_hop.to_bits());
        rest = put::<COUNTED_OIF>(rest, [name.0, name.1, *packets, *ttl_too_low])?;
    }
    Some(rest.len())
}

/// Reads the entries of one message.
pub struct Reader<'a> {
    octets: &'a [u8],
    counted: bool,
}

impl<'a> Reader<'a> {
    /// Reads these; `counted`: they have counters.
    pub const fn new(octets: &'a [u8], counted: bool) -> Self {
        Self { octets, counted }
    }

    /// Gives the next entry, whose interfaces are kept in `oifs`; none: all have been read. The error
    /// in it: what is left is no entry.
    pub fn next<'o>(
        &mut self,
        oifs: &'o mut Vec<OifRecord>,
    ) -> Result<Option<Result<MfeRecord<'o>, NoRecord>>, Error> {
        if self.octets.is_empty() {
            return Ok(None);
        }
        let Some((head, counters, names)) = self.split() else { return Ok(Some(Err(NoRecord))) };
        oifs.clear();
        let size = if self.counted { COUNTED_OIF } else { OIF } * 4;
        oifs.try_reserve(names.len() / size)?;
        if self.counted {
            oifs.extend(names.as_chunks::<{ COUNTED_OIF * 4 }>().0.iter().filter_map(|oif| {
                let ([index, next_hop, packets, ttl_too_low], _) = take(oif)?;
                let interface = IfKey::new(index, Ipv4Addr::from_bits(next_hop));
                Some(OifRecord { interface, packets, ttl_too_low })
            }));
        } else {
            oifs.extend(names.as_chunks::<{ OIF * 4 }>().0.iter().filter_map(|oif| {
                let ([index, next_hop], _) = take(oif)?;
                let interface = IfKey::new(index, Ipv4Addr::from_bits(next_hop));
                Some(OifRecord { interface, packets: 0, ttl_too_low: 0 })
            }));
        }
        Ok(Some(Ok(record(&head, counters, oifs))))
    }

    /// The words of the next entry and of its counters, and the octets of its interfaces.
    fn split(&mut self) -> Option<([u32; HEAD], [u32; COUNTERS], &'a [u8])> {
        let (head, mut rest) = take::<HEAD>(self.octets)?;
        let mut counters = [0; COUNTERS];
        if self.counted {
            (counters, rest) = take(rest)?;
        }
        let size = if self.counted { COUNTED_OIF } else { OIF } * 4;
        let oifs = (head[HEAD - 1] as usize).checked_mul(size)?;
        let (names, rest) = rest.split_at_checked(oifs)?;
        self.octets = rest;
        Some((head, counters, names))
    }
}

/// What is in a message is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRecord;

fn record<'o>(
    head: &[u32; HEAD],
    counters: [u32; COUNTERS],
    oifs: &'o [OifRecord],
) -> MfeRecord<'o> {
    let address = |word: usize| Ipv4Addr::from_bits(head[word]);
    let [packets, octets, wrong_interface, is_known, waited] = counters;
    let waited = (is_known != 0).then_some(waited);
    MfeRecord {
        flow: SourceGroup::from_bits(whole(head[0], head[1])),
        iif: IfKey::new(head[2], address(3)),
        iif_protocol: head[4],
        upstream: address(5),
        route_protocol: head[6],
        route_network: address(7),
        route_prefix_len: (head[8] >> 1).min(32) as u8,
        resolved: head[8] & 1 != 0,
        up_time_ms: whole(head[9], head[10]),
        expiry_ms: whole(head[11], head[12]),
        lifetime: Seconds(head[13]),
        counters: Counters { packets, octets, wrong_interface, waited },
        oifs,
    }
}

/// The octets of an interface's name.
pub const INTERFACE: usize = 8;

/// An interface's name.
pub fn interface(of: IfKey) -> [u8; INTERFACE] {
    let mut octets = [0; INTERFACE];
    put(&mut octets, [of.index, of.next_hop.to_bits()]);
    octets
}

/// The interfaces of a message; none: it has something else.
pub fn interfaces(octets: &[u8]) -> Option<impl Iterator<Item = IfKey> + Clone + '_> {
    let (names, []) = octets.as_chunks::<INTERFACE>() else { return None };
    Some(names.iter().filter_map(|name| {
        let ([index, next_hop], _) = take(name)?;
        Some(IfKey::new(index, Ipv4Addr::from_bits(next_hop)))
    }))
}

/// The rows of a message; none: it has something else.
pub fn rows(octets: &[u8]) -> Option<impl ExactSizeIterator<Item = GroupRow> + '_> {
    let (rows, []) = octets.as_chunks::<ROW>() else { return None };
    Some(rows.iter().map(|row| {
        let [a, b, c, d, e, f, g, h] = *row;
        let (group, source) = (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]));
        SourceGroup::from_bits(whole(group, source))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OIFS: [OifRecord; 2] = [oif(2, 5, 6), oif(u32::MAX, u32::MAX, 1)];

    const fn oif(index: u32, packets: u32, ttl_too_low: u32) -> OifRecord {
        let interface = IfKey::new(index, Ipv4Addr::new(10, 9, 8, 7));
        OifRecord { interface, packets, ttl_too_low }
    }

    fn entry(n: u32, oifs: &[OifRecord]) -> MfeRecord<'_> {
        MfeRecord {
            flow: SourceGroup::new(Ipv4Addr::from_bits(n), Ipv4Addr::new(239, 1, 1, 1)),
            iif: IfKey::new(7, Ipv4Addr::new(10, 0, 0, 3)),
            iif_protocol: 11,
            upstream: Ipv4Addr::new(10, 0, 0, 2),
            route_protocol: 13,
            route_network: Ipv4Addr::new(10, 0, 0, 0),
            route_prefix_len: 32,
            resolved: n == 2,
            up_time_ms: u64::MAX - 1,
            expiry_ms: 1 << 32,
            lifetime: Seconds(900),
            counters: Counters { packets: 1, octets: 2, wrong_interface: 3, waited: Some(4) },
            oifs,
        }
    }

    /// Reads all; none: something is no entry.
    fn read(octets: &[u8], counted: bool) -> Option<Vec<(MfeRecord<'static>, Vec<OifRecord>)>> {
        let (mut reader, mut oifs, mut all) =
            (Reader::new(octets, counted), Vec::new(), Vec::new());
        while let Some(record) = reader.next(&mut oifs).unwrap() {
            let MfeRecord { oifs, .. } = record.ok()?;
            let oifs = oifs.to_vec();
            all.push((MfeRecord { oifs: &[], ..record.ok()? }, oifs));
        }
        Some(all)
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let mut room = [0; 1000];
        for counted in [false, true] {
            let mut writer = Writer::new(&mut room);
            let uncounted = Counters { waited: None, ..Counters::default() };
            let lists = [&OIFS[..0], &OIFS[..1], &OIFS[..]];
            for (n, oifs) in (1..).zip(lists) {
                assert!(writer.add_mfe(&entry(n, oifs), counted));
            }
            let used = writer.used();
            let all = read(&room[..used], counted).unwrap();
            assert_eq!(all.len(), 3);
            for ((n, (record, oifs)), list) in (1..).zip(&all).zip(lists) {
                let counters = if counted { entry(n, &[]).counters } else { uncounted };
                assert_eq!(*record, MfeRecord { counters, ..entry(n, &[]) });
                assert_eq!(oifs.len(), list.len());
                for (oif, of) in oifs.iter().zip(list) {
                    let plain = OifRecord { packets: 0, ttl_too_low: 0, ..*of };
                    assert_eq!(*oif, if counted { *of } else { plain });
                }
            }
        }
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut room = [0; (2 * HEAD + OIF) * 4 + 7];
        let mut writer = Writer::new(&mut room);
        assert!(writer.add_mfe(&entry(1, &OIFS[..1]), false));
        assert!(!writer.add_mfe(&entry(2, &OIFS), false));
        assert_eq!(writer.used(), (HEAD + OIF) * 4);
        assert!(writer.add_mfe(&entry(3, &[]), false));
        let used = writer.used();
        let flows: Vec<_> =
            read(&room[..used], false).unwrap().iter().map(|(record, _)| record.flow).collect();
        assert_eq!(flows, [entry(1, &[]).flow, entry(3, &[]).flow]);
    }

    #[test]
    fn p6_entries_that_claim_more_than_there_is_are_none() {
        let mut room = [0; 400];
        for counted in [false, true] {
            let mut writer = Writer::new(&mut room);
            assert!(writer.add_mfe(&entry(1, &OIFS), counted));
            let used = writer.used();
            assert!(read(&room[..used], counted).is_some());
            for cut in 1..used {
                assert!(read(&room[..cut], counted).is_none(), "{cut}");
            }
            for claimed in [3, u32::MAX / 16, u32::MAX] {
                room[(HEAD - 1) * 4..HEAD * 4].copy_from_slice(&claimed.to_ne_bytes());
                assert!(read(&room[..used], counted).is_none(), "{claimed}");
            }
            // A prefix that is longer than an address would be shifted by.
            room[8 * 4..9 * 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            room[(HEAD - 1) * 4..HEAD * 4].copy_from_slice(&2u32.to_ne_bytes());
            assert_eq!(read(&room[..used], counted).unwrap()[0].0.route_prefix_len, 32);
        }
    }

    #[test]
    fn p6_interfaces_that_are_cut_are_none() {
        let keys = [1, u32::MAX].map(|index| IfKey::new(index, Ipv4Addr::new(10, 0, 0, 3)));
        let octets = keys.map(interface).concat();
        assert_eq!(interfaces(&octets).unwrap().collect::<Vec<_>>(), keys);
        for cut in 1..INTERFACE {
            assert!(interfaces(&octets[cut..]).is_none(), "{cut}");
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let mut room = [0; 20];
        let all = [SourceGroup::ALL, SourceGroup::MAX];
        let mut writer = Writer::new(&mut room);
        assert!(all.iter().all(|row| writer.add_row(*row)));
        assert!(!writer.add_row(SourceGroup::ALL));
        let used = writer.used();
        assert_eq!(rows(&room[..used]).unwrap().collect::<Vec<_>>(), all);
        assert!(rows(&room[..used - 1]).is_none() && rows(&[]).unwrap().len() == 0);
    }
}
