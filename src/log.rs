//! The log: one line per message, to standard error or to the host's callback.
//!
//! A line is formatted into a fixed buffer, so that logging works when memory has run out and a
//! message of any length costs the same. Levels and their names are those of MGM_LOG.
//!
//! Messages name interfaces by their indexes. The names of devices are put into the finished line, so
//! that the rules, whose errors become log lines, need not know devices.

use crate::sys::stderr;
use crate::sys::sync::coarse_time;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How much a message matters. The numbers are dwLevel of the host's log callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Nothing is logged.
    Off = 0,
    /// A call failed, or the library could not do what it was asked.
    Error = 1,
    /// Something was ignored or is not as it should be.
    Warn = 2,
    /// Starts, stops, ownership.
    Info = 3,
    /// Entries made and removed.
    Debug = 4,
    /// Each callback and each packet report.
    Trace = 5,
}

impl Level {
    /// The values MGM_LOG takes.
    pub const ALLOWED: &'static str = "off, error, warn, info, debug, trace";

    /// The level with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "off" => Self::Off,
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }

    /// The name MGM_LOG uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A line of bounded length: what does not fit is cut off.
pub struct Line {
    bytes: [u8; Line::CAPACITY],
    len: usize,
}

impl Line {
    /// The longest line, in octets, a final NUL included.
    pub const CAPACITY: usize = 512;

    /// Formats a message. Control characters are not expected in messages and stay as they are.
    pub fn new(message: fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; Self::CAPACITY], len: 0 };
        // An error only says that the line was cut off.
        let _ = line.write_fmt(message);
        line
    }

    /// The line with a device's name behind each interface's index that has one: "interface 3 (eth1)".
    pub fn with_devices<N: fmt::Display>(self, name: &dyn Fn(u32) -> Option<N>) -> Self {
        const WORD: &str = "interface ";
        let mut named = Self::new(format_args!(""));
        let mut rest = self.as_str();
        while let Some(at) = rest.find(WORD) {
            let index = &rest[at + WORD.len()..];
            let digits = index.bytes().take_while(u8::is_ascii_digit).count();
            let (before, after) = rest.split_at(at + WORD.len() + digits);
            let _ = named.write_str(before);
            // One that comes from another process may be named already.
            if !after.starts_with(" (")
                && let Some(name) = index[..digits].parse().ok().and_then(name)
            {
                let _ = write!(named, " ({name})");
            }
            rest = after;
        }
        let _ = named.write_str(rest);
        named
    }

    /// The text without the final NUL.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// The text with its final NUL, for C.
    pub fn as_bytes_with_nul(&self) -> &[u8] {
        &self.bytes[..=self.len]
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = Self::CAPACITY - 1 - self.len;
        let mut take = text.len().min(room);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        if take < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The shortest time between two lines of a kind that outsiders can cause, in milliseconds.
const EVERY_MS: u64 = 10_000;

/// Limits lines of one kind that outsiders can cause: at most one in ten seconds.
pub(crate) struct Throttle {
    /// The time when the next line may come, in milliseconds.
    next: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    /// The first line may come at once.
    pub(crate) const fn new() -> Self {
        Self { next: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Forgets what was logged.
    pub(crate) fn reset(&self) {
        self.next.store(0, Relaxed);
        self.held_back.store(0, Relaxed);
    }

    /// Logs the line if its time has come, with the number of those left out before it.
    pub(crate) fn log(&self, write: impl FnOnce(fmt::Arguments<'_>), message: fmt::Arguments<'_>) {
        match self.admit(coarse_time().as_millis() as u64) {
            Some(0) => write(message),
            Some(held_back) => {
                write(format_args!("{message} ({held_back} such lines held back)"));
            }
            None => {}
        }
    }

    /// The number of lines left out, if a line may come now.
    fn admit(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Relaxed);
        let taken = now >= next
            && self.next.compare_exchange(next, now + EVERY_MS, Relaxed, Relaxed).is_ok();
        if taken {
            Some(self.held_back.swap(0, Relaxed))
        } else {
            self.held_back.fetch_add(1, Relaxed);
            None
        }
    }
}

/// Lines that nobody read: they are counted, and the next line that can be written says how many.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Writes a line to standard error in one write, so that lines of several threads do not mix. It waits
/// for nobody: where a pipe is full the line is lost.
pub fn to_stderr(level: Level, message: fmt::Arguments<'_>) {
    let lost = LOST.swap(0, Relaxed);
    if lost > 0 {
        let what = "lines of the log were lost before this one: standard error was full";
        if !write_line(Level::Warn, format_args!("{lost} {what}")) {
            LOST.fetch_add(lost, Relaxed);
        }
    }
    if !write_line(level, message) {
        LOST.fetch_add(1, Relaxed);
    }
}

/// False: standard error is full. Where it is closed there is nobody left to tell.
fn write_line(level: Level, message: fmt::Arguments<'_>) -> bool {
    let line = Line::new(message);
    // A line that was cut off ends like any other.
    let mut text = [0; Line::CAPACITY + 32];
    let mut rest = &mut text[..];
    let _ = writeln!(rest, "mgm: {}: {}", level.name(), line.as_str());
    let left = rest.len();
    stderr::write(&text[..text.len() - left]) != Err(libc::EAGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let long = "é".repeat(400);
        let line = Line::new(format_args!("x{long}"));
        assert_eq!(line.as_str().len(), 511);
        assert_eq!(line.as_bytes_with_nul().last(), Some(&0));
        assert!(line.as_str().ends_with('é'));
    }

    #[test]
    fn devices_are_named_behind_their_indexes() {
        let named = |text: &str| {
            let line = Line::new(format_args!("{text}"));
            let name = |index| (index > 2).then(|| format!("eth{index}"));
            line.with_devices(&name).as_str().to_owned()
        };
        assert_eq!(named("interface 3: taken"), "interface 3 (eth3): taken");
        assert_eq!(
            named("from interface 12 next hop 10.0.0.9 to interface 3"),
            "from interface 12 (eth12) next hop 10.0.0.9 to interface 3 (eth3)"
        );
        for unchanged in [
            "",
            "interface ",
            "interface",
            "2 interfaces",
            "interface 2: it has no device",
            "interface 99999999999 is none",
            "interface 3 (eth3): named by the host",
        ] {
            assert_eq!(named(unchanged), unchanged);
        }
        let long = format!("interface 3{}interface 4", "é".repeat(247));
        assert!(named(&long).len() < Line::CAPACITY && named(&long).ends_with('é'));
    }

    #[test]
    fn names_go_both_ways() {
        for name in Level::ALLOWED.split(", ") {
            assert_eq!(Level::from_name(name).unwrap().name(), name);
        }
        assert_eq!(Level::from_name("verbose"), None);
    }

    #[test]
    fn one_line_in_ten_seconds() {
        let throttle = Throttle::new();
        assert_eq!(throttle.admit(0), Some(0));
        assert_eq!(throttle.admit(1), None);
        assert_eq!(throttle.admit(EVERY_MS - 1), None);
        assert_eq!(throttle.admit(EVERY_MS), Some(2));
        assert_eq!(throttle.admit(EVERY_MS + 1), None);
    }
}
