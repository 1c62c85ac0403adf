//! What the plane knows of the entries in the kernel: those that it programmed, and those that others
//! made, that it refused, or that an earlier program left.

#![forbid(unsafe_code)]

use super::left::Left;
use super::netlink::{self, MessageWriter};
use super::own::OwnFlows;
use super::vifs::{NO_PARENT, Programmed};
use crate::sys::{self, Errno, MAX_VIFS};
use crate::types::SourceGroup;
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The kernel reads the parent of an entry without oifs and does nothing with it. The last number
/// is the least likely one to belong to a device, whose packets would then count as forwarded.
pub const HARMLESS_PARENT: u8 = MAX_VIFS as u8 - 1;

/// The most changes in one system call.
pub const CHUNK: usize = 128;
/// The most octets of one message: headers, four attributes of a number, 32 next hops.
const MESSAGE: usize = 16 + 12 + 4 * 8 + 4 + 8 * MAX_VIFS;
/// Room for a chunk of the largest messages and the one that ends it.
pub const CAPACITY: usize = CHUNK * MESSAGE + netlink::HEADER;
/// How many suspects are kept; with more, an audit is due.
const MAX_SUSPECTS: usize = 1024;
/// The largest notification there is has some 400 octets.
const NOTIFICATION: usize = 1024;
/// How many refused flows have an entry at a time.
const MOST: usize = 1024;
/// How long such an entry stays: as long as the kernel keeps a flow without an entry.
pub const KEPT: Duration = Duration::from_secs(10);

/// Entries as the kernel has them, and what is changed together with them. A thread that changes
/// anything in the kernel holds the lock on this.
pub struct Entries {
    /// The entry that was programmed, or found later, for each flow.
    pub programmed: HashMap<SourceGroup, Programmed>,
    /// How many entries name each VIF.
    pub named: [u32; MAX_VIFS],
    /// Watches for changes that others make.
    pub foreign: Foreign,
    /// Flows that have a negative entry here and none in the group manager.
    pub refused: RefusedFlows,
    /// What an earlier program left.
    pub takeover: Takeover,
    /// This machine's own flows.
    pub own: OwnFlows,
    /// Nothing may be changed any more: without an owner of the table, entries would stay behind
    /// in the kernel.
    pub stopped: bool,
    pub batch: MessageWriter,
    pub batch_socket: OwnedFd,
    pub batch_seq: u32,
    /// Netlink refuses batches, because CAP_NET_ADMIN was given up since the start.
    pub no_batches: bool,
}

impl Entries {
    /// No entries.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            programmed: HashMap::new(),
            named: [0; MAX_VIFS],
            foreign: Foreign::new(),
            refused: RefusedFlows::new(),
            takeover: Takeover::new(),
            own: OwnFlows::new(),
            stopped: false,
            batch: MessageWriter::new(CAPACITY),
            batch_socket: sys::route_socket()?,
            batch_seq: 0,
            no_batches: false,
        })
    }

    /// Notes the entry that the kernel has for a flow now. Room for a new flow must have been
    /// reserved.
    pub fn note(&mut self, flow: SourceGroup, now: Option<Programmed>) {
        self.refused.forget(flow);
        self.own.note(flow, now);
        let before = match now {
            Some(now) => self.programmed.insert(flow, now),
            None => {
                self.foreign.deletions += 1;
                self.programmed.remove(&flow)
            }
        };
        let bits = |p: Option<Programmed>| p.map_or(0, Programmed::vifs);
        let (before, now) = (bits(before), bits(now));
        let mut differ = before ^ now;
        while differ != 0 {
            let vif = differ.trailing_zeros() as usize;
            if now >> vif & 1 == 1 {
                self.named[vif] += 1;
            } else {
                self.named[vif] -= 1;
            }
            differ &= differ - 1;
        }
        if now == 0 && self.programmed.len() < self.programmed.capacity() / 8 {
            self.give_back();
        }
    }

    /// Frees a large table's memory once it is nearly empty.
    #[cold]
    fn give_back(&mut self) {
        if self.programmed.capacity() <= 4096 {
            return;
        }
        // Room that was made for the present batch stays.
        let room = self.programmed.len() * 2 + CHUNK;
        let mut smaller = HashMap::new();
        if smaller.try_reserve(room).is_ok() {
            smaller.extend(self.programmed.drain());
            self.programmed = smaller;
        }
    }
}

