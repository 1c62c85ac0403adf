//! Rule C: interfaces and who is on them.

use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::*;
use std::net::Ipv4Addr;

crate::scenarios!(
    c1_one_routing_protocol_owns_an_interface,
    c1_two_next_hops_are_two_interfaces,
    c1_igmp_may_come_before_or_after_the_owner,
    c1_one_igmp_is_on_an_interface,
    c2_the_owner_query_prefers_the_routing_protocol,
    c3_a_take_disables_and_enables_igmp,
    c3_a_release_disables_and_enables_igmp,
    c3_igmps_own_coming_and_going_disables_nothing,
    c3_igmp_is_refused_until_it_is_enabled,
    c3_the_old_owner_stands_until_igmp_is_disabled,
    c3_the_change_can_be_made_from_inside_igmps_own_callback,
    c3_dropped_igmp_memberships_count_where_igmp_was_alone,
    c3_a_taken_over_iif_takes_its_entries_along,
    c4_release_needs_the_client_on_the_interface,
    c4_release_drops_memberships_with_their_alerts,
    c4_the_owner_toward_a_source_hears_when_the_owner_and_igmp_both_lose_it,
    c4_release_deletes_entries_with_this_iif,
    c4_release_takes_the_interface_out_of_oif_lists,
    c4_igmp_leaving_its_owner_behind_takes_only_its_memberships,
    c4_marks_end_with_the_owner_that_made_them,
    interface_down_takes_it_out_and_a_packet_brings_it_back,
    interface_down_ends_when_a_client_takes_it,
    e4_a_take_over_igmp_of_what_is_down_brings_no_member_back,
);

pub fn c1_one_routing_protocol_owns_an_interface(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok_calls(&[]);
    s.take(B, IF1).fails(ALREADY_EXISTS);
    s.take(A, IF1).fails(ALREADY_EXISTS);
    s.release(A, IF1).ok_calls(&[]);
    s.take(B, IF1).ok_calls(&[]);
}

pub fn c1_two_next_hops_are_two_interfaces(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF4).ok();
    s.take(B, IF4_HOP).ok();
    s.run(Op::Owner(IF4)).gives(NO_ERROR).calls(&[]);
    let owners = s.look().owners;
    assert_eq!(owners[3].1.data, Data::Owner(IDS[A], 1));
    assert_eq!(owners[4].1.data, Data::Owner(IDS[B], 1));
}

pub fn c1_igmp_may_come_before_or_after_the_owner(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(IGMP, IF1).ok_calls(&[]);
    s.take(A, IF1).ok();
    s.take(A, IF2).ok();
    s.take(IGMP, IF2).ok_calls(&[]);
    s.take(IGMP, IF2).fails(ALREADY_EXISTS);
    s.take(B, IF1).fails(ALREADY_EXISTS);
}

pub fn c1_one_igmp_is_on_an_interface(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.run(Op::Register(IGMP2)).ok();
    s.take(IGMP, IF1).ok();
    s.take(IGMP2, IF1).fails(ALREADY_EXISTS);
    s.take(IGMP2, IF2).ok();
}

pub fn c2_the_owner_query_prefers_the_routing_protocol(on: On) {
    let mut s = Stage::new(on, |_| {});
    let owner = |s: &mut Stage| s.run(Op::Owner(IF1)).0.reply;
    assert_eq!(owner(&mut s), Reply::code(NOT_FOUND));
    s.take(IGMP, IF1).ok();
    assert_eq!(owner(&mut s).data, Data::Owner(IDS[IGMP], 1));
    s.take(A, IF1).ok();
    assert_eq!(owner(&mut s).data, Data::Owner(IDS[A], 1));
    s.release(A, IF1).ok();
    assert_eq!(owner(&mut s).data, Data::Owner(IDS[IGMP], 1));
    s.release(IGMP, IF1).ok();
    assert_eq!(owner(&mut s), Reply::code(NOT_FOUND));
}

