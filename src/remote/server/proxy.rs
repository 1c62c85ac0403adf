//! A client of another process as the group manager sees it: its callbacks are questions on its
//! callback channel.

use crate::error::Error;
use crate::remote::channel::{Buffer, Ended, Work, receive, room_for_list, send_with_list};
use crate::remote::records;
use crate::remote::wire::{
    Answer, ClientKind, MAX_PACKET, Packer, Question, Request, ToClient, ToHost,
};
use crate::shell::callbacks::{Callbacks, Coming, Lane, OutInterface, RpfAnswer};
use crate::sys::sync::unscheduled::Mutex;
use crate::sys::{event, seqpacket, signal};
use crate::types::{IfKey, Route, Seconds, SourceGroup};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whoever does the calls that a client makes inside its callbacks.
pub(super) trait Performer: Send + Sync {
    /// Does one, and replies on the socket.
    fn perform(&self, on: &OwnedFd, work: &mut Work, request: Request) -> Result<(), Ended>;

    /// How often the owner of an interface has changed by what the process has asked.
    fn changes(&self) -> u64;

    /// Ends the connection.
    fn end(&self, reason: Ended);
}

/// The most octets of questions that are sent ahead.
const MOST_AHEAD: usize = 12 * 1024;

/// The client as [`Callbacks`]. While its process is away (rule P3) its callbacks do nothing.
#[derive(Clone)]
pub struct Proxy(Arc<Client>);

struct Client {
    kind: ClientKind,
    line: Mutex<Option<Arc<Line>>>,
    /// Held while callbacks do nothing, since the process is away.
    away: Mutex<()>,
    /// Readable when the line has changed, for the thread that delivers.
    changed: OwnedFd,
    /// The client is deregistered.
    ended: AtomicBool,
}

/// The way to the process that a client lives in.
pub(super) struct Line {
    /// The host's end of its callback channel.
    pub socket: OwnedFd,
    process: Option<u32>,
    performer: Arc<dyn Performer>,
    memory: Mutex<Memory>,
    /// Whether a question is open.
    asking: AtomicBool,
}

struct Memory {
    input: Buffer,
    work: Work,
    /// Questions that will be sent with the next one, encoded, and what they are as of.
    ahead: Buffer,
    used: usize,
    told: usize,
    as_of: u64,
    /// How many questions the process was sent ahead that it has not answered.
    known: usize,
}

impl Line {
    pub(super) fn new(
        socket: OwnedFd,
        process: Option<u32>,
        performer: Arc<dyn Performer>,
    ) -> Result<Self, Error> {
        let work = Work { output: Buffer::new()?, list: Buffer::EMPTY };
        let memory = Mutex::new(Memory {
            input: Buffer::new()?,
            work,
            ahead: Buffer::EMPTY,
            used: 0,
            told: 0,
            as_of: 0,
            known: 0,
        });
        Ok(Self { socket, process, performer, memory, asking: AtomicBool::new(false) })
    }

    /// Asks, does what the process asks before it answers, and takes the answer. None: there is none,
    /// since the process has ended, or the connection has because of what it sent.
    fn ask<R>(
        &self,
        question: Question<'_>,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Option<R> {
        // One callback of a client runs at a time (rule A7), so nobody else has it.
        let mut memory = self.memory.try_lock()?;
        self.asking.store(true, SeqCst);
        let answered = self.converse(&mut memory, question, take);
        self.asking.store(false, SeqCst);
        match answered {
            Ok(answer) => Some(answer),
            Err(reason) => {
                self.end(reason);
                None
            }
        }
    }

    fn converse<R>(
        &self,
        memory: &mut Memory,
        question: Question<'_>,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<R, Ended> {
        if memory.known > 0 {
            memory.known -= 1;
            if let Some(answer) = self.answer(memory, take)? {
                return Ok(answer);
            }
            // The process has called none of those that came ahead.
            for _ in 0..std::mem::take(&mut memory.known) {
                if self.answer(memory, &mut |_| Some(()))?.is_some() {
                    return Err(Ended::OutOfTurn("an answer after it had left one out"));
                }
            }
        }
        self.put(memory, question)?;
        let answer = self.answer(memory, take)?;
        answer.ok_or(Ended::OutOfTurn("no answer to a question whose turn it was"))
    }

