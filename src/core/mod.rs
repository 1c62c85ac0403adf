//! The functional core: the rules of the multicast group manager, and nothing else.
//!
//! A method takes an event (a client's call, an answer, a packet, the time), changes the state,
//! and leaves what must happen in [`Core::outbox`] (calls of clients), [`Core::plane`] (entries
//! whose state in the forwarding plane is out of date) and [`Core::relook`] (flows whose route
//! must be looked up). There is no I/O here, no clock, no lock and no unsafe code.
//!
//! Every method that can grow the state first reserves all the room that it may need, and only then
//! changes something. Where memory runs out it gives
//! [`OutOfMemory`](crate::error::Error::OutOfMemory) with nothing changed (rule A4).
//!
//! | folder | what it is |
//! |---|---|
//! | `containers` | plain data structures |
//! | `state` | what the core knows |
//! | `rules` | what it decides |
//! | `growth` | tests: no operation looks at what it does not concern |

#![forbid(unsafe_code)]

pub(crate) mod containers;
#[cfg(test)]
mod growth;
pub(crate) mod rules;
pub mod state;

pub use containers::slab::NONE;
pub use rules::flow::Admission;
pub use rules::lifetime::{Concerned, Waiting};
pub use rules::membership::Adding;
pub use rules::ownership::OwnerChange;
pub use rules::read::{
    ClientRow, GroupMember, InterfaceRow, MAX_ROWS, MemberPlace, Row, Rows, Totals,
};
pub use state::client::ClientInfo;
pub use state::flow::Reason;
pub use state::history::Happening;
pub use state::limits::Limits;
pub use state::packet::PacketHead;
pub use state::route_changes::{Looked, RoutesAsOf};
pub use state::unfinished::{Carrier, PORTION};
pub use state::{Core, Due, Note, Relook};
