//! Rules D7 to D9: who is told of memberships.

use crate::model::net::*;
use crate::model::words::*;
use crate::stage::*;
use mgm::types::SourceGroup;

crate::scenarios!(
    d7_first_join_alerts_all_others,
    d7_second_client_alerts_the_first,
    d7_third_client_alerts_nobody,
    d7_leaving_from_two_to_one_alerts_the_one_that_remains,
    d7_last_leave_alerts_all_others,
    d7_another_interface_of_the_same_client_alerts_nobody,
    d7_a_holder_of_everything_counts_for_no_group,
    d7_the_groups_behind_everything_are_known_when_it_goes,
    d7_all_groups_have_the_same_table,
    d7_a_change_of_all_groups_raises_no_alert_for_a_group,
    d7_first_source_join_goes_to_the_owner_toward_the_source,
    d7_source_join_makes_no_alert_to_itself_or_without_a_route,
    d7_last_source_leave_goes_to_the_owner_toward_the_source,
    d7_last_source_leave_alerts_though_another_wants_the_group,
    d7_an_owner_that_holds_the_source_itself_hears_of_others,
    d7_groups_are_told_apart,
    d8_a_member_prune_ignores_the_timeout,
    d9_igmp_beside_an_owner_raises_local_alerts,
    d9_every_kind_of_membership_is_local,
    d9_igmps_membership_counts_when_the_owner_adds_it_too,
    d9_without_local_join_igmp_counts_as_itself,
    d9_igmp_alone_is_an_ordinary_client,
    d9_adding_twice_is_one_local_join,
    d10_a_source_that_moves_tells_of_entries_after_memberships,
    d10_the_new_owners_own_membership_does_not_count,
    d10_the_old_owners_own_membership_counts_for_the_new,
    d10_a_move_from_and_to_nobody,
    d10_a_move_between_interfaces_of_one_owner_is_silent,
    d10_a_take_and_a_release_are_silent,
    d10_igmp_beside_an_owner_does_not_count,
    d10_a_packet_shows_where_its_source_lies,
);
crate::scenarios!(
    in one process:
    d10_a_source_that_moves_tells_the_old_owner_and_the_new,
);

fn four(on: On) -> Stage {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s
}

pub fn d7_first_join_alerts_all_others(on: On) {
    let mut s = four(on);
    let j = join(any(G1));
    s.join(B, any(G1), IF2).ok_calls(&[(A, j.clone()), (C, j.clone()), (IGMP, j)]);
}

pub fn d7_second_client_alerts_the_first(on: On) {
    let mut s = four(on);
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok_calls(&[(B, join(any(G1)))]);
}

pub fn d7_third_client_alerts_nobody(on: On) {
    let mut s = four(on);
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    s.join(A, any(G1), IF1).ok_calls(&[]);
    s.leave(B, any(G1), IF2).ok_calls(&[]);
}

pub fn d7_leaving_from_two_to_one_alerts_the_one_that_remains(on: On) {
    let mut s = four(on);
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    s.leave(B, any(G1), IF2).ok_calls(&[(C, prune(any(G1), IF2))]);
}

pub fn d7_last_leave_alerts_all_others(on: On) {
    let mut s = four(on);
    s.join(B, any(G1), IF2).ok();
    let p = prune(any(G1), IF2);
    s.leave(B, any(G1), IF2).ok_calls(&[(A, p.clone()), (C, p.clone()), (IGMP, p)]);
}

pub fn d7_another_interface_of_the_same_client_alerts_nobody(on: On) {
    let mut s = four(on);
    s.take(B, IF4_HOP).ok();
    s.join(B, any(G1), IF2).ok();
    s.join(B, any(G1), IF4_HOP).ok_calls(&[]);
    s.leave(B, any(G1), IF2).ok_calls(&[]);
    let p = prune(any(G1), IF4_HOP);
    s.leave(B, any(G1), IF4_HOP).ok_calls(&[(A, p.clone()), (C, p.clone()), (IGMP, p)]);
}

