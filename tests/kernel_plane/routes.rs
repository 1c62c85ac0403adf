//! Routes toward sources, and news of their changes.

use crate::netns::recorder::{Event, Router};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use mgm::forwarder::Forwarder;
use mgm::types::{IfKey, Route};
use std::net::Ipv4Addr;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn route(cable: &Cable, gateway: &str, upstream: &str, protocol: u32, prefix: &str) -> Route {
    let (network, len) = prefix.split_once('/').unwrap();
    Route {
        interface: IfKey::new(cable.index, ip(gateway)),
        upstream: ip(upstream),
        protocol,
        network: ip(network),
        prefix_len: len.parse().unwrap(),
    }
}

const NO_GATEWAY: &str = "0.0.0.0";
const LOCAL: u32 = 2;
const NETMGMT: u32 = 3;

fn two_cables() -> [Cable; 2] {
    [Cable::new("a", Some("10.1.0.1/24")), Cable::new("b", Some("10.2.0.1/24"))]
}

netns_tests! {
    fn routes_of_every_kind() {
        let [a, b] = two_cables();
        for line in [
            "route add 192.0.2.0/24 via 10.1.0.9",
            "route add 192.0.2.128/25 via 10.2.0.9 proto static",
            "route add 198.51.100.0/24 via 10.2.0.8 proto ospf",
            "route add 198.51.101.0/24 dev b proto bgp",
            "route add 198.51.102.0/24 via 10.1.0.3 proto 187",
            "route add 198.51.103.0/24 via 10.1.0.3 proto rip",
            "route add 198.51.104.0/24 via 10.1.0.3 proto dhcp",
            "route add 198.51.105.0/24 via 10.1.0.3 proto zebra",
            "route add blackhole 203.0.113.0/26",
            "route add unreachable 203.0.113.64/26",
            "route add prohibit 203.0.113.128/26",
            "route add 172.16.0.0/24 via 10.2.0.5 table 50",
            "rule add to 172.16.0.0/16 lookup 50",
            "-6 address add fd00::1/64 dev a nodad",
            "route add 198.51.106.0/24 via inet6 fd00::2 dev a",
        ] {
            run(&format!("ip {line}"));
        }
        let router = Router::start(0);
        let found = |source: &str| router.forwarder.route(ip(source), None);
        let cases = [
            ("10.1.0.77", Some(route(&a, NO_GATEWAY, "10.1.0.77", LOCAL, "10.1.0.0/24"))),
            ("192.0.2.1", Some(route(&a, "10.1.0.9", "10.1.0.9", NETMGMT, "192.0.2.0/24"))),
            ("192.0.2.129", Some(route(&b, "10.2.0.9", "10.2.0.9", NETMGMT, "192.0.2.128/25"))),
            ("198.51.100.1", Some(route(&b, "10.2.0.8", "10.2.0.8", 13, "198.51.100.0/24"))),
            ("198.51.101.1", Some(route(&b, NO_GATEWAY, "198.51.101.1", 14, "198.51.101.0/24"))),
            ("198.51.102.1", Some(route(&a, "10.1.0.3", "10.1.0.3", 9, "198.51.102.0/24"))),
            ("198.51.103.1", Some(route(&a, "10.1.0.3", "10.1.0.3", 8, "198.51.103.0/24"))),
            ("198.51.104.1", Some(route(&a, "10.1.0.3", "10.1.0.3", 19, "198.51.104.0/24"))),
            ("198.51.105.1", Some(route(&a, "10.1.0.3", "10.1.0.3", 1, "198.51.105.0/24"))),
            ("198.51.106.1", Some(route(&a, NO_GATEWAY, NO_GATEWAY, NETMGMT, "198.51.106.0/24"))),
            ("172.16.0.1", Some(route(&b, "10.2.0.5", "10.2.0.5", NETMGMT, "172.16.0.0/24"))),
            ("203.0.113.1", None),
            ("203.0.113.65", None),
            ("203.0.113.129", None),
            ("8.8.8.8", None),
            // The broadcast address of a network is no source.
            ("10.1.0.255", None),
        ];
        // Twice: asked, and remembered.
        for _ in 0..2 {
            for (source, expected) in &cases {
                assert_eq!(found(source), *expected, "{source}");
            }
        }
        let errors = |e: &Event| matches!(e, Event::Log(..));
        assert_eq!(router.seen.count(errors), 0, "{:?}", router.seen.all());
    }

    fn a_source_of_our_own_is_where_its_packet_is_reported() {
        let [a, b] = two_cables();
        let router = Router::start(0);
        let own = ip("10.1.0.1");
        let host = route(&a, NO_GATEWAY, "10.1.0.1", LOCAL, "10.1.0.1/32");
        assert_eq!(router.forwarder.route(own, None), Some(host));
        let hop = IfKey::new(b.index, ip("10.2.0.9"));
        let arrived = router.forwarder.route(own, Some(hop));
        assert_eq!(arrived, Some(Route { interface: hop, ..host }));
        // Whereas others are where the table says.
        let other = router.forwarder.route(ip("10.1.0.7"), Some(hop)).unwrap();
        assert_eq!(other.interface, a.key());
    }

    fn of_several_next_hops_the_kernels_choice() {
        let [a, b] = two_cables();
        run("ip route add 192.0.2.0/24 proto static nexthop via 10.1.0.9 nexthop via 10.2.0.9");
        run("ip nexthop add id 1 via 10.1.0.7 dev a && ip nexthop add id 2 via 10.2.0.7 dev b");
        run("ip nexthop add id 3 group 1/2");
        run("ip route add 198.51.100.0/24 nhid 3 proto ospf");
        run("ip route add 198.51.101.0/24 nhid 2 proto ospf");
        run("ip link set dev lo up");
        run("ip nexthop add id 4 blackhole && ip route add 198.51.102.0/24 nhid 4");
        let router = Router::start(0);
        let mut devices = std::collections::BTreeSet::new();
        for (network, host, protocol) in [("192.0.2", "9", NETMGMT), ("198.51.100", "7", 13)] {
            for n in 1..64 {
                let source = format!("{network}.{n}");
                let got = router.forwarder.route(ip(&source), None).unwrap();
                let picked = run(&format!("ip route get {source}"));
                let cable = if picked.contains("dev a") { &a } else { &b };
                let net = if cable.name == "a" { "10.1.0" } else { "10.2.0" };
                let gateway = format!("{net}.{host}");
                assert!(picked.contains(&gateway), "{picked}");
                let prefix = format!("{network}.0/24");
                assert_eq!(got, route(cable, &gateway, &gateway, protocol, &prefix), "{source}");
                devices.insert((network, cable.index));
            }
        }
        assert_eq!(devices.len(), 4, "both next hops of both were picked: {devices:?}");
        let got = router.forwarder.route(ip("198.51.101.1"), None);
        assert_eq!(got, Some(route(&b, "10.2.0.7", "10.2.0.7", 13, "198.51.101.0/24")));
        assert_eq!(router.forwarder.route(ip("198.51.102.1"), None), None);
        // Without the compatibility mode an answer holds the next hop's number only.
        run("echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode");
        let again = Router::start(5);
        let got = again.forwarder.route(ip("198.51.101.1"), None);
        assert_eq!(got, Some(route(&b, "10.2.0.7", "10.2.0.7", 13, "198.51.101.0/24")));
        assert_eq!(again.forwarder.route(ip("198.51.102.1"), None), None);
    }

    fn changes_are_told_and_nothing_old_is_remembered() {
        let [a, b] = two_cables();
        run("ip nexthop add id 2 via 10.2.0.7 dev b");
        run("ip route add 198.51.100.0/24 nhid 2");
        let router = Router::start(0);
        let source = ip("192.0.2.1");
        let at = || router.forwarder.route(source, None).map(|r| r.interface.index);
        let change = |line: &str, news: (&str, u8), then: Option<u32>| {
            router.seen.clear();
            // Something is remembered that the change makes untrue.
            at();
            run(&format!("ip {line}"));
            let news = Event::Routes(ip(news.0), news.1);
            // "Any" that an earlier change left covers it.
            let any = Event::Routes(ip("0.0.0.0"), 0);
            router.seen.wait(&format!("{news:?} after {line}"), |e| *e == news || *e == any);
            wait_for(&format!("{then:?} after {line}"), || (at() == then).then_some(()));
        };
        let everything = ("0.0.0.0", 0);
        let prefix = ("192.0.2.0", 24);
        assert_eq!(at(), None);
        change("route add 192.0.2.0/24 via 10.1.0.9", prefix, Some(a.index));
        change("route replace 192.0.2.0/24 via 10.2.0.9", prefix, Some(b.index));
        change("route add 192.0.2.0/28 via 10.1.0.9", ("192.0.2.0", 28), Some(a.index));
        change("route del 192.0.2.0/28", ("192.0.2.0", 28), Some(b.index));
        change("route add default via 10.1.0.9", everything, Some(b.index));
        change("route del 192.0.2.0/24", prefix, Some(a.index));
        change("route add 192.0.2.0/24 via 10.2.0.9 table 50", prefix, Some(a.index));
        change("rule add to 192.0.2.0/24 lookup 50", everything, Some(b.index));
        // Routes vanish with the link, untold.
        change("link set dev b down", everything, Some(a.index));
        change("rule del to 192.0.2.0/24 lookup 50", everything, Some(a.index));
        change("address del 10.1.0.1/24 dev a", everything, None);
        run("ip link set dev b up && ip nexthop replace id 2 via 10.2.0.7 dev b");
        change("route replace 192.0.2.0/24 nhid 2", prefix, Some(b.index));
        run("ip address add 10.1.0.1/24 dev a");
        change("nexthop replace id 2 via 10.1.0.7 dev a", everything, Some(a.index));
        change("nexthop del id 2", everything, None);
        change("address add 192.0.2.77/24 dev b", prefix, Some(b.index));
    }

    fn routes_change_without_a_link_and_are_told() {
        let [a, b] = two_cables();
        run("ip route add 192.0.2.0/24 via 10.1.0.9 metric 1");
        run("ip route add 192.0.2.0/24 via 10.2.0.9 metric 2");
        let router = Router::start(0);
        let at = || router.forwarder.route(ip("192.0.2.1"), None).unwrap().interface.index;
        run(&format!("ip link set dev {} down", a.peer));
        wait_for("no carrier", || run("ip link show dev a").contains("NO-CARRIER").then_some(()));
        assert_eq!(at(), a.index);
        run("echo 1 > /proc/sys/net/ipv4/conf/a/ignore_routes_with_linkdown");
        wait_for("the other route", || (at() == b.index).then_some(()));
    }

    fn a_resilient_group_that_balances_itself_is_told() {
        let [_a, b] = two_cables();
        run("ip nexthop add id 1 via 10.1.0.7 dev a && ip nexthop add id 2 via 10.2.0.7 dev b");
        run("ip nexthop add id 3 group 1/2 type resilient buckets 2 idle_timer 1");
        run("ip route add 192.0.2.0/24 nhid 3");
        let router = Router::start(0);
        let all_at_b = || {
            (1..32u8).all(|n| {
                let source = Ipv4Addr::new(192, 0, 2, n);
                router.forwarder.route(source, None).unwrap().interface.index == b.index
            })
        };
        assert!(!all_at_b());
        // Its two buckets are in use; the one that is to go over does when it has been idle.
        run("ip nexthop replace id 3 group 1,1/2,255 type resilient buckets 2 idle_timer 1");
        // Remembered routes are not asked for again, or it would never be idle.
        wait_for("all to go over", || all_at_b().then_some(()));
    }

    fn a_change_of_one_prefix_is_told_as_that() {
        let [_a, _b] = two_cables();
        let router = Router::start(0);
        for line in ["add 192.0.2.0/24 via 10.1.0.9", "replace 192.0.2.0/24 via 10.2.0.9",
                     "del 192.0.2.0/24", "add blackhole 203.0.113.7/32"] {
            router.seen.clear();
            run(&format!("ip route {line}"));
            let prefix = line.split_whitespace().find_map(|word| word.split_once('/')).unwrap();
            let news = Event::Routes(ip(prefix.0), prefix.1.parse().unwrap());
            router.seen.wait(&format!("{news:?} after {line}"), |e| *e == news);
            assert_eq!(router.seen.all(), [news]);
        }
    }

    fn a_burst_of_changes_is_coalesced_and_none_is_lost() {
        let [a, _b] = two_cables();
        let router = Router::start(0);
        let batch: String = (0..3000u32)
            .map(|n| format!("route add 20.{}.{}.0/24 via 10.1.0.9\n", n / 256, n % 256))
            .collect();
        let covered: String = (0..100).map(|n| format!("route add 30.0.{n}.0/24 via 10.1.0.9\n")).collect();
        let file = std::env::temp_dir().join(format!("mgm-routes-{}", std::process::id()));
        std::fs::write(&file, format!("{batch}route add 30.0.0.0/8 via 10.1.0.9\n{covered}")).unwrap();
        run(&format!("ip -batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        // Either each prefix is told, or everything after the last change.
        let told = |network: Ipv4Addr, len: u8| {
            router.seen.count(|e| match e {
                Event::Routes(n, l) => *l == 0 || (*n, *l) == (network, len),
                _ => false,
            }) > 0
        };
        for n in 0..3000u32 {
            let network = Ipv4Addr::new(20, (n / 256) as u8, (n % 256) as u8, 0);
            wait_for(&format!("news of {network}"), || told(network, 24).then_some(()));
        }
        wait_for("news of the last", || told(ip("30.0.99.0"), 24).then_some(())
            .or_else(|| told(ip("30.0.0.0"), 8).then_some(())));
        wait_for("the last route", || {
            let got = router.forwarder.route(ip("30.0.99.1"), None)?;
            (got.interface.index == a.index && got.prefix_len == 24).then_some(())
        });
    }
}
