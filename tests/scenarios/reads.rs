//! Rules E11 to E13: what can be read of entries. Rules F: enumerations.

use crate::lifetimes::positive;
use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::*;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

crate::scenarios!(
    e11_entries_come_by_group_then_source,
    e11_as_many_whole_records_as_fit,
    e11_oifs_come_by_index_then_next_hop,
    e11_reads_need_no_client,
    e12_an_entry_tells_its_owner_route_and_times,
    e13_counts_are_those_of_forwarded_packets,
    e13_an_oifs_count_begins_when_it_joins,
    f1_groups_for_any_source_and_for_all,
    f1_igmps_memberships_are_there_too,
    f1_start_needs_a_client,
    f2_rows_come_as_many_as_fit,
    f2_after_the_end_there_are_none,
    f3_rows_present_throughout_come_once,
    f4_end_destroys_the_handle,
);

const FLOW: SourceGroup = sg(S1, G1);

pub fn e11_entries_come_by_group_then_source(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let low = Ipv4Addr::new(239, 1, 1, 0);
    let high = Ipv4Addr::new(239, 1, 2, 0);
    for flow in [sg(S2, G1), sg(S1, high), sg(S1B, G1), sg(S2, low), sg(S1, G1), sg(S1, G2)] {
        let _ = s.packet(flow, IF1);
    }
    let flows: Vec<SourceGroup> = s.look().mfes.iter().map(|m| m.flow).collect();
    let wanted = [sg(S2, low), sg(S1, G1), sg(S1B, G1), sg(S2, G1), sg(S1, G2), sg(S1, high)];
    assert_eq!(flows, wanted);
    assert_eq!(s.run(Op::ReadMfe(sg(S1, G2))).0.reply.code, NO_ERROR);
    s.run(Op::ReadMfe(sg(S1B, G2))).fails(NOT_FOUND);
}

pub fn e11_as_many_whole_records_as_fit(on: On) {
    let mut s = positive(on, |_| {});
    let _ = s.packet(sg(S1B, G1), IF1);
    let _ = s.packet(sg(S1, G2), IF1);
    let mut read = |after, record, room| {
        let reply = s.run(Op::ReadMfes { after, record, room }).0.reply;
        match reply.data {
            Data::Mfes(rows, needed) => (reply.code, rows.len(), needed),
            other => panic!("{other:?}"),
        }
    };
    // (S1,G1) and (S1B,G1) have one outgoing interface, (S1,G2) has none.
    for (record, [first, second, third]) in [
        (Record::Plain, [76, 76, 60]),
        (Record::Stats, [92, 92, 64]),
        (Record::StatsEx, [112, 112, 84]),
    ] {
        assert_eq!(read(None, record, 0), (INSUFFICIENT_BUFFER, 0, first));
        assert_eq!(read(None, record, first - 1), (INSUFFICIENT_BUFFER, 0, first));
        assert_eq!(read(None, record, first), (MORE_DATA, 1, 0));
        assert_eq!(read(None, record, first + second + third - 1), (MORE_DATA, 2, 0));
        assert_eq!(read(None, record, first + second + third), (NO_MORE_ITEMS, 3, 0));
        let last = Some(sg(S2, G1));
        assert_eq!(read(last, record, third - 1), (INSUFFICIENT_BUFFER, 0, third));
        assert_eq!(read(last, record, third), (NO_MORE_ITEMS, 1, 0));
        assert_eq!(read(Some(sg(S1, G2)), record, 0), (NO_MORE_ITEMS, 0, 0));
    }
}

/// However many, and in whichever order they were taken and joined.
pub fn e11_oifs_come_by_index_then_next_hop(on: On) {
    for many in [3, 20] {
        let mut s = Stage::new(on, |_| {});
        s.take(A, IF1).ok();
        s.route(NET1, IF1).ok();
        let hop = |n| IfKey::new(IF2.index, Ipv4Addr::new(10, 2, 0, n));
        let wanted: Vec<IfKey> = (1..=many).map(hop).chain([IF3]).collect();
        for interface in wanted.iter().rev() {
            s.take(B, *interface).ok();
            s.join(B, any(G1), *interface).ok();
        }
        let _ = s.packet(FLOW, IF1);
        assert_eq!(s.oifs(FLOW), wanted);
    }
}

pub fn e11_reads_need_no_client(on: On) {
    let mut s = Stage::empty(on, |_| {});
    assert_eq!(s.look().mfes, []);
    let _ = s.packet(FLOW, IF1);
    assert_eq!(s.look().mfes.len(), 1);
    assert_eq!(s.run(Op::ReadMfe(FLOW)).0.reply.code, NO_ERROR);
}

pub fn e12_an_entry_tells_its_owner_route_and_times(on: On) {
    let mut s = positive(on, |_| {});
    s.advance(33).ok();
    let wanted = Mfe {
        flow: FLOW,
        iif: IF1,
        iif_protocol: IDS[A],
        upstream: upstream_of(IF1),
        route_protocol: ROUTE_PROTOCOL,
        route_network: NET1,
        route_len: 24,
        up: 33,
        expiry: 867,
        lifetime: 900,
        packets: 1,
        octets: 100,
        wrong_if: 0,
        oifs: vec![(IF2, OifCounts { packets: 1, ttl_too_low: 0 })],
    };
    assert_eq!(s.mfe(FLOW), wanted);
}

