//! Which entries of the forwarding plane are out of date.
//!
//! Only the flow is noted. The entry is read when it is programmed, so that a plane never gets an
//! older state after a newer one.

use crate::core::containers::slab::NONE;
use crate::error::Error;
use crate::types::{IfKey, SourceGroup};
use std::collections::VecDeque;

/// Something of the plane that is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The entry of a flow.
    Entry {
        /// The flow.
        flow: SourceGroup,
        /// The entry's number where it is known, which saves a look-up. The entry may have gone.
        id: u32,
        /// The flow was refused. Where it has no entry, the plane is asked not to report it for a
        /// while (rule G1).
        refused: bool,
    },
    /// The interface, which may have to be given up.
    Interface(IfKey),
}

impl Stale {
    /// The entry of a flow that may have none.
    pub const fn entry(flow: SourceGroup) -> Self {
        Self::entry_at(flow, NONE)
    }

    /// The entry of a flow, with its number.
    pub const fn entry_at(flow: SourceGroup, id: u32) -> Self {
        Self::Entry { flow, id, refused: false }
    }

    /// A flow that was refused.
    pub const fn refused(flow: SourceGroup) -> Self {
        Self::Entry { flow, id: NONE, refused: true }
    }
}

/// How an entry is to be programmed.
#[derive(Clone, Copy, Debug)]
pub struct PlaneEntry {
    /// Its number.
    pub id: u32,
    /// The incoming interface.
    pub iif: IfKey,
    /// How many oifs were added to the list.
    pub oifs: usize,
    /// Interfaces joined after it was last programmed. The packet count from before is needed, if
    /// there was one.
    pub joined: bool,
    /// What it has counted so far is needed, if there is anything: interfaces joined, or a lifetime
    /// began (rule E8).
    pub counts: bool,
    /// It has been programmed before.
    pub installed: bool,
}

/// What is out of date, oldest first.
#[derive(Default)]
pub struct StaleList {
    queue: VecDeque<Stale>,
    /// How many things were ever added, and how many of these have been programmed.
    added: u64,
    done: u64,
}

impl StaleList {
    /// Nothing is out of date.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new(), added: 0, done: 0 }
    }

    /// Makes room for the next `n` pushes.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        Ok(self.queue.try_reserve(n)?)
    }

    /// Adds something. Room must have been reserved.
    pub fn push(&mut self, stale: Stale) {
        self.queue.push_back(stale);
        self.added += 1;
    }

    /// How many things were ever added.
    pub const fn added(&self) -> u64 {
        self.added
    }

    /// Whether the first `added` things that were ever added have been programmed.
    pub const fn is_done(&self, added: u64) -> bool {
        self.done >= added
    }

    /// Notes that everything that was taken out has been programmed.
    pub fn finish(&mut self) {
        self.done = self.added - self.queue.len() as u64;
    }

    /// The oldest.
    pub fn front(&self) -> Option<Stale> {
        self.queue.front().copied()
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Stale> {
        let stale = self.queue.pop_front();
        // A long queue's memory is freed once it is empty. (Freeing a part of it could fail.)
        if self.queue.is_empty() && self.queue.capacity() > 4096 {
            self.queue = VecDeque::new();
        }
        stale
    }

    /// Whether nothing is out of date.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
