//! The six functions of mgm_host.h.
//!
//! Their documentation is written for the C header, which is generated from it.
#![expect(non_snake_case, reason = "Windows' style of names, as in mgm.h")]

use super::buffer::OutBuffer;
use super::convert::{self, required};
use super::forwarder::{CPlane, HostFn};
use super::manager::{hosting, manager};
use super::types::{
    _MGM_HOST_CONFIG, _MGM_HOST_FORWARDER, BYTE, DWORD, HANDLE, MGM_FORWARDER_CUSTOM,
    MGM_FORWARDER_KERNEL, MGM_FORWARDER_MEMORY, MGM_HOST_CONFIG, MGM_HOST_USE_ENVIRONMENT,
    MGM_LOG_DEBUG, MGM_LOG_DEFAULT, MGM_LOG_ERROR, MGM_LOG_INFO, MGM_LOG_OFF, MGM_LOG_TRACE,
    MGM_LOG_WARN, PBYTE, PDWORD,
};
use super::{fork, guard, state};
use crate::error::Error;
use crate::forwarder::custom::Custom;
use crate::forwarder::memory::MemoryConfig;
use crate::log::Level;
use crate::shell::host_calls::HostCalls;
use crate::shell::settings::{ForwarderChoice, LogSink, MAX_TABLE, Settings};
use crate::shell::start_stop::start_failed;
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::mem::{MaybeUninit, offset_of};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Starts the group manager with a configuration of the program's own. Must be called before the
/// first MgmRegisterMProtocol, which otherwise starts it from the environment.
///
/// @param pConfig what is wanted; copied.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: pConfig is NULL, or a field has a value that is not allowed.
/// - ERROR_ALREADY_EXISTS: a host runs; MgmHostStop ends it.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: the forwarder or the control socket could not be set up; the log says
///   why. Or the call is made inside a callback, or a function of the host's, while another thread is
///   starting or stopping.
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

/// Ends everything: clients get no more callbacks, their handles are no longer valid, and what was
/// put into the forwarding plane is removed. The next MgmHostStart or MgmRegisterMProtocol begins
/// anew.
///
/// When this has returned, no callback and no function of the host's (pfnRoute, pfnTransmit, pfnLog,
/// pfnClock, a forwarder's) is running or will ever run again, unless one did not return within 5
/// seconds: the log says so, and its code must stay loaded. So it waits for the functions that other
/// threads are inside of: do not call it while you hold a lock that one of these functions takes. Where
/// it is called inside one of them, none starts after that one has returned.
///
/// While it runs, handles are no longer valid, and inside a callback or a function of the host's
/// nothing can be started.
///
/// @return
/// - NO_ERROR
/// - ERROR_CAN_NOT_COMPLETE: no host runs. Or the call is made inside a callback, or a function of the
///   host's, while another thread is starting or stopping the host. Or it is made inside a callback of
///   a client that another callback, or a function of the host's, is deregistering; that one would wait
///   for this callback.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostStop() -> DWORD {
    guard::call("MgmHostStop", || hosting()?.stop())
}

/// Memory: a packet came in. When this returns, every callback that the packet caused has run and
/// every copy of it has been handed to pfnTransmit. The one exception is a packet whose flow another
/// thread is asking clients about at that moment: it waits for their answers with the flow.
///
/// Custom: a packet came in for which the plane has no entry, or on another interface than its
/// entry's. The call reports it to the group manager; forwarding it is up to the plane.
///
/// @param dwIfIndex,dwIfNextHopAddr the interface it came in on.
/// @param pbPacket the IPv4 packet, from its header on; only read.
/// @param dwPacketSize its size in octets.
///
/// @return
/// - NO_ERROR: the packet was forwarded, or rightly not forwarded.
/// - ERROR_INVALID_PARAMETER: pbPacket is NULL or not a whole IPv4 packet.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs, or its forwarder is the kernel.
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

/// Memory and custom: the routes toward sources in a prefix have changed. Forwarding entries of
/// those sources are made anew where the route now leads elsewhere.
///
/// @param dwNetwork,dwMask the prefix in network byte order; 0 and 0 for all sources.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: dwMask has a zero before a one.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs, or its forwarder is the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostRouteChanged(dwNetwork: DWORD, dwMask: DWORD) -> DWORD {
    guard::call("MgmHostRouteChanged", || {
        let prefix_len = convert::prefix_len(dwMask, "dwMask")?;
        hosting()?.routes_changed(convert::address(dwNetwork), prefix_len)
    })
}

