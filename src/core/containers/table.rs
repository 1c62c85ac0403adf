//! Values by (source, group): found by hash, walked in order (rule E11).

use crate::core::containers::ordered::OrderedMap;
use crate::core::containers::slab::Slab;
use crate::core::containers::steps::step;
use crate::error::Error;
use crate::types::SourceGroup;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::ops::{Index, IndexMut};

/// A value that knows its own key, which never changes.
pub trait Keyed {
    /// What is beside the value, see [`Slab`].
    type Beside: Default;

    /// The key.
    fn key(&self) -> SourceGroup;
}

/// A key with a bit pattern that never occurs, so that a free place of the slab needs no mark of
/// its own, which saves eight octets a value. (255.255.255.255 is no group.)
#[derive(Clone, Copy)]
pub struct Key(NonZeroU64);

impl Key {
    /// A source and a group that is 0.0.0.0 or multicast.
    pub const fn new(of: SourceGroup) -> Self {
        Self(NonZeroU64::new(!of.to_bits()).expect("no group is 255.255.255.255"))
    }

    /// The same again.
    pub const fn get(self) -> SourceGroup {
        SourceGroup::from_bits(!self.0.get())
    }
}

/// A table of values by (source, group). A value keeps its number as long as it is in the table.
pub struct Table<T: Keyed> {
    rows: Slab<T, T::Beside>,
    numbers: HashTable<u32>,
    order: OrderedMap<SourceGroup, u32>,
    hasher: DefaultHashBuilder,
}

impl<T: Keyed> Table<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            rows: Slab::new(),
            numbers: HashTable::new(),
            order: OrderedMap::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The number of the value with this key.
    pub fn find(&self, key: SourceGroup) -> Option<u32> {
        step();
        if self.rows.len() == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        self.numbers.find(hash, |id| self.rows[*id].key() == key).copied()
    }

    /// The same; the value may have had the number `id`, which is tried first.
    pub fn find_at(&self, id: u32, key: SourceGroup) -> Option<u32> {
        let still = self.rows.get(id).is_some_and(|value| value.key() == key);
        if still { Some(id) } else { self.find(key) }
    }

    /// The value with this key.
    pub fn get(&self, key: SourceGroup) -> Option<&T> {
        self.find(key).map(|id| &self.rows[id])
    }

    /// The value with this number, if there is one.
    pub fn by_number(&self, id: u32) -> Option<&T> {
        self.rows.get(id)
    }

    /// What is beside the value with this number.
    pub fn beside(&self, id: u32) -> &T::Beside {
        self.rows.beside(id)
    }

    /// The same to change.
    pub fn beside_mut(&mut self, id: u32) -> &mut T::Beside {
        self.rows.beside_mut(id)
    }

    /// Makes room for the next insert.
    pub fn reserve_one(&mut self) -> Result<(), Error> {
        self.rows.reserve(1)?;
        self.order.reserve_one()?;
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.numbers.try_reserve(1, |id| hasher.hash_one(rows[*id].key()))?;
        Ok(())
    }

    /// Adds a value whose key is not in the table. Room must have been reserved.
    pub fn insert(&mut self, value: T) -> u32 {
        let key = value.key();
        let id = self.rows.insert(value);
        self.order.insert(key, id);
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.numbers.insert_unique(hasher.hash_one(key), id, |id| hasher.hash_one(rows[*id].key()));
        id
    }

    /// Takes the value with this number out.
    #[inline]
    pub fn remove(&mut self, id: u32) -> Option<T> {
        let key = self.rows.get(id)?.key();
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.numbers.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.order.remove(key);
        self.rows.remove(id)
    }

    /// The numbers of the values from a key on, in order.
    pub fn from(&self, key: SourceGroup) -> impl Iterator<Item = (SourceGroup, u32)> + '_ {
        self.order.from(key)
    }

    /// The same in runs, see [`OrderedMap::runs_from`].
    pub fn runs_from(&self, key: SourceGroup) -> impl Iterator<Item = (&[SourceGroup], &[u32])> {
        self.order.runs_from(key)
    }

    /// The first value from a key on, by number.
    pub fn next_from(&self, key: SourceGroup) -> Option<(SourceGroup, u32)> {
        self.order.next_from(key)
    }

    /// Calls `each` with the numbers of the values that a membership of this kind covers, in order, from
    /// one on: one flow, all of a group, or all; `max` at the most. Gives the first one that is left.
    pub fn each_covered(
        &self,
        by: SourceGroup,
        from: SourceGroup,
        max: usize,
        mut each: impl FnMut(u32) -> Result<(), Error>,
    ) -> Result<Option<SourceGroup>, Error> {
        let (last, mut left) = (last_under(by), max);
        for (keys, ids) in self.order.runs_from(from.max(by)) {
            for (key, id) in keys.iter().zip(ids) {
                step();
                if *key > last {
                    return Ok(None);
                }
                if left == 0 {
                    return Ok(Some(*key));
                }
                left -= 1;
                each(*id)?;
            }
        }
        Ok(None)
    }

    /// How many values it covers, `max` at the most.
    pub fn count_covered(&self, by: SourceGroup, max: usize) -> usize {
        let mut count = 0;
        let _ = self.each_covered(by, by, max, |_| {
            count += 1;
            Ok(())
        });
        count
    }
}

