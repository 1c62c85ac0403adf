//! Flows that this machine sends itself.
//!
//! Such a packet comes back to Linux from the device that it leaves by, and Linux looks for an entry there.
//! Which device that is can change at any moment: the program sets another one (IP_MULTICAST_IF), the
//! route of the group moves, the source's address comes to this machine from another one. From then on
//! the kernel drops the flow's packets at its entry, whose iif is another, and tells nobody. So the
//! devices are watched with a packet socket, for as long as a flow of this machine's own is forwarded:
//!
//! - A packet of such a flow on a device that is neither its iif nor an oif is the program's. The flow
//!   has moved there.
//! - On an oif it may be a copy that was forwarded. So every now and then the next packets are looked
//!   at, whatever device they leave by. If some are seen on an oif and none on the iif, the flow has
//!   moved to that oif.
//!
//! The socket's filter lets through only packets that tell something: in the steady state, none.

#![forbid(unsafe_code)]

use super::Plane;
use super::entries::Entries;
use super::messages::News;
use super::own::Sight;
use super::vifs::{NO_PARENT, Vifs};
use crate::log::Level;
use crate::sys::{self, MAX_VIFS};
use crate::types::SourceGroup;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often flows are checked for a move to one of their oifs.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// After a flow has moved it is not watched for so long, because a program may send by two devices in
/// turn. (Rule E7 has the same time.)
const HOLD: Duration = Duration::from_secs(3);
/// So many packets on one oif without one on the iif mean that the flow has moved. Two are not enough:
/// the check may begin between a packet and its copy, and the next copy may overtake its packet.
const ENOUGH: u8 = 3;
/// The part of a packet that is read: the fixed part of its IP header.
const HEADER: usize = 20;
/// How many packets are read at a time.
const AT_ONCE: usize = 256;
/// An ethernet protocol that nobody uses: a socket for it costs nothing.
const NO_PROTOCOL: u16 = 0x88b5;

impl Plane {
    /// Notes whether a source is this machine's own address.
    pub(super) fn note_source(&self, source: Ipv4Addr, is_own: bool) {
        if !is_own && !self.own_sources.load(Relaxed) {
            return;
        }
        let mut entries = self.entries.lock();
        let Entries { own, programmed, .. } = &mut *entries;
        match own.sources.iter().position(|known| *known == source) {
            Some(at) if !is_own => {
                own.sources.swap_remove(at);
                own.flows.retain(|flow, _| flow.source() != source);
                own.changed = true;
            }
            None if is_own && own.sources.try_reserve(1).is_ok() => {
                own.sources.push(source);
                // The address may have come to this machine while its flows were forwarded.
                let its = programmed.iter().filter(|(flow, _)| flow.source() == source);
                its.for_each(|(flow, state)| own.note(*flow, Some(*state)));
            }
            _ => return,
        }
        self.own_sources.store(!own.sources.is_empty(), Relaxed);
        self.watch_soon(&entries);
    }

    /// Lets the netlink thread bring the filter up to date, where that is necessary.
    pub(super) fn watch_soon(&self, entries: &Entries) {
        if entries.own.changed && !entries.stopped {
            sys::signal(&self.wake);
        }
    }

    /// The packet socket, made when a source is this machine's own for the first time: it takes the kernel
    /// many milliseconds to close one. None: it is not needed, or not permitted.
    fn own_socket(&self) -> Option<&OwnedFd> {
        if self.own_packets.get().is_none() && self.own_sources.load(Relaxed) {
            let _ = self.own_packets.set(sys::packet_socket().ok()?);
        }
        self.own_packets.get()
    }

