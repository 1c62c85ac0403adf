//! What happens without a client's call: time passes, and the forwarding plane reports.

#![forbid(unsafe_code)]

use crate::core::state::plane::Stale;
use crate::core::{Admission, Core, Looked, PacketHead};
use crate::error::Error;
use crate::forwarder::{Bringer, Turn, Upcalls};
use crate::log::Level;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{self, JobOf};
use crate::shell::manager::{Mgm, Running};
use crate::shell::tally::Tally;
use crate::types::{IfKey, Millis, SourceGroup};
use std::fmt;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// New flows wait no longer for clients that are asked about others: as long as a client may keep a thread
/// of the pool (decision 53).
const LONGEST_PACE: Duration = Duration::from_millis(20);

impl<C: Callbacks> Mgm<C> {
    /// Runs something that no call waits for, such as an upcall. A panic closes the library and
    /// goes no further (rule A5).
    pub(crate) fn unattended(
        &'static self,
        what: &str,
        run: impl FnOnce(&mut Call) -> Result<(), Error>,
    ) {
        if self.is_broken() {
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut call = self.enter()?;
            // No call waits for it, so it can also do what other threads left.
            (call.waits, call.sees_to_all) = (false, true);
            #[cfg(feature = "fault-injection")]
            crate::shell::fault::point(what);
            let result = run(&mut call);
            call.last = true;
            self.settle(&mut call);
            self.leave(&mut call);
            result
        }));
        match result {
            Ok(Ok(()) | Err(Error::NotRunning)) => {}
            Ok(Err(error)) => self.log(Level::Error, format_args!("{what}: {error}")),
            Err(panic) => {
                // The panic's payload may panic again when it is dropped.
                std::mem::forget(panic);
                self.mark_broken();
            }
        }
    }

    /// Handles the lifetimes that have ended, and tries again what could not be programmed; a thread
    /// of the pool for as long as its turn goes on. True: there is more to do.
    pub(crate) fn tick(&'static self, turn: Option<&Turn<'_>>) -> bool {
        self.watch();
        let goes_on = || turn.is_none_or(|turn| turn.goes_on() && !turn.is_long());
        self.unattended("lifetimes", |call| {
            let now = self.now();
            // With the host's clock it is the host's call that does it.
            let waits = turn.is_none() && call.is_outermost();
            self.take_unfinished_over(call, &goes_on);
            self.retry(call, now, turn.is_some(), &goes_on);
            if turn.is_some() {
                self.take_walks_over(call);
            }
            while goes_on()
                && let Ok(Some((flow, forwarder))) = self.with_in(call.epoch, |running| {
                    running.core.ended(now).map(|flow| (flow, running.forwarder.clone()))
                })
            {
                let counted = forwarder.counters(flow).unwrap_or_default();
                // A host's clock may have gone back meanwhile.
                let expired = self
                    .ask_and_perform(call, |core, time| core.expire(time.max(now), flow, counted));
                if expired.is_err() {
                    let _ = self.with_in(call.epoch, |running| running.core.postpone(now, flow));
                }
                self.settle(call);
                if waits {
                    self.wait_for_job(call, false);
                }
            }
            Ok(())
        });
        turn.is_some_and(Turn::is_long)
    }

    fn retry(&'static self, call: &mut Call, now: Millis, pool: bool, goes_on: &impl Fn() -> bool) {
        if self.with_in(call.epoch, |running| std::mem::take(&mut running.look_all)) == Ok(true) {
            let (network, len) = (Ipv4Addr::UNSPECIFIED, 0);
            if !pool {
                self.look_under(call, network, len);
            } else if self.look_later(call, network, len).is_err() {
                return;
            }
        }
        let _ = self.with_in(call.epoch, |running| {
            let count = running.retry.len();
            if running.core.plane.reserve(count).is_ok() {
                for flow in running.retry.drain(..) {
                    running.core.plane.push(Stale::entry(flow));
                }
            }
            if std::mem::take(&mut running.retry_all) {
                running.retrying = Some(SourceGroup::ALL);
            }
            running.core.history.rest(now)
        });
        while goes_on()
            && let Ok(Some(flow)) = self.with_in(call.epoch, Running::next_to_retry)
        {
            self.reprogram(call, flow);
            self.settle(call);
        }
    }

    fn reprogram(&'static self, call: &Call, flow: SourceGroup) {
        let _ = self.with_in(call.epoch, |running| {
            if running.core.plane.reserve(1).is_ok() {
                running.core.plane.push(Stale::entry(flow));
            } else {
                running.retry_all = true;
            }
        });
    }

    /// Handles a packet of a flow that has no entry, with the route toward its source. The second: how
    /// often memory had run out for a flow before.
    pub(crate) fn new_flow(
        &'static self,
        call: &mut Call,
        flow: SourceGroup,
        arrival: IfKey,
        packet: &[u8],
    ) -> Result<(Admission, u64), Error> {
        if self.logs(Level::Trace) {
            self.log(Level::Trace, format_args!("new flow {flow} on {arrival}"));
        }
        Tally::count(&self.tally.new_flows);
        let admitted = self.admit(call, flow, arrival, |core, now, looked| {
            core.packet(now, flow, arrival, packet, looked)
        });
        match admitted {
            Ok((Admission::Refused, _)) => {
                self.refuse(call, flow);
                self.tell_refused(call);
            }
            Ok(_) => {}
            Err(_) => self.refuse(call, flow),
        }
        admitted
    }

    /// Asks the core about a flow that has no entry, with the route toward its source. The second: how
    /// often memory had run out for a flow before.
    pub(crate) fn admit(
        &'static self,
        call: &mut Call,
        flow: SourceGroup,
        arrival: IfKey,
        mut ask: impl FnMut(&mut Core, Millis, Option<Looked>) -> Result<Admission, Error>,
    ) -> Result<(Admission, u64), Error> {
        loop {
            let (looked, given_up) = self.look_for_new(call, flow, arrival)?;
            let asked = self.ask_and_perform(call, |core, now| ask(core, now, looked))?;
            // Otherwise its entry was deleted in between.
            if asked != Admission::RouteNeeded {
                return Ok((asked, given_up));
            }
        }
    }

    /// Looks up the route toward the source of a flow that is new. The second: how often memory had
    /// run out for a flow until then.
    fn look_for_new(
        &'static self,
        call: &Call,
        flow: SourceGroup,
        arrival: IfKey,
    ) -> Result<(Option<Looked>, u64), Error> {
        let (asked, given_up) = self.with_in(call.epoch, |running| {
            let core = &running.core;
            let asked = core.is_new(flow).then(|| (running.forwarder.clone(), core.routes_as_of()));
            (asked, core.flows_given_up())
        })?;
        let looked = asked.map(|(forwarder, as_of)| {
            let route = forwarder.route(flow.source(), Some(arrival));
            Looked { route, as_of }
        });
        Ok((looked, given_up))
    }

    fn refuse(&'static self, call: &Call, flow: SourceGroup) {
        if let Ok(forwarder) = self.with_in(call.epoch, |running| running.forwarder.clone()) {
            forwarder.refuse(flow);
        }
    }

    /// Logs refused flows, at most once in 10 s.
    fn tell_refused(&'static self, call: &Call) {
        let now = self.now();
        let refused = self.with_in(call.epoch, |running| {
            let due = running.refusal_logged.is_none_or(|last| now.since(last) >= 10_000);
            if due {
                running.refusal_logged = Some(now);
            }
            due.then(|| running.core.totals())
        });
        if let Ok(Some(totals)) = refused {
            self.log(
                Level::Warn,
                format_args!(
                    "new flows are refused: {} so far, {} of {} entries in use",
                    totals.refused, totals.mfes, totals.max_mfes
                ),
            );
        }
    }

    /// Tells the core that an interface works or does not.
    pub(crate) fn set_interface_up(
        &'static self,
        call: &mut Call,
        interface: IfKey,
        up: bool,
    ) -> Result<(), Error> {
        self.ask_and_perform(call, |core, now| core.interface_up(now, interface, up))
    }
}

