//! Rules E1 to E3: what is asked about a new flow, and what the answers do.

use crate::model::net::*;
use crate::model::words::*;
use crate::stage::*;
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;

crate::scenarios!(
    e1_a_known_flow_asks_nothing,
    e1_a_membership_during_the_questions_is_in_from_the_start,
    e1_packets_that_must_not_be_forwarded_make_no_entry,
    e2_rpf_goes_to_the_owner_toward_the_source,
    e2_rpf_may_name_another_interface_of_its_own,
    e2_rpf_naming_a_foreign_interface_is_ignored,
    e2_rpf_may_change_the_upstream_neighbour,
    e2_without_rpf_callback_the_route_stands,
    e2_interface_0_refuses_the_flow,
    e2_a_refused_flow_is_taken_up_when_its_route_moves,
    e2_a_refused_flow_is_taken_up_when_its_owner_changes,
    e2_an_entry_can_be_refused_when_it_is_built_anew,
    e2_callbacks_get_the_whole_packet,
    e3_creation_goes_to_each_owner_with_its_own_interfaces,
    e3_creation_tells_whether_igmp_is_there,
    e3_the_iif_owner_is_asked_about_its_other_interfaces,
    e3_a_veto_of_a_foreign_interface_is_ignored,
);
crate::scenarios!(
    in one process:
    e1_a_new_flow_asks_in_order_and_forwards_its_first_packet,
    e1_a_packet_after_an_entry_that_went_while_it_was_built_anew_is_forwarded,
);

const FLOW: SourceGroup = sg(S1, G1);

pub fn e1_a_new_flow_asks_in_order_and_forwards_its_first_packet(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    let done = s.packet(FLOW, IF1);
    let kinds: Vec<Kind> = done.callbacks().iter().map(|(_, c)| c.kind()).collect();
    assert_eq!(kinds, [Kind::Rpf, Kind::Creation, Kind::Creation, Kind::Join]);
    let last_creation =
        done.0.events.iter().rposition(|e| matches!(e, Event::Begin(_, Callback::Creation { .. })));
    assert!(done.0.sent.iter().all(|sent| Some(sent.after) > last_creation), "{:?}", done.0);
    assert!(done.0.sent.iter().all(|sent| sent.ttl == 63));
    done.sent(&[IF2, IF3]).ok_calls(&[
        (A, rpf(FLOW, IF1)),
        (B, creation(FLOW, IF1, &[IF2])),
        (C, creation(FLOW, IF1, &[IF3])),
        (A, flow_join(FLOW)),
    ]);
}

pub fn e1_a_known_flow_asks_nothing(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let _ = s.packet(FLOW, IF1);
    s.packet(FLOW, IF1).sent(&[IF2]).ok_calls(&[]);
    let m = s.mfe(FLOW);
    assert_eq!((m.packets, m.octets, m.wrong_if, sent(&m)), (2, 200, 0, vec![(IF2, 2)]));
}

/// Decision 10: C joins while B is asked; IF3 is in, C is not asked.
pub fn e1_a_membership_during_the_questions_is_in_from_the_start(on: On) {
    let add = Op::Add(Handle::Nth(C), any(G1), IF3, JOIN);
    let mut s = Stage::new(on, |w| w.profiles[B].script.nested.push((Kind::Creation, add)));
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let done = s.packet(FLOW, IF1);
    assert_eq!(done.of_kind(Kind::Creation), [(B, creation(FLOW, IF1, &[IF2]))]);
    let _ = done.sent(&[IF2, IF3]);
    assert_eq!(s.oifs(FLOW), [IF2, IF3]);
}

pub fn e1_packets_that_must_not_be_forwarded_make_no_entry(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    for ttl in [0, 1] {
        let packet = Op::Packet(IF1, Packet { flow: FLOW, ttl, options: 0, octets: 60 });
        s.run(packet).sent(&[]).ok_calls(&[]);
    }
    s.packet(sg(S1, S2), IF1).sent(&[]).ok_calls(&[]);
    assert_eq!(s.look().mfes, []);
    // A TTL of 2 goes one hop further.
    let done = s.run(Op::Packet(IF1, Packet { flow: FLOW, ttl: 2, options: 0, octets: 60 }));
    assert!(done.0.sent.iter().all(|sent| sent.ttl == 1));
    let _ = done.sent(&[IF2]);
}

