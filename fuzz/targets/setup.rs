//! How the library is set up: the environment's variables, and every field of MGM_HOST_CONFIG.
//!
//! What is allowed is written down here once more, from docs/RULES.md and mgm_host.h. Anything else must
//! be refused with the documented code, naming the variable, and must leave nothing running.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mgm::error::{Error, StartError, code};
use mgm::ffi::entry::MgmRegisterMProtocol;
use mgm::ffi::host::{MgmHostStart, MgmHostStop};
use mgm::ffi::types::{
    _MGM_HOST_CONFIG, _MGM_HOST_FORWARDER, _MGM_ROUTE, _MIB_IPMCAST_OIF, _ROUTING_PROTOCOL_CONFIG,
    BYTE, DWORD, MGM_HOST_CONFIG, PVOID, ULONGLONG,
};
use mgm::shell::settings::{ForwarderChoice, Settings};
use std::ffi::{CStr, CString, OsStr, c_char};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Once, OnceLock};

// ---- the environment ----

const VARIABLES: [&str; 7] = [
    "MGM_FORWARDER",
    "MGM_LOG",
    "MGM_MAX_MFES",
    "MGM_CONTROL",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Values from which the fuzzer's own begin; one of no octets more is used as it is.
const BEGINNINGS: [&str; 16] = [
    "",
    "memory",
    "kernel",
    "kernel:",
    "kernel:7",
    "off",
    "error",
    "warn",
    "info",
    "debug",
    "trace",
    "0",
    "1",
    "4294967295",
    "999999999",
    "mgm",
];

/// A decimal number without a sign.
fn number(text: &[u8]) -> Option<u128> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let add = |sum: u128, digit: &u8| sum.saturating_mul(10).saturating_add((digit - b'0').into());
    digits.then(|| text.iter().fold(0, add))
}

#[derive(Debug, PartialEq)]
enum Plane {
    Memory,
    Kernel(u32),
}

fn plane(value: &[u8]) -> Option<Plane> {
    match value {
        b"memory" => Some(Plane::Memory),
        b"kernel" => Some(Plane::Kernel(0)),
        _ => match number(value.strip_prefix(b"kernel:")?)? {
            table @ 1..=999_999_999 => Some(Plane::Kernel(table as u32)),
            _ => None,
        },
    }
}

/// Whether a value is allowed.
type Allowed<'a> = &'a dyn Fn(&[u8]) -> bool;

/// Which of the first four variables have no allowed value.
fn refused(values: &[Option<Vec<u8>>; 7]) -> Vec<&'static str> {
    let levels = [&b"off"[..], b"error", b"warn", b"info", b"debug", b"trace"];
    let allowed: [Allowed<'_>; 4] = [
        &|v| plane(v).is_some(),
        &|v| levels.contains(&v),
        &|v| number(v).is_some_and(|n| n > 0 && n <= u32::MAX.into()),
        &|v| !v.is_empty(),
    ];
    let checked = VARIABLES.into_iter().zip(values).zip(allowed);
    checked
        .filter(|((_, value), allowed)| value.as_ref().is_some_and(|v| !allowed(v)))
        .map(|((name, _), _)| name)
        .collect()
}

