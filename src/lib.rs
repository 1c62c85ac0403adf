//! libmgm: the multicast group manager of `mgm.h`, as a C library written in Rust.
//!
//! C programs use `include/mgm.h` and `include/mgm_host.h`; this page is for whoever works on the
//! library. `docs/DESIGN.md` tells how it is cut and what was decided.
//!
//! | module | what it is |
//! |---|---|
//! | [`core`] | the rules: pure, no I/O, no clock, no lock |
//! | [`mgm`] | the shell around the core: lock, ask, unlock, perform |
//! | `perform`, `deliver`, `context` | performing what the core decided; who calls which client next |
//! | `sync` | locks and atomics, in one place so that tests can put a scheduler's there |
//! | `state`, `control` | what administrators see: JSON, and the socket that serves it |
//! | `waits` | who waits for whose callback to return |
//! | `host_calls` | which threads are inside the host's functions |
//! | `host`, `background`, `timer`, [`settings`] | starting, stopping, time, upcalls |
//! | [`forwarder`] | the forwarding planes: memory, kernel, custom |
//! | [`ffi`] | the C functions and types, as thin as can be |
//! | [`callbacks`] | a client's nine callbacks as a safe trait |
//! | [`handle`] | what C holds instead of an id |
//! | `fault`, `schedules` | for tests alone: faults on purpose, threads under a scheduler |
//! | [`error`], [`log`], `throttle` | what went wrong, as a code and as a line, and how often it is said |

mod background;
pub mod callbacks;
mod context;
mod control;
pub mod core;
mod deliver;
pub mod error;
#[cfg(feature = "fault-injection")]
mod fault;
pub mod ffi;
pub mod forwarder;
pub mod handle;
mod host;
mod host_calls;
pub mod log;
pub mod mgm;
mod perform;
#[cfg(all(test, feature = "shuttle"))]
mod schedules;
pub mod settings;
mod state;
mod sync;
mod throttle;
mod timer;
mod waits;
