//! The configuration that MgmHostStart is given: copied, checked, and made into settings.

use super::convert::required;
use super::forwarder::{CPlane, HostFn};
use super::types::{
    _MGM_HOST_CONFIG, _MGM_HOST_FORWARDER, DWORD, MGM_FORWARDER_CUSTOM, MGM_FORWARDER_KERNEL,
    MGM_FORWARDER_MEMORY, MGM_HOST_USE_ENVIRONMENT, MGM_LOG_DEBUG, MGM_LOG_DEFAULT, MGM_LOG_ERROR,
    MGM_LOG_INFO, MGM_LOG_OFF, MGM_LOG_TRACE, MGM_LOG_WARN,
};
use crate::error::Error;
use crate::forwarder::custom::Custom;
use crate::forwarder::memory::MemoryConfig;
use crate::log::Level;
use crate::shell::host_calls::HostCalls;
use crate::shell::settings::{ForwarderChoice, LogSink, MAX_TABLE, Settings};
use crate::shell::start_stop::start_failed;
use std::ffi::{CStr, OsStr, c_char};
use std::mem::{MaybeUninit, offset_of};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A greater dwSize is not the size of a structure: none of ours will ever be that long.
const MAX_STRUCT_SIZE: usize = 4096;

/// Copies a structure that begins with its size. Fields that an older caller's structure lacks are
/// zero in the copy. What a newer caller's structure has beyond ours must be zero.
///
/// # Safety
/// `pointer` is null or points at as many octets as the DWORD there says. All-zero octets and
/// those at `pointer` are values of `T`.
pub(super) unsafe fn sized<T: Copy>(
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
pub(super) fn refused(config: &_MGM_HOST_CONFIG, error: Error) -> Error {
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
pub(super) unsafe fn settings(config: &_MGM_HOST_CONFIG) -> Result<Settings, Error> {
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
