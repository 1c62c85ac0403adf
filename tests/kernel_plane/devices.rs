//! Devices as interfaces: numbers, limits, devices that go and come.

use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, program, send, send_until_received};
use crate::netns::{Cable, DEADLINE, index_of, run, wait_for};
use crate::netns_tests;
use mgm::forwarder::{EntryChange, EntryState, Forwarder, ForwarderError};
use mgm::log::Level;
use mgm::types::IfKey;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

/// The devices that the kernel has as VIFs, by number.
pub fn vifs() -> Vec<(u32, String)> {
    let table = std::fs::read_to_string("/proc/thread-self/net/ip_mr_vif").unwrap();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    table.lines().skip(1).filter_map(line).collect()
}

fn wait_up(router: &Router, key: IfKey, up: bool) {
    router.seen.wait(&format!("{key} up {up}"), |e| *e == Event::Up(key, up));
}

netns_tests! {
    fn only_what_is_in_use_is_a_vif() {
        let router = Router::start(0);
        let [a, b] = [Cable::new("a", None), Cable::new("b", None)];
        assert_eq!(vifs(), []);
        let far = |n| IfKey::new(b.index, Ipv4Addr::new(10, 2, 0, n));
        router.take(&[&a, &a]);
        for key in [far(1), far(2), b.key()] {
            router.forwarder.add_interface(key).unwrap();
        }
        assert_eq!(vifs(), [(0, "a".into()), (1, "b".into())]);
        // A report names the device itself where it was taken, else the lowest next hop.
        send(&b, flow(2, 1), b"x");
        let report = router.seen.wait_no_cache(flow(2, 1));
        assert!(matches!(report, Event::NoCache { arrival, .. } if arrival == b.key()));
        router.forwarder.remove_interface(b.key());
        send(&b, flow(2, 2), b"x");
        let report = router.seen.wait_no_cache(flow(2, 2));
        assert!(matches!(report, Event::NoCache { arrival, .. } if arrival == far(1)));
        // One VIF, on while any next hop is joined.
        program(router.forwarder, flow(2, 3), Some((a.key(), &[far(2)])));
        send(&a, flow(2, 3), b"to a next hop");
        assert!(b.wait_receive().ends_with(b"to a next hop"));
        router.forwarder.remove_interface(far(1));
        assert_eq!(vifs().len(), 2);
        router.delete(flow(2, 3));
        router.forwarder.remove_interface(far(2));
        router.forwarder.remove_interface(far(2));
        assert_eq!(vifs(), [(0, "a".into())]);
        let unknown = router.forwarder.add_interface(IfKey::new(4000, Ipv4Addr::UNSPECIFIED));
        assert!(matches!(unknown, Err(ForwarderError::Os { errno: libc::ENODEV, .. })), "{unknown:?}");
    }

    fn the_33rd_interface_is_refused() {
        let router = Router::start(0);
        let cables: Vec<Cable> = (0..33).map(|n| Cable::new(&format!("v{n}"), None)).collect();
        for cable in &cables[..32] {
            router.take(&[cable]);
        }
        let refused = router.forwarder.add_interface(cables[32].key()).unwrap_err();
        assert!(refused.to_string().contains("limit of 32"), "{refused}");
        assert_eq!(vifs().len(), 32);
        // All of them work.
        let oifs: Vec<IfKey> = cables[1..32].iter().map(Cable::key).collect();
        program(router.forwarder, flow(2, 1), Some((cables[0].key(), &oifs)));
        send(&cables[0], flow(2, 1), b"x");
        for cable in &cables[1..32] {
            assert!(cable.wait_receive().ends_with(b"x"));
        }
        // One that was given up makes room.
        program(router.forwarder, flow(2, 1), Some((cables[0].key(), &oifs[1..])));
        router.forwarder.remove_interface(cables[1].key());
        router.take(&[&cables[32]]);
        assert!(vifs().contains(&(1, "v32".into())));
        send(&cables[0], flow(2, 1), b"y");
        assert!(cables[2].wait_receive().ends_with(b"y"));
        assert_eq!(cables[32].receive(), None);
    }

    fn the_number_of_a_device_that_has_gone_is_free_and_in_no_entry() {
        let router = Router::start(0);
        let cables: Vec<Cable> = (0..33).map(|n| Cable::new(&format!("v{n}"), None)).collect();
        for cable in &cables[..32] {
            router.take(&[cable]);
        }
        let (through, from) = (flow(2, 1), flow(2, 2));
        router.program(through, &cables[0], &[&cables[1], &cables[2]]);
        router.program(from, &cables[1], &[&cables[0]]);
        send_until_received(&cables[0], through, &cables[2]);
        run("ip link del dev v1");
        // At once, whether or not anybody has heard of it.
        router.take(&[&cables[32]]);
        assert!(vifs().contains(&(1, "v32".into())));
        wait_up(&router, cables[1].key(), false);
        send(&cables[0], through, b"goes on");
        let received = || cables[2].receive().filter(|packet| packet.ends_with(b"goes on"));
        wait_for("the packet", received);
        assert_eq!(cables[32].receive(), None);
        send(&cables[32], from, b"of nobody's entry");
        router.seen.wait_no_cache(from);
        assert_eq!(cables[0].receive(), None);
        // It is back, and waits until a number is free.
        let back = Cable::with("v1", None, &format!("index {}", cables[1].index));
        router.seen.wait("a line of the log", |e| {
            matches!(e, Event::Log(Level::Error, text) if text.contains("its device is back"))
        });
        router.forwarder.remove_interface(cables[31].key());
        wait_up(&router, back.key(), true);
        router.program(through, &cables[0], &[&back]);
        send_until_received(&cables[0], through, &back);
    }

    fn a_number_is_not_used_again_while_an_entry_names_it() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b]);
        router.program(flow(2, 1), &a, &[&b]);
        send_until_received(&a, flow(2, 1), &b);
        // Not what the group manager does, but a failed change may leave it like this.
        router.forwarder.remove_interface(b.key());
        router.take(&[&c]);
        assert_eq!(vifs(), [(0, "a".into()), (2, "c".into())]);
        router.program(flow(2, 2), &a, &[&c]);
        send(&a, flow(2, 1), b"old flow");
        send(&a, flow(2, 2), b"new flow");
        assert!(c.wait_receive().ends_with(b"new flow"));
        router.delete(flow(2, 1));
        router.take(&[&b]);
        assert_eq!(vifs().len(), 3);
        assert!(vifs().contains(&(1, "b".into())));
    }

    fn news_of_a_device_that_was_taken_again_are_the_present_ones() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &c]);
        let (forwarder, a, b, c) = (router.forwarder, a.key(), b.key(), c.key());
        router.seen.on_event(move |event| {
            if *event == Event::Up(a, false) {
                // The news of both come together.
                run("ip link set dev b down");
                run("ip link set dev c down");
            } else if *event == Event::Up(b, false) {
                // While those of the second wait, it works again and changes hands.
                run("ip link set dev c up");
                forwarder.remove_interface(c);
                forwarder.add_interface(c).unwrap();
            }
        });
        run("ip link set dev a down");
        wait_up(&router, b, false);
        wait_for("the second to be told to work", || {
            let all = router.seen.all();
            let told = all.iter().rev().find(|e| matches!(e, Event::Up(key, _) if *key == c));
            (told == Some(&Event::Up(c, true))).then_some(())
        });
    }

    fn a_number_that_somebody_else_took_is_left_to_them() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b]);
        // Not what the group manager does, but a failed change may leave an entry that names it.
        router.program(flow(2, 1), &a, &[&b]);
        router.forwarder.remove_interface(a.key());
        Meddler::new().add_vif(0, c.index);
        // Its own number from before is not to be had.
        router.take(&[&a]);
        assert_eq!(vifs(), [(0, "c".into()), (1, "b".into()), (2, "a".into())]);
        router.program(flow(2, 1), &a, &[&b]);
        send_until_received(&a, flow(2, 1), &b);
        router.program(flow(3, 1), &b, &[&a]);
        send_until_received(&b, flow(3, 1), &a);
        router.forwarder.remove_interface(a.key());
        assert_eq!(vifs(), [(0, "c".into()), (1, "b".into())]);
    }

    fn a_link_goes_down_and_up() {
        let router = Router::start(0);
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        let hop = IfKey::new(b.index, Ipv4Addr::new(10, 2, 0, 7));
        router.take(&[&a, &b]);
        router.forwarder.add_interface(hop).unwrap();
        router.program(flow(2, 1), &a, &[&b]);
        for (down, up) in [
            ("ip link set dev b down", "ip link set dev b up"),
            // The cable's other end: no carrier.
            ("ip link set dev bp down", "ip link set dev bp up"),
        ] {
            router.seen.clear();
            run(down);
            wait_up(&router, b.key(), false);
            wait_up(&router, hop, false);
            run(up);
            wait_up(&router, b.key(), true);
            wait_up(&router, hop, true);
            send_until_received(&a, flow(2, 1), &b);
        }
        assert_eq!(router.seen.count(|e| matches!(e, Event::Up(key, _) if *key == a.key())), 0);
        // A name means nothing.
        router.seen.clear();
        run("ip link set dev b name renamed");
        run("ip link set dev a down");
        wait_up(&router, a.key(), false);
        assert_eq!(router.seen.count(|e| matches!(e, Event::Up(key, _) if *key == b.key())), 0);
        assert_eq!(vifs(), [(0, "a".into()), (1, "renamed".into())]);
    }

    fn a_device_that_is_down_when_taken_is_told() {
        let router = Router::start(0);
        let a = Cable::new("a", None);
        run("ip link set dev a down");
        router.take(&[&a]);
        wait_up(&router, a.key(), false);
        run("ip link set dev a up");
        wait_up(&router, a.key(), true);
    }

    fn a_device_goes_and_comes_back_with_its_number() {
        let router = Router::start(0);
        let a = Cable::new("a", None);
        let b = Cable::with("b", None, "index 77");
        let c = Cable::new("c", None);
        router.take(&[&a, &b]);
        router.program(flow(2, 1), &a, &[&b]);
        send_until_received(&a, flow(2, 1), &b);
        run("ip link delete dev b");
        wait_up(&router, b.key(), false);
        assert_eq!(vifs(), [(0, "a".into())]);
        // Its number is kept: no other device gets the old flow.
        router.take(&[&c]);
        assert_eq!(vifs(), [(0, "a".into()), (2, "c".into())]);
        router.seen.clear();
        let b = Cable::with("b", None, "index 77");
        wait_up(&router, b.key(), true);
        assert!(vifs().contains(&(1, "b".into())));
        send_until_received(&a, flow(2, 1), &b);
        assert_eq!(c.receive(), None);
        send(&b, flow(3, 1), b"x");
        router.seen.wait_no_cache(flow(3, 1));
        // Gone for good: the number is free once nobody is on it and no entry names it.
        run("ip link delete dev b");
        wait_up(&router, b.key(), false);
        router.delete(flow(2, 1));
        router.forwarder.remove_interface(b.key());
        let d = Cable::new("d", None);
        router.take(&[&d]);
        assert!(vifs().contains(&(1, "d".into())));
    }

    fn a_device_moves_to_another_namespace_and_back() {
        let router = Router::start(0);
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b]);
        router.program(flow(2, 1), &a, &[&b]);
        let elsewhere = Elsewhere::new();
        run(&format!("ip link set dev b netns {}", elsewhere.0.id()));
        wait_up(&router, b.key(), false);
        assert_eq!(vifs(), [(0, "a".into())]);
        let back = format!("ip link set dev b netns {}", std::process::id());
        elsewhere.run(&back);
        run("ip link set dev b up");
        assert_eq!(index_of("b"), b.index, "the index is free, so it comes back with it");
        wait_up(&router, b.key(), true);
        send_until_received(&a, flow(2, 1), &b);
    }

    fn leaving_a_bridge_is_not_leaving() {
        let router = Router::start(0);
        let a = Cable::new("a", None);
        router.take(&[&a]);
        run("ip link add name br0 type bridge && ip link set dev a master br0");
        run("ip link set dev a nomaster");
        // A change that is told comes after those.
        run("ip link set dev a down");
        wait_up(&router, a.key(), false);
        assert_eq!(router.seen.count(|e| matches!(e, Event::Up(..))), 1);
    }

    fn strict_reverse_path_filtering_is_warned_of() {
        let router = Router::start(0);
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        let warned = |e: &Event| {
            matches!(e, Event::Log(Level::Warn, text) if text.contains("rp_filter"))
        };
        router.take(&[&a]);
        assert_eq!(router.seen.count(warned), 0);
        run("echo 1 > /proc/sys/net/ipv4/conf/b/rp_filter");
        router.take(&[&b]);
        assert_eq!(router.seen.count(warned), 1);
    }

    fn a_vif_that_somebody_deletes_is_made_again() {
        let router = Router::start(0);
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b]);
        router.program(flow(2, 1), &a, &[&b]);
        Meddler::new().delete_vif(1);
        wait_for("the VIF to be made again", || (vifs().len() == 2).then_some(()));
        send_until_received(&a, flow(2, 1), &b);
    }

    fn a_vif_that_somebody_gives_to_another_device_is_taken_back() {
        let router = Router::start(0);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &d]);
        router.program(flow(2, 1), &a, &[&b]);
        let (a_index, c_index) = (a.index, c.index);
        // To one that is no interface of ours, and to one that is.
        for (index, news) in [(c_index, "down"), (a_index, "up")] {
            during_news(&router, &d, news, move || {
                let meddler = Meddler::new();
                meddler.delete_vif(1);
                meddler.add_vif(1, index);
            });
            let right = [(0, "a".into()), (1, "b".into()), (2, "d".into())];
            wait_for("it to be b's again", || (vifs() == right).then_some(()));
            send_until_received(&a, flow(2, 1), &b);
        }
        let taken_back = |e: &Event| {
            matches!(e, Event::Log(Level::Warn, text) if text.contains("taken back"))
        };
        wait_for("two lines", || (router.seen.count(taken_back) == 2).then_some(()));
    }

    fn a_vif_that_somebody_makes_with_the_number_of_a_device_that_is_gone_goes() {
        let router = Router::start(0);
        let a = Cable::new("a", None);
        let b = Cable::with("b", None, "index 77");
        let c = Cable::new("c", None);
        router.take(&[&a, &b]);
        router.program(flow(2, 1), &a, &[&b]);
        run("ip link delete dev b");
        wait_up(&router, b.key(), false);
        Meddler::new().add_vif(1, c.index);
        wait_for("it to go", || (vifs() == [(0, "a".into())]).then_some(()));
        let _b = Cable::with("b", None, "index 77");
        wait_up(&router, b.key(), true);
        assert_eq!(vifs(), [(0, "a".into()), (1, "b".into())]);
    }

    fn entries_written_while_a_vif_is_gone_name_it_once_it_is_made_again() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &c]);
        let (forwarder, a_key, b_key) = (router.forwarder, a.key(), b.key());
        during_news(&router, &c, "down", move || {
            Meddler::new().delete_vif(1);
            program_many(forwarder, a_key, b_key);
            program(forwarder, flow(3, 1), Some((b_key, &[a_key])));
        });
        wait_oifs("b", MANY);
        send_until_received(&a, flow(2, 1), &b);
        send_until_received(&b, flow(3, 1), &a);
        // In place: nobody has to program them, and what was counted stays.
        assert_eq!(router.seen.count(|e| matches!(e, Event::Lost(_))), 0);
    }

    fn entries_written_while_a_device_is_gone_name_it_once_it_is_back() {
        let router = Router::start(0);
        let a = Cable::new("a", None);
        let b = Cable::with("b", None, "index 77");
        let c = Cable::new("c", None);
        router.take(&[&a, &b, &c]);
        let (forwarder, a_key, b_key) = (router.forwarder, a.key(), b.key());
        during_news(&router, &c, "down", move || {
            run("ip link delete dev b");
            program_many(forwarder, a_key, b_key);
            // It works at once, so that nobody is told that it did not.
            Cable::with("b", None, "index 77");
        });
        wait_oifs("b", MANY);
        send_until_received(&a, flow(2, 1), &Cable::existing("b"));
    }

    fn an_entry_that_somebody_deleted_with_its_vif_is_told() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &c]);
        router.program(flow(2, 1), &a, &[&b]);
        during_news(&router, &c, "down", || {
            let meddler = Meddler::new();
            meddler.delete_vif(1);
            meddler.delete(flow(2, 1));
        });
        router.seen.wait("the loss", |e| *e == Event::Lost(flow(2, 1)));
    }
}