/// Memory and custom: an interface stopped working. Forwarding entries whose incoming interface it
/// is are deleted and it leaves the others' lists; memberships and ownership stay. It works again
/// when a packet comes in on it or a client takes it.
///
/// @return
/// - NO_ERROR
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: no host runs, or its forwarder is the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostInterfaceDown(dwIfIndex: DWORD, dwIfNextHopAddr: DWORD) -> DWORD {
    guard::call("MgmHostInterfaceDown", || {
        hosting()?.interface_down(convert::interface(dwIfIndex, dwIfNextHopAddr))
    })
}

/// Writes the whole state as JSON text with a final NUL.
///
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the text; may be NULL where *pdwBufferSize is 0.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL.
/// - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed at this moment, the final
///   NUL included.
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

/// The descriptor that tells a program's poll loop that callbacks wait for a client with MGM_DISPATCHED:
/// readable (poll, select, epoll; level-triggered) exactly while there are some. It is the library's, the
/// same each time, and ends with the registration. In a client process (MGM_HOST) it has an error condition
/// (POLLHUP) when the host has ended.
///
/// @param hProtocol the client's handle.
/// @param pFd gets the descriptor.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or that has no
///   MGM_DISPATCHED; pFd is NULL.
/// - ERROR_CAN_NOT_COMPLETE: the host of this client process has gone.
///
/// # Safety
/// @pre pFd is NULL or points at an int that can be written.
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
/// began and what this causes, but at most 256; where there are more the descriptor stays readable. It
/// never blocks. Where none waits it returns at once.
///
/// No call of another client waits for these callbacks; what a new flow is asked waits for them, as for a
/// slow client.
///
/// @param hProtocol the client's handle.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or that has no
///   MGM_DISPATCHED.
/// - ERROR_CAN_NOT_COMPLETE: another thread is dispatching this client's callbacks, or the call is made
///   inside one of them; or the host of this client process has gone.
#[unsafe(no_mangle)]
pub extern "C" fn MgmHostDispatch(hProtocol: HANDLE) -> DWORD {
    guard::call_of("MgmHostDispatch", hProtocol, || {
        manager()?.dispatch(convert::client(hProtocol)?)
    })
}

/// A greater dwSize is not the size of a structure: none of ours will ever be that long.
const MAX_STRUCT_SIZE: usize = 4096;