/// What IGMP is told, the calls that the change causes elsewhere aside.
const OFF_AND_ON: [(Client, Callback); 2] =
    [(IGMP, Callback::Disable(IF1)), (IGMP, Callback::Enable(IF1))];

pub fn c3_a_take_disables_and_enables_igmp(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(IGMP, IF1).ok();
    s.take(A, IF1).ok_calls(&OFF_AND_ON);
    s.join(IGMP, any(G1), IF1).ok_calls(&[(A, local_join(any(G1), IF1))]);
}

pub fn c3_a_release_disables_and_enables_igmp(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok();
    s.take(IGMP, IF1).ok();
    s.join(IGMP, any(G1), IF1).ok();
    // Decision 4: dropped without LOCAL_LEAVE, and it did not count for D7.
    s.release(A, IF1).ok_calls(&OFF_AND_ON);
    assert_eq!(s.groups(A, true, 4), []);
    let j = join(any(G1));
    s.join(IGMP, any(G1), IF1).ok_calls(&[(A, j.clone()), (B, j.clone()), (C, j)]);
}

pub fn c3_igmps_own_coming_and_going_disables_nothing(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok();
    s.take(IGMP, IF1).ok_calls(&[]);
    s.release(IGMP, IF1).ok_calls(&[]);
    s.take(IGMP, IF2).ok_calls(&[]);
    s.release(IGMP, IF2).ok_calls(&[]);
}

pub fn c3_igmp_is_refused_until_it_is_enabled(on: On) {
    for call in [Op::Add, Op::Delete] {
        let mut s = Stage::new(on, |w| {
            let script = &mut w.profiles[IGMP].script;
            script.nested = vec![
                (Kind::Disable, call(Handle::Nth(IGMP), any(G1), IF1, JOIN)),
                (Kind::Enable, call(Handle::Nth(IGMP), any(G1), IF1, JOIN)),
            ];
        });
        s.take(IGMP, IF1).ok();
        let done = s.take(A, IF1);
        assert_eq!(done.nested(), [CAN_NOT_COMPLETE, NO_ERROR]);
        done.ok();
    }
}

/// Decision 2.
pub fn c3_the_old_owner_stands_until_igmp_is_disabled(on: On) {
    let inside = |op: Op, releasing: bool| {
        let mut s = Stage::new(on, |w| w.profiles[IGMP].script.nested = vec![(Kind::Disable, op)]);
        if releasing {
            s.take(A, IF1).ok();
            s.take(IGMP, IF1).ok();
        } else {
            s.take(IGMP, IF1).ok();
        }
        let done = if releasing { s.release(A, IF1) } else { s.take(A, IF1) };
        let reply = done.0.events.iter().find_map(|e| match e {
            Event::Return(reply) => Some(reply.clone()),
            _ => None,
        });
        done.ok_calls(&OFF_AND_ON);
        reply
    };
    let owner = |client: Client| Reply { code: NO_ERROR, data: Data::Owner(IDS[client], 1) };
    assert_eq!(inside(Op::Owner(IF1), false), Some(owner(IGMP)));
    assert_eq!(inside(Op::Owner(IF1), true), Some(owner(A)));
    let take = Op::Take(Handle::Nth(B), IF1);
    assert_eq!(inside(take.clone(), false), Some(Reply::code(ALREADY_EXISTS)));
    assert_eq!(inside(take, true), Some(Reply::code(ALREADY_EXISTS)));
    let release = Op::Release(Handle::Nth(A), IF1);
    assert_eq!(inside(release.clone(), true), Some(Reply::code(INVALID_PARAMETER)));
    assert_eq!(inside(release, false), Some(Reply::code(INVALID_PARAMETER)));
}

