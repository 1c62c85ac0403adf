//! What mgmd is told: on its command line, and in a file with the same names. The command line counts
//! more.

use clap::Parser;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Where clients connect unless told otherwise.
pub const SERVE: &str = "/run/mgm/mgm.sock";
/// Where administrators' tools ask unless told otherwise.
pub const CONTROL: &str = "/run/mgm/control.sock";

/// The multicast group manager as a daemon.
///
/// Routing protocols that use mgm.h run as processes of their own, with MGM_HOST set to the path of
/// the socket that mgmd serves.
#[derive(Clone, Debug, Default, Deserialize, Parser)]
#[command(name = "mgmd", version, about, max_term_width = 100)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// What carries packets: kernel, kernel:TABLE (a multicast routing table's id) or memory
    /// [default: kernel]
    #[arg(long, value_name = "KIND")]
    pub forwarder: Option<String>,
    /// The socket for clients [default: /run/mgm/mgm.sock]
    #[arg(long, value_name = "PATH")]
    pub serve: Option<PathBuf>,
    /// The socket for administrators' tools [default: /run/mgm/control.sock]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// The most forwarding entries [default: 1048576]
    #[arg(long, value_name = "N")]
    pub max_mfes: Option<u32>,
    /// How long what a client leaves behind when its process ends goes on, so that it loses nothing
    /// when it is started again [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub hold: Option<u32>,
    /// Serve metrics for Prometheus there, at /metrics: a port of the loopback interface, or an address
    /// with a port; not served by default
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
    /// off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// A TOML file with these names
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

impl Options {
    /// The command line and the file that it names.
    pub fn read() -> Result<Self, String> {
        let line = Self::parse();
        match &line.config {
            Some(path) => Ok(line.clone().or(Self::from_file(path)?)),
            None => Ok(line),
        }
    }

    fn from_file(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        toml::from_str(&text).map_err(|error| format!("{name}: {error}"))
    }

    /// What one does not say the other does.
    fn or(self, other: Self) -> Self {
        Self {
            forwarder: self.forwarder.or(other.forwarder),
            serve: self.serve.or(other.serve),
            control: self.control.or(other.control),
            max_mfes: self.max_mfes.or(other.max_mfes),
            hold: self.hold.or(other.hold),
            metrics: self.metrics.or(other.metrics),
            log: self.log.or(other.log),
            config: self.config,
        }
    }
}

/// dwForwarder and dwTableId.
pub fn forwarder(text: &str) -> Result<(u32, u32), String> {
    use mgm::ffi::types::{MGM_FORWARDER_KERNEL, MGM_FORWARDER_MEMORY};
    let table = |text: &str| text.parse().ok().filter(|table| (1..=999_999_999).contains(table));
    match text {
        "memory" => Ok((MGM_FORWARDER_MEMORY, 0)),
        "kernel" => Ok((MGM_FORWARDER_KERNEL, 0)),
        other => match other.strip_prefix("kernel:").and_then(table) {
            Some(table) => Ok((MGM_FORWARDER_KERNEL, table)),
            None => Err(format!(
                "--forwarder {other}: allowed are memory, kernel, kernel:TABLE with a table from 1 \
                 to 999999999"
            )),
        },
    }
}

/// dwLogLevel.
pub fn log_level(text: &str) -> Result<u32, String> {
    use mgm::ffi::types::MGM_LOG_OFF;
    match mgm::log::Level::from_name(text) {
        Some(mgm::log::Level::Off) => Ok(MGM_LOG_OFF),
        Some(level) => Ok(level as u32),
        None => Err(format!("--log {text}: allowed are {}", mgm::log::Level::ALLOWED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_counts_more_than_the_file() {
        let file: Options = toml::from_str("hold = 30\nmax-mfes = 5\nserve = \"/x\"\n").unwrap();
        let line = Options::parse_from(["mgmd", "--hold", "7"]);
        let both = line.or(file);
        assert_eq!((both.hold, both.max_mfes, both.serve), (Some(7), Some(5), Some("/x".into())));
    }

    #[test]
    fn an_unknown_name_in_the_file_is_an_error_that_names_it() {
        let error = toml::from_str::<Options>("holt = 30\n").unwrap_err().to_string();
        assert!(error.contains("holt") && error.contains("hold"), "{error}");
    }

    #[test]
    fn forwarders_and_levels() {
        assert_eq!(forwarder("kernel:7"), Ok((1, 7)));
        assert_eq!(forwarder("memory"), Ok((0, 0)));
        for bad in ["", "kernel:0", "kernel:x", "dpdk"] {
            assert!(forwarder(bad).unwrap_err().contains("memory"));
        }
        assert_eq!((log_level("off"), log_level("trace")), (Ok(u32::MAX), Ok(5)));
        assert!(log_level("loud").unwrap_err().contains("warn"));
    }
}
