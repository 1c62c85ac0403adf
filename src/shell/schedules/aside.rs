//! A thread that has something long to do leaves alerts behind. Others whose alerts stand behind those
//! do not wait until it comes back: they are woken, and deliver both (decision 50).
//!
//! In each test the long work does not go on before the other call has returned. No wait ends by time
//! here, so a call that waits for the long work is reported as a deadlock.

#![forbid(unsafe_code)]

use crate::log::{Level, Line};
use crate::shell::deliver::CROWD;
use crate::shell::schedules::{
    FLOW, G1, G2, IGMP, SOURCE, Stage, explore_some, group, interface, join_all,
};
use crate::shell::settings::{LogSink, Settings};
use crate::shell::tally::CallbackKind;
use crate::types::{Route, SourceGroup};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use std::sync::Arc;
// No point at which the scheduler may change threads.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Where a thread waits inside one of the host's functions: the log, once it has programmed some entry,
/// or another.
#[derive(Default)]
struct Gate {
    is_closed: AtomicBool,
    /// Whether a thread has come to it, and whether it is open.
    state: Mutex<(bool, bool)>,
    changes: Condvar,
}

impl Gate {
    fn stage(self: &Arc<Self>, portion: usize) -> Stage {
        let gate = self.clone();
        let log = move |_, line: &Line| {
            if line.as_str().starts_with("entry ") {
                gate.pass();
            }
        };
        Stage::with(|settings: &mut Settings| {
            (settings.portion, settings.log_level) = (portion, Level::Debug);
            settings.log = LogSink::Host(Arc::new(log));
        })
    }

    fn pass(&self) {
        if self.is_closed.load(SeqCst) {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            self.changes.notify_all();
            while !state.1 {
                state = self.changes.wait(state).unwrap();
            }
        }
    }

    fn close(&self) {
        self.is_closed.store(true, SeqCst);
    }

    /// Waits until a thread has come to it.
    fn await_thread(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.0 {
            state = self.changes.wait(state).unwrap();
        }
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changes.notify_all();
    }
}

fn flow(last: u8) -> SourceGroup {
    SourceGroup::new(SOURCE, group(last).group())
}

/// One client adds a membership of everything, of which the others are to hear, and carries it out for
/// long. Meanwhile two others change memberships of groups without flows.
#[test]
fn a7_changes_beside_a_large_one_wait_for_their_own_alerts_alone() {
    explore_some(200, || {
        let gate = Arc::new(Gate::default());
        let stage = gate.stage(1);
        let ((a, _), (_, b_id), (_, c_id)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[3]));
        (1..=2).for_each(|last| stage.packet(flow(last), 1).unwrap());
        gate.close();
        let large = thread::spawn(move || stage.add(b_id, SourceGroup::ALL, 2).unwrap());
        let told = a.clone();
        let second = thread::spawn(move || {
            stage.add(c_id, group(8), 3).unwrap();
            assert!(told.believes(group(8)), "A7: the call returned before its alert");
        });
        for of in [group(7), group(9)] {
            stage.add(c_id, of, 3).unwrap();
            assert!(a.believes(of), "A7: the call returned before its alert");
        }
        second.join().unwrap();
        gate.open();
        join_all([large]);
        assert!(a.believes(SourceGroup::ALL));
        stage.mgm.stop().unwrap();
    });
}

/// The answer of IGMP lets an interface change hands, and its thread, which called it, drops IGMP's
/// memberships. Meanwhile others call IGMP.
#[test]
fn a7_what_an_answer_begins_does_not_hold_the_client_up() {
    explore_some(200, || {
        let gate = Arc::new(Gate::default());
        let stage = gate.stage(1);
        let ((_, _), (igmp, igmp_id)) = (stage.client(1, &[1]), stage.client(IGMP, &[2]));
        let ((_, b_id), (_, c_id)) = (stage.client(2, &[]), stage.client(3, &[3]));
        for (of, last) in [(G1, 1), (G2, 2)] {
            stage.add(igmp_id, of, 2).unwrap();
            stage.packet(flow(last), 1).unwrap();
        }
        gate.close();
        let takes = thread::spawn(move || stage.mgm.take_interface(b_id, interface(2)).unwrap());
        gate.await_thread();
        stage.add(c_id, group(7), 3).unwrap();
        assert!(igmp.believes(group(7)), "A7: the call returned before its alert");
        gate.open();
        join_all([takes]);
        assert_eq!([1, 2].map(|last| stage.oifs(flow(last))), [Some(vec![]), Some(vec![])]);
        stage.mgm.stop().unwrap();
    });
}