/// Decision 3: IGMP cannot be told now, so the owner changes first.
pub fn c3_the_change_can_be_made_from_inside_igmps_own_callback(on: On) {
    let take = Op::Take(Handle::Nth(A), IF1);
    let mut s = Stage::new(on, |w| w.profiles[IGMP].script.nested = vec![(Kind::Join, take)]);
    s.take(IGMP, IF1).ok();
    s.take(B, IF2).ok();
    let done = s.join(B, any(G1), IF2);
    assert_eq!(done.nested(), [NO_ERROR]);
    let j = join(any(G1));
    done.ok_calls(&[
        (A, j.clone()),
        (C, j.clone()),
        (IGMP, j),
        (IGMP, Callback::Disable(IF1)),
        (IGMP, Callback::Enable(IF1)),
    ]);
    assert_eq!(s.look().owners[0].1.data, Data::Owner(IDS[A], 1));
}

/// Decision 4.
pub fn c3_dropped_igmp_memberships_count_where_igmp_was_alone(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(IGMP, IF1).ok();
    s.join(IGMP, any(G1), IF1).ok();
    let done = s.take(A, IF1);
    let pruned = done.of_kind(Kind::Prune);
    assert!(pruned.contains(&(B, prune(any(G1), IF1))), "{pruned:?}");
    assert!(pruned.contains(&(C, prune(any(G1), IF1))), "{pruned:?}");
    assert!(pruned.iter().all(|(client, _)| *client != IGMP), "{pruned:?}");
    done.ok();
}

/// Decision 5.
pub fn c3_a_taken_over_iif_takes_its_entries_along(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(IGMP, IF4_HOP).ok();
    s.route(NET1, IF4_HOP).ok();
    let _ = s.packet(sg(S1, G1), IF4_HOP);
    s.comes_from(sg(S1, G1), IF4_HOP);
    s.take(A, IF4_HOP).ok();
    assert_eq!(s.find(sg(S1, G1)), None);
    let done = s.packet(sg(S1, G1), IF4_HOP);
    assert_eq!(done.of_kind(Kind::Rpf), [(A, rpf(sg(S1, G1), IF4_HOP))]);
}

pub fn c4_release_needs_the_client_on_the_interface(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok();
    s.release(B, IF1).fails(INVALID_PARAMETER);
    s.release(IGMP, IF1).fails(INVALID_PARAMETER);
    s.release(A, IF2).fails(INVALID_PARAMETER);
    let odd = mgm::types::IfKey::new(1, Ipv4Addr::new(10, 0, 0, 1));
    s.release(A, odd).fails(INVALID_PARAMETER);
}

pub fn c4_release_drops_memberships_with_their_alerts(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.join(B, any(G2), IF2).ok();
    s.join(C, any(G2), IF3).ok();
    s.join(B, sg(S1, G1), IF2).ok();
    let (p1, p2) = (prune(any(G1), IF2), prune(any(G2), IF2));
    s.release(B, IF2).ok_calls(&[
        (A, p1.clone()),
        (A, prune(sg(S1, G1), IF2)),
        (C, p1.clone()),
        (C, p2),
        (IGMP, p1),
    ]);
    assert_eq!(s.groups(A, true, 9), [any(G2)]);
}

/// Neither of the two is the last, but both go.
pub fn c4_the_owner_toward_a_source_hears_when_the_owner_and_igmp_both_lose_it(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[B].script.nulls = vec![Kind::LocalJoin]);
    s.one_each();
    s.take(IGMP, IF2).ok();
    s.join(B, sg(S1, G1), IF2).ok();
    s.join(IGMP, sg(S1, G1), IF2).ok();
    let alerts = [(A, prune(sg(S1, G1), IF2))];
    let igmp = [(IGMP, Callback::Disable(IF2)), (IGMP, Callback::Enable(IF2))];
    s.release(B, IF2).ok_calls(&[&alerts[..], &igmp].concat());
}

