//! The rows of the state as they are in JSON. mgm_control(7) describes every member.

#![forbid(unsafe_code)]

use crate::core::state::record::{MfeRecord, OifRecord};
use crate::core::{ClientRow, GroupMember, InterfaceRow, Limits, Totals};
use crate::forwarder::Forwarder;
use crate::shell::tally::{BOUNDS_MS, Tally};
use crate::sys::DeviceNames;
use crate::types::IfKey;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;

/// A protocol id, as it is usually written.
struct Hex(u32);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#010x}", self.0))
    }
}

/// The limits of rule G1.
#[derive(Serialize)]
pub struct LimitsRow {
    max_mfes: u32,
    max_negative_mfes: usize,
    max_new_mfes_per_second: u32,
    max_new_mfes_per_source: u32,
}

/// Limits, and the greatest number of negative entries that follows from them.
pub const fn limits((limits, max_negative): (Limits, usize)) -> LimitsRow {
    LimitsRow {
        max_mfes: limits.max_mfes,
        max_negative_mfes: max_negative,
        max_new_mfes_per_second: limits.new_per_second,
        max_new_mfes_per_source: limits.new_per_source,
    }
}

/// How much there is of everything.
#[derive(Serialize)]
pub struct CountersRow<'a> {
    clients: usize,
    groups: usize,
    memberships: usize,
    mfes: usize,
    negative_mfes: usize,
    pending_flows: usize,
    refused_flows: u64,
    queued_alerts: usize,
    new_flows: u64,
    wrong_interface: u64,
    refused_changes: u64,
    callbacks: CallbackTimes<'a>,
    forwarder: ForwarderCounters<'a>,
}

/// The core's counters and the forwarding plane's own.
pub fn counters<'a>(
    totals: &Totals,
    tally: &'a Tally,
    forwarder: &'a dyn Forwarder,
    spare_threads: u64,
) -> CountersRow<'a> {
    CountersRow {
        clients: totals.clients,
        groups: totals.groups,
        memberships: totals.memberships,
        mfes: totals.mfes,
        negative_mfes: totals.negative,
        pending_flows: totals.pending,
        refused_flows: totals.refused,
        queued_alerts: totals.queued_alerts,
        new_flows: tally.new_flows.load(Relaxed),
        wrong_interface: tally.wrong_interface.load(Relaxed),
        refused_changes: tally.refused_changes.load(Relaxed),
        callbacks: CallbackTimes(tally),
        forwarder: ForwarderCounters { forwarder, spare_threads },
    }
}

/// How long the callbacks took.
struct CallbackTimes<'a>(&'a Tally);

#[derive(Serialize)]
struct TimesRow {
    callback: &'static str,
    count: u64,
    milliseconds: u64,
    within: [Within; BOUNDS_MS.len()],
}

#[derive(Serialize)]
struct Within {
    milliseconds: u64,
    count: u64,
}

impl Serialize for CallbackTimes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.callbacks().map(|(callback, times)| {
            let (within, count) = times.within();
            let range = |at| Within { milliseconds: BOUNDS_MS[at], count: within[at] };
            let milliseconds = times.total().as_millis() as u64;
            TimesRow { callback, count, milliseconds, within: std::array::from_fn(range) }
        }))
    }
}

/// What the forwarding plane counts besides its entries' packets, and what the threads do that it needs.
struct ForwarderCounters<'a> {
    forwarder: &'a dyn Forwarder,
    spare_threads: u64,
}

impl Serialize for ForwarderCounters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut written = Ok(());
        let mut write = |name, value| {
            if written.is_ok() {
                written = map.serialize_entry(name, &value);
            }
        };
        self.forwarder.own_counters(&mut write);
        if !self.forwarder.takes_packets() {
            write("spare_threads", self.spare_threads);
        }
        written?;
        map.end()
    }
}

/// Who registered.
#[derive(Serialize)]
pub(super) struct Owner {
    protocol: Hex,
    protocol_number: u32,
    component: u32,
}

pub(super) fn owner((protocol, component): (u32, u32)) -> Owner {
    Owner { protocol: Hex(protocol), protocol_number: protocol, component }
}

