//! A client of another process as the group manager sees it: its callbacks are messages on its
//! callback channel.

#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::remote::channel::{Buffer, Ended, ReplyRoom, receive, room_for_list, send_with_list};
use crate::remote::records;
use crate::remote::wire::{
    Answer, Callback, ClientKind, MAX_PACKET, Packer, Request, ToClient, ToHost,
};
use crate::shell::callbacks::{
    CallbackKind, CallbackSet, CallbackThread, Callbacks, Coming, OutInterface, RpfAnswer,
};
use crate::shell::context;
use crate::shell::deliver::{NOBODY, Token};
use crate::sys::sync::unscheduled::Mutex;
use crate::sys::{event, seqpacket, signal};
use crate::types::{IfKey, Route, Seconds, SourceGroup};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Whoever does the calls that a client makes inside its callbacks.
pub(super) trait Performer: Send + Sync {
    /// Does one, and replies on the socket.
    fn perform(&self, on: &OwnedFd, work: &mut ReplyRoom, request: Request) -> Result<(), Ended>;

    /// How often the owner of an interface has changed because of what the process asked.
    fn changes(&self) -> u64;

    /// Ends the connection.
    fn end(&self, reason: Ended);
}

/// The most octets of callbacks that are sent ahead.
const MOST_AHEAD: usize = 12 * 1024;

/// The client as [`Callbacks`]. While its process is away (rule P3) its callbacks do nothing.
#[derive(Clone)]
pub struct Proxy(Arc<ProxyState>);

struct ProxyState {
    kind: ClientKind,
    line: Mutex<Option<Arc<ProcessLine>>>,
    /// Held while callbacks do nothing, since the process is away.
    away: Mutex<()>,
    /// Readable when the line has changed, for the thread that delivers.
    changed: OwnedFd,
    /// The client is deregistered.
    ended: AtomicBool,
}

/// The way to the process that a client lives in.
pub(super) struct ProcessLine {
    /// The host's end of its callback channel.
    pub socket: OwnedFd,
    process: Option<u32>,
    performer: Arc<dyn Performer>,
    /// The callbacks that the client has.
    callbacks: CallbackSet,
    memory: Mutex<Memory>,
    /// The thread that waits for the answer to a callback; [`NOBODY`]: none is open.
    asked_by: AtomicU64,
}

/// The process has gone, or its connection has been ended because of what it sent.
struct Away;

struct Memory {
    input: Buffer,
    work: ReplyRoom,
    /// Callbacks that will be sent with the next one, encoded, and what they are as of.
    ahead: Buffer,
    used: usize,
    told: usize,
    as_of: u64,
    /// How many callbacks the process was sent ahead that it has not answered.
    known: usize,
}

impl ProcessLine {
    pub(super) fn new(
        socket: OwnedFd,
        process: Option<u32>,
        performer: Arc<dyn Performer>,
        callbacks: CallbackSet,
    ) -> Result<Self, Error> {
        let work = ReplyRoom { output: Buffer::new()?, list: Buffer::EMPTY };
        let memory = Mutex::new(Memory {
            input: Buffer::new()?,
            work,
            ahead: Buffer::EMPTY,
            used: 0,
            told: 0,
            as_of: 0,
            known: 0,
        });
        let asked_by = AtomicU64::new(NOBODY.0);
        Ok(Self { socket, process, performer, callbacks, memory, asked_by })
    }

    /// Asks, does what the process asks before it answers, and takes the answer. None: there is none.
    fn ask<R>(
        &self,
        callback: Callback<'_>,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Option<R> {
        let asked = self.converse(|memory| {
            if let Some(answer) = self.answer_ahead(memory, take)? {
                return Ok(answer);
            }
            self.put(memory, callback)?;
            let answer = self.answer(memory, take)?;
            answer.ok_or(Ended::OutOfTurn("no answer to a callback whose turn it was"))
        });
        asked.ok()
    }

