//! What the shell's lock protects.

#![forbid(unsafe_code)]

use crate::control::Control;
use crate::core::Core;
use crate::forwarder::Forwarder;
use crate::log::{Level, Line, Throttle};
use crate::shell::batch::Batch;
use crate::shell::bells::{Bells, Events};
use crate::shell::deliver::Delivery;
use crate::shell::host_calls::HostCalls;
use crate::shell::service::Service;
use crate::shell::settings::{ClockFn, LogFn};
use crate::shell::waits::Waits;
use crate::shell::walks::Walks;
use crate::sys::sync::{Mutex, Writing, give_way};
use crate::types::{ClientId, Millis, SourceGroup};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Everything that exists while the library runs.
pub(crate) struct Running<C> {
    pub core: Core,
    pub delivery: Delivery<C>,
    pub forwarder: Arc<dyn Forwarder>,
    /// Locked by the thread that programs the forwarder.
    pub programming: Arc<Mutex<Batch>>,
    /// Tells this run from earlier ones.
    pub epoch: u64,
    /// It is being started or stopped, and no new call begins.
    pub closed: bool,
    pub clock: Option<ClockFn>,
    pub host_calls: Arc<HostCalls>,
    pub control: Option<Control>,
    /// What serves clients in other processes.
    pub service: Option<Box<dyn Service>>,
    /// When the run began.
    pub started: Millis,
    /// Entries that could not be programmed.
    pub retry: Vec<SourceGroup>,
    /// More entries could not be programmed than there was memory to remember: all are tried again.
    pub retry_all: bool,
    /// The entry from which on all entries are being programmed again.
    pub retrying: Option<SourceGroup>,
    /// Routes toward some sources could not be looked at because memory ran out.
    pub look_all: bool,
    /// Looks at the routes toward many sources that have begun.
    pub walks: Walks,
    /// When refused flows were logged last.
    pub refusal_logged: Option<Millis>,
}

/// A time, and the clock that gave it.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub now: Millis,
    /// The run whose host's clock gave it; None: the system's clock.
    pub of: Option<u64>,
}

/// What the lock protects.
pub(crate) struct State<C> {
    running: Option<Running<C>>,
    /// The generation with which the next run's handles begin.
    pub generation: u32,
    /// Threads that wait for clients' callbacks.
    pub waits: Waits,
}

impl<C: Clone> Running<C> {
    /// Notes that a client has gone and that no thread waits for it, so that its slot may be used
    /// again.
    pub fn gone(&mut self, client: ClientId) {
        if self.delivery.vacate(client.slot) {
            self.core.free_client_slot(client.slot);
        }
    }
}

impl<C> State<C> {
    /// Nothing runs.
    pub const fn new() -> Self {
        Self { running: None, generation: 1, waits: Waits::new() }
    }

    /// The run, unless it is being started or stopped.
    pub fn running(&mut self) -> Option<&mut Running<C>> {
        self.running.as_mut().filter(|running| !running.closed)
    }

    /// The same, if it is still the run with this number.
    pub fn running_in(&mut self, epoch: u64) -> Option<&mut Running<C>> {
        self.running().filter(|running| running.epoch == epoch)
    }

    /// The run, also while it is being started or stopped.
    pub const fn whole(&mut self) -> &mut Option<Running<C>> {
        &mut self.running
    }

    /// The same, with the threads that wait for clients.
    pub const fn with_waits(&mut self) -> (Option<&mut Running<C>>, &mut Waits) {
        (self.running.as_mut(), &mut self.waits)
    }

    /// The host's clock of the run, also while it is being stopped, and the run's number.
    pub fn clock(&self) -> Option<(u64, ClockFn)> {
        let running = self.running.as_ref()?;
        Some((running.epoch, running.clock.clone()?))
    }

    /// The run, for readers, if `moment` is a time of its clock.
    pub fn shared_at(&self, moment: Moment) -> Option<&Running<C>> {
        self.shared().filter(|running| match moment.of {
            Some(epoch) => running.epoch == epoch,
            None => running.clock.is_none(),
        })
    }

    /// The run, for readers, unless it is being started or stopped.
    pub fn shared(&self) -> Option<&Running<C>> {
        self.running.as_ref().filter(|running| !running.closed)
    }
}

/// A line that the host's log function gets later.
pub(crate) struct KeptLine {
    pub host: LogFn,
    pub level: Level,
    pub line: Line,
}

/// The group manager's own lines of this kind: each is about one flow.
pub(crate) struct FlowLines {
    /// Entries that could not be programmed.
    pub failed: Throttle,
    /// RPF callbacks that named somebody else's interface.
    pub foreign_iif: Throttle,
    /// Flows that are wanted on their iif's device.
    pub same_device: Throttle,
    /// Flows that were given up because memory ran out.
    pub given_up: Throttle,
}

impl FlowLines {
    /// The first line of each may come at once.
    pub(crate) const fn new() -> Self {
        Self {
            failed: Throttle::new(),
            foreign_iif: Throttle::new(),
            same_device: Throttle::new(),
            given_up: Throttle::new(),
        }
    }

    /// A new run begins.
    pub(crate) fn reset(&self) {
        for lines in [&self.failed, &self.foreign_iif, &self.same_device, &self.given_up] {
            lines.reset();
        }
    }
}

/// The state while it is locked. Threads that wait for what comes about meanwhile are told as soon as the
/// lock is released.
pub(crate) struct Locked<'a, C> {
    state: Writing<'a, State<C>>,
    // Dropped after the lock was released.
    news: EventsToRing<'a>,
}

struct EventsToRing<'a> {
    bells: &'a Bells,
    events: Option<Events>,
}

impl<'a, C> Locked<'a, C> {
    pub(super) const fn new(state: Writing<'a, State<C>>, bells: &'a Bells) -> Self {
        Self { state, news: EventsToRing { bells, events: None } }
    }

    /// Lets others have the lock in between.
    pub(super) fn give_way(&mut self) {
        give_way(&mut self.state);
    }
}

impl<C> Deref for Locked<'_, C> {
    type Target = State<C>;

    fn deref(&self) -> &State<C> {
        &self.state
    }
}

impl<C> DerefMut for Locked<'_, C> {
    fn deref_mut(&mut self) -> &mut State<C> {
        &mut self.state
    }
}

impl<C> Drop for Locked<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(running) = &mut self.state.running
            && !running.delivery.events.is_empty()
        {
            self.news.keep(&mut running.delivery.events);
        }
    }
}

impl EventsToRing<'_> {
    #[cold]
    fn keep(&mut self, events: &mut Events) {
        self.events = Some(events.take());
    }

    #[cold]
    fn ring(&mut self) {
        if let Some(events) = self.events.take() {
            events.ring(self.bells);
        }
    }
}

impl Drop for EventsToRing<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.events.is_some() {
            self.ring();
        }
    }
}
