//! Start, stop and what is left behind.

use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, send, start_threads};
use crate::netns::{Cable, limit_descriptors, run, wait_for};
use crate::netns_tests;
use mgm::forwarder::kernel::KernelForwarder;
use mgm::forwarder::{EntryChange, EntryState, Forwarder};
use mgm::types::PATIENCE;
use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// The names of this process's threads that are the forwarder's.
fn threads() -> Vec<String> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(entry.ok()?.path().join("comm")).ok()
    };
    let mut names: Vec<String> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(read)
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("mgm-"))
        .collect();
    names.sort();
    names
}

fn descriptors() -> BTreeSet<i32> {
    let number =
        |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    // Without the one that reads the directory.
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(number)
        .filter(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok())
        .collect()
}

fn kernel_state() -> String {
    let vifs = std::fs::read_to_string("/proc/thread-self/net/ip_mr_vif").unwrap();
    let vifs = vifs.lines().skip(1).collect::<Vec<_>>().join("\n");
    format!("{vifs}{}", run("ip mroute show"))
}

fn with_an_entry() -> (Router, Cable, Cable) {
    let router = Router::start(0);
    let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
    router.take(&[&a, &b]);
    router.program(flow(2, 1), &a, &[&b]);
    assert!(kernel_state().contains("232.1.0.1"));
    (router, a, b)
}

/// How long this process's threads have run.
fn processor_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the kernel writes the structure where it gives 0.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|t| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000))
        .sum()
}

