//! What a thread does next, with the lock held.

#![forbid(unsafe_code)]

use crate::core::Core;
use crate::core::state::outbox::Node;
use crate::error::Error;
use crate::shell::batch::PlaneAccess;
use crate::shell::call::{Begun, Call};
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{self, Here};
use crate::shell::deliver::NOBODY;
use crate::shell::manager::Running;
use crate::shell::perform::invocation::Invocation;
use crate::shell::perform::{Ask, Work};
use crate::types::Millis;

/// How many actions of other jobs a call performs in addition to its own, at the most, so that a
/// flood of new flows does not hold it up. (The scheduler's tests are to come to the end of it.)
const FAVOURS: u32 = if cfg!(all(test, feature = "shuttle")) { 1 } else { 32 };

impl<C: Callbacks> Running<C> {
    /// The job of a call that begins. Inside a callback it is that callback's.
    pub(crate) fn begin(&mut self, here: Here) -> Result<Begun, Error> {
        let around = here.around.filter(|around| around.epoch == self.epoch);
        let job = match around {
            Some(around) => around.job,
            None => self.delivery.begin_job()?,
        };
        Ok(Begun { job, epoch: self.epoch, owns_job: around.is_none() })
    }

    /// Asks the core once, for a call. What it decides is to be posted under the same lock.
    pub(crate) fn ask<R>(
        &mut self,
        call: &mut Call,
        now: Millis,
        ask: &mut impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.begin_asking(call, call.job);
        let result = ask(&mut self.core, now);
        #[cfg(feature = "fault-injection")]
        crate::shell::fault::point("core");
        result
    }

    /// Gives an answer to the core. Gives [`Error::Again`] where something else must be finished first.
    pub(super) fn take_answer(
        &mut self,
        call: &mut Call,
        invocation: &mut Invocation,
        (slot, job): (u32, u32),
        now: Millis,
    ) -> Result<(), Error> {
        self.begin_asking(call, job);
        let answered = invocation.answer(&mut self.core, now, slot);
        #[cfg(feature = "fault-injection")]
        crate::shell::fault::point("answer");
        self.post_before_choosing(call);
        answered?;
        // The packets that waited for the answer go when the plane has their entry.
        if job != call.job
            && call.programs_for.is_none()
            && !call.here.inside_forwarder
            && self.must_program(call)
        {
            self.delivery.count(job);
            call.programs_for = Some(job);
        }
        Ok(())
    }

    /// Prepares to ask the core something for a call; the actions that it causes belong to a job.
    pub(crate) fn begin_asking(&mut self, call: &mut Call, job: u32) {
        self.moves(call);
        self.core.outbox.set_job(job);
        call.added_before = self.core.plane.added();
    }

    /// Notes that the call has made progress in its lane, so that its client does not hang.
    pub(super) fn moves(&mut self, call: &Call) {
        if let Some(slot) = call.lane {
            self.delivery.moves(slot, &self.core.outbox);
        }
    }

    /// Puts the core's new actions into their clients' lanes, and notes what is to be programmed.
    pub(crate) fn post(&mut self, call: &mut Call) {
        while self.core.outbox.has_fresh() {
            if let Some(merged) = self.delivery.post(&mut self.core.outbox, call.here.token) {
                self.core.left_out(merged);
            }
        }
        self.count_unfinished(call);
        for due in self.core.relook.iter_mut().rev().take_while(|due| !due.counted) {
            due.counted = true;
            self.delivery.count(due.job);
        }
        if self.core.plane.added() > call.added_before {
            call.until = self.core.plane.added();
        }
    }

    /// Whether what the core was asked has brought something to do.
    pub(crate) fn has_more_to_do(&self, call: &Call) -> bool {
        let core = &self.core;
        let programs = core.plane.added() > call.added_before;
        programs || core.outbox.has_fresh() || !core.relook.is_empty()
    }

    /// Posts what the core has decided, and chooses what the thread does next.
    pub(crate) fn post_and_choose(&mut self, call: &mut Call, next: &mut Ask<C>) -> Work {
        if let Some(node) = self.take_only_action(call) {
            return self.prepare(call, &node, next);
        }
        self.post_before_choosing(call);
        self.choose(call, next)
    }

    /// Posts what the core has decided. If the thread is to program the plane, it does so first, and
    /// wakes those who dispatch their clients' callbacks afterwards: they would come between.
    #[inline]
    fn post_before_choosing(&mut self, call: &mut Call) {
        if self.delivery.has_own_lanes() {
            self.post_and_ring_later(call);
        } else {
            self.post(call);
        }
    }

    #[inline(never)]
    fn post_and_ring_later(&mut self, call: &mut Call) {
        let programs = self.core.plane.added() > call.added_before || self.must_program(call);
        self.delivery.rings_later(programs && !call.here.inside_forwarder);
        self.post(call);
        self.delivery.rings_later(false);
    }

    /// Most often a call causes one action and nothing else, and nobody else is at its client or waits for
    /// it: the thread takes the action without a way through the queue. It runs the client's lane then.
    #[inline]
    fn take_only_action(&mut self, call: &mut Call) -> Option<Node> {
        let core = &mut self.core;
        let is_only = !core.has_notes()
            && core.plane.is_done(call.until)
            && core.plane.added() == call.added_before
            && !core.has_begun_or_finished()
            && core.relook.is_empty();
        let is_free = call.lane.is_none()
            && call.dispatches.is_none()
            && !call.sees_to_all
            && !call.here.inside_forwarder
            && !call.here.too_deep;
        if !is_only || !is_free {
            return None;
        }
        let node = self.delivery.take_only(&mut core.outbox, call.here.token)?;
        call.lane = Some(node.client);
        Some(node)
    }

