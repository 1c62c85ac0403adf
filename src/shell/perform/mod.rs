//! Performs what the core decided, with nothing locked: programs entries, looks routes up, logs
//! notes and calls clients, until nothing is left. `question` is one call of a client; `program`
//! programs entries.

#![forbid(unsafe_code)]

mod portions;
mod program;
mod question;

use crate::core::{Core, Due, Looked, Note, Relook, RoutesAsOf};
use crate::error::Error;
use crate::forwarder::Forwarder;
use crate::log::Level;
use crate::shell::batch::Plane;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{self, Here, JobOf};
use crate::shell::deliver::NOBODY;
use crate::shell::duties::TICKING;
use crate::shell::manager::{Mgm, Running, stale};
use crate::sys::Readiness;
use crate::sys::sync::{Instant, coarse_time};
use crate::types::{ClientId, IfKey, Millis, PATIENCE, SourceGroup};
use question::Question;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// How many actions of other jobs a call performs in addition to its own, at the most, so that a
/// flood of new flows does not hold it up. (The scheduler's tests are to come to the end of it.)
const FAVOURS: u32 = if cfg!(all(test, feature = "shuttle")) { 1 } else { 32 };

/// The most callbacks of one dispatch (rule H3).
const MOST_DISPATCHED: u32 = 256;

/// The next thing to do.
pub(crate) enum Work {
    Note(Note),
    Program(Plane),
    Portion(u64),
    Look(Due),
    /// A client is to be called. It is in the [`Ask`] beside this, which is not moved because it is
    /// large.
    Ask,
    Nothing,
}

/// A client to be called.
pub(crate) struct Ask<C> {
    question: Question,
    client: C,
    slot: u32,
    job: u32,
}

impl<C: Callbacks> Mgm<C> {
    /// Begins a call.
    pub(crate) fn enter(&'static self) -> Result<Call, Error> {
        Ok(self.enter_and(|_| ())?.0)
    }

    /// Begins a call, and looks at the run under the same lock.
    pub(crate) fn enter_and<T>(
        &'static self,
        look: impl FnOnce(&Running<C>) -> T,
    ) -> Result<(Call, T), Error> {
        let here = context::here(self.address());
        let mut state = self.lock();
        let running = state.running().ok_or(Error::NotRunning)?;
        Ok((running.begin(here)?, look(running)))
    }

    /// Asks the core, and does what it decides.
    pub(crate) fn ask_core<R>(
        &'static self,
        call: &mut Call,
        ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (now, mut next) = (self.now(), None);
        let (result, work) =
            self.ask_with(call, now, ask, |running, call| running.choose(call, &mut next))?;
        self.carry_on(call, work, &mut next);
        result
    }

    /// Asks the core at a moment. What it decides is left to `then`, which is called under the
    /// same lock.
    pub(crate) fn ask_with<R, T>(
        &'static self,
        call: &mut Call,
        now: Millis,
        mut ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
        then: impl FnOnce(&mut Running<C>, &mut Call) -> T,
    ) -> Result<(Result<R, Error>, T), Error> {
        loop {
            let mut state = self.lock();
            let running = state.running_in(call.epoch).ok_or(Error::NotRunning)?;
            let result = running.ask(call, now, &mut ask);
            if !matches!(result, Err(Error::Again)) {
                return Ok((result, then(running, call)));
            }
        }
    }

    /// Does what is to be done, as far as this thread is responsible for it.
    pub(crate) fn settle(&'static self, call: &mut Call) {
        let mut next = None;
        let work = match self.lock().running_in(call.epoch) {
            Some(running) => running.choose(call, &mut next),
            None => return,
        };
        self.carry_on(call, work, &mut next);
    }

    pub(crate) fn carry_on(&'static self, call: &mut Call, work: Work, next: &mut Option<Ask<C>>) {
        if !matches!(work, Work::Nothing) {
            let job = JobOf { epoch: call.epoch, job: call.job };
            context::performing(self.address(), job, || self.perform(call, work, next));
        }
    }