/// The route moves to B's IF2; while B is asked, the old iif goes down, and while C is asked, the
/// next packet comes.
pub fn e1_a_packet_after_an_entry_that_went_while_it_was_built_anew_is_forwarded(on: On) {
    let packet = Packet { flow: FLOW, ttl: 64, options: 1, octets: 100 };
    let mut s = Stage::new(on, |w| {
        w.profiles[B].script.nested = vec![(Kind::Rpf, Op::Down(IF1))];
        let calls = [Op::ReadMfe(FLOW), Op::Packet(IF2, packet)];
        w.profiles[C].script.nested = calls.map(|call| (Kind::Creation, call)).to_vec();
    });
    s.one_each();
    s.join(C, any(G1), IF3).ok();
    s.packet(FLOW, IF1).sent(&[IF3]).ok();
    let done = s.route(NET1, IF2).sent(&[IF3]);
    let its_own = Callback::Rpf {
        flow: FLOW,
        iif: IF2,
        upstream: upstream_of(IF2),
        header: Header { header: 24, ..header(FLOW) },
        route: Some((NET1, 24)),
    };
    let asked = creation(FLOW, IF2, &[IF3]);
    done.ok_calls(&[
        (B, rpf_anew(FLOW, IF2)),
        (C, asked.clone()),
        (B, its_own),
        (C, asked),
        (B, flow_join(FLOW)),
    ]);
    assert_eq!(sent(&s.mfe(FLOW)), [(IF3, 1)]);
    s.packet(FLOW, IF2).sent(&[IF3]).ok_calls(&[]);
}

/// The packet arrives on IF3, the route leads to IF1: its owner is asked, and the packet fails
/// the check of the interface (rule E7).
pub fn e2_rpf_goes_to_the_owner_toward_the_source(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    let done = s.packet(FLOW, IF3);
    assert_eq!(done.of_kind(Kind::Rpf), [(A, rpf(FLOW, IF1))]);
    assert_eq!(done.of_kind(Kind::WrongIf), [(C, wrong_if(FLOW, IF3))]);
    done.sent(&[]).ok();
    let m = s.mfe(FLOW);
    assert_eq!((m.iif, m.upstream, m.packets, m.wrong_if), (IF1, upstream_of(IF1), 0, 1));
}

pub fn e2_rpf_may_name_another_interface_of_its_own(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[A].script.rpf_iif = Some(IF4_HOP));
    s.one_each();
    s.take(A, IF4_HOP).ok();
    s.join(B, any(G1), IF2).ok();
    let done = s.packet(FLOW, IF4_HOP).sent(&[IF2]);
    assert_eq!(done.of_kind(Kind::Creation), [(B, creation(FLOW, IF4_HOP, &[IF2]))]);
    s.comes_from(FLOW, IF4_HOP);
}

pub fn e2_rpf_naming_a_foreign_interface_is_ignored(on: On) {
    for foreign in [IF2, IF4_HOP] {
        let mut s = Stage::new(on, |w| {
            w.profiles[A].script.rpf_iif = Some(foreign);
            w.profiles[A].script.rpf_upstream = Some(S2);
        });
        s.one_each();
        let _ = s.packet(FLOW, IF1);
        let m = s.mfe(FLOW);
        assert_eq!((m.iif, m.upstream), (IF1, S2));
    }
}

pub fn e2_rpf_may_change_the_upstream_neighbour(on: On) {
    let neighbour = Ipv4Addr::new(10, 0, 1, 77);
    let mut s = Stage::new(on, |w| w.profiles[A].script.rpf_upstream = Some(neighbour));
    s.one_each();
    let _ = s.packet(FLOW, IF1);
    let m = s.mfe(FLOW);
    assert_eq!((m.upstream, m.route_network, m.route_len), (neighbour, NET1, 24));
}

