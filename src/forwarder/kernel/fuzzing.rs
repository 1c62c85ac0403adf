//! For the fuzzer (feature `fuzzing`): a plane whose sockets lead to the caller instead of to the
//! kernel. What this "kernel" sends is read by the same code as the real kernel's messages.

#![forbid(unsafe_code)]

pub use super::netlink::{Attributes, Message, Messages, NextHops};
pub use super::report::{Report, ReportKind, SIZE as REPORT_SIZE};

use super::entries::Entries;
use super::netlink::Asker;
use super::notify::Notifications;
use super::pump::PumpWork;
use super::upcall::Reports;
use super::vifs::{Programmed, Vifs};
use super::{Descriptors, Plane, sys};
use crate::forwarder::Upcalls;
use crate::types::{IfKey, Route, SourceGroup};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering::Relaxed;

/// A socket through which the kernel sends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSocket {
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
pub struct FuzzedPlane {
    plane: Plane,
    kernel: [UnixDatagram; 5],
}

impl FuzzedPlane {
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
        let descriptors = Descriptors {
            socket: reports.0.into(),
            igmp: Some(igmp.0.into()),
            changes: changes.0.into(),
            watch: entries.0.into(),
            wake: event(),
            stop: event(),
        };
        let own = (Entries::new().expect("a netlink socket"), Asker::over(answers.0.into()));
        let mut plane = Plane::over(sys::DEFAULT_TABLE, descriptors, upcalls, own, 0);
        *plane.vifs.get_mut() = vifs;
        Self { plane, kernel: [reports.1, changes.1, entries.1, answers.1, igmp.1] }
    }

    /// Sends a datagram to the plane. False: the socket's buffer is full.
    pub fn tell(&self, through: KernelSocket, datagram: &[u8]) -> bool {
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

    fn read<W: PumpWork>(&self) {
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
