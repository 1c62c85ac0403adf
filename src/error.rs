//! What can go wrong, and the Win32 code C sees for each: one exhaustive match.

use crate::handle;
use crate::log::Level;
use crate::types::{ClientId, ClientName, EnumId, IfKey, SourceGroup};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The Win32 codes of mgm.h's functions.
pub mod code {
    /// Done.
    pub const NO_ERROR: u32 = 0;
    /// Memory ran out; nothing changed.
    pub const ERROR_NOT_ENOUGH_MEMORY: u32 = 8;
    /// An argument is not one of those allowed.
    pub const ERROR_INVALID_PARAMETER: u32 = 87;
    /// The buffer is too small; the needed size was written.
    pub const ERROR_INSUFFICIENT_BUFFER: u32 = 122;
    /// It is there already.
    pub const ERROR_ALREADY_EXISTS: u32 = 183;
    /// There are more rows.
    pub const ERROR_MORE_DATA: u32 = 234;
    /// There are no more rows.
    pub const ERROR_NO_MORE_ITEMS: u32 = 259;
    /// It cannot be done now.
    pub const ERROR_CAN_NOT_COMPLETE: u32 = 1003;
    /// No such thing.
    pub const ERROR_NOT_FOUND: u32 = 1168;

    /// What mgm.h calls a code.
    pub const fn name(code: u32) -> &'static str {
        match code {
            NO_ERROR => "NO_ERROR",
            ERROR_NOT_ENOUGH_MEMORY => "ERROR_NOT_ENOUGH_MEMORY",
            ERROR_INVALID_PARAMETER => "ERROR_INVALID_PARAMETER",
            ERROR_INSUFFICIENT_BUFFER => "ERROR_INSUFFICIENT_BUFFER",
            ERROR_ALREADY_EXISTS => "ERROR_ALREADY_EXISTS",
            ERROR_MORE_DATA => "ERROR_MORE_DATA",
            ERROR_NO_MORE_ITEMS => "ERROR_NO_MORE_ITEMS",
            ERROR_CAN_NOT_COMPLETE => "ERROR_CAN_NOT_COMPLETE",
            ERROR_NOT_FOUND => "ERROR_NOT_FOUND",
            _ => "error",
        }
    }
}