/// Decision 11.
pub fn e2_without_rpf_callback_the_route_stands(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[A].script.nulls = vec![Kind::Rpf]);
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.packet(FLOW, IF1)
        .sent(&[IF2])
        .ok_calls(&[(B, creation(FLOW, IF1, &[IF2])), (A, flow_join(FLOW))]);
    assert_eq!(s.mfe(FLOW).upstream, upstream_of(IF1));
}

/// Given: B has a member on IF2, and A refuses whatever comes from IF1.
fn refused(on: On, change: impl FnOnce(&mut World)) -> Stage {
    let mut s = Stage::new(on, |w| {
        w.profiles[A].script.rpf_iif = Some(REFUSED);
        change(w);
    });
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.packet(FLOW, IF1).sent(&[]).ok_calls(&[(A, rpf(FLOW, IF1))]);
    s
}

/// A negative entry for 60 s, which no membership turns positive, nor news that are none.
pub fn e2_interface_0_refuses_the_flow(on: On) {
    let mut s = refused(on, |w| w.profiles[A].script.rpf_upstream = Some(S2));
    let m = s.mfe(FLOW);
    assert_eq!((m.iif, m.lifetime, m.oifs), (IF1, 60, vec![]));
    assert_eq!((m.upstream, m.route_network, m.route_len), (upstream_of(IF1), NET1, 24));
    s.packet(FLOW, IF1).sent(&[]).ok_calls(&[]);
    s.packet(FLOW, IF3).sent(&[]).ok_calls(&[]);
    s.join(C, FLOW, IF3).ok_calls(&[(A, join(FLOW))]);
    s.forward(C, FLOW, IF3).ok_calls(&[]);
    assert_eq!(s.oifs(FLOW), []);
    s.run(Op::RouteChanged { network: NET1, len: 24 }).ok_calls(&[]);
    s.route(NET1, IF1).ok_calls(&[]);
    s.take(C, IF4_HOP).ok_calls(&[]);
    // It is asked about again when it ends, if packets come; one waited for it, one did not.
    s.advance(59).ok_calls(&[]);
    s.advance(1).ok_calls(&[(A, rpf_anew(FLOW, IF1))]);
    assert_eq!(s.mfe(FLOW).expiry, 60);
    s.advance(60).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None);
}

pub fn e2_a_refused_flow_is_taken_up_when_its_route_moves(on: On) {
    let mut s = refused(on, |_| {});
    s.route(NET1, IF3).ok_calls(&[
        (C, rpf_anew(FLOW, IF3)),
        (B, creation(FLOW, IF3, &[IF2])),
        (C, flow_join(FLOW)),
    ]);
    assert_eq!(s.oifs(FLOW), [IF2]);
    // And away: A refuses what C had.
    s.route(NET1, IF1).ok_calls(&[(A, rpf_anew(FLOW, IF1)), (C, flow_prune(FLOW, IF3))]);
    assert_eq!(s.oifs(FLOW), []);
    // Without a route it is one of rule E5.
    s.route(NET1, None).ok_calls(&[]);
    s.route(NET1, IF1).ok_calls(&[(A, rpf_anew(FLOW, IF1))]);
}

pub fn e2_a_refused_flow_is_taken_up_when_its_owner_changes(on: On) {
    let mut s = refused(on, |_| {});
    s.release(A, IF1).ok_calls(&[]);
    assert_eq!(s.find(FLOW), None, "the next packet asks");
    s.packet(FLOW, IF1).ok_calls(&[]);
    s.take(C, IF1).ok_calls(&[
        (C, rpf_anew(FLOW, IF1)),
        (B, creation(FLOW, IF1, &[IF2])),
        (C, flow_join(FLOW)),
    ]);
    // IGMP refused what a protocol takes over.
    let mut s = {
        drop(s);
        let mut s = Stage::new(on, |w| w.profiles[IGMP].script.rpf_iif = Some(REFUSED));
        s.one_each();
        s.route(NET1, IF4).ok();
        s
    };
    s.packet(FLOW, IF4).ok_calls(&[(IGMP, rpf(FLOW, IF4))]);
    s.take(C, IF4).ok();
    assert_eq!(s.find(FLOW), None);
    let done = s.packet(FLOW, IF4);
    assert_eq!(done.of_kind(Kind::Rpf), [(C, rpf(FLOW, IF4))]);
}

