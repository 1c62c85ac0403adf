//! Holds a library against the model.

use crate::model::choices::Choices;
use crate::model::state::Model;
use crate::model::subject::{Driver, Subject};
use crate::model::words::*;
use crate::programs::Program;
use std::fmt::Write as _;
use std::sync::Arc;

/// How often the model may choose otherwise where the rules leave something open, before the
/// library is held to be wrong. Hardly any program needs ten.
const TRIES: usize = 2_000;

/// What a comparison took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The calls that callbacks made.
    pub calls: usize,
    /// How often the model chose otherwise.
    pub tries: usize,
}

/// One operation on the library: what came of it, and what could be read afterwards.
struct Step {
    got: Outcome,
    is: Snapshot,
}

/// Runs a program on both. The error tells the first step that the model cannot explain, whatever
/// it chooses where the rules leave something open, and all before it.
pub fn compare(subject: Arc<dyn Subject>, program: &Program) -> Result<Effort, String> {
    let mut library = Driver::start(subject, &program.world);
    let last = program.ops.len().saturating_sub(1);
    let step = |(n, op)| {
        let got = library.run(op);
        Step { got, is: if n == last { library.look() } else { library.look_again() } }
    };
    let steps: Vec<Step> = program.ops.iter().enumerate().map(step).collect();
    drop(library);
    let call = |e: &&Event| matches!(e, Event::Call(_));
    let calls = steps.iter().map(|step| step.got.events.iter().filter(call).count()).sum();
    explain(program, &steps).map(|tries| Effort { calls, tries })
}

/// Searches for choices of the model that explain all steps, depth first.
fn explain(program: &Program, steps: &[Step]) -> Result<usize, String> {
    // The model before each step, and what it chose in those before.
    let mut models = vec![Model::new(&program.world)];
    let mut made: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut script = Vec::new();
    let mut tries = 0;
    let mut furthest: Option<(usize, String)> = None;
    while made.len() < steps.len() {
        let at = made.len();
        let mut model = models[at].clone();
        model.choices = Choices { script, made: Vec::new() };
        let agrees = follow(&mut model, &program.ops[at], &steps[at]);
        let chosen = std::mem::take(&mut model.choices).made;
        let agrees = agrees.map_err(|what| (at, what));
        match agrees {
            Ok(()) => {
                models.push(model);
                made.push(chosen);
                script = Vec::new();
                continue;
            }
            Err((at, what)) if furthest.as_ref().is_none_or(|(before, _)| *before < at) => {
                furthest = Some((at, what));
            }
            Err(_) => {}
        }
        tries += 1;
        let mut next = otherwise(&chosen);
        while next.is_none() && !made.is_empty() {
            models.pop();
            next = made.pop().and_then(|made| otherwise(&made));
        }
        match next {
            Some(other) if tries < TRIES => script = other,
            _ => {
                let (at, what) = furthest.unwrap_or_default();
                return Err(tell(program, at, &what, tries));
            }
        }
    }
    Ok(tries)
}

/// The choices that come after these, in order, if there are any.
fn otherwise(made: &[(usize, usize)]) -> Option<Vec<usize>> {
    let at = made.iter().rposition(|(chosen, of)| chosen + 1 < *of)?;
    let before = made[..at].iter().map(|(chosen, _)| *chosen);
    Some(before.chain([made[at].0 + 1]).collect())
}

/// Lets the model do the same and compares everything.
fn follow(model: &mut Model, op: &Op, step: &Step) -> Result<(), String> {
    let Step { got, is } = step;
    model.shown_flows = is.mfes.iter().map(|m| m.flow).collect();
    model.shown = got.events.clone();
    model.shown.push(Event::Return(got.reply.clone()));
    let wanted = model.run(op);
    model.shown.clear();
    model.shown_flows.clear();

    let strip = |o: &Outcome| o.sent.iter().map(|s| (s.on, s.flow, s.ttl)).collect::<Vec<_>>();
    same("events", &wanted.events, &got.events)?;
    check_told(model)?;
    same("reply", &wanted.reply, &got.reply)?;
    same("packets", &strip(&wanted), &strip(got))?;
    let should = model.look();
    same("owners", &should.owners, &is.owners)?;
    same("descriptors that are readable", &should.waiting, &is.waiting)?;
    same("entries", &should.mfes, &is.mfes)
}

/// Rule D7: the last TRUE alert that a client got for a key tells whether others hold that key; for
/// (S,G), whether they do and the client owns the interface toward the source.
fn check_told(model: &Model) -> Result<(), String> {
    for ((id, of), held) in &model.told {
        let deaf = model.is_null(*id, Kind::Join) || model.is_null(*id, Kind::Prune);
        // What it is to be told may wait for its dispatch, and what it was told may have waited while
        // another came to own the interface toward the source, without a word (rule D10).
        let late = model.is_dispatched(*id) && of.has_source();
        let behind = late || model.has_to_dispatch(*id);
        if !model.clients[*id].alive || deaf || behind || model.untold.contains(&(*id, *of)) {
            continue;
        }
        let concerned = !of.has_source() || model.owner_toward(of.source()) == Some(*id);
        let is_held = concerned && model.others_hold(*id, *of);
        if is_held != *held {
            let client = model.clients[*id].client;
            return Err(format!(
                "client {client} was last told of {of} that others hold it: {held}; it is {is_held}"
            ));
        }
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, library: &T) -> Result<(), String> {
    if model == library {
        return Ok(());
    }
    Err(format!("{what} differ\nmodel:   {model:?}\nlibrary: {library:?}"))
}

/// The program up to the step at which they part.
fn tell(program: &Program, at: usize, what: &str, tries: usize) -> String {
    let mut text = format!("step {at}, after {tries} tries: {what}\n");
    let World { max_mfes, max_new, max_new_of_source, null_route, portion, .. } = program.world;
    let limits = (max_mfes, max_new, max_new_of_source);
    let _ = writeln!(text, "  limits {limits:?}, null_route {null_route}, portion {portion}");
    for (n, profile) in program.world.profiles.iter().enumerate() {
        let loops = if profile.dispatched { " has a loop" } else { "" };
        if profile.script != Script::default() || profile.dispatched {
            let _ = writeln!(text, "  client {n}{loops}: {:?}", profile.script);
        }
    }
    for (n, op) in program.ops[..=at].iter().enumerate() {
        let _ = writeln!(text, "  {n}: {op:?}");
    }
    text
}
