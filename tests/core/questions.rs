//! What happens while the questions of a flow are open.

use mgm::core::state::outbox::Action;
use mgm::core::{ClientInfo, Core, Limits, Looked, Relook};
use mgm::shell::callbacks::{OutInterface, RpfAnswer};
use mgm::types::{
    ClientId, Counters, IfKey, MOST_WAITING, MembershipFlags, Millis, Route, SourceGroup,
};
use std::net::Ipv4Addr;

const JOIN: MembershipFlags = MembershipFlags::JOIN;
const FORWARD: MembershipFlags = MembershipFlags::FORWARD;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const ANY: SourceGroup = SourceGroup::new(Ipv4Addr::UNSPECIFIED, GROUP);
const FLOW: SourceGroup = SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), GROUP);

const IGMP: u32 = 10;

const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

/// Every source is reached by interface 1.
fn route(source: Ipv4Addr) -> Option<Route> {
    let (interface, network) = (interface(1), source);
    Some(Route { interface, upstream: source, protocol: 1, network, prefix_len: 32 })
}

/// A question that a client has been asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    client: u32,
    flow: u32,
    creation: bool,
}

struct World {
    core: Core,
    now: Millis,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self { core: Core::new(limits, 1, u32::MAX), now: Millis(1_000) }
    }

    fn register(&mut self, protocol: u32) -> ClientId {
        let info =
            ClientInfo { protocol, component: 1, has_local_join: false, takes_routeless: false };
        self.core.register(info).unwrap()
    }

    fn deregister(&mut self, client: ClientId) {
        self.core.deregister(client).unwrap();
        self.core.free_client_slot(client.slot);
    }

    fn release(&mut self, client: ClientId, index: u32) {
        self.core.release(self.now, client, interface(index)).unwrap();
    }

    fn take(&mut self, client: ClientId, index: u32) {
        self.core.take(self.now, client, interface(index)).unwrap();
    }

    fn join(&mut self, client: ClientId, index: u32) {
        self.graft(client, index, JOIN);
    }

    fn graft(&mut self, client: ClientId, index: u32, flags: MembershipFlags) {
        let (now, on) = (self.now, interface(index));
        self.core.add_membership(now, client, ANY, on, flags, None).unwrap();
    }

    fn prune(&mut self, client: ClientId, index: u32) {
        let (now, on) = (self.now, interface(index));
        self.core.delete_membership(now, client, ANY, on, FORWARD).unwrap();
    }

    fn look(&self, flow: SourceGroup) -> Looked {
        Looked { route: route(flow.source()), as_of: self.core.routes_as_of() }
    }

    fn packet(&mut self, flow: SourceGroup) {
        let looked = Some(self.look(flow));
        self.core.packet(self.now, flow, interface(1), &[0x45; 20], looked).unwrap();
    }

    /// The entry's lifetime ends: it is built anew.
    fn rebuild(&mut self, flow: SourceGroup) {
        self.now = Millis(self.now.0 + 900_000);
        let counted = Counters { packets: MOST_WAITING + 1, ..Counters::default() };
        self.core.expire(self.now, flow, counted).unwrap();
        for due in std::mem::take(&mut self.core.relook) {
            if let Relook::Flow { flow, rebuild } = due.relook {
                let looked = self.look(flow);
                self.core.rerouted(self.now, flow, looked, rebuild).unwrap();
            }
        }
    }

    /// The next question; alerts are passed over.
    fn next(&mut self) -> Option<Asked> {
        while let Some(id) = self.core.outbox.take_fresh() {
            let node = self.core.outbox.discard(id).unwrap();
            let client = node.client;
            match node.action {
                Action::Rpf { flow } => return Some(Asked { client, flow, creation: false }),
                Action::Creation { flow } => return Some(Asked { client, flow, creation: true }),
                _ => {}
            }
        }
        None
    }

    /// The question that comes next is this one.
    fn expect(&mut self, creation: bool, client: ClientId) -> Asked {
        let next = self.next().unwrap();
        assert_eq!((next.creation, next.client), (creation, client.slot));
        next
    }

    fn rpf(&mut self, asked: Asked) {
        let (_, answer, ..): (_, RpfAnswer, _, _) = self.core.rpf_question(asked.flow);
        self.core.rpf_answered(self.now, asked.flow, asked.client, Some(answer));
    }

    /// The interfaces that a creation alert is about.
    fn about(&mut self, asked: Asked) -> Vec<OutInterface> {
        let mut out = smallvec::SmallVec::new();
        self.core.creation_question(asked.flow, asked.client, &mut out);
        out.to_vec()
    }

    /// Answers a creation alert, with a veto of all or none.
    fn created(&mut self, asked: Asked, enabled: bool) {
        let mut out = self.about(asked);
        out.iter_mut().for_each(|out| out.enabled = enabled);
        self.core.creation_answered(self.now, asked.flow, asked.client, &out);
    }

    /// Leaves all questions as they are.
    fn settle(&mut self) {
        while let Some(asked) = self.next() {
            if asked.creation { self.created(asked, true) } else { self.rpf(asked) }
        }
    }

    fn oifs(&self, flow: SourceGroup) -> Vec<u32> {
        let mut oifs = Vec::new();
        let give = &mut |record: &mgm::core::state::record::MfeRecord<'_>| {
            oifs = record.oifs.iter().map(|oif| oif.interface.index).collect();
        };
        self.core.read_mfe(self.now, flow, None.into(), give).unwrap();
        oifs
    }
}

