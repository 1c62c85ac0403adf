//! Changes of many entries, carried out a portion at a time.
//!
//! Such a change takes effect at one moment. From then on everybody is to see it: so whoever is
//! about to change an entry, a pending flow or a membership first carries out there what unfinished
//! changes still have to do ([`Core::catch_up`] and its like), in the order in which they took
//! effect. What comes of it is the same as if each had been done at its moment.
//!
//! On an interface that changes hands, comes up or goes down, others wait until that is finished:
//! they are told to ask again, after a portion of it ([`Error::Again`]).

use crate::core::containers::slab::NONE;
use crate::core::state::Core;
use crate::core::state::members::Role;
use crate::core::state::mfe::{Mfe, Oif};
use crate::core::state::unfinished::{Carrier, Leave, Stage, Unfinished, Update, What};
use crate::error::Error;
use crate::types::{Millis, SourceGroup};
use std::net::Ipv4Addr;

/// The roles by number.
const ROLES: [Role; 2] = [Role::Protocol, Role::Igmp];

impl Core {
    /// How much is done at a time; for tests.
    pub const fn set_portion(&mut self, portion: usize) {
        self.portion = portion;
    }

    /// Adds a change that has taken effect. Room must have been reserved.
    pub(in crate::core) fn begin_unfinished(
        &mut self,
        now: Millis,
        interface: u32,
        cause: Option<u32>,
        what: What,
        stage: Stage,
    ) -> u64 {
        let job = self.outbox.job();
        self.interfaces[interface].unfinished += 1;
        let (id, carrier, failed, moved) = (0, None, false, true);
        self.unfinished.push(Unfinished {
            id,
            interface,
            cause,
            now,
            job,
            carrier,
            failed,
            moved,
            what,
            stage,
        })
    }

    /// Whether [`Self::take_begun`] or [`Self::take_released`] may give something.
    #[inline]
    pub const fn has_begun_or_finished(&self) -> bool {
        !self.unfinished.is_empty() || !self.unfinished.released.is_empty()
    }

    /// The job of a change that began, for the shell, which counts it there. Who asks carries it out.
    pub fn take_begun(&mut self, carrier: Carrier) -> Option<u32> {
        let begun = self.unfinished.all_mut().iter_mut().find(|one| one.carrier.is_none())?;
        begun.carrier = Some(carrier);
        Some(begun.job)
    }

    /// The name of one more call that carries changes out.
    pub const fn new_carrier(&mut self) -> Carrier {
        self.unfinished.new_carrier()
    }

    /// The last change that a call has to carry out, among those for which memory ran out or among
    /// the others.
    pub fn carried_by(&self, carrier: Carrier, failed: bool) -> Option<u64> {
        let mut last = self.unfinished.all().iter().rev();
        last.find(|one| (one.carrier, one.failed) == (Some(carrier), failed)).map(|one| one.id)
    }

    /// The job of a change that was counted and is finished now, or left for later.
    pub fn take_released(&mut self) -> Option<u32> {
        self.unfinished.released.pop()
    }

    /// Takes over an unfinished change that nobody has carried on since [`Self::watch_unfinished`].
    pub fn take_over(&mut self, carrier: Carrier) -> Option<u64> {
        let one = self.unfinished.all_mut().iter_mut().find(|one| !one.moved)?;
        (one.carrier, one.failed) = (Some(carrier), true);
        Some(one.id)
    }

    /// Begins to watch whether unfinished changes are carried on.
    pub fn watch_unfinished(&mut self) {
        self.unfinished.all_mut().iter_mut().for_each(|one| one.moved = false);
    }

    /// Carries out a portion for its carrier. Where memory runs out twice, no job waits for the change
    /// any more, and the timer carries it on. True: it went on.
    pub fn carry_on(&mut self, id: u64) -> bool {
        let done = self.portion(id).is_ok();
        let Some(at) = self.unfinished.place_of(id) else { return done };
        let one = &mut self.unfinished.all_mut()[at];
        if !done && one.failed {
            one.carrier = Some(Carrier::NOBODY);
            let job = std::mem::replace(&mut one.job, NONE);
            self.unfinished.release(job);
        } else {
            one.failed = !done;
        }
        done
    }

    /// Where such a change is unfinished on an interface, carries out a portion of it: the caller is
    /// to ask again.
    pub(in crate::core) fn finish_first(
        &mut self,
        interface: u32,
        fits: impl Fn(&What) -> bool,
    ) -> Result<(), Error> {
        if self.unfinished.is_empty() {
            return Ok(());
        }
        match self.unfinished.on(interface, fits) {
            None => Ok(()),
            Some(id) => {
                self.portion(id)?;
                Err(Error::Again)
            }
        }
    }

    /// The same for what a client caused.
    pub(in crate::core) fn finish_what_caused(&mut self, slot: u32) -> Result<(), Error> {
        match self.unfinished.all().iter().find(|one| one.cause == Some(slot)).map(|one| one.id) {
            None => Ok(()),
            Some(id) => {
                self.portion(id)?;
                Err(Error::Again)
            }
        }
    }

