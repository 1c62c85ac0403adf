//! The lanes and jobs by themselves.

#![forbid(unsafe_code)]

use super::*;
use crate::core::state::outbox::Action;
use crate::types::SourceGroup;

const ME: Token = Token(1);
const OTHER: Token = Token(2);
const THIRD: Token = Token(3);

fn setup(clients: u32) -> (Delivery<char>, Outbox) {
    let mut delivery = Delivery::new();
    for slot in 0..clients {
        delivery.reserve_lane(slot).unwrap();
        delivery.open(slot, 'c', None);
    }
    (delivery, Outbox::new())
}

fn send(outbox: &mut Outbox, job: u32, client: u32) {
    outbox.set_job(job);
    outbox.reserve(1).unwrap();
    outbox.push(client, Action::Join { of: SourceGroup::ALL, member: true });
}

#[test]
fn a_lane_has_one_runner_and_a_job_counts_its_actions() {
    let (mut delivery, mut outbox) = setup(2);
    let job = delivery.begin_job().unwrap();
    for client in [0, 1, 0] {
        send(&mut outbox, job, client);
    }
    delivery.post(&mut outbox, THIRD);
    assert_eq!(delivery.open_actions(job), 3);
    assert_eq!(delivery.run_next(&outbox, Some((job, ME)), ME), Some(0));

    // The runner of a lane delivers what another thread posts to it.
    let second = delivery.begin_job().unwrap();
    send(&mut outbox, second, 0);
    delivery.post(&mut outbox, THIRD);
    assert_eq!(delivery.run_next(&outbox, Some((second, OTHER)), OTHER), None);

    let mut jobs = Vec::new();
    while let Some(node) = delivery.next_action(0, &mut outbox) {
        jobs.push(node.job);
        delivery.done(node.job);
    }
    assert_eq!(jobs, [job, job, second]);
    assert!(!delivery.stop_running(0, &outbox));
    assert_eq!(delivery.open_actions(job), 1);
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(1));
    assert_eq!(delivery.run_next(&outbox, None, ME), None);
}

#[test]
fn jobs_are_used_again_when_done() {
    let (mut delivery, mut outbox) = setup(1);
    let job = delivery.begin_job().unwrap();
    send(&mut outbox, job, 0);
    delivery.post(&mut outbox, THIRD);
    delivery.end_job(job);
    assert_ne!(delivery.begin_job().unwrap(), job, "its action is still on the way");
    delivery.run_next(&outbox, None, ME);
    delivery.next_action(0, &mut outbox);
    delivery.done(job);
    assert_eq!(delivery.begin_job().unwrap(), job);
}

#[test]
fn a_lane_goes_to_whoever_its_first_action_belongs_to() {
    let (mut delivery, mut outbox) = setup(3);
    let (mine, theirs) = (delivery.begin_job().unwrap(), delivery.begin_job().unwrap());
    for (job, client) in [(theirs, 0), (mine, 0), (theirs, 1), (mine, 2)] {
        send(&mut outbox, job, client);
    }
    delivery.post(&mut outbox, THIRD);
    // If client 0 or 1 hangs, it holds up its own lane only.
    assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), Some(2));
    assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), None);
    assert_eq!(delivery.run_next(&outbox, Some((theirs, OTHER)), OTHER), Some(0));
    delivery.next_action(0, &mut outbox);
    assert_eq!(delivery.next_job(0, &outbox), Some(mine));
    assert!(!delivery.has_ready(&outbox, Some((mine, ME))));
    delivery.offer(0, NOBODY, &outbox);
    assert!(delivery.has_ready(&outbox, Some((mine, ME))));
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(0), "what was offered comes first");
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(1));
    assert_eq!(delivery.run_next(&outbox, None, ME), None);
    // The thread that made a lane ready may take it, whatever is in it.
    while delivery.next_action(1, &mut outbox).is_some() {}
    delivery.stop_running(1, &outbox);
    send(&mut outbox, theirs, 1);
    delivery.post(&mut outbox, THIRD);
    assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), None);
    assert_eq!(delivery.run_next(&outbox, Some((mine, THIRD)), THIRD), Some(1));
    // The list is whole again.
    for slot in [0, 1, 2] {
        while delivery.next_action(slot, &mut outbox).is_some() {}
        delivery.stop_running(slot, &outbox);
        send(&mut outbox, mine, slot);
        delivery.post(&mut outbox, THIRD);
    }
    let order = std::iter::from_fn(|| delivery.run_next(&outbox, None, ME));
    assert_eq!(order.collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_kept_lane_is_nobody_elses() {
    let (mut delivery, mut outbox) = setup(1);
    let job = delivery.begin_job().unwrap();
    send(&mut outbox, job, 0);
    delivery.post(&mut outbox, THIRD);
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(0));
    delivery.keep(0, &outbox);
    assert_eq!(delivery.runner(0), None);
    send(&mut outbox, job, 0);
    delivery.post(&mut outbox, THIRD);
    assert_eq!(delivery.run_next(&outbox, None, OTHER), None);
    delivery.close(0);
    assert!(!delivery.vacate(0), "its keeper comes back");
    delivery.offer(0, NOBODY, &outbox);
    assert_eq!(delivery.run_next(&outbox, None, OTHER), Some(0));
    assert!(delivery.stop_running(0, &outbox));
}

