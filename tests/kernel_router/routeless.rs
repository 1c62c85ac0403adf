//! Sources without a route, and behind an interface that nobody took (rule E5).

use crate::netns::recorder::{flow, send};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use crate::stage::{JOIN, Router, Told, any, three_cables};
use mgm::log::Level;
use mgm::types::SourceGroup;

netns_tests! {
    fn e5_flows_without_a_route_or_an_owner_reach_the_protocol_that_asks_for_them() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        let d = Cable::new("d", Some("10.4.0.1/24"));
        // With 1 and 2 the kernel drops a source without a route.
        run("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done");
        // By c, which nobody takes.
        run("ip route add 10.50.0.0/24 via 10.3.0.2");
        let (asking, id) = router.another_routeless(7);
        for cable in [&a, &b] {
            router.mgm.take_interface(id, cable.key()).unwrap();
        }
        router.take(&[&d]);
        for (n, source) in [(1, [172, 16, 0, 5]), (2, [10, 50, 0, 5])] {
            let f = SourceGroup::new(source.into(), flow(1, n).group());
            router.mgm.add_membership(id, any(f), b.key(), JOIN).unwrap();
            router.join(any(f), d.key());
            send(&a, f, b"x");
            // The first packet is forwarded too.
            b.wait_receive();
            d.wait_receive();
            router.wait_entry(f, a.key(), &[b.key(), d.key()]);
            assert!(router.entry(f).unwrap().resolved);
            let told = Told::Routeless(f, a.key(), f.source());
            assert_eq!(asking.count(|t| *t == told), 1, "asked once, about where it comes in");
            // On an interface of a protocol that does not ask for it: a packet on a wrong one.
            send(&d, f, b"x");
            let wrong = Told::WrongIf(f, d.key());
            wait_for("the callback", || (router.protocol.count(|t| *t == wrong) == 1).then_some(()));
        }
        assert_eq!(asking.count(|t| matches!(t, Told::Rpf(_))), 0);
        assert!(!router.logged("is forwarded"), "{:?}", router.lines());
        // A route comes: that counts from then on.
        let f = SourceGroup::new([172, 16, 0, 5].into(), flow(1, 1).group());
        run("ip route add 172.16.0.0/16 via 10.4.0.2");
        router.wait_entry(f, d.key(), &[b.key()]);
        assert_eq!(router.protocol.count(|t| *t == Told::Rpf(f)), 1);
        run("ip route del 172.16.0.0/16");
        // Now the flow comes in on d as far as anybody knows, whose protocol does not ask for it.
        wait_for("the entry to be negative", || {
            router.entry(f).filter(|entry| entry.oifs.is_empty() && !entry.resolved)
        });
        router.agrees_with_kernel();
    }

    fn e5_others_read_in_the_log_why_nothing_is_forwarded() {
        let cables = three_cables();
        let [a, b, _] = &cables;
        run("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done");
        run("ip route add 10.50.0.0/24 via 10.3.0.2");
        let by_c = format!(
            "the route to its source leads to interface {} (c) next hop 10.3.0.2, which no client \
             has taken",
            cables[2].index
        );
        let cases = [([172, 16, 0, 5], "there is no route to its source"), ([10, 50, 0, 5], &by_c)];
        for (source, reason) in cases {
            let router = Router::start();
            router.take(&[a, b]);
            let flows = (1..=5).map(|n| SourceGroup::new(source.into(), flow(1, n).group()));
            let flows: Vec<_> = flows.collect();
            for f in &flows {
                router.join(any(*f), b.key());
                send(a, *f, b"x");
                wait_for("an entry", || router.entry(*f));
            }
            let lines = router.lines();
            let mut told = lines.iter().filter(|(_, line)| line.contains("is forwarded"));
            let expected = format!(
                "nothing of {}, which comes in on interface {} (a), is forwarded: {reason}",
                flows[0], a.index
            );
            let (level, line) = told.next().expect("a line");
            assert!(*level == Level::Warn && line.starts_with(&expected), "{line}\n{expected}");
            assert_eq!(told.next(), None, "one in ten seconds");
            assert_eq!(router.protocol.count(|t| matches!(t, Told::Rpf(_))), 0);
            assert!(flows.iter().all(|f| router.entry(*f).unwrap().oifs.is_empty()));
            assert_eq!(b.receive(), None);
            router.stop();
        }
    }
}
