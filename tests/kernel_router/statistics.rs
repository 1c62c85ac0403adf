//! What is counted, over changes of the outgoing list and over lifetimes (rules E8, E13).

use crate::netns::meddler::Meddler;
use crate::netns::recorder::{flow, send};
use crate::netns::{Cable, ip_packet, run, wait_for};
use crate::netns_tests;
use crate::stage::{Entry, Router, SetOnDrop, Told, any, three_cables};
use mgm::types::SourceGroup;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn counted(router: &Router, flow: SourceGroup, packets: u32) -> Entry {
    wait_for(&format!("{packets} packets counted"), || {
        router.entry(flow).filter(|e| e.counters.packets == packets)
    })
}

fn send_many(cable: &Cable, flow: SourceGroup, count: u32) {
    for _ in 0..count {
        send(cable, flow, b"0123456789");
    }
}

/// So many packets come out of the cable, and no more. They are counted before they are sent on.
fn comes_out(cable: &Cable, packets: u32) {
    let mut count = 0;
    wait_for(&format!("{packets} packets on {}", cable.peer), || {
        count += drain(cable);
        (count >= packets).then_some(())
    });
    assert_eq!(count, packets, "on {}", cable.peer);
}

/// Packets that have come out of the cable by now.
fn drain(cable: &Cable) -> u32 {
    let mut count = 0;
    while cable.receive().is_some() {
        count += 1;
    }
    count
}

/// A flow from a, with b among its oifs from the first of 15 packets on, and c for the last five.
fn fifteen_of_which_c_got_five() -> (Router, [Cable; 3], SourceGroup) {
    let (router, [a, b, c]) = (Router::start(), three_cables());
    router.take(&[&a, &b, &c]);
    let f = flow(2, 1);
    router.join(any(f), b.key());
    send(&a, f, b"0123456789");
    counted(&router, f, 1);
    send_many(&a, f, 9);
    // The first packet may be counted before the library knows that the entry is in place.
    let entry = wait_for("the entry to be in place", || {
        router.entry(f).filter(|e| e.out_packets == [10] && e.counters.packets == 10)
    });
    assert_eq!(entry.counters.octets, 10 * 38);
    router.join(any(f), c.key());
    send_many(&a, f, 5);
    assert_eq!(counted(&router, f, 15).out_packets, [15, 5]);
    (router, [a, b, c], f)
}

