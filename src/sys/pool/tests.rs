//! The threads by themselves, with duties that hang.

#![forbid(unsafe_code)]

use super::*;
use std::sync::atomic::AtomicU32;
use std::thread;

/// A duty that tests watch and hold up.
#[derive(Default)]
struct Work {
    /// How many turns have begun and ended, and how many found that they were another's.
    begun: AtomicU32,
    ended: AtomicU32,
    lost: AtomicU32,
    /// So many of the next turns call something that does not return.
    hangs: AtomicU32,
    inside: AtomicU32,
    may_return: AtomicBool,
    /// A turn works so long without calling anything, in milliseconds.
    works: AtomicU64,
    /// What was told when no thread could be had.
    short: Mutex<Vec<Short>>,
}

impl Duty for Work {
    fn turn(&self, turn: &Turn<'_>) -> Next {
        self.begun.fetch_add(1, SeqCst);
        let hangs = self.hangs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if hangs {
            calling(
                |short| self.short.lock().push(short),
                || {
                    self.inside.fetch_add(1, SeqCst);
                    until("let go", || self.may_return.load(SeqCst));
                    self.inside.fetch_sub(1, SeqCst);
                },
            );
        }
        let works = self.works.load(SeqCst);
        if works > 0 {
            // After a short call, so that another thread stands by.
            calling(|short| self.short.lock().push(short), || ());
            thread::sleep(Duration::from_millis(works));
        }
        self.lost.fetch_add(u32::from(!turn.goes_on()), SeqCst);
        self.ended.fetch_add(1, SeqCst);
        if self.hangs.load(SeqCst) > 0 { Next::Now } else { Next::Woken }
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn start(duties: &[&Arc<Work>]) -> &'static Pool {
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    let duties: Vec<Arc<dyn Duty>> =
        duties.iter().map(|duty| Arc::clone(duty) as Arc<dyn Duty>).collect();
    pool.start(&duties).unwrap();
    pool.go();
    pool
}

#[test]
fn one_thread_sees_to_all_duties_that_wait_for_nothing() {
    let duties = [(); 3].map(|()| Arc::new(Work::default()));
    let pool = start(&duties.each_ref());
    until("a turn each", || duties.iter().all(|duty| duty.ended.load(SeqCst) == 1));
    assert!(pool.has(2) && !pool.has(3));
    pool.wake(1);
    until("one more", || duties[1].ended.load(SeqCst) == 2);
    assert_eq!((pool.threads(), pool.added()), (1, 0));
    assert!(pool.end(Duration::from_secs(30)));
    assert_eq!(duties.map(|duty| duty.begun.load(SeqCst)), [1, 2, 1]);
}

#[test]
fn a_thread_that_works_is_not_one_that_hangs() {
    let (work, other) = (Arc::new(Work::default()), Arc::new(Work::default()));
    work.works.store(10 * SLOW.as_millis() as u64, SeqCst);
    other.hangs.store(1, SeqCst);
    let pool = start(&[&other, &work]);
    // Somebody watches.
    until("a thread inside a call", || other.inside.load(SeqCst) == 1);
    until("the work", || work.ended.load(SeqCst) == 1);
    assert_eq!((work.begun.load(SeqCst), work.lost.load(SeqCst)), (1, 0));
    other.may_return.store(true, SeqCst);
    until("the call to return", || other.ended.load(SeqCst) == 1);
    assert!(pool.end(Duration::from_secs(30)));
}

#[test]
fn duties_go_on_beside_calls_that_hang_and_added_threads_end() {
    let (work, other) = (Arc::new(Work::default()), Arc::new(Work::default()));
    work.hangs.store(5, SeqCst);
    let pool = start(&[&work, &other]);
    until("five to hang", || work.inside.load(SeqCst) == 5);
    until("the turn after them", || work.ended.load(SeqCst) == 1);
    pool.wake(1);
    until("the other duty", || other.ended.load(SeqCst) == 2);
    assert_eq!((pool.threads(), pool.added()), (6, 5), "one for each that hangs, and one");
    work.may_return.store(true, SeqCst);
    until("all to return", || work.ended.load(SeqCst) == 6);
    assert_eq!(work.lost.load(SeqCst), 5, "each finds that another one goes on");
    until("those that were added to end", || pool.threads() == 1);
    pool.wake(0);
    until("the one that is left to work", || work.ended.load(SeqCst) == 7);
    assert!(pool.end(Duration::from_secs(30)));
    assert!(work.short.lock().is_empty());
}

#[test]
fn there_is_an_end_to_threads_and_it_is_told_once() {
    let work = Arc::new(Work::default());
    work.hangs.store(MOST as u32 + 8, SeqCst);
    let pool = start(&[&work]);
    until("all to hang", || work.inside.load(SeqCst) == MOST as u32);
    assert_eq!(*work.short.lock(), [Short::Many(MOST - 1)]);
    work.may_return.store(true, SeqCst);
    until("the rest", || work.ended.load(SeqCst) >= MOST as u32 + 8);
    until("those that were added to end", || pool.threads() == 1);
    assert!(pool.end(Duration::from_secs(30)));
}

#[test]
fn a_thread_that_is_left_behind_has_no_part_in_the_next_run() {
    let (old, new) = (Arc::new(Work::default()), Arc::new(Work::default()));
    old.hangs.store(1, SeqCst);
    let pool = start(&[&old]);
    until("one to hang", || old.inside.load(SeqCst) == 1);
    assert!(!pool.end(Duration::from_millis(20)));
    pool.start(&[Arc::clone(&new) as Arc<dyn Duty>]).unwrap();
    pool.go();
    until("the next run's turn", || new.ended.load(SeqCst) == 1);
    old.may_return.store(true, SeqCst);
    until("the late one to return", || old.ended.load(SeqCst) == 1);
    let all = || {
        let state = pool.state.lock();
        (state.total, state.places.count_ones())
    };
    until("it to end", || all() == (1, 1));
    assert_eq!((old.lost.load(SeqCst), pool.threads()), (1, 1));
    assert!(pool.end(Duration::from_secs(30)));
    assert_eq!(all(), (0, 0));
}
