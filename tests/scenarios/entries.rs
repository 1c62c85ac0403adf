//! Rules E4 to E7: what becomes of an entry, and what packets do.

use crate::model::net::*;
use crate::model::words::*;
use crate::stage::*;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

crate::scenarios!(
    e4_first_oif_of_another_joins_the_iif_owner,
    e4_created_with_a_foreign_oif_joins_the_iif_owner,
    e4_created_without_oifs_prunes_the_iif_owner,
    e4_created_with_only_own_oifs_alerts_nobody,
    e4_last_oif_gone_prunes_and_sets_the_lifetime,
    e4_timeout_zero_is_900_and_the_most_is_a_day,
    e4_what_the_owner_does_itself_alerts_nobody,
    e4_a_list_that_stays_non_empty_alerts_nobody,
    e4_member_alerts_come_before_flow_alerts,
    e5_without_a_route_there_are_no_callbacks,
    e5_without_an_owner_there_are_no_callbacks,
    e5_an_owner_takes_the_flow_up,
    e5_a_flow_refused_where_it_came_in_is_taken_up_toward_its_source,
    e5_what_igmp_refused_goes_where_a_protocol_takes_the_arrival_interface,
    e5_a_route_takes_the_flow_up,
    e6_a_negative_entry_stops_further_callbacks,
    e6_a_membership_turns_it_positive,
    e7_wrong_interface_goes_to_the_arrival_owner,
    e7_wrong_interface_comes_at_most_once_in_three_seconds,
    e7_headers_come_with_their_options,
    e7_nobody_is_told_where_nobody_owns_the_arrival,
);
crate::scenarios!(
    in one process:
    e5_what_igmp_refused_where_it_came_in_stays_where_its_iif_is_taken,
);

const FLOW: SourceGroup = sg(S1, G1);

/// Given: a negative entry for (S1,G1) from IF1.
fn negative(on: On, change: impl FnOnce(&mut World)) -> Stage {
    let mut s = Stage::new(on, change);
    s.one_each();
    let _ = s.packet(FLOW, IF1);
    s
}

pub fn e4_first_oif_of_another_joins_the_iif_owner(on: On) {
    let mut s = negative(on, |_| {});
    s.forward(B, FLOW, IF2).ok_calls(&[(A, flow_join(FLOW))]);
    s.join(C, sg(S1, G1), IF3).ok_calls(&[(A, join(FLOW))]);
}

pub fn e4_created_with_a_foreign_oif_joins_the_iif_owner(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, FLOW, IF2).ok();
    s.packet(FLOW, IF1).ok_calls(&[
        (A, rpf(FLOW, IF1)),
        (B, creation(FLOW, IF1, &[IF2])),
        (A, flow_join(FLOW)),
    ]);
}

/// Decision 9: the alert names the iif.
pub fn e4_created_without_oifs_prunes_the_iif_owner(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[A].script.prune_timeout = Some(120));
    s.one_each();
    s.packet(FLOW, IF1).sent(&[]).ok_calls(&[(A, rpf(FLOW, IF1)), (A, flow_prune(FLOW, IF1))]);
    let m = s.mfe(FLOW);
    assert_eq!((m.lifetime, m.expiry, m.oifs), (120, 120, vec![]));
}

pub fn e4_created_with_only_own_oifs_alerts_nobody(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(A, IF4_HOP).ok();
    s.join(A, any(G1), IF4_HOP).ok();
    s.packet(FLOW, IF1)
        .sent(&[IF4_HOP])
        .ok_calls(&[(A, rpf(FLOW, IF1)), (A, creation(FLOW, IF1, &[IF4_HOP]))]);
}

