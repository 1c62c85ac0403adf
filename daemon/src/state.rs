//! The rows of a host's answers. mgm_control(7) describes every member.
//!
//! The host may be another version, or not be what it says it is: members that are not known are left
//! out, and a text that is printed holds nothing but printable characters.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

/// A short name: at most 15 printable ASCII characters, as those of network devices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name {
    text: [u8; 15],
    length: u8,
}

impl Name {
    /// What of a text can be shown; every other character becomes a question mark.
    pub fn new(text: &str) -> Self {
        let mut name = Self::default();
        for (place, shown) in name.text.iter_mut().zip(text.chars()) {
            *place = if shown.is_ascii_graphic() { shown as u8 } else { b'?' };
            name.length += 1;
        }
        name
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or("")
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                Ok(Name::new(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An interface: the index and next hop that clients name it by, and its device's name where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Interface {
    /// The index.
    pub index: u32,
    /// The next hop, 0.0.0.0 where there is none.
    pub next_hop: Ipv4Addr,
    /// The device's name, or none.
    #[serde(default)]
    pub name: Name,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "{}", self.index)?;
        } else {
            f.write_str(self.name.as_str())?;
        }
        if self.next_hop.is_unspecified() { Ok(()) } else { write!(f, "@{}", self.next_hop) }
    }
}

/// A client as others name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Owner {
    /// dwProtocolId.
    pub protocol_number: u32,
    /// dwComponentId.
    pub component: u32,
}

/// A registered client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Client {
    /// Who it is.
    #[serde(flatten)]
    pub id: Owner,
    /// Whether it is IGMP.
    pub igmp: bool,
    /// How many interfaces it is on.
    pub interfaces: u32,
    /// Seconds since it registered.
    #[serde(default)]
    pub uptime: u64,
    /// The process that it lives in, where that is not the host.
    #[serde(default)]
    pub process: Option<u32>,
}

/// An interface and who is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct InterfaceRow {
    /// Which one.
    pub interface: Interface,
    /// Its owner.
    pub owner: Option<Owner>,
    /// The IGMP client on it.
    pub igmp: Option<Owner>,
    /// Whether packets can enter and leave.
    pub up: bool,
    /// How many different memberships there are on it.
    pub memberships: u64,
}

/// A membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// The group, 0.0.0.0 for every one.
    pub group: Ipv4Addr,
    /// The source, 0.0.0.0 for any.
    pub source: Ipv4Addr,
    /// Where the receivers are.
    pub interface: Interface,
    /// Who has it.
    pub client: Option<Owner>,
    /// Whether that is IGMP.
    pub igmp: bool,
}

/// An outgoing interface of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Oif {
    /// Which one.
    pub interface: Interface,
    /// The packets that left it.
    pub packets: u32,
}

/// A forwarding entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mfe {
    /// The group.
    pub group: Ipv4Addr,
    /// The source.
    pub source: Ipv4Addr,
    /// The incoming interface.
    pub iif: Interface,
    /// The protocol of its owner, or 0.
    pub iif_protocol_number: u32,
    /// The neighbour that the packets come from.
    pub upstream: Ipv4Addr,
    /// False: there is no route or no owner toward the source.
    pub resolved: bool,
    /// Seconds since it was made.
    pub uptime: u64,
    /// Seconds until its lifetime ends.
    pub expires: u64,
    /// Packets that came in; the counters wrap at 32 bits.
    pub packets: u32,
    /// Their octets.
    pub octets: u32,
    /// Packets that came in on another interface.
    pub wrong_interface: u32,
    /// The outgoing interfaces.
    pub oifs: Box<[Oif]>,
}

/// What has changed since somebody asked before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Changes {
    /// The host's process.
    pub process: u32,
    /// Tells the host's runs apart.
    pub run: u64,
    /// How many changes, at least, were not kept.
    pub missed: u64,
    /// The others, in order.
    pub events: Vec<Event>,
    /// The number to ask with next.
    pub next: u64,
}

/// A change. What it does not concern is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The kind of thing that changed.
    pub of: Name,
    /// What became of it.
    pub what: Name,
    /// The group.
    pub group: Option<Ipv4Addr>,
    /// The source.
    pub source: Option<Ipv4Addr>,
    /// The interface.
    pub interface: Option<Interface>,
    /// The client.
    pub client: Option<Owner>,
    /// False: there is no route or no owner toward the source.
    pub resolved: Option<bool>,
}

/// The host, and how much there is of everything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Summary {
    /// The library's version.
    pub version: Name,
    /// The host's process.
    #[serde(default)]
    pub process: u32,
    /// What carries the packets.
    pub forwarder: Name,
    /// Seconds since the start.
    pub uptime: u64,
    /// The greatest numbers allowed.
    pub limits: Limits,
    /// The counters.
    pub counters: Counters,
}

/// The greatest numbers allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// Entries.
    pub max_mfes: u64,
    /// Negative ones.
    pub max_negative_mfes: u64,
}

/// How much there is of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Registered clients.
    pub clients: u64,
    /// Different sources and groups with members.
    pub groups: u64,
    /// Memberships.
    pub memberships: u64,
    /// Entries.
    pub mfes: u64,
    /// Those without outgoing interfaces.
    pub negative_mfes: u64,
    /// Flows whose clients are being asked.
    pub pending_flows: u64,
    /// Flows refused.
    pub refused_flows: u64,
    /// Calls of clients that are on their way.
    pub queued_alerts: u64,
    /// Reports of flows without an entry.
    pub new_flows: u64,
    /// Reports of packets on a wrong interface.
    pub wrong_interface: u64,
    /// Changes that the forwarder did not take.
    pub refused_changes: u64,
    /// How long callbacks took.
    pub callbacks: Vec<Times>,
    /// The forwarder's own counters.
    pub forwarder: BTreeMap<String, u64>,
}

/// How long the calls of one callback took.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Times {
    /// Which callback.
    pub callback: Name,
    /// How many calls there were.
    pub count: u64,
    /// The time of all of them.
    pub milliseconds: u64,
    /// How many took no longer than a time.
    pub within: Vec<Within>,
}

/// How many calls took no longer than a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Within {
    /// The time.
    pub milliseconds: u64,
    /// How many.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_can_be_printed() {
        assert_eq!(Name::new("eth0").as_str(), "eth0");
        assert_eq!(Name::new("a\u{1b}[2J b\u{9b}é").as_str(), "a?[2J?b??");
        assert_eq!(Name::new(&"x".repeat(99)).as_str(), "x".repeat(15));
        assert!(Name::new("").is_empty());
    }

    #[test]
    fn interfaces_are_shown_by_name_where_they_have_one() {
        let read = |text| serde_json::from_str::<Interface>(text).unwrap().to_string();
        assert_eq!(read(r#"{"index":3,"next_hop":"0.0.0.0"}"#), "3");
        assert_eq!(read(r#"{"index":3,"next_hop":"10.0.0.9","name":"tun0"}"#), "tun0@10.0.0.9");
    }
}