    /// The answer to a callback that the process was sent ahead. None: it was not, or the process left it
    /// to the host, so that it must be asked now.
    fn told<R>(&self, take: &mut dyn FnMut(Answer<'_>) -> Option<R>) -> Result<Option<R>, Away> {
        self.converse(|memory| self.answer_ahead(memory, take))
    }

    fn converse<R>(
        &self,
        conversation: impl FnOnce(&mut Memory) -> Result<R, Ended>,
    ) -> Result<R, Away> {
        // One callback of a client runs at a time (rule A7), so nobody else has it.
        let mut memory = self.memory.try_lock().ok_or(Away)?;
        self.asked_by.store(context::token().0, SeqCst);
        let done = conversation(&mut memory);
        self.asked_by.store(NOBODY.0, SeqCst);
        done.map_err(|reason| {
            self.end(reason);
            Away
        })
    }

    fn answer_ahead<R>(
        &self,
        memory: &mut Memory,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<Option<R>, Ended> {
        if memory.known == 0 {
            return Ok(None);
        }
        memory.known -= 1;
        let answer = self.answer(memory, take)?;
        if answer.is_none() {
            // The process has called none of those that came ahead.
            for _ in 0..std::mem::take(&mut memory.known) {
                if self.answer(memory, &mut |_| Some(()))?.is_some() {
                    return Err(Ended::OutOfTurn("an answer after it had left one out"));
                }
            }
        }
        Ok(answer)
    }

    /// Waits until the process is done with what it was sent ahead, though nobody wants the answers. Two
    /// threads may do so at the same time.
    pub(super) fn drain(&self) {
        let mut memory = self.memory.lock();
        while memory.known > 0 {
            memory.known -= 1;
            if let Err(reason) = self.answer(&mut memory, &mut |_| Some(())) {
                return self.end(reason);
            }
        }
    }

    fn is_on(&self, socket: &OwnedFd) -> bool {
        std::ptr::eq(socket, &raw const self.socket)
    }

    /// Ends the connection that it belongs to.
    pub(super) fn end(&self, reason: Ended) {
        self.performer.end(reason);
    }

    /// Sends a callback and what comes behind it.
    fn put(&self, memory: &mut Memory, callback: Callback<'_>) -> Result<(), Ended> {
        let Memory { work, ahead, as_of, .. } = memory;
        let output = work.output.room()?;
        let list = room_for_list(output);
        let first = postcard::to_slice(&callback, list).map_err(|_| Ended::BadMessage)?.len();
        let (used, told) = (memory.used, memory.told);
        (memory.used, memory.told) = (0, 0);
        let mut size = first;
        if let Some(rest) = list.get_mut(first..first + used)
            && told > 0
        {
            rest.copy_from_slice(&ahead.room()?[..used]);
            (memory.known, size) = (told, first + used);
        }
        send_with_list(&self.socket, output, &ToClient::Callbacks(*as_of), size)
    }

    /// The next answer; none: the process did not call what it was told of ahead.
    fn answer<R>(
        &self,
        Memory { input, work, .. }: &mut Memory,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<Option<R>, Ended> {
        loop {
            match receive(&self.socket, input.room()?)? {
                ToHost::Request(request) => self.performer.perform(&self.socket, work, request)?,
                ToHost::Answer(Answer::Again) => return Ok(None),
                ToHost::Answer(answer) => {
                    let bad = Ended::OutOfTurn("an answer that does not fit its callback");
                    return take(answer).map(Some).ok_or(bad);
                }
            }
        }
    }

    /// How many callbacks the process knows ahead. Forgets what was not sent.
    fn known_ahead(&self) -> Option<usize> {
        let mut memory = self.memory.try_lock()?;
        (memory.used, memory.told) = (0, 0);
        Some(memory.known)
    }

    /// Keeps a callback for the next message. False: it has no room.
    fn ahead(&self, callback: Callback<'_>) -> bool {
        let Some(mut memory) = self.memory.try_lock() else { return false };
        if memory.told == 0 {
            memory.as_of = self.performer.changes();
        }
        let Memory { ahead, used, told, .. } = &mut *memory;
        let Ok(room) = ahead.room() else { return false };
        let Some(room) = room.get_mut(*used..MOST_AHEAD) else { return false };
        let Ok(written) = postcard::to_slice(&callback, room) else { return false };
        (*used, *told) = (*used + written.len(), *told + 1);
        true
    }
}

impl Proxy {
    /// A client whose process is away.
    pub fn new(kind: ClientKind) -> Result<Self, Error> {
        let changed = event().map_err(|_| Error::OutOfMemory)?;
        Ok(Self(Arc::new(ProxyState {
            kind,
            line: Mutex::new(None),
            away: Mutex::new(()),
            changed,
            ended: AtomicBool::new(false),
        })))
    }

    /// What is known of the client's callbacks.
    pub fn kind(&self) -> ClientKind {
        self.0.kind
    }

    /// Its process is there, for the first time or again. Takes until what runs in [`Self::while_away`] is
    /// done.
    pub(super) fn come(&self, line: Arc<ProcessLine>) {
        let _away = self.0.away.lock();
        self.replace_line(Some(line), None);
    }

    /// Its process has gone.
    pub(super) fn go(&self) {
        self.replace_line(None, None);
    }

    /// Runs something if the process is away, and lets it come back only afterwards: once it is back, its
    /// callbacks tell it what happens.
    pub(super) fn while_away<R>(&self, run: impl FnOnce() -> R) -> Option<R> {
        let _away = self.0.away.lock();
        self.line().is_none().then(run)
    }

    /// The client is deregistered: its thread comes to an end. The call may have been made inside one
    /// of its callbacks, whose answer is still to come on that socket.
    pub(super) fn end(&self, inside: Option<&OwnedFd>) {
        self.0.ended.store(true, SeqCst);
        self.replace_line(None, inside);
    }

    /// Whether it is deregistered.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(SeqCst)
    }

    /// The process at the other end of this line has gone, if another has not come yet.
    pub(super) fn leave_line(&self, line: &Arc<ProcessLine>) {
        let mut now = self.0.line.lock();
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, line)) {
            *now = None;
        }
    }

