//! The calls that memory runs out in.

use crate::alloc::aside;
use crate::capi::clients::{VETO, register};
use crate::capi::{self, ANY, CLOCK, FORWARD, JOIN, NO_ERROR, OUT_OF_MEMORY, group, net, source};
use crate::capi::{CAN_NOT_COMPLETE, note, receive, route_via};
use mgm::ffi::entry::*;
use mgm::ffi::host::*;
use mgm::ffi::reads::*;
use mgm::ffi::types::{_MIB_IPMCAST_MFE, HANDLE, MGM_MFE_STATS_0, MGM_MFE_STATS_1, PBYTE, PDWORD};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::SeqCst;

/// Routing protocols A, B, C and D, and IGMP.
pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;
pub const D: usize = 3;
pub const IGMP: usize = 4;
/// Clients without callbacks have the numbers from here on.
pub const NULLS: usize = 8;

pub const JF: u32 = JOIN | FORWARD;

/// IGMP is disabled before an interface changes hands; it is enabled again where it does not.
const IGMP_TOLD: &[&str] = &["DISABLE_IGMP", "ENABLE_IGMP"];

/// What the calls give each other.
pub struct World {
    pub handles: Vec<HANDLE>,
    pub rows: Vec<HANDLE>,
}

/// One call.
pub struct Step {
    pub name: String,
    pub run: Box<dyn Fn(&mut World) -> u32>,
    /// The code for memory that ran out.
    pub code: u32,
    /// Callbacks that may have run before memory runs out.
    pub told_before: &'static [&'static str],
    /// A packet on an interface that is down: the interface is up, whatever becomes of the packet.
    pub wakes: bool,
    /// It may give a part of what there is.
    pub partly: bool,
}

impl Step {
    pub fn is_packet(&self) -> bool {
        self.name.starts_with("packet")
    }
}

fn step(name: String, code: u32, run: impl Fn(&mut World) -> u32 + 'static) -> Step {
    Step { name, run: Box::new(run), code, told_before: &[], wakes: false, partly: false }
}

pub fn enrol(client: usize) -> Step {
    let protocol = if client == IGMP { 0x4137_000a } else { 0x4137_0100 + client as u32 };
    step(format!("register {client}"), OUT_OF_MEMORY, move |world| {
        let mut handle = std::ptr::null_mut();
        let code = register(client, protocol, 1, &mut handle);
        if code == NO_ERROR {
            world.handles[client] = handle;
        }
        code
    })
}

pub fn leave(client: usize) -> Step {
    step(format!("deregister {client}"), CAN_NOT_COMPLETE, move |world| {
        MgmDeRegisterMProtocol(world.handles[client])
    })
}

pub fn take(client: usize, on: u32) -> Step {
    let run = move |world: &mut World| MgmTakeInterfaceOwnership(world.handles[client], on, 0);
    Step { told_before: IGMP_TOLD, ..step(format!("{client} takes {on}"), OUT_OF_MEMORY, run) }
}

pub fn release(client: usize, on: u32) -> Step {
    let run = move |world: &mut World| MgmReleaseInterfaceOwnership(world.handles[client], on, 0);
    let name = format!("{client} releases {on}");
    Step { told_before: IGMP_TOLD, ..step(name, CAN_NOT_COMPLETE, run) }
}

pub fn add(client: usize, s: Ipv4Addr, g: Ipv4Addr, on: u32, flags: u32) -> Step {
    step(format!("{client} adds ({s},{g}) on {on}, flags {flags}"), OUT_OF_MEMORY, move |world| {
        capi::add(world.handles[client], s, g, on, flags)
    })
}

pub fn delete(client: usize, s: Ipv4Addr, g: Ipv4Addr, on: u32, flags: u32) -> Step {
    let name = format!("{client} deletes ({s},{g}) on {on}, flags {flags}");
    step(name, CAN_NOT_COMPLETE, move |world| capi::delete(world.handles[client], s, g, on, flags))
}

pub fn packet(on: u32, s: Ipv4Addr, g: Ipv4Addr) -> Step {
    let name = format!("packet ({s},{g}) on {on}");
    let told_before = &["RPF", "CREATE"];
    Step { told_before, ..step(name, OUT_OF_MEMORY, move |_| receive(on, s, g)) }
}

/// The same on an interface that is down.
pub fn waking_packet(on: u32, s: Ipv4Addr, g: Ipv4Addr) -> Step {
    Step { wakes: true, ..packet(on, s, g) }
}

