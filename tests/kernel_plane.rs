//! The kernel forwarder against the kernel: real packets, in network namespaces of the tests'
//! own. Each test runs as root and as an ordinary user.

mod netns;

#[path = "kernel_plane/flows.rs"]
mod flows;
