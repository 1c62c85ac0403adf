//! Who is on which interface (rules C1 to C4).

use crate::core::state::Core;
use crate::core::state::interfaces::{Change, ChangeKind};
use crate::core::state::members::Role;
use crate::core::state::mfe::Mfe;
use crate::core::state::outbox::Action;
use crate::core::state::plane::Stale;

use crate::core::containers::slab::NONE;
use crate::core::state::Relook;
use crate::error::Error;
use crate::types::{ClientId, IfKey, Millis, SourceGroup};

/// Whether a take or release is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It is done.
    Done,
    /// IGMP is told first; the change has this number.
    Waits(u32),
}

impl Core {
    /// Whether the client may take the interface (rule C1). True: the plane does not have it yet,
    /// and must be asked first (rule C5).
    pub fn may_take(&self, client: ClientId, key: IfKey) -> Result<bool, Error> {
        let slot = self.slot_of(client)?;
        let Some(interface) = self.interfaces.find(key).map(|id| &self.interfaces[id]) else {
            return Ok(true);
        };
        let taken = if self.is_igmp(slot) {
            interface.igmp.is_some()
        } else {
            interface.protocol.is_some()
                || matches!(interface.change, Some((_, ChangeKind::Take(_))))
        };
        if taken { Err(Error::AlreadyOwned(key)) } else { Ok(!interface.is_kept()) }
    }

    /// MgmTakeInterfaceOwnership, once the plane has the interface.
    pub fn take(&mut self, now: Millis, client: ClientId, key: IfKey) -> Result<Taking, Error> {
        self.may_take(client, key)?;
        let slot = self.slot_of(client)?;
        self.relook.try_reserve(1)?;
        self.interfaces_of.reserve_one()?;
        let id = self.interfaces.intern(key)?;
        let result = self.take_known(now, slot, id);
        self.interfaces.forget_unused(id);
        result
    }

    fn take_known(&mut self, now: Millis, slot: u32, id: u32) -> Result<Taking, Error> {
        if self.is_igmp(slot) {
            if !self.interfaces[id].up {
                self.set_up(now, id, true, Some(slot))?;
            }
            let alone = !self.interfaces[id].in_use();
            self.interfaces[id].igmp = Some(slot);
            // Another IGMP client may have been told of a change and left. Then this one gets
            // ENABLE_IGMP.
            self.interfaces[id].igmp_disabled = self.interfaces[id].change.is_some();
            self.enter_interface(slot, self.interfaces[id].key);
            if alone {
                self.owner_came(id);
            }
            return Ok(Taking::Done);
        }
        match self.interfaces[id].igmp {
            Some(igmp) => self.begin_change(id, igmp, ChangeKind::Take(slot)),
            None => {
                self.commit(now, id, ChangeKind::Take(slot))?;
                Ok(Taking::Done)
            }
        }
    }

    /// MgmReleaseInterfaceOwnership (rule C4).
    pub fn release(&mut self, now: Millis, client: ClientId, key: IfKey) -> Result<Taking, Error> {
        let slot = self.slot_of(client)?;
        let id = self.interfaces.find_used(key).ok_or(Error::NotOnInterface(key))?;
        let role = self.role_on(id, slot).ok_or(Error::NotOnInterface(key))?;
        let interface = &self.interfaces[id];
        match (role, interface.igmp, interface.change) {
            (Role::Igmp, _, _) => {
                self.release_igmp(now, id, slot)?;
                Ok(Taking::Done)
            }
            // The release of the owner is under way already.
            (Role::Protocol, _, Some(_)) => Err(Error::NotOnInterface(key)),
            (Role::Protocol, Some(igmp), None) => {
                self.begin_change(id, igmp, ChangeKind::Release(slot))
            }
            (Role::Protocol, None, None) => {
                self.commit(now, id, ChangeKind::Release(slot))?;
                self.left(id);
                Ok(Taking::Done)
            }
        }
    }

