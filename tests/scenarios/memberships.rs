//! Rules D1 to D6: memberships and the interfaces they give an entry.

use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::*;
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;

crate::scenarios!(
    d1_the_three_kinds_are_accepted,
    d1_addresses_that_are_no_group_or_source_are_refused,
    d1_link_local_groups_are_joined_and_never_forwarded,
    d3_the_client_must_be_on_the_interface,
    d4_a_membership_updates_every_matching_entry,
    d4_adding_or_deleting_twice_does_nothing,
    d5_forward_changes_entries_and_no_membership,
    d5_forward_of_any_kind_matches_like_a_membership,
    d5_without_an_entry_it_is_no_error,
    d5_igmp_beside_an_owner_neither_forces_nor_prunes,
    d6_igmp_and_the_owner_hold_an_interface_independently,
    d6_the_iif_is_never_an_oif,
    d6_a_veto_keeps_members_out,
    d6_a_new_covering_membership_of_the_owner_lifts_a_veto,
    d6_igmps_membership_lifts_no_veto,
    d6_deleting_with_forward_prunes_a_member,
    d6_deleting_with_forward_clears_forced,
    d6_a_forced_interface_outlives_its_membership,
);
crate::scenarios!(
    in one process:
    d6_a_prune_during_the_questions_is_a_veto,
);

crate::scenarios!(words of c: d2_flags_are_join_or_forward_or_both);

/// Given: an entry of (S1,G1) from IF1, everybody on one interface.
fn with_entry(on: On, change: impl FnOnce(&mut World)) -> Stage {
    let mut s = Stage::new(on, change);
    s.one_each();
    let _ = s.packet(FLOW, IF1);
    s
}

const FLOW: SourceGroup = sg(S1, G1);

pub fn d1_the_three_kinds_are_accepted(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    for of in [sg(S1, G1), any(G1), ALL] {
        let _ = s.join(B, of, IF2).gives(NO_ERROR);
    }
    assert_eq!(s.groups(A, true, 9), [ALL, any(G1), sg(S1, G1)]);
}

pub fn d1_addresses_that_are_no_group_or_source_are_refused(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let ip = Ipv4Addr::new;
    let bad = [
        sg(S1, Ipv4Addr::UNSPECIFIED),
        any(ip(223, 255, 255, 255)),
        any(ip(240, 0, 0, 0)),
        any(ip(10, 0, 0, 1)),
        sg(ip(224, 0, 0, 1), G1),
        sg(ip(239, 255, 255, 255), G1),
        sg(ip(255, 255, 255, 255), G1),
        sg(ip(127, 0, 0, 0), G1),
        sg(ip(127, 255, 255, 255), G1),
    ];
    for of in bad {
        s.join(B, of, IF2).fails(INVALID_PARAMETER);
        s.leave(B, of, IF2).fails(INVALID_PARAMETER);
    }
    for good in [sg(ip(240, 0, 0, 1), G1), sg(ip(126, 1, 1, 1), G1), any(ip(224, 0, 0, 0))] {
        let _ = s.join(B, good, IF2).gives(NO_ERROR);
    }
}

pub fn d1_link_local_groups_are_joined_and_never_forwarded(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let _ = s.join(B, any(LINK_LOCAL), IF2).gives(NO_ERROR);
    s.packet(sg(S1, LINK_LOCAL), IF1).sent(&[]).ok_calls(&[]);
    assert_eq!(s.find(sg(S1, LINK_LOCAL)), None);
    assert_eq!(s.groups(A, false, 9), [any(LINK_LOCAL)]);
}

