//! What a program left in the table whose socket the next one gets.

use crate::devices::{during_news, vifs};
use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, program, send, send_until_received};
use crate::netns::{Cable, DEADLINE, limit_memory, run};
use crate::netns_tests;
use mgm::forwarder::{Forwarder, ForwarderError};
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

fn start(left: &Meddler) -> Router {
    Router::try_with_socket(left.descriptor()).unwrap()
}

netns_tests! {
    fn the_number_of_a_device_that_went_meanwhile_carries_nothing_over() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b, &c]);
        let (out, through) = (flow(2, 1), flow(3, 1));
        left.add(out, 0, &[1, 2]);
        left.add(through, 1, &[2]);
        run("ip link delete dev b");
        let router = start(&left);
        // It gets the number that b had.
        router.take(&[&d]);
        send(&a, out, b"out");
        assert!(c.wait_receive().ends_with(b"out"), "it flows on");
        send(&d, through, b"through");
        let report = router.seen.wait_no_cache(through);
        assert!(matches!(report, Event::NoCache { arrival, .. } if arrival == d.key()));
        // Reported and kept, or dropped, until there is an entry for it.
        assert_eq!((c.receive(), d.receive()), (None, None));
        let shown = run("ip mroute show");
        let resolved: Vec<_> = shown.lines().filter(|l| l.contains("State: resolved")).collect();
        assert!(matches!(resolved[..], [one] if one.contains("Oifs: c ")), "{shown}");
    }

    fn a_number_that_is_another_devices_now_carries_nothing_over() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b, &c]);
        let (out, through) = (flow(2, 1), flow(3, 1));
        left.add(out, 0, &[1, 2]);
        left.add(through, 1, &[2]);
        let router = start(&left);
        router.take(&[&a, &c]);
        // The routes toward the sources are others for a moment (rule E9), and b's device goes.
        router.program(out, &c, &[]);
        router.program(through, &a, &[]);
        run("ip link delete dev b");
        router.take(&[&d]);
        assert_eq!(vifs()[1], (1, "d".into()), "it got the number");
        // They are what they were, where it is still there.
        router.program(out, &a, &[]);
        router.program(through, &d, &[]);
        let shown = run("ip mroute show");
        let oifs = |source| {
            let line = shown.lines().find(|line| line.contains(source)).unwrap();
            line.split_once("Oifs: ").map_or("", |(_, oifs)| oifs.split(" State").next().unwrap().trim())
        };
        assert_eq!((oifs("10.1.0.2"), oifs("10.1.0.3")), ("c", ""), "{shown}");
        send(&a, out, b"out");
        assert!(c.wait_receive().ends_with(b"out"), "it flows on");
        router.forwarder.remove_interface(d.key());
        assert_eq!(vifs().len(), 2, "no found entry needs it");
    }

    fn what_was_deleted_goes_at_the_end_though_its_number_is_another_devices() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b, &c]);
        let through = flow(3, 1);
        left.add(through, 1, &[2]);
        let router = start(&left);
        router.take(&[&a, &c]);
        // Its route moves, nobody wants it, and the device that it was found behind goes.
        router.program(through, &a, &[&c]);
        program(router.forwarder, through, None);
        run("ip link delete dev b");
        router.take(&[&d]);
        assert_eq!(vifs()[1], (1, "d".into()), "it got the number");
        assert!(run("ip mroute show").contains("10.1.0.3"), "it is kept for the time being");
        let end = Instant::now() + 2 * DEADLINE; // what was found has 20 s
        while run("ip mroute show").contains("10.1.0.3") {
            assert!(Instant::now() < end, "it stays for good");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn what_somebody_else_wrote_is_not_kept() {
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b]);
        left.add(flow(2, 1), 0, &[1]);
        Meddler::new().add(flow(2, 2), 0, &[1]);
        for parent in [0, 1] {
            left.add_proxy(flow(2, 3).group(), parent, &[0, 1]);
        }
        // One that an older version made where it had taken the loopback device.
        left.add(SourceGroup::new(Ipv4Addr::LOCALHOST, flow(2, 1).group()), 0, &[1]);
        let router = start(&left);
        let shown = run("ip mroute show");
        assert!(!shown.contains("(127.0.0.1,"), "{shown}");
        router.take(&[&a]);
        send(&a, flow(2, 2), b"strange");
        router.seen.wait_no_cache(flow(2, 2));
        send(&a, flow(2, 3), b"of any source");
        router.seen.wait_no_cache(flow(2, 3));
        send(&a, flow(2, 1), b"left");
        assert!(b.wait_receive().ends_with(b"left"));
    }

    fn a_socket_of_another_namespace_is_refused_and_left_as_it_was() {
        let a = Cable::new("a", Some("10.1.0.1/24"));
        let [fresh, other] = Meddler::elsewhere();
        let refused = || Router::try_with_socket(fresh.descriptor()).err().unwrap().to_string();
        assert!(refused().contains("another network namespace"), "{}", refused());
        // Nobody is the router there, and then another socket is.
        other.init();
        let [owner, _] = Meddler::elsewhere();
        owner.init();
        let refused = Router::try_with_socket(owner.descriptor()).err().unwrap().to_string();
        assert!(refused.contains("another network namespace"), "{refused}");
        // One of this namespace does.
        let router = Router::try_with_socket(Meddler::new().descriptor()).unwrap();
        router.take(&[&a]);
        send(&a, flow(2, 1), b"x");
        router.seen.wait_no_cache(flow(2, 1));
    }

    fn a_start_that_is_abandoned_leaves_what_was_there() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b]);
        left.add(flow(2, 1), 0, &[1]);
        let router = start(&left);
        router.forwarder.refuse(flow(2, 2));
        router.forwarder.abandon();
        assert!(router.forwarder.add_interface(c.key()).is_err(), "it has ended");
        let shown = run("ip mroute show");
        assert!(shown.lines().count() == 1 && shown.contains("232.1.0.1"), "{shown}");
        send(&a, flow(2, 1), b"x");
        assert!(b.wait_receive().ends_with(b"x"));
        // The next one finds it; one that took nothing over leaves nothing.
        let router = start(&left);
        router.take(&[&a]);
        let found = Event::Found { flow: flow(2, 1), arrival: a.key() };
        router.seen.wait("the entry", |e| *e == found);
        router.stop();
        assert_eq!(run("ip mroute show"), "");
        let router = Router::start(0);
        router.take(&[&a, &b]);
        router.program(flow(2, 1), &a, &[&b]);
        router.forwarder.abandon();
        assert_eq!(run("ip mroute show"), "");
    }

    fn a_found_entry_written_while_a_vif_is_gone_names_it_once_it_is_made_again() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b, &c]);
        left.add(flow(2, 1), 0, &[1]);
        let router = start(&left);
        router.take(&[&a, &b, &c]);
        let (forwarder, a_key) = (router.forwarder, a.key());
        during_news(&router, &c, "down", move || {
            Meddler::new().delete_vif(1);
            // What it was found with is written again too.
            program(forwarder, flow(2, 1), Some((a_key, &[])));
        });
        send_until_received(&a, flow(2, 1), &b);
    }

    fn reports_that_were_dropped_before_are_not_counted() {
        let a = Cable::new("a", None);
        let left = Meddler::as_router(&[&a]);
        // More than the buffer of a socket that nobody reads from holds.
        for n in 0..2000 {
            send(&a, flow(2, n), b"x");
        }
        let router = start(&left);
        router.take(&[&a]);
        send(&a, flow(3, 1), b"x");
        router.seen.wait_no_cache(flow(3, 1));
        let counters = router.forwarder.kernel_counters().unwrap();
        assert_eq!(counters.dropped_reports, 0);
    }

    fn a_start_without_memory_for_what_was_left_is_refused() {
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b]);
        for n in 0..10_000 {
            left.add(flow(2, n), 0, &[1]);
        }
        let mut refused = 0;
        // With more memory each time it gets further.
        let router = (2..).find_map(|half_mib: u64| {
            let all = limit_memory(memory_in_use() + (half_mib << 19));
            let started = Router::try_with_socket(left.descriptor());
            limit_memory(all);
            match started {
                Ok(router) => return Some(router),
                Err(ForwarderError::OutOfMemory) => refused += 1,
                Err(e) => assert!(e.to_string().contains("starting a thread"), "{e}"),
            }
            None
        });
        assert!(refused > 0);
        // All of it is still there.
        router.unwrap().take(&[&a]);
        send(&a, flow(2, 9_999), b"left");
        assert!(b.wait_receive().ends_with(b"left"));
    }

    fn entries_that_nobody_programmed_are_told() {
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        let left = Meddler::as_router(&[&a, &b]);
        left.add(flow(2, 1), 0, &[1]);
        let router = start(&left);
        router.forwarder.refuse(flow(2, 2));
        let there = [1, 2, 3].map(|n| router.forwarder.has_entry(flow(2, n)));
        assert_eq!(there, [true, true, false]);
    }
}

/// In octets, as the limit counts it.
fn memory_in_use() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