pub fn bad_packet() -> Step {
    let name = "packet that is none".to_owned();
    // SAFETY: the packet is as long as its size says.
    step(name, OUT_OF_MEMORY, |_| unsafe { MgmHostReceive(1, 0, [0x45, 0, 0].as_ptr(), 3) })
}

/// The sources 10.`of`.x.y lie behind `interface` from now on.
pub fn reroute(of: u8, interface: u32) -> Step {
    step(format!("10.{of}.0.0/16 moves to {interface}"), OUT_OF_MEMORY, move |_| {
        route_via(of, interface);
        MgmHostRouteChanged(net(Ipv4Addr::new(10, of, 0, 0)), net(Ipv4Addr::new(255, 255, 0, 0)))
    })
}

pub fn down(on: u32) -> Step {
    step(format!("{on} goes down"), OUT_OF_MEMORY, move |_| MgmHostInterfaceDown(on, 0))
}

/// Time passes, which the library learns of with a call that does nothing else. What memory ran
/// out for is done a moment later.
pub fn later(seconds: u64) -> Step {
    step(format!("{seconds} s pass"), OUT_OF_MEMORY, move |_| {
        // Once, however often the call is tried.
        if !LATER.swap(true, SeqCst) {
            CLOCK.fetch_add(seconds * 1000, SeqCst);
        }
        capi::tick()
    })
}

/// Whether the clock went on in this step already.
pub static LATER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

pub fn veto(client: usize, on: u32) -> Step {
    step(format!("{client} vetoes {on}"), OUT_OF_MEMORY, move |_| {
        VETO[client].store(on, SeqCst);
        NO_ERROR
    })
}

pub fn owner(on: u32) -> Step {
    step(format!("owner of {on}"), CAN_NOT_COMPLETE, move |_| {
        let (mut protocol, mut component) = (7, 7);
        // SAFETY: two DWORDs.
        let code =
            unsafe { MgmGetProtocolOnInterface(on, 0, &raw mut protocol, &raw mut component) };
        note(format_args!("owner {protocol:#x} {component}"));
        code
    })
}

fn key(s: Ipv4Addr, g: Ipv4Addr) -> _MIB_IPMCAST_MFE {
    _MIB_IPMCAST_MFE { dwSource: net(s), dwGroup: net(g), ..Default::default() }
}

pub fn set_upstream(client: usize, s: Ipv4Addr, g: Ipv4Addr, to: Ipv4Addr) -> Step {
    step(format!("{client} sets the upstream of ({s},{g})"), CAN_NOT_COMPLETE, move |world| {
        let mut mfe = key(s, g);
        mfe.dwUpStrmNgbr = net(to);
        // SAFETY: a whole entry.
        unsafe { MgmSetMfe(world.handles[client], &raw mut mfe) }
    })
}

/// A state without what is counted: how long callbacks took, and also what was tried in vain for want of
/// memory.
pub fn without_tallies(state: &str) -> String {
    let tallies = ["milliseconds", "count", "new_flows", "wrong_interface", "refused_changes"];
    let is_tally = |part: &str| tallies.iter().any(|name| part.contains(&format!("\"{name}\":")));
    let parts: Vec<&str> =
        state.split(',').map(|part| if is_tally(part) { "tally" } else { part }).collect();
    parts.join(",")
}

/// A reading function with a buffer of `size` octets. What it wrote is written down; where it
/// failed it must have written nothing (rule A2), except that MgmHostGetState may have written a
/// part of its text.
fn read(
    name: &'static str,
    code: u32,
    size: usize,
    call: impl Fn(&mut World, PDWORD, PBYTE, PDWORD) -> u32 + 'static,
) -> Step {
    let run = move |world: &mut World| {
        let mut buffer = aside(|| vec![0xa5_u8; size]);
        let (mut left, mut entries) = (size as u32, 0xdead_beef);
        let given = call(world, &raw mut left, buffer.as_mut_ptr(), &raw mut entries);
        aside(|| {
            let touched = left != size as u32
                || entries != 0xdead_beef
                || buffer.iter().any(|octet| *octet != 0xa5);
            if given == NO_ERROR && name == "MgmHostGetState" {
                let end = buffer.iter().position(|octet| *octet == 0).unwrap();
                note(format_args!("{}", without_tallies(str::from_utf8(&buffer[..end]).unwrap())));
            } else if given != code && name == "MgmHostGetState" {
                // The size that it wants depends on the tallies' digits.
                note(format_args!("{}", left > size as u32));
            } else if given != code {
                note(format_args!("{left} {entries} {buffer:?}"));
            } else if touched && name != "MgmHostGetState" {
                note(format_args!("a call that failed wrote something"));
            }
            drop(buffer);
        });
        given
    };
    let partly = name.contains("First") || name.contains("Next");
    Step { partly, ..step(name.to_owned(), code, run) }
}

