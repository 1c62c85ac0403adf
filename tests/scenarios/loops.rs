//! Rules H1 to H8: clients whose callbacks run inside their own dispatch alone.

use crate::model::net::*;
use crate::model::words::*;
use crate::stage::*;
use mgm::types::SourceGroup;

crate::scenarios!(
    h1_no_call_but_its_own_dispatch_calls_a_loop,
    h2_readable_while_something_waits,
    h3_a_dispatch_makes_256_callbacks_at_most,
    h4_calls_do_not_wait_for_a_loop_and_order_holds,
    h4_a_take_over_a_loop_is_done_at_once,
    h5_a_lifetime_ends_while_a_loop_is_asked,
    h6_a_loop_deregisters_inside_its_callback,
    h6_what_waits_for_a_loop_goes_with_it,
    h7_a_dispatch_inside_a_callback_of_the_same_client,
    h7_a_client_without_a_loop_has_no_dispatch,
    h8_alerts_that_cancel_each_other_out,
    h8_local_alerts_that_cancel_each_other_out,
    h8_of_an_entry_the_last_alert_tells,
    h8_changes_of_owners_do_not_pile_up,
);
crate::scenarios!(
    in one process:
    h5_a_flow_waits_for_the_dispatch,
    h3_a_dispatch_delivers_what_it_causes,
    h7_a_dispatch_inside_a_callback_that_the_dispatch_caused,
);

const NOBODY: [Client; 0] = [];

/// One interface each; these clients have loops.
fn with_loops(on: On, loops: &[Client]) -> Stage {
    scripted(on, loops, |_| {})
}

fn scripted(on: On, loops: &[Client], change: impl FnOnce(&mut World)) -> Stage {
    let mut s = Stage::new(on, |world| {
        loops.iter().for_each(|client| world.profiles[*client].dispatched = true);
        change(world);
    });
    s.one_each();
    s
}

fn nth_group(n: u8) -> SourceGroup {
    any(std::net::Ipv4Addr::new(239, 2, 2, n))
}

pub fn h1_no_call_but_its_own_dispatch_calls_a_loop(on: On) {
    let mut s = with_loops(on, &[A, C]);
    s.join(B, any(G1), IF2).ok_calls(&[(IGMP, join(any(G1)))]);
    s.dispatch(C).ok_calls(&[(C, join(any(G1)))]);
    s.leave(B, any(G1), IF2).ok_calls(&[(IGMP, prune(any(G1), IF2))]);
    s.advance(1000).ok_calls(&[]);
    s.dispatch(C).ok_calls(&[(C, prune(any(G1), IF2))]);
    s.dispatch(A).ok_calls(&[]);
}

pub fn h2_readable_while_something_waits(on: On) {
    let mut s = with_loops(on, &[A, C]);
    assert_eq!(s.waiting(), NOBODY);
    s.join(B, any(G1), IF2).ok();
    assert_eq!(s.waiting(), [A, C]);
    s.dispatch(A).ok();
    assert_eq!(s.waiting(), [C]);
    s.leave(B, any(G1), IF2).ok();
    assert_eq!(s.waiting(), [A], "what waited for C has been cancelled out");
    s.dispatch(A).ok();
    assert_eq!(s.waiting(), NOBODY);
    s.run(Op::Release(Handle::Nth(A), IF1)).ok();
    s.run(Op::Deregister(Handle::Nth(A))).ok();
    s.join(B, any(G1), IF2).ok();
    assert_eq!(s.waiting(), [C], "A's has ended");
}

pub fn h3_a_dispatch_delivers_what_it_causes(on: On) {
    let mut s = scripted(on, &[A], |world| {
        // What A adds inside the dispatch alerts the others; C's answer to that alerts A.
        let add = |client, of, on| Op::Add(Handle::Nth(client), of, on, JOIN);
        world.profiles[A].script.nested = vec![(Kind::Join, add(A, any(G2), IF1))];
        world.profiles[C].script.nested =
            vec![(Kind::Join, Op::Owner(IF1)), (Kind::Join, add(C, nth_group(1), IF3))];
    });
    s.join(B, any(G1), IF2).ok();
    let done = s.dispatch(A);
    assert_eq!(done.0.reply.code, code::NO_ERROR);
    let joins = |of: Client| {
        let calls = done.callbacks().into_iter().filter(move |(client, _)| *client == of);
        calls.map(|(_, callback)| callback).collect::<Vec<_>>()
    };
    assert_eq!(joins(A), [join(any(G1)), join(nth_group(1))]);
    assert_eq!(joins(C), [join(any(G2))]);
    assert_eq!(s.waiting(), NOBODY);
}

pub fn h3_a_dispatch_makes_256_callbacks_at_most(on: On) {
    let mut s = with_loops(on, &[A]);
    for n in 0..=255 {
        s.join(B, nth_group(n), IF2).ok();
    }
    s.join(B, any(G1), IF2).ok();
    assert_eq!(s.dispatch(A).callbacks().len(), 256);
    assert_eq!(s.waiting(), [A]);
    s.dispatch(A).ok_calls(&[(A, join(any(G1)))]);
    assert_eq!(s.waiting(), NOBODY);
}

