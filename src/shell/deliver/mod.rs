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
//! All other lanes stay free for other threads (decision 50). A thread that waits takes each ready lane
//! over in which something of its job stands, whoever is responsible for what stands before it: that
//! thread may be busy elsewhere. So a thread that leaves a lane, or does something long while lanes
//! wait for it, wakes one of those that wait.
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
mod own;
mod pace;
mod ready;
#[cfg(test)]
mod tests;

use crate::core::NONE;
use crate::core::containers::list::List;
use crate::core::state::outbox::{Action, Node, Outbox};
use crate::error::Error;
use crate::forwarder::Bringer;
use crate::shell::bells::{Event, Events};
use crate::sys::sync::Instant;
use crate::types::{Millis, SourceGroup};
pub use jobs::CROWD;
use jobs::Jobs;
pub use own::OwnLane;
use pace::Pace;

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
    queue: List,
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
    own: Option<OwnLane>,
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
    /// The flows about which threads wait for answers, and who waits.
    flows_awaited: Vec<(SourceGroup, Token)>,
    /// When the lanes were last looked at for clients that hang.
    looked: Option<Instant>,
    /// How many lanes are run by their clients' own dispatches.
    own_lanes: u32,
    /// What is posted to such a lane wakes its client at the next [`Self::ring`], and not at once.
    rings_later: bool,
    /// The lanes that are to be rung then.
    unrung: Vec<u32>,
    /// What threads may be waiting for has come about.
    pub(in crate::shell) events: Events,
    /// Whether new flows wait for clients.
    pub(in crate::shell) pace: Pace,
}

impl<C: Clone> Delivery<C> {
    /// No lanes, no jobs.
    pub fn new() -> Self {
        Self {
            lanes: Vec::new(),
            ready: (NONE, NONE),
            jobs: Jobs::new(),
            flows_awaited: Vec::new(),
            looked: None,
            own_lanes: 0,
            rings_later: false,
            unrung: Vec::new(),
            events: Events::new(),
            pace: Pace::default(),
        }
    }

