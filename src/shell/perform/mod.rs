//! Performs what the core decided, with nothing locked: programs entries, looks routes up, logs
//! notes and calls clients, until nothing is left.
//!
//! | file | what |
//! |---|---|
//! | `choose` | what a thread does next, with the lock held |
//! | `invocation` | one call of a client's callback |
//! | `program` | programs entries |
//! | `look` | looks routes up |
//! | `portions` | changes of many entries |
//! | `wait` | waits for what a call caused |
//! | `dispatch` | clients that dispatch their callbacks themselves |

#![forbid(unsafe_code)]

mod ahead;
mod choose;
mod dispatch;
mod invocation;
mod look;
mod portions;
mod program;
mod wait;

use crate::core::{Core, Due, NONE, Note};
use crate::error::Error;
use crate::log::Level;
use crate::shell::batch::PlaneAccess;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{self, JobOf, Performing};
use crate::shell::duties::TICKING;
use crate::shell::manager::{Mgm, Running};
use crate::shell::run::Locked;
use crate::sys::sync::coarse_time;
use crate::types::{ClientId, Millis};
use invocation::Invocation;
use std::time::Duration;

/// The next thing to do.
pub(crate) enum Work {
    Note(Note),
    Program(PlaneAccess),
    Portion(u64),
    /// A portion, once others have delivered some of what waits.
    Room(u64),
    Look(Due),
    /// A client is to be called: the one in the [`Ask`] beside this.
    Ask,
    Nothing,
}

/// The client that is to be called, if any, and for what. It is large, so it is filled where it is and
/// never moved.
pub(crate) struct Ask<C> {
    invocation: Option<Invocation>,
    client: Option<C>,
    slot: u32,
    job: u32,
}

impl<C> Ask<C> {
    /// Nobody is to be called.
    const fn nobody() -> Self {
        Self { invocation: None, client: None, slot: NONE, job: NONE }
    }

    /// The client was called.
    fn clear(&mut self) {
        (self.invocation, self.client) = (None, None);
    }
}

impl<C: Callbacks> Mgm<C> {
    /// One call of a client: ask the core, perform, wait for the alerts. The call begins, asks the
    /// core and chooses what to do under one lock.
    pub(crate) fn call<R>(
        &'static self,
        client: ClientId,
        mut ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let here = context::here(self.address());
        let (now, mut next) = (self.now(), Ask::nobody());
        let mut state = self.lock();
        let running = state.running().ok_or_else(|| Error::no_client(client))?;
        let mut call = Call::new(here, running.begin(here)?);
        call.last = true;
        let result = running.ask(&mut call, now, &mut ask);
        if matches!(result, Err(Error::Again)) {
            running.post(&mut call);
            drop(state);
            return self.call_again(call, now, ask);
        }
        let work = running.post_and_choose(&mut call, &mut next);
        drop(state);
        self.carry_on(&mut call, work, &mut next);
        self.leave(&mut call);
        result
    }

    /// The rest of a call that something else must be finished for first.
    #[cold]
    fn call_again<R>(
        &'static self,
        mut call: Call,
        now: Millis,
        ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut next = Ask::nobody();
        let choose =
            |running: &mut Running<C>, call: &mut Call| running.post_and_choose(call, &mut next);
        let (result, work) = self.ask_with(&mut call, now, ask, choose)?;
        self.carry_on(&mut call, work, &mut next);
        self.leave(&mut call);
        result
    }

    /// Begins a call of a client. When nothing runs, its handle is stale.
    pub(crate) fn enter_client(&'static self, client: ClientId) -> Result<Call, Error> {
        self.enter().map_err(|error| match error {
            Error::NotRunning => Error::no_client(client),
            other => other,
        })
    }

    /// Begins a call.
    pub(crate) fn enter(&'static self) -> Result<Call, Error> {
        Ok(self.enter_and(|_, _| ())?.0)
    }

    /// Begins a call, and looks at the run under the same lock.
    pub(crate) fn enter_and<T>(
        &'static self,
        look: impl FnOnce(&Running<C>, &Call) -> T,
    ) -> Result<(Call, T), Error> {
        let here = context::here(self.address());
        let mut state = self.lock();
        let running = state.running().ok_or(Error::NotRunning)?;
        let call = Call::new(here, running.begin(here)?);
        let looked = look(running, &call);
        Ok((call, looked))
    }

    /// Asks the core, and does what it decides.
    pub(crate) fn ask_and_perform<R>(
        &'static self,
        call: &mut Call,
        ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (now, mut next) = (self.now(), Ask::nobody());
        let (result, work) = self
            .ask_with(call, now, ask, |running, call| running.post_and_choose(call, &mut next))?;
        self.carry_on(call, work, &mut next);
        result
    }

