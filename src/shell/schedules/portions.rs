//! Changes of many entries, carried out in portions of one: beside others they come out as if each
//! had been made at one moment (decision 88).

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::shell::schedules::{
    G1, G2, IGMP, JOIN, SOURCE, Stage, explore_some, group, interface, join_all,
};
use crate::shell::tally::CallbackKind;
use crate::types::{MembershipFlags, SourceGroup};
use shuttle::thread;

const FORWARD: MembershipFlags = MembershipFlags::FORWARD;

fn small() -> Stage {
    Stage::with(|settings| settings.portion = 1)
}

const fn flow(last: u8) -> SourceGroup {
    SourceGroup::new(SOURCE, group(last).group())
}

const FLOWS: [SourceGroup; 3] = [flow(1), flow(2), flow(3)];

/// A release ends memberships one after the other. Whoever is told of the groups knows in the end who
/// holds them, and what the release causes has come when it returns (rules A7, D7).
#[test]
fn a7_a_release_beside_changes_of_the_same_groups() {
    explore_some(100, || {
        let stage = small();
        let ((a, a_id), (b, b_id), (d, _)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[]));
        for last in 1..=3 {
            stage.add(a_id, group(last), 1).unwrap();
        }
        let watcher = d.clone();
        let releases = thread::spawn(move || {
            stage.mgm.release_interface(a_id, interface(1)).unwrap();
            assert!(!watcher.believes(group(3)), "A7: the call returned before its alerts");
        });
        let changes = thread::spawn(move || {
            stage.add(b_id, G2, 2).unwrap();
            stage.add(b_id, G1, 2).unwrap();
            stage.delete(b_id, G1, 2).unwrap();
        });
        join_all([releases, changes]);
        for last in 1..=3 {
            assert_eq!(d.believes(group(last)), last == 2, "what a third client knows of {last}");
            assert!(!b.believes(group(last)), "b is told of {last}, which nobody else holds");
        }
        assert!(a.believes(G2));
        stage.mgm.stop().unwrap();
    });
}

/// The thread of another call may disable IGMP and carry the change out. IGMP is enabled again when the
/// take returns (rules A7, C3).
#[test]
fn a7_a_take_has_enabled_igmp_when_it_returns() {
    explore_some(100, || {
        let stage = small();
        let ((igmp, igmp_id), (a, a_id)) = (stage.client(IGMP, &[1]), stage.client(1, &[]));
        let (_, b_id) = stage.client(2, &[2]);
        igmp.on_callback(move |kind, _| {
            if kind == CallbackKind::EnableIgmp {
                stage.add(igmp_id, G2, 1).unwrap();
            }
        });
        let meanwhile = thread::spawn(move || stage.add(b_id, G1, 2).unwrap());
        stage.mgm.take_interface(a_id, interface(1)).unwrap();
        let its = igmp.seen().into_iter().map(|(kind, _)| kind);
        let its: Vec<CallbackKind> = its.filter(|kind| *kind != CallbackKind::Join).collect();
        assert_eq!(
            its,
            [CallbackKind::DisableIgmp, CallbackKind::EnableIgmp],
            "A7: the call returned before its alert"
        );
        assert_eq!(a.count(CallbackKind::LocalJoin, G2), 1, "A7: caused by the call, and not come");
        join_all([meanwhile]);
        stage.mgm.stop().unwrap();
    });
}

/// A release, a membership of everything and a new flow beside each other: in the end each entry has
/// the interface of that membership alone, and the owner of its iif knows it (rules D6, E4).
#[test]
fn e4_a_release_beside_a_membership_of_everything() {
    explore_some(100, || {
        let stage = small();
        let ((a, _), (_, b_id), (_, c_id)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[3]));
        stage.add(b_id, SourceGroup::ALL, 2).unwrap();
        for flow in &FLOWS[..2] {
            stage.packet(*flow, 1).unwrap();
        }
        let threads = [
            thread::spawn(move || stage.mgm.release_interface(b_id, interface(2)).unwrap()),
            thread::spawn(move || stage.add(c_id, SourceGroup::ALL, 3).unwrap()),
            thread::spawn(move || stage.packet(FLOWS[2], 1).unwrap()),
        ];
        join_all(threads);
        for flow in FLOWS {
            assert_eq!(stage.oifs(flow), Some(vec![3]), "{flow}");
            let told = |(kind, of): &&(CallbackKind, _)| *of == flow && *kind != CallbackKind::Rpf;
            let last = a.seen().iter().rev().find(told).copied();
            assert_eq!(last, Some((CallbackKind::Join, flow)), "the owner is told of {flow}");
        }
        assert!(FLOWS[..2].iter().all(|flow| a.believes(*flow)));
        stage.mgm.stop().unwrap();
    });
}

