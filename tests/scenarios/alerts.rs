//! Rules D7 to D9: who is told of memberships.

use crate::model::net::*;
use crate::model::words::*;
use crate::stage::*;

crate::scenarios!(
    d7_first_join_alerts_all_others,
    d7_second_client_alerts_the_first,
    d7_third_client_alerts_nobody,
    d7_leaving_from_two_to_one_alerts_the_one_that_remains,
    d7_last_leave_alerts_all_others,
    d7_another_interface_of_the_same_client_alerts_nobody,
    d7_holders_of_everything_count_for_every_group,
    d7_all_groups_have_the_same_table,
    d7_a_change_of_all_groups_raises_no_alert_for_a_group,
    d7_first_source_join_goes_to_the_owner_toward_the_source,
    d7_source_join_makes_no_alert_to_itself_or_without_a_route,
    d7_last_source_leave_goes_to_the_owner_toward_the_source,
    d7_last_source_leave_is_silent_while_another_wants_the_group,
    d7_groups_are_told_apart,
    d8_a_member_prune_ignores_the_timeout,
    d9_igmp_beside_an_owner_raises_local_alerts,
    d9_every_kind_of_membership_is_local,
    d9_igmps_membership_counts_when_the_owner_adds_it_too,
    d9_without_local_join_igmp_counts_as_itself,
    d9_igmp_alone_is_an_ordinary_client,
    d9_adding_twice_is_one_local_join,
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

pub fn d7_holders_of_everything_count_for_every_group(on: On) {
    let mut s = four(on);
    s.join(B, ALL, IF2).ok();
    s.join(C, any(G1), IF3).ok_calls(&[(B, join(any(G1)))]);
    s.join(A, any(G1), IF1).ok_calls(&[]);
    s.leave(A, any(G1), IF1).ok_calls(&[]);
    s.leave(C, any(G1), IF3).ok_calls(&[(B, prune(any(G1), IF3))]);
    // B counts already.
    s.join(B, any(G1), IF2).ok_calls(&[]);
    s.leave(B, any(G1), IF2).ok_calls(&[]);
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

pub fn d7_last_source_leave_is_silent_while_another_wants_the_group(on: On) {
    for of in [any(G1), ALL] {
        let mut s = four(on);
        s.join(C, of, IF3).ok();
        s.join(B, sg(S1, G1), IF2).ok_calls(&[(A, join(sg(S1, G1)))]);
        s.leave(B, sg(S1, G1), IF2).ok_calls(&[]);
    }
    // Wanting it oneself, or another group, is not another client wanting this one.
    let mut s = four(on);
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G2), IF3).ok();
    s.join(B, sg(S1, G1), IF2).ok();
    s.leave(B, sg(S1, G1), IF2).ok_calls(&[(A, prune(sg(S1, G1), IF2))]);
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