    fn perform(&'static self, call: &mut Call, mut work: Work, next: &mut Option<Ask<C>>) {
        let mut time = Duration::ZERO;
        loop {
            match work {
                Work::Nothing => break,
                Work::Note(note) => self.tell(&note),
                Work::Program(plane) => self.program(call, &plane),
                Work::Portion(id) => self.portion(call, id),
                Work::Look(due) => self.look(call, due),
                Work::Ask => {
                    if let Some(ask) = next {
                        let who = self.named(ask.slot);
                        self.log(Level::Trace, format_args!("{who}: {}", ask.question));
                        let call_it = || ask.question.put(&ask.client);
                        let begun = coarse_time();
                        self.call_client(call, ask.job, call_it);
                        time = coarse_time();
                        self.tally.took(ask.question.kind(), time.saturating_sub(begun));
                    }
                }
            }
            let about = next.as_ref().and_then(|ask| ask.question.flow());
            work = self.after(call, next, time);
            if let Some(flow) = about {
                self.bells.ring(Event::Flow(flow));
            }
        }
    }

    /// Takes an answer, if there is one, and chooses what comes next. `time` is the system's when the
    /// client returned.
    fn after(&'static self, call: &mut Call, asked: &mut Option<Ask<C>>, time: Duration) -> Work {
        let now = match asked {
            Some(ask) if ask.question.wants_answer() => self.now_at(time),
            _ => Millis::default(),
        };
        loop {
            let mut state = self.lock();
            let Some(running) = state.running_in(call.epoch) else {
                // MgmHostStop waits until this thread calls no client any more.
                if let Some(slot) = call.lane.take() {
                    match state.whole() {
                        Some(run) if run.epoch == call.epoch => {
                            run.delivery.stop_running(slot, &run.core.outbox);
                        }
                        _ => state.waits.returned(call.epoch, slot),
                    }
                    drop(state);
                    self.wake_all();
                }
                return Work::Nothing;
            };
            if let Some(job) = call.programs_for
                && !running.must_program(call)
            {
                call.programs_for = None;
                running.delivery.done(job);
            }
            if let Some(ask) = asked {
                if !ask.question.wants_answer() {
                    running.moves(call);
                } else if running.take_answer(call, ask, now).is_err() {
                    continue;
                }
                running.delivery.performed(ask.slot, ask.job);
                *asked = None;
            }
            return running.choose(call, asked);
        }
    }

    /// Ends a call. A call from outside any callback waits for what it caused (rule A7).
    pub(crate) fn leave(&'static self, mut call: Call) {
        if call.favours > 0 {
            self.see_to_what_is_left(&call);
        }
        if call.ended || !call.owns_job {
            return;
        }
        if call.waits {
            self.wait_for_job(&mut call, true);
        } else if let Some(running) = self.lock().running_in(call.epoch) {
            running.delivery.end_job(call.job);
        }
    }

    /// Wakes the timer where a call that helped other jobs leaves lanes that no thread will take.
    fn see_to_what_is_left(&'static self, call: &Call) {
        let left = self
            .with_in(call.epoch, |running| running.delivery.has_ready(&running.core.outbox, None));
        if left == Ok(true) {
            self.pool.wake(TICKING);
        }
    }

    fn look(&'static self, call: &mut Call, Due { relook, job, .. }: Due) {
        match relook {
            Relook::Flow { flow, rebuild } => self.look_again(call, job, flow, rebuild),
            Relook::Interface { index } => {
                let mut at = None;
                while let Ok(Some((flow, place))) =
                    self.with_in(call.epoch, |running| running.core.next_waiting(index, at))
                {
                    self.look_again(call, job, flow, false);
                    at = Some(place);
                }
            }
            Relook::Source { source } => self.look_at_source(call, job, source),
        }
        // Threads that wait for it are woken once this thread knows what it does next.
        let _ = self.with_in(call.epoch, |running| running.delivery.done(job));
    }