netns_tests! {
    fn the_state_names_devices() {
        let (router, [a, b, c]) = (Router::start(), three_cables());
        router.take(&[&a, &b, &c]);
        let f = flow(2, 1);
        router.join(any(f), b.key());
        send(&a, f, b"x");
        router.wait_entry(f, a.key(), &[b.key()]);
        let state = || {
            let mut text = Vec::new();
            router.mgm.write_state(&mut text).unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()
        };
        let found = state();
        let names = |list: &str| {
            let rows = found[list].as_array().unwrap().iter();
            rows.map(|row| row["interface"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((names("interfaces"), names("groups")), (vec!["a".into(), "b".into(), "c".into()], vec!["b".to_owned()]));
        let mfe = &found["mfes"][0];
        assert_eq!((&mfe["iif"]["name"], &mfe["oifs"][0]["interface"]["name"]), (&"a".into(), &"b".into()));
        assert_eq!(found["counters"]["new_flows"], 1);
        // A new name shows at once.
        run("ip link set c down && ip link set c name lan && ip link set lan up");
        assert_eq!(state()["interfaces"][2]["interface"]["name"], "lan");
    }

    fn each_interface_counts_from_when_it_joined() {
        let (router, [a, b, c], f) = fifteen_of_which_c_got_five();
        router.leave(any(f), b.key());
        send_many(&a, f, 3);
        assert_eq!(counted(&router, f, 18).out_packets, [8]);
        router.join(any(f), b.key());
        send_many(&a, f, 2);
        assert_eq!(counted(&router, f, 20).out_packets, [2, 10]);
        // On a wrong interface: counted, but not as forwarded.
        send_many(&c, f, 4);
        let entry = wait_for("four on a wrong interface", || {
            router.entry(f).filter(|e| e.counters.wrong_interface == 4)
        });
        assert_eq!(entry.counters.packets, 20);
        assert_eq!(entry.counters.octets, 20 * 38);
        assert_eq!(entry.out_packets, [2, 10]);
        // What was really sent.
        comes_out(&b, 17);
        comes_out(&c, 10);
        router.agrees_with_kernel();
    }

    /// Linux counts for an entry alone, before it looks at the TTL: packets that it does not send
    /// count for each outgoing interface. Where it looks is told in the manual.
    fn what_the_kernel_does_not_send_counts_as_sent() {
        let (router, [a, b, c], f) = fifteen_of_which_c_got_five();
        for _ in 0..3 {
            a.send(&ip_packet(17, f.source(), f.group(), 1, b"0123456789"));
        }
        assert_eq!(counted(&router, f, 18).out_packets, [18, 8]);
        comes_out(&b, 15);
        comes_out(&c, 5);
        let vifs = std::fs::read_to_string("/proc/thread-self/net/ip_mr_vif").unwrap();
        let sent = |cable: &Cable| -> Option<u32> {
            let line = vifs.lines().find(|line| line.split_whitespace().nth(1) == Some(&cable.name));
            line?.split_whitespace().nth(5)?.parse().ok()
        };
        assert_eq!((sent(&b), sent(&c)), (Some(15), Some(5)), "{vifs}");
    }

    fn what_somebody_else_deletes_counts_anew() {
        let (router, [a, b, c], f) = fifteen_of_which_c_got_five();
        let meddler = Meddler::new();
        for changes in [false, true] {
            if changes {
                // It goes from c (VIF 2) to a (VIF 0).
                meddler.add(f, 2, &[0]);
            } else {
                meddler.delete(f);
            }
            router.wait_entry(f, a.key(), &[b.key(), c.key()]);
            send_many(&a, f, 3);
            let entry = wait_for("what came since", || {
                router.entry(f).filter(|e| e.out_packets == [3, 3])
            });
            assert_eq!((entry.counters.packets, entry.counters.octets), (3, 3 * 38));
            router.leave(any(f), c.key());
            router.join(any(f), c.key());
            send_many(&a, f, 1);
            assert_eq!(counted(&router, f, 4).out_packets, [4, 1]);
        }
        router.agrees_with_kernel();
    }

    /// The kernel sends up to 4 packets that waited, and does not tell them from others.
    fn a_flow_of_one_packet_lives_one_lifetime() {
        let router = Router::with_clock();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let (one, six) = (flow(2, 1), flow(2, 2));
        for f in [one, six] {
            router.join(any(f), b.key());
            send(&a, f, b"x");
            counted(&router, f, 1);
        }
        send_many(&a, six, 5);
        counted(&router, six, 6);
        router.protocol.clear();
        router.pass(899);
        assert!(router.entry(one).is_some());
        router.pass(1);
        assert_eq!(router.entry(one), None);
        router.wait_gone(one);
        let asked = |f| router.protocol.count(|told| *told == Told::Rpf(f));
        assert_eq!((asked(one), asked(six)), (0, 1));
        // One packet in a later lifetime is one that it carried.
        send(&a, six, b"x");
        counted(&router, six, 7);
        router.pass(900);
        assert_eq!(asked(six), 2);
        router.pass(900);
        router.wait_gone(six);
        router.agrees_with_kernel();
    }

    fn lifetimes_rebuild_what_is_used_and_end_what_is_idle() {
        let router = Router::with_clock();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let (used, idle) = (flow(2, 1), flow(2, 2));
        router.join(any(used), b.key());
        router.join(any(idle), b.key());
        for f in [idle, used] {
            send(&a, f, b"x");
            counted(&router, f, 1);
            b.wait_receive();
        }
        let before = 1;

        router.protocol.clear();
        let over = AtomicBool::new(false);
        // No more at once than the queues on their way hold, should the reader wait for a processor.
        const ON_THEIR_WAY: u32 = 100;
        let received = AtomicU32::new(0);
        let sent = std::thread::scope(|scope| {
            let ended = SetOnDrop(&over);
            let sender = scope.spawn(|| {
                let (mut sent, start) = (0, Instant::now());
                while !over.load(SeqCst) {
                    // 2,000 a second.
                    let due = start.elapsed() >= Duration::from_micros(500) * sent;
                    if due && sent < received.load(SeqCst) + ON_THEIR_WAY {
                        send(&a, used, b"x");
                        sent += 1;
                    }
                }
                sent
            });
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    received.fetch_add(drain(&b), SeqCst);
                    std::thread::yield_now();
                }
            });
            // It carried packets before each end, so it is built anew in place.
            for round in 1..=5 {
                let packets = router.entry(used).unwrap().counters.packets;
                wait_for("some more packets", || {
                    router.entry(used).filter(|e| e.counters.packets > packets + 100)
                });
                router.pass(900);
                let asked = router.protocol.count(|told| *told == Told::Rpf(used));
                assert_eq!(asked, round, "asked anew at each end");
            }
            drop(ended);
            sender.join().unwrap()
        });
        let mut received = received.into_inner();
        wait_for(&format!("all {sent} packets"), || {
            received += drain(&b);
            (received == sent).then_some(())
        });
        assert_eq!(counted(&router, used, before + sent).out_packets, [before + sent]);
        assert_eq!(router.entry(idle), None, "nothing came for it");
        router.wait_gone(idle);
        // In the end it is idle too.
        router.pass(900);
        router.pass(900);
        router.wait_gone(used);
        router.agrees_with_kernel();
    }
}
