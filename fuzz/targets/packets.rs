//! Packets into MgmHostReceive. What is forwarded, to where, with what in it and what is counted is
//! worked out here once more from docs/RULES.md, and must be the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mgm::ffi::entry::{
    MgmAddGroupMembershipEntry, MgmRegisterMProtocol, MgmTakeInterfaceOwnership,
};
use mgm::ffi::host::{MgmHostReceive, MgmHostStart, MgmHostStop};
use mgm::ffi::reads::MgmGetMfeStats;
use mgm::ffi::types::{
    _MGM_HOST_CONFIG, _MGM_ROUTE, _MIB_IPMCAST_MFE, _ROUTING_PROTOCOL_CONFIG, BYTE, DWORD,
    MGM_JOIN_STATE_FLAG, MGM_LOG_OFF, MGM_MFE_STATS_0, PBYTE, PDWORD, PVOID, ULONGLONG,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const NO_ERROR: u32 = 0;
const INVALID_PARAMETER: u32 = 87;
const NOT_FOUND: u32 = 1168;

/// Interfaces 1 to 4 have an owner: two clients, two interfaces each.
const OWNED: std::ops::RangeInclusive<u32> = 1..=4;

const GROUPS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(239, 1, 1, 1),
    Ipv4Addr::new(232, 1, 1, 1),
    Ipv4Addr::new(224, 0, 1, 0),
    Ipv4Addr::new(224, 0, 0, 9), // may be joined and is never forwarded
];
const SOURCES: [Ipv4Addr; 8] = [
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(10, 0, 0, 2),
    Ipv4Addr::new(192, 0, 2, 3),
    Ipv4Addr::new(10, 0, 0, 6), // nowhere
    Ipv4Addr::new(127, 0, 0, 1),
    Ipv4Addr::BROADCAST,
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::new(224, 0, 0, 1),
];

type Flow = (Ipv4Addr, Ipv4Addr);

