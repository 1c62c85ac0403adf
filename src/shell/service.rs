//! What serves clients in other processes while a host runs. The group manager starts and stops it, and
//! knows nothing else of it.

use std::path::PathBuf;
use std::time::Duration;

/// Where and how clients in other processes are served (rules P).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// The path of the socket.
    pub path: PathBuf,
    /// How long what an ended process leaves behind goes on (rule P3).
    pub hold: Duration,
}

/// A service that runs.
pub trait Service: Send + Sync {
    /// Ends it. False: a thread of it is stuck.
    fn stop(self: Box<Self>) -> bool;
}
