//! For the fuzzer (feature `fuzzing`): a plane whose sockets lead to the caller instead of to the
//! kernel. What this "kernel" sends is read by the same code as the real kernel's messages.

#![forbid(unsafe_code)]

pub use super::netlink::{Attributes, Message, Messages, NextHops};
pub use super::report::{Kind, Report, SIZE as REPORT_SIZE};

use super::entries::Entries;
use super::neighbours::Neighbours;
use super::netlink::Asker;
use super::notify::{Notifications, Watcher};
use super::pump::{Pump, Work};
use super::routes::Routes;
use super::upcall::{Reader, Reports};
use super::vifs::{Programmed, Vifs};
use super::{Plane, PlaneCounters, sys};
use crate::forwarder::Upcalls;
use crate::log::Throttle;
use crate::sys::sync::unscheduled::{Mutex, RwLock};
use crate::types::{IfKey, Route, SourceGroup};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// A socket through which the kernel sends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Reports of new flows and wrong interfaces.
    Reports,
    /// Notifications of routes, rules, next hops, links and addresses.
    Changes,
    /// Notifications of forwarding entries.
    Entries,
    /// Answers to questions.
    Answers,
    /// IGMP packets.
    Igmp,
}

/// A plane without threads, and the kernel's ends of its sockets.
pub struct Stage {
    plane: Plane,
    kernel: [UnixDatagram; 5],
}

impl Stage {
    /// A plane of table 253 with these interfaces, which all work.
    pub fn new(upcalls: &'static dyn Upcalls, interfaces: &[IfKey]) -> Self {
        let pair = || {
            let (ours, kernels) = UnixDatagram::pair().expect("a pair of sockets");
            // A netlink socket's send does not wait for the kernel to read.
            ours.set_nonblocking(true).expect("a flag");
            kernels.set_nonblocking(true).expect("a flag");
            (ours, kernels)
        };
        let event = || sys::event().expect("an eventfd");
        let [reports, changes, entries, answers, igmp] = [(); 5].map(|()| pair());
        let mut vifs = Vifs::default();
        for interface in interfaces {
            let vif = vifs.choose(interface.index, &[0; sys::MAX_VIFS]).expect("a number");
            vifs.assign(vif, interface.index);
            vifs.insert(*interface, vif);
            vifs.in_kernel |= 1 << vif;
            vifs.up |= 1 << vif;
        }
        let plane = Plane {
            table: sys::DEFAULT_TABLE,
            socket: reports.0.into(),
            igmp: Some(igmp.0.into()),
            own_packets: std::sync::OnceLock::new(),
            own_sources: AtomicBool::new(false),
            upcalls,
            entries: Mutex::new(Entries::new().expect("a netlink socket")),
            vifs: RwLock::new(vifs),
            asker: Mutex::new(Asker::over(answers.0.into())),
            routes: Mutex::new(Routes::default()),
            neighbours: Mutex::new(Neighbours::default()),
            vrf: AtomicU32::new(0),
            reports: Pump::new(),
            reader: Mutex::new(Reader::new(0)),
            notifications: Pump::new(),
            watcher: Mutex::new(Watcher::new()),
            changes: changes.0.into(),
            watch: entries.0.into(),
            wake: event(),
            stop: event(),
            counters: PlaneCounters::default(),
            lost_entries: Throttle::new(),
            lost_reports: Throttle::new(),
            failed_reads: Throttle::new(),
            failed_look_ups: Throttle::new(),
            unwatched: Throttle::new(),
        };
        Self { plane, kernel: [reports.1, changes.1, entries.1, answers.1, igmp.1] }
    }

    /// Sends a datagram to the plane. False: the socket's buffer is full.
    pub fn tell(&self, through: Channel, datagram: &[u8]) -> bool {
        self.kernel[through as usize].send(datagram).is_ok()
    }

    /// Notes an entry as if the plane had programmed it: iif and outgoing interfaces by VIF.
    pub fn programmed(&self, flow: SourceGroup, parent: u8, oifs: u32) {
        let mut entries = self.plane.entries.lock();
        entries.programmed.reserve(1);
        entries.note(flow, Some(Programmed { parent, oifs }));
    }

    /// Reads reports and hands them on.
    pub fn read_reports(&self) {
        // So that it does not wait when it has read them all and none was valid.
        sys::signal(&self.plane.stop);
        self.read::<Reports>();
    }

    /// Reads all notifications and hands on what they say.
    pub fn read_notifications(&self) {
        // So that it does not wait where nothing was sent.
        sys::signal(&self.plane.wake);
        self.read::<Notifications>();
    }

    fn read<W: Work>(&self) {
        let mut queue = Vec::with_capacity(W::ITEMS);
        W::read(&self.plane, &mut queue, 0);
        if queue.len() > 1 {
            W::prepare(&self.plane, &queue);
        }
        while let Some(item) = queue.pop() {
            W::hand_on(&self.plane, &item);
        }
    }

    /// Reads what an earlier program left in the table, from the answers to the first two requests.
    /// Each answer must end with an NLMSG_DONE, or it waits for a second. Their numbers are 1 and
    /// 2.
    pub fn read_left(&self) -> bool {
        self.plane.read_left().is_ok()
    }

    /// Asks for the route to a source, in one question or two.
    pub fn route(&self, source: Ipv4Addr) -> Option<Route> {
        self.plane.route(source, None)
    }

    /// Asks for the routes to several sources at once, in as many questions.
    pub fn find_routes(&self, sources: &[Ipv4Addr]) {
        self.plane.find_many(sources);
    }

    /// Reports that could not be read, and those of devices that are not ours.
    pub fn unread_reports(&self) -> (u64, u64) {
        let counters = &self.plane.counters;
        (counters.malformed.load(Relaxed), counters.unknown_arrival.load(Relaxed))
    }
}
