//! One client process: its channels, its clients, its end.

use super::hold::Registered;
use super::proxy::{Performer, ProcessLine, Proxy};
use super::{Shared, Task, spawn};
use crate::error::Error;
use crate::log::Level;
use crate::remote::channel::{Buffer, Ended, GREETING_WAIT, ReplyRoom, patience, receive, send};
use crate::remote::wire::{
    ClientKind, Hello, MAGIC, Reply, Request, ToClient, ToHost, VERSIONS, Welcome, common_version,
};
use crate::shell::callbacks::{CallbackSet, Callbacks};
use crate::sys::sync::unscheduled::Mutex;
use crate::sys::{Errno, seqpacket, wait_readable};
use crate::types::{ClientId, EnumId};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Channels of one process: as many of its threads can be inside calls at once.
const MAX_CHANNELS: usize = 64;

/// Clients of one process.
const MAX_CLIENTS: usize = 64;

/// Open enumerations of one process.
pub(super) const MAX_ENUMERATIONS: usize = 1024;

/// How long a process may leave a reply unread that it has no room for.
const REPLY_WAIT: Duration = Duration::from_secs(10);

/// A client process that is connected.
pub(super) struct Connection<C: 'static> {
    pub(super) shared: Arc<Shared<C>>,
    /// The connection itself: its end is the process's.
    main: OwnedFd,
    /// Readable when the process has ended, though a child of it may have inherited the connection.
    process: Option<OwnedFd>,
    pid: i32,
    /// How often the owner of an interface has changed because of what it asked.
    pub(super) changes: AtomicU64,
    pub(super) state: Mutex<ProcessState>,
}

/// What the process has.
pub(super) struct ProcessState {
    /// Why it ends; the first reason counts.
    ended: Option<Ended>,
    channels: Vec<Arc<OwnedFd>>,
    pub clients: Vec<Registered>,
    /// The client that is taken away now, as its process has ended.
    leaving: Option<(u32, u32)>,
    pub enumerations: Vec<(EnumId, ClientId)>,
}

impl<C: Callbacks + From<Proxy>> Connection<C> {
    pub(super) fn new(shared: &Arc<Shared<C>>, main: OwnedFd) -> Result<Arc<Self>, Error> {
        let (pid, _) = seqpacket::peer(&main).unwrap_or((0, 0));
        // Without it the end of the connection is all there is to see.
        let process = (pid > 0).then(|| seqpacket::process(pid).ok()).flatten();
        let state = ProcessState {
            ended: None,
            channels: Vec::new(),
            clients: Vec::new(),
            leaving: None,
            enumerations: Vec::new(),
        };
        let shared = Arc::clone(shared);
        let (changes, state) = (AtomicU64::new(0), Mutex::new(state));
        Ok(Arc::new(Self { shared, main, process, pid, changes, state }))
    }

    /// Starts the thread that greets the process and waits for its end.
    pub(super) fn begin(self: &Arc<Self>) -> Result<(), Errno> {
        spawn(&self.shared, c"mgm-process", Watching(Arc::clone(self)))
    }

    /// Whether the process is inside a callback.
    pub(super) fn is_asking(&self) -> bool {
        self.state.lock().clients.iter().any(|client| client.proxy.asked_by().is_some())
    }

    /// Whether its process has gone, and the client of this pair goes with it.
    pub(super) fn goes_with(&self, pair: (u32, u32)) -> bool {
        let state = self.state.lock();
        let has_it = state.clients.iter().any(|client| client.pair == pair);
        state.leaving == Some(pair) || has_it && (state.ended.is_some() || self.process_has_gone())
    }

    fn process_has_gone(&self) -> bool {
        let is_over = |process| wait_readable([process], Some(0)) == Ok([true]);
        self.process.as_ref().is_some_and(is_over) || seqpacket::has_hung_up(&self.main)
    }

    /// It is none of the server's any more.
    pub(super) fn forget(self: &Arc<Self>) {
        self.shared.now.lock().connections.retain(|other| !Arc::ptr_eq(self, other));
        self.shared.changed.notify_all();
    }

    /// Ends all its sockets; the threads that wait on them come out.
    pub(super) fn shut_down(&self, reason: Ended) {
        let mut state = self.state.lock();
        // Before the end shows on any of the sockets: whoever sees that there asks why.
        state.ended.get_or_insert(reason);
        seqpacket::shut_down(&self.main);
        for channel in &state.channels {
            seqpacket::shut_down(channel);
        }
        for client in &state.clients {
            client.proxy.go();
        }
    }

