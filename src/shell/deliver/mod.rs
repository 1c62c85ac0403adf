//! Decides which thread calls which client next: there is one queue per client, and calls wait for
//! their actions.
//!
//! A *lane* is a client's queue of actions (callbacks to make). At most one thread, the *runner* of
//! the lane, calls a client at a time (rule A7). A lane that has actions and no runner is *ready*:
//! the next thread that is responsible for its first action becomes its runner as soon as it holds
//! no lock. A *job* is one call from outside any callback, or one upcall. It counts the actions
//! that it caused, including those that their answers caused, so that the call can wait for exactly
//! these.
//!
//! A thread is responsible for the actions of its jobs, and for the lanes that it made ready. So a
//! client that does not return from a callback holds up its own lane and the thread that called it.
//! All other lanes stay free for other threads (decision 50).
//!
//! A client that has kept a thread inside a callback for
//! [`PATIENCE`](crate::types::PATIENCE) *hangs*, until that thread
//! has returned. The actions on their way to it are counted separately, and no call waits for them
//! (rule A7).
//!
//! This is plain data under the shell's lock; nothing here waits or calls.

#![forbid(unsafe_code)]

mod hang;
mod jobs;
#[cfg(test)]
mod tests;

use crate::core::NONE;
use crate::core::state::outbox::{Action, Chain, Merge, Node, Outbox, Topic};
use crate::error::Error;
use crate::shell::bells::{Event, Events};
use crate::shell::callbacks::Lane as Where;
use crate::sys::Readiness;
use crate::sys::sync::Instant;
use crate::types::Millis;
use hashbrown::HashMap;
use jobs::Jobs;

/// Names a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

/// No thread.
pub const NOBODY: Token = Token(0);

/// A thread that looks for a lane, and the job that it works for.
pub type Seeker = (u32, Token);

struct Lane<C> {
    /// None: the client has gone, and nothing is called any more.
    callbacks: Option<C>,
    /// When its client registered.
    since: Millis,
    queue: Chain,
    runner: Option<Token>,
    /// The job of the action that is being performed, or [`NONE`].
    performed: u32,
    /// When its thread was first seen at what it is doing.
    seen: Option<Instant>,
    /// The client hangs.
    hangs: bool,
    /// It is in the list of ready lanes.
    ready: bool,
    next_ready: u32,
    /// Who made it ready.
    ready_by: Token,
    /// Its runner has left it for a moment, and no other thread may take it.
    kept: bool,
    /// The client is being deregistered: some of its queued actions are not answered yet, or its
    /// last callback is waited for.
    leaving: bool,
    /// The slot is in use by a client, or its last call has not ended.
    in_use: bool,
    /// Where it is run by its own dispatch alone: readable while actions wait for that.
    own: Option<Own>,
}

/// A lane that its own dispatch runs, and nobody else.
pub struct Own {
    waiting: Readiness,
    /// No call waits for it (rule H4).
    is_loop: bool,
    /// Whose dispatch is under way, also while it is inside another client's callback (rule H7).
    dispatching: Option<Token>,
    /// The alert that waits about each topic, in a lane that no call waits for: a later one may merge
    /// with it (rule H8).
    topics: HashMap<Topic, u32>,
}

impl Own {
    /// One for a client of this kind, if it needs one.
    pub fn of(lane: Where) -> Result<Option<Self>, Error> {
        if lane == Where::Anywhere {
            return Ok(None);
        }
        let waiting = Readiness::new().map_err(|_| Error::OutOfMemory)?;
        let is_loop = lane == Where::Dispatched;
        Ok(Some(Self { waiting, is_loop, dispatching: None, topics: HashMap::new() }))
    }
}

impl<C> Lane<C> {
    /// A thread runs or keeps it.
    const fn is_held(&self) -> bool {
        self.runner.is_some() || self.kept
    }

    /// No call waits for it (rule H4).
    fn is_loop(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_loop)
    }
}

/// All lanes and jobs.
pub struct Delivery<C> {
    lanes: Vec<Lane<C>>,
    /// The first and the last ready lane.
    ready: (u32, u32),
    jobs: Jobs,
    /// When the lanes were last looked at for clients that hang.
    looked: Option<Instant>,
    /// What threads may be waiting for has come about.
    pub(in crate::shell) events: Events,
}

