//! libmgm: the multicast group manager of `mgm.h`, as a C library written in Rust.
//!
//! C programs use `include/mgm.h` and `include/mgm_host.h`; this page is for whoever works on the
//! library. `docs/DESIGN.md` tells how it is cut and what was decided.
//!
//! Every module uses only modules below it in this table.
//!
//! | module | what it is |
//! |---|---|
//! | [`ffi`] | the C functions and types, as thin as can be |
//! | [`remote`] | clients in other processes: the host's side and theirs |
//! | [`shell`] | the group manager at work: lock, ask the core, unlock, perform |
//! | [`forwarder`] | the forwarding planes: memory, kernel, custom |
//! | `control` | the socket that serves the state to administrators |
//! | [`core`] | the rules: pure, no I/O, no clock, no lock |
//! | `sys` | system calls, threads, the lock; the facade that a scheduler replaces in tests |
//! | [`error`] | what went wrong, as a code and as a line |
//! | [`handle`] | what C holds instead of an id |
//! | [`log`] | lines for the log, and how often they are written |
//! | [`types`] | the words that everybody speaks: addresses, flows, interfaces, routes |

mod control;
pub mod core;
pub mod error;
pub mod ffi;
pub mod forwarder;
pub mod handle;
pub mod log;
pub mod remote;
pub mod shell;
mod sys;
pub mod types;
