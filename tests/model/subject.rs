//! What a library under test must offer, and the driver that runs [`Op`]s on it and writes down
//! what it does in return.

use super::deliver::Answer;
use super::net::{INTERFACES, RouteEntry, Routes, bytes_of};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A handle of the library's, whatever it is there.
pub type Word = u64;

/// The protocol and component ids of whoever owns an interface, or the code.
pub type Owner = Result<(u32, u32), u32>;

/// A word that no library hands out.
pub const FORGED: Word = 0x0012_3457_0000_0017;

/// A group manager on the memory forwarder. Its callbacks, its pfnRoute, pfnTransmit and pfnClock
/// lead to the functions of this module, unless its host is another process.
pub trait Subject: Send + Sync {
    fn start(&self, world: &World);
    fn stop(&self);
    fn register(&self, client: Client, profile: &Profile) -> Result<Word, u32>;
    fn deregister(&self, handle: Word) -> u32;
    fn take(&self, handle: Word, on: IfKey) -> u32;
    fn release(&self, handle: Word, on: IfKey) -> u32;
    fn owner(&self, on: IfKey) -> Owner;
    /// The same of all interfaces.
    fn owners(&self) -> Vec<Owner> {
        INTERFACES.iter().map(|on| self.owner(*on)).collect()
    }
    fn add(&self, handle: Word, of: SourceGroup, on: IfKey, flags: u32) -> u32;
    fn delete(&self, handle: Word, of: SourceGroup, on: IfKey, flags: u32) -> u32;
    fn set_upstream(&self, handle: Word, flow: SourceGroup, to: Ipv4Addr) -> u32;
    fn read_mfe(&self, flow: SourceGroup) -> Result<Mfe, u32>;
    fn read_all(&self) -> Vec<Mfe>;
    fn read_mfes(&self, after: Option<SourceGroup>, record: Record, room: usize) -> Reply;
    fn start_enum(&self, handle: Word, all_sources: bool) -> Result<Word, u32>;
    fn next_groups(&self, handle: Word, max: usize) -> (u32, Vec<SourceGroup>);
    fn end_enum(&self, handle: Word) -> u32;
    fn receive(&self, on: IfKey, packet: &[u8]) -> u32;
    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32;
    fn interface_down(&self, on: IfKey) -> u32;
    fn dispatch(&self, handle: Word) -> u32;
    /// Whether callbacks wait for a client's dispatch; None: not for this handle.
    fn waits(&self, handle: Word) -> Option<bool>;
    /// Lets the library see that the clock has moved.
    fn tick(&self) -> u32;
    /// Whether the host is another process. Then looking takes messages, and what an operation causes may
    /// come after it.
    fn is_elsewhere(&self) -> bool {
        false
    }
    /// Waits there for what an operation has caused. The packets that it has sent since it was asked last.
    fn settle(&self) -> Vec<Sent> {
        Vec::new()
    }
    /// Whether that has changed the entries since this was asked last, as the host sees them.
    fn entries_changed(&self) -> bool {
        true
    }
    /// Tells a host in another process of a route.
    fn set_route(&self, _network: Ipv4Addr, _len: u8, _to: Option<IfKey>) {}
    /// Tells it of the time, in milliseconds.
    fn set_clock(&self, _now: u64) {}
}

/// A running subject and the world around it.
struct Session {
    subject: Arc<dyn Subject>,
    world: World,
    scripts: Shared<Vec<Script>>,
    handles: Shared<Vec<Word>>,
    enumerations: Shared<Vec<Word>>,
    routes: Shared<Routes>,
    /// Milliseconds.
    now: AtomicU64,
    events: Shared<Vec<Event>>,
    sent: Shared<Vec<Sent>>,
}

/// Something that callbacks on other threads use too, where the host is another process.
#[derive(Default)]
struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn borrow(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn borrow_mut(&self) -> MutexGuard<'_, T> {
        self.borrow()
    }
}

impl<T: Default> Shared<T> {
    fn take(&self) -> T {
        std::mem::take(&mut *self.borrow())
    }
}

