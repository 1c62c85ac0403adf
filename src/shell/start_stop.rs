//! Starting and stopping, and the host's own calls (mgm_host.h).

#![forbid(unsafe_code)]

use crate::control::{Bound, Control};
use crate::core::{Admission, Core};
use crate::error::{Error, StartError, code};
use crate::forwarder::kernel::KernelForwarder;
use crate::forwarder::memory::MemoryForwarder;
use crate::forwarder::packet::Packet;
use crate::forwarder::{Forwarder, Received};
use crate::handle;
use crate::log::{Level, Line};
use crate::shell::batch::Batch;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{self, JobOf};
use crate::shell::deliver::Delivery;
use crate::shell::log::LastLog;
use crate::shell::manager::{Mgm, Running, system_now};
use crate::shell::service::{ServeSettings, Service};
use crate::shell::settings::{ForwarderChoice, Settings};
use crate::shell::tally::Tally;
use crate::shell::walks::Walks;
use crate::sys::sync::{Instant, Mutex};
use crate::types::{IfKey, Millis, PATIENCE};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long it waits for each kind of thread at the least, where others have used that time up.
/// What serves others while a run lasts.
type Served = (Option<Control>, Option<Box<dyn Service>>);

const LEAST_WAIT: Duration = Duration::from_millis(500);

/// Counts the runs of all managers.
static RUNS: AtomicU64 = AtomicU64::new(1);

/// The line for the log of a host whose start failed. Only MgmHostStart brings a log function.
pub fn start_failed(error: &Error) -> Line {
    Line::new(format_args!("MgmHostStart: {}: {error}", code::name(error.code())))
}

impl<C: Callbacks> Mgm<C> {
    /// MgmHostStart. After a start that fails none of the host's functions is used any more, its
    /// log function included.
    pub fn start(&'static self, settings: Settings) -> Result<(), Error> {
        // The clock is the host's code, so it is read before anything is locked.
        let started = settings.clock.as_ref().map_or_else(system_now, |clock| clock());
        let host_calls = Arc::clone(&settings.host_calls);
        let by_default = settings.forwarder_by_default;
        let (result, last) = self.alone(|| {
            let was_active = self.active.swap(true, Relaxed);
            let result = self.start_locked(settings, started);
            self.active.store(result.is_ok() || was_active, Relaxed);
            let failed = !matches!(result, Ok(_) | Err(Error::AlreadyRunning));
            (result, failed.then(|| self.end_log(host_calls, PATIENCE)))
        })?;
        match (result, last) {
            (Err(error), Some(last)) => {
                // Where the host has no log function, the failing call tells standard error.
                let end = || (Level::Error, start_failed(&error));
                self.leave_host(&last, last.is_the_hosts().then(end));
                Err(error)
            }
            (result, _) => {
                self.give_kept_lines();
                let name = result?;
                self.log(Level::Info, format_args!("started with the {name} forwarder"));
                if by_default {
                    self.log(
                        Level::Warn,
                        format_args!(
                            "MGM_FORWARDER is not set: the memory forwarder was chosen, which \
                             carries no packet by itself; allowed: {}",
                            Settings::FORWARDERS
                        ),
                    );
                }
                Ok(())
            }
        }
    }

    /// Starts or stops while no other thread does. Inside C code it does not wait for another
    /// thread, which may be stopping the library and waiting for this very code to return.
    fn alone<R>(&self, run: impl FnOnce() -> R) -> Result<R, Error> {
        let inside = context::here(self.address()).around.is_some() || context::is_inside_host();
        let _starting = if inside {
            self.starting.try_lock().ok_or(Error::Changing)?
        } else {
            self.starting.lock()
        };
        // Log lines are kept until nothing is locked.
        Ok(context::inside_forwarder(run))
    }

