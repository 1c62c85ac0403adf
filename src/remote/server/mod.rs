//! The host's side: it accepts client processes and does what they ask.
//!
//! | file | what it is |
//! |---|---|
//! | here | the socket, and the thread that accepts |
//! | `connection` | one client process: its channels, its clients, its end |
//! | `requests` | doing what it asks |
//! | `proxy` | a client of another process as [`Callbacks`] |
//! | `deliver` | the thread of a client that delivers its callbacks |
//! | `hold` | what an ended process leaves behind for a while (rule P3) |
//! | `turns` | for tests: one client after the other |
//!
//! Threads: one accepts; each connection has one that waits for its end, each call channel one that does
//! the calls, each client one that delivers its callbacks. So whoever waits holds up nobody else, and
//! the bounds below bound the threads.

mod connection;
mod deliver;
mod hold;
mod proxy;
mod requests;
mod turns;

use crate::control::socket_file::{SocketFile, Wanted};
use crate::error::{Error, StartError};
use crate::log::Level;
use crate::remote::channel::Ended;
use crate::remote::wire::RecordSizes;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::Mgm;
pub use crate::shell::service::ServeSettings;
use crate::shell::service::Service;
use crate::sys::sync::unscheduled::{Condvar, Mutex};
use crate::sys::unix::SocketKind;
use crate::sys::{Body, Errno, Thread, seqpacket};
use crate::types::PATIENCE;
use connection::Connection;
use hold::Held;
pub use proxy::Proxy;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use turns::Turns;

/// Who may connect: the owner and the group of the socket's file (rule P6).
const MODE: u32 = 0o660;

/// Connections at one time.
const MAX_CONNECTIONS: usize = 2048;

/// Threads at one time, those of all connections together.
const MAX_THREADS: usize = 8192;

/// How long to wait where accepting failed: for want of descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A server that runs.
pub struct Server<C: Callbacks + From<Proxy>> {
    shared: Arc<Shared<C>>,
    file: SocketFile,
}

/// What its threads share.
struct Shared<C: 'static> {
    mgm: &'static Mgm<C>,
    listener: OwnedFd,
    hold: Duration,
    sizes: RecordSizes,
    turns: Turns,
    now: Mutex<Now<C>>,
    changed: Condvar,
}

struct Now<C: 'static> {
    stopping: bool,
    connections: Vec<Arc<Connection<C>>>,
    threads: usize,
    held: Vec<Arc<Held>>,
}

impl<C: Callbacks + From<Proxy>> Server<C> {
    /// Begins to serve.
    pub fn start(
        mgm: &'static Mgm<C>,
        settings: &ServeSettings,
        sizes: RecordSizes,
    ) -> Result<Self, Error> {
        Self::start_with(mgm, settings, sizes, false)
    }

    /// The same for tests: it delivers to one client after the other, so that there is one order of
    /// all that happens, which can be held against the rules.
    #[doc(hidden)]
    pub fn start_in_turns(
        mgm: &'static Mgm<C>,
        settings: &ServeSettings,
        sizes: RecordSizes,
    ) -> Result<Self, Error> {
        Self::start_with(mgm, settings, sizes, true)
    }

    fn start_with(
        mgm: &'static Mgm<C>,
        settings: &ServeSettings,
        sizes: RecordSizes,
        in_turns: bool,
    ) -> Result<Self, Error> {
        let wanted = Wanted { name: "clients' socket", kind: SocketKind::Seqpacket, mode: MODE };
        let (listener, file) = wanted.bind(&settings.path).map_err(|reason| {
            Error::SocketNotServed { path: settings.path.clone(), reason: Box::new(reason) }
        })?;
        let now = Now { stopping: false, connections: Vec::new(), threads: 0, held: Vec::new() };
        let shared = Arc::new(Shared {
            mgm,
            listener,
            hold: settings.hold,
            sizes,
            turns: Turns::new(in_turns),
            now: Mutex::new(now),
            changed: Condvar::new(),
        });
        let server = Self { shared, file };
        let os = |errno| Error::Start(StartError::Os { what: "the server's thread", errno });
        spawn(&server.shared, c"mgm-accept", Accepting(Arc::clone(&server.shared))).map_err(os)?;
        Ok(server)
    }
}

