//! Group memberships, and the alerts that joining and leaving cause (rules D1 to D9).

use crate::core::containers::slab::NONE;
use crate::core::rules::registration::ClientInfo;
use crate::core::state::members::{Counted, Entry, Holder, Role};
use crate::core::state::outbox::{Action, LifetimeAsk};
use crate::core::state::route_book::RouteBook;
use crate::core::{Core, Note};
use crate::error::Error;
use crate::types::{ClientId, IfKey, MembershipFlags, Millis, SourceGroup};
use std::net::Ipv4Addr;

/// Who hears of a change of a (*,G) or (*,*) membership (rule D7).
enum Audience {
    Everybody,
    One(u32),
    Nobody,
}

impl Audience {
    /// How many alerts that is at most.
    const fn size(&self, clients: usize) -> usize {
        match self {
            Self::Everybody => clients,
            Self::One(_) | Self::Nobody => 1,
        }
    }
}

impl Core {
    /// MgmAddGroupMembershipEntry. Gives [`Error::RouteNeeded`], with nothing changed, where the
    /// book lacks a source.
    pub fn add_membership(
        &mut self,
        now: Millis,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
        routes: &mut RouteBook,
    ) -> Result<(), Error> {
        let slot = self.slot_of(client)?;
        check(of, flags)?;
        let interface = self.interfaces.find_used(key).ok_or(Error::NotOnInterface(key))?;
        let role = self.role_on(interface, slot).ok_or(Error::NotOnInterface(key))?;
        if role == Role::Igmp && self.interfaces[interface].igmp_disabled {
            return Err(Error::IgmpDisabled(key));
        }
        let entry = self.groups.find(of);
        let covered = self.covered(of)?;
        let result = self.reserve_add(of, entry, interface, &covered, routes, slot, role);
        let result = result.and_then(|()| self.reserve_marks(interface, &covered, flags));
        if result.is_ok() {
            if flags.join && !entry.is_some_and(|id| self.groups[id].holds(interface, role)) {
                self.join(now, slot, role, of, entry, interface, routes, &covered);
            }
            if flags.forward {
                self.set_forced(now, slot, interface, &covered, true);
                if self.interfaces[interface].owner() == Some(slot) {
                    self.lift_vetoes_in_flows(of, key, slot);
                }
            }
        }
        self.give_back(covered);
        result
    }

    /// MgmDeleteGroupMembershipEntry. Gives [`Error::RouteNeeded`] as above.
    pub fn delete_membership(
        &mut self,
        now: Millis,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
        routes: &mut RouteBook,
    ) -> Result<(), Error> {
        let slot = self.slot_of(client)?;
        check(of, flags)?;
        let interface = self.interfaces.find_used(key).ok_or(Error::UnknownInterface(key))?;
        let role = self.role_on(interface, slot).ok_or(Error::NotOnInterface(key))?;
        if role == Role::Igmp && self.interfaces[interface].igmp_disabled {
            return Err(Error::IgmpDisabled(key));
        }
        let entry = self.groups.find(of);
        let entry = entry.filter(|id| self.groups[*id].holds(interface, role));
        let covered = self.covered(of)?;
        let prunes = flags.forward && self.interfaces[interface].owner() == Some(slot);
        let result = self.reserve_delete(entry, interface, &covered, routes, slot, role);
        let result = result.and_then(|()| self.reserve_marks(interface, &covered, flags));
        let result =
            result.and_then(|()| if prunes { self.reserve_prune_in_flows(of) } else { Ok(()) });
        if result.is_ok() {
            if flags.join
                && let Some(id) = entry
            {
                self.leave(slot, role, id, interface, routes, true);
            }
            if flags.forward {
                self.set_forced(now, slot, interface, &covered, false);
                if prunes {
                    self.prune_in_flows(of, interface, slot);
                }
            }
            self.refresh_all(now, &covered, interface, Some(slot));
        }
        self.give_back(covered);
        result
    }

