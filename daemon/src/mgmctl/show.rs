//! The lists as tables and as JSON.

use crate::options::{Filter, What};
use crate::table::{Cells, Table, extra, left, right};
use crate::text;
use crate::view::{self, Names, ViewError};
use mgm_daemon::control;
use mgm_daemon::state::{Client, InterfaceRow, Member, Mfe, Summary};
use serde_json::value::RawValue;
use std::io::Write;
use std::path::Path;

/// Shows a list.
pub fn show(host: &Path, what: &What, out: &mut dyn Write, width: usize) -> Result<(), ViewError> {
    match what {
        What::Mfes(rows) if rows.json => {
            json_rows(host, "mfes", &rows.filter, Filter::has_mfe, out)
        }
        What::Groups(rows) if rows.json => {
            json_rows(host, "groups", &rows.filter, Filter::has_member, out)
        }
        What::Mfes(rows) => mfes(host, &rows.filter, out, width),
        What::Groups(rows) => groups(host, &rows.filter, out, width),
        What::Interfaces(plain) if plain.json => json(host, "interfaces", out),
        What::Clients(plain) if plain.json => json(host, "clients", out),
        What::Counters(plain) if plain.json => json(host, "counters", out),
        What::Interfaces(_) => interfaces(host, out, width),
        What::Clients(_) => clients(host, out, width),
        What::Counters(_) => counters(host, out, width),
    }
}

/// Shows how many rows a list has.
pub fn count(host: &Path, what: &What, out: &mut dyn Write) -> Result<(), ViewError> {
    let (rows, json) = match what {
        What::Mfes(rows) => (rows_of(host, "mfes", |mfe| rows.filter.has_mfe(mfe))?, rows.json),
        What::Groups(rows) => {
            (rows_of(host, "groups", |row| rows.filter.has_member(row))?, rows.json)
        }
        What::Interfaces(plain) => {
            (rows_of::<InterfaceRow>(host, "interfaces", |_| true)?, plain.json)
        }
        What::Clients(plain) => (rows_of::<Client>(host, "clients", |_| true)?, plain.json),
        What::Counters(_) => return Err(ViewError::Other("counters are counted already".into())),
    };
    if json {
        writeln!(out, "{{\"count\":{rows}}}")?
    } else {
        writeln!(out, "{rows}")?
    }
    Ok(())
}

fn rows_of<T: serde::de::DeserializeOwned>(
    host: &Path,
    list: &str,
    wanted: impl Fn(&T) -> bool,
) -> Result<u64, ViewError> {
    let mut count = 0;
    control::list(host, list, &mut |row| {
        count += u64::from(wanted(&row));
        true
    })?;
    Ok(count)
}

/// Prints an answer as it came.
pub fn json(host: &Path, request: &str, out: &mut dyn Write) -> Result<(), ViewError> {
    Ok(writeln!(out, "{}", control::raw(host, request)?)?)
}

/// Prints the rows that are wanted as they come.
fn json_rows<T: serde::de::DeserializeOwned>(
    host: &Path,
    list: &str,
    filter: &Filter,
    wanted: impl Fn(&Filter, &T) -> bool,
    out: &mut dyn Write,
) -> Result<(), ViewError> {
    let (mut separator, mut failed) = ("", None);
    write!(out, "{{\"{list}\":[")?;
    let mut print = |row: &RawValue| {
        let read = serde_json::from_str::<T>(row.get())
            .map_err(|error| ViewError::Other(format!("a row makes no sense: {error}")))?;
        if wanted(filter, &read) {
            write!(out, "{separator}{row}")?;
            separator = ",";
        }
        Ok(())
    };
    control::list(host, list, &mut |row: Box<RawValue>| {
        failed = print(&row).err();
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(writeln!(out, "]}}")?),
    }
}

/// What the columns of entries show.
pub struct MfeRow {
    /// The entry.
    pub mfe: Mfe,
    /// Packets a second.
    pub rate: f64,
    /// Bits a second.
    pub bits: f64,
}

impl MfeRow {
    /// With the rates since the entry was made.
    fn average(mfe: Mfe) -> Self {
        let seconds = mfe.uptime.max(1) as f64;
        let (rate, bits) =
            (f64::from(mfe.packets) / seconds, f64::from(mfe.octets) * 8.0 / seconds);
        Self { mfe, rate, bits }
    }
}

/// The table of entries.
pub const MFES: Table<'_> = Table {
    columns: &[
        left("Group"),
        left("Source"),
        left("Fl"),
        right("Uptime"),
        right("Expire"),
        right("Packets"),
        right("Pkt/s"),
        extra("Bit/s"),
        extra("Wrong-if"),
        left("Owner"),
        left("In"),
    ],
    list: Some("Out"),
};