pub fn e4_last_oif_gone_prunes_and_sets_the_lifetime(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[A].script.prune_timeout = Some(30));
    s.one_each();
    s.forward(B, FLOW, IF2).ok();
    s.join(C, any(G2), IF3).ok();
    let _ = s.packet(sg(S1, G2), IF2); // not from the iif: nothing is carried
    s.advance(100).ok();
    let done = s.leave(C, any(G2), IF3);
    assert!(done.callbacks().contains(&(A, flow_prune(sg(S1, G2), IF3))));
    let m = s.mfe(sg(S1, G2));
    assert_eq!((m.lifetime, m.expiry, m.up), (30, 30, 100));
    s.advance(29).ok();
    assert!(s.find(sg(S1, G2)).is_some());
    s.advance(1).ok_calls(&[]);
    assert_eq!(s.find(sg(S1, G2)), None);
}

pub fn e4_timeout_zero_is_900_and_the_most_is_a_day(on: On) {
    for (written, lifetime) in [(0, 900), (1, 1), (86_400, 86_400), (86_401, 86_400)] {
        let s = negative(on, |w| w.profiles[A].script.prune_timeout = Some(written));
        assert_eq!({ s }.mfe(FLOW).lifetime, lifetime, "for {written}");
    }
}

pub fn e4_what_the_owner_does_itself_alerts_nobody(on: On) {
    let mut s = negative(on, |w| w.profiles[A].script.prune_timeout = Some(77));
    s.take(A, IF4_HOP).ok();
    s.forward(A, FLOW, IF4_HOP).ok_calls(&[]);
    assert_eq!(s.mfe(FLOW).lifetime, 900, "decision 12");
    s.advance(10).ok();
    s.stop_forward(A, FLOW, IF4_HOP).ok_calls(&[]);
    let m = s.mfe(FLOW);
    assert_eq!((m.lifetime, m.expiry), (900, 890), "decision 12");
}

pub fn e4_a_list_that_stays_non_empty_alerts_nobody(on: On) {
    let mut s = negative(on, |_| {});
    s.forward(B, FLOW, IF2).ok();
    s.forward(C, FLOW, IF3).ok_calls(&[]);
    s.stop_forward(B, FLOW, IF2).ok_calls(&[]);
    s.stop_forward(C, FLOW, IF3).ok_calls(&[(A, flow_prune(FLOW, IF3))]);
}

pub fn e4_member_alerts_come_before_flow_alerts(on: On) {
    let mut s = negative(on, |_| {});
    let j = join(any(G1));
    s.join(B, any(G1), IF2).ok_calls(&[
        (A, j.clone()),
        (A, flow_join(FLOW)),
        (C, j.clone()),
        (IGMP, j),
    ]);
    let p = prune(any(G1), IF2);
    s.leave(B, any(G1), IF2).ok_calls(&[
        (A, p.clone()),
        (A, flow_prune(FLOW, IF2)),
        (C, p.clone()),
        (IGMP, p),
    ]);
}

/// Decision 14: the iif is the arrival interface.
pub fn e5_without_a_route_there_are_no_callbacks(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.route(NET1, None).ok();
    s.join(B, any(G1), IF2).ok();
    s.packet(FLOW, IF3).sent(&[]).ok_calls(&[]);
    let m = s.mfe(FLOW);
    assert_eq!((m.iif, m.iif_protocol, m.lifetime, &m.oifs[..]), (IF3, IDS[C], 60, &[][..]));
    s.packet(FLOW, IF1).sent(&[]).ok_calls(&[]);
    s.join(C, any(G1), IF3).ok_calls(&[(B, join(any(G1)))]);
    assert_eq!(s.oifs(FLOW), []);
    s.advance(59).ok();
    assert!(s.find(FLOW).is_some());
}

/// Decision 14: the iif is the route's interface.
pub fn e5_without_an_owner_there_are_no_callbacks(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.route(NET1, IF5).ok();
    s.join(B, any(G1), IF2).ok();
    s.packet(FLOW, IF5).sent(&[]).ok_calls(&[]);
    let m = s.mfe(FLOW);
    assert_eq!((m.iif.index, m.iif_protocol, m.lifetime), (5, 0, 60));
    assert_eq!((m.upstream, m.route_network), (upstream_of(IF5), NET1));
    s.packet(FLOW, IF2).sent(&[]).ok_calls(&[]);
    s.advance(30).ok();
    assert_eq!(s.mfe(FLOW).expiry, 30);
    s.forward(B, FLOW, IF2).ok_calls(&[]);
    assert_eq!(s.oifs(FLOW), []);
}

