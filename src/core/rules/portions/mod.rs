//! Changes of many entries, carried out a portion at a time.
//!
//! Such a change takes effect at one moment. From then on everybody is to see it: so whoever is
//! about to change an entry, a pending flow or a membership first carries out there what unfinished
//! changes still have to do ([`Core::catch_up`] and its like), in the order in which they took
//! effect. What comes of it is the same as if each had been done at its moment.
//!
//! On an interface that changes hands, comes up or goes down, others wait until that is finished:
//! they are told to ask again, after a portion of it ([`Error::Again`]).

mod catch_up;
mod stages;

use crate::core::containers::slab::NONE;
use crate::core::state::Core;
use crate::core::state::unfinished::{Carrier, Stage, Unfinished, What};
use crate::error::Error;
use crate::types::Millis;

impl Core {
    /// How much is done at a time; for tests.
    pub const fn set_portion(&mut self, portion: usize) {
        self.portion = portion;
    }

    /// Adds a change that has taken effect. Room must have been reserved.
    pub(in crate::core) fn begin_unfinished(
        &mut self,
        now: Millis,
        interface: u32,
        cause: Option<u32>,
        what: What,
        stage: Stage,
    ) -> u64 {
        let job = self.outbox.job();
        self.interfaces[interface].unfinished += 1;
        let (id, carrier, failed, moved) = (0, None, false, true);
        self.unfinished.push(Unfinished {
            id,
            interface,
            cause,
            now,
            job,
            carrier,
            failed,
            moved,
            what,
            stage,
        })
    }

    /// Whether [`Self::take_begun`] or [`Self::take_released`] may give something.
    #[inline]
    pub const fn has_begun_or_finished(&self) -> bool {
        !self.unfinished.is_empty() || !self.unfinished.released.is_empty()
    }

    /// The job of a change that began, for the shell, which counts it there. The caller carries it out.
    pub fn take_begun(&mut self, carrier: Carrier) -> Option<u32> {
        let begun = self.unfinished.all_mut().iter_mut().find(|one| one.carrier.is_none())?;
        begun.carrier = Some(carrier);
        Some(begun.job)
    }

    /// The name of one more call that carries changes out.
    pub const fn new_carrier(&mut self) -> Carrier {
        self.unfinished.new_carrier()
    }

    /// The last change that a call has to carry out, among those for which memory ran out or among
    /// the others.
    pub fn carried_by(&self, carrier: Carrier, failed: bool) -> Option<u64> {
        let mut last = self.unfinished.all().iter().rev();
        last.find(|one| (one.carrier, one.failed) == (Some(carrier), failed)).map(|one| one.id)
    }

    /// The job of a change that was counted and is finished now, or left for later.
    pub fn take_released(&mut self) -> Option<u32> {
        self.unfinished.released.pop()
    }

    /// Takes over an unfinished change that nobody has carried on since [`Self::watch_unfinished`].
    pub fn take_over(&mut self, carrier: Carrier) -> Option<u64> {
        let one = self.unfinished.all_mut().iter_mut().find(|one| !one.moved)?;
        (one.carrier, one.failed) = (Some(carrier), true);
        Some(one.id)
    }

    /// Begins to watch whether unfinished changes are carried on.
    pub fn watch_unfinished(&mut self) {
        self.unfinished.all_mut().iter_mut().for_each(|one| one.moved = false);
    }

    /// Carries out a portion for its carrier. Where memory runs out twice, no job waits for the change
    /// any more, and the timer carries it on. True: it went on.
    pub fn carry_on(&mut self, id: u64) -> bool {
        let done = self.portion(id).is_ok();
        let Some(at) = self.unfinished.place_of(id) else { return done };
        let one = &mut self.unfinished.all_mut()[at];
        if !done && one.failed {
            one.carrier = Some(Carrier::NOBODY);
            let job = std::mem::replace(&mut one.job, NONE);
            self.unfinished.release(job);
        } else {
            one.failed = !done;
        }
        done
    }

    /// Where such a change is unfinished on an interface, carries out a portion of it: the caller is
    /// to ask again.
    pub(in crate::core) fn finish_first(
        &mut self,
        interface: u32,
        fits: impl Fn(&What) -> bool,
    ) -> Result<(), Error> {
        if self.unfinished.is_empty() {
            return Ok(());
        }
        match self.unfinished.on(interface, fits) {
            None => Ok(()),
            Some(id) => {
                self.portion(id)?;
                Err(Error::Again)
            }
        }
    }

    /// The same for what a client caused.
    pub(in crate::core) fn finish_what_caused(&mut self, slot: u32) -> Result<(), Error> {
        match self.unfinished.all().iter().find(|one| one.cause == Some(slot)).map(|one| one.id) {
            None => Ok(()),
            Some(id) => {
                self.portion(id)?;
                Err(Error::Again)
            }
        }
    }

    /// Carries out a portion of a change, as far as there is memory. Whoever does so, what comes of it
    /// belongs to the job of the change, up to the alert that follows its end.
    pub fn portion(&mut self, id: u64) -> Result<(), Error> {
        let mut budget = self.portion;
        while budget > 0
            && let Some(at) = self.unfinished.place_of(id)
        {
            let outer = self.outbox.job();
            self.outbox.set_job(self.unfinished.all()[at].job);
            let went_on = self.take_turn(at, &mut budget);
            self.outbox.set_job(outer);
            went_on?;
        }
        Ok(())
    }

    /// Carries the change at a place on, and ends it where nothing of it is left.
    fn take_turn(&mut self, at: usize, budget: &mut usize) -> Result<(), Error> {
        let one = self.unfinished.all()[at];
        let stage = self.advance(&one, budget)?;
        // Nothing that is done here adds or removes others.
        let this = &mut self.unfinished.all_mut()[at];
        (this.stage, this.moved) = (stage, true);
        if stage == Stage::End { self.finish(at) } else { Ok(()) }
    }

    /// Carries a change on in its stage, and gives the stage that it has come to. Every turn takes
    /// something from the budget.
    fn advance(&mut self, one: &Unfinished, budget: &mut usize) -> Result<Stage, Error> {
        let before = *budget;
        let stage = match one.stage {
            Stage::Incoming(from) => self.advance_incoming(one, from, budget),
            Stage::Waiting(from) => self.advance_waiting(one, from, budget, false),
            Stage::Arriving(from) => self.advance_waiting(one, from, budget, true),
            Stage::Order(role, from) => self.advance_order(one, role, from, budget),
            Stage::Members(role, from) => self.advance_members(one, role, from, budget),
            Stage::Covered(role, key, flow) => self.advance_covered(one, role, key, flow, budget),
            Stage::Marked(from, layout) => self.advance_marked(one, from, layout, budget),
            Stage::Entries(from) => self.advance_entries(one, from, budget),
            Stage::Flows(from) => self.advance_flows(one, from, budget),
            Stage::End => Ok(Stage::End),
        };
        // Every turn takes something.
        if *budget == before {
            *budget -= 1;
        }
        stage
    }
}