/// All six functions that read entries, on one entry and all.
pub fn read_everything(s: Ipv4Addr, g: Ipv4Addr, size: usize) -> Vec<Step> {
    let of = move |name: &'static str| {
        read(name, CAN_NOT_COMPLETE, size, move |_, n, b, e| {
            let mut key = key(s, g);
            // SAFETY: the buffer is as long as its size says, and the entry is a whole one.
            unsafe {
                match name {
                    "MgmGetMfe" => MgmGetMfe(&raw mut key, n, b),
                    "MgmGetFirstMfe" => MgmGetFirstMfe(n, b, e),
                    "MgmGetNextMfe" => MgmGetNextMfe(&raw mut key, n, b, e),
                    "MgmGetMfeStats" => MgmGetMfeStats(&raw mut key, n, b, MGM_MFE_STATS_0),
                    "MgmGetFirstMfeStats" => MgmGetFirstMfeStats(n, b, e, MGM_MFE_STATS_1),
                    _ => MgmGetNextMfeStats(&raw mut key, n, b, e, MGM_MFE_STATS_0),
                }
            }
        })
    };
    let names = ["MgmGetMfe", "MgmGetFirstMfe", "MgmGetNextMfe"];
    let stats = ["MgmGetMfeStats", "MgmGetFirstMfeStats", "MgmGetNextMfeStats"];
    names.into_iter().chain(stats).map(of).collect()
}

pub fn get_state(size: usize) -> Step {
    read("MgmHostGetState", OUT_OF_MEMORY, size, |_, n, b, _| {
        // SAFETY: the buffer is as long as its size says.
        unsafe { MgmHostGetState(n, b) }
    })
}

pub fn start_rows(client: usize, all_sources: bool) -> Step {
    step(format!("{client} begins an enumeration"), OUT_OF_MEMORY, move |world| {
        let mut handle = std::ptr::null_mut();
        // SAFETY: a HANDLE.
        let code = unsafe {
            MgmGroupEnumerationStart(world.handles[client], all_sources.into(), &raw mut handle)
        };
        if code == NO_ERROR {
            aside(|| world.rows.push(handle));
        }
        code
    })
}

pub fn next_rows(size: usize) -> Step {
    read("next rows", OUT_OF_MEMORY, size, |world, n, b, e| {
        let rows = *world.rows.last().expect("an enumeration was begun");
        // SAFETY: the buffer is as long as its size says.
        unsafe { MgmGroupEnumerationGetNext(rows, n, b, e) }
    })
}

pub fn end_rows() -> Step {
    step("end of the rows".to_owned(), CAN_NOT_COMPLETE, |world| {
        let rows = *world.rows.last().expect("an enumeration was begun");
        MgmGroupEnumerationEnd(rows)
    })
}

pub fn stop() -> Step {
    step("stop".to_owned(), OUT_OF_MEMORY, |_| MgmHostStop())
}

