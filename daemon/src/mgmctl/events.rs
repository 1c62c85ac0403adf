//! A line for each change, as the host has kept them.

use crate::options::{Events, Filter};
use crate::screen::{Event as Key, Screen};
use crate::text;
use crate::view::{self, Names, ViewError};
use mgm_daemon::control;
use mgm_daemon::state::{
    Changes, Client, Event, Interface, InterfaceRow, Member, Mfe, Name, Owner,
};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{Write, stdout};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A change.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// What changed: host, client, interface, member or entry; events where some are missing.
    of: &'static str,
    /// What became of it.
    what: &'static str,
    /// Which one.
    name: String,
    /// As it is now, or was.
    now: String,
}

/// What lines need that is not in the changes themselves. It stays known when things have gone.
#[derive(Default)]
struct Known {
    names: Names,
    processes: HashMap<Owner, u32>,
    devices: HashMap<u32, Name>,
}

impl Known {
    fn learn(&mut self, clients: &[Client]) {
        self.names.learn(clients);
        let processes = clients.iter().filter_map(|client| Some((client.id, client.process?)));
        self.processes.extend(processes);
    }

    /// An interface with the name that its device had.
    fn named(&mut self, interface: Interface) -> Interface {
        if interface.name.is_empty() {
            let name = self.devices.get(&interface.index).copied().unwrap_or_default();
            return Interface { name, ..interface };
        }
        self.devices.insert(interface.index, interface.name);
        interface
    }

    /// The lines of some changes.
    fn lines(&mut self, events: &[Event], filter: &Filter, tell: &mut dyn FnMut(Line)) {
        let named = |event: &Event| Event {
            interface: event.interface.map(|interface| self.named(interface)),
            ..*event
        };
        let events: Vec<Event> = events.iter().map(named).collect();
        let mut rest = events.as_slice();
        while let Some(first) = rest.first() {
            let (together, others) = rest.split_at(belonging_together(rest));
            rest = others;
            let filtered = matches!(first.of.as_str(), "entry" | "oif" | "member");
            if !filtered || filter.has_events(together) {
                self.line(together).into_iter().for_each(&mut *tell);
            }
        }
    }

    /// The line of changes that belong together. None: a later version's.
    fn line(&self, events: &[Event]) -> Option<Line> {
        let [first, ..] = events else { return None };
        let last = events.last().unwrap_or(first);
        let line = |of, what, name, now| Some(Line { of, what, name, now });
        let on = || first.interface.map_or(String::new(), |interface| interface.to_string());
        let whose = || first.client.map_or("nobody".into(), |client| self.names.client(client));
        match (last.of.as_str(), last.what.as_str()) {
            ("client", what) => {
                let client = first.client?;
                let process = self.processes.get(&client);
                let process = process.map_or(String::new(), |id| format!(", process {id}"));
                let ids =
                    format!("{}/{}", view::protocol(client.protocol_number), client.component);
                line("client", came_or_went(what)?, whose(), ids + &process)
            }
            ("interface", "taken") => line("interface", "taken", on(), format!("by {}", whose())),
            ("interface", "released") => {
                line("interface", "released", on(), format!("by {}", whose()))
            }
            ("interface", "up") => line("interface", "up", on(), String::new()),
            ("interface", "down") => line("interface", "down", on(), String::new()),
            ("member", what) => {
                line("member", came_or_went(what)?, format!("{} on {}", flow(first), on()), whose())
            }
            ("entry", "moved") => {
                let now = format!("comes in on {}{}", on(), unresolved(first));
                line("entry", "changed", flow(first), now)
            }
            ("oif", "came") if first.of == last.of => {
                line("entry", "changed", flow(first), format!("to {} as well", on()))
            }
            ("oif", "went") => {
                line("entry", "changed", flow(first), format!("no more to {}", on()))
            }
            // One that comes has its oifs behind it, and one that goes before it.
            _ => {
                let entry = events.iter().find(|event| event.of.as_str() == "entry")?;
                let oifs = events.iter().filter(|event| event.of.as_str() == "oif");
                let oifs: Vec<_> =
                    oifs.filter_map(|event| event.interface).map(|oif| oif.to_string()).collect();
                let oifs = if oifs.is_empty() { "nowhere".into() } else { oifs.join(", ") };
                let now = format!("{} -> {oifs}{}", entry.interface?, unresolved(entry));
                line("entry", came_or_went(entry.what.as_str())?, flow(entry), now)
            }
        }
    }
}

