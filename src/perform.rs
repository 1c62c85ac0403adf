//! Performing what the core decided, with nothing locked: entries are programmed, routes looked
//! up, notes logged and clients called, until nothing is left.

#![forbid(unsafe_code)]

use crate::callbacks::{Callbacks, OutInterface, RpfAnswer};
use crate::context::{self, Here};
use crate::core::outbox::{Action, LifetimeAsk, Node};
use crate::core::plane::Stale;
use crate::core::types::{IfKey, Millis, Route, Seconds, SourceGroup};
use crate::core::{Core, Header, Note, Relook, RouteBook};
use crate::deliver::NOBODY;
use crate::error::Error;
use crate::forwarder::{EntryChange, EntryState, Forwarder, ForwarderError};
use crate::log::Level;
use crate::mgm::{Mgm, Running};
use crate::sync::Instant;
use smallvec::SmallVec;
use std::fmt;
use std::time::Duration;

/// How many entries are programmed at a time.
const BATCH: usize = 128;
/// How many actions of other jobs a call performs beside its own, at the most: a flood of new flows
/// must not keep it.
const FAVOURS: u32 = 32;
/// How long a call waits for one client to come out of its callback.
const STALLED: Duration = Duration::from_secs(5);

/// A call from outside, an upcall, or a call from inside a callback.
pub(crate) struct Call {
    pub job: u32,
    pub epoch: u64,
    /// The job is its own, and not that of a callback that it was made inside of.
    owns_job: bool,
    here: Here,
    /// It was made outside of any callback and of the forwarder's functions: it waits for what
    /// it caused (rule A7). Others never wait (rule A6).
    pub waits: bool,
    /// Nothing is asked any more: its job ends when all was performed.
    pub last: bool,
    /// It sees to everything there is to do, and not only to what it caused itself.
    pub sees_to_all: bool,
    /// How much of the plane must have been programmed before it goes on: what it added is.
    until: u64,
    /// How much there was before what it asks now.
    added_before: u64,
    /// The lane that it runs now.
    lane: Option<u32>,
    /// The lane that it keeps while it programs.
    kept: Option<u32>,
    /// How many actions of other jobs it has performed.
    favours: u32,
    /// Everything it caused was performed, and its job is over.
    ended: bool,
}

/// The next thing to do.
pub(crate) enum Work {
    Note(Note),
    Program,
    Look(Relook),
    /// The client to be called stands in the [`Ask`] beside it, where it stays: it is large.
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

/// One call of a client: what it is told and asked, and room for its answer.
enum Question {
    Rpf { id: u32, of: SourceGroup, answer: RpfAnswer, header: Header, route: Route },
    // `starved`: there was no memory to call the client.
    Creation { id: u32, of: SourceGroup, iif: IfKey, out: OutInterfaces, starved: bool },
    Prune { of: SourceGroup, interface: IfKey, member: bool, asks: LifetimeAsk, timeout: Seconds },
    Join { of: SourceGroup, member: bool },
    WrongIf { of: SourceGroup, arrival: IfKey, header: Option<Header> },
    LocalJoin { of: SourceGroup, interface: IfKey },
    LocalLeave { of: SourceGroup, interface: IfKey },
    DisableIgmp { interface: IfKey, change: u32 },
    EnableIgmp { interface: IfKey },
}

type OutInterfaces = SmallVec<[OutInterface; 8]>;

impl Question {
    /// Reads from the core what an action is about.
    fn prepare(core: &mut Core, client: u32, action: Action) -> Self {
        match action {
            Action::Rpf { flow } => {
                let (of, answer, header, route) = core.rpf_question(flow);
                Self::Rpf { id: flow, of, answer, header, route }
            }
            Action::Creation { flow } => {
                let mut out = SmallVec::new();
                let (of, iif) = core.creation_question(flow, client, &mut out);
                Self::Creation { id: flow, of, iif, out, starved: false }
            }
            Action::Prune { of, interface, member, asks } => {
                Self::Prune { of, interface, member, asks, timeout: Seconds(900) }
            }
            Action::Join { of, member } => Self::Join { of, member },
            Action::WrongIf { flow, arrival, header } => {
                Self::WrongIf { of: flow, arrival, header: core.take_header(header) }
            }
            Action::LocalJoin { of, interface } => Self::LocalJoin { of, interface },
            Action::LocalLeave { of, interface } => Self::LocalLeave { of, interface },
            Action::DisableIgmp { interface, change } => {
                core.igmp_disabling(interface);
                Self::DisableIgmp { interface, change }
            }
            Action::EnableIgmp { interface } => {
                core.igmp_enabling(interface);
                Self::EnableIgmp { interface }
            }
        }
    }