impl<C: Clone> Delivery<C> {
    /// No lanes, no jobs.
    pub fn new() -> Self {
        let (lanes, ready, jobs) = (Vec::new(), (NONE, NONE), Jobs::new());
        Self { lanes, ready, jobs, looked: None, events: Events::new() }
    }

    /// Makes room for a lane in this slot.
    pub fn reserve_lane(&mut self, slot: u32) -> Result<(), Error> {
        while self.lanes.len() <= slot as usize {
            self.lanes.try_reserve(1)?;
            self.lanes.push(Lane {
                callbacks: None,
                since: Millis::default(),
                queue: Chain::EMPTY,
                runner: None,
                performed: NONE,
                seen: None,
                hangs: false,
                ready: false,
                next_ready: NONE,
                ready_by: NOBODY,
                kept: false,
                leaving: false,
                in_use: false,
                own: None,
            });
        }
        Ok(())
    }

    /// A client has this slot now. Room must have been reserved.
    ///
    /// With `own` only [`Self::run_own`] runs the lane.
    pub fn open(&mut self, slot: u32, callbacks: C, own: Option<Own>) {
        let lane = &mut self.lanes[slot as usize];
        // Nobody ever waits for a loop: it is as a client that hangs, for ever.
        lane.hangs = own.as_ref().is_some_and(|own| own.is_loop);
        (lane.callbacks, lane.own) = (Some(callbacks), own);
        lane.in_use = true;
    }

    /// The client of a slot registered at this moment.
    pub fn registered(&mut self, slot: u32, now: Millis) {
        self.lanes[slot as usize].since = now;
    }

    /// When the client of a slot registered, and its callbacks while it is there.
    pub fn client(&self, slot: u32) -> Option<(Millis, &C)> {
        let lane = self.lanes.get(slot as usize)?;
        Some((lane.since, lane.callbacks.as_ref()?))
    }

    /// Begins a job.
    pub fn begin_job(&mut self) -> Result<u32, Error> {
        self.jobs.begin()
    }

    /// How many actions of a job are on their way, without those to clients that hang.
    pub fn open_actions(&self, job: u32) -> u32 {
        self.jobs.open(job)
    }

    /// The call that began the job returns.
    pub fn end_job(&mut self, job: u32) {
        self.jobs.end(job);
    }

    /// The job waits for one thing more, until that is [`Self::done`].
    pub fn count(&mut self, job: u32) {
        self.jobs.count(job);
    }

    /// An action of a job was performed or dropped.
    pub fn done(&mut self, job: u32) {
        if self.jobs.done(job) {
            self.events.note(Event::Job(job));
        }
    }

    /// The job's own thread is about to wait for it.
    pub fn await_job(&mut self, job: u32) {
        self.jobs.set_awaited(job);
    }

    /// Puts the core's new actions into their clients' lanes. Lanes without a runner become ready.
    ///
    /// Gives an alert that is not delivered since it merged with another one (rule H8); the caller calls
    /// again then.
    pub fn post(&mut self, outbox: &mut Outbox, me: Token) -> Option<Action> {
        while let Some(id) = outbox.take_fresh() {
            let Node { client: slot, job, .. } = *outbox.node(id);
            let lane = &self.lanes[slot as usize];
            let (is_loop, hangs, is_held) = (lane.is_loop(), lane.hangs, lane.is_held());
            let (merged, is_left_out) =
                if is_loop { self.merge(slot, id, outbox) } else { (None, false) };
            if is_left_out {
                return merged;
            }
            outbox.append(&mut self.lanes[slot as usize].queue, id);
            self.count(job);
            if hangs {
                self.jobs.set_apart(job, true);
            }
            if !is_held {
                self.make_ready(slot, me);
            }
            if merged.is_some() {
                return merged;
            }
        }
        None
    }