    /// Looks up the route toward a flow's source and gives it to the core. What this causes belongs
    /// to a job.
    pub(crate) fn look_again(
        &'static self,
        call: &mut Call,
        job: u32,
        flow: SourceGroup,
        rebuild: bool,
    ) {
        self.look_again_from(call, job, flow, None, rebuild);
    }

    /// The same. `arrival` is where a packet came in; without one the entry's iif stands for it.
    pub(crate) fn look_again_from(
        &'static self,
        call: &mut Call,
        job: u32,
        flow: SourceGroup,
        arrival: Option<IfKey>,
        rebuild: bool,
    ) {
        let asked = self.with_in(call.epoch, |running| {
            let core = &running.core;
            (running.forwarder.clone(), core.iif_of(flow), core.routes_as_of())
        });
        let Ok((forwarder, iif, as_of)) = asked else { return };
        let looked = Looked { route: forwarder.route(flow.source(), arrival.or(iif)), as_of };
        let now = self.now();
        let _ = self.with_in(call.epoch, |running| {
            running.begin_asking(call, job);
            // Where memory runs out, the entry stays as it is and is looked at again.
            match running.core.rerouted(now, flow, looked, rebuild) {
                Ok(()) => {}
                Err(_) if rebuild => running.core.rebuild_later(now, flow),
                Err(_) => running.look_all = true,
            }
            running.post(call);
        });
    }

    /// Looks up the route toward a source that memberships name, and gives it to the core. What
    /// this causes belongs to a job.
    pub(crate) fn look_at_source(&'static self, call: &mut Call, job: u32, source: Ipv4Addr) {
        let asked = self.with_in(call.epoch, |running| running.before_look_toward(source));
        let Ok((forwarder, iif, as_of)) = asked else { return };
        let looked = Looked { route: forwarder.route(source, iif), as_of };
        let _ = self.with_in(call.epoch, |running| {
            running.begin_asking(call, job);
            // For want of memory it is looked at again.
            running.look_all |= running.core.source_rerouted(source, looked).is_err();
            running.post(call);
        });
    }

    /// A duplicate of what is readable while callbacks wait for a client that dispatches them (rule H2).
    pub fn client_event(&self, client: ClientId) -> Result<OwnedFd, Error> {
        self.own_of(client, |own| own.duplicate().map_err(|_| Error::OutOfMemory))?
    }

    /// The number of the descriptor itself: it is the library's, and ends with the registration.
    pub fn client_descriptor(&self, client: ClientId) -> Result<RawFd, Error> {
        self.own_of(client, |own| own.descriptor().as_raw_fd())
    }

    fn own_of<R>(&self, client: ClientId, of: impl FnOnce(&Readiness) -> R) -> Result<R, Error> {
        let asked = self.with(|running| {
            running.core.is_registered(client)?;
            running.delivery.own(client.slot).map(of).ok_or(Error::NotDispatched)
        });
        asked.unwrap_or_else(|| Err(stale(client)))
    }

    /// Calls what waits for a client that dispatches its callbacks, on this thread (rules H1, H3, H7).
    pub fn dispatch(&'static self, client: ClientId) -> Result<(), Error> {
        let mut call = self.enter().map_err(|error| match error {
            Error::NotRunning => stale(client),
            other => other,
        })?;
        // Its callbacks are calls from outside any callback to others, even inside one.
        call.waits = false;
        let me = call.here.token;
        let begun = self.with_in(call.epoch, |running| {
            running.core.is_registered(client)?;
            running.delivery.begin_dispatch(client.slot, me)
        });
        let begun = begun.and_then(|begun| begun);
        if begun == Ok(true) {
            (call.lane, call.dispatches) =
                (Some(client.slot), Some((client.slot, MOST_DISPATCHED)));
            self.settle(&mut call);
            let _ =
                self.with_in(call.epoch, |running| running.delivery.end_dispatch(client.slot, me));
        }
        self.leave(call);
        begun.map(drop)
    }