    /// Calls the client.
    fn put<C: Callbacks>(&mut self, client: &C) {
        match self {
            Self::Rpf { of, answer, header, route, .. } => {
                client.rpf(*of, answer, header.as_bytes(), route)
            }
            Self::Creation { of, iif, out, starved, .. } => {
                if !out.is_empty() {
                    *starved = client.try_creation(*of, *iif, out).is_err();
                }
            }
            Self::Prune { of, interface, member, timeout, .. } => {
                client.prune(*of, *interface, *member, timeout)
            }
            Self::Join { of, member } => client.join(*of, *member),
            Self::WrongIf { of, arrival, header } => {
                if let Some(header) = header {
                    client.wrong_interface(*of, *arrival, header.as_bytes());
                }
            }
            Self::LocalJoin { of, interface } => client.local_join(*of, *interface),
            Self::LocalLeave { of, interface } => client.local_leave(*of, *interface),
            Self::DisableIgmp { interface, .. } => client.disable_igmp(*interface),
            Self::EnableIgmp { interface } => client.enable_igmp(*interface),
        }
    }

    /// Whether the answer means anything to the core.
    const fn wants_answer(&self) -> bool {
        match self {
            Self::Rpf { .. } | Self::Creation { .. } | Self::DisableIgmp { .. } => true,
            Self::Prune { asks, .. } => asks.number() != 0,
            _ => false,
        }
    }

    /// Gives the answer to the core. Gives [`Error::RouteNeeded`], and is to be called again,
    /// where the book lacks a source.
    fn answer(
        &self,
        core: &mut Core,
        now: Millis,
        client: u32,
        routes: &mut RouteBook,
    ) -> Result<(), Error> {
        match self {
            Self::Rpf { id, answer, .. } => core.rpf_answered(now, *id, client, Some(*answer)),
            Self::Creation { id, out, starved, .. } => {
                if *starved {
                    core.creation_starved(*id);
                }
                core.creation_answered(now, *id, client, out);
            }
            Self::Prune { of, asks, timeout, .. } => core.prune_answered(now, *of, *asks, *timeout),
            Self::DisableIgmp { change, .. } => core.disable_answered(now, *change, routes)?,
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |member: &bool| if *member { "membership" } else { "entry" };
        match self {
            Self::Rpf { of, route, .. } => write!(f, "RPF {of}, route by {}", route.interface),
            Self::Creation { of, iif, out, .. } => {
                write!(f, "creation alert {of} from {iif} to {} of its interfaces", out.len())
            }
            Self::Prune { of, interface, member, .. } => {
                write!(f, "prune alert {of} {}, {interface}", about(member))
            }
            Self::Join { of, member } => write!(f, "join alert {of} {}", about(member)),
            Self::WrongIf { of, arrival, .. } => write!(f, "wrong interface {of}, {arrival}"),
            Self::LocalJoin { of, interface } => write!(f, "local join {of}, {interface}"),
            Self::LocalLeave { of, interface } => write!(f, "local leave {of}, {interface}"),
            Self::DisableIgmp { interface, .. } => write!(f, "disable IGMP, {interface}"),
            Self::EnableIgmp { interface } => write!(f, "enable IGMP, {interface}"),
        }
    }
}

/// Answers for a client that has gone.
pub(crate) fn answer_orphan(
    core: &mut Core,
    now: Millis,
    node: &Node,
    routes: &mut RouteBook,
) -> Result<(), Error> {
    match node.action {
        Action::Rpf { flow } => core.rpf_answered(now, flow, node.client, None),
        Action::Creation { flow } => core.creation_answered(now, flow, node.client, &[]),
        Action::WrongIf { header, .. } => drop(core.take_header(header)),
        Action::DisableIgmp { change, .. } => core.disable_answered(now, change, routes)?,
        _ => {}
    }
    Ok(())
}

impl<C: Callbacks> Mgm<C> {
    /// Begins a call.
    pub(crate) fn enter(&'static self) -> Result<Call, Error> {
        let mut state = self.state.write();
        let running = state.running().ok_or(Error::NotRunning)?;
        running.begin(context::here(self.address()))
    }