/// Why a call failed. The text is the log line: what was wrong and what was allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A required pointer was null.
    #[error("{0} is NULL")]
    NullPointer(&'static str),
    /// This word is no registered client's handle: it is null, stale, forged or an enumeration's
    /// (rule A3).
    #[error("hProtocol = {0:#x} is not the handle of a registered client")]
    NotAClient(usize),
    /// This word is no open enumeration's handle (rule A3).
    #[error("hEnum = {0:#x} is not the handle of a group enumeration")]
    NotAnEnumeration(usize),
    /// dwFlags has other bits than those allowed, or none.
    #[error("{name} = {value:#x}; allowed: {allowed}")]
    BadValue {
        /// The parameter's name.
        name: &'static str,
        /// What was given.
        value: u32,
        /// The values that are allowed.
        allowed: &'static str,
    },
    /// A text that is none of those allowed.
    #[error("{name} has a value that makes no sense; allowed: {allowed}")]
    BadText {
        /// The parameter's name.
        name: &'static str,
        /// What would have done.
        allowed: &'static str,
    },
    /// A mask that is a range.
    #[error("{name} = {mask}; allowed: 0.0.0.0 where its address is 0.0.0.0, else 255.255.255.255")]
    BadMask {
        /// The parameter's name.
        name: &'static str,
        /// What was given.
        mask: Ipv4Addr,
    },
    /// An address that cannot be a group or a source.
    #[error("{name} = {address}; allowed: {allowed}")]
    BadAddress {
        /// The parameter's name.
        name: &'static str,
        /// What was given.
        address: Ipv4Addr,
        /// The addresses that would have done.
        allowed: &'static str,
    },
    /// (S,*): a source without a group.
    #[error("a source ({0}) without a group; allowed: (S,G), (*,G), (*,*)")]
    SourceWithoutGroup(Ipv4Addr),
    /// A packet that cannot be parsed or must not be forwarded.
    #[error("packet of {size} octets dropped: {reason}")]
    BadPacket {
        /// Its length in octets.
        size: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The pair is registered already.
    #[error("{0} is registered already")]
    AlreadyRegistered(ClientName),
    /// The client must release its interfaces first.
    #[error("the client still owns {0}; release its interfaces before it deregisters")]
    StillOwns(IfKey),
    /// Two threads, each inside a callback, would wait for each other: to deregister each other's
    /// clients, or to stop.
    #[error("a callback on another thread is itself waiting for this thread's callback to end")]
    WouldDeadlock,
    /// This client is on the interface: the caller itself, or one beside which it cannot be there.
    #[error("{0} is taken already, by {1}")]
    AlreadyOwned(IfKey, ClientName),
    /// The client is not on that interface.
    #[error("the client is not on {0}; it must take ownership first")]
    NotOnInterface(IfKey),
    /// Nobody is on that interface.
    #[error("{0} is not known: no client has taken it")]
    UnknownInterface(IfKey),
    /// IGMP's adds and deletes between DISABLE_IGMP and ENABLE_IGMP (rule C3).
    #[error(
        "IGMP is disabled on {0} while its owner changes; add memberships in the enable callback"
    )]
    IgmpDisabled(IfKey),
    /// There is no forwarding entry for it.
    #[error("there is no forwarding entry for {0}")]
    NoSuchMfe(SourceGroup),
    /// Somebody else owns the iif.
    #[error("the client does not own the incoming interface of {0}")]
    NotIifOwner(SourceGroup),
    /// The forwarding plane refused (rule C5).
    #[error("{interface}: {reason}")]
    Forwarder {
        /// The interface it was asked about.
        interface: IfKey,
        /// Why.
        reason: ForwarderError,
    },
    /// The library could not start.
    #[error("{0}")]
    Start(StartError),
    /// A socket cannot be served, so the library could not start.
    #[error("{reason}: {path:?}")]
    SocketNotServed {
        /// Where it was to be served.
        path: PathBuf,
        /// Why not. (In a box, so that other errors take no more than 48 octets.)
        reason: Box<StartError>,
    },
    /// A call failed with this code, and the log has a line for it already.
    #[error("the log says why")]
    Told(u32),
    /// Another thread is starting or stopping the library, and may be waiting for this callback.
    #[error("another thread is starting or stopping the group manager")]
    Changing,
    /// A host is running already.
    #[error("the host runs already; MgmHostStop ends it")]
    AlreadyRunning,
    /// Nothing runs.
    #[error("no host runs; MgmHostStart or the first MgmRegisterMProtocol starts one")]
    NotRunning,
    /// The call is not for the forwarder that runs.
    #[error("not with this forwarder; it is for {0}")]
    OtherForwarder(&'static str),
    /// The call was made inside a function of the host's forwarder.
    #[error("called from inside a function of the host's forwarder, where a program may only read")]
    InsideForwarder,
    /// Something is unfinished that must be done first; a portion of it was carried out. Ask again.
    /// This never reaches a caller.
    #[error("something else must be finished first")]
    Again,
    /// The buffer is too small; `needed` octets are enough.
    #[error("the buffer is too small: {needed} octets are needed")]
    InsufficientBuffer {
        /// The exact size needed, in octets.
        needed: u32,
    },
    /// Memory ran out; nothing changed (rule A4).
    #[error("out of memory; nothing was changed")]
    OutOfMemory,
    /// There are as many clients, or enumerations, as there can be handles.
    #[error("there are {0} at one time at the most, and so many there are; nothing was changed")]
    TooMany(u32),
    /// The reader of the state does not take it.
    #[error("the state could not be written: {0}")]
    NotWritten(std::io::ErrorKind),
    /// A DWORD cannot tell the size of the state's text.
    #[error(
        "the state's text is longer than 4294967294 octets, the most whose size a DWORD can tell; \
         read it in parts: MgmGetFirstMfe and MgmGetNextMfe, or the control socket"
    )]
    StateTooLong,
    /// This process was forked while the library ran.
    #[error("this process was forked from one where the library runs")]
    Forked,
    /// A fault inside the library closed it (rule A5).
    #[error("the library met an internal fault earlier and is closed")]
    Broken,
    /// No host serves at the path that MGM_HOST names (rules P).
    #[error("no host serves at the path in MGM_HOST ({}); start one there, mgmd for example", os_text(*.0))]
    NoHost(i32),
    /// The host has ended while this process was its client (rule P5).
    #[error("the host has gone; MgmRegisterMProtocol connects again when one is back")]
    HostGone,
    /// The host is another version of the library (rule P7).
    #[error(
        "this library speaks versions {} to {} with its host and the host {} to {}, or their records \
         differ; use the same libmgm for both",
        .ours.0, .ours.1, .theirs.0, .theirs.1
    )]
    OtherHostVersion {
        /// The oldest and the newest version that this library speaks.
        ours: (u16, u16),
        /// Those of the host.
        theirs: (u16, u16),
    },
    /// What the host of this client process says.
    #[error("{}", .0.text)]
    FromHost(FromHost),
    /// A function for clients with MGM_DISPATCHED (rules H).
    #[error("the client did not register with MGM_DISPATCHED")]
    NotDispatched,
    /// Rule H7.
    #[error("another thread dispatches this client's callbacks, or the call is inside one of them")]
    Dispatching,
    /// A function for hosts in a process that is a client of one.
    #[error("MGM_HOST is set: this process is a client of a host and cannot be one")]
    ClientOfHost,
}

