//! Devices that go, come back, change their name, their place and their state; next hops; the
//! kernel's limit.

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use crate::stage::{JOIN, Router, any, kernel_entries, three_cables};
use mgm::error::Error;
use mgm::types::IfKey;
use std::net::Ipv4Addr;
use std::process::{Child, Command};

netns_tests! {
    fn an_outgoing_device_is_deleted_and_comes_back() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = flow(2, 1);
        router.join(any(f), b.key());
        router.join(any(f), c.key());
        send_until_received(&a, f, &b);
        run("ip link del dev b");
        router.wait_entry(f, a.key(), &[c.key()]);
        // Another device in its place gets nothing of the old flow, though the number is free.
        let d = Cable::new("d", Some("10.4.0.1/24"));
        router.take(&[&d]);
        send_until_received(&a, f, &c);
        while c.receive().is_some() {}
        assert_eq!(d.receive(), None);
        // Its memberships have stayed; the same index makes it the same interface.
        let b = Cable::with("b", Some("10.2.0.1/24"), &format!("index {}", b.index));
        router.wait_entry(f, a.key(), &[b.key(), c.key()]);
        send_until_received(&a, f, &b);
        assert_eq!(d.receive(), None);
        router.agrees_with_kernel();
    }

    fn an_incoming_device_is_deleted_and_comes_back() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 2);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        run("ip link del dev a");
        router.wait_gone(f);
        let a = Cable::with("a", Some("10.1.0.1/24"), &format!("index {}", a.index));
        // News of the deletion may come so late that it ends the new entry. The next packet makes another.
        wait_for("a flow on the device that came back", || {
            send_until_received(&a, f, &b);
            let kernel = kernel_entries().iter().any(|k| k.flow == f && k.is(a.key(), &[b.key()]));
            router.entry(f).filter(|e| kernel && e.iif == a.key() && e.oifs == [b.key()])
        });
        router.agrees_with_kernel();
    }

    fn a_device_comes_back_as_another_interface() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 3);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        let old = b.key();
        run("ip link del dev b");
        router.wait_entry(f, a.key(), &[]);
        let b = Cable::with("b", Some("10.2.0.1/24"), "index 4321");
        router.take(&[&b]);
        router.join(any(f), b.key());
        router.wait_entry(f, a.key(), &[b.key()]);
        send_until_received(&a, f, &b);
        // What is left of the old one can be given up as if it were there.
        router.leave(any(f), old);
        router.mgm.release_interface(router.id, old).unwrap();
        router.agrees_with_kernel();
    }

    fn a_new_name_changes_nothing() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 4);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        router.protocol.clear();
        run("ip link set dev b down");
        router.wait_entry(f, a.key(), &[]);
        run("ip link set dev b name renamed && ip link set dev renamed up");
        router.wait_entry(f, a.key(), &[b.key()]);
        send_until_received(&a, f, &b);
        router.agrees_with_kernel();
    }

    fn a_device_moves_to_another_namespace_and_back() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 5);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        let elsewhere = Elsewhere::new();
        run(&format!("ip link set dev b netns {}", elsewhere.0.id()));
        router.wait_entry(f, a.key(), &[]);
        run(&format!(
            "nsenter --net=/proc/{}/ns/net ip link set dev b netns {}",
            elsewhere.0.id(),
            std::process::id()
        ));
        run("ip address add 10.2.0.1/24 dev b && ip link set dev b up");
        router.wait_entry(f, a.key(), &[b.key()]);
        send_until_received(&a, f, &b);
        router.agrees_with_kernel();
    }

    fn links_go_down_and_up() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = flow(2, 6);
        router.join(any(f), b.key());
        router.join(any(f), c.key());
        send_until_received(&a, f, &b);
        // By the carrier, too: the other end goes down.
        for (down, up) in [("b", "b"), ("bp", "bp")] {
            run(&format!("ip link set dev {down} down"));
            router.wait_entry(f, a.key(), &[c.key()]);
            run(&format!("ip link set dev {up} up"));
            router.wait_entry(f, a.key(), &[b.key(), c.key()]);
        }
        send_until_received(&a, f, &b);
        run("ip link set dev a down");
        router.wait_gone(f);
        run("ip link set dev a up");
        send_until_received(&a, f, &c);
        router.agrees_with_kernel();
    }

    fn next_hops_on_one_device_share_it() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        let hop = |n| IfKey::new(b.index, Ipv4Addr::new(10, 2, 0, n));
        router.take(&[&a]);
        for n in 1..=3 {
            router.mgm.take_interface(router.id, hop(n)).unwrap();
        }
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif").lines().count(), 2);
        let f = flow(2, 7);
        router.join(any(f), hop(2));
        send_until_received(&a, f, &b);
        router.join(any(f), hop(1));
        router.wait_entry(f, a.key(), &[hop(1), hop(2)]);
        router.leave(any(f), hop(2));
        router.wait_entry(f, a.key(), &[hop(1)]);
        send_until_received(&a, f, &b);
        router.leave(any(f), hop(1));
        router.wait_entry(f, a.key(), &[]);
        // The device is given up with its last next hop.
        for n in 1..=3 {
            assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif").lines().count(), 2);
            router.mgm.release_interface(router.id, hop(n)).unwrap();
        }
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif").lines().count(), 1);
        router.agrees_with_kernel();
    }

    fn devices_that_have_gone_do_not_count() {
        let router = Router::start();
        let a = Cable::new("a", Some("10.1.0.1/24"));
        router.take(&[&a]);
        let f = flow(2, 9);
        let (mut first, mut before) = (None, None);
        for n in 0..40 {
            // A tunnel that is made anew, each time with another index, and never released.
            let index = 5000 + n;
            let t = Cable::with("t", Some("10.2.0.1/24"), &format!("index {index}"));
            router.take(&[&t]);
            send(&a, f, b"not for the new one");
            router.join(any(f), t.key());
            send_until_received(&a, f, &t);
            router.wait_entry(f, a.key(), &[t.key()]);
            first.get_or_insert(t.key());
            before = Some(t.key());
            run("ip link del dev t");
        }
        router.wait_entry(f, a.key(), &[]);
        // Whose index comes back finds its memberships, with a number or with another one.
        for (key, name) in [(first.unwrap(), "x"), (before.unwrap(), "y")] {
            let index = format!("index {}", key.index);
            let cable = Cable::with(name, Some("10.3.0.1/24"), &index);
            router.wait_entry(f, a.key(), &[cable.key()]);
            send_until_received(&a, f, &cable);
            run(&format!("ip link del dev {name}"));
            router.wait_entry(f, a.key(), &[]);
        }
        for n in 0..40 {
            router.mgm.release_interface(router.id, IfKey::new(5000 + n, Ipv4Addr::UNSPECIFIED)).unwrap();
        }
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif").lines().count(), 1);
        router.agrees_with_kernel();
    }

    fn a_device_that_is_back_waits_for_a_number() {
        let router = Router::start();
        let a = Cable::new("a", Some("10.1.0.1/24"));
        let t = Cable::with("t", None, "index 5000");
        router.take(&[&a, &t]);
        let (f, lost) = (flow(2, 10), t.key());
        router.join(any(f), lost);
        run("ip link del dev t");
        let others: Vec<Cable> = (0..31).map(|n| Cable::new(&format!("v{n}"), None)).collect();
        others.iter().for_each(|other| router.take(&[other]));
        let t = Cable::with("t", None, "index 5000");
        wait_for("a line of the log", || router.logged("interface 5000 (t): its device is back").then_some(()));
        send(&a, f, b"x");
        router.wait_entry(f, a.key(), &[]);
        // Somebody else may take it, and fails likewise.
        assert!(router.mgm.take_interface(router.another(7).1, IfKey::new(5000, Ipv4Addr::new(10, 9, 0, 1))).is_err());
        router.mgm.release_interface(router.id, others[30].key()).unwrap();
        router.wait_entry(f, a.key(), &[lost]);
        send_until_received(&a, f, &t);
        router.agrees_with_kernel();
    }

    fn the_33rd_interface_is_refused() {
        let router = Router::start();
        let cables: Vec<Cable> = (0..33)
            .map(|n| Cable::new(&format!("v{n}"), Some(&format!("10.{}.0.1/24", n + 1))))
            .collect();
        for cable in &cables[..32] {
            router.take(&[cable]);
        }
        let last = cables[32].key();
        let refused = router.mgm.take_interface(router.id, last).unwrap_err();
        assert!(matches!(&refused, Error::Forwarder { interface, .. } if *interface == last));
        assert_eq!(refused.code(), mgm::error::code::ERROR_CAN_NOT_COMPLETE);
        assert!(refused.to_string().contains("limit of 32"), "{refused}");
        assert!(router.mgm.protocol_on_interface(last).is_err());
        assert!(router.mgm.add_membership(router.id, any(flow(2, 8)), last, JOIN).is_err());
        // All the others work, all at once.
        let f = flow(2, 8);
        for cable in &cables[1..32] {
            router.join(any(f), cable.key());
        }
        for cable in &cables[1..32] {
            send_until_received(&cables[0], f, cable);
        }
        router.mgm.release_interface(router.id, cables[31].key()).unwrap();
        router.take(&[&cables[32]]);
        send(&cables[0], f, b"not for the new one");
        // It has gone when the join comes.
        wait_for("the packet", || cables[1].receive().filter(|packet| packet.ends_with(b"the new one")));
        assert!(!router.entry(f).unwrap().oifs.contains(&last));
        router.join(any(f), last);
        assert_eq!(cables[32].receive(), None, "a packet before the join");
        send_until_received(&cables[0], f, &cables[32]);
        router.agrees_with_kernel();
    }
}

/// A process in another network namespace.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", child.id());
        wait_for("another namespace", || {
            std::fs::read_link(&theirs).ok().filter(|theirs| *theirs != ours)
        });
        Self(child)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
