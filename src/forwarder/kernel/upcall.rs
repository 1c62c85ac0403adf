//! The kernel's reports of new flows and wrong interfaces: read and handed on.

#![forbid(unsafe_code)]

use super::Plane;
use super::pump::{Pump, Work};
use super::report::{Kind, Report, SIZE};
use super::sys::{self, BATCH};
use crate::log::Level;
use std::ffi::CStr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// From how many reports on the newest is handed on first: the kernel keeps its waiting flows in
/// one list, newest first, and walks it for each that is resolved.
const LONG: usize = 16;

/// Where reports are read into.
pub struct Reader {
    buffers: Box<[[u8; SIZE]; BATCH]>,
    lengths: [usize; BATCH],
    /// The last batch was full.
    full: bool,
    dropped: u32,
}

impl Reader {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self { buffers: Box::new([[0; SIZE]; BATCH]), lengths: [0; BATCH], full: false, dropped: 0 }
    }
}

/// Reports, as a kind of work.
pub struct Reports;

impl Work for Reports {
    type Item = Report;
    const NAME: &'static CStr = c"mgm-upcall";
    const ITEMS: usize = BATCH;
    const PATIENCE: Duration = Duration::from_millis(20);

    fn pump(plane: &Plane) -> &Pump<Self> {
        &plane.reports
    }

    fn read(plane: &Plane, queue: &mut Vec<Report>) {
        let mut reader = plane.reader.lock();
        let n = plane.read_reports(&mut reader);
        for (buffer, &length) in reader.buffers.iter().zip(&reader.lengths).take(n) {
            match Report::read(buffer, length) {
                Some(report) => queue.push(report),
                None => _ = plane.counters.malformed.fetch_add(1, Relaxed),
            }
        }
        if n < LONG {
            queue.reverse();
        }
    }

    fn hand_on(plane: &Plane, report: &Report) {
        let arrival = plane.vifs.read().arrival(report.vif);
        let Some(arrival) = arrival else {
            plane.counters.unknown_arrival.fetch_add(1, Relaxed);
            return;
        };
        match report.kind {
            Kind::NoCache => plane.upcalls.no_cache(report.flow, arrival, report.header()),
            Kind::WrongInterface => {
                plane.upcalls.wrong_interface(report.flow, arrival, report.header());
            }
        }
    }
}

impl Plane {
    /// Waits for reports and receives them; none where the end has come.
    fn read_reports(&self, reader: &mut Reader) -> usize {
        loop {
            match sys::receive_many(&self.socket, &mut reader.buffers, &mut reader.lengths) {
                Ok(n) => {
                    // The buffer holds more than a batch: without a full one nothing was lost.
                    if n == BATCH || reader.full {
                        self.count_dropped(reader);
                    }
                    reader.full = n == BATCH;
                    return n;
                }
                Err(libc::EAGAIN) => {
                    if std::mem::take(&mut reader.full) {
                        self.count_dropped(reader);
                    }
                    match sys::wait_readable([&self.stop, &self.socket], None) {
                        Ok([false, _]) => {}
                        _ => return 0,
                    }
                }
                Err(e) => {
                    self.failed_reads.log(
                        self.upcalls,
                        Level::Error,
                        format_args!("reading the kernel's reports failed: errno {e}"),
                    );
                    // Whatever it is, it must not keep a processor busy.
                    match sys::wait_readable([&self.stop], Some(100)) {
                        Ok([false]) => {}
                        _ => return 0,
                    }
                }
            }
        }
    }

    /// Counts the reports that found the socket's buffer full. Their flows' next packets are
    /// reported again.
    fn count_dropped(&self, reader: &mut Reader) {
        let Ok(dropped) = sys::dropped(&self.socket) else { return };
        let more = dropped.wrapping_sub(reader.dropped);
        if more == 0 {
            return;
        }
        reader.dropped = dropped;
        let all = self.counters.dropped_reports.fetch_add(more.into(), Relaxed) + u64::from(more);
        self.lost_reports.log(
            self.upcalls,
            Level::Warn,
            format_args!(
                "{all} reports so far did not fit into the kernel's buffer; the next packets of \
                 their flows are reported again"
            ),
        );
    }
}
