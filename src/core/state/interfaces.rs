//! The table of interfaces: who is on each, and which memberships and entries use it.

use crate::core::containers::ordered::OrderedMap;
use crate::core::containers::slab::{NONE, Slab};
use crate::core::containers::steps::step;
use crate::core::state::members::Role;
use crate::error::Error;
use crate::types::{IfKey, SourceGroup};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::net::Ipv4Addr;
use std::ops::{Index, IndexMut};

/// How many interfaces there can be: an outgoing interface's number has 24 bits.
const MAX_INTERFACES: usize = 1 << 24;

/// Who changes ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The client, by slot, takes the interface.
    Take(u32),
    /// The client, by slot, releases it.
    Release(u32),
}

/// A change of ownership that IGMP is told of first.
pub(in crate::core) struct Change {
    pub(in crate::core) interface: u32,
    pub(in crate::core) kind: ChangeKind,
    pub(in crate::core) outcome: Option<Result<(), Error>>,
    /// The slot of the IGMP client that ENABLE_IGMP went to.
    pub(in crate::core) enabled: Option<u32>,
    /// The DISABLE_IGMP callback has returned.
    pub(in crate::core) answered: bool,
    /// The call that began the change has taken the outcome.
    pub(in crate::core) seen: bool,
}

/// A set of small numbers. Its memory grows only where room is reserved.
#[derive(Default)]
pub struct NumberSet {
    numbers: HashTable<u32>,
    layout: u32,
    hasher: DefaultHashBuilder,
}

impl NumberSet {
    /// Makes room for the next `n` inserts.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        let hasher = &self.hasher;
        if n > self.numbers.capacity() - self.numbers.len() {
            self.layout = self.layout.wrapping_add(1);
        }
        Ok(self.numbers.try_reserve(n, |id| hasher.hash_one(id))?)
    }

    /// Adds a number. Room must have been reserved.
    pub fn insert(&mut self, id: u32) {
        let hasher = &self.hasher;
        self.numbers
            .entry(hasher.hash_one(id), |other| *other == id, |id| hasher.hash_one(id))
            .or_insert(id);
    }

    /// Takes a number out. True: it was there.
    pub fn remove(&mut self, id: u32) -> bool {
        let entry = self.numbers.find_entry(self.hasher.hash_one(id), |other| *other == id);
        entry.is_ok_and(|entry| entry.remove().0 == id)
    }

    /// Whether a number is in it.
    fn contains(&self, id: u32) -> bool {
        self.numbers.find(self.hasher.hash_one(id), |other| *other == id).is_some()
    }

    /// The numbers, in no order.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.numbers.iter().copied().inspect(|_| step())
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// How many places there are, of which some hold a number.
    pub fn places(&self) -> usize {
        self.numbers.num_buckets()
    }

    /// The number in a place, if there is one. It stays there as long as the layout is the same.
    pub fn at(&self, place: usize) -> Option<u32> {
        step();
        self.numbers.get_bucket(place).copied()
    }

    /// Changes where numbers may stand elsewhere.
    pub const fn layout(&self) -> u32 {
        self.layout
    }
}

/// The memberships of one role on an interface. They come and go in no order. A change of the
/// interface goes through them by key, in portions, and puts them in order first.
pub struct Memberships {
    /// Those in no order: numbers of entries of [`Core::groups`](super::Core).
    loose: NumberSet,
    ordered: OrderedMap<SourceGroup, ()>,
}

impl Memberships {
    fn new() -> Self {
        Self { loose: NumberSet::default(), ordered: OrderedMap::new() }
    }

    /// Makes room for the next insert.
    pub(in crate::core) fn reserve_one(&mut self) -> Result<(), Error> {
        self.loose.reserve(1)
    }

    /// Adds the membership of the entry with this number. Room must have been reserved.
    pub(in crate::core) fn insert(&mut self, id: u32) {
        self.loose.insert(id);
    }

    /// Takes the membership of an entry out; number and key are the entry's.
    pub(in crate::core) fn remove(&mut self, id: u32, of: SourceGroup) {
        if !self.loose.remove(id) {
            self.ordered.remove(of);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.loose.len() + self.ordered.len()
    }

    /// The entries' numbers of those in no order.
    pub(in crate::core) fn loose(&self) -> impl Iterator<Item = u32> + '_ {
        self.loose.iter()
    }

