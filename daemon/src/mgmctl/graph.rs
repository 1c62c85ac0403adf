//! Who sends what through which interface, as a graph in Graphviz' language.
//!
//! From left to right: sources, the interfaces that their packets come in on, groups, the interfaces
//! that the packets leave by, and the clients that have memberships there.

use crate::options::{Filter, Graph};
use crate::text;
use crate::view::{self, Names, ViewError};
use mgm_daemon::state::{Interface, Mfe};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

/// The most sources that are drawn one by one for an interface.
const MOST_SOURCES: usize = 12;

/// What is drawn of a group.
#[derive(Default)]
struct Group {
    packets: u64,
    /// Packets, and whether anything of it is forwarded, by incoming interface.
    from: BTreeMap<Interface, (u64, bool)>,
    to: BTreeMap<Interface, u64>,
}

/// Prints the graph.
pub fn graph(host: &Path, options: &Graph, out: &mut dyn Write) -> Result<(), ViewError> {
    let names = Names::read(host)?;
    let mfes = view::mfes(host, &options.filter)?;
    let mut owners: BTreeMap<Interface, String> = BTreeMap::new();
    let mut groups: BTreeMap<Ipv4Addr, Group> = BTreeMap::new();
    let mut sources: BTreeMap<Interface, BTreeMap<Ipv4Addr, u64>> = BTreeMap::new();
    for mfe in &mfes {
        let Mfe { group, source, iif, packets, .. } = mfe;
        owners.entry(*iif).or_insert_with(|| names.protocol(mfe.iif_protocol_number));
        *sources.entry(*iif).or_default().entry(*source).or_default() += u64::from(*packets);
        let drawn = groups.entry(*group).or_default();
        drawn.packets += u64::from(*packets);
        let from = drawn.from.entry(*iif).or_default();
        from.0 += u64::from(*packets);
        from.1 |= !mfe.oifs.is_empty();
        for oif in &mfe.oifs {
            *drawn.to.entry(oif.interface).or_default() += u64::from(oif.packets);
        }
    }
    let mut order: Vec<_> = groups.iter().map(|(group, drawn)| (drawn.packets, *group)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let chosen: BTreeSet<Ipv4Addr> =
        order.iter().take(options.limit).map(|(_, group)| *group).collect();
    let left_out = groups.len() - chosen.len();
    groups.retain(|group, _| chosen.contains(group));
    let used: BTreeSet<Interface> =
        groups.values().flat_map(|drawn| drawn.from.keys().copied()).collect();
    sources.retain(|iif, _| used.contains(iif));

    writeln!(out, "{HEAD}")?;
    if left_out > 0 {
        writeln!(out, "  label=\"{left_out} quieter groups are left out (--limit)\";")?;
    }
    let mut dot = Dot(out);
    for (iif, from) in &sources {
        let (name, owner) = (format!("in {iif}"), owners.get(iif).map_or("-", String::as_str));
        dot.node(&name, &format!("{iif}\n{owner}"), "")?;
        if from.len() > MOST_SOURCES {
            let many = format!("many {iif}");
            dot.node(&many, &format!("{} sources", from.len()), ", shape=ellipse")?;
            dot.edge(&many, &name, &text::count(from.values().sum()), "")?;
            continue;
        }
        for (source, packets) in from {
            let from = format!("from {source}");
            dot.node(&from, &source.to_string(), ", shape=ellipse")?;
            dot.edge(&from, &name, &text::count(*packets), "")?;
        }
    }
    for (group, drawn) in &groups {
        let name = format!("group {group}");
        dot.node(&name, &group.to_string(), ", fillcolor=\"#fdf2d8\", color=\"#b58a2b\"")?;
        for (iif, (packets, forwards)) in &drawn.from {
            let style = if *forwards { "" } else { ", style=dashed, color=\"#b03a3a\"" };
            dot.edge(&format!("in {iif}"), &name, &text::count(*packets), style)?;
        }
        for (oif, packets) in &drawn.to {
            let out = format!("out {oif}");
            dot.node(&out, &oif.to_string(), "")?;
            dot.edge(&name, &out, &text::count(*packets), "")?;
        }
    }
    let leaves: BTreeSet<Interface> =
        groups.values().flat_map(|drawn| drawn.to.keys().copied()).collect();
    let members = members(host, &options.filter, &names, &chosen)?;
    for (oif, client, count) in members.into_iter().filter(|(oif, ..)| leaves.contains(oif)) {
        let (name, s) = (format!("client {client}"), if count == 1 { "" } else { "s" });
        let style = ", shape=ellipse, fillcolor=\"#e9f6e9\", color=\"#4f8a4f\"";
        dot.node(&name, &client, style)?;
        let label = format!("{count} member{s}");
        dot.edge(&format!("out {oif}"), &name, &label, ", style=dotted")?;
    }
    Ok(writeln!(out, "}}")?)
}

const HEAD: &str = "digraph mgm {
  rankdir=LR; nodesep=0.15; ranksep=0.7; fontname=\"Helvetica\";
  node [fontname=\"Helvetica\", fontsize=11, shape=box, style=\"rounded,filled\",
        fillcolor=\"#eef3fb\", color=\"#5b7db1\"];
  edge [fontname=\"Helvetica\", fontsize=9, color=\"#5b7db1\"];";

/// Writes nodes and edges. A node may be written again.
struct Dot<'a>(&'a mut dyn Write);

impl Dot<'_> {
    fn node(&mut self, name: &str, label: &str, style: &str) -> std::io::Result<()> {
        writeln!(self.0, "  \"{}\" [label=\"{}\"{style}];", quoted(name), quoted(label))
    }

    fn edge(&mut self, from: &str, to: &str, label: &str, style: &str) -> std::io::Result<()> {
        let (from, to) = (quoted(from), quoted(to));
        writeln!(self.0, "  \"{from}\" -> \"{to}\" [label=\"{label}\"{style}];")
    }
}

/// How many memberships each client has on each interface for the groups that are drawn, or for all.
fn members(
    host: &Path,
    filter: &Filter,
    names: &Names,
    groups: &BTreeSet<Ipv4Addr>,
) -> Result<Vec<(Interface, String, u64)>, ViewError> {
    let mut found: BTreeMap<(Interface, String), u64> = BTreeMap::new();
    let wanted = |group: Ipv4Addr| group.is_unspecified() || groups.contains(&group);
    for member in view::members(host, filter)? {
        if wanted(member.group) {
            let client = member.client.map_or("-".into(), |client| names.client(client));
            *found.entry((member.interface, client)).or_default() += 1;
        }
    }
    Ok(found.into_iter().map(|((oif, client), count)| (oif, client, count)).collect())
}

/// A text between quotation marks.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