fn came_or_went(what: &str) -> Option<&'static str> {
    ["came", "went"].into_iter().find(|known| *known == what)
}

fn flow(event: &Event) -> String {
    let any = |address: Option<Ipv4Addr>| text::any(address.unwrap_or(Ipv4Addr::UNSPECIFIED));
    format!("({}, {})", any(event.source), any(event.group))
}

fn unresolved(event: &Event) -> &'static str {
    if event.resolved == Some(false) { ", no route or owner" } else { "" }
}

/// How many of the first changes make one line: an entry comes, and goes, with its oifs.
fn belonging_together(events: &[Event]) -> usize {
    let is = |event: &Event, of, what| event.of.as_str() == of && event.what.as_str() == what;
    let [first, rest @ ..] = events else { return 0 };
    let same = |event: &&Event| (event.group, event.source) == (first.group, first.source);
    let oifs =
        |what| rest.iter().take_while(same).take_while(|event| is(event, "oif", what)).count();
    if is(first, "entry", "came") {
        return 1 + oifs("came");
    }
    if is(first, "oif", "went") {
        let others = oifs("went");
        let after = rest.get(others).filter(same);
        if after.is_some_and(|event| is(event, "entry", "went")) {
            return others + 2;
        }
    }
    1
}

/// All that a host has, as if it came now.
fn everything(host: &Path, filter: &Filter, clients: &[Client]) -> Result<Vec<Event>, ViewError> {
    let (came, taken) = (Name::new("came"), Name::new("taken"));
    let event = |of, what| Event { of: Name::new(of), what, ..Event::default() };
    let mut events = Vec::new();
    let client = |client: &Client| Event { client: Some(client.id), ..event("client", came) };
    events.extend(clients.iter().map(client));
    for InterfaceRow { interface, owner, igmp, up, .. } in
        view::rows::<InterfaceRow>(host, "interfaces", |_| true)?
    {
        let interface = Some(interface);
        let igmp = igmp.filter(|igmp| Some(*igmp) != owner);
        for client in [owner, igmp].into_iter().flatten() {
            events.push(Event { interface, client: Some(client), ..event("interface", taken) });
        }
        if !up {
            events.push(Event { interface, ..event("interface", Name::new("down")) });
        }
    }
    for Member { group, source, interface, client, .. } in view::members(host, filter)? {
        let (group, source, interface) = (Some(group), Some(source), Some(interface));
        events.push(Event { group, source, interface, client, ..event("member", came) });
    }
    for Mfe { group, source, iif, resolved, oifs, .. } in view::mfes(host, filter)? {
        let (group, source, resolved) = (Some(group), Some(source), Some(resolved));
        let interface = Some(iif);
        events.push(Event { group, source, interface, resolved, ..event("entry", came) });
        for oif in oifs {
            let interface = Some(oif.interface);
            events.push(Event { group, source, interface, ..event("oif", came) });
        }
    }
    Ok(events)
}

/// Where the following has come to: the host's process and run, and the number of the next change.
type Place = (u32, u64, u64);

const fn place(changes: &Changes) -> Place {
    (changes.process, changes.run, changes.next)
}

