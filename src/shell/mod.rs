//! The group manager at work around the core: lock, ask, unlock, perform.
//!
//! | file | what it is |
//! |---|---|
//! | `manager` | the group manager, and the ways into it |
//! | `calls` | the functions of mgm.h in safe Rust |
//! | `group_manager` | those functions as a trait, which a connection to a host has as well |
//! | `reads` | those that read |
//! | `run` | what the lock protects |
//! | `log` | the log's lines, and the fault that closes the library |
//! | `call` | what a call works for, and what it still has to do |
//! | `perform`, `batch` | carrying out what the core decided; entries on their way into the plane |
//! | `deliver` | who calls which client next |
//! | `bells` | how threads that wait are woken |
//! | `waits` | which thread waits for which client's callback to return |
//! | `context` | what a thread is inside of |
//! | `host_calls` | which threads are inside the host's functions |
//! | `upcalls` | what time brings, and the forwarder's upcalls |
//! | `looks`, `walks` | looks at the routes toward many sources; what remains to be looked at |
//! | `claims` | flows that an earlier program left in the plane |
//! | `duties` | what the library's own threads do |
//! | `start_stop`, `settings` | starting and stopping |
//! | `service` | what serves clients in other processes, as a trait |
//! | `callbacks` | a client's nine callbacks as a safe trait |
//! | `report` | the state as JSON |
//! | `tally` | what is counted for administrators |
//! | `fault`, `schedules` | for tests alone: faults on purpose, threads under a scheduler |

#![forbid(unsafe_code)]

pub(crate) mod batch;
pub(crate) mod bells;
pub(crate) mod call;
pub mod callbacks;
pub(crate) mod calls;
pub(crate) mod claims;
pub(crate) mod context;
pub(crate) mod deliver;
pub(crate) mod duties;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
pub mod group_manager;
pub(crate) mod host_calls;
pub(crate) mod log;
pub(crate) mod looks;
pub mod manager;
pub(crate) mod perform;
pub(crate) mod reads;
pub(crate) mod report;
pub(crate) mod run;
#[cfg(all(test, feature = "shuttle"))]
mod schedules;
pub mod service;
pub mod settings;
pub(crate) mod start_stop;
pub(crate) mod tally;
pub(crate) mod upcalls;
pub(crate) mod waits;
pub(crate) mod walks;