pub fn h4_calls_do_not_wait_for_a_loop_and_order_holds(on: On) {
    let mut s = with_loops(on, &[A]);
    s.join(B, any(G1), IF2).ok_calls(&[(C, join(any(G1))), (IGMP, join(any(G1)))]);
    s.join(B, any(G2), IF2).ok();
    s.join(C, sg(S1, G1), IF3).ok();
    s.leave(B, any(G2), IF2).ok();
    s.join(B, any(G2), IF2).ok();
    s.dispatch(A).ok_calls(&[(A, join(any(G1))), (A, join(sg(S1, G1))), (A, join(any(G2)))]);
}

pub fn h4_a_take_over_a_loop_is_done_at_once(on: On) {
    let mut s = with_loops(on, &[IGMP]);
    s.join(IGMP, any(G1), IF4).ok();
    s.take(A, IF4).ok();
    let owner = Data::Owner(IDS[A], 1);
    assert_eq!(s.run(Op::Owner(IF4)).0.reply.data, owner);
    // Its membership has gone, and between the two callbacks it is refused others.
    assert_eq!(s.groups(A, true, 10), []);
    s.dispatch(IGMP).ok_calls(&[(IGMP, Callback::Disable(IF4)), (IGMP, Callback::Enable(IF4))]);
    s.join(IGMP, any(G1), IF4).ok_calls(&[(A, local_join(any(G1), IF4))]);
    s.release(A, IF4).ok();
    s.dispatch(IGMP).ok_calls(&[(IGMP, Callback::Disable(IF4)), (IGMP, Callback::Enable(IF4))]);
}

pub fn h5_a_flow_waits_for_the_dispatch(on: On) {
    let mut s = with_loops(on, &[A]);
    s.join(B, any(G1), IF2).ok();
    s.dispatch(A).ok();
    s.packet(sg(S1, G1), IF1).sent(&[]).ok_calls(&[]);
    assert_eq!(s.find(sg(S1, G1)), None);
    // Another flow, which asks no loop, does not wait.
    s.join(C, any(G2), IF3).ok();
    s.packet(sg(S2, G2), IF2).sent(&[IF3]).ok_calls(&[
        (B, rpf(sg(S2, G2), IF2)),
        (C, creation(sg(S2, G2), IF2, &[IF3])),
        (B, flow_join(sg(S2, G2))),
    ]);
    s.dispatch(A).sent(&[IF2]).ok_calls(&[
        (A, rpf(sg(S1, G1), IF1)),
        (A, join(any(G2))),
        (B, creation(sg(S1, G1), IF1, &[IF2])),
        (A, flow_join(sg(S1, G1))),
    ]);
}

pub fn h5_a_lifetime_ends_while_a_loop_is_asked(on: On) {
    let mut s = with_loops(on, &[A]);
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    s.dispatch(A).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    // It is built anew, and the entry stays meanwhile, for as long as A takes.
    s.advance(900).ok();
    let _ = s.packet(sg(S1, G1), IF1).sent(&[IF2]);
    s.advance(900).ok();
    assert_eq!(s.mfe(sg(S1, G1)).expiry, 900);
    let _ = s.packet(sg(S1, G1), IF1).sent(&[IF2]);
    let done = s.dispatch(A);
    assert_eq!(done.of_kind(Kind::Rpf), [(A, rpf_anew(sg(S1, G1), IF1))]);
    assert_eq!(s.waiting(), NOBODY);
}

pub fn h6_a_loop_deregisters_inside_its_callback(on: On) {
    let mut s = scripted(on, &[C], |world| {
        world.profiles[C].script.nested = vec![
            (Kind::Join, Op::Release(Handle::Nth(C), IF3)),
            (Kind::Join, Op::Deregister(Handle::Nth(C))),
        ];
    });
    s.join(B, any(G1), IF2).ok();
    s.join(B, any(G2), IF2).ok();
    s.join(B, ALL, IF2).ok();
    let done = s.dispatch(C);
    assert_eq!(done.nested(), [code::NO_ERROR; 2]);
    done.ok_calls(&[(C, join(any(G1))), (C, join(any(G2)))]);
    s.dispatch(C).fails(code::INVALID_PARAMETER);
}

pub fn h6_what_waits_for_a_loop_goes_with_it(on: On) {
    let mut s = with_loops(on, &[A, C]);
    s.join(B, any(G1), IF2).ok();
    s.dispatch(A).ok();
    s.packet(sg(S1, G1), IF1).sent(&[]).ok();
    s.release(A, IF1).ok();
    s.run(Op::Deregister(Handle::Nth(A))).ok();
    s.dispatch(A).fails(code::INVALID_PARAMETER);
    assert_eq!(s.waiting(), [C]);
}

