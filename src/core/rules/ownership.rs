//! Who is on which interface (rules C1 to C4).

use crate::core::state::Core;
use crate::core::state::interfaces::{Change, ChangeKind};
use crate::core::state::members::{Holder, Role};
use crate::core::state::outbox::Action;
use crate::core::state::plane::Stale;
use crate::core::state::unfinished::{Leave, Stage, What};

use crate::core::containers::slab::NONE;
use crate::core::state::Relook;
use crate::error::Error;
use crate::types::{ClientId, IfKey, Millis};

/// Whether a take or release is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerChange {
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
        let by = match interface.change {
            _ if self.is_igmp(slot) => interface.igmp,
            Some((_, ChangeKind::Take(taker))) => Some(taker),
            _ => interface.protocol,
        };
        match by.and_then(|by| self.client_info(by)) {
            Some(by) => Err(Error::AlreadyOwned(key, by.name())),
            None => Ok(!interface.is_kept()),
        }
    }

    /// MgmTakeInterfaceOwnership, once the plane has the interface.
    pub fn take(
        &mut self,
        now: Millis,
        client: ClientId,
        key: IfKey,
    ) -> Result<OwnerChange, Error> {
        self.may_take(client, key)?;
        let slot = self.slot_of(client)?;
        self.relook.try_reserve(1)?;
        self.interfaces_of.reserve_one()?;
        let id = self.interfaces.intern(key)?;
        let result = self.take_known(now, slot, id);
        self.interfaces.forget_unused(id);
        result
    }

    fn take_known(&mut self, now: Millis, slot: u32, id: u32) -> Result<OwnerChange, Error> {
        self.finish_first(id, |what| !matches!(what, What::Update(_)))?;
        if self.is_igmp(slot) {
            if !self.interfaces[id].up {
                self.set_up(now, id, true, Some(slot))?;
            }
            let alone = !self.interfaces[id].in_use();
            self.interfaces[id].igmp = Some(slot);
            self.owner_happened(slot, id, true);
            // Another IGMP client may have been told of a change and left. Then this one gets
            // ENABLE_IGMP.
            self.interfaces[id].igmp_disabled = self.interfaces[id].change.is_some();
            self.enter_interface(slot, self.interfaces[id].key);
            if alone {
                self.owner_came(id);
            }
            return Ok(OwnerChange::Done);
        }
        match self.interfaces[id].igmp {
            Some(igmp) => self.begin_change(id, igmp, ChangeKind::Take(slot)),
            None => {
                self.commit(now, id, ChangeKind::Take(slot), None)?;
                Ok(OwnerChange::Done)
            }
        }
    }

    /// MgmReleaseInterfaceOwnership (rule C4).
    pub fn release(
        &mut self,
        now: Millis,
        client: ClientId,
        key: IfKey,
    ) -> Result<OwnerChange, Error> {
        let slot = self.slot_of(client)?;
        let id = self.interfaces.find_used(key).ok_or(Error::NotOnInterface(key))?;
        let role = self.interfaces[id].role_of(slot).ok_or(Error::NotOnInterface(key))?;
        self.finish_first(id, |_| true)?;
        let interface = &self.interfaces[id];
        match (role, interface.igmp, interface.change) {
            (Role::Igmp, _, _) => {
                self.release_igmp(now, id, slot)?;
                Ok(OwnerChange::Done)
            }
            // The release of the owner is under way already.
            (Role::Protocol, _, Some(_)) => Err(Error::NotOnInterface(key)),
            (Role::Protocol, Some(igmp), None) => {
                self.begin_change(id, igmp, ChangeKind::Release(slot))
            }
            (Role::Protocol, None, None) => {
                self.commit(now, id, ChangeKind::Release(slot), None)?;
                Ok(OwnerChange::Done)
            }
        }
    }

    /// Tells IGMP that the owner is about to change (rule C3).
    fn begin_change(&mut self, id: u32, igmp: u32, kind: ChangeKind) -> Result<OwnerChange, Error> {
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
        Ok(OwnerChange::Waits(change))
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

    /// IGMP's DISABLE callback has returned, or IGMP is gone: the ownership changes. Gives
    /// [`Error::Again`], and is to be called again, where something else must be finished first.
    pub fn disable_answered(&mut self, now: Millis, change: u32) -> Result<(), Error> {
        self.complete(now, change)?;
        self.set_answered(change);
        Ok(())
    }

    /// An alert is not delivered, because of another one that waits (rule H8).
    pub fn left_out(&mut self, alert: Action) {
        match alert {
            Action::WrongIf { header, .. } => drop(self.take_header(header)),
            // The call that began the change makes it.
            Action::DisableIgmp { change, .. } => self.set_answered(change),
            _ => {}
        }
    }

    fn set_answered(&mut self, change: u32) {
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
        self.complete(now, change)?;
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
    fn complete(&mut self, now: Millis, change: u32) -> Result<(), Error> {
        let Some(known) = self.changes.get(change).filter(|known| known.outcome.is_none()) else {
            return Ok(());
        };
        let (id, kind) = (known.interface, known.kind);
        let enabled = self.interfaces[id].igmp;
        let outcome = self.commit(now, id, kind, Some(change));
        match outcome {
            Ok(()) => {}
            Err(Error::Again) => return outcome,
            Err(_) => {
                if let ChangeKind::Take(slot) = kind {
                    self.leave_interface(slot, self.interfaces[id].key);
                }
                self.enable_igmp(id);
                if self.plane.reserve(1).is_ok() {
                    self.left(id);
                } else {
                    self.interfaces.forget_unused(id);
                }
            }
        }
        if let Some(known) = self.changes.get_mut(change) {
            known.enabled = enabled;
            known.outcome = Some(outcome);
        }
        Ok(())
    }

    /// A change is over, and IGMP is enabled again. Room was set aside.
    fn enable_igmp(&mut self, id: u32) {
        self.outbox.release();
        self.interfaces[id].change = None;
        if let Some(igmp) = self.interfaces[id].igmp {
            self.outbox.push(igmp, Action::EnableIgmp { interface: self.interfaces[id].key });
        }
    }

    /// Changes the routing protocol that owns an interface. The consequences begin.
    fn commit(
        &mut self,
        now: Millis,
        id: u32,
        kind: ChangeKind,
        change: Option<u32>,
    ) -> Result<(), Error> {
        let (protocol, igmp) = (self.interfaces[id].protocol, self.interfaces[id].igmp);
        let leave = Leave {
            former: [protocol, igmp],
            // IGMP's memberships counted for D7 if IGMP was the owner (rule D9, decision 4).
            ends: [matches!(kind, ChangeKind::Release(_)), igmp.is_some()],
            tells_owner: false,
            deletes: Some(matches!(kind, ChangeKind::Release(_))),
            ends_marks: true,
            kind,
            change,
        };
        self.relook.try_reserve(1)?;
        self.prepare_leave(id, &leave)?;
        let slot = match kind {
            ChangeKind::Take(slot) => {
                self.interfaces[id].protocol = Some(slot);
                self.owner_happened(slot, id, true);
                self.enter_interface(slot, self.interfaces[id].key);
                self.owner_came(id);
                slot
            }
            ChangeKind::Release(slot) => {
                self.interfaces[id].protocol = None;
                self.owner_happened(slot, id, false);
                if igmp.is_some() {
                    self.owner_came(id);
                }
                slot
            }
        };
        self.begin_leave(now, id, slot, leave);
        Ok(())
    }

    fn release_igmp(&mut self, now: Millis, id: u32, slot: u32) -> Result<(), Error> {
        let protocol = self.interfaces[id].protocol;
        let alone = protocol.is_none();
        let leave = Leave {
            former: [protocol, Some(slot)],
            ends: [false, true],
            tells_owner: true,
            deletes: alone.then_some(true),
            ends_marks: alone,
            kind: ChangeKind::Release(slot),
            change: None,
        };
        self.prepare_leave(id, &leave)?;
        self.interfaces[id].igmp = None;
        self.owner_happened(slot, id, false);
        self.interfaces[id].igmp_disabled = false;
        self.begin_leave(now, id, slot, leave);
        Ok(())
    }

    /// Makes room for a change of ownership and for the first portion of its consequences.
    fn prepare_leave(&mut self, id: u32, leave: &Leave) -> Result<(), Error> {
        self.finish_first(id, |_| true)?;
        self.unfinished.reserve_one()?;
        let (mut alerts, mut entries, mut gone) = (0, 0, None);
        for role in Role::ALL {
            let (true, Some(slot)) = (leave.ends[role as usize], leave.former[role as usize])
            else {
                continue;
            };
            for of in self.held_keys(id, role) {
                if alerts + entries >= self.portion {
                    break;
                }
                if let Some(entry) = self.groups.find(of) {
                    alerts += 1 + self.alerts_of_leave(entry, id, (slot, role), gone);
                }
                entries += self.mfes.count_covered(of, self.portion);
            }
            gone = Some(slot);
            self.interfaces[id].held_mut(role).reserve_few(self.portion)?;
        }
        let marked = self.interfaces[id].marked.len().min(self.portion);
        let key = self.interfaces[id].key;
        let at_it = self.waiting_at.from((key, 0)).take_while(|((at, _), ())| *at == key);
        let of_iif = self.interfaces[id].iif_users as usize + at_it.take(self.portion).count();
        let of_iif = of_iif.min(self.portion);
        self.outbox.reserve(alerts + entries + marked)?;
        self.plane.reserve(2 * (entries + marked) + of_iif + 1)
    }

    /// The ownership of an interface has changed: what hung on it begins to go. Room must have been
    /// reserved.
    fn begin_leave(&mut self, now: Millis, id: u32, cause: u32, leave: Leave) {
        for role in Role::ALL {
            if leave.ends[role as usize] {
                self.interfaces[id].ending |= Holder::bit(role);
            }
        }
        if leave.ends_marks {
            self.interfaces.end_tenure(id);
        }
        let (what, stage) = (What::Leave(leave), Stage::Incoming(0));
        let begun = self.begin_unfinished(now, id, Some(cause), what, stage);
        // If memory runs out, the rest is done later.
        let _ = self.portion(begun);
    }

    /// All consequences of a change of ownership were carried out. Room for one change of the plane
    /// must have been reserved.
    pub(in crate::core) fn end_leave(&mut self, id: u32, leave: &Leave) {
        for role in Role::ALL {
            if leave.ends[role as usize] {
                self.interfaces[id].forget_held(role);
            }
        }
        self.interfaces[id].ending = 0;
        match leave.kind {
            // This changes no entry's list: memberships and marks on the interface have ended.
            ChangeKind::Take(_) if !self.interfaces[id].up => {
                self.interfaces[id].up = true;
                self.up_happened(id);
            }
            ChangeKind::Take(_) => {}
            ChangeKind::Release(slot) => self.leave_interface(slot, self.interfaces[id].key),
        }
        if leave.change.is_some() {
            self.enable_igmp(id);
        }
        self.left(id);
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

    /// Whether the client in a slot is IGMP.
    pub fn is_igmp(&self, slot: u32) -> bool {
        self.client_info(slot).is_some_and(|info| info.is_igmp())
    }
}
