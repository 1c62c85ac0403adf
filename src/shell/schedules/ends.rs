//! Calls inside the host's functions; the ends of clients, and of a run, while others are at work.

use crate::error::Error;
use crate::log::{Level, Line};
use crate::shell::host_calls::HostCalls;
use crate::shell::schedules::client::Client;
use crate::shell::schedules::{G1, G2, Stage, explore, group, interface, join_all};
use crate::shell::settings::{LogSink, Settings};
use crate::shell::tally::CallbackKind;
use crate::types::{ClientId, Millis, SourceGroup};
use shuttle::thread;
// The tests' own notes must be no points at which the scheduler may change threads.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The log's function joins a group while the thread that it is called on is about to call the
/// client that is to hear of it.
#[test]
fn a6_calls_inside_the_log() {
    explore(|| {
        let joiner = Arc::new(OnceLock::<(Stage, ClientId)>::new());
        let ours = joiner.clone();
        let log = move |_, line: &Line| {
            // Joining a group that is joined already causes no alert, so this ends.
            if line.as_str().contains("join alert")
                && let Some((stage, id)) = ours.get()
            {
                stage.add(*id, group(9), 1).unwrap();
            }
        };
        let stage = Stage::with(|settings| {
            settings.log_level = Level::Trace;
            settings.log = LogSink::Host(Arc::new(log));
        });
        let ((_, a_id), (b, _)) = (stage.client(1, &[1]), stage.client(2, &[]));
        assert!(joiner.set((stage, a_id)).is_ok());
        let others = thread::spawn(move || stage.add(a_id, group(3), 1).unwrap());
        stage.add(a_id, G1, 1).unwrap();
        assert!(b.believes(G1), "A7: caused by the call, and not come");
        join_all([others]);
        assert!(b.believes(group(9)), "A7: caused by one of the calls, and not come");
        stage.mgm.stop().unwrap();
    });
}

/// The end waits for a function of the host's that another thread is inside, and is woken when it
/// returns.
#[test]
fn the_end_waits_for_the_functions_of_a_host() {
    explore(|| {
        let calls = Arc::new(HostCalls::new());
        let runs = Arc::new(AtomicBool::new(false));
        let threads = [(); 2].map(|()| {
            let (calls, runs) = (Arc::clone(&calls), Arc::clone(&runs));
            thread::spawn(move || {
                calls.call(|| {
                    runs.store(true, SeqCst);
                    thread::yield_now();
                    assert!(runs.load(SeqCst), "it runs after the end");
                });
            })
        });
        assert!(calls.close(Duration::from_secs(1)));
        runs.store(false, SeqCst);
        join_all(threads);
        assert!(!runs.load(SeqCst), "it was called after the end");
    });
}

/// A run that begins while another thread ends the one before it keeps its own log.
#[test]
fn the_end_leaves_the_log_of_the_next_run_alone() {
    explore(|| {
        let stage = Stage::new();
        let stops = thread::spawn(move || stage.mgm.stop().unwrap());
        let lines = Arc::new(AtomicUsize::new(0));
        loop {
            let counted = Arc::clone(&lines);
            let count = move |_, _: &Line| _ = counted.fetch_add(1, SeqCst);
            let settings = Settings {
                log_level: Level::Error,
                log: LogSink::Host(Arc::new(count)),
                clock: Some(Arc::new(|| Millis(1))),
                ..Settings::default()
            };
            match stage.mgm.start(settings) {
                Err(Error::AlreadyRunning) => thread::yield_now(),
                started => break started.unwrap(),
            }
        }
        join_all([stops]);
        stage.mgm.log(Level::Error, format_args!("of the second run"));
        assert_eq!(lines.load(SeqCst), 1);
        stage.mgm.stop().unwrap();
    });
}

/// A client's callback ends the run while another thread deregisters that client. This thread still
/// waits for the callback.
#[test]
fn a8_stopping_inside_a_callback_that_is_waited_for() {
    explore(|| {
        let stage = Stage::new();
        let ((_, c_id), (a, a_id)) = (stage.client(3, &[3]), stage.client(1, &[]));
        a.on_callback(move |kind, _| {
            if kind == CallbackKind::Join {
                stage.mgm.stop().unwrap();
                thread::yield_now();
            }
        });
        let adds = thread::spawn(move || {
            let result = stage.add(c_id, G1, 3);
            assert!(matches!(result, Ok(()) | Err(Error::NotRunning | Error::NotAClient(_))));
        });
        if stage.mgm.deregister(a_id).is_ok() {
            a.unload();
        }
        join_all([adds]);
        let _ = stage.mgm.stop();
    });
}