    /// Waits until the process is done with what it was sent ahead, though nobody wants the answers.
    fn drain(&self) {
        let Some(mut memory) = self.memory.try_lock() else { return };
        while memory.known > 0 {
            memory.known -= 1;
            if let Err(reason) = self.answer(&mut memory, &mut |_| Some(())) {
                return self.end(reason);
            }
        }
    }

    /// Ends the connection that it belongs to.
    pub(super) fn end(&self, reason: Ended) {
        self.performer.end(reason);
    }

    /// Sends a question and what comes behind it.
    fn put(&self, memory: &mut Memory, question: Question<'_>) -> Result<(), Ended> {
        let Memory { work, ahead, as_of, .. } = memory;
        let output = work.output.room()?;
        let list = room_for_list(output);
        let first = postcard::to_slice(&question, list).map_err(|_| Ended::BadMessage)?.len();
        let (used, told) = (memory.used, memory.told);
        (memory.used, memory.told) = (0, 0);
        let mut size = first;
        if let Some(rest) = list.get_mut(first..first + used)
            && told > 0
        {
            rest.copy_from_slice(&ahead.room()?[..used]);
            (memory.known, size) = (told, first + used);
        }
        send_with_list(&self.socket, output, &ToClient::Questions(*as_of), size)
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
                    let bad = Ended::OutOfTurn("an answer that does not fit its question");
                    return take(answer).map(Some).ok_or(bad);
                }
            }
        }
    }

    /// How many questions the process knows ahead. Forgets what was not sent.
    fn known_ahead(&self) -> Option<usize> {
        let mut memory = self.memory.try_lock()?;
        (memory.used, memory.told) = (0, 0);
        Some(memory.known)
    }

    /// Keeps a question for the next message. False: it has no room.
    fn ahead(&self, question: Question<'_>) -> bool {
        let Some(mut memory) = self.memory.try_lock() else { return false };
        if memory.told == 0 {
            memory.as_of = self.performer.changes();
        }
        let Memory { ahead, used, told, .. } = &mut *memory;
        let Ok(room) = ahead.room() else { return false };
        let Some(room) = room.get_mut(*used..MOST_AHEAD) else { return false };
        let Ok(written) = postcard::to_slice(&question, room) else { return false };
        (*used, *told) = (*used + written.len(), *told + 1);
        true
    }
}