/// What A's refusal brings about is its own doing.
pub fn e2_an_entry_can_be_refused_when_it_is_built_anew(on: On) {
    let mut s = refused(on, |w| w.profiles[A].script.nested = vec![]);
    s.route(NET1, IF3).ok();
    s.packet(FLOW, IF3).sent(&[IF2]).ok();
    s.take(A, IF5).ok();
    // C's packets move to A, which refuses: C hears that nobody wants them any more.
    s.route(NET1, IF5).ok_calls(&[(A, rpf_anew(FLOW, IF5)), (C, flow_prune(FLOW, IF3))]);
    assert_eq!((s.mfe(FLOW).iif, s.oifs(FLOW)), (IF5, vec![]));
}

/// RPF and wrong interface: header, options and data, however long.
pub fn e2_callbacks_get_the_whole_packet(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    for (nth, octets) in [20, 61, 64, 65, 1500, 65_535].into_iter().enumerate() {
        let flow = sg(Ipv4Addr::new(10, 0, 1, nth as u8 + 1), G1);
        let packet = Packet { flow, ttl: 64, options: 0, octets };
        let whole = Header { octets: octets.into(), ..header(flow) };
        let done = s.run(Op::Packet(IF1, packet));
        let Callback::Rpf { header, .. } = done.of_kind(Kind::Rpf)[0].1 else { unreachable!() };
        assert_eq!(header, whole);
        let wanted = Callback::WrongIf { flow, on: IF3, header: whole };
        s.run(Op::Packet(IF3, packet)).ok_calls(&[(C, wanted)]);
    }
}

pub fn e3_creation_goes_to_each_owner_with_its_own_interfaces(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(B, IF4_HOP).ok();
    s.join(B, any(G1), IF2).ok();
    s.join(B, FLOW, IF4_HOP).ok();
    s.join(IGMP, ALL, IF4).ok();
    s.join(C, any(G2), IF3).ok();
    let done = s.packet(FLOW, IF1);
    let alone = Callback::Creation { flow: FLOW, iif: IF1, out: vec![(IF4, true, true)] };
    let mut asked = done.of_kind(Kind::Creation);
    asked.sort_by_key(|(client, _)| *client);
    assert_eq!(asked, [(B, creation(FLOW, IF1, &[IF2, IF4_HOP])), (IGMP, alone)]);
}

pub fn e3_creation_tells_whether_igmp_is_there(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(IGMP, IF2).ok();
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    let done = s.packet(FLOW, IF1);
    let with_igmp = Callback::Creation { flow: FLOW, iif: IF1, out: vec![(IF2, true, true)] };
    let mut asked = done.of_kind(Kind::Creation);
    asked.sort_by_key(|(client, _)| *client);
    assert_eq!(asked, [(B, with_igmp), (C, creation(FLOW, IF1, &[IF3]))]);
}

pub fn e3_the_iif_owner_is_asked_about_its_other_interfaces(on: On) {
    let mut s = Stage::new(on, |_| {});
    s.one_each();
    s.take(A, IF4_HOP).ok();
    s.join(A, any(G1), IF4_HOP).ok();
    s.join(A, any(G1), IF1).ok();
    let done = s.packet(FLOW, IF1);
    assert_eq!(done.of_kind(Kind::Creation), [(A, creation(FLOW, IF1, &[IF4_HOP]))]);
}

pub fn e3_a_veto_of_a_foreign_interface_is_ignored(on: On) {
    let mut s = Stage::new(on, |w| w.profiles[B].script.veto = vec![IF2, IF3]);
    s.one_each();
    s.join(B, any(G1), IF2).ok();
    s.join(C, any(G1), IF3).ok();
    s.packet(FLOW, IF1).sent(&[IF3]).ok();
    assert_eq!(s.oifs(FLOW), [IF3]);
}