const _: () = assert!(size_of::<Error>() <= 48, "each result is moved several times");

/// Why a host refused a call: its code for C, how important its line is, and that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromHost {
    /// The code.
    pub code: u32,
    /// How important.
    pub level: Level,
    /// The line.
    pub text: String,
}

impl FromHost {
    /// What a host said. Where there is no memory for its line, that stays empty.
    pub fn new(code: u32, level: Level, said: &str) -> Self {
        let mut text = String::new();
        if text.try_reserve_exact(said.len()).is_ok() {
            text.push_str(said);
        }
        Self { code, level, text }
    }
}

/// Why the library could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// An environment variable or a field of MGM_HOST_CONFIG that makes no sense.
    #[error("{name} has a value that makes no sense; allowed: {allowed}")]
    BadSetting {
        /// The variable or field.
        name: &'static str,
        /// What would have done.
        allowed: &'static str,
    },
    /// The forwarding plane could not start.
    #[error("forwarder: {0}")]
    Forwarder(ForwarderError),
    /// A socket cannot be served.
    #[error("{name}: {reason}")]
    Socket {
        /// Which.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The same, with what the system said.
    #[error("{name}: {doing}: {}", os_text(*.errno))]
    SocketOs {
        /// Which.
        name: &'static str,
        /// What was tried.
        doing: &'static str,
        /// The error number.
        errno: i32,
    },
    /// A thread or a socket of the library's own could not be made.
    #[error("{what}: errno {errno}")]
    Os {
        /// What was attempted.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
}

impl StartError {
    /// Whether memory ran out.
    const fn is_memory(&self) -> bool {
        match self {
            Self::Forwarder(reason) => is_memory(reason),
            Self::Os { errno, .. } | Self::SocketOs { errno, .. } => is_memory_errno(*errno),
            Self::BadSetting { .. } | Self::Socket { .. } => false,
        }
    }
}

impl Error {
    /// Nobody is registered under this id.
    pub fn no_client(id: ClientId) -> Self {
        Self::NotAClient(handle::from_client(id))
    }

    /// No enumeration is open under this id.
    pub fn no_enumeration(id: EnumId) -> Self {
        Self::NotAnEnumeration(handle::from_enumeration(id))
    }

    /// The Win32 code for C.
    pub const fn code(&self) -> u32 {
        use Error as E;
        match self {
            E::NullPointer(_)
            | E::NotAClient(_)
            | E::NotAnEnumeration(_)
            | E::BadValue { .. }
            | E::BadText { .. }
            | E::BadMask { .. }
            | E::BadAddress { .. }
            | E::SourceWithoutGroup(_)
            | E::BadPacket { .. }
            | E::NotOnInterface(_)
            | E::NotIifOwner(_)
            | E::NotDispatched => code::ERROR_INVALID_PARAMETER,
            E::AlreadyRegistered(_) | E::AlreadyOwned(..) | E::AlreadyRunning => {
                code::ERROR_ALREADY_EXISTS
            }
            E::Forwarder { reason, .. } if is_memory(reason) => code::ERROR_NOT_ENOUGH_MEMORY,
            E::Start(reason) if reason.is_memory() => code::ERROR_NOT_ENOUGH_MEMORY,
            E::SocketNotServed { reason, .. } if reason.is_memory() => {
                code::ERROR_NOT_ENOUGH_MEMORY
            }
            E::Told(code) => *code,
            E::StillOwns(_)
            | E::WouldDeadlock
            | E::IgmpDisabled(_)
            | E::Forwarder { .. }
            | E::Start(_)
            | E::SocketNotServed { .. }
            | E::Changing
            | E::NotRunning
            | E::OtherForwarder(_)
            | E::InsideForwarder
            | E::Again
            | E::NotWritten(_)
            | E::StateTooLong
            | E::Forked
            | E::Broken
            | E::NoHost(_)
            | E::HostGone
            | E::Dispatching
            | E::OtherHostVersion { .. }
            | E::ClientOfHost => code::ERROR_CAN_NOT_COMPLETE,
            E::FromHost(host) => host.code,
            E::UnknownInterface(_) | E::NoSuchMfe(_) => code::ERROR_NOT_FOUND,
            E::InsufficientBuffer { .. } => code::ERROR_INSUFFICIENT_BUFFER,
            E::OutOfMemory | E::TooMany(_) => code::ERROR_NOT_ENOUGH_MEMORY,
        }
    }
}

/// The system's words for an error number.
fn os_text(errno: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(errno)
}

impl Error {
    /// How important the log's line about a call that failed so is.
    pub const fn level(&self) -> Level {
        match self {
            Self::InsufficientBuffer { .. }
            | Self::NoSuchMfe(_)
            | Self::BadPacket { .. }
            | Self::HostGone => Level::Debug,
            Self::UnknownInterface(_) => Level::Warn,
            Self::FromHost(host) => host.level,
            _ => Level::Error,
        }
    }
}

/// Whether a forwarding plane failed because memory ran out (rule A4), and did not refuse (rule
/// C5).
const fn is_memory(reason: &ForwarderError) -> bool {
    match reason {
        ForwarderError::OutOfMemory => true,
        ForwarderError::Os { errno, .. } => is_memory_errno(*errno),
        ForwarderError::Refused(_) | ForwarderError::Host(_) => false,
    }
}

/// Whether the kernel had no memory: it says ENOBUFS where it found none for a socket or a message.
const fn is_memory_errno(errno: i32) -> bool {
    matches!(errno, libc::ENOMEM | libc::ENOBUFS)
}

impl From<std::collections::TryReserveError> for Error {
    fn from(_: std::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<hashbrown::TryReserveError> for Error {
    fn from(_: hashbrown::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<smallvec::CollectionAllocErr> for Error {
    fn from(_: smallvec::CollectionAllocErr) -> Self {
        Self::OutOfMemory
    }
}

/// Why a forwarding plane refused. Goes into the log; C sees ERROR_CAN_NOT_COMPLETE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwarderError {
    /// A system call failed.
    #[error("{operation}: {} (errno {errno})", errno_text(*errno))]
    Os {
        /// What was attempted, with its arguments' meaning.
        operation: &'static str,
        /// The error number the system gave.
        errno: i32,
    },
    /// The plane has no room or no such thing; the text says which and what the limit is.
    #[error("{0}")]
    Refused(&'static str),
    /// A custom forwarder's function gave this code.
    #[error("the host's forwarder gave code {0}")]
    Host(u32),
    /// Memory ran out.
    #[error("out of memory")]
    OutOfMemory,
}

/// The system's text for an error number, without allocating.
fn errno_text(errno: i32) -> &'static str {
    match errno {
        libc::EPERM => "operation not permitted",
        libc::EACCES => "permission denied",
        libc::EADDRINUSE => "address in use",
        libc::ENODEV => "no such device",
        libc::ENFILE => "table full",
        libc::EMFILE => "too many open files",
        libc::ENOBUFS => "no buffer space",
        libc::ENOMEM => "out of memory",
        libc::ENOENT => "no such entry",
        libc::EADDRNOTAVAIL => "address not available",
        libc::EINVAL => "invalid argument",
        libc::ENOPROTOOPT => "the kernel lacks this option",
        libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT => "the kernel lacks this protocol",
        libc::ENETUNREACH => "network unreachable",
        libc::EHOSTUNREACH => "host unreachable",
        libc::EBADF => "bad file descriptor",
        _ => "system error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_a_plane_without_memory_did_not_refuse() {
        let interface = IfKey { index: 1, next_hop: Ipv4Addr::UNSPECIFIED };
        let os = |errno| ForwarderError::Os { operation: "MRT_ADD_VIF", errno };
        let memory = [ForwarderError::OutOfMemory, os(libc::ENOMEM), os(libc::ENOBUFS)];
        let refused = [
            ForwarderError::Refused("no such device"),
            ForwarderError::Host(8),
            os(libc::ENFILE),
            os(libc::EPERM),
        ];
        let codes = |reason: &ForwarderError| {
            let take = Error::Forwarder { interface, reason: reason.clone() };
            (take.code(), Error::Start(StartError::Forwarder(reason.clone())).code())
        };
        assert!(memory.iter().all(|reason| codes(reason) == (8, 8)));
        assert!(refused.iter().all(|reason| codes(reason) == (1003, 1003)));
        let thread = |errno| Error::Start(StartError::Os { what: "starting a thread", errno });
        assert_eq!((thread(libc::ENOMEM).code(), thread(libc::EPERM).code()), (8, 1003));
    }
}
