//! Subject: the C ABI of a libmgm.so that is loaded as a C program would load it.
//!
//! The layouts are written down again from the headers of Windows and mgm_host.h, not taken from the library.

mod callbacks;
mod library;
mod records;

use super::subject::{Subject, Word, clock, is_readable, route, transmit};
use super::words::*;
use library::Library;
use mgm::types::{IfKey, SourceGroup, mask_of};
use std::ffi::{c_char, c_void};
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Network byte order.
pub fn raw(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// The inverse of [`raw`].
pub fn address(raw: u32) -> Ipv4Addr {
    Ipv4Addr::from(raw.to_ne_bytes())
}

/// The mask that goes with a whole address (rule D1).
fn mask(address: Ipv4Addr) -> u32 {
    if address.is_unspecified() { 0 } else { u32::MAX }
}

/// An interface from the two numbers C has for it.
pub fn interface(index: u32, hop: u32) -> IfKey {
    IfKey::new(index, address(hop))
}

/// MGM_ROUTE.
#[repr(C)]
pub struct MgmRoute {
    index: u32,
    hop: u32,
    upstream: u32,
    protocol: u32,
    network: u32,
    mask: u32,
}

type RouteFn = extern "C" fn(*mut c_void, u32, *mut MgmRoute) -> u32;
type TransmitFn = extern "C" fn(*mut c_void, u32, u32, *const u8, u32);
type LogFn = extern "C" fn(*mut c_void, u32, *const c_char);
type ClockFn = extern "C" fn(*mut c_void) -> u64;

/// MGM_HOST_CONFIG.
#[repr(C)]
pub struct HostConfig {
    size: u32,
    forwarder: u32,
    table: u32,
    max_mfes: u32,
    context: *mut c_void,
    route: Option<RouteFn>,
    transmit: Option<TransmitFn>,
    log: Option<LogFn>,
    custom: *const c_void,
    control_path: *const c_char,
    clock: Option<ClockFn>,
    max_new_per_second: u32,
    max_new_per_source: u32,
    log_level: u32,
    reserved: u32,
}

extern "C" fn route_of(_: *mut c_void, source: u32, out: *mut MgmRoute) -> u32 {
    let Some(found) = route(address(source)) else { return code::NOT_FOUND };
    let filled = MgmRoute {
        index: found.to.index,
        hop: raw(found.to.next_hop),
        upstream: raw(found.upstream),
        protocol: found.protocol,
        network: raw(found.network),
        mask: raw(mask_of(found.len)),
    };
    // SAFETY: the library gives pfnRoute a valid MGM_ROUTE to fill.
    unsafe { out.write(filled) };
    code::NO_ERROR
}

extern "C" fn send(_: *mut c_void, index: u32, hop: u32, packet: *const u8, size: u32) {
    // SAFETY: the library gives pfnTransmit a packet of this size, valid during the call.
    let bytes = unsafe { std::slice::from_raw_parts(packet, size as usize) };
    transmit(interface(index, hop), bytes);
}

extern "C" fn drop_line(_: *mut c_void, _: u32, _: *const c_char) {}

extern "C" fn now(_: *mut c_void) -> u64 {
    clock()
}

/// A process has one library with one state: whoever holds this uses it.
static IN_USE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

struct InUse;

impl InUse {
    fn begin() -> Self {
        let mut in_use = IN_USE.0.lock().unwrap_or_else(PoisonError::into_inner);
        while std::mem::replace(&mut *in_use, true) {
            in_use = IN_USE.1.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        Self
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *IN_USE.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
        IN_USE.1.notify_one();
    }
}

struct CAbi {
    library: &'static Library,
    _in_use: InUse,
}

/// The loaded libmgm.so, for the caller alone until it is dropped.
pub fn subject() -> Arc<dyn Subject> {
    let in_use = InUse::begin();
    Arc::new(CAbi { library: library::loaded(), _in_use: in_use })
}

impl CAbi {
    fn membership(
        &self,
        function: library::Membership,
        handle: Word,
        of: SourceGroup,
        on: IfKey,
        flags: u32,
    ) -> u32 {
        let (source, group) = (of.source(), of.group());
        // SAFETY: handles are checked by the library, never followed (rule A3); the rest are
        // plain numbers.
        unsafe {
            function(
                handle as usize,
                raw(source),
                mask(source),
                raw(group),
                mask(group),
                on.index,
                raw(on.next_hop),
                flags,
            )
        }
    }
}

impl Subject for CAbi {
    fn start(&self, world: &World) {
        let config = HostConfig {
            size: size_of::<HostConfig>() as u32,
            forwarder: 0,
            table: 0,
            max_mfes: world.max_mfes,
            context: std::ptr::null_mut(),
            route: (!world.null_route).then_some(route_of as RouteFn),
            transmit: Some(send),
            log: Some(drop_line),
            custom: std::ptr::null(),
            control_path: std::ptr::null(),
            clock: Some(now),
            max_new_per_second: world.max_new,
            max_new_per_source: world.max_new_of_source,
            log_level: u32::MAX, // MGM_LOG_OFF
            reserved: 0,
        };
        // SAFETY: a whole MGM_HOST_CONFIG; its functions live as long as the process.
        let code = unsafe { (self.library.host_start)(&config) };
        assert_eq!(code, code::NO_ERROR, "MgmHostStart");
    }

    fn stop(&self) {
        // SAFETY: takes no arguments.
        let code = unsafe { (self.library.host_stop)() };
        assert_eq!(code, code::NO_ERROR, "MgmHostStop");
    }

    fn register(&self, client: Client, profile: &Profile) -> Result<Word, u32> {
        let mut config = callbacks::config(client, profile);
        let mut handle = 0;
        // SAFETY: both pointers are valid; the functions live as long as the process.
        let code = unsafe {
            (self.library.register)(&config, profile.protocol, profile.component, &mut handle)
        };
        // Rule B1: it was copied, so that it may be overwritten now.
        config.forget();
        if code == code::NO_ERROR {
            Ok(handle as Word)
        } else {
            assert_eq!(handle, 0, "rule A2: no output");
            Err(code)
        }
    }

    fn deregister(&self, handle: Word) -> u32 {
        // SAFETY: handles are checked, never followed (rule A3).
        unsafe { (self.library.deregister)(handle as usize) }
    }

    fn take(&self, handle: Word, on: IfKey) -> u32 {
        // SAFETY: handles are checked, never followed (rule A3).
        unsafe { (self.library.take)(handle as usize, on.index, raw(on.next_hop)) }
    }

    fn release(&self, handle: Word, on: IfKey) -> u32 {
        // SAFETY: handles are checked, never followed (rule A3).
        unsafe { (self.library.release)(handle as usize, on.index, raw(on.next_hop)) }
    }

    fn owner(&self, on: IfKey) -> Result<(u32, u32), u32> {
        let (mut protocol, mut component) = (0x5a5a, 0xa5a5);
        // SAFETY: both pointers are valid.
        let code = unsafe {
            (self.library.owner)(on.index, raw(on.next_hop), &mut protocol, &mut component)
        };
        if code == code::NO_ERROR {
            Ok((protocol, component))
        } else {
            assert_eq!((protocol, component), (0x5a5a, 0xa5a5), "rule A2: no output");
            Err(code)
        }
    }

    fn add(&self, handle: Word, of: SourceGroup, on: IfKey, flags: u32) -> u32 {
        self.membership(self.library.add, handle, of, on, flags)
    }

    fn delete(&self, handle: Word, of: SourceGroup, on: IfKey, flags: u32) -> u32 {
        self.membership(self.library.delete, handle, of, on, flags)
    }

    fn set_upstream(&self, handle: Word, flow: SourceGroup, to: Ipv4Addr) -> u32 {
        let mut key = records::key(flow);
        key[12..16].copy_from_slice(&to.octets());
        // SAFETY: a whole MIB_IPMCAST_MFE.
        unsafe { (self.library.set_mfe)(handle as usize, key.as_mut_ptr()) }
    }

    fn read_mfe(&self, flow: SourceGroup) -> Result<Mfe, u32> {
        records::read_one(self.library, flow)
    }

    fn read_all(&self) -> Vec<Mfe> {
        records::read_all(self.library)
    }

    fn read_mfes(&self, after: Option<SourceGroup>, record: Record, room: usize) -> Reply {
        records::read_some(self.library, after, record, room)
    }

    fn start_enum(&self, handle: Word, all_sources: bool) -> Result<Word, u32> {
        let mut enumeration = 0;
        // SAFETY: the pointer is valid.
        let code = unsafe {
            (self.library.start_enum)(handle as usize, u32::from(all_sources), &mut enumeration)
        };
        if code == code::NO_ERROR { Ok(enumeration as Word) } else { Err(code) }
    }

    fn next_groups(&self, handle: Word, max: usize) -> (u32, Vec<SourceGroup>) {
        records::next_groups(self.library, handle as usize, max)
    }

    fn end_enum(&self, handle: Word) -> u32 {
        // SAFETY: handles are checked, never followed (rule A3).
        unsafe { (self.library.end_enum)(handle as usize) }
    }

    fn receive(&self, on: IfKey, packet: &[u8]) -> u32 {
        let (start, size) = (packet.as_ptr(), packet.len() as u32);
        // SAFETY: the packet is this long.
        unsafe { (self.library.receive)(on.index, raw(on.next_hop), start, size) }
    }

    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32 {
        // SAFETY: plain numbers.
        unsafe { (self.library.route_changed)(raw(network), raw(mask_of(len))) }
    }

    fn interface_down(&self, on: IfKey) -> u32 {
        // SAFETY: plain numbers.
        unsafe { (self.library.interface_down)(on.index, raw(on.next_hop)) }
    }

    fn dispatch(&self, handle: Word) -> u32 {
        // SAFETY: handles are checked, never followed (rule A3).
        unsafe { (self.library.dispatch)(handle as usize) }
    }

    fn waits(&self, handle: Word) -> Option<bool> {
        let mut fd = -1;
        // SAFETY: the pointer is valid.
        let code = unsafe { (self.library.client_fd)(handle as usize, &mut fd) };
        assert_eq!(code == code::NO_ERROR, fd >= 0, "rule A2: no output");
        (code == code::NO_ERROR).then(|| is_readable(fd))
    }

    fn tick(&self) -> u32 {
        // A prefix that no source lies in: nothing but the time has changed.
        self.route_changed(Ipv4Addr::BROADCAST, 32)
    }
}
