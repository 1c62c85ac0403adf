//! Who calls which client next: one queue per client, and the calls that wait for them.
//!
//! A *lane* is a client's queue of actions. At most one thread, its *runner*, calls a client at a
//! time (rule A7). A lane that has actions and no runner is *ready*: the next thread that is
//! responsible for its first action becomes its runner as soon as it has nothing locked. A *job* is
//! one call from outside any callback, or one upcall: it counts the actions it caused, those
//! caused by the answers to them included, so that the call can wait for exactly these.
//!
//! A thread is responsible for the actions of its jobs, and for the lanes that it made ready. So a
//! client that does not come out of a callback holds up its own lane and the thread that called it;
//! every other lane stays free for other threads.
//!
//! This is plain data under the shell's lock; nothing here waits or calls.

#![forbid(unsafe_code)]

use crate::core::NONE;
use crate::core::state::outbox::{Chain, Node, Outbox};
use crate::error::Error;

/// Names a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

/// No thread.
pub const NOBODY: Token = Token(0);

/// Who looks for a lane: a thread and the job that it works for.
pub type Seeker = (u32, Token);

/// Jobs in a table of their own numbering.
#[derive(Clone, Copy, Default)]
struct Job {
    /// Actions on their way.
    open: u32,
    /// The call that began it has not returned.
    alive: bool,
    /// In use at all.
    used: bool,
    next_free: u32,
}

struct Lane<C> {
    /// None: the client has gone, and nothing is called any more.
    callbacks: Option<C>,
    queue: Chain,
    runner: Option<Token>,
    /// It is in the list of ready lanes.
    ready: bool,
    next_ready: u32,
    /// Who made it ready.
    ready_by: Token,
    /// Its runner has left it for a moment, and nobody else may take it.
    kept: bool,
    /// The client is being taken out: what is queued is not all answered yet, or its last call is
    /// waited for.
    leaving: bool,
    /// The slot is in use by a client, or its last call has not ended.
    in_use: bool,
}

/// All lanes and jobs.
pub struct Delivery<C> {
    lanes: Vec<Lane<C>>,
    /// The first and the last ready lane.
    ready: (u32, u32),
    jobs: Vec<Job>,
    free_job: u32,
}

impl<C: Clone> Delivery<C> {
    /// No lanes, no jobs.
    pub const fn new() -> Self {
        Self { lanes: Vec::new(), ready: (NONE, NONE), jobs: Vec::new(), free_job: NONE }
    }

    /// Makes room for a lane in this slot.
    pub fn reserve_lane(&mut self, slot: u32) -> Result<(), Error> {
        while self.lanes.len() <= slot as usize {
            self.lanes.try_reserve(1)?;
            self.lanes.push(Lane {
                callbacks: None,
                queue: Chain::EMPTY,
                runner: None,
                ready: false,
                next_ready: NONE,
                ready_by: NOBODY,
                kept: false,
                leaving: false,
                in_use: false,
            });
        }
        Ok(())
    }

    /// A client has this slot now. Room must have been reserved.
    pub fn open(&mut self, slot: u32, callbacks: C) {
        let lane = &mut self.lanes[slot as usize];
        lane.callbacks = Some(callbacks);
        lane.in_use = true;
    }

    /// Begins a job.
    pub fn begin_job(&mut self) -> Result<u32, Error> {
        let id = match self.free_job {
            NONE => {
                self.jobs.try_reserve(1)?;
                self.jobs.push(Job::default());
                self.jobs.len() as u32 - 1
            }
            id => {
                self.free_job = self.jobs[id as usize].next_free;
                id
            }
        };
        self.jobs[id as usize] = Job { open: 0, alive: true, used: true, next_free: NONE };
        Ok(id)
    }

    /// How many actions of a job are on their way.
    pub fn open_actions(&self, job: u32) -> u32 {
        self.jobs[job as usize].open
    }

    /// The call that began the job returns.
    pub fn end_job(&mut self, job: u32) {
        debug_assert!(
            self.jobs[job as usize].alive,
            "a job ends once: its number may be another's"
        );
        self.jobs[job as usize].alive = false;
        self.free_if_done(job);
    }

    fn free_if_done(&mut self, id: u32) {
        let free = self.free_job;
        let job = &mut self.jobs[id as usize];
        if job.used && !job.alive && job.open == 0 {
            job.used = false;
            job.next_free = free;
            self.free_job = id;
        }
    }

    /// Puts the core's new actions into their clients' lanes. Lanes that nobody runs are ready then.
    pub fn post(&mut self, outbox: &mut Outbox, me: Token) {
        while let Some(id) = outbox.take_fresh() {
            let (slot, job) = (outbox.node(id).client, outbox.node(id).job);
            let lane = &mut self.lanes[slot as usize];
            outbox.append(&mut lane.queue, id);
            self.count(job);
            let lane = &self.lanes[slot as usize];
            if lane.runner.is_none() && !lane.kept {
                self.make_ready(slot, me);
            }
        }
    }