/// The last key that a membership of this kind covers.
const fn last_under(by: SourceGroup) -> SourceGroup {
    match (by.is_all(), by.has_source()) {
        (true, _) => SourceGroup::MAX,
        (false, true) => by,
        (false, false) => by.last_of_group(),
    }
}

impl<T: Keyed> Index<u32> for Table<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.rows[id]
    }
}

impl<T: Keyed> IndexMut<u32> for Table<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.rows[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    impl Keyed for SourceGroup {
        type Beside = ();

        fn key(&self) -> SourceGroup {
            *self
        }
    }

    #[test]
    fn finds_covers_and_forgets() {
        let mut table = Table::new();
        let key = |s: u8, g: u8| {
            SourceGroup::new(Ipv4Addr::new(10, 0, 0, s), Ipv4Addr::new(232, 0, 0, g))
        };
        for (s, g) in [(3, 1), (1, 2), (2, 1), (9, 3)] {
            table.reserve_one().unwrap();
            table.insert(key(s, g));
        }
        let covered_from = |table: &Table<SourceGroup>, by, from, max| {
            let mut list = Vec::new();
            let each = |id| {
                list.push(table[id]);
                Ok(())
            };
            let rest = table.each_covered(by, from, max, each).unwrap();
            (list, rest)
        };
        let covered = |table: &Table<SourceGroup>, by| covered_from(table, by, by, 9).0;
        assert_eq!(covered(&table, key(0, 1).any_source()), [key(2, 1), key(3, 1)]);
        assert_eq!(covered(&table, key(1, 2)), [key(1, 2)]);
        assert_eq!(covered(&table, key(5, 2)), []);
        assert_eq!(table.count_covered(SourceGroup::ALL, 9), 4);
        assert_eq!(table.count_covered(key(0, 1).any_source(), 1), 1);
        let all = SourceGroup::ALL;
        assert_eq!(covered_from(&table, all, key(0, 2), 2), (vec![key(1, 2), key(9, 3)], None));
        assert_eq!(covered_from(&table, all, all, 1), (vec![key(2, 1)], Some(key(3, 1))));
        let id = table.find(key(2, 1)).unwrap();
        assert_eq!(table.find_at(id, key(2, 1)), Some(id));
        assert_eq!(table.find_at(id, key(9, 3)), table.find(key(9, 3)), "another one's number");
        assert_eq!(table.remove(id), Some(key(2, 1)));
        assert_eq!((table.find(key(2, 1)), table.find_at(id, key(2, 1))), (None, None));
        assert_eq!(covered(&table, key(0, 1).any_source()), [key(3, 1)]);
        assert_eq!(table.len(), 3);
    }
}
