//! How a call waits for what it caused.

#![forbid(unsafe_code)]

use crate::log::Level;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::deliver::CROWD;
use crate::shell::manager::{Mgm, Running};
use crate::sys::sync::Instant;
use crate::types::{PATIENCE, SourceGroup};

impl<C: Callbacks> Mgm<C> {
    /// Waits until everything that a job caused has been performed (rule A7), except for what goes
    /// to clients that hang. `end`: the call that began the job returns then.
    pub(crate) fn wait_for_job(&'static self, call: &mut Call, end: bool) {
        while self.wait_unless_left(call, end, |_, _, open| open == 0) {
            // What stands before its own actions is waited for in any case.
            call.favours = 0;
            self.settle(call);
            if call.ended {
                return;
            }
        }
    }

    /// Waits until others have delivered so much of what a job caused that a change that it carries out
    /// may go on. False: there is something for this thread to deliver, or to do otherwise.
    pub(super) fn wait_for_room(&'static self, call: &mut Call, change: u64) -> bool {
        let carries = |running: &Running<C>, call: &Call| {
            let its = |failed| running.to_carry_on(call, failed) == Some(change);
            its(false) || its(true)
        };
        let left_to_us = self.wait_unless_left(call, false, |running, call, open| {
            open <= CROWD || !carries(running, call)
        });
        call.favours = 0;
        !left_to_us && self.with_in(call.epoch, |running| carries(running, call)) == Ok(true)
    }

    /// Waits until a condition holds, which gets the number of the job's actions that are on their way.
    /// True: before that, a lane is left to this thread in which something of the job stands.
    fn wait_unless_left(
        &'static self,
        call: &Call,
        end: bool,
        is_over: impl Fn(&Running<C>, &Call, u32) -> bool,
    ) -> bool {
        let (mut last, mut since) = (u32::MAX, Instant::now());
        let mut left_to_us = false;
        self.wait_until(Event::Job(call.job), |state| {
            let Some(running) = state.running_in(call.epoch) else { return true };
            let open = running.delivery.open_actions(call.job);
            if open != last {
                (last, since) = (open, Instant::now());
            }
            let is_over = is_over(running, call, open);
            let (delivery, outbox) = (&mut running.delivery, &running.core.outbox);
            // Another thread may have left a lane in which our action is the next, or comes
            // later. Once none of our actions is open the call has ended, and its job's number may
            // be another's.
            let seeker = (call.job, call.here.token);
            left_to_us = !is_over && delivery.claim_behind(outbox, seeker);
            // No client's lane has it. It is with a thread that does not return from the host's
            // code.
            let lost = !is_over
                && !left_to_us
                && since.elapsed() > PATIENCE
                && !delivery.holds(call.job, outbox);
            let over = is_over || lost;
            if end && over {
                delivery.end_job(call.job);
            } else {
                delivery.await_job(call.job, !over && !left_to_us);
            }
            over || left_to_us
        });
        left_to_us
    }

    /// Waits until no client is asked about a flow any more, except for clients that hang. Other
    /// threads may be putting the questions.
    pub(crate) fn wait_for_flow(&'static self, call: &mut Call, flow: SourceGroup) {
        self.wait_for_job(call, false);
        loop {
            let mut left_to_us = false;
            let seeker = (call.job, call.here.token);
            self.wait_until(Event::Flow(flow), |state| {
                let Some(running) = state.running_in(call.epoch) else { return true };
                let (delivery, core) = (&mut running.delivery, &running.core);
                let mut asked = false;
                core.for_each_asked(flow, |slot| {
                    if delivery.is_waited_for(slot) {
                        asked = true;
                        // Whoever is responsible for it may be busy elsewhere.
                        delivery.claim(slot, call.here.token);
                    }
                });
                left_to_us = asked && delivery.has_ready(&core.outbox, Some(seeker));
                let over = !asked || left_to_us;
                delivery.await_flow(flow, call.here.token, !over);
                over
            });
            if !left_to_us {
                return;
            }
            call.favours = 0;
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
