//! Handles: what C holds instead of a [`ClientId`] or an [`EnumId`].
//!
//! A handle is a pointer-sized word that is decoded and never followed (rule A3). It holds the
//! kind, the slot and the generation, spread over the whole word, so that zero, small numbers,
//! addresses and neighbours of a handle decode to nothing valid. Decoding gives a candidate only;
//! the core checks whether that slot has that generation now.
#![forbid(unsafe_code)]

use crate::types::{ClientId, EnumId};

/// What a handle stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HandleKind {
    Client = 0,
    Enumeration = 1,
}

/// The layout of a word: generation above slot above one bit of kind.
struct Layout {
    slot_bits: u32,
    generation_bits: u32,
    /// An odd number, and its inverse modulo two to the word's width.
    factor: u64,
    inverse: u64,
}

const WIDE: Layout = Layout::new(31, 32, 0x9e37_79b9_7f4a_7c15);
const NARROW: Layout = Layout::new(16, 15, 0x9e37_79b9);
const NATIVE: Layout = if usize::BITS == 64 { WIDE } else { NARROW };

/// The greatest generation that a handle can hold here. The core gives up a slot that has reached
/// it, or an old handle would become valid again.
pub const MAX_GENERATION: u32 = NATIVE.max_generation() as u32;

/// The greatest slot that a handle can hold here: the core has no more slots than these.
pub const MAX_SLOT: u32 = NATIVE.max_slot() as u32;

impl Layout {
    const fn new(slot_bits: u32, generation_bits: u32, factor: u64) -> Self {
        // Newton's iteration: each step doubles the number of right bits, from 3 to over 64.
        let mut inverse = factor;
        let mut step = 0;
        while step < 5 {
            let error = 2u64.wrapping_sub(factor.wrapping_mul(inverse));
            inverse = inverse.wrapping_mul(error);
            step += 1;
        }
        Self { slot_bits, generation_bits, factor, inverse }
    }

    const fn mask(&self) -> u64 {
        u64::MAX >> (64 - 1 - self.slot_bits - self.generation_bits)
    }

    const fn max_slot(&self) -> u64 {
        (1 << self.slot_bits) - 1
    }

    const fn max_generation(&self) -> u64 {
        (1 << self.generation_bits) - 1
    }

    /// None: the slot or the generation does not fit into a word.
    fn encode(&self, kind: HandleKind, slot: u32, generation: u32) -> Option<u64> {
        let (slot, generation) = (u64::from(slot), u64::from(generation));
        if slot > self.max_slot() || generation == 0 || generation > self.max_generation() {
            return None;
        }
        let plain = (((generation << self.slot_bits) | slot) << 1) | kind as u64;
        // The generation is not 0, so neither is `plain`, nor its product with an odd number.
        Some(plain.wrapping_mul(self.factor) & self.mask())
    }

    /// 0, which is nobody's handle, for an id that does not fit: the core keeps to MAX_SLOT and
    /// MAX_GENERATION, but a caller in Rust can make one up, which is refused (rule A3).
    fn word(&self, kind: HandleKind, slot: u32, generation: u32) -> usize {
        self.encode(kind, slot, generation).unwrap_or(0) as usize
    }

    fn decode(&self, word: u64) -> Option<(HandleKind, u32, u32)> {
        let plain = word.wrapping_mul(self.inverse) & self.mask();
        let kind = if plain & 1 == 0 { HandleKind::Client } else { HandleKind::Enumeration };
        let slot = (plain >> 1) & self.max_slot();
        let generation = plain >> (1 + self.slot_bits);
        // Both fit: they have at most 32 bits.
        (generation != 0).then_some((kind, slot as u32, generation as u32))
    }
}

/// The word for a client.
pub fn from_client(id: ClientId) -> usize {
    NATIVE.word(HandleKind::Client, id.slot, id.generation)
}

