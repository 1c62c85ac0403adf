//! The model of the rules, and what is needed to hold a library against it.

pub mod again;
pub mod c_abi;
pub mod calls;
pub mod choices;
pub mod deliver;
pub mod flows;
pub mod loops;
pub mod members;
pub mod net;
pub mod packets;
pub mod reads;
pub mod remote;
pub mod rust_api;
pub mod state;
pub mod subject;
pub mod toward;
pub mod words;
