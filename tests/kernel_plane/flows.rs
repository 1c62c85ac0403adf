//! Packets, entries, reports and counters.

use crate::netns::recorder::{Event, Router, flow, program, send, send_until_received};
use crate::netns::{Cable, ip_packet, run, udp, wait_for};
use crate::netns_tests;
use mgm::forwarder::{EntryChange, EntryState, Forwarder, ForwarderError};
use mgm::types::{Counters, IfKey, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

pub fn three_cables() -> [Cable; 3] {
    [
        Cable::new("a", Some("10.1.0.1/24")),
        Cable::new("b", Some("10.2.0.1/24")),
        Cable::new("c", Some("10.3.0.1/24")),
    ]
}

/// Sends a packet that surely is forwarded after whatever was sent before: in-order delivery on
/// the cable then tells that nothing else is on its way.
pub fn sentinel(router: &Router, from: &Cable, to: &Cable) {
    let last = flow(250, 9999);
    router.program(last, from, &[to]);
    send(from, last, b"sentinel");
    let got = to.wait_receive();
    assert!(got.ends_with(b"sentinel"), "{got:?} came before the sentinel");
}

netns_tests! {
    fn a_new_flow_is_reported_and_its_packet_forwarded() {
        let router = Router::start(0);
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = flow(2, 1);
        send(&a, f, b"first");
        let Event::NoCache { arrival, header, .. } = router.seen.wait_no_cache(f) else {
            unreachable!()
        };
        assert_eq!(arrival, a.key());
        wait_for("a look at the clients (decision 94)", || (router.seen.paced() == 1).then_some(()));
        assert_eq!((header.len(), header[0], header[8], header[9]), (20, 0x45, 0, 0));
        assert_eq!(header[12..16], f.source().octets());
        assert_eq!(header[16..20], f.group().octets());
        let sum: u32 =
            header.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "checksum of {header:?}");

        router.program(f, &a, &[&b, &c]);
        for out in [&b, &c] {
            let got = out.wait_receive();
            assert!(got.ends_with(b"first"), "{got:?}");
            assert_eq!(got[8], 15, "TTL goes down by one");
        }
        send(&a, f, b"second");
        assert!(b.wait_receive().ends_with(b"second"));
        assert!(c.wait_receive().ends_with(b"second"));
        sentinel(&router, &a, &b);
        assert_eq!(a.receive(), None);
        assert_eq!(router.seen.count(|e| matches!(e, Event::NoCache { .. })), 1);
    }

    fn options_are_part_of_the_header() {
        let router = Router::start(0);
        let [a, ..] = three_cables();
        router.take(&[&a]);
        let f = flow(2, 2);
        // Router alert, in a header of six words.
        let mut packet = udp(f.source(), f.group(), b"x");
        packet.splice(20..20, [0x94, 4, 0, 0]);
        packet[0] = 0x46;
        packet[3] += 4;
        packet[10..12].fill(0);
        let sum: u32 =
            packet[..24].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        a.send(&packet);
        let Event::NoCache { header, .. } = router.seen.wait_no_cache(f) else { unreachable!() };
        assert_eq!((header.len(), &header[20..]), (24, &[0x94, 4, 0, 0][..]));
    }

    fn packets_of_our_own_are_routed_too() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        run("ip route add 232.0.0.0/8 dev a");
        let own = Ipv4Addr::new(10, 1, 0, 1);
        let f = SourceGroup::new(own, Ipv4Addr::new(232, 1, 1, 1));
        let socket = std::net::UdpSocket::bind((own, 0)).unwrap();
        socket.set_multicast_ttl_v4(8).unwrap();
        socket.send_to(b"from here", (f.group(), 5000)).unwrap();
        let Event::NoCache { arrival, .. } = router.seen.wait_no_cache(f) else { unreachable!() };
        assert_eq!(arrival, a.key());
        let route = router.forwarder.route(own, Some(arrival)).unwrap();
        assert_eq!((route.interface, route.upstream), (a.key(), own));
        router.program(f, &a, &[&b]);
        assert!(b.wait_receive().ends_with(b"from here"));
        assert!(a.wait_receive().ends_with(b"from here"), "as sent, not forwarded");
        assert_eq!(a.receive(), None);
    }

    fn a_negative_entry_stops_reports() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 3);
        router.program(f, &a, &[]);
        for _ in 0..3 {
            send(&a, f, b"nobody wants it");
        }
        wait_for("three packets counted", || {
            (router.forwarder.counters(f)?.packets == 3).then_some(())
        });
        sentinel(&router, &a, &b);
        assert_eq!(router.seen.count(|e| matches!(e, Event::NoCache { .. })), 0);
        // It turns positive without a packet, and goes without a trace.
        router.program(f, &a, &[&b]);
        send(&a, f, b"now they do");
        assert!(b.wait_receive().ends_with(b"now they do"));
        router.delete(f);
        router.delete(f);
        assert_eq!(router.forwarder.counters(f), None);
        send(&a, f, b"new again");
        router.seen.wait_no_cache(f);
    }

    fn an_iif_without_a_device_makes_a_negative_entry() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let nowhere = IfKey::new(4000, Ipv4Addr::UNSPECIFIED);
        let f = flow(2, 4);
        program(router.forwarder, f, Some((nowhere, &[b.key()])));
        send(&a, f, b"x");
        wait_for("the packet counted", || {
            (router.forwarder.counters(f)?.wrong_interface == 1).then_some(())
        });
        sentinel(&router, &a, &b);
        let reports = |e: &Event| {
            matches!(e, Event::NoCache { .. } | Event::WrongInterface { .. } | Event::Lost(_))
        };
        assert_eq!(router.seen.count(reports), 0);
    }

    fn packets_never_leave_by_their_own_device() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 5);
        let next_hop = IfKey::new(a.index, Ipv4Addr::new(10, 1, 0, 77));
        router.forwarder.add_interface(next_hop).unwrap();
        program(router.forwarder, f, Some((a.key(), &[next_hop, b.key()])));
        send(&a, f, b"x");
        assert!(b.wait_receive().ends_with(b"x"));
        assert_eq!(a.receive(), None);
    }

    fn a_wrong_interface_is_reported_and_counted_apart() {
        let router = Router::start(0);
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = flow(2, 6);
        router.program(f, &a, &[&b, &c]);
        send(&a, f, b"0123456789");
        assert!(b.wait_receive().ends_with(b"0123456789"));
        let right = Counters { packets: 1, octets: 38, ..Counters::default() };
        assert_eq!(router.forwarder.counters(f), Some(right));

        send(&b, f, b"0123456789");
        let event = router.seen.wait("a wrong-interface report", |e| {
            matches!(e, Event::WrongInterface { .. })
        });
        let Event::WrongInterface { flow: got, arrival, header } = event else { unreachable!() };
        assert_eq!((got, arrival, header.len()), (f, b.key(), 20));
        assert_eq!(
            router.forwarder.counters(f),
            Some(Counters { wrong_interface: 1, ..right }),
            "octets are of the packets that were forwarded"
        );
        assert!(c.wait_receive().ends_with(b"0123456789"));
        assert_eq!(c.receive(), None);
    }

    fn counters_are_exact_and_outlive_a_replacement() {
        let router = Router::start(0);
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = flow(2, 7);
        assert_eq!(router.forwarder.counters(f), None);
        router.program(f, &a, &[&b]);
        let mut octets = 0;
        for n in 0..50usize {
            send(&a, f, &vec![7; n]);
            octets += 28 + n as u32;
        }
        let counted = |packets| {
            wait_for("all packets counted", || {
                router.forwarder.counters(f).filter(|c| c.packets == packets)
            })
        };
        assert_eq!(counted(50).octets, octets);
        router.program(f, &a, &[&b, &c]);
        send(&a, f, b"");
        assert_eq!(counted(51).octets, octets + 28);
        router.delete(f);
        router.program(f, &a, &[&b]);
        assert_eq!(router.forwarder.counters(f), Some(Counters::default()));
    }

    fn a_flow_that_came_before_its_interface_was_taken_is_reported_then() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        let cable = Arc::new(a);
        let (forwarder, from) = (router.forwarder, Arc::clone(&cable));
        // While the report of one flow is handled another one's comes, and the interface goes.
        router.seen.on_event(move |event| {
            if let Event::NoCache { flow: first, .. } = event
                && first.source() == flow(2, 0).source()
            {
                send(&from, SourceGroup::new(flow(3, 0).source(), first.group()), b"early");
                forwarder.remove_interface(from.key());
            }
        });
        let early = (0..50).find_map(|n| {
            router.take(&[&cable, &b]);
            send(&cable, flow(2, n), b"x");
            // Another thread may have been quick enough to hand it on before.
            let early = flow(3, n);
            let told = |e: &Event| matches!(e, Event::NoCache { flow, .. } if *flow == early);
            let unknown = || router.forwarder.kernel_counters().unwrap().unknown_arrival > 0;
            let found = wait_for("the second report", || {
                if unknown() { Some(true) } else { (router.seen.count(told) > 0).then_some(false) }
            });
            found.then_some(early)
        });
        let early = early.expect("a report that finds no interface");
        // Nobody is asked about it, and the kernel has it neither waiting nor as an entry.
        router.take(&[&cable]);
        let entries = run("ip mroute show");
        assert!(!entries.contains(&format!("({},{})", early.source(), early.group())), "{entries}");
        router.seen.clear();
        send(&cable, early, b"in time");
        router.seen.wait_no_cache(early);
        router.program(early, &cable, &[&b]);
        assert!(b.wait_receive().ends_with(b"in time"));
    }

    fn deleting_the_entry_that_a_flow_waits_for_lets_it_be_reported_again() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        // One at a time, and in a batch.
        for flows in [0..1, 0..20] {
            let changes: Vec<_> =
                flows.map(|n| EntryChange { flow: flow(2, n), state: None }).collect();
            router.seen.clear();
            for change in &changes {
                send(&a, change.flow, b"gone");
                router.seen.wait_no_cache(change.flow);
            }
            router.forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
            assert_eq!(run("ip mroute show"), "", "the kernel has forgotten the packets");
            router.seen.clear();
            for change in &changes {
                send(&a, change.flow, b"next");
                router.seen.wait_no_cache(change.flow);
                router.program(change.flow, &a, &[&b]);
                assert!(b.wait_receive().ends_with(b"next"));
                router.delete(change.flow);
            }
        }
    }

    fn many_changes_take_effect_in_order() {
        let router = Router::start(0);
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let (to_b, to_c) = ([b.key()], [c.key()]);
        let entry = |oifs| Some(EntryState { iif: a.key(), oifs });
        let nowhere = IfKey::new(4000, Ipv4Addr::UNSPECIFIED);
        let mut changes = Vec::new();
        for n in 0..1000 {
            changes.push(EntryChange { flow: flow(2, n), state: entry(&to_b) });
        }
        // One that netlink cannot do, one that nobody can, one that is changed twice.
        changes[300].state = Some(EntryState { iif: nowhere, oifs: &to_b });
        changes[400].flow = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(232, 9, 9, 9));
        changes.push(EntryChange { flow: flow(2, 999), state: None });
        changes.push(EntryChange { flow: flow(2, 999), state: entry(&to_c) });
        let mut failed = Vec::new();
        router.forwarder.program(&changes, &mut |at, e| failed.push((at, e)));
        let refused = ForwarderError::Refused("only (S,G) entries can be programmed");
        assert_eq!(failed, [(400, refused)]);
        let entries = run("ip mroute show");
        assert_eq!(entries.matches("Iif: a").count(), 998, "{entries}");
        assert!(router.forwarder.counters(flow(2, 300)).is_some());
        assert_eq!(router.forwarder.counters(flow(2, 400)), None);
        send(&a, flow(2, 999), b"last word");
        assert!(c.wait_receive().ends_with(b"last word"));
        send(&a, flow(2, 500), b"x");
        assert!(b.wait_receive().ends_with(b"x"));

        for change in &mut changes {
            change.state = None;
        }
        failed.clear();
        router.forwarder.program(&changes, &mut |at, e| failed.push((at, e)));
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(run("ip mroute show"), "");
    }

    fn many_changes_need_few_system_calls() {
        let router = Router::start(0);
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let (one, both) = ([b.key()], [b.key(), c.key()]);
        let unbatched = || router.forwarder.kernel_counters().unwrap().unbatched_changes;
        for oifs in [Some(&[][..]), Some(&one), Some(&both), Some(&[]), None] {
            let state = oifs.map(|oifs| EntryState { iif: a.key(), oifs });
            let changes: Vec<_> =
                (0..300).map(|n| EntryChange { flow: flow(2, n), state }).collect();
            router.forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
            let entries = run("ip mroute show");
            let count = |what| entries.matches(what).count();
            let with_oifs = oifs.map_or(0, |oifs| if oifs.is_empty() { 0 } else { 300 });
            assert_eq!((count("Iif: a"), count("Oifs:")), (if state.is_some() { 300 } else { 0 }, with_oifs));
            assert_eq!(unbatched(), 0, "{oifs:?}");
        }
        // What netlink cannot do is counted.
        let nowhere = IfKey::new(4000, Ipv4Addr::UNSPECIFIED);
        let state = Some(EntryState { iif: nowhere, oifs: &one });
        let changes: Vec<_> = (0..20).map(|n| EntryChange { flow: flow(3, n), state }).collect();
        router.forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
        assert_eq!(unbatched(), 20);
    }

    fn a_lost_capability_does_not_matter() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let (f, oifs) = (flow(2, 8), [b.key()]);
        let state = Some(EntryState { iif: a.key(), oifs: &oifs });
        let changes: Vec<_> =
            (0..200).map(|n| EntryChange { flow: flow(3, n), state }).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                give_up_capabilities();
                router.forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
                router.program(f, &a, &[&b]);
            });
        });
        assert_eq!(run("ip mroute show").matches("Iif: a").count(), 201);
    }

    fn igmp_does_not_displace_reports() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        // While the report of one flow is being handled, IGMP pours in.
        let go_on = Arc::new(AtomicBool::new(false));
        let waits = Arc::clone(&go_on);
        let first = flow(2, 9);
        router.seen.on_event_slowly(move |event| {
            if matches!(event, Event::NoCache { flow, .. } if *flow == first) {
                wait_for("the flood to end", || waits.load(SeqCst).then_some(()));
            }
        });
        send(&a, first, b"x");
        router.seen.wait_no_cache(first);
        let report = [0x16, 0, 0, 0, 232, 1, 1, 1];
        let igmp = ip_packet(2, Ipv4Addr::new(10, 1, 0, 9), Ipv4Addr::new(232, 1, 1, 1), 1, &report);
        for _ in 0..5000 {
            a.send(&igmp);
        }
        send(&a, flow(2, 10), b"x");
        router.seen.wait_no_cache(flow(2, 10));
        go_on.store(true, SeqCst);
        let counters = router.forwarder.kernel_counters().unwrap();
        assert_eq!((counters.dropped_reports, counters.malformed), (0, 0));
    }

    fn a_burst_of_new_flows_is_resolved() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let (iif, oif) = (a.key(), b.key());
        let forwarder = router.forwarder;
        router.seen.on_event(move |event| {
            if let Event::NoCache { flow, .. } = event {
                program(forwarder, *flow, Some((iif, &[oif])));
            }
        });
        const FLOWS: u16 = 3000;
        for n in 0..FLOWS {
            send(&a, flow(2, n), b"x");
        }
        // Reports may be lost, and are counted then; the next packet brings another.
        for n in 0..FLOWS {
            if router.forwarder.counters(flow(2, n)).is_none() {
                wait_for("the flow's entry", || {
                    send(&a, flow(2, n), b"x");
                    router.forwarder.counters(flow(2, n))
                });
            }
        }
        assert_eq!(router.seen.count(|e| matches!(e, Event::Lost(_))), 0);
    }

    fn a_callback_that_hangs_stops_no_other_flow() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let hung = Arc::new(Mutex::new(0));
        let go_on = Arc::new(AtomicBool::new(false));
        let (count, waits) = (Arc::clone(&hung), Arc::clone(&go_on));
        router.seen.on_event_slowly(move |event| {
            if matches!(event, Event::NoCache { flow, .. } if flow.source().octets()[3] == 66) {
                *count.lock().unwrap() += 1;
                wait_for("to be let go", || waits.load(SeqCst).then_some(()));
            }
        });
        // Five that hang, among others, in one burst; then others again.
        for n in 0..50 {
            send(&a, flow(if n % 10 == 3 { 66 } else { 2 }, n), b"x");
        }
        for n in (0..50).filter(|n| n % 10 != 3) {
            router.seen.wait_no_cache(flow(2, n));
        }
        wait_for("all five to hang", || (*hung.lock().unwrap() == 5).then_some(()));
        for n in 100..150 {
            send(&a, flow(2, n), b"x");
            router.seen.wait_no_cache(flow(2, n));
        }
        // One more each time that a thread took over. Whoever waits for a processor inside a call is
        // taken for one that hangs, but there is none for each flow.
        let added = router.threads.added();
        assert!((5..15).contains(&added), "{added}");
        assert!((3 + 5..=3 + added as usize).contains(&router.threads.threads()));
        go_on.store(true, SeqCst);
        wait_for("those that were added to end", || (router.threads.threads() == 3).then_some(()));
        send(&a, flow(2, 200), b"x");
        router.seen.wait_no_cache(flow(2, 200));
        router.stop();
    }

    fn two_tables_at_once() {
        let one = Router::start(0);
        let other = Router::start(77);
        let [a, b, c] = three_cables();
        let again = other_router_error(Router::try_start(77));
        assert_eq!(again.to_string(), ANOTHER);
        assert_eq!(other_router_error(Router::try_start(0)).to_string(), ANOTHER);
        one.take(&[&a, &b]);
        other.take(&[&c]);
        let d = Cable::new("d", Some("10.4.0.1/24"));
        other.take(&[&d]);
        run("ip mrule add iif c lookup 77");
        let f = flow(2, 11);
        send(&c, f, b"x");
        other.seen.wait_no_cache(f);
        other.program(f, &c, &[&d]);
        assert!(d.wait_receive().ends_with(b"x"));
        let many: Vec<_> = (0..20)
            .map(|n| EntryChange { flow: flow(3, n), state: None })
            .chain((0..20).map(|n| EntryChange {
                flow: flow(4, n),
                state: Some(EntryState { iif: c.key(), oifs: &[] }),
            }))
            .collect();
        other.forwarder.program(&many, &mut |at, e| panic!("{at}: {e}"));
        assert_eq!(other.forwarder.counters(f).unwrap().packets, 1);
        assert_eq!(one.forwarder.counters(f), None);
        assert_eq!(run("ip mroute show table 77").matches("Iif: c").count(), 21);
        assert_eq!(run("ip mroute show table default"), "");
        send(&a, f, b"x");
        one.seen.wait_no_cache(f);
        one.program(f, &a, &[&b]);
        send_until_received(&a, f, &b);
        assert_eq!(other.seen.count(|e| matches!(e, Event::Lost(_))), 0);
        other.stop();
        assert_eq!(run("ip mroute show table 77"), "");
        send_until_received(&a, f, &b);
    }
}

const ANOTHER: &str = "another multicast router runs on this table in this network namespace";

fn other_router_error(result: Result<Router, ForwarderError>) -> ForwarderError {
    result.err().expect("a second router must be refused")
}

/// Takes all capabilities from the calling thread.
pub fn give_up_capabilities() {
    let header = [0x2008_0522u32, 0];
    let none = [0u32; 6];
    // SAFETY: version 3 of the call reads a header of two and data of six numbers.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