    /// Tells IGMP that the owner is about to change (rule C3).
    fn begin_change(&mut self, id: u32, igmp: u32, kind: ChangeKind) -> Result<Taking, Error> {
        self.changes.reserve(1)?;
        self.outbox.reserve(1)?;
        // Room for ENABLE_IGMP, which must follow whatever happens.
        self.outbox.hold()?;
        let change = self.changes.insert(Change {
            interface: id,
            kind,
            outcome: None,
            enabled: None,
            answered: false,
            seen: false,
        });
        self.interfaces[id].change = Some((change, kind));
        if let ChangeKind::Take(slot) = kind {
            self.enter_interface(slot, self.interfaces[id].key);
        }
        let interface = self.interfaces[id].key;
        self.outbox.push(igmp, Action::DisableIgmp { interface, change });
        Ok(Taking::Waits(change))
    }

    /// IGMP's DISABLE callback starts: from now on its adds and deletes are refused. An IGMP client
    /// that has left meanwhile and come again after the change is not disabled, since no ENABLE
    /// would follow.
    pub fn igmp_disabling(&mut self, client: u32, key: IfKey, change: u32) {
        let Some(known) = self.changes.get(change) else { return };
        if known.outcome.is_none() || known.enabled == Some(client) {
            self.set_igmp_disabled(client, key, true);
        }
    }

    /// IGMP's ENABLE callback starts: it may add its memberships again.
    pub fn igmp_enabling(&mut self, client: u32, key: IfKey) {
        self.set_igmp_disabled(client, key, false);
    }

    /// Does nothing where another IGMP client is on the interface by now.
    fn set_igmp_disabled(&mut self, client: u32, key: IfKey, disabled: bool) {
        if let Some(id) = self.interfaces.find(key)
            && self.interfaces[id].igmp == Some(client)
        {
            self.interfaces[id].igmp_disabled = disabled;
        }
    }

    /// IGMP's DISABLE callback has returned, or IGMP is gone: the ownership changes.
    pub fn disable_answered(&mut self, now: Millis, change: u32) {
        self.complete(now, change);
        if let Some(known) = self.changes.get_mut(change) {
            known.answered = true;
            if known.seen {
                self.changes.remove(change);
            }
        }
    }

    /// The outcome of a change, for the call that began it. A change that IGMP has not been told
    /// of yet, because IGMP is in a callback up the stack, is made now (decision 3).
    pub fn change_outcome(&mut self, now: Millis, change: u32) -> Result<(), Error> {
        self.complete(now, change);
        let Some(known) = self.changes.get_mut(change) else { return Ok(()) };
        let outcome = known.outcome.clone().unwrap_or(Ok(()));
        known.seen = true;
        if known.answered {
            self.changes.remove(change);
        }
        outcome
    }

    /// Makes a change that was not made yet, and enables IGMP again, whether the change succeeded
    /// or not.
    fn complete(&mut self, now: Millis, change: u32) {
        let Some(known) = self.changes.get(change).filter(|known| known.outcome.is_none()) else {
            return;
        };
        let (id, kind) = (known.interface, known.kind);
        let outcome = self.commit(now, id, kind);
        if let ChangeKind::Take(slot) = kind
            && outcome.is_err()
        {
            self.leave_interface(slot, self.interfaces[id].key);
        }
        self.outbox.release();
        self.interfaces[id].change = None;
        let enabled = self.interfaces[id].igmp;
        if let Some(igmp) = enabled {
            self.outbox.push(igmp, Action::EnableIgmp { interface: self.interfaces[id].key });
        }
        // A change that succeeded reserved the room.
        if outcome.is_ok() || self.plane.reserve(1).is_ok() {
            self.left(id);
        } else {
            self.interfaces.forget_unused(id);
        }
        if let Some(known) = self.changes.get_mut(change) {
            known.enabled = enabled;
            known.outcome = Some(outcome);
        }
    }