/// What the callbacks see.
#[derive(Default)]
struct Seen {
    /// The packet that comes in, without what follows its total length.
    came: Vec<u8>,
    sent: Vec<(u32, Vec<u8>)>,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

fn net(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

fn mask(address: Ipv4Addr) -> u32 {
    if address.is_unspecified() { 0 } else { u32::MAX }
}

/// Where a source lies: by its last octet, 6 being nowhere.
fn route(source: Ipv4Addr) -> Option<u32> {
    let interface = u32::from(source.octets()[3]) % 7;
    (interface != 6).then_some(interface)
}

unsafe extern "C-unwind" fn find_route(
    _: PVOID,
    source: DWORD,
    route_out: *mut _MGM_ROUTE,
) -> DWORD {
    let Some(interface) = route(Ipv4Addr::from(source.to_ne_bytes())) else { return NOT_FOUND };
    let found = _MGM_ROUTE { dwIfIndex: interface, dwUpStreamNbr: source, ..Default::default() };
    // SAFETY: the library gives room for a route.
    unsafe { route_out.write(found) };
    NO_ERROR
}

unsafe extern "C-unwind" fn transmit(
    _: PVOID,
    to: DWORD,
    hop: DWORD,
    packet: *const BYTE,
    size: DWORD,
) {
    assert_eq!(hop, 0);
    // SAFETY: the library gives a packet of that size.
    let packet = unsafe { std::slice::from_raw_parts(packet, size as usize) };
    SEEN.with_borrow_mut(|seen| seen.sent.push((to, packet.to_vec())));
}

unsafe extern "C-unwind" fn clock(_: PVOID) -> ULONGLONG {
    1_000_000
}

/// Rules E2 and E7: the memory forwarder gives all of the packet.
fn check_packet(packet: *const BYTE, size: DWORD) {
    // SAFETY: the library gives a packet of that size.
    let packet = unsafe { std::slice::from_raw_parts(packet, size as usize) };
    SEEN.with_borrow(|seen| assert!(packet == seen.came, "{packet:02x?}"));
}

unsafe extern "C-unwind" fn rpf(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: PDWORD,
    _: PDWORD,
    _: PDWORD,
    size: DWORD,
    packet: PBYTE,
    _: PBYTE,
) -> DWORD {
    check_packet(packet, size);
    0
}

unsafe extern "C-unwind" fn wrong_interface(
    _: DWORD,
    _: DWORD,
    on: DWORD,
    _: DWORD,
    size: DWORD,
    packet: PBYTE,
) -> DWORD {
    assert!(OWNED.contains(&on));
    check_packet(packet, size);
    0
}

/// What MgmHostReceive makes of a packet.
enum Verdict {
    CannotBeParsed,
    NotForwarded,
    Good { flow: Flow, header: usize, total: usize },
}

fn judge(packet: &[u8]) -> Verdict {
    if packet.len() < 20 || packet[0] & 0xf0 != 0x40 {
        return Verdict::CannotBeParsed;
    }
    let header = usize::from(packet[0] & 0x0f) << 2;
    let total = usize::from(packet[2]) << 8 | usize::from(packet[3]);
    if header < 20 || header > total || total > packet.len() {
        return Verdict::CannotBeParsed;
    }
    let octets = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap();
    let (source, group) = (octets(12), octets(16));
    let no_sender =
        source[0] & 0xf0 == 0xe0 || source[0] == 127 || source == [0; 4] || source == [255; 4];
    let no_group = group[0] & 0xf0 != 0xe0 || group[..3] == [224, 0, 0];
    if no_sender || no_group || packet[8] < 2 {
        return Verdict::NotForwarded;
    }
    Verdict::Good { flow: (source.into(), group.into()), header, total }
}

/// The sum of RFC 1071, carries added at the end.
fn sum(header: &[u8]) -> u64 {
    let words = header.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(w[1]));
    let sum: u64 = words.sum();
    sum % 0xffff
}

/// A flow's entry, as it must be.
#[derive(Default)]
struct Entry {
    iif: u32,
    /// It has a route with an owner.
    forwards: bool,
    packets: u32,
    octets: u32,
    wrong: u32,
}

struct Router {
    null_route: bool,
    /// Bit n: interface n has joined the group, or everything.
    joined: [u8; 4],
    joined_all: u8,
    entries: BTreeMap<Flow, Entry>,
}

impl Router {
    /// Starts the library with these memberships: a bit for each of interfaces 1 to 4.
    fn start(null_route: bool, joined: [u8; 4], joined_all: u8) -> Self {
        // SAFETY: all zero is a configuration: DWORDs, nullable pointers and functions.
        let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
        config.dwSize = size_of::<_MGM_HOST_CONFIG>() as DWORD;
        config.pfnRoute = (!null_route).then_some(find_route);
        config.pfnTransmit = Some(transmit);
        config.pfnClock = Some(clock);
        config.dwLogLevel = MGM_LOG_OFF;
        // SAFETY: a whole configuration, with functions that are never unloaded.
        assert_eq!(unsafe { MgmHostStart(&config) }, NO_ERROR);
        // SAFETY: all zero is a configuration without callbacks.
        let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
        callbacks.pfnRpfCallback = Some(rpf);
        callbacks.pfnWrongIfCallback = Some(wrong_interface);
        let mut handles = [std::ptr::null_mut(); 2];
        for (n, handle) in handles.iter_mut().enumerate() {
            // SAFETY: both pointers are valid.
            let code = unsafe { MgmRegisterMProtocol(&mut callbacks, 100, n as u32, handle) };
            assert_eq!(code, NO_ERROR);
        }
        let groups = GROUPS.into_iter().chain([Ipv4Addr::UNSPECIFIED]);
        for interface in OWNED {
            let owner = handles[interface as usize % 2];
            assert_eq!(MgmTakeInterfaceOwnership(owner, interface, 0), NO_ERROR);
            for (group, bits) in groups.clone().zip(joined.iter().chain([&joined_all])) {
                if bits >> interface & 1 == 1 {
                    let code = MgmAddGroupMembershipEntry(
                        owner,
                        0,
                        0,
                        net(group),
                        mask(group),
                        interface,
                        0,
                        MGM_JOIN_STATE_FLAG,
                    );
                    assert_eq!(code, NO_ERROR);
                }
            }
        }
        Self { null_route, joined, joined_all, entries: BTreeMap::new() }
    }

