//! The rules of docs/RULES.md as scenarios: given, when, then. Each is played on the model of the
//! rules, through the Rust API, through the C ABI of libmgm.so, and with clients whose host is another process.

#[allow(dead_code, reason = "some of it is for the random programs alone")]
#[path = "model/mod.rs"]
mod model;
#[path = "scenarios/stage.rs"]
#[macro_use]
mod stage;

#[path = "scenarios/alerts.rs"]
mod alerts;
#[path = "scenarios/clients.rs"]
mod clients;
#[path = "scenarios/entries.rs"]
mod entries;
#[path = "scenarios/interfaces.rs"]
mod interfaces;
#[path = "scenarios/lifetimes.rs"]
mod lifetimes;
#[path = "scenarios/limits.rs"]
mod limits;
#[path = "scenarios/loops.rs"]
mod loops;
#[path = "scenarios/memberships.rs"]
mod memberships;
#[path = "scenarios/new_flows.rs"]
mod new_flows;
#[path = "scenarios/reads.rs"]
mod reads;

use stage::scenarios;

/// The host's process of those that are played across processes; nothing where it is not asked for.
#[test]
fn host_process() {
    model::remote::host::run_if_asked();
}
