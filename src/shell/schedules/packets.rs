//! Rule A7: what a packet causes has come about when MgmHostReceive returns, whichever thread asks
//! about its flow, makes its entry or passes it on.

#![forbid(unsafe_code)]

use crate::shell::schedules::{
    FLOW, G1, G2, SOURCE, Stage, explore, explore_some, group, interface, join_all,
};
use crate::shell::tally::CallbackKind;
use crate::types::{Route, SourceGroup};
use shuttle::thread;
use std::sync::atomic::Ordering::SeqCst;

/// The routes toward all sources lead to interface 1.
fn stage() -> Stage {
    Stage::with_routes(Some(Box::new(|source, _| {
        let interface = interface(1);
        Some(Route { interface, upstream: source, protocol: 0, network: source, prefix_len: 32 })
    })))
}

const OTHER_FLOW: SourceGroup = SourceGroup::new(SOURCE, group(3).group());

/// A packet comes in where the route does not lead. One other thread alerts the client that is asked about
/// the flow, and may ask it in passing; another one alerts the client that is to be told of the packet, which
/// is told when it comes out of that.
#[test]
fn a7_a_packet_on_the_wrong_interface_has_been_told_of() {
    explore(|| {
        let stage = stage();
        let ((_, a_id), (b, b_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        let alerts = [(b_id, G2, 2), (a_id, G1, 1)]
            .map(|(id, of, index)| thread::spawn(move || stage.add(id, of, index).unwrap()));
        stage.packet(FLOW, 2).unwrap();
        let told = b.count(CallbackKind::WrongInterface, FLOW);
        assert_eq!(told, 1, "A7: the call returned before its alert");
        join_all(alerts);
        stage.mgm.stop().unwrap();
    });
}

/// Two packets of one flow wait for the same answers, one of them on the wrong interface. A third thread
/// changes another entry, and may find theirs to be programmed too.
#[test]
fn a7_packets_that_wait_for_one_answer_are_passed_on_before_their_calls_return() {
    explore_some(200, || {
        let stage = stage();
        let ((_, _), (b, _), (_, c_id)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[3, 4]));
        stage.add(c_id, G1, 3).unwrap();
        stage.packet(OTHER_FLOW, 1).unwrap();
        let changes = thread::spawn(move || stage.add(c_id, group(3), 4).unwrap());
        let forwarded = thread::spawn(move || {
            stage.packet(FLOW, 1).unwrap();
            assert_eq!(
                stage.sent.load(SeqCst),
                1,
                "A7: the call returned before its copy was sent"
            );
        });
        stage.packet(FLOW, 2).unwrap();
        let told = b.count(CallbackKind::WrongInterface, FLOW);
        assert_eq!(told, 1, "A7: the call returned before its alert");
        join_all([changes, forwarded]);
        stage.mgm.stop().unwrap();
    });
}
