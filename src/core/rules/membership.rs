//! Group memberships: joining and leaving (rules D1 to D6, D8).

use crate::core::containers::slab::NONE;
use crate::core::state::client::ClientInfo;
use crate::core::state::members::{Counted, Entry, Holder, Role};
use crate::core::state::outbox::{Action, LifetimeAsk};
use crate::core::state::route_changes::Looked;
use crate::core::state::{Core, Note};
use crate::error::Error;
use crate::types::{ClientId, IfKey, MembershipFlags, Millis, SourceGroup};

/// What became of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adding {
    /// It is done.
    Done,
    /// Nothing was done: the source is new, and its route was not looked up.
    RouteNeeded,
}

impl Core {
    /// Whether [`Self::add_membership`] needs the route toward the source.
    pub fn needs_route(
        &self,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
    ) -> bool {
        flags.join && self.is_new_source(of) && self.check_add(client, of, key, flags).is_ok()
    }

    fn is_new_source(&self, of: SourceGroup) -> bool {
        of.has_source() && !self.sources.knows(of.source())
    }

    /// The client's slot, the number of the interface, and the client's role on it, if it may add
    /// this.
    fn check_add(
        &self,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
    ) -> Result<(u32, u32, Role), Error> {
        let slot = self.slot_of(client)?;
        check(of, flags)?;
        let interface = self.interfaces.find_used(key).ok_or(Error::NotOnInterface(key))?;
        let role = self.role_on(interface, slot).ok_or(Error::NotOnInterface(key))?;
        if role == Role::Igmp && self.interfaces[interface].igmp_disabled {
            return Err(Error::IgmpDisabled(key));
        }
        Ok((slot, interface, role))
    }

    /// MgmAddGroupMembershipEntry. What was looked up, with no packet, counts only for a new source.
    pub fn add_membership(
        &mut self,
        now: Millis,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
        looked: Option<Looked>,
    ) -> Result<Adding, Error> {
        let (slot, interface, role) = self.check_add(client, of, key, flags)?;
        let new_source = flags.join && self.is_new_source(of);
        if new_source && looked.is_none() {
            return Ok(Adding::RouteNeeded);
        }
        let looked = looked.filter(|_| new_source);
        let entry = self.groups.find(of);
        let covered = self.covered(of)?;
        let result = self.reserve_add(of, entry, interface, &covered, slot, role);
        let result = result.and_then(|()| self.reserve_marks(interface, &covered, flags));
        if result.is_ok() {
            if flags.join && !entry.is_some_and(|id| self.groups[id].holds(interface, role)) {
                self.join(now, slot, role, of, entry, interface, looked, &covered);
            }
            if flags.forward {
                self.set_forced(now, slot, interface, &covered, true);
                if self.interfaces[interface].owner() == Some(slot) {
                    self.lift_vetoes_in_flows(of, key, slot);
                }
            }
        }
        self.give_back(covered);
        result.map(|()| Adding::Done)
    }

