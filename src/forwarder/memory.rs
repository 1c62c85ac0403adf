//! The memory forwarder: a forwarding plane inside the process.
//!
//! Packets come in through [`MemoryForwarder::receive`] and leave through the host's transmit
//! function. Up to four packets of a flow without an entry wait for it, as in Linux.

#![forbid(unsafe_code)]

use super::packet::{self, Packet};
use super::{EntryChange, Forwarder, ForwarderError, Upcalls};
use crate::core::types::{Counters, IfKey, Route, SourceGroup};
use crate::error::Error;
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many packets of a flow wait for its entry.
const HELD_PER_FLOW: usize = 4;
/// How many packets wait in all; more are dropped, as where the kernel's socket buffer is full.
const HELD_IN_ALL: usize = 65_536;

/// The host's answer to where a source lies; the second argument is the packet's arrival
/// interface, where there is a packet.
pub type RouteFn = Box<dyn Fn(Ipv4Addr, Option<IfKey>) -> Option<Route> + Send + Sync>;
/// The host's way to send a copy of a packet.
pub type TransmitFn = Box<dyn Fn(IfKey, &[u8]) + Send + Sync>;

/// What the host provides.
#[derive(Default)]
pub struct MemoryConfig {
    /// The route toward a source. None: a packet's arrival interface is the route, and its source
    /// the neighbour it comes from.
    pub route: Option<RouteFn>,
    /// Sends one copy of a packet out of an interface. None: copies are only counted.
    pub transmit: Option<TransmitFn>,
}

struct Entry {
    iif: IfKey,
    oifs: SmallVec<[IfKey; 4]>,
    counters: Counters,
}

