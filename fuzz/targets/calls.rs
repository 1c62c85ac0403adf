//! The functions of mgm.h and mgm_host.h with hostile arguments: buffers of any size and alignment,
//! null pointers, any mask and flag, handles that are stale, forged or of the other kind; from
//! callbacks too, which answer nonsense.
//!
//! Only documented codes may come (rule A1); a call that fails writes nothing (A2); a handle that
//! does not live is refused (A3); nothing beside what was lent is ever written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mgm::ffi::entry::{
    MgmAddGroupMembershipEntry, MgmDeRegisterMProtocol, MgmDeleteGroupMembershipEntry,
    MgmGetProtocolOnInterface, MgmGroupEnumerationEnd, MgmGroupEnumerationGetNext,
    MgmGroupEnumerationStart, MgmRegisterMProtocol, MgmReleaseInterfaceOwnership, MgmSetMfe,
    MgmTakeInterfaceOwnership,
};
use mgm::ffi::host::{
    MgmHostGetState, MgmHostInterfaceDown, MgmHostReceive, MgmHostRouteChanged, MgmHostStart,
    MgmHostStop,
};
use mgm::ffi::reads::{
    MgmGetFirstMfe, MgmGetFirstMfeStats, MgmGetMfe, MgmGetMfeStats, MgmGetNextMfe,
    MgmGetNextMfeStats,
};
use mgm::ffi::types::{
    _MGM_HOST_CONFIG, _MGM_IF_ENTRY, _MGM_ROUTE, _MIB_IPMCAST_MFE, _ROUTING_PROTOCOL_CONFIG, BOOL,
    BYTE, DWORD, HANDLE, MGM_LOG_OFF, PBYTE, PDWORD, PVOID, ULONGLONG,
};
use std::cell::{Cell, RefCell};
use std::ptr::{null_mut, without_provenance_mut};

const OK: u32 = 0;
const INVALID: u32 = 87;
const SMALL: u32 = 122;
const EXISTS: u32 = 183;
const MORE: u32 = 234;
const END: u32 = 259;
const CANNOT: u32 = 1003;
const NOT_FOUND: u32 = 1168;

/// What has been handed out, and whether it lives.
#[derive(Clone, Copy)]
struct Given {
    word: usize,
    /// Of an enumeration: whose it is.
    client: Option<usize>,
    lives: bool,
}

#[derive(Default)]
struct World {
    octets: Vec<u8>,
    at: usize,
    given: Vec<Given>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static CLOCK: Cell<u64> = const { Cell::new(1_000_000) };
}

// ---- octets ----

fn next() -> u8 {
    WORLD.with_borrow_mut(|world| {
        let octet = world.octets.get(world.at).copied().unwrap_or(0);
        world.at += 1;
        octet
    })
}

fn ended() -> bool {
    WORLD.with_borrow(|world| world.at >= world.octets.len())
}

fn word() -> u32 {
    u32::from_ne_bytes([next(), next(), next(), next()])
}

/// Mostly a small number.
fn index() -> u32 {
    match next() {
        255 => word(),
        octet => u32::from(octet % 6),
    }
}

fn hop() -> u32 {
    match next() {
        255 => word(),
        octet => u32::from_ne_bytes([10, 0, 0, octet % 2]) * u32::from(octet >> 7),
    }
}

/// An address and its mask: right ones, or anything.
fn address(multicast: bool) -> (u32, u32) {
    let octet = next();
    let first = if multicast { 239 } else { 10 };
    match octet {
        0..=31 => (0, 0),
        254 => (u32::from_ne_bytes([first, 1, 1, 1]), word()),
        255 => (word(), u32::MAX),
        _ => (u32::from_ne_bytes([first, 1, 1, octet % 4]), u32::MAX),
    }
}

/// A handle: one that was given out, alive or not; one like it; any word; null.
fn handle() -> (HANDLE, usize) {
    let octet = next();
    let nth = WORLD.with_borrow(|world| match world.given.len() {
        0 => 0,
        n => world.given[usize::from(octet & 31) % n].word,
    });
    let word = match octet >> 5 {
        0..=5 => nth,
        6 => nth ^ 1 << (next() & 63),
        _ if octet == 255 => 0,
        _ => word() as usize | (word() as usize) << 32,
    };
    (without_provenance_mut(word), word)
}

