//! The eight functions of mgm_host.h.
//!
//! Their documentation is written for the C header, which is generated from it.
#![expect(non_snake_case, reason = "Windows' style of names, as in mgm.h")]

use super::buffer::OutBuffer;
use super::config::{refused, settings, sized};
use super::convert::{self, required};
use super::manager::{hosting, manager};
use super::types::{_MGM_HOST_CONFIG, BYTE, DWORD, HANDLE, MGM_HOST_CONFIG, PBYTE, PDWORD};
use super::{fork, guard, state};
use crate::error::Error;
use crate::shell::settings::Settings;
use std::ffi::c_int;
use std::mem::offset_of;

/// Starts the group manager with a configuration of the program's own. Must be called before the first
/// MgmRegisterMProtocol, which otherwise starts it from the environment.
///
/// @param pConfig what is wanted; copied, strings included.
///
/// @par Callbacks and threads
/// The functions of the configuration may be called from now on, by threads of the library too and by
/// several at once, until MgmHostStop has returned. A program that calls with a lock held which one of
/// them takes deadlocks. They may call any function themselves, except that those of a custom
/// forwarder, and its pfnRoute, may only call functions that read.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: pConfig is NULL, or a field has a value that is not allowed.
/// - ERROR_ALREADY_EXISTS: a host runs; MgmHostStop ends it.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: the forwarder or a socket could not be set up, or a variable of the
///   environment makes no sense; the log says why. Or the call is made inside a callback, or a function
///   of the host's, while another thread is starting or stopping. Or the process is a client of another
///   one's host (MGM_HOST).
///
/// # Safety
/// pConfig points at dwSize octets; its pszControlPath and pForwarder are NULL or point at a
/// NUL-terminated string and at a table of functions. All functions are of the declared types and
/// can be called from any thread, with their pvContext, until MgmHostStop has returned or
/// MgmHostStart has failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmHostStart(pConfig: *const MGM_HOST_CONFIG) -> DWORD {
    guard::call("MgmHostStart", || {
        Settings::room_to_start()?;
        fork::watch()?;
        let least = offset_of!(_MGM_HOST_CONFIG, pszControlPath);
        // SAFETY: the caller's promise; the structure is made of DWORDs and nullable pointers.
        let config = unsafe { sized(pConfig, ["pConfig", "pConfig->dwSize"], least)? };
        // SAFETY: the caller's promise about pConfig.
        match unsafe { settings(&config) } {
            Ok(settings) => hosting()?.start(settings).map_err(|error| match error {
                Error::AlreadyRunning | Error::Changing => error,
                // The host's log function has heard of it.
                error if config.pfnLog.is_some() => Error::Told(error.code()),
                error => error,
            }),
            Err(error) => Err(refused(&config, error)),
        }
    })
}

/// Ends everything: clients get no more callbacks, their handles are no longer valid, and what was put
/// into the forwarding plane is removed. The next MgmHostStart or MgmRegisterMProtocol begins anew.
///
/// While it runs, handles are no longer valid, and inside a callback or a function of the host's
/// nothing can be started. Connections of client processes end; no callback in another process is
/// waited for.
///
/// @par Callbacks and threads
/// When this has returned, no callback and no function of the host's (pfnRoute, pfnTransmit, pfnLog,
/// pfnClock, a forwarder's) is running or will ever run again, unless one did not return within 5
/// seconds: the log says so, and its code must stay loaded. So it waits for the functions that other
/// threads are inside of: do not call it while you hold a lock that one of these functions takes. Where
/// it is called inside one of them, none starts after that one has returned. Of a forwarder's
/// functions, pfnStop is called last.
///
/// @return
/// - NO_ERROR
/// - ERROR_CAN_NOT_COMPLETE: no host runs, or it runs in another process (MGM_HOST). Or the call is
///   made inside a callback, or a function of the host's, while another thread is starting or stopping
///   the host. Or it is made inside a callback of a client that another callback, or a function of the
///   host's, is deregistering; that one would wait for this callback.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostStop() -> DWORD {
    guard::call("MgmHostStop", || hosting()?.stop())
}

/// Hands in a packet that came in on an interface.
///
/// Memory: when this returns, every copy of the packet has been handed to pfnTransmit. These packets
/// are dropped and counted: malformed ones, those whose destination is no multicast group or a group in
/// 224.0.0.0/24, those with a TTL of 0 or 1, and those from an address that cannot send (0.0.0.0,
/// 255.255.255.255, multicast, 127.0.0.0/8).
///
/// Custom: a packet came in for which the plane has no entry, or on another interface than its entry's.
/// The call reports it to the group manager; forwarding it is up to the plane.
///
/// @param dwIfIndex,dwIfNextHopAddr the interface it came in on: its index in host order, its next hop
///        in network byte order.
/// @param pbPacket the IPv4 packet, from its header on; only read.
/// @param dwPacketSize its size in octets.
///
/// @par Callbacks and threads
/// When this returns, every callback that the packet caused has run and every copy has been sent. The
/// one exception is a packet whose flow waits for the answer of a client that does not come out of a
/// callback, or that dispatches its callbacks itself: it waits with the flow.
///
/// @return
/// - NO_ERROR: the packet was forwarded, or rightly not forwarded.
/// - ERROR_INVALID_PARAMETER: pbPacket is NULL or not a whole IPv4 packet.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs in this process, or its forwarder is the kernel; or a
///   function of a custom forwarder called this.
///
/// # Safety
/// pbPacket points at dwPacketSize octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmHostReceive(
    dwIfIndex: DWORD,
    dwIfNextHopAddr: DWORD,
    pbPacket: *const BYTE,
    dwPacketSize: DWORD,
) -> DWORD {
    guard::call("MgmHostReceive", || {
        let packet = required(pbPacket.cast_mut(), "pbPacket")?;
        // SAFETY: not null, and the caller's promise.
        let packet = unsafe { std::slice::from_raw_parts(packet.as_ptr(), dwPacketSize as usize) };
        hosting()?.receive(convert::interface(dwIfIndex, dwIfNextHopAddr), packet)
    })
}