pub fn d2_flags_are_join_or_forward_or_both(on: On) {
    let mut s = with_entry(on, |_| {});
    for flags in [0, 4, 5, 8, 0x8000_0001, u32::MAX] {
        s.run(Op::Add(Handle::Nth(B), any(G1), IF2, flags)).fails(INVALID_PARAMETER);
        s.run(Op::Delete(Handle::Nth(B), any(G1), IF2, flags)).fails(INVALID_PARAMETER);
    }
    for flags in [JOIN, FORWARD, JOIN | FORWARD] {
        let _ = s.run(Op::Add(Handle::Nth(B), any(G1), IF2, flags)).gives(NO_ERROR);
        let _ = s.run(Op::Delete(Handle::Nth(B), any(G1), IF2, flags)).gives(NO_ERROR);
    }
}

pub fn d3_the_client_must_be_on_the_interface(on: On) {
    let mut s = with_entry(on, |_| {});
    s.join(A, any(G1), IF2).fails(INVALID_PARAMETER);
    s.join(IGMP, any(G1), IF2).fails(INVALID_PARAMETER);
    s.join(A, any(G1), IF4_HOP).fails(INVALID_PARAMETER);
    s.leave(A, any(G1), IF2).fails(INVALID_PARAMETER);
    s.leave(IGMP, any(G1), IF2).fails(INVALID_PARAMETER);
    s.leave(A, any(G1), IF4_HOP).fails(NOT_FOUND);
    s.forward(A, any(G1), IF2).fails(INVALID_PARAMETER);
    s.stop_forward(A, any(G1), IF4_HOP).fails(NOT_FOUND);
}

pub fn d4_a_membership_updates_every_matching_entry(on: On) {
    let mut s = with_entry(on, |_| {});
    let _ = s.packet(sg(S1B, G1), IF1);
    let _ = s.packet(sg(S1, G2), IF1);
    s.join(B, any(G1), IF2).ok();
    s.join(C, sg(S1, G1), IF3).ok();
    assert_eq!(s.oifs(sg(S1, G1)), [IF2, IF3]);
    assert_eq!(s.oifs(sg(S1B, G1)), [IF2]);
    assert_eq!(s.oifs(sg(S1, G2)), []);
    s.join(C, ALL, IF3).ok();
    assert_eq!(s.oifs(sg(S1, G2)), [IF3]);
    s.leave(B, any(G1), IF2).ok();
    s.leave(C, sg(S1, G1), IF3).ok();
    assert_eq!(s.oifs(sg(S1, G1)), [IF3]);
    s.leave(C, ALL, IF3).ok();
    assert!(s.look().mfes.iter().all(|m| m.oifs.is_empty()));
}

pub fn d4_adding_or_deleting_twice_does_nothing(on: On) {
    let mut s = with_entry(on, |_| {});
    s.leave(B, any(G1), IF2).ok_calls(&[]);
    s.join(B, any(G1), IF2).ok();
    let before = s.look();
    s.join(B, any(G1), IF2).ok_calls(&[]);
    assert_eq!(s.look(), before);
    s.leave(B, any(G1), IF2).ok();
    s.leave(B, any(G1), IF2).ok_calls(&[]);
}

pub fn d5_forward_changes_entries_and_no_membership(on: On) {
    let mut s = with_entry(on, |_| {});
    s.forward(B, FLOW, IF2).ok_calls(&[(A, flow_join(FLOW))]);
    assert_eq!(s.oifs(FLOW), [IF2]);
    assert_eq!(s.groups(A, true, 9), []);
    s.packet(FLOW, IF1).sent(&[IF2]).ok_calls(&[]);
    s.stop_forward(B, FLOW, IF2).ok_calls(&[(A, flow_prune(FLOW, IF2))]);
    assert_eq!(s.oifs(FLOW), []);
}