fn lives(word: usize, enumeration: bool) -> bool {
    WORLD.with_borrow(|world| {
        let fits = |given: &Given| given.lives && given.client.is_some() == enumeration;
        world.given.iter().any(|given| given.word == word && fits(given))
    })
}

// ---- memory that is lent ----

const CANARY: u8 = 0xc5;
const MARGIN: usize = 24;

/// Octets lent to a call, at any alignment, with canaries around them.
struct Lent {
    memory: Vec<u8>,
    from: usize,
    before: Vec<u8>,
}

impl Lent {
    fn new(content: &[u8]) -> Self {
        let from = MARGIN + usize::from(next() & 7);
        let mut memory = vec![CANARY; from + content.len() + MARGIN];
        memory[from..from + content.len()].copy_from_slice(content);
        Self { before: memory.clone(), memory, from }
    }

    /// Lent, or withheld: then the pointer is null.
    fn maybe(content: &[u8]) -> Option<Self> {
        (next() < 240).then(|| Self::new(content))
    }

    fn size(&self) -> usize {
        self.memory.len() - self.from - MARGIN
    }

    fn octets(&self) -> &[u8] {
        &self.memory[self.from..self.from + self.size()]
    }

    fn dword(&self) -> u32 {
        u32::from_ne_bytes(self.octets()[..4].try_into().unwrap())
    }

    /// Only its first octets may have been written; the rest is as it was.
    fn written(&self, length: usize) {
        assert!(length <= self.size());
        let to = self.from + length;
        assert_eq!(self.memory[..self.from], self.before[..self.from], "before the buffer");
        assert_eq!(self.memory[to..], self.before[to..], "behind what was to be written");
    }
}

fn pointer<T>(lent: &mut Option<Lent>) -> *mut T {
    let Some(lent) = lent else { return null_mut() };
    lent.memory[lent.from..].as_mut_ptr().cast()
}

fn written(lent: &Option<Lent>, length: usize) {
    lent.iter().for_each(|lent| lent.written(length));
}

/// The arguments of a reading function.
struct Read {
    size: Option<Lent>,
    data: Option<Lent>,
    count: Option<Lent>,
}

impl Read {
    fn new() -> Self {
        let size = match next() {
            octet @ 0..=199 => u32::from(octet),
            octet => u32::from(octet - 199) * 40,
        };
        let data = Lent::maybe(&vec![CANARY; size as usize]);
        Self { size: Lent::maybe(&size.to_ne_bytes()), data, count: Lent::maybe(&[CANARY; 4]) }
    }

    /// What must hold after the call. `head` and `each` are the sizes of a record and of one of its
    /// list, `list` where its length stands.
    fn check(&self, code: u32, with_count: bool, head: usize, each: usize, list: Option<usize>) {
        let given = self.size.as_ref().map_or(0, |size| {
            u32::from_ne_bytes(size.before[size.from..size.from + 4].try_into().unwrap())
        });
        let missing = self.size.is_none()
            || (with_count && self.count.is_none())
            || (self.data.is_none() && given > 0);
        if missing {
            assert_eq!(code, INVALID, "a required pointer is null");
        }
        match code {
            OK | MORE | END => {
                written(&self.size, 0);
                let records = if with_count { self.count.as_ref().unwrap().dword() } else { 1 };
                let empty = [];
                let octets = self.data.as_ref().map_or(&empty[..], |data| data.octets());
                let mut used = 0;
                for _ in 0..records {
                    let at = |at: usize| octets[at..at + 4].try_into().unwrap();
                    let length = list.map_or(0, |list| u32::from_ne_bytes(at(used + list)));
                    used += head + each * length as usize;
                }
                written(&self.data, used);
                written(&self.count, if with_count { 4 } else { 0 });
                if code == MORE {
                    assert!(records > 0, "rule E11: otherwise the buffer is too small");
                }
            }
            SMALL => {
                let needed = self.size.as_ref().unwrap().dword();
                assert!(needed > given, "rule E11: {needed} octets would do");
                written(&self.size, 4);
                written(&self.data, 0);
                written(&self.count, if with_count { 4 } else { 0 });
                if with_count {
                    assert_eq!(self.count.as_ref().unwrap().dword(), 0);
                }
            }
            _ => [&self.size, &self.data, &self.count].into_iter().for_each(|l| written(l, 0)),
        }
    }
}

