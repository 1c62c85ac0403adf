//! The whole library on the kernel forwarder: real packets and real changes of devices, routes
//! and entries, in network namespaces of the tests' own. Each test runs as root and as an
//! ordinary user.

mod netns;

#[path = "kernel_router/apart.rs"]
mod apart;
#[path = "kernel_router/scheduled.rs"]
mod scheduled;
#[path = "kernel_router/stage.rs"]
mod stage;

#[path = "kernel_router/devices.rs"]
mod devices;
#[path = "kernel_router/divergence.rs"]
mod divergence;
#[path = "kernel_router/expected.rs"]
mod expected;
#[path = "kernel_router/fork.rs"]
mod fork;
#[path = "kernel_router/load.rs"]
mod load;
#[path = "kernel_router/measured.rs"]
mod measured;
#[path = "kernel_router/process.rs"]
mod process;
#[path = "kernel_router/restart.rs"]
mod restart;
#[path = "kernel_router/routeless.rs"]
mod routeless;
#[path = "kernel_router/routes.rs"]
mod routes;
#[path = "kernel_router/soak.rs"]
mod soak;
#[path = "kernel_router/statistics.rs"]
mod statistics;
#[path = "kernel_router/tables.rs"]
mod tables;
#[path = "kernel_router/wire.rs"]
mod wire;