    /// Looks whether a new alert for a loop merges with one that waits. Gives the one that is not
    /// delivered, and whether that is the new one.
    #[cold]
    fn merge(&mut self, slot: u32, id: u32, outbox: &mut Outbox) -> (Option<Action>, bool) {
        let lane = &mut self.lanes[slot as usize];
        let Some(own) = lane.own.as_mut().filter(|own| own.is_loop) else { return (None, false) };
        let action = outbox.node(id).action;
        let Some(topic) = action.topic() else { return (None, false) };
        let earlier = own.topics.remove(&topic);
        let earlier = earlier.and_then(|earlier| outbox.remove(&mut lane.queue, earlier));
        let is_left_out =
            earlier.as_ref().is_some_and(|earlier| earlier.action.merge(&action) == Merge::Neither);
        if is_left_out {
            outbox.discard(id);
            own.waiting.set(!lane.queue.is_empty());
        } else if action.may_merge() && own.topics.try_reserve(1).is_ok() {
            // Without memory it does not merge.
            own.topics.insert(topic, id);
        }
        if let Some(earlier) = &earlier {
            self.performed(slot, earlier.job);
        }
        // Of the two that cancel each other out the earlier one needs no more than this.
        (
            if is_left_out { Some(action) } else { earlier.map(|earlier| earlier.action) },
            is_left_out,
        )
    }

