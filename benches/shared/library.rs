//! The library, opened with dlopen as a C program's loader does, on a plane that does nothing: what
//! is measured is the library, and no plane's work.

use ::mgm::ffi::types::*;
use std::ffi::{CString, c_void};
use std::io::{Read, Write};
use std::mem::{size_of, transmute_copy, zeroed};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub type Register = extern "C" fn(*mut ROUTING_PROTOCOL_CONFIG, u32, u32, *mut HANDLE) -> u32;
type Take = extern "C" fn(HANDLE, u32, u32) -> u32;
pub type Change = extern "C" fn(HANDLE, u32, u32, u32, u32, u32, u32, u32) -> u32;
pub type Get = extern "C" fn(*mut MIB_IPMCAST_MFE, *mut u32, *mut u8) -> u32;
type GetFirst = extern "C" fn(*mut u32, *mut u8, *mut u32) -> u32;
type GetNext = extern "C" fn(*mut MIB_IPMCAST_MFE, *mut u32, *mut u8, *mut u32) -> u32;
type GetFirstStats = extern "C" fn(*mut u32, *mut u8, *mut u32, u32) -> u32;
type GetNextStats = extern "C" fn(*mut MIB_IPMCAST_MFE, *mut u32, *mut u8, *mut u32, u32) -> u32;
type EnumStart = extern "C" fn(HANDLE, u32, *mut HANDLE) -> u32;
type EnumNext = extern "C" fn(HANDLE, *mut u32, *mut u8, *mut u32) -> u32;
type EnumEnd = extern "C" fn(HANDLE) -> u32;
type HostStart = extern "C" fn(*const MGM_HOST_CONFIG) -> u32;
type State = extern "C" fn(*mut u32, *mut u8) -> u32;
type Receive = extern "C" fn(u32, u32, *const u8, u32) -> u32;

const ALL: u32 = u32::MAX;
const JOIN: u32 = 1;
const MORE: u32 = 234;
const NO_MORE: u32 = 259;

/// The length of a record of two outgoing interfaces, as every entry here has them: the struct
/// itself has one.
pub const RECORD: usize = size_of::<MIB_IPMCAST_MFE>() + size_of::<MIB_IPMCAST_OIF>();
const STATS_RECORD: usize = size_of::<MIB_IPMCAST_MFE_STATS>() + size_of::<MIB_IPMCAST_OIF_STATS>();

/// How many alerts came. Plain loads and stores: an atomic addition would cost more than an alert.
static ALERTS: AtomicU64 = AtomicU64::new(0);

pub fn alerts() -> u64 {
    ALERTS.load(Relaxed)
}

fn alert() -> u32 {
    ALERTS.store(ALERTS.load(Relaxed) + 1, Relaxed);
    0
}

extern "C-unwind" fn add_interface(_: *mut c_void, _: u32, _: u32) -> u32 {
    0
}
extern "C-unwind" fn remove_interface(_: *mut c_void, _: u32, _: u32) {}
extern "C-unwind" fn join_alert(_: u32, _: u32, _: u32, _: u32, _: i32) -> u32 {
    alert()
}
extern "C-unwind" fn prune_alert(
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: i32,
    _: *mut u32,
) -> u32 {
    alert()
}
extern "C-unwind" fn route(_: *mut c_void, source: u32, route: *mut MGM_ROUTE) -> u32 {
    // SAFETY: the library gives a route to fill.
    unsafe {
        // Those of 13.0.0.0/8 come in on another interface.
        (*route).dwIfIndex = if source.to_ne_bytes()[0] == 13 { 6 } else { 1 };
        (*route).dwUpStreamNbr = source;
    }
    0
}
extern "C-unwind" fn set_mfe(
    _: *mut c_void,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: *const MIB_IPMCAST_OIF,
) -> u32 {
    0
}
extern "C-unwind" fn delete_mfe(_: *mut c_void, _: u32, _: u32) -> u32 {
    0
}
extern "C-unwind" fn counters(
    _: *mut c_void,
    _: u32,
    _: u32,
    counters: *mut MGM_MFE_COUNTERS,
) -> u32 {
    // SAFETY: the library gives counters to fill.
    unsafe { (*counters).ulInPkts = 1 };
    0
}

pub fn check(code: u32) {
    assert_eq!(code, 0);
}

/// The n-th group, spread over 225.0.0.0/8 to 238.0.0.0/8.
pub fn group(n: u32) -> u32 {
    0xe100_0000 + n.wrapping_mul(2_654_435_761) % 0x0e00_0000
}

/// The source of the n-th flow.
pub fn source(n: u32) -> u32 {
    0x0a00_0001 + n % 1000
}

pub fn mfe_of(n: u32) -> MIB_IPMCAST_MFE {
    MIB_IPMCAST_MFE { dwGroup: group(n).to_be(), dwSource: source(n).to_be(), ..Default::default() }
}

/// Numbers that are the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 33) * u64::from(limit)) >> 31) as u32
    }
}

/// The library itself.
pub struct Library(*mut c_void);