thread_local! {
    /// The one that callbacks on this thread belong to: C callbacks have no context argument.
    static SESSION: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

fn session() -> Option<Arc<Session>> {
    SESSION.with(|s| s.borrow().clone())
}

/// Whom callbacks belong to that come on other threads.
#[derive(Clone)]
pub struct Home(Option<Weak<Session>>);

/// That of this thread.
pub fn home() -> Home {
    Home(session().as_ref().map(Arc::downgrade))
}

impl Home {
    /// What this thread calls belongs to it from now on.
    pub fn enter(&self) {
        SESSION.with(|s| *s.borrow_mut() = self.0.as_ref().and_then(Weak::upgrade));
    }
}

/// A client of the test is called back.
pub fn called_back(client: Client, callback: Callback) -> Answer {
    let Some(s) = session() else {
        eprintln!("client {client} was called back outside the test's thread: {callback:?}");
        std::process::abort();
    };
    let kind = callback.kind();
    s.events.borrow_mut().push(Event::Begin(client, callback));
    let nested = s.scripts.borrow_mut()[client].take_nested(kind);
    if let Some(op) = nested {
        s.events.borrow_mut().push(Event::Call(op.clone()));
        let reply = s.call(&op);
        s.events.borrow_mut().push(Event::Return(reply));
    }
    let answer = Answer::of(&s.scripts.borrow()[client]);
    s.events.borrow_mut().push(Event::End(client));
    answer
}

/// pfnRoute.
pub fn route(source: Ipv4Addr) -> Option<RouteEntry> {
    session().and_then(|s| s.routes.borrow().find(source))
}

/// pfnTransmit.
pub fn transmit(on: IfKey, bytes: &[u8]) {
    let Some(s) = session() else { return };
    let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let header = usize::from(bytes[0] & 15) * 4;
    assert_eq!(super::net::checksum(&bytes[..header]), 0, "the header checksum is right");
    let flow = SourceGroup::new(address(12), address(16));
    let after = s.events.borrow().len();
    s.sent.borrow_mut().push(Sent { on, flow, ttl: bytes[8], after });
}

/// pfnClock: milliseconds.
pub fn clock() -> u64 {
    session().map_or(0, |s| s.now.load(SeqCst))
}

impl Session {
    fn handle(&self, handle: Handle) -> Word {
        nth(&self.handles.borrow(), handle)
    }

    fn enumeration(&self, handle: Handle) -> Word {
        nth(&self.enumerations.borrow(), handle)
    }

    /// Keeps a new handle; says what the call gave.
    fn keep(list: &Shared<Vec<Word>>, got: Result<Word, u32>) -> u32 {
        match got {
            Ok(word) => {
                assert_ne!(word, 0, "rule A3: a handle is never 0");
                list.borrow_mut().push(word);
                code::NO_ERROR
            }
            Err(code) => code,
        }
    }

    fn waiting(&self) -> Vec<usize> {
        let handles = self.handles.borrow();
        let waits = |word: &Word| self.subject.waits(*word) == Some(true);
        handles.iter().enumerate().filter(|(_, word)| waits(word)).map(|(n, _)| n).collect()
    }

    fn call(&self, op: &Op) -> Reply {
        let s = &self.subject;
        let code = match *op {
            Op::Register(client) => {
                Self::keep(&self.handles, s.register(client, &self.world.profiles[client]))
            }
            Op::Deregister(h) => s.deregister(self.handle(h)),
            Op::Take(h, on) => s.take(self.handle(h), on),
            Op::Release(h, on) => s.release(self.handle(h), on),
            Op::Owner(on) => return owner_reply(s.owner(on)),
            Op::Add(h, of, on, flags) => s.add(self.handle(h), of, on, flags),
            Op::Delete(h, of, on, flags) => s.delete(self.handle(h), of, on, flags),
            Op::SetUpstream(h, flow, to) => s.set_upstream(self.handle(h), flow, to),
            Op::ReadMfe(flow) => match s.read_mfe(flow) {
                Ok(mfe) => {
                    return Reply { code: code::NO_ERROR, data: Data::Mfe(Box::new(mfe)) };
                }
                Err(code) => code,
            },
            Op::ReadMfes { after, record, room } => return s.read_mfes(after, record, room),
            Op::StartEnum(h, all) => {
                Self::keep(&self.enumerations, s.start_enum(self.handle(h), all))
            }
            Op::NextGroups(e, max) => {
                let (code, rows) = s.next_groups(self.enumeration(e), max);
                if code == code::INVALID_PARAMETER {
                    return Reply::code(code);
                }
                return Reply { code, data: Data::Groups(rows) };
            }
            Op::EndEnum(e) => s.end_enum(self.enumeration(e)),
            Op::Packet(on, packet) => s.receive(on, &bytes_of(&packet)),
            Op::Route { network, len, to } => {
                self.routes.borrow_mut().set(network, len, to);
                s.set_route(network, len, to);
                s.route_changed(network, len)
            }
            Op::RouteChanged { network, len } => s.route_changed(network, len),
            Op::Down(on) => s.interface_down(on),
            Op::Advance(seconds) => {
                let later = u64::from(seconds) * 1000;
                s.set_clock(self.now.fetch_add(later, SeqCst) + later);
                s.tick()
            }
            Op::Dispatch(h) => s.dispatch(self.handle(h)),
        };
        Reply::code(code)
    }
}

fn nth(list: &[Word], handle: Handle) -> Word {
    match handle {
        Handle::Nth(n) if !list.is_empty() => list[n % list.len()],
        _ => FORGED,
    }
}

fn owner_reply(got: Owner) -> Reply {
    match got {
        Ok((protocol, component)) => {
            Reply { code: code::NO_ERROR, data: Data::Owner(protocol, component) }
        }
        Err(code) => Reply::code(code),
    }
}

/// Runs a subject from start to stop. One at a time on a thread.
pub struct Driver {
    session: Arc<Session>,
    /// What was to be seen when somebody looked last.
    last: Option<Snapshot>,
    /// Since the host was idle there was nothing but calls that cannot have changed anything.
    nothing_new: bool,
}

impl Driver {
    pub fn start(subject: Arc<dyn Subject>, world: &World) -> Self {
        let session = Arc::new(Session {
            subject: subject.clone(),
            world: world.clone(),
            scripts: Shared::new(world.profiles.iter().map(|p| p.script.clone()).collect()),
            handles: Shared::default(),
            enumerations: Shared::default(),
            routes: Shared::default(),
            now: AtomicU64::new(1_000_000),
            events: Shared::default(),
            sent: Shared::default(),
        });
        SESSION.with(|s| *s.borrow_mut() = Some(session.clone()));
        subject.start(world);
        Self { session, last: None, nothing_new: false }
    }

    /// What is to be seen. Where looking takes messages, it is as at the last look if nothing can have
    /// changed since, and the entries are if the host says so.
    pub fn look_again(&mut self) -> Snapshot {
        let now = match self.last.take() {
            Some(last) if self.nothing_new => Snapshot { waiting: self.session.waiting(), ..last },
            Some(last) if !self.session.subject.entries_changed() => self.snapshot(Some(last.mfes)),
            _ => self.snapshot(None),
        };
        self.last = Some(now.clone());
        now
    }

    fn snapshot(&self, mfes: Option<Vec<Mfe>>) -> Snapshot {
        let s = &self.session.subject;
        Snapshot {
            mfes: mfes.unwrap_or_else(|| s.read_all()),
            owners: INTERFACES.into_iter().zip(s.owners().into_iter().map(owner_reply)).collect(),
            waiting: self.session.waiting(),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.session.subject.stop();
        SESSION.with(|s| *s.borrow_mut() = None);
    }
}

impl Drive for Driver {
    fn run(&mut self, op: &Op) -> Outcome {
        let Session { subject, events, sent, .. } = &*self.session;
        let reply = self.session.call(op);
        // A client's call that fails or reads changes nothing and alerts nobody. If one does nevertheless,
        // that shows with the next step.
        self.nothing_new = subject.is_elsewhere()
            && !op.is_the_hosts()
            && (op.only_reads() || reply.is_failure())
            && events.borrow().is_empty();
        if !self.nothing_new {
            sent.borrow_mut().extend(subject.settle());
        }
        let mut sent = sent.take();
        sent.sort();
        Outcome { reply, events: events.take(), sent }
    }

    fn look(&mut self) -> Snapshot {
        if std::mem::take(&mut self.nothing_new) {
            self.session.sent.borrow_mut().extend(self.session.subject.settle());
        }
        self.snapshot(None)
    }
}

/// Whether a descriptor is readable.
pub fn is_readable(fd: std::os::fd::RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which lives during the call.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    assert!(ready >= 0 && poll.revents & !libc::POLLIN == 0, "rule H2: a descriptor to poll");
    ready == 1
}
