//! New flows that the plane tells of are taken no faster than clients answer about them, where others than
//! the thread that takes them call the clients: those in other processes, and loops (decision 94).
//!
//! The kernel keeps the packets that wait for an entry in one list, newest first, and walks it for each
//! entry that is made. So what is taken should be answered soon, while it is new.

#![forbid(unsafe_code)]

/// With more actions on their way than that, the next flow waits. (The scheduler's tests are to come to
/// it.)
const MOST: usize = if cfg!(all(test, feature = "shuttle")) { 2 } else { 128 };

/// It waits until there are no more than that.
const ROOM: usize = MOST / 2;

/// Whether flows wait for clients; under the shell's lock.
#[derive(Default)]
pub struct Pace {
    /// A thread waits until there is room.
    waits: bool,
    /// Clients took too long. Nobody waits until they have caught up.
    given_up: bool,
}

impl Pace {
    /// Whether the thread that takes flows waits, with so many actions on their way.
    pub fn must_wait(&mut self, queued: usize) -> bool {
        self.given_up &= queued > ROOM;
        self.waits = queued > MOST && !self.given_up;
        self.waits
    }

    /// The thread has waited for too long.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// An action has been taken. True: there is room, and a thread waits for that.
    #[inline]
    pub(super) fn has_room(&mut self, queued: usize) -> bool {
        let has_room = self.waits && queued <= ROOM;
        self.waits &= !has_room;
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_flows_wait_for_clients_that_answer_and_for_no_others() {
        let mut pace = Pace::default();
        assert!(!pace.must_wait(MOST) && !pace.has_room(0), "nobody waits");
        assert!(pace.must_wait(MOST + 1));
        assert!(!pace.has_room(ROOM + 1) && pace.has_room(ROOM));
        assert!(!pace.has_room(ROOM), "it has been told");
        // A client that does not answer is waited for once, until it does.
        assert!(pace.must_wait(MOST + 1));
        pace.give_up();
        for queued in [MOST + 2, MOST, ROOM + 1, MOST + 1] {
            assert!(!pace.must_wait(queued), "{queued}");
        }
        assert!(!pace.must_wait(ROOM) && pace.must_wait(MOST + 1));
    }
}
