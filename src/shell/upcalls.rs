//! What happens without a client's call: time passes, and the forwarding plane reports.

#![forbid(unsafe_code)]

use crate::core::state::plane::Stale;
use crate::core::{Admission, Concerned, Looked};
use crate::error::Error;
use crate::forwarder::Upcalls;
use crate::log::Level;
use crate::shell::callbacks::Callbacks;
use crate::shell::deliver::Token;
use crate::shell::manager::{Mgm, Running};
use crate::shell::perform::Call;
use crate::types::{IfKey, SourceGroup};
use std::fmt;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl<C: Callbacks> Mgm<C> {
    /// Runs something that no call waits for, such as an upcall. A panic closes the library and
    /// goes no further (rule A5).
    fn unattended(&'static self, what: &str, run: impl FnOnce(&mut Call) -> Result<(), Error>) {
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
            self.settle(&mut call);
            self.leave(call);
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

    /// Handles the lifetimes that have ended, and tries again what could not be programmed. A
    /// timer's thread goes on only while it is its turn.
    pub(crate) fn tick(&'static self, timer: Option<Token>) {
        self.watch();
        let goes_on = || timer.is_none_or(|me| self.timers.is_turn_of(me));
        self.unattended("lifetimes", |call| {
            let now = self.now();
            self.retry(call, &goes_on);
            if timer.is_some() {
                self.take_walks_over(call, &goes_on);
            }
            while goes_on()
                && let Ok(Some((flow, forwarder))) = self.with_in(call.epoch, |running| {
                    running.core.ended(now).map(|flow| (flow, running.forwarder.clone()))
                })
            {
                let packets = forwarder.counters(flow).map_or(0, |counters| counters.packets);
                // A host's clock may have gone back meanwhile.
                let expired =
                    self.ask_core(call, |core, time| core.expire(time.max(now), flow, packets));
                if expired.is_err() {
                    let _ = self.with_in(call.epoch, |running| running.core.postpone(now, flow));
                }
                self.settle(call);
            }
            Ok(())
        });
    }

    fn retry(&'static self, call: &mut Call, goes_on: &impl Fn() -> bool) {
        if self.with_in(call.epoch, |running| std::mem::take(&mut running.look_all)) == Ok(true) {
            self.look_under(call, Ipv4Addr::UNSPECIFIED, 0);
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

    /// Handles a packet of a flow that has no entry, with the route toward its source.
    pub(crate) fn new_flow(
        &'static self,
        call: &mut Call,
        flow: SourceGroup,
        arrival: IfKey,
        header: &[u8],
    ) -> Result<(), Error> {
        self.log(Level::Trace, format_args!("new flow {flow} on {arrival}"));
        let admission = loop {
            let looked = self.look_for_new(call, flow, arrival)?;
            let asked =
                self.ask_core(call, |core, now| core.packet(now, flow, arrival, header, looked));
            // Its entry was deleted in between.
            if asked != Ok(Admission::RouteNeeded) {
                break asked;
            }
        };
        match admission {
            Ok(Admission::Refused) => {
                self.refuse(call, flow);
                self.tell_refused(call);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.refuse(call, flow);
                Err(error)
            }
        }
    }

    /// Looks up the route toward the source of a flow that is new.
    fn look_for_new(
        &'static self,
        call: &Call,
        flow: SourceGroup,
        arrival: IfKey,
    ) -> Result<Option<Looked>, Error> {
        let asked = self.with_in(call.epoch, |running| {
            let core = &running.core;
            core.is_new(flow).then(|| (running.forwarder.clone(), core.routes_as_of()))
        });
        let looked = asked?.map(|(forwarder, as_of)| {
            let route = forwarder.route(flow.source(), Some(arrival));
            Looked { route, as_of }
        });
        Ok(looked)
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

    /// Looks at the flows of sources under a prefix, whose routes may have changed (rules E5, E9).
    pub(crate) fn look_under(&'static self, call: &mut Call, network: Ipv4Addr, prefix_len: u8) {
        let walk = Walk { id: 0, network, prefix_len, after: None, moved: true };
        // This is noted before the walk begins, since look-ups that are under way now may end after
        // it.
        let _ =
            self.with_in(call.epoch, |running| running.core.routes_changed(network, prefix_len));
        self.walk(call, walk);
    }

    fn walk(&'static self, call: &mut Call, mut walk: Walk) {
        walk.id = self.with_in(call.epoch, |running| running.walks.begin(walk)).unwrap_or(0);
        while let Ok(Some((next, own))) = self.with_in(call.epoch, |running| running.step(&walk)) {
            if !own && !call.waits {
                return;
            }
            match next {
                Concerned::Source(source) => self.look_at_source(call, call.job, source),
                Concerned::Flow(flow) => self.look_again(call, call.job, flow, false),
            }
            self.settle(call);
            walk.after = Some(next);
        }
    }

    /// Goes on with walks that have stood still since the last tick, because a client has not
    /// returned to the thread that began them.
    fn take_walks_over(&'static self, call: &mut Call, goes_on: &impl Fn() -> bool) {
        while goes_on()
            && let Ok(Some(walk)) = self.with_in(call.epoch, |running| running.walks.take_idle())
        {
            self.walk(call, walk);
        }
        let _ = self.with_in(call.epoch, |running| {
            running.walks.list.iter_mut().for_each(|walk| walk.moved = false);
        });
    }

    /// Tells the core that an interface works or does not.
    pub(crate) fn set_interface_up(
        &'static self,
        call: &mut Call,
        interface: IfKey,
        up: bool,
    ) -> Result<(), Error> {
        self.ask_core(call, |core, now| core.interface_up(now, interface, up))
    }
}

impl<C: Callbacks> Upcalls for &'static Mgm<C> {
    fn no_cache(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        self.unattended("new flow", |call| self.new_flow(call, flow, arrival, header));
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        Mgm::log(self, Level::Trace, format_args!("packet of {flow} on the wrong {arrival}"));
        self.unattended("wrong interface", |call| {
            self.ask_core(call, |core, now| core.wrong_interface(now, flow, arrival, header))
        });
    }

    fn routes_changed(&self, network: Ipv4Addr, prefix_len: u8) {
        self.unattended("route change", |call| {
            self.look_under(call, network, prefix_len);
            Ok(())
        });
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

/// A look at the routes toward all sources under a prefix, one after the other: those that
/// memberships name, then those of flows.
#[derive(Clone, Copy)]
struct Walk {
    /// Its name; 0: there was no memory to note the walk.
    id: u64,
    network: Ipv4Addr,
    prefix_len: u8,
    /// What it has come to.
    after: Option<Concerned>,
    /// It has moved on since the last tick.
    moved: bool,
}

/// The walks that are under way.
pub(crate) struct Walks {
    list: Vec<Walk>,
    last_id: u64,
}

impl Walks {
    pub(crate) const fn new() -> Self {
        Self { list: Vec::new(), last_id: 0 }
    }

    /// Notes a walk that begins or goes on. Gives its name.
    fn begin(&mut self, walk: Walk) -> u64 {
        if self.list.try_reserve(1).is_err() {
            return 0;
        }
        self.last_id += 1;
        self.list.push(Walk { id: self.last_id, moved: true, ..walk });
        self.last_id
    }

    fn take_idle(&mut self) -> Option<Walk> {
        let at = self.list.iter().position(|walk| !walk.moved)?;
        Some(self.list.swap_remove(at))
    }
}

impl<C> Running<C> {
    /// What comes next in a walk, and whether nobody else has taken the walk over.
    fn step(&mut self, walk: &Walk) -> Option<(Concerned, bool)> {
        let next = self.core.next_concerned(walk.network, walk.prefix_len, walk.after);
        let list = &mut self.walks.list;
        let at = list.iter().position(|noted| noted.id == walk.id);
        match (next, at) {
            (Some(_), Some(at)) => (list[at].after, list[at].moved) = (next, true),
            (None, Some(at)) => drop(list.swap_remove(at)),
            _ => {}
        }
        Some((next?, at.is_some() || walk.id == 0))
    }

    /// The next entry, where all entries are programmed again.
    fn next_to_retry(&mut self) -> Option<SourceGroup> {
        let flow = self.retrying.and_then(|from| self.core.first_flow(from));
        self.retrying = flow.and_then(SourceGroup::next);
        flow
    }
}

/// For the host's own calls, which wait for what they caused.
impl<C: Callbacks> Mgm<C> {
    pub(crate) fn host_call<R>(
        &'static self,
        run: impl FnOnce(&mut Call) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.host_clock.load(std::sync::atomic::Ordering::Relaxed) {
            self.tick(None);
        }
        let mut call = self.enter()?;
        let result = run(&mut call);
        self.settle(&mut call);
        self.leave(call);
        result
    }
}