    /// Gives the forwarder's name.
    fn start_locked(
        &'static self,
        settings: Settings,
        started: Millis,
    ) -> Result<&'static str, Error> {
        if self.lock().whole().is_some() {
            return Err(Error::AlreadyRunning);
        }
        self.set_log(settings.log_level, settings.log.clone());
        self.flow_lines.reset();
        self.tally.reset();
        // This comes before the forwarder starts, so that a failure here leaves what the forwarder
        // would take over untouched (decision 62).
        let bound = settings.control_path.clone().map(Self::bind_control).transpose()?;
        let limits = settings.limits();
        let host_clock = settings.clock.is_some();
        let (name, forwarder): (&'static str, Arc<dyn Forwarder>) = match settings.forwarder {
            ForwarderChoice::Memory(config) => ("memory", Arc::new(MemoryForwarder::new(config))),
            ForwarderChoice::Kernel { table } => {
                let given = settings.multicast_socket;
                ("kernel", Arc::new(KernelForwarder::with_socket(table, given)))
            }
            ForwarderChoice::Custom(forwarder) => ("custom", forwarder),
        };
        self.set_devices(Some(forwarder.clone()));
        {
            let mut state = self.lock();
            // No two runs of any manager have the same number.
            let (epoch, generation) = (RUNS.fetch_add(1, Relaxed), state.generation);
            let mut core = Core::new(limits, generation, handle::MAX_GENERATION);
            if forwarder.bars_incoming_devices() {
                core.bar_incoming_devices();
            }
            core.set_portion(settings.portion);
            *state.whole() = Some(Running {
                core,
                delivery: Delivery::new(),
                forwarder: forwarder.clone(),
                programming: Arc::new(Mutex::new(Batch::new())),
                epoch,
                closed: true,
                clock: settings.clock,
                host_calls: settings.host_calls,
                started,
                retry: Vec::new(),
                retry_all: false,
                retrying: None,
                look_all: false,
                walks: Walks::new(),
                refusal_logged: None,
                control: None,
                service: None,
            });
        }
        self.latest.store(started.0, Relaxed);
        self.host_clock.store(host_clock, Relaxed);
        // Everything is in place for upcalls.
        if let Err(reason) = forwarder.start(self.this.get_or_init(|| self)) {
            self.take_down(PATIENCE);
            return Err(Error::Start(StartError::Forwarder(reason)));
        }
        let serve = settings.serve.map(|path| ServeSettings { path, hold: settings.hold });
        let started =
            self.start_threads_and_control(host_clock, &*forwarder, bound, serve.as_ref());
        let (control, service) = match started {
            Ok(started) => started,
            Err(reason) => {
                forwarder.abandon();
                self.take_down(PATIENCE);
                return Err(reason);
            }
        };
        // The first call may concern what was found.
        self.takes_over.store(forwarder.takes_over(), Relaxed);
        if let Some(running) = self.lock().whole() {
            (running.control, running.service, running.closed) = (control, service, false);
        }
        self.pool.go();
        if let Some(path) = settings.control_path {
            self.log(Level::Info, format_args!("control socket {}", path.display()));
        }
        Ok(name)
    }

    fn bind_control(path: PathBuf) -> Result<Bound, Error> {
        Control::bind(path.clone())
            .map_err(|reason| Error::SocketNotServed { path, reason: Box::new(reason) })
    }

    fn start_threads_and_control(
        &'static self,
        host_clock: bool,
        forwarder: &dyn Forwarder,
        bound: Option<Bound>,
        serve: Option<&ServeSettings>,
    ) -> Result<Served, Error> {
        let os = |errno| Error::Start(StartError::Os { what: "starting a thread", errno });
        self.start_threads(host_clock, forwarder).map_err(os)?;
        let control = bound.map(|bound| Control::start(self, bound)).transpose();
        let control = control.map_err(Error::Start)?;
        let service = match (serve, self.serve) {
            (Some(settings), Some(serve)) => serve(self, settings).map(Some),
            _ => Ok(None),
        };
        match (service, control) {
            (Ok(service), control) => Ok((control, service)),
            (Err(error), control) => {
                control.map(Control::stop);
                Err(error)
            }
        }
    }

    /// MgmHostStop: clients get no more callbacks, and the forwarder is left empty. Inside a
    /// callback it does not wait for that callback.
    pub fn stop(&'static self) -> Result<(), Error> {
        match self.alone(|| self.stop_locked())? {
            Ok(last) => {
                self.leave_host(&last, Some((Level::Info, Line::new(format_args!("stopped")))));
                Ok(())
            }
            Err(error) => {
                self.give_kept_lines();
                Err(error)
            }
        }
    }

    fn stop_locked(&'static self) -> Result<LastLog, Error> {
        let me = context::token();
        let (forwarder, control, service, host_calls) = {
            let mut state = self.lock();
            let (running, waits) = state.with_waits();
            let running = running.ok_or(Error::NotRunning)?;
            if waits.any_inside(me, (running.epoch, &running.delivery)) {
                return Err(Error::WouldDeadlock);
            }
            running.closed = true;
            let (control, service) = (running.control.take(), running.service.take());
            (running.forwarder.clone(), control, service, running.host_calls.clone())
        };
        self.wake_all();
        if service.is_some_and(|service| !service.stop()) {
            let what = "a thread that serves clients in other processes is stuck";
            self.log(Level::Error, format_args!("{what}; stopping without it"));
        }
        if control.is_some_and(|control| !control.stop()) {
            self.log(
                Level::Error,
                format_args!("the control socket is stuck; stopping without it"),
            );
        }
        let begun = Instant::now();
        let mut stuck = false;
        self.wait_until(Event::Stop, |state| {
            let running = state.whole().as_ref();
            let others = running.map(|running| running.delivery.others_running(me));
            let (busy, hanging) = others.unwrap_or_default();
            let over = !busy || begun.elapsed() > PATIENCE;
            stuck = over && (busy || hanging);
            over
        });
        if stuck {
            self.log(Level::Error, format_args!("a callback does not return; stopping without it"));
        }
        forwarder.stop();
        // A client that keeps one of the pool's threads has been waited for.
        let patience = if stuck { Duration::ZERO } else { PATIENCE };
        let left = || patience.saturating_sub(begun.elapsed());
        if !self.take_down(left().max(LEAST_WAIT)) && !stuck {
            self.log(
                Level::Error,
                format_args!("a thread does not return from the host's code; stopping without it"),
            );
        }
        Ok(self.end_log(host_calls, left().max(LEAST_WAIT)))
    }

    /// Ends the run, whose forwarder has ended. Waits for the threads for so long; false: one is left
    /// behind.
    fn take_down(&self, patience: Duration) -> bool {
        let ended = {
            let mut state = self.lock();
            let ended = state.whole().take();
            if let Some(running) = &ended {
                state.waits.end_run((running.epoch, &running.delivery));
                // Handles of this run are stale in the next one (rule A3).
                state.generation = running.core.next_generation().min(handle::MAX_GENERATION - 1);
            }
            ended
        };
        drop(ended);
        self.wake_all();
        let all_are_out = self.pool.end(patience);
        self.host_clock.store(false, Relaxed);
        self.active.store(false, Relaxed);
        all_are_out
    }

    /// MgmHostReceive: a packet came in. When this returns, all that it caused has happened, unless a
    /// client hangs that is asked about its flow, or has a loop.
    pub fn receive(&'static self, arrival: IfKey, packet: &[u8]) -> Result<(), Error> {
        let look = |run: &Running<C>, call: &Call| {
            let by = run.delivery.bringer(run.epoch, call.job);
            (run.forwarder.clone(), run.core.is_down(arrival), by)
        };
        self.host_call(look, |call, (forwarder, is_down, by)| {
            // An interface that packets come from works.
            if is_down {
                self.set_interface_up(call, arrival, true)?;
            }
            match forwarder.receive(arrival, packet, by)? {
                Received::Done => Ok(()),
                Received::WrongInterface(packet) => {
                    let reported = self.report_wrong(call, arrival, &packet);
                    if reported == Err(Error::OutOfMemory) {
                        forwarder.uncount_wrong_interface(packet.flow);
                    }
                    reported
                }
                Received::NoEntry(packet) => self.report_new(call, &*forwarder, arrival, &packet),
                Received::Reported(packet) => {
                    // For an entry with another iif; `report_new` handles the other cases.
                    self.report_wrong(call, arrival, &packet)?;
                    self.report_new(call, &*forwarder, arrival, &packet)
                }
            }
        })
    }

    /// A packet on another interface than its entry's iif (rule E7).
    fn report_wrong(
        &'static self,
        call: &mut Call,
        arrival: IfKey,
        packet: &Packet<'_>,
    ) -> Result<(), Error> {
        Tally::count(&self.tally.wrong_interface);
        self.ask_and_perform(call, |core, now| {
            core.wrong_interface(now, packet.flow, arrival, packet.bytes)
        })
    }

    /// A packet without an entry (rule E1). If it may wait, it waits for the questions of its flow,
    /// which other threads may be putting, and until it was passed on.
    fn report_new(
        &'static self,
        call: &mut Call,
        forwarder: &dyn Forwarder,
        arrival: IfKey,
        packet: &Packet<'_>,
    ) -> Result<(), Error> {
        let flow = packet.flow;
        let (admission, before) = self.new_flow(call, flow, arrival, packet.bytes)?;
        let look = |running: &mut Running<C>| {
            let core = &running.core;
            // Memory may have run out after the flow's questions were put (rule A4).
            let lost = core.flows_given_up() != before && core.is_new(flow);
            let decided = core.plane.added();
            let behind = (!core.plane.is_done(decided)).then_some(decided);
            (core.is_pending(flow), lost, behind)
        };
        let (pending, mut lost, mut behind) = self.with_in(call.epoch, look).unwrap_or_default();
        if admission == Admission::Pending && call.waits {
            // Most often it was this thread that asked, and everything is done.
            if pending {
                self.wait_for_flow(call, flow);
                (_, lost, behind) = self.with_in(call.epoch, look).unwrap_or_default();
            }
            if let Some(decided) = behind {
                call.until = decided;
                self.settle(call);
            }
            // What others are passing on at this moment has been counted for the calls that brought it.
            let job = JobOf { epoch: call.epoch, job: call.job };
            context::performing(self.address(), job, |_| forwarder.flush());
        }
        if lost { Err(Error::OutOfMemory) } else { Ok(()) }
    }

    /// MgmHostRouteChanged (rules E5, E9).
    pub fn routes_changed(&'static self, network: Ipv4Addr, prefix_len: u8) -> Result<(), Error> {
        self.host_call(
            |run, _| run.takes_packets(),
            |call, takes_packets| {
                takes_packets?;
                self.look_under(call, network, prefix_len);
                Ok(())
            },
        )
    }

    /// MgmHostInterfaceDown.
    pub fn interface_down(&'static self, interface: IfKey) -> Result<(), Error> {
        self.host_call(
            |run, _| run.takes_packets(),
            |call, takes_packets| {
                takes_packets?;
                self.set_interface_up(call, interface, false)
            },
        )
    }
}

impl<C> Running<C> {
    /// Refuses a host's call where packets and changes come to the plane by themselves.
    fn takes_packets(&self) -> Result<(), Error> {
        if self.forwarder.takes_packets() {
            Ok(())
        } else {
            Err(Error::OtherForwarder("the memory and custom forwarders"))
        }
    }
}
