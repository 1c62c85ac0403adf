//! The functional core.
pub mod record;
pub mod types;
