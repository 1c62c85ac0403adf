//! The lanes that are ready, and who takes which of them.

#![forbid(unsafe_code)]

use crate::core::NONE;
use crate::core::state::outbox::Outbox;
use crate::shell::bells::Event;
use crate::shell::deliver::{Delivery, Lane, NOBODY, Seeker, Token};

impl<C: Clone> Delivery<C> {
    pub(super) fn make_ready(&mut self, slot: u32, by: Token) {
        let lane = &mut self.lanes[slot as usize];
        if lane.own.is_some() {
            self.something_waits(slot);
            return;
        }
        if std::mem::replace(&mut lane.ready, true) {
            return;
        }
        (lane.next_ready, lane.ready_by) = (NONE, by);
        match self.ready.1 {
            NONE => self.ready.0 = slot,
            last => self.lanes[last as usize].next_ready = slot,
        }
        self.ready.1 = slot;
    }

    /// Whether any lane is ready.
    pub const fn has_ready_lanes(&self) -> bool {
        self.ready.0 != NONE
    }

    /// Makes the thread the runner of a ready lane: with a seeker, of one that the seeker is
    /// responsible for, and of any lane otherwise.
    #[inline]
    pub fn run_next(&mut self, outbox: &Outbox, by: Option<Seeker>, me: Token) -> Option<u32> {
        if !self.has_ready_lanes() {
            return None;
        }
        let (slot, before) = self.find_ready(outbox, by)?;
        let lane = &mut self.lanes[slot as usize];
        debug_assert!(lane.runner.is_none(), "a ready lane has no runner");
        (lane.ready, lane.runner) = (false, Some(me));
        let next = lane.next_ready;
        match before {
            None => self.ready.0 = next,
            Some(before) => self.lanes[before as usize].next_ready = next,
        }
        if next == NONE {
            self.ready.1 = before.unwrap_or(NONE);
        }
        Some(slot)
    }

    /// Whether [`Self::run_next`] would find one.
    pub fn has_ready(&self, outbox: &Outbox, by: Option<Seeker>) -> bool {
        self.find_ready(outbox, by).is_some()
    }

    /// Whether there is a ready lane that no thread will come to: nobody is responsible for it, and the
    /// call whose action is the first there has returned.
    pub fn has_abandoned(&self, outbox: &Outbox) -> bool {
        let mut at = self.ready.0;
        while let Some(lane) = self.lanes.get(at as usize) {
            let alive = |job| self.jobs.is_under_way(job);
            if lane.ready_by == NOBODY
                && !outbox.first(&lane.queue).is_some_and(|node| alive(node.job))
            {
                return true;
            }
            at = lane.next_ready;
        }
        false
    }

    /// A ready lane, and the one before it in the list.
    fn find_ready(&self, outbox: &Outbox, by: Option<Seeker>) -> Option<(u32, Option<u32>)> {
        let (mut at, mut before) = (self.ready.0, None);
        while let Some(lane) = self.lanes.get(at as usize) {
            let fits = |(job, me)| {
                lane.ready_by == me || outbox.first(&lane.queue).is_some_and(|node| node.job == job)
            };
            if by.is_none_or(fits) {
                return Some((at, before));
            }
            (before, at) = (Some(at), lane.next_ready);
        }
        None
    }

    /// Makes a thread that is about to wait responsible for the ready lanes that something of its job
    /// stands in: whoever is responsible for what stands before it may be busy elsewhere. Gives whether
    /// there is any lane for it.
    pub fn claim_behind(&mut self, outbox: &Outbox, seeker: Seeker) -> bool {
        let (job, me) = seeker;
        if self.has_ready(outbox, Some(seeker)) {
            return true;
        }
        let mut any = false;
        self.for_each_ready(|lane| {
            // What the job caused last stands near the end.
            if outbox.jobs_from_last(&lane.queue).any(|of| of == job) {
                (lane.ready_by, any) = (me, true);
            }
        });
        any
    }

    /// A thread does something long before it comes to the lanes that it is responsible for: others
    /// that wait may take them.
    pub fn step_aside(&mut self, me: Token, outbox: &Outbox) {
        let mut at = self.ready.0;
        while let Some(lane) = self.lanes.get(at as usize) {
            let (slot, is_mine) = (at, lane.ready_by == me);
            at = lane.next_ready;
            if is_mine {
                self.tell_who_waits(slot, outbox);
            }
        }
    }

    /// Wakes the first of the threads that wait for something in a lane, which takes it; and those that
    /// wait for answers about flows, whose questions may stand there.
    fn tell_who_waits(&mut self, slot: u32, outbox: &Outbox) {
        if self.jobs.any_awaited() {
            let mut jobs = outbox.jobs(&self.lanes[slot as usize].queue);
            if let Some(job) = jobs.find(|job| self.jobs.is_awaited(*job)) {
                self.events.note(Event::Job(job));
            }
        }
        for (flow, _) in &self.flows_awaited {
            self.events.note(Event::Flow(*flow));
        }
    }

    fn for_each_ready(&mut self, mut visit: impl FnMut(&mut Lane<C>)) {
        let mut at = self.ready.0;
        while let Some(lane) = self.lanes.get_mut(at as usize) {
            visit(lane);
            at = lane.next_ready;
        }
    }

    /// Makes a thread responsible for a lane that is ready.
    pub fn claim(&mut self, slot: u32, me: Token) {
        if let Some(lane) = self.lanes.get_mut(slot as usize)
            && lane.ready
        {
            lane.ready_by = me;
        }
    }

    /// The runner leaves a lane, kept or not, to a thread that is responsible for its first action,
    /// or to the thread `to`, itself, which comes back to it at once. The lane becomes the first of the
    /// ready ones.
    pub fn offer(&mut self, slot: u32, to: Token, outbox: &Outbox) {
        self.moves(slot, outbox);
        let first = self.ready.0;
        let lane = &mut self.lanes[slot as usize];
        if let Some(own) = &mut lane.own {
            own.waiting.set(!lane.queue.is_empty());
            (lane.runner, lane.kept) = (None, false);
            return;
        }
        (lane.runner, lane.kept, lane.ready) = (None, false, true);
        (lane.next_ready, lane.ready_by) = (first, to);
        self.ready.0 = slot;
        if first == NONE {
            self.ready.1 = slot;
        }
        self.left(slot);
        if to == NOBODY {
            self.tell_who_waits(slot, outbox);
        }
    }
}
