//! The memory forwarder: a forwarding plane inside the process.
//!
//! Packets come in through [`Forwarder::receive`] and leave through the host's transmit
//! function. Up to four packets of a flow without an entry wait for it, as in Linux.

#![forbid(unsafe_code)]

use super::packet::{self, Unforwardable};
use super::{Bringer, CountsEach, EntryChange, Forwarder, ForwarderError, Received, Upcalls};
use crate::core::state::record::OifRecord;
use crate::error::Error;
use crate::sys::sync::Mutex;
use crate::types::{Counters, IfKey, MOST_WAITING, Route, SourceGroup};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many packets wait in all. Further ones are dropped, as the kernel does when its socket
/// buffer is full.
const HELD_IN_ALL: usize = 65_536;
/// How many octets these packets may have together.
const HELD_OCTETS: usize = 128 << 20;

/// The host's look-up of the route toward a source. The second argument is the packet's arrival
/// interface, where there is a packet.
pub type RouteFn = Box<dyn Fn(Ipv4Addr, Option<IfKey>) -> Option<Route> + Send + Sync>;
/// The host's function that sends a copy of a packet out of each of these interfaces, in order.
pub type TransmitFn = Box<dyn Fn(&[IfKey], &[u8]) + Send + Sync>;

/// What the host provides.
#[derive(Default)]
pub struct MemoryConfig {
    /// The route toward a source. None: the route is the packet's arrival interface, and the
    /// upstream neighbour is the source.
    pub route: Option<RouteFn>,
    /// Sends copies of a packet. None: copies are only counted.
    pub transmit: Option<TransmitFn>,
}

struct MemoryEntry {
    iif: IfKey,
    /// Ordered by name.
    oifs: SmallVec<[MemoryOif; 4]>,
    counters: Counters,
}

/// An outgoing interface, and what was counted for it since it joined the entry.
#[derive(Clone, Copy)]
struct MemoryOif {
    interface: IfKey,
    /// Packets handed to it.
    packets: u32,
    ttl_too_low: u32,
}

impl MemoryOif {
    const fn new(interface: IfKey) -> Self {
        Self { interface, packets: 0, ttl_too_low: 0 }
    }

    /// A packet goes out of it.
    fn send(&mut self) -> IfKey {
        self.packets = self.packets.wrapping_add(1);
        self.interface
    }
}

struct HeldPacket {
    arrival: IfKey,
    bytes: Vec<u8>,
    by: Bringer,
}

#[derive(Default)]
struct MemoryPlane {
    entries: HashMap<SourceGroup, MemoryEntry>,
    waiting: HashMap<SourceGroup, SmallVec<[HeldPacket; 1]>>,
    /// How many packets are waiting, and how many octets they have.
    held: usize,
    held_octets: usize,
    /// Packets that waited and whose entries have been made.
    ready: VecDeque<HeldPacket>,
    /// How many were ever taken out of these.
    taken: u64,
}

/// How many outgoing interfaces are looked up at a time.
const OIFS_AT_ONCE: usize = 16;

/// Some of an entry's outgoing interfaces, in order; never more than fit without an allocation.
type Oifs = SmallVec<[IfKey; OIFS_AT_ONCE]>;

/// What the plane decided about a packet.
enum Verdict {
    Forward(Oifs),
    WrongInterface,
    NoEntry,
}

/// The forwarding plane inside the process.
pub struct MemoryForwarder {
    config: MemoryConfig,
    plane: Mutex<MemoryPlane>,
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

    /// Passes a packet on that has waited, unless another thread has taken it.
    fn pass_on(&self, place: u64) {
        let Some(held) = self.plane.lock().take_ready(place) else { return };
        // It was parsed when it came in, so this cannot fail.
        let Ok(Ok(packet)) = packet::parse(&held.bytes) else { return };
        let (flow, header_len) = (packet.flow, packet.header_len());
        let verdict = self.plane.lock().judge(held.arrival, flow, held.bytes.len(), true);
        match (verdict, self.upcalls.get()) {
            (Verdict::Forward(oifs), _) => self.transmit(flow, held.bytes, header_len, oifs),
            (Verdict::WrongInterface, Some(upcalls)) => {
                upcalls.wrong_interface(flow, held.arrival, packet.bytes);
            }
            // The entry was deleted again; the flow's next packet asks for it.
            _ => {}
        }
    }

