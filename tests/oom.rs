//! Rule A4: memory running out never aborts; the call gives its code and has changed nothing.
//!
//! A scenario is played once to see what each call gives, which callbacks come, and how often it
//! asks for memory. Then, for each call and each of its allocations, the scenario is played again
//! from the start with that allocation failing. The call must fail with the right code and leave
//! everything as it was, or do what it did before; tried again with memory it does what it did
//! before, and so does the rest of the scenario.
//!
//! An infallible allocation aborts the process, so each scenario runs in a process of its own that
//! says where it is.

#[path = "oom/alloc.rs"]
mod alloc;
#[path = "capi/mod.rs"]
mod capi;
#[path = "common/run.rs"]
mod running;
#[path = "oom/steps.rs"]
mod steps;

use alloc::{Failing, armed, aside, counted};
use capi::clients::{VETO, register};
use capi::process::in_a_process;
use capi::{CLOCK, MORE_DATA, NO_ERROR, OUT_OF_MEMORY, start, take_lines, tick};
use mgm::ffi::host::MgmHostStop;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use steps::{LATER, Step, World, without_tallies};

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Of a call that asks for memory more often than twice this, not every allocation is let fail.
const MANY: u64 = 16;

/// What a call did with all the memory it wanted.
struct Expected {
    code: u32,
    lines: String,
    allocations: u64,
}

/// The scenario as far as it has been played.
struct Play<'a> {
    steps: &'a [Step],
    expected: &'a [Expected],
    world: World,
    at: usize,
    /// The clock went on where it did not the first time.
    late: bool,
}

impl<'a> Play<'a> {
    fn new(steps: &'a [Step], expected: &'a [Expected]) -> Self {
        capi::reset();
        VETO.iter().for_each(|veto| veto.store(0, SeqCst));
        assert_eq!(start(&capi::config()), NO_ERROR);
        let world = World { handles: vec![std::ptr::null_mut(); 1024], rows: Vec::new() };
        Self { steps, expected, world, at: 0, late: false }
    }

    /// Makes the next call with all the memory it wants.
    fn call(&mut self) -> Expected {
        LATER.store(false, SeqCst);
        let (step, world) = (&self.steps[self.at], &mut self.world);
        let seen = counted(|| (step.run)(world));
        self.at += 1;
        Expected { code: seen.result, lines: take_lines(), allocations: seen.allocations }
    }

    /// The same, holding it against what it did the first time.
    fn call_again(&mut self) {
        let (step, expected) = (&self.steps[self.at], &self.expected[self.at]);
        let given = self.call();
        assert_eq!(given.code, expected.code, "{}", step.name);
        self.compare_lines(&given.lines, &expected.lines, &step.name);
    }

    fn play_to(&mut self, end: usize) {
        while self.at < end {
            self.call_again();
        }
    }

    /// Makes the next call with allocation `n` failing, and where it failed once more. The states
    /// before and after it are looked at where they are known.
    fn call_short(&mut self, n: u64, for_good: bool, before: &str, after: &str) {
        LATER.store(false, SeqCst);
        let (step, expected) = (&self.steps[self.at], &self.expected[self.at]);
        let last = self.at + 1 == self.steps.len();
        let result = armed(n, for_good, || (step.run)(&mut self.world)).result;
        let mut lines = take_lines();
        let failed = result == step.code && expected.code != step.code;
        if failed {
            let told = step.told_before;
            let untold: Vec<_> =
                lines.lines().filter(|l| !told.iter().any(|t| l.contains(t))).collect();
            assert_same(&untold.join("\n"), "", &format!("{} failed and called back", step.name));
            if !step.wakes && !before.is_empty() {
                let what = format!("{} failed and changed something", step.name);
                assert_same(&state(), before, &what);
            }
            lines.clear();
            let again = self.call();
            assert_eq!(again.code, expected.code, "{}", step.name);
            lines = again.lines;
        } else {
            if step.partly && result == MORE_DATA {
                // It read what it found memory for.
                lines = self.call().lines;
            } else {
                assert_eq!(result, expected.code, "{} gave another code", step.name);
                self.at += 1;
            }
        }
        if last {
            return assert_same(&lines, &expected.lines, &step.name);
        }
        assert_eq!(tick(), NO_ERROR);
        lines += &take_lines();
        let look = || if after.is_empty() { String::new() } else { state() };
        let mut now = look();
        if !failed && (sorted(&lines) != sorted(&expected.lines) || now != after) {
            // What no memory was found for is done a moment later.
            self.late = true;
            CLOCK.fetch_add(2000, SeqCst);
            assert_eq!(tick(), NO_ERROR);
            lines += &take_lines();
            now = look();
        }
        assert_same(&sorted(&lines), &sorted(&expected.lines), &step.name);
        let mask = |state: &str| if self.late { without_times(state) } else { state.to_owned() };
        assert_same(&mask(&now), &mask(after), &format!("after {}", step.name));
    }

