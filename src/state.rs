//! The whole state as JSON, for administrators (MgmHostGetState, the control socket).
//!
//! Rows are written in chunks: a chunk is put together under the lock, and written with nothing
//! locked, since its reader may be slow. So a long list is not of one moment; a row that is there
//! throughout appears once. Nothing here needs more memory than a chunk (rule A4).

#![forbid(unsafe_code)]

use crate::callbacks::Callbacks;
use crate::core::record::{MfeRecord, OifRecord, Rest};
use crate::core::types::IfKey;
use crate::core::{ClientRow, Core, GroupMember, InterfaceRow};
use crate::error::Error;
use crate::forwarder::Forwarder;
use crate::mgm::Mgm;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::ops::ControlFlow;

/// How many rows are read under one lock.
const CHUNK_ROWS: usize = 256;
/// A chunk is written out when it is longer than this, in octets.
const CHUNK_SIZE: usize = 32 * 1024;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    State,
    /// The forwarding entries with their counters.
    Mfes,
    /// The memberships.
    Groups,
    /// The interfaces and who is on them.
    Interfaces,
    /// The clients.
    Clients,
    /// How much there is of everything.
    Counters,
}

impl Part {
    /// The names of all parts, as the control socket knows them.
    pub const NAMES: [&'static str; 6] =
        ["state", "mfes", "groups", "interfaces", "clients", "counters"];

    /// The part with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "state" => Self::State,
            "mfes" => Self::Mfes,
            "groups" => Self::Groups,
            "interfaces" => Self::Interfaces,
            "clients" => Self::Clients,
            "counters" => Self::Counters,
            _ => return None,
        })
    }

    fn wants(self, part: Self) -> bool {
        self == Self::State || self == part
    }
}

impl<C: Callbacks> Mgm<C> {
    /// MgmHostGetState: writes the state as one JSON object.
    pub fn write_state(&self, out: &mut dyn Write) -> Result<(), Error> {
        self.write_part(Part::State, out)
    }

    /// Writes a part of the state as one JSON object, without a line end.
    pub fn write_part(&self, part: Part, out: &mut dyn Write) -> Result<(), Error> {
        let now = self.now();
        let (epoch, forwarder, uptime, totals, limits, max_negative) = {
            let state = self.state.read();
            let running = state.shared().ok_or(Error::NotRunning)?;
            let (limits, max_negative) = running.core.limits();
            let uptime = now.since(running.started) / 1000;
            let forwarder = running.forwarder.clone();
            (running.epoch, forwarder, uptime, running.core.totals(), limits, max_negative)
        };
        let mut json = Json::new(out);
        if part == Part::State {
            json.member("version", &env!("CARGO_PKG_VERSION"))?;
            json.member("forwarder", &forwarder.name())?;
            json.member("uptime", &uptime)?;
            json.member(
                "limits",
                &LimitsRow {
                    max_mfes: limits.max_mfes,
                    max_negative_mfes: max_negative,
                    max_new_mfes_per_second: limits.new_per_second,
                    max_new_mfes_per_source: limits.new_per_source,
                },
            )?;
        }
        if part.wants(Part::Counters) {
            json.member(
                "counters",
                &CountersRow {
                    clients: totals.clients,
                    groups: totals.groups,
                    mfes: totals.mfes,
                    negative_mfes: totals.negative,
                    pending_flows: totals.pending,
                    refused_flows: totals.refused,
                    queued_alerts: totals.queued_alerts,
                    forwarder: ForwarderCounters(&*forwarder),
                },
            )?;
        }
        if part.wants(Part::Clients) {
            self.list(&mut json, epoch, "clients", |core, json, after| {
                json.rows(core.client_rows(after), client_row)
            })?;
        }
        if part.wants(Part::Interfaces) {
            self.list(&mut json, epoch, "interfaces", |core, json, after| {
                json.rows(core.interface_rows(after), interface_row)
            })?;
        }
        if part.wants(Part::Groups) {
            self.list(&mut json, epoch, "groups", |core, json, after| {
                json.rows(core.membership_rows(after), membership_row)
            })?;
        }
        if part.wants(Part::Mfes) {
            self.list_mfes(&mut json)?;
        }
        json.end()
    }

