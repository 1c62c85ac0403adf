//! The rules, as functions of [`Core`](crate::core::state::Core).
//!
//! | file | what it decides |
//! |---|---|
//! | `registration` | who is a client (rules B) |
//! | `ownership` | who is on which interface, and IGMP's disable and enable (rules C) |
//! | `membership` | joins and leaves (rules D1 to D6, D8) |
//! | `alerts` | who is told of them (rules D7, D9, D10) |
//! | `entries` | forwarding entries: their tables, and how they are to be programmed |
//! | `oifs` | outgoing interfaces and the alerts of rule E4 |
//! | `flow` | new flows and rebuilds: RPF and creation questions (rules E1 to E3) |
//! | `flow::arrive` | packets of flows without an entry |
//! | `flow::install` | what the answers make of the entry |
//! | `lifetime` | expiry, limits, wrong interfaces, route changes (rules E5 to E9, G1) |
//! | `read` | what readers see (rules E11 to E13) |
//! | `portions` | changes of many entries, a portion at a time |
//! | `enumerate` | group enumerations (rules F) |
//! | `happened` | notes for those who follow the events |

#![forbid(unsafe_code)]

pub(crate) mod alerts;
pub(crate) mod entries;
pub(crate) mod enumerate;
pub(crate) mod flow;
pub(crate) mod happened;
pub(crate) mod lifetime;
pub(crate) mod membership;
pub(crate) mod oifs;
pub(crate) mod ownership;
pub(crate) mod portions;
pub(crate) mod read;
pub(crate) mod registration;
