//! Flows that the group manager refuses (rule G1).
//!
//! The kernel keeps a flow without an entry on a list for ten seconds and walks that list for each
//! further new flow, so a flood of refused flows would cost more with every packet. Instead, each
//! refused flow gets a negative entry in the kernel alone, for as long as the kernel would have
//! kept the flow. After that its next packet is reported again. There are at most 1,024 such
//! entries, in addition to the group manager's own cap; the oldest makes room for the next.
//!
//! Flows that came in on a device that nobody is on get such an entry too. When a device is taken,
//! all of these entries are deleted, so that the flows are reported again.

#![forbid(unsafe_code)]

use super::Plane;
use super::entries::{Entries, HARMLESS_PARENT, KEPT};
use super::vifs::{NO_PARENT, Programmed};
use crate::sys;
use crate::types::SourceGroup;
use std::time::Instant;

impl Plane {
    /// See [`Forwarder::refuse`](crate::forwarder::Forwarder::refuse).
    pub(super) fn refuse(&self, flow: SourceGroup) {
        self.make_refused(&mut self.entries.lock(), flow);
    }

    pub(super) fn make_refused(&self, entries: &mut Entries, flow: SourceGroup) {
        if self.check(entries, flow).is_err() || entries.programmed.contains_key(&flow) {
            return;
        }
        let now = Instant::now();
        self.end_refused(entries, now, true);
        if entries.programmed.try_reserve(1).is_err()
            || sys::add_mfc(&self.socket, flow.source(), flow.group(), HARMLESS_PARENT, 0).is_err()
        {
            // Then the flow stays on the kernel's list.
            return;
        }
        entries.note(flow, Some(Programmed { parent: NO_PARENT, oifs: 0 }));
        if entries.refused.queue.is_empty() {
            // So that the netlink thread wakes up when its time is over.
            sys::signal(&self.wake);
        }
        entries.refused.queue.push_back((now, flow));
        entries.refused.flows.insert(flow);
        self.drain_own(entries);
    }

    /// Deletes the entries of all refused flows.
    pub(super) fn end_all_refused(&self, entries: &mut Entries) {
        self.end_refused(entries, Instant::now() + KEPT, false);
        self.drain_own(entries);
    }

    /// Deletes the entries of refused flows whose time is over and, where `room` is wanted, the
    /// oldest one.
    pub(super) fn end_refused(&self, entries: &mut Entries, now: Instant, room: bool) {
        while let Some(flow) = entries.refused.next_over(now, room) {
            if entries.stopped {
                return;
            }
            // It fails only where somebody else deleted the entry.
            let _ = sys::del_mfc(&self.socket, flow.source(), flow.group());
            entries.note(flow, None);
        }
    }
}