    fn make_ready(&mut self, slot: u32, by: Token) {
        let lane = &mut self.lanes[slot as usize];
        if let Some(own) = &mut lane.own {
            own.waiting.set(true);
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

    /// Makes the thread the runner of a ready lane: with a seeker, of one that the seeker is
    /// responsible for, and of any lane otherwise.
    pub fn run_next(&mut self, outbox: &Outbox, by: Option<Seeker>, me: Token) -> Option<u32> {
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

    /// What is readable while actions wait in a lane that its own dispatch runs.
    pub fn own(&self, slot: u32) -> Option<&Readiness> {
        Some(&self.lanes.get(slot as usize)?.own.as_ref()?.waiting)
    }

    /// A dispatch begins, with the thread as the lane's runner. False: nothing waits there, and nothing
    /// has begun.
    pub fn begin_dispatch(&mut self, slot: u32, me: Token) -> Result<bool, Error> {
        let is_under_way = |own: &Own| own.dispatching.is_some();
        if self
            .lanes
            .get(slot as usize)
            .and_then(|lane| lane.own.as_ref())
            .is_some_and(is_under_way)
        {
            return Err(Error::Dispatching);
        }
        let begun = self.run_own(slot, me)?;
        if begun && let Some(own) = &mut self.lanes[slot as usize].own {
            own.dispatching = Some(me);
        }
        Ok(begun)
    }

    /// It ends; by now the lane may be another client's.
    pub fn end_dispatch(&mut self, slot: u32, me: Token) {
        let own = self.lanes.get_mut(slot as usize).and_then(|lane| lane.own.as_mut());
        if let Some(own) = own.filter(|own| own.dispatching == Some(me)) {
            own.dispatching = None;
        }
    }

    /// Makes the thread the runner of a lane that its own dispatch runs. False: nothing waits there.
    pub fn run_own(&mut self, slot: u32, me: Token) -> Result<bool, Error> {
        let lane = self.lanes.get_mut(slot as usize).ok_or(Error::NotDispatched)?;
        let Some(own) = &mut lane.own else { return Err(Error::NotDispatched) };
        if lane.runner.is_some() || lane.kept {
            return Err(Error::Dispatching);
        }
        if lane.queue.is_empty() {
            own.waiting.set(false);
            return Ok(false);
        }
        lane.runner = Some(me);
        Ok(true)
    }

    /// An action that was taken out of a lane has been performed.
    pub fn performed(&mut self, slot: u32, job: u32) {
        if self.lanes.get(slot as usize).is_some_and(Lane::is_loop) {
            self.jobs.set_apart(job, false);
        }
        self.done(job);
    }

    /// Whether [`Self::run_next`] would find one.
    pub fn has_ready(&self, outbox: &Outbox, by: Option<Seeker>) -> bool {
        self.find_ready(outbox, by).is_some()
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

    /// Makes a thread responsible for the ready lanes that something of a job stands in: whoever is
    /// responsible for what stands before it does not come.
    pub fn claim_behind(&mut self, outbox: &Outbox, (job, me): Seeker) {
        self.for_each_ready(|lane| {
            if outbox.jobs(&lane.queue).any(|of| of == job) {
                lane.ready_by = me;
            }
        });
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

    /// Whether something of a job is with a client that does not hang, or on its way to one.
    pub fn holds(&self, job: u32, outbox: &Outbox) -> bool {
        let with =
            |lane: &Lane<C>| lane.performed == job || outbox.jobs(&lane.queue).any(|of| of == job);
        self.lanes.iter().any(|lane| !lane.hangs && with(lane))
    }

    /// The job of a lane's first action.
    pub fn next_job(&self, slot: u32, outbox: &Outbox) -> Option<u32> {
        outbox.first(&self.lanes[slot as usize].queue).map(|node| node.job)
    }

    /// The runner leaves a lane for a moment; no other thread may take it.
    pub fn keep(&mut self, slot: u32, outbox: &Outbox) {
        self.moves(slot, outbox);
        let lane = &mut self.lanes[slot as usize];
        (lane.runner, lane.kept) = (None, true);
        self.left(slot);
    }

    /// The runner leaves a lane, kept or not, to a thread that is responsible for its first action,
    /// or to the thread `to`. The lane becomes the first of the ready ones.
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
        if let Some(job) = self.next_job(slot, outbox)
            && self.jobs.is_awaited(job)
        {
            self.events.note(Event::Job(job));
        }
    }

    /// The thread of a lane has left it: there may be some that wait for that, as its client goes.
    fn left(&mut self, slot: u32) {
        if self.lanes[slot as usize].leaving {
            self.events.note(Event::Lane(slot));
        }
    }

    /// The next action of a lane, for its runner, with the callbacks to call.
    pub fn next_action(&mut self, slot: u32, outbox: &mut Outbox) -> Option<(Node, &C)> {
        self.moves(slot, outbox);
        let lane = &mut self.lanes[slot as usize];
        let callbacks = lane.callbacks.as_ref()?;
        let id = outbox.first_id(&lane.queue)?;
        let node = outbox.pop(&mut lane.queue)?;
        lane.performed = node.job;
        if let (Some(own), Some(topic)) = (&mut lane.own, node.action.topic())
            && own.topics.get(&topic) == Some(&id)
        {
            own.topics.remove(&topic);
        }
        Some((node, callbacks))
    }

    /// The runner leaves a lane that has nothing left to do. True: the client is gone and its
    /// slot may be used again.
    pub fn stop_running(&mut self, slot: u32, outbox: &Outbox) -> bool {
        self.moves(slot, outbox);
        let lane = &mut self.lanes[slot as usize];
        lane.runner = None;
        if let Some(own) = &mut lane.own {
            own.waiting.set(!lane.queue.is_empty());
        }
        self.left(slot);
        self.retire(slot)
    }

    fn retire(&mut self, slot: u32) -> bool {
        let lane = &mut self.lanes[slot as usize];
        let done = lane.in_use
            && lane.callbacks.is_none()
            && !lane.is_held()
            && !lane.ready
            && !lane.leaving;
        if done {
            lane.in_use = false;
        }
        done
    }

    /// The client goes, and its callbacks are forgotten. Its queued actions are taken with
    /// [`Self::take_orphan`]. No other client gets the slot, and with it the queue, before
    /// [`Self::vacate`].
    pub fn close(&mut self, slot: u32) {
        let lane = &mut self.lanes[slot as usize];
        (lane.callbacks, lane.leaving) = (None, true);
        // A thread that waits for its actions sees that it has gone.
        if let Some(mut own) = lane.own.take() {
            own.waiting.set(true);
        }
    }

    /// The client has gone. True: its slot may be used again at once.
    pub fn vacate(&mut self, slot: u32) -> bool {
        self.lanes[slot as usize].leaving = false;
        self.retire(slot)
    }

    /// Takes an action that was queued for a client that has gone.
    pub fn take_orphan(&mut self, slot: u32, outbox: &mut Outbox) -> Option<Node> {
        let lane = &mut self.lanes[slot as usize];
        let (node, hangs) = (outbox.pop(&mut lane.queue)?, lane.hangs);
        if hangs {
            self.jobs.set_apart(node.job, false);
        }
        Some(node)
    }

    /// The thread that is calling the client now.
    pub fn runner(&self, slot: u32) -> Option<Token> {
        self.lanes.get(slot as usize)?.runner
    }

    /// Whether any thread but this one is calling any client, and is waited for. The second:
    /// whether any is that is not waited for.
    pub fn others_running(&self, me: Token) -> (bool, bool) {
        let others = |hangs: bool| {
            let runs = |lane: &Lane<C>| lane.runner.is_some_and(|runner| runner != me);
            let fits = |lane: &Lane<C>| (lane.hangs && !lane.is_loop()) == hangs;
            self.lanes.iter().any(|lane| fits(lane) && runs(lane))
        };
        (others(false), others(true))
    }
}
