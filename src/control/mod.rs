//! The control socket: administrators' tools ask over it for the state.
//!
//! A connection has one request line, and gets one line of JSON as the answer. A thread of its own
//! serves one connection after another. Nothing can be changed over the socket, and a client that
//! is silent or slow is cut off.

#![forbid(unsafe_code)]

mod part;
pub(crate) mod socket_file;

pub use part::Part;

use crate::error::{Error, StartError};
use crate::log::Level;
use crate::sys::sync::unscheduled::{Condvar, Mutex};
use crate::sys::unix::{self, SocketKind};
use crate::sys::{Body, Errno, Thread};
use crate::types::PATIENCE;
use serde::Serialize;
use socket_file::{SocketFile, Wanted};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest request, its line end included.
const MAX_REQUEST: usize = 64;
/// How long a client may take for its request, and how long it may read nothing of the answer.
const SILENCE: Duration = Duration::from_secs(1);
/// Clients at one time; more wait until one of these is done.
const MAX_CLIENTS: usize = 16;
/// How long a client may take to read the whole answer. A million entries are some 400 MB; a tool on a
/// busy machine needs tens of seconds to read them.
const WHOLE_ANSWER: Duration = Duration::from_secs(60);

/// What is asked for.
pub(crate) trait Source: Send + Sync {
    /// Writes a part of the state.
    fn write(&self, part: Part, out: &mut dyn Write) -> Result<(), Error>;
    /// Writes a line to the log.
    fn log(&self, level: Level, line: std::fmt::Arguments<'_>);
    /// A thread of ours has met a fault (rule A5).
    fn fault(&self);
}

/// A control socket that is served.
pub(crate) struct Control {
    file: SocketFile,
    shared: Arc<Listening>,
}

/// A control socket that is not served yet. Goes with its file when this is dropped.
pub(crate) struct Bound {
    listener: UnixListener,
    file: SocketFile,
}

/// What the threads and the end of the run share.
struct Listening {
    source: &'static dyn Source,
    listener: UnixListener,
    now: Mutex<ControlState>,
    changed: Condvar,
}

#[derive(Default)]
struct ControlState {
    stopping: bool,
    /// The one that accepts, and one for each connection.
    threads: Vec<ControlThread>,
}

/// A thread.
struct ControlThread {
    thread: Thread,
    /// Its connection: the end shuts it down, so that the thread waits for nothing any more.
    client: Option<Arc<UnixStream>>,
    ended: bool,
}

impl Control {
    /// Makes the socket of a path. A socket file that a dead process left there is replaced;
    /// nothing else is.
    pub fn bind(path: PathBuf) -> Result<Bound, StartError> {
        let wanted = Wanted { name: "control socket", kind: SocketKind::Stream, mode: 0o600 };
        let (listener, file) = wanted.bind(&path)?;
        Ok(Bound { listener: listener.into(), file })
    }

    /// Serves it.
    pub fn start(source: &'static dyn Source, bound: Bound) -> Result<Self, StartError> {
        let Bound { listener, file } = bound;
        let (now, changed) = (Mutex::new(ControlState::default()), Condvar::new());
        let shared = Arc::new(Listening { source, listener, now, changed });
        spawn(&shared, None)
            .map_err(|errno| StartError::Os { what: "the control socket's thread", errno })?;
        Ok(Self { file, shared })
    }

    /// Removes the socket and ends the threads, cutting clients off. False: one of them is inside a
    /// function of the host's that does not return.
    pub fn stop(self) -> bool {
        drop(self.file);
        let mut now = self.shared.now.lock();
        now.stopping = true;
        unix::shut_down(self.shared.listener.as_fd());
        for client in now.threads.iter().filter_map(|worker| worker.client.as_ref()) {
            // It may have been shut down by the other side.
            let _ = client.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
        // The call may be made by one of them, inside the host's log.
        let over =
            |now: &ControlState| now.threads.iter().all(|one| one.ended || one.thread.is_self());
        self.shared.changed.wait_while_for(&mut now, |now| !over(now), PATIENCE);
        let over = over(&now);
        let threads = std::mem::take(&mut now.threads);
        drop(now);
        for worker in threads {
            if worker.ended { worker.thread.join() } else { worker.thread.detach() }
        }
        over
    }
}

/// Starts the thread of a connection. Without a connection it is the thread that accepts.
fn spawn(shared: &Arc<Listening>, client: Option<Arc<UnixStream>>) -> Result<(), Errno> {
    let mut now = shared.now.lock();
    now.threads.try_reserve(1).map_err(|_| libc::ENOMEM)?;
    let on = Arc::new((Arc::clone(shared), client.clone()));
    let thread = Thread::spawn::<Serving>(c"mgm-control", on)?;
    now.threads.push(ControlThread { thread, client, ended: false });
    Ok(())
}

/// A thread's life.
struct Serving;

impl Body for Serving {
    type On = (Arc<Listening>, Option<Arc<UnixStream>>);

