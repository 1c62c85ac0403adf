//! The control socket: administrators' tools ask over it for the state.
//!
//! A connection has one request line, and gets one line of JSON as the answer. A thread of its own
//! serves one connection after another. Nothing can be changed over the socket, and a client that
//! is silent or slow is cut off.

#![forbid(unsafe_code)]

mod socket_file;

use crate::error::{Error, StartError};
use crate::log::Level;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::Mgm;
use crate::shell::report::Part;
use crate::sys::sync::unscheduled::{Condvar, Mutex};
use crate::sys::{Body, Thread};
use crate::types::PATIENCE;
use serde::Serialize;
use socket_file::{SocketFile, bind, os};
use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest request, its line end included.
const MAX_REQUEST: usize = 64;
/// How long a client may take for its request, and how long it may read nothing of the answer.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a client may take to read the whole answer, because others wait behind it.
const WHOLE_ANSWER: Duration = Duration::from_secs(10);

/// A control socket that is served.
pub(crate) struct Control {
    file: SocketFile,
    shared: Arc<Shared>,
    thread: Thread,
}

/// A control socket that is not served yet. Dropping it removes the socket and its file.
pub(crate) struct Bound {
    listener: UnixListener,
    file: SocketFile,
}

/// What the thread and the end of the run share.
struct Shared {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    stopping: bool,
    ended: bool,
    /// The listening socket, or the present connection. The end shuts it down, so that the thread
    /// does not wait for it any more.
    listener: Option<UnixStream>,
    connection: Option<UnixStream>,
}

impl Control {
    /// Makes the socket of a path. A socket file that a dead process left there is replaced;
    /// nothing else is.
    pub fn bind(path: PathBuf) -> Result<Bound, StartError> {
        let (listener, file) = bind(path)?;
        Ok(Bound { listener, file })
    }

    /// Serves it.
    pub fn start<C: Callbacks>(mgm: &'static Mgm<C>, bound: Bound) -> Result<Self, StartError> {
        let Bound { listener, file } = bound;
        let handle = listener.try_clone().map_err(os("control socket: duplicating it"))?;
        let now = Now { listener: Some(OwnedFd::from(handle).into()), ..Now::default() };
        let shared = Arc::new(Shared { now: Mutex::new(now), changed: Condvar::new() });
        let server = Arc::new(Server { mgm, listener, shared: Arc::clone(&shared) });
        let thread = Thread::spawn::<Serving<C>>(c"mgm-control", server)
            .map_err(|errno| StartError::Os { what: "the control socket's thread", errno })?;
        Ok(Self { file, shared, thread })
    }

    /// Removes the socket and ends the thread, cutting off a client. False: the thread is inside
    /// a function of the host's that does not return.
    pub fn stop(self) -> bool {
        drop(self.file);
        let mut now = self.shared.now.lock();
        now.stopping = true;
        for socket in [now.listener.take(), now.connection.take()].into_iter().flatten() {
            // It may have been shut down by the other side.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
        let own = self.thread.is_self();
        let deadline = Instant::now() + PATIENCE;
        while !own && !now.ended {
            if self.shared.changed.wait_until(&mut now, deadline).timed_out() {
                break;
            }
        }
        let ended = now.ended;
        drop(now);
        if ended {
            self.thread.join();
        } else {
            self.thread.detach();
        }
        ended || own
    }
}

/// What the thread works on.
struct Server<C: 'static> {
    mgm: &'static Mgm<C>,
    listener: UnixListener,
    shared: Arc<Shared>,
}

/// The thread's life.
struct Serving<C>(PhantomData<C>);

impl<C: Callbacks> Body for Serving<C> {
    type On = Server<C>;

    // All signals are blocked on this thread, so that a client that goes away does not kill the
    // process with SIGPIPE.
    fn run(on: Arc<Server<C>>) {
        if catch_unwind(AssertUnwindSafe(|| on.serve())).is_err() {
            on.mgm.mark_broken();
        }
        on.shared.now.lock().ended = true;
        on.shared.changed.notify_all();
    }
}

impl<C: Callbacks> Server<C> {
    fn serve(&self) {
        loop {
            match self.listener.accept() {
                Ok((client, _)) => {
                    if !self.admit(&client) {
                        return;
                    }
                    self.answer(&client);
                    self.shared.now.lock().connection = None;
                }
                Err(error) => {
                    if self.stopping_within(Duration::ZERO) {
                        return;
                    }
                    self.mgm.log(Level::Warn, format_args!("control socket: accept: {error}"));
                    // Most likely there are no descriptors left, and it would fail again at once.
                    if self.stopping_within(SILENCE) {
                        return;
                    }
                }
            }
        }
    }

    /// Notes the connection, so that the end can cut the client off. False: the end has come.
    fn admit(&self, client: &UnixStream) -> bool {
        let mut now = self.shared.now.lock();
        // Where no second descriptor can be had, the end waits until the client's time is up.
        now.connection = client.try_clone().ok();
        !now.stopping
    }

    fn stopping_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut now = self.shared.now.lock();
        while !now.stopping {
            if self.shared.changed.wait_until(&mut now, deadline).timed_out() {
                return now.stopping;
            }
        }
        true
    }

    fn answer(&self, client: &UnixStream) {
        let mut buffer = [0; MAX_REQUEST];
        let request = match request(client, &mut buffer) {
            Ok(request) => request,
            // It is silent or has gone.
            Err(_) => return,
        };
        let mut out = Answer { client, deadline: Instant::now() + WHOLE_ANSWER };
        let written = match request.and_then(Part::from_name) {
            Some(part) if !self.mgm.is_broken() => self.mgm.write_part(part, &mut out),
            Some(_) => Err(Error::Broken),
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
                self.mgm.log(Level::Debug, format_args!("control socket: client cut off: {kind}"));
            }
            Err(error) => {
                self.mgm.log(Level::Warn, format_args!("control socket: {error}"));
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

fn refuse(out: &mut Answer<'_>, error: &'static str) -> io::Result<()> {
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
struct Answer<'a> {
    client: &'a UnixStream,
    deadline: Instant,
}

impl Write for Answer<'_> {
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
