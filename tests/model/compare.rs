//! Holds a library against the model, step by step.

use crate::model::state::Model;
use crate::model::subject::{Driver, Subject};
use crate::model::words::*;
use crate::programs::Program;
use std::fmt::Write as _;
use std::rc::Rc;

/// Runs a program on both and counts the calls that callbacks made. The error tells the first step
/// at which they part, and all before it.
pub fn compare(subject: Rc<dyn Subject>, program: &Program) -> Result<usize, String> {
    let mut calls = 0;
    let mut library = Driver::start(subject, &program.world);
    let mut model = Model::new(&program.world);
    for (at, op) in program.ops.iter().enumerate() {
        let got = library.run(op);
        calls += got.events.iter().filter(|e| matches!(e, Event::Call(_))).count();
        let is = library.look();
        // What no rule orders and nobody sees: any order that explains the rest will do.
        let tries = [false, true].map(|silent_first| {
            let mut model = Model { silent_first, ..model.clone() };
            let wanted = follow(&mut model, op, &got, &is);
            let agrees = agree(&mut model, &wanted, &got, &is, program, at);
            agrees.map(|()| model)
        });
        let [first, second] = tries;
        model = first.or_else(|reason| second.map_err(|_| reason))?;
    }
    Ok(calls)
}

/// Lets the model do the same, choosing between clients as the library chose.
fn follow(model: &mut Model, op: &Op, shown: &Outcome, after: &Snapshot) -> Outcome {
    model.shown_flows = after.mfes.iter().map(|m| m.flow).collect();
    model.shown = shown.events.clone();
    model.shown.push(Event::Return(shown.reply.clone()));
    let outcome = model.run(op);
    model.shown.clear();
    model.shown_flows.clear();
    outcome
}

fn agree(
    model: &mut Model,
    wanted: &Outcome,
    got: &Outcome,
    is: &Snapshot,
    program: &Program,
    at: usize,
) -> Result<(), String> {
    let strip = |o: &Outcome| o.sent.iter().map(|s| (s.on, s.flow, s.ttl)).collect::<Vec<_>>();
    same("events", &wanted.events, &got.events, program, at)?;
    same("reply", &wanted.reply, &got.reply, program, at)?;
    same("packets", &strip(wanted), &strip(got), program, at)?;
    let should = model.look();
    same("owners", &should.owners, &is.owners, program, at)?;
    same("entries", &should.mfes, &is.mfes, program, at)
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    model: &T,
    library: &T,
    program: &Program,
    at: usize,
) -> Result<(), String> {
    if model == library {
        return Ok(());
    }
    let mut text = format!("{what} differ at step {at}\n");
    let World { max_mfes, max_new, max_new_of_source, null_route, .. } = program.world;
    let limits = (max_mfes, max_new, max_new_of_source);
    let _ = writeln!(text, "  limits {limits:?}, null_route {null_route}");
    for (n, profile) in program.world.profiles.iter().enumerate() {
        if profile.script != Script::default() {
            let _ = writeln!(text, "  client {n}: {:?}", profile.script);
        }
    }
    for (n, op) in program.ops[..=at].iter().enumerate() {
        let _ = writeln!(text, "  {n}: {op:?}");
    }
    let _ = write!(text, "model:   {model:?}\nlibrary: {library:?}");
    Err(text)
}
