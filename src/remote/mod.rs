//! Clients in other processes (rules P): a host serves them over a UNIX socket.
//!
//! | file | what it is |
//! |---|---|
//! | `wire` | the messages |
//! | `records` | lists of records, behind a message |
//! | `channel` | a socket that carries them |
//! | `server` | the host's side: what a client process asks is done here, its callbacks are calls to it |
//! | `client` | the client process's side: the same functions, done by the host |
//!
//! A client process has one connection to the host's path. Everything else goes over *channels*, pairs
//! of sockets of which the host makes both ends and gives one away, so that it takes no descriptor
//! from anybody. A channel carries one conversation at a time:
//!
//! - a **call channel**: the process sends a request and reads the reply; it has as many of these as
//!   threads inside calls at once;
//! - a **callback channel**, one for each registered client: the host sends a callback and reads the
//!   answer. What the process asks before it answers is a call made inside that callback; the
//!   host's thread that waits for the answer performs it, so that what holds for calls inside
//!   callbacks in one process holds here as well.
//!
//! So no message has a number, nothing overtakes anything, and whoever waits reads the socket itself.

#![forbid(unsafe_code)]

mod channel;
pub mod client;
pub mod records;
pub mod server;
pub mod wire;

/// For the fuzzer, which plays the other side.
#[cfg(feature = "fuzzing")]
pub use crate::sys::{seqpacket, unix};