    /// Waits until everything that a job caused has been performed (rule A7), except for what goes
    /// to clients that hang. `end`: the call that began the job returns then.
    pub(crate) fn wait_for_job(&'static self, call: &mut Call, end: bool) {
        let (mut last, mut since) = (u32::MAX, Instant::now());
        loop {
            let mut left_to_us = false;
            self.wait_until(Event::Job(call.job), |state, late| {
                let Some(running) = state.running_in(call.epoch) else { return true };
                let (delivery, outbox) = (&mut running.delivery, &running.core.outbox);
                delivery.await_job(call.job);
                let open = delivery.open_actions(call.job);
                if open != last {
                    (last, since) = (open, Instant::now());
                }
                // Another thread may have left a lane in which our action is the next, or comes
                // later while no thread takes the first one. Once none of our actions is open the
                // call has ended, and its job's number may be another's.
                let seeker = (call.job, call.here.token);
                if late && open > 0 {
                    delivery.claim_behind(outbox, seeker);
                }
                left_to_us = open > 0 && delivery.has_ready(outbox, Some(seeker));
                // No client's lane has it. It is with a thread that does not return from the host's
                // code.
                let lost = open > 0
                    && !left_to_us
                    && since.elapsed() > PATIENCE
                    && !delivery.holds(call.job, outbox);
                if end && (open == 0 || lost) {
                    delivery.end_job(call.job);
                }
                open == 0 || lost || left_to_us
            });
            if !left_to_us {
                return;
            }
            self.settle(call);
            if call.ended {
                return;
            }
        }
    }

    /// Waits until no client is asked about a flow any more, except for clients that hang. Other
    /// threads may be putting the questions.
    pub(crate) fn wait_for_flow(&'static self, call: &mut Call, flow: SourceGroup) {
        self.wait_for_job(call, false);
        loop {
            let mut left_to_us = false;
            self.wait_until(Event::Flow(flow), |state, late| {
                let Some(running) = state.running_in(call.epoch) else { return true };
                let (delivery, core) = (&mut running.delivery, &running.core);
                let mut asked = false;
                core.for_each_asked(flow, |slot| {
                    asked |= delivery.is_waited_for(slot);
                    if late {
                        // Whoever is responsible for it does not come.
                        delivery.claim(slot, call.here.token);
                    }
                });
                let seeker = (call.job, call.here.token);
                left_to_us = late && asked && delivery.has_ready(&core.outbox, Some(seeker));
                !asked || left_to_us
            });
            if !left_to_us {
                return;
            }
            self.settle(call);
        }
    }

    /// Sees to it that everything that has been decided so far is in the plane, whoever decided it.
    pub(crate) fn program_all(&'static self, call: &mut Call) {
        let _ = self.with_in(call.epoch, |running| call.until = running.core.plane.added());
        self.settle(call);
    }

    /// Finds clients that hang, for which no call waits until they have returned (rule A7).
    pub(crate) fn watch(&self) {
        loop {
            let found = self.with(|running| {
                let slot = running.delivery.find_hanging(&running.core.outbox)?;
                Some(running.core.client_info(slot))
            });
            let Some(Some(info)) = found else { return };
            self.wake_all();
            // None: it is being deregistered.
            let Some(name) = info.map(|info| info.name()) else { continue };
            self.log(
                Level::Warn,
                format_args!(
                    "{name} has been inside a callback for 5 s; until it comes out nothing waits \
                     for it"
                ),
            );
        }
    }
}