    /// One list, chunk after chunk. `chunk` writes what follows a place and gives the place it
    /// came to, or None at the end.
    fn list<P: Copy>(
        &self,
        json: &mut Json<'_>,
        epoch: u64,
        name: &str,
        mut chunk: impl FnMut(&Core, &mut Json<'_>, Option<P>) -> Result<Option<P>, Error>,
    ) -> Result<(), Error> {
        json.begin_list(name)?;
        let mut place = None;
        loop {
            {
                let state = self.state.read();
                let Some(running) = state.shared().filter(|running| running.epoch == epoch) else {
                    break;
                };
                place = chunk(&running.core, json, place)?;
            }
            json.flush()?;
            if place.is_none() {
                break;
            }
        }
        json.end_list()
    }

    /// The forwarding entries, whose counters are asked for with nothing locked.
    fn list_mfes(&self, json: &mut Json<'_>) -> Result<(), Error> {
        json.begin_list("mfes")?;
        let mut after = None;
        loop {
            let mut written = Ok(());
            let rest = self.read_mfes(after, true, &mut |record| {
                // A record that is refused is read again.
                if written.is_err() || json.is_full() {
                    return ControlFlow::Break(());
                }
                written = json.row(&mfe_row(record));
                after = Some(record.flow);
                ControlFlow::Continue(())
            })?;
            written?;
            json.flush()?;
            if rest == Rest::End {
                return json.end_list();
            }
        }
    }
}

/// JSON on its way to a writer, by chunks.
struct Json<'a> {
    out: &'a mut dyn Write,
    chunk: Chunk,
    /// What stands before the next member or row.
    separator: &'static str,
    /// Rows in the chunk.
    rows: usize,
}

/// A buffer that grows without ever aborting. An error would make serde allocate one, so it
/// remembers that memory ran out and takes no more.
struct Chunk {
    text: Vec<u8>,
    out_of_memory: bool,
}

impl Write for Chunk {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.out_of_memory |= self.text.try_reserve(text.len()).is_err();
        if !self.out_of_memory {
            self.text.extend_from_slice(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Json<'a> {
    /// The beginning of an object.
    fn new(out: &'a mut dyn Write) -> Self {
        let chunk = Chunk { text: Vec::new(), out_of_memory: false };
        Self { out, chunk, separator: "{", rows: 0 }
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.value_text(|chunk| chunk.write_all(text.as_bytes()).is_ok())
    }

    fn value(&mut self, value: &impl Serialize) -> Result<(), Error> {
        self.value_text(|chunk| serde_json::to_writer(chunk, value).is_ok())
    }

    /// A chunk gives no errors; it tells in its own way.
    fn value_text(&mut self, write: impl FnOnce(&mut Chunk) -> bool) -> Result<(), Error> {
        let written = write(&mut self.chunk);
        if written && !self.chunk.out_of_memory { Ok(()) } else { Err(Error::OutOfMemory) }
    }

    fn name(&mut self, name: &str) -> Result<(), Error> {
        self.text(self.separator)?;
        self.separator = ",";
        self.value(&name)?;
        self.text(":")
    }

    fn member(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        self.name(name)?;
        self.value(value)
    }

    fn begin_list(&mut self, name: &str) -> Result<(), Error> {
        self.name(name)?;
        self.separator = "";
        self.text("[")
    }

    fn end_list(&mut self) -> Result<(), Error> {
        self.separator = ",";
        self.text("]")
    }

    fn row(&mut self, row: &impl Serialize) -> Result<(), Error> {
        self.text(self.separator)?;
        self.separator = ",";
        self.rows += 1;
        self.value(row)
    }

    /// Writes rows until the chunk is full. Gives the place of the last one, None at the end.
    fn rows<P, R, V: Serialize>(
        &mut self,
        rows: impl Iterator<Item = (P, R)>,
        value: impl Fn(&R) -> V,
    ) -> Result<Option<P>, Error> {
        for (place, row) in rows {
            self.row(&value(&row))?;
            if self.is_full() {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    const fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.chunk.text.len() >= CHUNK_SIZE
    }

    /// Writes the chunk out. Called with nothing locked.
    fn flush(&mut self) -> Result<(), Error> {
        let written = self.out.write_all(&self.chunk.text);
        self.chunk.text.clear();
        self.rows = 0;
        written.map_err(|error| Error::NotWritten(error.kind()))
    }

    fn end(mut self) -> Result<(), Error> {
        self.text("}")?;
        self.flush()
    }
}

/// A protocol id, as it is usually written.
struct Hex(u32);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#010x}", self.0))
    }
}

#[derive(Serialize)]
struct LimitsRow {
    max_mfes: u32,
    max_negative_mfes: usize,
    max_new_mfes_per_second: u32,
    max_new_mfes_per_source: u32,
}

#[derive(Serialize)]
struct CountersRow<'a> {
    clients: usize,
    groups: usize,
    mfes: usize,
    negative_mfes: usize,
    pending_flows: usize,
    refused_flows: u64,
    queued_alerts: usize,
    forwarder: ForwarderCounters<'a>,
}

/// What the forwarding plane counts besides its entries' packets.
struct ForwarderCounters<'a>(&'a dyn Forwarder);