pub fn e5_an_owner_takes_the_flow_up(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.route(NET1, IF5).ok();
    s.join(B, any(G1), IF2).ok();
    s.packet(FLOW, IF5).ok_calls(&[]);
    s.take(C, IF5).ok_calls(&[
        (C, rpf_anew(FLOW, IF5)),
        (B, creation(FLOW, IF5, &[IF2])),
        (C, flow_join(FLOW)),
    ]);
    let m = s.mfe(FLOW);
    assert_eq!((m.iif_protocol, m.lifetime), (IDS[C], 900));
    s.packet(FLOW, IF5).sent(&[IF2]).ok_calls(&[]);
}

/// The owner of the arrival interface refuses it. That says nothing about whoever takes the interface toward
/// the source.
pub fn e5_a_flow_refused_where_it_came_in_is_taken_up_toward_its_source(on: On) {
    let mut s = Stage::new(on, |world| {
        world.profiles[A].routeless = true;
        world.profiles[A].script.rpf_iif = Some(IfKey::new(0, Ipv4Addr::UNSPECIFIED));
    });
    s.one_each();
    s.route(NET1, IF5).ok();
    s.packet(FLOW, IF1).ok_calls(&[(A, rpf_at_arrival(FLOW, IF1))]);
    s.take(C, IF5).ok_calls(&[(C, rpf_anew(FLOW, IF5)), (C, flow_prune(FLOW, IF5))]);
}

/// Given: a flow that IGMP refused where it came in. Nobody owns the interface toward its source. A has a
/// loop.
fn refused_by_igmp_at_if5(on: On) -> Stage {
    let mut s = Stage::new(on, |world| {
        world.profiles[A].dispatched = true;
        world.profiles[IGMP].routeless = true;
        world.profiles[IGMP].script.rpf_iif = Some(REFUSED);
    });
    s.route(NET1, IF4_HOP).ok();
    s.take(IGMP, IF5).ok();
    s.packet(FLOW, IF5).ok_calls(&[(IGMP, rpf_at_arrival(FLOW, IF5))]);
    s
}

/// Decision 37: the client that refused it has gone from there.
pub fn e5_what_igmp_refused_goes_where_a_protocol_takes_the_arrival_interface(on: On) {
    let mut s = refused_by_igmp_at_if5(on);
    s.take(C, IF5).ok();
    assert_eq!(s.find(FLOW), None);
}

/// Decision 37: IGMP was asked as the owner of the arrival interface. It has said nothing about the
/// interface toward the source, which a protocol takes over it. The client that is asked
/// meanwhile has a loop (rule H4), so the entry waits.
pub fn e5_what_igmp_refused_where_it_came_in_stays_where_its_iif_is_taken(on: On) {
    let mut s = refused_by_igmp_at_if5(on);
    // The route means this interface of the same index now (decision 31), and A is asked.
    s.take(A, IF4).ok_calls(&[]);
    s.take(IGMP, IF4_HOP).ok_calls(&[]);
    let (off, again) = (Callback::Disable(IF4_HOP), Callback::Enable(IF4_HOP));
    s.take(C, IF4_HOP).ok_calls(&[(IGMP, off), (IGMP, again)]);
    s.comes_from(FLOW, IF4_HOP);
    assert_eq!(s.mfe(FLOW).lifetime, 60);
    // What A answers is out of date, and the new owner is asked.
    let of_a = s.dispatch(A).of_kind(Kind::Rpf);
    assert_eq!(of_a.iter().map(|(client, _)| *client).collect::<Vec<_>>(), [A, C]);
    assert_eq!(of_a[1].1, rpf_anew(FLOW, IF4_HOP));
    assert_eq!(s.mfe(FLOW).lifetime, 900);
}

