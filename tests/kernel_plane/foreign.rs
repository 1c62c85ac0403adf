//! Entries that somebody else changes.

use crate::netns::meddler::Meddler;
use crate::netns::recorder::{Event, Router, flow, program, send};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use mgm::forwarder::{EntryChange, EntryState, Forwarder};
use mgm::types::IfKey;
use std::net::Ipv4Addr;

fn lost(e: &Event) -> bool {
    matches!(e, Event::Lost(_))
}

netns_tests! {
    fn a_foreign_change_is_told_once() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &c]);
        let meddler = Meddler::new();
        for n in 0..4 {
            router.program(flow(2, n), &a, &[&b]);
        }
        let seen = |n: u16| {
            router.seen.wait(&format!("loss of {n}"), |e| *e == Event::Lost(flow(2, n)));
        };
        meddler.delete(flow(2, 0));
        seen(0);
        meddler.add(flow(2, 1), 0, &[1, 2]);
        seen(1);
        meddler.add(flow(2, 2), 2, &[1]);
        seen(2);
        // One that is nobody's of ours.
        meddler.add(flow(9, 9), 0, &[2]);
        router.seen.wait("a strange entry", |e| *e == Event::Lost(flow(9, 9)));
        assert_eq!(router.seen.count(lost), 4);
        // Programmed again, all is well.
        for n in 0..3 {
            router.program(flow(2, n), &a, &[&b]);
            send(&a, flow(2, n), b"x");
            assert!(b.wait_receive().ends_with(b"x"));
        }
        router.delete(flow(9, 9));
        // Made as it was it would still outlive its owner.
        router.seen.clear();
        meddler.add(flow(2, 3), 0, &[1]);
        seen(3);
        meddler.delete(flow(2, 0));
        seen(0);
        assert_eq!(router.seen.count(lost), 2);
        router.program(flow(2, 3), &a, &[&b]);
        router.stop();
        assert_eq!(run("ip mroute show"), "");
        assert_eq!(router.forwarder.kernel_counters().unwrap().entries_lost, 6);
    }

    fn foreign_entries_for_any_source_go() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &c]);
        let meddler = Meddler::new();
        let group = flow(2, 0).group();
        for (group, parent) in [(group, 0), (group, 2), (Ipv4Addr::UNSPECIFIED, 1)] {
            meddler.add_proxy(group, parent, &[parent.into(), 1]);
        }
        wait_for("them to go", || run("ip mroute show").is_empty().then_some(()));
        // Nobody is asked to program them, and new flows are reported.
        send(&a, flow(2, 0), b"x");
        router.seen.wait_no_cache(flow(2, 0));
        assert_eq!(router.seen.count(lost), 0);
    }

    fn what_others_wrote_before_the_start_goes() {
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        let meddler = Meddler::new();
        meddler.add(flow(2, 0), 0, &[]);
        meddler.add_proxy(flow(2, 1).group(), 0, &[]);
        let router = Router::start(0);
        assert_eq!(run("ip mroute show"), "");
        router.take(&[&a, &b]);
        send(&a, flow(2, 0), b"x");
        router.seen.wait_no_cache(flow(2, 0));
    }

    fn own_changes_are_not_taken_for_foreign() {
        let router = Router::start(0);
        let [a, b, c] = ["a", "b", "c"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b, &c]);
        let oifs: [&[IfKey]; 3] = [&[b.key()], &[c.key()], &[b.key(), c.key()]];
        for round in 0..30u16 {
            let state = |n: u16| match (n + round) % 4 {
                3 => None,
                k => Some(EntryState { iif: a.key(), oifs: oifs[usize::from(k)] }),
            };
            let change = |n| EntryChange { flow: flow(2, n), state: state(n) };
            let changes: Vec<_> = (0..200).map(change).collect();
            router.forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
            for n in 200..220 {
                let state = state(n).map(|s| (s.iif, s.oifs));
                program(router.forwarder, flow(2, n), state);
            }
        }
        // What comes now comes after all of that.
        router.program(flow(3, 0), &a, &[&b]);
        Meddler::new().delete(flow(3, 0));
        router.seen.wait("the one loss", |e| *e == Event::Lost(flow(3, 0)));
        assert_eq!(router.seen.count(lost), 1);
    }

    fn what_notifications_miss_an_audit_finds() {
        let router = Router::start(0);
        let [a, b] = ["a", "b"].map(|name| Cable::new(name, None));
        router.take(&[&a, &b]);
        const FLOWS: u16 = 5000;
        let oifs = [b.key()];
        let state = Some(EntryState { iif: a.key(), oifs: &oifs });
        let changes: Vec<_> =
            (0..FLOWS).map(|n| EntryChange { flow: flow(2, n), state }).collect();
        router.forwarder.program(&changes, &mut |at, e| panic!("{at}: {e}"));
        Meddler::new().flush();
        for n in 0..FLOWS {
            router.seen.wait("each loss", |e| *e == Event::Lost(flow(2, n)));
        }
        assert_eq!(router.seen.count(lost), usize::from(FLOWS));
        let counters = router.forwarder.kernel_counters().unwrap();
        assert!(counters.notifications_lost > 0, "else no audit was needed: {counters:?}");
        let lines = router.seen.count(|e| {
            matches!(e, Event::Log(_, text) if text.contains("somebody else changed"))
        });
        assert_eq!(lines, 1, "the log is not flooded");
    }
}