    #[expect(clippy::too_many_arguments, reason = "one membership has that many sides")]
    fn reserve_add(
        &mut self,
        of: SourceGroup,
        entry: Option<u32>,
        interface: u32,
        covered: &[u32],
        routes: &mut RouteBook,
        slot: u32,
        role: Role,
    ) -> Result<(), Error> {
        if of.has_source()
            && self.counts_for_d7(interface, role)
            && entry.is_none_or(|id| self.groups[id].counted.is_empty())
        {
            routes.require(of.source())?;
        }
        let alerts = 1 + self.audience(entry, slot).size(self.client_count());
        match entry {
            Some(id) => {
                self.groups[id].holders.try_reserve(1)?;
                self.groups[id].counted.try_reserve(1)?;
            }
            None => self.groups.reserve_one()?,
        }
        self.interfaces[interface].memberships.of_mut(role).reserve_one()?;
        self.reserve_refresh(covered, interface, alerts)
    }

    fn reserve_delete(
        &mut self,
        entry: Option<u32>,
        interface: u32,
        covered: &[u32],
        routes: &mut RouteBook,
        slot: u32,
        role: Role,
    ) -> Result<(), Error> {
        let alerts = match entry {
            Some(id) => self.alerts_of_leave(id, interface, routes, (slot, role), None)?,
            None => 0,
        };
        self.reserve_refresh(covered, interface, alerts)
    }

    fn reserve_marks(
        &mut self,
        interface: u32,
        covered: &[u32],
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        if flags.forward {
            self.interfaces[interface].marked.reserve(covered.len())
        } else {
            Ok(())
        }
    }

    /// How many alerts the end of one membership of an entry can cause at most, once `gone` has
    /// lost its own on the interface. Gives [`Error::RouteNeeded`] where the book lacks its source.
    pub(in crate::core) fn alerts_of_leave(
        &self,
        id: u32,
        interface: u32,
        routes: &mut RouteBook,
        (slot, role): (u32, Role),
        gone: Option<u32>,
    ) -> Result<usize, Error> {
        let entry = &self.groups[id];
        let of = entry.of();
        if !self.counts_for_d7(interface, role) {
            return Ok(1);
        }
        let stays = |entry: &Entry, counted: Counted| {
            counted.client != slot
                && !(Some(counted.client) == gone && entry.only_owns(interface, counted))
        };
        if of.has_source() {
            if !entry.counted.iter().any(|counted| stays(entry, *counted)) {
                routes.require(of.source())?;
            }
            return Ok(2);
        }
        Ok(1 + self.audience_among(Some(id), stays).size(self.client_count()))
    }

    /// Adds a membership that is not there, with its alerts, and brings the entries it covers up to
    /// date (rule D4).
    #[expect(clippy::too_many_arguments, reason = "one membership has that many sides")]
    fn join(
        &mut self,
        now: Millis,
        slot: u32,
        role: Role,
        of: SourceGroup,
        entry: Option<u32>,
        interface: u32,
        routes: &RouteBook,
        covered: &[u32],
    ) {
        let audience = self.audience(entry, slot);
        let id = entry.unwrap_or_else(|| self.groups.insert(Entry::new(of)));
        if of.is_all() {
            self.everything = Some(id);
        }
        let entry = &mut self.groups[id];
        let at = entry.place_of(interface).unwrap_or_else(|at| {
            entry.holders.insert(at, Holder::new(interface));
            at
        });
        entry.holders[at].set(role, true);
        self.interfaces[interface].memberships.of_mut(role).insert(of, ());

        if self.counts_for_d7(interface, role) {
            let entry = &mut self.groups[id];
            let others = !entry.counted.is_empty();
            match entry.counts(slot) {
                Ok(at) => entry.counted[at].interfaces += 1,
                Err(at) => {
                    entry.counted.insert(at, Counted { client: slot, interfaces: 1 });
                    let action = Action::Join { of, member: true };
                    if of.has_source() {
                        if !others {
                            self.tell_owner_toward(of.source(), routes, slot, action);
                        }
                    } else if of.is_all() || !self.counts_everything(slot) {
                        self.tell(audience, slot, action);
                    }
                }
            }
        }
        self.tell_local(interface, role, |interface| Action::LocalJoin { of, interface });
        if self.interfaces[interface].owner() == Some(slot) {
            self.lift_vetoes(of, covered, interface, slot);
        }
        self.refresh_all(now, covered, interface, Some(slot));
    }

