//! Clients whose callbacks run inside their own dispatch alone (rules H), beside other threads.

use crate::error::Error;
use crate::forwarder::Upcalls;
use crate::shell::schedules::{
    CallbackKind, FLOW, G1, G2, IGMP, SOURCE, Stage, explore, group, interface, join_all,
};
use crate::sys::wait_readable;
use crate::types::{ClientId, SourceGroup};
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether the client's descriptor is readable.
fn is_waiting(stage: Stage, id: ClientId) -> bool {
    let event = stage.mgm.client_event(id).unwrap();
    wait_readable([&event], Some(0)) == Ok([true])
}

/// Two threads alert a loop, which turns meanwhile. They never call it, and it hears how things are in
/// the end; its descriptor tells whether it has to turn again.
#[test]
fn h1_h2_a_loop_turns_while_others_alert_it() {
    explore(|| {
        let stage = Stage::new();
        let ((_, a_id), (_, c_id)) = (stage.client(1, &[1]), stage.client(3, &[3]));
        let (b, b_id) = stage.looping(2, &[]);
        let turning = Arc::new(AtomicBool::new(false));
        let turns = turning.clone();
        b.on_callback(move |kind, of| {
            assert!(turns.load(SeqCst), "H1: {kind:?} {of} outside its dispatch");
        });
        let changes = [(a_id, G1, 1), (c_id, G2, 3)].map(|(id, of, index)| {
            thread::spawn(move || {
                stage.add(id, of, index).unwrap();
                stage.delete(id, of, index).unwrap();
                stage.add(id, of, index).unwrap();
            })
        });
        let turn = || {
            turning.store(true, SeqCst);
            stage.mgm.dispatch(b_id).unwrap();
            turning.store(false, SeqCst);
        };
        turn();
        turn();
        join_all(changes);
        while is_waiting(stage, b_id) {
            turn();
        }
        assert!(b.believes(G1) && b.believes(G2), "H2: something waits, and nothing says so");
        let seen = b.seen().len();
        turn();
        assert_eq!(b.seen().len(), seen, "H2: something waited, and nothing said so");
        stage.mgm.stop().unwrap();
    });
}

/// No call waits for a loop that does not turn, and its alerts keep their order (rules H4, H8).
#[test]
fn h4_nobody_waits_for_a_loop_that_does_not_turn() {
    explore(|| {
        let stage = Stage::new();
        let ((_, a_id), (_, c_id)) = (stage.client(1, &[1]), stage.client(3, &[3]));
        let ((b, b_id), (d, _)) = (stage.looping(2, &[]), stage.client(4, &[]));
        let changes = [(a_id, [G1, group(3)], 1), (c_id, [G2, group(4)], 3)];
        let changes = changes.map(|(id, groups, index)| {
            let d = d.clone();
            thread::spawn(move || {
                for of in groups {
                    stage.add(id, of, index).unwrap();
                    assert!(d.believes(of), "A7: another client's alert");
                }
            })
        });
        join_all(changes);
        assert_eq!(b.seen(), [], "H1: nobody has dispatched");
        stage.mgm.dispatch(b_id).unwrap();
        let place =
            |of| b.seen().iter().position(|seen| *seen == (CallbackKind::Join, of)).unwrap();
        assert!(place(G1) < place(group(3)) && place(G2) < place(group(4)), "A7: out of order");
        stage.mgm.stop().unwrap();
    });
}

/// IGMP has a loop, and two clients take and release its interface: each change is done at once.
#[test]
fn h4_changes_of_owners_over_a_loop() {
    explore(|| {
        let stage = Stage::new();
        let (igmp, igmp_id) = stage.looping(IGMP, &[1]);
        let ((_, a_id), (_, b_id)) = (stage.client(1, &[]), stage.client(2, &[]));
        let threads = [a_id, b_id].map(|id| {
            thread::spawn(move || match stage.mgm.take_interface(id, interface(1)) {
                Ok(()) => stage.mgm.release_interface(id, interface(1)).unwrap(),
                Err(Error::AlreadyOwned(..)) => {}
                Err(error) => panic!("{error}"),
            })
        });
        stage.mgm.dispatch(igmp_id).unwrap();
        join_all(threads);
        stage.mgm.dispatch(igmp_id).unwrap();
        let seen: Vec<CallbackKind> = igmp.seen().into_iter().map(|(kind, _)| kind).collect();
        assert!(
            !seen.is_empty()
                && seen
                    .chunks(2)
                    .all(|pair| pair == [CallbackKind::DisableIgmp, CallbackKind::EnableIgmp])
        );
        stage.add(igmp_id, G1, 1).unwrap();
        stage.mgm.stop().unwrap();
    });
}

