//! How long a read, another client's change and a new flow take while something large goes on.
//!
//! One is due every 200 µs. Where one takes longer, those that were due meanwhile count too, as if
//! others had begun them then: so the figures do not depend on how few could begin while everything
//! stood still. The reference is a lock of the same kind that another thread holds for 100 µs, again
//! and again: what the machine makes of threads that wait for each other.

use crate::report;
use crate::shared::library::{Library, Numbers, World, group, mfe_of, source};
use parking_lot::RwLock;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often something is due beside.
const PERIOD: Duration = Duration::from_micros(200);
/// How long the reference holds its lock.
const HELD: Duration = Duration::from_micros(100);
/// What takes less is done again and again for so long.
const LEAST: Duration = Duration::from_millis(700);

/// The interface of the client whose memberships are many, that of the client that makes changes
/// beside it, and the one that flows beside it come in on.
const MANY: u32 = 4;
const OTHER: u32 = 5;
const FLOWS: u32 = 6;

/// What happens beside.
#[derive(Clone, Copy)]
enum Beside {
    Read,
    Change,
    Flow,
}

impl Beside {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Flow => "new flow",
        }
    }
}

struct Stage {
    world: World,
    many: *mut std::ffi::c_void,
    other: *mut std::ffi::c_void,
    n: u32,
    fresh: u32,
    with_bare: bool,
}

impl Stage {
    fn fill(&self) {
        (0..self.n).for_each(|i| self.world.packet(source(i), group(i)));
    }

    /// Does something over and over while `what` is done, and gives how long each took. With
    /// `reference` it only takes that lock.
    fn took(
        &mut self,
        beside: Beside,
        reference: Option<&RwLock<()>>,
        what: impl Fn(&World),
    ) -> Vec<Duration> {
        let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let (world, other, n) = (&self.world, Handle(self.other), self.n);
        let fresh = &mut self.fresh;
        std::thread::scope(|scope| {
            let prober = scope.spawn(|| {
                let (other, mut numbers, mut buffer) = (other, Numbers(5), [0u8; 256]);
                let mut took = Vec::with_capacity(1_000_000);
                let mut once = || match (beside, reference) {
                    (Beside::Read, Some(lock)) => drop(lock.read()),
                    (_, Some(lock)) => drop(lock.write()),
                    (Beside::Read, _) => {
                        black_box(world.get(mfe_of(numbers.below(n)), &mut buffer));
                    }
                    // Groups of its own, and one that others have.
                    (Beside::Change, _) => {
                        let group = group(numbers.below(n)) + numbers.below(2);
                        world.add_of(other.0, group, OTHER);
                        world.delete_of(other.0, group, OTHER);
                    }
                    (Beside::Flow, _) => {
                        *fresh += 1;
                        world.packet_on(FLOWS, 0x0d00_0000 + *fresh, group(*fresh % n));
                    }
                };
                once();
                begun.store(true, Relaxed);
                let mut due = Instant::now();
                while !over.load(Relaxed) {
                    while Instant::now() < due {
                        std::hint::spin_loop();
                    }
                    let begin = Instant::now();
                    once();
                    let mut late = begin.elapsed();
                    due = begin + late.max(PERIOD);
                    while {
                        took.push(late);
                        late > PERIOD
                    } {
                        late -= PERIOD;
                    }
                }
                took.sort_unstable();
                took
            });
            while !begun.load(Relaxed) {
                std::thread::yield_now();
            }
            what(world);
            over.store(true, Relaxed);
            prober.join().unwrap()
        })
    }

    fn measure(&mut self, beside: Beside, name: &str, what: impl Fn(&World)) {
        let took = self.took(beside, None, what);
        self.report(beside, name, "mgm", &took);
        if !self.with_bare {
            return;
        }
        let lock = RwLock::new(());
        let took = self.took(beside, Some(&lock), |_| again(|| hold(&lock)));
        self.report(beside, name, "bare", &took);
    }

    fn report(&self, beside: Beside, name: &str, who: &str, took: &[Duration]) {
        let (rare, worst) = (took[took.len() - 1 - took.len() / 1000], took[took.len() - 1]);
        let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
        let what = beside.name();
        report(&format!("{what} beside {name}: p99.9 µs"), self.n, who, micros(rare));
        report(&format!("{what} beside {name}: longest µs"), self.n, who, micros(worst));
    }
}

/// Holds a lock for a while.
fn hold(lock: &RwLock<()>) {
    let _held = lock.write();
    let begun = Instant::now();
    while begun.elapsed() < HELD {
        std::hint::spin_loop();
    }
}

/// A handle is a number, which any thread may use.
#[derive(Clone, Copy)]
struct Handle(*mut std::ffi::c_void);
// SAFETY: see above.
unsafe impl Send for Handle {}
// SAFETY: see above.
unsafe impl Sync for Handle {}

/// Does it again until it has lasted long enough.
fn again(mut what: impl FnMut()) {
    let begun = Instant::now();
    while begun.elapsed() < LEAST {
        what();
    }
}

fn timed(name: &str, n: u32, what: impl FnOnce()) {
    let begun = Instant::now();
    what();
    report(&format!("{name}, ms"), n, "mgm", begun.elapsed().as_nanos() as f64 / 1e6);
}

/// Measures all of it with so many entries and memberships; with `only`, what it names beside alone, and
/// without the reference.
pub fn run(n: u32, only: Option<&str>) {
    let library = Library::open(&Library::path());
    let world = World::new(&library);
    let (many, other) = (world.client(&library, 3, &[MANY]), world.client(&library, 4, &[OTHER]));
    world.take(world.owner, FLOWS);
    let mut stage = Stage { world, many, other, n, fresh: 0, with_bare: only.is_none() };
    // Everything goes out through 2 and 3.
    stage.world.add(0, 2);
    stage.world.add(0, 3);
    stage.fill();
    let all = [Beside::Read, Beside::Change, Beside::Flow];
    for beside in all.into_iter().filter(|beside| only.is_none_or(|only| only == beside.name())) {
        let many = stage.many;
        (0..n).for_each(|i| stage.world.add_of(many, group(i), MANY));
        stage.measure(beside, "a release of memberships", |world| {
            timed("release of memberships", n, || world.release(many, MANY));
        });
        stage.world.take(many, MANY);
        stage.measure(beside, "a (*,*) add", |world| {
            timed("(*,*) add", n, || world.add_of(many, 0, MANY));
        });
        stage.measure(beside, "a (*,*) delete", |world| {
            timed("(*,*) delete", n, || world.delete_of(many, 0, MANY));
        });
        stage.measure(beside, "an oif that goes down", |world| {
            timed("oif down", n, || world.down(3));
        });
        stage.measure(beside, "an oif that comes up", |world| {
            timed("oif up", n, || world.packet_on(3, source(0), group(0)));
        });
        let page = || vec![0; 65_536];
        stage.measure(beside, "a sweep", |world| {
            again(|| assert!(world.sweep(&mut page()) >= n));
        });
        stage.measure(beside, "statistics", |world| {
            again(|| assert!(world.sweep_stats(&mut page()) >= n));
        });
        stage.measure(beside, "an enumeration", |world| {
            again(|| _ = world.enumerate(&mut vec![0; 16 << 20]));
        });
        stage.measure(beside, "the state", |world| {
            timed("state", n, || drop(world.state()));
        });
        stage.measure(beside, "scrapes of the metrics", |world| {
            again(|| drop(world.scrape()));
        });
        stage.measure(beside, "an iif that goes down", |world| {
            timed("iif down", n, || world.down(1));
        });
        stage.fill();
    }
}