impl Library {
    /// Opens the library at `path`.
    pub fn open(path: &str) -> Self {
        let path = CString::new(path).unwrap();
        // SAFETY: a C string; the library has no initialisers of its own.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "cannot open {path:?}");
        Self(handle)
    }

    /// What `MGM_LIBRARY` names, or else what cargo built with this program.
    pub fn path() -> String {
        std::env::var("MGM_LIBRARY").unwrap_or_else(|_| {
            let program = std::env::current_exe().unwrap();
            let beside: PathBuf = program.with_file_name("libmgm.so");
            beside.to_str().unwrap().to_owned()
        })
    }

    /// The function of this name, which must be of type `F`.
    pub fn function<F>(&self, name: &str) -> F {
        let name = CString::new(name).unwrap();
        // SAFETY: the handle is open, and each name is that of a function of type F.
        unsafe {
            let address = libc::dlsym(self.0, name.as_ptr());
            assert!(!address.is_null(), "no {name:?}");
            transmute_copy(&address)
        }
    }
}

/// The library, two clients, and three interfaces: flows come in on 1, and leave through 2 and 3.
pub struct World {
    pub owner: HANDLE,
    pub protocol: HANDLE,
    take: Take,
    release: Take,
    down: extern "C" fn(u32, u32) -> u32,
    state: State,
    pub add: Change,
    pub delete: Change,
    pub get: Get,
    first: GetFirst,
    next: GetNext,
    first_stats: GetFirstStats,
    next_stats: GetNextStats,
    enumeration: (EnumStart, EnumNext, EnumEnd),
    receive: Receive,
    /// The control socket's path.
    control: PathBuf,
}

// SAFETY: a handle is a number, and the functions may be called from any thread.
unsafe impl Sync for World {}

impl World {
    pub fn new(library: &Library) -> Self {
        // SAFETY: all of these may be zero.
        let (mut plane, mut config, mut callbacks): (
            MGM_HOST_FORWARDER,
            MGM_HOST_CONFIG,
            ROUTING_PROTOCOL_CONFIG,
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        plane.dwSize = size_of::<MGM_HOST_FORWARDER>() as u32;
        plane.pfnAddInterface = Some(add_interface);
        plane.pfnRemoveInterface = Some(remove_interface);
        plane.pfnSetMfe = Some(set_mfe);
        plane.pfnDeleteMfe = Some(delete_mfe);
        plane.pfnGetMfeCounters = Some(counters);
        plane.pfnRoute = Some(route);
        config.dwSize = size_of::<MGM_HOST_CONFIG>() as u32;
        config.dwForwarder = MGM_FORWARDER_CUSTOM;
        config.pForwarder = &raw const plane;
        config.dwMaxMfes = u32::MAX;
        let control = std::env::temp_dir().join(format!("mgm-bench-{}", std::process::id()));
        let control_path = CString::new(control.to_str().unwrap()).unwrap();
        config.pszControlPath = control_path.as_ptr();
        check(library.function::<HostStart>("MgmHostStart")(&raw const config));
        callbacks.pfnJoinAlertCallback = Some(join_alert);
        callbacks.pfnPruneAlertCallback = Some(prune_alert);
        let register: Register = library.function("MgmRegisterMProtocol");
        let take: Take = library.function("MgmTakeInterfaceOwnership");
        let (mut owner, mut protocol) = (null_mut(), null_mut());
        check(register(&raw mut callbacks, 1, 1, &raw mut owner));
        check(register(&raw mut callbacks, 2, 1, &raw mut protocol));
        check(take(owner, 1, 0));
        check(take(protocol, 2, 0));
        check(take(protocol, 3, 0));
        Self {
            owner,
            protocol,
            take,
            release: library.function("MgmReleaseInterfaceOwnership"),
            down: library.function("MgmHostInterfaceDown"),
            state: library.function("MgmHostGetState"),
            add: library.function("MgmAddGroupMembershipEntry"),
            delete: library.function("MgmDeleteGroupMembershipEntry"),
            get: library.function("MgmGetMfe"),
            first: library.function("MgmGetFirstMfe"),
            next: library.function("MgmGetNextMfe"),
            first_stats: library.function("MgmGetFirstMfeStats"),
            next_stats: library.function("MgmGetNextMfeStats"),
            enumeration: (
                library.function("MgmGroupEnumerationStart"),
                library.function("MgmGroupEnumerationGetNext"),
                library.function("MgmGroupEnumerationEnd"),
            ),
            receive: library.function("MgmHostReceive"),
            control,
        }
    }

    /// One more client, without callbacks, on interfaces of its own.
    pub fn client(&self, library: &Library, protocol: u32, interfaces: &[u32]) -> HANDLE {
        let register: Register = library.function("MgmRegisterMProtocol");
        // SAFETY: all its functions may be null.
        let (mut callbacks, mut handle) =
            (unsafe { zeroed::<ROUTING_PROTOCOL_CONFIG>() }, null_mut());
        check(register(&raw mut callbacks, protocol, 1, &raw mut handle));
        interfaces.iter().for_each(|interface| self.take(handle, *interface));
        handle
    }

    pub fn take(&self, client: HANDLE, interface: u32) {
        check((self.take)(client, interface, 0));
    }

    pub fn release(&self, client: HANDLE, interface: u32) {
        check((self.release)(client, interface, 0));
    }

    pub fn down(&self, interface: u32) {
        check((self.down)(interface, 0));
    }

    pub fn add(&self, group: u32, interface: u32) {
        self.add_of(self.protocol, group, interface);
    }

    pub fn delete(&self, group: u32, interface: u32) {
        self.delete_of(self.protocol, group, interface);
    }

    /// Group 0 stands for all.
    pub fn add_of(&self, client: HANDLE, group: u32, interface: u32) {
        let mask = if group == 0 { 0 } else { ALL };
        check((self.add)(client, 0, 0, group.to_be(), mask, interface, 0, JOIN));
    }

    pub fn delete_of(&self, client: HANDLE, group: u32, interface: u32) {
        let mask = if group == 0 { 0 } else { ALL };
        check((self.delete)(client, 0, 0, group.to_be(), mask, interface, 0, JOIN));
    }

    /// The whole state, in JSON.
    pub fn state(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let mut size = buffer.len() as u32;
            match (self.state)(&raw mut size, buffer.as_mut_ptr()) {
                0 => return buffer,
                // ERROR_INSUFFICIENT_BUFFER; the next one may be longer.
                122 => buffer.resize(size as usize + size as usize / 8, 0),
                code => check(code),
            }
        }
    }

