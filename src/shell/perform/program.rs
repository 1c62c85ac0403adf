//! Programming the forwarder with the entries that are out of date, a batch at a time.

#![forbid(unsafe_code)]

use crate::core::state::plane::Stale;
use crate::forwarder::{EntryChange, EntryState, Forwarder, ForwarderError};
use crate::log::Level;
use crate::shell::batch::{BATCH, Batch, BatchEntry, PlaneAccess};
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context;
use crate::shell::manager::{Mgm, Running};
use crate::shell::tally::Tally;
use crate::sys::sync::hand_over;
use crate::types::SourceGroup;
use smallvec::SmallVec;

/// The places in a batch of entries that could not be programmed, and why.
type Failures = SmallVec<[(usize, ForwarderError); 4]>;

impl<C: Callbacks> Mgm<C> {
    /// Programs what is out of date, in order, up to what the call is responsible for.
    // Out of line, because a batch takes much of the stack.
    #[inline(never)]
    pub(super) fn program(&'static self, call: &mut Call, plane: &PlaneAccess) {
        loop {
            let more = {
                let mut batch = plane.programming.lock();
                let more = context::inside_forwarder(|| {
                    self.program_some(call, &mut batch, &*plane.forwarder)
                });
                hand_over(batch);
                more
            };
            self.give_kept_lines();
            if !more {
                break;
            }
        }
        plane.forwarder.flush();
    }

    /// Programs one batch; true where there is more to do.
    fn program_some(
        &'static self,
        call: &mut Call,
        batch: &mut Batch,
        forwarder: &dyn Forwarder,
    ) -> bool {
        let some = self.collect(batch, call.epoch);
        let failures =
            if some { self.program_batch(batch, forwarder) } else { SmallVec::default() };
        // Calls inside the forwarder's functions may have added more.
        let left_over = context::take_left_over();
        let mut state = self.lock();
        let Some(running) = state.whole().as_mut().filter(|run| run.epoch == call.epoch) else {
            return false;
        };
        if left_over {
            (call.sees_to_all, call.until) = (true, running.core.plane.added());
        }
        let more = !running.closed && {
            running.programmed(batch, &failures);
            if let Some(slot) = call.kept {
                running.delivery.moves(slot, &running.core.outbox);
            }
            running.core.plane.finish();
            let waits = call.kept.is_some();
            some && if waits { running.is_behind(call) } else { running.must_program(call) }
        };
        if !more {
            // What follows can cause upcalls, whose callbacks may call the library.
            if let Some(slot) = call.kept.take() {
                running.delivery.offer(slot, call.here.token, &running.core.outbox);
            }
            running.delivery.ring();
        }
        more
    }

    /// Takes up to [`BATCH`] stale entries with the states that they are to have, or one interface.
    fn collect(&'static self, batch: &mut Batch, epoch: u64) -> bool {
        batch.clear();
        let mut state = self.lock();
        let Some(running) = state.running_in(epoch) else { return false };
        let core = &mut running.core;
        let counts_each = running.forwarder.counts_each().is_some();
        while batch.entries.len() < BATCH {
            match core.plane.front() {
                Some(Stale::Entry { flow, id, refused }) => {
                    if batch.add(core, flow, id, refused, counts_each).is_err() {
                        // The entries that fit are programmed. One that never fits is tried again
                        // later.
                        if batch.entries.is_empty() {
                            core.plane.pop();
                            running.retry_later(flow);
                        }
                        break;
                    }
                    core.plane.pop();
                }
                Some(Stale::Interface(key)) if batch.entries.is_empty() => {
                    core.plane.pop();
                    if !core.uses(key) {
                        batch.unused = Some(key);
                        break;
                    }
                }
                Some(Stale::Interface(_)) | None => break,
            }
        }
        !batch.entries.is_empty() || batch.unused.is_some()
    }

    /// Gives what failed.
    fn program_batch(&'static self, batch: &mut Batch, forwarder: &dyn Forwarder) -> Failures {
        #[cfg(feature = "fault-injection")]
        crate::shell::fault::point("program");
        if let Some(interface) = batch.unused {
            forwarder.remove_interface(interface);
        }
        let counted = |entry: &&mut BatchEntry| {
            let (flow, counts) = (entry.flow, entry.now.filter(|now| now.counts));
            counts.is_some_and(|now| now.installed || forwarder.has_entry(flow))
        };
        for entry in batch.entries.iter_mut().filter(counted) {
            entry.before = forwarder.counters(entry.flow).unwrap_or_default();
        }
        let Batch { entries, oifs, joined, .. } = &mut *batch;
        if let Some(plane) = forwarder.counts_each() {
            let mut at = 0;
            for entry in entries.iter().filter(|entry| entry.joined > 0) {
                plane.count_anew(entry.flow, &joined[at..at + entry.joined]);
                at += entry.joined;
            }
        }
        let mut at = 0;
        let mut changes = SmallVec::<[EntryChange<'_>; BATCH]>::new();
        for entry in entries.iter() {
            let state = entry.now.map(|now| {
                at += now.oifs;
                EntryState { iif: now.iif, oifs: &oifs[at - now.oifs..at] }
            });
            changes.push(EntryChange { flow: entry.flow, state });
        }
        let mut failures = Failures::new();
        forwarder.program(&changes, &mut |at, error| {
            // A failure for which there is no room is not lost: the audit of the plane finds it.
            if failures.try_reserve(1).is_ok() {
                failures.push((at, error));
            }
        });
        for entry in entries.iter().filter(|entry| entry.refused && entry.now.is_none()) {
            forwarder.refuse(entry.flow);
        }
        if self.logs(Level::Debug) {
            self.tell_changes(&changes);
        }
        for (at, error) in &failures {
            Tally::count(&self.tally.refused_changes);
            if let Some(change) = changes.get(*at) {
                self.flow_lines.failed.log(
                    |line| self.log(Level::Error, line),
                    format_args!("entry {}: {error}; it is tried again", change.flow),
                );
            }
        }
        failures
    }

    #[cold]
    fn tell_changes(&self, changes: &[EntryChange<'_>]) {
        for EntryChange { flow, state } in changes {
            match state {
                Some(EntryState { iif, oifs }) => self.log(
                    Level::Debug,
                    format_args!("entry {flow}: from {iif} to {} interfaces", oifs.len()),
                ),
                None => self.log(Level::Debug, format_args!("entry {flow}: removed")),
            }
        }
    }
}

impl<C: Callbacks> Running<C> {
    /// Whether the plane must be programmed before the call goes on. The call programs what it
    /// added itself. If it programmed more, it would work for other threads as long as they add
    /// something.
    pub(super) fn must_program(&self, call: &Call) -> bool {
        self.is_behind(call) || (call.sees_to_all && !self.core.plane.is_empty())
    }

    /// Whether something is to be programmed that the call must have programmed.
    const fn is_behind(&self, call: &Call) -> bool {
        !self.core.plane.is_done(call.until)
    }

    /// A batch has been programmed, but for what failed.
    fn programmed(&mut self, batch: &Batch, failures: &Failures) {
        for (at, entry) in batch.entries.iter().enumerate() {
            if failures.iter().any(|(failed, _)| *failed == at) {
                self.retry_later(entry.flow);
            } else if let Some(now) = entry.now {
                self.core.entry_programmed(entry.flow, now.id, entry.before);
            }
        }
    }

    /// Has an entry that could not be programmed tried again with the next tick.
    fn retry_later(&mut self, flow: SourceGroup) {
        if self.retry.try_reserve(1).is_ok() {
            self.retry.push(flow);
        } else {
            self.retry_all = true;
        }
    }
}
