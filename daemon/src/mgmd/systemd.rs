//! What mgmd says to systemd, and the socket that systemd keeps for it over a restart.

use mgm::ffi::entry::MgmGetProtocolOnInterface;
use sd_notify::NotifyState;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use std::error::Error;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// The name of the socket in systemd's store; see docs/KERNEL.md.
const NAME: &str = "mgm";

/// How often the main thread looks where there is no watchdog.
const IDLE: Duration = Duration::from_secs(3600);

/// The multicast routing socket, which systemd may keep over a restart.
pub struct Socket {
    descriptor: OwnedFd,
    kept: AtomicBool,
}

/// The socket of the run before, or a new one.
pub fn multicast_socket() -> Result<Socket, Box<dyn Error>> {
    let passed = sd_notify::listen_fds_with_names()?;
    let mut descriptor = None;
    for (number, name) in passed {
        // SAFETY: the numbers are those of descriptors that systemd passed to this process, each once.
        let given = unsafe { OwnedFd::from_raw_fd(number) };
        if name == NAME && descriptor.is_none() {
            descriptor = Some(given);
        }
    }
    let descriptor = match descriptor {
        Some(descriptor) => descriptor,
        None => RawSocket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(2)))
            .map_err(|error| {
                format!("the multicast routing socket: {error}; CAP_NET_RAW and CAP_NET_ADMIN are needed")
            })?
            .into(),
    };
    Ok(Socket { descriptor, kept: AtomicBool::new(false) })
}

impl Socket {
    /// dwMulticastSocket.
    pub fn number(&self) -> u32 {
        self.descriptor.as_raw_fd() as u32
    }

    /// Gives it to systemd to keep, where it runs under systemd with a store. Versions before 254 do not
    /// say whether there is one; without one the socket ends with this process.
    pub fn store(&self) {
        let has_store = std::env::var_os("NOTIFY_SOCKET").is_some()
            && std::env::var("FDSTORE").map_or(true, |most| most != "0");
        let state = [NotifyState::FdStore, NotifyState::FdName(NAME)];
        let kept =
            has_store && sd_notify::notify_with_fds(&state, &[self.descriptor.as_fd()]).is_ok();
        self.kept.store(kept, Relaxed);
    }

    /// Whether systemd keeps it.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Relaxed)
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(state);
}

/// Clients can connect.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How long to wait between two signs of life.
pub fn watchdog_interval() -> Duration {
    sd_notify::watchdog_enabled().map_or(IDLE, |limit| limit / 2)
}

/// A sign of life: the group manager answers, so its locks are free.
pub fn alive() {
    let (mut protocol, mut component) = (0, 0);
    // SAFETY: both outlive the call. That nobody owns interface 0 is an answer as well.
    unsafe { MgmGetProtocolOnInterface(0, 0, &raw mut protocol, &raw mut component) };
    tell(&[NotifyState::Watchdog]);
}