pub fn d5_forward_of_any_kind_matches_like_a_membership(on: On) {
    let mut s = with_entry(on, |_| {});
    let _ = s.packet(sg(S1B, G1), IF1);
    let _ = s.packet(sg(S1, G2), IF1);
    let with_if2 = |s: &mut Stage| {
        let all = s.look().mfes;
        all.into_iter().filter(|m| !m.oifs.is_empty()).map(|m| m.flow).collect::<Vec<_>>()
    };
    s.forward(B, any(G1), IF2).ok();
    assert_eq!(with_if2(&mut s), [sg(S1, G1), sg(S1B, G1)]);
    s.stop_forward(B, sg(S1, G1), IF2).ok();
    assert_eq!(with_if2(&mut s), [sg(S1B, G1)]);
    s.forward(B, ALL, IF2).ok();
    assert_eq!(with_if2(&mut s), [sg(S1, G1), sg(S1B, G1), sg(S1, G2)]);
    s.stop_forward(B, ALL, IF2).ok();
    assert_eq!(with_if2(&mut s), []);
}

pub fn d5_without_an_entry_it_is_no_error(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.forward(B, FLOW, IF2).ok_calls(&[]);
    s.stop_forward(B, FLOW, IF2).ok_calls(&[]);
    s.forward(B, any(G1), IF2).ok_calls(&[]);
    let _ = s.packet(FLOW, IF1);
    assert_eq!(s.oifs(FLOW), []);
}

/// Rule D6: forced and vetoed are the owner's to set.
pub fn d5_igmp_beside_an_owner_neither_forces_nor_prunes(on: On) {
    let mut s = with_entry(on, |_| {});
    s.take(IGMP, IF2).ok();
    s.forward(IGMP, FLOW, IF2).ok_calls(&[]);
    assert_eq!(s.oifs(FLOW), []);
    s.join(B, any(G1), IF2).ok();
    s.stop_forward(IGMP, FLOW, IF2).ok_calls(&[]);
    assert_eq!(s.oifs(FLOW), [IF2]);
    // Where it is alone it is the owner.
    s.forward(IGMP, FLOW, IF4).ok();
    assert_eq!(s.oifs(FLOW), [IF2, IF4]);
}

pub fn d6_igmp_and_the_owner_hold_an_interface_independently(on: On) {
    for igmp_leaves_first in [true, false] {
        let mut s = with_entry(on, |_| {});
        s.take(IGMP, IF2).ok();
        s.join(IGMP, any(G1), IF2).ok();
        s.join(B, any(G1), IF2).ok();
        let (first, last) = if igmp_leaves_first { (IGMP, B) } else { (B, IGMP) };
        s.leave(first, any(G1), IF2).ok();
        assert_eq!(s.oifs(FLOW), [IF2]);
        s.leave(last, any(G1), IF2).ok();
        assert_eq!(s.oifs(FLOW), []);
    }
}

pub fn d6_the_iif_is_never_an_oif(on: On) {
    let mut s = with_entry(on, |_| {});
    s.join(A, any(G1), IF1).ok();
    assert_eq!(s.oifs(FLOW), []);
    s.forward(A, FLOW, IF1).ok();
    assert_eq!(s.oifs(FLOW), []);
}

pub fn d6_a_veto_keeps_members_out(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[B].script.veto = vec![IF2]);
    s.one_each();
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    s.packet(FLOW, IF1).sent(&[IF3]).ok();
    assert_eq!(s.oifs(FLOW), [IF3]);
    s.forward(B, FLOW, IF2).ok();
    assert_eq!(s.oifs(FLOW), [IF2, IF3], "forced wins");
}

/// Given: B has vetoed IF2, on which IGMP has a member, in the entry of (S1,G1).
fn with_veto(on: On) -> Stage {
    let mut s = Stage::new(on, |w| w.profiles[B].script.veto = vec![IF2]);
    s.one_each();
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    assert_eq!(s.oifs(FLOW), []);
    s
}

pub fn d6_a_new_covering_membership_of_the_owner_lifts_a_veto(on: On) {
    for of in [FLOW, any(G1), ALL] {
        let mut s = with_veto(on);
        s.join(B, any(G2), IF2).ok();
        assert_eq!(s.oifs(FLOW), [], "it does not cover the flow");
        s.join(B, of, IF2).ok();
        assert_eq!(s.oifs(FLOW), [IF2]);
        s.leave(B, of, IF2).ok();
        assert_eq!(s.oifs(FLOW), [IF2], "IGMP's member is still there");
    }
}