/// An interface goes down beside memberships on it and on another one (rule D6).
#[test]
fn d6_an_interface_that_goes_down_beside_memberships() {
    explore_some(100, || {
        let stage = small();
        let ((a, _), (_, b_id), (_, c_id)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[3]));
        stage.add(b_id, SourceGroup::ALL, 2).unwrap();
        for flow in FLOWS {
            stage.packet(flow, 1).unwrap();
        }
        let threads = [
            thread::spawn(move || stage.mgm.interface_down(interface(2)).unwrap()),
            thread::spawn(move || stage.add(c_id, G1, 3).unwrap()),
            thread::spawn(move || stage.add(b_id, G1, 2).unwrap()),
        ];
        join_all(threads);
        assert_eq!(FLOWS.map(|flow| stage.oifs(flow)), [Some(vec![3]), Some(vec![]), Some(vec![])]);
        assert_eq!(FLOWS.map(|flow| a.believes(flow)), [true, false, false]);
        // A packet on it brings it up again.
        let up = thread::spawn(move || stage.packet(flow(4), 2).unwrap());
        let packet = thread::spawn(move || stage.packet(flow(1), 1).unwrap());
        join_all([up, packet]);
        assert_eq!(FLOWS.map(|flow| stage.oifs(flow).unwrap().contains(&2)), [true; 3]);
        assert_eq!(FLOWS.map(|flow| a.believes(flow)), [true; 3]);
        stage.mgm.stop().unwrap();
    });
}

/// The interface that flows come in on goes down while their packets come.
#[test]
fn e1_an_interface_that_goes_down_beside_packets_on_it() {
    explore_some(100, || {
        let stage = small();
        let ((a, _), (_, b_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        stage.add(b_id, SourceGroup::ALL, 2).unwrap();
        for flow in FLOWS {
            stage.packet(flow, 1).unwrap();
        }
        let down = thread::spawn(move || stage.mgm.interface_down(interface(1)).unwrap());
        let packets = thread::spawn(move || {
            stage.packet(FLOWS[2], 1).unwrap();
            stage.packet(FLOWS[0], 1).unwrap();
        });
        join_all([down, packets]);
        for flow in FLOWS {
            stage.packet(flow, 1).unwrap();
            assert_eq!(stage.oifs(flow), Some(vec![2]), "{flow}");
            // It is asked about each at most once more for every time that the entry was made.
            assert!((1..=3).contains(&a.count(CallbackKind::Rpf, flow)));
        }
        stage.mgm.stop().unwrap();
    });
}

/// The owner of an interface forces it and prunes it on two threads: all entries come out alike
/// (rule D5).
#[test]
fn d5_forwarding_and_pruning_everything_at_once() {
    explore_some(100, || {
        let stage = small();
        let ((_, _), (_, b_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        stage.mgm.add_membership(b_id, G1, interface(2), JOIN).unwrap();
        for flow in FLOWS {
            stage.packet(flow, 1).unwrap();
        }
        let all = SourceGroup::ALL;
        let forces = thread::spawn(move || {
            stage.mgm.add_membership(b_id, all, interface(2), FORWARD).unwrap();
        });
        let prunes = thread::spawn(move || {
            stage.mgm.delete_membership(b_id, all, interface(2), FORWARD).unwrap();
        });
        join_all([forces, prunes]);
        let oifs = FLOWS.map(|flow| stage.oifs(flow).unwrap());
        assert!(oifs == [[2], [2], [2]] || oifs.iter().all(Vec::is_empty), "{oifs:?}");
        stage.mgm.stop().unwrap();
    });
}

/// A client deregisters as soon as it can, while another thread releases its interface (rule A8).
#[test]
fn a8_deregistering_while_a_release_is_carried_out() {
    explore_some(100, || {
        let stage = small();
        let ((a, a_id), (d, _)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        for last in 1..=3 {
            stage.add(a_id, group(last), 1).unwrap();
        }
        let releases = thread::spawn(move || {
            // It may have gone by then.
            let result = stage.mgm.release_interface(a_id, interface(1));
            assert!(matches!(result, Ok(()) | Err(Error::NotAClient(_))), "{result:?}");
        });
        loop {
            match stage.mgm.deregister(a_id) {
                Ok(()) => break,
                Err(Error::StillOwns(_)) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        a.unload();
        join_all([releases]);
        assert!((1..=3).all(|last| !d.believes(group(last))));
        // The interface is free for another one.
        let (_, id) = stage.client(3, &[1]);
        stage.add(id, G1, 1).unwrap();
        assert!(d.believes(G1));
        stage.mgm.stop().unwrap();
    });
}

/// The same while the library stops.
#[test]
fn a8_stopping_while_a_change_is_carried_out() {
    explore_some(100, || {
        let stage = small();
        let ((a, _), (b, b_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        for flow in FLOWS {
            stage.packet(flow, 1).unwrap();
        }
        let adds = thread::spawn(move || {
            let result = stage.add(b_id, SourceGroup::ALL, 2);
            assert!(matches!(result, Ok(()) | Err(Error::NotRunning | Error::NotAClient(_))));
        });
        stage.mgm.stop().unwrap();
        a.unload();
        b.unload();
        join_all([adds]);
    });
}