    /// MgmDeleteGroupMembershipEntry.
    pub fn delete_membership(
        &mut self,
        now: Millis,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
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
        let result = self.reserve_delete(entry, interface, &covered, slot, role);
        let result = result.and_then(|()| self.reserve_marks(interface, &covered, flags));
        let result =
            result.and_then(|()| if prunes { self.reserve_prune_in_flows(of) } else { Ok(()) });
        if result.is_ok() {
            if flags.join
                && let Some(id) = entry
            {
                self.leave(slot, role, id, interface, true);
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

    fn reserve_add(
        &mut self,
        of: SourceGroup,
        entry: Option<u32>,
        interface: u32,
        covered: &[u32],
        slot: u32,
        role: Role,
    ) -> Result<(), Error> {
        let alerts = 1 + self.audience(of, entry, slot).size(self.client_count());
        match entry {
            Some(id) => {
                self.groups[id].holders.try_reserve(1)?;
                self.groups[id].counted.try_reserve(1)?;
            }
            None => {
                self.groups.reserve_one()?;
                if of.has_source() {
                    self.sources.reserve_one()?;
                    self.relook.try_reserve(1)?;
                }
            }
        }
        self.interfaces[interface].memberships.of_mut(role).reserve_one()?;
        self.reserve_refresh(covered, interface, alerts)
    }

    fn reserve_delete(
        &mut self,
        entry: Option<u32>,
        interface: u32,
        covered: &[u32],
        slot: u32,
        role: Role,
    ) -> Result<(), Error> {
        let alerts = entry.map_or(0, |id| self.alerts_of_leave(id, interface, (slot, role), None));
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
    /// lost its own on the interface.
    pub(in crate::core) fn alerts_of_leave(
        &self,
        id: u32,
        interface: u32,
        (slot, role): (u32, Role),
        gone: Option<u32>,
    ) -> usize {
        if !self.counts_for_d7(interface, role) {
            return 1;
        }
        if self.groups[id].of().has_source() {
            return 2;
        }
        let stays = |entry: &Entry, counted: Counted| {
            counted.client != slot
                && !(Some(counted.client) == gone && entry.only_owns(interface, counted))
        };
        1 + self.audience_among(Some(id), stays).size(self.client_count())
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
        looked: Option<Looked>,
        covered: &[u32],
    ) {
        let id = entry.unwrap_or_else(|| self.insert_entry(of, looked));
        let entry = &mut self.groups[id];
        let at = entry.place_of(interface).unwrap_or_else(|at| {
            entry.holders.insert(at, Holder::new(interface));
            at
        });
        entry.holders[at].set(role, true);
        self.interfaces[interface].memberships.of_mut(role).insert(of, ());
        self.memberships += 1;

        if self.counts_for_d7(interface, role) {
            let entry = &mut self.groups[id];
            match entry.counts(slot) {
                Ok(at) => entry.counted[at].interfaces += 1,
                Err(at) => {
                    entry.counted.insert(at, Counted { client: slot, interfaces: 1 });
                    let audience = self.audience(of, Some(id), slot);
                    self.tell(audience, slot, Action::Join { of, member: true });
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
        if self.interfaces[interface].memberships.of_mut(role).remove(of).is_some() {
            self.memberships -= 1;
        }
        let mut last = false;
        if counts && let Ok(at) = entry.counts(slot) {
            entry.counted[at].interfaces -= 1;
            last = entry.counted[at].interfaces == 0;
            if last {
                entry.counted.remove(at);
            }
        }
        if last {
            let (interface, asks) = (self.interfaces[interface].key, LifetimeAsk::NONE);
            let audience = self.audience(of, Some(id), slot);
            self.tell(audience, slot, Action::Prune { of, interface, member: true, asks });
        }
        if self.groups[id].holders.is_empty() {
            self.remove_entry(id);
        }
        if tell_local {
            self.tell_local(interface, role, |interface| Action::LocalLeave { of, interface });
        }
    }

    /// Adds an entry that nobody holds yet. Room must have been reserved.
    fn insert_entry(&mut self, of: SourceGroup, looked: Option<Looked>) -> u32 {
        let id = self.groups.insert(Entry::new(of));
        if of.is_all() {
            self.everything = Some(id);
        }
        if of.has_source() {
            let route = looked.and_then(|looked| looked.route);
            self.sources.insert(of, id, route.map(|route| route.interface));
            if let Some(looked) = looked {
                self.look_if_outdated(of.source(), looked);
            }
        }
        id
    }

    fn remove_entry(&mut self, id: u32) {
        let of = self.groups[id].of();
        self.groups.remove(id);
        if of.is_all() {
            self.everything = None;
        }
        if of.has_source() {
            self.sources.remove(of);
        }
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

    /// Tells the owner of an interface of IGMP's memberships there, as if they were new. A process that took the place of
    /// another one (rule P3) knows none of them, and IGMP does not add them again.
    pub fn retell_members(&mut self, client: ClientId, key: IfKey) -> Result<(), Error> {
        let slot = self.slot_of(client)?;
        let id = self.interfaces.find_used(key).ok_or(Error::NotOnInterface(key))?;
        if self.interfaces[id].protocol != Some(slot) {
            return Ok(());
        }
        let list = self.memberships_of(id, Role::Igmp)?;
        self.outbox.reserve(list.len())?;
        for of in list {
            self.tell_local(id, Role::Igmp, |interface| Action::LocalJoin { of, interface });
        }
        Ok(())
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