/// A flow waits for the turn of the loop that it asks, whoever brings its packets.
#[test]
fn h5_a_flow_waits_for_the_turn() {
    explore(|| {
        let stage = Stage::new();
        let ((a, a_id), (_, b_id)) = (stage.looping(1, &[1]), stage.client(2, &[2]));
        stage.add(b_id, G1, 2).unwrap();
        let packets = [0, 1].map(|_| thread::spawn(move || stage.packet(FLOW, 1).unwrap()));
        stage.mgm.dispatch(a_id).unwrap();
        join_all(packets);
        stage.mgm.dispatch(a_id).unwrap();
        assert_eq!(a.count(CallbackKind::Rpf, FLOW), 1);
        assert_eq!(stage.oifs(FLOW), Some(vec![2]));
        assert_eq!(stage.sent.load(SeqCst), 2, "both packets");
        stage.mgm.stop().unwrap();
    });
}

/// It deregisters on its own thread, or the library is stopped, while others alert it.
#[test]
fn h6_a_loop_goes_while_others_alert_it() {
    explore(|| {
        let stage = Stage::new();
        let (_, a_id) = stage.client(1, &[1]);
        let (b, b_id) = stage.looping(2, &[]);
        let changes = thread::spawn(move || {
            stage.add(a_id, G1, 1).unwrap();
            stage.delete(a_id, G1, 1).unwrap();
        });
        stage.mgm.dispatch(b_id).unwrap();
        stage.mgm.deregister(b_id).unwrap();
        b.unload();
        assert!(matches!(stage.mgm.dispatch(b_id), Err(Error::NotAClient(_))));
        // Its slot may be another's at once.
        let (e, e_id) = stage.looping(5, &[]);
        join_all([changes]);
        stage.mgm.dispatch(e_id).unwrap();
        // It may hear that a membership from before its time has gone.
        assert!(e.count(CallbackKind::Join, G1) <= 1 && e.count(CallbackKind::Prune, G1) <= 1);
        stage.mgm.stop().unwrap();
    });
}

/// Two threads dispatch one client: one calls it, the other is told that somebody does, or finds
/// nothing left.
#[test]
fn h7_two_dispatches_at_once() {
    explore(|| {
        let stage = Stage::new();
        let (_, a_id) = stage.client(1, &[1]);
        let (b, b_id) = stage.looping(2, &[]);
        b.on_callback(move |_, _| assert_eq!(stage.mgm.dispatch(b_id), Err(Error::Dispatching)));
        stage.add(a_id, G1, 1).unwrap();
        let both = [0, 1].map(|_| {
            thread::spawn(move || {
                let dispatched = stage.mgm.dispatch(b_id);
                assert!(matches!(dispatched, Ok(()) | Err(Error::Dispatching)), "{dispatched:?}");
            })
        });
        join_all(both);
        assert_eq!(b.count(CallbackKind::Join, G1), 1);
        stage.mgm.stop().unwrap();
    });
}

/// The plane tells of flows no faster than a loop answers about them, and hears when it has (decision 94).
#[test]
fn p4_flows_wait_until_a_loop_has_answered() {
    explore(|| {
        let stage = Stage::new();
        let (a, a_id) = stage.looping(1, &[1]);
        let over = Arc::new(AtomicBool::new(false));
        let (asked, told) = (a.clone(), over.clone());
        let rpf = |(kind, _): &(CallbackKind, SourceGroup)| *kind == CallbackKind::Rpf;
        let tells = thread::spawn(move || {
            for last in 1..8 {
                let flow = SourceGroup::new(SOURCE, group(last).group());
                stage.mgm.no_cache(flow, interface(1), &[0x45; 20]);
                stage.mgm.keep_pace();
                // Two wait in the queue, and one has been taken out of it.
                let asked = asked.seen().into_iter().filter(rpf).count();
                assert!(asked + 3 >= last.into(), "{last} flows, and asked about {asked}");
            }
            told.store(true, SeqCst);
        });
        while !over.load(SeqCst) {
            stage.mgm.dispatch(a_id).unwrap();
            thread::yield_now();
        }
        tells.join().unwrap();
        stage.mgm.dispatch(a_id).unwrap();
        assert_eq!(a.seen().into_iter().filter(rpf).count(), 7);
        stage.mgm.stop().unwrap();
    });
}
