//! What the kernel tells: reports of packets, netlink notifications and answers, all of them read by
//! the kernel forwarder's own code from sockets whose other end is here.
//!
//! What must come of a report, of a change of routes or of an answer is worked out here once more,
//! from the kernel's structures; what is truncated or malformed must not be taken for anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mgm::forwarder::Upcalls;
use mgm::forwarder::kernel::fuzzing::{
    Attributes, FuzzedPlane, KernelSocket, Message, Messages, NextHops, REPORT_SIZE,
};
use mgm::log::Level;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::Mutex;

/// Devices 2, 3 and 4 are VIFs 0, 1 and 2.
const INTERFACES: [IfKey; 4] = [
    IfKey::new(2, Ipv4Addr::UNSPECIFIED),
    IfKey::new(3, Ipv4Addr::UNSPECIFIED),
    IfKey::new(4, Ipv4Addr::UNSPECIFIED),
    IfKey::new(4, Ipv4Addr::new(10, 0, 0, 9)),
];
/// No more datagrams than a socket holds (net.unix.max_dgram_qlen), with room for two ends of dumps.
const MOST: usize = 8;
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The flow that the plane has an entry for.
const PROGRAMMED: SourceGroup = SourceGroup::new(SOURCE, Ipv4Addr::new(239, 1, 1, 1));

/// What the plane told the group manager.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    NoCache(SourceGroup, IfKey, Vec<u8>),
    WrongInterface(SourceGroup, IfKey, Vec<u8>),
    Routes(Ipv4Addr, u8),
    Up(IfKey, bool),
    Lost(SourceGroup),
}

struct Listener(Mutex<Vec<Told>>);

static LISTENER: Listener = Listener(Mutex::new(Vec::new()));

impl Listener {
    fn heard(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }
}

impl Upcalls for Listener {
    fn no_cache(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        self.heard(Told::NoCache(flow, arrival, header.to_vec()));
    }

    fn found(&self, flow: SourceGroup, arrival: IfKey) -> bool {
        assert!(flow.has_source() && INTERFACES.contains(&arrival));
        true
    }

    fn taken_over(&self, flow: SourceGroup) {
        assert!(flow.has_source());
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        self.heard(Told::WrongInterface(flow, arrival, header.to_vec()));
    }

    fn source_moved(&self, _: SourceGroup, _: IfKey) {
        unreachable!("no packet of this machine's own is told");
    }

    fn routes_changed(&self, network: Ipv4Addr, prefix_len: u8) {
        self.heard(Told::Routes(network, prefix_len));
    }

    fn interface_up(&self, interface: IfKey, up: bool) {
        assert!(INTERFACES.contains(&interface));
        self.heard(Told::Up(interface, up));
    }

    fn entry_lost(&self, flow: SourceGroup) {
        assert!(flow.has_source());
        self.heard(Told::Lost(flow));
    }

    fn log(&self, _: Level, message: std::fmt::Arguments<'_>) {
        assert!(!message.to_string().is_empty());
    }
}

/// A number of the machine's order at a place, where all of its octets are there.
fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn address(octets: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?))
}

// ---- reports ----

/// What struct igmpmsg says, and the header behind it. None: it is none, or not a whole one.
fn report(datagram: &[u8]) -> Option<Told> {
    if datagram.len() < 28 || datagram.len() > REPORT_SIZE || datagram[0] >> 4 != 4 {
        return None;
    }
    // The IP header with its options, then struct igmphdr.
    let header = usize::from(datagram[0] & 15) * 4;
    if header < 20 || header + 8 > datagram.len() || datagram[9] != 0 {
        return None;
    }
    let (source, group) = (address(&datagram[12..16])?, address(&datagram[16..20])?);
    if source.is_unspecified() || source.is_multicast() || !group.is_multicast() {
        return None;
    }
    let vif = usize::from(datagram[10]) | usize::from(datagram[11]) << 8;
    // VIF 2 stands for two interfaces, of which the lower one is named.
    let arrival = *INTERFACES[..3].get(vif).unwrap_or(&IfKey::new(0, Ipv4Addr::UNSPECIFIED));
    let (flow, header) = (SourceGroup::new(source, group), datagram[..header].to_vec());
    match datagram[8] {
        1 => Some(Told::NoCache(flow, arrival, header)),
        2 | 4 => Some(Told::WrongInterface(flow, arrival, header)),
        _ => None,
    }
}

