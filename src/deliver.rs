//! Who calls which client next: one queue per client, and the calls that wait for them.
//!
//! A *lane* is a client's queue of actions. At most one thread, its *runner*, calls a client at a
//! time (rule A7); a thread that posts an action to an idle lane claims it and becomes its runner
//! as soon as it has nothing locked. A *job* is one call from outside any callback, or one upcall:
//! it counts the actions it caused, those caused by the answers to them included, so that the
//! call can wait for exactly these.
//!
//! This is plain data under the shell's lock; nothing here waits or calls.

#![forbid(unsafe_code)]

use crate::core::NONE;
use crate::core::outbox::{Chain, Node, Outbox};
use crate::error::Error;

/// Names a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

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
    /// Some thread's list of claims holds it.
    claimed: bool,
    next_claimed: u32,
    /// The slot is in use by a client, or its last call has not ended.
    in_use: bool,
}

/// The lanes that a thread is going to run.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    head: u32,
    tail: u32,
}

impl Claims {
    /// None.
    pub const NONE: Self = Self { head: NONE, tail: NONE };

    /// Whether there are none.
    #[cfg(test)]
    pub const fn is_empty(self) -> bool {
        self.head == NONE
    }
}

/// All lanes and jobs.
pub struct Delivery<C> {
    lanes: Vec<Lane<C>>,
    jobs: Vec<Job>,
    free_job: u32,
    /// Threads that wait, inside a callback, for a lane's runner (rule A8).
    waits: Vec<(Token, u32)>,
}

impl<C: Clone> Delivery<C> {
    /// No lanes, no jobs.
    pub const fn new() -> Self {
        Self { lanes: Vec::new(), jobs: Vec::new(), free_job: NONE, waits: Vec::new() }
    }

