//! Looks routes up for the core, with nothing locked.

#![forbid(unsafe_code)]

use crate::core::{Due, Looked, Relook, RoutesAsOf};
use crate::forwarder::Forwarder;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::{Mgm, Running};
use crate::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::Arc;

impl<C: Callbacks> Mgm<C> {
    // Out of line, as few calls have a route to look up.
    #[cold]
    pub(super) fn look(&'static self, call: &mut Call, Due { relook, job, .. }: Due) {
        match relook {
            Relook::Flow { flow, rebuild } => self.look_again(call, job, flow, rebuild),
            Relook::Interface { index } => {
                let mut at = None;
                while let Ok(Some((flow, place))) =
                    self.with_in(call.epoch, |running| running.core.next_waiting(index, at))
                {
                    self.look_again(call, job, flow, false);
                    at = Some(place);
                }
            }
            Relook::Source { source } => self.look_at_source(call, job, source),
        }
        // Threads that wait for it are woken once this thread knows what it does next.
        let _ = self.with_in(call.epoch, |running| running.delivery.done(job));
    }

    /// Looks up the route toward a flow's source and gives it to the core. What this causes belongs
    /// to a job.
    pub(crate) fn look_again(
        &'static self,
        call: &mut Call,
        job: u32,
        flow: SourceGroup,
        rebuild: bool,
    ) {
        self.look_again_from(call, job, flow, None, rebuild);
    }

    /// The same. `arrival` is where a packet came in; without one the entry's iif stands for it.
    pub(crate) fn look_again_from(
        &'static self,
        call: &mut Call,
        job: u32,
        flow: SourceGroup,
        arrival: Option<IfKey>,
        rebuild: bool,
    ) {
        let asked = self.with_in(call.epoch, |running| {
            let core = &running.core;
            (running.forwarder.clone(), core.iif_of(flow), core.routes_as_of())
        });
        let Ok((forwarder, iif, as_of)) = asked else { return };
        let looked = Looked { route: forwarder.route(flow.source(), arrival.or(iif)), as_of };
        let now = self.now();
        let _ = self.with_in(call.epoch, |running| {
            running.begin_asking(call, job);
            // Where memory runs out, the entry stays as it is and is looked at again.
            match running.core.rerouted(now, flow, looked, rebuild) {
                Ok(()) => {}
                Err(_) if rebuild => running.core.rebuild_later(now, flow),
                Err(_) => running.look_all = true,
            }
            running.post(call);
        });
    }

    /// Looks up the route toward a source that memberships name, and gives it to the core. What
    /// this causes belongs to a job.
    pub(crate) fn look_at_source(&'static self, call: &mut Call, job: u32, source: Ipv4Addr) {
        let asked = self.with_in(call.epoch, |running| running.before_look_toward(source));
        let Ok((forwarder, iif, as_of)) = asked else { return };
        let looked = Looked { route: forwarder.route(source, iif), as_of };
        let _ = self.with_in(call.epoch, |running| {
            running.begin_asking(call, job);
            // For want of memory it is looked at again.
            running.look_all |= running.core.source_rerouted(source, looked).is_err();
            running.post(call);
        });
    }
}

impl<C: Callbacks> Running<C> {
    /// What is needed to look up the route toward a source without a packet of it: the forwarder,
    /// where its packets come in as far as that is known, and the present moment.
    pub(crate) fn before_look_toward(
        &self,
        source: Ipv4Addr,
    ) -> (Arc<dyn Forwarder>, Option<IfKey>, RoutesAsOf) {
        (self.forwarder.clone(), self.core.iif_of_source(source), self.core.routes_as_of())
    }
}