pub fn e13_counts_are_those_of_forwarded_packets(on: On) {
    let mut s = positive(on, |_| {});
    s.run(Op::Packet(IF1, Packet { flow: FLOW, ttl: 9, options: 0, octets: 1400 })).ok();
    s.run(Op::Packet(IF1, Packet { flow: FLOW, ttl: 1, options: 0, octets: 1400 })).ok();
    s.run(Op::Packet(IF3, Packet { flow: FLOW, ttl: 9, options: 0, octets: 700 })).ok();
    let m = s.mfe(FLOW);
    assert_eq!((m.packets, m.octets, m.wrong_if), (2, 1500, 1));
    assert_eq!(m.oifs, [(IF2, OifCounts { packets: 2, ttl_too_low: 1 })]);
}

pub fn e13_an_oifs_count_begins_when_it_joins(on: On) {
    let mut s = positive(on, |_| {});
    s.join(C, any(G1), IF3).ok();
    s.packet(FLOW, IF1).ok();
    assert_eq!(sent(&s.mfe(FLOW)), [(IF2, 2), (IF3, 1)]);
    s.leave(B, any(G1), IF2).ok();
    s.packet(FLOW, IF1).ok();
    s.join(B, any(G1), IF2).ok();
    s.packet(FLOW, IF1).ok();
    assert_eq!(sent(&s.mfe(FLOW)), [(IF2, 1), (IF3, 3)]);
}

pub fn f1_groups_for_any_source_and_for_all(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    s.join(B, sg(S1, G1), IF2).ok();
    s.join(B, sg(S2, G2), IF2).ok();
    s.join(C, ALL, IF3).ok();
    for max in [1, 2, 9] {
        assert_eq!(s.groups(A, false, max), [ALL, any(G1), any(G2)]);
        let all = [ALL, any(G1), sg(S1, G1), sg(S2, G2)];
        assert_eq!(s.groups(A, true, max), all);
    }
}

/// Decision 21.
pub fn f1_igmps_memberships_are_there_too(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok();
    s.join(IGMP, any(G2), IF4).ok();
    assert_eq!(s.groups(IGMP, false, 9), [any(G1), any(G2)]);
    s.leave(IGMP, any(G1), IF2).ok();
    assert_eq!(s.groups(IGMP, false, 9), [any(G2)]);
}

pub fn f1_start_needs_a_client(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.run(Op::StartEnum(Handle::Forged, false)).fails(INVALID_PARAMETER);
    s.run(Op::Deregister(Handle::Nth(A))).ok();
    s.run(Op::StartEnum(Handle::Nth(A), false)).fails(INVALID_PARAMETER);
}

/// Given: three groups and an enumeration of them.
fn three_groups(on: On) -> Stage {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    for of in [any(G1), any(G2), any(LINK_LOCAL)] {
        s.join(B, of, IF2).ok();
    }
    s.run(Op::StartEnum(Handle::Nth(A), true)).ok();
    s
}

/// The next rows of the first enumeration.
fn next(s: &mut Stage, max: usize) -> (u32, Vec<SourceGroup>) {
    let reply = s.run(Op::NextGroups(Handle::Nth(0), max)).0.reply;
    let Data::Groups(rows) = reply.data else { panic!("no rows: {reply:?}") };
    (reply.code, rows)
}

pub fn f2_rows_come_as_many_as_fit(on: On) {
    let mut s = three_groups(on);
    assert_eq!(next(&mut s, 0), (INSUFFICIENT_BUFFER, vec![]));
    let (code, rows) = next(&mut s, 2);
    assert_eq!((code, rows.len()), (MORE_DATA, 2));
    let (code, last) = next(&mut s, 1);
    assert_eq!((code, last.len()), (NO_MORE_ITEMS, 1));
    let mut all = [rows, last].concat();
    all.sort();
    assert_eq!(all, [any(LINK_LOCAL), any(G1), any(G2)]);
}

pub fn f2_after_the_end_there_are_none(on: On) {
    let mut s = three_groups(on);
    let (code, rows) = next(&mut s, 3);
    assert_eq!((code, rows.len()), (NO_MORE_ITEMS, 3));
    s.join(B, sg(S1, G2), IF2).ok();
    assert_eq!(next(&mut s, 3), (NO_MORE_ITEMS, vec![]));
    assert_eq!(next(&mut s, 0), (NO_MORE_ITEMS, vec![]));
}

/// Whatever changes in between, wherever the enumeration stands.
pub fn f3_rows_present_throughout_come_once(on: On) {
    for stop_after in 0..3 {
        let mut s = three_groups(on);
        let mut rows = Vec::new();
        for _ in 0..stop_after {
            rows.extend(next(&mut s, 1).1);
        }
        s.leave(B, any(G1), IF2).ok();
        s.join(B, sg(S1, LINK_LOCAL), IF2).ok();
        s.join(B, sg(S2, G2), IF2).ok();
        s.join(B, any(G1), IF2).ok();
        loop {
            let (code, some) = next(&mut s, 1);
            rows.extend(some);
            if code == NO_MORE_ITEMS {
                break;
            }
        }
        let times = |of: SourceGroup| rows.iter().filter(|r| **r == of).count();
        assert_eq!((times(any(LINK_LOCAL)), times(any(G2))), (1, 1), "{rows:?}");
        for of in [any(G1), sg(S1, LINK_LOCAL), sg(S2, G2)] {
            assert!(times(of) <= 1, "{rows:?}");
        }
    }
}

pub fn f4_end_destroys_the_handle(on: On) {
    let mut s = three_groups(on);
    s.run(Op::EndEnum(Handle::Nth(0))).ok_calls(&[]);
    s.run(Op::EndEnum(Handle::Nth(0))).fails(INVALID_PARAMETER);
    s.run(Op::NextGroups(Handle::Nth(0), 4)).fails(INVALID_PARAMETER);
}