    /// Carries out a portion of a change, as far as there is memory.
    pub fn portion(&mut self, id: u64) -> Result<(), Error> {
        let mut budget = self.portion;
        while budget > 0
            && let Some(at) = self.unfinished.place_of(id)
        {
            let one = self.unfinished.all()[at];
            let outer = self.outbox.job();
            self.outbox.set_job(one.job);
            let stage = self.advance(&one, &mut budget);
            self.outbox.set_job(outer);
            let stage = stage?;
            // Nothing that is done here adds or removes others.
            let this = &mut self.unfinished.all_mut()[at];
            (this.stage, this.moved) = (stage, true);
            if stage == Stage::End {
                self.finish(at)?;
            }
        }
        Ok(())
    }

    /// Carries a change on in its stage, and gives the stage that it has come to. Every turn takes
    /// something from the budget.
    fn advance(&mut self, one: &Unfinished, budget: &mut usize) -> Result<Stage, Error> {
        let before = *budget;
        let stage = match one.stage {
            Stage::Incoming(from) => self.advance_incoming(one, from, budget),
            Stage::Waiting(from) => self.advance_waiting(one, from, budget, false),
            Stage::Arriving(from) => self.advance_waiting(one, from, budget, true),
            Stage::Members(role, from) => self.advance_members(one, role, from, budget),
            Stage::Covered(role, key, flow) => self.advance_covered(one, role, key, flow, budget),
            Stage::Marked(from, layout) => self.advance_marked(one, from, layout, budget),
            Stage::Entries(from) => self.advance_entries(one, from, budget),
            Stage::Flows(from) => self.advance_flows(one, from, budget),
            Stage::End => Ok(Stage::End),
        };
        // Every turn takes something.
        if *budget == before {
            *budget -= 1;
        }
        stage
    }
}

/// The stages of a change, one after the other.
impl Core {
    /// Deletes entries whose iif the interface is, but those that came after the change.
    fn advance_incoming(
        &mut self,
        one: &Unfinished,
        from: u32,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        if one.what.deletes().is_none() {
            return Ok(Stage::Waiting(0));
        }
        let mut list = std::mem::take(&mut self.scratch);
        let incoming = self.interfaces[one.interface].incoming.from(from);
        let rest = fill(&mut list, *budget, incoming.map(|(id, ())| (id, id)));
        self.catch_up_list(list, budget)?;
        Ok(rest?.map_or(Stage::Waiting(0), Stage::Incoming))
    }

    /// The same for those that have no owner toward their source, or that were refused: whose iif it
    /// is, and then those whose packets come in on it.
    fn advance_waiting(
        &mut self,
        one: &Unfinished,
        from: u32,
        budget: &mut usize,
        at_arrival: bool,
    ) -> Result<Stage, Error> {
        let (lists, next, again): (_, _, fn(u32) -> Stage) = if at_arrival {
            (&self.waiting_at, Stage::Members(0, SourceGroup::ALL), Stage::Arriving)
        } else {
            (&self.waiting, Stage::Arriving(0), Stage::Waiting)
        };
        if one.what.deletes().is_none() {
            return Ok(next);
        }
        let mut list = std::mem::take(&mut self.scratch);
        let key = self.interfaces[one.interface].key;
        let waiting = lists.from((key, from)).take_while(|((at, _), ())| *at == key);
        let rest = fill(&mut list, *budget, waiting.map(|((_, id), ())| (id, id)));
        self.catch_up_list(list, budget)?;
        Ok(rest?.map_or(next, again))
    }

    /// Ends memberships, with the alerts of rules D7 and D9.
    fn advance_members(
        &mut self,
        one: &Unfinished,
        role: usize,
        mut from: SourceGroup,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        let next = match role {
            0 => Stage::Members(1, SourceGroup::ALL),
            _ => Stage::Covered(0, SourceGroup::ALL, SourceGroup::ALL),
        };
        let What::Leave(leave) = one.what else { return Ok(next) };
        if !leave.ends[role] {
            return Ok(next);
        }
        while *budget > 0 {
            let its = self.interfaces[one.interface].memberships.of(ROLES[role]);
            let Some((of, ())) = its.next_from(from) else { return Ok(next) };
            let alerts = self.end_membership(one.interface, &leave, role, of)?;
            *budget = budget.saturating_sub(1 + alerts);
            match of.next() {
                Some(after) => from = after,
                None => return Ok(next),
            }
        }
        Ok(Stage::Members(role, from))
    }

