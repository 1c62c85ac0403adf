//! Which client hears what and when, where several threads are at work (rules A7, A8).

use crate::shell::schedules::{
    CallbackKind, FLOW, G1, G2, Stage, explore, group, interface, join_all,
};
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// A client registers while another one goes, and may get its slot. It gets only its own alerts.
#[test]
fn a7_a_new_client_in_the_place_of_one_that_goes() {
    explore(|| {
        let stage = Stage::new();
        let (_, a_id) = stage.client(1, &[1]);
        let (_, b_id) = stage.client(2, &[]);
        stage.add(a_id, G1, 1).unwrap();
        stage.add(a_id, G2, 1).unwrap();
        let goes = thread::spawn(move || stage.mgm.deregister(b_id).unwrap());
        let (e, _) = stage.client(5, &[]);
        stage.mgm.release_interface(a_id, interface(1)).unwrap();
        for of in [G1, G2] {
            assert_eq!(
                e.count(CallbackKind::Prune, of),
                1,
                "A7: lost, or not come when the call returned"
            );
        }
        join_all([goes]);
        stage.mgm.stop().unwrap();
    });
}

/// A client goes, inside a callback, before it is asked about a new flow. What becomes of the flow
/// without its answer belongs to the packet's job.
#[test]
fn a7_the_last_answer_is_given_for_one_that_goes() {
    explore(|| {
        let stage = Stage::new();
        let ((a, a_id), (c, c_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        let (b, b_id) = stage.client(3, &[3]);
        stage.add(b_id, G1, 3).unwrap();
        stage.add(c_id, G1, 2).unwrap();
        // So that B alone hears of A's membership.
        stage.add(b_id, G2, 3).unwrap();
        b.on_callback(move |kind, of| {
            if (kind, of) == (CallbackKind::Join, G2) {
                while c.count(CallbackKind::Creation, FLOW) == 0 {
                    thread::yield_now();
                }
                stage.mgm.release_interface(b_id, interface(3)).unwrap();
                stage.mgm.deregister(b_id).unwrap();
            }
        });
        let tells = thread::spawn(move || stage.add(a_id, G2, 1).unwrap());
        stage.packet(FLOW, 1).unwrap();
        assert_eq!(a.count(CallbackKind::Join, FLOW), 1, "A7: the call returned before its alert");
        join_all([tells]);
        stage.mgm.stop().unwrap();
    });
}

/// A client is deregistered while its callback runs. A client that registers in its place meanwhile
/// may stay in a callback for as long as it likes.
#[test]
fn a8_deregistering_waits_for_no_other_client() {
    explore(|| {
        let stage = Stage::new();
        let ((_, a_id), (b, b_id)) = (stage.client(1, &[1]), stage.client(2, &[]));
        let gone = Arc::new(AtomicBool::new(false));
        let over = gone.clone();
        let tells = thread::spawn(move || stage.add(a_id, G1, 1).unwrap());
        let comes = thread::spawn(move || {
            let (e, _) = stage.client(5, &[]);
            e.on_callback(move |_, _| {
                while !over.load(SeqCst) {
                    thread::yield_now();
                }
            });
            stage.add(a_id, G2, 1).unwrap();
        });
        stage.mgm.deregister(b_id).unwrap();
        b.unload();
        gone.store(true, SeqCst);
        join_all([tells, comes]);
        stage.mgm.stop().unwrap();
    });
}

/// A client that takes the interface toward a source is asked about the source's flows before the
/// call returns, although another thread may look their routes up.
#[test]
fn a7_a_take_has_asked_the_new_owner_when_it_returns() {
    explore(|| {
        let stage = Stage::new();
        let (_, other) = stage.client(2, &[3]);
        let (a, owner) = stage.client(1, &[]);
        stage.packet(FLOW, 1).unwrap();
        let meanwhile = thread::spawn(move || stage.add(other, G2, 3).unwrap());
        stage.mgm.take_interface(owner, interface(1)).unwrap();
        assert_eq!(a.count(CallbackKind::Rpf, FLOW), 1, "A7: the call returned before its alert");
        join_all([meanwhile]);
        stage.mgm.stop().unwrap();
    });
}

/// A client is found to hang while two calls alert it, and comes out: both return, and it hears
/// everything, in order.
#[test]
fn a7_a_client_that_hangs_for_a_while() {
    explore(|| {
        let stage = Stage::new();
        let ((_, a_id), (_, c_id)) = (stage.client(1, &[1]), stage.client(3, &[3]));
        let ((b, b_id), (d, _)) = (stage.client(2, &[]), stage.client(4, &[]));
        let changes = [(a_id, G1, 1), (c_id, G2, 3)].map(|(id, of, index)| {
            let d = d.clone();
            thread::spawn(move || {
                stage.add(id, of, index).unwrap();
                assert!(d.believes(of), "A7: another client's alert");
                stage.delete(id, of, index).unwrap();
                assert!(!d.believes(of), "A7: another client's alert");
            })
        });
        stage.mgm.with(|running| {
            if running.delivery.runner(b_id.slot).is_some() {
                running.delivery.set_hanging(b_id.slot, &running.core.outbox, true);
            }
        });
        stage.mgm.wake_all();
        join_all(changes);
        // Whoever ran it has left it to others only if it was ready.
        stage.add(a_id, group(7), 1).unwrap();
        assert!(b.believes(group(7)) && !b.believes(G1) && !b.believes(G2));
        stage.mgm.stop().unwrap();
    });
}