pub fn d6_igmps_membership_lifts_no_veto(on: On) {
    let mut s = with_veto(on);
    s.join(IGMP, FLOW, IF2).ok();
    s.join(IGMP, ALL, IF2).ok();
    assert_eq!(s.oifs(FLOW), []);
}

pub fn d6_deleting_with_forward_prunes_a_member(on: On) {
    let mut s = with_entry(on, |_| {});
    s.join(B, any(G1), IF2).ok();
    s.stop_forward(B, FLOW, IF2).ok_calls(&[(A, flow_prune(FLOW, IF2))]);
    assert_eq!(s.oifs(FLOW), []);
    assert_eq!(s.groups(A, true, 9), [any(G1)], "the membership stays");
    s.join(B, any(G1), IF2).ok_calls(&[]);
    assert_eq!(s.oifs(FLOW), [], "that membership is not new");
    s.join(B, FLOW, IF2).ok();
    assert_eq!(s.oifs(FLOW), [IF2]);
}

pub fn d6_deleting_with_forward_clears_forced(on: On) {
    let mut s = with_entry(on, |_| {});
    s.forward(B, FLOW, IF2).ok();
    s.stop_forward(B, any(G1), IF2).ok();
    assert_eq!(s.oifs(FLOW), []);
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok();
    assert_eq!(s.oifs(FLOW), [], "deleting with FORWARD is a veto");
}

/// Decision 38: while A is asked B prunes IF2; B joins on IF5 while it is asked itself, and prunes
/// it while C is. In a new flow, then in the rebuild.
pub fn d6_a_prune_during_the_questions_is_a_veto(on: On) {
    let prune = |on| Op::Delete(Handle::Nth(B), any(G1), on, FORWARD);
    let (join, leave) = (
        Op::Add(Handle::Nth(B), any(G1), IF5, JOIN),
        Op::Delete(Handle::Nth(B), any(G1), IF5, JOIN),
    );
    let mut s = Stage::new(on, |w| {
        w.profiles[A].script.nested = vec![(Kind::Rpf, prune(IF2)), (Kind::Rpf, leave)];
        w.profiles[B].script.nested = vec![(Kind::Creation, join.clone()), (Kind::Creation, join)];
        let prunes = [prune(IF5), prune(IF5)].map(|op| (Kind::Creation, op));
        w.profiles[C].script.nested = prunes.to_vec();
    });
    s.one_each();
    s.take(B, IF5).ok();
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    let done = s.packet(FLOW, IF1);
    assert_eq!(done.of_kind(Kind::Creation)[0], (B, creation(FLOW, IF1, &[IF2])));
    let _ = done.sent(&[IF3]);
    assert_eq!(s.oifs(FLOW), [IF3]);
    let _ = s.packet(FLOW, IF1).sent(&[IF3]);
    s.advance(900).ok();
    assert_eq!(s.oifs(FLOW), [IF2, IF3], "IF2 was asked anew, IF5 pruned again");
}

pub fn d6_a_forced_interface_outlives_its_membership(on: On) {
    let mut s = with_entry(on, |_| {});
    let _ = s.run(Op::Add(Handle::Nth(B), any(G1), IF2, JOIN | FORWARD)).gives(NO_ERROR);
    s.leave(B, any(G1), IF2).ok();
    assert_eq!(s.oifs(FLOW), [IF2]);
    let both = Op::Delete(Handle::Nth(B), any(G1), IF2, JOIN | FORWARD);
    s.run(both).ok_calls(&[(A, flow_prune(FLOW, IF2))]);
    assert_eq!(s.oifs(FLOW), []);
}