fn environment(mut octets: &[u8]) {
    let mut values: [Option<Vec<u8>>; 7] = Default::default();
    while let [which, length, rest @ ..] = octets {
        let (own, rest) = rest.split_at(rest.len().min(usize::from(*length & 15)));
        octets = rest;
        let mut value = BEGINNINGS[usize::from(length >> 4)].as_bytes().to_vec();
        value.extend(own.iter().filter(|octet| **octet != 0));
        values[usize::from(*which) % 7] = Some(value);
    }
    for (name, value) in VARIABLES.into_iter().zip(&values) {
        // SAFETY: no other thread reads the environment: nothing runs between two inputs.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, OsStr::from_bytes(value)),
                None => std::env::remove_var(name),
            }
        }
    }
    let refused = refused(&values);
    let kind = values[0].as_ref().map_or(Some(Plane::Memory), |v| plane(v));
    match Settings::from_env() {
        Ok(settings) => {
            assert!(refused.is_empty(), "{refused:?} should have been refused");
            let got = match settings.forwarder {
                ForwarderChoice::Memory(_) => Plane::Memory,
                ForwarderChoice::Kernel { table } => Plane::Kernel(table),
                ForwarderChoice::Custom(_) => panic!("nobody gave a custom forwarder"),
            };
            assert_eq!(Some(got), kind);
            let level = values[1].as_deref().unwrap_or(b"error");
            assert_eq!(settings.log_level.name().as_bytes(), level);
            let most = values[2].as_ref().and_then(|v| number(v)).unwrap_or(1_048_576);
            assert_eq!(u128::from(settings.limits().max_mfes), most);
            let path = settings.control_path.as_ref().map(|path| path.as_os_str().as_bytes());
            assert_eq!(path, values[3].as_deref());
            if let Some(passed) = settings.multicast_socket {
                assert!(passed >= 3 && kind != Some(Plane::Memory));
            }
        }
        Err(error) => {
            let Error::Start(StartError::BadSetting { name, .. }) = error else {
                panic!("{error}");
            };
            assert!(refused.contains(&name), "{name} is allowed: {values:?}");
            assert_eq!(error.code(), code::ERROR_CAN_NOT_COMPLETE);
            let text = error.to_string();
            assert!(text.contains(name) && text.contains("allowed"), "{text}");
        }
    }
    // The first registration starts the library from it.
    if kind == Some(Plane::Kernel(0)) || values[3].as_ref().is_some_and(|v| !v.is_empty()) {
        return;
    }
    if matches!(kind, Some(Plane::Kernel(_))) && refused.is_empty() {
        return;
    }
    // SAFETY: all zero is a configuration without callbacks.
    let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
    let (got, lines) = with_standard_error(|| {
        let mut handle = std::ptr::null_mut();
        // SAFETY: both pointers are valid.
        let got = unsafe { MgmRegisterMProtocol(&mut callbacks, 100, 1, &mut handle) };
        assert_eq!(handle.is_null(), got != code::NO_ERROR, "rules A2, A3");
        assert_eq!(MgmHostStop() == code::NO_ERROR, got == code::NO_ERROR, "left running");
        got
    });
    if refused.is_empty() {
        assert_eq!(got, code::NO_ERROR);
    } else {
        assert_eq!(got, code::ERROR_CAN_NOT_COMPLETE);
        assert!(refused.iter().any(|name| lines.contains(name)), "{refused:?}: {lines}");
    }
}

/// Runs with standard error in a file, and gives what was written.
fn with_standard_error<R>(run: impl FnOnce() -> R) -> (R, String) {
    static FILE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
    static HOOK: Once = Once::new();
    let (file, before) = FILE.get_or_init(|| {
        // SAFETY: the name is a string; both calls give descriptors of our own.
        unsafe {
            let file = libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC);
            let before = libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 3);
            assert!(file >= 0 && before >= 0);
            (
                <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(file),
                <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(before),
            )
        }
    });
    // SAFETY: takes no pointers.
    let restore = || unsafe { libc::dup2(before.as_raw_fd(), 2) };
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            hook(panic);
        }));
    });
    // SAFETY: takes no pointers.
    unsafe {
        libc::ftruncate(file.as_raw_fd(), 0);
        libc::lseek(file.as_raw_fd(), 0, libc::SEEK_SET);
        libc::dup2(file.as_raw_fd(), 2);
    }
    let result = run();
    restore();
    let mut text = vec![0u8; 4096];
    // SAFETY: the kernel writes at most as many octets as the buffer has.
    let length = unsafe { libc::pread(file.as_raw_fd(), text.as_mut_ptr().cast(), text.len(), 0) };
    text.truncate(usize::try_from(length).expect("a file can be read"));
    (result, String::from_utf8_lossy(&text).into_owned())
}

// ---- MGM_HOST_CONFIG ----