/// The header as the group manager is to see it: what the kernel laid over it cleared, the
/// checksum right.
fn mended(told: Told) -> Told {
    let mend = |mut header: Vec<u8>| {
        header[8..12].fill(0);
        let sum: u64 = header.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(w[1])).sum();
        // The sum is not 0: the version is in it.
        let check = 0xffff - ((sum - 1) % 0xffff + 1) as u16;
        header[10..12].copy_from_slice(&check.to_be_bytes());
        header
    };
    match told {
        Told::NoCache(flow, on, header) => Told::NoCache(flow, on, mend(header)),
        Told::WrongInterface(flow, on, header) => Told::WrongInterface(flow, on, mend(header)),
        told => told,
    }
}

fn reports(plane: &FuzzedPlane, told: &[(KernelSocket, Vec<u8>)]) {
    let datagrams: Vec<&Vec<u8>> =
        told.iter().filter(|(to, _)| *to == KernelSocket::Reports).map(|(_, d)| d).collect();
    if datagrams.is_empty() {
        return;
    }
    plane.read_reports();
    let (mut wanted, mut malformed, mut unknown) = (Vec::new(), 0, 0);
    // A short batch is handed on with the newest last: in the order of arrival.
    for datagram in datagrams {
        match report(datagram).map(mended) {
            None => malformed += 1,
            // Refused: no sender has such an address.
            Some(Told::NoCache(flow, ..) | Told::WrongInterface(flow, ..))
                if flow.source().is_loopback() => {}
            Some(Told::NoCache(_, on, _) | Told::WrongInterface(_, on, _)) if on.index == 0 => {
                unknown += 1;
            }
            // There is no entry for any other flow.
            Some(Told::WrongInterface(flow, ..)) if flow != PROGRAMMED => {}
            Some(told) => wanted.push(told),
        }
    }
    assert_eq!(*LISTENER.0.lock().unwrap(), wanted);
    assert_eq!(plane.unread_reports(), (malformed, unknown));
}

// ---- netlink ----

/// A message: kind, number, payload.
type Parts<'a> = (u16, u32, &'a [u8]);

/// The messages of a datagram, by the kernel's NLMSG_OK and NLMSG_NEXT. The flag: that is all there
/// is, nothing malformed.
fn messages(datagram: &[u8]) -> (Vec<Parts<'_>>, bool) {
    let (mut found, mut rest) = (Vec::new(), datagram);
    while !rest.is_empty() {
        let Some(length) = u32_at(rest, 0).map(|n| n as usize) else { return (found, false) };
        if rest.len() < 16 || length < 16 || length > rest.len() {
            return (found, false);
        }
        found.push((u16_at(rest, 4).unwrap(), u32_at(rest, 8).unwrap(), &rest[16..length]));
        rest = rest.get(length.div_ceil(4) * 4..).unwrap_or(&[]);
    }
    (found, true)
}

/// The attributes behind a family header, by RTA_OK and RTA_NEXT.
fn attributes(payload: &[u8], header: usize) -> Vec<(u16, &[u8])> {
    let (mut found, mut rest) = (Vec::new(), payload.get(header..).unwrap_or(&[]));
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        if length < 4 || length > rest.len() {
            break;
        }
        found.push((kind & 0x3fff, &rest[4..length]));
        rest = rest.get(length.div_ceil(4) * 4..).unwrap_or(&[]);
    }
    found
}