    /// Those in order.
    pub(in crate::core) const fn ordered(&self) -> &OrderedMap<SourceGroup, ()> {
        &self.ordered
    }

    /// How many places the set of those in no order has.
    pub(in crate::core) fn places(&self) -> usize {
        self.loose.places()
    }

    /// The entry's number in a place of that set, if there is one.
    pub(in crate::core) fn at(&self, place: usize) -> Option<u32> {
        self.loose.at(place)
    }

    /// Makes room to put `most` of them in order, or fewer if not all fit in one block.
    pub(in crate::core) fn reserve_few(&mut self, most: usize) -> Result<(), Error> {
        match self.loose.len() {
            0 => Ok(()),
            n => self.ordered.reserve_few(n.min(most)),
        }
    }

    /// Puts the membership of an entry in order. The entry may lose its number then.
    pub(in crate::core) fn put_in_order(&mut self, id: u32, of: SourceGroup) -> Result<(), Error> {
        if self.loose.contains(id) {
            self.ordered.reserve_one()?;
            self.loose.remove(id);
            self.ordered.insert(of, ());
        }
        Ok(())
    }
}

/// An interface that somebody is on, or that an entry without an owner names as its iif.
pub struct Interface {
    /// Its name.
    pub key: IfKey,
    /// The slot of the routing protocol that owns it.
    pub protocol: Option<u32>,
    /// The slot of the IGMP client on it.
    pub igmp: Option<u32>,
    /// IGMP's adds and deletes are refused: between DISABLE_IGMP and ENABLE_IGMP (rule C3).
    pub igmp_disabled: bool,
    /// The change of ownership that waits for DISABLE_IGMP.
    pub change: Option<(u32, ChangeKind)>,
    /// Gets a new value, unique among all interfaces, when an owner goes. What an owner said
    /// counts only as long as it is the same (rule D6).
    pub tenure: u64,
    /// Packets can enter and leave.
    pub up: bool,
    /// The roles whose memberships here end with an unfinished change, as bits of a holder.
    pub ending: u32,
    /// How many unfinished changes concern it.
    pub unfinished: u32,
    /// The memberships here, by role.
    memberships: [Memberships; 2],
    /// The forwarding entries that carry a veto or a forced mark for it, by number.
    pub marked: NumberSet,
    /// The forwarding entries whose iif it is, by number; those without an owner are in
    /// [`Core::waiting`](super::Core).
    pub incoming: OrderedMap<u32, ()>,
    /// Forwarding entries and pending flows whose iif it is.
    pub iif_users: u32,
}

impl Interface {
    /// The owner: the routing protocol, or IGMP where IGMP is alone.
    pub fn owner(&self) -> Option<u32> {
        self.protocol.or(self.igmp)
    }

    /// How many memberships there are.
    pub fn membership_count(&self) -> usize {
        self.memberships.iter().map(Memberships::len).sum()
    }

    /// The role in which a client is on it.
    pub(in crate::core) fn role_of(&self, slot: u32) -> Option<Role> {
        if self.protocol == Some(slot) {
            Some(Role::Protocol)
        } else {
            (self.igmp == Some(slot)).then_some(Role::Igmp)
        }
    }

    /// The memberships of a role.
    pub(in crate::core) const fn held(&self, role: Role) -> &Memberships {
        &self.memberships[role as usize]
    }

    /// The same, to change.
    pub(in crate::core) const fn held_mut(&mut self, role: Role) -> &mut Memberships {
        &mut self.memberships[role as usize]
    }

    /// Forgets the memberships of a role.
    pub(in crate::core) fn forget_held(&mut self, role: Role) {
        self.memberships[role as usize] = Memberships::new();
    }

    /// Whether anybody is on it.
    pub const fn in_use(&self) -> bool {
        self.protocol.is_some() || self.igmp.is_some()
    }

    /// Whether packets can leave it.
    pub const fn can_send(&self) -> bool {
        self.up && self.in_use()
    }

    /// Whether anybody is on it or about to be. (IGMP may leave while it is told of a new owner.)
    pub const fn is_kept(&self) -> bool {
        self.in_use() || self.change.is_some() || self.unfinished > 0
    }
}

