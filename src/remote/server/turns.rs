//! For tests: clients are delivered to one after the other, so that all that happens has one order.

use super::Shared;
use super::proxy::Proxy;
use crate::shell::callbacks::Callbacks;
use crate::sys::sync::unscheduled::{Mutex, MutexGuard};

/// Held by the one client that is delivered to, where they take turns.
pub(super) struct Turns(Option<Mutex<()>>);

impl Turns {
    pub(super) fn new(wanted: bool) -> Self {
        Self(wanted.then(|| Mutex::new(())))
    }
}

impl<C: Callbacks + From<Proxy>> Shared<C> {
    /// Waits for the turn.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.turns.0.as_ref().map(Mutex::lock)
    }

    /// The same for a dispatch. Inside another client's callback it is that client's turn, and goes on.
    pub(super) fn turn_of_dispatch(&self) -> Option<MutexGuard<'_, ()>> {
        let turns = self.turns.0.as_ref()?;
        while !self.is_asking() {
            if let Some(turn) = turns.try_lock() {
                return Some(turn);
            }
            std::thread::yield_now();
        }
        None
    }

    fn is_asking(&self) -> bool {
        let now = self.now.lock();
        now.connections.iter().any(|connection| connection.is_asking())
    }
}
