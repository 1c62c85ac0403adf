//! Entries that somebody else changes.

use crate::netns::recorder::{Event, Router, flow, program, send};
use crate::netns::{Cable, run};
use crate::netns_tests;
use mgm::core::types::{IfKey, SourceGroup};
use mgm::forwarder::{EntryChange, EntryState, Forwarder};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Another process with CAP_NET_ADMIN: it may change what is not its own.
pub struct Meddler(OwnedFd);

impl Meddler {
    pub fn new() -> Self {
        // SAFETY: takes no pointers; the descriptor is new and ours.
        Self(unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IGMP);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        })
    }

    fn set(&self, name: i32, value: &[u8]) {
        // SAFETY: the value is valid for its length.
        let result = unsafe {
            let length = value.len() as u32;
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::IPPROTO_IP,
                name,
                value.as_ptr().cast(),
                length,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// The socket, to be handed over.
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// MRT_INIT: from now on it is the table's router.
    pub fn own_table(&self) {
        self.set(200, &1i32.to_ne_bytes());
    }

    /// MRT_ADD_VIF with a struct vifctl: number, VIFF_USE_IFINDEX, threshold, device.
    pub fn add_vif(&self, vif: u16, ifindex: u32) {
        let mut request = [0; 16];
        request[..2].copy_from_slice(&vif.to_ne_bytes());
        request[2..4].copy_from_slice(&[8, 1]);
        request[8..12].copy_from_slice(&ifindex.to_ne_bytes());
        self.set(202, &request);
    }

    /// MRT_DEL_VIF with a struct vifctl.
    pub fn delete_vif(&self, vif: u16) {
        let mut request = [0; 16];
        request[..2].copy_from_slice(&vif.to_ne_bytes());
        self.set(203, &request);
    }

    /// A struct mfcctl: source, group, parent, 32 TTLs, counters.
    fn mfc(flow: SourceGroup, parent: u16, oifs: &[usize]) -> [u8; 60] {
        let mut request = [0; 60];
        request[..4].copy_from_slice(&flow.source().octets());
        request[4..8].copy_from_slice(&flow.group().octets());
        request[8..10].copy_from_slice(&parent.to_ne_bytes());
        for oif in oifs {
            request[10 + oif] = 1;
        }
        request
    }

    /// MRT_ADD_MFC.
    pub fn add(&self, flow: SourceGroup, parent: u16, oifs: &[usize]) {
        self.set(204, &Self::mfc(flow, parent, oifs));
    }

    /// MRT_DEL_MFC.
    fn delete(&self, flow: SourceGroup) {
        self.set(205, &Self::mfc(flow, 0, &[]));
    }

    /// MRT_FLUSH of all entries.
    fn flush(&self) {
        self.set(212, &1i32.to_ne_bytes());
    }
}

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
        router.forwarder.stop();
        assert_eq!(run("ip mroute show"), "");
        assert_eq!(router.forwarder.kernel_counters().unwrap().entries_lost, 6);
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