/// A MIB_IPMCAST_MFE that names an entry; or null.
fn key() -> Option<Lent> {
    let (source, group) = (address(false).0, address(true).0);
    let mut words = [0x5a5a_5a5au32; size_of::<_MIB_IPMCAST_MFE>() / 4];
    (words[0], words[1], words[3]) = (group, source, 0x0707_070a);
    let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Lent::maybe(&octets)
}

// ---- callbacks ----

/// A callback calls back in, as long as there is something to call.
fn call_back() {
    let depth = DEPTH.get();
    if depth < 4 && next() & 3 == 0 && !ended() {
        DEPTH.set(depth + 1);
        call();
        DEPTH.set(depth);
    }
}

unsafe extern "C-unwind" fn rpf(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    on: PDWORD,
    over: PDWORD,
    from: PDWORD,
    size: DWORD,
    header: PBYTE,
    route: PBYTE,
) -> DWORD {
    assert!(size >= 20 && !route.is_null());
    call_back();
    // SAFETY: the library lends all of them, for writing too.
    unsafe {
        *on = index();
        *over = hop();
        *from = word();
        header.write_bytes(next(), size as usize);
        route.write_bytes(next(), 88);
    }
    word()
}

unsafe extern "C-unwind" fn creation(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    count: DWORD,
    out: *mut _MGM_IF_ENTRY,
) -> DWORD {
    call_back();
    // SAFETY: the library lends `count` entries, for writing too.
    for entry in unsafe { std::slice::from_raw_parts_mut(out, count as usize) } {
        assert_eq!(entry.bIsEnabled, 1);
        *entry = _MGM_IF_ENTRY {
            dwIfIndex: index(),
            dwIfNextHopAddr: word(),
            bIGMP: 7,
            bIsEnabled: i32::from(next() & 3 != 0) as BOOL,
        };
    }
    word()
}

unsafe extern "C-unwind" fn prune(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: BOOL,
    timeout: PDWORD,
) -> DWORD {
    call_back();
    // SAFETY: the library lends it.
    unsafe { *timeout = word() };
    word()
}

unsafe extern "C-unwind" fn join(_: DWORD, _: DWORD, _: DWORD, _: DWORD, _: BOOL) -> DWORD {
    call_back();
    word()
}

unsafe extern "C-unwind" fn wrong(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    size: DWORD,
    header: PBYTE,
) -> DWORD {
    call_back();
    // SAFETY: the library lends it, for writing too.
    unsafe { header.write_bytes(next(), size as usize) };
    word()
}

unsafe extern "C-unwind" fn local(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
) -> DWORD {
    call_back();
    word()
}

unsafe extern "C-unwind" fn igmp(_: DWORD, _: DWORD) -> DWORD {
    call_back();
    word()
}

unsafe extern "C-unwind" fn route(_: PVOID, _: DWORD, out: *mut _MGM_ROUTE) -> DWORD {
    let found = _MGM_ROUTE {
        dwIfIndex: index(),
        dwIfNextHopAddr: hop(),
        dwUpStreamNbr: u32::from(next()),
        dwRouteProtocol: u32::from(next()),
        dwRouteNetwork: 10,
        dwRouteMask: if next() == 255 { word() } else { 255 },
    };
    // SAFETY: the library lends it.
    unsafe { out.write(found) };
    if next() < 230 { OK } else { word() }
}

