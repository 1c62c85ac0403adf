//! What the wire surprises with: packets that come in where nobody expects them.

use crate::flows::{sentinel, three_cables};
use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, send};
use crate::netns::{index_of, ip_packet, run, wait_for};
use crate::netns_tests;
use mgm::forwarder::Forwarder;
use mgm::types::{IfKey, SourceGroup};
use std::net::{Ipv4Addr, UdpSocket};

netns_tests! {
    fn a_wrong_interface_that_is_no_oif_is_reported_once() {
        // What a router of PIM asked for is not asked for any more, and is not left to the next one.
        Meddler::as_router_of_pim();
        let router = Router::start(0);
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let (f, negative) = (flow(2, 6), flow(2, 7));
        router.program(f, &a, &[&b]);
        router.program(negative, &a, &[]);
        for f in [f, negative] {
            send(&c, f, b"x");
            router.seen.wait("a wrong-interface report", |e| {
                matches!(e, Event::WrongInterface { flow, arrival, .. }
                    if *flow == f && *arrival == c.key())
            });
        }
        sentinel(&router, &a, &b);
        let last = flow(2, 8);
        send(&a, last, b"its report comes after all others");
        router.seen.wait_no_cache(last);
        assert_eq!(router.seen.count(|e| matches!(e, Event::WrongInterface { .. })), 2);
        assert_eq!((b.receive(), c.receive()), (None, None), "none is forwarded");
        router.forwarder.stop();
        assert_eq!(Meddler::new().pim(), 0);
    }

    fn the_loopback_device_is_refused_and_packets_from_127_too() {
        let router = Router::start(0);
        run("ip link set dev lo up");
        let lo = IfKey::new(index_of("lo"), Ipv4Addr::UNSPECIFIED);
        for key in [lo, IfKey::new(lo.index, Ipv4Addr::new(10, 1, 0, 2))] {
            let refused = router.forwarder.add_interface(key).unwrap_err();
            assert!(refused.to_string().contains("loopback device"), "{refused}");
        }
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
        // By another device they get as far as to the multicast router with these settings.
        let [a, b, _] = three_cables();
        run("echo 1 | tee /proc/sys/net/ipv4/conf/a/route_localnet /proc/sys/net/ipv4/conf/a/accept_local");
        run("echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter");
        run("echo 0 >/proc/sys/net/ipv4/conf/a/rp_filter");
        router.take(&[&a, &b]);
        let f = SourceGroup::new(Ipv4Addr::LOCALHOST, flow(2, 1).group());
        send(&a, f, b"x");
        let refused = || run("ip mroute show").contains("(127.0.0.1,").then_some(());
        wait_for("an entry that drops its packets", refused);
        let last = flow(2, 8);
        send(&a, last, b"its report comes after all others");
        router.seen.wait_no_cache(last);
        assert_eq!(router.seen.count(|e| matches!(e, Event::NoCache { .. })), 1);
    }

    fn an_igmp_packet_is_no_flow() {
        let router = Router::start(0);
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        // This machine is a member itself, and speaks version 2 there: it reports so to the group.
        let group = flow(2, 1).group();
        run("echo 2 >/proc/sys/net/ipv4/conf/a/force_igmp_version");
        let member = UdpSocket::bind("0.0.0.0:0").unwrap();
        member.join_multicast_v4(&group, &Ipv4Addr::new(10, 1, 0, 1)).unwrap();
        let host = |n| SourceGroup::new(Ipv4Addr::new(10, 1, 0, n), group);
        let report = |flow: SourceGroup, alert: bool| {
            let mut packet = ip_packet(2, flow.source(), flow.group(), 1, &[0x16; 8]);
            if alert {
                packet.splice(20..20, [148, 4, 0, 0]);
                (packet[0], packet[3]) = (0x46, 32);
                let sum: u32 = packet[..24].chunks(2).enumerate().filter(|(n, _)| *n != 5)
                    .map(|(_, w)| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
                let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            a.send(&packet);
        };
        for alert in [false, true] {
            report(host(5), alert);
            report(host(6), alert);
        }
        // Many of a host that is a source too: there is an entry, and nothing is reported.
        router.program(host(7), &a, &[&b]);
        for _ in 0..10 {
            (0..100).for_each(|_| report(host(7), false));
            // Each has been read: rx_queue is 0 of all raw sockets.
            let all_read = || !run("tail -n +2 /proc/net/raw").lines().any(|line| {
                !line.split_whitespace().nth(4).unwrap().ends_with(":00000000")
            });
            wait_for("the packets to be read", || all_read().then_some(()));
        }
        report(host(8), false);
        let last = flow(2, 9);
        send(&a, last, b"its report comes after all others");
        router.seen.wait_no_cache(last);
        let new = |e: &Event| {
            assert!(!matches!(e, Event::WrongInterface { .. }), "{e:?}");
            matches!(e, Event::NoCache { .. })
        };
        assert_eq!(router.seen.count(new), 1, "{:?}", router.seen.all());
        // Data of the same hosts is.
        for n in [5, 6, 8] {
            send(&a, host(n), b"data");
            router.seen.wait_no_cache(host(n));
        }
        // Where this machine is no member, IGMP sockets get the packets, and nobody else.
        drop(member);
        report(host(10), false);
        report(host(11), true);
        let last = flow(2, 10);
        send(&a, last, b"its report comes after all others");
        router.seen.wait_no_cache(last);
        assert_eq!(router.seen.count(new), 5, "{:?}", router.seen.all());
    }
}