/// Says that routes toward the sources in a prefix have changed (memory and custom forwarders).
/// Forwarding entries of those sources are made anew where the route now leads elsewhere.
///
/// @param dwNetwork,dwMask the prefix in network byte order; 0 and 0 for all sources.
///
/// @par Callbacks and threads
/// Entries that are made anew ask their clients as new flows do; all of that has happened when this
/// returns, but for what waits for a client that does not return from a callback.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: dwMask has a zero before a one.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs in this process, or its forwarder is the kernel; or a
///   function of a custom forwarder called this.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostRouteChanged(dwNetwork: DWORD, dwMask: DWORD) -> DWORD {
    guard::call("MgmHostRouteChanged", || {
        let prefix_len = convert::prefix_len(dwMask, "dwMask")?;
        hosting()?.routes_changed(convert::address(dwNetwork), prefix_len)
    })
}

/// Says that an interface stopped working (memory and custom forwarders). Forwarding entries whose
/// incoming interface it is are deleted and it leaves the others' lists; memberships and ownership
/// stay. It works again when a packet comes in on it or a client takes it.
///
/// @param dwIfIndex,dwIfNextHopAddr the interface: its index in host order, its next hop in network
///        byte order.
///
/// @par Callbacks and threads
/// Owners of entries that lose their last outgoing interface get prune alerts; they have been delivered
/// when a call made outside any callback returns.
///
/// @return
/// - NO_ERROR
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs in this process, or its forwarder is the kernel; or a
///   function of a custom forwarder called this.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostInterfaceDown(dwIfIndex: DWORD, dwIfNextHopAddr: DWORD) -> DWORD {
    guard::call("MgmHostInterfaceDown", || {
        hosting()?.interface_down(convert::interface(dwIfIndex, dwIfNextHopAddr))
    })
}

/// Writes the whole state as JSON text with a final NUL; mgm_control(7) describes its members.
///
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the text; may be NULL where *pdwBufferSize is 0.
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL.
/// - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed at this moment, the final NUL
///   included.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs; or the text with its NUL is longer than a DWORD can tell (4
///   GiB). Then read it in parts, with MgmGetFirstMfe and MgmGetNextMfe or over the control socket.
///
/// # Safety
/// pdwBufferSize points at a DWORD, pbBuffer at *pdwBufferSize octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmHostGetState(pdwBufferSize: PDWORD, pbBuffer: PBYTE) -> DWORD {
    guard::read("MgmHostGetState", || {
        // SAFETY: the caller's promise about both pointers.
        let out = unsafe { OutBuffer::new(pdwBufferSize, pbBuffer, None)? };
        let manager = manager()?;
        state::fill(out, |text| manager.write_state(text))
    })
}

/// Gives the descriptor that tells a program's poll loop that callbacks wait for a client with
/// MGM_DISPATCHED.
///
/// It is readable (poll, select, epoll; level-triggered) exactly while there are some. It is the
/// library's, the same each time, and ends with the registration. In a client process (MGM_HOST) it has
/// an error condition (POLLHUP or POLLERR) when the host has ended.
///
/// @param hProtocol the client's handle.
/// @param pFd gets the descriptor.
///
/// @par Callbacks and threads
/// Makes no callback.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or that has no
///   MGM_DISPATCHED; pFd is NULL.
/// - ERROR_CAN_NOT_COMPLETE: the host of this client process has gone.
///
/// # Safety
/// pFd points at an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmHostGetClientFd(hProtocol: HANDLE, pFd: *mut c_int) -> DWORD {
    guard::call_of("MgmHostGetClientFd", hProtocol, || {
        let out = required(pFd, "pFd")?;
        let descriptor = manager()?.client_descriptor(convert::client(hProtocol)?)?;
        // SAFETY: the caller's promise about pFd.
        unsafe { out.write_unaligned(descriptor) };
        Ok(())
    })
}

/// Calls the callbacks that wait for a client with MGM_DISPATCHED, on this thread: what waited when it
/// began and what this causes, but at most 256; where there are more the descriptor stays readable.
///
/// It never blocks. Where none waits it returns at once.
///
/// @param hProtocol the client's handle.
///
/// @par Callbacks and threads
/// The client's callbacks run in here and nowhere else. No call of another client waits for them; what
/// a new flow is asked waits for them, as for a slow client. Where IGMP is such a client, a take or
/// release changes the owner at once, and its disable and enable callbacks follow in its next dispatch.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or that has no
///   MGM_DISPATCHED.
/// - ERROR_CAN_NOT_COMPLETE: another thread is dispatching this client's callbacks, or the call is made
///   inside one of them; or the host of this client process has gone, maybe since poll said that the
///   descriptor is readable and nothing else.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostDispatch(hProtocol: HANDLE) -> DWORD {
    guard::call_of("MgmHostDispatch", hProtocol, || {
        manager()?.dispatch(convert::client(hProtocol)?)
    })
}
