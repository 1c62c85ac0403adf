//! An ordered map in two levels: sorted blocks, and the first key of each block.
//!
//! It does what std's BTreeMap does, but its growth can fail without harm (rule A4), and it takes
//! fewer octets per entry. An insert or removal moves at most one block and, where a block is split
//! or given up, the list of blocks.

use crate::core::containers::steps::step;
use crate::error::Error;

/// Entries per block. Inserts cost more with larger blocks, splits with smaller ones.
const BLOCK: usize = 256;
/// A full block moves entries to a neighbour that has room for so many, and is not split. So blocks
/// are five sixths full instead of two thirds.
const WORTH_SHARING: usize = BLOCK / 32;
/// A map with one block begins with room for so many; there may be many small maps.
const FEW: usize = 8;

struct Block<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Block<K, V> {
    fn new(capacity: usize) -> Result<Self, Error> {
        let mut block = Self { keys: Vec::new(), values: Vec::new() };
        block.grow(capacity)?;
        Ok(block)
    }

    /// Makes room for so many entries in all.
    fn grow(&mut self, capacity: usize) -> Result<(), Error> {
        let more = capacity.saturating_sub(self.keys.len());
        self.keys.try_reserve_exact(more)?;
        self.values.try_reserve_exact(more)?;
        Ok(())
    }
}

/// A map from small plain keys to small plain values, ordered by key.
pub struct OrderedMap<K, V> {
    /// The first key of each block.
    firsts: Vec<K>,
    blocks: Vec<Block<K, V>>,
    /// An empty block for the next split.
    spare: Option<Block<K, V>>,
    len: usize,
}