/// A owns 1, toward the sources; B owns 2, 3 and 4 and is a member on 2.
fn two() -> (World, ClientId, ClientId) {
    let mut world = World::new(Limits::default());
    let (a, b) = (world.register(100), world.register(200));
    world.take(a, 1);
    for index in [2, 3, 4] {
        world.take(b, index);
    }
    world.join(b, 2);
    (world, a, b)
}

/// B joins on 3 while it is asked about 2, and deletes with FORWARD there: 3 is vetoed until B
/// joins anew. In a new flow and in an entry that is built anew.
#[test]
fn d6_an_interface_that_joins_and_is_pruned_during_creation_stays_out() {
    for rebuild in [false, true] {
        let (mut world, a, b) = two();
        world.packet(FLOW);
        if rebuild {
            world.settle();
            world.rebuild(FLOW);
        }
        let rpf = world.expect(false, a);
        world.rpf(rpf);
        let creation = world.expect(true, b);
        world.join(b, 3);
        world.prune(b, 3);
        assert_eq!(world.about(creation).len(), 1, "decision 10: 3 has no alert of its own");
        world.created(creation, true);
        assert_eq!(world.oifs(FLOW), [2], "rebuild: {rebuild}");

        let covering = SourceGroup::ALL;
        let (now, on) = (world.now, interface(3));
        world.core.add_membership(now, b, covering, on, JOIN, None).unwrap();
        assert_eq!(world.oifs(FLOW), [2, 3], "a new covering membership lifts it");
    }
}

/// The same while A is asked: the creation alert's answer does not undo it.
#[test]
fn d6_an_interface_that_is_pruned_during_rpf_stays_out() {
    for rebuild in [false, true] {
        let (mut world, a, b) = two();
        world.join(b, 3);
        world.packet(FLOW);
        if rebuild {
            world.settle();
            world.rebuild(FLOW);
        }
        let rpf = world.expect(false, a);
        world.prune(b, 3);
        world.prune(b, 4);
        world.rpf(rpf);
        let creation = world.expect(true, b);
        let asked: Vec<u32> = world.about(creation).iter().map(|out| out.interface.index).collect();
        assert_eq!(asked, [2, 3], "4 has no member");
        world.created(creation, true);
        assert_eq!(world.oifs(FLOW), [2], "rebuild: {rebuild}");
    }
}