    /// Where something was done late, which entry is seen to first may differ.
    fn compare_lines(&self, given: &str, expected: &str, what: &str) {
        if self.late {
            assert_same(&sorted(given), &sorted(expected), what);
        } else {
            assert_same(given, expected, what);
        }
    }
}

/// Lines in an order of their own. A question counts once: it is put again where memory ran out
/// after it.
fn sorted(lines: &str) -> String {
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    lines.dedup_by(|a, b| a == b && (a.contains("RPF") || a.contains("CREATE")));
    lines.join("\n")
}

fn state() -> String {
    without_tallies(&capi::state())
}

/// A state without what depends on the moment.
fn without_times(state: &str) -> String {
    let mut text = String::new();
    for part in state.split(',') {
        let time = ["uptime", "expires"].iter().any(|name| part.contains(&format!("\"{name}\":")));
        text += if time { "time" } else { part };
        text.push(',');
    }
    text
}

/// Fails at the first line that differs.
fn assert_same(given: &str, expected: &str, what: &str) {
    if given == expected {
        return;
    }
    let pick = |text: &str| text.replace("},{", "},\n{").replace("],", "],\n");
    let (given, expected) = (pick(given), pick(expected));
    let mut message = format!("{what}\n");
    let (mut left, mut right) = (given.lines(), expected.lines());
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            (l, r) if l == r => {}
            (l, r) => {
                let _ = writeln!(message, "  given:    {l:?}\n  expected: {r:?}");
            }
        }
        if message.len() > 3000 {
            break;
        }
    }
    panic!("{message}");
}

/// Plays a scenario in every way in which memory can run out in it. Where that is too long, only
/// the states around one call in `every` are looked at, and the scenario ends after the call.
/// `make test` tries one way in eight, and each function's first allocation.
fn play(steps: &[Step], every: usize) {
    let mut first = Play::new(steps, &[]);
    let mut expected = Vec::new();
    let mut states = Vec::new();
    for n in 0..steps.len() {
        expected.push(first.call());
        if n + 1 < steps.len() {
            assert_eq!(tick(), NO_ERROR);
            assert_same(&take_lines(), "", "what comes after each call");
        }
        states.push(if every == 1 || n % every <= 1 { state() } else { String::new() });
    }
    let (mut ways_so_far, mut tried, mut wrong) = (0, 0, 0);
    for (at, step) in steps.iter().enumerate() {
        // A packet is copied: of a great many, only some are worth a try of their own.
        if every > 1 && at % 20 != 0 && step.is_packet() && expected[at].allocations == 1 {
            continue;
        }
        for (n, for_good) in ways(expected[at].allocations, every == 1) {
            ways_so_far += 1;
            let first = every == 1 && n == 0;
            if ways_so_far % running::amount(1, 8) != 0 && !first {
                continue;
            }
            // For whoever sees the process end here.
            eprintln!("allocation {n}, all after it: {for_good}: {}", step.name);
            let case = || {
                let mut play = Play::new(steps, &expected);
                play.play_to(at);
                let before = if at == 0 { "" } else { &states[at - 1] };
                play.call_short(n, for_good, before, &states[at]);
                if every == 1 {
                    play.play_to(steps.len());
                } else if at + 1 < steps.len() {
                    MgmHostStop();
                }
            };
            if catch_unwind(AssertUnwindSafe(case)).is_err() {
                wrong += 1;
                MgmHostStop();
            }
            tried += 1;
        }
    }
    eprintln!("memory ran out {tried} times");
    assert!(tried > running::amount(100, 12));
    assert_eq!(wrong, 0, "what went wrong stands above");
}

/// The allocations to let fail out of so many, and whether all after it fail too.
fn ways(allocations: u64, both: bool) -> Vec<(u64, bool)> {
    let mut ways = Vec::new();
    for n in 0..allocations {
        if n < MANY || n + MANY >= allocations || n % 61 == 0 {
            ways.push((n, false));
            if both && n + 1 < allocations {
                ways.push((n, true));
            }
        }
    }
    ways
}

#[test]
fn a4_every_function_at_every_allocation() {
    in_a_process("a4_every_function_at_every_allocation", || play(&steps::every_function(), 1));
}

#[test]
fn a4_tables_that_grow() {
    in_a_process("a4_tables_that_grow", || play(&steps::growth(), 50));
}

#[test]
fn a4_starting_without_memory() {
    in_a_process("a4_starting_without_memory", || {
        capi::reset();
        let config = capi::config();
        assert_eq!(armed(0, true, || start(&config)).result, OUT_OF_MEMORY);
        let mut handle = std::ptr::null_mut();
        let registering = armed(0, true, || register(0, 1, 1, &mut handle));
        assert_eq!((registering.result, handle), (OUT_OF_MEMORY, std::ptr::null_mut()));
        assert_eq!(start(&config), NO_ERROR, "nothing is left of the failed starts");
        assert_eq!(MgmHostStop(), NO_ERROR);
    });
}
