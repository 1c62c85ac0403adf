//! Rules P: clients in other processes. Each test has a host and clients that are processes of their
//! own: this program again, as a puppet that does what lines on its standard input say (see
//! `remote/puppet.rs`).

#[path = "remote/peer.rs"]
mod peer;
#[path = "remote/puppet.rs"]
mod puppet;
#[path = "remote/stage.rs"]
mod stage;

#[path = "remote/ahead.rs"]
mod ahead;
#[path = "remote/calls.rs"]
mod calls;
#[path = "remote/faults.rs"]
mod faults;
#[path = "remote/hold.rs"]
mod hold;
#[path = "remote/peers.rs"]
mod peers;
#[path = "common/run.rs"]
mod running;
#[path = "remote/setup.rs"]
mod setup;
#[path = "remote/told.rs"]
mod told;
#[path = "remote/versions.rs"]
mod versions;

/// The other processes: does nothing where this is the test run itself.
#[test]
fn puppet() {
    if std::env::var_os("MGM_PUPPET").is_some() {
        puppet::run();
    }
}
