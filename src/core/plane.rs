//! Which entries of the forwarding plane are out of date.
//!
//! A name is all that is kept: what the entry is to be is read when it is programmed, so that a
//! plane never gets an older state after a newer one.

use super::types::{IfKey, SourceGroup};
use crate::error::Error;
use std::collections::VecDeque;

/// Something of the plane that is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The entry of this flow.
    Entry(SourceGroup),
    /// The interface may have to go.
    Interface(IfKey),
}

/// What is out of date, oldest first.
#[derive(Default)]
pub struct Plane {
    queue: VecDeque<Stale>,
}

impl Plane {
    /// Nothing is out of date.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    /// Makes sure that the next `n` pushes find room.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        Ok(self.queue.try_reserve(n)?)
    }

    /// Adds something. Room must have been reserved.
    pub fn push(&mut self, stale: Stale) {
        self.queue.push_back(stale);
    }

    /// The oldest.
    pub fn front(&self) -> Option<Stale> {
        self.queue.front().copied()
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Stale> {
        let stale = self.queue.pop_front();
        // A long queue's memory is given back once it has been worked off. (Giving a part back
        // could fail.)
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
