//! Rules A2, A3, A6 to A9: calls in general; B: registration.

use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::{A, B, C, IGMP, IGMP2, On, Stage, join, prune};

crate::scenarios!(
    a2_a_call_that_fails_changes_nothing,
    a3_forged_handles_are_refused,
    a3_stale_handles_are_refused_when_the_slot_is_used_again,
    a6_memberships_can_be_added_inside_the_enable_callback,
    a7_alerts_are_delivered_when_the_call_returns,
    a7_the_last_alert_tells_the_present_state,
    a8_a_client_that_deregisters_inside_its_callback_hears_no_more,
    a9_null_callbacks_are_skipped,
    b1_a_pair_is_registered_once,
    b1_another_component_is_another_client,
    b1_the_pair_is_free_again_after_deregistration,
    b2_an_owner_cannot_deregister,
    b2_igmp_beside_an_owner_cannot_deregister,
    b2_an_invalid_handle_is_refused,
    b2_enumerations_end_with_their_client,
);
crate::scenarios!(
    in one process:
    a7_a_call_inside_a_callback_delivers_to_others_at_once,
    a8_alerts_for_a_client_that_is_gone_are_dropped,
);

pub fn a2_a_call_that_fails_changes_nothing(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    let before = s.look();
    let unicast = sg(S1, S2);
    s.run(Op::Register(A)).fails(ALREADY_EXISTS);
    s.run(Op::Deregister(Handle::Nth(A))).fails(CAN_NOT_COMPLETE);
    s.take(B, IF1).fails(ALREADY_EXISTS);
    s.release(B, IF1).fails(INVALID_PARAMETER);
    s.join(B, any(G1), IF1).fails(INVALID_PARAMETER);
    s.join(B, unicast, IF2).fails(INVALID_PARAMETER);
    s.leave(B, any(G1), IF4_HOP).fails(NOT_FOUND);
    s.leave(B, any(G1), IF1).fails(INVALID_PARAMETER);
    s.run(Op::SetUpstream(Handle::Nth(B), sg(S1, G1), S2)).fails(INVALID_PARAMETER);
    assert_eq!(s.look(), before);
    assert_eq!(s.groups(A, true, 9), [any(G1)]);
}

pub fn a3_forged_handles_are_refused(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let h = Handle::Forged;
    s.run(Op::Deregister(h)).fails(INVALID_PARAMETER);
    s.run(Op::Take(h, IF4_HOP)).fails(INVALID_PARAMETER);
    s.run(Op::Release(h, IF1)).fails(INVALID_PARAMETER);
    s.run(Op::Add(h, any(G1), IF1, JOIN)).fails(INVALID_PARAMETER);
    s.run(Op::Delete(h, any(G1), IF1, JOIN)).fails(INVALID_PARAMETER);
    s.run(Op::SetUpstream(h, sg(S1, G1), S2)).fails(INVALID_PARAMETER);
    s.run(Op::StartEnum(h, false)).fails(INVALID_PARAMETER);
    s.run(Op::NextGroups(h, 1)).fails(INVALID_PARAMETER);
    s.run(Op::EndEnum(h)).fails(INVALID_PARAMETER);
}

pub fn a3_stale_handles_are_refused_when_the_slot_is_used_again(on: On) {
    let mut s = Stage::empty(on, |_| {});
    let (old, new) = (Handle::Nth(0), Handle::Nth(1));
    s.run(Op::Register(A)).ok();
    s.run(Op::Deregister(old)).ok();
    s.run(Op::Register(A)).ok();
    s.run(Op::Take(new, IF1)).ok();
    s.run(Op::Take(old, IF2)).fails(INVALID_PARAMETER);
    s.run(Op::Add(old, any(G1), IF1, JOIN)).fails(INVALID_PARAMETER);
    s.run(Op::Release(old, IF1)).fails(INVALID_PARAMETER);
    s.run(Op::Deregister(old)).fails(INVALID_PARAMETER);
    s.run(Op::StartEnum(new, false)).ok();
    s.run(Op::EndEnum(Handle::Nth(0))).ok();
    s.run(Op::StartEnum(new, true)).ok();
    s.run(Op::NextGroups(Handle::Nth(0), 4)).fails(INVALID_PARAMETER);
    s.run(Op::NextGroups(Handle::Nth(1), 4)).gives(NO_MORE_ITEMS).calls(&[]);
}

