//! The threads that take the kernel's reports and hand them on.
//!
//! One thread reads and hands on what it has read; others stand by. A client's callback runs
//! inside, and may take seconds or never return: when for a while no report has been finished and
//! nobody reads, a thread that stands by takes over, reports that were read already included. So
//! the common case costs no hand-over between threads, and up to 31 callbacks can hang before
//! new flows wait.

#![forbid(unsafe_code)]

use super::Plane;
use super::report::{Kind, Report, SIZE};
use super::sys::{self, BATCH, Body, Thread};
use crate::log::Level;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The most threads there are at a time.
const MAX_THREADS: usize = 32;
/// After how long without progress a thread that stands by takes over.
const PATIENCE: Duration = Duration::from_millis(20);
/// From how many reports on the newest is handed on first: the kernel keeps its waiting flows in
/// one list, newest first, and walks it for each that is resolved.
const LONG: usize = 16;

/// What the threads share.
pub struct Pump {
    state: Mutex<State>,
    standing_by: Condvar,
    reader: Mutex<Reader>,
}

struct State {
    /// Reports that were read, the next one last.
    queue: Vec<Report>,
    /// A thread reads, or waits for reports.
    reading: bool,
    /// How often a thread began or finished to hand on a report.
    progress: u64,
    /// A thread that stands by watches the progress or has been told to.
    watched: bool,
    /// A thread that stands by watches the progress.
    watching: bool,
    standing_by: usize,
    threads: Vec<Thread>,
    stopping: bool,
}

struct Reader {
    buffers: Box<[[u8; SIZE]; BATCH]>,
    lengths: [usize; BATCH],
    dropped: u32,
}

impl Pump {
    /// No threads yet.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                queue: Vec::with_capacity(BATCH),
                reading: false,
                progress: 0,
                watched: false,
                watching: false,
                standing_by: 0,
                threads: Vec::with_capacity(MAX_THREADS),
                stopping: false,
            }),
            standing_by: Condvar::new(),
            reader: Mutex::new(Reader {
                buffers: Box::new([[0; SIZE]; BATCH]),
                lengths: [0; BATCH],
                dropped: 0,
            }),
        }
    }
}

/// One of the threads.
pub enum UpcallThread {}

impl Body for UpcallThread {
    type On = Plane;

    fn run(plane: Arc<Plane>) {
        let pump = &plane.pump;
        let mut state = pump.state.lock();
        while !state.stopping {
            if let Some(report) = state.queue.pop() {
                state.progress += 1;
                if !state.watched {
                    state.watched = true;
                    pump.standing_by.notify_one();
                }
                MutexGuard::unlocked(&mut state, || plane.hand_on(&report));
                state.progress += 1;
            } else if !state.reading {
                state.reading = true;
                let mut reader = pump.reader.lock();
                let n = MutexGuard::unlocked(&mut state, || plane.read_reports(&mut reader));
                plane.take_reports(&reader, n, &mut state.queue);
                state.reading = false;
            } else {
                stand_by(&plane, &mut state);
            }
        }
    }
}

/// Waits until this thread is needed.
fn stand_by(plane: &Arc<Plane>, state: &mut MutexGuard<'_, State>) {
    let pump = &plane.pump;
    state.standing_by += 1;
    while !state.stopping {
        if !state.watched || state.watching {
            pump.standing_by.wait(state);
            continue;
        }
        let before = state.progress;
        state.watching = true;
        let patience = pump.standing_by.wait_for(state, PATIENCE);
        state.watching = false;
        if state.reading {
            // Nothing hangs, or another thread has taken over: no need to watch until the next
            // report.
            state.watched = false;
        } else if patience.timed_out() && state.progress == before {
            break;
        }
    }
    state.standing_by -= 1;
    if state.stopping {
        return;
    }
    // This one takes over; another has to stand by for it.
    if state.standing_by == 0 {
        plane.add_upcall_thread(state);
    } else {
        pump.standing_by.notify_one();
    }
}

impl Plane {
    /// Starts the first two threads: one to read, one to stand by.
    pub(super) fn start_upcalls(self: &Arc<Self>) -> Result<(), sys::Errno> {
        for _ in 0..2 {
            let thread = Thread::spawn::<UpcallThread>(c"mgm-upcall", Arc::clone(self))?;
            self.pump.state.lock().threads.push(thread);
        }
        Ok(())
    }

    fn add_upcall_thread(self: &Arc<Self>, state: &mut State) {
        let n = state.threads.len();
        if n == MAX_THREADS {
            self.upcalls.log(
                Level::Error,
                format_args!("{} client callbacks hang: new flows wait until one returns", n - 1),
            );
            return;
        }
        match Thread::spawn::<UpcallThread>(c"mgm-upcall", Arc::clone(self)) {
            Ok(thread) => {
                self.counters.spare_threads.fetch_add(1, Relaxed);
                state.threads.push(thread);
            }
            Err(e) => self.upcalls.log(
                Level::Error,
                format_args!("no thread to stand by for slow client callbacks: errno {e}"),
            ),
        }
    }

    /// Tells the threads to end, and waits for them.
    pub(super) fn stop_upcalls(&self) {
        let mut state = self.pump.state.lock();
        state.stopping = true;
        state.queue.clear();
        self.pump.standing_by.notify_all();
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        threads.into_iter().for_each(Thread::join_unless_self);
    }

    /// Waits for reports and reads them; none where the end has come.
    fn read_reports(&self, reader: &mut Reader) -> usize {
        loop {
            match sys::receive_many(&self.socket, &mut reader.buffers, &mut reader.lengths) {
                Ok(n) => {
                    if n == BATCH {
                        self.count_dropped(reader);
                    }
                    return n;
                }
                Err(libc::EAGAIN) => {
                    // What was dropped after the last full batch.
                    self.count_dropped(reader);
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
                "{all} new-flow reports so far did not fit into the kernel's buffer; their next \
                 packets are reported again"
            ),
        );
    }

    /// Puts reports into the queue in the order in which they are to be handed on, the next last.
    fn take_reports(&self, reader: &Reader, n: usize, queue: &mut Vec<Report>) {
        // There is room: reports are read only when the queue is empty.
        for (buffer, &length) in reader.buffers.iter().zip(&reader.lengths).take(n) {
            match Report::read(buffer, length) {
                Some(report) => queue.push(report),
                None => _ = self.counters.malformed.fetch_add(1, Relaxed),
            }
        }
        if n < LONG {
            queue.reverse();
        }
    }

    fn hand_on(&self, report: &Report) {
        let arrival = self.vifs.read().arrival(report.vif);
        let Some(arrival) = arrival else {
            self.counters.unknown_arrival.fetch_add(1, Relaxed);
            return;
        };
        let call = AssertUnwindSafe(|| match report.kind {
            Kind::NoCache => self.upcalls.no_cache(report.flow, arrival, report.header()),
            Kind::WrongInterface => {
                self.upcalls.wrong_interface(report.flow, arrival, report.header());
            }
        });
        if catch_unwind(call).is_err() {
            self.upcalls.log(
                Level::Error,
                format_args!("{}: internal fault while its report was handled", report.flow),
            );
        }
    }
}
