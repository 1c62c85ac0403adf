//! What unfinished changes mean for one entry, one flow, one membership.

use crate::core::state::Core;
use crate::core::state::members::Role;
use crate::core::state::mfe::{Mfe, Oif};
use crate::core::state::unfinished::{Leave, Unfinished, Update, What};
use crate::error::Error;
use crate::types::{Millis, SourceGroup};
use std::net::Ipv4Addr;

impl Core {
    /// Carries out on an entry what unfinished changes have still to do there. The entry may be
    /// gone afterwards.
    #[inline]
    pub(in crate::core) fn catch_up(&mut self, id: u32) -> Result<(), Error> {
        if self.unfinished.is_empty() { Ok(()) } else { self.catch_up_with_all(id) }
    }

    /// The same for the entry of a flow, if it has one.
    #[inline]
    pub(in crate::core) fn catch_up_entry_of(&mut self, flow: SourceGroup) -> Result<(), Error> {
        if self.unfinished.is_empty() {
            return Ok(());
        }
        match self.mfes.find(flow) {
            Some(id) => self.catch_up_with_all(id),
            None => Ok(()),
        }
    }

    #[cold]
    fn catch_up_with_all(&mut self, id: u32) -> Result<(), Error> {
        let outer = self.outbox.job();
        let mut result = Ok(());
        for at in 0..self.unfinished.all().len() {
            let one = self.unfinished.all()[at];
            // One before it may have deleted it.
            let there = self.mfes.by_number(id).is_some();
            if !there || !self.mfes.beside(id).known.is_before(one.number()) {
                continue;
            }
            self.outbox.set_job(one.job);
            result = self.carry_out(&one, id);
            if result.is_err() {
                break;
            }
            if self.mfes.by_number(id).is_some() {
                self.mfes.beside_mut(id).known = one.number();
            }
        }
        self.outbox.set_job(outer);
        result
    }

    /// Does to an entry what a change does.
    fn carry_out(&mut self, one: &Unfinished, id: u32) -> Result<(), Error> {
        let (interface, mfe) = (one.interface, &self.mfes[id]);
        match one.what {
            What::Update(update) => {
                if update.of.covers(mfe.flow()) {
                    self.reserve_refresh(&[id], interface, 0)?;
                    self.reserve_marks(interface, 1, &update)?;
                    self.update(one.now, id, interface, one.cause, &update);
                }
            }
            _ if self.is_deleted_by(&one.what, interface, id) => {
                self.plane.reserve(1)?;
                self.delete_mfe(id);
            }
            What::Leave(leave) => {
                if mfe.place_of(interface).is_ok() {
                    self.reserve_refresh(&[id], interface, 0)?;
                    if leave.ends_marks && self.mfes[id].has_mark(interface, Oif::MARKS) {
                        self.mark(id, interface, false, false);
                    }
                    self.refresh(one.now, id, interface, one.cause);
                }
            }
            What::Up(_) => {
                self.reserve_refresh(&[id], interface, 0)?;
                self.refresh(one.now, id, interface, one.cause);
            }
        }
        Ok(())
    }

    /// Whether an entry goes with a change on an interface, because it is its iif (decision 37), or
    /// because its owner, who goes, refused the flow.
    fn is_deleted_by(&self, what: &What, interface: u32, id: u32) -> bool {
        let Some(released) = what.deletes() else { return false };
        let mfe = &self.mfes[id];
        let (refused, routeless) = (mfe.is(Mfe::REFUSED), mfe.is(Mfe::ROUTELESS));
        // Another interface's owner refused the flow: the owner who comes here is asked.
        let goes_with_its_iif = released || (refused && !routeless) || !mfe.is(Mfe::UNRESOLVED);
        if mfe.iif == interface && goes_with_its_iif {
            return true;
        }
        // Without a route the iif is the interface that the packet came in on.
        let arrives = || self.arrival_at(id) == self.interfaces[interface].key;
        refused && routeless && matches!(what, What::Leave(_)) && arrives()
    }

    /// Brings one interface of an entry up to date, with what its owner says about it. Room must
    /// have been reserved.
    pub(in crate::core) fn update(
        &mut self,
        now: Millis,
        id: u32,
        interface: u32,
        cause: Option<u32>,
        update: &Update,
    ) {
        if let Some(forces) = update.forces {
            self.mark(id, interface, forces, !forces);
        } else if update.lifts && self.mfes[id].has_mark(interface, Oif::VETOED) {
            self.mark(id, interface, self.mfes[id].has_mark(interface, Oif::FORCED), false);
        }
        self.refresh(now, id, interface, cause);
    }