    /// Removes a membership, with its alerts. The caller brings the entries that it covers up to
    /// date later, because the TRUE alerts of a call come before its FALSE ones (rule E4).
    pub(in crate::core) fn leave(
        &mut self,
        slot: u32,
        role: Role,
        id: u32,
        interface: u32,
        routes: &RouteBook,
        tell_local: bool,
    ) {
        let counts = self.counts_for_d7(interface, role);
        let entry = &mut self.groups[id];
        let of = entry.of();
        let Ok(at) = entry.place_of(interface) else { return };
        entry.holders[at].set(role, false);
        if entry.holders[at].nobody() {
            entry.holders.remove(at);
        }
        self.interfaces[interface].memberships.of_mut(role).remove(of);
        let mut last = false;
        if counts && let Ok(at) = entry.counts(slot) {
            entry.counted[at].interfaces -= 1;
            if entry.counted[at].interfaces == 0 {
                entry.counted.remove(at);
                last = true;
            }
        }
        let nobody_left = entry.counted.is_empty();
        let left = if entry.holders.is_empty() {
            self.groups.remove(id);
            if of.is_all() {
                self.everything = None;
            }
            None
        } else {
            Some(id)
        };
        if last {
            let key = self.interfaces[interface].key;
            let action =
                Action::Prune { of, interface: key, member: true, asks: LifetimeAsk::NONE };
            if of.has_source() {
                let any_source = self.groups.find(of.any_source());
                if nobody_left && matches!(self.audience(any_source, slot), Audience::Everybody) {
                    self.tell_owner_toward(of.source(), routes, slot, action);
                }
            } else if of.is_all() || !self.counts_everything(slot) {
                self.tell(self.audience(left, slot), slot, action);
            }
        }
        if tell_local {
            self.tell_local(interface, role, |interface| Action::LocalLeave { of, interface });
        }
    }

    /// Who hears of a change by this client: nobody else has the membership, one has, or more.
    /// `entry` is what there is of it; (*,*) counts everywhere.
    fn audience(&self, entry: Option<u32>, slot: u32) -> Audience {
        self.audience_among(entry, |_, counted| counted.client != slot)
    }

    /// The same, where `stays` tells who has the membership besides.
    fn audience_among(
        &self,
        entry: Option<u32>,
        stays: impl Fn(&Entry, Counted) -> bool,
    ) -> Audience {
        let mut first = None;
        let all = self.everything.filter(|all| Some(*all) != entry);
        for id in entry.into_iter().chain(all) {
            let entry = &self.groups[id];
            for counted in entry.counted.iter().filter(|counted| stays(entry, **counted)) {
                match first {
                    None => first = Some(counted.client),
                    Some(other) if other != counted.client => return Audience::Nobody,
                    Some(_) => {}
                }
            }
        }
        first.map_or(Audience::Everybody, Audience::One)
    }

    fn tell(&mut self, audience: Audience, cause: u32, action: Action) {
        match audience {
            Audience::Everybody => {
                for (slot, _, _) in self.clients.iter() {
                    if slot != cause {
                        self.outbox.push(slot, action);
                    }
                }
            }
            Audience::One(slot) => self.outbox.push(slot, action),
            Audience::Nobody => {}
        }
    }

    fn tell_owner_toward(
        &mut self,
        source: Ipv4Addr,
        routes: &RouteBook,
        cause: u32,
        action: Action,
    ) {
        let toward = routes.get(source).and_then(|key| self.interfaces.resolve(key));
        let owner = toward.and_then(|id| self.interfaces[id].owner());
        if let Some(owner) = owner.filter(|owner| *owner != cause) {
            self.outbox.push(owner, action);
        }
    }

    /// Tells the routing protocol that owns the interface what IGMP did (rule D9).
    fn tell_local(&mut self, interface: u32, role: Role, action: impl FnOnce(IfKey) -> Action) {
        let Some(protocol) = self.interfaces[interface].protocol else { return };
        if role == Role::Igmp {
            self.outbox.push(protocol, action(self.interfaces[interface].key));
        }
    }

    /// Whether the client holds (*,*), and so counts in every N(G).
    fn counts_everything(&self, slot: u32) -> bool {
        self.everything.is_some_and(|id| self.groups[id].counts(slot).is_ok())
    }

    /// Whether a membership in this role counts for D7: all do but IGMP's beside an owner that
    /// has a local-join callback (rule D9).
    fn counts_for_d7(&self, interface: u32, role: Role) -> bool {
        let owner = self.interfaces[interface].protocol.and_then(|slot| self.clients.in_slot(slot));
        role == Role::Protocol || !owner.is_some_and(|owner| owner.info.has_local_join)
    }