pub fn a6_memberships_can_be_added_inside_the_enable_callback(on: On) {
    let add = Op::Add(Handle::Nth(IGMP), any(G1), IF1, JOIN);
    let mut s = Stage::new(on, |w| {
        w.profiles[IGMP].script.nested.push((Kind::Enable, add));
    });
    s.take(IGMP, IF1).ok();
    let done = s.take(A, IF1);
    assert_eq!(done.nested(), [NO_ERROR]);
    done.ok_calls(&[
        (IGMP, Callback::Disable(IF1)),
        (IGMP, Callback::Enable(IF1)),
        (A, Callback::LocalJoin { of: any(G1), on: IF1 }),
    ]);
    assert_eq!(s.groups(A, false, 9), [any(G1)]);
}

pub fn a7_alerts_are_delivered_when_the_call_returns(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    let j = join(any(G1));
    s.join(A, any(G1), IF1).ok_calls(&[(B, j.clone()), (C, j.clone()), (IGMP, j)]);
}

/// B's add inside its callback alerts A, who is not in a callback, before it returns to B.
pub fn a7_a_call_inside_a_callback_delivers_to_others_at_once(on: On) {
    let add = Op::Add(Handle::Nth(B), any(G1), IF2, JOIN);
    let mut s = Stage::new(on, |w| w.profiles[B].script.nested.push((Kind::Join, add)));
    s.one_each();
    let done = s.join(A, any(G1), IF1);
    let in_b = done.0.events.iter().skip_while(|e| **e != Event::Begin(B, join(any(G1))));
    let in_b: Vec<&Event> = in_b.take_while(|e| **e != Event::End(B)).collect();
    assert!(in_b.contains(&&Event::Begin(A, join(any(G1)))), "{in_b:?}");
    let j = join(any(G1));
    done.ok_calls(&[(A, j.clone()), (B, j.clone()), (C, j.clone()), (IGMP, j)]);
}

/// While B is being told of A's join it joins itself and A, told of that, leaves: B hears of the
/// leave, after the join, when its first callback has returned.
pub fn a7_the_last_alert_tells_the_present_state(on: On) {
    let mut s = Stage::new(on, |w| {
        let add = Op::Add(Handle::Nth(B), any(G1), IF2, JOIN);
        let leave = Op::Delete(Handle::Nth(A), any(G1), IF1, JOIN);
        w.profiles[B].script.nested.push((Kind::Join, add));
        w.profiles[A].script.nested.push((Kind::Join, leave));
    });
    s.one_each();
    let done = s.join(A, any(G1), IF1);
    let b: Vec<&Event> = done.0.events.iter().filter(|e| matches!(e, Event::Begin(B, _))).collect();
    let wanted = [Event::Begin(B, join(any(G1))), Event::Begin(B, prune(any(G1), IF1))];
    assert_eq!(b, wanted.iter().collect::<Vec<_>>());
    done.ok();
}

pub fn a8_a_client_that_deregisters_inside_its_callback_hears_no_more(on: On) {
    let gone = Op::Deregister(Handle::Nth(C));
    let mut s = Stage::new(on, |w| w.profiles[C].script.nested.push((Kind::Join, gone)));
    s.take(A, IF1).ok();
    let done = s.join(A, any(G1), IF1);
    assert_eq!(done.nested(), [NO_ERROR]);
    let j = join(any(G1));
    done.ok_calls(&[(B, j.clone()), (C, j.clone()), (IGMP, j)]);
    let p = prune(any(G1), IF1);
    s.leave(A, any(G1), IF1).ok_calls(&[(B, p.clone()), (IGMP, p)]);
}

/// While B is told of A's join, A joins another group: an alert waits for B. Told of that, C
/// releases B's interface; told of that, A deregisters B.
pub fn a8_alerts_for_a_client_that_is_gone_are_dropped(on: On) {
    let h = Handle::Nth;
    let mut s = Stage::empty(on, |w| {
        let nest = |w: &mut World, client: Client, kind, op| {
            w.profiles[client].script.nested.push((kind, op));
        };
        nest(w, B, Kind::Join, Op::Add(h(A), any(G2), IF1, JOIN));
        nest(w, C, Kind::Join, Op::Release(h(B), IF2));
        nest(w, A, Kind::Prune, Op::Deregister(h(B)));
    });
    s.run(Op::Register(A)).ok();
    s.run(Op::Register(B)).ok();
    s.take(A, IF1).ok();
    s.take(B, IF2).ok();
    s.join(B, any(G1), IF2).ok();
    s.run(Op::Register(C)).ok();
    let done = s.join(A, any(G1), IF1);
    assert_eq!(done.nested(), [NO_ERROR; 3]);
    done.ok_calls(&[(B, join(any(G1))), (C, join(any(G2))), (A, prune(any(G1), IF2))]);
}

