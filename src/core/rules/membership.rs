//! Group memberships: joining and leaving (rules D1 to D6, D8).

use crate::core::containers::slab::NONE;
use crate::core::state::client::ClientInfo;
use crate::core::state::members::{CountedClient, MemberSet, Role};
use crate::core::state::outbox::{Action, LifetimeAsk};
use crate::core::state::route_changes::Looked;
use crate::core::state::unfinished::{Stage, Update, What};
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

/// A client on an interface that it may change memberships of.
struct Place {
    slot: u32,
    interface: u32,
    role: Role,
    /// The client owns the interface.
    owns: bool,
}

/// The entries that a change covers, as far as they are brought up to date at once.
struct CoveredEntries {
    entries: Vec<u32>,
    /// There are more, or more pending flows: all are left to portions.
    is_large: bool,
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
        flags.join
            && self.is_new_source(of)
            && self.check(client, of, key, flags, Error::NotOnInterface).is_ok()
    }

    fn is_new_source(&self, of: SourceGroup) -> bool {
        of.has_source() && !self.sources.knows(of.source())
    }

    /// The client's place on the interface, if it may add or delete this there. `unknown` is the error
    /// where nobody is on the interface.
    fn check(
        &self,
        client: ClientId,
        of: SourceGroup,
        key: IfKey,
        flags: MembershipFlags,
        unknown: fn(IfKey) -> Error,
    ) -> Result<Place, Error> {
        let slot = self.slot_of(client)?;
        check(of, flags)?;
        let number = self.interfaces.find(key).ok_or_else(|| unknown(key))?;
        let interface = &self.interfaces[number];
        if !interface.in_use() {
            return Err(unknown(key));
        }
        let role = interface.role_of(slot).ok_or(Error::NotOnInterface(key))?;
        if role == Role::Igmp && interface.igmp_disabled {
            return Err(Error::IgmpDisabled(key));
        }
        Ok(Place { slot, interface: number, role, owns: interface.owner() == Some(slot) })
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
        let Place { slot, interface, role, owns } =
            self.check(client, of, key, flags, Error::NotOnInterface)?;
        self.catch_up_members(of)?;
        let new_source = flags.join && self.is_new_source(of);
        if new_source && looked.is_none() {
            return Ok(Adding::RouteNeeded);
        }
        let looked = looked.filter(|_| new_source);
        let entry = self.groups.find(of);
        let joins = flags.join && !entry.is_some_and(|id| self.groups[id].holds(interface, role));
        let update =
            Update { of, lifts: joins && owns, forces: (flags.forward && owns).then_some(true) };
        let part = self.prepare(interface, &update)?;
        let result = self.reserve_add(of, entry, interface, &part.entries, role);
        if result.is_ok() {
            if joins {
                self.join(slot, role, of, entry, interface, looked);
            }
            if flags.forward && !owns {
                self.note(Note::ForwardByIgmp(key));
            }
            self.update_part(now, slot, interface, &update, &part);
        }
        self.give_back(part.entries);
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
        let Place { slot, interface, role, owns } =
            self.check(client, of, key, flags, Error::UnknownInterface)?;
        self.catch_up_members(of)?;
        let entry = self.groups.find(of);
        let entry = entry.filter(|id| self.groups[*id].holds(interface, role));
        let update = Update { of, lifts: false, forces: (flags.forward && owns).then_some(false) };
        let part = self.prepare(interface, &update)?;
        let result = self.reserve_delete(entry, interface, &part.entries);
        if result.is_ok() {
            if flags.join
                && let Some(id) = entry
            {
                self.interfaces[interface].held_mut(role).remove(id, of);
                self.leave(slot, role, id, interface, true);
            }
            if flags.forward && !owns {
                self.note(Note::ForwardByIgmp(key));
            }
            self.update_part(now, slot, interface, &update, &part);
        }
        self.give_back(part.entries);
        result
    }

    /// Finds what a change covers, with what unfinished changes still have to do there, and makes
    /// room for it. Return the list with [`Self::give_back`].
    #[inline]
    fn prepare(&mut self, interface: u32, update: &Update) -> Result<CoveredEntries, Error> {
        self.finish_first(interface, |what| !matches!(what, What::Update(_)))?;
        // Most often there is nothing to carry out first, and no entry is covered.
        let nothing = self.unfinished.is_empty() && self.flows.len() == 0;
        let is_plain = nothing && update.forces.is_none();
        let (entries, rest) = self.covered(update.of, update.of, self.portion)?;
        let mut part = CoveredEntries { entries, is_large: rest.is_some() };
        if is_plain && !part.is_large {
            return Ok(part);
        }
        let result = self.prepare_part(interface, update, &mut part);
        if result.is_err() {
            self.give_back(std::mem::take(&mut part.entries));
        }
        result.map(|()| part)
    }

    fn prepare_part(
        &mut self,
        interface: u32,
        update: &Update,
        part: &mut CoveredEntries,
    ) -> Result<(), Error> {
        if update.changes_marks() && !part.is_large && self.flows.len() > 0 {
            let rest = self.prepare_pending(update)?;
            part.is_large = rest.is_some();
        }
        if part.is_large {
            self.finish_first(interface, |_| true)?;
            part.entries.clear();
            return self.unfinished.reserve_one();
        }
        part.entries.iter().try_for_each(|id| self.catch_up(*id))?;
        part.entries.retain(|id| self.mfes.by_number(*id).is_some());
        self.reserve_marks(interface, part.entries.len(), update)
    }

    /// Brings entries up to date, or begins to.
    #[inline]
    fn update_part(
        &mut self,
        now: Millis,
        slot: u32,
        interface: u32,
        update: &Update,
        part: &CoveredEntries,
    ) {
        if part.is_large {
            return self.begin_update(now, slot, interface, update);
        }
        for id in &part.entries {
            // An entry before it in the list may have pushed it out.
            if self.mfes.by_number(*id).is_some() {
                self.update(now, *id, interface, Some(slot), update);
            }
        }
        if update.changes_marks() && self.flows.len() > 0 {
            self.update_all_pending(interface, slot, update);
        }
    }

    /// Begins to bring many entries up to date.
    #[cold]
    fn begin_update(&mut self, now: Millis, slot: u32, interface: u32, update: &Update) {
        let (what, stage) = (What::Update(*update), Stage::Entries(update.of));
        let id = self.begin_unfinished(now, interface, Some(slot), what, stage);
        // If memory runs out, the rest is done later.
        let _ = self.portion(id);
    }

    fn reserve_add(
        &mut self,
        of: SourceGroup,
        entry: Option<u32>,
        interface: u32,
        covered: &[u32],
        role: Role,
    ) -> Result<(), Error> {
        let alerts = self.most_alerts();
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
        self.interfaces[interface].held_mut(role).reserve_one()?;
        self.reserve_refresh(covered, interface, alerts)
    }

    fn reserve_delete(
        &mut self,
        entry: Option<u32>,
        interface: u32,
        covered: &[u32],
    ) -> Result<(), Error> {
        let alerts = if entry.is_some() { self.most_alerts() } else { 0 };
        self.reserve_refresh(covered, interface, alerts)
    }

    /// How many alerts one membership that begins or ends can cause at most: one to each client, and one
    /// to the interface's owner.
    const fn most_alerts(&self) -> usize {
        1 + self.client_count()
    }

    /// Makes room for so many more marks of the interface's owner.
    pub(in crate::core) fn reserve_marks(
        &mut self,
        interface: u32,
        entries: usize,
        update: &Update,
    ) -> Result<(), Error> {
        match update.forces {
            Some(_) => self.interfaces[interface].marked.reserve(entries),
            None => Ok(()),
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
        let stays = |entry: &MemberSet, counted: CountedClient| {
            counted.client != slot
                && !(Some(counted.client) == gone && entry.only_owns(interface, counted))
        };
        1 + self.audience_among(Some(id), stays).size(self.client_count())
    }

    /// Adds a membership that is not there, with its alerts.
    fn join(
        &mut self,
        slot: u32,
        role: Role,
        of: SourceGroup,
        entry: Option<u32>,
        interface: u32,
        looked: Option<Looked>,
    ) {
        let id = entry.unwrap_or_else(|| self.insert_entry(of, looked));
        let counts = self.counts_for_d7(interface, role);
        self.interfaces[interface].held_mut(role).insert(id);
        self.memberships += 1;
        self.member_happened(slot, role, of, interface, true);
        let entry = &mut self.groups[id];
        entry.add(interface, role);
        if counts && entry.count(slot) {
            let audience = self.audience(of, Some(id), slot);
            self.tell(audience, slot, Action::Join { of, member: true });
        }
        self.tell_local(interface, role, |interface| Action::LocalJoin { of, interface });
    }

    /// Removes a membership, with its alerts; the interface's list of them is the caller's. The caller
    /// brings the entries that it covers up to date later, because the TRUE alerts of a call come
    /// before its FALSE ones (rule E4).
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
        if !entry.remove(interface, role) {
            return;
        }
        self.memberships -= 1;
        let last = counts && entry.count_off(slot);
        let nobody = entry.holders.is_empty();
        self.member_happened(slot, role, of, interface, false);
        if last {
            let (interface, asks) = (self.interfaces[interface].key, LifetimeAsk::NONE);
            let audience = self.audience(of, Some(id), slot);
            self.tell(audience, slot, Action::Prune { of, interface, member: true, asks });
        }
        if nobody {
            self.remove_entry(id, of);
        }
        if tell_local {
            self.tell_local(interface, role, |interface| Action::LocalLeave { of, interface });
        }
    }

    /// Adds an entry that nobody holds yet. Room must have been reserved.
    fn insert_entry(&mut self, of: SourceGroup, looked: Option<Looked>) -> u32 {
        let id = self.groups.insert(MemberSet::new(of));
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

    fn remove_entry(&mut self, id: u32, of: SourceGroup) {
        self.groups.remove(id);
        if of.is_all() {
            self.everything = None;
        }
        if of.has_source() {
            self.sources.remove(of);
        }
    }

    /// Whether a membership covers the flow on the interface (rule D6).
    pub(in crate::core) fn is_member(&self, flow: SourceGroup, interface: u32) -> bool {
        let ending = self.interfaces[interface].ending;
        self.entries_over(flow).any(|id| {
            let entry = &self.groups[id];
            entry.place_of(interface).is_ok_and(|at| entry.holders[at].stays(ending))
        })
    }

    /// The entries of `groups` that cover a flow.
    pub(in crate::core) fn entries_over(
        &self,
        flow: SourceGroup,
    ) -> impl Iterator<Item = u32> + '_ {
        // (*,G) first, because most flows have their members there.
        let of_group = self.groups.find(flow.any_source());
        let of_source = || if self.sources.are_some() { self.groups.find(flow) } else { None };
        of_group.into_iter().chain(of_source()).chain(self.everything)
    }

    /// Tells the owner of an interface of IGMP's memberships there, as if they were new. A process that took the place of
    /// another one (rule P3) knows none of them, and IGMP does not add them again.
    pub fn retell_members(&mut self, client: ClientId, key: IfKey) -> Result<(), Error> {
        let slot = self.slot_of(client)?;
        let id = self.interfaces.find_used(key).ok_or(Error::NotOnInterface(key))?;
        if self.interfaces[id].protocol != Some(slot) {
            return Ok(());
        }
        self.finish_first(id, |what| matches!(what, What::Leave(_)))?;
        let list = self.memberships_of(id, Role::Igmp)?;
        self.outbox.reserve(list.len())?;
        for of in list {
            self.tell_local(id, Role::Igmp, |interface| Action::LocalJoin { of, interface });
        }
        Ok(())
    }

    /// The memberships of a role on an interface, in order.
    fn memberships_of(&self, interface: u32, role: Role) -> Result<Vec<SourceGroup>, Error> {
        let mut list = Vec::new();
        list.try_reserve(self.interfaces[interface].held(role).len())?;
        list.extend(self.held_keys(interface, role));
        list.sort_unstable();
        Ok(list)
    }

    /// The keys of a role's memberships on an interface, in no order.
    pub(in crate::core) fn held_keys(
        &self,
        interface: u32,
        role: Role,
    ) -> impl Iterator<Item = SourceGroup> + '_ {
        let held = self.interfaces[interface].held(role);
        let ordered = held.ordered().from(SourceGroup::ALL).map(|(of, ())| of);
        held.loose().map(|id| self.groups[id].of()).chain(ordered)
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