struct Held {
    arrival: IfKey,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Plane {
    entries: HashMap<SourceGroup, Entry>,
    waiting: HashMap<SourceGroup, SmallVec<[Held; 1]>>,
    /// How many packets are waiting.
    held: usize,
    /// Packets whose entries came.
    ready: VecDeque<Held>,
}

/// What the plane decided of a packet.
enum Verdict {
    Forward(SmallVec<[IfKey; 8]>),
    WrongInterface,
    NoEntry,
}

/// The forwarding plane inside the process.
pub struct MemoryForwarder {
    config: MemoryConfig,
    plane: Mutex<Plane>,
    upcalls: OnceLock<&'static dyn Upcalls>,
    dropped: AtomicU64,
}

impl MemoryForwarder {
    /// A plane without entries.
    pub fn new(config: MemoryConfig) -> Self {
        Self {
            config,
            plane: Mutex::default(),
            upcalls: OnceLock::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Packets dropped because they were malformed or must not be forwarded.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// A packet came in. When this returns it was forwarded, dropped, or it waits for its flow's
    /// entry, of which the core was told. Gives the flow of a packet that waits.
    pub fn receive(&self, arrival: IfKey, bytes: &[u8]) -> Result<Option<SourceGroup>, Error> {
        let packet = match packet::parse(bytes) {
            Ok(Ok(packet)) => packet,
            Ok(Err(_)) => {
                self.dropped.fetch_add(1, Relaxed);
                return Ok(None);
            }
            Err(reason) => {
                self.dropped.fetch_add(1, Relaxed);
                return Err(Error::BadPacket { size: bytes.len(), reason });
            }
        };
        let verdict = {
            let mut plane = self.plane.lock();
            let verdict = plane.judge(arrival, &packet)?;
            if matches!(verdict, Verdict::NoEntry) {
                plane.hold(arrival, &packet)?;
            }
            verdict
        };
        let Some(upcalls) = self.upcalls.get() else { return Ok(None) };
        match verdict {
            Verdict::Forward(oifs) => self.transmit(&packet, &oifs)?,
            Verdict::WrongInterface => upcalls.wrong_interface(packet.flow, arrival, packet.bytes),
            Verdict::NoEntry => {
                upcalls.no_cache(packet.flow, arrival, packet.bytes);
                return Ok(Some(packet.flow));
            }
        }
        Ok(None)
    }

    fn transmit(&self, packet: &Packet<'_>, oifs: &[IfKey]) -> Result<(), Error> {
        let Some(transmit) = &self.config.transmit else { return Ok(()) };
        let mut copy = Vec::new();
        for oif in oifs {
            packet.write_forwarded(&mut copy)?;
            transmit(*oif, &copy);
        }
        Ok(())
    }
}

impl Plane {
    fn judge(&mut self, arrival: IfKey, packet: &Packet<'_>) -> Result<Verdict, Error> {
        let Some(entry) = self.entries.get_mut(&packet.flow) else { return Ok(Verdict::NoEntry) };
        if entry.iif != arrival {
            entry.counters.wrong_interface = entry.counters.wrong_interface.wrapping_add(1);
            return Ok(Verdict::WrongInterface);
        }
        let mut oifs = SmallVec::new();
        oifs.try_reserve(entry.oifs.len())?;
        oifs.extend_from_slice(&entry.oifs);
        entry.counters.packets = entry.counters.packets.wrapping_add(1);
        entry.counters.octets = entry.counters.octets.wrapping_add(packet.bytes.len() as u32);
        Ok(Verdict::Forward(oifs))
    }

    fn hold(&mut self, arrival: IfKey, packet: &Packet<'_>) -> Result<(), Error> {
        if self.held >= HELD_IN_ALL {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(packet.bytes.len())?;
        bytes.extend_from_slice(packet.bytes);
        self.waiting.try_reserve(1)?;
        // So that handing the packet over never needs memory.
        self.ready.try_reserve(self.held + 1)?;
        let waiting = self.waiting.entry(packet.flow).or_default();
        if waiting.len() < HELD_PER_FLOW {
            waiting.try_reserve(1)?;
            waiting.push(Held { arrival, bytes });
            self.held += 1;
        }
        Ok(())
    }

    fn set(&mut self, change: &EntryChange<'_>) -> Result<(), ForwarderError> {
        let Some(state) = change.state else {
            self.entries.remove(&change.flow);
            if let Some(waiting) = self.waiting.remove(&change.flow) {
                self.held -= waiting.len();
            }
            return Ok(());
        };
        let mut oifs = SmallVec::new();
        let room =
            self.entries.try_reserve(1).is_ok() && oifs.try_reserve(state.oifs.len()).is_ok();
        if !room {
            return Err(ForwarderError::OutOfMemory);
        }
        oifs.extend_from_slice(state.oifs);
        match self.entries.get_mut(&change.flow) {
            Some(entry) => {
                entry.iif = state.iif;
                entry.oifs = oifs;
            }
            None => {
                let entry = Entry { iif: state.iif, oifs, counters: Counters::default() };
                self.entries.insert(change.flow, entry);
            }
        }
        if let Some(waiting) = self.waiting.remove(&change.flow) {
            self.held -= waiting.len();
            // Room was made when they were held.
            self.ready.extend(waiting);
        }
        Ok(())
    }
}

impl Forwarder for MemoryForwarder {
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        // A second start keeps the first receiver; there is none.
        let _ = self.upcalls.set(upcalls);
        Ok(())
    }

    fn stop(&self) {
        *self.plane.lock() = Plane::default();
    }

    fn add_interface(&self, _interface: IfKey) -> Result<(), ForwarderError> {
        Ok(())
    }

    fn remove_interface(&self, _interface: IfKey) {}

    fn program(&self, changes: &[EntryChange<'_>], failed: &mut dyn FnMut(usize, ForwarderError)) {
        let mut plane = self.plane.lock();
        for (at, change) in changes.iter().enumerate() {
            if let Err(error) = plane.set(change) {
                failed(at, error);
            }
        }
    }

    fn refuse(&self, flow: SourceGroup) {
        let mut plane = self.plane.lock();
        if let Some(waiting) = plane.waiting.remove(&flow) {
            plane.held -= waiting.len();
        }
    }

    fn flush(&self) {
        loop {
            let next = self.plane.lock().ready.pop_front();
            let Some(held) = next else { return };
            // It was parsed when it came in.
            let Ok(Ok(packet)) = packet::parse(&held.bytes) else { continue };
            let verdict = self.plane.lock().judge(held.arrival, &packet);
            match (verdict, self.upcalls.get()) {
                // A copy that finds no memory is lost like one on a full link.
                (Ok(Verdict::Forward(oifs)), _) => drop(self.transmit(&packet, &oifs)),
                (Ok(Verdict::WrongInterface), Some(upcalls)) => {
                    upcalls.wrong_interface(packet.flow, held.arrival, packet.bytes);
                }
                // The entry went again; the flow's next packet asks for it.
                _ => {}
            }
        }
    }

    fn name(&self) -> &'static str {
        "memory"
    }

    fn own_counters(&self, give: &mut dyn FnMut(&'static str, u64)) {
        give("dropped_packets", self.dropped());
    }

    fn counters(&self, flow: SourceGroup) -> Option<Counters> {
        self.plane.lock().entries.get(&flow).map(|entry| entry.counters)
    }

    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<Route> {
        match (&self.config.route, arrival) {
            (Some(route), _) => route(source, arrival),
            (None, Some(interface)) => Some(Route {
                interface,
                upstream: source,
                protocol: 0,
                network: source,
                prefix_len: 32,
            }),
            (None, None) => None,
        }
    }

    fn as_memory(&self) -> Option<&MemoryForwarder> {
        Some(self)
    }
}