const GUESSES: usize = 64;

/// Where the number of an interface is looked for first.
const fn guess(key: IfKey) -> usize {
    (key.index ^ key.next_hop.to_bits()) as usize % GUESSES
}

/// All interfaces, by number and by name.
pub struct Interfaces {
    rows: Slab<Interface>,
    by_key: OrderedMap<IfKey, u32>,
    /// For each [`guess`] the last interface that had it, which may have gone.
    guesses: [u32; GUESSES],
    /// The last [`Interface::tenure`] that was given.
    last_tenure: u64,
}

impl Interfaces {
    /// No interfaces.
    pub const fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_key: OrderedMap::new(),
            guesses: [NONE; GUESSES],
            last_tenure: 0,
        }
    }

    /// The number of an interface.
    #[inline]
    pub fn find(&self, key: IfKey) -> Option<u32> {
        // Few interfaces share a guess, and each call needs one.
        let guess = self.guesses[guess(key)];
        let is_it = self.rows.get(guess).is_some_and(|interface| interface.key == key);
        if is_it { Some(guess) } else { self.by_key.get(key) }
    }

    /// The number of an interface that somebody is on.
    pub fn find_used(&self, key: IfKey) -> Option<u32> {
        self.find(key).filter(|id| self.rows[*id].in_use())
    }

    /// An interface, if this client owns it.
    pub fn of_owner(&self, key: IfKey, slot: u32) -> Option<&Interface> {
        self.find(key).map(|id| &self.rows[id]).filter(|interface| interface.owner() == Some(slot))
    }

    /// An interface that may have had the number `id`, which is tried first.
    pub fn find_at(&self, id: u32, key: IfKey) -> Option<&Interface> {
        let still = self.rows.get(id).filter(|interface| interface.key == key);
        still.or_else(|| self.find(key).map(|id| &self.rows[id]))
    }

    /// Notes that the owner of an interface goes.
    pub fn end_tenure(&mut self, id: u32) {
        self.last_tenure += 1;
        self.rows[id].tenure = self.last_tenure;
    }

    /// The owned interface that a route means (decision 31): the one that it names; else the one
    /// of that index without a next hop; else the first of that index.
    pub fn resolve(&self, key: IfKey) -> Option<u32> {
        let owned = |id: &u32| self.rows[*id].in_use();
        self.find(key).filter(owned).or_else(|| {
            self.by_key
                .from(IfKey::new(key.index, Ipv4Addr::UNSPECIFIED))
                .take_while(|(other, _)| other.index == key.index)
                .map(|(_, id)| id)
                .find(owned)
        })
    }

    /// The number of an interface, which is added to the table where it is not there. Nothing
    /// changes where memory runs out.
    pub fn intern(&mut self, key: IfKey) -> Result<u32, Error> {
        if let Some(id) = self.find(key) {
            return Ok(id);
        }
        if self.rows.len() >= MAX_INTERFACES {
            return Err(Error::OutOfMemory);
        }
        self.rows.reserve(1)?;
        self.by_key.reserve_one()?;
        self.last_tenure += 1;
        let id = self.rows.insert(Interface {
            key,
            protocol: None,
            igmp: None,
            igmp_disabled: false,
            change: None,
            tenure: self.last_tenure,
            up: true,
            ending: 0,
            unfinished: 0,
            memberships: [Memberships::new(), Memberships::new()],
            marked: NumberSet::default(),
            incoming: OrderedMap::new(),
            iif_users: 0,
        });
        self.by_key.insert(key, id);
        self.guesses[guess(key)] = id;
        Ok(id)
    }

    /// Forgets an interface that nobody is on and no entry names.
    pub fn forget_unused(&mut self, id: u32) {
        let Some(interface) = self.rows.get(id) else { return };
        if !interface.is_kept() && interface.iif_users == 0 {
            self.by_key.remove(interface.key);
            self.rows.remove(id);
        }
    }

    /// The interface with this number, if there is one.
    pub fn get(&self, id: u32) -> Option<&Interface> {
        if id == NONE { None } else { self.rows.get(id) }
    }

    /// The interfaces whose names follow a name, in order.
    pub fn iter_after(&self, after: Option<IfKey>) -> impl Iterator<Item = &Interface> {
        let from = after.unwrap_or(IfKey::new(0, Ipv4Addr::UNSPECIFIED));
        self.by_key
            .from(from)
            .filter(move |(key, _)| Some(*key) != after)
            .map(|(_, id)| &self.rows[id])
    }
}