impl Proxy {
    /// A client whose process is away.
    pub fn new(kind: ClientKind) -> Result<Self, Error> {
        let changed = event().map_err(|_| Error::OutOfMemory)?;
        Ok(Self(Arc::new(Client {
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
    pub(super) fn come(&self, line: Arc<Line>) {
        let _away = self.0.away.lock();
        self.replace_line(Some(line), None);
    }

    /// Its process has gone.
    pub(super) fn go(&self) {
        self.replace_line(None, None);
    }

    /// Runs something if the process is away, and lets it come back only afterwards: what happens once it
    /// is back, its callbacks tell.
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
    pub(super) fn leave_line(&self, line: &Arc<Line>) {
        let mut now = self.0.line.lock();
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, line)) {
            *now = None;
        }
    }

    fn replace_line(&self, line: Option<Arc<Line>>, inside: Option<&OwnedFd>) {
        let old = std::mem::replace(&mut *self.0.line.lock(), line);
        if let Some(old) = old
            && !inside.is_some_and(|socket| std::ptr::eq(socket, &raw const old.socket))
        {
            seqpacket::shut_down(&old.socket);
        }
        signal(&self.0.changed);
    }

    /// The way to its process, if that is there.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.0.line.lock().clone()
    }

    /// Whether the client is inside a callback.
    pub(super) fn is_asking(&self) -> bool {
        self.line().is_some_and(|line| line.asking.load(SeqCst))
    }

    /// Readable when the line has changed since it was cleared last.
    pub(super) fn changed(&self) -> &OwnedFd {
        &self.0.changed
    }

    /// The client is deregistered: waits until it is done with what it was sent ahead, unless that is
    /// to come once the callback has returned that the call was made in.
    pub(super) fn drain(&self, inside: &OwnedFd) {
        if let Some(line) = self.line()
            && !std::ptr::eq(inside, &raw const line.socket)
        {
            line.drain();
        }
    }

    fn ask<R>(
        &self,
        question: Question<'_>,
        mut take: impl FnMut(Answer<'_>) -> Option<R>,
    ) -> Option<R> {
        self.line()?.ask(question, &mut take)
    }

    fn tell(&self, question: Question<'_>) {
        let _ = self.ask(question, |answer| (answer == Answer::Returned).then_some(()));
    }
}

impl Callbacks for Proxy {
    fn has_local_join(&self) -> bool {
        self.0.kind.has_local_join
    }

    fn takes_routeless(&self) -> bool {
        self.0.kind.takes_routeless
    }

    fn lane(&self) -> Lane {
        if self.0.kind.dispatched { Lane::Dispatched } else { Lane::OwnThread }
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
                line.ahead(Question::Rpf(flow, answer, header, route.copied()))
            }
            Coming::Creation(flow, iif, out) => {
                let mut room = [0; 1024];
                let mut list = Packer::new(&mut room);
                out.iter().all(|out| list.add(out))
                    && line.ahead(Question::Creation(flow, iif, list.packed()))
            }
            Coming::Prune(of, interface, member, timeout) => {
                line.ahead(Question::Prune(of, interface, member, timeout))
            }
            Coming::Join(of, member) => line.ahead(Question::Join(of, member)),
            Coming::LocalJoin(of, interface) => line.ahead(Question::LocalJoin(of, interface)),
            Coming::LocalLeave(of, interface) => line.ahead(Question::LocalLeave(of, interface)),
        }
    }

    fn rpf(&self, flow: SourceGroup, answer: &mut RpfAnswer, header: &[u8], route: Option<&Route>) {
        let header = &header[..header.len().min(MAX_PACKET)];
        let asked = self.ask(Question::Rpf(flow, *answer, header, route.copied()), |answer| {
            if let Answer::Rpf(answer) = answer { Some(answer) } else { None }
        });
        *answer = asked.unwrap_or(*answer);
    }

    fn creation(&self, flow: SourceGroup, iif: IfKey, out: &mut [OutInterface]) {
        let _ = self.try_creation(flow, iif, out);
    }

    fn try_creation(
        &self,
        flow: SourceGroup,
        iif: IfKey,
        out: &mut [OutInterface],
    ) -> Result<(), Error> {
        let mut room = Buffer::new()?;
        let mut list = Packer::new(room.room()?);
        if !out.iter().all(|out| list.add(out)) {
            // More interfaces than a message holds: the client is not asked, and vetoes none.
            return Ok(());
        }
        self.ask(Question::Creation(flow, iif, list.packed()), |answer| {
            let Answer::Creation(vetoed) = answer else { return None };
            // Some may have changed hands since the client was told of them.
            for vetoed in records::interfaces(vetoed)? {
                let its = out.iter_mut().filter(|out| out.interface == vetoed);
                its.for_each(|out| out.enabled = false);
            }
            Some(())
        });
        Ok(())
    }

    fn prune(&self, of: SourceGroup, interface: IfKey, member: bool, timeout: &mut Seconds) {
        let asked = self.ask(Question::Prune(of, interface, member, *timeout), |answer| {
            if let Answer::Prune(timeout) = answer { Some(timeout) } else { None }
        });
        *timeout = asked.unwrap_or(*timeout);
    }

    fn join(&self, of: SourceGroup, member: bool) {
        self.tell(Question::Join(of, member));
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        let header = &header[..header.len().min(MAX_PACKET)];
        self.tell(Question::WrongInterface(flow, arrival, header));
    }

    fn local_join(&self, of: SourceGroup, interface: IfKey) {
        self.tell(Question::LocalJoin(of, interface));
    }

    fn local_leave(&self, of: SourceGroup, interface: IfKey) {
        self.tell(Question::LocalLeave(of, interface));
    }

    fn disable_igmp(&self, interface: IfKey) {
        self.tell(Question::DisableIgmp(interface));
    }

    fn enable_igmp(&self, interface: IfKey) {
        self.tell(Question::EnableIgmp(interface));
    }
}