impl<C: Callbacks> Mgm<C> {
    /// Waits until clients have answered most of what they are asked (decision 94).
    fn keep_pace(&self) {
        let must_wait =
            || self.with(|running| running.delivery.pace.must_wait(running.core.outbox.queued()));
        if must_wait() != Some(true) {
            return;
        }
        let mut listener = self.bells.listen(Event::Room);
        // There may be room since the first look.
        if must_wait() == Some(true) && !listener.wait(LONGEST_PACE) {
            self.with(|running| running.delivery.pace.give_up());
        }
    }
}

impl<C: Callbacks> Upcalls for &'static Mgm<C> {
    fn no_cache(&self, flow: SourceGroup, arrival: IfKey, packet: &[u8]) {
        self.unattended("new flow", |call| self.new_flow(call, flow, arrival, packet).map(drop));
    }

    fn keep_pace(&self) {
        Mgm::keep_pace(self);
    }

    fn found(&self, flow: SourceGroup, arrival: IfKey) -> bool {
        let mut taken = false;
        self.unattended("flow that was found", |call| {
            taken = self.found_flow(call, flow, arrival)?;
            Ok(())
        });
        taken
    }

    fn taken_over(&self, flow: SourceGroup) {
        self.unattended("flow that was taken over", |call| {
            self.with_in(call.epoch, |running| {
                running.retry_all |= running.core.program_again(flow).is_err();
            })
        });
    }

    fn on_behalf(&self, of: Bringer, pass: &mut dyn FnMut()) {
        let Bringer { epoch, job, .. } = of;
        let its = JobOf { epoch, job };
        // Most often this thread brought it.
        if context::here(self.address()).around == Some(its) {
            return pass();
        }
        if self.with_in(epoch, |running| running.delivery.count_for(of)) != Ok(true) {
            return pass();
        }
        context::performing(self.address(), its, |_| pass());
        let _ = self.with_in(epoch, |running| running.delivery.done(job));
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, packet: &[u8]) {
        Mgm::log(self, Level::Trace, format_args!("packet of {flow} on the wrong {arrival}"));
        Tally::count(&self.tally.wrong_interface);
        self.unattended("wrong interface", |call| {
            self.ask_and_perform(call, |core, now| core.wrong_interface(now, flow, arrival, packet))
        });
    }

    fn source_moved(&self, flow: SourceGroup, arrival: IfKey) {
        Mgm::log(self, Level::Trace, format_args!("own flow {flow} leaves by {arrival} now"));
        self.unattended("own flow", |call| {
            if self.with_in(call.epoch, |running| running.core.is_iif_chosen(flow))? {
                // A client chose the iif, and decides.
                let head = PacketHead::of_flow(flow);
                return self.ask_and_perform(call, |core, now| {
                    core.wrong_interface(now, flow, arrival, head.as_bytes())
                });
            }
            self.look_again_from(call, call.job, flow, Some(arrival), false);
            Ok(())
        });
    }

    fn routes_changed(&self, network: Ipv4Addr, prefix_len: u8) {
        self.unattended("route change", |call| self.look_later(call, network, prefix_len));
    }

    fn interface_up(&self, interface: IfKey, up: bool) {
        self.unattended("interface change", |call| self.set_interface_up(call, interface, up));
    }

    fn entry_lost(&self, flow: SourceGroup) {
        self.unattended("lost entry", |call| {
            self.with_in(call.epoch, |running| {
                running.retry_all |= running.core.entry_lost(flow).is_err();
            })
        });
    }

    fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        Mgm::log(self, level, message);
    }
}

impl<C> Running<C> {
    /// The next of the entries that are all programmed again.
    fn next_to_retry(&mut self) -> Option<SourceGroup> {
        let flow = self.retrying.and_then(|from| self.core.first_flow(from));
        self.retrying = flow.and_then(SourceGroup::next);
        flow
    }
}

/// For the host's own calls, which wait for what they caused.
impl<C: Callbacks> Mgm<C> {
    /// `look` sees the run under the lock that the call begins with; `run` gets what `look` gives.
    pub(crate) fn host_call<T, R>(
        &'static self,
        look: impl FnOnce(&Running<C>, &Call) -> T,
        run: impl FnOnce(&mut Call, T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.host_clock.load(std::sync::atomic::Ordering::Relaxed) {
            self.tick(None);
        }
        let (mut call, looked) = self.enter_and(look)?;
        let result = run(&mut call, looked);
        call.last = true;
        self.settle(&mut call);
        self.leave(&mut call);
        result
    }
}