#[test]
fn a_slot_is_free_when_its_last_call_has_ended() {
    let (mut delivery, mut outbox) = setup(1);
    let job = delivery.begin_job().unwrap();
    send(&mut outbox, job, 0);
    send(&mut outbox, job, 0);
    delivery.post(&mut outbox, THIRD);
    delivery.run_next(&outbox, None, ME);
    delivery.next_action(0, &mut outbox);
    delivery.close(0);
    assert!(delivery.next_action(0, &mut outbox).is_none(), "no callback starts any more");
    assert!(delivery.take_orphan(0, &mut outbox).is_some());
    assert!(!delivery.stop_running(0, &outbox), "its queue is still being looked at");
    assert!(delivery.vacate(0));
    delivery.open(0, 'd', None);
    assert_eq!(delivery.run_next(&outbox, None, ME), None);
    delivery.close(0);
    assert!(delivery.vacate(0), "nobody is calling it");
}

#[test]
fn nobody_waits_for_a_client_that_hangs() {
    let (mut delivery, mut outbox) = setup(2);
    let (mine, theirs) = (delivery.begin_job().unwrap(), delivery.begin_job().unwrap());
    for (job, client) in [(mine, 0), (mine, 0), (theirs, 0), (theirs, 1)] {
        send(&mut outbox, job, client);
    }
    delivery.post(&mut outbox, ME);
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(0));
    delivery.next_action(0, &mut outbox);
    delivery.set_hanging(0, &outbox, true);
    assert!(!delivery.is_waited_for(0) && delivery.is_waited_for(1));
    assert_eq!((delivery.open_actions(mine), delivery.open_actions(theirs)), (0, 1));
    assert!(!delivery.holds(mine, &outbox) && delivery.holds(theirs, &outbox));
    assert_eq!(delivery.others_running(OTHER), (false, true));
    // What comes later is not waited for either.
    send(&mut outbox, theirs, 0);
    delivery.post(&mut outbox, OTHER);
    assert_eq!(delivery.open_actions(theirs), 1);
    delivery.end_job(theirs);
    assert_ne!(delivery.begin_job().unwrap(), theirs, "it is on its way all the same");

    // It comes out.
    delivery.moves(0, &outbox);
    delivery.done(mine);
    assert_eq!((delivery.open_actions(mine), delivery.open_actions(theirs)), (1, 3));
    while let Some(node) = delivery.next_action(0, &mut outbox) {
        delivery.done(node.job);
    }
    assert_eq!((delivery.open_actions(mine), delivery.open_actions(theirs)), (0, 1));
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(1));

    // One that is taken out while it hangs.
    delivery.stop_running(0, &outbox);
    send(&mut outbox, mine, 0);
    send(&mut outbox, mine, 0);
    delivery.post(&mut outbox, ME);
    assert_eq!(delivery.run_next(&outbox, Some((mine, ME)), ME), Some(0));
    delivery.next_action(0, &mut outbox);
    delivery.set_hanging(0, &outbox, true);
    delivery.close(0);
    while let Some(orphan) = delivery.take_orphan(0, &mut outbox) {
        delivery.done(orphan.job);
    }
    delivery.moves(0, &outbox);
    assert_eq!(delivery.open_actions(mine), 1, "the one that is performed");
    delivery.done(mine);
    assert!(!delivery.stop_running(0, &outbox) && delivery.vacate(0));
}

