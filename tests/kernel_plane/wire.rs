//! What the wire surprises with: packets that come in where nobody expects them.

use crate::flows::{sentinel, three_cables};
use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, send};
use crate::netns_tests;
use mgm::forwarder::Forwarder;

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
}