    /// Asks the core at a moment. What it decides is left to `then`, which is called under the
    /// same lock, and which posts it.
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
            running.post(call);
        }
    }

    /// Does what is to be done, as far as this thread is responsible for it.
    pub(crate) fn settle(&'static self, call: &mut Call) {
        let mut next = Ask::nobody();
        let work = match self.lock().running_in(call.epoch) {
            Some(running) => running.choose(call, &mut next),
            None => return,
        };
        self.carry_on(call, work, &mut next);
    }

    pub(crate) fn carry_on(&'static self, call: &mut Call, work: Work, next: &mut Ask<C>) {
        if !matches!(work, Work::Nothing) {
            let job = JobOf { epoch: call.epoch, job: call.job };
            context::performing(self.address(), job, |this| self.perform(this, call, work, next));
        }
    }

    fn perform(
        &'static self,
        this: &Performing<'_>,
        call: &mut Call,
        mut work: Work,
        next: &mut Ask<C>,
    ) {
        let mut time = Duration::ZERO;
        loop {
            match work {
                Work::Nothing => break,
                Work::Note(note) => self.tell(&note),
                Work::Program(plane) => self.program(call, &plane),
                Work::Portion(id) => self.portion(call, id),
                Work::Room(id) => self.portion_when_there_is_room(call, id),
                Work::Look(due) => self.look(call, due),
                Work::Ask => {
                    let Ask { invocation, client, slot, job } = &mut *next;
                    if let (Some(invocation), Some(client)) = (invocation, client) {
                        if self.logs(Level::Trace) {
                            let who = self.named(*slot);
                            self.log(Level::Trace, format_args!("{who}: {invocation}"));
                        }
                        let job = JobOf { epoch: call.epoch, job: *job };
                        let begun = coarse_time();
                        self.call_client(this, job, || invocation.put(client));
                        time = coarse_time();
                        self.tally.took(invocation.kind(), begun, time);
                    }
                }
            }
            let about = next.invocation.as_ref().and_then(Invocation::flow);
            work = self.after(call, next, time);
            if let Some(flow) = about {
                self.bells.ring(Event::Flow(flow));
            }
        }
    }

    /// Takes an answer, if there is one, and chooses what comes next. `time` is the system's when the
    /// client returned.
    fn after(&'static self, call: &mut Call, asked: &mut Ask<C>, time: Duration) -> Work {
        let wants_answer = asked.invocation.as_ref().is_some_and(Invocation::wants_answer);
        let now = if wants_answer { self.now_at(time) } else { Millis::default() };
        loop {
            let mut state = self.lock();
            if call.carries.is_some() {
                // It comes again and again, and would have the lock before whoever is woken for it.
                state.give_way();
            }
            let Some(running) = state.running_in(call.epoch) else {
                self.out_of_the_client(call, state);
                return Work::Nothing;
            };
            if let Some(job) = call.programs_for
                && !running.must_program(call)
            {
                call.programs_for = None;
                running.delivery.done(job);
            }
            if let Some(invocation) = &mut asked.invocation {
                if !wants_answer {
                    running.moves(call);
                    #[cfg(feature = "fault-injection")]
                    crate::shell::fault::point("answer");
                } else if running
                    .take_answer(call, invocation, (asked.slot, asked.job), now)
                    .is_err()
                {
                    continue;
                }
                running.delivery.performed(asked.slot, asked.job);
                asked.clear();
            }
            return running.choose(call, asked);
        }
    }

    /// The run has ended: MgmHostStop waits until this thread calls no client any more.
    #[cold]
    fn out_of_the_client(&self, call: &mut Call, mut state: Locked<'_, C>) {
        let Some(slot) = call.lane.take() else { return };
        match state.whole() {
            Some(run) if run.epoch == call.epoch => {
                run.delivery.stop_running(slot, &run.core.outbox);
            }
            _ => state.waits.returned(call.epoch, slot),
        }
        drop(state);
        self.wake_all();
    }

    /// Ends a call. A call from outside any callback waits for what it caused (rule A7).
    #[inline]
    pub(crate) fn leave(&'static self, call: &mut Call) {
        if call.favours == 0 && call.ended {
            return;
        }
        self.leave_unfinished(call);
    }

    /// The same where the call has not ended yet, or has helped others.
    #[cold]
    fn leave_unfinished(&'static self, call: &mut Call) {
        if call.favours > 0 {
            self.see_to_what_is_left(call);
        }
        if call.ended || !call.owns_job {
            return;
        }
        if call.waits {
            call.favours = 0;
            self.wait_for_job(call, true);
            if call.favours > 0 {
                self.see_to_what_is_left(call);
            }
            return;
        }
        let _ = self.with_in(call.epoch, |running| running.delivery.end_job(call.job));
        // Others may have left something of it while it was under way.
        self.see_to_what_is_left(call);
    }

    /// Wakes the timer where a call that helped other jobs leaves lanes that no thread will take.
    fn see_to_what_is_left(&'static self, call: &Call) {
        let left = self
            .with_in(call.epoch, |running| running.delivery.has_abandoned(&running.core.outbox));
        if left == Ok(true) {
            self.pool.wake(TICKING);
        }
    }
}
