//! The C border: everything that C sees, and every unsafe line of it.
//!
//! A function here converts and checks its arguments, makes one call into [`crate::shell::manager`] and maps
//! the error to a code. [`entry`] and [`reads`] have the 17 functions of mgm.h, [`host`] the eight
//! of mgm_host.h.
//!
//! Those that take pointers say under *Safety* what they require of them; a C program reads the same
//! text in the header, as a precondition. Handles are checked, so a function that takes no pointer is
//! safe.

pub mod entry;
pub mod host;
pub mod reads;
pub mod types;

mod buffer;
mod callbacks;
mod config;
mod convert;
mod fork;
mod forwarder;
mod guard;
mod manager;
mod records;
mod returning;
mod sizes;
mod state;

use callbacks::AnyClient;

/// The one group manager of the process.
static MGM: crate::shell::manager::Mgm<AnyClient> =
    crate::shell::manager::Mgm::with_service(Some(manager::serve));
