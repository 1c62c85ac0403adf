//! Calling the program's callbacks: on a thread of the library, or inside MgmHostDispatch.

use super::done;
use super::inside;
use super::inside::Channel;
use super::session::Session;
use crate::error::{Error, StartError};
use crate::remote::channel::{Buffer, Ended, receive_with_list, send};
use crate::remote::records::{INTERFACE, interface};
use crate::remote::wire::{Answer, Callback, Reply, Request, ToClient, ToHost, Unpacker};
use crate::shell::callbacks::{Callbacks, OutInterface};
use crate::sys::sync::unscheduled::{Condvar, Mutex};
use crate::sys::{Body, Thread, seqpacket};
use crate::types::{ClientId, ClientName};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// A client of this process.
pub(super) struct OwnClient<C: 'static> {
    pub session: Arc<Session>,
    /// The host's name for it.
    pub id: ClientId,
    /// Its ids.
    pub name: ClientName,
    callbacks: C,
    socket: Arc<OwnedFd>,
    /// What calls inside its callbacks go over: the same socket.
    channel: Arc<Mutex<Channel>>,
    /// Readable while callbacks wait, for one with MGM_DISPATCHED.
    event: Option<OwnedFd>,
    /// Held while one of its callbacks is read and called; memory for that.
    calling: Mutex<Buffer>,
    thread: Mutex<Option<Thread>>,
    /// How many deregistrations of it are under way or have succeeded: no callback that came ahead begins
    /// any more (rule A8).
    leaving: AtomicU32,
    ended: Mutex<bool>,
    end: Condvar,
}

impl<C: Callbacks> OwnClient<C> {
    /// A client that the host has just registered, and what calls its callbacks.
    pub(super) fn begin(
        session: &Arc<Session>,
        (id, name): (ClientId, ClientName),
        callbacks: C,
        socket: OwnedFd,
        dispatched: bool,
    ) -> Result<Arc<Self>, Error> {
        let event = if dispatched {
            let asked = session.call(Request::Event(id), |reply, attached| {
                (reply == Reply::Channel).then_some(attached.ok_or(Error::OutOfMemory))
            })?;
            Some(asked)
        } else {
            None
        };
        let socket = Arc::new(socket);
        let channel =
            Channel { socket: Arc::clone(&socket), input: Buffer::new()?, output: Buffer::new()? };
        let entry = Arc::new(Self {
            session: Arc::clone(session),
            id,
            name,
            callbacks,
            socket,
            channel: Arc::new(Mutex::new(channel)),
            event,
            calling: Mutex::new(Buffer::new()?),
            thread: Mutex::new(None),
            leaving: AtomicU32::new(0),
            ended: Mutex::new(dispatched),
            end: Condvar::new(),
        });
        if !dispatched {
            let mut thread = entry.thread.lock();
            let made = Thread::spawn::<CallbackCaller<C>>(c"mgm-callbacks", Arc::clone(&entry));
            *thread = Some(made.map_err(|errno| {
                Error::Start(StartError::Os { what: "the callbacks' thread", errno })
            })?);
        }
        Ok(entry)
    }

    /// The descriptor of rule H2.
    pub(super) fn descriptor(&self) -> Result<RawFd, Error> {
        self.event.as_ref().map(AsRawFd::as_raw_fd).ok_or(Error::NotDispatched)
    }

    /// Calls what waits, on this thread (rules H1, H3, H7).
    pub(super) fn dispatch(&self) -> Result<(), Error> {
        self.descriptor()?;
        if self.session.is_dead() {
            return Err(Error::HostGone);
        }
        let mut memory = self.calling.try_lock().ok_or(Error::Dispatching)?;
        let done = self.dispatch_with(&mut memory);
        done.map_err(|reason| self.session.end(reason))?
    }

    fn dispatch_with(&self, memory: &mut Buffer) -> Result<Result<(), Error>, Ended> {
        let request = ToHost::Request(Request::Dispatch(self.id));
        send(&self.socket, self.channel.lock().output.room()?, &request, None)?;
        loop {
            match receive_with_list(&self.socket, memory.room()?)? {
                (ToClient::Callbacks(as_of), list) => self.call_each(as_of, list)?,
                (ToClient::Reply(Reply::Failed(code, level, text)), []) => {
                    return Ok(Err(super::session::failed(code, level, text)));
                }
                (ToClient::Reply(reply), _) => {
                    return done(reply, None).ok_or(Ended::OutOfTurn("a reply that does not fit"));
                }
            }
        }
    }

