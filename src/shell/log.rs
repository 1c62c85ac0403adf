//! The log's lines, and the fault that closes the library.

#![forbid(unsafe_code)]

use crate::core::Note;
use crate::forwarder::Forwarder;
use crate::log::{Level, Line, to_stderr};
use crate::shell::callbacks::Callbacks;
use crate::shell::context;
use crate::shell::host_calls::HostCalls;
use crate::shell::manager::{LogSink, Mgm};
use crate::shell::run::KeptLine;
use crate::sys::sync::atomic::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many log lines wait for the forwarder's functions to return; more are dropped.
const KEPT_LINES: usize = 256;

/// A client in a log line, by protocol and component id. They are looked up when the line is written,
/// with nothing locked.
pub(crate) struct Named<'a, C: 'static>(&'a Mgm<C>, u32);

impl<C: Callbacks> fmt::Display for Named<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(mgm, slot) = self;
        let state = mgm.state.read();
        let info = state.shared().and_then(|running| running.core.client_info(*slot));
        drop(state);
        match info {
            Some(info) => info.name().fmt(f),
            None => f.write_str("a client that has gone"),
        }
    }
}

/// The log of a run that is over, for its last lines, and the threads inside its host's functions.
pub(crate) struct LastLog {
    level: u32,
    sink: LogSink,
    host_calls: Arc<HostCalls>,
    patience: Duration,
}

impl LastLog {
    pub(crate) const fn is_the_hosts(&self) -> bool {
        matches!(self.sink, LogSink::Host(_))
    }
}

impl LogSink {
    fn write(&self, level: Level, line: &Line) {
        match self {
            Self::Stderr => to_stderr(level, format_args!("{}", line.as_str())),
            Self::Host(host) => host(level, line),
        }
    }
}

impl<C: Callbacks> Mgm<C> {
    /// The client in this slot, for a log line.
    pub(crate) const fn named(&self, slot: u32) -> Named<'_, C> {
        Named(self, slot)
    }

    /// Whether lines of this level are written.
    #[inline]
    pub fn logs(&self, level: Level) -> bool {
        level as u32 <= self.level.load(Ordering::Relaxed)
    }

    /// Writes a line to the log. The host's log function is called with nothing locked, so a line
    /// from inside the forwarder's functions is kept until these have returned.
    #[inline]
    pub fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        if self.logs(level) {
            self.write_line(level, message);
        }
    }

    #[cold]
    fn write_line(&self, level: Level, message: fmt::Arguments<'_>) {
        let line = self.line(message);
        let sink = self.sink.read().clone();
        match sink {
            LogSink::Host(host) if context::is_inside_forwarder() => {
                let mut kept = self.kept_lines.lock();
                if kept.len() < KEPT_LINES && kept.try_reserve(1).is_ok() {
                    kept.push_back(KeptLine { host, level, line });
                }
            }
            sink => sink.write(level, &line),
        }
    }

    /// A message as a line that names the devices of the interfaces in it, where the forwarder knows
    /// them.
    pub(crate) fn line(&self, message: fmt::Arguments<'_>) -> Line {
        let line = Line::new(message);
        let devices = self.devices.read().clone();
        match devices {
            Some(forwarder) => line.with_devices(&|index| forwarder.device_name(index)),
            None => line,
        }
    }

    /// From now on the log names interfaces' devices as this forwarder does.
    pub(crate) fn set_devices(&self, forwarder: Option<Arc<dyn Forwarder>>) {
        *self.devices.write() = forwarder;
    }

    /// Logs a note of the core. Lines that senders of packets can cause come at a limited rate.
    #[cold]
    pub(crate) fn tell(&'static self, note: &Note) {
        let message = format_args!("{note}");
        match note {
            Note::ForeignRpfInterface { .. } => {
                self.flow_lines.foreign_iif.log(|line| self.log(Level::Warn, line), message)
            }
            Note::SameDevice(..) => {
                self.flow_lines.same_device.log(|line| self.log(Level::Warn, line), message)
            }
            Note::FlowGivenUp(_) => {
                self.flow_lines.given_up.log(|line| self.log(Level::Warn, line), message)
            }
            Note::NotForwarded { .. } => self.log(Level::Warn, message),
            Note::ForwardByIgmp(_) => self.log(Level::Warn, message),
        }
    }

    /// Gives the host the lines that were kept.
    pub(crate) fn give_kept_lines(&self) {
        loop {
            // This is a statement of its own, so that the guard does not live while the host's
            // function runs.
            let kept = self.kept_lines.lock().pop_front();
            let Some(KeptLine { host, level, line }) = kept else { return };
            host(level, &line);
        }
    }

    /// Sets what is logged to standard error, in a process that is a client of a host.
    pub(crate) fn set_level(&self, level: Level) {
        self.set_log(level, LogSink::Stderr);
    }

    pub(crate) fn set_log(&self, level: Level, sink: LogSink) {
        self.level.store(level as u32, Ordering::Relaxed);
        *self.sink.write() = sink;
    }

    /// Ends the log of a run while no run can be started, because the next one may have another
    /// log. From now on errors go to standard error. `patience`: how long [`Self::leave_host`]
    /// waits for functions of the host's.
    pub(crate) fn end_log(&self, host_calls: Arc<HostCalls>, patience: Duration) -> LastLog {
        let level = self.level.load(Ordering::Relaxed);
        let sink = self.sink.read().clone();
        self.set_log(Level::Error, LogSink::Stderr);
        self.set_devices(None);
        LastLog { level, sink, host_calls, patience }
    }

    /// Gives the host the last lines of its run, and then calls none of its functions any more.
    pub(crate) fn leave_host(&self, last: &LastLog, end: Option<(Level, Line)>) {
        self.give_kept_lines();
        if let Some((level, line)) = end
            && level as u32 <= last.level
        {
            last.sink.write(level, &line);
        }
        if !last.host_calls.close(last.patience) {
            self.log(
                Level::Error,
                format_args!("a function of the host's does not return; going on without it"),
            );
        }
    }

    /// Notes a fault of the library, after which no call works any more (rule A5).
    pub fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
        self.wake_all();
        self.log(Level::Error, format_args!("internal fault; the library is closed"));
    }

    /// Whether there was a fault.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}
