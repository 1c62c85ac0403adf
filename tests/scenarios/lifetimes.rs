//! Rules E8 to E10: lifetimes, route changes, MgmSetMfe.

use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::*;
use mgm::types::SourceGroup;
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
    without_route_callback_the_arrival_is_the_route,
);
crate::scenarios!(
    in one process:
    e8_a_flow_of_packets_that_waited_lives_one_lifetime,
);

const FLOW: SourceGroup = sg(S1, G1);

/// Given: (S1,G1) flows from IF1 to B's IF2, one packet so far.
pub fn positive(on: On, change: impl FnOnce(&mut World)) -> Stage {
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