    /// Changes the routing protocol that owns an interface, with all consequences.
    fn commit(&mut self, now: Millis, id: u32, kind: ChangeKind) -> Result<(), Error> {
        let igmp = self.interfaces[id].igmp;
        self.relook.try_reserve(1)?;
        match kind {
            ChangeKind::Take(slot) => {
                let leaving = self.prepare_leave(id, &[(Role::Igmp, igmp)])?;
                if let Some(igmp) = igmp {
                    // They counted for D7, because IGMP was the owner (rule D9, decision 4).
                    self.leave_all(id, igmp, Role::Igmp, &leaving[0], false);
                }
                self.delete_entries_of(id, false);
                self.delete_refused_at(self.interfaces[id].key);
                self.refresh_left(now, id, slot, &leaving[0]);
                self.clear_marks(now, id, Some(slot));
                self.interfaces[id].protocol = Some(slot);
                // This changes no entry's list: memberships and marks on the interface ended above.
                self.interfaces[id].up = true;
                self.enter_interface(slot, self.interfaces[id].key);
                self.owner_came(id);
            }
            ChangeKind::Release(slot) => {
                let roles = [(Role::Protocol, Some(slot)), (Role::Igmp, igmp)];
                let leaving = self.prepare_leave(id, &roles)?;
                self.leave_all(id, slot, Role::Protocol, &leaving[0], false);
                if let Some(igmp) = igmp {
                    self.leave_all(id, igmp, Role::Igmp, &leaving[1], false);
                }
                self.delete_entries_of(id, true);
                self.delete_refused_at(self.interfaces[id].key);
                self.refresh_left(now, id, slot, &leaving[0]);
                self.refresh_left(now, id, slot, &leaving[1]);
                self.clear_marks(now, id, Some(slot));
                self.interfaces[id].protocol = None;
                self.leave_interface(slot, self.interfaces[id].key);
                if igmp.is_some() {
                    self.owner_came(id);
                }
            }
        }
        Ok(())
    }

    fn release_igmp(&mut self, now: Millis, id: u32, slot: u32) -> Result<(), Error> {
        let leaving = self.prepare_leave(id, &[(Role::Igmp, Some(slot))])?;
        self.leave_all(id, slot, Role::Igmp, &leaving[0], true);
        let alone = self.interfaces[id].protocol.is_none();
        if alone {
            self.delete_entries_of(id, true);
            self.delete_refused_at(self.interfaces[id].key);
        }
        self.refresh_left(now, id, slot, &leaving[0]);
        if alone {
            self.clear_marks(now, id, Some(slot));
        }
        self.interfaces[id].igmp = None;
        self.interfaces[id].igmp_disabled = false;
        self.leave_interface(slot, self.interfaces[id].key);
        self.left(id);
        Ok(())
    }

    /// Collects the memberships that end, role after role, and makes room for all consequences.
    fn prepare_leave(
        &mut self,
        id: u32,
        roles: &[(Role, Option<u32>)],
    ) -> Result<[Vec<SourceGroup>; 2], Error> {
        let mut leaving = [Vec::new(), Vec::new()];
        let (mut alerts, mut entries, mut gone) = (0, 0, None);
        for (list, (role, slot)) in leaving.iter_mut().zip(roles) {
            let Some(slot) = slot else { continue };
            *list = self.memberships_of(id, *role)?;
            for of in list.iter() {
                if let Some(entry) = self.groups.find(*of) {
                    alerts += self.alerts_of_leave(entry, id, (*slot, *role), gone);
                }
                entries += self.mfes.covered(*of).count();
            }
            gone = Some(*slot);
        }
        let marked = self.interfaces[id].marked.len();
        let key = self.interfaces[id].key;
        let at_it = self.waiting_at.from((key, 0)).take_while(|((at, _), ())| *at == key).count();
        let of_iif = self.interfaces[id].iif_users as usize + at_it;
        self.outbox.reserve(alerts + entries + marked)?;
        self.plane.reserve(2 * (entries + marked) + of_iif + 1)?;
        // Room in the list that `covered` uses, for one membership at a time.
        self.scratch.try_reserve(entries)?;
        Ok(leaving)
    }

