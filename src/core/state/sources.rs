//! The sources that (S,G) memberships name: the route toward each, and its memberships (rules D7,
//! D10).

use crate::core::containers::ordered::OrderedMap;
use crate::core::state::mfe::by_source;
use crate::error::Error;
use crate::types::{IfKey, SourceGroup, mask_of};
use std::net::Ipv4Addr;

/// All of them.
pub(in crate::core) struct Sources {
    /// The interface that the route toward each source names; None: there is no route.
    toward: OrderedMap<Ipv4Addr, Option<IfKey>>,
    /// The numbers of the memberships, by source, then group.
    entries: OrderedMap<u64, u32>,
}

impl Sources {
    /// No sources.
    pub(in crate::core) const fn new() -> Self {
        Self { toward: OrderedMap::new(), entries: OrderedMap::new() }
    }

    /// Makes sure that the next insert finds room.
    pub(in crate::core) fn reserve_one(&mut self) -> Result<(), Error> {
        self.toward.reserve_one()?;
        self.entries.reserve_one()
    }

    /// Adds a membership (S,G) with its number; `toward` counts where its source is new. Room must
    /// have been reserved.
    pub(in crate::core) fn insert(&mut self, of: SourceGroup, id: u32, toward: Option<IfKey>) {
        if !self.knows(of.source()) {
            self.toward.insert(of.source(), toward);
        }
        self.entries.insert(by_source(of), id);
    }

    /// Takes a membership (S,G) out, and with its last one the source.
    pub(in crate::core) fn remove(&mut self, of: SourceGroup) {
        self.entries.remove(by_source(of));
        if self.entries_of(of.source()).next().is_none() {
            self.toward.remove(of.source());
        }
    }

    /// Whether some membership names a source.
    pub(in crate::core) const fn are_some(&self) -> bool {
        self.toward.len() > 0
    }

    /// Whether some membership names this source.
    pub(in crate::core) fn knows(&self, source: Ipv4Addr) -> bool {
        self.toward.len() > 0 && self.toward.get(source).is_some()
    }

    /// The interface that the route toward a source names.
    pub(in crate::core) fn toward(&self, source: Ipv4Addr) -> Option<IfKey> {
        self.toward.get(source).flatten()
    }

    /// The route toward a source that is known has moved.
    pub(in crate::core) fn set_toward(&mut self, source: Ipv4Addr, to: Option<IfKey>) {
        // No new key: this needs no room.
        self.toward.insert(source, to);
    }

    /// The numbers of the memberships that name a source.
    pub(in crate::core) fn entries_of(&self, source: Ipv4Addr) -> impl Iterator<Item = u32> + '_ {
        let first = u64::from(source.to_bits()) << 32;
        let its = self.entries.from(first).take_while(move |(place, _)| place >> 32 == first >> 32);
        its.map(|(_, id)| id)
    }

    /// The first source under a prefix, after one if given.
    pub(in crate::core) fn next_under(
        &self,
        network: Ipv4Addr,
        prefix_len: u8,
        after: Option<Ipv4Addr>,
    ) -> Option<Ipv4Addr> {
        let mask = mask_of(prefix_len).to_bits();
        let first = network.to_bits() & mask;
        let from = match after {
            None => first,
            Some(source) => source.to_bits().checked_add(1)?,
        };
        let (source, _) = self.toward.next_from(Ipv4Addr::from_bits(from))?;
        (source.to_bits() & mask == first).then_some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ip(d: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, d)
    }

    #[test]
    fn a_source_is_known_as_long_as_it_has_memberships() {
        let of = |source, group| SourceGroup::new(ip(source), Ipv4Addr::new(232, 0, 0, group));
        let (first, second) = (IfKey::new(1, ip(1)), IfKey::new(2, ip(2)));
        let mut sources = Sources::new();
        for (id, (source, group)) in [(5, 1), (5, 2), (7, 1)].into_iter().enumerate() {
            sources.reserve_one().unwrap();
            sources.insert(of(source, group), id as u32, (group == 1).then_some(first));
        }
        assert_eq!(sources.toward(ip(5)), Some(first), "that of the first membership");
        sources.set_toward(ip(5), Some(second));
        assert_eq!((sources.toward(ip(5)), sources.toward(ip(7))), (Some(second), Some(first)));
        assert_eq!(sources.entries_of(ip(5)).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(sources.next_under(ip(0), 24, None), Some(ip(5)));
        assert_eq!(sources.next_under(ip(0), 24, Some(ip(5))), Some(ip(7)));
        assert_eq!(sources.next_under(ip(0), 24, Some(ip(7))), None);
        assert_eq!(sources.next_under(ip(6), 31, None), Some(ip(7)));
        assert_eq!(sources.next_under(ip(8), 30, None), None);
        sources.remove(of(5, 1));
        assert!(sources.knows(ip(5)));
        sources.remove(of(5, 2));
        assert!(!sources.knows(ip(5)) && sources.knows(ip(7)));
        assert_eq!(sources.toward(ip(5)), None);
    }
}
