//! Changes that have taken effect and whose consequences are carried out in portions.
//!
//! A change may concern a million entries. It takes effect at one moment, under one lock; what
//! follows from it is done a portion at a time, with the lock free in between (`rules::portions`).

use crate::core::containers::slab::NONE;
use crate::core::state::interfaces::ChangeKind;
use crate::error::Error;
use crate::types::{Millis, SourceGroup};

/// The most consequences that are carried out at a time, counted in entries, memberships and
/// alerts.
pub const PORTION: usize = 256;
/// What an alert counts for: those that a portion causes are delivered before others to the same clients.
pub(in crate::core) const ALERT: usize = 8;

/// What a change does to the entries that it covers, on one interface.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Update {
    /// The membership that came or went, or the flows that are forced or pruned.
    pub of: SourceGroup,
    /// The owner's vetoes are lifted.
    pub lifts: bool,
    /// The owner forces the interface, or vetoes it; None: neither.
    pub forces: Option<bool>,
}

impl Update {
    /// Whether it changes what the interface's owner has said.
    pub const fn changes_marks(&self) -> bool {
        self.lifts || self.forces.is_some()
    }
}

/// What follows from a change of ownership.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Leave {
    /// Who was on the interface before, by slot: the routing protocol and IGMP.
    pub former: [Option<u32>; 2],
    /// Whose memberships end, as [`Role`](super::members::Role) numbers them.
    pub ends: [bool; 2],
    /// The owner hears of each (rule D9).
    pub tells_owner: bool,
    /// The entries go whose iif the interface is, and those that its owner refused; with
    /// `Some(true)` those without an owner toward their source too.
    pub deletes: Option<bool>,
    /// The owner's marks end.
    pub ends_marks: bool,
    /// What the change was, for its end.
    pub kind: ChangeKind,
    /// IGMP was told of this change, and is enabled at the end.
    pub change: Option<u32>,
}

/// What is to be carried out.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) enum What {
    /// A membership, or FORWARD.
    Update(Update),
    /// A change of ownership.
    Leave(Leave),
    /// The interface came up, or went down.
    Up(bool),
}

impl What {
    /// Whether entries go whose iif the interface is, and those that its owner refused; with
    /// `Some(true)` those without an owner toward their source too.
    pub const fn deletes(&self) -> Option<bool> {
        match self {
            Self::Leave(leave) => leave.deletes,
            Self::Up(false) => Some(true),
            Self::Up(true) | Self::Update(_) => None,
        }
    }
}

/// How far it has come. Each stage has a place of its own from which it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Stage {
    /// The entries whose iif the interface is, by number.
    Incoming(u32),
    /// The entries without an owner, or refused, whose iif it is, by number.
    Waiting(u32),
    /// Those whose packets come in on it, by number.
    Arriving(u32),
    /// Memberships of the role with this number, to be put in order, from this place on.
    Order(usize, usize),
    /// Memberships of the role with this number, which end from this key on.
    Members(usize, SourceGroup),
    /// The entries that the memberships of the role with this number cover: from this key on, and
    /// of its entries from this flow on.
    Covered(usize, SourceGroup, SourceGroup),
    /// The entries with marks of the interface's owner: from this place in the set on, as long as
    /// the set has this layout.
    Marked(usize, u32),
    /// The entries that an [`Update`] covers, from this flow on.
    Entries(SourceGroup),
    /// The pending flows that an [`Update`] covers, from this one on.
    Flows(SourceGroup),
    /// Everything was carried out.
    End,
}

/// A call that carries changes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier(u64);

impl Carrier {
    pub(in crate::core) const NOBODY: Self = Self(0);
}

/// One such change.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Unfinished {
    /// Its name.
    pub id: u64,
    pub interface: u32,
    /// The client that caused it, if one did.
    pub cause: Option<u32>,
    /// When it took effect.
    pub now: Millis,
    /// The job that its actions belong to.
    pub job: u32,
    /// Who carries it out, once the shell has counted it among what its job waits for.
    pub carrier: Option<Carrier>,
    /// Memory ran out for it. Its carrier tries it once more when it has delivered what waits.
    pub failed: bool,
    /// A portion was carried out since the timer looked last.
    pub moved: bool,
    pub what: What,
    pub stage: Stage,
}

impl Unfinished {
    /// Its place in the order in which changes took effect; see [`Known`].
    pub const fn number(&self) -> Known {
        Known(self.id as u32)
    }
}

/// The last change that an entry or a flow knows of. Numbers come again after 4,294,967,295 changes
/// of many entries; only an entry that none of them concerned could take one for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Known(u32);

impl Known {
    /// Whether a change is news.
    pub const fn is_before(self, other: Self) -> bool {
        (other.0.wrapping_sub(self.0) as i32) > 0
    }
}

/// All of them, in the order in which they took effect.
pub(in crate::core) struct AllUnfinished {
    list: Vec<Unfinished>,
    last: u64,
    carriers: u64,
    /// The jobs of those that were counted and are finished, or left for later.
    pub released: Vec<u32>,
}

impl AllUnfinished {
    pub(in crate::core) const fn new() -> Self {
        Self { list: Vec::new(), last: 0, carriers: 0, released: Vec::new() }
    }

    #[inline]
    pub(in crate::core) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(in crate::core) fn all(&self) -> &[Unfinished] {
        &self.list
    }

    pub(in crate::core) fn all_mut(&mut self) -> &mut [Unfinished] {
        &mut self.list
    }

    /// The name of one more call that carries changes out.
    pub(in crate::core) const fn new_carrier(&mut self) -> Carrier {
        self.carriers += 1;
        Carrier(self.carriers)
    }

    /// What an entry that is made now knows of.
    pub(in crate::core) const fn latest(&self) -> Known {
        Known(self.last as u32)
    }

    /// Makes sure that the next push finds room.
    pub(in crate::core) fn reserve_one(&mut self) -> Result<(), Error> {
        self.list.try_reserve(1)?;
        // So that the end of each finds room too.
        Ok(self.released.try_reserve(self.list.len() + 1)?)
    }

    /// Adds one, with the next name, which it gets. Room must have been reserved.
    pub(in crate::core) fn push(&mut self, mut one: Unfinished) -> u64 {
        self.last += 1;
        one.id = self.last;
        self.list.push(one);
        self.last
    }

    /// Where the one with this name stands, unless it is finished.
    pub(in crate::core) fn place_of(&self, id: u64) -> Option<usize> {
        self.list.iter().position(|one| one.id == id)
    }

    /// The first on an interface that fits.
    pub(in crate::core) fn on(&self, interface: u32, fits: impl Fn(&What) -> bool) -> Option<u64> {
        let mut its = self.list.iter().filter(|one| one.interface == interface);
        its.find(|one| fits(&one.what)).map(|one| one.id)
    }

    /// Takes one out that is finished.
    pub(in crate::core) fn remove(&mut self, at: usize) -> Unfinished {
        let one = self.list.remove(at);
        if one.carrier.is_some() {
            self.release(one.job);
        }
        one
    }

    /// A job no longer waits for one of them. Room was reserved when that began.
    pub(in crate::core) fn release(&mut self, job: u32) {
        if job != NONE {
            self.released.push(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_again() {
        assert!(Known(1).is_before(Known(2)) && !Known(2).is_before(Known(1)));
        assert!(!Known(2).is_before(Known(2)));
        assert!(Known(u32::MAX).is_before(Known(0)) && !Known(0).is_before(Known(u32::MAX)));
    }
}
