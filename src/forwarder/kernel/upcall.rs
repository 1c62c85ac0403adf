//! Reads the kernel's reports of new flows and wrong interfaces, and hands them on.

#![forbid(unsafe_code)]

use super::Plane;
use super::igmp::Heard;
use super::pump::{PREPARED, Pump, PumpWork, QueuePlace};
use super::report::{Report, ReportKind, SIZE};
use super::vifs::NO_PARENT;
use crate::log::Level;
use crate::sys::{self, BATCH};
use crate::types::{IfKey, SourceGroup};
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// With this many reports or more, the newest is handed on first: the kernel keeps its waiting
/// flows in one list, newest first, and walks it for each entry that is made.
const LONG: usize = 16;
/// How many reports are received at first.
const FIRST: usize = 8;
/// How many reports wait here at the most. More would make the kernel's list so long that the
/// packets of senders who keep sending hold its lock most of the time.
const MAX_PENDING: usize = 3072;
/// So few reports are never a flood.
const FLOOD_PENDING: usize = 256;
/// It is a flood when the reports that wait would take longer than this. 10,000 flows that begin at
/// once do not take that long, unless clients or the machine are slow.
const FLOOD_TIME: Duration = Duration::from_millis(250);
/// The assumed cost of handing on one report, before it was measured.
const FIRST_COST: Duration = Duration::from_micros(15);
/// The size of the socket's receive buffer, in octets. It holds about 10,000 reports, so that a
/// burst of so many new flows loses none.
pub const BURST_BUFFER: u32 = 4 << 20;
/// The same under a flood of new flows, for 256 reports. The kernel walks its list of waiting flows
/// for each packet without an entry and for each entry that is made; with a list of thousands it
/// hardly does anything else.
const FLOOD_BUFFER: u32 = 106_496;
/// A flood is over when nothing has been reported for this long.
const FLOOD_ENDS: Duration = Duration::from_millis(1000);

/// Where reports are read into.
pub struct ReportReader {
    buffers: Box<[[u8; SIZE]; BATCH]>,
    lengths: [usize; BATCH],
    /// Reports may have been lost since they were counted last.
    full: bool,
    /// When there were last no reports waiting.
    empty_at: Instant,
    /// When reports were read last, and what handing one on has cost recently.
    read_at: Instant,
    cost: Duration,
    /// The buffer has the size for floods.
    flood: bool,
    /// The socket's count of reports that found its buffer full, as last counted.
    dropped: u32,
    heard: Heard,
}

impl ReportReader {
    /// A reader that has read nothing. `dropped`: a socket that was handed over may have dropped
    /// reports.
    pub fn new(dropped: u32) -> Self {
        Self {
            buffers: Box::new([[0; SIZE]; BATCH]),
            lengths: [0; BATCH],
            full: false,
            empty_at: Instant::now(),
            read_at: Instant::now(),
            cost: FIRST_COST,
            flood: false,
            dropped,
            heard: Heard::new(),
        }
    }
}

impl ReportReader {
    /// Notes what the reports of the last turn have cost, and tells where new reports go. None:
    /// those that wait come first. Under a flood, or when some have waited long, new reports do not
    /// go on top, or the oldest would wait for ever.
    fn place(&mut self, pending: usize) -> Option<QueuePlace> {
        let now = Instant::now();
        if pending == 0 {
            self.empty_at = now;
        } else {
            let cost = now.duration_since(self.read_at) / Reports::TURN as u32;
            self.cost = (self.cost * 3 + cost) / 4;
        }
        self.read_at = now;
        if !self.flood && now.duration_since(self.empty_at) < FLOOD_TIME {
            return Some(QueuePlace::Top);
        }
        (pending <= Reports::TURN).then_some(QueuePlace::Below)
    }

    /// Whether it is a flood, with so many reports waiting now.
    fn is_flooded(&self, pending: usize) -> bool {
        let takes = self.cost.saturating_mul(pending as u32);
        !self.flood && pending > FLOOD_PENDING && (takes > FLOOD_TIME || pending >= MAX_PENDING)
    }
}

/// Reports, as a kind of work.
pub struct Reports;

impl PumpWork for Reports {
    type Item = Report;
    const ITEMS: usize = 4 * BATCH;
    const TURN: usize = BATCH;

    fn pump(plane: &Plane) -> &Pump<Self> {
        &plane.reports
    }

    fn read(plane: &Plane, list: &mut Vec<Report>, pending: usize) -> QueuePlace {
        let mut reader = plane.reader.lock();
        let place = reader.place(pending);
        if place.is_some() {
            plane.read_reports(&mut reader, list, pending);
            plane.leave_igmp_out(&mut reader.heard, list);
        }
        if list.len() < LONG {
            list.reverse();
        }
        place.unwrap_or(QueuePlace::Top)
    }

    fn prepare(plane: &Plane, reports: &[Report]) {
        let new = reports.iter().filter(|report| report.kind == ReportKind::NoCache);
        let sources = new.map(|report| report.flow.source());
        plane.find_many(&sources.collect::<SmallVec<[Ipv4Addr; PREPARED]>>());
    }

