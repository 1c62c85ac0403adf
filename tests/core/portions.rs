//! What comes between the portions of a change.

use super::{JOIN, answer, core, finish};
use mgm::core::{ClientInfo, Core, Looked};
use mgm::types::{ClientId, IfKey, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

const NOW: Millis = Millis(1);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

const fn flow(n: u8) -> SourceGroup {
    SourceGroup::new(SOURCE, Ipv4Addr::new(239, 1, 1, n))
}

/// One more client, on an interface of its own.
fn client_on(core: &mut Core, index: u32) -> ClientId {
    let (component, has_local_join) = (1, false);
    let info = ClientInfo { protocol: index, component, has_local_join, takes_routeless: false };
    let client = core.register(info).unwrap();
    core.take(NOW, client, interface(index)).unwrap();
    client
}

/// Makes the entry of a flow that comes in on interface 1.
fn make_entry(core: &mut Core, of: SourceGroup) {
    let (interface, network) = (interface(1), SOURCE);
    let route = Route { interface, upstream: SOURCE, protocol: 1, network, prefix_len: 32 };
    let looked = Looked { route: Some(route), as_of: core.routes_as_of() };
    core.packet(NOW, of, interface, &[0x45; 20], Some(looked)).unwrap();
    answer(core);
}

fn oifs(core: &Core, of: SourceGroup) -> Vec<u32> {
    let mut oifs = Vec::new();
    let give = &mut |record: &mgm::core::state::record::MfeRecord<'_>| {
        oifs = record.oifs.iter().map(|oif| oif.interface.index).collect();
    };
    core.read_mfe(NOW, of, None.into(), give).unwrap();
    oifs
}

/// Others' calls end memberships of a release before its portions come to them, and other entries
/// get their numbers. The release goes through all its keys and no other (decision 88).
#[test]
fn c4_a_release_goes_through_keys_that_have_lost_their_entries() {
    let (mut core, _) = core();
    let (member, other) = (client_on(&mut core, 2), client_on(&mut core, 3));
    for n in 1..=4 {
        core.add_membership(NOW, member, flow(n).any_source(), interface(2), JOIN, None).unwrap();
        make_entry(&mut core, flow(n));
        assert_eq!(oifs(&core, flow(n)), [2]);
    }
    core.set_portion(1);
    core.release(NOW, member, interface(2)).unwrap();
    let (on, of) = (interface(3), |n| flow(n).any_source());
    for n in 1..=3 {
        core.add_membership(NOW, other, of(n), on, JOIN, None).unwrap();
        core.delete_membership(NOW, other, of(n), on, JOIN).unwrap();
    }
    core.add_membership(NOW, other, of(9), on, JOIN, None).unwrap();
    finish(&mut core);
    for n in 1..=4 {
        assert!(oifs(&core, flow(n)).is_empty(), "flow {n}");
    }
    make_entry(&mut core, flow(9));
    assert_eq!(oifs(&core, flow(9)), [3]);
    assert_eq!(core.totals().memberships, 1);
}

/// Most of many memberships are deleted before the release: what is left stands far apart, and a portion looks
/// at some places only. The release comes to all of them (decision 88).
#[test]
fn c4_a_release_finds_the_few_memberships_that_are_left_of_many() {
    let (mut core, _) = core();
    let (member, on) = (client_on(&mut core, 2), interface(2));
    let of = |n| flow(n).any_source();
    for n in 0..200 {
        core.add_membership(NOW, member, of(n), on, JOIN, None).unwrap();
    }
    for n in (0..200).filter(|n| n % 50 > 0) {
        core.delete_membership(NOW, member, of(n), on, JOIN).unwrap();
    }
    core.set_portion(1);
    core.release(NOW, member, on).unwrap();
    finish(&mut core);
    assert_eq!(core.totals().memberships, 0);
}
