//! The last changes, for administrators who follow them (decision 93).
//!
//! They are kept in a ring, each with a number, so that whoever asks again gets what came since and
//! knows how much of it was not kept. Nothing is kept until somebody asks for the first time, and
//! nothing any more when nobody has asked for a while; a change then costs one look at a length.

use crate::error::Error;
use crate::types::{ClientName, IfKey, Millis, SourceGroup};
use std::collections::VecDeque;

/// The most changes that are kept, some 32 octets each.
const KEPT: usize = 1 << 16;
/// Changes are kept for so long after the last question, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

/// Something that has come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A client registered, or deregistered.
    Client {
        /// Which one.
        who: ClientName,
        /// It registered.
        came: bool,
    },
    /// A client took an interface, or released it.
    Interface {
        /// The interface.
        interface: IfKey,
        /// Who.
        who: ClientName,
        /// It took it.
        came: bool,
    },
    /// An interface is up or down.
    Up {
        /// The interface.
        interface: IfKey,
        /// It is up.
        up: bool,
    },
    /// A client has a membership, or has it no more.
    Member {
        /// What it is for.
        of: SourceGroup,
        /// Where.
        interface: IfKey,
        /// Whose.
        who: Option<ClientName>,
        /// It is IGMP's.
        igmp: bool,
        /// It was added.
        came: bool,
    },
    /// A forwarding entry was made, or deleted. One that is made has no oifs yet, and one that is
    /// deleted none any more: these come and go by themselves.
    Entry {
        /// Its source and group.
        flow: SourceGroup,
        /// Its iif.
        iif: IfKey,
        /// There is a route and an owner toward the source (rule E5).
        resolved: bool,
        /// It was made.
        came: bool,
    },
    /// An entry has another iif.
    Iif {
        /// Its source and group.
        flow: SourceGroup,
        /// The new one.
        iif: IfKey,
        /// There is a route and an owner toward the source now.
        resolved: bool,
    },
    /// An interface is an oif of an entry, or is it no more.
    Oif {
        /// The entry's source and group.
        flow: SourceGroup,
        /// The interface.
        oif: IfKey,
        /// It joined the list.
        came: bool,
    },
}

/// The last changes.
pub struct History {
    /// Has room while somebody follows, and only then.
    ring: VecDeque<Happening>,
    /// The number of the change that comes next.
    next: u64,
    /// When somebody asked last.
    asked: Millis,
}

impl History {
    /// Nothing has happened, and nobody follows.
    pub const fn new() -> Self {
        Self { ring: VecDeque::new(), next: 0, asked: Millis(0) }
    }

    /// Whether changes are kept.
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.ring.capacity() != 0
    }

    /// Somebody asks: changes are kept from now on. Gives the number of the change that comes next.
    pub fn follow(&mut self, now: Millis) -> Result<u64, Error> {
        if !self.is_followed() {
            self.ring.try_reserve_exact(KEPT)?;
            // Stands for what was not kept since somebody followed last.
            self.next += 1;
        }
        self.asked = now;
        Ok(self.next)
    }

    /// Keeps a change, for which the oldest makes room.
    #[cold]
    pub(in crate::core) fn push(&mut self, happening: Happening) {
        if self.ring.len() >= KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(happening);
        self.next += 1;
    }

    /// The number of the oldest change that is kept, or of the next one where none is.
    pub fn oldest(&self) -> u64 {
        self.next - self.ring.len() as u64
    }

    /// The changes from a number on, each with its number.
    pub fn since(&self, number: u64) -> impl Iterator<Item = (u64, Happening)> + '_ {
        let oldest = self.oldest();
        let first = number.saturating_sub(oldest).min(self.ring.len() as u64);
        let rest = self.ring.range(first as usize..);
        (oldest + first..).zip(rest.copied())
    }

    /// Keeps nothing any more where nobody has asked for long. Gives what is to be dropped with
    /// nothing locked.
    pub fn rest(&mut self, now: Millis) -> Option<VecDeque<Happening>> {
        let over = self.is_followed() && now.since(self.asked) >= PATIENCE_MS;
        over.then(|| std::mem::take(&mut self.ring))
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(component: u32) -> Happening {
        Happening::Client { who: ClientName { protocol: 1, component }, came: true }
    }

    #[test]
    fn numbers_tell_what_is_missing() {
        let mut history = History::new();
        assert!(!history.is_followed());
        let first = history.follow(Millis(0)).unwrap();
        let room = history.ring.capacity();
        for n in 0..KEPT as u32 + 3 {
            history.push(client(n));
        }
        assert_eq!(history.ring.capacity(), room, "it never grows");
        assert_eq!(history.oldest(), first + 3);
        assert_eq!(history.since(first).next(), Some((first + 3, client(3))));
        assert_eq!(history.since(first + 5).next(), Some((first + 5, client(5))));
        let next = first + KEPT as u64 + 3;
        assert_eq!(
            history.since(next - 1).collect::<Vec<_>>(),
            [(next - 1, client(KEPT as u32 + 2))]
        );
        assert_eq!(history.since(next).next(), None);
        assert_eq!(history.since(u64::MAX).next(), None);
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let mut history = History::new();
        let first = history.follow(Millis(5)).unwrap();
        history.push(client(0));
        assert!(history.rest(Millis(5 + PATIENCE_MS - 1)).is_none() && history.is_followed());
        assert_eq!(history.follow(Millis(10)).unwrap(), first + 1);
        assert!(history.rest(Millis(10 + PATIENCE_MS)).is_some() && !history.is_followed());
        assert_eq!(history.since(0).next(), None);
        // Whoever followed before sees that something may be missing.
        assert_eq!(history.follow(Millis(99_999)).unwrap(), first + 2);
        assert_eq!(history.oldest(), first + 2);
    }
}