    /// What mgmd and mgmctl ask for a scrape of the metrics.
    pub fn scrape(&self) -> String {
        let (mut socket, mut answer) = (UnixStream::connect(&self.control).unwrap(), String::new());
        socket.write_all(b"summary\n").unwrap();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"counters\""), "{answer}");
        answer
    }

    /// A membership of one of the first `n` groups goes and comes back.
    pub fn pair(&self, group: u32, interface: u32) {
        self.delete(group, interface);
        self.add(group, interface);
    }

    /// The first packet of a flow.
    pub fn packet(&self, source: u32, group: u32) {
        self.packet_on(1, source, group);
    }

    pub fn packet_on(&self, interface: u32, source: u32, group: u32) {
        let mut packet = [0u8; 28];
        (packet[0], packet[3], packet[8], packet[9]) = (0x45, 28, 64, 17);
        packet[12..16].copy_from_slice(&source.to_be_bytes());
        packet[16..20].copy_from_slice(&group.to_be_bytes());
        check((self.receive)(interface, 0, packet.as_ptr(), 28));
    }

    /// Asks for an entry that may be there or not, and gives the code.
    pub fn get(&self, mut wanted: MIB_IPMCAST_MFE, buffer: &mut [u8; 256]) -> u32 {
        let mut size = 256;
        (self.get)(&raw mut wanted, &raw mut size, buffer.as_mut_ptr())
    }

    /// One sweep through all entries in pages of so many octets; gives how many there were.
    pub fn sweep(&self, page: &mut [u8]) -> u32 {
        let (first, next) = (self.first, self.next);
        self.pages(
            page,
            RECORD,
            |size, buffer, count| first(size, buffer, count),
            |last, size, buffer, count| next(last, size, buffer, count),
        )
    }

    /// The same with statistics.
    pub fn sweep_stats(&self, page: &mut [u8]) -> u32 {
        let (first, next) = (self.first_stats, self.next_stats);
        self.pages(
            page,
            STATS_RECORD,
            |size, buffer, count| first(size, buffer, count, 1),
            |last, size, buffer, count| next(last, size, buffer, count, 1),
        )
    }

    fn pages(
        &self,
        page: &mut [u8],
        record: usize,
        first: impl Fn(*mut u32, *mut u8, *mut u32) -> u32,
        next: impl Fn(*mut MIB_IPMCAST_MFE, *mut u32, *mut u8, *mut u32) -> u32,
    ) -> u32 {
        let (mut size, mut count, mut seen) = (page.len() as u32, 0, 0);
        let mut code = first(&raw mut size, page.as_mut_ptr(), &raw mut count);
        while code == MORE {
            seen += count;
            let at = (count as usize - 1) * record;
            let word = |at: usize| u32::from_ne_bytes(page[at..at + 4].try_into().unwrap());
            let mut last =
                MIB_IPMCAST_MFE { dwGroup: word(at), dwSource: word(at + 4), ..Default::default() };
            size = page.len() as u32;
            code = next(&raw mut last, &raw mut size, page.as_mut_ptr(), &raw mut count);
        }
        assert_eq!(code, NO_MORE);
        seen + count
    }

    /// One enumeration of all groups; gives how many there were.
    pub fn enumerate(&self, page: &mut [u8]) -> u32 {
        let (start, next, end) = self.enumeration;
        let (mut handle, mut seen) = (null_mut(), 0);
        check(start(self.protocol, 1, &raw mut handle));
        loop {
            let (mut size, mut count) = (page.len() as u32, 0);
            let code = next(handle, &raw mut size, page.as_mut_ptr(), &raw mut count);
            seen += count;
            if code != MORE {
                break;
            }
        }
        check(end(handle));
        seen
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.control);
    }
}
