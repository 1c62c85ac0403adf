//! What mgmd and mgmctl share: how a host's control socket is asked, and the metrics made of its answer.
//!
//! | file | what it is |
//! |---|---|
//! | `control` | finds the sockets of hosts and asks them |
//! | `state` | the rows of the answers; mgm_control(7) describes them |
//! | `metrics` | the counters as text for Prometheus |
//! | `http` | that text over HTTP |

#![forbid(unsafe_code)]

pub mod control;
pub mod http;
pub mod metrics;
pub mod state;
