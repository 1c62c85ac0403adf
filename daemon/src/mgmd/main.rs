//! mgmd: MgmHostStart and nothing more. A host for routing protocols in processes of their own.

mod options;
mod systemd;

use mgm::ffi::host::{MgmHostStart, MgmHostStop};
use mgm::ffi::types::{_MGM_HOST_CONFIG, MGM_FORWARDER_KERNEL};
use mgm_daemon::http;
use options::{CONTROL, Options, SERVE};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::error::Error;
use std::ffi::CString;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mgmd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    let (forwarder, table) = options::forwarder(options.forwarder.as_deref().unwrap_or("kernel"))?;
    let serve = options.serve.unwrap_or_else(|| SERVE.into());
    let control = options.control.unwrap_or_else(|| CONTROL.into());
    let metrics = options.metrics.as_deref().map(http::address).transpose()?;
    // A port that is taken ends it before anything else has begun.
    let metrics = metrics.map(http::listen).transpose()?;
    make_directory(&serve)?;
    make_directory(&control)?;
    let kernel = forwarder == MGM_FORWARDER_KERNEL;
    // Before anything else opens descriptors: the first of them are systemd's.
    let socket = if kernel { Some(systemd::multicast_socket()?) } else { None };
    keep_capabilities(kernel)?;
    // From here on these signals wait for the thread below.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;

    let serve_path = CString::new(serve.as_os_str().as_bytes())?;
    let control_path = CString::new(control.as_os_str().as_bytes())?;
    // SAFETY: numbers and nullable pointers only, for which all zeros is a value.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as u32;
    config.dwForwarder = forwarder;
    config.dwTableId = table;
    config.dwMaxMfes = options.max_mfes.unwrap_or(0);
    config.dwLogLevel = options::log_level(options.log.as_deref().unwrap_or("info"))?;
    config.pszControlPath = control_path.as_ptr();
    config.pszServePath = serve_path.as_ptr();
    config.dwHoldSeconds = options.hold.unwrap_or(0);
    config.dwMulticastSocket = socket.as_ref().map_or(0, systemd::Socket::number);
    // SAFETY: the configuration and its strings outlive the call.
    if unsafe { MgmHostStart(&raw const config) } != 0 {
        return Err("not started; the line before says why".into());
    }
    if let Some(socket) = &socket {
        socket.store();
    }
    if let Some(listener) = metrics {
        http::serve(listener, control)?;
    }
    let (send, ended) = channel();
    thread::spawn(move || signals.forever().next().map(|signal| send.send(signal)));
    systemd::ready();
    let signal = loop {
        match ended.recv_timeout(systemd::watchdog_interval()) {
            Ok(signal) => break signal,
            Err(RecvTimeoutError::Timeout) => systemd::alive(),
            Err(RecvTimeoutError::Disconnected) => return Err("no signals can be received".into()),
        }
    };
    systemd::stopping();
    eprintln!("mgmd: signal {signal}: ending");
    if socket.as_ref().is_some_and(systemd::Socket::is_kept) {
        // The kernel goes on forwarding for whoever gets the socket next: no MgmHostStop, which
        // would take its entries along.
        return Ok(());
    }
    if MgmHostStop() == 0 { Ok(()) } else { Err("MgmHostStop failed".into()) }
}

/// The directory of a socket, where it is not there yet.
fn make_directory(path: &Path) -> Result<(), Box<dyn Error>> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
    made.map_err(|error| format!("{}: {error}", directory.display()).into())
}

/// Drops every capability but those for the multicast routing socket and its devices.
fn keep_capabilities(kernel: bool) -> Result<(), Box<dyn Error>> {
    use caps::{CapSet, Capability, CapsHashSet};
    let mut kept = CapsHashSet::new();
    if kernel {
        kept.extend([Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW]);
    }
    let has = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = kept.intersection(&has).copied().collect();
    if has.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::read(None, CapSet::Bounding)?.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    Ok(())
}
