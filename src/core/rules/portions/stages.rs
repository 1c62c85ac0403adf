//! The stages of a change of many entries: what is done in each, one after the other.

use crate::core::rules::portions::catch_up::fill;
use crate::core::state::Core;
use crate::core::state::members::Role;
use crate::core::state::unfinished::{ALERT, Leave, Stage, Unfinished, What};
use crate::error::Error;
use crate::types::SourceGroup;

/// How many places are looked at for as much as one membership costs.
const PLACES: usize = 16;

impl Core {
    /// Deletes entries whose iif the interface is, but those that came after the change.
    pub(super) fn advance_incoming(
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
    pub(super) fn advance_waiting(
        &mut self,
        one: &Unfinished,
        from: u32,
        budget: &mut usize,
        at_arrival: bool,
    ) -> Result<Stage, Error> {
        let (lists, next, again): (_, _, fn(u32) -> Stage) = if at_arrival {
            (&self.waiting_at, Stage::Order(0, 0), Stage::Arriving)
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

    /// Puts the memberships in order that the stages after this one go through by key.
    pub(super) fn advance_order(
        &mut self,
        one: &Unfinished,
        role: usize,
        from: usize,
        budget: &mut usize,
    ) -> Result<Stage, Error> {
        let next = match role {
            0 => Stage::Order(1, 0),
            _ => Stage::Members(0, SourceGroup::ALL),
        };
        if let What::Leave(leave) = one.what
            && !leave.ends[role]
        {
            return Ok(next);
        }
        let held = self.interfaces[one.interface].held_mut(Role::ALL[role]);
        let to = from.saturating_add(PLACES.saturating_mul(*budget)).min(held.places());
        for place in from..to {
            if *budget == 0 {
                return Ok(Stage::Order(role, place));
            }
            if let Some(id) = held.at(place) {
                held.put_in_order(id, self.groups[id].of())?;
                *budget -= 1;
            }
        }
        if to < held.places() {
            *budget = 0;
            return Ok(Stage::Order(role, to));
        }
        Ok(next)
    }

    /// Ends memberships, with the alerts of rules D7 and D9.
    pub(super) fn advance_members(
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
            let its = self.interfaces[one.interface].held(Role::ALL[role]).ordered();
            let Some((of, ())) = its.next_from(from) else { return Ok(next) };
            let alerts = self.end_membership(one.interface, &leave, role, of)?;
            *budget = budget.saturating_sub(1 + ALERT * alerts);
            match of.next() {
                Some(after) => from = after,
                None => return Ok(next),
            }
        }
        Ok(Stage::Members(role, from))
    }

    /// Brings the entries up to date that memberships on the interface cover.
    pub(super) fn advance_covered(
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
            let its = self.interfaces[one.interface].held(Role::ALL[role]).ordered();
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
    pub(super) fn advance_marked(
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
    pub(super) fn advance_entries(
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
    pub(super) fn advance_flows(
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
    pub(super) fn finish(&mut self, at: usize) -> Result<(), Error> {
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