/// A registered client.
#[derive(Serialize)]
pub struct ClientValue {
    protocol: Hex,
    protocol_number: u32,
    component: u32,
    igmp: bool,
    interfaces: u32,
    uptime: u64,
    process: Option<u32>,
}

/// A client's row, with the seconds since it registered and the process that it lives in.
pub const fn client_row(row: &ClientRow, uptime: u64, process: Option<u32>) -> ClientValue {
    ClientValue {
        protocol: Hex(row.protocol),
        protocol_number: row.protocol,
        component: row.component,
        igmp: row.igmp,
        interfaces: row.interfaces,
        uptime,
        process,
    }
}

#[derive(Serialize)]
pub(super) struct InterfaceName<'a> {
    index: u32,
    next_hop: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

pub(super) fn interface(key: IfKey, names: &DeviceNames) -> InterfaceName<'_> {
    InterfaceName { index: key.index, next_hop: key.next_hop, name: names.of(key.index) }
}

/// An interface that somebody is on.
#[derive(Serialize)]
pub struct InterfaceValue<'a> {
    interface: InterfaceName<'a>,
    owner: Option<Owner>,
    igmp: Option<Owner>,
    up: bool,
    memberships: usize,
}

/// An interface's row.
pub fn interface_row<'a>(row: &InterfaceRow, names: &'a DeviceNames) -> InterfaceValue<'a> {
    InterfaceValue {
        interface: interface(row.key, names),
        owner: row.protocol.or(row.igmp).map(owner),
        igmp: row.igmp.map(owner),
        up: row.up,
        memberships: row.memberships,
    }
}

/// One membership.
#[derive(Serialize)]
pub struct Membership<'a> {
    group: Ipv4Addr,
    source: Ipv4Addr,
    interface: InterfaceName<'a>,
    client: Option<Owner>,
    igmp: bool,
}

/// A membership's row.
pub fn membership_row<'a>(row: &GroupMember, names: &'a DeviceNames) -> Membership<'a> {
    Membership {
        group: row.of.group(),
        source: row.of.source(),
        interface: interface(row.interface, names),
        client: row.client.map(owner),
        igmp: row.igmp,
    }
}

#[derive(Serialize)]
struct RouteValue {
    network: Ipv4Addr,
    prefix_len: u8,
    protocol: u32,
}

/// A forwarding entry.
#[derive(Serialize)]
pub struct MfeValue<'a> {
    group: Ipv4Addr,
    source: Ipv4Addr,
    iif: InterfaceName<'a>,
    iif_protocol: Hex,
    iif_protocol_number: u32,
    upstream: Ipv4Addr,
    route: RouteValue,
    resolved: bool,
    uptime: u64,
    expires: u64,
    lifetime: u32,
    packets: u32,
    octets: u32,
    wrong_interface: u32,
    oifs: OifValues<'a>,
}

/// An entry's row.
pub fn mfe_row<'a>(mfe: &MfeRecord<'a>, names: &'a DeviceNames) -> MfeValue<'a> {
    MfeValue {
        group: mfe.flow.group(),
        source: mfe.flow.source(),
        iif: interface(mfe.iif, names),
        iif_protocol: Hex(mfe.iif_protocol),
        iif_protocol_number: mfe.iif_protocol,
        upstream: mfe.upstream,
        route: RouteValue {
            network: mfe.route_network,
            prefix_len: mfe.route_prefix_len,
            protocol: mfe.route_protocol,
        },
        resolved: mfe.resolved,
        uptime: mfe.up_time_ms / 1000,
        expires: mfe.expiry_ms.div_ceil(1000),
        lifetime: mfe.lifetime.0,
        packets: mfe.counters.packets,
        octets: mfe.counters.octets,
        wrong_interface: mfe.counters.wrong_interface,
        oifs: OifValues(mfe.oifs, names),
    }
}

struct OifValues<'a>(&'a [OifRecord], &'a DeviceNames);

#[derive(Serialize)]
struct OifValue<'a> {
    interface: InterfaceName<'a>,
    packets: u32,
}

impl Serialize for OifValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(oifs, names) = self;
        serializer.collect_seq(oifs.iter().map(|oif| OifValue {
            interface: interface(oif.interface, names),
            packets: oif.packets,
        }))
    }
}
