//! How the library is set up: by the host, or from the environment.

#![forbid(unsafe_code)]

use crate::core::{Limits, PORTION};
use crate::error::{Error, StartError};
use crate::forwarder::Forwarder;
use crate::forwarder::memory::MemoryConfig;
use crate::log::{Level, Line};
use crate::shell::host_calls::HostCalls;
use crate::types::Millis;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The host's function for log lines.
pub type LogFn = Arc<dyn Fn(Level, &Line) + Send + Sync>;

/// Where log lines go. The host's function is called with no lock held.
#[derive(Clone)]
pub enum LogSink {
    /// Standard error, one line each.
    Stderr,
    /// The host's function.
    Host(LogFn),
}

/// The clock's reading, given by the host.
pub type ClockFn = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Which forwarding plane to use.
pub enum ForwarderChoice {
    /// Inside the process.
    Memory(MemoryConfig),
    /// Linux's own.
    Kernel {
        /// The multicast routing table; 0 is the default one.
        table: u32,
    },
    /// The host's.
    Custom(Arc<dyn Forwarder>),
}

/// The greatest id of a multicast routing table that the kernel takes.
pub const MAX_TABLE: u32 = 999_999_999;

/// Everything that can be set.
pub struct Settings {
    /// The cap on forwarding entries (rule G1); 0: the default of 1,048,576.
    pub max_mfes: u32,
    /// New flows per second; 0: no limit.
    pub max_new_mfes_per_second: u32,
    /// New flows per second from one source; 0: no limit.
    pub max_new_mfes_per_source: u32,
    /// What is logged.
    pub log_level: Level,
    /// Where it goes.
    pub log: LogSink,
    /// The host's clock. With one, nothing happens by itself when time passes: lifetimes are
    /// looked at when the host calls.
    pub clock: Option<ClockFn>,
    /// Where to serve the control socket.
    pub control_path: Option<PathBuf>,
    /// The forwarding plane.
    pub forwarder: ForwarderChoice,
    /// Kernel: a raw IGMP socket that was handed over, instead of a new one. Others do not use it.
    pub multicast_socket: Option<i32>,
    /// Nobody chose the forwarder: the environment does not name one, so it is the memory
    /// forwarder.
    pub forwarder_by_default: bool,
    /// How much of a change of many entries is carried out under one lock. Only tests set it.
    pub portion: usize,
    /// Counts the threads inside the host's functions that are given here.
    pub host_calls: Arc<HostCalls>,
    /// Serve clients in other processes (rules P).
    pub serve: Option<PathBuf>,
    /// How long what an ended process leaves behind goes on (rule P3). Without `serve` zero.
    pub hold: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_mfes: 0,
            max_new_mfes_per_second: 0,
            max_new_mfes_per_source: 0,
            log_level: Level::Error,
            log: LogSink::Stderr,
            clock: None,
            control_path: None,
            forwarder: ForwarderChoice::Memory(MemoryConfig::default()),
            multicast_socket: None,
            forwarder_by_default: false,
            portion: PORTION,
            host_calls: Arc::new(HostCalls::new()),
            serve: None,
            hold: Duration::ZERO,
        }
    }
}

impl Settings {
    /// The values of MGM_FORWARDER.
    pub const FORWARDERS: &str = "memory, kernel, kernel:TABLE with a table id from 1 to 999999999";

    /// Checks that there is memory to start with. Starting makes a few small allocations, each of
    /// which would abort where memory runs out. This check fails instead (rule A4).
    pub fn room_to_start() -> Result<(), Error> {
        const AMPLE: usize = 256 * 1024;
        Ok(Vec::<u8>::new().try_reserve_exact(AMPLE)?)
    }

    /// The settings of the environment: MGM_FORWARDER, MGM_LOG, MGM_MAX_MFES, MGM_CONTROL. A value
    /// that makes no sense is an error, never a fallback. LISTEN_* are a service manager's, about a
    /// socket that it passes. They are ignored where they are meant for another process or name no
    /// `mgm`.
    pub fn from_env() -> Result<Self, Error> {
        let settings = Self::from_env_where(|_| true)?;
        if !settings.hold.is_zero() && settings.serve.is_none() {
            return Err(bad("MGM_HOLD", "0 without MGM_SERVE"));
        }
        Ok(settings)
    }

