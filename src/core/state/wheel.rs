//! Lifetimes: which forwarding entries end when.
//!
//! This is a wheel with one list per second. The links of the lists are beside the entries, so that
//! setting a lifetime never needs memory. The cost of looking for what has ended is proportional to
//! what ends; an entry with a lifetime beyond one turn (17 minutes) is looked at once a turn.

use crate::core::containers::list::{Links, List};
use crate::core::containers::steps::step;
use crate::core::containers::table::Table;
use crate::core::state::mfe::Mfe;
use crate::types::Millis;

const SECONDS: usize = 1024;
/// The list of the entries whose end was found and not handled yet.
const ENDED: u16 = SECONDS as u16;

/// The lists.
pub(in crate::core) struct Wheel {
    lists: [List; SECONDS + 1],
    /// The second up to which the lists were searched.
    searched: u64,
}

fn in_wheel(mfes: &mut Table<Mfe>, id: u32) -> &mut Links {
    &mut mfes.beside_mut(id).wheel
}

fn slot_of(deadline: Millis) -> u16 {
    ((deadline.0 / 1000) % SECONDS as u64) as u16
}

impl Wheel {
    pub(in crate::core) const fn new() -> Self {
        Self { lists: [List::EMPTY; SECONDS + 1], searched: 0 }
    }

    /// Sets when an entry ends.
    pub(in crate::core) fn set(&mut self, mfes: &mut Table<Mfe>, id: u32, deadline: Millis) {
        mfes[id].set_deadline(deadline);
        // A deadline in a second that was searched already is put into the present one.
        let second = (deadline.0 / 1000).max(self.searched);
        let slot = slot_of(Millis(second * 1000));
        // Most answers to prune alerts set the lifetime that the entry has already.
        if mfes[id].wheel_slot != slot {
            self.clear(mfes, id);
            self.link(mfes, id, slot);
        }
    }

    /// Takes an entry out.
    pub(in crate::core) fn clear(&mut self, mfes: &mut Table<Mfe>, id: u32) {
        let slot = mfes[id].wheel_slot;
        if slot == Mfe::NO_SLOT {
            return;
        }
        self.lists[slot as usize].remove(mfes, id, in_wheel);
        mfes[id].wheel_slot = Mfe::NO_SLOT;
    }

    fn link(&mut self, mfes: &mut Table<Mfe>, id: u32, slot: u16) {
        mfes[id].wheel_slot = slot;
        self.lists[slot as usize].append(mfes, id, in_wheel);
    }

    /// An entry whose lifetime has ended. It stays until its lifetime is set anew or cleared.
    pub(in crate::core) fn ended(&mut self, mfes: &mut Table<Mfe>, now: Millis) -> Option<u32> {
        if self.lists[ENDED as usize].is_empty() {
            self.search(mfes, now);
        }
        self.lists[ENDED as usize].first()
    }

    fn search(&mut self, mfes: &mut Table<Mfe>, now: Millis) {
        let second = now.0 / 1000;
        let first = self.searched.max(second.saturating_sub(SECONDS as u64 - 1));
        for at in first..=second {
            step();
            let mut next = self.lists[at as usize % SECONDS].first();
            while let Some(id) = next {
                next = List::after(mfes.beside(id).wheel);
                if mfes[id].deadline() <= now {
                    self.clear(mfes, id);
                    self.link(mfes, id, ENDED);
                }
            }
        }
        self.searched = self.searched.max(second);
    }
}
