//! Forwarding entries: what they hold, their tables, and how they are to be programmed.

use crate::core::Core;
use crate::core::containers::slab::NONE;
use crate::core::containers::table::{Key, Keyed, Table};
use crate::core::state::outbox::LifetimeAsk;
use crate::core::state::plane::{PlaneEntry, Stale};
use crate::error::Error;
use crate::types::{ClientId, Counters, IfKey, Millis, Seconds, SourceGroup, Stamp, mask_of};
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

/// Neighbours in a list that runs through the entries.
#[derive(Clone, Copy)]
pub(in crate::core) struct Links {
    pub prev: u32,
    pub next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { prev: NONE, next: NONE }
    }
}

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

/// [`BesideMfe::wrong_if_at`] means something.
pub(in crate::core) const WRONG_IF_SEEN: u32 = 1 << 31;

/// The second part of an entry, which only changes need.
#[derive(Default)]
pub(in crate::core) struct BesideMfe {
    /// The packets that it had carried when its present lifetime began (rule E8).
    pub seen_packets: u32,
    /// The low 31 bits of the time of the last WRONG_IF, with [`WRONG_IF_SEEN`] if there was one.
    pub wrong_if_at: u32,
    pub wheel: Links,
    pub negative: Links,
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
    fn begin_adding(&mut self) -> bool {
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
    fn set_bases(&mut self, packets: u32) {
        for oif in self.oifs.iter_mut().filter(|oif| oif.is(Oif::ADDING)) {
            oif.base = packets;
            oif.set(Oif::ADDING, false);
        }
    }

    /// Begins its counts anew, as the plane does.
    fn count_anew(&mut self) {
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
    head: u32,
    tail: u32,
    len: usize,
}

impl NegativeList {
    pub(in crate::core) const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

    pub(in crate::core) const fn len(&self) -> usize {
        self.len
    }

    pub(in crate::core) fn oldest(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(in crate::core) fn append(&mut self, mfes: &mut Table<Mfe>, id: u32) {
        if mfes[id].is(Mfe::LISTED_NEGATIVE) {
            return;
        }
        mfes[id].set(Mfe::LISTED_NEGATIVE, true);
        mfes.beside_mut(id).negative = Links { prev: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = id,
            tail => mfes.beside_mut(tail).negative.next = id,
        }
        self.tail = id;
        self.len += 1;
    }

    pub(in crate::core) fn remove(&mut self, mfes: &mut Table<Mfe>, id: u32) {
        if !mfes[id].is(Mfe::LISTED_NEGATIVE) {
            return;
        }
        mfes[id].set(Mfe::LISTED_NEGATIVE, false);
        let Links { prev, next } = mfes.beside(id).negative;
        match prev {
            NONE => self.head = next,
            _ => mfes.beside_mut(prev).negative.next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => mfes.beside_mut(next).negative.prev = prev,
        }
        self.len -= 1;
    }
}

impl Core {
    /// The owner of the entry's iif.
    pub(in crate::core) fn iif_owner(&self, id: u32) -> Option<u32> {
        self.interfaces.get(self.mfes[id].iif).and_then(|interface| interface.owner())
    }

    /// Adds an entry to the tables. Room must have been reserved with [`Self::reserve_mfe`].
    pub(in crate::core) fn insert_mfe(&mut self, mfe: Mfe) -> u32 {
        self.interfaces[mfe.iif].iif_users += 1;
        let id = self.mfes.insert(mfe);
        self.by_source.insert(self.mfes[id].source_place(), ());
        self.list_on_iif(id);
        id
    }

    fn list_on_iif(&mut self, id: u32) {
        let iif = &mut self.interfaces[self.mfes[id].iif];
        if self.mfes[id].is(Mfe::UNRESOLVED) {
            self.waiting.insert((iif.key, id), ());
        } else {
            iif.incoming.insert(id, ());
        }
    }

    fn unlist_on_iif(&mut self, id: u32) {
        let iif = &mut self.interfaces[self.mfes[id].iif];
        if self.mfes[id].is(Mfe::UNRESOLVED) {
            self.waiting.remove((iif.key, id));
            self.wait_nowhere_else(id);
        } else {
            iif.incoming.remove(id);
        }
    }

    /// Makes room for one more entry with this iif, resolved or not, and for the changes of the
    /// plane that go with it.
    pub(in crate::core) fn reserve_mfe(&mut self, iif: u32, unresolved: bool) -> Result<(), Error> {
        self.mfes.reserve_one()?;
        self.by_source.reserve_one()?;
        if unresolved {
            self.waiting.reserve_one()?;
        } else {
            self.interfaces[iif].incoming.reserve_one()?;
        }
        self.plane.reserve(4)
    }

    /// Makes room for [`Self::wait_at`].
    pub(in crate::core) fn reserve_arrival(&mut self) -> Result<(), Error> {
        self.waiting_at.reserve_one()?;
        Ok(self.arrivals.try_reserve(1)?)
    }

    /// Packets of an unresolved entry came in here: it waits for an owner of this interface too.
    /// Room must have been reserved.
    pub(in crate::core) fn wait_at(&mut self, id: u32, arrival: IfKey) {
        self.wait_nowhere_else(id);
        if arrival != self.interfaces[self.mfes[id].iif].key {
            self.arrivals.insert(id, arrival);
            self.waiting_at.insert((arrival, id), ());
        }
    }

    fn wait_nowhere_else(&mut self, id: u32) {
        if let Some(arrival) = self.arrivals.remove(&id) {
            self.waiting_at.remove((arrival, id));
        }
    }

    /// Where packets of an entry come in.
    pub(in crate::core) fn arrival_at(&self, id: u32) -> IfKey {
        let iif = self.interfaces[self.mfes[id].iif].key;
        self.arrivals.get(&id).copied().unwrap_or(iif)
    }

    /// Changes an entry's iif, and whether it is resolved. Room must have been reserved.
    pub(in crate::core) fn set_iif(&mut self, id: u32, iif: u32, unresolved: bool) {
        self.unlist_on_iif(id);
        let old = std::mem::replace(&mut self.mfes[id].iif, iif);
        self.mfes[id].set(Mfe::UNRESOLVED, unresolved);
        self.interfaces[iif].iif_users += 1;
        self.interfaces[old].iif_users -= 1;
        self.interfaces.forget_unused(old);
        self.list_on_iif(id);
    }

    /// Deletes an entry. Room for one change of the plane must have been reserved.
    pub(in crate::core) fn delete_mfe(&mut self, id: u32) {
        self.lifetimes.clear(&mut self.mfes, id);
        self.negatives.remove(&mut self.mfes, id);
        self.unlist_on_iif(id);
        self.by_source.remove(self.mfes[id].source_place());
        let Some(mfe) = self.mfes.remove(id) else { return };
        for oif in mfe.oifs.iter().filter(|oif| oif.is(Oif::FORCED | Oif::VETOED)) {
            self.interfaces[oif.interface()].marked.remove(id);
        }
        self.interfaces[mfe.iif].iif_users -= 1;
        self.interfaces.forget_unused(mfe.iif);
        self.plane.push(Stale::entry(mfe.flow()));
    }

    /// MgmSetMfe (rule E10).
    pub fn set_upstream(
        &mut self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error> {
        let slot = self.slot_of(client)?;
        let id = self.mfes.find(flow).ok_or(Error::NoSuchMfe(flow))?;
        if self.iif_owner(id) != Some(slot) {
            return Err(Error::NotIifOwner(flow));
        }
        self.mfes[id].upstream = upstream;
        self.mfes[id].set(Mfe::UPSTREAM_CHOSEN, true);
        self.set_upstream_in_flow(flow, self.mfes[id].iif, upstream);
        Ok(())
    }

    /// How the entry of a flow is to be programmed, which the caller does now: its iif, and its
    /// oifs ordered by name. `id` is the number that the entry had. None: there is no such entry.
    pub fn entry_state(
        &mut self,
        flow: SourceGroup,
        id: u32,
        oifs: &mut Vec<IfKey>,
    ) -> Result<Option<PlaneEntry>, Error> {
        let Some(id) = self.mfes.find_at(id, flow) else { return Ok(None) };
        let mfe = &self.mfes[id];
        let first = oifs.len();
        oifs.try_reserve(mfe.oifs.len())?;
        oifs.extend(mfe.active().map(|oif| self.interfaces[oif.interface()].key));
        oifs[first..].sort_unstable();
        let (iif, installed) = (self.interfaces[mfe.iif].key, mfe.is(Mfe::INSTALLED));
        let begins = mfe.is(Mfe::COUNT_BEGINS);
        let joined = self.mfes[id].begin_adding();
        let counts = joined || begins;
        Ok(Some(PlaneEntry { id, iif, oifs: oifs.len() - first, joined, counts, installed }))
    }

    /// The outgoing interfaces that are being added to an entry, or added again, in no order.
    pub fn being_added(&self, id: u32) -> impl Iterator<Item = IfKey> + '_ {
        let adding = self.mfes[id].active().filter(|oif| oif.is(Oif::ADDING));
        adding.map(|oif| self.interfaces[oif.interface()].key)
    }

    /// Notes that the plane has the entry of a flow, and what it had counted before, where that was
    /// asked for. `id` is the number that the entry had.
    pub fn entry_programmed(&mut self, flow: SourceGroup, id: u32, before: Counters) {
        let Some(id) = self.mfes.find_at(id, flow) else { return };
        let mfe = &mut self.mfes[id];
        mfe.set_bases(before.packets);
        if mfe.is(Mfe::COUNT_BEGINS) {
            mfe.set(Mfe::COUNT_BEGINS, false);
            // The packets that waited go through an entry when it is programmed first.
            if mfe.is(Mfe::INSTALLED) {
                mfe.set(Mfe::MAY_HAVE_WAITED, false);
            }
            self.mfes.beside_mut(id).seen_packets = before.carried();
        }
        self.mfes[id].set(Mfe::INSTALLED, true);
    }

    /// Notes that the plane lost the entry of a flow and its counts, so that it must be programmed
    /// again (decision 64).
    pub fn entry_lost(&mut self, flow: SourceGroup) -> Result<(), Error> {
        if let Some(id) = self.mfes.find(flow) {
            self.mfes[id].count_anew();
            // It is not known whether it carried packets before, so it counts as if it had.
            self.mfes.beside_mut(id).seen_packets = u32::MAX;
            self.mfes[id].set(Mfe::MAY_HAVE_WAITED, false);
        }
        self.plane.reserve(1)?;
        self.plane.push(Stale::entry(flow));
        Ok(())
    }

    /// The flows that have an entry, from one on.
    pub fn flows_from(&self, from: SourceGroup) -> impl Iterator<Item = SourceGroup> + '_ {
        self.mfes.from(from).map(|(flow, _)| flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::containers::slab::Slab;
    use crate::core::state::members::Entry;

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
        assert_eq!(Slab::<Entry>::PLACE, 56);
    }
}
