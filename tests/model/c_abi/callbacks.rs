//! C callbacks. They have no context argument, so that each test client has functions of its own.

use super::{address, interface};
use crate::model::rust_api::header_seen;
use crate::model::subject::called_back;
use crate::model::words::*;
use mgm::types::SourceGroup;

/// MGM_IF_ENTRY.
#[repr(C)]
pub struct IfEntry {
    index: u32,
    hop: u32,
    igmp: i32,
    enabled: i32,
}

type Rpf = unsafe extern "C" fn(
    u32,
    u32,
    u32,
    u32,
    *mut u32,
    *mut u32,
    *mut u32,
    u32,
    *mut u8,
    *mut u8,
) -> u32;
type Creation = unsafe extern "C" fn(u32, u32, u32, u32, u32, u32, u32, *mut IfEntry) -> u32;
type Prune = unsafe extern "C" fn(u32, u32, u32, u32, u32, u32, i32, *mut u32) -> u32;
type Join = unsafe extern "C" fn(u32, u32, u32, u32, i32) -> u32;
type WrongIf = unsafe extern "C" fn(u32, u32, u32, u32, u32, *mut u8) -> u32;
type Local = unsafe extern "C" fn(u32, u32, u32, u32, u32, u32) -> u32;
type Igmp = unsafe extern "C" fn(u32, u32) -> u32;

/// ROUTING_PROTOCOL_CONFIG.
#[repr(C)]
pub struct Config {
    flags: u32,
    rpf: Option<Rpf>,
    creation: Option<Creation>,
    prune: Option<Prune>,
    join: Option<Join>,
    wrong_if: Option<WrongIf>,
    local_join: Option<Local>,
    local_leave: Option<Local>,
    disable: Option<Igmp>,
    enable: Option<Igmp>,
}

impl Config {
    /// Makes it useless, as a caller's stack would after the call.
    pub fn forget(&mut self) {
        *self = Self {
            flags: u32::MAX,
            rpf: None,
            creation: None,
            prune: None,
            join: None,
            wrong_if: None,
            local_join: None,
            local_leave: None,
            disable: None,
            enable: None,
        };
    }
}

/// What a client registers.
pub fn config(client: Client, profile: &Profile) -> Config {
    const OF_CLIENT: [fn(&[Kind]) -> Config; 8] =
        [of::<0>, of::<1>, of::<2>, of::<3>, of::<4>, of::<5>, of::<6>, of::<7>];
    let mut config = OF_CLIENT[client](&profile.script.nulls);
    config.flags = match (profile.dispatched, profile.routeless) {
        // Something that a program for Windows may have left there.
        (false, false) => [0, 2, 0xffff_ffff][client % 3],
        (dispatched, routeless) => OWN + u32::from(dispatched) + 2 * u32::from(routeless),
    };
    config
}

/// MGM_DISPATCHED is the first bit beside this, MGM_ROUTELESS_FLOWS the second.
const OWN: u32 = 0x4d47_0000;

fn of<const N: usize>(nulls: &[Kind]) -> Config {
    let has = |kind: Kind| !nulls.contains(&kind);
    Config {
        flags: 0,
        rpf: has(Kind::Rpf).then_some(rpf::<N> as Rpf),
        creation: has(Kind::Creation).then_some(creation::<N> as Creation),
        prune: has(Kind::Prune).then_some(prune::<N> as Prune),
        join: has(Kind::Join).then_some(join::<N> as Join),
        wrong_if: has(Kind::WrongIf).then_some(wrong_if::<N> as WrongIf),
        local_join: has(Kind::LocalJoin).then_some(local_join::<N> as Local),
        local_leave: has(Kind::LocalLeave).then_some(local_leave::<N> as Local),
        disable: has(Kind::Disable).then_some(disable::<N> as Igmp),
        enable: has(Kind::Enable).then_some(enable::<N> as Igmp),
    }
}

/// A failing assertion must not unwind into C: it says what is wrong and ends the process.
fn check(what: bool, rule: &str) {
    if !what {
        eprintln!("a callback got arguments against the rules: {rule}");
        std::process::abort();
    }
}

/// The entry that four words name; masks are all ones, 0 with an address of 0.
fn entry(source: u32, source_mask: u32, group: u32, group_mask: u32) -> SourceGroup {
    check(source_mask == if source == 0 { 0 } else { u32::MAX }, "D1: the source's mask");
    check(group_mask == if group == 0 { 0 } else { u32::MAX }, "D1: the group's mask");
    SourceGroup::new(address(source), address(group))
}

/// # Safety
/// The packet header is that long.
unsafe fn header(size: u32, start: *const u8) -> Header {
    check(size >= 20, "E7: at least 20 bytes");
    // SAFETY: the caller's promise.
    header_seen(unsafe { std::slice::from_raw_parts(start, size as usize) })
}

/// What a callback returns is ignored, so it may be anything.
const IGNORED: u32 = 0xdead;

