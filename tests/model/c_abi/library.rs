//! Loading libmgm.so and finding its functions by name.

use super::HostConfig;
use super::callbacks::Config;
use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// MgmAdd- and MgmDeleteGroupMembershipEntry.
pub type Membership = unsafe extern "C" fn(usize, u32, u32, u32, u32, u32, u32, u32) -> u32;
/// MgmGetMfe; MgmGetMfeStats with dwFlags after it.
pub type GetOne = unsafe extern "C" fn(*mut u8, *mut u32, *mut u8) -> u32;
pub type GetOneStats = unsafe extern "C" fn(*mut u8, *mut u32, *mut u8, u32) -> u32;
/// MgmGetFirstMfe, MgmGetFirstMfeStats.
pub type GetFirst = unsafe extern "C" fn(*mut u32, *mut u8, *mut u32) -> u32;
pub type GetFirstStats = unsafe extern "C" fn(*mut u32, *mut u8, *mut u32, u32) -> u32;
/// MgmGetNextMfe, MgmGetNextMfeStats.
pub type GetNext = unsafe extern "C" fn(*mut u8, *mut u32, *mut u8, *mut u32) -> u32;
pub type GetNextStats = unsafe extern "C" fn(*mut u8, *mut u32, *mut u8, *mut u32, u32) -> u32;

/// The functions of mgm.h and mgm_host.h. HANDLE is pointer-sized and opaque: a usize here.
pub struct Library {
    pub register: unsafe extern "C" fn(*const Config, u32, u32, *mut usize) -> u32,
    pub deregister: unsafe extern "C" fn(usize) -> u32,
    pub take: unsafe extern "C" fn(usize, u32, u32) -> u32,
    pub release: unsafe extern "C" fn(usize, u32, u32) -> u32,
    pub owner: unsafe extern "C" fn(u32, u32, *mut u32, *mut u32) -> u32,
    pub add: Membership,
    pub delete: Membership,
    pub get_mfe: GetOne,
    pub get_first: GetFirst,
    pub get_next: GetNext,
    pub get_mfe_stats: GetOneStats,
    pub get_first_stats: GetFirstStats,
    pub get_next_stats: GetNextStats,
    pub set_mfe: unsafe extern "C" fn(usize, *mut u8) -> u32,
    pub start_enum: unsafe extern "C" fn(usize, u32, *mut usize) -> u32,
    pub next_enum: unsafe extern "C" fn(usize, *mut u32, *mut u8, *mut u32) -> u32,
    pub end_enum: unsafe extern "C" fn(usize) -> u32,
    pub host_start: unsafe extern "C" fn(*const HostConfig) -> u32,
    pub host_stop: unsafe extern "C" fn() -> u32,
    pub receive: unsafe extern "C" fn(u32, u32, *const u8, u32) -> u32,
    pub route_changed: unsafe extern "C" fn(u32, u32) -> u32,
    pub interface_down: unsafe extern "C" fn(u32, u32) -> u32,
    pub client_fd: unsafe extern "C" fn(usize, *mut i32) -> u32,
    pub dispatch: unsafe extern "C" fn(usize) -> u32,
}

/// cargo builds the cdylib along with the tests, beside them.
fn path() -> PathBuf {
    let mut directory = std::env::current_exe().expect("the path of this test");
    directory.pop();
    let beside = directory.join("libmgm.so");
    if beside.exists() {
        return beside;
    }
    directory.pop();
    directory.join("libmgm.so")
}

/// A function of a loaded library that is never closed.
///
/// # Safety
/// `F` is the type of the function of this name.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: the library is loaded; the name ends in NUL.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!symbol.is_null(), "libmgm.so does not export {name:?}");
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
    // SAFETY: a pointer from dlsym may be read as a function pointer; the caller vouches for its
    // type.
    unsafe { std::mem::transmute_copy(&symbol) }
}

/// The library, loaded once.
pub fn loaded() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let path = path();
        let name = CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
        // SAFETY: loading libmgm.so runs no code of its own but libstd's; the name ends in NUL.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "dlopen {}", path.display());
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the headers give the function of this name the type of its field.
                unsafe { function(library, $name) }
            };
        }
        Library {
            register: function!(c"MgmRegisterMProtocol"),
            deregister: function!(c"MgmDeRegisterMProtocol"),
            take: function!(c"MgmTakeInterfaceOwnership"),
            release: function!(c"MgmReleaseInterfaceOwnership"),
            owner: function!(c"MgmGetProtocolOnInterface"),
            add: function!(c"MgmAddGroupMembershipEntry"),
            delete: function!(c"MgmDeleteGroupMembershipEntry"),
            get_mfe: function!(c"MgmGetMfe"),
            get_first: function!(c"MgmGetFirstMfe"),
            get_next: function!(c"MgmGetNextMfe"),
            get_mfe_stats: function!(c"MgmGetMfeStats"),
            get_first_stats: function!(c"MgmGetFirstMfeStats"),
            get_next_stats: function!(c"MgmGetNextMfeStats"),
            set_mfe: function!(c"MgmSetMfe"),
            start_enum: function!(c"MgmGroupEnumerationStart"),
            next_enum: function!(c"MgmGroupEnumerationGetNext"),
            end_enum: function!(c"MgmGroupEnumerationEnd"),
            host_start: function!(c"MgmHostStart"),
            host_stop: function!(c"MgmHostStop"),
            receive: function!(c"MgmHostReceive"),
            route_changed: function!(c"MgmHostRouteChanged"),
            interface_down: function!(c"MgmHostInterfaceDown"),
            client_fd: function!(c"MgmHostGetClientFd"),
            dispatch: function!(c"MgmHostDispatch"),
        }
    })
}
