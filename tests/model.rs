//! Property test: random programs against the model of semantics.md (see `model/state.rs`).
//!
//! 2,000 programs for each of the two interfaces in an ordinary run, the same ones each time, so
//! that a failure is that of the change at hand; the environment variable PROPTEST_CASES sets
//! another number, and then each run tries others. What failed once is kept: the seeds in
//! `model/regressions.txt`, the shrunk programs in `model/regressions.rs`.

#[path = "model/compare.rs"]
mod compare;
#[path = "model/mod.rs"]
mod model;
#[path = "model/programs.rs"]
mod programs;
#[path = "model/regressions.rs"]
mod regressions;

use crate::model::subject::Subject;
use crate::model::words::Kind;
use programs::{Level, Program, program};
use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};
use std::rc::Rc;

/// How many programs an ordinary run tries.
const CASES: u32 = 2_000;

fn subject(level: Level) -> Rc<dyn Subject> {
    match level {
        Level::Rust => model::rust_api::subject(),
        Level::C => model::c_abi::subject(),
    }
}

fn hold_against_the_model(level: Level) {
    let cases = std::env::var("PROPTEST_CASES").ok().map(|n| n.parse().expect("PROPTEST_CASES"));
    let kept = FileFailurePersistence::Direct("tests/model/regressions.txt");
    let config = Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: Some(Box::new(kept)),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let run = |program: Program| {
        compare::compare(subject(level), &program).map(drop).map_err(TestCaseError::fail)
    };
    let mut runner = match cases {
        Some(_) => TestRunner::new(config),
        None => {
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]))
        }
    };
    match runner.run(&program(level), run) {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(TestError::Abort(reason)) => panic!("gave up: {reason}"),
    }
}

#[test]
fn random_programs_through_rust() {
    hold_against_the_model(Level::Rust);
}

#[test]
fn random_programs_through_c() {
    hold_against_the_model(Level::C);
}

/// Rule A6: each function, called from inside each kind of callback by whichever client gets it.
fn every_call_inside_every_callback(level: Level) {
    for kind in Kind::EVERY {
        for op in programs::every_call() {
            let program = programs::all_callbacks(level, kind, &op);
            match compare::compare(subject(level), &program) {
                Ok(0) => panic!("{kind:?} never came, or called nothing"),
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

fn what_once_failed(level: Level) {
    for (name, program) in regressions::all(level) {
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