pub fn a9_null_callbacks_are_skipped(on: On) {
    let mut s = Stage::new(on, |w| {
        w.profiles.iter_mut().for_each(|p| p.script.nulls = Kind::EVERY.to_vec());
    });
    s.one_each();
    s.join(B, any(G1), IF2).ok_calls(&[]);
    s.join(IGMP, any(G1), IF4).ok_calls(&[]);
    s.packet(sg(S1, G1), IF1).sent(&[IF2, IF4]).ok_calls(&[]);
    s.packet(sg(S1, G1), IF3).ok_calls(&[]);
    s.take(C, IF4).ok_calls(&[]);
    assert_eq!(s.oifs(sg(S1, G1)), [IF2]);
    s.leave(B, any(G1), IF2).ok_calls(&[]);
    assert_eq!(s.mfe(sg(S1, G1)).lifetime, 900);
}

pub fn b1_a_pair_is_registered_once(on: On) {
    let mut s = Stage::empty(on, |_| {});
    s.run(Op::Register(A)).ok();
    s.run(Op::Register(A)).fails(ALREADY_EXISTS);
    s.run(Op::Register(B)).ok();
}

pub fn b1_another_component_is_another_client(on: On) {
    let mut s = Stage::empty(on, |w| {
        w.profiles[B].protocol = w.profiles[A].protocol;
        w.profiles[B].component = 2;
    });
    s.run(Op::Register(A)).ok();
    s.run(Op::Register(B)).ok();
    s.take(A, IF1).ok();
    s.take(B, IF1).fails(ALREADY_EXISTS);
    s.join(A, any(G1), IF1).ok_calls(&[(B, join(any(G1)))]);
}

pub fn b1_the_pair_is_free_again_after_deregistration(on: On) {
    let mut s = Stage::empty(on, |_| {});
    s.run(Op::Register(A)).ok();
    s.run(Op::Deregister(Handle::Nth(0))).ok();
    s.run(Op::Register(A)).ok();
}

pub fn b2_an_owner_cannot_deregister(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok();
    s.run(Op::Deregister(Handle::Nth(A))).fails(CAN_NOT_COMPLETE);
    s.join(A, any(G1), IF1).ok();
    s.release(A, IF1).ok();
    s.run(Op::Deregister(Handle::Nth(A))).ok();
    s.take(A, IF1).fails(INVALID_PARAMETER);
}

pub fn b2_igmp_beside_an_owner_cannot_deregister(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.take(A, IF1).ok();
    s.take(IGMP, IF1).ok();
    s.run(Op::Deregister(Handle::Nth(IGMP))).fails(CAN_NOT_COMPLETE);
    s.release(IGMP, IF1).ok();
    s.run(Op::Deregister(Handle::Nth(IGMP))).ok();
    s.run(Op::Register(IGMP2)).ok();
}

pub fn b2_an_invalid_handle_is_refused(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.run(Op::Deregister(Handle::Forged)).fails(INVALID_PARAMETER);
    s.run(Op::Deregister(Handle::Nth(A))).ok();
    s.run(Op::Deregister(Handle::Nth(A))).fails(INVALID_PARAMETER);
}

pub fn b2_enumerations_end_with_their_client(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.run(Op::StartEnum(Handle::Nth(A), false)).ok();
    s.run(Op::StartEnum(Handle::Nth(B), false)).ok();
    s.run(Op::Deregister(Handle::Nth(A))).ok();
    s.run(Op::NextGroups(Handle::Nth(0), 4)).fails(INVALID_PARAMETER);
    s.run(Op::EndEnum(Handle::Nth(0))).fails(INVALID_PARAMETER);
    s.run(Op::NextGroups(Handle::Nth(1), 4)).gives(NO_MORE_ITEMS).calls(&[]);
}
