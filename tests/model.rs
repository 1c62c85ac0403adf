//! Property test: random programs against the model of docs/RULES.md (`model/state.rs`).
//!
//! In `make test-all` 2,000 programs through the Rust API and as many through the C ABI, and 200 with
//! clients whose host is another process; fewer in `make test`. They are the same ones each time, so
//! that a failure is that of the change at hand. The environment variable MGM_MODEL_PROGRAMS sets
//! another number, and then each run tries others, from a seed that it prints; MGM_MODEL_SEED
//! gives it the seed of an earlier run. What failed once is kept in `model/regressions.rs`.
//!
//! Across processes most of a program's time goes into messages, each of which wakes a thread. On one
//! processor that costs half as much. So of many programs, seven in eight stay on one, with their
//! host; the eighth and those of an ordinary run use all that there are, where threads run at once.

#[path = "model/compare.rs"]
mod compare;
#[path = "model/mod.rs"]
mod model;
#[path = "model/programs.rs"]
mod programs;
#[path = "model/regressions.rs"]
mod regressions;
#[path = "common/run.rs"]
mod running;

use crate::model::remote::Room;
use crate::model::subject::Subject;
use crate::model::words::Kind;
use programs::{Level, Program, program};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How many programs an ordinary run tries, in `make test-all` and in `make test`, and from which
/// seed.
const PROGRAMS: [u32; 2] = [2_000, 500];
const PROGRAMS_ACROSS: [u32; 2] = [200, 60];
const SEED: u64 = 1;

/// Of so many programs in a long run across processes, one uses all processors.
const ROAMS: usize = 8;

fn subject(level: Level) -> Arc<dyn Subject> {
    subject_in(level, Room::Everywhere)
}

fn subject_in(level: Level, room: Room) -> Arc<dyn Subject> {
    match level {
        Level::Rust => model::rust_api::subject(),
        Level::C => model::c_abi::subject(),
        Level::Remote => model::remote::subject(room),
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value}: a number is wanted")))
}

fn hold_against_the_model(level: Level) {
    let programs = number("MGM_MODEL_PROGRAMS");
    let by_clock = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        now.as_nanos() as u64
    };
    let ordinary = || if programs.is_some() { by_clock() } else { SEED };
    let seed = number("MGM_MODEL_SEED").unwrap_or_else(ordinary);
    let [all, quick] = match level {
        Level::Remote => PROGRAMS_ACROSS,
        Level::Rust | Level::C => PROGRAMS,
    };
    let cases =
        programs.map_or(running::amount(all, quick), |n| n.try_into().expect("MGM_MODEL_PROGRAMS"));
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    println!("{level:?}: {cases} programs, MGM_MODEL_SEED={seed}");

    let begun = Instant::now();
    let [calls, tries, most, next] = [const { Cell::new(0) }; 4];
    let run = |program: Program| {
        let number = next.replace(next.get() + 1);
        let room = match programs {
            Some(_) if number % ROAMS != 0 => Room::OneProcessor,
            _ => Room::Everywhere,
        };
        let subject = subject_in(level, room);
        let effort = compare::compare(subject, &program).map_err(TestCaseError::fail)?;
        calls.set(calls.get() + effort.calls);
        tries.set(tries.get() + effort.tries);
        most.set(most.get().max(effort.tries));
        Ok(())
    };
    match runner.run(&program(level), run) {
        Ok(()) => {}
        Err(TestError::Fail(reason, program)) => {
            panic!("MGM_MODEL_SEED={seed}: {reason}\n{program:?}")
        }
        Err(TestError::Abort(reason)) => panic!("gave up: {reason}"),
    }
    println!(
        "{level:?}: {cases} programs agree in {:.0?}; callbacks made {} calls; the model chose \
         otherwise {} times, at most {} times in one program",
        begun.elapsed(),
        calls.get(),
        tries.get(),
        most.get(),
    );
}

#[test]
fn random_programs_through_rust() {
    hold_against_the_model(Level::Rust);
}

#[test]
fn random_programs_through_c() {
    hold_against_the_model(Level::C);
}

#[test]
fn p1_random_programs_across_processes() {
    hold_against_the_model(Level::Remote);
}

/// The host's process of those; nothing where it is not asked for.
#[test]
fn host_process() {
    model::remote::host::run_if_asked();
}

/// Rule A6: each function, called from inside each kind of callback by whichever client gets it.
fn every_call_inside_every_callback(level: Level) {
    for (n, kind) in Kind::EVERY.into_iter().enumerate() {
        // Across processes each takes long: some of them, others inside each kind.
        let step =
            if level == Level::Remote && number("MGM_MODEL_PROGRAMS").is_none() { 5 } else { 1 };
        for op in programs::every_call(level).into_iter().skip(n % step).step_by(step) {
            let program = programs::all_callbacks(level, kind, &op);
            match compare::compare(subject(level), &program) {
                Ok(effort) if effort.calls == 0 => {
                    panic!("{kind:?} never came, or called nothing")
                }
                Ok(_) => {}
                Err(reason) => panic!("{op:?} inside {kind:?}: {reason}"),
            }
        }
    }
}

#[test]
fn a6_every_call_inside_every_callback_through_rust() {
    every_call_inside_every_callback(Level::Rust);
}

#[test]
fn a6_every_call_inside_every_callback_through_c() {
    every_call_inside_every_callback(Level::C);
}

#[test]
fn p1_every_call_inside_every_callback_across_processes() {
    every_call_inside_every_callback(Level::Remote);
}

fn what_once_failed(level: Level) {
    for (name, program) in regressions::all(level) {
        let scripts = program.world.profiles.iter().map(|profile| &profile.script);
        let mut inside = scripts.flat_map(|script| &script.nested);
        if level == Level::Remote && inside.any(|(_, op)| op.is_the_hosts()) {
            continue; // a host of another process is not inside callbacks
        }
        if let Err(reason) = compare::compare(subject(level), &program) {
            panic!("{name}: {reason}");
        }
    }
}

#[test]
fn what_once_failed_through_rust() {
    what_once_failed(Level::Rust);
}

#[test]
fn what_once_failed_through_c() {
    what_once_failed(Level::C);
}

#[test]
fn what_once_failed_across_processes() {
    what_once_failed(Level::Remote);
}