    /// Asks the core, with the routes it needs, and does what it decides.
    pub(crate) fn ask_core<R>(
        &'static self,
        call: &mut Call,
        ask: impl FnMut(&mut Core, Millis, &mut RouteBook) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let now = self.now();
        self.ask_core_with(call, now, &mut RouteBook::new(), ask)
    }

    /// The same with routes that are known already.
    pub(crate) fn ask_core_with<R>(
        &'static self,
        call: &mut Call,
        now: Millis,
        routes: &mut RouteBook,
        ask: impl FnMut(&mut Core, Millis, &mut RouteBook) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut next = None;
        let (result, work) =
            self.ask_with(call, now, routes, ask, |running, call| running.choose(call, &mut next))?;
        self.carry_on(call, work, &mut next);
        result
    }

    /// Asks the core, with the routes it needs. What it decides is left to `then`, which is
    /// called under the same lock.
    pub(crate) fn ask_only<R, T>(
        &'static self,
        call: &mut Call,
        ask: impl FnMut(&mut Core, Millis, &mut RouteBook) -> Result<R, Error>,
        then: impl FnOnce(&mut Running<C>, &mut Call) -> T,
    ) -> Result<(Result<R, Error>, T), Error> {
        let now = self.now();
        self.ask_with(call, now, &mut RouteBook::new(), ask, then)
    }

    fn ask_with<R, T>(
        &'static self,
        call: &mut Call,
        now: Millis,
        routes: &mut RouteBook,
        mut ask: impl FnMut(&mut Core, Millis, &mut RouteBook) -> Result<R, Error>,
        then: impl FnOnce(&mut Running<C>, &mut Call) -> T,
    ) -> Result<(Result<R, Error>, T), Error> {
        loop {
            let forwarder = {
                let mut state = self.state.write();
                let running = state.running_in(call.epoch).ok_or(Error::NotRunning)?;
                let result = running.ask(call, now, routes, &mut ask);
                if !matches!(result, Err(Error::RouteNeeded)) {
                    return Ok((result, then(running, call)));
                }
                running.forwarder.clone()
            };
            self.look_up(&*forwarder, routes)?;
        }
    }

    /// Does what is to be done, by this thread as far as it may.
    pub(crate) fn settle(&'static self, call: &mut Call) {
        let mut next = None;
        let work = match self.state.write().running_in(call.epoch) {
            Some(running) => running.choose(call, &mut next),
            None => return,
        };
        self.carry_on(call, work, &mut next);
    }

    pub(crate) fn carry_on(
        &'static self,
        call: &mut Call,
        mut work: Work,
        next: &mut Option<Ask<C>>,
    ) {
        loop {
            match work {
                Work::Nothing => break,
                Work::Note(note) => self.log(Level::Warn, format_args!("{note}")),
                Work::Program => self.program(call),
                Work::Look(relook) => self.look(call, relook),
                Work::Ask => {
                    if let Some(ask) = next {
                        self.log(
                            Level::Trace,
                            format_args!("client in slot {}: {}", ask.slot, ask.question),
                        );
                        let call_it = || ask.question.put(&ask.client);
                        self.call_client(call, ask.job, call_it);
                    }
                }
            }
            work = self.after(call, next);
            self.wake();
        }
    }