impl Serialize for ForwarderCounters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut written = Ok(());
        self.0.own_counters(&mut |name, value| {
            if written.is_ok() {
                written = map.serialize_entry(name, &value);
            }
        });
        written?;
        map.end()
    }
}

/// Who registered.
#[derive(Serialize)]
struct Owner {
    protocol: Hex,
    protocol_number: u32,
    component: u32,
}

fn owner((protocol, component): (u32, u32)) -> Owner {
    Owner { protocol: Hex(protocol), protocol_number: protocol, component }
}

#[derive(Serialize)]
struct ClientValue {
    protocol: Hex,
    protocol_number: u32,
    component: u32,
    igmp: bool,
    interfaces: u32,
}

const fn client_row(row: &ClientRow) -> ClientValue {
    ClientValue {
        protocol: Hex(row.protocol),
        protocol_number: row.protocol,
        component: row.component,
        igmp: row.igmp,
        interfaces: row.interfaces,
    }
}

#[derive(Serialize)]
struct Interface {
    index: u32,
    next_hop: Ipv4Addr,
}

const fn interface(key: IfKey) -> Interface {
    Interface { index: key.index, next_hop: key.next_hop }
}

#[derive(Serialize)]
struct InterfaceValue {
    interface: Interface,
    owner: Option<Owner>,
    igmp: Option<Owner>,
    up: bool,
    memberships: usize,
}

fn interface_row(row: &InterfaceRow) -> InterfaceValue {
    InterfaceValue {
        interface: interface(row.key),
        owner: row.protocol.or(row.igmp).map(owner),
        igmp: row.igmp.map(owner),
        up: row.up,
        memberships: row.memberships,
    }
}

#[derive(Serialize)]
struct Membership {
    group: Ipv4Addr,
    source: Ipv4Addr,
    interface: Interface,
    client: Option<Owner>,
    igmp: bool,
}

fn membership_row(row: &GroupMember) -> Membership {
    Membership {
        group: row.of.group(),
        source: row.of.source(),
        interface: interface(row.interface),
        client: row.client.map(owner),
        igmp: row.igmp,
    }
}

#[derive(Serialize)]
struct Route {
    network: Ipv4Addr,
    prefix_len: u8,
    protocol: u32,
}

#[derive(Serialize)]
struct MfeValue<'a> {
    group: Ipv4Addr,
    source: Ipv4Addr,
    iif: Interface,
    iif_protocol: Hex,
    iif_protocol_number: u32,
    upstream: Ipv4Addr,
    route: Route,
    resolved: bool,
    uptime: u64,
    expires: u64,
    lifetime: u32,
    packets: u32,
    octets: u32,
    wrong_interface: u32,
    oifs: Oifs<'a>,
}

fn mfe_row<'a>(mfe: &MfeRecord<'a>) -> MfeValue<'a> {
    MfeValue {
        group: mfe.flow.group(),
        source: mfe.flow.source(),
        iif: interface(mfe.iif),
        iif_protocol: Hex(mfe.iif_protocol),
        iif_protocol_number: mfe.iif_protocol,
        upstream: mfe.upstream,
        route: Route {
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
        oifs: Oifs(mfe.oifs),
    }
}

struct Oifs<'a>(&'a [OifRecord]);

#[derive(Serialize)]
struct Oif {
    interface: Interface,
    packets: u32,
}

impl Serialize for Oifs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter()
                .map(|oif| Oif { interface: interface(oif.interface), packets: oif.packets }),
        )
    }
}
