//! A restart without a gap: the next program gets the socket of the one that was killed.

use crate::netns::meddler::Meddler;
use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::{Cable, limit_descriptors, run, wait_for, wait_for_all};
use crate::netns_tests;
use crate::stage::{
    JOIN, KernelEntry, Protocol, Router, SetOnDrop, Told, any, kernel_entries, three_cables,
};
use mgm::shell::manager::Mgm;
use mgm::shell::settings::{ForwarderChoice, Settings};
use mgm::types::SourceGroup;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const RUN: &str = "MGM_TEST_RUN";

/// Flows that both runs want, that the second does not want any more, and whose incoming interface
/// it does not take.
fn flows() -> [SourceGroup; 3] {
    [flow(2, 1), flow(2, 2), SourceGroup::new([10, 4, 0, 2].into(), [232, 1, 0, 3].into())]
}

netns_tests! {
    fn a_restart_with_the_old_socket_loses_nothing() {
        match std::env::var(RUN).as_deref() {
            Ok("first") => return router_process(true),
            Ok(_) => return router_process(false),
            Err(_) => {}
        }
        let [a, b, _c] = three_cables();
        let d = Cable::new("d", Some("10.4.0.1/24"));
        let [kept, left, unclaimed] = flows();
        let socket = igmp_socket();
        let mut first = start(&socket, "first");
        send_until_received(&a, kept, &b);
        send_until_received(&a, left, &b);
        send_until_received(&d, unclaimed, &b);
        wait_for("three entries", || (kernel_entries().len() == 3).then_some(()));
        while b.receive().is_some() {}

        let over = AtomicBool::new(false);
        let sending = Cable::existing("a");
        // A thousand a second, but not more at once than all queues on their way hold, should the reader wait
        // for a processor.
        const ON_THEIR_WAY: u64 = 100;
        let received = AtomicU64::new(0);
        let sent = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let (begun, mut sent) = (Instant::now(), 0);
                while !over.load(SeqCst) {
                    let due = begun.elapsed() >= Duration::from_millis(sent);
                    if due && sent < received.load(SeqCst) + ON_THEIR_WAY {
                        send(&sending, kept, b"kept");
                        sent += 1;
                    } else {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
                sent
            });
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    received.fetch_add(drain(&b), SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let ended = SetOnDrop(&over);
            let before = packets(kept);
            first.kill().unwrap();
            first.wait().unwrap();
            wait_for("the kernel to go on alone", || (packets(kept) > before + 200).then_some(()));
            let mut second = start(&socket, "second");
            // Now it is the second one's: it changes with its memberships. What it does not want
            // goes when its clients have had their time.
            let entry = |f| kernel_entries().into_iter().find(|k| k.flow == f);
            let begun = Instant::now();
            loop {
                assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", kernel_entries());
                let goes_on = entry(kept).is_some_and(|k| k.oifs == ["b", "c"]);
                let stopped = entry(left).is_some_and(|k| k.oifs.is_empty());
                if goes_on && stopped && entry(unclaimed).is_none() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif").lines().count(), 3);
            send(&a, flow(2, 9), b"a new one");
            wait_for("an entry for a new flow", || entry(flow(2, 9)));
            second.kill().unwrap();
            second.wait().unwrap();
            drop(ended);
            sender.join().unwrap()
        });
        let mut received = received.into_inner();
        wait_for_all("packets of the flow that both want", sent as usize, || {
            received += drain(&b);
            received as usize
        });
        assert!(sent > 1000);
        assert_eq!(received, sent, "packets of the flow that both want");
        // With the last copy of the socket everything goes.
        drop(socket);
        wait_for("an empty table", || kernel_entries().is_empty().then_some(()));
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
    }

    fn a_start_that_fails_leaves_the_plane_to_the_next() {
        let [a, b, _c] = three_cables();
        let left = Meddler::as_router(&[&a, &b]);
        let f = flow(2, 1);
        left.add(f, 0, &[1]);
        let directory = run("mktemp -d").trim().to_owned();
        let start = |path: &str| {
            let mgm: &'static Mgm<Protocol> = Box::leak(Box::new(Mgm::new()));
            mgm.start(Settings {
                forwarder: ForwarderChoice::Kernel { table: 0 },
                multicast_socket: Some(left.descriptor()),
                control_path: Some(path.into()),
                ..Settings::default()
            })
            .map(|()| mgm)
        };
        let still_there = || {
            assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif").lines().count(), 2);
            let entries = kernel_entries();
            assert!(matches!(&entries[..], [k] if k.flow == f && k.oifs == ["b"]), "{entries:?}");
        };
        assert!(start("/proc/self/mgm").is_err());
        still_there();
        // With one descriptor more each time it gets one step further.
        let mut failed = Vec::new();
        let mgm = (3..).find_map(|limit| {
            let all = limit_descriptors(limit);
            let started = start(&format!("{directory}/mgm"));
            limit_descriptors(all);
            started.map_err(|error| failed.push(error.to_string())).ok().or_else(|| {
                still_there();
                None
            })
        });
        assert!(failed.iter().any(|error| error.contains("netlink socket")), "{failed:?}");
        assert!(failed.last().unwrap().contains("duplicating"), "{failed:?}");
        mgm.unwrap().stop().unwrap();
        assert_eq!(run("ip mroute show"), "");
        run(&format!("rmdir {directory}"));
    }

    fn a_join_reaches_all_flows_that_were_found_before_it_returns() {
        let cables = three_cables();
        let [a, b, c] = cables.each_ref();
        let left = Meddler::as_router(&[a, b, c]);
        // Groups of 100 flows each.
        let of = |n: u16| SourceGroup::new([10, 1, 0, (n % 100) as u8 + 2].into(), [232, 1, 0, (n / 100) as u8].into());
        (0..3000).for_each(|n| left.add(of(n), 0, &[1]));
        let router = Router::with(|settings| settings.multicast_socket = Some(left.descriptor()));
        router.take(&[a, b, c]);
        // The last ones, which would have their turn last.
        router.join(any(of(2900)), c.key());
        let reached = |group: SourceGroup| {
            let entries = kernel_entries();
            let its = entries.iter().filter(|k| k.flow.group() == group.group());
            its.filter(|k| k.oifs == ["b", "c"]).count()
        };
        // Up to 64 of them may be in the hands of the thread whose turn it is; that one programs them.
        let has_reached_all = |group| {
            assert!(reached(group) >= 100 - 64);
            wait_for("the others", || (reached(group) == 100).then_some(()));
        };
        has_reached_all(of(2900));
        // One of them alone.
        router.join(of(1550), c.key());
        wait_for("one", || (reached(of(1500)) == 1).then_some(()));
        // From inside a callback as well: at the latest when it has returned.
        let (mgm, id, on, group) = (router.mgm, router.id, c.key(), any(of(1000)));
        router.protocol.on_call(move |told| {
            if *told == (Told::Join { of: any(flow(2, 9)), member: true }) {
                mgm.add_membership(id, group, on, JOIN).unwrap();
            }
        });
        let (_, other) = router.another(200);
        let d = Cable::new("d", Some("10.4.0.1/24"));
        router.mgm.take_interface(other, d.key()).unwrap();
        router.mgm.add_membership(other, any(flow(2, 9)), d.key(), JOIN).unwrap();
        has_reached_all(group);
        // All the others come by themselves.
        wait_for_all("all flows", 3000, || router.total_entries());
    }

    fn nothing_that_is_in_use_is_deleted_when_the_takeover_ends() {
        let cables = three_cables();
        let [a, b, c] = cables.each_ref();
        let d = Cable::new("d", Some("10.4.0.1/24"));
        let left = Meddler::as_router(&[a, b, c, &d]);
        const FLOWS: u16 = 5000;
        let of = |n: u16| {
            let [x, y] = n.to_be_bytes();
            SourceGroup::new([10, 1, 16 + x, y].into(), [232, 1, 0, 1].into())
        };
        run("ip route add 10.1.0.0/16 dev a");
        // What one protocol wants; what a client that hangs is asked about; what nobody takes.
        (0..FLOWS).for_each(|n| left.add(of(n), 0, &[1]));
        let hung = [1, 2, 3].map(|n| SourceGroup::new([10, 3, 0, 2].into(), [232, 3, 0, n].into()));
        hung.iter().for_each(|f| left.add(*f, 2, &[1]));
        let unclaimed = SourceGroup::new([10, 4, 0, 2].into(), [232, 4, 0, 1].into());
        left.add(unclaimed, 3, &[1]);
        let router = Router::with(|settings| {
            settings.multicast_socket = Some(left.descriptor());
            // Flows that are there count for no limit on new ones.
            settings.max_new_mfes_per_second = 10;
        });
        let (hangs, id) = router.another(200);
        let go_on = &*Box::leak(Box::new(AtomicBool::new(false)));
        hangs.on_call(|told| {
            if matches!(told, Told::Rpf(_)) {
                while !go_on.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let _go_on = SetOnDrop(go_on);
        router.mgm.take_interface(id, c.key()).unwrap();
        router.take(&[a, b]);
        router.join(any(of(0)), b.key());
        wait_for_all("the takeover", usize::from(FLOWS), || router.total_entries());
        let over = Instant::now() + Duration::from_secs(60);
        while !router.logged("the takeover is over") {
            assert!(Instant::now() < over, "{:?}", router.lines());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(router.logged("5003 entries were claimed, 1 were deleted"), "{:?}", router.lines());
        // One that is still asked about goes on as it was found.
        let oifs = |f: SourceGroup| kernel_entries().into_iter().find(|k| k.flow == f).map(|k| k.oifs);
        assert!(hung.iter().all(|f| oifs(*f) == Some(vec!["b".into()])), "{:?}", hung.map(oifs));
        assert_eq!(oifs(unclaimed), None);
        assert_eq!(kernel_entries().iter().filter(|k| k.oifs == ["b"]).count(), usize::from(FLOWS) + 3);
        send(c, hung[1], b"goes on");
        assert!(b.wait_receive().ends_with(b"goes on"));
        // Once it is answered, it is what clients want.
        go_on.store(true, SeqCst);
        wait_for("the answers", || hung.iter().all(|f| oifs(*f) == Some(vec![])).then_some(()));
        router.agrees_with_kernel();
    }

    fn an_interface_counts_nothing_that_the_program_before_forwarded() {
        let [a, b, c] = three_cables();
        let left = Meddler::as_router(&[&a, &b, &c]);
        let f = flow(2, 1);
        left.add(f, 0, &[1]);
        (0..100).for_each(|_| send(&a, f, b"before"));
        wait_for("100 packets", || (packets(f) == 100).then_some(()));
        let router =
            Router::with(|settings| settings.multicast_socket = Some(left.descriptor()));
        router.take(&[&a, &b, &c]);
        router.join(any(f), c.key());
        wait_for("both interfaces", || {
            kernel_entries().iter().any(|k| k.flow == f && k.oifs == ["b", "c"]).then_some(())
        });
        (0..5).for_each(|_| send(&a, f, b"after"));
        wait_for("5 packets out of the one that joined", || {
            let entry = router.entry(f)?;
            (entry.counters.packets == 105 && entry.out_packets == [5]).then_some(())
        });
    }
}

fn packets(flow: SourceGroup) -> u32 {
    let find = |k: &KernelEntry| k.flow == flow;
    kernel_entries().into_iter().find(find).map_or(0, |k| k.packets)
}

fn drain(cable: &Cable) -> u64 {
    std::iter::from_fn(|| cable.receive()).count() as u64
}

fn igmp_socket() -> OwnedFd {
    // SAFETY: takes no pointers; the descriptor is new and ours.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_INET, kind, libc::IPPROTO_IGMP);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    }
}

/// This test again, as a router: the socket is passed as a service manager would.
fn start(socket: &OwnedFd, which: &str) -> Child {
    let fd = socket.as_raw_fd();
    let mut command = Command::new("sh");
    command
        .args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "mgm")
        .env("MGM_FORWARDER", "kernel")
        .env(RUN, which)
        .stdout(Stdio::piped());
    // SAFETY: between fork and exec it makes only system calls; the copy stays open over exec.
    unsafe {
        command.pre_exec(move || {
            // A test that fails leaves nobody behind.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::dup2(fd, 3) == 3 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("ready")), "the {which} router");
    // It may go on printing.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// What the router does until it is killed.
fn router_process(first: bool) {
    let router = Router::with(|settings| {
        let given = Settings::from_env().unwrap();
        assert_eq!(given.multicast_socket, Some(3));
        settings.forwarder = given.forwarder;
        settings.multicast_socket = given.multicast_socket;
    });
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Cable::existing);
    let [kept, left, unclaimed] = flows();
    router.take(&[&a, &b]);
    println!("ready");
    if first {
        router.take(&[&d]);
        router.join(any(left), b.key());
        router.join(any(unclaimed), b.key());
        router.join(any(kept), b.key());
    } else {
        // As when IGMP hears of its members only after a while.
        wait_for("the entries to be taken over", || {
            (router.entry(kept).is_some() && router.entry(left).is_some()).then_some(())
        });
        router.join(any(kept), b.key());
        router.mgm.take_interface(router.id, c.key()).unwrap();
        router.join(any(kept), c.key());
        router.mgm.release_interface(router.id, a.key()).unwrap();
        router.take(&[&a]);
    }
    std::thread::sleep(Duration::from_secs(100));
}
