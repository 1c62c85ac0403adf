//! A line for each change between two looks at the state.

use crate::options::{Events, Filter};
use crate::screen::{Event, Screen};
use crate::text;
use crate::view::{self, Names, ViewError};
use mgm_daemon::state::{Client, Interface, InterfaceRow, Member, Mfe, Owner};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// The state at one moment, as far as changes of it are told.
#[derive(Default)]
pub struct State {
    names: Names,
    clients: BTreeMap<Owner, Option<u32>>,
    interfaces: BTreeMap<Interface, On>,
    members: BTreeMap<(Ipv4Addr, Ipv4Addr, Interface, bool), Option<Owner>>,
    mfes: BTreeMap<(Ipv4Addr, Ipv4Addr), Way>,
}

/// Who is on an interface.
#[derive(Clone, Copy, PartialEq, Eq)]
struct On {
    owner: Option<Owner>,
    igmp: Option<Owner>,
    up: bool,
}

/// The way that a flow takes.
#[derive(Clone, PartialEq, Eq)]
struct Way {
    iif: Interface,
    oifs: Box<[Interface]>,
    resolved: bool,
}

/// A change.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed: client, interface, member or entry.
    pub of: &'static str,
    /// came, went or changed.
    pub what: &'static str,
    /// Which one.
    pub name: String,
    /// As it is now, or was.
    pub now: String,
}

impl State {
    /// Asks a host.
    pub fn read(host: &Path, filter: &Filter) -> Result<Self, ViewError> {
        let clients = view::rows::<Client>(host, "clients", |_| true)?;
        let interfaces = view::rows::<InterfaceRow>(host, "interfaces", |_| true)?;
        let members = view::members(host, filter)?;
        let mfes = view::mfes(host, filter)?;
        Ok(Self::of(&clients, &interfaces, &members, &mfes))
    }

    /// What was read.
    pub fn of(
        clients: &[Client],
        interfaces: &[InterfaceRow],
        members: &[Member],
        mfes: &[Mfe],
    ) -> Self {
        let on = |row: &InterfaceRow| On { owner: row.owner, igmp: row.igmp, up: row.up };
        let oifs = |mfe: &Mfe| mfe.oifs.iter().map(|oif| oif.interface).collect();
        let way = |mfe: &Mfe| Way { iif: mfe.iif, oifs: oifs(mfe), resolved: mfe.resolved };
        let place = |row: &Member| (row.group, row.source, row.interface, row.igmp);
        Self {
            names: Names::of(clients),
            clients: clients.iter().map(|row| (row.id, row.process)).collect(),
            interfaces: interfaces.iter().map(|row| (row.interface, on(row))).collect(),
            members: members.iter().map(|row| (place(row), row.client)).collect(),
            mfes: mfes.iter().map(|mfe| ((mfe.group, mfe.source), way(mfe))).collect(),
        }
    }

    /// What has changed since a moment before.
    pub fn changes(&self, before: &Self, tell: &mut dyn FnMut(Change)) {
        let flow = |group, source| format!("({}, {})", text::any(source), text::any(group));
        // A client that has gone had its name then.
        let name = |client: &Owner| match self.clients.contains_key(client) {
            true => self.names.client(*client),
            false => before.names.client(*client),
        };
        let whose = |client: &Option<Owner>| client.as_ref().map_or("nobody".into(), name);
        let about = |client: &Owner, process: &Option<u32>| {
            let ids = format!("{}/{}", view::protocol(client.protocol_number), client.component);
            process.map_or(ids.clone(), |process| format!("{ids}, process {process}"))
        };
        differ("client", &before.clients, &self.clients, name, about, tell);
        let on = |_: &Interface, on: &On| {
            let igmp = on.igmp.filter(|igmp| Some(*igmp) != on.owner);
            let igmp = igmp.map_or(String::new(), |igmp| format!(", IGMP {}", name(&igmp)));
            format!("{}: {}{igmp}", if on.up { "up" } else { "down" }, whose(&on.owner))
        };
        differ("interface", &before.interfaces, &self.interfaces, ToString::to_string, on, tell);
        differ(
            "member",
            &before.members,
            &self.members,
            |(group, source, interface, _)| format!("{} on {interface}", flow(*group, *source)),
            |_, client| whose(client),
            tell,
        );
        let way = |_: &(Ipv4Addr, Ipv4Addr), way: &Way| {
            let oifs: Vec<_> = way.oifs.iter().map(ToString::to_string).collect();
            let oifs = if oifs.is_empty() { "nowhere".into() } else { oifs.join(", ") };
            format!(
                "{} -> {oifs}{}",
                way.iif,
                if way.resolved { "" } else { ", no route or owner" }
            )
        };
        differ("entry", &before.mfes, &self.mfes, |(g, s)| flow(*g, *s), way, tell);
    }
}

