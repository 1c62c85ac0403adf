//! Clients of C's. mgm.h's callbacks carry no context, so each client has functions of its own.

use super::{address, note};
use mgm::ffi::entry::MgmRegisterMProtocol;
use mgm::ffi::types::{
    _MGM_IF_ENTRY, _ROUTING_PROTOCOL_CONFIG, BOOL, DWORD, HANDLE, PBYTE, PDWORD,
};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

/// How many there can be with callbacks.
pub const CLIENTS: usize = 8;

/// The interface that a client refuses in its creation callbacks.
pub static VETO: [AtomicU32; CLIENTS] = [const { AtomicU32::new(0) }; CLIENTS];
/// Calls of clients since the program began.
pub static CALLS: AtomicUsize = AtomicUsize::new(0);

/// What happens in every callback besides.
type Hook = fn(client: usize, kind: &'static str);
static HOOK: std::sync::RwLock<Option<Hook>> = std::sync::RwLock::new(None);

/// Has `hook` called in every callback.
pub fn set_hook(hook: Option<Hook>) {
    *HOOK.write().unwrap() = hook;
}

fn run_hook(client: usize, kind: &'static str) {
    CALLS.fetch_add(1, SeqCst);
    let hook = *HOOK.read().unwrap();
    if let Some(hook) = hook {
        hook(client, kind);
    }
}

unsafe extern "C-unwind" fn rpf<const C: usize>(
    s: DWORD,
    _: DWORD,
    g: DWORD,
    _: DWORD,
    iif: PDWORD,
    _: PDWORD,
    _: PDWORD,
    size: DWORD,
    _: PBYTE,
    _: PBYTE,
) -> DWORD {
    // SAFETY: the library's promise about pdwInIfIndex.
    let iif = unsafe { *iif };
    note(format_args!("{C}: RPF {} {} iif {iif} size {size}", address(s), address(g)));
    run_hook(C, "RPF");
    0
}

unsafe extern "C-unwind" fn creation<const C: usize>(
    s: DWORD,
    _: DWORD,
    g: DWORD,
    _: DWORD,
    iif: DWORD,
    _: DWORD,
    count: DWORD,
    out: *mut _MGM_IF_ENTRY,
) -> DWORD {
    // SAFETY: the library's promise about the list.
    let out = unsafe { std::slice::from_raw_parts_mut(out, count as usize) };
    let veto = VETO[C].load(SeqCst);
    for oif in out.iter_mut().filter(|oif| veto != 0 && oif.dwIfIndex == veto) {
        oif.bIsEnabled = 0;
    }
    crate::aside(|| {
        let list: Vec<_> =
            out.iter().map(|oif| (oif.dwIfIndex, oif.bIGMP, oif.bIsEnabled)).collect();
        note(format_args!("{C}: CREATE {} {} iif {iif} {list:?}", address(s), address(g)));
    });
    run_hook(C, "CREATE");
    0
}

unsafe extern "C-unwind" fn prune<const C: usize>(
    s: DWORD,
    _: DWORD,
    g: DWORD,
    _: DWORD,
    on: DWORD,
    _: DWORD,
    member: BOOL,
    timeout: PDWORD,
) -> DWORD {
    // SAFETY: the library's promise about pdwTimeout.
    let timeout = unsafe { *timeout };
    note(format_args!("{C}: PRUNE {} {} on {on} {member} {timeout}", address(s), address(g)));
    run_hook(C, "PRUNE");
    0
}

unsafe extern "C-unwind" fn join<const C: usize>(
    s: DWORD,
    _: DWORD,
    g: DWORD,
    _: DWORD,
    member: BOOL,
) -> DWORD {
    note(format_args!("{C}: JOIN {} {} {member}", address(s), address(g)));
    run_hook(C, "JOIN");
    0
}

unsafe extern "C-unwind" fn wrong_if<const C: usize>(
    s: DWORD,
    g: DWORD,
    on: DWORD,
    _: DWORD,
    size: DWORD,
    _: PBYTE,
) -> DWORD {
    note(format_args!("{C}: WRONG_IF {} {} on {on} size {size}", address(s), address(g)));
    run_hook(C, "WRONG_IF");
    0
}

unsafe extern "C-unwind" fn local_join<const C: usize>(
    s: DWORD,
    _: DWORD,
    g: DWORD,
    _: DWORD,
    on: DWORD,
    _: DWORD,
) -> DWORD {
    note(format_args!("{C}: LOCAL_JOIN {} {} on {on}", address(s), address(g)));
    run_hook(C, "LOCAL_JOIN");
    0
}

unsafe extern "C-unwind" fn local_leave<const C: usize>(
    s: DWORD,
    _: DWORD,
    g: DWORD,
    _: DWORD,
    on: DWORD,
    _: DWORD,
) -> DWORD {
    note(format_args!("{C}: LOCAL_LEAVE {} {} on {on}", address(s), address(g)));
    run_hook(C, "LOCAL_LEAVE");
    0
}

unsafe extern "C-unwind" fn disable<const C: usize>(on: DWORD, _: DWORD) -> DWORD {
    note(format_args!("{C}: DISABLE_IGMP {on}"));
    run_hook(C, "DISABLE_IGMP");
    0
}

unsafe extern "C-unwind" fn enable<const C: usize>(on: DWORD, _: DWORD) -> DWORD {
    note(format_args!("{C}: ENABLE_IGMP {on}"));
    run_hook(C, "ENABLE_IGMP");
    0
}

fn callbacks<const C: usize>() -> _ROUTING_PROTOCOL_CONFIG {
    _ROUTING_PROTOCOL_CONFIG {
        dwCallbackFlags: 0,
        pfnRpfCallback: Some(rpf::<C>),
        pfnCreationAlertCallback: Some(creation::<C>),
        pfnPruneAlertCallback: Some(prune::<C>),
        pfnJoinAlertCallback: Some(join::<C>),
        pfnWrongIfCallback: Some(wrong_if::<C>),
        pfnLocalJoinCallback: Some(local_join::<C>),
        pfnLocalLeaveCallback: Some(local_leave::<C>),
        pfnDisableIgmpCallback: Some(disable::<C>),
        pfnEnableIgmpCallback: Some(enable::<C>),
    }
}

/// The callbacks of a client; those of the clients from [`CLIENTS`] on are null.
pub fn callbacks_of(client: usize) -> _ROUTING_PROTOCOL_CONFIG {
    match client {
        0 => callbacks::<0>(),
        1 => callbacks::<1>(),
        2 => callbacks::<2>(),
        3 => callbacks::<3>(),
        4 => callbacks::<4>(),
        5 => callbacks::<5>(),
        6 => callbacks::<6>(),
        7 => callbacks::<7>(),
        // SAFETY: all zero is a configuration without callbacks.
        _ => unsafe { std::mem::zeroed() },
    }
}

/// MgmRegisterMProtocol.
pub fn register(client: usize, protocol: u32, component: u32, handle: &mut HANDLE) -> u32 {
    let mut config = callbacks_of(client);
    // SAFETY: a whole configuration, copied, with functions that are never unloaded.
    unsafe { MgmRegisterMProtocol(&raw mut config, protocol, component, handle) }
}