unsafe extern "C-unwind" fn transmit(_: PVOID, _: DWORD, _: DWORD, _: *const BYTE, size: DWORD) {
    assert!(size >= 20);
    call_back();
}

unsafe extern "C-unwind" fn clock(_: PVOID) -> ULONGLONG {
    CLOCK.get()
}

// ---- calls ----

fn start() {
    // SAFETY: all zero is a configuration: DWORDs, nullable pointers and functions.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as DWORD;
    config.pfnRoute = Some(route);
    config.pfnTransmit = Some(transmit);
    config.pfnClock = Some(clock);
    config.dwLogLevel = MGM_LOG_OFF;
    // SAFETY: a whole configuration, with functions that are never unloaded.
    assert_eq!(unsafe { MgmHostStart(&config) }, OK);
}

fn stop() {
    assert_eq!(MgmHostStop(), OK);
    WORLD.with_borrow_mut(|world| world.given.iter_mut().for_each(|g| g.lives = false));
}

fn register() {
    // SAFETY: all zero is a configuration without callbacks.
    let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
    let has = u16::from(next()) | u16::from(next() & 1) << 8;
    let bit = |n: u32| has >> n & 1 == 0;
    callbacks.dwCallbackFlags = word();
    callbacks.pfnRpfCallback = bit(0).then_some(rpf);
    callbacks.pfnCreationAlertCallback = bit(1).then_some(creation);
    callbacks.pfnPruneAlertCallback = bit(2).then_some(prune);
    callbacks.pfnJoinAlertCallback = bit(3).then_some(join);
    callbacks.pfnWrongIfCallback = bit(4).then_some(wrong);
    callbacks.pfnLocalJoinCallback = bit(5).then_some(local);
    callbacks.pfnLocalLeaveCallback = bit(6).then_some(local);
    callbacks.pfnDisableIgmpCallback = bit(7).then_some(igmp);
    callbacks.pfnEnableIgmpCallback = bit(8).then_some(igmp);
    // SAFETY: a structure whose every octet was set to zero first.
    let octets = unsafe {
        std::slice::from_raw_parts((&raw const callbacks).cast::<u8>(), size_of_val(&callbacks))
    };
    let (mut config, mut out) = (Lent::maybe(octets), Lent::maybe(&[CANARY; size_of::<HANDLE>()]));
    let protocol = [100, 100, 200, 10, 0x4137_000a][usize::from(next() % 5)];
    // SAFETY: null, or lent.
    let code =
        unsafe { MgmRegisterMProtocol(pointer(&mut config), protocol, index(), pointer(&mut out)) };
    written(&config, 0);
    let missing = config.is_none() || out.is_none();
    assert_eq!(code == INVALID, missing);
    assert!([OK, INVALID, EXISTS].contains(&code), "{code}");
    written(&out, if code == OK { size_of::<HANDLE>() } else { 0 });
    if code == OK {
        let word = usize::from_ne_bytes(out.unwrap().octets().try_into().unwrap());
        assert_ne!(word, 0, "rule A3");
        WORLD.with_borrow_mut(|world| {
            assert!(world.given.iter().all(|g| g.word != word), "rule A3: a handle came again");
            world.given.push(Given { word, client: None, lives: true });
        });
    }
}

/// Checks a code; of a handle that did not live when the call began only one is right.
fn check(code: u32, alive: bool, documented: &[u32]) {
    assert!(code == INVALID || documented.contains(&code), "{code} is not documented");
    if !alive {
        assert_eq!(code, INVALID, "rule A3");
    }
}

fn deregister() {
    let (handle, word) = handle();
    let alive = lives(word, false);
    let code = MgmDeRegisterMProtocol(handle);
    check(code, alive, &[OK, CANNOT]);
    if code == OK {
        WORLD.with_borrow_mut(|world| {
            for given in &mut world.given {
                given.lives &= given.word != word && given.client != Some(word);
            }
        });
    }
}

fn interface(take: bool) {
    let (handle, word) = handle();
    let (alive, on, over) = (lives(word, false), index(), hop());
    if take {
        let code = MgmTakeInterfaceOwnership(handle, on, over);
        check(code, alive, &[OK, EXISTS, CANNOT]);
    } else {
        check(MgmReleaseInterfaceOwnership(handle, on, over), alive, &[OK, CANNOT]);
    }
}

