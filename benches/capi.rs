//! The C interface, through dlopen as a C program has it, beside bare containers that do the same
//! work: time per call, by criterion.
//!
//!     cargo bench --bench capi        with 100,000 entries
//!     ENTRIES=1000000 ROUNDS=5 MGM_LIBRARY=libmgm.so capi --bench
//!
//! Library and reference are neighbours in each group, and take turns as often as there are rounds.
//! `benches/report.py criterion` makes lines of results of what criterion leaves behind.

mod shared;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use shared::bare::{Entries, Memberships, key};
use shared::library::{Library, Numbers, World, alerts, check, group, mfe_of};
use std::hint::black_box;
use std::time::Duration;

/// A source that none of the flows has.
const NOBODY: u32 = 0x0b00_0000;

fn number(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

struct Bench {
    criterion: Criterion,
    entries: u32,
    rounds: u32,
}

impl Bench {
    /// Measures the two in turn, as often as there are rounds. Each call is `elements` operations.
    fn pair(&mut self, what: &str, elements: u32, mut mgm: impl FnMut(), mut bare: impl FnMut()) {
        let mut group = self.criterion.benchmark_group(what);
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(elements.into()));
        for round in 0..self.rounds {
            let round = format!("{} {round}", self.entries);
            group.bench_function(BenchmarkId::new("mgm", &round), |b| b.iter(&mut mgm));
            group.bench_function(BenchmarkId::new("bare", &round), |b| b.iter(&mut bare));
        }
    }

    /// A pair of calls that deletes a membership and adds it again, with or without alerts.
    fn memberships(&mut self, what: &str, world: &World, interface: u32, alerted: bool) {
        let (n, before) = (self.entries, alerts());
        let (mut ours, mut theirs) = (Numbers(1), Numbers(1));
        let mut memberships = Memberships::new(n);
        self.pair(
            what,
            1,
            || world.pair(group(ours.below(n)), interface),
            || {
                let group = group(theirs.below(n));
                let value = memberships.delete(group);
                memberships.add(group, value);
            },
        );
        assert_eq!(alerts() != before, alerted, "{what}: alerts");
    }

    fn reads(&mut self, world: &World) {
        let (n, entries) = (self.entries, Entries::new(self.entries));
        let (mut ours, mut theirs) = (Numbers(2), Numbers(2));
        let (mut buffer, mut other) = ([0u8; 256], [0u8; 256]);
        self.pair(
            "MgmGetMfe hit",
            1,
            || check(world.get(mfe_of(ours.below(n)), black_box(&mut buffer))),
            || assert!(entries.get(key(theirs.below(n)), black_box(&mut other))),
        );
        let (mut ours, mut theirs) = (Numbers(3), Numbers(3));
        self.pair(
            "MgmGetMfe miss",
            1,
            || {
                let mut wanted = mfe_of(ours.below(n));
                wanted.dwSource = NOBODY.to_be();
                assert_ne!(world.get(wanted, black_box(&mut buffer)), 0);
            },
            || {
                let wanted = u64::from(group(theirs.below(n))) << 32 | u64::from(NOBODY);
                assert!(!entries.get(wanted, black_box(&mut other)));
            },
        );
        for (name, size) in [("64 KiB", 65_536), ("4 KiB", 4_096)] {
            let (mut page, mut other) = (vec![0; size], vec![0; size]);
            self.pair(
                &format!("sweep, {name}"),
                n,
                || assert_eq!(world.sweep(&mut page), n),
                || assert_eq!(entries.sweep(&mut other), n),
            );
        }
        let (mut page, mut other) = (vec![0; 65_536], vec![0; 65_536]);
        self.pair(
            "group enumeration",
            n,
            || assert_eq!(world.enumerate(&mut page), n),
            || assert_eq!(entries.enumerate(&mut other), n),
        );
    }
}

fn main() {
    // Short measurements, often: what counts is that library and reference take turns.
    let milliseconds = number("MILLISECONDS", 200).into();
    let criterion = Criterion::default()
        .sample_size(10)
        .nresamples(1_000)
        .warm_up_time(Duration::from_millis(milliseconds / 4))
        .measurement_time(Duration::from_millis(milliseconds))
        .without_plots()
        .configure_from_args();
    let n = number("ENTRIES", 100_000);
    let mut bench = Bench { criterion, entries: n, rounds: number("ROUNDS", 5) };
    let world = World::new(&Library::open(&Library::path()));
    (0..n).for_each(|i| world.add(group(i), 2));
    bench.memberships("delete and add", &world, 2, true);
    (0..n).for_each(|i| world.add(group(i), 3));
    bench.memberships("delete and add, no alert", &world, 3, false);
    (0..n).for_each(|i| world.packet(shared::library::source(i), group(i)));
    bench.memberships("delete and add over a flow", &world, 3, false);
    bench.reads(&world);
    bench.criterion.final_summary();
}