pub fn c4_release_deletes_entries_with_this_iif(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let _ = s.packet(sg(S1, G1), IF1);
    let _ = s.packet(sg(S2, G1), IF2);
    s.release(A, IF1).ok_calls(&[]);
    assert_eq!(s.find(sg(S1, G1)), None);
    assert_eq!(s.mfe(sg(S2, G1)).iif, IF2);
}

pub fn c4_release_takes_the_interface_out_of_oif_lists(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    assert_eq!(s.oifs(sg(S1, G1)), [IF2, IF3]);
    s.release(B, IF2).ok();
    assert_eq!(s.oifs(sg(S1, G1)), [IF3]);
    let done = s.release(C, IF3);
    assert!(done.callbacks().contains(&(A, flow_prune(sg(S1, G1), IF3))));
    assert_eq!(s.oifs(sg(S1, G1)), []);
}

pub fn c4_igmp_leaving_its_owner_behind_takes_only_its_memberships(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(IGMP, IF1).ok();
    s.take(IGMP, IF2).ok();
    s.join(B, any(G1), IF2).ok();
    s.join(IGMP, any(G1), IF2).ok();
    s.join(IGMP, any(G2), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    s.release(IGMP, IF2)
        .ok_calls(&[(B, local_leave(any(G1), IF2)), (B, local_leave(any(G2), IF2))]);
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
    s.release(IGMP, IF1).ok_calls(&[]);
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
}

/// Decision 6: neither the veto nor the forced mark of B is there for C.
pub fn c4_marks_end_with_the_owner_that_made_them(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let _ = s.packet(sg(S1, G1), IF1);
    s.forward(B, any(G1), IF2).ok();
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
    s.release(B, IF2).ok();
    s.take(C, IF2).ok();
    assert_eq!(s.oifs(sg(S1, G1)), []);
    s.stop_forward(C, any(G1), IF2).ok();
    s.release(C, IF2).ok();
    s.take(B, IF2).ok();
    s.take(IGMP, IF2).ok();
    s.join(IGMP, any(G1), IF2).ok();
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
}

/// Decision 22.
pub fn interface_down_takes_it_out_and_a_packet_brings_it_back(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    let _ = s.packet(sg(S2, G2), IF2);
    s.run(Op::Down(IF2)).ok_calls(&[(A, flow_prune(sg(S1, G1), IF2))]);
    assert_eq!(s.oifs(sg(S1, G1)), []);
    assert_eq!(s.find(sg(S2, G2)), None);
    assert_eq!(s.look().owners[1].1.data, Data::Owner(IDS[B], 1));
    assert_eq!(s.groups(A, true, 9), [any(G1)]);
    let done = s.packet(sg(S2, G2), IF2);
    assert!(done.callbacks().contains(&(A, flow_join(sg(S1, G1)))));
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
}

pub fn interface_down_ends_when_a_client_takes_it(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    s.run(Op::Down(IF2)).ok();
    assert_eq!(s.oifs(sg(S1, G1)), []);
    s.take(IGMP, IF2).ok_calls(&[(A, flow_join(sg(S1, G1)))]);
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
}

/// IGMP's membership goes with the take: a Join alert of the entry, and a Prune after it, would
/// tell of nothing.
pub fn e4_a_take_over_igmp_of_what_is_down_brings_no_member_back(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok();
    s.take(IGMP, IF2).ok();
    s.route(NET1, IF1).ok();
    s.join(IGMP, any(G1), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1).sent(&[IF2]);
    s.run(Op::Down(IF2)).ok_calls(&[(A, flow_prune(sg(S1, G1), IF2))]);
    let done = s.take(B, IF2);
    assert_eq!(done.of_kind(Kind::Join), []);
    let mut pruned = done.of_kind(Kind::Prune);
    pruned.sort_by_key(|(client, _)| *client);
    assert_eq!(pruned, [A, B, C].map(|client| (client, prune(any(G1), IF2))));
    done.ok();
    s.join(B, any(G1), IF2).ok();
    assert_eq!(s.oifs(sg(S1, G1)), [IF2], "it is up");
}
