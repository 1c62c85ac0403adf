//! Slots with generations, which the handles of clients and enumerations stand for (rule A3).

use crate::error::Error;

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values named by a slot and the slot's generation. A slot that is used again has another
/// generation. A slot whose generations are used up is never used again.
pub struct Registry<T> {
    slots: Vec<Slot<T>>,
    /// Slots that may be used again.
    free: Vec<u32>,
    first_generation: u32,
    last_generation: u32,
    len: usize,
}

impl<T> Registry<T> {
    /// An empty registry whose slots begin at one generation and are given up after another.
    pub const fn new(first_generation: u32, last_generation: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), first_generation, last_generation, len: 0 }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// How many slots there ever were.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// A generation greater than all that were given out.
    pub fn next_generation(&self) -> u32 {
        self.slots
            .iter()
            .map(|slot| slot.generation)
            .max()
            .map_or(self.first_generation, |g| g.saturating_add(1))
    }

    /// Makes room for the next insert, and gives the slot that it will use.
    pub fn reserve_one(&mut self, max_slots: u32) -> Result<u32, Error> {
        if let Some(slot) = self.free.last() {
            return Ok(*slot);
        }
        if self.slots() >= max_slots {
            return Err(Error::TooMany(max_slots));
        }
        self.slots.try_reserve(1)?;
        // So that giving a slot back never needs memory.
        self.free.try_reserve(self.slots.len() + 1)?;
        Ok(self.slots())
    }

    /// Adds a value. Room must have been reserved.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        self.len += 1;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { generation: self.first_generation, value: None });
                self.slots.len() as u32 - 1
            }
        };
        let place = &mut self.slots[slot as usize];
        place.value = Some(value);
        (slot, place.generation)
    }

    /// Takes a value out; its slot waits for [`Self::free_slot`].
    pub fn remove(&mut self, slot: u32, generation: u32) -> Option<T> {
        self.get(slot, generation)?;
        self.remove_in_slot(slot)
    }

    /// Takes the value out of a slot, whatever its generation.
    pub fn remove_in_slot(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(slot as usize)?;
        let value = place.value.take()?;
        place.generation = place.generation.saturating_add(1);
        self.len -= 1;
        Some(value)
    }

    /// Lets a slot whose value was removed be used again.
    pub fn free_slot(&mut self, slot: u32) {
        if self.slots[slot as usize].generation < self.last_generation {
            self.free.push(slot);
        }
    }

    /// The value of that slot and generation.
    pub fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        let place = self.slots.get(slot as usize)?;
        if place.generation == generation { place.value.as_ref() } else { None }
    }

    /// The value of that slot and generation, to change.
    pub fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        let place = self.slots.get_mut(slot as usize)?;
        if place.generation == generation { place.value.as_mut() } else { None }
    }

    /// The value in a slot, whatever its generation.
    pub fn in_slot(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    /// The value in a slot, whatever its generation, to change.
    pub fn in_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// The generation of the value in a slot, if there is one.
    pub fn generation(&self, slot: u32) -> Option<u32> {
        let place = self.slots.get(slot as usize)?;
        place.value.is_some().then_some(place.generation)
    }

    /// All values with slot and generation.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        self.iter_from(0)
    }

    /// The same from a slot on.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, u32, &T)> {
        self.slots.iter().enumerate().skip(first as usize).filter_map(|(slot, place)| {
            Some((slot as u32, place.generation, place.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_generation_finds_nothing() {
        let mut registry = Registry::new(5, 7);
        registry.reserve_one(9).unwrap();
        let (slot, generation) = registry.insert('a');
        assert_eq!((slot, generation), (0, 5));
        assert_eq!(registry.remove(slot, generation), Some('a'));
        assert_eq!(registry.remove(slot, generation), None);
        registry.free_slot(slot);
        registry.reserve_one(9).unwrap();
        assert_eq!(registry.insert('b'), (0, 6));
        assert_eq!(registry.get(0, 5), None);
        assert_eq!(registry.get(0, 6), Some(&'b'));
        registry.remove(0, 6);
        registry.free_slot(0);
        registry.reserve_one(9).unwrap();
        assert_eq!(
            registry.insert('c'),
            (1, 5),
            "a slot without generations left is not used again"
        );
        assert_eq!(registry.next_generation(), 8);
    }

    #[test]
    fn slots_are_limited() {
        let mut registry = Registry::new(1, 9);
        registry.reserve_one(1).unwrap();
        registry.insert(());
        assert_eq!(registry.reserve_one(1), Err(Error::TooMany(1)));
    }
}