    /// Finds the flows that have moved, and watches as is necessary from now on.
    pub(super) fn watch_own(&self, sight: &mut Sight, queue: &mut Vec<News>) {
        let Some(socket) = self.own_socket() else { return };
        if sight.watching {
            self.read_own(socket, queue);
        } else if !self.own_sources.load(Relaxed) {
            return;
        }
        let mut entries = self.entries.lock();
        let now = Instant::now();
        let checks = sight.next_check.is_some_and(|at| at <= now);
        if checks {
            self.check_own(&mut entries, now);
            sight.next_check = Some(now + CHECK_EVERY);
        }
        let any = !entries.own.flows.is_empty();
        let vifs = self.vifs.read();
        let mut devices = [0; MAX_VIFS];
        let each = vifs.each(vifs.wanted & vifs.in_kernel);
        each.for_each(|(vif, ifindex)| devices[usize::from(vif)] = ifindex);
        let changed = (entries.own.changed || sight.devices != devices) && any;
        (sight.devices, entries.own.changed) = (devices, false);
        let all = !changed || write_filter(sight, &entries, &vifs);
        drop(vifs);
        drop(entries);
        if changed {
            self.set_filter(socket, sight, all);
        }
        if any && !sight.watching {
            sight.watching = sys::bind_packets(socket, libc::ETH_P_ALL as u16).is_ok();
            sight.next_check = Some(now + CHECK_EVERY);
        } else if !any && checks {
            sight.next_check = None;
            if std::mem::take(&mut sight.watching) {
                let _ = sys::bind_packets(socket, NO_PROTOCOL);
            }
        }
    }

    /// Attaches the filter. `all`: every flow is in it.
    fn set_filter(&self, socket: &OwnedFd, sight: &mut Sight, all: bool) {
        if let Err(error) = sys::attach_filter(socket, &sight.filter) {
            if error == libc::ENOMEM {
                sight.most /= 2;
            }
            // It stays as it was until it is tried again.
            self.entries.lock().own.changed = true;
        } else if !all {
            self.unwatched.log(
                |line| self.upcalls.log(Level::Warn, line),
                format_args!(
                    "too many flows of this machine's own: one that is not watched ends when its \
                     program sends by another device"
                ),
            );
        }
    }

    /// Reads packets that were seen.
    fn read_own(&self, socket: &OwnedFd, queue: &mut Vec<News>) {
        let mut header = [0; HEADER];
        for _ in 0..AT_ONCE {
            let Ok((length, ifindex)) = sys::receive_packet(socket, &mut header) else { return };
            if length < HEADER {
                continue;
            }
            let [.., a, b, c, d, e, f, g, h] = header;
            let (source, group) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
            let flow = SourceGroup::new(source, group);
            if let Some(vif) = self.seen(&mut self.entries.lock(), flow, ifindex)
                && queue.try_reserve(1).is_ok()
            {
                queue.push(News::Moved { flow, vif });
            }
        }
    }

    /// A packet of a flow was seen on a device. Gives the VIF that the flow has moved to.
    fn seen(&self, entries: &mut Entries, flow: SourceGroup, ifindex: u32) -> Option<u8> {
        let vifs = self.vifs.read();
        let vif = vifs.number(ifindex).filter(|vif| vifs.wanted >> vif & 1 == 1)?;
        drop(vifs);
        let state = *entries.programmed.get(&flow)?;
        let own = &mut entries.own;
        let watched = own.flows.get_mut(&flow)?;
        if watched.held.is_some() {
            return None;
        }
        if vif == state.parent {
            own.changed |= watched.check.take().is_some();
            return None;
        }
        if state.oifs >> vif & 1 == 1 {
            let (last, times) = watched.check?;
            let times = if last == vif { times + 1 } else { 1 };
            watched.check = Some((vif, times));
            if times < ENOUGH {
                return None;
            }
        }
        (watched.check, watched.held) = (None, Some(Instant::now() + HOLD));
        own.changed = true;
        Some(vif)
    }

    /// Begins to look at all packets of the flows that are in use, and watches those again that moved
    /// a while ago.
    fn check_own(&self, entries: &mut Entries, now: Instant) {
        let own = &mut entries.own;
        for (flow, watched) in &mut own.flows {
            if watched.held.is_some_and(|until| until <= now) {
                watched.held = None;
                own.changed = true;
            }
            let count = sys::sg_count(&self.socket, flow.source(), flow.group());
            let Ok(count) = count.map(|count| count.packets) else { continue };
            if count != watched.packets && watched.check.is_none() {
                watched.check = Some((NO_PARENT, 0));
                own.changed = true;
            }
            watched.packets = count;
        }
    }
}

