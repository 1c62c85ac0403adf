//! Forwarding entries: what they hold, their tables, and how they are to be programmed.

use crate::core::containers::list::{Links, List};
use crate::core::containers::table::{Key, Keyed, Table};
use crate::core::state::outbox::LifetimeAsk;
use crate::core::state::unfinished::Known;
use crate::types::{Counters, Millis, Route, Seconds, SourceGroup, Stamp, mask_of};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// The lifetime of an entry unless something set another (rule E8).
pub(in crate::core) const LIFETIME: Seconds = Seconds(900);
/// The lifetime of an entry without a route or an owner toward its source (rule E5).
pub(in crate::core) const UNRESOLVED_LIFETIME: Seconds = Seconds(60);
/// The longest lifetime a prune callback can set (rule E4).
pub(in crate::core) const MAX_LIFETIME: Seconds = Seconds(86_400);
const LIFETIME_BITS: u32 = u32::BITS - LifetimeAsk::BITS;
const _: () = assert!(MAX_LIFETIME.0 < 1 << LIFETIME_BITS);

/// An interface about which an entry remembers something: its number in the upper 24 bits, marks in
/// the lower 8.
#[derive(Clone, Copy)]
pub(in crate::core) struct Oif {
    packed: u32,
    /// The entry's packet count when the interface joined the list (rule E13).
    base: u32,
}

impl Oif {
    /// It is in the list.
    pub const ACTIVE: u32 = 1;
    /// Its owner added it with FORWARD.
    pub const FORCED: u32 = 2;
    /// Its owner refused it at creation, or deleted it with FORWARD.
    pub const VETOED: u32 = 4;
    /// What its owner said about it.
    pub const MARKS: u32 = Self::FORCED | Self::VETOED;
    /// It joined the list after the entry was last programmed: its base is not known yet.
    pub const JOINING: u32 = 8;
    /// It joined the list and is being added in the plane now; then its base will be known.
    pub const ADDING: u32 = 16;

    pub const fn interface(self) -> u32 {
        self.packed >> 8
    }

    pub const fn is(self, mark: u32) -> bool {
        self.packed & mark != 0
    }

    fn set(&mut self, mark: u32, on: bool) {
        if on { self.packed |= mark } else { self.packed &= !mark }
    }

    /// Whether the plane knows that it joined the list, and so has something counted for it.
    pub const fn counts(self) -> bool {
        !self.is(Self::JOINING | Self::ADDING)
    }

    /// Packets that came in since it joined the list; wraps.
    pub const fn packets(self, counters: Counters) -> u32 {
        if self.counts() { counters.packets.wrapping_sub(self.base) } else { 0 }
    }
}

/// A forwarding entry: what readers need, in one cache line. The rest is in [`BesideMfe`].
#[repr(align(64))]
pub(in crate::core) struct Mfe {
    key: Key,
    created: Stamp,
    deadline: Stamp,
    /// Its lifetime in seconds, and above [`LIFETIME_BITS`] the [`LifetimeAsk`] that sets it.
    lifetime: u32,
    pub iif: u32,
    pub upstream: Ipv4Addr,
    pub route_protocol: u32,
    /// Interfaces with marks, ordered by number.
    pub oifs: SmallVec<[Oif; 2]>,
    /// Its list in the wheel. It is here because the cache line has room left.
    pub wheel_slot: u16,
    /// The prefix length of its route in the lower 6 bits, marks above.
    packed: u16,
}

/// The second part of an entry, which only changes need.
#[derive(Default)]
pub(in crate::core) struct BesideMfe {
    /// The packets that it had carried when its present lifetime began (rule E8).
    pub seen_packets: u32,
    pub wheel: Links,
    pub negative: Links,
    /// The last unfinished change that it knows of.
    pub known: Known,
}

impl Keyed for Mfe {
    type Beside = BesideMfe;

    fn key(&self) -> SourceGroup {
        self.flow()
    }
}

