//! Model: packets, and what becomes of them (E1, E7).

use super::loops::Dispatching;
use super::state::Model;
use super::words::*;
use mgm::types::IfKey;

/// Decision 27.
const WAITING_PACKETS: usize = 4;

impl Model {
    pub fn packet(&mut self, on: IfKey, packet: Packet) -> u32 {
        let Packet { flow, ttl, .. } = packet;
        if self.down.contains(&on) {
            // Decision 22: any packet, forwarded or not. What comes of it comes first.
            self.came_up(on, None);
            // Nobody waits for clients of other processes here.
            if !self.world.remote || self.choice(2) == 1 {
                self.deliver_for(self.cause);
            }
        }
        if !flow.group().is_multicast() || flow.is_link_local() {
            return code::NO_ERROR; // rightly not forwarded
        }
        if ttl <= 1 {
            // Neither, but it is known where it would have gone.
            let entry = self.mfes.get_mut(&flow).filter(|e| e.iif == on);
            for counts in entry.into_iter().flat_map(|e| e.oifs.values_mut()) {
                counts.ttl_too_low += 1;
            }
            return code::NO_ERROR;
        }
        if self.mfes.contains_key(&flow) {
            self.forward(on, packet, false);
            return code::NO_ERROR;
        }
        let held = self.held.entry(flow).or_default();
        if held.len() < WAITING_PACKETS {
            held.push((on, packet));
        }
        let pending = self.pending.get(&flow);
        if pending.is_none_or(|p| !p.makes_entry()) {
            let route = self.route_named(flow.source(), Some(on));
            self.source_seen(flow.source(), route.map(|r| r.to));
        }
        let pending = self.pending.get(&flow);
        if pending.is_some_and(|p| !p.makes_entry()) {
            self.came_meanwhile(on, packet);
        } else if pending.is_none() {
            if self.room_for_one(flow.source()) {
                let route = self.route_named(flow.source(), Some(on));
                self.build(flow, on, header_of(&packet), route);
            } else {
                self.held.remove(&flow);
            }
        }
        code::NO_ERROR
    }

    /// A packet of a flow whose entry went while it was being built anew.
    fn came_meanwhile(&mut self, on: IfKey, packet: Packet) {
        let flow = packet.flow;
        if !self.room_for_one(flow.source()) {
            self.held.remove(&flow);
            return;
        }
        let route = self.route_named(flow.source(), Some(on));
        if let Some(pending) = self.pending.get_mut(&flow) {
            pending.came = Some((on, header_of(&packet), route));
            pending.outdated = false;
        }
    }

    /// A packet whose flow has an entry.
    fn forward(&mut self, on: IfKey, packet: Packet, waited: bool) {
        let Packet { flow, ttl, octets, .. } = packet;
        let now = self.now;
        let owner = self.owner(on);
        let after = self.events.len();
        let Some(entry) = self.mfes.get_mut(&flow) else { return };
        if on == entry.iif {
            entry.packets += 1;
            entry.packets_then += u32::from(waited);
            entry.octets += u32::from(octets);
            for (oif, counts) in &mut entry.oifs {
                counts.packets += 1;
                self.sent.push(Sent { on: *oif, flow, ttl: ttl - 1, after });
            }
            return;
        }
        entry.wrong_if += 1;
        let lately = entry.last_wrong_if.is_some_and(|then| now - then < 3);
        let Some(owner) = owner else { return };
        if entry.is_normal() && !lately {
            entry.last_wrong_if = Some(now);
            let header = header_of(&packet);
            self.alert(owner, Callback::WrongIf { flow, on, header });
        }
    }

    /// Passes packets on that waited for an entry. What one on the wrong interface causes, and all
    /// that is due, comes before the next; calls that callbacks make then may pass the rest on. A loop
    /// whose dispatch this is part of is called when the last has been passed.
    pub fn pass_ready(&mut self) {
        while let Some((on, packet)) = self.ready.pop_front() {
            self.forward(on, packet, true);
            if self.mfes.get(&packet.flow).is_some_and(|e| e.iif != on) {
                self.dispatches().for_each(|by| by.passes += 1);
                self.deliver_for(self.cause);
                self.dispatches().for_each(|by| by.passes -= 1);
            }
        }
    }

    /// The dispatches that go on.
    fn dispatches(&mut self) -> impl Iterator<Item = &mut Dispatching> {
        self.clients.iter_mut().filter_map(|client| client.dispatching.as_mut())
    }
}

/// What callbacks get of a packet: all of it (rule E2).
fn header_of(packet: &Packet) -> Header {
    let Packet { flow, options, octets, .. } = *packet;
    let header = 20 + 4 * usize::from(options);
    Header { header, octets: octets.into(), source: flow.source(), group: flow.group() }
}