static CONTEXT: u8 = 0;
static LINES: AtomicU32 = AtomicU32::new(0);
/// Whether there is a network namespace of our own, where the kernel forwarder can do no harm.
static NAMESPACE: AtomicBool = AtomicBool::new(false);

fn context() -> PVOID {
    (&raw const CONTEXT).cast_mut().cast()
}

unsafe extern "C-unwind" fn find_route(_: PVOID, _: DWORD, _: *mut _MGM_ROUTE) -> DWORD {
    code::ERROR_NOT_FOUND
}

unsafe extern "C-unwind" fn transmit(_: PVOID, _: DWORD, _: DWORD, _: *const BYTE, _: DWORD) {}

unsafe extern "C-unwind" fn log(with: PVOID, level: DWORD, line: *const c_char) {
    assert!(with == context() || with.is_null());
    assert!((1..=5).contains(&level));
    // SAFETY: the library gives a string that ends with NUL.
    let line = unsafe { CStr::from_ptr(line) };
    assert!(!line.is_empty() && line.count_bytes() < 512 && line.to_str().is_ok());
    LINES.fetch_add(1, SeqCst);
}

unsafe extern "C-unwind" fn clock(_: PVOID) -> ULONGLONG {
    77
}

unsafe extern "C-unwind" fn set_mfe(
    _: PVOID,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: *const _MIB_IPMCAST_OIF,
) -> DWORD {
    code::NO_ERROR
}

unsafe extern "C-unwind" fn delete_mfe(_: PVOID, _: DWORD, _: DWORD) -> DWORD {
    code::NO_ERROR
}

/// A structure as its octets, with as many behind it as a newer caller's would have.
struct Image {
    octets: Vec<u8>,
}

impl Image {
    /// `known`: what the library knows of it. The first four octets are its size.
    fn new<T: Copy>(value: &T, size: u32, tail: Option<(usize, u8)>) -> Self {
        // SAFETY: a structure that was all zero before its fields were set: no octet of it is
        // uninitialised.
        let known =
            unsafe { std::slice::from_raw_parts((&raw const *value).cast::<u8>(), size_of::<T>()) };
        // A caller promises as many octets as the size says; beyond the greatest there may be, the
        // library must not believe it. Address sanitizer sees who reads further.
        let there = if size > 4096 { known.len() } else { size.max(4) as usize };
        let mut octets = known.to_vec();
        octets.resize(there, 0);
        if let Some((at, value)) = tail
            && at < octets.len()
            && at >= known.len()
        {
            octets[at] = value;
        }
        octets[..4].copy_from_slice(&size.to_ne_bytes());
        octets.shrink_to_fit();
        Self { octets }
    }

    /// Whether the size is allowed and everything behind what is known is zero; and what of the
    /// structure counts: what it is short of is zero.
    fn read<T: Copy>(&self, least: usize) -> Option<T> {
        let size = u32::from_ne_bytes(self.octets[..4].try_into().unwrap()) as usize;
        let behind = self.octets.get(size_of::<T>()..).unwrap_or(&[]);
        if size < least || size > 4096 || behind.iter().any(|octet| *octet != 0) {
            return None;
        }
        let mut whole = self.octets.clone();
        whole.resize(size_of::<T>().max(whole.len()), 0);
        // SAFETY: as many octets; cut off within a pointer it is one that is never followed.
        Some(unsafe { whole.as_ptr().cast::<T>().read_unaligned() })
    }
}

/// A number out of one octet: small ones, and some that are not.
fn word(octet: u8) -> u32 {
    match octet {
        0..=199 => octet.into(),
        200..=231 => 1 << (octet - 200),
        232..=254 => u32::MAX - u32::from(octet - 232),
        255 => 1_000_000_000,
    }
}

