//! The kernel forwarder against the kernel: real packets, in network namespaces of the tests'
//! own. Each test runs as root and as an ordinary user.

mod netns;

#[path = "kernel_plane/devices.rs"]
mod devices;
#[path = "kernel_plane/flows.rs"]
mod flows;
#[path = "kernel_plane/foreign.rs"]
mod foreign;
#[path = "kernel_plane/life.rs"]
mod life;
#[path = "kernel_plane/routes.rs"]
mod routes;
#[path = "kernel_plane/takeover.rs"]
mod takeover;
#[path = "kernel_plane/wire.rs"]
mod wire;
