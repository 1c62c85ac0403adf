//! Threads that wait for a client's callback to return, because they deregister the client (rule
//! A8). Such a wait goes on where MgmHostStop, called inside that callback, has ended the run.

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::shell::deliver::{Delivery, Token};

/// One thread that waits for another one.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub waiter: Token,
    /// The thread that is calling the client.
    pub runner: Token,
    /// The client's lane, and its run.
    pub epoch: u64,
    pub slot: u32,
    /// The waiting thread is inside C code that other threads may wait for.
    pub inside: bool,
}

/// All waits.
pub(crate) struct Waits(Vec<Wait>);

impl Waits {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes a wait. False: the runner waits for the waiting thread, directly or through others,
    /// and both would wait for ever (decision 24). `current`: the present run's number and lanes.
    pub(crate) fn begin<C: Clone>(
        &mut self,
        wait: Wait,
        current: (u64, &Delivery<C>),
    ) -> Result<bool, Error> {
        if self.leads(wait.runner, wait.waiter, current) {
            return Ok(false);
        }
        self.0.try_reserve(1)?;
        self.0.push(wait);
        Ok(true)
    }

    /// Whether another thread, inside C code, waits for this one, directly or through others.
    pub(crate) fn any_inside<C: Clone>(&self, me: Token, current: (u64, &Delivery<C>)) -> bool {
        let waits = |wait: &Wait| wait.inside && wait.lasts(current) && wait.waiter != me;
        self.0.iter().any(|wait| waits(wait) && self.leads(wait.runner, me, current))
    }

    /// Whether a thread waits for another one, or is that thread itself.
    fn leads<C: Clone>(&self, from: Token, to: Token, current: (u64, &Delivery<C>)) -> bool {
        // A chain of waits is no longer than their number.
        self.leads_within(self.0.len(), from, to, current)
    }

    /// A thread that deregisters a client may call other clients meanwhile, which make it wait too.
    fn leads_within<C: Clone>(
        &self,
        steps: usize,
        from: Token,
        to: Token,
        current: (u64, &Delivery<C>),
    ) -> bool {
        let mut waits = self.0.iter().filter(|wait| wait.waiter == from && wait.lasts(current));
        let next = |wait: &Wait| self.leads_within(steps - 1, wait.runner, to, current);
        from == to || (steps > 0 && waits.any(next))
    }

    /// Whether a wait is over; then it is forgotten. `current`: the present run's number and lanes.
    pub(crate) fn is_over<C: Clone>(
        &mut self,
        (waiter, epoch, slot): (Token, u64, u32),
        current: Option<(u64, &Delivery<C>)>,
    ) -> bool {
        let is_it = |wait: &Wait| (wait.waiter, wait.epoch, wait.slot) == (waiter, epoch, slot);
        let lasts = |wait: &Wait| current.is_none_or(|current| wait.lasts(current));
        self.0.retain(|wait| !is_it(wait) || lasts(wait));
        !self.0.iter().any(is_it)
    }

    /// Notes that a run has ended. Only the waits for callbacks that have not returned remain.
    pub(crate) fn end_run<C: Clone>(&mut self, current: (u64, &Delivery<C>)) {
        self.0.retain(|wait| wait.lasts(current));
    }

    /// Notes that a callback has returned whose run has ended.
    pub(crate) fn returned(&mut self, epoch: u64, slot: u32) {
        self.0.retain(|wait| (wait.epoch, wait.slot) != (epoch, slot));
    }
}

impl Wait {
    /// Whether a wait goes on after the end of its run.
    fn lasts<C: Clone>(&self, (epoch, delivery): (u64, &Delivery<C>)) -> bool {
        self.epoch != epoch || delivery.runner(self.slot) == Some(self.runner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::outbox::{Action, Outbox};
    use crate::types::SourceGroup;

    const THREADS: [Token; 3] = [Token(1), Token(2), Token(3)];

    /// Each of the threads calls the client of its place.
    fn setup() -> (Delivery<char>, Outbox, Waits) {
        let (mut delivery, mut outbox) = (Delivery::new(), Outbox::new());
        for (slot, thread) in (0..).zip(THREADS) {
            delivery.reserve_lane(slot).unwrap();
            delivery.open(slot, 'c', None);
            outbox.reserve(1).unwrap();
            outbox.push(slot, Action::Join { of: SourceGroup::ALL, member: true });
            delivery.post(&mut outbox, thread);
            assert_eq!(delivery.run_next(&outbox, None, thread), Some(slot));
        }
        (delivery, outbox, Waits::new())
    }

    fn wait(waiter: usize, runner: usize) -> Wait {
        let (waiter, slot) = (THREADS[waiter], runner as u32);
        Wait { waiter, runner: THREADS[runner], epoch: 1, slot, inside: true }
    }

    #[test]
    fn waiting_in_a_circle_is_refused() {
        let (mut delivery, outbox, mut waits) = setup();
        assert_eq!(waits.begin(wait(0, 1), (1, &delivery)), Ok(true));
        assert_eq!(waits.begin(wait(1, 0), (1, &delivery)), Ok(false));
        assert_eq!(waits.begin(wait(1, 2), (1, &delivery)), Ok(true));
        assert_eq!(waits.begin(wait(2, 0), (1, &delivery)), Ok(false));
        assert!(waits.any_inside(THREADS[2], (1, &delivery)));
        assert!(!waits.any_inside(THREADS[0], (1, &delivery)));
        assert!(waits.any_inside(THREADS[1], (1, &delivery)));
        // The callback that the first one waits for has returned.
        delivery.stop_running(1, &outbox);
        assert_eq!(waits.begin(wait(2, 0), (1, &delivery)), Ok(true));
        assert!(waits.is_over((THREADS[0], 1, 1), Some((1, &delivery))));
        assert!(!waits.is_over((THREADS[1], 1, 2), Some((1, &delivery))));
    }

    #[test]
    fn a_wait_outlasts_the_run() {
        let (mut delivery, outbox, mut waits) = setup();
        assert_eq!(waits.begin(wait(0, 1), (1, &delivery)), Ok(true));
        assert_eq!(waits.begin(wait(1, 2), (1, &delivery)), Ok(true));
        delivery.stop_running(2, &outbox);
        waits.end_run((1, &delivery));
        let (next, ..) = setup();
        assert!(waits.is_over((THREADS[1], 1, 2), None::<(u64, &Delivery<char>)>));
        assert!(!waits.is_over((THREADS[0], 1, 1), Some((2, &next))));
        waits.returned(2, 1);
        assert!(!waits.is_over((THREADS[0], 1, 1), Some((2, &next))));
        waits.returned(1, 1);
        assert!(waits.is_over((THREADS[0], 1, 1), Some((2, &next))));
    }
}