/// Writes the filter: it lets a packet through that leaves this machine by one of our devices, if it
/// belongs to a watched flow, and the flow is checked or the device is neither its iif nor an oif. False:
/// there is no room for all flows.
fn write_filter(sight: &mut Sight, entries: &Entries, vifs: &Vifs) -> bool {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let about = |what: i32| (libc::SKF_AD_OFF + what) as u32;
    let filter = &mut sight.filter;
    filter.clear();
    filter.extend([
        sys::bpf(LOAD, 0, 0, about(libc::SKF_AD_PKTTYPE)),
        sys::bpf(EQUAL, 1, 0, libc::PACKET_OUTGOING.into()),
        sys::bpf(RETURN, 0, 0, 0),
        sys::bpf(LOAD, 0, 0, about(libc::SKF_AD_PROTOCOL)),
        sys::bpf(EQUAL, 1, 0, libc::ETH_P_IP as u32),
        sys::bpf(RETURN, 0, 0, 0),
        sys::bpf(LOAD, 0, 0, about(libc::SKF_AD_IFINDEX)),
    ]);
    // VLAN devices, for example, hand their packets on to others.
    let devices = sight.devices.iter().filter(|ifindex| **ifindex != 0);
    let count = devices.clone().count() as u8;
    for (at, ifindex) in (0..).zip(devices) {
        filter.push(sys::bpf(EQUAL, count - at, 0, *ifindex));
    }
    filter.push(sys::bpf(RETURN, 0, 0, 0));
    let mut all = true;
    for (flow, watched) in &entries.own.flows {
        let Some(state) = entries.programmed.get(flow).filter(|_| watched.held.is_none()) else {
            continue;
        };
        let expected = if watched.check.is_some() { 0 } else { state.vifs() };
        let count = expected.count_ones() as u8;
        // The flow's part has so many instructions, and one more ends the filter.
        if filter.len() + usize::from(count) + 8 > sight.most {
            all = false;
            break;
        }
        filter.extend([
            sys::bpf(LOAD, 0, 0, 16),
            sys::bpf(EQUAL, 0, count + 5, flow.group().to_bits()),
            sys::bpf(LOAD, 0, 0, 12),
            sys::bpf(EQUAL, 0, count + 3, flow.source().to_bits()),
            sys::bpf(LOAD, 0, 0, about(libc::SKF_AD_IFINDEX)),
        ]);
        for (at, (_, ifindex)) in (0..).zip(vifs.each(expected)) {
            filter.push(sys::bpf(EQUAL, count - at, 0, ifindex));
        }
        filter.extend([sys::bpf(RETURN, 0, 0, HEADER as u32), sys::bpf(RETURN, 0, 0, 0)]);
    }
    filter.push(sys::bpf(RETURN, 0, 0, 0));
    all
}

#[cfg(test)]
mod tests {
    use super::super::own::MAX_FILTER;
    use super::super::vifs::Programmed;
    use super::*;
    use crate::types::IfKey;

    #[test]
    fn a_filter_is_bounded_and_ends() {
        let mut vifs = Vifs::default();
        for n in 0..MAX_VIFS as u8 {
            vifs.assign(n, 100 + u32::from(n));
            vifs.insert(IfKey::new(100 + u32::from(n), Ipv4Addr::UNSPECIFIED), n);
        }
        vifs.in_kernel = u32::MAX;
        let mut entries = Entries::new().unwrap();
        let mut sight = Sight::new();
        sight.devices = std::array::from_fn(|n| 100 + n as u32);
        let source = Ipv4Addr::new(10, 0, 0, 1);
        entries.own.sources.push(source);
        for (n, fits) in [(0, true), (1, true), (90, true), (200, false)] {
            for flow in 0..n {
                let flow = SourceGroup::new(source, Ipv4Addr::from_bits(0xe801_0000 + flow));
                entries.note(flow, Some(Programmed { parent: 0, oifs: !1 }));
            }
            assert_eq!(write_filter(&mut sight, &entries, &vifs), fits, "{n}");
            let filter = &sight.filter;
            assert!(filter.len() <= MAX_FILTER && filter.capacity() == MAX_FILTER);
            for (at, step) in filter.iter().enumerate() {
                let (jumps, returns) = (step.code & 7 == 5, step.code & 7 == 6);
                let farthest = at + 1 + usize::from(step.jt.max(step.jf));
                assert!(returns || farthest < filter.len() && (jumps || step.jt == 0), "{at}");
            }
        }
    }
}
