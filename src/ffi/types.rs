//! The types of the C interface, spelled as on Windows.
//!
//! Each file below becomes one part of a header: `tests/header.rs` has cbindgen write it out and
//! puts it into its place in `mgm.h.in` or `mgm_host.h.in`. *This* file declares the base types. The
//! headers declare them by hand, with guards, because a real windows.h may have them.
#![expect(non_camel_case_types, reason = "the names that windows.h gives them")]
#![expect(non_snake_case, reason = "the names that windows.h gives the fields")]

pub mod host;
pub mod mgm;
pub mod mib;
pub mod rtm;

pub use host::*;
pub use mgm::*;
pub use mib::*;
pub use rtm::*;

use std::ffi::c_void;

/// 8 bits.
pub type BYTE = u8;
/// A pointer to octets.
pub type PBYTE = *mut BYTE;
/// 16 bits.
pub type USHORT = u16;
/// 32 bits, signed.
pub type INT = i32;
/// 32 bits.
pub type UINT = u32;
/// 32 bits on every platform: never `unsigned long`, which has 64 on 64-bit Linux.
pub type DWORD = u32;
/// A pointer to one or more DWORDs.
pub type PDWORD = *mut DWORD;
/// 32 bits on every platform, as DWORD.
pub type ULONG = u32;
/// 64 bits.
pub type ULONGLONG = u64;
/// 32 bits; 0 is FALSE and everything else is true.
pub type BOOL = i32;
/// An untyped pointer.
pub type PVOID = *mut c_void;
/// A handle: as wide as a pointer, never to be followed.
pub type HANDLE = *mut c_void;
/// The kinds of group enumeration: an `int`-sized C enumeration, taken as a number because a
/// caller may pass any (rule A1). ANY_SOURCE is 0, ALL_SOURCES 1.
pub type MGM_ENUM_TYPES = u32;

/// A moment, in 100 ns since 1601.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FILETIME {
    /// The lower 32 bits.
    pub dwLowDateTime: DWORD,
    /// The upper 32 bits.
    pub dwHighDateTime: DWORD,
}

/// Asserts, while compiling, a type's size and the offsets of its fields.
///
/// Two numbers stand for 64-bit and 32-bit platforms, one where both agree.
macro_rules! layout {
    ($type:ident, $size:tt, { $($field:ident $offset:tt),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$type>() == layout!(@pick $size));
            $(assert!(std::mem::offset_of!($type, $field) == layout!(@pick $offset));)*
        };
    };
    (@pick ($wide:literal / $narrow:literal)) => {
        if cfg!(target_pointer_width = "64") { $wide } else { $narrow }
    };
    (@pick $both:literal) => { $both };
}
use layout;

layout!(FILETIME, 8, { dwLowDateTime 0, dwHighDateTime 4 });
