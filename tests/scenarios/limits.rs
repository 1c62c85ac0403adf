//! Rule G: limits.

use crate::model::net::*;
use crate::model::words::{code::*, *};
use crate::stage::*;
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;

crate::scenarios!(
    g1_a_new_flow_replaces_the_oldest_negative_entry,
    g1_positive_entries_are_never_pushed_out,
    g1_at_most_a_quarter_is_negative,
    g1_rates_hold_new_flows_back_and_nothing_else,
    g2_memberships_and_clients_have_no_cap,
);
crate::scenarios!(
    in one process:
    g1_an_entry_that_is_built_anew_counts_once,
    g1_an_entry_that_went_while_it_was_built_anew_keeps_no_place,
);

const FLOW: SourceGroup = sg(S1, G1);

/// The n-th of many groups.
fn nth_group(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(G1.to_bits() + n)
}

/// A cap of 8: two negative entries at most, six positive ones fill the rest.
fn capped(on: On) -> Stage {
    let mut s = Stage::new(on, |w| w.max_mfes = 8);
    s.one_each();
    for n in 0..6 {
        s.join(B, any(nth_group(n)), IF2).ok();
        let _ = s.packet(sg(S1, nth_group(n)), IF1);
    }
    for n in 6..8 {
        let _ = s.packet(sg(S1, nth_group(n)), IF1);
        s.advance(1).ok();
    }
    assert_eq!(s.look().mfes.len(), 8);
    s
}

pub fn g1_a_new_flow_replaces_the_oldest_negative_entry(on: On) {
    let mut s = capped(on);
    s.join(B, any(nth_group(8)), IF2).ok();
    s.packet(sg(S1, nth_group(8)), IF1).sent(&[IF2]).ok();
    assert_eq!(s.find(sg(S1, nth_group(6))), None);
    assert!(s.find(sg(S1, nth_group(7))).is_some());
    assert_eq!(s.look().mfes.len(), 8);
}

pub fn g1_positive_entries_are_never_pushed_out(on: On) {
    let mut s = capped(on);
    for n in 8..10 {
        s.join(B, any(nth_group(n)), IF2).ok();
        let _ = s.packet(sg(S1, nth_group(n)), IF1).sent(&[IF2]);
    }
    let before = s.look();
    s.join(B, any(nth_group(10)), IF2).ok();
    s.packet(sg(S1, nth_group(10)), IF1).sent(&[]).ok_calls(&[]);
    assert_eq!(s.look(), before);
    s.packet(sg(S1, nth_group(0)), IF1).sent(&[IF2]).ok_calls(&[]);
}

pub fn g1_at_most_a_quarter_is_negative(on: On) {
    let mut s = Stage::new(on, |w| w.max_mfes = 8);
    s.one_each();
    for n in 0..5 {
        let _ = s.packet(sg(S1, nth_group(n)), IF1);
        s.advance(1).ok();
    }
    let left: Vec<SourceGroup> = s.look().mfes.iter().map(|m| m.flow).collect();
    assert_eq!(left, [sg(S1, nth_group(3)), sg(S1, nth_group(4))]);
}

/// Given: entries of S2 from C's IF3 to B's IF2, for the groups 1 to `n`.
fn fill(s: &mut Stage, n: u32) {
    s.one_each();
    s.route(NET2, IF3).ok();
    for group in 1..=8 {
        s.join(B, any(nth_group(group)), IF2).ok();
    }
    for group in 1..=n {
        let _ = s.packet(sg(S2, nth_group(group)), IF3).sent(&[IF2]);
    }
}

const fn packet(flow: SourceGroup) -> Packet {
    Packet { flow, ttl: 64, options: 0, octets: 100 }
}

/// One place is left when an entry is built anew; while B is asked, a new flow takes it.
pub fn g1_an_entry_that_is_built_anew_counts_once(on: On) {
    let last = sg(S2, nth_group(7));
    let mut s = Stage::new(on, |w| {
        w.max_mfes = 8;
        w.profiles[B].script.nested = vec![(Kind::Rpf, Op::Packet(IF3, packet(last)))];
    });
    fill(&mut s, 6);
    let _ = s.packet(FLOW, IF1);
    s.join(C, any(G1), IF3).ok();
    assert_eq!(s.look().mfes.len(), 7);
    s.route(NET1, IF2).sent(&[IF2]).ok();
    assert_eq!(s.oifs(last), [IF2]);
    assert_eq!(s.oifs(FLOW), [IF3]);
    assert_eq!(s.look().mfes.len(), 8);
}

/// An entry goes while B is asked for its new route. Then C's call waits for IGMP's answer: a new
/// flow gets the last place there, and there is none any more for the flow itself, whose packet C
/// brings.
pub fn g1_an_entry_that_went_while_it_was_built_anew_keeps_no_place(on: On) {
    let last = sg(S2, nth_group(8));
    let mut s = Stage::new(on, |w| {
        w.max_mfes = 8;
        w.profiles[B].script.nested = vec![(Kind::Rpf, Op::Down(IF1))];
        w.profiles[C].script.nested = vec![(Kind::Creation, Op::Packet(IF2, packet(FLOW)))];
        w.profiles[IGMP].script.nested = vec![(Kind::Creation, Op::Packet(IF3, packet(last)))];
    });
    fill(&mut s, 7);
    let _ = s.packet(FLOW, IF1);
    s.join(C, any(G1), IF3).ok();
    s.join(IGMP, any(G1), IF4).ok();
    assert_eq!(s.look().mfes.len(), 8);
    let done = s.route(NET1, IF2);
    assert_eq!(done.nested(), [NO_ERROR; 3]);
    done.sent(&[IF2]).ok();
    assert_eq!(s.oifs(last), [IF2]);
    assert_eq!(s.find(FLOW), None);
    assert_eq!(s.look().mfes.len(), 8);
}

/// Decision 25: dwMaxNewMfesPerSecond and dwMaxNewMfesPerSource.
pub fn g1_rates_hold_new_flows_back_and_nothing_else(on: On) {
    let mut s = Stage::new(on, |w| (w.max_new, w.max_new_of_source) = (4, 3));
    s.one_each();
    s.join(B, ALL, IF2).ok();
    for n in 0..3 {
        let _ = s.packet(sg(S1, nth_group(n)), IF1).sent(&[IF2]);
    }
    s.packet(sg(S1, nth_group(3)), IF1).sent(&[]).ok_calls(&[]);
    let _ = s.packet(sg(S1B, nth_group(3)), IF1).sent(&[IF2]);
    s.packet(sg(S2, nth_group(3)), IF2).sent(&[]).ok_calls(&[]);
    let _ = s.packet(sg(S1, nth_group(0)), IF1).sent(&[IF2]);
    s.advance(1).ok();
    let _ = s.packet(sg(S1, nth_group(3)), IF1).sent(&[IF2]);
    assert_eq!(s.look().mfes.len(), 5);
}

pub fn g2_memberships_and_clients_have_no_cap(on: On) {
    let mut s = Stage::new(on, |w| w.max_mfes = 8);
    s.one_each();
    for n in 0..2000 {
        s.join(B, any(nth_group(n)), IF2).ok();
    }
    assert_eq!(s.groups(A, false, 300).len(), 2000);
}