    /// The role in which a client is on an interface.
    pub(in crate::core) fn role_on(&self, interface: u32, slot: u32) -> Option<Role> {
        let interface = &self.interfaces[interface];
        match slot {
            _ if interface.protocol == Some(slot) => Some(Role::Protocol),
            _ if interface.igmp == Some(slot) => Some(Role::Igmp),
            _ => None,
        }
    }

    /// Whether a membership covers the flow on the interface (rule D6).
    pub(in crate::core) fn is_member(&self, flow: SourceGroup, interface: u32) -> bool {
        self.entries_over(flow).any(|id| self.groups[id].place_of(interface).is_ok())
    }

    /// The entries of `groups` that cover a flow.
    pub(in crate::core) fn entries_over(
        &self,
        flow: SourceGroup,
    ) -> impl Iterator<Item = u32> + '_ {
        // (*,G) first, because most flows have their members there.
        let found = [flow.any_source(), flow].into_iter().filter_map(|of| self.groups.find(of));
        found.chain(self.everything)
    }

    /// The forwarding entries that `of` covers. Return the list with [`Self::give_back`].
    pub(in crate::core) fn covered(&mut self, of: SourceGroup) -> Result<Vec<u32>, Error> {
        let mut list = std::mem::take(&mut self.scratch);
        for id in self.mfes.covered(of) {
            if let Err(error) = list.try_reserve(1) {
                list.clear();
                self.scratch = list;
                return Err(error.into());
            }
            list.push(id);
        }
        Ok(list)
    }

    pub(in crate::core) fn give_back(&mut self, mut list: Vec<u32>) {
        list.clear();
        if list.capacity() > 4096 {
            // Freeing a part of it could fail.
            list = Vec::new();
        }
        self.scratch = list;
    }

    /// FORWARD (rule D5): the owner's forced mark or veto on existing entries only.
    fn set_forced(
        &mut self,
        now: Millis,
        slot: u32,
        interface: u32,
        covered: &[u32],
        forced: bool,
    ) {
        if self.interfaces[interface].owner() != Some(slot) {
            self.note(Note::ForwardByIgmp(self.interfaces[interface].key));
            return;
        }
        for id in covered {
            self.mark(*id, interface, forced, !forced);
        }
        self.refresh_all(now, covered, interface, Some(slot));
    }

    /// The memberships of a role on an interface, in order.
    pub(in crate::core) fn memberships_of(
        &self,
        interface: u32,
        role: Role,
    ) -> Result<Vec<SourceGroup>, Error> {
        let held = self.interfaces[interface].memberships.of(role);
        let mut list = Vec::new();
        list.try_reserve(held.len())?;
        list.extend(held.from(SourceGroup::ALL).map(|(of, ())| of));
        Ok(list)
    }

    /// What a client registered with.
    pub fn client_info(&self, slot: u32) -> Option<ClientInfo> {
        if slot == NONE { None } else { self.clients.in_slot(slot).map(|client| client.info) }
    }
}

/// Rules D1 and D2; masks were checked at the border.
fn check(of: SourceGroup, flags: MembershipFlags) -> Result<(), Error> {
    if !flags.join && !flags.forward {
        return Err(Error::BadValue {
            name: "dwFlags",
            value: 0,
            allowed: "MGM_JOIN_STATE_FLAG (1), MGM_FORWARD_STATE_FLAG (2), or both",
        });
    }
    let (source, group) = (of.source(), of.group());
    if group.is_unspecified() && !source.is_unspecified() {
        return Err(Error::SourceWithoutGroup(source));
    }
    if !group.is_unspecified() && !group.is_multicast() {
        return Err(Error::BadAddress {
            name: "dwGroupAddr",
            address: group,
            allowed: "224.0.0.0 to 239.255.255.255, or 0.0.0.0 for every group",
        });
    }
    if source.is_multicast() || source.is_broadcast() || source.is_loopback() {
        return Err(Error::BadAddress {
            name: "dwSourceAddr",
            address: source,
            allowed: "a unicast address, or 0.0.0.0 for every source",
        });
    }
    Ok(())
}