impl Index<u32> for Interfaces {
    type Output = Interface;

    fn index(&self, id: u32) -> &Interface {
        &self.rows[id]
    }
}

impl IndexMut<u32> for Interfaces {
    fn index_mut(&mut self, id: u32) -> &mut Interface {
        &mut self.rows[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_finds_the_interface_that_fits_best() {
        let mut all = Interfaces::new();
        let hop = |n| Ipv4Addr::new(10, 0, 0, n);
        let mut take = |key| {
            let id = all.intern(key).unwrap();
            all[id].protocol = Some(0);
            id
        };
        let second = take(IfKey::new(3, hop(2)));
        let first = take(IfKey::new(3, hop(1)));
        assert_eq!(all.resolve(IfKey::new(3, hop(2))), Some(second));
        assert_eq!(all.resolve(IfKey::new(3, hop(9))), Some(first));
        let plain = all.intern(IfKey::new(3, Ipv4Addr::UNSPECIFIED)).unwrap();
        assert_eq!(all.resolve(IfKey::new(3, hop(9))), Some(first), "nobody is on the plain one");
        all[plain].igmp = Some(1);
        assert_eq!(all.resolve(IfKey::new(3, hop(9))), Some(plain));
        assert_eq!(all.resolve(IfKey::new(4, hop(1))), None);
    }

    #[test]
    fn memberships_are_found_in_order_and_in_none() {
        let key = |n| SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 0, 0, n));
        let mut held = Memberships::new();
        let add = |held: &mut Memberships, id| {
            held.reserve_one().unwrap();
            held.insert(id);
        };
        (1..=5).rev().for_each(|id| add(&mut held, id));
        held.put_in_order(5, key(5)).unwrap();
        for place in 0..held.places() {
            if let Some(id) = held.at(place) {
                held.put_in_order(id, key(id as u8)).unwrap();
            }
        }
        assert_eq!(held.loose().count(), 0);
        let ordered = |held: &Memberships| {
            held.ordered().from(SourceGroup::ALL).map(|(of, ())| of).collect::<Vec<_>>()
        };
        assert_eq!(ordered(&held), [1, 2, 3, 4, 5].map(key));
        (6..=7).for_each(|id| add(&mut held, id));
        held.remove(2, key(2));
        held.remove(6, key(6));
        held.put_in_order(1, key(1)).unwrap();
        assert_eq!((held.loose().collect::<Vec<_>>(), held.len()), (vec![7], 5));
        assert_eq!(ordered(&held), [1, 3, 4, 5].map(key));
    }

    #[test]
    fn names_that_share_a_guess_are_told_apart() {
        let mut all = Interfaces::new();
        let keys = [1, 1 + GUESSES as u32, 1 + 2 * GUESSES as u32]
            .map(|index| IfKey::new(index, Ipv4Addr::UNSPECIFIED));
        let ids = keys.map(|key| all.intern(key).unwrap());
        let found = |all: &Interfaces| keys.map(|key| all.find(key));
        assert_eq!(found(&all), ids.map(Some));
        // What stands in the place goes, and another interface gets its number.
        all.forget_unused(ids[2]);
        assert_eq!(found(&all), [Some(ids[0]), Some(ids[1]), None]);
        let other = IfKey::new(2, Ipv4Addr::UNSPECIFIED);
        assert_eq!(all.intern(other), Ok(ids[2]));
        assert_eq!(
            (found(&all), all.find(other)),
            ([Some(ids[0]), Some(ids[1]), None], Some(ids[2]))
        );
    }

    #[test]
    fn unused_interfaces_are_forgotten() {
        let mut all = Interfaces::new();
        let key = IfKey::new(1, Ipv4Addr::UNSPECIFIED);
        let id = all.intern(key).unwrap();
        all[id].iif_users = 1;
        all.forget_unused(id);
        assert_eq!(all.find(key), Some(id));
        all[id].iif_users = 0;
        all.forget_unused(id);
        assert_eq!(all.find(key), None);
    }
}