pub fn d7_a_holder_of_everything_counts_for_no_group(on: On) {
    let mut s = four(on);
    s.join(B, ALL, IF2).ok();
    let (j, p) = (join(any(G1)), prune(any(G1), IF3));
    s.join(C, any(G1), IF3).ok_calls(&[(A, j.clone()), (B, j.clone()), (IGMP, j.clone())]);
    s.join(A, any(G1), IF1).ok_calls(&[(C, j.clone())]);
    s.join(B, any(G1), IF2).ok_calls(&[]);
    s.leave(A, any(G1), IF1).ok_calls(&[]);
    s.leave(B, any(G1), IF2).ok_calls(&[(C, prune(any(G1), IF2))]);
    s.leave(C, any(G1), IF3).ok_calls(&[(A, p.clone()), (B, p.clone()), (IGMP, p)]);
}

/// C was told of (*,*) alone before: nothing of the group when (*,*) went.
pub fn d7_the_groups_behind_everything_are_known_when_it_goes(on: On) {
    let mut s = four(on);
    s.join(A, ALL, IF1).ok();
    let j = join(any(G1));
    s.join(B, any(G1), IF2).ok_calls(&[(A, j.clone()), (C, j.clone()), (IGMP, j)]);
    let p = prune(ALL, IF1);
    s.leave(A, ALL, IF1).ok_calls(&[(B, p.clone()), (C, p.clone()), (IGMP, p)]);
}

pub fn d7_all_groups_have_the_same_table(on: On) {
    let mut s = four(on);
    let (j, p) = (join(ALL), |on| prune(ALL, on));
    s.join(B, ALL, IF2).ok_calls(&[(A, j.clone()), (C, j.clone()), (IGMP, j.clone())]);
    s.join(C, ALL, IF3).ok_calls(&[(B, j)]);
    s.join(A, ALL, IF1).ok_calls(&[]);
    s.leave(A, ALL, IF1).ok_calls(&[]);
    s.leave(B, ALL, IF2).ok_calls(&[(C, p(IF2))]);
    s.leave(C, ALL, IF3).ok_calls(&[(A, p(IF3)), (B, p(IF3)), (IGMP, p(IF3))]);
}

/// Keys stand alone: who holds G does not hear of it again when somebody holds everything.
pub fn d7_a_change_of_all_groups_raises_no_alert_for_a_group(on: On) {
    let mut s = four(on);
    s.join(C, any(G1), IF3).ok();
    let j = join(ALL);
    s.join(B, ALL, IF2).ok_calls(&[(A, j.clone()), (C, j.clone()), (IGMP, j)]);
    let p = prune(ALL, IF2);
    s.leave(B, ALL, IF2).ok_calls(&[(A, p.clone()), (C, p.clone()), (IGMP, p)]);
}

pub fn d7_first_source_join_goes_to_the_owner_toward_the_source(on: On) {
    let mut s = four(on);
    s.join(B, sg(S1, G1), IF2).ok_calls(&[(A, join(sg(S1, G1)))]);
    s.join(C, sg(S1, G1), IF3).ok_calls(&[]);
    s.join(C, sg(S2, G1), IF3).ok_calls(&[(B, join(sg(S2, G1)))]);
    s.join(C, sg(S1, G2), IF3).ok_calls(&[(A, join(sg(S1, G2)))]);
}

pub fn d7_source_join_makes_no_alert_to_itself_or_without_a_route(on: On) {
    let mut s = four(on);
    s.join(A, sg(S1, G1), IF1).ok_calls(&[]);
    s.route(NET2, None).ok();
    s.join(C, sg(S2, G1), IF3).ok_calls(&[]);
    s.leave(C, sg(S2, G1), IF3).ok_calls(&[]);
    s.route(NET2, IF5).ok();
    s.join(C, sg(S2, G1), IF3).ok_calls(&[]);
}

pub fn d7_last_source_leave_goes_to_the_owner_toward_the_source(on: On) {
    let mut s = four(on);
    s.join(B, sg(S1, G1), IF2).ok();
    s.join(C, sg(S1, G1), IF3).ok();
    s.leave(B, sg(S1, G1), IF2).ok_calls(&[]);
    s.leave(C, sg(S1, G1), IF3).ok_calls(&[(A, prune(sg(S1, G1), IF3))]);
}

