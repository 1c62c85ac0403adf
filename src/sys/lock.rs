//! The library's read-write lock, which consists of a few of parking_lot's locks (shards). A reader
//! takes the shard of its thread; a writer takes all of them.
//!
//! With a single lock, two readers at once were slower than one: each writes the lock's word, which
//! moves back and forth between their caches. Each shard costs a writer some 10 ns, so there are
//! few.
//!
//! A thread tries a shard a hundred times before it goes to sleep. The library mostly holds its
//! lock for some hundred nanoseconds, a tenth of what it costs to sleep and be woken. parking_lot
//! tries three times and then yields the processor; with that, a reader beside a busy writer took
//! four times as long. std's lock spins too, but a sweep that takes the lock again and again keeps
//! a writer out for milliseconds.

use parking_lot::lock_api::{self, GuardNoSend, RawRwLock, RawRwLockFair};
use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value that many may read at a time, or one may change.
pub type ShardedRwLock<T> = lock_api::RwLock<Sharded, T>;

/// Who has such a lock for writing.
pub type Writing<'a, T> = lock_api::RwLockWriteGuard<'a, Sharded, T>;

const SHARDS: usize = 2;
/// They take some 2 to 4 µs.
const TRIES: u32 = 100;

/// It has two cache lines of its own, because processors fetch them in pairs.
#[repr(align(128))]
struct Shard(parking_lot::RawRwLock);

/// The lock without the value that it protects.
pub struct Sharded([Shard; SHARDS]);

/// The shard of the calling thread. It is always the same, so that a thread unlocks what it locked.
fn mine() -> usize {
    const NONE_YET: usize = SHARDS;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(NONE_YET) };
    }
    MINE.with(|mine| {
        if mine.get() == NONE_YET {
            mine.set(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        mine.get()
    })
}

impl Sharded {
    fn of_this_thread(&self) -> &parking_lot::RawRwLock {
        &self.0[mine()].0
    }
}

// SAFETY: a writer has every shard, in the order that all writers take them, and so excludes other
// writers, and readers, each of which has one of them. The guards are not Send: a reader gives back
// what its own thread took.
unsafe impl RawRwLock for Sharded {
    const INIT: Self = Self([const { Shard(parking_lot::RawRwLock::INIT) }; SHARDS]);

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock_shared(&self) {
        let shard = self.of_this_thread();
        if !shard.try_lock_shared() && !spin(|| shard.try_lock_shared()) {
            shard.lock_shared();
        }
    }

    fn try_lock_shared(&self) -> bool {
        self.of_this_thread().try_lock_shared()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        // SAFETY: the caller's promise: this thread has a lock for reading, which is this shard's.
        unsafe { self.of_this_thread().unlock_shared() };
    }

    #[inline]
    fn lock_exclusive(&self) {
        for Shard(shard) in &self.0 {
            if !shard.try_lock_exclusive() && !spin(|| shard.try_lock_exclusive()) {
                shard.lock_exclusive();
            }
        }
    }

    fn try_lock_exclusive(&self) -> bool {
        let taken = self.0.iter().take_while(|shard| shard.0.try_lock_exclusive()).count();
        if taken < SHARDS {
            for Shard(shard) in &self.0[..taken] {
                // SAFETY: it was locked just now.
                unsafe { shard.unlock_exclusive() };
            }
        }
        taken == SHARDS
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        for Shard(shard) in &self.0 {
            // SAFETY: the caller's promise: it has the lock for writing, which is all shards'.
            unsafe { shard.unlock_exclusive() };
        }
    }
}

// SAFETY: as above.
unsafe impl RawRwLockFair for Sharded {
    unsafe fn unlock_shared_fair(&self) {
        // SAFETY: the caller's promise, as above.
        unsafe { self.of_this_thread().unlock_shared_fair() };
    }

    unsafe fn unlock_exclusive_fair(&self) {
        for Shard(shard) in &self.0 {
            // SAFETY: the caller's promise, as above.
            unsafe { shard.unlock_exclusive_fair() };
        }
    }
}

#[cold]
fn spin(mut attempt: impl FnMut() -> bool) -> bool {
    (0..TRIES).any(|_| {
        spin_loop();
        attempt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::{scope, yield_now};

    /// Threads of both shards, each doing the same.
    fn on_every_shard(body: impl Fn() + Sync) {
        let seen = [const { AtomicUsize::new(0) }; SHARDS];
        let missing = || seen.iter().any(|count| count.load(Ordering::SeqCst) == 0);
        for _ in 0..1000 {
            scope(|scope| {
                scope.spawn(|| {
                    seen[mine()].fetch_add(1, Ordering::SeqCst);
                    body();
                });
            });
            if !missing() {
                return;
            }
        }
        panic!("of a thousand threads none had some shard");
    }

    #[test]
    fn a_writer_excludes_all() {
        let lock = ShardedRwLock::new((0_u32, 0_u32));
        scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let mut both = lock.write();
                        both.0 += 1;
                        yield_now();
                        both.1 += 1;
                    }
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let both = lock.read();
                        assert_eq!(both.0, both.1);
                    }
                });
            }
        });
        assert_eq!(*lock.read(), (4_000, 4_000));
    }

    #[test]
    fn readers_of_every_shard_read_together_and_keep_writers_out() {
        let lock = ShardedRwLock::new(());
        let reader = lock.read();
        on_every_shard(|| {
            assert!(lock.try_read().is_some(), "beside another reader");
            assert!(lock.try_write().is_none());
        });
        drop(reader);
        on_every_shard(|| {
            let reader = lock.read();
            scope(|scope| {
                for _ in 0..2 * SHARDS {
                    scope.spawn(|| assert!(lock.try_write().is_none(), "this reader is there"));
                }
            });
            drop(reader);
        });
        on_every_shard(|| {
            assert!(lock.try_write().is_some(), "an attempt that failed left nothing")
        });
        let writer = lock.write();
        on_every_shard(|| assert!(lock.try_read().is_none()));
        drop(writer);
        on_every_shard(|| drop(lock.read()));
    }
}