    fn replace_line(&self, line: Option<Arc<ProcessLine>>, inside: Option<&OwnedFd>) {
        let old = std::mem::replace(&mut *self.0.line.lock(), line);
        if let Some(old) = old
            && !inside.is_some_and(|socket| old.is_on(socket))
        {
            // One that is deregistered may still get the reply to its dispatch.
            let shut_down =
                if self.has_ended() { seqpacket::shut_down_input } else { seqpacket::shut_down };
            shut_down(&old.socket);
        }
        signal(&self.0.changed);
    }

    /// The way to its process, if that is there.
    pub(super) fn line(&self) -> Option<Arc<ProcessLine>> {
        self.0.line.lock().clone()
    }

    /// The thread that waits for a callback of the client to return.
    pub(super) fn asked_by(&self) -> Option<Token> {
        let by = Token(self.line()?.asked_by.load(SeqCst));
        (by != NOBODY).then_some(by)
    }

    /// Readable when the line has changed since it was cleared last.
    pub(super) fn changed(&self) -> &OwnedFd {
        &self.0.changed
    }

    /// The client is deregistered: waits until it is done with what it was sent ahead, unless that is
    /// to come once the callback has returned that the call was made in.
    pub(super) fn drain(&self, inside: &OwnedFd) {
        if let Some(line) = self.line().filter(|line| !line.is_on(inside)) {
            line.drain();
        }
    }

    /// Whether this is the socket of its callbacks.
    pub(super) fn is_on(&self, socket: &OwnedFd) -> bool {
        self.line().is_some_and(|line| line.is_on(socket))
    }

    /// The way to its process, for a callback that the client has.
    fn line_for(&self, kind: CallbackKind) -> Option<Arc<ProcessLine>> {
        self.line().filter(|line| line.callbacks.has(kind))
    }

    fn ask<R>(
        &self,
        callback: Callback<'_>,
        mut take: impl FnMut(Answer<'_>) -> Option<R>,
    ) -> Option<R> {
        self.line_for(callback.kind())?.ask(callback, &mut take)
    }

    fn tell(&self, callback: Callback<'_>) {
        let _ = self.ask(callback, |answer| (answer == Answer::Returned).then_some(()));
    }
}

impl Callbacks for Proxy {
    fn has_local_join(&self) -> bool {
        self.0.kind.has_local_join
    }

    fn takes_routeless(&self) -> bool {
        self.0.kind.takes_routeless
    }

    fn has(&self, kind: CallbackKind) -> bool {
        self.line_for(kind).is_some()
    }

    fn callback_thread(&self) -> CallbackThread {
        if self.0.kind.dispatched { CallbackThread::Dispatched } else { CallbackThread::OwnThread }
    }