    fn make_ready(&mut self, slot: u32, by: Token) {
        let lane = &mut self.lanes[slot as usize];
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

    /// Makes the thread the runner of a ready lane: of any or, with a seeker, of one that this is
    /// responsible for.
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

    /// The job of a lane's first action.
    pub fn next_job(&self, slot: u32, outbox: &Outbox) -> Option<u32> {
        outbox.first(&self.lanes[slot as usize].queue).map(|node| node.job)
    }

    /// The runner leaves a lane for a moment; nobody else may take it.
    pub fn keep(&mut self, slot: u32) {
        let lane = &mut self.lanes[slot as usize];
        (lane.runner, lane.kept) = (None, true);
    }

    /// The runner leaves a lane, kept or not, to whoever is responsible for what is in it. It is the
    /// first of the ready ones. With a thread, that is responsible.
    pub fn offer(&mut self, slot: u32, to: Token) {
        let first = self.ready.0;
        let lane = &mut self.lanes[slot as usize];
        (lane.runner, lane.kept, lane.ready) = (None, false, true);
        (lane.next_ready, lane.ready_by) = (first, to);
        self.ready.0 = slot;
        if first == NONE {
            self.ready.1 = slot;
        }
    }

    /// The next action of a lane, for its runner, with the callbacks to call.
    pub fn next_action(&mut self, slot: u32, outbox: &mut Outbox) -> Option<(Node, &C)> {
        let lane = &mut self.lanes[slot as usize];
        let callbacks = lane.callbacks.as_ref()?;
        Some((outbox.pop(&mut lane.queue)?, callbacks))
    }

    /// The runner leaves a lane that has nothing left to do. True: the client is gone and its
    /// slot may be used again.
    pub fn stop_running(&mut self, slot: u32) -> bool {
        self.lanes[slot as usize].runner = None;
        self.retire(slot)
    }

    fn retire(&mut self, slot: u32) -> bool {
        let lane = &mut self.lanes[slot as usize];
        let done = lane.in_use
            && lane.callbacks.is_none()
            && lane.runner.is_none()
            && !lane.ready
            && !lane.kept
            && !lane.leaving;
        if done {
            lane.in_use = false;
        }
        done
    }

    /// A job waits for something more, until it is [`Self::done`].
    pub fn count(&mut self, job: u32) {
        if let Some(known) = self.jobs.get_mut(job as usize) {
            known.open += 1;
        }
    }

    /// An action of a job was performed or dropped.
    pub fn done(&mut self, job: u32) {
        if let Some(known) = self.jobs.get_mut(job as usize) {
            known.open -= 1;
            self.free_if_done(job);
        }
    }

    /// The client goes: its callbacks are forgotten. What is queued is taken with
    /// [`Self::take_orphan`]; nobody else gets the slot, and with it the queue, until
    /// [`Self::vacate`].
    pub fn close(&mut self, slot: u32) {
        let lane = &mut self.lanes[slot as usize];
        (lane.callbacks, lane.leaving) = (None, true);
    }

    /// The client has gone. True: its slot may be used again at once.
    pub fn vacate(&mut self, slot: u32) -> bool {
        self.lanes[slot as usize].leaving = false;
        self.retire(slot)
    }

    /// Takes an action that was meant for a client that has gone.
    pub fn take_orphan(&mut self, slot: u32, outbox: &mut Outbox) -> Option<Node> {
        outbox.pop(&mut self.lanes[slot as usize].queue)
    }

    /// The thread that is calling the client now.
    pub fn runner(&self, slot: u32) -> Option<Token> {
        self.lanes.get(slot as usize)?.runner
    }

    /// Whether any thread but this one is calling any client.
    pub fn others_running(&self, me: Token) -> bool {
        self.lanes.iter().any(|lane| lane.runner.is_some_and(|runner| runner != me))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::outbox::Action;
    use crate::types::SourceGroup;

    const ME: Token = Token(1);
    const OTHER: Token = Token(2);
    const THIRD: Token = Token(3);

    fn setup(clients: u32) -> (Delivery<char>, Outbox) {
        let mut delivery = Delivery::new();
        for slot in 0..clients {
            delivery.reserve_lane(slot).unwrap();
            delivery.open(slot, 'c');
        }
        (delivery, Outbox::new())
    }

    fn send(outbox: &mut Outbox, job: u32, client: u32) {
        outbox.set_job(job);
        outbox.reserve(1).unwrap();
        outbox.push(client, Action::Join { of: SourceGroup::ALL, member: true });
    }

    #[test]
    fn a_lane_has_one_runner_and_a_job_counts_its_actions() {
        let (mut delivery, mut outbox) = setup(2);
        let job = delivery.begin_job().unwrap();
        for client in [0, 1, 0] {
            send(&mut outbox, job, client);
        }
        delivery.post(&mut outbox, THIRD);
        assert_eq!(delivery.open_actions(job), 3);
        assert_eq!(delivery.run_next(&outbox, Some((job, ME)), ME), Some(0));

        // What another thread posts to a lane with a runner is its runner's to deliver.
        let second = delivery.begin_job().unwrap();
        send(&mut outbox, second, 0);
        delivery.post(&mut outbox, THIRD);
        assert_eq!(delivery.run_next(&outbox, Some((second, OTHER)), OTHER), None);

        let mut jobs = Vec::new();
        while let Some((node, _)) = delivery.next_action(0, &mut outbox) {
            jobs.push(node.job);
            delivery.done(node.job);
        }
        assert_eq!(jobs, [job, job, second]);
        assert!(!delivery.stop_running(0));
        assert_eq!(delivery.open_actions(job), 1);
        assert_eq!(delivery.run_next(&outbox, None, ME), Some(1));
        assert_eq!(delivery.run_next(&outbox, None, ME), None);
    }

    #[test]
    fn jobs_are_used_again_when_done() {
        let (mut delivery, mut outbox) = setup(1);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        delivery.post(&mut outbox, THIRD);
        delivery.end_job(job);
        assert_ne!(delivery.begin_job().unwrap(), job, "its action is still on the way");
        delivery.run_next(&outbox, None, ME);
        delivery.next_action(0, &mut outbox);
        delivery.done(job);
        assert_eq!(delivery.begin_job().unwrap(), job);
    }

    #[test]
    fn a_lane_goes_to_whoever_its_first_action_belongs_to() {
        let (mut delivery, mut outbox) = setup(3);
        let (mine, theirs) = (delivery.begin_job().unwrap(), delivery.begin_job().unwrap());
        for (job, client) in [(theirs, 0), (mine, 0), (theirs, 1), (mine, 2)] {
            send(&mut outbox, job, client);
        }
        delivery.post(&mut outbox, THIRD);
        // A hanging client 0 or 1 would hold up its own lane alone.
        assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), Some(2));
        assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), None);
        assert_eq!(delivery.run_next(&outbox, Some((theirs, OTHER)), OTHER), Some(0));
        delivery.next_action(0, &mut outbox);
        assert_eq!(delivery.next_job(0, &outbox), Some(mine));
        assert!(!delivery.has_ready(&outbox, Some((mine, ME))));
        delivery.offer(0, NOBODY);
        assert!(delivery.has_ready(&outbox, Some((mine, ME))));
        assert_eq!(delivery.run_next(&outbox, None, ME), Some(0), "what was offered comes first");
        assert_eq!(delivery.run_next(&outbox, None, ME), Some(1));
        assert_eq!(delivery.run_next(&outbox, None, ME), None);
        // Whoever made a lane ready may take it, whatever is in it.
        while delivery.next_action(1, &mut outbox).is_some() {}
        delivery.stop_running(1);
        send(&mut outbox, theirs, 1);
        delivery.post(&mut outbox, THIRD);
        assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), None);
        assert_eq!(delivery.run_next(&outbox, Some((mine, THIRD)), THIRD), Some(1));
        // The list is whole again.
        for slot in [0, 1, 2] {
            while delivery.next_action(slot, &mut outbox).is_some() {}
            delivery.stop_running(slot);
            send(&mut outbox, mine, slot);
            delivery.post(&mut outbox, THIRD);
        }
        let order = std::iter::from_fn(|| delivery.run_next(&outbox, None, ME));
        assert_eq!(order.collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_kept_lane_is_nobody_elses() {
        let (mut delivery, mut outbox) = setup(1);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        delivery.post(&mut outbox, THIRD);
        assert_eq!(delivery.run_next(&outbox, None, ME), Some(0));
        delivery.keep(0);
        assert_eq!(delivery.runner(0), None);
        send(&mut outbox, job, 0);
        delivery.post(&mut outbox, THIRD);
        assert_eq!(delivery.run_next(&outbox, None, OTHER), None);
        delivery.close(0);
        assert!(!delivery.vacate(0), "its keeper comes back");
        delivery.offer(0, NOBODY);
        assert_eq!(delivery.run_next(&outbox, None, OTHER), Some(0));
        assert!(delivery.stop_running(0));
    }

    #[test]
    fn a_slot_is_free_when_its_last_call_has_ended() {
        let (mut delivery, mut outbox) = setup(1);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        send(&mut outbox, job, 0);
        delivery.post(&mut outbox, THIRD);
        delivery.run_next(&outbox, None, ME);
        delivery.next_action(0, &mut outbox);
        delivery.close(0);
        assert!(delivery.next_action(0, &mut outbox).is_none(), "no callback starts any more");
        assert!(delivery.take_orphan(0, &mut outbox).is_some());
        assert!(!delivery.stop_running(0), "its queue is still being looked at");
        assert!(delivery.vacate(0));
        delivery.open(0, 'd');
        assert_eq!(delivery.run_next(&outbox, None, ME), None);
        delivery.close(0);
        assert!(delivery.vacate(0), "nobody is calling it");
    }
}