    /// Makes room for a lane in this slot.
    pub fn reserve_lane(&mut self, slot: u32) -> Result<(), Error> {
        while self.lanes.len() <= slot as usize {
            self.lanes.try_reserve(1)?;
            self.lanes.push(Lane {
                callbacks: None,
                since: Millis::default(),
                queue: List::EMPTY,
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
    pub fn open(&mut self, slot: u32, callbacks: C, own: Option<OwnLane>) {
        let lane = &mut self.lanes[slot as usize];
        // Nobody ever waits for a loop: it counts as a client that hangs, for ever.
        lane.hangs = own.as_ref().is_some_and(|own| own.is_loop);
        self.own_lanes += u32::from(own.is_some());
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
    #[inline]
    pub fn end_job(&mut self, job: u32) {
        self.jobs.end(job);
    }

    /// The job waits for one thing more, until that is [`Self::done`].
    pub fn count(&mut self, job: u32) {
        self.jobs.count(job);
    }

    /// Names a call that brings a packet, by its job.
    pub fn bringer(&self, epoch: u64, job: u32) -> Bringer {
        Bringer { epoch, job, serial: self.jobs.serial(job) }
    }

    /// If the call goes on that brought a packet, its job waits for one thing more, as with
    /// [`Self::count`].
    pub fn count_for(&mut self, by: Bringer) -> bool {
        let counts = self.jobs.is_still_under_way(by.job, by.serial);
        if counts {
            self.jobs.count(by.job);
        }
        counts
    }

    /// An action of a job was performed or dropped.
    pub fn done(&mut self, job: u32) {
        if self.jobs.done(job) {
            self.events.note(Event::Job(job));
        }
    }

    /// The job's own thread waits for it from now on, or no longer.
    pub fn await_job(&mut self, job: u32, awaits: bool) {
        self.jobs.set_awaited(job, awaits);
    }

    /// A thread waits for clients' answers about a flow from now on, or no longer.
    pub fn await_flow(&mut self, flow: SourceGroup, me: Token, awaits: bool) {
        let at = self.flows_awaited.iter().position(|one| *one == (flow, me));
        match (at, awaits) {
            (Some(at), false) => drop(self.flows_awaited.swap_remove(at)),
            // Without memory it is woken as if a client hung.
            (None, true) if self.flows_awaited.try_reserve(1).is_ok() => {
                self.flows_awaited.push((flow, me));
            }
            _ => {}
        }
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

    /// An action that was taken out of a lane has been performed.
    #[inline]
    pub fn performed(&mut self, slot: u32, job: u32) {
        if self.lanes.get(slot as usize).is_some_and(Lane::is_loop) {
            self.jobs.set_apart(job, false);
        }
        self.done(job);
    }

    /// Whether something of a job is with a client that does not hang, or on its way to one.
    pub fn holds(&self, job: u32, outbox: &Outbox) -> bool {
        let with =
            |lane: &Lane<C>| lane.performed == job || outbox.jobs(&lane.queue).any(|of| of == job);
        self.lanes.iter().any(|lane| !lane.hangs && with(lane))
    }

    /// Whether no call goes on and nothing is on its way, except to clients that hang or have loops.
    pub fn is_idle(&self) -> bool {
        self.jobs.are_over()
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

    /// The thread of a lane has left it: there may be some that wait for that, as its client goes.
    fn left(&mut self, slot: u32) {
        if self.lanes[slot as usize].leaving {
            self.events.note(Event::Lane(slot));
        }
    }

    /// The number of a lane's first action.
    pub fn first(&self, slot: u32) -> Option<u32> {
        self.lanes.get(slot as usize)?.queue.first()
    }

    /// The client has been told of an alert that stands in its lane: it merges with no later one.
    pub fn told(&mut self, slot: u32, id: u32, action: &Action) {
        if let (Some(own), Some(topic)) = (&mut self.lanes[slot as usize].own, action.topic())
            && own.topics.get(&topic) == Some(&id)
        {
            own.topics.remove(&topic);
        }
    }

    /// The next action of a lane, for its runner.
    pub fn next_action(&mut self, slot: u32, outbox: &mut Outbox) -> Option<Node> {
        self.moves(slot, outbox);
        let lane = &mut self.lanes[slot as usize];
        let id = lane.queue.first().filter(|_| lane.callbacks.is_some())?;
        let node = outbox.pop(&mut lane.queue)?;
        if self.pace.has_room(outbox.queued()) {
            self.events.note(Event::Room);
        }
        lane.performed = node.job;
        if lane.own.is_some() {
            self.told(slot, id, &node.action);
        }
        Some(node)
    }

    /// The callbacks of a lane's client.
    #[inline]
    pub fn callbacks(&self, slot: u32) -> Option<C> {
        self.lanes[slot as usize].callbacks.clone()
    }

    /// Takes the core's new action where it is the only one, where no thread is at its client, and where
    /// no lane waits for a thread: it need not go through a queue. The thread runs the lane from then on.
    #[inline]
    pub fn take_only(&mut self, outbox: &mut Outbox, me: Token) -> Option<Node> {
        if self.has_ready_lanes() {
            return None;
        }
        let slot = outbox.only_fresh()?.client;
        let lane = &mut self.lanes[slot as usize];
        let is_gone = lane.callbacks.is_none();
        if is_gone || lane.is_held() || lane.own.is_some() || !lane.queue.is_empty() {
            return None;
        }
        let node = outbox.take_only_fresh()?;
        (lane.runner, lane.performed) = (Some(me), node.job);
        self.count(node.job);
        Some(node)
    }

    /// The runner leaves a lane that has nothing left to do. True: the client is gone and its
    /// slot may be used again.
    #[inline]
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

    #[inline]
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
            self.own_lanes -= 1;
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
