//! Clients that hang: those that have kept a thread inside a callback for [`PATIENCE`]. Until the
//! thread has returned, the actions on their way to the client are counted separately, so that no
//! call waits for them (rule A7).

#![forbid(unsafe_code)]

use crate::core::NONE;
use crate::core::state::outbox::Outbox;
use crate::shell::deliver::Delivery;
use crate::sys::sync::Instant;
use crate::types::PATIENCE;
use std::time::Duration;

/// The shortest time between two looks at the clients that are being called.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl<C: Clone> Delivery<C> {
    /// Notes that the thread of a lane has made progress: the client does not hang, or not any
    /// more.
    #[inline]
    pub fn moves(&mut self, slot: u32, outbox: &Outbox) {
        let lane = &mut self.lanes[slot as usize];
        lane.seen = None;
        if lane.hangs && !lane.is_loop() {
            self.set_hanging(slot, outbox, false);
        }
        self.lanes[slot as usize].performed = NONE;
    }

    pub(in crate::shell) fn set_hanging(&mut self, slot: u32, outbox: &Outbox, hangs: bool) {
        let lane = &mut self.lanes[slot as usize];
        lane.hangs = hangs;
        let (queue, performed) = (lane.queue, lane.performed);
        for job in outbox.jobs(&queue).chain([performed]) {
            self.jobs.set_apart(job, hangs);
        }
    }

    /// Looks for a client that hangs and was not known to. Must be called from time to time, and
    /// each time until there is none.
    pub fn find_hanging(&mut self, outbox: &Outbox) -> Option<u32> {
        if self.looked.is_some_and(|looked| looked.elapsed() < BETWEEN_LOOKS) {
            return None;
        }
        for slot in 0..self.lanes.len() as u32 {
            let lane = &mut self.lanes[slot as usize];
            if !lane.is_held() || lane.hangs {
                continue;
            }
            if lane.seen.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                self.set_hanging(slot, outbox, true);
                return Some(slot);
            }
        }
        self.looked = Some(Instant::now());
        None
    }

    /// Whether calls wait for this client's callbacks, because it does not hang.
    pub fn is_waited_for(&self, slot: u32) -> bool {
        self.lanes.get(slot as usize).is_some_and(|lane| !lane.hangs)
    }
}
