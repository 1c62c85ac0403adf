//! Many new flows, slow clients, and floods of spoofed ones (rules E1, G1).

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::running::amount;
use crate::netns::{Cable, DEADLINE, alone, udp, wait_for};
use crate::netns_tests;
use crate::scheduled::Scheduled;
use crate::stage::{JOIN, Router, SetOnDrop, Told, any, kernel_entries, memory, three_cables};
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long a flood lasts; a minute in `make nightly`.
fn flood_time() -> Duration {
    let seconds = std::env::var("MGM_FLOOD_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// The `n`th spoofed flow: directly connected sources, any group.
fn spoofed(n: u64) -> SourceGroup {
    let [.., a, b, c] = (n as u32).to_be_bytes();
    SourceGroup::new(
        Ipv4Addr::new(10, 1, (n % 3) as u8, 10 + (n % 240) as u8),
        Ipv4Addr::new(238, a, b, c),
    )
}

/// Flows that wait for an entry, in the kernel.
fn unresolved() -> usize {
    let cache = std::fs::read_to_string("/proc/net/ip_mr_cache").unwrap();
    cache.lines().skip(1).filter(|line| line.split_whitespace().nth(2) == Some("-1")).count()
}

/// How many packets that a device sent found the queue of received packets behind it full.
fn dropped_by(device: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{device}:")));
    line.unwrap().split_whitespace().nth(11).unwrap().parse().unwrap()
}

/// Times, from the shortest to the longest.
struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn middle(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// The longest but for one in a hundred, and for one in any case.
    fn most(&self) -> Duration {
        self.0[self.0.len() - 1 - (self.0.len() / 100).max(1).min(self.0.len() - 1)]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (middle, most, worst) = (self.middle(), self.most(), self.0[self.0.len() - 1]);
        write!(f, "{middle:.1?} (middle), {most:.1?} (but for 1 %), {worst:.1?} (worst)")
    }
}

/// What a flood did.
struct Flood {
    packets: u64,
    kept: Kept,
    /// How long it took until a join showed as a packet.
    effective: Times,
    /// How long the call for it was held up otherwise than by threads waiting for a processor.
    held_up: Times,
    /// The most flows that were seen waiting in the kernel, and the most entries in the library.
    waiting: usize,
    entries: usize,
    /// KiB of memory that came to be used.
    grown: u64,
}

/// What became of the established flow's packets.
struct Kept {
    sent: u64,
    /// Of anything: found the kernel's queue of received packets full, before the router.
    not_taken_in: u64,
    forwarded: u64,
    /// The same behind the router.
    not_taken_out: u64,
    /// This program was late in reading what had come.
    not_read: u64,
    arrived: u64,
}

/// Floods the router through `a` while an established flow goes from `a` to `b` at 1,000 packets
/// a second, and joins and leaves of another group are made on `c`.
fn flood(router: &Router, cables: [&Cable; 3], kept: SourceGroup) -> Flood {
    let [a, b, c] = cables;
    let over = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let packets = AtomicU64::new(0);
    let toggled = SourceGroup::new(Ipv4Addr::new(10, 1, 0, 3), Ipv4Addr::new(232, 9, 9, 9));
    send(a, toggled, b"x");
    wait_for("the entry", || router.entry(toggled));
    while b.receive().is_some() {}
    b.lost();
    let [flooding, sending, asking] = [(); 3].map(|()| Cable::existing("a"));
    let (in_before, out_before) = (dropped_by(&a.peer), dropped_by(&b.name));
    let forwarded_before = router.entry(kept).unwrap().counters.packets;
    router.protocol.stop_recording();
    let memory_before = memory();
    std::thread::scope(|scope| {
        let _over = SetOnDrop(&over);
        let _done = SetOnDrop(&done);
        scope.spawn(|| {
            for n in 0.. {
                if over.load(SeqCst) {
                    break;
                }
                let f = spoofed(n);
                flooding.send(&udp(f.source(), f.group(), b""));
                packets.fetch_add(1, SeqCst);
            }
        });
        // The established flow, and the one that is joined and left.
        let sender = scope.spawn(|| {
            let (start, mut sent) = (Instant::now(), 0);
            while !over.load(SeqCst) {
                if start.elapsed() >= Duration::from_millis(sent) {
                    send(&sending, kept, b"kept");
                    send(&sending, toggled, b"toggled");
                    sent += 1;
                } else {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            sent
        });
        let receiver = scope.spawn(|| {
            let mut arrived = 0;
            loop {
                // Before the last look, so that nothing is missed.
                let last = done.load(SeqCst);
                while b.receive().is_some() {
                    arrived += 1;
                }
                if last {
                    return arrived;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let (mut effective, mut held_up) = (Vec::new(), Vec::new());
        let (mut waiting, mut entries, mut grown) = (0, 0, 0);
        let mut look = Instant::now();
        let begun = Instant::now();
        while begun.elapsed() < flood_time() {
            while c.receive().is_some() {}
            let (scheduled, joined) = (Scheduled::now(), Instant::now());
            router.mgm.add_membership(router.id, any(toggled), c.key(), JOIN).unwrap();
            held_up.push(scheduled.held_up(joined.elapsed()));
            send(&asking, toggled, b"toggled");
            while c.receive().is_none() {
                assert!(joined.elapsed() < DEADLINE, "the join takes no effect");
            }
            effective.push(joined.elapsed());
            router.leave(any(toggled), c.key());
            waiting = waiting.max(unresolved());
            if look < Instant::now() {
                look = Instant::now() + Duration::from_secs(2);
                entries = entries.max(router.total_entries());
                grown = grown.max(memory().saturating_sub(memory_before));
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        over.store(true, SeqCst);
        let sent = sender.join().unwrap();
        // What is on its way arrives while nothing else does.
        let counted = || router.entry(kept).unwrap().counters.packets;
        let mut before = counted();
        wait_for("the flow to end", || {
            std::thread::sleep(Duration::from_millis(50));
            (std::mem::replace(&mut before, counted()) == before).then_some(())
        });
        done.store(true, SeqCst);
        let arrived = receiver.join().unwrap();
        let kept = Kept {
            sent,
            not_taken_in: dropped_by(&a.peer) - in_before,
            forwarded: u64::from(counted() - forwarded_before),
            not_taken_out: dropped_by(&b.name) - out_before,
            not_read: b.lost(),
            arrived,
        };
        let (effective, held_up) = (Times::new(effective), Times::new(held_up));
        eprintln!(
            "{:.0} spoofed packets/s for {seconds:.0} s; established flow: {sent} sent, {} \
             forwarded, {arrived} read, {} came too fast to be read; {} joins: effective after \
             {effective}, held up for {held_up}; at most {entries} entries, {waiting} waiting in \
             the kernel; {} log lines; {grown} KiB more memory",
            packets.load(SeqCst) as f64 / seconds,
            kept.forwarded,
            kept.not_read,
            effective.0.len(),
            router.lines().len(),
        );
        Flood { packets: packets.load(SeqCst), kept, effective, held_up, waiting, entries, grown }
    })
}

/// What must hold of any flood.
fn bore_it(router: &Router, cables: [&Cable; 3], flood: &Flood) {
    let ended = Instant::now();
    assert!(flood.packets > 20_000, "that was no flood");
    // The established flow loses nothing. What a flood can make the machine lose before and behind
    // the router is counted, and by nothing else can a packet be missing.
    let Kept { sent, not_taken_in, forwarded, not_taken_out, not_read, arrived } = flood.kept;
    assert!(
        forwarded <= sent && sent <= forwarded + not_taken_in,
        "{sent} sent, {forwarded} forwarded, {not_taken_in} dropped before the router"
    );
    assert!(
        arrived <= forwarded && forwarded <= arrived + not_taken_out + not_read,
        "{forwarded} forwarded, {arrived} arrived, {not_taken_out} dropped, {not_read} not read"
    );
    // Other tests run beside this one in `make test`.
    let most = Duration::from_millis(amount(100, 500));
    assert!(flood.effective.middle() < most, "{}", flood.effective);
    // A machine with more to do than to run this test lets threads wait for a processor, which is
    // no fault of the library's. Whatever else holds up a join is.
    assert!(flood.held_up.most() < Duration::from_millis(100), "{}", flood.held_up);
    // The cap and the list of refused flows are small here.
    assert!(flood.grown < 16 << 10, "{} KiB more memory", flood.grown);
    let lines = router.lines().len() as u64;
    assert!(lines < 10 + flood_time().as_secs(), "{:#?}", router.lines());
    // Normal again: a new flow is forwarded with its first packet.
    let [a, b, _] = cables;
    wait_for("the kernel's list to empty", || (unresolved() == 0).then_some(()));
    // New entries of this very second count for a limit.
    let calm = Instant::now() + Duration::from_secs(2);
    wait_for("the flood's last second to end", || (Instant::now() > calm).then_some(()));
    let new = flow(77, 77);
    router.join(any(new), b.key());
    let begun = Instant::now();
    send(a, new, b"new");
    assert!(b.wait_receive().ends_with(b"new"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    router.wait_entry(new, a.key(), &[b.key()]);
    eprintln!("normal again {:.1?} after the flood", ended.elapsed());
}

netns_tests! {
    fn many_new_flows() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        router.join(SourceGroup::ALL, b.key());
        let flows = amount(50_000, 10_000);
        let begun = Instant::now();
        for n in 0..flows {
            send(&a, flow(2, n), b"x");
        }
        let mut sent = usize::from(flows);
        // A report may be lost, and is counted then; the flow's next packet brings another.
        let known = |n: u16| router.mgm.read_mfe(flow(2, n), false, &mut |_| ()).is_ok();
        let mut missing: Vec<u16> = (0..flows).collect();
        let mut found = Instant::now();
        while !missing.is_empty() {
            assert!(found.elapsed() < DEADLINE, "{} are lost", missing.len());
            let before = missing.len();
            missing.retain(|n| !known(*n));
            if missing.len() < before {
                found = Instant::now();
            }
            for n in missing.iter().take(1000) {
                send(&a, flow(2, *n), b"x");
                sent += 1;
            }
        }
        eprintln!("{flows} flows in {:?} with {sent} packets", begun.elapsed());
        assert_eq!(router.entries().len(), usize::from(flows));
        router.agrees_with_kernel();
    }

    fn slow_clients_hold_up_nobody_else() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a]);
        let (other, other_id) = router.another(200);
        router.mgm.take_interface(other_id, c.key()).unwrap();
        router.mgm.take_interface(other_id, b.key()).unwrap();
        router.mgm.add_membership(other_id, SourceGroup::ALL, b.key(), JOIN).unwrap();
        // One that never returns, as far as this test goes.
        let hangs = flow(66, 1);
        let (inside, go_on) = (&*Box::leak(Box::new(AtomicBool::new(false))),
            &*Box::leak(Box::new(AtomicBool::new(false))));
        router.protocol.on_call(move |told| {
            if *told == Told::Rpf(hangs) {
                inside.store(true, SeqCst);
                wait_for("the end of the test", || go_on.load(SeqCst).then_some(()));
            }
        });
        send(&a, hangs, b"x");
        wait_for("the client to hang", || inside.load(SeqCst).then_some(()));
        // Its flows wait …
        let waits = flow(2, 2);
        send(&a, waits, b"waits");
        // … others' flows are resolved, their alerts come, reads work.
        for n in 0..100 {
            let f = SourceGroup::new(Ipv4Addr::new(10, 3, 0, 2), Ipv4Addr::new(232, 3, 0, n));
            let begun = Instant::now();
            send(&c, f, b"other");
            assert!(b.wait_receive().ends_with(b"other"));
            wait_for("its RPF callback", || {
                (other.count(|told| *told == Told::Rpf(f)) == 1).then_some(())
            });
            assert!(begun.elapsed() < Duration::from_secs(5), "{f}: {:?}", begun.elapsed());
        }
        assert_eq!(router.entries().len(), 100);
        assert_eq!(router.entry(waits), None);
        // Devices and routes are seen to as well.
        crate::netns::run("ip link set dev c down");
        wait_for("the entries to go", || router.entries().is_empty().then_some(()));
        go_on.store(true, SeqCst);
        assert!(b.wait_receive().ends_with(b"x"));
        assert!(b.wait_receive().ends_with(b"waits"));
        router.agrees_with_kernel();
    }

    fn a_client_that_hangs_leaves_the_others_room() {
        let router = Router::with(|settings| settings.max_mfes = 2048);
        let [a, b, c] = three_cables();
        router.take(&[&a]);
        let (_, other) = router.another(200);
        for cable in [&b, &c] {
            router.mgm.take_interface(other, cable.key()).unwrap();
        }
        router.mgm.add_membership(other, SourceGroup::ALL, b.key(), JOIN).unwrap();
        let go_on = &*Box::leak(Box::new(AtomicBool::new(false)));
        router.protocol.on_call(|told| {
            if matches!(told, Told::Rpf(_)) && !go_on.load(SeqCst) {
                wait_for("the end of the test", || go_on.load(SeqCst).then_some(()));
            }
        });
        let _go_on = SetOnDrop(go_on);
        // More flows toward it than the cap allows: a quarter waits.
        wait_for("flows to be refused", || {
            for n in 0..3000 {
                send(&a, flow(2, n), b"x");
            }
            (router.counted("pending_flows") >= 512 && router.counted("refused_flows") > 0).then_some(())
        });
        assert_eq!(router.counted("pending_flows"), 512);
        // The other's flows are resolved.
        for n in 0..100 {
            let f = SourceGroup::new(Ipv4Addr::new(10, 3, 0, 2), Ipv4Addr::new(232, 3, 0, n));
            // Its report may find the buffer full; what is received may be an earlier one's.
            wait_for("an entry for the other's flow", || {
                send(&c, f, b"other");
                router.entry(f).filter(|entry| entry.oifs == [b.key()])
            });
        }
        go_on.store(true, SeqCst);
        wait_for("all that waited", || (router.counted("pending_flows") == 0).then_some(()));
        // And some whose reports were on their way.
        let made = router.counted("mfes");
        assert!(made >= 612, "{made} entries, {} pending", router.counted("pending_flows"));
    }

    fn a_client_whose_creation_callback_hangs_leaves_the_others_room() {
        let router = Router::with(|settings| settings.max_mfes = 2048);
        let [a, b, c] = three_cables();
        router.take(&[&a]);
        let ((hung, hung_id), (_, other)) = (router.another(200), router.another(201));
        router.mgm.take_interface(hung_id, b.key()).unwrap();
        router.mgm.take_interface(other, c.key()).unwrap();
        // The first client's flows go to the one that hangs, the other's to the first.
        let others = |n| SourceGroup::new(Ipv4Addr::new(10, 3, 0, 2), Ipv4Addr::new(232, 3, 0, n));
        for n in 0..1000 {
            router.mgm.add_membership(hung_id, any(flow(2, n)), b.key(), JOIN).unwrap();
        }
        for n in 0..100 {
            router.join(any(others(n)), a.key());
        }
        let go_on = &*Box::leak(Box::new(AtomicBool::new(false)));
        hung.on_call(|told| {
            if matches!(told, Told::Creation(_)) && !go_on.load(SeqCst) {
                wait_for("the end of the test", || go_on.load(SeqCst).then_some(()));
            }
        });
        let _go_on = SetOnDrop(go_on);
        wait_for("flows to be refused", || {
            for n in 0..1000 {
                send(&a, flow(2, n), b"x");
            }
            (router.counted("pending_flows") >= 512 && router.counted("refused_flows") > 0).then_some(())
        });
        // One more counts as long as the first client is asked about it.
        let only_512_wait = || {
            wait_for("no more than 512 that wait", || {
                (router.counted("pending_flows") == 512).then_some(())
            });
        };
        only_512_wait();
        assert_eq!(router.counted("mfes"), 0);
        // The others are not reported with each of their packets.
        wait_for("entries of refused flows", || {
            for n in 0..1000 {
                send(&a, flow(2, n), b"x");
            }
            let entries = crate::netns::run("ip mroute show");
            (entries.matches("State: resolved").count() >= 480).then_some(())
        });
        for n in 0..100 {
            wait_for("an entry for the other's flow", || {
                send(&c, others(n), b"other");
                router.entry(others(n)).filter(|entry| entry.oifs == [a.key()])
            });
        }
        // The first client has other flows as well, which the one that hangs has no part in.
        let own = SourceGroup::new(Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(232, 4, 0, 1));
        wait_for("an entry for the first client's flow", || {
            send(&a, own, b"own");
            router.entry(own).filter(|entry| entry.oifs.is_empty())
        });
        only_512_wait();
        go_on.store(true, SeqCst);
        wait_for("all that waited", || (router.counted("pending_flows") == 0).then_some(()));
        assert!(router.counted("mfes") >= 613, "{} entries", router.counted("mfes"));
    }

    fn a_flood_of_spoofed_flows() {
        let _alone = alone();
        let router = Router::with(|settings| settings.max_mfes = 4096);
        let cables = three_cables();
        let cables = cables.each_ref();
        router.take(&cables);
        let kept = flow(2, 1);
        router.join(any(kept), cables[1].key());
        send_until_received(cables[0], kept, cables[1]);
        let flood = flood(&router, cables, kept);
        // A quarter of the cap, which is for negative ones, and the two that are not.
        assert!(flood.entries <= 1024 + 2, "{} entries", flood.entries);
        assert!(kernel_entries().len() <= 4096);
        bore_it(&router, cables, &flood);
    }

    fn a_flood_of_flows_that_are_refused() {
        let _alone = alone();
        let router = Router::with(|settings| settings.max_new_mfes_per_second = 20);
        let cables = three_cables();
        let cables = cables.each_ref();
        router.take(&cables);
        let kept = flow(2, 1);
        router.join(any(kept), cables[1].key());
        send_until_received(cables[0], kept, cables[1]);
        let flood = flood(&router, cables, kept);
        assert!(flood.entries as u64 <= 20 * (flood_time().as_secs() + 5));
        // Entries go on being made while what waits in the kernel is reported.
        let in_kernel = kernel_entries().len();
        let ours = router.counted("mfes");
        assert!(in_kernel <= ours + 1024, "{in_kernel} entries in the kernel, {ours} of them ours");
        // A burst of so many is let in; once it is a flood, 256 and what the sender adds meanwhile.
        assert!(flood.waiting <= 10_240 + 2000, "{} flows wait in the kernel", flood.waiting);
        bore_it(&router, cables, &flood);
    }
}