    /// The same without the variables that `read` denies: they are not looked at.
    pub fn from_env_where(read: impl Fn(&str) -> bool) -> Result<Self, Error> {
        Self::room_to_start()?;
        Self::from_variables(|name| read(name).then(|| std::env::var_os(name)).flatten())
    }

    fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let mut settings =
            Self { multicast_socket: passed_socket(&get, std::process::id()), ..Self::default() };
        match get("MGM_FORWARDER") {
            Some(value) => {
                settings.forwarder = match text(&value) {
                    "memory" => ForwarderChoice::Memory(MemoryConfig::default()),
                    "kernel" => ForwarderChoice::Kernel { table: 0 },
                    other => match other.strip_prefix("kernel:").and_then(number) {
                        Some(table @ 1..=MAX_TABLE) => ForwarderChoice::Kernel { table },
                        _ => return Err(bad("MGM_FORWARDER", Self::FORWARDERS)),
                    },
                };
            }
            None => settings.forwarder_by_default = true,
        }
        if let Some(value) = get("MGM_LOG") {
            settings.log_level =
                Level::from_name(text(&value)).ok_or(bad("MGM_LOG", Level::ALLOWED))?;
        }
        if let Some(value) = get("MGM_MAX_MFES") {
            settings.max_mfes = number(text(&value))
                .filter(|max| *max > 0)
                .ok_or(bad("MGM_MAX_MFES", "a number from 1 to 4294967295"))?;
        }
        if let Some(value) = get("MGM_CONTROL") {
            if value.is_empty() {
                return Err(bad("MGM_CONTROL", "the path of a UNIX socket to serve"));
            }
            settings.control_path = Some(value.into());
        }
        if let Some(value) = get("MGM_HOLD") {
            let seconds = number(text(&value)).ok_or(bad("MGM_HOLD", HOLD_ALLOWED))?;
            settings.hold = Duration::from_secs(seconds.into());
        }
        if let Some(value) = get("MGM_SERVE") {
            if value.is_empty() {
                return Err(bad("MGM_SERVE", "the path of a UNIX socket to serve"));
            }
            settings.serve = Some(value.into());
        }
        Ok(settings)
    }

    /// The host that this process is a client of, and the log's level: MGM_HOST and MGM_LOG. With any
    /// other variable of ours MGM_HOST is an error.
    pub fn host_from_env() -> Result<Option<(PathBuf, Level)>, Error> {
        Self::host_from_variables(|name| std::env::var_os(name))
    }

    fn host_from_variables(
        get: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<(PathBuf, Level)>, Error> {
        let Some(path) = get("MGM_HOST") else { return Ok(None) };
        if path.is_empty() {
            return Err(bad("MGM_HOST", "the path of a host's UNIX socket"));
        }
        let others = ["MGM_FORWARDER", "MGM_MAX_MFES", "MGM_CONTROL", "MGM_SERVE", "MGM_HOLD"];
        if others.iter().any(|name| get(name).is_some()) {
            return Err(bad(
                "MGM_HOST",
                "none beside MGM_FORWARDER, MGM_MAX_MFES, MGM_CONTROL, MGM_SERVE, MGM_HOLD: a \
                 client of a host is no host",
            ));
        }
        let level = match get("MGM_LOG") {
            Some(value) => Level::from_name(text(&value)).ok_or(bad("MGM_LOG", Level::ALLOWED))?,
            None => Level::Error,
        };
        Ok(Some((path.into(), level)))
    }

    /// The limits of rule G1.
    pub fn limits(&self) -> Limits {
        Limits {
            max_mfes: if self.max_mfes == 0 { Limits::DEFAULT_MAX_MFES } else { self.max_mfes },
            new_per_second: self.max_new_mfes_per_second,
            new_per_source: self.max_new_mfes_per_source,
        }
    }
}