/// A row of the table of entries.
pub fn mfe_cells(row: &MfeRow, names: &Names) -> Cells {
    let MfeRow { mfe, rate, bits } = row;
    let cells = vec![
        mfe.group.to_string(),
        mfe.source.to_string(),
        text::flags(mfe),
        text::duration(mfe.uptime),
        text::duration(mfe.expires),
        text::count(mfe.packets.into()),
        text::rate(*rate),
        text::rate(*bits),
        text::count(mfe.wrong_interface.into()),
        names.protocol(mfe.iif_protocol_number),
        mfe.iif.to_string(),
    ];
    let list = if mfe.oifs.is_empty() {
        vec!["-".to_owned()]
    } else {
        mfe.oifs.iter().map(|oif| oif.interface.to_string()).collect()
    };
    Cells { cells, list }
}

fn mfes(host: &Path, filter: &Filter, out: &mut dyn Write, width: usize) -> Result<(), ViewError> {
    let names = Names::read(host)?;
    let rows: Vec<_> = view::mfes(host, filter)?.into_iter().map(MfeRow::average).collect();
    writeln!(out, "Flags: {}", text::FLAGS)?;
    Ok(MFES.write(out, width, &rows, &|row| mfe_cells(row, &names))?)
}

fn groups(
    host: &Path,
    filter: &Filter,
    out: &mut dyn Write,
    width: usize,
) -> Result<(), ViewError> {
    let names = Names::read(host)?;
    let rows = view::members(host, filter)?;
    let columns = [left("Group"), left("Source"), left("Interface"), left("Client"), left("Role")];
    let cells = |row: &Member| Cells {
        cells: vec![
            text::any(row.group),
            text::any(row.source),
            row.interface.to_string(),
            row.client.map_or("-".into(), |client| names.client(client)),
            if row.igmp { "igmp" } else { "protocol" }.into(),
        ],
        list: Vec::new(),
    };
    Ok(Table { columns: &columns, list: None }.write(out, width, &rows, &cells)?)
}

fn interfaces(host: &Path, out: &mut dyn Write, width: usize) -> Result<(), ViewError> {
    let names = Names::read(host)?;
    let rows = view::rows::<InterfaceRow>(host, "interfaces", |_| true)?;
    let columns = [
        left("Interface"),
        right("Index"),
        left("State"),
        left("Owner"),
        left("IGMP"),
        right("Memberships"),
    ];
    let client = |client: Option<_>| client.map_or("-".into(), |client| names.client(client));
    let cells = |row: &InterfaceRow| Cells {
        cells: vec![
            row.interface.to_string(),
            row.interface.index.to_string(),
            if row.up { "up" } else { "down" }.into(),
            client(row.owner),
            client(row.igmp),
            row.memberships.to_string(),
        ],
        list: Vec::new(),
    };
    Ok(Table { columns: &columns, list: None }.write(out, width, &rows, &cells)?)
}

fn clients(host: &Path, out: &mut dyn Write, width: usize) -> Result<(), ViewError> {
    let rows = view::rows::<Client>(host, "clients", |_| true)?;
    let names = Names::of(&rows);
    let columns = [
        left("Client"),
        left("Protocol"),
        right("Component"),
        left("Role"),
        right("Interfaces"),
        right("Uptime"),
        right("Process"),
    ];
    let cells = |row: &Client| Cells {
        cells: vec![
            names.client(row.id),
            view::protocol(row.id.protocol_number),
            row.id.component.to_string(),
            if row.igmp { "igmp" } else { "protocol" }.into(),
            row.interfaces.to_string(),
            text::duration(row.uptime),
            row.process.map_or("host".into(), |process| process.to_string()),
        ],
        list: Vec::new(),
    };
    Ok(Table { columns: &columns, list: None }.write(out, width, &rows, &cells)?)
}

