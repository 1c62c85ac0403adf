//! Changes as they are in JSON. mgm_control(7) describes every member.

#![forbid(unsafe_code)]

use crate::core::Happening;
use crate::shell::report::rows::{InterfaceName, Owner, interface, owner};
use crate::sys::DeviceNames;
use crate::types::{ClientName, SourceGroup};
use serde::Serialize;
use std::net::Ipv4Addr;

/// A change. What it does not concern is left out.
#[derive(Serialize)]
pub struct HappeningRow<'a> {
    /// The kind of thing that changed.
    of: &'static str,
    /// What became of it.
    what: &'static str,
    #[serde(flatten)]
    flow: Option<FlowName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<InterfaceName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    igmp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<bool>,
}

#[derive(Serialize)]
struct FlowName {
    group: Ipv4Addr,
    source: Ipv4Addr,
}

impl From<SourceGroup> for FlowName {
    fn from(of: SourceGroup) -> Self {
        Self { group: of.group(), source: of.source() }
    }
}

const fn came_or_went(came: bool) -> &'static str {
    if came { "came" } else { "went" }
}

/// A change's row.
pub fn row<'a>(happening: &Happening, names: &'a DeviceNames) -> HappeningRow<'a> {
    let client = |who: ClientName| owner((who.protocol, who.component));
    let row = |of, what| HappeningRow {
        of,
        what,
        flow: None,
        interface: None,
        client: None,
        igmp: None,
        resolved: None,
    };
    match *happening {
        Happening::Client { who, came } => {
            HappeningRow { client: Some(client(who)), ..row("client", came_or_went(came)) }
        }
        Happening::Interface { interface: key, who, came } => HappeningRow {
            interface: Some(interface(key, names)),
            client: Some(client(who)),
            ..row("interface", if came { "taken" } else { "released" })
        },
        Happening::Up { interface: key, up } => HappeningRow {
            interface: Some(interface(key, names)),
            ..row("interface", if up { "up" } else { "down" })
        },
        Happening::Member { of, interface: key, who, igmp, came } => HappeningRow {
            flow: Some(of.into()),
            interface: Some(interface(key, names)),
            client: who.map(client),
            igmp: Some(igmp),
            ..row("member", came_or_went(came))
        },
        Happening::Entry { flow, iif, resolved, came } => HappeningRow {
            flow: Some(flow.into()),
            interface: Some(interface(iif, names)),
            resolved: Some(resolved),
            ..row("entry", came_or_went(came))
        },
        Happening::Iif { flow, iif, resolved } => HappeningRow {
            flow: Some(flow.into()),
            interface: Some(interface(iif, names)),
            resolved: Some(resolved),
            ..row("entry", "moved")
        },
        Happening::Oif { flow, oif, came } => HappeningRow {
            flow: Some(flow.into()),
            interface: Some(interface(oif, names)),
            ..row("oif", came_or_went(came))
        },
    }
}