impl<C: Callbacks> Running<C> {
    /// What is needed to look up the route toward a source without a packet of it: the forwarder,
    /// where its packets come in as far as that is known, and the present moment.
    pub(crate) fn before_look_toward(
        &self,
        source: Ipv4Addr,
    ) -> (Arc<dyn Forwarder>, Option<IfKey>, RoutesAsOf) {
        (self.forwarder.clone(), self.core.iif_of_source(source), self.core.routes_as_of())
    }

    /// Begins a call. Inside a callback it belongs to that callback's job.
    pub(crate) fn begin(&mut self, here: Here) -> Result<Call, Error> {
        let (job, owns_job) = match here.around {
            Some(around) if around.epoch == self.epoch => (around.job, false),
            _ => (self.delivery.begin_job()?, true),
        };
        Ok(Call {
            job,
            epoch: self.epoch,
            owns_job,
            here,
            waits: here.around.is_none() && !here.inside_forwarder,
            last: false,
            sees_to_all: false,
            until: 0,
            added_before: 0,
            lane: None,
            kept: None,
            carries: None,
            favours: 0,
            dispatches: None,
            programs_for: None,
            ended: false,
        })
    }

    /// Asks the core once, for a call.
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
        self.post(call);
        result
    }

    /// Gives an answer to the core. Gives [`Error::Again`] where something else must be finished first.
    fn take_answer(&mut self, call: &mut Call, ask: &mut Ask<C>, now: Millis) -> Result<(), Error> {
        self.begin_asking(call, ask.job);
        let answered = ask.question.answer(&mut self.core, now, ask.slot);
        #[cfg(feature = "fault-injection")]
        crate::shell::fault::point("answer");
        self.post(call);
        answered?;
        // The packets that waited for the answer go when the plane has their entry.
        if ask.job != call.job
            && call.programs_for.is_none()
            && !call.here.inside_forwarder
            && self.must_program(call)
        {
            self.delivery.count(ask.job);
            call.programs_for = Some(ask.job);
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
    fn moves(&mut self, call: &Call) {
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

    /// What the thread is to do next: first what needs no client, then the rest of the lane that
    /// it runs, then the lanes whose first action it is responsible for.
    pub(crate) fn choose(&mut self, call: &mut Call, next: &mut Option<Ask<C>>) -> Work {
        if let Some(note) = self.core.take_note() {
            return Work::Note(note);
        }
        if !call.here.inside_forwarder && self.must_program(call) {
            if let Some(slot) = call.lane.take() {
                self.delivery.keep(slot, &self.core.outbox);
                call.kept = Some(slot);
            }
            return Work::Program(Plane {
                forwarder: self.forwarder.clone(),
                programming: self.programming.clone(),
            });
        }
        let begun = self.to_carry_on(call, false);
        if let Some(id) = begun
            && !self.is_crowded(call)
        {
            return Work::Portion(id);
        }
        if let Some(due) = self.core.relook.pop_front() {
            return Work::Look(due);
        }
        if call.here.inside_forwarder {
            context::leave_over();
            let begun = begun.or_else(|| self.to_carry_on(call, true));
            return begun.map_or(Work::Nothing, Work::Portion);
        }
        while let Some(slot) = self.lane_for(call) {
            if let Some((node, client)) = self.delivery.next_action(slot, &mut self.core.outbox) {
                match &mut call.dispatches {
                    Some((own, left)) if *own == slot => *left -= 1,
                    _ => call.favours += u32::from(node.job != call.job),
                }
                let question = Question::prepare(&mut self.core, slot, node.action);
                *next = Some(Ask { question, client: client.clone(), slot, job: node.job });
                return Work::Ask;
            }
            call.lane = None;
            if self.delivery.stop_running(slot, &self.core.outbox) {
                self.core.free_client_slot(slot);
            }
        }
        if let Some(id) = begun.or_else(|| self.to_carry_on(call, true)) {
            return Work::Portion(id);
        }
        if call.last && call.owns_job && self.delivery.open_actions(call.job) == 0 {
            self.delivery.end_job(call.job);
            call.ended = true;
        }
        Work::Nothing
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
