//! Oifs on a plane that never sends a packet out of the device that it came in by.

use crate::{JOIN, answer};
use mgm::core::{ClientInfo, Core, Limits, Looked, NONE, Note};
use mgm::types::{IfKey, MembershipFlags, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

const FLOW: SourceGroup = SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 0, 0, 1));
const NOW: Millis = Millis(1);
const FORWARD: MembershipFlags = MembershipFlags::FORWARD;
/// Two next hops on one device, and another device.
const SOURCE: IfKey = IfKey::new(1, Ipv4Addr::new(10, 1, 0, 2));
const SPOKE: IfKey = IfKey::new(1, Ipv4Addr::new(10, 1, 0, 3));
const OTHER: IfKey = IfKey::new(2, Ipv4Addr::UNSPECIFIED);

/// An entry that comes in from `SOURCE` and is wanted on `before`; then on `after` too, with these
/// flags. Gives its oifs and what the log is told.
fn oifs(
    barred: bool,
    before: &[IfKey],
    after: &[(IfKey, MembershipFlags)],
) -> (Vec<IfKey>, Vec<Note>) {
    let mut core = Core::new(Limits::default(), 1, u32::MAX);
    if barred {
        core.bar_incoming_devices();
    }
    let info =
        ClientInfo { protocol: 1, component: 1, has_local_join: false, takes_routeless: false };
    let client = core.register(info).unwrap();
    for interface in [SOURCE, SPOKE, OTHER] {
        core.take(NOW, client, interface).unwrap();
    }
    for interface in before {
        core.add_membership(NOW, client, FLOW.any_source(), *interface, JOIN, None).unwrap();
    }
    let source = FLOW.source();
    let route =
        Route { interface: SOURCE, upstream: source, protocol: 0, network: source, prefix_len: 32 };
    let looked = Looked { route: Some(route), as_of: core.routes_as_of() };
    core.packet(NOW, FLOW, SOURCE, &[0x45; 20], Some(looked)).unwrap();
    answer(&mut core);
    for (interface, flags) in after {
        core.add_membership(NOW, client, FLOW.any_source(), *interface, *flags, None).unwrap();
    }
    let mut oifs = Vec::new();
    core.entry_state(FLOW, NONE, &mut oifs).unwrap().unwrap();
    (oifs, std::iter::from_fn(|| core.take_note()).collect())
}

#[test]
fn the_iifs_device_is_barred_where_the_plane_says_so() {
    let note = Note::SameDevice(FLOW, SPOKE);
    assert_eq!(oifs(true, &[SPOKE, OTHER], &[]), (vec![OTHER], vec![note]));
    assert_eq!(oifs(true, &[OTHER], &[(SPOKE, JOIN)]), (vec![OTHER], vec![note]));
    assert_eq!(oifs(true, &[], &[(SPOKE, FORWARD)]), (vec![], vec![note]));
    // Of the iif itself nothing is told.
    assert_eq!(oifs(true, &[SOURCE, OTHER], &[(SOURCE, FORWARD)]), (vec![OTHER], vec![]));
    assert_eq!(oifs(false, &[SPOKE, OTHER], &[]), (vec![SPOKE, OTHER], vec![]));
    assert_eq!(oifs(false, &[OTHER], &[(SPOKE, JOIN)]), (vec![SPOKE, OTHER], vec![]));
}