    /// Carries out on the pending flows under `of`, from one on, what unfinished changes have still
    /// to do there; on `max` at the most. Gives the one to go on with.
    pub(in crate::core) fn catch_up_all_pending(
        &mut self,
        of: SourceGroup,
        mut from: Option<SourceGroup>,
        max: usize,
    ) -> Result<Option<SourceGroup>, Error> {
        let mut left = max;
        while let Some(id) = self.pending_under(of, from) {
            let flow = self.pending_flow(id);
            if left == 0 {
                return Ok(Some(flow));
            }
            left -= 1;
            self.catch_up_pending(id)?;
            from = flow.next();
        }
        Ok(None)
    }

    /// Carries out on a pending flow what unfinished changes have still to do there.
    #[inline]
    pub(in crate::core) fn catch_up_pending(&mut self, id: u32) -> Result<(), Error> {
        if self.unfinished.is_empty() { Ok(()) } else { self.catch_up_pending_with_all(id) }
    }

    #[cold]
    fn catch_up_pending_with_all(&mut self, id: u32) -> Result<(), Error> {
        for at in 0..self.unfinished.all().len() {
            let one = self.unfinished.all()[at];
            if let (What::Update(update), Some(owner)) = (one.what, one.cause)
                && self.pending_knows(id).is_before(one.number())
            {
                if update.of.covers(self.pending_flow(id)) {
                    self.reserve_pending(id)?;
                    self.update_pending(id, one.interface, owner, &update);
                }
                self.set_pending_knows(id, one.number());
            }
        }
        Ok(())
    }

    /// Ends the memberships of this key that end with an interface whose ownership has changed.
    #[inline]
    pub(in crate::core) fn catch_up_members(&mut self, of: SourceGroup) -> Result<(), Error> {
        if self.unfinished.is_empty() { Ok(()) } else { self.end_memberships(of) }
    }

    #[cold]
    fn end_memberships(&mut self, of: SourceGroup) -> Result<(), Error> {
        let outer = self.outbox.job();
        let mut result = Ok(0);
        for at in 0..self.unfinished.all().len() {
            let Unfinished { interface, what: What::Leave(leave), job, .. } =
                self.unfinished.all()[at]
            else {
                continue;
            };
            self.outbox.set_job(job);
            for role in 0..Role::ALL.len() {
                if leave.ends[role] && result.is_ok() {
                    result = self.end_membership(interface, &leave, role, of);
                }
            }
        }
        self.outbox.set_job(outer);
        result.map(|_| ())
    }

    /// The same for all keys of a source.
    pub(in crate::core) fn catch_up_source(&mut self, source: Ipv4Addr) -> Result<(), Error> {
        if self.unfinished.is_empty() {
            return Ok(());
        }
        let mut list = std::mem::take(&mut self.scratch);
        let filled =
            fill(&mut list, usize::MAX, self.sources.entries_of(source).map(|id| ((), id)));
        let result = filled.and_then(|_| {
            list.iter().try_for_each(|id| self.catch_up_members(self.groups[*id].of()))
        });
        self.give_back(list);
        result
    }

    /// Ends a membership that ends with its interface, unless it has ended. Gives the number of
    /// alerts.
    pub(super) fn end_membership(
        &mut self,
        interface: u32,
        leave: &Leave,
        role: usize,
        of: SourceGroup,
    ) -> Result<usize, Error> {
        let entry = self.groups.find(of);
        let entry = entry.filter(|id| self.groups[*id].holds(interface, Role::ALL[role]));
        let (Some(entry), Some(slot)) = (entry, leave.former[role]) else { return Ok(0) };
        // It ends under those who were on the interface before.
        let place = &mut self.interfaces[interface];
        let after = (place.protocol, place.igmp);
        (place.protocol, place.igmp) = (leave.former[0], leave.former[1]);
        let alerts = self.alerts_of_leave(entry, interface, (slot, Role::ALL[role]), None);
        let held = self.interfaces[interface].held_mut(Role::ALL[role]);
        let room = self.outbox.reserve(alerts).and_then(|()| held.put_in_order(entry, of));
        let before = self.outbox.queued();
        if room.is_ok() {
            self.leave(slot, Role::ALL[role], entry, interface, leave.tells_owner);
        }
        let alerts = self.outbox.queued() - before;
        let place = &mut self.interfaces[interface];
        (place.protocol, place.igmp) = after;
        room.map(|()| alerts)
    }
}

/// Adds numbers to a list, `max` at the most. Gives the place of the first one that is left.
#[inline]
pub(super) fn fill<P>(
    list: &mut Vec<u32>,
    max: usize,
    its: impl Iterator<Item = (P, u32)>,
) -> Result<Option<P>, Error> {
    for (place, id) in its {
        if list.len() == max {
            return Ok(Some(place));
        }
        list.try_reserve(1)?;
        list.push(id);
    }
    Ok(None)
}