fn configuration(octets: &[u8], directory: &std::path::Path) {
    // SAFETY: all zero is a value of both: DWORDs, nullable pointers and functions.
    let (mut config, mut table) = unsafe {
        (std::mem::zeroed::<_MGM_HOST_CONFIG>(), std::mem::zeroed::<_MGM_HOST_FORWARDER>())
    };
    config.dwLogLevel = u32::MAX;
    table.pfnSetMfe = Some(set_mfe);
    table.pfnDeleteMfe = Some(delete_mfe);
    let (mut size, mut tail) = (size_of::<_MGM_HOST_CONFIG>() as u32, None);
    let (mut table_size, mut table_tail) = (size_of::<_MGM_HOST_FORWARDER>() as u32, None);
    let (mut path, mut has_table) = (None, false);
    for change in octets.chunks_exact(2) {
        let (field, octet) = (change[0], change[1]);
        match field % 20 {
            0 => size = word(octet),
            1 => config.dwForwarder = word(octet),
            2 => {
                config.dwTableId =
                    [0, 1, 2, 253, 999_999_999, 1_000_000_000, u32::MAX, 7][usize::from(octet & 7)]
            }
            3 => config.dwMaxMfes = word(octet),
            4 => config.pvContext = if octet & 1 == 0 { std::ptr::null_mut() } else { context() },
            5 => config.pfnRoute = (octet & 1 != 0).then_some(find_route),
            6 => config.pfnTransmit = (octet & 1 != 0).then_some(transmit),
            7 => config.pfnLog = (octet & 1 != 0).then_some(log),
            8 => has_table = octet & 1 != 0,
            9 => path = Some(octet),
            10 => config.pfnClock = (octet & 1 != 0).then_some(clock),
            11 => config.dwMaxNewMfesPerSecond = word(octet),
            12 => config.dwMaxNewMfesPerSource = word(octet),
            13 => config.dwLogLevel = word(octet),
            14 => config.dwFlags = word(octet),
            15 => config.dwMulticastSocket = word(octet),
            16 => tail = Some((usize::from(octet), 1 + (field >> 4))),
            17 => table_size = word(octet),
            18 => {
                table.pfnSetMfe = (octet & 1 != 0).then_some(set_mfe);
                table.pfnDeleteMfe = (octet & 2 != 0).then_some(delete_mfe);
            }
            _ => table_tail = Some((usize::from(octet), 1)),
        }
    }
    if config.pfnLog.is_none() {
        config.dwLogLevel = u32::MAX; // standard error is the fuzzer's
    }
    // All of them below a directory of our own.
    let name: Option<Vec<u8>> = path.map(|octet| match octet {
        0 => Vec::new(),
        1 => b"control".to_vec(),
        2 => b"no/such/directory".to_vec(),
        3 => vec![b'a'; 300],
        other => vec![b'x', other.max(b'0')],
    });
    let string = name.as_ref().map(|name| {
        let mut whole = directory.as_os_str().as_bytes().to_vec();
        whole.push(b'/');
        whole.extend(name);
        CString::new(if name.is_empty() { Vec::new() } else { whole }).expect("no NUL")
    });
    config.pszControlPath = string.as_ref().map_or(std::ptr::null(), |string| string.as_ptr());
    let table = Image::new(&table, table_size, table_tail);
    config.pForwarder = if has_table { table.octets.as_ptr().cast() } else { std::ptr::null() };
    let image = Image::new(&config, size, tail);
    // A size that ends within a pointer would make a pointer that nobody promised anything of.
    let whole_fields = [56usize, 64, 72, 76, 80, 84, 88, 92, 96];
    if (57..96).contains(&size) && !whole_fields.contains(&(size as usize)) {
        return;
    }

    let wanted = wanted(&image, &table);
    if wanted.is_none() && !NAMESPACE.load(SeqCst) {
        return;
    }
    LINES.store(0, SeqCst);
    // MGM_HOST_USE_ENVIRONMENT would read what an earlier input left.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"MGM_")) {
        // SAFETY: no other thread reads the environment now.
        unsafe { std::env::remove_var(name) };
    }
    let start = || {
        // SAFETY: as many octets as the size says, or a size that is refused; the string and the
        // table live as long as the call.
        unsafe { MgmHostStart(image.octets.as_ptr().cast::<MGM_HOST_CONFIG>()) }
    };
    let (got, _) = with_standard_error(start);
    let documented = [code::NO_ERROR, code::ERROR_INVALID_PARAMETER, code::ERROR_CAN_NOT_COMPLETE];
    assert!(documented.contains(&got), "{got}");
    match (wanted, &name) {
        (Some(code::NO_ERROR), None) => assert_eq!(got, code::NO_ERROR),
        (Some(code::NO_ERROR), Some(name)) if name == b"control" => {
            assert!(got == code::NO_ERROR || size < 64);
        }
        // A path that cannot be served, or the kernel: refused or not, but never for an argument.
        (Some(code::NO_ERROR) | None, _) => assert_ne!(got, code::ERROR_INVALID_PARAMETER),
        (Some(code), _) => assert_eq!(got, code, "{config:?}"),
    }
    if got == code::NO_ERROR {
        let (again, _) = with_standard_error(start);
        let refused = [code::ERROR_ALREADY_EXISTS, code::ERROR_INVALID_PARAMETER];
        assert!(refused.contains(&again), "{again}");
        assert_eq!(MgmHostStop(), code::NO_ERROR);
    }
    let lines = LINES.load(SeqCst);
    let (stopped, _) = with_standard_error(|| MgmHostStop());
    assert_eq!(stopped, code::ERROR_CAN_NOT_COMPLETE, "left running");
    assert_eq!(LINES.load(SeqCst), lines, "the host's log is used after its end");
    let left = std::fs::read_dir(directory).expect("our directory").count();
    assert_eq!(left, 0, "files are left behind");
}