/// The same, but the other thread waits already while IGMP is asked, and what the answer begins has nothing
/// to program at first. It is woken before the next portion.
#[test]
fn a7_whoever_waits_is_woken_before_the_next_portion() {
    explore_some(200, || {
        let gate = Arc::new(Gate::default());
        let stage = gate.stage(1);
        let ((_, _), (igmp, igmp_id)) = (stage.client(1, &[1]), stage.client(IGMP, &[2]));
        let ((_, b_id), (_, c_id)) = (stage.client(2, &[]), stage.client(3, &[3]));
        (1..=3).for_each(|last| stage.add(igmp_id, group(last), 2).unwrap());
        stage.packet(flow(3), 1).unwrap();
        gate.close();
        let takes = thread::spawn(move || stage.mgm.take_interface(b_id, interface(2)).unwrap());
        while !igmp.seen().iter().any(|(kind, _)| *kind == CallbackKind::DisableIgmp) {
            thread::yield_now();
        }
        stage.add(c_id, group(7), 3).unwrap();
        assert!(igmp.believes(group(7)), "A7: the call returned before its alert");
        gate.open();
        join_all([takes]);
        stage.mgm.stop().unwrap();
    });
}

/// The route toward a source changes while the owner of its interface is asked, so its answer has the route
/// looked at again. Another thread waits for an alert behind that question.
#[test]
fn a7_whoever_waits_is_woken_before_a_route_is_looked_at() {
    explore_some(200, || {
        let gate = Arc::new(Gate::default());
        let host = gate.clone();
        let stage = Stage::with_routes(Some(Box::new(move |source, _| {
            host.pass();
            let (interface, network) = (interface(1), source);
            Some(Route { interface, upstream: source, protocol: 0, network, prefix_len: 32 })
        })));
        let ((a, _), (_, c_id)) = (stage.client(1, &[1]), stage.client(3, &[3]));
        let ours = gate.clone();
        a.on_callback(move |kind, _| {
            if kind == CallbackKind::Rpf {
                stage.mgm.routes_changed(SOURCE, 32).unwrap();
                ours.close();
            }
        });
        let comes = thread::spawn(move || stage.packet(FLOW, 1).unwrap());
        while a.count(CallbackKind::Rpf, FLOW) == 0 {
            thread::yield_now();
        }
        stage.add(c_id, group(7), 3).unwrap();
        assert!(a.believes(group(7)), "A7: the call returned before its alert");
        gate.open();
        join_all([comes]);
        stage.mgm.stop().unwrap();
    });
}

/// Many memberships end with an interface. Others call the clients that are to hear of them, so its
/// thread cannot deliver; then it does not go on for long (decision 88).
#[test]
fn a7_no_more_alerts_of_a_release_wait_than_others_may_come_behind() {
    const MANY: u8 = 12;
    explore_some(200, || {
        let stage = Stage::with(|settings| settings.portion = 1);
        let ((a, a_id), (b, _), (_, c_id)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[3]));
        for last in 1..=MANY {
            stage.add(a_id, group(last), 1).unwrap();
        }
        let most = Arc::new(AtomicUsize::new(0));
        for client in [&a, &b] {
            let most = most.clone();
            client.on_callback(move |_, _| {
                let waiting = stage.mgm.with(|running| running.core.outbox.queued());
                most.fetch_max(waiting.unwrap_or(0), SeqCst);
            });
        }
        let releases =
            thread::spawn(move || stage.mgm.release_interface(a_id, interface(1)).unwrap());
        for _ in 0..2 {
            stage.add(c_id, group(20), 3).unwrap();
            stage.delete(c_id, group(20), 3).unwrap();
        }
        join_all([releases]);
        assert!((1..=MANY).all(|last| !b.believes(group(last))));
        // Those of the release that may wait, the two of its last portion, and the two of the other call.
        assert!(most.load(SeqCst) <= CROWD as usize + 4, "{most:?} alerts waited");
        stage.mgm.stop().unwrap();
    });
}