    pub(super) fn log(&self, level: Level, what: std::fmt::Arguments<'_>) {
        self.shared.mgm.log(level, format_args!("client process {}: {what}", self.pid));
    }

    /// Says which versions there are. None: there is none in common.
    fn greet(&self) -> Result<Option<u16>, Ended> {
        let mut memory = Buffer::EMPTY;
        let room = memory.room()?;
        seqpacket::set_receive_timeout(&self.main, GREETING_WAIT).map_err(Ended::Os)?;
        patience(&self.main, REPLY_WAIT)?;
        let hello: Hello = receive(&self.main, room)?;
        if hello.magic != MAGIC {
            return Err(Ended::BadMessage);
        }
        let sizes = self.shared.sizes;
        let common = common_version(VERSIONS, (hello.oldest, hello.newest));
        let chosen = common.filter(|_| hello.sizes == sizes);
        let (oldest, newest) = VERSIONS;
        let welcome = Welcome { magic: MAGIC, oldest, newest, chosen: chosen.unwrap_or(0), sizes };
        send(&self.main, room, &welcome, None)?;
        if chosen.is_none() {
            self.log(
                Level::Warn,
                format_args!(
                    "it speaks the versions {} to {} and this host {oldest} to {newest}, records \
                     {:?} and {sizes:?}: the two libraries do not fit together; use the same \
                     version of libmgm for both",
                    hello.oldest, hello.newest, hello.sizes
                ),
            );
        }
        seqpacket::set_receive_timeout(&self.main, Duration::ZERO).map_err(Ended::Os)?;
        Ok(chosen)
    }

    /// Waits for the end, and gives call channels meanwhile.
    fn watch(self: &Arc<Self>) -> Result<(), Ended> {
        let mut input = Buffer::EMPTY;
        let mut work = ReplyRoom::EMPTY;
        loop {
            let process = self.process.as_ref().unwrap_or(&self.main);
            let [_, over] = wait_readable([&self.main, process], None).map_err(Ended::Os)?;
            if over && self.process.is_some() {
                return Err(Ended::Gone);
            }
            match receive(&self.main, input.room()?)? {
                ToHost::Request(Request::Channel) => self.give_channel(&mut work)?,
                _ => return Err(Ended::OutOfTurn("something else than a request for a channel")),
            }
        }
    }

