//! What the wire surprises with: packets that come in where nobody expects them.

use crate::flows::{sentinel, three_cables};
use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, send};
use crate::netns::{index_of, run, wait_for};
use crate::netns_tests;
use mgm::forwarder::Forwarder;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

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
}