/// The next hops of an attribute, by RTNH_OK and RTNH_NEXT.
fn next_hops(value: &[u8]) -> Vec<(u8, u32)> {
    let (mut found, mut rest) = (Vec::new(), value);
    while rest.len() >= 8 {
        let length = usize::from(u16_at(rest, 0).unwrap());
        if length < 8 || length > rest.len() {
            break;
        }
        found.push((rest[3], u32_at(rest, 4).unwrap()));
        rest = rest.get(length.div_ceil(4) * 4..).unwrap_or(&[]);
    }
    found
}

/// The readers agree with those above on every datagram, and never leave it.
fn readers(datagram: &[u8]) {
    let inside = |part: &[u8]| part.is_empty() || datagram.as_ptr_range().contains(&part.as_ptr());
    let read: Vec<Message<'_>> = Messages(datagram).collect();
    let (wanted, _) = messages(datagram);
    assert_eq!(read.iter().map(|m| (m.kind, m.seq, m.payload)).collect::<Vec<_>>(), wanted);
    for message in read {
        assert!(inside(message.payload));
        if message.kind == 2 {
            // NLMSG_ERROR: an acknowledgement is one whose whole number is 0.
            let number = u32_at(message.payload, 0).map(|n| n as i32);
            assert_eq!(message.error() == Some(0), number == Some(0));
        } else {
            assert_eq!(message.error(), None);
        }
        for header in [4, 12, 16] {
            let read: Vec<_> = message.attributes(header).collect();
            assert_eq!(read, attributes(message.payload, header));
            for (_, value) in read {
                assert!(inside(value));
                assert_eq!(NextHops(value).collect::<Vec<_>>(), next_hops(value));
                assert_eq!(Attributes(value).collect::<Vec<_>>(), attributes(value, 0));
            }
        }
    }
}

/// The prefix that a notification of a route is about; of one that does not tell, any.
fn prefix(payload: &[u8]) -> (u32, u8) {
    let to = attributes(payload, 12).into_iter().find(|a| a.0 == 1);
    match (payload.get(1), to.and_then(|a| address(a.1))) {
        (Some(len @ 0..=32), Some(network)) => (network.to_bits(), *len),
        _ => (0, 0),
    }
}

fn covers(prefix: (u32, u8), other: (u32, u8)) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.1)).unwrap_or(0);
    prefix.1 <= other.1 && (prefix.0 ^ other.0) & mask == 0
}

fn notifications(plane: &FuzzedPlane, told: &[(KernelSocket, Vec<u8>)]) {
    plane.read_notifications();
    let heard = LISTENER.0.lock().unwrap().clone();
    let routes: Vec<(u32, u8)> = heard
        .iter()
        .filter_map(|told| match told {
            Told::Routes(network, len) => Some((network.to_bits(), *len)),
            _ => None,
        })
        .collect();
    assert!(routes.iter().all(|(_, len)| *len <= 32));
    for (_, datagram) in told.iter().filter(|(to, _)| *to == KernelSocket::Changes) {
        let (all, whole) = messages(&datagram[..datagram.len().min(65536)]);
        // What could not be read may have been about anything.
        let mut wanted: Vec<(u32, u8)> =
            if whole && datagram.len() <= 65536 { Vec::new() } else { vec![(0, 0)] };
        // RTM_NEWROUTE, RTM_DELROUTE; RTM_DELADDR, RTM_NEWRULE, RTM_DELRULE, RTM_NEWNEXTHOP,
        // RTM_DELNEXTHOP.
        wanted.extend(all.iter().filter_map(|(kind, _, payload)| match kind {
            24 | 25 => Some(prefix(payload)),
            21 | 32 | 33 | 104 | 105 => Some((0, 0)),
            _ => None,
        }));
        for wanted in wanted {
            // Sources are never multicast.
            let multicast = wanted.1 > 0 && wanted.0 >> 28 == 0xe;
            let covered = multicast || routes.iter().any(|told| covers(*told, wanted));
            assert!(covered, "{wanted:x?} is not among {routes:x?}");
        }
    }
}

