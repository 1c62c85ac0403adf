//! Routes toward sources that change in every way Linux knows (rules E5, E9, E12).

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::{run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, Told, any, three_cables};
use mgm::types::{IfKey, SourceGroup};
use std::net::{Ipv4Addr, UdpSocket};

/// MIB_IPPROTO_LOCAL and MIB_IPPROTO_NETMGMT.
const LOCAL: u32 = 2;
const NETMGMT: u32 = 3;

fn from(network: u8, host: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::new(10, network, 0, host), Ipv4Addr::new(232, 1, 0, host))
}

netns_tests! {
    fn a_change_concerns_just_the_entries_under_its_prefix() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        run("ip route add 10.8.0.0/24 dev a && ip route add 10.9.0.0/24 dev a");
        router.take(&[&a, &b, &c]);
        router.join(SourceGroup::ALL, c.key());
        let flows: Vec<_> = (1..=50).flat_map(|n| [from(8, n), from(9, n)]).collect();
        for &f in &flows {
            send_until_received(&a, f, &c);
        }
        // Packets of one may have been taken for another's.
        wait_for("all entries", || {
            flows.iter().filter(|f| router.entry(**f).is_none()).for_each(|f| send(&a, *f, b"x"));
            (router.entries().len() == flows.len()).then_some(())
        });
        router.protocol.clear();
        run("ip route replace 10.9.0.0/24 dev b");
        for n in 1..=50 {
            router.wait_entry(from(9, n), b.key(), &[c.key()]);
        }
        let asked = |network: u8| {
            router.protocol.count(|told| {
                matches!(told, Told::Rpf(f) if f.source().octets()[1] == network)
            })
        };
        assert_eq!((asked(9), asked(8)), (50, 0));
        assert_eq!(router.entry(from(8, 7)).unwrap().iif, a.key());
        // One host's route moves one entry.
        router.protocol.clear();
        run("ip route add 10.8.0.7/32 dev b");
        let moved = router.wait_entry(from(8, 7), b.key(), &[c.key()]);
        assert_eq!(moved.route, (NETMGMT, Ipv4Addr::new(10, 8, 0, 7), 32));
        assert_eq!((asked(9), asked(8)), (0, 1));
        router.agrees_with_kernel();
    }

    fn routes_of_every_kind() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = from(9, 5);
        router.join(any(f), c.key());
        let network = Ipv4Addr::new(10, 9, 0, 0);
        // No route: nobody gets it, and it shows as what it is.
        send(&a, f, b"x");
        let entry = router.wait_entry(f, a.key(), &[]);
        assert!(!entry.resolved);
        assert_eq!(router.protocol.count(|told| matches!(told, Told::Rpf(_))), 0);
        // A gateway.
        run("ip route add 10.9.0.0/24 via 10.1.0.2");
        let entry = router.wait_entry(f, a.key(), &[c.key()]);
        assert!(entry.resolved);
        assert_eq!(entry.upstream, Ipv4Addr::new(10, 1, 0, 2));
        assert_eq!(entry.route, (NETMGMT, network, 24));
        // A blackhole over the source, and its end.
        run("ip route add blackhole 10.9.0.0/25");
        assert!(!router.wait_entry(f, a.key(), &[]).resolved);
        run("ip route del blackhole 10.9.0.0/25");
        router.wait_entry(f, a.key(), &[c.key()]);
        run("ip route add unreachable 10.9.0.5");
        assert!(!router.wait_entry(f, a.key(), &[]).resolved);
        run("ip route del unreachable 10.9.0.5");
        router.wait_entry(f, a.key(), &[c.key()]);
        // The default route.
        run("ip route add default via 10.2.0.2 && ip route del 10.9.0.0/24");
        let entry = router.wait_entry(f, b.key(), &[c.key()]);
        assert_eq!(entry.upstream, Ipv4Addr::new(10, 2, 0, 2));
        assert_eq!(entry.route, (NETMGMT, Ipv4Addr::UNSPECIFIED, 0));
        // Several next hops: the one that the kernel picks.
        run("ip route add 10.9.0.0/24 nexthop via 10.1.0.2 nexthop via 10.2.0.2");
        let picked = run("ip route get 10.9.0.5");
        let iif = if picked.contains("dev a") { &a } else { &b };
        wait_for("the route with two next hops", || {
            router.entry(f).filter(|e| e.route == (NETMGMT, network, 24))
        });
        router.wait_entry(f, iif.key(), &[c.key()]);
        run("ip route del 10.9.0.0/24");
        router.wait_entry(f, b.key(), &[c.key()]);
        // A next hop object, which moves without its route.
        run("ip nexthop add id 7 via 10.1.0.2 dev a && ip route add 10.9.0.0/24 nhid 7");
        router.wait_entry(f, a.key(), &[c.key()]);
        run("ip nexthop replace id 7 via 10.2.0.2 dev b");
        router.wait_entry(f, b.key(), &[c.key()]);
        run("ip nexthop replace id 7 via 10.1.0.2 dev a");
        router.wait_entry(f, a.key(), &[c.key()]);
        // Another table, by a rule.
        run("ip route add 10.9.0.0/24 via 10.2.0.2 table 55");
        run("ip rule add to 10.9.0.0/24 lookup 55");
        router.wait_entry(f, b.key(), &[c.key()]);
        run("ip rule del to 10.9.0.0/24 lookup 55");
        router.wait_entry(f, a.key(), &[c.key()]);
        router.agrees_with_kernel();
    }

    fn routes_that_vanish_with_their_link() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        run("ip route add 10.9.0.0/24 via 10.1.0.2 metric 5");
        run("ip route add 10.9.0.0/24 via 10.2.0.2 metric 10");
        router.take(&[&b, &c]);
        let f = from(9, 5);
        router.join(any(f), c.key());
        // Nobody owns a, so that its end does not end the entry.
        send(&b, f, b"x");
        let toward_a = IfKey::new(a.index, Ipv4Addr::new(10, 1, 0, 2));
        assert!(!router.wait_entry(f, toward_a, &[]).resolved);
        run("ip link set dev a down");
        router.wait_entry(f, b.key(), &[c.key()]);
        send_until_received(&b, f, &c);
        router.agrees_with_kernel();
    }

    fn the_neighbour_behind_a_next_hop_fails() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        run("echo 1 >/proc/sys/net/ipv4/fib_multipath_use_neigh");
        router.take(&[&a, &b, &c]);
        run("ip nexthop add id 1 via 10.1.0.2 dev a && ip nexthop add id 2 via 10.2.0.2 dev b");
        run("ip nexthop add id 3 group 1/2");
        for (network, hops) in [(8, "nexthop via 10.1.0.2 nexthop via 10.2.0.2"), (9, "nhid 3")] {
            run(&format!("ip route add 10.{network}.0.0/24 {hops}"));
            let f = from(network, 5);
            router.join(any(f), c.key());
            let picked = run(&format!("ip route get {}", f.source()));
            let by_a = picked.contains("dev a");
            let (first, other) = if by_a { (&a, &b) } else { (&b, &a) };
            let neighbour = if by_a { "10.1.0.2 dev a" } else { "10.2.0.2 dev b" };
            send(first, f, b"x");
            router.wait_entry(f, first.key(), &[c.key()]);
            // (The kernel tells of a neighbour that failed only where it answered or was asked before.)
            let is = |state: &str| run(&format!("ip neigh replace {neighbour} {state}"));
            let answers = "lladdr 02:00:00:00:00:09 nud reachable";
            for _ in 0..2 {
                is(answers);
                is("nud failed");
                router.wait_entry(f, other.key(), &[c.key()]);
                send_until_received(other, f, &c);
                is(answers);
                router.wait_entry(f, first.key(), &[c.key()]);
                is("nud failed");
                router.wait_entry(f, other.key(), &[c.key()]);
                // The kernel has forgotten it, and will ask anew.
                run(&format!("ip neigh del {neighbour}"));
                router.wait_entry(f, first.key(), &[c.key()]);
            }
        }
        router.agrees_with_kernel();
    }

    fn directly_connected_and_local_sources() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 1);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        let entry = router.wait_entry(f, a.key(), &[b.key()]);
        assert_eq!(entry.upstream, f.source());
        assert_eq!(entry.route, (LOCAL, Ipv4Addr::new(10, 1, 0, 0), 24));
        // The router's own packets, sent out of a.
        run("ip route add 232.0.0.0/8 dev a");
        let socket = UdpSocket::bind("10.1.0.1:0").unwrap();
        socket.set_multicast_ttl_v4(16).unwrap();
        wait_for("the router's own packets on b", || {
            socket.send_to(b"mine", (f.group(), 5000)).unwrap();
            b.receive().filter(|packet| packet.ends_with(b"mine"))
        });
        let own = SourceGroup::new(Ipv4Addr::new(10, 1, 0, 1), f.group());
        router.wait_entry(own, a.key(), &[b.key()]);
        router.agrees_with_kernel();
    }
}