    /// Sends a packet out of these interfaces of its entry, and out of those that follow them.
    fn transmit(&self, flow: SourceGroup, mut bytes: Vec<u8>, header_len: usize, mut oifs: Oifs) {
        packet::age(&mut bytes, header_len);
        while let Some(last) = oifs.last().copied() {
            if let Some(transmit) = &self.config.transmit {
                transmit(&oifs, &bytes);
            }
            if oifs.len() < OIFS_AT_ONCE {
                return;
            }
            oifs = self.plane.lock().oifs_after(flow, last);
        }
    }
}

impl MemoryEntry {
    fn oif(&mut self, interface: IfKey) -> Option<&mut MemoryOif> {
        let at = self.oifs.binary_search_by_key(&interface, |oif| oif.interface).ok()?;
        Some(&mut self.oifs[at])
    }
}

impl MemoryPlane {
    fn judge(&mut self, arrival: IfKey, flow: SourceGroup, octets: usize, waited: bool) -> Verdict {
        let Some(entry) = self.entries.get_mut(&flow) else { return Verdict::NoEntry };
        if entry.iif != arrival {
            entry.counters.wrong_interface = entry.counters.wrong_interface.wrapping_add(1);
            return Verdict::WrongInterface;
        }
        entry.counters.packets = entry.counters.packets.wrapping_add(1);
        entry.counters.octets = entry.counters.octets.wrapping_add(octets as u32);
        entry.counters.waited =
            entry.counters.waited.map(|before| before.wrapping_add(waited.into()));
        Verdict::Forward(entry.oifs.iter_mut().take(OIFS_AT_ONCE).map(MemoryOif::send).collect())
    }

    /// The outgoing interfaces of a flow's entry that follow one: a packet goes out of them too.
    fn oifs_after(&mut self, flow: SourceGroup, last: IfKey) -> Oifs {
        let Some(entry) = self.entries.get_mut(&flow) else { return Oifs::new() };
        let next = entry.oifs.partition_point(|oif| oif.interface <= last);
        entry.oifs[next..].iter_mut().take(OIFS_AT_ONCE).map(MemoryOif::send).collect()
    }

    /// A packet whose TTL ends here came in: it would have left through the entry's interfaces.
    fn expired(&mut self, arrival: IfKey, flow: SourceGroup) {
        if let Some(entry) = self.entries.get_mut(&flow).filter(|entry| entry.iif == arrival) {
            for oif in &mut entry.oifs {
                oif.ttl_too_low = oif.ttl_too_low.wrapping_add(1);
            }
        }
    }

    fn hold(&mut self, flow: SourceGroup, held: HeldPacket) -> Result<(), Error> {
        let octets = held.bytes.len();
        if self.held >= HELD_IN_ALL || self.held_octets + octets > HELD_OCTETS {
            return Ok(());
        }
        self.waiting.try_reserve(1)?;
        // So that moving the packet to `ready` never needs memory.
        self.ready.try_reserve(self.held + 1)?;
        let waiting = self.waiting.entry(flow).or_default();
        if waiting.len() < MOST_WAITING as usize {
            waiting.try_reserve(1)?;
            self.held += 1;
            self.held_octets += octets;
            waiting.push(held);
        }
        Ok(())
    }

    /// The packets of a flow wait no longer.
    fn release(&mut self, flow: SourceGroup) -> SmallVec<[HeldPacket; 1]> {
        let released = self.waiting.remove(&flow).unwrap_or_default();
        self.held -= released.len();
        self.held_octets -= released.iter().map(|held| held.bytes.len()).sum::<usize>();
        released
    }

    /// The next packet to pass on: its place in the order of all, and who brought it.
    fn next_ready(&self) -> Option<(u64, Bringer)> {
        self.ready.front().map(|held| (self.taken, held.by))
    }

    /// Takes that packet, if no other thread has.
    fn take_ready(&mut self, place: u64) -> Option<HeldPacket> {
        if self.taken != place {
            return None;
        }
        let held = self.ready.pop_front()?;
        self.taken += 1;
        Some(held)
    }

