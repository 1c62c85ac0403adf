//! Lanes that their clients' own dispatches run, and nobody else (rules H1 to H8).

#![forbid(unsafe_code)]

use crate::core::state::outbox::{Action, Merge, Outbox, Topic};
use crate::error::Error;
use crate::shell::callbacks::CallbackThread;
use crate::shell::deliver::{Delivery, Token};
use crate::sys::Readiness;
use hashbrown::HashMap;

/// A lane that its own dispatch runs, and nobody else.
pub struct OwnLane {
    pub(super) waiting: Readiness,
    /// No call waits for it (rule H4).
    pub(super) is_loop: bool,
    /// It is among those that are to be rung.
    pub(super) unrung: bool,
    /// Whose dispatch is under way, also while it is inside another client's callback (rule H7).
    pub(super) dispatching: Option<Token>,
    /// The alert that waits about each topic, in a lane that no call waits for: a later one may merge
    /// with it (rule H8).
    pub(super) topics: HashMap<Topic, u32>,
}

impl OwnLane {
    /// One for a client of this kind, if it needs one.
    pub fn of(thread: CallbackThread) -> Result<Option<Self>, Error> {
        if thread == CallbackThread::Anywhere {
            return Ok(None);
        }
        let waiting = Readiness::new().map_err(|_| Error::OutOfMemory)?;
        let is_loop = thread == CallbackThread::Dispatched;
        Ok(Some(Self {
            waiting,
            is_loop,
            unrung: false,
            dispatching: None,
            topics: HashMap::new(),
        }))
    }
}

impl<C: Clone> Delivery<C> {
    /// Looks whether a new alert for a loop merges with one that waits. Gives the one that is not
    /// delivered, and whether that is the new one.
    #[cold]
    pub(super) fn merge(
        &mut self,
        slot: u32,
        id: u32,
        outbox: &mut Outbox,
    ) -> (Option<Action>, bool) {
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

    /// What is readable while actions wait in a lane that its own dispatch runs.
    pub fn own(&self, slot: u32) -> Option<&Readiness> {
        Some(&self.lanes.get(slot as usize)?.own.as_ref()?.waiting)
    }

    /// Whether there are any.
    #[inline]
    pub const fn has_own_lanes(&self) -> bool {
        self.own_lanes > 0
    }

    /// Whether what is posted from now on waits for [`Self::ring`] before those are woken who dispatch it:
    /// the thread has something to do that must not come behind theirs.
    pub const fn rings_later(&mut self, later: bool) {
        self.rings_later = later;
    }

    /// Something waits in a lane that its own dispatch runs.
    pub(super) fn something_waits(&mut self, slot: u32) {
        let Some(own) = &mut self.lanes[slot as usize].own else { return };
        if !self.rings_later || self.unrung.try_reserve(1).is_err() {
            own.waiting.set(true);
        } else if !std::mem::replace(&mut own.unrung, true) {
            self.unrung.push(slot);
        }
    }

    /// Wakes those who dispatch what was posted meanwhile.
    #[inline]
    pub fn ring(&mut self) {
        if !self.unrung.is_empty() {
            self.ring_all();
        }
    }

    #[cold]
    fn ring_all(&mut self) {
        while let Some(slot) = self.unrung.pop() {
            // By now the lane may be another client's.
            let lane = &mut self.lanes[slot as usize];
            let is_held = lane.is_held();
            let Some(own) = &mut lane.own else { continue };
            own.unrung = false;
            // Whoever holds it sees to it when it leaves.
            if !is_held {
                own.waiting.set(!lane.queue.is_empty());
            }
        }
    }

    /// A dispatch begins, with the thread as the lane's runner. False: nothing waits there, and nothing
    /// has begun.
    pub fn begin_dispatch(&mut self, slot: u32, me: Token) -> Result<bool, Error> {
        let is_under_way = |own: &OwnLane| own.dispatching.is_some();
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
}