/// # Safety
/// Called by the library with the arguments of PMGM_RPF_CALLBACK.
unsafe extern "C" fn rpf<const N: usize>(
    s: u32,
    sm: u32,
    g: u32,
    gm: u32,
    index: *mut u32,
    hop: *mut u32,
    upstream: *mut u32,
    size: u32,
    start: *mut u8,
    route: *mut u8,
) -> u32 {
    // SAFETY: the library's pointers are valid during the call; pbRoute is an RTM_DEST_INFO of
    // 88 octets (64 where pointers have 4).
    unsafe {
        let info = if size_of::<usize>() == 8 { (8, 40) } else { (4, 36) };
        let u16_at = |at: usize| route.add(at).cast::<u16>().read_unaligned();
        let u32_at = |at: usize| route.add(at).cast::<u32>().read_unaligned();
        let prefix = (!route.is_null()).then(|| {
            check(u16_at(info.0) == 2, "E2: pbRoute's address family is AF_INET");
            check(u32_at(info.1) == 1, "E2: pbRoute has one view");
            (address(u32_at(info.0 + 4)), u16_at(info.0 + 2) as u8)
        });
        let callback = Callback::Rpf {
            flow: entry(s, sm, g, gm),
            iif: interface(*index, *hop),
            upstream: address(*upstream),
            header: header(size, start),
            route: prefix,
        };
        let answer = called_back(N, callback);
        if let Some(iif) = answer.iif {
            *index = iif.index;
            *hop = super::raw(iif.next_hop);
        }
        if let Some(neighbour) = answer.upstream {
            *upstream = super::raw(neighbour);
        }
    }
    IGNORED
}

/// # Safety
/// Called by the library with the arguments of PMGM_CREATION_ALERT_CALLBACK.
unsafe extern "C" fn creation<const N: usize>(
    s: u32,
    sm: u32,
    g: u32,
    gm: u32,
    index: u32,
    hop: u32,
    count: u32,
    list: *mut IfEntry,
) -> u32 {
    check(count > 0, "E3: one or more of the would-be oifs");
    // SAFETY: the library gives a list of this length, valid during the call.
    let list = unsafe { std::slice::from_raw_parts_mut(list, count as usize) };
    let seen = |e: &IfEntry| (interface(e.index, e.hop), e.igmp != 0, e.enabled != 0);
    let mut out: Vec<_> = list.iter().map(seen).collect();
    out.sort();
    let (flow, iif) = (entry(s, sm, g, gm), interface(index, hop));
    let answer = called_back(N, Callback::Creation { flow, iif, out });
    for e in list.iter_mut().filter(|e| answer.veto.contains(&interface(e.index, e.hop))) {
        e.enabled = 0;
    }
    IGNORED
}

/// # Safety
/// Called by the library with the arguments of PMGM_PRUNE_ALERT_CALLBACK.
unsafe extern "C" fn prune<const N: usize>(
    s: u32,
    sm: u32,
    g: u32,
    gm: u32,
    index: u32,
    hop: u32,
    member: i32,
    timeout: *mut u32,
) -> u32 {
    let (of, on, member) = (entry(s, sm, g, gm), interface(index, hop), member != 0);
    // SAFETY: pdwTimeout is valid during the call.
    unsafe {
        let answer = called_back(N, Callback::Prune { of, on, member, timeout: *timeout });
        *timeout = answer.timeout.unwrap_or(*timeout);
    }
    IGNORED
}

/// # Safety
/// None needed: plain numbers.
unsafe extern "C" fn join<const N: usize>(s: u32, sm: u32, g: u32, gm: u32, member: i32) -> u32 {
    called_back(N, Callback::Join { of: entry(s, sm, g, gm), member: member != 0 });
    IGNORED
}

/// # Safety
/// Called by the library with the arguments of PMGM_WRONG_IF_CALLBACK.
unsafe extern "C" fn wrong_if<const N: usize>(
    s: u32,
    g: u32,
    index: u32,
    hop: u32,
    size: u32,
    start: *mut u8,
) -> u32 {
    // SAFETY: the library gives a header of this size.
    let header = unsafe { header(size, start) };
    let flow = SourceGroup::new(address(s), address(g));
    called_back(N, Callback::WrongIf { flow, on: interface(index, hop), header });
    IGNORED
}

/// # Safety
/// None needed: plain numbers.
unsafe extern "C" fn local_join<const N: usize>(
    s: u32,
    sm: u32,
    g: u32,
    gm: u32,
    index: u32,
    hop: u32,
) -> u32 {
    called_back(N, Callback::LocalJoin { of: entry(s, sm, g, gm), on: interface(index, hop) });
    IGNORED
}

/// # Safety
/// None needed: plain numbers.
unsafe extern "C" fn local_leave<const N: usize>(
    s: u32,
    sm: u32,
    g: u32,
    gm: u32,
    index: u32,
    hop: u32,
) -> u32 {
    called_back(N, Callback::LocalLeave { of: entry(s, sm, g, gm), on: interface(index, hop) });
    IGNORED
}

/// # Safety
/// None needed: plain numbers.
unsafe extern "C" fn disable<const N: usize>(index: u32, hop: u32) -> u32 {
    called_back(N, Callback::Disable(interface(index, hop)));
    IGNORED
}

/// # Safety
/// None needed: plain numbers.
unsafe extern "C" fn enable<const N: usize>(index: u32, hop: u32) -> u32 {
    called_back(N, Callback::Enable(interface(index, hop)));
    IGNORED
}
