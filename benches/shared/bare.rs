//! The bare containers that the library is held against: nothing but the data structure and the
//! same copy.

use super::library::{RECORD, group, source};
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::hint::black_box;

/// The key of the n-th flow.
pub fn key(n: u32) -> u64 {
    u64::from(group(n)) << 32 | u64::from(source(n))
}

/// Entries to read: hashed for single reads, behind a lock as whatever several threads use must be;
/// in order for sweeps.
pub struct Entries {
    pub hashed: RwLock<HashMap<u64, [u8; 128]>>,
    ordered: BTreeMap<u64, [u8; RECORD]>,
}

impl Entries {
    pub fn new(n: u32) -> Self {
        let mut entries = Self { hashed: RwLock::default(), ordered: BTreeMap::new() };
        for i in 0..n {
            entries.hashed.get_mut().insert(key(i), [i as u8; 128]);
            entries.ordered.insert(key(i), [i as u8; RECORD]);
        }
        entries
    }

    /// Copies an entry; false: there is none.
    pub fn get(&self, key: u64, buffer: &mut [u8; 256]) -> bool {
        let hashed = self.hashed.read();
        let found = hashed.get(&key);
        if let Some(found) = found {
            buffer[..128].copy_from_slice(found);
        }
        found.is_some()
    }

    /// All entries in pages; gives how many there were.
    pub fn sweep(&self, page: &mut [u8]) -> u32 {
        let (mut from, mut seen) = (0, 0);
        loop {
            let mut at = 0;
            for (key, value) in self.ordered.range(from..) {
                if at + RECORD > page.len() {
                    break;
                }
                page[at..at + RECORD].copy_from_slice(value);
                at += RECORD;
                from = key + 1;
                seen += 1;
            }
            black_box(&page);
            if at == 0 {
                return seen;
            }
        }
    }

    /// All keys in pages, 16 octets each as a SOURCE_GROUP_ENTRY; gives how many there were.
    pub fn enumerate(&self, page: &mut [u8]) -> u32 {
        let (mut at, mut seen) = (0, 0);
        for key in self.ordered.keys() {
            if at + 16 > page.len() {
                black_box(&page);
                at = 0;
            }
            page[at..at + 16].copy_from_slice(&u128::from(*key).to_ne_bytes());
            at += 16;
            seen += 1;
        }
        black_box(&page);
        seen
    }
}

/// Memberships: a hash map, and an ordered index of two levels: sorted blocks, in order.
pub struct Memberships {
    hashed: HashMap<u64, u32>,
    blocks: Vec<Vec<u64>>,
    /// The least key of each block.
    heads: Vec<u64>,
}

const BLOCK: usize = 256;

impl Memberships {
    pub fn new(n: u32) -> Self {
        let mut memberships =
            Self { hashed: HashMap::new(), blocks: vec![Vec::new()], heads: vec![0] };
        for i in 0..n {
            memberships.add(group(i), i);
        }
        memberships
    }

    fn block(&self, key: u64) -> usize {
        self.heads.partition_point(|head| *head <= key).saturating_sub(1)
    }

    pub fn add(&mut self, group: u32, value: u32) {
        let key = u64::from(group) << 32;
        self.hashed.insert(key, value);
        let at = self.block(key);
        let block = &mut self.blocks[at];
        let place = block.binary_search(&key).unwrap_err();
        block.insert(place, key);
        if block.len() > BLOCK {
            let upper = block.split_off(BLOCK / 2);
            self.heads.insert(at + 1, upper[0]);
            self.blocks.insert(at + 1, upper);
        }
    }

    pub fn delete(&mut self, group: u32) -> u32 {
        let key = u64::from(group) << 32;
        let at = self.block(key);
        let block = &mut self.blocks[at];
        let place = block.binary_search(&key).unwrap();
        block.remove(place);
        if block.is_empty() && self.blocks.len() > 1 && at > 0 {
            self.blocks.remove(at);
            self.heads.remove(at);
        }
        self.hashed.remove(&key).unwrap()
    }
}
