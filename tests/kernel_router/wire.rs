//! What the wire surprises with: packets that come in where nobody expects them.

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::{run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, Told, any, three_cables};
use mgm::log::Level;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

netns_tests! {
    fn e7_a_wrong_interface_is_told_of_whether_or_not_it_is_an_oif() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        for (n, oifs) in [(1, &[&b][..]), (2, &[&b, &c]), (3, &[])] {
            let f = flow(2, n);
            for oif in oifs {
                router.join(any(f), oif.key());
            }
            send(&a, f, b"x");
            let oifs: Vec<_> = oifs.iter().map(|oif| oif.key()).collect();
            router.wait_entry(f, a.key(), &oifs);
            send(&c, f, b"by the other of two routes");
            wait_for("the callback", || {
                let told = router.protocol.count(|told| *told == Told::WrongIf(f, c.key()));
                (told == 1).then_some(())
            });
            if let [_, ..] = oifs[..] {
                send_until_received(&a, f, &b);
            }
        }
        router.agrees_with_kernel();
    }

    fn no_next_hop_on_the_incoming_device_is_an_outgoing_interface() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        let hop = |n| IfKey::new(b.index, Ipv4Addr::new(10, 2, 0, n));
        run("ip route add 10.40.0.0/24 via 10.2.0.2");
        router.take(&[&a]);
        for n in [2, 3] {
            router.mgm.take_interface(router.id, hop(n)).unwrap();
        }
        let from_spoke = |n| SourceGroup::new(Ipv4Addr::new(10, 40, 0, 5), flow(2, n).group());
        let (early, late) = (from_spoke(1), from_spoke(2));
        let lines = || {
            let all = router.lines();
            let told = |line: &String| line.contains("Linux sends nothing back");
            all.into_iter().filter(|(_, line)| told(line)).collect::<Vec<_>>()
        };
        // The member is there before the packet, and after it.
        router.join(any(early), hop(3));
        send(&b, early, b"x");
        router.wait_entry(early, hop(2), &[]);
        wait_for("a line of the log", || (lines().len() == 1).then_some(()));
        let (level, line) = &lines()[0];
        assert_eq!(*level, Level::Warn);
        assert!(line.contains("10.2.0.3 wants (10.40.0.5,232.1.0.1)"), "{line}");
        send(&b, late, b"x");
        router.wait_entry(late, hop(2), &[]);
        router.join(any(late), hop(3));
        router.join(any(late), a.key());
        router.wait_entry(late, hop(2), &[a.key()]);
        assert_eq!(router.protocol.count(|told| *told == Told::Creation(early)), 0);
        send_until_received(&b, late, &a);
        let entry = router.entry(late).unwrap();
        assert!(entry.out_packets.len() == 1 && entry.out_packets[0] > 0, "{entry:?}");
        assert_eq!(b.receive(), None, "nothing goes back");
        // The route moves to another device: now it is one, until the route comes back.
        run("ip route replace 10.40.0.0/24 via 10.1.0.2");
        router.wait_entry(early, a.key(), &[hop(3)]);
        send_until_received(&a, early, &b);
        assert!(router.entry(early).unwrap().out_packets[0] > 0);
        run("ip route replace 10.40.0.0/24 via 10.2.0.2");
        router.wait_entry(early, hop(2), &[]);
        router.agrees_with_kernel();
    }
}