    /// Brings the entries up to date that memberships on the interface cover.
    fn advance_covered(
        &mut self,
        one: &Unfinished,
        role: usize,
        mut key: SourceGroup,
        mut flow: SourceGroup,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        let next = match role {
            0 => Stage::Covered(1, SourceGroup::ALL, SourceGroup::ALL),
            _ => Stage::Marked(0, 0),
        };
        if let What::Leave(leave) = one.what
            && !leave.ends[role]
        {
            return Ok(next);
        }
        while *budget > 0 {
            let its = self.interfaces[one.interface].memberships.of(ROLES[role]);
            let Some((of, ())) = its.next_from(key) else { return Ok(next) };
            // In the middle of this key's entries, or at the beginning of another's.
            let from = if of == key { flow.max(of) } else { of };
            let before = *budget;
            let (list, rest) = self.covered(of, from, before)?;
            self.catch_up_list(list, budget)?;
            if *budget == before {
                *budget -= 1;
            }
            match (rest, of.next()) {
                (Some(after), _) => (key, flow) = (of, after),
                (None, Some(after)) => (key, flow) = (after, SourceGroup::ALL),
                (None, None) => return Ok(next),
            }
        }
        Ok(Stage::Covered(role, key, flow))
    }

    /// Brings the entries up to date that have marks of the interface's owner.
    fn advance_marked(
        &mut self,
        one: &Unfinished,
        from: usize,
        layout: u32,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        if let What::Leave(Leave { ends_marks: false, .. }) = one.what {
            return Ok(Stage::End);
        }
        let marked = &self.interfaces[one.interface].marked;
        if marked.layout() != layout {
            // The set has grown meanwhile, and everything in it stands elsewhere.
            return Ok(Stage::Marked(0, marked.layout()));
        }
        let to = from.saturating_add(*budget).min(marked.places());
        let mut list = std::mem::take(&mut self.scratch);
        let its = (from..to).filter_map(|place| marked.at(place));
        let filled = fill(&mut list, usize::MAX, its.map(|id| ((), id)));
        self.catch_up_list(list, budget)?;
        filled?;
        *budget = 0;
        let all = to == self.interfaces[one.interface].marked.places();
        Ok(if all { Stage::End } else { Stage::Marked(to, layout) })
    }

    /// Brings the entries up to date that a membership covers, or that are forced or pruned.
    fn advance_entries(
        &mut self,
        one: &Unfinished,
        from: SourceGroup,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        let What::Update(update) = one.what else { return Ok(Stage::End) };
        let (list, rest) = self.covered(update.of, from, *budget)?;
        self.catch_up_list(list, budget)?;
        Ok(rest.map_or(Stage::Flows(update.of), Stage::Entries))
    }

    /// Brings pending flows up to date.
    fn advance_flows(
        &mut self,
        one: &Unfinished,
        from: SourceGroup,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        let What::Update(update) = one.what else { return Ok(Stage::End) };
        if !update.changes_marks() {
            return Ok(Stage::End);
        }
        let rest = self.catch_up_all_pending(update.of, Some(from), *budget)?;
        *budget = 0;
        Ok(rest.map_or(Stage::End, Stage::Flows))
    }

    /// Ends a change of which everything was carried out.
    fn finish(&mut self, at: usize) -> Result<(), Error> {
        let one = self.unfinished.all()[at];
        let id = one.interface;
        let What::Leave(leave) = one.what else {
            self.unfinished.remove(at);
            self.interfaces[id].unfinished -= 1;
            self.interfaces.forget_unused(id);
            return Ok(());
        };
        self.plane.reserve(1)?;
        self.unfinished.remove(at);
        self.interfaces[id].unfinished -= 1;
        self.end_leave(id, &leave);
        Ok(())
    }

    /// Carries out on these entries what is unfinished, and takes them from a budget.
    fn catch_up_list(&mut self, list: Vec<u32>, budget: &mut usize) -> Result<(), Error> {
        *budget = budget.saturating_sub(list.len());
        let result = list.iter().try_for_each(|id| self.catch_up(*id));
        self.give_back(list);
        result
    }
}

/// What unfinished changes mean for one entry, one flow, one membership.
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
        if mfe.iif == interface {
            // What another interface's owner refused is asked of the one who comes here.
            return released || (refused && !routeless) || !mfe.is(Mfe::UNRESOLVED);
        }
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
            for role in 0..ROLES.len() {
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
    fn end_membership(
        &mut self,
        interface: u32,
        leave: &Leave,
        role: usize,
        of: SourceGroup,
    ) -> Result<usize, Error> {
        let entry = self.groups.find(of);
        let entry = entry.filter(|id| self.groups[*id].holds(interface, ROLES[role]));
        let (Some(entry), Some(slot)) = (entry, leave.former[role]) else { return Ok(0) };
        // It ends under those who were on the interface before.
        let place = &mut self.interfaces[interface];
        let after = (place.protocol, place.igmp);
        (place.protocol, place.igmp) = (leave.former[0], leave.former[1]);
        let alerts = self.alerts_of_leave(entry, interface, (slot, ROLES[role]), None);
        let room = self.outbox.reserve(alerts);
        let before = self.outbox.queued();
        if room.is_ok() {
            self.leave(slot, ROLES[role], entry, interface, leave.tells_owner);
        }
        let alerts = self.outbox.queued() - before;
        let place = &mut self.interfaces[interface];
        (place.protocol, place.igmp) = after;
        room.map(|()| alerts)
    }
}

/// Adds numbers to a list, `max` at the most. Gives the place of the first one that is left.
#[inline]
pub(in crate::core) fn fill<P>(
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