impl<C: Callbacks + From<Proxy>> Service for Server<C> {
    /// Ends it: every connection ends, and its clients get no more callbacks.
    fn stop(self: Box<Self>) -> bool {
        drop(self.file);
        let mut now = self.shared.now.lock();
        now.stopping = true;
        now.held.clear();
        let connections = std::mem::take(&mut now.connections);
        drop(now);
        seqpacket::shut_down(&self.shared.listener);
        for connection in &connections {
            connection.shut_down(Ended::Gone);
        }
        self.shared.changed.notify_all();
        let mut now = self.shared.now.lock();
        self.shared.changed.wait_while_for(&mut now, |now| now.threads > 0, PATIENCE);
        now.threads == 0
    }
}

/// What a thread of the server does.
trait Task: Send + Sync + 'static {
    fn run(&self);
}

struct TaskThread<C, T>(PhantomData<(C, T)>);

impl<C: Callbacks, T: Task> Body for TaskThread<C, T> {
    type On = (Arc<Shared<C>>, T);

    fn run(on: Arc<Self::On>) {
        let (shared, task) = &*on;
        if catch_unwind(AssertUnwindSafe(|| task.run())).is_err() {
            shared.mgm.mark_broken();
        }
        shared.now.lock().threads -= 1;
        shared.changed.notify_all();
    }
}

/// Starts a thread that is counted.
fn spawn<C: Callbacks, T: Task>(
    shared: &Arc<Shared<C>>,
    name: &std::ffi::CStr,
    task: T,
) -> Result<(), Errno> {
    {
        let mut now = shared.now.lock();
        if now.stopping || now.threads >= MAX_THREADS {
            return Err(libc::EAGAIN);
        }
        now.threads += 1;
    }
    match Thread::spawn::<TaskThread<C, T>>(name, Arc::new((Arc::clone(shared), task))) {
        Ok(thread) => {
            thread.detach();
            Ok(())
        }
        Err(errno) => {
            shared.now.lock().threads -= 1;
            shared.changed.notify_all();
            Err(errno)
        }
    }
}

struct Accepting<C: 'static>(Arc<Shared<C>>);

impl<C: Callbacks + From<Proxy>> Task for Accepting<C> {
    fn run(&self) {
        let shared = &self.0;
        loop {
            let accepted = seqpacket::accept(&shared.listener);
            if shared.now.lock().stopping {
                return;
            }
            if let Err(reason) = accepted.map_err(Refused::Os).and_then(|main| self.admit(main)) {
                let mgm = shared.mgm;
                mgm.log(Level::Warn, format_args!("a client process was not served: {reason}"));
                if matches!(reason, Refused::Os(_)) && shared.stopping_within(ACCEPT_PAUSE) {
                    return;
                }
            }
        }
    }
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("errno {0}")]
    Os(Errno),
    #[error("there are {MAX_CONNECTIONS} already")]
    TooMany,
    #[error("{0}")]
    Error(Error),
}

impl<C: Callbacks + From<Proxy>> Accepting<C> {
    fn admit(&self, main: OwnedFd) -> Result<(), Refused> {
        let connection = Connection::new(&self.0, main).map_err(Refused::Error)?;
        {
            let mut now = self.0.now.lock();
            if now.connections.len() >= MAX_CONNECTIONS {
                return Err(Refused::TooMany);
            }
            now.connections.try_reserve(1).map_err(|error| Refused::Error(error.into()))?;
            now.connections.push(Arc::clone(&connection));
        }
        connection.begin().map_err(|errno| {
            connection.forget();
            Refused::Os(errno)
        })
    }
}

impl<C: Callbacks + From<Proxy>> Shared<C> {
    /// The process of this pair's client may have ended: waits until that client has gone as well, or is held.
    fn await_end_of(&self, pair: (u32, u32)) {
        let mut now = self.now.lock();
        let ends = |now: &mut Now<C>| now.connections.iter().any(|one| one.goes_with(pair));
        self.changed.wait_while_for(&mut now, ends, PATIENCE);
    }
}

impl<C: Callbacks> Shared<C> {
    /// Waits for some time, unless the server ends. True: it ends.
    fn stopping_within(&self, time: Duration) -> bool {
        let mut now = self.now.lock();
        self.changed.wait_while_for(&mut now, |now| !now.stopping, time);
        now.stopping
    }
}
