//! Numbered places for values: a slab whose growth can fail without harm.
//!
//! Values live in fixed chunks, so growing never moves what is there.

use super::steps::step;
use crate::error::Error;
use std::ops::{Index, IndexMut};

/// No place: the end of a list.
pub const NONE: u32 = u32::MAX;

const CHUNK: usize = 256;

enum Slot<T> {
    Free { next: u32 },
    Used(T),
}

/// A table of values by small number. A number is used again after its value was removed.
pub struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    /// Places that were ever used: chunks are filled in order.
    used: usize,
    free_head: u32,
    len: usize,
}

impl<T> Slab<T> {
    /// The size of a place in octets.
    #[cfg(test)]
    pub const PLACE: usize = size_of::<Slot<T>>();

    /// An empty slab.
    pub const fn new() -> Self {
        Self { chunks: Vec::new(), used: 0, free_head: NONE, len: 0 }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Makes sure that the next `n` inserts find room.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        // Every place but those in use.
        let mut room = self.chunks.len() * CHUNK - self.len;
        while room < n {
            if (self.chunks.len() + 1) * CHUNK > NONE as usize {
                return Err(Error::OutOfMemory);
            }
            self.chunks.try_reserve(1)?;
            let mut chunk = Vec::new();
            chunk.try_reserve_exact(CHUNK)?;
            self.chunks.push(chunk);
            room += CHUNK;
        }
        Ok(())
    }

    /// Puts a value in a free place and gives its number. Room must have been reserved.
    pub fn insert(&mut self, value: T) -> u32 {
        step();
        self.len += 1;
        if let Some(slot) = place_mut(&mut self.chunks, self.free_head)
            && let Slot::Free { next } = *slot
        {
            *slot = Slot::Used(value);
            return std::mem::replace(&mut self.free_head, next);
        }
        let id = self.used;
        let chunk = &mut self.chunks[id / CHUNK];
        debug_assert!(chunk.len() < chunk.capacity());
        chunk.push(Slot::Used(value));
        self.used += 1;
        id as u32
    }

    /// Takes a value out. None: there was none at that place.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        step();
        let slot = place_mut(&mut self.chunks, id)?;
        if let Slot::Free { .. } = slot {
            return None;
        }
        let old = std::mem::replace(slot, Slot::Free { next: self.free_head });
        self.free_head = id;
        self.len -= 1;
        match old {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// The value at that place, if there is one.
    pub fn get(&self, id: u32) -> Option<&T> {
        step();
        match self.chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)? {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// The value at that place, if there is one, to change.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        step();
        match place_mut(&mut self.chunks, id)? {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }
}

fn place_mut<T>(chunks: &mut [Vec<Slot<T>>], id: u32) -> Option<&mut Slot<T>> {
    chunks.get_mut(id as usize / CHUNK)?.get_mut(id as usize % CHUNK)
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    /// The value at a place that the caller knows to be in use.
    fn index(&self, id: u32) -> &T {
        self.get(id).expect("a number kept by the core names a value")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        self.get_mut(id).expect("a number kept by the core names a value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let mut slab = Slab::new();
        slab.reserve(600).unwrap();
        let ids: Vec<u32> = (0..600).map(|i| slab.insert(i)).collect();
        assert_eq!(ids, (0..600).collect::<Vec<u32>>());
        assert_eq!(slab.remove(300), Some(300));
        assert_eq!(slab.remove(300), None);
        assert_eq!(slab.get(300), None);
        slab.reserve(1).unwrap();
        assert_eq!(slab.insert(7), 300);
        assert_eq!(slab.len(), 600);
        assert_eq!(slab[300], 7);
    }

    #[test]
    fn reserving_twice_takes_no_more_room() {
        let mut slab: Slab<u8> = Slab::new();
        slab.reserve(1).unwrap();
        slab.reserve(CHUNK).unwrap();
        assert_eq!(slab.chunks.len(), 1);
        slab.reserve(CHUNK + 1).unwrap();
        assert_eq!(slab.chunks.len(), 2);
        for i in 0..=CHUNK {
            slab.insert(i as u8);
        }
        assert_eq!(slab.get(CHUNK as u32), Some(&0));
    }
}