    /// Takes an answer, if there is one, and chooses what comes next.
    fn after(&'static self, call: &mut Call, asked: &mut Option<Ask<C>>) -> Work {
        let now = match asked {
            Some(ask) if ask.question.wants_answer() => self.now(),
            _ => Millis::default(),
        };
        let mut routes = RouteBook::new();
        loop {
            let forwarder = {
                let mut state = self.state.write();
                let Some(running) = state.running_in(call.epoch) else {
                    // MgmHostStop waits until this thread calls nobody any more.
                    if let (Some(slot), Some(run)) = (call.lane.take(), state.whole())
                        && run.epoch == call.epoch
                    {
                        run.delivery.stop_running(slot);
                    }
                    return Work::Nothing;
                };
                let Some(ask) = asked else { return running.choose(call, asked) };
                running.begin_asking(call, ask.job);
                let answer = ask.question.answer(&mut running.core, now, ask.slot, &mut routes);
                #[cfg(feature = "fault-injection")]
                crate::fault::point("answer");
                if answer != Err(Error::RouteNeeded) {
                    running.post(call);
                    running.delivery.done(ask.job);
                    *asked = None;
                    return running.choose(call, asked);
                }
                running.forwarder.clone()
            };
            // For want of memory the change does not come to pass.
            if self.look_up(&*forwarder, &mut routes).is_err() {
                routes.give_up();
            }
        }
    }

    /// Ends a call: from outside any callback it waits for what it caused (rule A7).
    pub(crate) fn leave(&'static self, mut call: Call) {
        if call.favours > 0 {
            self.see_to_what_is_left(&call);
        }
        if call.ended || !call.owns_job {
            return;
        }
        if call.waits {
            self.wait_for_job(&mut call, true);
        } else if let Some(running) = self.state.write().running_in(call.epoch) {
            running.delivery.end_job(call.job);
        }
    }

    /// A call that was of help may leave lanes that nobody is coming for: the timer does.
    fn see_to_what_is_left(&'static self, call: &Call) {
        let left = self
            .with_in(call.epoch, |running| running.delivery.has_ready(&running.core.outbox, None));
        if left == Ok(true) {
            self.timers.wake();
        }
    }

    fn look(&'static self, call: &mut Call, relook: Relook) {
        match relook {
            Relook::Flow { flow, rebuild } => self.look_again(call, flow, rebuild),
            Relook::Interface { index } => {
                let mut at = None;
                while let Some((flow, place)) =
                    self.with(|running| running.core.next_waiting(index, at)).flatten()
                {
                    self.look_again(call, flow, false);
                    at = Some(place);
                }
            }
        }
    }

    /// Looks up the route toward a flow's source and tells the core.
    pub(crate) fn look_again(&'static self, call: &mut Call, flow: SourceGroup, rebuild: bool) {
        let looked = self.with(|running| (running.forwarder.clone(), running.core.iif_of(flow)));
        let Some((forwarder, iif)) = looked else { return };
        let route = forwarder.route(flow.source(), iif);
        let now = self.now();
        self.with(|running| {
            running.begin_asking(call, call.job);
            // For want of memory the entry stays as it is and is looked at again.
            match running.core.rerouted(now, flow, route, rebuild) {
                Ok(()) => {}
                Err(_) if rebuild => running.core.rebuild_later(now, flow),
                Err(_) => running.look_all = true,
            }
            running.post(call);
        });
    }

    /// Fills the route that a call of the core lacked.
    pub(crate) fn look_up(
        &self,
        forwarder: &dyn Forwarder,
        routes: &mut RouteBook,
    ) -> Result<(), Error> {
        let Some(source) = routes.take_missing() else { return Ok(()) };
        let iif = self.with(|running| running.core.iif_of_source(source)).flatten();
        let route = forwarder.route(source, iif);
        routes.add(source, route.map(|route| route.interface))
    }

