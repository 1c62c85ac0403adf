//! Flows that the group manager refuses (rule G1).
//!
//! The kernel keeps a flow without an entry on a list for ten seconds and walks that list for each
//! further new flow, so a flood of refused flows would cost more with every packet. Instead, each
//! refused flow gets a negative entry in the kernel alone, for as long as the kernel would have
//! kept the flow. After that its next packet is reported again. There are at most [`MOST`] such
//! entries, in addition to the group manager's own cap; the oldest makes room for the next.
//!
//! Flows that came in on a device that nobody is on get such an entry too. When a device is taken,
//! all of these entries are deleted, so that the flows are reported again.

#![forbid(unsafe_code)]

use super::Plane;
use super::mroute::{Entries, HARMLESS_PARENT};
use super::vifs::{NO_PARENT, Programmed};
use crate::sys;
use crate::types::SourceGroup;
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many refused flows have an entry at a time.
const MOST: usize = 1024;
/// How long such an entry stays: as long as the kernel keeps a flow without an entry.
const KEPT: Duration = Duration::from_secs(10);

/// The refused flows that have an entry.
pub struct Refused {
    /// Oldest first. May name flows that are no longer in `flows`.
    queue: VecDeque<(Instant, SourceGroup)>,
    flows: HashSet<SourceGroup>,
}

impl Refused {
    /// No refused flows.
    pub fn new() -> Self {
        // Twice the room makes sure that the set never has to grow (rule A4).
        Self { queue: VecDeque::with_capacity(MOST), flows: HashSet::with_capacity(2 * MOST) }
    }

    /// Forgets a flow whose entry is a real one now, or is gone.
    pub fn forget(&mut self, flow: SourceGroup) {
        if !self.flows.is_empty() {
            self.flows.remove(&flow);
        }
    }

    /// When the time of the oldest one is over.
    pub fn next_end(&self) -> Option<Instant> {
        self.queue.front().map(|(since, _)| *since + KEPT)
    }

    /// Takes out the oldest one, if its time is over or it must make room.
    fn next_over(&mut self, now: Instant, room: bool) -> Option<SourceGroup> {
        loop {
            let (since, flow) = *self.queue.front()?;
            if now < since + KEPT && !(room && self.queue.len() >= MOST) {
                return None;
            }
            self.queue.pop_front();
            if self.flows.remove(&flow) {
                return Some(flow);
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(n: u32) -> SourceGroup {
        SourceGroup::from_bits(0xe800_0000_0000_0000 | u64::from(n))
    }

    #[test]
    fn the_oldest_goes_when_its_time_is_over_or_for_room() {
        let mut refused = Refused::new();
        let start = Instant::now();
        for n in 0..MOST as u32 {
            refused.queue.push_back((start, flow(n)));
            refused.flows.insert(flow(n));
        }
        assert_eq!(refused.next_over(start, false), None);
        assert_eq!(refused.next_over(start, true), Some(flow(0)));
        assert_eq!(refused.next_over(start, true), None, "there is room");
        refused.forget(flow(1));
        assert_eq!(refused.next_end(), Some(start + KEPT));
        assert_eq!(refused.next_over(start + KEPT, false), Some(flow(2)), "1 is not ours");
    }
}
