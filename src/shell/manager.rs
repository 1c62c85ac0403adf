//! The group manager: the functions of mgm.h in safe Rust, except those that read (`reads`). Each
//! locks, asks the core, unlocks, and performs what the core decided.

#![forbid(unsafe_code)]

use crate::core::{Adding, ClientInfo, Core, Looked, Taking};
use crate::error::Error;
use crate::forwarder::{Forwarder, Pool};
use crate::log::Level;
use crate::shell::bells::{Bells, Event};
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context;
use crate::shell::deliver::Own;
use crate::shell::run::{FlowLines, KeptLine, Locked};
pub(crate) use crate::shell::run::{Moment, Running, State};
use crate::shell::service::{ServeSettings, Service};
pub use crate::shell::settings::{ForwarderChoice, LogSink, Settings};
use crate::shell::tally::Tally;
use crate::shell::waits::Wait;
use crate::sys::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sys::sync::{Mutex, RwLock, coarse_time};
use crate::types::{ClientId, ClientName, IfKey, MembershipFlags, Millis, SourceGroup};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
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

    // ---- registration ----

    /// MgmRegisterMProtocol (rule B1). Starts the library from the environment where it does not
    /// run.
    pub fn register(
        &'static self,
        callbacks: C,
        protocol: u32,
        component: u32,
    ) -> Result<ClientId, Error> {
        if self.with(|_| ()).is_none() {
            match self.start(Settings::from_env()?) {
                Ok(()) | Err(Error::AlreadyRunning) => {}
                // Another thread may have started it.
                Err(Error::Changing) if self.with(|_| ()).is_some() => {}
                Err(error) => return Err(error),
            }
        }
        let own = Own::of(callbacks.lane())?;
        let now = self.now();
        let info = ClientInfo {
            protocol,
            component,
            has_local_join: callbacks.has_local_join(),
            takes_routeless: callbacks.takes_routeless(),
        };
        let mut state = self.lock();
        let running = state.running().ok_or(Error::NotRunning)?;
        let slot = running.core.next_client_slot()?;
        running.delivery.reserve_lane(slot)?;
        let id = running.core.register(info)?;
        running.delivery.open(id.slot, callbacks, own);
        running.delivery.registered(id.slot, now);
        drop(state);
        self.log(Level::Info, format_args!("{} registered", ClientName { protocol, component }));
        Ok(id)
    }

    /// MgmDeRegisterMProtocol (rules A8, B2).
    pub fn deregister(&'static self, client: ClientId) -> Result<(), Error> {
        let me = context::token();
        let mut call = self.enter_client(client)?;
        let epoch = call.epoch;
        let begun = self.begin_deregister(&mut call, client);
        self.settle(&mut call);
        self.leave(call);
        // Rule A8: no callback of the client is running when this returns, except those that this
        // thread itself is inside of.
        let (waits, name) = begun?;
        self.wait_until(Event::Lane(client.slot), |state| {
            // This goes on during MgmHostStop too, which waits for the same callback; and where
            // MgmHostStop was called inside that callback, until the callback has returned.
            let (running, noted) = state.with_waits();
            let current = running.as_ref().map(|running| (running.epoch, &running.delivery));
            let over = !waits || noted.is_over((me, epoch, client.slot), current);
            if over && let Some(running) = running.filter(|running| running.epoch == epoch) {
                running.gone(client);
            }
            over
        });
        self.log(Level::Info, format_args!("{name} deregistered"));
        Ok(())
    }

    /// Deregisters the client. Gives whether its callback is running on another thread, and its name.
    fn begin_deregister(
        &'static self,
        call: &mut Call,
        client: ClientId,
    ) -> Result<(bool, ClientName), Error> {
        let epoch = call.epoch;
        let me = context::token();
        let begun = loop {
            let mut state = self.lock();
            let (running, waits) = state.with_waits();
            let running = running
                .filter(|running| running.epoch == epoch && !running.closed)
                .ok_or_else(|| stale(client))?;
            match running.core.may_deregister(client) {
                Err(Error::Again) => {
                    running.post(call);
                    continue;
                }
                result => result?,
            }
            let runner = running.delivery.runner(client.slot).filter(|runner| *runner != me);
            if let Some(runner) = runner {
                let inside = call.here.around.is_some() || context::is_inside_host();
                let wait = Wait { waiter: me, runner, epoch, slot: client.slot, inside };
                if !waits.begin(wait, (epoch, &running.delivery))? {
                    return Err(Error::WouldDeadlock);
                }
            }
            let name = running.core.client_name(client).ok_or_else(|| stale(client))?;
            running.core.deregister(client)?;
            running.delivery.close(client.slot);
            break (runner.is_some(), name);
        };
        self.answer_orphans(call, client);
        // Flows may have ended that others wait for.
        self.wake_all();
        Ok(begun)
    }

    /// The ids of a registered client.
    pub fn client_name(&self, client: ClientId) -> Option<ClientName> {
        self.state.read().shared()?.core.client_name(client)
    }

    // ---- interfaces ----

    /// MgmTakeInterfaceOwnership (rules C1, C3, C5).
    pub fn take_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error> {
        let mut call = self.enter_client(client)?;
        let taken = self.take_in_plane(&mut call, client, interface);
        let result = self.finish_change(&mut call, taken);
        self.leave(call);
        if result.is_ok() {
            self.log(
                Level::Info,
                format_args!("{interface}: taken by {}", self.named(client.slot)),
            );
        }
        result
    }

    /// Changes the ownership. Where nobody is on the interface, the plane is asked first. No other
    /// thread can program the plane in between, so that the interface cannot be given up meanwhile.
    fn take_in_plane(
        &'static self,
        call: &mut Call,
        client: ClientId,
        interface: IfKey,
    ) -> Result<Taking, Error> {
        let take = |core: &mut Core, now| core.take(now, client, interface);
        let take_used = |core: &mut Core, now| {
            let ask = core.may_take(client, interface)?;
            if ask { Ok(None) } else { take(core, now).map(Some) }
        };
        let plane =
            |run: &mut Running<C>, _: &mut Call| (run.forwarder.clone(), run.programming.clone());
        let (taken, (forwarder, programming)) =
            self.ask_with(call, self.now(), take_used, plane)?;
        if let Some(taken) = taken? {
            return Ok(taken);
        }
        if context::is_inside_forwarder() {
            return Err(Error::InsideForwarder);
        }
        // The clock may be the host's, so it is read before anything is locked.
        let now = self.now();
        let taken = {
            let _programming = programming.lock();
            context::inside_forwarder(|| {
                forwarder
                    .add_interface(interface)
                    .map_err(|reason| Error::Forwarder { interface, reason })?;
                let uses = |run: &mut Running<C>, _: &mut Call| run.core.uses(interface);
                let (taken, used) = self.ask_with(call, now, take, uses)?;
                if !used {
                    forwarder.remove_interface(interface);
                }
                taken
            })
        };
        call.sees_to_all |= context::take_left_over();
        self.give_kept_lines();
        taken
    }

    /// MgmReleaseInterfaceOwnership (rules C3, C4).
    pub fn release_interface(
        &'static self,
        client: ClientId,
        interface: IfKey,
    ) -> Result<(), Error> {
        let mut call = self.enter_client(client)?;
        let release = |core: &mut Core, now| core.release(now, client, interface);
        let released = self.ask_with(&mut call, self.now(), release, |_, _| ());
        let released = released.and_then(|(released, ())| released);
        let result = self.finish_change(&mut call, released);
        self.leave(call);
        if result.is_ok() {
            let by = self.named(client.slot);
            self.log(Level::Info, format_args!("{interface}: released by {by}"));
        }
        result
    }

    /// Waits until IGMP was told of a change of ownership, where it must be told (rule C3).
    fn finish_change(
        &'static self,
        call: &mut Call,
        begun: Result<Taking, Error>,
    ) -> Result<(), Error> {
        self.settle(call);
        let change = match begun? {
            Taking::Done => return Ok(()),
            Taking::Waits(change) => change,
        };
        if call.waits {
            self.wait_for_job(call, false);
        }
        self.ask_core(call, |core, now| core.change_outcome(now, change))
    }

    /// MgmGetProtocolOnInterface (rule C2): the protocol and component ids of the owner.
    pub fn protocol_on_interface(&self, interface: IfKey) -> Result<(u32, u32), Error> {
        let state = self.state.read();
        state.shared().ok_or(Error::UnknownInterface(interface))?.core.protocol_on(interface)
    }

    // ---- memberships ----

    /// MgmAddGroupMembershipEntry (rules D1 to D9).
    pub fn add_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        if flags.forward {
            self.claim(of);
        }
        loop {
            // Before the call, which performs whatever is to be done by then.
            let needed =
                of.has_source()
                    && self.state.read().shared().is_some_and(|running| {
                        running.core.needs_route(client, of, interface, flags)
                    });
            let looked = if needed { Some(self.look_toward(client, of.source())?) } else { None };
            let add = |core: &mut Core, now| {
                core.add_membership(now, client, of, interface, flags, looked)
            };
            // The last other membership of the source may have gone in between.
            if self.call(client, add)? == Adding::Done {
                break;
            }
        }
        // What was found finds the membership already: each is programmed once.
        if flags.join {
            self.claim(of);
        }
        Ok(())
    }

    /// The owner of an interface hears of IGMP's memberships there again (rule P3).
    pub fn retell_members(&'static self, client: ClientId, key: IfKey) -> Result<(), Error> {
        self.call(client, |core, _| core.retell_members(client, key))
    }

    /// MgmDeleteGroupMembershipEntry (rules D1 to D9).
    pub fn delete_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        if flags.forward {
            self.claim(of);
        }
        self.call(client, |core, now| core.delete_membership(now, client, of, interface, flags))
    }

    /// MgmSetMfe (rule E10).
    pub fn set_upstream(
        &'static self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error> {
        self.claim(flow);
        self.call(client, |core, _| core.set_upstream(client, flow, upstream))
    }

    /// The route toward a source without a packet of it (rule D7).
    fn look_toward(&self, client: ClientId, source: Ipv4Addr) -> Result<Looked, Error> {
        let asked = self.with(|running| running.before_look_toward(source));
        let (forwarder, iif, as_of) = asked.ok_or_else(|| stale(client))?;
        Ok(Looked { route: forwarder.route(source, iif), as_of })
    }

    // ---- the ways in ----

    /// One call of a client: ask the core, perform, wait for the alerts. The call begins, asks the
    /// core and chooses what to do under one lock.
    fn call<R>(
        &'static self,
        client: ClientId,
        mut ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let here = context::here(self.address());
        let (now, mut next) = (self.now(), None);
        let mut state = self.lock();
        let running = state.running().ok_or_else(|| stale(client))?;
        let mut call = running.begin(here)?;
        call.last = true;
        let result = running.ask(&mut call, now, &mut ask);
        if matches!(result, Err(Error::Again)) {
            drop(state);
            return self.call_again(call, now, ask);
        }
        let work = running.choose(&mut call, &mut next);
        drop(state);
        self.carry_on(&mut call, work, &mut next);
        self.leave(call);
        result
    }

    /// The rest of a call that something else must be finished for first.
    #[cold]
    fn call_again<R>(
        &'static self,
        mut call: Call,
        now: Millis,
        ask: impl FnMut(&mut Core, Millis) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut next = None;
        let choose = |running: &mut Running<C>, call: &mut Call| running.choose(call, &mut next);
        let (result, work) = self.ask_with(&mut call, now, ask, choose)?;
        self.carry_on(&mut call, work, &mut next);
        self.leave(call);
        result
    }

    /// Begins a call of a client. When nothing runs, its handle is stale.
    fn enter_client(&'static self, client: ClientId) -> Result<Call, Error> {
        self.enter().map_err(|error| match error {
            Error::NotRunning => stale(client),
            other => other,
        })
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

    /// The state, to change. When the lock is let go of, threads are woken that wait for what has come
    /// about meanwhile.
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
            // Nobody is told that a client has hung for long enough: that is looked for.
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
        self.moment().now
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

pub(crate) fn stale(client: ClientId) -> Error {
    let value = crate::handle::from_client(client);
    Error::BadHandle { name: "hProtocol", value, kind: "registered client" }
}