/// Copies a structure that begins with its size. Fields that an older caller's structure lacks are
/// zero in the copy. What a newer caller's structure has beyond ours must be zero.
///
/// # Safety
/// `pointer` is null or points at as many octets as the DWORD there says. All-zero octets and
/// those at `pointer` are values of `T`.
unsafe fn sized<T: Copy>(
    pointer: *const T,
    [name, size_name]: [&'static str; 2],
    least: usize,
) -> Result<T, Error> {
    let start = required(pointer.cast_mut(), name)?.cast::<u8>();
    // SAFETY: not null, and the caller's promise.
    let value = unsafe { start.cast::<DWORD>().read_unaligned() };
    let size = value as usize;
    let allowed = "the structure's sizeof, with 0 in the fields that this library does not know";
    let bad = Error::BadValue { name: size_name, value, allowed };
    if !(least..=MAX_STRUCT_SIZE).contains(&size) {
        return Err(bad);
    }
    let known = size.min(size_of::<T>());
    // SAFETY: `start` has `size` octets, so everything from `known` to `size` can be read.
    if (known..size).any(|at| unsafe { start.add(at).read() } != 0) {
        return Err(bad);
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` octets are within both; the caller says that the result is a value.
    unsafe {
        copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(start.as_ptr(), known);
        Ok(copy.assume_init())
    }
}

/// Tells the log function of a configuration that is refused why.
fn refused(config: &_MGM_HOST_CONFIG, error: Error) -> Error {
    let calls = Arc::new(HostCalls::new());
    match HostFn::new(config.pfnLog, config.pvContext, &calls) {
        Some(log) => {
            if config.dwLogLevel != MGM_LOG_OFF {
                log.log(Level::Error, &start_failed(&error));
            }
            Error::Told(error.code())
        }
        None => error,
    }
}

/// What the environment says, where the configuration asks for it. The fields that it leaves 0 are
/// filled in; the paths of sockets are in the settings.
fn environment(config: &mut _MGM_HOST_CONFIG) -> Result<Settings, Error> {
    let value = config.dwFlags;
    match value {
        0 => return Ok(Settings::default()),
        MGM_HOST_USE_ENVIRONMENT => {}
        _ => {
            let allowed = "0 or MGM_HOST_USE_ENVIRONMENT (1)";
            return Err(Error::BadValue { name: "dwFlags", value, allowed });
        }
    }
    let settings = Settings::from_env_where(|name| match name {
        "MGM_FORWARDER" => config.dwForwarder == 0 && config.pForwarder.is_null(),
        "MGM_LOG" => config.dwLogLevel == MGM_LOG_DEFAULT,
        "MGM_MAX_MFES" => config.dwMaxMfes == 0,
        "MGM_CONTROL" => config.pszControlPath.is_null(),
        "MGM_SERVE" => config.pszServePath.is_null(),
        "MGM_HOLD" => config.dwHoldSeconds == 0,
        _ => true,
    })?;
    if let ForwarderChoice::Kernel { table } = settings.forwarder {
        config.dwForwarder = MGM_FORWARDER_KERNEL;
        config.dwTableId = if config.dwTableId == 0 { table } else { config.dwTableId };
    }
    Ok(settings)
}

/// Checks a configuration and copies what it holds.
///
/// # Safety
/// As MgmHostStart.
unsafe fn settings(config: &_MGM_HOST_CONFIG) -> Result<Settings, Error> {
    let mut config = *config;
    let environment = environment(&mut config)?;
    // SAFETY: the caller's promise about its strings.
    let (control_path, serve_path) = unsafe {
        (path(config.pszControlPath, "pszControlPath")?, path(config.pszServePath, "pszServePath")?)
    };
    let serve = serve_path.or(environment.serve);
    let hold = match config.dwHoldSeconds {
        0 => environment.hold,
        seconds => Duration::from_secs(seconds.into()),
    };
    if !hold.is_zero() && serve.is_none() {
        let (value, allowed) =
            (config.dwHoldSeconds, "0 where nothing is served: pszServePath is NULL");
        return Err(Error::BadValue { name: "dwHoldSeconds", value, allowed });
    }
    let host_calls = Arc::new(HostCalls::new());
    let log = match HostFn::new(config.pfnLog, config.pvContext, &host_calls) {
        Some(log) => LogSink::Host(Arc::new(move |level, line| log.log(level, line))),
        None => LogSink::Stderr,
    };
    let clock = HostFn::new(config.pfnClock, config.pvContext, &host_calls);
    Ok(Settings {
        max_mfes: match config.dwMaxMfes {
            0 => environment.max_mfes,
            max => max,
        },
        max_new_mfes_per_second: config.dwMaxNewMfesPerSecond,
        max_new_mfes_per_source: config.dwMaxNewMfesPerSource,
        log_level: match config.dwLogLevel {
            MGM_LOG_DEFAULT => environment.log_level,
            level => log_level(level)?,
        },
        log,
        clock: clock.map(|clock| Arc::new(move || clock.now()) as _),
        control_path: control_path.or(environment.control_path),
        multicast_socket: match config.dwMulticastSocket {
            0 => environment.multicast_socket,
            // A number that is no descriptor is refused when it is used.
            descriptor => Some(i32::try_from(descriptor).unwrap_or(-1)),
        },
        // SAFETY: the caller's promise about pForwarder.
        forwarder: unsafe { forwarder(&config, &host_calls)? },
        // A host that sends packets itself knows why it has the memory forwarder.
        forwarder_by_default: environment.forwarder_by_default
            && config.dwForwarder == MGM_FORWARDER_MEMORY
            && config.pfnTransmit.is_none(),
        portion: environment.portion,
        host_calls,
        serve,
        hold,
    })
}

/// A path, or none for NULL.
///
/// # Safety
/// `text` is null or a NUL-terminated string.
unsafe fn path(text: *const c_char, name: &'static str) -> Result<Option<PathBuf>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, so the caller's promise of a NUL-terminated string.
    let path = unsafe { CStr::from_ptr(text) };
    if path.is_empty() {
        let allowed = "the path of a UNIX socket to serve, or NULL";
        return Err(Error::BadText { name, allowed });
    }
    Ok(Some(PathBuf::from(OsStr::from_bytes(path.to_bytes()))))
}

fn log_level(value: DWORD) -> Result<Level, Error> {
    Ok(match value {
        MGM_LOG_OFF => Level::Off,
        MGM_LOG_ERROR => Level::Error,
        MGM_LOG_WARN => Level::Warn,
        MGM_LOG_INFO => Level::Info,
        MGM_LOG_DEBUG => Level::Debug,
        MGM_LOG_TRACE => Level::Trace,
        _ => {
            let allowed = "0 to 5 (MGM_LOG_*) or MGM_LOG_OFF";
            return Err(Error::BadValue { name: "dwLogLevel", value, allowed });
        }
    })
}

/// Fields that the chosen forwarder does not use were meant for another one, so they are refused
/// and not ignored.
fn only_its_own(config: &_MGM_HOST_CONFIG) -> Result<(), Error> {
    let bad = |name, value, allowed| Err(Error::BadValue { name, value, allowed });
    if config.dwForwarder != MGM_FORWARDER_KERNEL {
        const ALLOWED: &str = "0, except with MGM_FORWARDER_KERNEL (1)";
        if config.dwTableId != 0 {
            return bad("dwTableId", config.dwTableId, ALLOWED);
        }
        if config.dwMulticastSocket != 0 {
            return bad("dwMulticastSocket", config.dwMulticastSocket, ALLOWED);
        }
    }
    if config.dwTableId > MAX_TABLE {
        return bad("dwTableId", config.dwTableId, "0 to 999999999");
    }
    if config.dwForwarder != MGM_FORWARDER_CUSTOM && !config.pForwarder.is_null() {
        let allowed = "MGM_FORWARDER_CUSTOM (2) where pForwarder is not NULL";
        return bad("dwForwarder", config.dwForwarder, allowed);
    }
    Ok(())
}

/// # Safety
/// `config.pForwarder` is null or points at a table of functions.
unsafe fn forwarder(
    config: &_MGM_HOST_CONFIG,
    calls: &Arc<HostCalls>,
) -> Result<ForwarderChoice, Error> {
    only_its_own(config)?;
    match config.dwForwarder {
        MGM_FORWARDER_MEMORY => {
            let route = HostFn::new(config.pfnRoute, config.pvContext, calls);
            let transmit = HostFn::new(config.pfnTransmit, config.pvContext, calls);
            Ok(ForwarderChoice::Memory(MemoryConfig {
                route: route
                    .map(|route| Box::new(move |source, _arrival| route.route(source).ok()) as _),
                transmit: transmit.map(|transmit| {
                    Box::new(move |to: &[_], packet: &[u8]| transmit.transmit(to, packet)) as _
                }),
            }))
        }
        MGM_FORWARDER_KERNEL => Ok(ForwarderChoice::Kernel { table: config.dwTableId }),
        MGM_FORWARDER_CUSTOM => {
            let least = offset_of!(_MGM_HOST_FORWARDER, pfnGetMfeCounters);
            // SAFETY: the caller's promise; DWORDs and nullable pointers, as above.
            let table =
                unsafe { sized(config.pForwarder, ["pForwarder", "pForwarder->dwSize"], least)? };
            if table.pfnSetMfe.is_none() {
                return Err(Error::NullPointer("pForwarder->pfnSetMfe"));
            }
            if table.pfnDeleteMfe.is_none() {
                return Err(Error::NullPointer("pForwarder->pfnDeleteMfe"));
            }
            Ok(ForwarderChoice::Custom(Arc::new(Custom::new(CPlane::new(table, config)))))
        }
        value => {
            let allowed =
                "MGM_FORWARDER_MEMORY (0), MGM_FORWARDER_KERNEL (1), MGM_FORWARDER_CUSTOM (2)";
            Err(Error::BadValue { name: "dwForwarder", value, allowed })
        }
    }
}