    fn give_channel(self: &Arc<Self>, work: &mut ReplyRoom) -> Result<(), Ended> {
        let (ours, theirs) = seqpacket::pair().map_err(Ended::Os)?;
        let ours = Arc::new(ours);
        patience(&ours, REPLY_WAIT)?;
        {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return Err(Ended::Gone);
            }
            if state.channels.len() >= MAX_CHANNELS {
                return Err(Ended::OutOfTurn(
                    "a request for more channels than a process may have",
                ));
            }
            state.channels.try_reserve(1).map_err(|_| Ended::Os(libc::ENOMEM))?;
            state.channels.push(Arc::clone(&ours));
        }
        spawn(&self.shared, c"mgm-calls", Calling(Arc::clone(self), ours)).map_err(Ended::Os)?;
        let reply = ToClient::Reply(Reply::Channel);
        send(&self.main, work.output.room()?, &reply, Some(theirs.as_fd()))
    }

    /// The end: what its clients have goes, or is held for a while (rules P2, P3).
    fn finish(self: &Arc<Self>, reason: Ended) {
        self.shut_down(reason);
        let (reason, enumerations) = {
            let mut state = self.state.lock();
            state.channels.clear();
            (state.ended.unwrap_or(reason), std::mem::take(&mut state.enumerations))
        };
        if reason == Ended::Gone {
            self.log(Level::Info, format_args!("it has gone"));
        } else {
            self.log(Level::Warn, format_args!("{reason}; its connection ends"));
        }
        for (id, _) in enumerations {
            // It may have ended with its client.
            let _ = self.shared.mgm.end_enumeration(id);
        }
        while let Some(client) = self.next_that_leaves() {
            self.shared.leave_or_hold(client);
        }
        self.forget();
    }

    fn next_that_leaves(&self) -> Option<Registered> {
        let mut state = self.state.lock();
        let client = (!state.clients.is_empty()).then(|| state.clients.remove(0));
        state.leaving = client.as_ref().map(|client| client.pair);
        client
    }

    /// Puts a client in its place: a new one, or that of a client that is held.
    fn put(
        self: &Arc<Self>,
        pair: (u32, u32),
        kind: ClientKind,
        line: &Arc<ProcessLine>,
    ) -> Result<Registered, Error> {
        if let Some(held) = self.shared.take_up(pair, kind) {
            held.proxy.come(Arc::clone(line));
            return Ok(Registered {
                id: held.id,
                pair,
                proxy: held.proxy.clone(),
                held: Some(held),
            });
        }
        let proxy = Proxy::new(kind)?;
        // Before its thread runs, which would take the process to be away.
        proxy.come(Arc::clone(line));
        let id = self.shared.mgm.register(C::from(proxy.clone()), pair.0, pair.1)?;
        let client = Registered { id, pair, proxy, held: None };
        if let Err(error) = self.shared.deliver_to(&client) {
            self.shared.leave(id, pair, &client.proxy);
            return Err(error);
        }
        Ok(client)
    }

    /// Registers a client and gives the other end of its callback channel.
    pub(super) fn register(
        self: &Arc<Self>,
        pair: (u32, u32),
        kind: ClientKind,
        callbacks: CallbackSet,
    ) -> Result<(ClientId, OwnedFd), Error> {
        let (ours, theirs) = seqpacket::pair().map_err(|_| Error::OutOfMemory)?;
        let performer = Arc::new(Peer(Arc::clone(self)));
        let process = u32::try_from(self.pid).ok().filter(|pid| *pid > 0);
        let line = Arc::new(ProcessLine::new(ours, process, performer, callbacks)?);
        {
            let mut state = self.state.lock();
            if state.clients.len() >= MAX_CLIENTS {
                return Err(Error::TooMany(MAX_CLIENTS as u32));
            }
            state.clients.try_reserve(1)?;
        }
        let mut client = self.put(pair, kind, &line);
        // The process that had the pair may have been killed a moment ago, and its client may have gone
        // since.
        if matches!(client, Err(Error::AlreadyRegistered(_))) {
            self.shared.await_end_of(pair);
            client = self.put(pair, kind, &line);
        }
        let client = client?;
        let id = client.id;
        let mut state = self.state.lock();
        if state.ended.is_some() {
            drop(state);
            self.shared.leave_or_hold(client);
            return Err(Error::NotRunning);
        }
        // Another thread of the process may have used the room that was there.
        if state.clients.try_reserve(1).is_err() {
            drop(state);
            self.shared.leave_or_hold(client);
            return Err(Error::OutOfMemory);
        }
        state.clients.push(client);
        Ok((id, theirs))
    }
}

/// The process as whoever does the calls inside its callbacks.
pub(super) struct Peer<C: 'static>(pub Arc<Connection<C>>);

impl<C: Callbacks + From<Proxy>> Performer for Peer<C> {
    fn perform(&self, on: &OwnedFd, work: &mut ReplyRoom, request: Request) -> Result<(), Ended> {
        self.0.perform(on, work, request)
    }

    fn changes(&self) -> u64 {
        self.0.changes.load(SeqCst)
    }

    fn end(&self, reason: Ended) {
        self.0.shut_down(reason);
    }
}

/// Greets the process, gives it channels, waits for its end.
struct Watching<C: 'static>(Arc<Connection<C>>);

impl<C: Callbacks + From<Proxy>> Task for Watching<C> {
    fn run(&self) {
        let connection = &self.0;
        let ended = match connection.greet() {
            Ok(Some(_)) => connection.watch(),
            Ok(None) => Err(Ended::OtherVersion),
            Err(reason) => Err(reason),
        };
        connection.finish(ended.err().unwrap_or(Ended::Gone));
    }
}

/// Does the calls that come on one channel, one after the other.
struct Calling<C: 'static>(Arc<Connection<C>>, Arc<OwnedFd>);

impl<C: Callbacks + From<Proxy>> Calling<C> {
    fn serve(&self) -> Result<(), Ended> {
        let Self(connection, channel) = self;
        let (mut input, mut work) = (Buffer::EMPTY, ReplyRoom::EMPTY);
        loop {
            match receive(channel, input.room()?)? {
                ToHost::Request(request) => connection.perform(channel, &mut work, request)?,
                ToHost::Answer(_) => {
                    return Err(Ended::OutOfTurn("an answer to a callback that nobody sent"));
                }
            }
        }
    }
}

impl<C: Callbacks + From<Proxy>> Task for Calling<C> {
    fn run(&self) {
        match self.serve() {
            // The process closes channels that it needs no more.
            Err(Ended::Gone) | Ok(()) => {
                let mut state = self.0.state.lock();
                state.channels.retain(|channel| !Arc::ptr_eq(channel, &self.1));
            }
            Err(reason) => self.0.shut_down(reason),
        }
    }
}