    /// What the thread is to do next: first what needs no client, then the rest of the lane that
    /// it runs, then the lanes whose first action it is responsible for.
    pub(crate) fn choose(&mut self, call: &mut Call, next: &mut Ask<C>) -> Work {
        if let Some(note) = self.core.take_note() {
            return Work::Note(note);
        }
        if !call.here.inside_forwarder && self.must_program(call) {
            if let Some(slot) = call.lane.take() {
                self.delivery.keep(slot, &self.core.outbox);
                call.kept = Some(slot);
                // What others go on adding is not programmed while the lane waits.
                if call.sees_to_all {
                    call.until = self.core.plane.added();
                }
            }
            return Work::Program(PlaneAccess {
                forwarder: self.forwarder.clone(),
                programming: self.programming.clone(),
            });
        }
        self.delivery.ring();
        let begun = self.to_carry_on(call, false);
        if let Some(id) = begun
            && !self.is_crowded(call)
        {
            self.step_aside(call);
            return Work::Portion(id);
        }
        if let Some(due) = self.core.relook.pop_front() {
            self.step_aside(call);
            return Work::Look(due);
        }
        if call.here.inside_forwarder {
            context::leave_over();
            let begun = begun.or_else(|| self.to_carry_on(call, true));
            return begun.map_or(Work::Nothing, Work::Portion);
        }
        if let Some(slot) = call.lane.filter(|slot| self.delivery.first(*slot).is_none()) {
            self.leave_lane(call, slot);
        }
        // Most often there is nobody else to call.
        let has_lane = call.lane.is_some() || self.delivery.has_ready_lanes();
        if has_lane || call.dispatches.is_some() {
            while let Some(slot) = self.lane_for(call) {
                if let Some(node) = self.delivery.next_action(slot, &mut self.core.outbox) {
                    return self.prepare(call, &node, next);
                }
                self.leave_lane(call, slot);
            }
        }
        if let Some(id) = begun.or_else(|| self.to_carry_on(call, true)) {
            let waits = self.is_crowded(call) && call.may_wait_for_room();
            return if waits { Work::Room(id) } else { Work::Portion(id) };
        }
        if call.last && call.owns_job && self.delivery.open_actions(call.job) == 0 {
            self.delivery.end_job(call.job);
            call.ended = true;
        }
        Work::Nothing
    }

    /// The thread leaves a lane that has nothing left to do.
    #[inline]
    fn leave_lane(&mut self, call: &mut Call, slot: u32) {
        call.lane = None;
        if self.delivery.stop_running(slot, &self.core.outbox) {
            self.core.free_client_slot(slot);
        }
    }

    /// Prepares the call of a client, whose lane the thread runs.
    #[inline]
    fn prepare(&mut self, call: &mut Call, node: &Node, next: &mut Ask<C>) -> Work {
        let Node { client: slot, job, action, .. } = *node;
        match &mut call.dispatches {
            Some((own, left)) if *own == slot => *left -= 1,
            _ => call.favours += u32::from(job != call.job),
        }
        Invocation::prepare(&mut next.invocation, &mut self.core, slot, action);
        next.client = self.delivery.callbacks(slot);
        (next.slot, next.job) = (slot, job);
        if let Some((own, left)) = call.dispatches
            && own == slot
            && !call.here.too_deep
            && let (Some(invocation), Some(client)) = (&next.invocation, &next.client)
        {
            self.tell_ahead(invocation, client, slot, left);
        }
        Work::Ask
    }

    /// The thread does something long. Meanwhile others may take the lanes that it runs, or is
    /// responsible for, and in which something of theirs stands.
    fn step_aside(&mut self, call: &mut Call) {
        let (me, outbox) = (call.here.token, &self.core.outbox);
        if let Some(slot) = call.lane
            && self.delivery.own(slot).is_none()
        {
            call.lane = None;
            self.delivery.offer(slot, me, outbox);
        }
        self.delivery.step_aside(me, outbox);
    }

    /// The lane that the thread runs, or runs next.
    fn lane_for(&mut self, call: &mut Call) -> Option<u32> {
        let outbox = &self.core.outbox;
        if let Some(slot) = call.lane {
            // Actions of other jobs in the same lane are performed too, but not for ever.
            let others = |job| job != call.job && call.favours >= FAVOURS;
            let goes_on = match call.dispatches {
                Some((own, left)) if own == slot => left > 0,
                _ => call.sees_to_all || !self.delivery.next_job(slot, outbox).is_some_and(others),
            };
            if goes_on {
                return Some(slot);
            }
            call.lane = None;
            self.delivery.offer(slot, NOBODY, outbox);
        }
        if call.here.too_deep {
            // The calls around this one do it.
            return None;
        }
        let seeker = (!call.sees_to_all).then_some((call.job, call.here.token));
        call.lane = self.delivery.run_next(outbox, seeker, call.here.token);
        // What its callbacks caused for itself, by others' answers (rule H3).
        if let Some((own, 1..)) = call.dispatches
            && call.lane.is_none()
            && self.delivery.run_own(own, call.here.token) == Ok(true)
        {
            call.lane = Some(own);
        }
        call.lane
    }
}
