//! Neighbours that fail, where a route has several next hops.
//!
//! The kernel picks one of the next hops for a source, and passes over one whose neighbour does not
//! answer: always with next hop objects, and with net.ipv4.fib_multipath_use_neigh else. No route changes
//! with that. So as soon as a source has such a route, neighbours are listened to.

#![forbid(unsafe_code)]

use super::Plane;
use super::netlink::{Message, read_address, read_u32};
use crate::sys;
use crate::types::mask_of;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// `sizeof(struct ndmsg)`.
const NDMSG: usize = 12;
const NDA_DST: u16 = 1;
/// NUD_VALID: the states in which a neighbour can be sent to.
const VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// How many prefixes are remembered; with more, any route may be concerned.
const MAX_PREFIXES: usize = 256;
/// How many neighbours are remembered; the next one makes room for itself.
const MAX_NEIGHBOURS: usize = 4096;

/// What a change of a neighbour concerns.
pub enum ConcernedRoutes {
    /// These prefixes.
    Prefixes(SmallVec<[(Ipv4Addr, u8); 8]>),
    /// Any.
    All,
}

/// What is known of neighbours.
#[derive(Default)]
pub struct Neighbours {
    listening: bool,
    /// Whether each can be sent to, as last told.
    valid: HashMap<(u32, Ipv4Addr), bool>,
    /// The routes with several next hops that sources have.
    prefixes: SmallVec<[(Ipv4Addr, u8); 8]>,
    too_many: bool,
}

impl Neighbours {
    fn note(&mut self, network: Ipv4Addr, len: u8) {
        if self.prefixes.contains(&(network, len)) {
            return;
        }
        if self.prefixes.len() < MAX_PREFIXES && self.prefixes.try_reserve(1).is_ok() {
            self.prefixes.push((network, len));
        } else {
            self.too_many = true;
        }
    }

    /// Reads a notification. Gives what it concerns, where it is news.
    pub fn read(&mut self, message: &Message<'_>) -> Option<ConcernedRoutes> {
        let family = message.payload.first().copied()?;
        let to = message.attributes(NDMSG).find(|a| a.0 == NDA_DST);
        let address =
            to.and_then(|a| read_address(a.1)).filter(|_| family == libc::AF_INET as u8)?;
        let state = u16::from_ne_bytes([*message.payload.get(8)?, *message.payload.get(9)?]);
        // One that is not there is taken to answer.
        let valid = message.kind == libc::RTM_DELNEIGH || state & VALID != 0;
        if self.valid.len() >= MAX_NEIGHBOURS {
            self.valid.clear();
        }
        let key = (read_u32(message.payload, 4), address);
        let room = self.valid.try_reserve(1).is_ok();
        if room && self.valid.insert(key, valid) == Some(valid) {
            return None;
        }
        if self.too_many {
            return Some(ConcernedRoutes::All);
        }
        (!self.prefixes.is_empty()).then(|| ConcernedRoutes::Prefixes(self.prefixes.clone()))
    }
}

impl Plane {
    /// A source has a route with several next hops. To be called before the kernel is asked which of
    /// them it picks.
    pub(super) fn note_several_hops(&self, source: Ipv4Addr, len: u8) {
        let mut neighbours = self.neighbours.lock();
        neighbours.note(Ipv4Addr::from_bits(source.to_bits() & mask_of(len).to_bits()), len);
        if !neighbours.listening {
            neighbours.listening = sys::join_group(&self.changes, libc::RTNLGRP_NEIGH).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(neighbours: &mut Neighbours, kind: u16, host: u8, state: u16) -> Option<usize> {
        let mut payload = vec![libc::AF_INET as u8, 0, 0, 0, 3, 0, 0, 0];
        payload.extend(state.to_ne_bytes());
        payload.extend([0, 0]);
        payload.extend([8, 0, 1, 0, 10, 0, 0, host]);
        let message = Message { kind, seq: 0, payload: &payload };
        neighbours.read(&message).map(|concerned| match concerned {
            ConcernedRoutes::Prefixes(prefixes) => prefixes.len(),
            ConcernedRoutes::All => usize::MAX,
        })
    }

    #[test]
    fn what_changes_whether_a_neighbour_answers_is_news() {
        const REACHABLE: u16 = 2;
        const STALE: u16 = 4;
        const FAILED: u16 = 0x20;
        let (new, gone) = (libc::RTM_NEWNEIGH, libc::RTM_DELNEIGH);
        let mut neighbours = Neighbours::default();
        neighbours.note(Ipv4Addr::new(10, 9, 0, 0), 16);
        neighbours.note(Ipv4Addr::new(10, 9, 0, 0), 16);
        let mut tell = |kind, host, state| told(&mut neighbours, kind, host, state);
        assert_eq!(tell(new, 1, REACHABLE), Some(1), "it may have failed before");
        assert_eq!(tell(new, 1, STALE), None);
        assert_eq!(tell(new, 1, FAILED), Some(1));
        assert_eq!(tell(new, 2, FAILED), Some(1));
        assert_eq!(tell(new, 1, FAILED), None);
        assert_eq!(tell(gone, 1, FAILED), Some(1), "a new one begins");
        assert_eq!(tell(new, 1, REACHABLE), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut neighbours = Neighbours::default();
        for n in 0..=MAX_PREFIXES as u32 {
            neighbours.note(Ipv4Addr::from_bits(n << 8), 24);
        }
        assert_eq!(neighbours.prefixes.len(), MAX_PREFIXES);
        assert_eq!(told(&mut neighbours, libc::RTM_NEWNEIGH, 1, 2), Some(usize::MAX));
        neighbours
            .valid
            .extend((0..MAX_NEIGHBOURS as u32).map(|n| ((n, Ipv4Addr::LOCALHOST), true)));
        told(&mut neighbours, libc::RTM_NEWNEIGH, 1, 2);
        assert_eq!(neighbours.valid.len(), 1);
    }
}