/// What MGM_HOLD may be.
const HOLD_ALLOWED: &str = "a number of seconds";

/// The descriptor called "mgm" that a service manager passed (sd_listen_fds: LISTEN_PID,
/// LISTEN_FDS, LISTEN_FDNAMES), if there is one and it is meant for this process.
fn passed_socket(get: &impl Fn(&str) -> Option<OsString>, own_pid: u32) -> Option<i32> {
    let number_of = |name| get(name).as_ref().map(text).and_then(number);
    if number_of("LISTEN_PID") != Some(own_pid) {
        return None;
    }
    let names = get("LISTEN_FDNAMES")?;
    let at = text(&names).split(':').position(|name| name == "mgm")?;
    // The descriptors begin after standard error.
    (at < number_of("LISTEN_FDS")? as usize).then(|| 3 + at as i32)
}

fn bad(name: &'static str, allowed: &'static str) -> Error {
    Error::Start(StartError::BadSetting { name, allowed })
}

/// A value as text. A value that is no text becomes one that is not allowed.
fn text(value: &OsString) -> &str {
    value.to_str().unwrap_or("\u{fffd}")
}

/// Decimal digits only: no sign, no blanks.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> Result<Settings, Error> {
        Settings::from_variables(|asked| (asked == name).then(|| value.into()))
    }

    #[test]
    fn allowed_values() {
        let none = Settings::from_variables(|_| None).unwrap();
        assert!(matches!(none.forwarder, ForwarderChoice::Memory(_)));
        assert_eq!((none.log_level, none.limits().max_mfes), (Level::Error, 1_048_576));
        assert!(matches!(
            with("MGM_FORWARDER", "memory").unwrap().forwarder,
            ForwarderChoice::Memory(_)
        ));
        for (value, id) in [("kernel", 0), ("kernel:7", 7), ("kernel:999999999", 999_999_999)] {
            let settings = with("MGM_FORWARDER", value).unwrap();
            assert!(matches!(settings.forwarder, ForwarderChoice::Kernel { table } if table == id));
        }
        assert_eq!(with("MGM_LOG", "trace").unwrap().log_level, Level::Trace);
        assert_eq!(with("MGM_MAX_MFES", "5").unwrap().limits().max_mfes, 5);
        assert_eq!(with("MGM_CONTROL", "/run/x").unwrap().control_path, Some("/run/x".into()));
    }

    #[test]
    fn a_socket_that_was_passed() {
        let passed = |pid: &str, count: &str, names: &str| {
            let get = |name: &str| match name {
                "LISTEN_PID" => Some(pid.into()),
                "LISTEN_FDS" => Some(count.into()),
                "LISTEN_FDNAMES" => Some(names.into()),
                _ => None,
            };
            passed_socket(&get, 77)
        };
        assert_eq!(passed("77", "1", "mgm"), Some(3));
        assert_eq!(passed("77", "3", "web:mgm:log"), Some(4));
        assert_eq!(passed("78", "1", "mgm"), None, "another process's");
        assert_eq!(passed("77", "1", "web:mgm"), None, "fewer than names");
        assert_eq!(passed("77", "1", "igmp"), None);
        assert_eq!(passed("", "", ""), None);
    }

    #[test]
    fn every_other_value_is_an_error_that_names_the_variable() {
        let bad = [
            (
                "MGM_FORWARDER",
                ["", "Kernel", "kernel:", "kernel:0", "kernel:-1", "kernel:1000000000", "dpdk"],
            ),
            ("MGM_LOG", ["", "ERROR", "verbose", "1", " warn", "off,", "all"]),
            ("MGM_MAX_MFES", ["", "0", "-1", "+1", "1k", "4294967296", "1 "]),
            ("MGM_CONTROL", [""; 7]),
        ];
        for (name, values) in bad {
            for value in values {
                let Err(error) = with(name, value) else { panic!("{name}={value} was taken") };
                assert!(error.to_string().contains(name), "{error}");
                assert_eq!(error.code(), crate::error::code::ERROR_CAN_NOT_COMPLETE);
            }
        }
    }
}
