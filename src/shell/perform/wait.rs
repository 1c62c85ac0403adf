//! How a call waits for what it caused.

#![forbid(unsafe_code)]

use crate::log::Level;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::Mgm;
use crate::sys::sync::Instant;
use crate::types::{PATIENCE, SourceGroup};

impl<C: Callbacks> Mgm<C> {
    /// Waits until everything that a job caused has been performed (rule A7), except for what goes
    /// to clients that hang. `end`: the call that began the job returns then.
    pub(crate) fn wait_for_job(&'static self, call: &mut Call, end: bool) {
        let (mut last, mut since) = (u32::MAX, Instant::now());
        loop {
            let mut left_to_us = false;
            self.wait_until(Event::Job(call.job), |state, late| {
                let Some(running) = state.running_in(call.epoch) else { return true };
                let (delivery, outbox) = (&mut running.delivery, &running.core.outbox);
                delivery.await_job(call.job);
                let open = delivery.open_actions(call.job);
                if open != last {
                    (last, since) = (open, Instant::now());
                }
                // Another thread may have left a lane in which our action is the next, or comes
                // later while no thread takes the first one. Once none of our actions is open the
                // call has ended, and its job's number may be another's.
                let seeker = (call.job, call.here.token);
                if late && open > 0 {
                    delivery.claim_behind(outbox, seeker);
                }
                left_to_us = open > 0 && delivery.has_ready(outbox, Some(seeker));
                // No client's lane has it. It is with a thread that does not return from the host's
                // code.
                let lost = open > 0
                    && !left_to_us
                    && since.elapsed() > PATIENCE
                    && !delivery.holds(call.job, outbox);
                if end && (open == 0 || lost) {
                    delivery.end_job(call.job);
                }
                open == 0 || lost || left_to_us
            });
            if !left_to_us {
                return;
            }
            self.settle(call);
            if call.ended {
                return;
            }
        }
    }

    /// Waits until no client is asked about a flow any more, except for clients that hang. Other
    /// threads may be putting the questions.
    pub(crate) fn wait_for_flow(&'static self, call: &mut Call, flow: SourceGroup) {
        self.wait_for_job(call, false);
        loop {
            let mut left_to_us = false;
            self.wait_until(Event::Flow(flow), |state, late| {
                let Some(running) = state.running_in(call.epoch) else { return true };
                let (delivery, core) = (&mut running.delivery, &running.core);
                let mut asked = false;
                core.for_each_asked(flow, |slot| {
                    asked |= delivery.is_waited_for(slot);
                    if late {
                        // Whoever is responsible for it does not come.
                        delivery.claim(slot, call.here.token);
                    }
                });
                let seeker = (call.job, call.here.token);
                left_to_us = late && asked && delivery.has_ready(&core.outbox, Some(seeker));
                !asked || left_to_us
            });
            if !left_to_us {
                return;
            }
            self.settle(call);
        }
    }

    /// Sees to it that everything that has been decided so far is in the plane, whoever decided it.
    pub(crate) fn program_all(&'static self, call: &mut Call) {
        let _ = self.with_in(call.epoch, |running| call.until = running.core.plane.added());
        self.settle(call);
    }

    /// Finds clients that hang, for which no call waits until they have returned (rule A7).
    pub(crate) fn watch(&self) {
        loop {
            let found = self.with(|running| {
                let slot = running.delivery.find_hanging(&running.core.outbox)?;
                Some(running.core.client_info(slot))
            });
            let Some(Some(info)) = found else { return };
            self.wake_all();
            // None: it is being deregistered.
            let Some(name) = info.map(|info| info.name()) else { continue };
            self.log(
                Level::Warn,
                format_args!(
                    "{name} has been inside a callback for 5 s; until it comes out nothing waits \
                     for it"
                ),
            );
        }
    }
}