netns_tests! {
    fn a_stop_leaves_nothing() {
        let before = descriptors();
        let (router, a, b) = with_an_entry();
        let begun: Vec<i32> = descriptors().difference(&before).copied().collect();
        for fd in begun {
            // SAFETY: takes no pointers.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC, "descriptor {fd}");
        }
        assert_eq!(threads(), ["mgm-pool"; 3], "one for each socket, and one that stands by");
        assert!(router.stop());
        router.seen.clear();
        assert_eq!(kernel_state(), "");
        // One that has been joined may still be shown for a moment.
        wait_for("the threads to go", || threads().is_empty().then_some(()));
        // Nothing can be left behind any more, and nothing is told.
        let oifs = [b.key()];
        let state = Some(EntryState { iif: a.key(), oifs: &oifs });
        for count in [1, 20] {
            let changes = vec![EntryChange { flow: flow(2, 1), state }; count];
            let mut failed = 0;
            router.forwarder.program(&changes, &mut |_, _| failed += 1);
            assert_eq!(failed, count);
        }
        assert!(router.forwarder.add_interface(a.key()).is_err());
        router.forwarder.remove_interface(a.key());
        assert!(router.stop());
        assert_eq!(kernel_state(), "");
        assert_eq!(router.forwarder.counters(flow(2, 1)), None);
        send(&a, flow(2, 1), b"x");
        run("ip link set dev a down");
        assert_eq!(router.seen.count(|e| !matches!(e, Event::Log(..))), 0);
    }

    fn a_dropped_forwarder_closes_all() {
        let before = descriptors();
        let seen = Router::start(0).seen;
        let kept = descriptors().len() - before.len();
        // The first one is kept, by the test's own doing; another on a table of its own is not.
        let forwarder = KernelForwarder::new(9);
        assert_eq!(forwarder.route([10, 0, 0, 1].into(), None), None);
        forwarder.start(seen).unwrap();
        let threads = start_threads(&forwarder).unwrap();
        assert_eq!(descriptors().len(), before.len() + 2 * kept);
        drop(forwarder);
        assert!(threads.end(PATIENCE));
        assert_eq!(descriptors().len(), before.len() + kept);
        let again = KernelForwarder::new(9);
        again.start(seen).unwrap();
        assert!(again.start(seen).is_err());
        again.stop();
    }

    fn a_start_that_fails_leaves_nothing() {
        let router = Router::start(0);
        let (before, running) = (descriptors(), threads());
        assert!(Router::try_start(0).is_err());
        assert_eq!((descriptors(), threads()), (before, running));
        let bad = Router::try_start(1_000_000_000).err().unwrap();
        assert!(bad.to_string().contains("allowed: 1 to 999999999"), "{bad}");
        router.stop();
    }

    fn a_start_that_fails_leaves_a_socket_handed_over_without_the_table() {
        let given = Meddler::new();
        let before = descriptors();
        let owned = || std::fs::read_to_string("/proc/sys/net/ipv4/conf/all/mc_forwarding").unwrap();
        let mut failed = 0;
        // With one descriptor more each time it gets one step further.
        let router = (3..).find_map(|limit| {
            let all = limit_descriptors(limit);
            let started = Router::try_with_socket(given.descriptor());
            limit_descriptors(all);
            let refused = match started {
                Ok(router) => return Some(router),
                Err(refused) => refused.to_string(),
            };
            assert!(refused.contains("too many open files (errno 24)"), "{refused}");
            assert_eq!((owned().trim(), descriptors()), ("0", before.clone()), "{refused}");
            failed += 1;
            None
        });
        assert!(failed > 6, "{failed}");
        assert_eq!(owned().trim(), "1");
        router.unwrap().stop();
        assert_eq!(owned().trim(), "0");
    }

    fn without_capabilities_the_error_names_them() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crate::flows::give_up_capabilities();
                for table in [0, 7] {
                    let refused = Router::try_start(table).err().unwrap().to_string();
                    assert!(refused.contains("CAP_NET_ADMIN"), "{refused}");
                }
            });
        });
    }

    fn threads_leave_signals_alone() {
        let router = Router::start(0);
        for entry in std::fs::read_dir("/proc/self/task").unwrap() {
            let status = std::fs::read_to_string(entry.unwrap().path().join("status")).unwrap();
            if !status.starts_with("Name:\tmgm-") {
                continue;
            }
            let line = status.lines().find(|l| l.starts_with("SigBlk:")).unwrap();
            let blocked = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGHUP, libc::SIGUSR1] {
                assert_eq!(blocked >> (signal - 1) & 1, 1, "signal {signal} in {status}");
            }
        }
        // Those of the starting thread are as they were.
        let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(own.contains("SigBlk:\t0000000000000000"), "{own}");
        router.stop();
    }

    fn a_stop_from_inside_an_upcall() {
        let (router, a, _b) = with_an_entry();
        let (forwarder, pool) = (router.forwarder, router.threads);
        let (tell, told) = mpsc::channel();
        router.seen.on_event(move |event| {
            if matches!(event, Event::NoCache { .. }) {
                forwarder.stop();
                assert!(pool.end(PATIENCE));
                // One that has been joined may still be shown for a moment.
                wait_for("the other threads to go", || (threads().len() < 2).then_some(()));
                tell.send(threads()).unwrap();
            }
        });
        send(&a, flow(3, 1), b"x");
        let left = told.recv_timeout(crate::netns::DEADLINE).unwrap();
        assert_eq!(left, ["mgm-pool"], "the caller's own thread goes on");
        assert_eq!(kernel_state(), "");
        wait_for("the last thread to end", || threads().is_empty().then_some(()));
    }

    fn a_stop_does_not_wait_for_ever() {
        let (router, a, _b) = with_an_entry();
        let go_on = Arc::new(AtomicBool::new(false));
        let waits = Arc::clone(&go_on);
        router.seen.on_event(move |event| {
            if matches!(event, Event::NoCache { .. }) {
                wait_for("to be let go", || waits.load(SeqCst).then_some(()));
            }
        });
        send(&a, flow(3, 1), b"x");
        router.seen.wait_no_cache(flow(3, 1));
        assert!(!router.stop());
        assert_eq!(kernel_state(), "");
        wait_for("the other threads to go", || (threads() == ["mgm-pool"]).then_some(()));
        go_on.store(true, SeqCst);
        wait_for("the last thread to end", || threads().is_empty().then_some(()));
    }

    fn threads_that_have_nothing_to_do_end_while_a_stop_waits_for_others() {
        let (router, a, _b) = with_an_entry();
        let go_on = Arc::new(AtomicBool::new(false));
        let waits = Arc::clone(&go_on);
        router.seen.on_event(move |event| {
            if matches!(event, Event::NoCache { .. }) {
                wait_for("to be let go", || waits.load(SeqCst).then_some(()));
            }
        });
        send(&a, flow(3, 1), b"x");
        router.seen.wait_no_cache(flow(3, 1));
        std::thread::scope(|scope| {
            let stop = scope.spawn(|| router.stop());
            wait_for("all but the one to end", || (threads() == ["mgm-pool"]).then_some(()));
            assert!(!stop.is_finished(), "it waits for the callback");
            go_on.store(true, SeqCst);
            assert!(stop.join().unwrap());
        });
        wait_for("the last thread to end", || threads().is_empty().then_some(()));
    }

    fn threads_that_cannot_wait_keep_no_processor_busy() {
        let (router, a, _b) = with_an_entry();
        // The kernel refuses to wait for more descriptors than there may be.
        let all = limit_descriptors(1);
        let (begun, busy) = (Instant::now(), processor_time());
        // Both kinds wake up.
        send(&a, flow(3, 1), b"x");
        router.forwarder.refuse(flow(3, 2));
        router.seen.wait_no_cache(flow(3, 1));
        let span = Duration::from_millis(500);
        wait_for("time to be busy in", || (begun.elapsed() >= span).then_some(()));
        let busy = processor_time() - busy;
        assert!(busy < begun.elapsed() / 2, "{busy:?} of {:?}", begun.elapsed());
        // What comes is noticed, if late.
        send(&a, flow(3, 3), b"x");
        router.seen.wait_no_cache(flow(3, 3));
        limit_descriptors(all);
        run("ip link set dev a down");
        router.seen.wait("a to be down", |e| *e == Event::Up(a.key(), false));
        router.stop();
        wait_for("the threads to end", || threads().is_empty().then_some(()));
    }

    fn a_killed_process_leaves_nothing() {
        // The same test in a second process: it makes an entry and waits to be killed.
        const VICTIM: &str = "MGM_TEST_VICTIM";
        if std::env::var_os(VICTIM).is_some() {
            let _running = with_an_entry();
            println!("ready");
            let _ = std::io::stdin().read(&mut [0]);
            return;
        }
        let mut victim = Command::new("/proc/self/exe")
            .args(["life::a_killed_process_leaves_nothing", "--exact", "--nocapture"])
            .env(VICTIM, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the other process's entry", || {
            kernel_state().contains("232.1.0.1").then_some(())
        });
        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_for("its state to go", || kernel_state().is_empty().then_some(()));
    }
}
