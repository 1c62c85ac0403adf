//! The C functions as C calls them, for tests in Rust: clients whose callbacks write a line each,
//! and a host on the memory forwarder with a clock and routes of the test's own.
//!
//! A source 10.N.x.y lies behind interface N unless [`route_via`] says otherwise. The test that
//! uses this module has a function `aside`, in which what is the test's own business runs.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod clients;
pub mod process;

use mgm::ffi::entry::{MgmAddGroupMembershipEntry, MgmDeleteGroupMembershipEntry};
use mgm::ffi::host::{MgmHostGetState, MgmHostReceive, MgmHostRouteChanged, MgmHostStart};
use mgm::ffi::types::{_MGM_HOST_CONFIG, _MGM_ROUTE, DWORD, HANDLE, MGM_LOG_OFF, PVOID};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

pub const NO_ERROR: u32 = 0;
pub const OUT_OF_MEMORY: u32 = 8;
pub const INVALID_PARAMETER: u32 = 87;
pub const MORE_DATA: u32 = 234;
pub const NO_MORE_ITEMS: u32 = 259;
pub const CAN_NOT_COMPLETE: u32 = 1003;

pub const JOIN: u32 = 1;
pub const FORWARD: u32 = 2;

/// The host's clock, in milliseconds.
pub static CLOCK: AtomicU64 = AtomicU64::new(0);
static ROUTES: [AtomicU32; 256] = [const { AtomicU32::new(u32::MAX) }; 256];
static LINES: Mutex<String> = Mutex::new(String::new());

/// Writes a line down.
pub fn note(line: fmt::Arguments<'_>) {
    crate::aside(|| {
        let mut lines = LINES.lock().unwrap();
        lines.push_str(&line.to_string());
        lines.push('\n');
    });
}

/// What was written down since the last look.
pub fn take_lines() -> String {
    std::mem::take(&mut *LINES.lock().unwrap())
}

/// An address in network byte order.
pub fn net(address: Ipv4Addr) -> DWORD {
    DWORD::from_ne_bytes(address.octets())
}

/// The reverse.
pub fn address(dword: DWORD) -> Ipv4Addr {
    Ipv4Addr::from(dword.to_ne_bytes())
}

/// A source behind interface `interface`.
pub fn source(interface: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, interface, 0, host)
}

/// The group 239.1.0.0 + `n`.
pub fn group(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xef01_0000 + n)
}

pub const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn mask(address: Ipv4Addr) -> DWORD {
    if address.is_unspecified() { 0 } else { DWORD::MAX }
}

/// MgmAddGroupMembershipEntry with the right masks.
pub fn add(of: HANDLE, source: Ipv4Addr, group: Ipv4Addr, on: u32, flags: u32) -> u32 {
    let (s, g) = (net(source), net(group));
    MgmAddGroupMembershipEntry(of, s, mask(source), g, mask(group), on, 0, flags)
}

/// MgmDeleteGroupMembershipEntry with the right masks.
pub fn delete(of: HANDLE, source: Ipv4Addr, group: Ipv4Addr, on: u32, flags: u32) -> u32 {
    let (s, g) = (net(source), net(group));
    MgmDeleteGroupMembershipEntry(of, s, mask(source), g, mask(group), on, 0, flags)
}

/// A UDP packet of 28 octets without checksums.
pub fn packet(source: Ipv4Addr, group: Ipv4Addr) -> [u8; 28] {
    let mut packet = [0; 28];
    packet[0] = 0x45;
    packet[3] = 28;
    packet[8] = 16;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&group.octets());
    packet
}

/// MgmHostReceive.
pub fn receive(on: u32, source: Ipv4Addr, group: Ipv4Addr) -> u32 {
    let packet = packet(source, group);
    // SAFETY: the packet is as long as its size says.
    unsafe { MgmHostReceive(on, 0, packet.as_ptr(), packet.len() as u32) }
}

/// Sources 10.`net`.x.y lie behind `interface`; 0: there is no route. Tells nobody.
pub fn route_via(net: u8, interface: u32) {
    ROUTES[usize::from(net)].store(interface, SeqCst);
}

/// Every source lies where it lay at first, and the clock begins anew.
pub fn reset() {
    for route in &ROUTES {
        route.store(u32::MAX, SeqCst);
    }
    CLOCK.store(1_000_000, SeqCst);
    take_lines();
}

/// The host does what is due, and no more.
pub fn tick() -> u32 {
    MgmHostRouteChanged(net(Ipv4Addr::new(192, 0, 2, 0)), DWORD::MAX)
}

unsafe extern "C-unwind" fn find_route(_: PVOID, of: DWORD, route: *mut _MGM_ROUTE) -> DWORD {
    let octets = address(of).octets();
    let interface = match ROUTES[usize::from(octets[1])].load(SeqCst) {
        u32::MAX => u32::from(octets[1]),
        set => set,
    };
    if octets[0] != 10 || interface == 0 {
        return 1168; // ERROR_NOT_FOUND
    }
    let found = _MGM_ROUTE {
        dwIfIndex: interface,
        dwIfNextHopAddr: 0,
        dwUpStreamNbr: of,
        dwRouteProtocol: 3,
        dwRouteNetwork: net(Ipv4Addr::new(10, octets[1], 0, 0)),
        dwRouteMask: net(Ipv4Addr::new(255, 255, 0, 0)),
    };
    // SAFETY: the library gives room for a route.
    unsafe { route.write(found) };
    NO_ERROR
}

unsafe extern "C-unwind" fn transmit(
    _: PVOID,
    to: DWORD,
    _: DWORD,
    packet: *const u8,
    size: DWORD,
) {
    // SAFETY: the library gives a packet of that size.
    let packet = unsafe { std::slice::from_raw_parts(packet, size as usize) };
    note(format_args!("sent {to} {:?} ttl {}", &packet[12..20], packet[8]));
}

unsafe extern "C-unwind" fn clock(_: PVOID) -> u64 {
    CLOCK.load(SeqCst)
}

/// What [`start`] starts with.
pub fn config() -> _MGM_HOST_CONFIG {
    // SAFETY: all zero is a configuration: DWORDs, nullable pointers and functions.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as DWORD;
    config.pfnRoute = Some(find_route);
    config.pfnTransmit = Some(transmit);
    config.pfnClock = Some(clock);
    config.dwLogLevel = if std::env::var_os("MGM_TEST_LOG").is_some() { 4 } else { MGM_LOG_OFF };
    config
}

/// MgmHostStart.
pub fn start(config: &_MGM_HOST_CONFIG) -> u32 {
    // SAFETY: a whole configuration with functions that are never unloaded.
    unsafe { MgmHostStart(config) }
}

/// MgmHostGetState, in as many octets as it needs.
pub fn state() -> String {
    let mut text = vec![0; 1 << 16];
    loop {
        let mut size = text.len() as u32;
        // SAFETY: the buffer is as long as its size says.
        match unsafe { MgmHostGetState(&raw mut size, text.as_mut_ptr()) } {
            NO_ERROR => break,
            122 => text.resize(size as usize, 0),
            code => return format!("MgmHostGetState gave {code}"),
        }
    }
    let end = text.iter().position(|byte| *byte == 0).expect("a final NUL");
    String::from_utf8(text[..end].to_vec()).expect("JSON is UTF-8")
}
