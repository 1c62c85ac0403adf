//! What the core knows: data without decisions.
//!
//! | file | what it holds |
//! |---|---|
//! | `interfaces` | who is on which interface |
//! | `members` | who has a membership |
//! | `sources` | the sources that memberships name, and the routes toward them |
//! | `mfe` | forwarding entries and their tables |
//! | `wheel` | when lifetimes end |
//! | `packet` | what is kept of packets while clients are asked about them |
//! | `outbox`, `plane` | what clients and the forwarding plane must do |
//! | `route_changes` | whether the answer to a look-up still holds |
//! | `record` | what readers see |

#![forbid(unsafe_code)]

pub(crate) mod interfaces;
pub(crate) mod members;
pub(crate) mod mfe;
pub mod outbox;
pub(crate) mod packet;
pub mod plane;
pub mod record;
pub(crate) mod route_changes;
pub(crate) mod sources;
pub(crate) mod wheel;
