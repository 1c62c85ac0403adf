//! The whole state as JSON, for administrators (MgmHostGetState, the control socket).
//!
//! Rows are written in chunks: a chunk is put together under the lock, and written with nothing
//! locked, because its reader may be slow. So a long list does not show one moment; a row that is
//! there throughout appears once. Nothing here needs more memory than a chunk (rule A4).

#![forbid(unsafe_code)]

mod happenings;
mod json;
mod rows;

use crate::control::{Part, Source};
use crate::core::state::record::Rest;
use crate::error::Error;
use crate::log::Level;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::{Mgm, Running};
use crate::sys::DeviceNames;
use crate::types::SourceGroup;
use json::Json;
use std::io::Write;
use std::ops::ControlFlow;

impl<C: Callbacks> Source for Mgm<C> {
    fn write(&self, part: Part, out: &mut dyn Write) -> Result<(), Error> {
        if self.is_broken() { Err(Error::Broken) } else { self.write_part(part, out) }
    }

    fn log(&self, level: Level, line: std::fmt::Arguments<'_>) {
        self.log(level, line);
    }

    fn fault(&self) {
        self.mark_broken();
    }
}

impl<C: Callbacks> Mgm<C> {
    /// MgmHostGetState: writes the state as one JSON object.
    pub fn write_state(&self, out: &mut dyn Write) -> Result<(), Error> {
        self.write_part(Part::State, out)
    }

    /// Writes a part of the state as one JSON object, without a line end.
    pub fn write_part(&self, part: Part, out: &mut dyn Write) -> Result<(), Error> {
        if let Part::Events(number) = part {
            return self.write_events(number, out);
        }
        let moment = self.moment();
        let (epoch, forwarder, uptime, totals, limits) = {
            let state = self.state.read();
            let running = state.shared_at(moment).ok_or(Error::NotRunning)?;
            let uptime = moment.now.since(running.started) / 1000;
            let forwarder = running.forwarder.clone();
            (running.epoch, forwarder, uptime, running.core.totals(), running.core.limits())
        };
        // Asked for with nothing locked.
        let names =
            if forwarder.has_devices() { DeviceNames::read() } else { DeviceNames::default() };
        let mut json = Json::new(out);
        if part.wants_host() {
            json.member("version", &env!("CARGO_PKG_VERSION"))?;
            json.member("process", &std::process::id())?;
            json.member("forwarder", &forwarder.name())?;
            json.member("uptime", &uptime)?;
            json.member("limits", &rows::limits(limits))?;
        }
        if part.wants(Part::Counters) {
            json.member(
                "counters",
                &rows::counters(&totals, &self.tally, &*forwarder, self.pool.added()),
            )?;
        }
        if part.wants(Part::Clients) {
            self.list(&mut json, epoch, "clients", |running, json, after| {
                json.rows(running.core.client_rows(after), |slot, row| {
                    let client = running.delivery.client(slot);
                    let uptime = client.map(|(since, _)| moment.now.since(since) / 1000);
                    let process = client.and_then(|(_, callbacks)| callbacks.process());
                    rows::client_row(row, uptime.unwrap_or(0), process)
                })
            })?;
        }
        if part.wants(Part::Interfaces) {
            self.list(&mut json, epoch, "interfaces", |running, json, after| {
                let rows = running.core.interface_rows(after);
                json.rows(rows, |_, row| rows::interface_row(row, &names))
            })?;
        }
        if part.wants(Part::Groups) {
            self.list(&mut json, epoch, "groups", |running, json, after| {
                let rows = running.core.membership_rows(after);
                json.rows(rows, |_, row| rows::membership_row(row, &names))
            })?;
        }
        if part.wants(Part::Mfes) {
            self.list_mfes(&mut json, epoch, &names)?;
        }
        json.end()
    }

    /// Writes the changes from one on, and the number to go on with.
    fn write_events(&self, number: Option<u64>, out: &mut dyn Write) -> Result<(), Error> {
        let moment = self.moment();
        let (epoch, forwarder, first, oldest) = {
            let mut state = self.lock();
            state.shared_at(moment).ok_or(Error::NotRunning)?;
            let running = state.running().ok_or(Error::NotRunning)?;
            let history = &mut running.core.history;
            let next = history.follow(moment.now)?;
            let (first, oldest) =
                (number.map_or(next, |number| number.min(next)), history.oldest());
            (running.epoch, running.forwarder.clone(), first, oldest)
        };
        let names =
            if forwarder.has_devices() { DeviceNames::read() } else { DeviceNames::default() };
        let mut json = Json::new(out);
        json.member("process", &std::process::id())?;
        json.member("run", &epoch)?;
        json.member("missed", &oldest.saturating_sub(first))?;
        let mut at = first.max(oldest);
        self.list(&mut json, epoch, "events", |running, json, _| {
            let history = &running.core.history;
            // Where more have come meanwhile than are kept, the next answer tells that some are missing.
            let is_whole = history.oldest() <= at;
            let rest = history.since(at).filter(|_| is_whole);
            for (number, happening) in rest {
                json.row(&happenings::row(&happening, &names))?;
                at = number + 1;
                if json.is_full() {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })?;
        json.member("next", &at)?;
        json.end()
    }

    /// Writes one list, chunk after chunk. `chunk` writes rows after a place, and gives the place
    /// of the last one, or None at the end.
    fn list<P: Copy>(
        &self,
        json: &mut Json<'_>,
        epoch: u64,
        name: &str,
        mut chunk: impl FnMut(&Running<C>, &mut Json<'_>, Option<P>) -> Result<Option<P>, Error>,
    ) -> Result<(), Error> {
        json.begin_list(name)?;
        let mut place = None;
        loop {
            {
                let state = self.state.read();
                let Some(running) = state.shared().filter(|running| running.epoch == epoch) else {
                    break;
                };
                place = chunk(running, json, place)?;
            }
            json.flush()?;
            if place.is_none() {
                break;
            }
        }
        json.end_list()
    }

    /// The forwarding entries, whose counters are read with nothing locked.
    fn list_mfes(&self, json: &mut Json<'_>, epoch: u64, names: &DeviceNames) -> Result<(), Error> {
        json.begin_list("mfes")?;
        let mut after = None;
        while let Some(from) = after.map_or(Some(SourceGroup::ALL), SourceGroup::next) {
            let mut written = Ok(());
            let moment = self.moment();
            let rest =
                self.read_counted(moment, Some(epoch), from, &mut |_| true, &mut |record| {
                    // A record that did not fit is read again.
                    if written.is_err() || json.is_full() {
                        return ControlFlow::Break(());
                    }
                    written = json.row(&rows::mfe_row(record, names));
                    after = Some(record.flow);
                    ControlFlow::Continue(())
                })?;
            written?;
            json.flush()?;
            if rest == Rest::End {
                break;
            }
        }
        json.end_list()
    }
}