/// Every function, every callback, lists that are longer than their usual room.
pub fn every_function() -> Vec<Step> {
    let (s1, s2, nowhere) = (source(1, 2), source(2, 2), Ipv4Addr::new(192, 0, 2, 1));
    let mut steps = vec![enrol(A), enrol(B), enrol(C), enrol(D), enrol(IGMP), enrol(NULLS)];
    steps.extend([take(A, 1), take(B, 2), take(C, 3), take(D, 6), take(NULLS, 7)]);
    steps.extend((10..30).map(|on| take(B, on)));
    steps.extend((30..40).map(|on| take(C, on)));
    // IGMP alone, with memberships, before a protocol comes; and beside protocols.
    steps.extend([take(IGMP, 4), take(IGMP, 2), take(IGMP, 5), take(IGMP, 7)]);
    steps.extend((0..20).map(|n| add(IGMP, ANY, group(100 + n), 5, JOIN)));
    steps.push(add(IGMP, source(6, 1), group(120), 5, JOIN));
    steps.push(take(C, 5));
    steps.extend([2, 4, 5, 7].map(|on| add(IGMP, ANY, group(1), on, JOIN)));
    steps.extend((10..30).map(|on| add(B, ANY, group(1), on, JOIN)));
    steps.extend((30..40).map(|on| add(C, ANY, group(1), on, JOIN)));
    // Many memberships on one interface, with sources, from several clients.
    steps.extend((0..12).map(|n| add(B, source(1, 20 + n), group(5), 10, JOIN)));
    steps.extend((0..12).map(|n| add(C, source(1, 20 + n), group(5), 30, JOIN)));
    steps.extend((0..30).map(|n| add(B, ANY, group(50 + n), 10, JOIN)));
    steps.extend([add(D, ANY, group(60), 6, JOIN), add(C, ANY, group(60), 3, JOIN)]);
    steps.extend([add(C, ANY, ANY, 3, JOIN), add(B, ANY, ANY, 2, JOIN), owner(5), owner(99)]);
    // Entries: with many oifs, with a veto, negative, without a route, without an owner.
    steps.extend([veto(B, 12), packet(1, s1, group(1)), packet(1, s1, group(1)), veto(B, 0)]);
    steps.extend([packet(3, s1, group(1)), bad_packet(), packet(2, s2, group(1))]);
    steps.extend([
        packet(1, s1, group(50)),
        packet(1, s1, group(60)),
        packet(9, nowhere, group(1)),
    ]);
    steps.extend([packet(8, source(8, 1), group(1)), packet(1, s1, group(7))]);
    steps.extend((0..6).map(|n| packet(1, source(1, 20 + n), group(5))));
    steps.extend([add(B, s1, group(1), 12, JOIN), add(B, s1, group(7), 14, FORWARD)]);
    steps.extend([add(B, ANY, group(1), 2, JF), delete(B, ANY, group(1), 15, JF)]);
    steps.extend([delete(C, s1, group(1), 30, FORWARD), delete(C, ANY, ANY, 3, FORWARD)]);
    for size in [80, 200, 5000] {
        steps.extend(read_everything(s1, group(1), size));
    }
    steps.extend([get_state(100), get_state(1 << 16)]);
    steps.extend([set_upstream(A, s1, group(1), source(1, 9)), start_rows(A, true)]);
    steps.extend([next_rows(16), next_rows(160), next_rows(1 << 14), end_rows()]);
    steps.extend([start_rows(B, false), next_rows(1 << 14), start_rows(NULLS, true)]);
    // An owner comes to a flow that waits, routes move, an interface goes and comes back.
    steps.extend([take(D, 8), reroute(1, 3), reroute(1, 1), reroute(2, 0), reroute(2, 2)]);
    steps.extend([down(11), waking_packet(11, source(11, 1), group(1))]);
    steps.extend([down(1), waking_packet(1, s1, group(1))]);
    // What is down is taken, by IGMP and over it.
    steps.extend([down(3), take(IGMP, 3), down(4), take(C, 4)]);
    steps.extend([later(61), later(200), packet(1, s1, group(1)), later(700), later(901)]);
    steps.extend([packet(1, s1, group(1)), packet(1, s1, group(7)), packet(1, s1, group(60))]);
    // Everything ends.
    steps.extend([delete(B, ANY, ANY, 2, JOIN), delete(C, ANY, ANY, 3, JOIN)]);
    steps.extend([delete(B, s1, group(1), 12, JOIN), delete(IGMP, ANY, group(1), 2, JOIN)]);
    steps.extend([release(B, 10), release(C, 5), release(IGMP, 5), release(C, 30)]);
    steps.extend([release(IGMP, 2), release(IGMP, 4), release(NULLS, 7), release(A, 1)]);
    steps.extend([release(D, 6), release(D, 8), leave(D), leave(NULLS), leave(A), stop()]);
    steps
}

/// So much of everything that every table grows more than once.
pub fn growth() -> Vec<Step> {
    let mut steps = vec![enrol(A), enrol(B), enrol(IGMP), take(A, 1), take(B, 2), take(IGMP, 3)];
    steps.extend((0..260).map(|n| enrol(NULLS + n)));
    steps.extend((0..260).map(|n| take(NULLS + 1, 1000 + n)));
    steps.extend((0..260).map(|_| start_rows(A, true)));
    steps.extend((0..530).map(|n| add(B, ANY, group(n), 2, JOIN)));
    steps.extend((0..530).map(|n| packet(1, source(1, (n % 250) as u8), group(n))));
    // One membership for all entries and one for all clients; two interfaces with a thousand.
    steps.extend([add(NULLS + 1, ANY, ANY, 1000, JOIN), add(NULLS + 1, ANY, ANY, 1001, JF)]);
    steps.extend([delete(NULLS + 1, ANY, ANY, 1000, JF), take(B, 3), down(2)]);
    steps.extend([
        waking_packet(2, source(2, 1), group(1)),
        reroute(1, 3),
        reroute(1, 1),
        reroute(1, 0),
    ]);
    steps.extend([later(61), later(1), release(B, 2), leave(NULLS), release(A, 1), stop()]);
    steps
}
