//! The core that operations run in, with clients, interfaces, memberships and flows.

use crate::core::state::outbox::Action;
use crate::core::{ClientInfo, Core, Limits, Looked, OwnerChange};
use crate::error::Error;
use crate::types::{ClientId, IfKey, MembershipFlags, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

pub(super) const JOIN: MembershipFlags = MembershipFlags::JOIN;
pub(super) const FORWARD: MembershipFlags = MembershipFlags::FORWARD;
pub(super) const FEW: u32 = 500;
pub(super) const MANY: u32 = 4_000;
/// The group whose members and flows are changed, and a source of it.
pub(super) const GROUP: u32 = 0xef00_0000;
pub(super) const SOURCE: u32 = 0x0a00_0000;

pub(super) struct World {
    pub(super) core: Core,
    pub(super) owner: ClientId,
    pub(super) members: ClientId,
    pub(super) now: Millis,
}

pub(super) fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

pub(super) const ANY: SourceGroup = flow(0, GROUP);

pub(super) const fn flow(source: u32, group: u32) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::from_bits(source), Ipv4Addr::from_bits(group))
}

/// The route toward a source: over interface 1.
pub(super) fn route(of: SourceGroup) -> Route {
    Route {
        interface: interface(1),
        upstream: of.source(),
        protocol: 0,
        network: of.source(),
        prefix_len: 32,
    }
}

impl World {
    /// One client owns interface 1, where packets come in; another 2, 3 and 4.
    pub(super) fn new() -> Self {
        let mut core = Core::new(Limits::default(), 1, u32::MAX);
        let mut register = |protocol| {
            core.register(ClientInfo {
                protocol,
                component: 0,
                has_local_join: false,
                takes_routeless: false,
            })
            .unwrap()
        };
        let (owner, members) = (register(1), register(2));
        let mut world = Self { core, owner, members, now: Millis(1_000) };
        for (client, index) in [(owner, 1), (members, 2), (members, 3), (members, 4)] {
            world.core.take(world.now, client, interface(index)).unwrap();
        }
        world.settle();
        world
    }

    /// Answers what clients are asked, and forgets what the plane and the shell are told.
    pub(super) fn settle(&mut self) {
        let carrier = self.core.new_carrier();
        while self.core.take_begun(carrier).is_some() {
            while let Some(id) = self.core.carried_by(carrier, false) {
                self.core.portion(id).unwrap();
            }
        }
        while let Some(id) = self.core.outbox.take_fresh() {
            let node = self.core.outbox.discard(id).unwrap();
            match node.action {
                Action::Rpf { flow } => {
                    let (_, answer, ..) = self.core.rpf_question(flow);
                    self.core.rpf_answered(self.now, flow, node.client, Some(answer));
                }
                Action::Creation { flow } => {
                    self.core.creation_answered(self.now, flow, node.client, &[]);
                }
                _ => {}
            }
        }
        while self.core.plane.pop().is_some() {}
        self.core.relook.clear();
    }

    pub(super) fn looked(&self, of: SourceGroup) -> Looked {
        Looked { route: Some(route(of)), as_of: self.core.routes_as_of() }
    }

    pub(super) fn member(
        &mut self,
        add: bool,
        of: SourceGroup,
        index: u32,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        let (now, client) = (self.now, self.members);
        if add {
            let looked = Some(self.looked(of));
            self.core.add_membership(now, client, of, interface(index), flags, looked)?;
        } else {
            self.core.delete_membership(now, client, of, interface(index), flags)?;
        }
        self.settle();
        Ok(())
    }

    pub(super) fn release(&mut self, client: ClientId, index: u32) {
        if let OwnerChange::Waits(change) =
            self.core.release(self.now, client, interface(index)).unwrap()
        {
            self.change(change);
        }
    }

    pub(super) fn take(&mut self, client: ClientId, index: u32) {
        if let OwnerChange::Waits(change) =
            self.core.take(self.now, client, interface(index)).unwrap()
        {
            self.change(change);
        }
    }

    /// IGMP has been told of a change of ownership.
    pub(super) fn change(&mut self, change: u32) {
        self.core.disable_answered(self.now, change).unwrap();
        self.settle();
    }

    /// IGMP registers.
    pub(super) fn igmp(&mut self) -> ClientId {
        let info = ClientInfo {
            protocol: 10,
            component: 0,
            has_local_join: false,
            takes_routeless: false,
        };
        self.core.register(info).unwrap()
    }

    /// Memberships on an interface, each with a source of its own.
    pub(super) fn own_sources(&mut self, client: ClientId, index: u32, concerned: u32) {
        for n in 1..=concerned {
            let of = flow(SOURCE + n, GROUP + (n << 4) + 1);
            let (now, on, looked) = (self.now, interface(index), Some(self.looked(of)));
            self.core.add_membership(now, client, of, on, JOIN, looked).unwrap();
        }
        self.settle();
    }

    pub(super) fn packet(&mut self, of: SourceGroup) {
        self.packet_by(of, interface(1), Some(route(of)));
    }

    pub(super) fn packet_by(&mut self, of: SourceGroup, arrival: IfKey, route: Option<Route>) {
        let looked = Looked { route, as_of: self.core.routes_as_of() };
        self.core.packet(self.now, of, arrival, &[0x45; 20], Some(looked)).unwrap();
        self.settle();
    }

    /// Takes a next hop of interface 5.
    pub(super) fn take_hop(&mut self, hop: u32) {
        let (now, client) = (self.now, self.members);
        let key = IfKey::new(5, Ipv4Addr::from_bits(hop));
        self.core.take(now, client, key).unwrap();
    }

    /// Groups with a member on interface 2, every other one for its source alone, and one flow each,
    /// none of them `GROUP`; and as many next hops of interface 5 that somebody is on.
    pub(super) fn fill(&mut self, others: u32) {
        for other in 1..=others {
            let of = flow(0x1400_0000 + other, GROUP + (other << 4));
            let member = if other % 2 == 0 { of } else { of.any_source() };
            self.member(true, member, 2, JOIN).unwrap();
            self.packet(of);
            self.take_hop(other);
            self.core.relook.clear();
        }
    }

    /// Flows of `GROUP`.
    pub(super) fn flows(&mut self, concerned: u32) {
        for source in 1..=concerned {
            self.packet(flow(SOURCE + source, GROUP));
        }
    }
}
