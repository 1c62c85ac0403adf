//! The group manager, and the ways into it: each call locks, asks the core, unlocks, and performs what
//! the core decided.

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::forwarder::{Forwarder, Pool};
use crate::log::Level;
use crate::shell::bells::{Bells, Event};
use crate::shell::callbacks::Callbacks;
use crate::shell::run::{FlowLines, KeptLine, Locked};
pub(crate) use crate::shell::run::{Moment, Running, State};
use crate::shell::service::{ServeSettings, Service};
pub use crate::shell::settings::{ForwarderChoice, LogSink, Settings};
use crate::shell::tally::Tally;
use crate::sys::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sys::sync::{Mutex, RwLock, coarse_time};
use crate::types::Millis;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Starts what serves clients in other processes.
pub type Serve<C> = fn(&'static Mgm<C>, &ServeSettings) -> Result<Box<dyn Service>, Error>;

/// How often a thread that waits looks for clients that hang.
const LOOKS: Duration = Duration::from_millis(100);

/// A group manager. It must live for ever, because its threads refer to it.
pub struct Mgm<C: 'static> {
    /// The manager itself, once it was started. The forwarder reports to it.
    pub(crate) this: OnceLock<&'static Mgm<C>>,
    pub(crate) state: RwLock<State<C>>,
    /// Held while starting or stopping.
    pub(crate) starting: Mutex<()>,
    pub(super) bells: Bells,
    pub(super) broken: AtomicBool,
    pub(super) level: AtomicU32,
    pub(super) sink: RwLock<LogSink>,
    /// The forwarder of the run, which knows the devices' names for the log.
    pub(super) devices: RwLock<Option<Arc<dyn Forwarder>>>,
    pub(super) kept_lines: Mutex<VecDeque<KeptLine>>,
    pub(crate) flow_lines: FlowLines,
    pub(crate) tally: Tally,
    pub(crate) host_clock: AtomicBool,
    /// The latest time that the host's clock gave in this run, in milliseconds.
    pub(crate) latest: AtomicU64,
    /// True from the beginning of a start to the end of the stop.
    pub(crate) active: AtomicBool,
    /// The forwarder may have entries that an earlier program left.
    pub(crate) takes_over: AtomicBool,
    /// The library's own threads.
    pub(crate) pool: Pool,
    /// Starts what serves clients in other processes.
    pub(crate) serve: Option<Serve<C>>,
}

/// Milliseconds of the system's monotonic clock, as it was at the kernel's last tick.
pub(crate) fn system_now() -> Millis {
    in_millis(coarse_time())
}

const fn in_millis(time: Duration) -> Millis {
    Millis(time.as_secs() * 1000 + time.subsec_millis() as u64)
}

impl<C: Callbacks> Mgm<C> {
    /// A group manager that does not run yet.
    pub const fn new() -> Self {
        Self::with_service(None)
    }

    /// The same, with what serves clients in other processes.
    pub const fn with_service(serve: Option<Serve<C>>) -> Self {
        Self {
            this: OnceLock::new(),
            state: RwLock::new(State::new()),
            starting: Mutex::new(()),
            bells: Bells::new(),
            broken: AtomicBool::new(false),
            level: AtomicU32::new(Level::Error as u32),
            sink: RwLock::new(LogSink::Stderr),
            devices: RwLock::new(None),
            kept_lines: Mutex::new(VecDeque::new()),
            flow_lines: FlowLines::new(),
            tally: Tally::new(),
            host_clock: AtomicBool::new(false),
            latest: AtomicU64::new(0),
            active: AtomicBool::new(false),
            takes_over: AtomicBool::new(false),
            pool: Pool::new(),
            serve,
        }
    }

    /// For tests: whether no call goes on and nothing is on its way, except to clients that hang or have
    /// loops.
    #[doc(hidden)]
    pub fn is_idle(&self) -> bool {
        self.state.read().shared().is_none_or(|running| running.delivery.is_idle())
    }

    /// Does something under the lock, if the library runs.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Running<C>) -> R) -> Option<R> {
        self.lock().running().map(f)
    }

    pub(crate) fn with_in<R>(
        &self,
        epoch: u64,
        f: impl FnOnce(&mut Running<C>) -> R,
    ) -> Result<R, Error> {
        self.lock().running_in(epoch).map(f).ok_or(Error::NotRunning)
    }

    /// The state, to change. When the lock is released, the threads that wait for what has come about
    /// meanwhile are woken.
    pub(crate) fn lock(&self) -> Locked<'_, C> {
        Locked::new(self.state.write(), &self.bells)
    }

    /// Waits for an event: until a condition under the lock holds, or a fault closes the library.
    pub(crate) fn wait_until(&self, event: Event, mut over: impl FnMut(&mut State<C>) -> bool) {
        // Most often there is nothing to wait for.
        if self.is_broken() || over(&mut self.lock()) {
            return;
        }
        let mut listener = self.bells.listen(event);
        while !self.is_broken() && !over(&mut self.lock()) {
            // No event tells that a client has hung for long enough, so the threads look for it.
            if !listener.wait(LOOKS) {
                self.watch();
            }
        }
    }

    /// Something happened that any thread may wait for.
    pub(crate) fn wake_all(&self) {
        self.bells.ring_all();
    }

    /// Whether it runs, is being started or being stopped. Waits for no lock. So during a start it
    /// may not say so yet, and during a stop it may say already that the library has stopped.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed) || self.starting.is_locked()
    }

    /// Tells this manager from others, for the threads' contexts.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The time. It must be read with nothing locked, because the clock may be the host's code.
    pub(crate) fn now(&self) -> Millis {
        // Most often it is the system's.
        if self.host_clock.load(Ordering::Relaxed) { self.moment().now } else { system_now() }
    }

    /// The same, where the system's clock has just given `time`.
    pub(crate) fn now_at(&self, time: Duration) -> Millis {
        if self.host_clock.load(Ordering::Relaxed) { self.now() } else { in_millis(time) }
    }

    /// The time, and whose clock gave it.
    pub(crate) fn moment(&self) -> Moment {
        if self.host_clock.load(Ordering::Relaxed) {
            let clock = self.state.read().clock();
            if let Some((epoch, clock)) = clock {
                // Time does not go back inside the library, whatever the host's clock says.
                let now = Millis(clock().0.max(self.latest.load(Ordering::Relaxed)));
                self.latest.fetch_max(now.0, Ordering::Relaxed);
                return Moment { now, of: Some(epoch) };
            }
        }
        Moment { now: system_now(), of: None }
    }
}

impl<C: Callbacks> Default for Mgm<C> {
    fn default() -> Self {
        Self::new()
    }
}