    /// Waits until everything that a job caused has been performed (rule A7), but not for ever.
    /// With `end` the call that began it returns.
    pub(crate) fn wait_for_job(&'static self, call: &mut Call, end: bool) {
        let (mut last, mut since) = (u32::MAX, Instant::now());
        loop {
            let (mut stalled, mut left_to_us) = (false, false);
            self.wait_until(|state| {
                let Some(running) = state.running_in(call.epoch) else { return true };
                let open = running.delivery.open_actions(call.job);
                if open != last {
                    (last, since) = (open, Instant::now());
                }
                // Another thread may have left a lane in which ours comes next. Once nothing of ours
                // is open the call has ended, and its job may be another's.
                let seeker = (call.job, call.here.token);
                left_to_us =
                    open > 0 && running.delivery.has_ready(&running.core.outbox, Some(seeker));
                stalled = open > 0 && !left_to_us && since.elapsed() > STALLED;
                if end && (open == 0 || stalled) {
                    running.delivery.end_job(call.job);
                }
                open == 0 || stalled || left_to_us
            });
            if stalled {
                self.log(
                    Level::Warn,
                    format_args!(
                        "a client has been inside a callback for 5 s; a call no longer waits for it"
                    ),
                );
            }
            if !left_to_us {
                return;
            }
            self.settle(call);
            if call.ended {
                return;
            }
        }
    }

    /// Programs what is out of date, in order, until all is that the call has to see to.
    fn program(&'static self, call: &mut Call) {
        let forwarder = self.with_in(call.epoch, |running| running.forwarder.clone());
        if let Ok(forwarder) = &forwarder {
            loop {
                let more = {
                    let mut batch = self.programming.lock();
                    context::inside_forwarder(|| self.program_some(call, &mut batch, &**forwarder))
                };
                self.give_kept_lines();
                if !more {
                    break;
                }
            }
        }
        // What follows can end in upcalls, whose callbacks may call.
        if let Some(slot) = call.kept.take()
            && let Some(running) = self.state.write().whole()
            && running.epoch == call.epoch
        {
            running.delivery.offer(slot, call.here.token);
        }
        if let Ok(forwarder) = forwarder {
            forwarder.flush();
        }
    }

    /// Programs one batch; true where there is more to do.
    fn program_some(
        &'static self,
        call: &mut Call,
        batch: &mut Batch,
        forwarder: &dyn Forwarder,
    ) -> bool {
        let some = self.collect(batch, call.epoch);
        if some {
            self.program_batch(batch, forwarder, call.epoch);
        }
        // Calls from inside the forwarder's functions may have added more.
        call.sees_to_all |= context::take_left_over();
        let mut state = self.state.write();
        let Some(running) = state.running_in(call.epoch) else { return false };
        running.core.plane.finish();
        some && running.must_program(call)
    }

    /// Takes over up to [`BATCH`] stale entries with what they are to be, or one interface.
    fn collect(&'static self, batch: &mut Batch, epoch: u64) -> bool {
        batch.clear();
        let mut state = self.state.write();
        let Some(running) = state.running_in(epoch) else { return false };
        let core = &mut running.core;
        while batch.entries.len() < BATCH {
            match core.plane.front() {
                Some(Stale::Entry(flow)) => {
                    if batch.add(core, flow).is_err() {
                        // What fits is programmed; one that never fits is tried again later.
                        if batch.entries.is_empty() {
                            core.plane.pop();
                            running.retry_later(flow);
                        }
                        break;
                    }
                    core.plane.pop();
                }
                Some(Stale::Interface(key)) if batch.entries.is_empty() => {
                    core.plane.pop();
                    if !core.uses(key) {
                        batch.unused = Some(key);
                        break;
                    }
                }
                Some(Stale::Interface(_)) | None => break,
            }
        }
        !batch.entries.is_empty() || batch.unused.is_some()
    }

