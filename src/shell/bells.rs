//! How threads that wait are woken: each waits at a bell, and only those at a bell wake when it is rung.
//!
//! What is waited for changes under the shell's lock. Whoever changes it notes the event there, and
//! rings once nothing is locked any more.

#![forbid(unsafe_code)]

use crate::sys::sync::atomic::{AtomicU32, Ordering::SeqCst};
use crate::sys::sync::{Condvar, Mutex};
use crate::types::SourceGroup;
use smallvec::SmallVec;
use std::time::Duration;

/// What a thread may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything that a job caused has been performed, or all but [`CROWD`](super::deliver::CROWD), or
    /// something of it is left to its own thread.
    Job(u32),
    /// No thread calls the client in this slot any more.
    Lane(u32),
    /// A client has answered what it was asked about a flow.
    Flow(SourceGroup),
    /// The library stops, or a callback returns while it does.
    Stop,
    /// Clients have answered most of what they are asked.
    Room,
}

/// How many bells there are. Two events may have the same one: whoever waits there for the other wakes in
/// vain. (The scheduler's are large, and its stacks are not.)
const BELLS: usize = if cfg!(all(test, feature = "shuttle")) { 32 } else { 256 };

impl Event {
    const fn bell(self) -> usize {
        let number = match self {
            Self::Job(job) => job as usize,
            Self::Lane(slot) => slot as usize + BELLS / 2,
            // Sources and groups differ in their last octets first.
            Self::Flow(flow) => {
                (flow.source().to_bits().wrapping_mul(31) ^ flow.group().to_bits()) as usize
            }
            Self::Stop => 0,
            Self::Room => BELLS - 1,
        };
        number % BELLS
    }
}

/// All bells.
pub(crate) struct Bells([Bell; BELLS]);

struct Bell {
    waiting: AtomicU32,
    /// How often it was rung.
    rung: Mutex<u32>,
    sound: Condvar,
}

/// A thread that waits, or is about to. It hears of what comes about from now on.
pub(crate) struct Listener<'a> {
    bell: &'a Bell,
    heard: u32,
}

impl Bells {
    pub(crate) const fn new() -> Self {
        Self(
            [const { Bell { waiting: AtomicU32::new(0), rung: Mutex::new(0), sound: Condvar::new() } };
                BELLS],
        )
    }

    /// Begins to wait for an event.
    pub(crate) fn listen(&self, event: Event) -> Listener<'_> {
        let bell = &self.0[event.bell()];
        bell.waiting.fetch_add(1, SeqCst);
        Listener { heard: *bell.rung.lock(), bell }
    }

    /// An event has come about, or may have.
    pub(crate) fn ring(&self, event: Event) {
        self.0[event.bell()].ring();
    }

    /// Anything may have come about.
    pub(crate) fn ring_all(&self) {
        self.0.iter().for_each(Bell::ring);
    }
}

impl Bell {
    fn ring(&self) {
        // A thread that looked under the shell's lock before the change, and in vain, has been counted.
        if self.waiting.load(SeqCst) > 0 {
            let mut rung = self.rung.lock();
            *rung = rung.wrapping_add(1);
            drop(rung);
            self.sound.notify_all();
        }
    }
}

impl Listener<'_> {
    /// Waits until the bell is rung, for so long; what was rung since the last time counts. False: it
    /// was not.
    pub(crate) fn wait(&mut self, patience: Duration) -> bool {
        let mut rung = self.bell.rung.lock();
        if *rung == self.heard {
            let _ = self.bell.sound.wait_for(&mut rung, patience);
        }
        let heard = std::mem::replace(&mut self.heard, *rung);
        heard != self.heard
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.bell.waiting.fetch_sub(1, SeqCst);
    }
}

/// Events that came about under the lock.
pub(crate) struct Events {
    few: SmallVec<[Event; 4]>,
    /// There were more than there was memory for.
    more: bool,
    /// Something has come about.
    any: bool,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { few: SmallVec::new(), more: false, any: false }
    }

    pub(crate) fn note(&mut self, event: Event) {
        self.any = true;
        if self.few.try_reserve(1).is_ok() {
            self.few.push(event);
        } else {
            self.more = true;
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        !self.any
    }

    /// Takes them all.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }

    /// Those that found a place, in order.
    #[cfg(test)]
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Event> {
        self.few.into_iter()
    }

    pub(crate) fn ring(&self, bells: &Bells) {
        if self.more {
            bells.ring_all();
        }
        self.few.iter().for_each(|event| bells.ring(*event));
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn only_those_at_a_bell_wake() {
        let bells = Bells::new();
        thread::scope(|scope| {
            let mut other = bells.listen(Event::Job(2));
            let waits = scope.spawn(|| bells.listen(Event::Job(1)).wait(LONG));
            while !waits.is_finished() {
                bells.ring(Event::Job(1));
                thread::yield_now();
            }
            assert!(waits.join().unwrap());
            assert!(!other.wait(SHORT), "it was not meant");
            bells.ring_all();
            assert!(other.wait(LONG) && !other.wait(SHORT));
        });
    }

    #[test]
    fn what_is_rung_before_the_wait_counts() {
        let bells = Bells::new();
        let flow = SourceGroup::from_bits(0x0a01_0002_ef01_0101);
        let mut listener = bells.listen(Event::Flow(flow));
        bells.ring(Event::Flow(flow));
        assert!(listener.wait(LONG));
        drop(listener);
        bells.ring(Event::Flow(flow));
        assert!(!bells.listen(Event::Flow(flow)).wait(SHORT), "it was rung before");
    }

    #[test]
    fn events_that_find_no_place_ring_every_bell() {
        let bells = Bells::new();
        let mut events = Events::new();
        assert!(events.is_empty());
        events.note(Event::Stop);
        events.more = true;
        let mut listener = bells.listen(Event::Lane(7));
        events.take().ring(&bells);
        assert!(listener.wait(LONG) && events.is_empty());
    }
}