/// The route that answers give: interface, neighbour, prefix length.
fn route(plane: &FuzzedPlane, told: &[(KernelSocket, Vec<u8>)], several: bool) {
    if several {
        plane.find_routes(&[SOURCE, Ipv4Addr::new(10, 0, 0, 2)]);
    }
    let Some(route) = plane.route(SOURCE) else { return };
    assert!(route.prefix_len <= 32 && route.interface.index != 0, "{route:?}");
    // Each answer is the message with the question's number; it must be a unicast or local route
    // and name the device in a whole number.
    let answers = told.iter().filter(|(to, _)| *to == KernelSocket::Answers).map(|(_, d)| d);
    let names = |datagram: &Vec<u8>| {
        messages(datagram).0.iter().any(|(_, seq, payload)| {
            let device = attributes(payload, 12).into_iter().rfind(|a| a.0 == 4);
            (1..=if several { 4 } else { 2 }).contains(seq)
                && matches!(payload.get(7), Some(1 | 2))
                && device.is_some_and(|a| u32_at(a.1, 0) == Some(route.interface.index))
        })
    };
    assert!(answers.into_iter().any(names), "{route:?} out of nothing");
}

/// What a predecessor left.
fn left(plane: &FuzzedPlane) {
    for seq in [1u32, 2] {
        let mut done = [0u8; 20];
        done[0] = 20;
        done[4] = 3; // NLMSG_DONE
        done[8..12].copy_from_slice(&seq.to_ne_bytes());
        assert!(plane.tell(KernelSocket::Answers, &done), "or the dump would wait for ever");
    }
    if plane.read_left() {
        plane.read_notifications();
    }
}

// ---- octets ----

/// Datagrams: for each an octet that says where it goes and what of it is put right, its length,
/// its octets.
fn datagrams(mut octets: &[u8]) -> Vec<(KernelSocket, Vec<u8>)> {
    let mut all: Vec<(KernelSocket, Vec<u8>)> = Vec::new();
    while let [how, length, rest @ ..] = octets {
        let length = usize::from(*length) + if how & 32 != 0 { 256 } else { 0 };
        let (own, rest) = rest.split_at(rest.len().min(length));
        octets = rest;
        let channel = match how & 3 {
            0 => KernelSocket::Reports,
            1 => KernelSocket::Changes,
            2 => KernelSocket::Entries,
            _ => KernelSocket::Answers,
        };
        if all.iter().filter(|(to, _)| *to == channel).count() == MOST {
            continue;
        }
        let mut datagram = own.to_vec();
        if how & 4 != 0 && channel != KernelSocket::Reports && datagram.len() >= 16 {
            let length = datagram.len() as u32;
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
        }
        if how & 8 != 0 && channel == KernelSocket::Answers && datagram.len() >= 16 {
            datagram[8..12].copy_from_slice(&(1 + u32::from(how >> 7)).to_ne_bytes());
        }
        // One for each socket: its buffer does not hold many.
        let stretched = all.iter().any(|(to, datagram)| *to == channel && datagram.len() > 1000);
        if how & 16 != 0 && (channel == KernelSocket::Reports || !stretched) {
            // Longer than what it is read into.
            let size = match channel {
                KernelSocket::Reports => REPORT_SIZE + 1,
                KernelSocket::Entries => 1025,
                KernelSocket::Changes | KernelSocket::Answers | KernelSocket::Igmp => 65537,
            };
            datagram.resize(size, 0);
        }
        all.push((channel, datagram));
    }
    all
}

fuzz_target!(|octets: &[u8]| {
    let [mode, rest @ ..] = octets else { return };
    let told = datagrams(rest);
    told.iter().for_each(|(_, datagram)| readers(datagram));
    LISTENER.0.lock().unwrap().clear();
    let plane = FuzzedPlane::new(&LISTENER, &INTERFACES);
    // What the plane programmed, as seen from VIF 0.
    plane.programmed(PROGRAMMED, 0, 0b110);
    for (to, datagram) in &told {
        assert!(plane.tell(*to, datagram));
    }
    match mode % 4 {
        0 => reports(&plane, &told),
        1 => notifications(&plane, &told),
        2 => route(&plane, &told, mode & 4 != 0),
        _ => left(&plane),
    }
});
