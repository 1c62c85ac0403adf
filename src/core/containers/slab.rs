//! Numbered places for values: a slab whose growth can fail without harm.
//!
//! Values are in chunks that never move, so growing moves no value. Each value has a second part
//! beside it, for what readers do not need, so that it does not fill the cache lines that they
//! read.

use crate::core::containers::steps::step;
use crate::error::Error;
use std::ops::{Index, IndexMut};

/// No place: the end of a list.
pub const NONE: u32 = u32::MAX;

const CHUNK: usize = 256;

enum SlabPlace<T> {
    Free { next: u32 },
    Used(T),
}

/// All of its places exist from the start, so that an access needs no check of a length.
struct Chunk<T, B> {
    slots: Box<[SlabPlace<T>; CHUNK]>,
    beside: Box<[B; CHUNK]>,
}

impl<T, B: Default> Chunk<T, B> {
    fn new() -> Result<Self, Error> {
        Ok(Self { slots: places(|| SlabPlace::Free { next: NONE })?, beside: places(B::default)? })
    }
}

fn places<P>(place: impl FnMut() -> P) -> Result<Box<[P; CHUNK]>, Error> {
    let mut places = Vec::new();
    places.try_reserve_exact(CHUNK)?;
    places.resize_with(CHUNK, place);
    places.try_into().map_err(|_| Error::OutOfMemory)
}

/// A table of values by small number, each with a second part beside it. A number is used again
/// after its value was removed.
pub struct Slab<T, B = ()> {
    chunks: Vec<Chunk<T, B>>,
    /// Places that were ever used: chunks are filled in order.
    used: usize,
    free_head: u32,
    len: usize,
}

impl<T, B: Default> Slab<T, B> {
    /// The size of a place in octets.
    #[cfg(test)]
    pub const PLACE: usize = size_of::<SlabPlace<T>>() + size_of::<B>();

    /// An empty slab.
    pub const fn new() -> Self {
        Self { chunks: Vec::new(), used: 0, free_head: NONE, len: 0 }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Makes room for the next `n` inserts.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        // Every place but those in use.
        let mut room = self.chunks.len() * CHUNK - self.len;
        while room < n {
            if (self.chunks.len() + 1) * CHUNK > NONE as usize {
                return Err(Error::OutOfMemory);
            }
            self.chunks.try_reserve(1)?;
            self.chunks.push(Chunk::new()?);
            room += CHUNK;
        }
        Ok(())
    }

    /// Puts a value in a free place and gives its number. Room must have been reserved.
    pub fn insert(&mut self, value: T) -> u32 {
        step();
        self.len += 1;
        let reused = self.free_head != NONE;
        let id = if reused { self.free_head } else { self.used as u32 };
        let (slot, beside) = self.place_mut(id).expect("room was reserved before an insert");
        let SlabPlace::Free { next } = *slot else { unreachable!("the place is free") };
        *slot = SlabPlace::Used(value);
        *beside = B::default();
        if reused {
            self.free_head = next;
        } else {
            self.used += 1;
        }
        id
    }

    /// Takes a value out. None: there was none at that place.
    #[inline]
    pub fn remove(&mut self, id: u32) -> Option<T> {
        step();
        let next = self.free_head;
        let (slot, _) = self.place_mut(id)?;
        if let SlabPlace::Free { .. } = slot {
            return None;
        }
        let SlabPlace::Used(value) = std::mem::replace(slot, SlabPlace::Free { next }) else {
            return None;
        };
        self.free_head = id;
        self.len -= 1;
        Some(value)
    }

    /// The value at that place, if there is one.
    pub fn get(&self, id: u32) -> Option<&T> {
        step();
        match &self.chunks.get(id as usize / CHUNK)?.slots[id as usize % CHUNK] {
            SlabPlace::Used(value) => Some(value),
            SlabPlace::Free { .. } => None,
        }
    }

    /// The value at that place, if there is one, to change.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        step();
        match self.place_mut(id)? {
            (SlabPlace::Used(value), _) => Some(value),
            (SlabPlace::Free { .. }, _) => None,
        }
    }

    fn place_mut(&mut self, id: u32) -> Option<(&mut SlabPlace<T>, &mut B)> {
        let (chunk, at) = (self.chunks.get_mut(id as usize / CHUNK)?, id as usize % CHUNK);
        Some((&mut chunk.slots[at], &mut chunk.beside[at]))
    }

    /// What is beside a value: the default when the value was inserted.
    pub fn beside(&self, id: u32) -> &B {
        step();
        &self.chunks[id as usize / CHUNK].beside[id as usize % CHUNK]
    }

    /// The same to change.
    pub fn beside_mut(&mut self, id: u32) -> &mut B {
        step();
        &mut self.chunks[id as usize / CHUNK].beside[id as usize % CHUNK]
    }
}

impl<T, B: Default> Default for Slab<T, B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, B: Default> Index<u32> for Slab<T, B> {
    type Output = T;

    /// The value at a place that the caller knows to be in use.
    fn index(&self, id: u32) -> &T {
        self.get(id).expect("a number kept by the core names a value")
    }
}

impl<T, B: Default> IndexMut<u32> for Slab<T, B> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        self.get_mut(id).expect("a number kept by the core names a value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let mut slab: Slab<i32, u8> = Slab::new();
        slab.reserve(600).unwrap();
        let ids: Vec<u32> = (0..600).map(|i| slab.insert(i)).collect();
        for id in [299, 300, 301] {
            *slab.beside_mut(id) = id as u8;
        }
        assert_eq!(ids, (0..600).collect::<Vec<u32>>());
        assert_eq!(slab.remove(300), Some(300));
        assert_eq!(slab.remove(300), None);
        assert_eq!(slab.get(300), None);
        slab.reserve(1).unwrap();
        assert_eq!(slab.insert(7), 300);
        assert_eq!(slab.len(), 600);
        assert_eq!(slab[300], 7);
        assert_eq!(
            [299, 300, 301].map(|id| *slab.beside(id)),
            [43, 0, 45],
            "new values begin anew"
        );
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