fn membership(add: bool) {
    let (handle, word) = handle();
    let alive = lives(word, false);
    let ((source, source_mask), (group, group_mask)) = (address(false), address(true));
    let (on, over) = (index(), hop());
    let flags = match next() {
        255 => u32::from(next()),
        octet => 1 + u32::from(octet % 3),
    };
    let call = if add { MgmAddGroupMembershipEntry } else { MgmDeleteGroupMembershipEntry };
    let code = call(handle, source, source_mask, group, group_mask, on, over, flags);
    check(code, alive, if add { &[OK, CANNOT] } else { &[OK, CANNOT, NOT_FOUND] });
    if !(1..=3).contains(&flags) {
        assert_eq!(code, INVALID, "rule D2");
    }
}

fn owner() {
    let (mut protocol, mut component) = (Lent::maybe(&[CANARY; 4]), Lent::maybe(&[CANARY; 4]));
    // SAFETY: null, or lent.
    let code = unsafe {
        MgmGetProtocolOnInterface(index(), hop(), pointer(&mut protocol), pointer(&mut component))
    };
    assert_eq!(code == INVALID, protocol.is_none() || component.is_none());
    assert!([OK, INVALID, NOT_FOUND].contains(&code), "{code}");
    let length = if code == OK { 4 } else { 0 };
    written(&protocol, length);
    written(&component, length);
}

fn set_mfe() {
    let (handle, word) = handle();
    let (alive, mut key) = (lives(word, false), key());
    // SAFETY: null, or lent.
    let code = unsafe { MgmSetMfe(handle, pointer(&mut key)) };
    check(code, alive && key.is_some(), &[OK, NOT_FOUND, CANNOT]);
    written(&key, 0);
}

fn read_entries() {
    let (which, flags) = (next(), if next() < 200 { 1 + u32::from(next() & 1) } else { word() });
    let (mut key, mut read) = (key(), Read::new());
    let (size, data) = (pointer(&mut read.size), pointer(&mut read.data));
    let (count, start) = (pointer(&mut read.count), pointer(&mut key));
    // SAFETY: each pointer is null or lent, and the buffer is as large as its size says.
    let (code, one, by_key, stats) = unsafe {
        match which % 6 {
            0 => (MgmGetMfe(start, size, data), true, true, false),
            1 => (MgmGetFirstMfe(size, data, count), false, false, false),
            2 => (MgmGetNextMfe(start, size, data, count), false, true, false),
            3 => (MgmGetMfeStats(start, size, data, flags), true, true, true),
            4 => (MgmGetFirstMfeStats(size, data, count, flags), false, false, true),
            _ => (MgmGetNextMfeStats(start, size, data, count, flags), false, true, true),
        }
    };
    let documented: &[u32] = if one { &[OK, SMALL, NOT_FOUND] } else { &[MORE, END, SMALL] };
    check(code, !(by_key && key.is_none()), documented);
    let (head, each, list) = match (stats, flags) {
        (false, _) => (60, 16, 48),
        (true, 1) => (64, 28, 44),
        (true, 2) => (84, 28, 44),
        _ => {
            assert_eq!(code, INVALID, "rule E13");
            (64, 28, 44)
        }
    };
    read.check(code, !one, head, each, Some(list));
    written(&key, 0);
}

fn start_enumeration() {
    let (handle, client) = handle();
    let kind = if next() < 240 { u32::from(next() & 1) } else { word() };
    let (alive, mut out) = (lives(client, false), Lent::maybe(&[CANARY; size_of::<HANDLE>()]));
    // SAFETY: null, or lent.
    let code = unsafe { MgmGroupEnumerationStart(handle, kind as _, pointer(&mut out)) };
    check(code, alive && kind < 2 && out.is_some(), &[OK]);
    written(&out, if code == OK { size_of::<HANDLE>() } else { 0 });
    if code == OK {
        let word = usize::from_ne_bytes(out.unwrap().octets().try_into().unwrap());
        WORLD.with_borrow_mut(|world| {
            assert!(word != 0 && world.given.iter().all(|g| g.word != word), "rule A3");
            world.given.push(Given { word, client: Some(client), lives: true });
        });
    }
}