    /// Makes room for a lane in this slot.
    pub fn reserve_lane(&mut self, slot: u32) -> Result<(), Error> {
        while self.lanes.len() <= slot as usize {
            self.lanes.try_reserve(1)?;
            self.lanes.push(Lane {
                callbacks: None,
                queue: Chain::EMPTY,
                runner: None,
                claimed: false,
                next_claimed: NONE,
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

    /// Puts the core's new actions into their clients' lanes. Lanes that nobody runs are claimed.
    pub fn post(&mut self, outbox: &mut Outbox, claims: &mut Claims) {
        while let Some(id) = outbox.take_fresh() {
            let (slot, job) = (outbox.node(id).client, outbox.node(id).job);
            let lane = &mut self.lanes[slot as usize];
            outbox.append(&mut lane.queue, id);
            if let Some(job) = self.jobs.get_mut(job as usize) {
                job.open += 1;
            }
            if lane.runner.is_none() && !lane.claimed {
                lane.claimed = true;
                self.claim(claims, slot);
            }
        }
    }

    fn claim(&mut self, claims: &mut Claims, slot: u32) {
        self.lanes[slot as usize].next_claimed = NONE;
        match claims.tail {
            NONE => claims.head = slot,
            tail => self.lanes[tail as usize].next_claimed = slot,
        }
        claims.tail = slot;
    }

    /// Adds one thread's claims to others of the same thread.
    pub fn merge(&mut self, claims: &mut Claims, more: Claims) {
        match (claims.tail, more.head) {
            (_, NONE) => {}
            (NONE, _) => *claims = more,
            (tail, head) => {
                self.lanes[tail as usize].next_claimed = head;
                claims.tail = more.tail;
            }
        }
    }

    /// Makes the thread the runner of a lane that it claimed.
    pub fn run_next(&mut self, claims: &mut Claims, me: Token) -> Option<u32> {
        let slot = (claims.head != NONE).then_some(claims.head)?;
        let lane = &mut self.lanes[slot as usize];
        claims.head = lane.next_claimed;
        if claims.head == NONE {
            claims.tail = NONE;
        }
        lane.claimed = false;
        debug_assert!(lane.runner.is_none(), "a claimed lane has no runner");
        lane.runner = Some(me);
        Some(slot)
    }

    /// The runner leaves a lane for a moment; it is the first of its claims.
    pub fn set_aside(&mut self, slot: u32, claims: &mut Claims) {
        let lane = &mut self.lanes[slot as usize];
        lane.runner = None;
        lane.claimed = true;
        lane.next_claimed = claims.head;
        claims.head = slot;
        if claims.tail == NONE {
            claims.tail = slot;
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
        let done =
            lane.in_use && lane.callbacks.is_none() && lane.runner.is_none() && !lane.claimed;
        if done {
            lane.in_use = false;
        }
        done
    }

    /// An action of a job was performed or dropped.
    pub fn done(&mut self, job: u32) {
        if let Some(known) = self.jobs.get_mut(job as usize) {
            known.open -= 1;
            self.free_if_done(job);
        }
    }

    /// The client has gone: its callbacks are forgotten. What is queued is taken with
    /// [`Self::take_orphan`]. True: its slot may be used again at once.
    pub fn close(&mut self, slot: u32) -> bool {
        self.lanes[slot as usize].callbacks = None;
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

    /// Notes that a thread waits for a lane's runner. False: that runner waits for this thread,
    /// directly or through others, and would wait for ever.
    pub fn begin_wait(&mut self, me: Token, slot: u32) -> Result<bool, Error> {
        let mut at = self.runner(slot);
        // A chain of waits is no longer than their number.
        for _ in 0..=self.waits.len() {
            match at {
                None => break,
                Some(runner) if runner == me => return Ok(false),
                Some(runner) => {
                    let wait = self.waits.iter().find(|(waiter, _)| *waiter == runner);
                    at = wait.and_then(|(_, slot)| self.runner(*slot));
                }
            }
        }
        self.waits.try_reserve(1)?;
        self.waits.push((me, slot));
        Ok(true)
    }

    /// The wait is over.
    pub fn end_wait(&mut self, me: Token, slot: u32) {
        self.waits.retain(|wait| *wait != (me, slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::outbox::Action;
    use crate::core::types::SourceGroup;

    const ME: Token = Token(1);
    const OTHER: Token = Token(2);

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
        let mut claims = Claims::NONE;
        delivery.post(&mut outbox, &mut claims);
        assert_eq!(delivery.open_actions(job), 3);
        assert_eq!(delivery.run_next(&mut claims, ME), Some(0));

        // What another thread posts to a lane with a runner is its runner's to deliver.
        let second = delivery.begin_job().unwrap();
        send(&mut outbox, second, 0);
        let mut others = Claims::NONE;
        delivery.post(&mut outbox, &mut others);
        assert!(others.is_empty());

        let mut jobs = Vec::new();
        while let Some((node, _)) = delivery.next_action(0, &mut outbox) {
            jobs.push(node.job);
            delivery.done(node.job);
        }
        assert_eq!(jobs, [job, job, second]);
        assert!(!delivery.stop_running(0));
        assert_eq!(delivery.open_actions(job), 1);
        assert_eq!(delivery.run_next(&mut claims, ME), Some(1));
        assert_eq!(delivery.run_next(&mut claims, ME), None);
    }

    #[test]
    fn jobs_are_used_again_when_done() {
        let (mut delivery, mut outbox) = setup(1);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        let mut claims = Claims::NONE;
        delivery.post(&mut outbox, &mut claims);
        delivery.end_job(job);
        assert_ne!(delivery.begin_job().unwrap(), job, "its action is still on the way");
        delivery.run_next(&mut claims, ME);
        delivery.next_action(0, &mut outbox);
        delivery.done(job);
        assert_eq!(delivery.begin_job().unwrap(), job);
    }

    #[test]
    fn a_lane_set_aside_comes_first() {
        let (mut delivery, mut outbox) = setup(2);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        send(&mut outbox, job, 1);
        let mut claims = Claims::NONE;
        delivery.post(&mut outbox, &mut claims);
        assert_eq!(delivery.run_next(&mut claims, ME), Some(0));
        delivery.set_aside(0, &mut claims);
        assert_eq!(delivery.runner(0), None);
        assert_eq!(delivery.run_next(&mut claims, OTHER), Some(0));
        assert_eq!(delivery.run_next(&mut claims, ME), Some(1));
        assert!(claims.is_empty());
        delivery.set_aside(1, &mut claims);
        assert_eq!(delivery.run_next(&mut claims, ME), Some(1));
    }

    #[test]
    fn a_slot_is_free_when_its_last_call_has_ended() {
        let (mut delivery, mut outbox) = setup(1);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        send(&mut outbox, job, 0);
        let mut claims = Claims::NONE;
        delivery.post(&mut outbox, &mut claims);
        delivery.run_next(&mut claims, ME);
        delivery.next_action(0, &mut outbox);
        assert!(!delivery.close(0), "its callback is running");
        assert!(delivery.next_action(0, &mut outbox).is_none(), "no callback starts any more");
        assert!(delivery.take_orphan(0, &mut outbox).is_some());
        assert!(delivery.stop_running(0));
    }

    #[test]
    fn waiting_in_a_circle_is_refused() {
        let (mut delivery, mut outbox) = setup(2);
        let job = delivery.begin_job().unwrap();
        send(&mut outbox, job, 0);
        send(&mut outbox, job, 1);
        let (mut mine, mut theirs) = (Claims::NONE, Claims::NONE);
        delivery.post(&mut outbox, &mut mine);
        delivery.run_next(&mut mine, ME);
        delivery.merge(&mut theirs, mine);
        delivery.run_next(&mut theirs, OTHER);
        assert_eq!(delivery.begin_wait(ME, 1), Ok(true));
        assert_eq!(delivery.begin_wait(OTHER, 0), Ok(false));
        delivery.end_wait(ME, 1);
        assert_eq!(delivery.begin_wait(OTHER, 0), Ok(true));
    }
}
