//! Reading MIB_IPMCAST_MFE, _STATS and _STATS_EX records and enumeration rows out of buffers, by
//! the offsets of Windows' headers. Each entry is read in all three forms, which must agree.

use super::library::Library;
use super::{address, interface};
use crate::model::words::*;
use mgm::types::{IfKey, SourceGroup};

/// MGM_MFE_STATS_0 and _1.
const STATS: [u32; 2] = [1, 2];
/// What a buffer holds before the call: a record must be written whole.
const FILL: u8 = 0xa5;

/// One of the three forms of a record.
#[derive(Clone, Copy)]
struct Form {
    /// The size without outgoing interfaces, and of one of them.
    basic: usize,
    each: usize,
    /// Where ulNumOutIf is.
    count_at: usize,
    /// Units of the times in one second (rule E12).
    units: u32,
}

const PLAIN: Form = Form { basic: 60, each: 16, count_at: 48, units: 1 };
const STATS_0: Form = Form { basic: 64, each: 28, count_at: 44, units: 100 };
const STATS_1: Form = Form { basic: 84, each: 28, count_at: 44, units: 100 };

/// A MIB_IPMCAST_MFE (76 octets) with only the key filled in.
pub fn key(flow: SourceGroup) -> [u8; 76] {
    let mut key = [0; 76];
    key[0..4].copy_from_slice(&flow.group().octets());
    key[4..8].copy_from_slice(&flow.source().octets());
    key
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The record at the start of the buffer, and its size.
fn parse(form: Form, bytes: &[u8]) -> (Mfe, usize) {
    let w = |at| word(bytes, at);
    let mask = address(w(32)).to_bits();
    assert_eq!(w(8), u32::MAX, "rule E12: dwSrcMask is all ones");
    assert_eq!(mask.leading_ones() + mask.trailing_zeros().min(32), 32, "rule E12: dwRouteMask");
    let count = w(form.count_at) as usize;
    let size = form.basic + form.each * count;
    let mut mfe = Mfe {
        flow: SourceGroup::new(address(w(4)), address(w(0))),
        // No record has the next hop of the incoming interface.
        iif: interface(w(16), 0),
        iif_protocol: w(20),
        upstream: address(w(12)),
        route_protocol: w(24),
        route_network: address(w(28)),
        route_len: mask.leading_ones() as u8,
        up: w(36) / form.units,
        expiry: w(40) / form.units,
        lifetime: 0,
        packets: 0,
        octets: 0,
        wrong_if: 0,
        oifs: Vec::new(),
    };
    let plain = form.count_at == PLAIN.count_at;
    if plain {
        mfe.lifetime = w(44);
        assert_eq!((w(52), w(56)), (0, 0), "rule E12: fFlags and reserved fields are 0");
    } else {
        (mfe.packets, mfe.octets, mfe.wrong_if) = (w(48), w(52), w(56));
        assert_eq!(w(60), 0, "ulQueueOverflow");
    }
    let mut sum = 0u32;
    for n in 0..count {
        let at = form.basic + form.each * n;
        let on: IfKey = interface(w(at), w(at + 4));
        let (packets, ttl_too_low) = if plain { (0, 0) } else { (w(at + 20), w(at + 12)) };
        sum = sum.wrapping_add(packets);
        let rest: &[usize] = if plain { &[8, 12] } else { &[8, 16, 24] };
        assert!(rest.iter().all(|r| w(at + r) == 0), "reserved fields of an oif are 0");
        mfe.oifs.push((on, OifCounts { packets, ttl_too_low }));
    }
    if form.basic == STATS_1.basic {
        assert!([64, 68, 72, 76].iter().all(|at| w(*at) == 0), "counts that nothing counts are 0");
        assert_eq!(w(80), sum, "rule E13: ulTotalOutPackets is the sum");
    }
    (mfe, size)
}

/// One entry from its three forms.
fn merge(plain: Mfe, stats: [Mfe; 2]) -> Mfe {
    let [first, second] = stats;
    assert_eq!(first, second, "the two STATS records differ");
    let mut bare = first.clone();
    bare.lifetime = plain.lifetime;
    (bare.packets, bare.octets, bare.wrong_if) = (0, 0, 0);
    bare.oifs.iter_mut().for_each(|(_, counts)| *counts = OifCounts::default());
    assert_eq!(bare, plain, "MFE and STATS records differ");
    Mfe { lifetime: plain.lifetime, ..first }
}

/// Rule E11 for one entry: first without room, then with just enough.
fn one(form: Form, call: impl Fn(*mut u32, *mut u8) -> u32) -> Result<Mfe, u32> {
    let mut size = 0;
    match call(&mut size, std::ptr::null_mut()) {
        code::INSUFFICIENT_BUFFER => {}
        code => {
            assert_eq!(size, 0, "rule A2: no output");
            return Err(code);
        }
    }
    let needed = size;
    let mut buffer = vec![FILL; needed as usize];
    size = needed - 1;
    assert_eq!(call(&mut size, buffer.as_mut_ptr()), code::INSUFFICIENT_BUFFER);
    assert_eq!(size, needed, "rule A2: the size needed");
    assert!(buffer.iter().all(|b| *b == FILL), "rule A2: no output");
    assert_eq!(call(&mut size, buffer.as_mut_ptr()), code::NO_ERROR);
    assert_eq!(size, needed, "rule E11: the size is left as it was");
    let (mfe, length) = parse(form, &buffer);
    assert_eq!(length, buffer.len(), "rule E11: the record's exact size");
    Ok(mfe)
}

pub fn read_one(library: &Library, flow: SourceGroup) -> Result<Mfe, u32> {
    let key = || key(flow);
    // SAFETY: a whole MIB_IPMCAST_MFE and a buffer of the size given.
    let plain =
        one(PLAIN, |size, buffer| unsafe { (library.get_mfe)(key().as_mut_ptr(), size, buffer) });
    let stats = [(STATS_0, STATS[0]), (STATS_1, STATS[1])].map(|(form, flag)| {
        // SAFETY: as above.
        one(form, |size, buffer| unsafe {
            (library.get_mfe_stats)(key().as_mut_ptr(), size, buffer, flag)
        })
    });
    match (plain, stats) {
        (Ok(plain), [Ok(first), Ok(second)]) => Ok(merge(plain, [first, second])),
        (Err(plain), [Err(first), Err(second)]) => {
            assert_eq!((plain, first), (first, second));
            Err(plain)
        }
        other => panic!("only some of the three read functions find the entry: {other:?}"),
    }
}

impl Form {
    const fn of(record: Record) -> (Self, u32) {
        match record {
            Record::Plain => (PLAIN, 0),
            Record::Stats => (STATS_0, STATS[0]),
            Record::StatsEx => (STATS_1, STATS[1]),
        }
    }
}

/// One call of a MgmGetFirst- or MgmGetNext- function.
pub fn read_some(
    library: &Library,
    after: Option<SourceGroup>,
    record: Record,
    room: usize,
) -> Reply {
    let (form, flag) = Form::of(record);
    let mut buffer = vec![FILL; room];
    let (mut size, mut count) = (room as u32, u32::MAX);
    let (data, mut start) = (buffer.as_mut_ptr(), after.map(key));
    let start = start.as_mut().map(|start| start.as_mut_ptr());
    // SAFETY: a whole MIB_IPMCAST_MFE and a buffer of the size given.
    let code = unsafe {
        match (record, start) {
            (Record::Plain, None) => (library.get_first)(&mut size, data, &mut count),
            (Record::Plain, Some(start)) => (library.get_next)(start, &mut size, data, &mut count),
            (_, None) => (library.get_first_stats)(&mut size, data, &mut count, flag),
            (_, Some(start)) => (library.get_next_stats)(start, &mut size, data, &mut count, flag),
        }
    };
    let (mut at, mut rows) = (0, Vec::new());
    for _ in 0..count {
        let (mfe, length) = parse(form, &buffer[at..]);
        rows.push(mfe);
        at += length;
    }
    assert!(buffer[at..].iter().all(|b| *b == FILL), "only whole records are written");
    let needed = match code {
        code::INSUFFICIENT_BUFFER => size as usize,
        _ => {
            assert_eq!(size as usize, room, "rule E11: the size is left as it was");
            0
        }
    };
    Reply { code, data: Data::Mfes(rows, needed) }
}

/// Rule E11 for all entries: with room for a few, growing where one does not fit.
fn all(
    form: Form,
    call: impl Fn(Option<SourceGroup>, *mut u32, *mut u8, *mut u32) -> u32,
) -> Vec<Mfe> {
    let mut all: Vec<Mfe> = Vec::new();
    let mut room = form.basic as u32 + 2 * form.each as u32;
    loop {
        let after = all.last().map(|m| m.flow);
        let mut buffer = vec![FILL; room as usize];
        let (mut size, mut count) = (room, u32::MAX);
        let code = call(after, &mut size, buffer.as_mut_ptr(), &mut count);
        if code == code::INSUFFICIENT_BUFFER {
            assert_eq!(count, 0, "rule A2");
            assert!(size > room, "rule A2: the size needed");
            room = size;
            continue;
        }
        assert_eq!(size, room, "rule E11: the size is left as it was");
        let mut at = 0;
        for _ in 0..count {
            let (mfe, length) = parse(form, &buffer[at..]);
            all.push(mfe);
            at += length;
        }
        assert!(buffer[at..].iter().all(|b| *b == FILL), "only whole records are written");
        match code {
            code::NO_MORE_ITEMS => return all,
            code::MORE_DATA => assert!(count > 0),
            code => panic!("code {code}"),
        }
    }
}

pub fn read_all(library: &Library) -> Vec<Mfe> {
    // SAFETY (all): a whole MIB_IPMCAST_MFE and a buffer of the size given.
    let plain = all(PLAIN, |after, size, buffer, count| match after {
        // SAFETY: as said above.
        None => unsafe { (library.get_first)(size, buffer, count) },
        // SAFETY: as said above.
        Some(flow) => unsafe { (library.get_next)(key(flow).as_mut_ptr(), size, buffer, count) },
    });
    let stats = [(STATS_0, STATS[0]), (STATS_1, STATS[1])].map(|(form, flag)| {
        all(form, |after, size, buffer, count| match after {
            // SAFETY: as said above.
            None => unsafe { (library.get_first_stats)(size, buffer, count, flag) },
            // SAFETY: as said above.
            Some(flow) => unsafe {
                (library.get_next_stats)(key(flow).as_mut_ptr(), size, buffer, count, flag)
            },
        })
    });
    let [first, second] = stats;
    assert_eq!((first.len(), second.len()), (plain.len(), plain.len()), "all three agree");
    let stats = first.into_iter().zip(second);
    plain.into_iter().zip(stats).map(|(plain, (a, b))| merge(plain, [a, b])).collect()
}

/// Rule F2, with room for `max` rows of 16 octets and a part of one more.
pub fn next_groups(library: &Library, handle: usize, max: usize) -> (u32, Vec<SourceGroup>) {
    let mut buffer = vec![FILL; max * 16 + (max * 7) % 16];
    let (mut size, mut count) = (buffer.len() as u32, u32::MAX);
    // SAFETY: a buffer of the size given.
    let code = unsafe { (library.next_enum)(handle, &mut size, buffer.as_mut_ptr(), &mut count) };
    match code {
        code::INVALID_PARAMETER => {
            assert_eq!((size as usize, count), (buffer.len(), u32::MAX), "rule A2: no output");
            return (code, Vec::new());
        }
        code::INSUFFICIENT_BUFFER => assert_eq!((size, count), (16, 0), "rule F2"),
        _ => assert_eq!(size as usize, buffer.len(), "rule E11: the size is left as it was"),
    }
    let rows = buffer.chunks(16).take(count as usize).map(|row| {
        let (source, group) = (word(row, 0), word(row, 8));
        assert_eq!(word(row, 4), if source == 0 { 0 } else { u32::MAX }, "rule F1: masks");
        assert_eq!(word(row, 12), if group == 0 { 0 } else { u32::MAX }, "rule F1: masks");
        SourceGroup::new(address(source), address(group))
    });
    (code, rows.collect())
}