pub fn d7_last_source_leave_alerts_though_another_wants_the_group(on: On) {
    for of in [any(G1), ALL] {
        let mut s = four(on);
        s.join(C, of, IF3).ok();
        s.join(B, sg(S1, G1), IF2).ok_calls(&[(A, join(sg(S1, G1)))]);
        s.leave(B, sg(S1, G1), IF2).ok_calls(&[(A, prune(sg(S1, G1), IF2))]);
    }
}

pub fn d7_an_owner_that_holds_the_source_itself_hears_of_others(on: On) {
    let mut s = four(on);
    s.join(A, sg(S1, G1), IF1).ok_calls(&[]);
    s.join(B, sg(S1, G1), IF2).ok_calls(&[(A, join(sg(S1, G1)))]);
    s.join(C, sg(S1, G1), IF3).ok_calls(&[]);
    s.leave(B, sg(S1, G1), IF2).ok_calls(&[]);
    s.leave(A, sg(S1, G1), IF1).ok_calls(&[]);
    s.join(A, sg(S1, G1), IF1).ok_calls(&[]);
    s.leave(C, sg(S1, G1), IF3).ok_calls(&[(A, prune(sg(S1, G1), IF3))]);
    s.leave(A, sg(S1, G1), IF1).ok_calls(&[]);
}

pub fn d7_groups_are_told_apart(on: On) {
    let mut s = four(on);
    s.join(B, any(G1), IF2).ok();
    let j = join(any(G2));
    s.join(C, any(G2), IF3).ok_calls(&[(A, j.clone()), (B, j.clone()), (IGMP, j)]);
}

/// What the callback writes to pdwTimeout is for entries only.
pub fn d8_a_member_prune_ignores_the_timeout(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[A].script.prune_timeout = Some(7));
    s.one_each();
    s.join(C, any(G1), IF3).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    s.join(B, any(G2), IF2).ok();
    s.leave(B, any(G2), IF2).ok();
    assert_eq!(s.mfe(sg(S1, G1)).lifetime, 900);
    s.leave(C, any(G1), IF3).ok();
    assert_eq!(s.mfe(sg(S1, G1)).lifetime, 7);
}

pub fn d9_igmp_beside_an_owner_raises_local_alerts(on: On) {
    let mut s = four(on);
    s.take(IGMP, IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    s.join(IGMP, any(G1), IF2)
        .ok_calls(&[(B, local_join(any(G1), IF2)), (A, flow_join(sg(S1, G1)))]);
    assert_eq!(s.oifs(sg(S1, G1)), [IF2], "it counts for rule D6 at once");
    s.leave(IGMP, any(G1), IF2)
        .ok_calls(&[(B, local_leave(any(G1), IF2)), (A, flow_prune(sg(S1, G1), IF2))]);
    assert_eq!(s.oifs(sg(S1, G1)), []);
}

pub fn d9_every_kind_of_membership_is_local(on: On) {
    let mut s = four(on);
    s.take(IGMP, IF2).ok();
    for of in [sg(S1, G1), any(G1), ALL] {
        s.join(IGMP, of, IF2).ok_calls(&[(B, local_join(of, IF2))]);
        s.leave(IGMP, of, IF2).ok_calls(&[(B, local_leave(of, IF2))]);
    }
}

/// Who hears of it when the owner adds it too, or has no local-join callback.
pub fn d9_igmps_membership_counts_when_the_owner_adds_it_too(on: On) {
    let mut s = four(on);
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok_calls(&[(B, local_join(any(G1), IF2))]);
    let j = join(any(G1));
    s.join(B, any(G1), IF2).ok_calls(&[(A, j.clone()), (C, j.clone()), (IGMP, j)]);
    s.leave(IGMP, any(G1), IF2).ok_calls(&[(B, local_leave(any(G1), IF2))]);
    let p = prune(any(G1), IF2);
    s.leave(B, any(G1), IF2).ok_calls(&[(A, p.clone()), (C, p.clone()), (IGMP, p)]);
}

/// Who hears of it when the owner adds it too, or has no local-join callback.
pub fn d9_without_local_join_igmp_counts_as_itself(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[B].script.nulls = vec![Kind::LocalJoin]);
    s.one_each();
    s.take(IGMP, IF2).ok();
    let j = join(any(G1));
    s.join(IGMP, any(G1), IF2).ok_calls(&[(A, j.clone()), (B, j.clone()), (C, j)]);
    s.join(B, any(G1), IF2).ok_calls(&[(IGMP, join(any(G1)))]);
    s.leave(B, any(G1), IF2).ok_calls(&[(IGMP, prune(any(G1), IF2))]);
}

