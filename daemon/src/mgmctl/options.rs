//! The command line.

use crate::filter::{Device, Prefix};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Shows what a multicast group manager does: its entries, memberships, interfaces and clients.
///
/// It asks a host over its control socket, which only reads. Without --control and MGM_CONTROL hosts are
/// looked for in /run/mgm and $XDG_RUNTIME_DIR/mgm.
#[derive(Debug, Parser)]
#[command(name = "mgmctl", version, max_term_width = 100)]
pub struct Options {
    /// The host's control socket, or a directory with one
    #[arg(long, global = true, value_name = "PATH", env = "MGM_CONTROL")]
    pub control: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a list
    Show {
        /// Which one
        #[command(subcommand)]
        what: What,
    },
    /// Show how many rows a list has
    Count {
        /// Which one
        #[command(subcommand)]
        what: What,
    },
    /// Show the host, and how much there is of everything
    Summary {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the hosts that run
    Hosts,
    /// Show the busiest entries, again and again (q ends it)
    Watch(Watch),
    /// Print who sends what through which interface, for Graphviz: `mgmctl graph | dot -Tsvg`
    Graph(Graph),
    /// Print a line for each change: clients, owners, memberships, entries
    Events(Events),
    /// Print the counters as Prometheus reads them
    Metrics {
        /// Which form
        #[arg(long, value_enum, default_value_t = Form::Openmetrics)]
        form: Form,
    },
    /// Print the completion of a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The form of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// OpenMetrics 1.0
    Openmetrics,
    /// Prometheus' text format 0.0.4, as for its textfile collector
    Prometheus,
}

/// A list.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The forwarding entries
    Mfes(Rows),
    /// The memberships
    Groups(Rows),
    /// The interfaces and who is on them
    Interfaces(Plain),
    /// The registered clients
    Clients(Plain),
    /// How much there is of everything, and what has gone wrong
    Counters(Plain),
}

/// Choices among entries or memberships.
#[derive(Debug, Default, Args)]
pub struct Filter {
    /// Only this group, or groups of this prefix (239.1.0.0/16)
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<Prefix>,
    /// Only this source, or sources of this prefix; 0.0.0.0 is any source
    #[arg(short, long, value_name = "SOURCE")]
    pub source: Option<Prefix>,
    /// Only what comes in or goes out on this interface: a device's name or an index
    #[arg(short, long, value_name = "INTERFACE")]
    pub interface: Option<Device>,
}

/// How to show entries or memberships.
#[derive(Debug, Default, Args)]
pub struct Rows {
    /// Which ones
    #[command(flatten)]
    pub filter: Filter,
    /// As JSON, one object with a list
    #[arg(long)]
    pub json: bool,
}

/// How to show another list.
#[derive(Debug, Default, Args)]
pub struct Plain {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// How to watch.
#[derive(Debug, Args)]
pub struct Watch {
    /// Which entries
    #[command(flatten)]
    pub filter: Filter,
    /// Seconds between two looks
    #[arg(short = 'n', long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub interval: f64,
    /// What comes first
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    pub sort: Sort,
    /// End after so many looks
    #[arg(long, value_name = "N")]
    pub looks: Option<u64>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// The most packets a second
    Rate,
    /// The most packets
    Packets,
    /// The youngest
    Uptime,
    /// The group, then the source
    Group,
    /// The source, then the group
    Source,
}

/// What to draw.
#[derive(Debug, Args)]
pub struct Graph {
    /// Which entries
    #[command(flatten)]
    pub filter: Filter,
    /// The most groups to draw: those with the most packets
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub limit: usize,
}

/// How to follow changes.
#[derive(Debug, Args)]
pub struct Events {
    /// Which entries and memberships
    #[command(flatten)]
    pub filter: Filter,
    /// Seconds between two looks
    #[arg(short = 'n', long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub interval: f64,
    /// One JSON object on each line
    #[arg(long)]
    pub json: bool,
    /// End after so many looks
    #[arg(long, value_name = "N")]
    pub looks: Option<u64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("allowed are 0.1 to 3600".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for bad in [
            &["watch", "-n", "0"][..],
            &["watch", "-n", "nan"],
            &["show", "mfes", "-g", "239.1.1"],
            &["show", "mfes", "-g", "239.1.1.1/33"],
            &["show", "mfes", "-i", ""],
            &["show", "routes"],
        ] {
            let line = std::iter::once("mgmctl").chain(bad.iter().copied());
            assert!(Options::try_parse_from(line).is_err(), "{bad:?}");
        }
    }
}