    fn process(&self) -> Option<u32> {
        self.0.line.lock().as_ref()?.process
    }

    fn known_ahead(&self) -> Option<usize> {
        self.line()?.known_ahead()
    }

    fn ahead(&self, coming: Coming<'_>) -> bool {
        let Some(line) = self.line() else { return false };
        match coming {
            Coming::Rpf(flow, answer, header, route) => {
                let header = &header[..header.len().min(MAX_PACKET)];
                line.ahead(Callback::Rpf(flow, answer, header, route.copied()))
            }
            Coming::Creation(flow, iif, out) => {
                let mut room = [0; 1024];
                let mut list = Packer::new(&mut room);
                out.iter().all(|out| list.add(out))
                    && line.ahead(Callback::Creation(flow, iif, list.packed()))
            }
            Coming::Prune(of, interface, member, timeout) => {
                line.ahead(Callback::Prune(of, interface, member, timeout))
            }
            Coming::Join(of, member) => line.ahead(Callback::Join(of, member)),
            Coming::LocalJoin(of, interface) => line.ahead(Callback::LocalJoin(of, interface)),
            Coming::LocalLeave(of, interface) => line.ahead(Callback::LocalLeave(of, interface)),
        }
    }

    fn rpf(&self, flow: SourceGroup, answer: &mut RpfAnswer, header: &[u8], route: Option<&Route>) {
        let header = &header[..header.len().min(MAX_PACKET)];
        let asked = self.ask(Callback::Rpf(flow, *answer, header, route.copied()), |answer| {
            if let Answer::Rpf(answer) = answer { Some(answer) } else { None }
        });
        *answer = asked.unwrap_or(*answer);
    }

    fn creation(
        &self,
        flow: SourceGroup,
        iif: IfKey,
        out: &mut [OutInterface],
    ) -> Result<(), Error> {
        let Some(line) = self.line_for(CallbackKind::Creation) else { return Ok(()) };
        // The answer to what it was told ahead comes first: it is there whether or not there is memory, and
        // though none of the interfaces is the client's any more.
        let told = line.told(&mut |answer| veto(out, answer));
        if !matches!(told, Ok(None)) || out.is_empty() {
            return Ok(());
        }
        let mut room = Buffer::new()?;
        let mut list = Packer::new(room.room()?);
        if !out.iter().all(|out| list.add(out)) {
            // More interfaces than a message holds: the client is not asked, and vetoes none.
            return Ok(());
        }
        let callback = Callback::Creation(flow, iif, list.packed());
        line.ask(callback, &mut |answer| veto(out, answer));
        Ok(())
    }

    fn prune(&self, of: SourceGroup, interface: IfKey, member: bool, timeout: &mut Seconds) {
        let asked = self.ask(Callback::Prune(of, interface, member, *timeout), |answer| {
            if let Answer::Prune(timeout) = answer { Some(timeout) } else { None }
        });
        *timeout = asked.unwrap_or(*timeout);
    }

    fn join(&self, of: SourceGroup, member: bool) {
        self.tell(Callback::Join(of, member));
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        let header = &header[..header.len().min(MAX_PACKET)];
        self.tell(Callback::WrongInterface(flow, arrival, header));
    }

    fn local_join(&self, of: SourceGroup, interface: IfKey) {
        self.tell(Callback::LocalJoin(of, interface));
    }

    fn local_leave(&self, of: SourceGroup, interface: IfKey) {
        self.tell(Callback::LocalLeave(of, interface));
    }

    fn disable_igmp(&self, interface: IfKey) {
        self.tell(Callback::DisableIgmp(interface));
    }

    fn enable_igmp(&self, interface: IfKey) {
        self.tell(Callback::EnableIgmp(interface));
    }
}

/// Takes the answer to a creation alert. Some of what is vetoed may have changed hands since the client
/// was told.
fn veto(out: &mut [OutInterface], answer: Answer<'_>) -> Option<()> {
    let Answer::Creation(vetoed) = answer else { return None };
    for vetoed in records::interfaces(vetoed)? {
        let its = out.iter_mut().filter(|out| out.interface == vetoed);
        its.for_each(|out| out.enabled = false);
    }
    Some(())
}
