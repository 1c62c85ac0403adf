//! Changes of many entries, carried out a portion at a time with the lock free in between.
//!
//! The thread whose call began such a change carries it on until it is finished, before it calls
//! any client, unless very many alerts wait ([`CROWD`]): then it delivers some first, or waits until others
//! have. Others that need the interface help. If memory runs out twice, the rest is left to the timer.

#![forbid(unsafe_code)]

use crate::core::Carrier;
use crate::forwarder::calling;
use crate::log::Level;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::deliver::CROWD;
use crate::shell::manager::{Mgm, Running};

impl<C: Callbacks> Mgm<C> {
    /// Carries out a portion of a change.
    #[cold]
    pub(super) fn portion(&'static self, call: &mut Call, id: u64) {
        let mut state = self.lock();
        if let Some(running) = state.running_in(call.epoch) {
            running.portion(call, id);
        }
        // The next one comes at once, and others are to have their turn.
        state.give_way();
    }

    /// The same once others have delivered some of the alerts that wait. A thread that went on would put
    /// more and more of them before those of other calls.
    #[cold]
    pub(super) fn portion_when_there_is_room(&'static self, call: &mut Call, id: u64) {
        // The library's own threads may have other things to do.
        let short = |why| self.log(Level::Error, format_args!("{why}"));
        if calling(short, || self.wait_for_room(call, id)) {
            self.portion(call, id);
        }
    }

    /// Carries on what the call has begun, as far as there is memory.
    pub(super) fn carry_on_begun(&'static self, call: &mut Call) {
        let carry_on = |running: &mut Running<C>, call: &mut Call| {
            let id = running.to_carry_on(call, false)?;
            running.portion(call, id);
            Some(())
        };
        while self.with_in(call.epoch, |running| carry_on(running, call)) == Ok(Some(())) {}
    }

    /// Carries on what nobody has carried on since the last tick.
    pub(crate) fn take_unfinished_over(
        &'static self,
        call: &mut Call,
        goes_on: &impl Fn() -> bool,
    ) {
        while goes_on() && self.with_in(call.epoch, |running| running.take_over(call)) == Ok(true) {
            self.settle(call);
        }
        let _ = self.with_in(call.epoch, |running| running.core.watch_unfinished());
    }
}

impl<C: Callbacks> Running<C> {
    /// Notes what the core has begun and finished, for the jobs that wait for it.
    #[inline]
    pub(super) fn count_unfinished(&mut self, call: &mut Call) {
        if self.core.has_begun_or_finished() {
            self.count_begun_and_finished(call);
        }
    }

    #[cold]
    fn count_begun_and_finished(&mut self, call: &mut Call) {
        let carrier = self.carrier_of(call);
        while let Some(job) = self.core.take_begun(carrier) {
            self.delivery.count(job);
        }
        while let Some(job) = self.core.take_released() {
            self.delivery.done(job);
        }
    }

    fn carrier_of(&mut self, call: &mut Call) -> Carrier {
        *call.carries.get_or_insert_with(|| self.core.new_carrier())
    }

    /// What the call has to carry on now: at once, or after memory ran out for it.
    #[inline]
    pub(super) fn to_carry_on(&self, call: &Call, failed: bool) -> Option<u64> {
        call.carries.and_then(|carrier| self.core.carried_by(carrier, failed))
    }

    /// Whether so many alerts of the call wait that they come first.
    pub(super) fn is_crowded(&self, call: &Call) -> bool {
        self.delivery.open_actions(call.job) > CROWD
    }

    fn portion(&mut self, call: &mut Call, id: u64) {
        self.begin_asking(call, call.job);
        self.core.carry_on(id);
        self.post(call);
    }

    fn take_over(&mut self, call: &mut Call) -> bool {
        let carrier = self.carrier_of(call);
        let Some(id) = self.core.take_over(carrier) else { return false };
        self.begin_asking(call, call.job);
        let went_on = self.core.carry_on(id);
        self.post(call);
        went_on
    }
}