    fn hand_on(plane: &Plane, report: &Report) {
        // Such a source is no sender's address. It gets through where a device has route_localnet.
        if report.flow.source().is_loopback() {
            if report.kind == ReportKind::NoCache {
                plane.refuse(report.flow);
            }
            return;
        }
        let Some(arrival) = plane.arrival_of(report) else { return };
        match report.kind {
            ReportKind::NoCache => {
                plane.upcalls.no_cache(report.flow, arrival, report.header());
                plane.upcalls.keep_pace();
            }
            ReportKind::WrongInterface if plane.has_iif(report.flow) => {
                plane.upcalls.wrong_interface(report.flow, arrival, report.header());
            }
            ReportKind::WrongInterface => {}
        }
    }
}

impl Plane {
    /// Whether the flow has an entry with an iif. On one without, as those of refused flows and of
    /// flows that are only to be forgotten, each packet comes in on another interface.
    fn has_iif(&self, flow: SourceGroup) -> bool {
        let entries = self.entries.lock();
        entries.programmed.get(&flow).is_some_and(|entry| entry.parent != NO_PARENT)
    }

    /// The interface that a reported packet came in on; None: nobody is on its device. In that case
    /// the kernel would report no more of a new flow for ten seconds, whoever takes the device. So
    /// the flow is refused, which ends when a device is taken.
    fn arrival_of(&self, report: &Report) -> Option<IfKey> {
        let arrival = self.vifs.read().arrival(report.vif);
        if arrival.is_some() {
            return arrival;
        }
        // Another thread may be taking it at this moment.
        let mut entries = self.entries.lock();
        let arrival = self.vifs.read().arrival(report.vif);
        if arrival.is_none() {
            self.counters.unknown_arrival.fetch_add(1, Relaxed);
            if report.kind == ReportKind::NoCache {
                self.make_refused(&mut entries, report.flow);
            }
        }
        arrival
    }

    /// Receives all reports, as far as there is room for them; waits for some where none is
    /// pending. Receives none when the plane is to end.
    fn read_reports(&self, reader: &mut ReportReader, list: &mut Vec<Report>, pending: usize) {
        let mut want = FIRST;
        while pending + list.len() < MAX_PENDING {
            let (buffers, lengths) = (&mut reader.buffers[..want], &mut reader.lengths[..want]);
            match sys::receive_many(&self.socket, buffers, lengths) {
                Ok(n) => {
                    self.read_each(reader, n, list);
                    if n < want {
                        break;
                    }
                    (want, reader.full) = (BATCH, true);
                }
                Err(libc::EAGAIN) if pending + list.len() > 0 => break,
                Err(libc::EAGAIN) => {
                    self.count_dropped(reader);
                    if !self.wait_for_reports(reader) {
                        return;
                    }
                }
                Err(e) => {
                    self.failed_reads.log(
                        |line| self.upcalls.log(Level::Error, line),
                        format_args!("reading the kernel's reports failed: errno {e}"),
                    );
                    // An unknown error must not keep a processor busy.
                    match sys::wait_readable([&self.stop], Some(100)) {
                        Ok([false]) => {}
                        _ => return,
                    }
                }
            }
        }
        self.count_dropped(reader);
        if reader.is_flooded(pending + list.len()) {
            reader.flood = true;
            sys::set_buffer(&self.socket, FLOOD_BUFFER);
        }
    }

    fn read_each(&self, reader: &ReportReader, n: usize, list: &mut Vec<Report>) {
        for (buffer, &length) in reader.buffers.iter().zip(&reader.lengths).take(n) {
            match Report::read(buffer, length) {
                // Where memory runs out, it is lost like one that did not fit into the buffer.
                Some(report) if list.try_reserve(1).is_ok() => list.push(report),
                Some(_) => {}
                None => _ = self.counters.malformed.fetch_add(1, Relaxed),
            }
        }
    }

    /// Waits for a report. False: the plane is to end, or waiting failed.
    fn wait_for_reports(&self, reader: &mut ReportReader) -> bool {
        let patience = reader.flood.then_some(FLOOD_ENDS.as_millis() as u32);
        let igmp = self.igmp.as_ref().unwrap_or(&self.stop);
        match sys::wait_readable([&self.stop, &self.socket, igmp], patience) {
            Ok([false, came, igmp_came]) => {
                if igmp_came {
                    // Its report is on its way, if there is one.
                    self.hear_igmp(&mut reader.heard);
                } else if !came && std::mem::take(&mut reader.flood) {
                    sys::enlarge_buffer(&self.socket, BURST_BUFFER);
                }
                true
            }
            _ => false,
        }
    }

    /// Counts the reports that found the socket's buffer full. Their flows' next packets are
    /// reported again.
    fn count_dropped(&self, reader: &mut ReportReader) {
        // The buffer holds more than a batch, so nothing was lost unless a batch was full.
        if !std::mem::take(&mut reader.full) {
            return;
        }
        let Ok(dropped) = sys::dropped(&self.socket) else { return };
        let more = dropped.wrapping_sub(reader.dropped);
        if more == 0 {
            return;
        }
        reader.dropped = dropped;
        let all = self.counters.dropped_reports.fetch_add(more.into(), Relaxed) + u64::from(more);
        self.lost_reports.log(
            |line| self.upcalls.log(Level::Warn, line),
            format_args!(
                "{all} reports so far did not fit into the kernel's buffer; the next packets of \
                 their flows are reported again"
            ),
        );
    }
}