/// Enough for batches, and for several turns of writing again.
const MANY: usize = 1000;

fn program_many(forwarder: &dyn Forwarder, iif: IfKey, oif: IfKey) {
    let state = Some(EntryState { iif, oifs: &[oif] });
    let change = |n| EntryChange { flow: flow(2, n as u16), state };
    let changes: Vec<_> = (0..MANY).map(change).collect();
    forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
}

/// Waits until the kernel has so many entries that go out of the device.
pub fn wait_oifs(name: &str, count: usize) {
    let oifs = format!("Oifs: {name} ");
    wait_for(&format!("{count} entries with {oifs}"), || {
        (run("ip mroute show").matches(&oifs).count() == count).then_some(())
    });
}

/// Does something while the netlink thread tells that a device goes down or up, and so notices
/// nothing else.
pub fn during_news(
    router: &Router,
    of: &Cable,
    news: &str,
    act: impl Fn() + Send + Sync + 'static,
) {
    let event = Event::Up(of.key(), news == "up");
    let (tell, told) = mpsc::channel();
    router.seen.on_event(move |told| {
        if *told == event {
            act();
            tell.send(()).unwrap();
        }
    });
    run(&format!("ip link set dev {} {news}", of.name));
    told.recv_timeout(DEADLINE).unwrap();
}

/// A network namespace held by a process that waits.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo there && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        assert_eq!(&line, b"there\n");
        Self(child)
    }

    fn run(&self, line: &str) {
        run(&format!("nsenter -t {} -n {line}", self.0.id()));
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // The process ends with its input.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