fn counters(host: &Path, out: &mut dyn Write, width: usize) -> Result<(), ViewError> {
    let Summary { counters, .. } = control::summary(host)?;
    let mut rows = vec![
        ("Clients", counters.clients),
        ("Groups with members", counters.groups),
        ("Memberships", counters.memberships),
        ("Entries", counters.mfes),
        ("  without outgoing interfaces", counters.negative_mfes),
        ("Flows whose clients are being asked", counters.pending_flows),
        ("Alerts that wait", counters.queued_alerts),
        ("Since the start:", 0),
        ("  new flows", counters.new_flows),
        ("  refused flows", counters.refused_flows),
        ("  packets on a wrong interface", counters.wrong_interface),
        ("  changes that the forwarder refused", counters.refused_changes),
    ];
    let own: Vec<_> =
        counters.forwarder.iter().map(|(name, count)| (own_name(name), *count)).collect();
    rows.extend(own.iter().map(|(name, count)| (name.as_str(), *count)));
    for (name, count) in rows {
        if name.ends_with(':') {
            writeln!(out, "{name}")?
        } else {
            writeln!(out, "{name:40}{count:>12}")?
        }
    }
    writeln!(out)?;
    let columns = [
        left("Callback"),
        right("Calls"),
        right("Mean ms"),
        right("Over 10 ms"),
        right("Over 1 s"),
    ];
    let over = |row: &mgm_daemon::state::Times, ms| {
        let within =
            row.within.iter().find(|range| range.milliseconds == ms).map_or(0, |range| range.count);
        row.count.saturating_sub(within).to_string()
    };
    let cells = |row: &mgm_daemon::state::Times| Cells {
        cells: vec![
            row.callback.as_str().to_owned(),
            row.count.to_string(),
            format!("{:.2}", row.milliseconds as f64 / row.count.max(1) as f64),
            over(row, 10),
            over(row, 1000),
        ],
        list: Vec::new(),
    };
    Ok(Table { columns: &columns, list: None }.write(out, width, &counters.callbacks, &cells)?)
}

/// A counter of the forwarder's own as a text.
fn own_name(name: &str) -> String {
    let shown = name.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { ' ' });
    format!("  forwarder: {}", shown.take(26).collect::<String>())
}

/// Shows the host, and how much there is of everything.
pub fn summary(host: &Path, out: &mut dyn Write) -> Result<(), ViewError> {
    let Summary { version, process, forwarder, uptime, limits, counters: c } =
        control::summary(host)?;
    let name = view::process_name(process);
    let name = name.as_ref().map_or("process", |name| name.as_str());
    writeln!(out, "Host        {}", host.display())?;
    writeln!(
        out,
        "            libmgm {}, {} forwarder, {name} {process}, up {}",
        version.as_str(),
        forwarder.as_str(),
        text::duration(uptime)
    )?;
    writeln!(
        out,
        "Entries     {} of {}: {} forward, {} without outgoing interfaces (of {})",
        c.mfes,
        limits.max_mfes,
        c.mfes.saturating_sub(c.negative_mfes),
        c.negative_mfes,
        limits.max_negative_mfes
    )?;
    writeln!(out, "            {} flows are being asked about", c.pending_flows)?;
    writeln!(out, "Members     {} memberships, {} sources and groups", c.memberships, c.groups)?;
    writeln!(out, "Clients     {}, {} alerts wait", c.clients, c.queued_alerts)?;
    writeln!(
        out,
        "So far      {} new flows, {} refused; {} packets on a wrong interface;",
        c.new_flows, c.refused_flows, c.wrong_interface
    )?;
    writeln!(out, "            {} changes that the forwarder refused", c.refused_changes)?;
    Ok(())
}
