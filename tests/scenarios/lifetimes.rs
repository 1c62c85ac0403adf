//! Rules E8 to E13: lifetimes, route changes, MgmSetMfe, what can be read. F: enumerations.

use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::*;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

crate::scenarios!(
    e8_an_idle_entry_ends_after_900_seconds,
    e8_a_prune_begins_a_new_count,
    e8_every_lifetime_begins_a_new_count,
    e8_an_entry_that_carried_packets_is_built_anew,
    e8_the_rebuild_asks_for_vetoes_again_and_keeps_forced_oifs,
    e8_a_rebuild_without_oifs_prunes_again,
    e4_a_rebuild_with_only_own_oifs_alerts_nobody,
    e4_a_rebuild_with_a_foreign_oif_joins_the_iif_owner,
    e8_an_entry_without_a_route_ends_after_60_seconds,
    e9_a_route_that_moves_rebuilds_the_entry,
    e9_without_oifs_nobody_is_joined,
    e9_a_route_that_goes_away_makes_the_entry_negative,
    e9_other_prefixes_and_unmoved_routes_change_nothing,
    e9_counts_and_age_go_on,
    e10_set_mfe_changes_only_the_upstream_neighbour,
    e10_set_mfe_holds_for_an_entry_that_is_built_anew_meanwhile,
    e10_an_rpf_answer_that_names_another_neighbour_is_the_later_word,
    e10_only_the_owner_of_the_iif_may,
    e10_an_entry_that_is_not_there_is_not_found,
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
    without_route_callback_the_arrival_is_the_route,
);
crate::scenarios!(
    in one process:
    e8_a_flow_of_packets_that_waited_lives_one_lifetime,
);

const FLOW: SourceGroup = sg(S1, G1);

/// Given: (S1,G1) flows from IF1 to B's IF2, one packet so far.
fn positive(on: On, change: impl FnOnce(&mut World)) -> Stage {
    let mut s = Stage::new(on, change);
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    s
}

pub fn e8_an_idle_entry_ends_after_900_seconds(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF3); // fails the check of the interface: nothing was carried
    s.advance(899).ok_calls(&[]);
    assert_eq!(s.mfe(FLOW).expiry, 1);
    s.advance(1).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