fn enumerate() {
    let (handle, word) = handle();
    let (alive, mut read) = (lives(word, true), Read::new());
    let (size, data) = (pointer(&mut read.size), pointer(&mut read.data));
    // SAFETY: each pointer is null or lent, and the buffer is as large as its size says.
    let code = unsafe { MgmGroupEnumerationGetNext(handle, size, data, pointer(&mut read.count)) };
    check(code, alive, &[MORE, END, SMALL]);
    read.check(code, true, 16, 0, None);
}

fn end_enumeration() {
    let (handle, word) = handle();
    let alive = lives(word, true);
    let code = MgmGroupEnumerationEnd(handle);
    assert_eq!(code, if alive { OK } else { INVALID });
    WORLD.with_borrow_mut(|world| {
        world.given.iter_mut().filter(|g| g.word == word).for_each(|g| g.lives &= code != OK);
    });
}

fn packet() {
    let (source, group) = (address(false).0, address(true).0);
    let mut packet = [0u8; 28];
    (packet[0], packet[3], packet[8]) = (0x45, 28, 64);
    packet[12..16].copy_from_slice(&source.to_ne_bytes());
    packet[16..20].copy_from_slice(&group.to_ne_bytes());
    let mut lent = Lent::maybe(&packet);
    // SAFETY: null, or lent.
    let code = unsafe { MgmHostReceive(index(), hop(), pointer::<u8>(&mut lent), 28) };
    assert_eq!(code, if lent.is_some() { OK } else { INVALID });
    written(&lent, 0);
}

fn state() {
    let mut read = Read::new();
    let (size, data) = (pointer(&mut read.size), pointer(&mut read.data));
    // SAFETY: each pointer is null or lent, and the buffer is as large as its size says.
    let code = unsafe { MgmHostGetState(size, data) };
    assert!([OK, INVALID, SMALL].contains(&code), "{code}");
    if code == OK {
        written(&read.size, 0);
        let octets = read.data.as_ref().unwrap().octets();
        let length = octets.iter().position(|octet| *octet == 0).expect("a final NUL");
        assert!(octets.starts_with(b"{") && octets[..length].ends_with(b"}"));
        written(&read.data, length + 1);
    } else {
        read.check(code, false, 0, 0, None);
    }
}

fn call() {
    match next() % 32 {
        0 | 1 => register(),
        2 => deregister(),
        3..=6 => interface(true),
        7 => interface(false),
        8..=12 => membership(true),
        13..=14 => membership(false),
        15 => owner(),
        16 => set_mfe(),
        17..=20 => read_entries(),
        21 => start_enumeration(),
        22 | 23 => enumerate(),
        24 => end_enumeration(),
        25..=27 => packet(),
        28 => {
            let (network, mask) = (address(false).0, if next() == 255 { word() } else { 255 });
            let whole = u32::from_be_bytes(mask.to_ne_bytes());
            let code = MgmHostRouteChanged(network, mask);
            assert_eq!(code == OK, whole.leading_ones() == whole.count_ones());
            assert!(code == OK || code == INVALID);
        }
        29 => assert_eq!(MgmHostInterfaceDown(index(), hop()), OK),
        30 => state(),
        _ if DEPTH.get() > 0 => CLOCK.set(CLOCK.get() + 1000),
        // Handles of one run are stale in the next.
        _ if next() > 200 => {
            stop();
            start();
        }
        _ => CLOCK.set(CLOCK.get() + u64::from(next()) * 10_000),
    }
}

fuzz_target!(|octets: &[u8]| {
    WORLD.set(World { octets: octets.to_vec(), ..World::default() });
    CLOCK.set(1_000_000);
    start();
    while !ended() {
        call();
    }
    stop();
});
