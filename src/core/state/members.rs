//! Who has a membership, and where.

use crate::core::containers::steps::step;
use crate::core::containers::table::{Key, Keyed};
use crate::types::SourceGroup;
use smallvec::SmallVec;

/// The role in which a client is on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Role {
    /// The routing protocol that owns it.
    Protocol,
    /// IGMP, alone or beside the protocol.
    Igmp,
}

impl Role {
    /// The roles by number.
    pub(in crate::core) const ALL: [Self; 2] = [Self::Protocol, Self::Igmp];
}

/// The members on one interface: its number in the upper 24 bits, the roles of its members in the
/// lower 8. The order is that of the numbers.
#[derive(Clone, Copy)]
pub(in crate::core) struct Holder(u32);

impl Holder {
    pub(in crate::core) const fn new(interface: u32) -> Self {
        Self(interface << 8)
    }

    pub(in crate::core) const fn interface(self) -> u32 {
        self.0 >> 8
    }

    pub(in crate::core) const fn bit(role: Role) -> u32 {
        match role {
            Role::Protocol => 1,
            Role::Igmp => 2,
        }
    }

    /// Whether somebody stays where the memberships of these roles, as bits, end.
    pub(in crate::core) const fn stays(self, ending: u32) -> bool {
        self.0 & 0xff & !ending != 0
    }

    pub(in crate::core) const fn has(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    pub(in crate::core) const fn set(&mut self, role: Role, on: bool) {
        if on { self.0 |= Self::bit(role) } else { self.0 &= !Self::bit(role) }
    }

    pub(in crate::core) const fn nobody(self) -> bool {
        self.0 & 0xff == 0
    }
}

/// A client that counts for D7, and on how many interfaces it has the membership.
#[derive(Clone, Copy)]
pub(in crate::core) struct CountedClient {
    pub(in crate::core) client: u32,
    pub(in crate::core) interfaces: u32,
}

/// All members of one (S,G), (*,G) or (*,*).
pub(in crate::core) struct MemberSet {
    of: Key,
    pub(in crate::core) holders: SmallVec<[Holder; 4]>,
    /// Ordered by client.
    pub(in crate::core) counted: SmallVec<[CountedClient; 1]>,
}

impl Keyed for MemberSet {
    type Beside = ();

    fn key(&self) -> SourceGroup {
        self.of.get()
    }
}

impl MemberSet {
    pub(in crate::core) fn new(of: SourceGroup) -> Self {
        Self { of: Key::new(of), holders: SmallVec::new(), counted: SmallVec::new() }
    }

    pub(in crate::core) fn place_of(&self, interface: u32) -> Result<usize, usize> {
        self.holders.binary_search_by_key(&interface, |holder| holder.interface())
    }

    pub(in crate::core) fn holds(&self, interface: u32, role: Role) -> bool {
        self.place_of(interface).is_ok_and(|at| self.holders[at].has(role))
    }

    /// Adds a membership. Room must have been reserved.
    pub(in crate::core) fn add(&mut self, interface: u32, role: Role) {
        let at = self.place_of(interface).unwrap_or_else(|at| {
            self.holders.insert(at, Holder::new(interface));
            at
        });
        self.holders[at].set(role, true);
    }

    /// Takes a membership away. False: nobody has one on that interface.
    pub(in crate::core) fn remove(&mut self, interface: u32, role: Role) -> bool {
        let Ok(at) = self.place_of(interface) else { return false };
        let holder = &mut self.holders[at];
        holder.set(role, false);
        if holder.nobody() {
            self.holders.remove(at);
        }
        true
    }

    /// Counts one interface more of a client. True: it is the first one. Room must have been reserved.
    pub(in crate::core) fn count(&mut self, client: u32) -> bool {
        match self.counts(client) {
            Ok(at) => {
                self.counted[at].interfaces += 1;
                false
            }
            Err(at) => {
                self.counted.insert(at, CountedClient { client, interfaces: 1 });
                true
            }
        }
    }

    /// Counts one interface less. True: it was the last one.
    pub(in crate::core) fn count_off(&mut self, client: u32) -> bool {
        let Ok(at) = self.counts(client) else { return false };
        let counted = &mut self.counted[at];
        counted.interfaces -= 1;
        let last = counted.interfaces == 0;
        if last {
            self.counted.remove(at);
        }
        last
    }

    /// Whether a routing protocol has the membership on this interface, which it owns, and nowhere
    /// else.
    pub(in crate::core) fn only_owns(&self, interface: u32, counted: CountedClient) -> bool {
        counted.interfaces == 1 && self.holds(interface, Role::Protocol)
    }

    /// Its key: (S,G), (*,G) or (*,*).
    pub(in crate::core) const fn of(&self) -> SourceGroup {
        self.of.get()
    }

    /// Interfaces with members, and who they are, from the interface with this number on.
    pub(in crate::core) fn members_from(&self, from: u32) -> impl Iterator<Item = (u32, Role)> {
        let first = self.place_of(from).unwrap_or_else(|at| at);
        self.holders[first..].iter().inspect(|_| step()).flat_map(|holder| {
            Role::ALL
                .into_iter()
                .filter(|role| holder.has(*role))
                .map(|role| (holder.interface(), role))
        })
    }

    fn counts(&self, client: u32) -> Result<usize, usize> {
        self.counted.binary_search_by_key(&client, |counted| counted.client)
    }

    /// Whether a client counts for it that is none of these.
    pub(in crate::core) fn is_held_beside(&self, clients: &[u32]) -> bool {
        self.counted.iter().any(|counted| !clients.contains(&counted.client))
    }
}