/// The word for an enumeration.
pub fn from_enumeration(id: EnumId) -> usize {
    NATIVE.word(HandleKind::Enumeration, id.slot, id.generation)
}

/// The client that this word may stand for.
pub fn to_client(word: usize) -> Option<ClientId> {
    match NATIVE.decode(word as u64)? {
        (HandleKind::Client, slot, generation) => Some(ClientId { slot, generation }),
        _ => None,
    }
}

/// The enumeration that this word may stand for.
pub fn to_enumeration(word: usize) -> Option<EnumId> {
    match NATIVE.decode(word as u64)? {
        (HandleKind::Enumeration, slot, generation) => Some(EnumId { slot, generation }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds beyond what a program has: ids beyond them count as invalid.
    fn could_live(layout: &Layout, word: u64) -> bool {
        let (slots, generations) = if layout.slot_bits > 16 { (1000, 100) } else { (50, 20) };
        layout
            .decode(word)
            .is_some_and(|(_, slot, generation)| slot < slots && generation < generations)
    }

    #[test]
    fn every_id_comes_back_and_never_as_zero() {
        for layout in [WIDE, NARROW] {
            let (slots, generations) = (layout.max_slot() as u32, layout.max_generation() as u32);
            for slot in [0, 1, 2, 999, slots / 2, slots] {
                for generation in [1, 2, 77, generations / 2, generations] {
                    for kind in [HandleKind::Client, HandleKind::Enumeration] {
                        let word = layout.encode(kind, slot, generation).unwrap();
                        assert_ne!(word, 0);
                        assert_eq!(word & !layout.mask(), 0);
                        assert_eq!(layout.decode(word), Some((kind, slot, generation)));
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(NARROW.encode(HandleKind::Client, 1 << 16, 1), None);
        assert_eq!(NARROW.encode(HandleKind::Client, 0, 1 << 15), None);
        assert_eq!(WIDE.encode(HandleKind::Client, 1 << 31, 1), None);
        assert_eq!(WIDE.encode(HandleKind::Client, 0, 0), None);
        // A caller in Rust can name any id: it is nobody's, and no more.
        assert_eq!(NARROW.word(HandleKind::Client, 1 << 16, 1), 0);
        assert_eq!(WIDE.word(HandleKind::Enumeration, 0, 0), 0);
    }

    #[test]
    fn guesses_are_dead() {
        for layout in [WIDE, NARROW] {
            for guess in 0..=70_000 {
                assert!(!could_live(&layout, guess), "{guess:#x}");
                assert!(!could_live(&layout, guess.wrapping_neg() & layout.mask()), "-{guess:#x}");
            }
        }
        // Page-wise through where Linux puts programs, heaps, libraries and stacks.
        for base in [0x40_0000, 0x5555_5555_4000, 0x7fff_f7c0_0000, 0x7fff_ffff_0000u64] {
            for page in 0..4096 {
                assert!(!could_live(&WIDE, base + page * 4096 + 0x7d8));
            }
        }
    }

    #[test]
    fn neighbours_of_a_handle_are_dead() {
        for layout in [WIDE, NARROW] {
            for slot in 0..20 {
                let word = layout.encode(HandleKind::Client, slot, 1).unwrap();
                for distance in 1..=256 {
                    let above = word.wrapping_add(distance) & layout.mask();
                    let below = word.wrapping_sub(distance) & layout.mask();
                    assert!(!could_live(&layout, above) && !could_live(&layout, below));
                }
            }
        }
    }

    #[test]
    fn one_kind_is_not_the_other() {
        let client = from_client(ClientId { slot: 3, generation: 1 });
        let enumeration = from_enumeration(EnumId { slot: 3, generation: 1 });
        assert_eq!(to_client(client), Some(ClientId { slot: 3, generation: 1 }));
        assert_eq!(to_enumeration(enumeration), Some(EnumId { slot: 3, generation: 1 }));
        assert_eq!(to_client(enumeration), None);
        assert_eq!(to_enumeration(client), None);
    }
}
