//! libmgm: the multicast group manager.
pub mod callbacks;
pub mod core;
pub mod error;
pub mod forwarder;
pub mod handle;
pub mod log;