/// Follows changes until the user ends it.
pub fn events(host: &Path, options: &Events) -> Result<(), ViewError> {
    let waiter = Screen::without_keys()?;
    let mut known = Known::default();
    let mut at = Some(place(&control::changes(host, None)?));
    known.learn(&view::rows(host, "clients", |_| true)?);
    for row in view::rows::<InterfaceRow>(host, "interfaces", |_| true)? {
        known.named(row.interface);
    }
    let mut looks = 1;
    loop {
        if options.looks.is_some_and(|most| looks >= most) {
            return Ok(());
        }
        if waiter.wait(Instant::now() + Duration::from_secs_f64(options.interval))? == Key::End {
            return Ok(());
        }
        let mut out = stdout().lock();
        let mut failed = Ok(());
        let mut tell = |line: Line| {
            if failed.is_ok() {
                failed = print(&mut out, &line, options.json);
            }
        };
        match look(host, options, &mut known, at, &mut tell) {
            Ok(place) => at = Some(place),
            // One that is started again is found again.
            Err(ViewError::Ask(_)) => {
                if at.take().is_some() {
                    tell(of_host(host, "went"));
                }
            }
            Err(error) => return Err(error),
        }
        failed?;
        out.flush()?;
        looks += 1;
    }
}

/// Tells what has changed since the place that the following had come to.
fn look(
    host: &Path,
    options: &Events,
    known: &mut Known,
    at: Option<Place>,
    tell: &mut dyn FnMut(Line),
) -> Result<Place, ViewError> {
    let changes = control::changes(host, at.map(|(.., number)| number))?;
    let same = |(process, run, _): Place| (process, run) == (changes.process, changes.run);
    if !at.is_some_and(same) {
        // Another one runs now: what it has has come.
        let clients = view::rows::<Client>(host, "clients", |_| true)?;
        known.learn(&clients);
        let all = everything(host, &options.filter, &clients)?;
        if at.is_some() {
            tell(of_host(host, "went"));
        }
        tell(of_host(host, "came"));
        known.lines(&all, &options.filter, tell);
        return Ok(place(&changes));
    }
    let is_new = |event: &Event| event.of.as_str() == "client" && event.what.as_str() == "came";
    if changes.events.iter().any(is_new) {
        known.learn(&view::rows(host, "clients", |_| true)?);
    }
    if changes.missed > 0 {
        let name = format!("{} changes", changes.missed);
        tell(Line { of: "events", what: "missed", name, now: String::new() });
    }
    known.lines(&changes.events, &options.filter, tell);
    Ok(place(&changes))
}

fn of_host(host: &Path, what: &'static str) -> Line {
    Line { of: "host", what, name: host.display().to_string(), now: String::new() }
}