pub fn h7_a_dispatch_inside_a_callback_of_the_same_client(on: On) {
    let mut s = scripted(on, &[A, C], |world| {
        let dispatch = |client| (Kind::Join, Op::Dispatch(Handle::Nth(client)));
        world.profiles[A].script.nested = vec![dispatch(A), dispatch(C)];
    });
    s.join(B, any(G1), IF2).ok();
    s.join(B, any(G2), IF2).ok();
    let done = s.dispatch(A);
    // Another client's loop may turn inside.
    assert_eq!(done.nested(), [code::CAN_NOT_COMPLETE, code::NO_ERROR]);
    let both = [join(any(G1)), join(any(G2))];
    let calls = |client| both.clone().map(|callback| (client, callback));
    done.ok_calls(&[calls(A), calls(C)].concat());
}

pub fn h7_a_dispatch_inside_a_callback_that_the_dispatch_caused(on: On) {
    let flow = sg(S1, G1);
    let mut s = scripted(on, &[A], |world| {
        // B and C are asked when A has answered and nothing waits for it any more, until B's call.
        let add = Op::Add(Handle::Nth(B), any(G2), IF2, JOIN);
        let turn = Op::Dispatch(Handle::Nth(A));
        world.profiles[B].script.nested = vec![(Kind::Creation, add)];
        world.profiles[C].script.nested = vec![(Kind::Creation, turn)];
    });
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    s.dispatch(A).ok();
    s.packet(flow, IF1).sent(&[]).ok();
    assert_eq!(s.waiting(), [A]);
    let done = s.dispatch(A).sent(&[IF2, IF3]);
    let mut nested = done.nested();
    nested.sort(); // either may be asked first
    assert_eq!(nested, [code::NO_ERROR, code::CAN_NOT_COMPLETE]);
    // What they caused comes in the same dispatch (rule H3), when they have returned.
    let told =
        done.callbacks().into_iter().filter(|(client, _)| *client == A).map(|(_, c)| c.kind());
    assert_eq!(told.collect::<Vec<_>>(), [Kind::Rpf, Kind::Join, Kind::Join]);
    assert_eq!(s.waiting(), NOBODY);
    s.dispatch(A).ok_calls(&[]);
}

pub fn h7_a_client_without_a_loop_has_no_dispatch(on: On) {
    let mut s = with_loops(on, &[A]);
    s.dispatch(B).fails(code::INVALID_PARAMETER);
    s.run(Op::Dispatch(Handle::Forged)).fails(code::INVALID_PARAMETER);
    s.dispatch(A).ok_calls(&[]);
}

pub fn h8_alerts_that_cancel_each_other_out(on: On) {
    let mut s = with_loops(on, &[A]);
    for _ in 0..100 {
        s.join(B, any(G1), IF2).ok();
        s.leave(B, any(G1), IF2).ok();
    }
    assert_eq!(s.waiting(), NOBODY);
    s.join(B, any(G1), IF2).ok();
    s.dispatch(A).ok_calls(&[(A, join(any(G1)))]);
    s.leave(B, any(G1), IF2).ok();
    s.join(B, any(G1), IF2).ok();
    assert_eq!(s.waiting(), NOBODY);
    s.leave(B, any(G1), IF2).ok();
    s.dispatch(A).ok_calls(&[(A, prune(any(G1), IF2))]);
}

pub fn h8_local_alerts_that_cancel_each_other_out(on: On) {
    let mut s = with_loops(on, &[A]);
    s.take(IGMP, IF1).ok();
    s.dispatch(A).ok();
    for _ in 0..10 {
        s.join(IGMP, any(G1), IF1).ok();
        s.leave(IGMP, any(G1), IF1).ok();
    }
    s.join(IGMP, any(G2), IF1).ok();
    s.dispatch(A).ok_calls(&[(A, local_join(any(G2), IF1))]);
}

pub fn h8_of_an_entry_the_last_alert_tells(on: On) {
    let mut s = with_loops(on, &[A]);
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(sg(S1, G1), IF1);
    s.dispatch(A).ok();
    for _ in 0..10 {
        s.leave(B, any(G1), IF2).ok();
        s.join(B, any(G1), IF2).ok();
    }
    s.dispatch(A).ok_calls(&[(A, flow_join(sg(S1, G1)))]);
    for _ in 0..10 {
        let _ = s.packet(sg(S1, G1), IF1).sent(&[IF2]);
        let _ = s.packet(sg(S1, G1), IF3).sent(&[]);
    }
    s.leave(B, any(G1), IF2).ok();
    s.dispatch(A).ok_calls(&[(A, prune(any(G1), IF2)), (A, flow_prune(sg(S1, G1), IF2))]);
}

pub fn h8_changes_of_owners_do_not_pile_up(on: On) {
    let mut s = with_loops(on, &[IGMP]);
    for _ in 0..200 {
        s.take(A, IF4).ok();
        s.release(A, IF4).ok();
    }
    s.join(IGMP, any(G1), IF4).ok();
    s.take(A, IF4).ok();
    // It is told that its membership has gone, and once that it may add others.
    let changed = [(IGMP, Callback::Disable(IF4)), (IGMP, Callback::Enable(IF4))];
    s.dispatch(IGMP).ok_calls(&changed);
    assert_eq!(s.waiting(), NOBODY);
    s.join(IGMP, any(G1), IF4).ok();
    s.release(A, IF4).ok();
    s.dispatch(IGMP).ok_calls(&changed);
}