impl Mfe {
    /// In no list of the wheel.
    pub const NO_SLOT: u16 = u16::MAX;
    /// There is no route or no owner toward the source (rule E5).
    pub const UNRESOLVED: u16 = 1 << 6;
    /// The plane has the entry.
    pub const INSTALLED: u16 = 1 << 7;
    /// A client chose the upstream neighbour.
    pub const UPSTREAM_CHOSEN: u16 = 1 << 8;
    /// A client chose the iif.
    pub const IIF_CHOSEN: u16 = 1 << 9;
    /// Its lifetime has begun, and the plane is to be asked for the packets until then when the entry
    /// is programmed next.
    pub const COUNT_BEGINS: u16 = 1 << 10;
    /// It is in the list of negative entries.
    const LISTED_NEGATIVE: u16 = 1 << 11;
    /// A client refused the flow (rule E2); it is [`Self::UNRESOLVED`] too.
    pub const REFUSED: u16 = 1 << 14;
    /// Its client was asked though there is no route or no owner toward the source (rule E5).
    pub const ROUTELESS: u16 = 1 << 15;
    const PREFIX_LEN: u16 = (1 << 6) - 1;
    /// It could not be built anew because memory ran out; it is tried again when its lifetime ends.
    pub const RETRY: u16 = 1 << 12;
    /// Some of the packets that it carried in its present lifetime may have waited for it.
    pub const MAY_HAVE_WAITED: u16 = 1 << 13;

    pub fn new(flow: SourceGroup, iif: u32, now: Millis) -> Self {
        Self {
            key: Key::new(flow),
            created: Stamp::new(now),
            deadline: Stamp::new(now),
            lifetime: LIFETIME.0,
            iif,
            upstream: flow.source(),
            route_protocol: 0,
            oifs: SmallVec::new(),
            wheel_slot: Self::NO_SLOT,
            packed: Self::MAY_HAVE_WAITED,
        }
    }

    /// Its source and group.
    pub const fn flow(&self) -> SourceGroup {
        self.key.get()
    }

    /// When it was made.
    pub const fn created(&self) -> Millis {
        self.created.get()
    }

    /// When its lifetime ends.
    pub const fn deadline(&self) -> Millis {
        self.deadline.get()
    }

    pub const fn set_deadline(&mut self, at: Millis) {
        self.deadline = Stamp::new(at);
    }

    /// How long it lives, counted from when its lifetime was set.
    pub const fn lifetime(&self) -> Seconds {
        Seconds(self.lifetime & ((1 << LIFETIME_BITS) - 1))
    }

    pub(in crate::core) const fn set_lifetime(&mut self, lifetime: Seconds) {
        let asked = self.lifetime >> LIFETIME_BITS << LIFETIME_BITS;
        self.lifetime = asked | lifetime.0;
    }

    /// Sets which prune alert sets the lifetime from now on.
    pub const fn set_asked(&mut self, ask: LifetimeAsk) {
        self.lifetime = self.lifetime().0 | (ask.number() as u32) << LIFETIME_BITS;
    }

    pub(in crate::core) const fn has_asked(&self, ask: LifetimeAsk) -> bool {
        ask.number() != 0 && self.lifetime >> LIFETIME_BITS == ask.number() as u32
    }

    /// The prefix length of its route.
    pub const fn route_prefix_len(&self) -> u8 {
        (self.packed & Self::PREFIX_LEN) as u8
    }

    /// Sets the prefix length of its route, 0 to 32.
    pub const fn set_route_prefix_len(&mut self, len: u8) {
        self.packed = self.packed & !Self::PREFIX_LEN | len as u16 & Self::PREFIX_LEN;
    }

    /// The prefix of its route, which covers the source.
    pub const fn route_network(&self) -> Ipv4Addr {
        let mask = mask_of(self.route_prefix_len()).to_bits();
        Ipv4Addr::from_bits(self.flow().source().to_bits() & mask)
    }

    /// Reads one octet, so that the entry is in the cache when it is needed.
    pub const fn touch(&self) -> u16 {
        self.packed
    }

    pub const fn is(&self, mark: u16) -> bool {
        self.packed & mark != 0
    }

    pub const fn set(&mut self, mark: u16, on: bool) {
        if on { self.packed |= mark } else { self.packed &= !mark }
    }

    /// The outgoing interfaces, by number.
    pub fn active(&self) -> impl Iterator<Item = &Oif> {
        self.oifs.iter().filter(|oif| oif.is(Oif::ACTIVE))
    }

    pub fn is_negative(&self) -> bool {
        self.active().next().is_none()
    }

    pub(in crate::core) fn place_of(&self, interface: u32) -> Result<usize, usize> {
        self.oifs.binary_search_by_key(&interface, |oif| oif.interface())
    }

    pub fn has_mark(&self, interface: u32, mark: u32) -> bool {
        self.place_of(interface).is_ok_and(|at| self.oifs[at].is(mark))
    }