    /// A packet, and all that must come of it.
    fn packet(&mut self, on: u32, packet: &[u8]) {
        let verdict = judge(packet);
        SEEN.with_borrow_mut(|seen| {
            seen.sent.clear();
            seen.came.clear();
            if let Verdict::Good { total, .. } = verdict {
                seen.came.extend(&packet[..total]);
            }
        });
        // SAFETY: the packet is as long as its size says.
        let code = unsafe { MgmHostReceive(on, 0, packet.as_ptr(), packet.len() as u32) };
        let mut sent = SEEN.with_borrow_mut(|seen| std::mem::take(&mut seen.sent));
        let Verdict::Good { flow, header, total } = verdict else {
            let wanted = match verdict {
                Verdict::CannotBeParsed => INVALID_PARAMETER,
                _ => NO_ERROR,
            };
            assert_eq!(code, wanted, "{packet:02x?}");
            assert!(sent.is_empty(), "forwarded: {packet:02x?}");
            return;
        };
        assert_eq!(code, NO_ERROR, "{packet:02x?}");
        let (source, group) = flow;
        let toward = if self.null_route { Some(on) } else { route(source) };
        let entry = self.entries.entry(flow).or_insert_with(|| Entry {
            iif: toward.unwrap_or(on),
            forwards: toward.is_some_and(|interface| OWNED.contains(&interface)),
            ..Entry::default()
        });
        let mut out = Vec::new();
        if on == entry.iif {
            entry.packets += 1;
            entry.octets += total as u32;
            let of_group = GROUPS.iter().position(|g| *g == group).map_or(0, |n| self.joined[n]);
            let joined = of_group | self.joined_all;
            out.extend(OWNED.filter(|n| entry.forwards && *n != on && joined >> n & 1 == 1));
        } else {
            entry.wrong += 1;
        }
        sent.sort();
        let went: Vec<u32> = sent.iter().map(|(to, _)| *to).collect();
        assert_eq!(went, out, "{flow:?} on {on}");
        for (_, copy) in sent {
            assert_eq!(copy.len(), total);
            assert_eq!(copy[8], packet[8] - 1, "TTL");
            assert_eq!(sum(&copy[..header]), 0, "header checksum");
            assert_ne!(copy[10..12], [255, 255], "RFC 1624: never minus zero");
            assert_eq!((&copy[..8], copy[9]), (&packet[..8], packet[9]));
            assert_eq!(copy[12..], packet[12..total]);
        }
    }

    /// Every entry's counters, and the end.
    fn stop(self) {
        for ((source, group), entry) in &self.entries {
            // SAFETY: all zero is a record of numbers.
            let mut key: _MIB_IPMCAST_MFE = unsafe { std::mem::zeroed() };
            (key.dwSource, key.dwGroup) = (net(*source), net(*group));
            let mut words = [0u32; 64];
            let mut size = 256;
            // SAFETY: the pointers are valid and the buffer has 256 octets.
            let code = unsafe {
                MgmGetMfeStats(&mut key, &mut size, words.as_mut_ptr().cast(), MGM_MFE_STATS_0)
            };
            assert_eq!(code, NO_ERROR);
            let counted = (words[4], words[12], words[13], words[14]);
            assert_eq!(counted, (entry.iif, entry.packets, entry.octets, entry.wrong));
        }
        assert_eq!(MgmHostStop(), NO_ERROR);
    }
}

/// Makes one packet of the next octets: how many are the packet's, what of it is put right, where
/// it comes in.
fn next_packet(octets: &mut &[u8]) -> Option<(u32, Vec<u8>)> {
    let [size, mend, place, rest @ ..] = *octets else { return None };
    let (own, rest) = rest.split_at(rest.len().min(usize::from(*size & 127)));
    *octets = rest;
    let mut packet = own.to_vec();
    if *size & 128 != 0 {
        packet.resize(packet.len() + usize::from(*place) * 8, 0xa5);
    }
    if mend & 1 != 0 && packet.len() >= 20 {
        packet[0] = 0x40 | (packet[0] & 15).max(5);
    }
    if mend & 2 != 0 && packet.len() >= 20 {
        let total = packet.len() as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
    }
    if mend & 4 != 0 && packet.len() >= 20 {
        packet[12..16].copy_from_slice(&SOURCES[usize::from(mend >> 5)].octets());
    }
    if mend & 8 != 0 && packet.len() >= 20 {
        packet[16..20].copy_from_slice(&GROUPS[usize::from(place >> 6)].octets());
    }
    if mend & 16 != 0 && packet.len() >= 20 {
        packet[8] = packet[8].max(2);
    }
    Some((u32::from(place & 7), packet))
}

fuzz_target!(|octets: &[u8]| {
    let [how, a, b, c, d, all, rest @ ..] = octets else { return };
    let mut router =
        Router::start(how & 1 != 0, [*a, *b, *c, *d], if how & 2 != 0 { *all } else { 0 });
    let mut rest = rest;
    while let Some((on, packet)) = next_packet(&mut rest) {
        router.packet(on, &packet);
    }
    router.stop();
});