fn print(out: &mut dyn Write, line: &Line, json: bool) -> std::io::Result<()> {
    let Line { of, what, name, now } = line;
    if json {
        #[derive(Serialize)]
        struct Timed<'a> {
            time: String,
            #[serde(flatten)]
            line: &'a Line,
        }
        let line = serde_json::to_string(&Timed { time: text::now(), line })?;
        return writeln!(out, "{line}");
    }
    let now = if now.is_empty() { String::new() } else { format!("  {now}") };
    writeln!(out, "{}  {of:9} {what:8} {name}{now}", text::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(of: &str, what: &str, interface: u32) -> Event {
        let name = Name::new(&format!("eth{interface}"));
        let next_hop = Ipv4Addr::UNSPECIFIED;
        Event {
            of: Name::new(of),
            what: Name::new(what),
            interface: Some(Interface { index: interface, next_hop, name }),
            ..Event::default()
        }
    }

    /// The same for the flow from this source.
    fn entry(of: &str, what: &str, interface: u32, source: u8) -> Event {
        Event {
            group: Some([239, 1, 1, 1].into()),
            source: Some([10, 0, 0, source].into()),
            ..event(of, what, interface)
        }
    }

    fn told(events: &[Event], filter: &Filter) -> Vec<String> {
        let mut told = Vec::new();
        Known::default().lines(events, filter, &mut |Line { of, what, name, now }| {
            told.push(format!("{of} {what} {name}: {now}"));
        });
        told
    }

    #[test]
    fn each_kind_of_change_is_a_line() {
        let client = Some(Owner { protocol_number: 7, component: 1 });
        let member = Event { source: None, client, ..entry("member", "came", 1, 0) };
        let unresolved = Event { resolved: Some(false), ..entry("entry", "moved", 3, 1) };
        let events = [
            Event { client, interface: None, ..event("client", "came", 0) },
            Event { client, ..event("interface", "taken", 0) },
            Event { client, ..event("interface", "released", 0) },
            event("interface", "down", 0),
            event("interface", "up", 0),
            member,
            Event { what: Name::new("went"), client: None, ..member },
            entry("oif", "came", 2, 1),
            entry("oif", "went", 2, 1),
            entry("entry", "moved", 3, 1),
            unresolved,
            event("weather", "came", 0),
        ];
        assert_eq!(
            told(&events, &Filter::default()),
            [
                "client came 0x7/1: 0x7/1",
                "interface taken eth0: by 0x7/1",
                "interface released eth0: by 0x7/1",
                "interface down eth0: ",
                "interface up eth0: ",
                "member came (*, 239.1.1.1) on eth1: 0x7/1",
                "member went (*, 239.1.1.1) on eth1: nobody",
                "entry changed (10.0.0.1, 239.1.1.1): to eth2 as well",
                "entry changed (10.0.0.1, 239.1.1.1): no more to eth2",
                "entry changed (10.0.0.1, 239.1.1.1): comes in on eth3",
                "entry changed (10.0.0.1, 239.1.1.1): comes in on eth3, no route or owner",
            ]
        );
    }

    #[test]
    fn an_entry_comes_and_goes_with_its_oifs_on_one_line() {
        let events = [
            entry("entry", "came", 0, 1),
            entry("oif", "came", 1, 1),
            entry("oif", "came", 2, 1),
            // Another one's.
            entry("oif", "came", 1, 2),
            entry("oif", "went", 1, 2),
            // Of these two the first one stays.
            entry("oif", "went", 1, 1),
            entry("oif", "went", 2, 1),
            entry("oif", "went", 1, 2),
            entry("entry", "went", 0, 2),
            entry("entry", "came", 0, 3),
        ];
        let all = [
            "entry came (10.0.0.1, 239.1.1.1): eth0 -> eth1, eth2",
            "entry changed (10.0.0.2, 239.1.1.1): to eth1 as well",
            "entry changed (10.0.0.2, 239.1.1.1): no more to eth1",
            "entry changed (10.0.0.1, 239.1.1.1): no more to eth1",
            "entry changed (10.0.0.1, 239.1.1.1): no more to eth2",
            "entry went (10.0.0.2, 239.1.1.1): eth0 -> eth1",
            "entry came (10.0.0.3, 239.1.1.1): eth0 -> nowhere",
        ];
        assert_eq!(told(&events, &Filter::default()), all);
        // An interface is looked for among all that a line is about.
        let filter = Filter { interface: Some("eth2".parse().unwrap()), ..Filter::default() };
        assert_eq!(told(&events, &filter), [all[0], all[4]]);
        let filter = Filter { source: Some("10.0.0.2".parse().unwrap()), ..Filter::default() };
        assert_eq!(told(&events, &filter), [all[1], all[2], all[5]]);
    }

    #[test]
    fn what_has_gone_keeps_its_name() {
        let mut known = Known::default();
        let named = event("interface", "up", 7);
        let nameless = Interface { name: Name::default(), ..named.interface.unwrap() };
        let mut told = Vec::new();
        let events = [named, Event { interface: Some(nameless), ..event("interface", "down", 7) }];
        known.lines(&events, &Filter::default(), &mut |line| told.push(line.name));
        assert_eq!(told, ["eth7", "eth7"]);
    }
}