impl<K: Copy + Ord, V: Copy> OrderedMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { firsts: Vec::new(), blocks: Vec::new(), spare: None, len: 0 }
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Makes room for the next insert.
    pub fn reserve_one(&mut self) -> Result<(), Error> {
        // No block is full where there are fewer entries than one block holds.
        let spare = match self.blocks.as_mut_slice() {
            [] => Some(FEW),
            [only] if self.len < BLOCK => {
                if self.len == only.keys.capacity() {
                    only.grow((2 * self.len).clamp(FEW, BLOCK))?;
                }
                None
            }
            _ => (self.len >= BLOCK).then_some(BLOCK),
        };
        if let Some(capacity) = spare {
            match &mut self.spare {
                Some(block) => block.grow(capacity)?,
                none => *none = Some(Block::new(capacity)?),
            }
        }
        self.firsts.try_reserve(1)?;
        self.blocks.try_reserve(1)?;
        Ok(())
    }

    /// Makes room for the next `n` inserts if the map fits in one block then, or else for the next one.
    pub fn reserve_few(&mut self, n: usize) -> Result<(), Error> {
        let all = (self.len + n).min(BLOCK);
        match self.blocks.as_mut_slice() {
            [] => match &mut self.spare {
                Some(block) => block.grow(all)?,
                none => *none = Some(Block::new(all)?),
            },
            [only] => only.grow(all)?,
            _ => {}
        }
        self.reserve_one()
    }

    /// Where a key is or would be: its block and the place in it.
    fn locate(&self, key: K) -> (usize, Result<usize, usize>) {
        step();
        let block = match self.firsts.len() {
            0 | 1 => 0,
            _ => self.firsts.partition_point(|first| *first <= key).saturating_sub(1),
        };
        match self.blocks.get(block) {
            Some(b) => (block, b.keys.binary_search(&key)),
            None => (block, Err(0)),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: K) -> Option<V> {
        let (block, place) = self.locate(key);
        place.ok().map(|at| self.blocks[block].values[at])
    }

    /// Where a key that is to be added is or would be. Keys often come in order: the end is tried first.
    fn locate_new(&self, key: K) -> (usize, Result<usize, usize>) {
        match self.blocks.last() {
            Some(last) if last.keys.last().is_some_and(|end| *end < key) => {
                step();
                (self.blocks.len() - 1, Err(last.keys.len()))
            }
            _ => self.locate(key),
        }
    }

    /// Adds an entry or changes its value. Room must have been reserved.
    pub fn insert(&mut self, key: K, value: V) {
        let (mut block, place) = self.locate_new(key);
        let mut at = match place {
            Ok(at) => {
                self.blocks[block].values[at] = value;
                return;
            }
            Err(at) => at,
        };
        self.len += 1;
        if self.blocks.is_empty() {
            self.add_block(0, key);
        } else if self.blocks[block].keys.len() == BLOCK {
            (block, at) = self.make_room(block, at, key);
        }
        let target = &mut self.blocks[block];
        debug_assert!(target.keys.len() < target.keys.capacity());
        target.keys.insert(at, key);
        target.values.insert(at, value);
        self.firsts[block] = target.keys[0];
    }

    /// Makes room in a full block for a key that belongs at `at`; gives the key's new block and
    /// place.
    fn make_room(&mut self, block: usize, at: usize, key: K) -> (usize, usize) {
        // A key at the very end begins a new block, so that keys that come in order fill their
        // blocks.
        if block + 1 == self.blocks.len() && at == BLOCK {
            self.split(block, BLOCK, key);
            return (block + 1, 0);
        }
        let room = |of: &Block<K, V>| BLOCK - of.keys.len();
        let keep = match self.blocks.get(block + 1).map(room) {
            Some(room) if room >= WORTH_SHARING => {
                let keep = BLOCK - room / 2;
                self.move_up(block, keep);
                keep
            }
            _ => match block.checked_sub(1).map(|left| (left, room(&self.blocks[left]))) {
                Some((left, room)) if room >= WORTH_SHARING => {
                    let (before, moved) = (BLOCK - room, room / 2);
                    self.move_down(block, moved);
                    return if at <= moved { (left, before + at) } else { (block, at - moved) };
                }
                _ => {
                    self.split(block, BLOCK / 2, key);
                    BLOCK / 2
                }
            },
        };
        if at > keep { (block + 1, at - keep) } else { (block, at) }
    }

    /// Moves the entries from `keep` on to the front of the next block, which has room for them.
    fn move_up(&mut self, block: usize, keep: usize) {
        let (left, right) = self.blocks.split_at_mut(block + 1);
        let (from, to) = (&mut left[block], &mut right[0]);
        let moved = from.keys.len() - keep;
        to.keys.extend_from_slice(&from.keys[keep..]);
        to.values.extend_from_slice(&from.values[keep..]);
        to.keys.rotate_right(moved);
        to.values.rotate_right(moved);
        from.keys.truncate(keep);
        from.values.truncate(keep);
        self.firsts[block + 1] = to.keys[0];
    }

    /// Moves the first `moved` entries to the end of the block before, which has room for them.
    fn move_down(&mut self, block: usize, moved: usize) {
        let (left, right) = self.blocks.split_at_mut(block);
        let (to, from) = (&mut left[block - 1], &mut right[0]);
        to.keys.extend(from.keys.drain(..moved));
        to.values.extend(from.values.drain(..moved));
        self.firsts[block] = from.keys[0];
    }

    fn add_block(&mut self, at: usize, first: K) {
        let block = self.spare.take().expect("room was reserved before an insert");
        self.blocks.insert(at, block);
        self.firsts.insert(at, first);
    }

    /// Moves the entries from `keep` on into a new block behind this one. Where there are none,
    /// `first` will be the new block's first key.
    fn split(&mut self, block: usize, keep: usize, first: K) {
        self.add_block(block + 1, first);
        let (left, right) = self.blocks.split_at_mut(block + 1);
        let (from, to) = (&mut left[block], &mut right[0]);
        to.keys.extend_from_slice(&from.keys[keep..]);
        to.values.extend_from_slice(&from.values[keep..]);
        from.keys.truncate(keep);
        from.values.truncate(keep);
        if let Some(first) = to.keys.first() {
            self.firsts[block + 1] = *first;
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let (block, place) = self.locate(key);
        let at = place.ok()?;
        let b = &mut self.blocks[block];
        b.keys.remove(at);
        let value = b.values.remove(at);
        self.len -= 1;
        if let Some(first) = b.keys.first() {
            self.firsts[block] = *first;
        }
        self.shrink(block);
        Some(value)
    }

    /// Gives up an empty block, and joins a small one with its small successor.
    fn shrink(&mut self, block: usize) {
        if self.blocks[block].keys.is_empty() {
            self.drop_block(block);
        } else if self.blocks[block].keys.len() < BLOCK / 4
            && self.blocks.get(block + 1).is_some_and(|next| next.keys.len() < BLOCK / 4)
        {
            let (left, right) = self.blocks.split_at_mut(block + 1);
            left[block].keys.extend_from_slice(&right[0].keys);
            left[block].values.extend_from_slice(&right[0].values);
            self.drop_block(block + 1);
        }
    }

    fn drop_block(&mut self, at: usize) {
        let mut block = self.blocks.remove(at);
        self.firsts.remove(at);
        if self.spare.is_none() {
            block.keys.clear();
            block.values.clear();
            self.spare = Some(block);
        }
    }

    /// The entries from a key on, that key included, in order.
    pub fn from(&self, key: K) -> impl Iterator<Item = (K, V)> + '_ {
        self.runs_from(key)
            .flat_map(|(keys, values)| keys.iter().copied().zip(values.iter().copied()))
            .inspect(|_| step())
    }

    /// The same in runs that are contiguous in memory: keys, and the values that belong to them.
    pub fn runs_from(&self, key: K) -> impl Iterator<Item = (&[K], &[V])> {
        let (block, place) = self.locate(key);
        let mut skip = place.unwrap_or_else(|at| at);
        self.blocks[block..].iter().map(move |block| {
            let from = std::mem::take(&mut skip);
            (&block.keys[from..], &block.values[from..])
        })
    }

    /// The first entry from a key on, that key included.
    pub fn next_from(&self, key: K) -> Option<(K, V)> {
        let (block, place) = self.locate(key);
        let (block, at) = match (self.blocks.get(block)?, place.unwrap_or_else(|at| at)) {
            (full, at) if at == full.keys.len() => (self.blocks.get(block + 1)?, 0),
            within => within,
        };
        step();
        Some((*block.keys.get(at)?, *block.values.get(at)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A small generator of numbers that are the same in every run.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(seed), |x| {
            Some(x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407))
        })
        .map(|x| x >> 33)
    }

    #[test]
    fn agrees_with_btreemap() {
        for range in [50_u64, 3_000, 1 << 31] {
            let mut map = OrderedMap::new();
            let mut model = BTreeMap::new();
            for (i, x) in numbers(range).take(40_000).enumerate() {
                let key = x % range;
                // First mostly inserts, then mostly removals.
                if (x >> 3) % 10 < if i < 20_000 { 7 } else { 3 } {
                    map.reserve_one().unwrap();
                    map.insert(key, i as u32);
                    model.insert(key, i as u32);
                } else {
                    assert_eq!(map.remove(key), model.remove(&key));
                }
                assert_eq!(map.len(), model.len());
                assert_eq!(
                    map.next_from(x % 79),
                    model.range(x % 79..).next().map(|(k, v)| (*k, *v))
                );
                assert_eq!(map.get(x % 77), model.get(&(x % 77)).copied());
                if i % 1000 == 0 {
                    assert!(map.from(key).eq(model.range(key..).map(|(k, v)| (*k, *v))));
                }
            }
            assert!(map.from(0).eq(model.iter().map(|(k, v)| (*k, *v))));
        }
    }

    #[test]
    fn keys_in_order_fill_their_blocks() {
        let mut map = OrderedMap::new();
        for key in 0..10_000_u32 {
            map.reserve_one().unwrap();
            map.insert(key, ());
        }
        assert_eq!(map.blocks.len(), 10_000_usize.div_ceil(BLOCK));
    }

    #[test]
    fn keys_at_random_fill_most_of_their_blocks() {
        let mut map = OrderedMap::new();
        for key in numbers(7).take(60_000) {
            map.reserve_one().unwrap();
            map.insert(key, ());
        }
        let full = map.len() as f64 / (map.blocks.len() * BLOCK) as f64;
        assert!(full > 0.82, "{full} of the places are in use");
    }

    #[test]
    fn emptied_maps_keep_one_block() {
        let mut map = OrderedMap::new();
        for key in 0..5_000_u32 {
            map.reserve_one().unwrap();
            map.insert(key, key);
        }
        for key in 0..5_000 {
            assert_eq!(map.remove(key), Some(key));
        }
        assert_eq!((map.len(), map.blocks.len(), map.next_from(0)), (0, 0, None));
    }
}
