//! What the tests of the state and the control socket share.

use mgm::error::Error;
use mgm::log::Level;
use mgm::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::shell::manager::{Mgm, Settings};
use mgm::types::{ClientId, IfKey, MembershipFlags, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;

/// A routing protocol's id.
pub const MULTICAST: u32 = 0x4137_0064;

/// A client that has no callbacks.
#[derive(Clone, Copy)]
pub struct NoCallbacks;

impl Callbacks for NoCallbacks {
    fn has_local_join(&self) -> bool {
        false
    }
    fn rpf(&self, _: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {}
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        Ok(())
    }
    fn prune(&self, _: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {}
    fn join(&self, _: SourceGroup, _: bool) {}
    fn wrong_interface(&self, _: SourceGroup, _: IfKey, _: &[u8]) {}
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {}
    fn enable_igmp(&self, _: IfKey) {}
}

/// A manager of its own for each test.
pub fn leak() -> &'static Mgm<NoCallbacks> {
    Box::leak(Box::new(Mgm::new()))
}

/// A manager that runs.
pub fn started(settings: Settings) -> &'static Mgm<NoCallbacks> {
    let mgm = leak();
    mgm.start(settings).unwrap();
    mgm
}

/// A host's settings, without a log.
pub fn host() -> Settings {
    Settings { log_level: Level::Off, ..Settings::default() }
}

/// The interface with this index and next hop 10.0.0.`hop`, or none for 0.
pub fn interface(index: u32, hop: u32) -> IfKey {
    let next_hop =
        if hop == 0 { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::from_bits(0x0a00_0000 + hop) };
    IfKey::new(index, next_hop)
}

/// The group 239.0.0.0 + `n`.
pub fn group(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xef00_0000 + n)
}

/// Joins.
pub fn join(mgm: &'static Mgm<NoCallbacks>, client: ClientId, of: SourceGroup, on: IfKey) {
    let flags = MembershipFlags::JOIN;
    mgm.add_membership(client, of, on, flags).unwrap();
}

/// A UDP packet of 28 octets.
pub fn packet(source: Ipv4Addr, group: Ipv4Addr) -> [u8; 28] {
    let mut packet = [0; 28];
    packet[0] = 0x45;
    packet[3] = 28;
    packet[8] = 16;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&group.octets());
    packet
}