    // All signals are blocked on it, so that a client that goes away does not kill the process with
    // SIGPIPE.
    fn run(on: Arc<Self::On>) {
        let (shared, client) = &*on;
        let work =
            || client.as_ref().map_or_else(|| shared.accept(), |client| shared.answer(client));
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            shared.source.fault();
        }
        if let Some(client) = client {
            // The client sees the end now, and not when the thread is joined.
            let _ = client.shutdown(Shutdown::Both);
        }
        let mut now = shared.now.lock();
        if let Some(own) = now.threads.iter_mut().find(|worker| worker.thread.is_self()) {
            (own.ended, own.client) = (true, None);
        }
        shared.changed.notify_all();
    }
}

impl Listening {
    fn accept(self: &Arc<Self>) {
        while self.has_room() {
            let accepted = self.listener.accept();
            if self.now.lock().stopping {
                return;
            }
            let served = accepted.and_then(|(client, _)| {
                spawn(self, Some(Arc::new(client))).map_err(io::Error::from_raw_os_error)
            });
            if let Err(error) = served {
                self.source.log(Level::Warn, format_args!("control socket: accept: {error}"));
                // Most likely there are no descriptors left, and it would fail again at once.
                if self.stopping_within(SILENCE) {
                    return;
                }
            }
        }
    }

    /// Waits until there is room for one more connection. False: the end has come.
    fn has_room(&self) -> bool {
        let mut now = self.now.lock();
        loop {
            let mut at = 0;
            while at < now.threads.len() {
                if now.threads[at].ended {
                    now.threads.swap_remove(at).thread.join();
                } else {
                    at += 1;
                }
            }
            if now.stopping || now.threads.len() <= MAX_CLIENTS {
                return !now.stopping;
            }
            self.changed.wait(&mut now);
        }
    }

    fn stopping_within(&self, time: Duration) -> bool {
        let mut now = self.now.lock();
        self.changed.wait_while_for(&mut now, |now| !now.stopping, time);
        now.stopping
    }

    fn answer(&self, client: &UnixStream) {
        let mut buffer = [0; MAX_REQUEST];
        let request = match request(client, &mut buffer) {
            Ok(request) => request,
            // It is silent or has gone.
            Err(_) => return,
        };
        let mut out = AnswerWriter { client, deadline: Instant::now() + WHOLE_ANSWER };
        let written = match request.and_then(Part::from_name) {
            Some(part) => self.source.write(part, &mut out),
            None => {
                // It does not matter if the client does not read this.
                let _ = refuse(&mut out, "unknown request");
                return;
            }
        };
        match written {
            Ok(()) => {
                let _ = out.write_all(b"\n");
            }
            // The answer ends in the middle of the line, so that nobody takes it for whole.
            Err(Error::NotWritten(kind)) => {
                self.source
                    .log(Level::Debug, format_args!("control socket: client cut off: {kind}"));
            }
            Err(error) => {
                self.source.log(Level::Warn, format_args!("control socket: {error}"));
            }
        }
    }
}

/// Reads the request line. None: it is too long or no text.
fn request<'a>(
    mut client: &UnixStream,
    buffer: &'a mut [u8; MAX_REQUEST],
) -> io::Result<Option<&'a str>> {
    let deadline = Instant::now() + SILENCE;
    let mut len = 0;
    while len < MAX_REQUEST {
        client.set_read_timeout(Some(left(deadline)?))?;
        let read = client.read(&mut buffer[len..])?;
        let fresh = &buffer[len..len + read];
        if let Some(end) = fresh.iter().position(|octet| *octet == b'\n') {
            let line = &buffer[..len + end];
            return Ok(std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok());
        }
        len += read;
        if read == 0 {
            // The end of the client's data ends the line too.
            return Ok(std::str::from_utf8(&buffer[..len]).ok());
        }
    }
    Ok(None)
}

fn refuse(out: &mut AnswerWriter<'_>, error: &'static str) -> io::Result<()> {
    #[derive(Serialize)]
    struct Refusal {
        error: &'static str,
        allowed: [&'static str; Part::NAMES.len()],
    }
    let mut line = io::Cursor::new([0; 256]);
    let refusal = Refusal { error, allowed: Part::NAMES };
    serde_json::to_writer(&mut line, &refusal)?;
    line.write_all(b"\n")?;
    let len = line.position() as usize;
    out.write_all(&line.get_ref()[..len])
}

/// Writes to a client as long as the client reads in time.
struct AnswerWriter<'a> {
    client: &'a UnixStream,
    deadline: Instant,
}

impl Write for AnswerWriter<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.client.set_write_timeout(Some(left(self.deadline)?.min(SILENCE)))?;
        let mut client = self.client;
        client.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time until a deadline, which is an error when it has passed.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