pub fn e5_a_route_takes_the_flow_up(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.route(NET1, None).ok();
    s.packet(FLOW, IF1).ok_calls(&[]);
    s.route(NET2, IF3).ok_calls(&[]);
    s.route(NET1, IF1).ok_calls(&[(A, rpf_anew(FLOW, IF1)), (A, flow_prune(FLOW, IF1))]);
    assert_eq!(s.mfe(FLOW).route_network, NET1);
}

pub fn e6_a_negative_entry_stops_further_callbacks(on: On) {
    let mut s = negative(on, |_| {});
    for _ in 0..3 {
        s.packet(FLOW, IF1).sent(&[]).ok_calls(&[]);
    }
    assert_eq!(s.mfe(FLOW).packets, 4);
}

pub fn e6_a_membership_turns_it_positive(on: On) {
    let mut s = negative(on, |w| w.profiles[A].script.prune_timeout = Some(50));
    s.advance(20).ok();
    let done = s.join(B, any(G1), IF2);
    assert_eq!(done.of_kind(Kind::Creation), []);
    assert!(done.callbacks().contains(&(A, flow_join(FLOW))));
    let m = s.mfe(FLOW);
    assert_eq!((m.lifetime, m.expiry, m.up), (900, 900, 20), "decision 12");
    s.packet(FLOW, IF1).sent(&[IF2]).ok_calls(&[]);
}

pub fn e7_wrong_interface_goes_to_the_arrival_owner(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    s.packet(FLOW, IF3).sent(&[]).ok_calls(&[(C, wrong_if(FLOW, IF3))]);
    let m = s.mfe(FLOW);
    assert_eq!((m.packets, m.octets, m.wrong_if), (1, 100, 1));
    s.advance(3).ok();
    s.packet(FLOW, IF2).sent(&[]).ok_calls(&[(B, wrong_if(FLOW, IF2))]);
}

/// For the entry, whichever interface the packets arrive on.
pub fn e7_wrong_interface_comes_at_most_once_in_three_seconds(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    let _ = s.packet(sg(S1B, G1), IF1);
    s.packet(FLOW, IF3).ok_calls(&[(C, wrong_if(FLOW, IF3))]);
    s.packet(FLOW, IF3).ok_calls(&[]);
    s.packet(FLOW, IF2).ok_calls(&[]);
    s.packet(sg(S1B, G1), IF3).ok_calls(&[(C, wrong_if(sg(S1B, G1), IF3))]);
    s.advance(2).ok();
    s.packet(FLOW, IF3).ok_calls(&[]);
    s.advance(1).ok();
    s.packet(FLOW, IF3).ok_calls(&[(C, wrong_if(FLOW, IF3))]);
    assert_eq!(s.mfe(FLOW).wrong_if, 5);
}

pub fn e7_nobody_is_told_where_nobody_owns_the_arrival(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    s.packet(FLOW, IF4_HOP).sent(&[]).ok_calls(&[]);
    assert_eq!(s.mfe(FLOW).wrong_if, 1);
}

/// To the RPF callback (rule E2) as well.
pub fn e7_headers_come_with_their_options(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    for options in [1, 10] {
        let flow = sg(Ipv4Addr::new(10, 0, 1, options), G1);
        let packet = Packet { flow, ttl: 64, options, octets: 100 };
        let whole = Header { header: 20 + 4 * usize::from(options), ..header(flow) };
        let done = s.run(Op::Packet(IF1, packet));
        let Callback::Rpf { header, .. } = done.of_kind(Kind::Rpf)[0].1 else { unreachable!() };
        assert_eq!(header, whole);
        let _ = done.sent(&[IF2]);
        let wanted = Callback::WrongIf { flow, on: IF3, header: whole };
        s.run(Op::Packet(IF3, packet)).ok_calls(&[(C, wanted)]);
    }
}