/// The code that a configuration must give; None: the kernel decides.
fn wanted(image: &Image, table: &Image) -> Option<u32> {
    const BAD: Option<u32> = Some(code::ERROR_INVALID_PARAMETER);
    let least = offset_of!(_MGM_HOST_CONFIG, pszControlPath);
    let Some(config) = image.read::<_MGM_HOST_CONFIG>(least) else { return BAD };
    if config.dwFlags > 1 || !(config.dwLogLevel <= 5 || config.dwLogLevel == u32::MAX) {
        return BAD;
    }
    let path = config.pszControlPath;
    // SAFETY: null, or the string that the caller made.
    if !path.is_null() && unsafe { *path } == 0 {
        return BAD;
    }
    // "Others: 0", "Others: NULL": never another forwarder than the one whose fields are set.
    let kernels = config.dwTableId != 0 || config.dwMulticastSocket != 0;
    let customs = !config.pForwarder.is_null();
    match config.dwForwarder {
        0 if kernels || customs => BAD,
        0 => Some(code::NO_ERROR),
        1 if customs || config.dwTableId > 999_999_999 => BAD,
        1 => None,
        2 if kernels || !customs => BAD,
        2 => {
            let least = offset_of!(_MGM_HOST_FORWARDER, pfnGetMfeCounters);
            let Some(table) = table.read::<_MGM_HOST_FORWARDER>(least) else { return BAD };
            let complete = table.pfnSetMfe.is_some() && table.pfnDeleteMfe.is_some();
            if complete { Some(code::NO_ERROR) } else { BAD }
        }
        _ => BAD,
    }
}

// ---- both ----

static DIRECTORY: OnceLock<std::path::PathBuf> = OnceLock::new();

fn prepare() {
    // SAFETY: takes no pointers.
    let own = unsafe {
        libc::unshare(libc::CLONE_NEWNET) == 0
            || libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) == 0
    };
    NAMESPACE.store(own, SeqCst);
    if !own {
        eprintln!("skipped: no network namespace can be made: setup leaves the kernel out");
    }
    let directory = std::env::temp_dir().join(format!("mgm-fuzz-setup.{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory of our own");
    DIRECTORY.set(directory).expect("prepared once");
    extern "C" fn clean() {
        if let Some(directory) = DIRECTORY.get() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
    // SAFETY: a function of the right type.
    unsafe { libc::atexit(clean) };
}

fuzz_target!(init: prepare(), |octets: &[u8]| {
    match octets {
        [0..=127, rest @ ..] => environment(rest),
        [_, rest @ ..] => configuration(rest, DIRECTORY.get().expect("prepared")),
        [] => {}
    }
});