#[test]
fn what_stands_behind_anothers_can_be_claimed() {
    let (mut delivery, mut outbox) = setup(3);
    let (mine, theirs) = (delivery.begin_job().unwrap(), delivery.begin_job().unwrap());
    for (job, client) in [(theirs, 0), (theirs, 1), (mine, 1), (theirs, 2)] {
        send(&mut outbox, job, client);
    }
    delivery.post(&mut outbox, THIRD);
    let seeker = (mine, ME);
    assert!(!delivery.has_ready(&outbox, Some(seeker)));
    assert!(delivery.claim_behind(&outbox, seeker));
    assert_eq!(delivery.run_next(&outbox, Some(seeker), ME), Some(1));
    assert_eq!(delivery.run_next(&outbox, Some(seeker), ME), None);
    assert!(!delivery.claim_behind(&outbox, seeker), "another thread runs it");
    delivery.claim(2, ME);
    delivery.claim(1, ME);
    assert_eq!(delivery.run_next(&outbox, Some(seeker), ME), Some(2));
    assert_eq!(delivery.run_next(&outbox, Some(seeker), ME), None);
}

/// The events that have come about.
fn events(delivery: &mut Delivery<char>) -> Vec<Event> {
    delivery.events.take().into_iter().collect()
}

#[test]
fn whoever_leaves_a_lane_wakes_one_that_waits_for_something_in_it() {
    let (mut delivery, mut outbox) = setup(2);
    let jobs = [(); 4].map(|()| delivery.begin_job().unwrap());
    for (job, client) in [(0, 0), (0, 0), (1, 0), (2, 0), (3, 1)] {
        send(&mut outbox, jobs[job], client);
    }
    delivery.post(&mut outbox, THIRD);
    let run = |delivery: &mut Delivery<char>, outbox: &Outbox| {
        assert_eq!(delivery.run_next(outbox, None, THIRD), Some(0));
    };
    // Nobody waits.
    run(&mut delivery, &outbox);
    delivery.offer(0, NOBODY, &outbox);
    assert_eq!(events(&mut delivery), []);
    // The thread whose action is the first does not wait: it may be busy elsewhere.
    jobs[2..].iter().for_each(|job| delivery.await_job(*job, true));
    run(&mut delivery, &outbox);
    delivery.offer(0, NOBODY, &outbox);
    assert_eq!(events(&mut delivery), [Event::Job(jobs[2])]);
    delivery.await_job(jobs[1], true);
    run(&mut delivery, &outbox);
    delivery.offer(0, NOBODY, &outbox);
    assert_eq!(events(&mut delivery), [Event::Job(jobs[1])], "the first one that waits");
    // Who comes back at once wakes nobody, but if it has something long to do.
    run(&mut delivery, &outbox);
    delivery.offer(0, ME, &outbox);
    assert_eq!(events(&mut delivery), []);
    delivery.step_aside(ME, &outbox);
    assert_eq!(events(&mut delivery), [Event::Job(jobs[1])]);
    delivery.step_aside(OTHER, &outbox);
    assert_eq!(events(&mut delivery), []);
    // Who waits no longer is not woken.
    jobs[1..3].iter().for_each(|job| delivery.await_job(*job, false));
    delivery.step_aside(ME, &outbox);
    assert_eq!(events(&mut delivery), []);
    delivery.step_aside(THIRD, &outbox);
    assert_eq!(events(&mut delivery), [Event::Job(jobs[3])], "the other lane");
}