    /// Ends memberships, with D7's and D9's alerts.
    fn leave_all(
        &mut self,
        id: u32,
        slot: u32,
        role: Role,
        leaving: &[SourceGroup],
        tell_local: bool,
    ) {
        for of in leaving {
            if let Some(entry) = self.groups.find(*of) {
                self.leave(slot, role, entry, id, tell_local);
            }
        }
    }

    /// Brings the entries that memberships covered up to date, with E4's alerts: the FALSE alerts
    /// of a call come after all its TRUE ones.
    fn refresh_left(&mut self, now: Millis, id: u32, cause: u32, left: &[SourceGroup]) {
        for of in left {
            // Room for the list was reserved.
            if let Ok(covered) = self.covered(*of) {
                self.refresh_all(now, &covered, id, Some(cause));
                self.give_back(covered);
            }
        }
    }

    /// Deletes the entries whose iif it is, because the interface's owner goes, and those that it
    /// refused; with `released` also those that have no owner toward their source (decision 37).
    /// Room must have been reserved.
    pub(in crate::core) fn delete_entries_of(&mut self, id: u32, released: bool) {
        // Together with its last entry, an interface that nobody is on is forgotten.
        let key = self.interfaces[id].key;
        let resolved = |core: &Self| core.interfaces.get(id)?.incoming.next_from(0);
        while let Some((entry, ())) = resolved(self) {
            self.delete_mfe(entry);
        }
        let mut from = 0;
        while let Some(((iif, entry), ())) = self.waiting.next_from((key, from))
            && iif == key
        {
            if released || self.mfes[entry].is(Mfe::REFUSED) {
                self.delete_mfe(entry);
            }
            from = entry + 1;
        }
    }

    /// Deletes the flows that the interface's owner, who goes, refused because they came in on it
    /// (rule E5). Room must have been reserved.
    fn delete_refused_at(&mut self, key: IfKey) {
        let mut from = 0;
        while let Some(((arrival, entry), ())) = self.waiting_at.next_from((key, from))
            && arrival == key
        {
            let mfe = &self.mfes[entry];
            if mfe.is(Mfe::REFUSED) && mfe.is(Mfe::ROUTELESS) {
                self.delete_mfe(entry);
            }
            from = entry + 1;
        }
    }

    /// Has the entries without an owner looked at again (rule E5). Room must have been reserved.
    fn owner_came(&mut self, id: u32) {
        self.look_later(Relook::Interface { index: self.interfaces[id].key.index });
    }

    /// Has the plane give the interface up if nobody is on it any more.
    fn left(&mut self, id: u32) {
        if !self.interfaces[id].is_kept() {
            self.interfaces[id].up = true;
            self.plane.push(Stale::Interface(self.interfaces[id].key));
            self.interfaces.forget_unused(id);
        }
    }

    /// Whether the plane must keep an interface.
    pub fn uses(&self, key: IfKey) -> bool {
        self.interfaces.find(key).is_some_and(|id| self.interfaces[id].is_kept())
    }

    /// MgmGetProtocolOnInterface: protocol and component of the owner (rule C2).
    pub fn protocol_on(&self, key: IfKey) -> Result<(u32, u32), Error> {
        let id = self.interfaces.find_used(key).ok_or(Error::UnknownInterface(key))?;
        let owner = self.interfaces[id].owner().unwrap_or(NONE);
        let info = self.client_info(owner).ok_or(Error::UnknownInterface(key))?;
        Ok((info.protocol, info.component))
    }

    /// The client that owns an interface, if there is one.
    pub(in crate::core) fn owner_of(&self, id: u32) -> Option<ClientId> {
        self.interfaces.get(id)?.owner().and_then(|slot| self.client_in(slot))
    }

    fn is_igmp(&self, slot: u32) -> bool {
        self.client_info(slot).is_some_and(|info| info.is_igmp())
    }
}