    fn program_batch(&'static self, batch: &mut Batch, forwarder: &dyn Forwarder, epoch: u64) {
        #[cfg(feature = "fault-injection")]
        crate::fault::point("program");
        if let Some(interface) = batch.unused {
            forwarder.remove_interface(interface);
        }
        for entry in batch.entries.iter_mut().filter(|entry| entry.needs_count) {
            entry.packets_before =
                forwarder.counters(entry.flow).map_or(0, |counters| counters.packets);
        }
        let Batch { entries, oifs, .. } = &mut *batch;
        let mut at = 0;
        let mut changes = SmallVec::<[EntryChange<'_>; BATCH]>::new();
        for entry in entries.iter() {
            let state = entry.state.map(|(iif, count)| {
                at += count;
                EntryState { iif, oifs: &oifs[at - count..at] }
            });
            changes.push(EntryChange { flow: entry.flow, state });
        }
        let mut failures = SmallVec::<[(usize, ForwarderError); 4]>::new();
        forwarder.program(&changes, &mut |at, error| {
            // Beyond what finds room, a failure is not lost: the audit of the plane finds it.
            if failures.try_reserve(1).is_ok() {
                failures.push((at, error));
            }
        });
        for EntryChange { flow, state } in &changes {
            match state {
                Some(EntryState { iif, oifs }) => self.log(
                    Level::Debug,
                    format_args!("entry {flow}: from {iif} to {} interfaces", oifs.len()),
                ),
                None => self.log(Level::Debug, format_args!("entry {flow}: removed")),
            }
        }
        for (at, error) in &failures {
            if let Some(change) = changes.get(*at) {
                self.log(
                    Level::Error,
                    format_args!("entry {}: {error}; it is tried again", change.flow),
                );
            }
        }
        let mut state = self.state.write();
        let Some(running) = state.running_in(epoch) else { return };
        for (at, entry) in entries.iter().enumerate() {
            if failures.iter().any(|(failed, _)| *failed == at) {
                running.retry_later(entry.flow);
            } else if entry.state.is_some() {
                running.core.entry_programmed(entry.flow, entry.packets_before);
            }
        }
    }
}

/// An entry that is being programmed.
struct BatchEntry {
    flow: SourceGroup,
    /// Its iif, and how many oifs of the batch are its own. None: it goes.
    state: Option<(IfKey, usize)>,
    needs_count: bool,
    packets_before: u32,
}

/// What is being programmed; kept for its memory.
pub(crate) struct Batch {
    entries: Vec<BatchEntry>,
    oifs: Vec<IfKey>,
    unused: Option<IfKey>,
}

impl Batch {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), oifs: Vec::new(), unused: None }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.oifs.clear();
        self.unused = None;
    }

    fn add(&mut self, core: &Core, flow: SourceGroup) -> Result<(), Error> {
        self.entries.try_reserve(1)?;
        let entry = core.entry_state(flow, &mut self.oifs)?;
        self.entries.push(BatchEntry {
            flow,
            state: entry.map(|entry| (entry.iif, entry.oifs)),
            needs_count: entry.is_some_and(|entry| entry.needs_count),
            packets_before: 0,
        });
        Ok(())
    }
}

impl Call {
    /// Where it is made.
    pub const fn here(&self) -> Here {
        self.here
    }
}

impl<C: Callbacks> Running<C> {
    /// Begins a call; from inside a callback it belongs to that callback's job.
    pub(crate) fn begin(&mut self, here: Here) -> Result<Call, Error> {
        let (job, owns_job) = match here.job {
            Some(job) => (job, false),
            None => (self.delivery.begin_job()?, true),
        };
        Ok(Call {
            job,
            epoch: self.epoch,
            owns_job,
            here,
            waits: owns_job && !here.inside_forwarder,
            last: false,
            sees_to_all: false,
            until: 0,
            added_before: 0,
            lane: None,
            kept: None,
            favours: 0,
            ended: false,
        })
    }