pub fn d9_igmp_alone_is_an_ordinary_client(on: On) {
    let mut s = four(on);
    let j = join(any(G1));
    s.join(IGMP, any(G1), IF4).ok_calls(&[(A, j.clone()), (B, j.clone()), (C, j)]);
    s.join(B, any(G1), IF2).ok_calls(&[(IGMP, join(any(G1)))]);
    s.join(IGMP, sg(S1, G1), IF4).ok_calls(&[(A, join(sg(S1, G1)))]);
}

pub fn d9_adding_twice_is_one_local_join(on: On) {
    let mut s = four(on);
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok_calls(&[(B, local_join(any(G1), IF2))]);
    s.join(IGMP, any(G1), IF2).ok_calls(&[]);
    s.leave(IGMP, any(G1), IF2).ok_calls(&[(B, local_leave(any(G1), IF2))]);
    s.leave(IGMP, any(G1), IF2).ok_calls(&[]);
}

/// All groups of the source move, and no others.
pub fn d10_a_source_that_moves_tells_the_old_owner_and_the_new(on: On) {
    let mut s = four(on);
    for group in [G1, G2] {
        s.join(B, sg(S1, group), IF2).ok();
    }
    s.join(C, sg(S2, G1), IF3).ok();
    let moved = |group, from, to, on| [(from, prune(sg(S1, group), on)), (to, join(sg(S1, group)))];
    let done = s.route(NET1, IF3);
    for group in [G1, G2] {
        let its: Vec<_> =
            done.callbacks().into_iter().filter(|(_, c)| of(c) == sg(S1, group)).collect();
        assert_eq!(its, moved(group, A, C, IF1));
    }
    assert_eq!(done.callbacks().len(), 4);
    // A later change goes to the new owner, and back.
    s.leave(B, sg(S1, G2), IF2).ok_calls(&[(C, prune(sg(S1, G2), IF2))]);
    s.route(NET1, IF1).ok_calls(&moved(G1, C, A, IF3));
}

fn of(callback: &Callback) -> SourceGroup {
    match callback {
        Callback::Prune { of, .. } | Callback::Join { of, .. } => *of,
        other => panic!("{other:?}"),
    }
}

/// Rule E4: the TRUE alerts of a call come before its FALSE ones.
pub fn d10_a_source_that_moves_tells_of_entries_after_memberships(on: On) {
    let mut s = four(on);
    let flow = sg(S1, G1);
    s.join(B, flow, IF2).ok();
    let _ = s.packet(flow, IF1);
    s.route(NET1, IF3).ok_calls(&[
        (A, prune(flow, IF1)),
        (C, join(flow)),
        (C, rpf_anew(flow, IF3)),
        (B, creation(flow, IF3, &[IF2])),
        (A, flow_prune(flow, IF1)),
        (C, flow_join(flow)),
    ]);
}

pub fn d10_the_new_owners_own_membership_does_not_count(on: On) {
    let mut s = four(on);
    s.join(B, sg(S1, G1), IF2).ok();
    s.route(NET1, IF2).ok_calls(&[(A, prune(sg(S1, G1), IF1))]);
    s.join(C, sg(S1, G1), IF3).ok_calls(&[(B, join(sg(S1, G1)))]);
}