/// Tells what is in one of two lists alone, or differs between them.
fn differ<K: Ord, V: PartialEq>(
    of: &'static str,
    before: &BTreeMap<K, V>,
    now: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
    value: impl Fn(&K, &V) -> String,
    tell: &mut dyn FnMut(Change),
) {
    for (key, old) in before {
        if !now.contains_key(key) {
            tell(Change { of, what: "went", name: name(key), now: value(key, old) });
        }
    }
    for (key, new) in now {
        let what = match before.get(key) {
            None => "came",
            Some(old) if old != new => "changed",
            Some(_) => continue,
        };
        tell(Change { of, what, name: name(key), now: value(key, new) });
    }
}

/// Follows changes until the user ends it.
pub fn events(host: &Path, options: &Events) -> Result<(), ViewError> {
    let waiter = Screen::without_keys()?;
    let mut before = Some(State::read(host, &options.filter)?);
    let mut looks = 1;
    loop {
        if options.looks.is_some_and(|most| looks >= most) {
            return Ok(());
        }
        if waiter.wait(Duration::from_secs_f64(options.interval))? == Event::End {
            return Ok(());
        }
        let mut out = stdout().lock();
        let mut failed = Ok(());
        let mut tell = |change: Change| {
            if failed.is_ok() {
                failed = print(&mut out, &change, options.json);
            }
        };
        match State::read(host, &options.filter) {
            Ok(now) => {
                if before.is_none() {
                    tell(of_host(host, "came"));
                }
                now.changes(&before.unwrap_or_default(), &mut tell);
                before = Some(now);
            }
            // One that is started again is found again; what it has then has come.
            Err(ViewError::Ask(_)) => {
                if before.take().is_some() {
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

fn of_host(host: &Path, what: &'static str) -> Change {
    Change { of: "host", what, name: host.display().to_string(), now: String::new() }
}

fn print(out: &mut dyn Write, change: &Change, json: bool) -> std::io::Result<()> {
    let Change { of, what, name, now } = change;
    if json {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            #[serde(flatten)]
            change: &'a Change,
        }
        let line = serde_json::to_string(&Line { time: text::now(), change })?;
        return writeln!(out, "{line}");
    }
    let now = if now.is_empty() { String::new() } else { format!("  {now}") };
    writeln!(out, "{}  {of:9} {what:7} {name}{now}", text::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgm_daemon::state::{Name, Oif};

    fn interface(index: u32) -> Interface {
        Interface {
            index,
            next_hop: Ipv4Addr::UNSPECIFIED,
            name: Name::new(&format!("eth{index}")),
        }
    }

    fn mfe(oifs: &[u32]) -> Mfe {
        let oif = |index: &u32| Oif { interface: interface(*index), packets: 0 };
        Mfe {
            group: [239, 1, 1, 1].into(),
            source: [10, 0, 0, 1].into(),
            iif: interface(0),
            iif_protocol_number: 7,
            upstream: Ipv4Addr::UNSPECIFIED,
            resolved: true,
            uptime: 0,
            expires: 0,
            packets: 0,
            octets: 0,
            wrong_interface: 0,
            oifs: oifs.iter().map(oif).collect(),
        }
    }

    fn told(before: &State, now: &State) -> Vec<String> {
        let mut told = Vec::new();
        now.changes(before, &mut |Change { of, what, name, now }| {
            told.push(format!("{of} {what} {name}: {now}"));
        });
        told
    }

    #[test]
    fn each_kind_of_change_is_a_line() {
        let id = Owner { protocol_number: 7, component: 1 };
        let client = Client { id, igmp: false, interfaces: 1, uptime: 0, process: None };
        let row = |owner| InterfaceRow {
            interface: interface(0),
            owner,
            igmp: None,
            up: true,
            memberships: 0,
        };
        let member = Member {
            group: [239, 1, 1, 1].into(),
            source: Ipv4Addr::UNSPECIFIED,
            interface: interface(1),
            client: Some(id),
            igmp: false,
        };
        let (nothing, all) =
            (State::default(), State::of(&[client], &[row(Some(id))], &[member], &[mfe(&[1])]));
        assert_eq!(
            told(&nothing, &all),
            [
                "client came 0x7/1: 0x7/1",
                "interface came eth0: up: 0x7/1",
                "member came (*, 239.1.1.1) on eth1: 0x7/1",
                "entry came (10.0.0.1, 239.1.1.1): eth0 -> eth1",
            ]
        );
        let less = State::of(&[], &[row(None)], &[], &[mfe(&[])]);
        assert_eq!(
            told(&all, &less),
            [
                "client went 0x7/1: 0x7/1",
                "interface changed eth0: up: nobody",
                "member went (*, 239.1.1.1) on eth1: 0x7/1",
                "entry changed (10.0.0.1, 239.1.1.1): eth0 -> nowhere",
            ]
        );
        assert_eq!(told(&less, &less), [] as [String; 0]);
    }
}