/// The packet that made it waited for it, and so did those that came while it was made.
pub fn e8_a_flow_of_packets_that_waited_lives_one_lifetime(on: On) {
    let mut s = positive(on, |_| {});
    s.advance(899).ok_calls(&[]);
    assert_eq!(s.mfe(FLOW).packets, 1);
    s.advance(1).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
    drop(s);
    // One more comes while A is asked, and one while B is.
    let packet = Packet { flow: FLOW, ttl: 64, options: 0, octets: 100 };
    let mut s = positive(on, |w| {
        let again = (Kind::Rpf, Op::Packet(IF1, packet));
        w.profiles[A].script.nested = vec![again];
        let again = (Kind::Creation, Op::Packet(IF1, packet));
        w.profiles[B].script.nested = vec![again];
    });
    assert_eq!(s.mfe(FLOW).packets, 3);
    s.advance(900).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

/// What came before the prune does not count for the lifetime that its answer sets.
pub fn e8_a_prune_begins_a_new_count(on: On) {
    let mut s = positive(on, |w| w.profiles[A].script.prune_timeout = Some(60));
    let _ = s.packet(FLOW, IF1);
    s.advance(10).ok();
    s.leave(B, any(G1), IF2).ok();
    s.advance(59).ok_calls(&[]);
    assert_eq!(s.mfe(FLOW).expiry, 1);
    s.advance(1).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
    // A negative entry that is in use goes on, and is asked about again.
    let _ = s.packet(FLOW, IF1);
    let _ = s.packet(FLOW, IF1);
    s.advance(60).ok_calls(&[(A, rpf_anew(FLOW, IF1)), (A, flow_prune(FLOW, IF1))]);
    s.advance(60).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

/// What a negative entry dropped does not count once it forwards, nor what came before the iif
/// moved.
pub fn e8_every_lifetime_begins_a_new_count(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let _ = s.packet(FLOW, IF1);
    let _ = s.packet(FLOW, IF1);
    s.join(B, any(G1), IF2).ok();
    s.advance(900).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
    let _ = s.packet(FLOW, IF1);
    let _ = s.packet(FLOW, IF1);
    s.route(NET1, IF3).ok();
    assert_eq!(s.mfe(FLOW).expiry, 900);
    s.advance(900).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

pub fn e8_an_entry_that_carried_packets_is_built_anew(on: On) {
    let mut s = positive(on, |_| {});
    s.advance(899).ok_calls(&[]);
    s.packet(FLOW, IF1).sent(&[IF2]).ok_calls(&[]);
    s.advance(1).ok_calls(&[(A, rpf_anew(FLOW, IF1)), (B, creation(FLOW, IF1, &[IF2]))]);
    let m = s.mfe(FLOW);
    assert_eq!((m.up, m.expiry, m.packets), (900, 900, 2), "decision 16: the age goes on");
    assert_eq!(sent(&m), [(IF2, 2)]);
    s.advance(900).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

/// Decision 16: B vetoes IF2 when it is asked again, and IF4_HOP, which stays by force.
pub fn e8_the_rebuild_asks_for_vetoes_again_and_keeps_forced_oifs(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[B].script.veto = vec![IF2, IF4_HOP]);
    s.one_each();
    s.take(B, IF4_HOP).ok();
    s.join(C, any(G1), IF3).ok();
    let _ = s.packet(FLOW, IF1);
    s.join(B, any(G1), IF2).ok();
    s.forward(B, FLOW, IF4_HOP).ok();
    let _ = s.packet(FLOW, IF1).sent(&[IF2, IF3, IF4_HOP]);
    let done = s.advance(900);
    let mut asked = done.of_kind(Kind::Creation);
    asked.sort_by_key(|(client, _)| *client);
    let wanted = [(B, creation(FLOW, IF1, &[IF2, IF4_HOP])), (C, creation(FLOW, IF1, &[IF3]))];
    assert_eq!(asked, wanted);
    assert_eq!(s.oifs(FLOW), [IF3, IF4_HOP]);
}

pub fn e8_a_rebuild_without_oifs_prunes_again(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[A].script.prune_timeout = Some(40));
    s.one_each();
    let _ = s.packet(FLOW, IF1);
    s.advance(10).ok();
    let _ = s.packet(FLOW, IF1);
    s.advance(30).ok_calls(&[(A, rpf_anew(FLOW, IF1)), (A, flow_prune(FLOW, IF1))]);
    assert_eq!(s.mfe(FLOW).expiry, 40);
    s.advance(40).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

/// Given: an entry with IF1 as its iif and IF5 as its only oif, which its owner pruned. Its
/// lifetime ends, and the veto with it.
fn pruned_and_built_anew(on: On, owner: Client) -> Done {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(owner, IF5).ok();
    s.join(owner, any(G1), IF5).ok();
    let _ = s.packet(FLOW, IF1).sent(&[IF5]);
    let _ = s.stop_forward(owner, FLOW, IF5);
    assert_eq!(s.oifs(FLOW), []);
    let _ = s.packet(FLOW, IF1);
    let done = s.advance(900);
    assert_eq!(s.oifs(FLOW), [IF5]);
    done
}

pub fn e4_a_rebuild_with_only_own_oifs_alerts_nobody(on: On) {
    let done = pruned_and_built_anew(on, A);
    done.ok_calls(&[(A, rpf_anew(FLOW, IF1)), (A, creation(FLOW, IF1, &[IF5]))]);
}

pub fn e4_a_rebuild_with_a_foreign_oif_joins_the_iif_owner(on: On) {
    let done = pruned_and_built_anew(on, B);
    let asked = [(A, rpf_anew(FLOW, IF1)), (B, creation(FLOW, IF1, &[IF5]))];
    done.ok_calls(&[asked[0].clone(), asked[1].clone(), (A, flow_join(FLOW))]);
}

pub fn e8_an_entry_without_a_route_ends_after_60_seconds(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.route(NET1, None).ok();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    let _ = s.packet(sg(S1B, G1), IF1);
    s.run(Op::Down(IF4)).ok();
    s.advance(59).ok_calls(&[]);
    assert_eq!(s.look().mfes.len(), 2);
    s.advance(1).ok_calls(&[]);
    assert_eq!(s.look().mfes, []);
}

pub fn e9_a_route_that_moves_rebuilds_the_entry(on: On) {
    let mut s = positive(on, |_| {});
    let done = s.route(NET1, IF3);
    let kinds: Vec<(Client, Kind)> =
        done.callbacks().iter().map(|(client, c)| (*client, c.kind())).collect();
    let joined = (C, flow_join(FLOW));
    assert_eq!(done.of_kind(Kind::Rpf), [(C, rpf_anew(FLOW, IF3))]);
    assert_eq!(done.of_kind(Kind::Creation), [(B, creation(FLOW, IF3, &[IF2]))]);
    assert_eq!(done.of_kind(Kind::Join), [joined]);
    assert!(kinds.contains(&(A, Kind::Prune)), "{kinds:?}");
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    done.ok();
    assert_eq!(s.mfe(FLOW).iif, IF3);
    s.packet(FLOW, IF3).sent(&[IF2]).ok_calls(&[]);
}

pub fn e9_without_oifs_nobody_is_joined(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let _ = s.packet(FLOW, IF1);
    s.route(NET1, IF3).ok_calls(&[(C, rpf_anew(FLOW, IF3)), (C, flow_prune(FLOW, IF3))]);
}

/// Decision 18.
pub fn e9_a_route_that_goes_away_makes_the_entry_negative(on: On) {
    let mut s = positive(on, |_| {});
    let done = s.route(NET1, None);
    let kinds: Vec<(Client, Kind)> =
        done.callbacks().iter().map(|(client, c)| (*client, c.kind())).collect();
    assert_eq!(kinds, [(A, Kind::Prune)]);
    done.ok();
    let m = s.mfe(FLOW);
    assert_eq!((m.lifetime, m.expiry, m.oifs), (60, 60, vec![]));
    s.packet(FLOW, IF1).sent(&[]).ok_calls(&[]);
}

pub fn e9_other_prefixes_and_unmoved_routes_change_nothing(on: On) {
    let mut s = positive(on, |_| {});
    let before = s.look();
    s.route(NET2, IF3).ok_calls(&[]);
    s.run(Op::RouteChanged { network: NET1, len: 24 }).ok_calls(&[]);
    s.run(Op::RouteChanged { network: Ipv4Addr::UNSPECIFIED, len: 0 }).ok_calls(&[]);
    assert_eq!(s.look(), before);
}

pub fn e9_counts_and_age_go_on(on: On) {
    let mut s = positive(on, |_| {});
    s.advance(7).ok();
    s.route(NET1, IF3).ok();
    let m = s.mfe(FLOW);
    assert_eq!((m.up, m.packets, m.expiry), (7, 1, 900), "decision 16");
}

pub fn e10_set_mfe_changes_only_the_upstream_neighbour(on: On) {
    let mut s = positive(on, |_| {});
    let before = s.mfe(FLOW);
    s.run(Op::SetUpstream(Handle::Nth(A), FLOW, S2)).ok_calls(&[]);
    assert_eq!(s.mfe(FLOW), Mfe { upstream: S2, ..before });
}

/// In the client's second callback of a kind A names S2 as its upstream neighbour.
fn names_s2_in_the_second(w: &mut World, client: Client, kind: Kind) {
    let set = Op::SetUpstream(Handle::Nth(A), FLOW, S2);
    w.profiles[client].script.nested.extend([(kind, Op::Owner(IF1)), (kind, set)]);
}

pub fn e10_set_mfe_holds_for_an_entry_that_is_built_anew_meanwhile(on: On) {
    for (client, kind) in [(A, Kind::Rpf), (B, Kind::Creation)] {
        let mut s = positive(on, |w| names_s2_in_the_second(w, client, kind));
        let _ = s.packet(FLOW, IF1);
        let _ = s.advance(900);
        assert_eq!(s.mfe(FLOW).upstream, S2, "{kind:?}");
        s.run(Op::RouteChanged { network: NET1, len: 24 }).ok();
        assert_eq!(s.mfe(FLOW).upstream, S2, "decision 40");
    }
}

pub fn e10_an_rpf_answer_that_names_another_neighbour_is_the_later_word(on: On) {
    let mut s = positive(on, |w| {
        names_s2_in_the_second(w, A, Kind::Rpf);
        w.profiles[A].script.rpf_upstream = Some(S1B);
    });
    let _ = s.packet(FLOW, IF1);
    let _ = s.advance(900);
    assert_eq!(s.mfe(FLOW).upstream, S1B);
}

pub fn e10_only_the_owner_of_the_iif_may(on: On) {
    let mut s = positive(on, |_| {});
    for other in [B, IGMP] {
        s.run(Op::SetUpstream(Handle::Nth(other), FLOW, S2)).fails(INVALID_PARAMETER);
    }
    assert_eq!(s.mfe(FLOW).upstream, upstream_of(IF1));
}

pub fn e10_an_entry_that_is_not_there_is_not_found(on: On) {
    let mut s = positive(on, |_| {});
    s.run(Op::SetUpstream(Handle::Nth(A), sg(S2, G1), S1)).fails(NOT_FOUND);
}

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

/// Decision 28.
pub fn without_route_callback_the_arrival_is_the_route(on: On) {
    let mut s = Stage::new(on, |w| w.null_route = true);
    for (client, on) in [(A, IF1), (B, IF2), (C, IF3)] {
        s.take(client, on).ok();
    }
    s.join(B, any(G1), IF2).ok();
    let done = s.packet(FLOW, IF3).sent(&[IF2]);
    assert!(done.of_kind(Kind::Rpf).iter().all(|(client, _)| *client == C));
    assert_eq!(s.mfe(FLOW).iif, IF3);
    // Without a packet: the iif of the source's entry, or none.
    s.join(B, sg(S1, G2), IF2).ok_calls(&[(C, join(sg(S1, G2)))]);
    s.join(B, sg(S2, G2), IF2).ok_calls(&[]);
    let _ = s.packet(FLOW, IF3);
    s.advance(900).ok();
    let m = s.mfe(FLOW);
    assert_eq!((m.iif, m.expiry, sent(&m)), (IF3, 900, vec![(IF2, 2)]));
}