    fn set(&mut self, change: &EntryChange<'_>) -> Result<(), ForwarderError> {
        let Some(state) = change.state else {
            self.entries.remove(&change.flow);
            self.release(change.flow);
            return Ok(());
        };
        let mut oifs = SmallVec::<[MemoryOif; 4]>::new();
        let room =
            self.entries.try_reserve(1).is_ok() && oifs.try_reserve(state.oifs.len()).is_ok();
        if !room {
            return Err(ForwarderError::OutOfMemory);
        }
        oifs.extend(state.oifs.iter().copied().map(MemoryOif::new));
        match self.entries.get_mut(&change.flow) {
            Some(entry) => {
                entry.iif = state.iif;
                for oif in &mut oifs {
                    if let Some(before) = entry.oif(oif.interface) {
                        *oif = *before;
                    }
                }
                entry.oifs = oifs;
            }
            None => {
                let counters = Counters { waited: Some(0), ..Counters::default() };
                let entry = MemoryEntry { iif: state.iif, oifs, counters };
                self.entries.insert(change.flow, entry);
            }
        }
        // Room was made when the packets were put on hold.
        let released = self.release(change.flow);
        self.ready.extend(released);
        Ok(())
    }
}

impl Forwarder for MemoryForwarder {
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        // It is started once only.
        let _ = self.upcalls.set(upcalls);
        Ok(())
    }

    fn stop(&self) {
        *self.plane.lock() = MemoryPlane::default();
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
        self.plane.lock().release(flow);
    }

    fn flush(&self) {
        loop {
            let Some((place, by)) = self.plane.lock().next_ready() else { return };
            let pass = &mut || self.pass_on(place);
            match self.upcalls.get() {
                Some(upcalls) => upcalls.on_behalf(by, pass),
                None => pass(),
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

    fn receive<'a>(
        &self,
        arrival: IfKey,
        bytes: &'a [u8],
        by: Bringer,
    ) -> Result<Received<'a>, Error> {
        let packet = match packet::parse(bytes) {
            Ok(Ok(packet)) => packet,
            Ok(Err(reason)) => {
                self.dropped.fetch_add(1, Relaxed);
                if let Unforwardable::Ttl(flow) = reason {
                    self.plane.lock().expired(arrival, flow);
                }
                return Ok(Received::Done);
            }
            Err(reason) => {
                self.dropped.fetch_add(1, Relaxed);
                return Err(Error::BadPacket { size: bytes.len(), reason });
            }
        };
        // This comes before anything is counted, because it can fail (rule A4).
        let copy = packet.copy()?;
        let verdict = {
            let mut plane = self.plane.lock();
            let verdict = plane.judge(arrival, packet.flow, copy.len(), false);
            if matches!(verdict, Verdict::NoEntry) {
                plane.hold(packet.flow, HeldPacket { arrival, bytes: copy, by })?;
                return Ok(Received::NoEntry(packet));
            }
            verdict
        };
        Ok(match verdict {
            Verdict::Forward(oifs) => {
                self.transmit(packet.flow, copy, packet.header_len(), oifs);
                Received::Done
            }
            Verdict::WrongInterface => Received::WrongInterface(packet),
            Verdict::NoEntry => Received::NoEntry(packet),
        })
    }

    fn uncount_wrong_interface(&self, flow: SourceGroup) {
        if let Some(entry) = self.plane.lock().entries.get_mut(&flow) {
            entry.counters.wrong_interface = entry.counters.wrong_interface.wrapping_sub(1);
        }
    }

    fn counts_each(&self) -> Option<&dyn CountsEach> {
        Some(self)
    }
}

impl CountsEach for MemoryForwarder {
    fn count_each(&self, flow: SourceGroup, oifs: &mut [OifRecord]) -> Counters {
        let mut plane = self.plane.lock();
        let Some(entry) = plane.entries.get_mut(&flow) else { return Counters::default() };
        for oif in oifs {
            if let Some(counted) = entry.oif(oif.interface) {
                (oif.packets, oif.ttl_too_low) = (counted.packets, counted.ttl_too_low);
            }
        }
        entry.counters
    }