/// What is known about changes by others.
pub struct Foreign {
    pub suspects: Vec<SourceGroup>,
    pub audit: Vec<SourceGroup>,
    pub audit_due: bool,
    /// Deletions of our own since notifications were read last.
    pub deletions: usize,
    pub buffers: Box<[[u8; NOTIFICATION]; sys::BATCH]>,
    pub lengths: [usize; sys::BATCH],
}

impl Foreign {
    /// Nothing is suspect.
    pub fn new() -> Self {
        Self {
            suspects: Vec::with_capacity(MAX_SUSPECTS),
            audit: Vec::new(),
            audit_due: false,
            deletions: 0,
            buffers: Box::new([[0; NOTIFICATION]; sys::BATCH]),
            lengths: [0; sys::BATCH],
        }
    }

    /// Whether there is something to look up.
    pub fn busy(&self) -> bool {
        self.audit_due || !self.audit.is_empty() || !self.suspects.is_empty()
    }

    /// Has the kernel's entry of the flow looked up.
    pub fn suspect(&mut self, flow: SourceGroup) {
        if self.suspects.len() < MAX_SUSPECTS {
            self.suspects.push(flow);
        } else {
            self.audit_due = true;
        }
    }
}

/// The refused flows that have an entry.
pub struct RefusedFlows {
    /// Oldest first. May name flows that are no longer in `flows`.
    pub queue: VecDeque<(Instant, SourceGroup)>,
    pub flows: HashSet<SourceGroup>,
}

impl RefusedFlows {
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
    pub fn next_over(&mut self, now: Instant, room: bool) -> Option<SourceGroup> {
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

/// What is being taken over. Empty in the common case.
pub struct Takeover {
    /// The entries.
    pub left: Left,
    /// VIFs that were found.
    pub vifs: u32,
    /// When the grace period is over; None: there is nothing to take over.
    pub end: Option<Instant>,
    /// How many entries were deleted at the end, and how many were not.
    pub fates: (usize, usize),
}

impl Takeover {
    /// Nothing is taken over.
    pub fn new() -> Self {
        Self { left: Left::default(), vifs: 0, end: None, fates: (0, 0) }
    }

    /// Whether a takeover is under way.
    pub const fn is_under_way(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the VIF must stay for now, because entries that were found name it.
    pub const fn needs(&self, vif: u8) -> bool {
        self.is_under_way() && self.vifs >> vif & 1 == 1
    }

    /// When there is something to do.
    pub fn next_step(&self, now: Instant) -> Option<Instant> {
        let end = self.end?;
        if self.left.is_busy() {
            return Some(now);
        }
        Some(self.left.next_retry().map_or(end, |retry| end.min(retry)))
    }

    /// The number will stand for another device. No entry that was found may go out of that device,
    /// or come in on it.
    pub fn forget(&mut self, vif: u8) {
        let bit = 1 << vif;
        if self.vifs & bit == 0 {
            return;
        }
        self.vifs &= !bit;
        for (_, state) in self.left.states() {
            state.oifs &= !bit;
            if state.parent == vif {
                *state = Programmed { parent: NO_PARENT, oifs: 0 };
            }
        }
    }

    /// The state of an entry while it keeps the outgoing interfaces that it was found with.
    pub fn merge(&self, flow: SourceGroup, wanted: Programmed) -> Programmed {
        match self.left.state(flow) {
            // With another iif, or none, the list that was found would make packets loop or leak.
            Some(found) if wanted.parent == found.parent => {
                Programmed { parent: wanted.parent, oifs: wanted.oifs | found.oifs }
            }
            // The route or its owner may be known soon.
            Some(found) if wanted.oifs == 0 && wanted.parent == NO_PARENT => found,
            _ => wanted,
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
        let mut refused = RefusedFlows::new();
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