    /// Sets or clears marks. Room for one more interface must have been reserved.
    pub fn set_mark(&mut self, interface: u32, mark: u32, on: bool) {
        match self.place_of(interface) {
            Ok(at) => {
                self.oifs[at].set(mark, on);
                if self.oifs[at].packed & 0xff == 0 {
                    self.oifs.remove(at);
                }
            }
            Err(at) if on => self.oifs.insert(at, Oif { packed: (interface << 8) | mark, base: 0 }),
            Err(_) => {}
        }
    }

    /// Marks the interfaces that joined the list as being added in the plane. True: there are some.
    pub(in crate::core) fn begin_adding(&mut self) -> bool {
        let mut some = false;
        for oif in self.oifs.iter_mut().filter(|oif| oif.is(Oif::JOINING | Oif::ADDING)) {
            oif.set(Oif::JOINING, false);
            oif.set(Oif::ADDING, true);
            some = true;
        }
        some
    }

    /// Notes the packet count for the interfaces that were added, and for no other that joined
    /// the list meanwhile.
    pub(in crate::core) fn set_bases(&mut self, packets: u32) {
        for oif in self.oifs.iter_mut().filter(|oif| oif.is(Oif::ADDING)) {
            oif.base = packets;
            oif.set(Oif::ADDING, false);
        }
    }

    /// Begins its counts anew, as the plane does.
    pub(in crate::core) fn count_anew(&mut self) {
        for oif in self.oifs.iter_mut().filter(|oif| oif.is(Oif::ACTIVE)) {
            oif.set(Oif::ADDING, false);
            oif.set(Oif::JOINING, true);
        }
    }

    pub const fn source_place(&self) -> u64 {
        by_source(self.flow())
    }
}

/// The place of a flow in the order of source, then group.
pub(in crate::core) const fn by_source(flow: SourceGroup) -> u64 {
    flow.to_bits().rotate_left(32)
}

/// The negative entries, in the order in which they became negative (rule G1).
pub(in crate::core) struct NegativeList {
    list: List,
    len: usize,
}

fn in_negatives(mfes: &mut Table<Mfe>, id: u32) -> &mut Links {
    &mut mfes.beside_mut(id).negative
}

impl NegativeList {
    pub(in crate::core) const EMPTY: Self = Self { list: List::EMPTY, len: 0 };

    pub(in crate::core) const fn len(&self) -> usize {
        self.len
    }

    pub(in crate::core) fn oldest(&self) -> Option<u32> {
        self.list.first()
    }

    pub(in crate::core) fn append(&mut self, mfes: &mut Table<Mfe>, id: u32) {
        if !mfes[id].is(Mfe::LISTED_NEGATIVE) {
            mfes[id].set(Mfe::LISTED_NEGATIVE, true);
            self.list.append(mfes, id, in_negatives);
            self.len += 1;
        }
    }

    pub(in crate::core) fn remove(&mut self, mfes: &mut Table<Mfe>, id: u32) {
        if mfes[id].is(Mfe::LISTED_NEGATIVE) {
            mfes[id].set(Mfe::LISTED_NEGATIVE, false);
            self.list.remove(mfes, id, in_negatives);
            self.len -= 1;
        }
    }
}

/// Copies what an entry shows of its route.
pub(in crate::core) fn set_route(mfe: &mut Mfe, route: &Route) {
    mfe.route_protocol = route.protocol;
    mfe.set_route_prefix_len(route.prefix_len);
}

/// Puts an interface into an entry's list or takes it out of it. Room must have been reserved.
pub(in crate::core) fn set_active(mfe: &mut Mfe, interface: u32, active: bool) {
    let marks = Oif::ACTIVE | Oif::JOINING | if active { 0 } else { Oif::ADDING };
    mfe.set_mark(interface, marks, active);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::containers::slab::Slab;
    use crate::core::state::members::MemberSet;

    #[test]
    fn a_count_goes_on_over_a_wrap_of_the_planes() {
        let oif = Oif { packed: Oif::ACTIVE, base: u32::MAX - 2 };
        let counters = Counters { packets: 4, ..Counters::default() };
        assert_eq!(oif.packets(counters), 7);
    }

    #[test]
    fn entries_stay_small() {
        assert_eq!(Slab::<Mfe>::PLACE, 64, "one cache line");
        assert_eq!(Slab::<Mfe, BesideMfe>::PLACE, 64 + 24);
        assert_eq!(Slab::<MemberSet>::PLACE, 56);
    }
}
