//! What the benches of the C interface share.
#![allow(dead_code, reason = "no bench uses all of it")]

pub mod bare;
pub mod library;