    fn count_anew(&self, flow: SourceGroup, joined: &[IfKey]) {
        let mut plane = self.plane.lock();
        let Some(entry) = plane.entries.get_mut(&flow) else { return };
        for interface in joined {
            if let Some(oif) = entry.oif(*interface) {
                *oif = MemoryOif::new(*interface);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forwarder::EntryState;

    const FLOW: SourceGroup =
        SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(239, 1, 1, 1));
    const BY: Bringer = Bringer { epoch: 1, job: 0, serial: 1 };

    const fn interface(index: u32) -> IfKey {
        IfKey::new(index, Ipv4Addr::UNSPECIFIED)
    }

    fn packet(plane: &MemoryForwarder, ttl: u8) {
        let packet = [0x45, 0, 0, 20, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 0, 0, 1, 239, 1, 1, 1];
        assert!(matches!(plane.receive(interface(1), &packet, BY), Ok(Received::Done)));
    }

    fn program(plane: &MemoryForwarder, oifs: &[IfKey]) {
        let state = Some(EntryState { iif: interface(1), oifs });
        plane.program(&[EntryChange { flow: FLOW, state }], &mut |_, error| panic!("{error}"));
    }

    /// Packets and those whose TTL was too low, of interfaces 2 to 4.
    fn counts(plane: &MemoryForwarder) -> [(u32, u32); 3] {
        let mut oifs = [2, 3, 4].map(|index| OifRecord {
            interface: interface(index),
            packets: 0,
            ttl_too_low: 0,
        });
        plane.count_each(FLOW, &mut oifs);
        oifs.map(|oif| (oif.packets, oif.ttl_too_low))
    }

    /// Packets of flows whose questions stay open: 128 MiB of them wait, and no more.
    #[test]
    fn packets_that_wait_take_bounded_memory() {
        let plane = MemoryForwarder::new(MemoryConfig::default());
        let mut packet = vec![0; 65_535];
        packet[..20].copy_from_slice(&[
            0x45, 0, 0xff, 0xff, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 239, 1, 1, 1,
        ]);
        let whole = HELD_OCTETS / packet.len();
        let flow = |n: usize| {
            let group = Ipv4Addr::from_bits(0xe800_0000 + n as u32);
            SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), group)
        };
        let mut come = |n| {
            packet[16..20].copy_from_slice(&flow(n).group().octets());
            assert!(matches!(plane.receive(interface(1), &packet, BY), Ok(Received::NoEntry(_))));
            plane.plane.lock().held
        };
        for n in 0..whole + 5 {
            assert_eq!(come(n), (n + 1).min(whole));
        }
        plane.refuse(flow(0));
        plane.program(&[EntryChange { flow: flow(1), state: None }], &mut |_, _| ());
        assert_eq!((come(whole), come(whole + 1), come(whole + 2)), (whole - 1, whole, whole));
        for n in 0..whole + 5 {
            plane.refuse(flow(n));
        }
        let plane = plane.plane.lock();
        assert_eq!((plane.held, plane.held_octets), (0, 0));
    }

    #[test]
    fn e13_each_interface_counts_since_it_joined() {
        let plane = MemoryForwarder::new(MemoryConfig::default());
        program(&plane, &[interface(2), interface(3)]);
        packet(&plane, 9);
        packet(&plane, 1);
        assert_eq!(counts(&plane), [(1, 1), (1, 1), (0, 0)]);
        program(&plane, &[interface(2), interface(3), interface(4)]);
        packet(&plane, 9);
        assert_eq!(counts(&plane), [(2, 1), (2, 1), (1, 0)]);
        // 3 left and joined again before the plane heard of it; 5 is only about to join.
        plane.count_anew(FLOW, &[interface(3), interface(5)]);
        program(&plane, &[interface(2), interface(3), interface(4), interface(5)]);
        packet(&plane, 9);
        assert_eq!(counts(&plane), [(3, 1), (1, 0), (2, 0)]);
        program(&plane, &[interface(3)]);
        program(&plane, &[interface(2), interface(3)]);
        assert_eq!(counts(&plane), [(0, 0), (1, 0), (0, 0)]);
    }
}