/// Nobody but the owner held it until the source moved.
pub fn d10_the_old_owners_own_membership_counts_for_the_new(on: On) {
    let mut s = four(on);
    s.join(A, sg(S1, G1), IF1).ok_calls(&[]);
    s.route(NET1, IF3).ok_calls(&[(C, join(sg(S1, G1)))]);
    s.leave(A, sg(S1, G1), IF1).ok_calls(&[(C, prune(sg(S1, G1), IF1))]);
}

pub fn d10_a_move_from_and_to_nobody(on: On) {
    let mut s = four(on);
    s.route(NET1, None).ok();
    s.join(B, sg(S1, G1), IF2).ok_calls(&[]);
    s.route(NET1, IF1).ok_calls(&[(A, join(sg(S1, G1)))]);
    s.route(NET1, IF5).ok_calls(&[(A, prune(sg(S1, G1), IF1))]);
    s.route(NET1, IF1).ok_calls(&[(A, join(sg(S1, G1)))]);
    s.route(NET1, None).ok_calls(&[(A, prune(sg(S1, G1), IF1))]);
    s.leave(B, sg(S1, G1), IF2).ok_calls(&[]);
    s.route(NET1, IF1).ok_calls(&[]);
}

pub fn d10_a_move_between_interfaces_of_one_owner_is_silent(on: On) {
    let mut s = four(on);
    s.take(A, IF5).ok();
    s.join(B, sg(S1, G1), IF2).ok();
    s.route(NET1, IF5).ok_calls(&[]);
    s.run(Op::RouteChanged { network: NET1, len: 24 }).ok_calls(&[]);
    // The alert names the interface that packets came in on last.
    s.route(NET1, IF3).ok_calls(&[(A, prune(sg(S1, G1), IF5)), (C, join(sg(S1, G1)))]);
}

pub fn d10_a_take_and_a_release_are_silent(on: On) {
    let mut s = four(on);
    s.join(B, sg(S1, G1), IF2).ok_calls(&[(A, join(sg(S1, G1)))]);
    s.release(A, IF1).ok_calls(&[]);
    s.take(C, IF1).ok_calls(&[]);
    // The owner of that moment.
    s.leave(B, sg(S1, G1), IF2).ok_calls(&[(C, prune(sg(S1, G1), IF2))]);
    s.join(B, sg(S1, G1), IF2).ok_calls(&[(C, join(sg(S1, G1)))]);
    s.release(C, IF1).ok_calls(&[]);
    s.take(A, IF1).ok_calls(&[]);
    s.route(NET1, IF3).ok_calls(&[(A, prune(sg(S1, G1), IF1)), (C, join(sg(S1, G1)))]);
}

/// Rule D9: what IGMP alone holds there raises no alerts; the owner's membership does.
pub fn d10_igmp_beside_an_owner_does_not_count(on: On) {
    let mut s = four(on);
    s.take(IGMP, IF2).ok();
    s.join(IGMP, sg(S1, G1), IF2).ok_calls(&[(B, local_join(sg(S1, G1), IF2))]);
    s.route(NET1, IF3).ok_calls(&[]);
    s.join(B, sg(S1, G1), IF2).ok_calls(&[(C, join(sg(S1, G1)))]);
    s.route(NET1, IF1).ok_calls(&[(C, prune(sg(S1, G1), IF3)), (A, join(sg(S1, G1)))]);
}

/// Decision 75.
pub fn d10_a_packet_shows_where_its_source_lies(on: On) {
    let mut s = Stage::new(on, |w| w.null_route = true);
    s.one_each();
    let flow = sg(S1, G1);
    s.join(B, flow, IF2).ok_calls(&[]);
    s.join(B, sg(S2, G1), IF2).ok_calls(&[]);
    let done = s.packet(flow, IF1);
    assert_eq!(done.callbacks()[0], (A, join(flow)));
    assert_eq!(done.of_kind(Kind::Join).len(), 2, "the other one is about the entry");
    // An owner is known: another flow of the source says nothing new.
    let done = s.packet(sg(S1, G2), IF3);
    assert_eq!(done.of_kind(Kind::Join), []);
    s.leave(B, flow, IF2).ok_calls(&[(A, prune(flow, IF2)), (A, flow_prune(flow, IF2))]);
}
