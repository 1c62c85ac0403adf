//! mgmctl: what a group manager does, for administrators.
//!
//! | file | what it is |
//! |---|---|
//! | `options`, `filter` | the command line, and which rows it wants |
//! | `view` | what is asked of a host and kept |
//! | `show`, `table`, `text` | lists as tables and JSON |
//! | `watch`, `screen` | the busiest entries, painted again and again |
//! | `graph` | a picture for Graphviz |
//! | `events` | a line for each change |

#![forbid(unsafe_code)]

mod events;
mod filter;
mod graph;
mod options;
mod screen;
mod show;
mod table;
mod text;
mod view;
mod watch;

use clap::{CommandFactory, Parser};
use mgm_daemon::control::{self, AskError};
use mgm_daemon::metrics;
use options::{Command, Options};
use std::io::{BufWriter, ErrorKind, Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use table::{Cells, Table, left, right};
use view::ViewError;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has enough, as head(1) has.
        Err(ViewError::Print(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mgmctl: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), ViewError> {
    let named = options.control.as_deref();
    let mut out = BufWriter::new(stdout().lock());
    let (width, _) = screen::size();
    match &options.command {
        Command::Show { what } => show::show(&control::find(named)?, what, &mut out, width)?,
        Command::Count { what } => show::count(&control::find(named)?, what, &mut out)?,
        Command::Summary { json: true } => {
            show::json(&control::find(named)?, "summary", &mut out)?;
        }
        Command::Summary { json: false } => show::summary(&control::find(named)?, &mut out)?,
        Command::Hosts => hosts(named, &mut out, width)?,
        Command::Graph(options) => graph::graph(&control::find(named)?, options, &mut out)?,
        Command::Metrics { form } => {
            let summary = control::summary(&control::find(named)?)?;
            let form = match form {
                options::Form::Openmetrics => metrics::Form::OpenMetrics,
                options::Form::Prometheus => metrics::Form::Prometheus,
            };
            out.write_all(metrics::text(&summary, form).as_bytes())?;
        }
        Command::Completion { shell } => {
            clap_complete::generate(*shell, &mut Options::command(), "mgmctl", &mut out);
        }
        // These take the terminal for themselves.
        Command::Watch(options) => {
            drop(out);
            return watch::watch(&control::find(named)?, options);
        }
        Command::Events(options) => {
            drop(out);
            return events::events(&control::find(named)?, options);
        }
    }
    Ok(out.flush()?)
}

/// Lists the hosts that run.
fn hosts(named: Option<&Path>, out: &mut dyn Write, width: usize) -> Result<(), ViewError> {
    let mut rows = Vec::new();
    for path in control::candidates(named) {
        let shown = path.display().to_string();
        let cells = match control::summary(&path) {
            Ok(summary) => vec![
                shown,
                summary.process.to_string(),
                summary.version.as_str().to_owned(),
                summary.forwarder.as_str().to_owned(),
                text::duration(summary.uptime),
                summary.counters.mfes.to_string(),
                summary.counters.clients.to_string(),
            ],
            // Left behind by a host that died, or a socket for clients.
            Err(AskError::NoHost(_) | AskError::OtherKind(_)) => continue,
            Err(error) => {
                let error = error.to_string();
                let what = error.lines().next().unwrap_or_default();
                eprintln!("mgmctl: {what}");
                continue;
            }
        };
        rows.push(cells);
    }
    if rows.is_empty() {
        return Err(AskError::NoHost(named.unwrap_or(Path::new(control::DEFAULT)).into()).into());
    }
    let columns = [
        left("Socket"),
        right("Process"),
        left("Version"),
        left("Forwarder"),
        right("Uptime"),
        right("Entries"),
        right("Clients"),
    ];
    let cells = |row: &Vec<String>| Cells { cells: row.clone(), list: Vec::new() };
    Ok(Table { columns: &columns, list: None }.write(out, width, &rows, &cells)?)
}