    /// Asks the core once, in the name of a call.
    pub(crate) fn ask<R>(
        &mut self,
        call: &mut Call,
        now: Millis,
        routes: &mut RouteBook,
        ask: &mut impl FnMut(&mut Core, Millis, &mut RouteBook) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.begin_asking(call, call.job);
        let result = ask(&mut self.core, now, routes);
        #[cfg(feature = "fault-injection")]
        crate::fault::point("core");
        self.post(call);
        result
    }

    /// Something is asked of the core in the name of a call; its actions belong to a job.
    pub(crate) fn begin_asking(&mut self, call: &mut Call, job: u32) {
        self.core.outbox.set_job(job);
        call.added_before = self.core.plane.added();
    }

    /// Hands the core's new actions to their clients' lanes, and notes what is to be programmed.
    pub(crate) fn post(&mut self, call: &mut Call) {
        self.delivery.post(&mut self.core.outbox, call.here.token);
        if self.core.plane.added() > call.added_before {
            call.until = self.core.plane.added();
        }
    }

    /// What the thread is to do next: first what needs no client, then the rest of the lane that
    /// it runs, then the lanes whose first action it is responsible for.
    pub(crate) fn choose(&mut self, call: &mut Call, next: &mut Option<Ask<C>>) -> Work {
        if let Some(note) = self.core.take_note() {
            return Work::Note(note);
        }
        if !call.here.inside_forwarder && self.must_program(call) {
            if let Some(slot) = call.lane.take() {
                self.delivery.keep(slot);
                call.kept = Some(slot);
            }
            return Work::Program;
        }
        if let Some(relook) = self.core.relook.pop_front() {
            return Work::Look(relook);
        }
        if call.here.inside_forwarder {
            context::leave_over();
            return Work::Nothing;
        }
        while let Some(slot) = self.lane_for(call) {
            if let Some((node, client)) = self.delivery.next_action(slot, &mut self.core.outbox) {
                call.favours += u32::from(node.job != call.job);
                let question = Question::prepare(&mut self.core, slot, node.action);
                *next = Some(Ask { question, client: client.clone(), slot, job: node.job });
                return Work::Ask;
            }
            call.lane = None;
            if self.delivery.stop_running(slot) {
                self.core.free_client_slot(slot);
            }
        }
        if call.last && call.owns_job && self.delivery.open_actions(call.job) == 0 {
            self.delivery.end_job(call.job);
            call.ended = true;
        }
        Work::Nothing
    }

    /// Whether the plane must be programmed before the call goes on: what it added itself. A thread
    /// that has to do with more would program for others as long as they add something.
    fn must_program(&self, call: &Call) -> bool {
        let plane = &self.core.plane;
        !plane.is_done(call.until) || (call.sees_to_all && !plane.is_empty())
    }

    /// The lane that the thread runs, or runs next.
    fn lane_for(&mut self, call: &mut Call) -> Option<u32> {
        let outbox = &self.core.outbox;
        if let Some(slot) = call.lane {
            // Others' actions in the same lane are seen to as well, but not for ever.
            let others = |job| job != call.job && call.favours >= FAVOURS;
            if call.sees_to_all || !self.delivery.next_job(slot, outbox).is_some_and(others) {
                return Some(slot);
            }
            call.lane = None;
            self.delivery.offer(slot, NOBODY);
        }
        if call.here.too_deep {
            // The calls around this one see to it.
            return None;
        }
        let seeker = (!call.sees_to_all).then_some((call.job, call.here.token));
        call.lane = self.delivery.run_next(outbox, seeker, call.here.token);
        call.lane
    }

    /// An entry that could not be programmed is tried again with the next tick.
    fn retry_later(&mut self, flow: SourceGroup) {
        if self.retry.try_reserve(1).is_ok() {
            self.retry.push(flow);
        } else {
            self.retry_all = true;
        }
    }
}
