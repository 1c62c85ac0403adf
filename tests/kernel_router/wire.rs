//! What the wire surprises with: packets that come in where nobody expects them.

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::wait_for;
use crate::netns_tests;
use crate::stage::{Router, Told, any, three_cables};

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
}