    /// Calls what comes until the client ends.
    fn call_all(&self) -> Result<(), Ended> {
        let mut memory = self.calling.lock();
        loop {
            match receive_with_list(&self.socket, memory.room()?)? {
                (ToClient::Callbacks(as_of), list) => self.call_each(as_of, list)?,
                (ToClient::Reply(_), _) => {
                    return Err(Ended::OutOfTurn("a reply to what nobody asked"));
                }
            }
        }
    }

    /// The callback whose turn it is, and those that came with it ahead. Once one of these may not be
    /// what it would be now, it and all behind it are left to the host.
    fn call_each(&self, as_of: u64, list: &[u8]) -> Result<(), Ended> {
        let mut callbacks = Unpacker::new(list);
        self.call(callbacks.take().ok_or(Ended::BadMessage)?)?;
        let mut again = false;
        while !callbacks.is_at_end() {
            let callback = callbacks.take().ok_or(Ended::BadMessage)?;
            again |= self.leaving.load(SeqCst) > 0 || self.session.has_changed_since(as_of);
            if again { self.answer(Answer::Again)? } else { self.call(callback)? }
        }
        Ok(())
    }

    fn answer(&self, answer: Answer<'_>) -> Result<(), Ended> {
        let mut channel = self.channel.lock();
        send(&self.socket, channel.output.room()?, &ToHost::Answer(answer), None)
    }

    /// One callback and its answer.
    fn call(&self, callback: Callback<'_>) -> Result<(), Ended> {
        let inside =
            |run: &mut dyn FnMut()| inside::callback(self.session.address(), &self.channel, run);
        let callbacks = &self.callbacks;
        match callback {
            Callback::Rpf(flow, mut rpf, header, route) => {
                inside(&mut || callbacks.rpf(flow, &mut rpf, header, route.as_ref()));
                return self.answer(Answer::Rpf(rpf));
            }
            Callback::Creation(flow, iif, packed) => {
                let mut out = SmallVec::<[OutInterface; 16]>::new();
                let mut unpacker = Unpacker::new(packed.octets);
                for _ in 0..packed.count {
                    out.try_reserve(1).map_err(|_| Ended::Os(libc::ENOMEM))?;
                    out.push(unpacker.take().ok_or(Ended::BadMessage)?);
                }
                let mut vetoed = SmallVec::<[u8; 64]>::new();
                let most = out.len() * INTERFACE;
                vetoed.try_reserve(most).map_err(|_| Ended::Os(libc::ENOMEM))?;
                // For want of memory it is as if the callback had vetoed nothing.
                inside(&mut || drop(callbacks.creation(flow, iif, &mut out)));
                for out in out.iter().filter(|out| !out.enabled) {
                    vetoed.extend_from_slice(&interface(out.interface));
                }
                return self.answer(Answer::Creation(&vetoed));
            }
            Callback::Prune(of, interface, member, mut timeout) => {
                inside(&mut || callbacks.prune(of, interface, member, &mut timeout));
                return self.answer(Answer::Prune(timeout));
            }
            Callback::Join(of, member) => inside(&mut || callbacks.join(of, member)),
            Callback::WrongInterface(flow, arrival, header) => {
                inside(&mut || callbacks.wrong_interface(flow, arrival, header));
            }
            Callback::LocalJoin(of, interface) => {
                inside(&mut || callbacks.local_join(of, interface));
            }
            Callback::LocalLeave(of, interface) => {
                inside(&mut || callbacks.local_leave(of, interface));
            }
            Callback::DisableIgmp(interface) => inside(&mut || callbacks.disable_igmp(interface)),
            Callback::EnableIgmp(interface) => inside(&mut || callbacks.enable_igmp(interface)),
        }
        self.answer(Answer::Returned)
    }

    /// The client is about to be deregistered.
    pub(super) fn leaves(&self) {
        self.leaving.fetch_add(1, SeqCst);
    }

    /// That deregistration has failed.
    pub(super) fn stays(&self) {
        self.leaving.fetch_sub(1, SeqCst);
    }

    /// The client has been deregistered: waits for its thread, unless this is it.
    pub(super) fn end(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        if thread.is_self() {
            thread.detach();
            return;
        }
        seqpacket::shut_down(&self.socket);
        let mut ended = self.ended.lock();
        while !*ended {
            self.end.wait(&mut ended);
        }
        drop(ended);
        thread.join();
    }
}

struct CallbackCaller<C>(PhantomData<C>);

impl<C: Callbacks> Body for CallbackCaller<C> {
    type On = OwnClient<C>;

    fn run(on: Arc<OwnClient<C>>) {
        match on.call_all() {
            // The client has ended, or its host has, which the next call tells as well.
            Ok(()) | Err(Ended::Gone) => on.session.look(),
            Err(reason) => drop(on.session.end(reason)),
        }
        *on.ended.lock() = true;
        on.end.notify_all();
    }
}