#[test]
fn whoever_leaves_a_lane_wakes_those_that_wait_for_answers_about_flows() {
    let (mut delivery, mut outbox) = setup(1);
    let job = delivery.begin_job().unwrap();
    send(&mut outbox, job, 0);
    delivery.post(&mut outbox, THIRD);
    let flow = SourceGroup::from_bits(0x0a01_0002_ef01_0101);
    delivery.await_flow(flow, ME, true);
    delivery.await_flow(flow, ME, true);
    delivery.await_flow(flow, OTHER, true);
    delivery.await_flow(flow, ME, false);
    assert_eq!(delivery.run_next(&outbox, None, THIRD), Some(0));
    delivery.offer(0, NOBODY, &outbox);
    assert_eq!(events(&mut delivery), [Event::Flow(flow)]);
    delivery.await_flow(flow, OTHER, false);
    assert_eq!(delivery.run_next(&outbox, None, THIRD), Some(0));
    delivery.offer(0, NOBODY, &outbox);
    assert_eq!(events(&mut delivery), []);
}

#[test]
fn an_action_alone_goes_to_an_idle_client_without_the_queue() {
    let (mut delivery, mut outbox) = setup(3);
    let job = delivery.begin_job().unwrap();
    let take = |delivery: &mut Delivery<char>, outbox: &mut Outbox| {
        delivery.take_only(outbox, ME).map(|node| node.client)
    };
    assert_eq!(take(&mut delivery, &mut outbox), None, "there is none");
    send(&mut outbox, job, 1);
    send(&mut outbox, job, 2);
    assert_eq!(take(&mut delivery, &mut outbox), None, "there are two");
    delivery.post(&mut outbox, OTHER);

    send(&mut outbox, job, 0);
    assert_eq!(take(&mut delivery, &mut outbox), None, "lanes are ready");
    assert_eq!(delivery.run_next(&outbox, None, OTHER), Some(1));
    assert_eq!(delivery.run_next(&outbox, None, OTHER), Some(2));
    assert_eq!(take(&mut delivery, &mut outbox), Some(0));
    assert_eq!(delivery.open_actions(job), 3, "it counts as the others do");
    assert_eq!(delivery.runner(0), Some(ME));
    assert!(delivery.holds(job, &outbox));

    // What comes meanwhile queues behind it.
    send(&mut outbox, job, 0);
    assert_eq!(take(&mut delivery, &mut outbox), None, "its client is being called");
    delivery.post(&mut outbox, OTHER);
    delivery.performed(0, job);
    assert_eq!(delivery.next_action(0, &mut outbox).map(|node| node.job), Some(job));
    delivery.performed(0, job);
    assert!(!delivery.stop_running(0, &outbox));
    assert_eq!((delivery.runner(0), delivery.open_actions(job)), (None, 2));

    delivery.close(0);
    send(&mut outbox, job, 0);
    assert_eq!(take(&mut delivery, &mut outbox), None, "the client has gone");
}

/// Only what nobody comes to is the timer's: the thread of a call that goes on takes what it left itself.
#[test]
fn a_lane_is_abandoned_when_the_call_of_its_first_action_has_returned() {
    let (mut delivery, mut outbox) = setup(2);
    let (goes_on, returns) = (delivery.begin_job().unwrap(), delivery.begin_job().unwrap());
    send(&mut outbox, goes_on, 0);
    send(&mut outbox, returns, 1);
    delivery.post(&mut outbox, THIRD);
    delivery.end_job(returns);
    assert!(!delivery.has_abandoned(&outbox), "the thread that made them ready comes to them");
    for slot in [0, 1] {
        assert_eq!(delivery.run_next(&outbox, None, ME), Some(slot));
    }
    delivery.offer(0, NOBODY, &outbox);
    assert!(!delivery.has_abandoned(&outbox));
    delivery.offer(1, NOBODY, &outbox);
    assert!(delivery.has_abandoned(&outbox));
    assert_eq!(delivery.run_next(&outbox, None, ME), Some(1));
    assert!(!delivery.has_abandoned(&outbox));
}