/// One client's callback deregisters another client, whose callback ends the run.
#[test]
fn a6_stopping_and_deregistering_each_other() {
    explore(|| {
        let stage = Stage::new();
        // Each hears of the other's membership alone, so that two threads call them.
        let ((a, a_id), (b, b_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        let gone = b.clone();
        a.on_callback(move |kind, of| {
            if (kind, of) == (CallbackKind::Join, G1) {
                let _ = stage.mgm.release_interface(b_id, interface(2));
                if stage.mgm.deregister(b_id).is_ok() {
                    gone.unload();
                }
            }
        });
        b.on_callback(move |kind, of| {
            if (kind, of) == (CallbackKind::Join, G2) {
                let stopped = stage.mgm.stop();
                assert!(matches!(stopped, Ok(()) | Err(Error::WouldDeadlock)), "{stopped:?}");
            }
        });
        let threads = [(b_id, G1, 2), (a_id, G2, 1)].map(|(id, of, index)| {
            thread::spawn(move || {
                let added = stage.add(id, of, index);
                let over = |error: &Error| {
                    use Error as E;
                    matches!(error, E::NotRunning | E::NotAClient(_) | E::NotOnInterface(_))
                };
                assert!(added.as_ref().err().is_none_or(over), "{added:?}");
            })
        });
        join_all(threads);
        let _ = stage.mgm.stop();
    });
}

/// A callback registers a client while another thread ends the run, which waits for the callback.
#[test]
fn a6_registering_while_stopping() {
    explore(|| {
        let stage = Stage::new();
        let ((_, c_id), (a, _)) = (stage.client(3, &[3]), stage.client(1, &[]));
        a.on_callback(move |kind, _| {
            if kind == CallbackKind::Join {
                let registered = stage.mgm.register(Client::default(), 9, 1);
                assert!(matches!(registered, Ok(_) | Err(Error::Changing | Error::NotRunning)));
            }
        });
        let adds = thread::spawn(move || {
            let result = stage.add(c_id, G1, 3);
            assert!(matches!(result, Ok(()) | Err(Error::NotRunning | Error::NotAClient(_))));
        });
        stage.mgm.stop().unwrap();
        a.unload();
        join_all([adds]);
        assert!(stage.mgm.stop().is_err(), "begun anew");
    });
}

/// A client is deregistered while other threads have alerts for it.
#[test]
fn a8_deregistering_while_alerts_are_on_their_way() {
    explore(|| {
        let stage = Stage::new();
        let ((_, a_id), (_, c_id)) = (stage.client(1, &[1]), stage.client(3, &[3]));
        let ((b, b_id), (d, _)) = (stage.client(2, &[]), stage.client(4, &[]));
        let changes = [(a_id, G1, 1), (c_id, G2, 3)].map(|(id, of, index)| {
            thread::spawn(move || {
                stage.add(id, of, index).unwrap();
                stage.delete(id, of, index).unwrap();
            })
        });
        stage.mgm.deregister(b_id).unwrap();
        b.unload();
        assert!(stage.mgm.deregister(b_id).is_err());
        // The slot may be used again at once.
        let (e, _) = stage.client(5, &[]);
        join_all(changes);
        assert!(!d.believes(G1) && !d.believes(G2));
        assert!(e.count(CallbackKind::Prune, G1) <= 1 && e.count(CallbackKind::Prune, G2) <= 1);
        stage.mgm.stop().unwrap();
    });
}

/// Two clients deregister each other inside their callbacks, on two threads.
#[test]
fn a8_deregistering_each_other() {
    explore(|| {
        let stage = Stage::new();
        let ((_, c_id), (_, d_id)) = (stage.client(3, &[3]), stage.client(4, &[4]));
        let ((a, a_id), (b, b_id)) = (stage.client(1, &[]), stage.client(2, &[]));
        let end = move |at: SourceGroup, other: Client, id: ClientId| {
            move |kind, of| {
                if (kind, of) == (CallbackKind::Join, at) {
                    match stage.mgm.deregister(id) {
                        Ok(()) => other.unload(),
                        Err(Error::WouldDeadlock | Error::NotAClient(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        a.on_callback(end(G1, b.clone(), b_id));
        b.on_callback(end(G2, a.clone(), a_id));
        let threads = [(c_id, G1, 3), (d_id, G2, 4)]
            .map(|(id, of, index)| thread::spawn(move || stage.add(id, of, index).unwrap()));
        join_all(threads);
        assert!(a.is_unloaded() || b.is_unloaded(), "one of them came first");
        stage.mgm.stop().unwrap();
    });
}

/// The library is stopped while alerts are on their way.
#[test]
fn a8_stopping_while_alerts_are_on_their_way() {
    explore(|| {
        let stage = Stage::new();
        let ((a, a_id), (b, _)) = (stage.client(1, &[1]), stage.client(2, &[]));
        let changes = thread::spawn(move || {
            for result in [stage.add(a_id, G1, 1), stage.delete(a_id, G1, 1)] {
                assert!(matches!(result, Ok(()) | Err(Error::NotRunning | Error::NotAClient(_))));
            }
        });
        stage.mgm.stop().unwrap();
        a.unload();
        b.unload();
        join_all([changes]);
        assert!(stage.mgm.stop().is_err());
    });
}

/// A client is deregistered while its callback may be running and the library is stopped.
#[test]
fn a8_deregistering_while_stopping() {
    explore(|| {
        let stage = Stage::new();
        let ((_, a_id), (b, b_id)) = (stage.client(1, &[1]), stage.client(2, &[]));
        let adds = thread::spawn(move || {
            let result = stage.add(a_id, G1, 1);
            assert!(matches!(result, Ok(()) | Err(Error::NotRunning | Error::NotAClient(_))));
        });
        let leaves = thread::spawn(move || {
            if stage.mgm.deregister(b_id).is_ok() {
                b.unload();
            }
        });
        stage.mgm.stop().unwrap();
        join_all([adds, leaves]);
    });
}
