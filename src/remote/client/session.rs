//! One connection to a host: its call channels, its end.

use super::inside::{self, Channel};
use crate::core::state::record::Rest;
use crate::error::{Error, FromHost};
use crate::log::Level;
use crate::remote::channel::{
    Buffer, Ended, GREETING_WAIT, receive, receive_attached, receive_with_list, send,
};
use crate::remote::wire::{
    Hello, ListPart, MAGIC, RecordSizes, Reply, Request, ToClient, ToHost, VERSIONS, Welcome, level,
};
use crate::sys::sync::unscheduled::{Condvar, Mutex};
use crate::sys::{seqpacket, wait_readable};
use std::fmt::Arguments;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Call channels of this process; more threads than that wait for one to be free.
const MAX_CHANNELS: usize = 48;

/// A connection to a host.
pub(super) struct Session {
    main: Mutex<Main>,
    free: Mutex<Free>,
    freed: Condvar,
    dead: AtomicBool,
    /// How often the host has said that the owner of an interface changed.
    changes: AtomicU64,
    log: fn(Level, Arguments<'_>),
}

struct Main {
    socket: OwnedFd,
    input: Buffer,
    output: Buffer,
}

/// The call channels that nobody uses now, and how many there are altogether.
struct Free {
    channels: Vec<Channel>,
    made: usize,
}

impl Session {
    /// Connects and agrees on a version.
    pub(super) fn connect(
        path: &Path,
        sizes: RecordSizes,
        log: fn(Level, Arguments<'_>),
    ) -> Result<Self, Error> {
        let socket = seqpacket::connect(path, GREETING_WAIT).map_err(Error::NoHost)?;
        let (mut input, mut output) = (Buffer::new()?, Buffer::new()?);
        let lost = |_: Ended| Error::NoHost(libc::EPROTO);
        seqpacket::set_receive_timeout(&socket, GREETING_WAIT).map_err(Error::NoHost)?;
        let (oldest, newest) = VERSIONS;
        let hello = Hello { magic: MAGIC, oldest, newest, sizes };
        send(&socket, output.room()?, &hello, None).map_err(lost)?;
        let welcome: Welcome = receive(&socket, input.room()?).map_err(lost)?;
        if welcome.magic != MAGIC {
            return Err(Error::NoHost(libc::EPROTO));
        }
        // 0 is none; whatever else was not offered would be messages that this library cannot read.
        if !(oldest..=newest).contains(&welcome.chosen) || welcome.sizes != sizes {
            return Err(Error::OtherHostVersion {
                ours: VERSIONS,
                theirs: (welcome.oldest, welcome.newest),
            });
        }
        seqpacket::set_receive_timeout(&socket, Duration::ZERO).map_err(Error::NoHost)?;
        Ok(Self {
            main: Mutex::new(Main { socket, input, output }),
            free: Mutex::new(Free { channels: Vec::new(), made: 0 }),
            freed: Condvar::new(),
            dead: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            log,
        })
    }

    /// What `inside` knows it by.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// The owner of an interface has changed for so many times.
    pub(super) fn note_changed(&self, times: u64) {
        self.changes.fetch_max(times, SeqCst);
    }

    /// Whether a call of this process that changed an interface's owner has returned since then.
    pub(super) fn has_changed_since(&self, times: u64) -> bool {
        self.changes.load(SeqCst) > times
    }

    /// The host has gone, or has sent what makes no sense: the log says it once (rule P5).
    pub(super) fn end(&self, reason: Ended) -> Error {
        if !self.dead.swap(true, SeqCst) {
            let what = "calls fail until MgmRegisterMProtocol connects again";
            (self.log)(Level::Error, format_args!("the host: {reason}; {what}"));
            self.freed.notify_all();
        }
        Error::HostGone
    }

    /// A channel has ended: if that is since the host has, this says so.
    pub(super) fn look(&self) {
        let main = self.main.lock();
        // The host sends nothing on it that nobody asked for: it is readable at its end only.
        if wait_readable([&main.socket], Some(0)) == Ok([true]) {
            drop(main);
            self.end(Ended::Gone);
        }
    }

    /// A call and its reply, over the callback's channel where the thread is inside one. What
    /// `take` gives none for is no reply to that request.
    pub(super) fn call<R>(
        &self,
        request: Request,
        mut take: impl FnMut(Reply<'_>, Option<OwnedFd>) -> Option<Result<R, Error>>,
    ) -> Result<R, Error> {
        self.with_channel(|channel| {
            let (input, output) = (channel.input.room()?, channel.output.room()?);
            send(&channel.socket, output, &ToHost::Request(request), None)?;
            let (ToClient::Reply(reply), attached) = receive_attached(&channel.socket, input)?
            else {
                return Err(Ended::OutOfTurn("a callback instead of a reply"));
            };
            match reply {
                Reply::Failed(code, level, text) => Ok(Err(failed(code, level, text))),
                reply => take(reply, attached).ok_or(Ended::OutOfTurn("a reply that does not fit")),
            }
        })?
    }

    /// A call that is answered by records, in one message or more. `part` gets those of each, and
    /// gives none where they make no sense.
    pub(super) fn call_list(
        &self,
        request: Request,
        mut part: impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<Rest, Error> {
        self.with_channel(|channel| {
            let (input, output) = (channel.input.room()?, channel.output.room()?);
            send(&channel.socket, output, &ToHost::Request(request), None)?;
            loop {
                // The host makes the message now.
                seqpacket::stay_awake(&channel.socket);
                let reply = receive_with_list(&channel.socket, input)?;
                let last = match reply {
                    (ToClient::Reply(Reply::List(last)), list) => {
                        part(list).ok_or(Ended::OutOfTurn("records that make no sense"))?;
                        last
                    }
                    (ToClient::Reply(Reply::Failed(code, level, text)), []) => {
                        return Ok(Err(failed(code, level, text)));
                    }
                    _ => return Err(Ended::OutOfTurn("a reply that does not fit")),
                };
                if let ListPart::Last(rest) = last {
                    return Ok(Ok(rest));
                }
            }
        })?
    }

    /// A call that is answered in pieces.
    pub(super) fn call_pieces(
        &self,
        request: Request,
        mut piece: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.with_channel(|channel| {
            let (input, output) = (channel.input.room()?, channel.output.room()?);
            send(&channel.socket, output, &ToHost::Request(request), None)?;
            loop {
                match receive(&channel.socket, input)? {
                    ToClient::Reply(Reply::Text([])) => return Ok(Ok(())),
                    ToClient::Reply(Reply::Text(text)) => piece(text),
                    ToClient::Reply(Reply::Failed(code, level, text)) => {
                        return Ok(Err(failed(code, level, text)));
                    }
                    _ => return Err(Ended::OutOfTurn("a reply that does not fit")),
                }
            }
        })?
    }

    fn with_channel<R>(
        &self,
        conversation: impl FnOnce(&mut Channel) -> Result<R, Ended>,
    ) -> Result<R, Error> {
        if self.is_dead() {
            return Err(Error::HostGone);
        }
        if let Some(inside) = inside::channel_of(self.address()) {
            return conversation(&mut inside.lock()).map_err(|reason| self.end(reason));
        }
        let mut channel = self.take_channel()?;
        let done = conversation(&mut channel);
        match done {
            Ok(done) => {
                self.free.lock().channels.push(channel);
                self.freed.notify_one();
                Ok(done)
            }
            Err(Ended::Os(libc::ENOMEM)) => Err(Error::OutOfMemory),
            Err(reason) => Err(self.end(reason)),
        }
    }

    fn take_channel(&self) -> Result<Channel, Error> {
        {
            let mut free = self.free.lock();
            loop {
                if self.is_dead() {
                    return Err(Error::HostGone);
                }
                if let Some(channel) = free.channels.pop() {
                    return Ok(channel);
                }
                if free.made < MAX_CHANNELS {
                    // So that giving it back needs no memory.
                    free.channels.try_reserve(MAX_CHANNELS)?;
                    free.made += 1;
                    break;
                }
                self.freed.wait(&mut free);
            }
        }
        let made = self.make_channel();
        if made.is_err() {
            self.free.lock().made -= 1;
            self.freed.notify_one();
        }
        made
    }

    fn make_channel(&self) -> Result<Channel, Error> {
        let (input, output) = (Buffer::new()?, Buffer::new()?);
        let mut main = self.main.lock();
        let Main { socket, input: into, output: from } = &mut *main;
        let asked = send(socket, from.room()?, &ToHost::Request(Request::Channel), None)
            .and_then(|()| receive_attached::<ToClient<'_>>(socket, into.room()?));
        match asked {
            Ok((ToClient::Reply(Reply::Channel), Some(socket))) => {
                Ok(Channel { socket: Arc::new(socket), input, output })
            }
            // Out of descriptors here, most likely.
            Ok((ToClient::Reply(Reply::Channel), None)) => Err(Error::OutOfMemory),
            Ok(_) => Err(self.end(Ended::OutOfTurn("something else than a channel"))),
            Err(reason) => Err(self.end(reason)),
        }
    }
}

pub(super) fn failed(code: u32, number: u8, text: &str) -> Error {
    Error::FromHost(FromHost::new(code, level(number), text))
}
