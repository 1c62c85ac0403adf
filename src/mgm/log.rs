//! The log's lines, and the fault that closes the library.

#![forbid(unsafe_code)]

use super::{LogSink, Mgm};
use crate::callbacks::Callbacks;
use crate::context;
use crate::core::Note;
use crate::log::{Level, Line, to_stderr};
use crate::sync::atomic::Ordering;
use std::fmt;

/// How many log lines wait for the forwarder's functions to return; more are dropped.
const KEPT_LINES: usize = 256;

impl<C: Callbacks> Mgm<C> {
    /// Writes a line to the log. The host's function is called with nothing locked: a line from
    /// inside the forwarder's functions is kept until these have returned.
    pub fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        if level as u32 > self.level.load(Ordering::Relaxed) {
            return;
        }
        let sink = self.sink.read().clone();
        match sink {
            LogSink::Stderr => to_stderr(level, message),
            LogSink::Host(_) if context::is_inside_forwarder() => {
                let mut kept = self.kept_lines.lock();
                if kept.len() < KEPT_LINES && kept.try_reserve(1).is_ok() {
                    kept.push_back((level, Line::new(message)));
                }
            }
            LogSink::Host(host) => host(level, &Line::new(message)),
        }
    }

    /// Logs what the core has to tell: at a limited rate what senders of packets can cause.
    pub(crate) fn tell(&'static self, note: &Note) {
        let message = format_args!("{note}");
        match note {
            Note::ForeignRpfInterface(..) => {
                self.flow_lines.foreign_iif.log(&self, Level::Warn, message)
            }
            Note::FlowGivenUp(_) => self.flow_lines.given_up.log(&self, Level::Warn, message),
            Note::ForwardByIgmp(_) => self.log(Level::Warn, message),
        }
    }

    /// Gives the host the lines that were kept.
    pub(crate) fn give_kept_lines(&self) {
        loop {
            let line = self.kept_lines.lock().pop_front();
            let Some((level, line)) = line else { return };
            // A statement of its own: the guard must not live while the host's function runs.
            let sink = self.sink.read().clone();
            if let LogSink::Host(host) = sink {
                host(level, &line);
            }
        }
    }

    pub(crate) fn logs_to_host(&self) -> bool {
        matches!(*self.sink.read(), LogSink::Host(_))
    }

    pub(crate) fn set_log(&self, level: Level, sink: LogSink) {
        self.level.store(level as u32, Ordering::Relaxed);
        *self.sink.write() = sink;
    }

    /// A fault was met: nothing works any more (rule A5).
    pub fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
        self.wake();
        self.log(Level::Error, format_args!("internal fault; the library is closed"));
    }

    /// Whether a fault was met.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}