/// B prunes 2, where it is a member, and grafts it again while A is asked: it is in the list. That
/// needs no new membership; but no interface that nobody is a member on comes in by it.
#[test]
fn d5_an_interface_that_is_pruned_and_grafted_during_the_questions_is_in() {
    for flags in [FORWARD, MembershipFlags { join: true, forward: true }] {
        for rebuild in [false, true] {
            let (mut world, a, b) = two();
            world.packet(FLOW);
            if rebuild {
                world.settle();
                world.rebuild(FLOW);
            }
            let rpf = world.expect(false, a);
            world.prune(b, 2);
            world.graft(b, 2, flags);
            world.rpf(rpf);
            world.settle();
            assert_eq!(world.oifs(FLOW), [2], "rebuild: {rebuild}");
        }
    }
    let (mut world, _, b) = two();
    world.packet(FLOW);
    world.prune(b, 3);
    world.graft(b, 3, FORWARD);
    world.settle();
    assert_eq!(world.oifs(FLOW), [2], "there was no entry to force it into");
}

/// Of many interfaces some are pruned while A is asked and some vetoed, in the order of another.
#[test]
fn d6_many_interfaces_are_told_apart() {
    let (mut world, a, b) = two();
    for index in 10..60 {
        world.take(b, index);
        world.join(b, index);
    }
    world.packet(FLOW);
    let rpf = world.expect(false, a);
    for index in (10..60).filter(|index| index % 7 == 0).rev() {
        world.prune(b, index);
    }
    world.rpf(rpf);
    let creation = world.expect(true, b);
    let mut out = world.about(creation);
    assert!(out.is_sorted_by_key(|out| out.interface) && out.len() == 51);
    out.iter_mut().for_each(|out| out.enabled = out.interface.index % 3 != 0);
    out.reverse();
    world.core.creation_answered(world.now, creation.flow, b.slot, &out);
    let stay = (10..60).filter(|index| index % 7 != 0 && index % 3 != 0);
    assert_eq!(world.oifs(FLOW), [2].into_iter().chain(stay).collect::<Vec<u32>>());
}

/// B vetoes 2; while D is asked B gives 2 up and takes another interface, or 2 itself again, on
/// which IGMP joins: the veto went with the ownership, whatever number the interface gets.
#[test]
fn d6_a_veto_ends_with_the_ownership_while_others_are_asked() {
    for next in [7, 2] {
        let (mut world, a, b) = two();
        let (d, igmp) = (world.register(300), world.register(IGMP));
        world.take(d, 5);
        world.join(d, 5);
        world.packet(FLOW);
        let rpf = world.expect(false, a);
        world.rpf(rpf);
        let vetoed = world.expect(true, b);
        world.created(vetoed, false);
        let last = world.expect(true, d);
        world.release(b, 2);
        world.take(b, next);
        world.take(igmp, next);
        world.join(igmp, next);
        world.created(last, true);
        let mut oifs = [5, next];
        oifs.sort_unstable();
        assert_eq!(world.oifs(FLOW), oifs);
    }
}

/// B answers when it has given 2 up and has taken another interface with the same number: its
/// answer is not about that.
#[test]
fn d6_an_answer_is_about_the_interface_that_was_asked_about() {
    let (mut world, a, b) = two();
    world.packet(FLOW);
    let rpf = world.expect(false, a);
    world.rpf(rpf);
    let creation = world.expect(true, b);
    world.release(b, 2);
    world.take(b, 7);
    world.join(b, 7);
    assert_eq!(world.about(creation), [], "decision 10");
    world.created(creation, true);
    assert_eq!(world.oifs(FLOW), [7]);
}

/// While B is asked A goes, and C comes, gets A's place and takes the interface toward the source:
/// C is to be asked (decision 35).
#[test]
fn e2_a_client_that_gets_the_place_of_the_one_asked_is_asked_itself() {
    let (mut world, a, b) = two();
    world.packet(FLOW);
    let rpf = world.expect(false, a);
    world.rpf(rpf);
    let creation = world.expect(true, b);
    world.release(a, 1);
    world.deregister(a);
    let c = world.register(300);
    assert_eq!(c.slot, a.slot);
    world.take(c, 1);
    world.created(creation, true);
    assert!(world.core.is_pending(FLOW));
    let rpf = world.expect(false, c);
    world.rpf(rpf);
    world.settle();
    assert_eq!(world.oifs(FLOW), [2]);
}
