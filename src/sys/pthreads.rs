//! pthread's locks with parking_lot's signatures, for tests only. helgrind and DRD do not see a
//! lock that is an atomic word and a futex, but they watch every call of pthreads.
//!
//! No library that is installed has this code.
//!
//! parking_lot's locks go to a waiting thread from time to time. The thread that frees a pthread
//! lock may take it again and again, because valgrind runs one thread at a time. So other threads
//! get their turn after each unlock.

use crate::sys::sync::TimedOut;
use parking_lot::lock_api::{self, GuardNoSend};
use std::cell::UnsafeCell;
use std::time::{Duration, Instant};

pub(crate) type Mutex<T> = lock_api::Mutex<RawMutex, T>;
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
pub(crate) type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// Calls a function of pthreads that fails only where it is misused.
macro_rules! must {
    ($call:expr) => {{
        // SAFETY: the pointer is to an initialised lock or condition variable, which stays where
        // it is while it is borrowed, and so while it is locked or waited at.
        let error = unsafe { $call };
        assert_eq!(error, 0, stringify!($call));
    }};
}

pub(crate) struct RawMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: made to be used by several threads; nobody moves it while it is locked.
unsafe impl Send for RawMutex {}
// SAFETY: as above.
unsafe impl Sync for RawMutex {}

// SAFETY: between lock and unlock pthreads lets no other thread in.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: Self = Self(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        must!(libc::pthread_mutex_lock(self.0.get()));
    }

    fn try_lock(&self) -> bool {
        // SAFETY: as with the others.
        unsafe { libc::pthread_mutex_trylock(self.0.get()) == 0 }
    }

    unsafe fn unlock(&self) {
        must!(libc::pthread_mutex_unlock(self.0.get()));
        must!(libc::sched_yield());
    }
}

impl Drop for RawMutex {
    // So that the tools do not take the next lock at the same address for this one.
    fn drop(&mut self) {
        must!(libc::pthread_mutex_destroy(self.0.get()));
    }
}

pub(crate) struct RawRwLock(UnsafeCell<libc::pthread_rwlock_t>);

// SAFETY: made to be used by several threads; nobody moves it while it is locked.
unsafe impl Send for RawRwLock {}
// SAFETY: as above.
unsafe impl Sync for RawRwLock {}

// SAFETY: pthreads lets no other thread in beside a writer, and only readers beside a reader.
unsafe impl lock_api::RawRwLock for RawRwLock {
    const INIT: Self = Self(UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER));

    type GuardMarker = GuardNoSend;

    fn lock_shared(&self) {
        must!(libc::pthread_rwlock_rdlock(self.0.get()));
    }

    fn try_lock_shared(&self) -> bool {
        // SAFETY: as with the others.
        unsafe { libc::pthread_rwlock_tryrdlock(self.0.get()) == 0 }
    }

    unsafe fn unlock_shared(&self) {
        must!(libc::pthread_rwlock_unlock(self.0.get()));
        must!(libc::sched_yield());
    }

    fn lock_exclusive(&self) {
        must!(libc::pthread_rwlock_wrlock(self.0.get()));
    }

    fn try_lock_exclusive(&self) -> bool {
        // SAFETY: as with the others.
        unsafe { libc::pthread_rwlock_trywrlock(self.0.get()) == 0 }
    }

    unsafe fn unlock_exclusive(&self) {
        must!(libc::pthread_rwlock_unlock(self.0.get()));
        must!(libc::sched_yield());
    }
}

impl Drop for RawRwLock {
    fn drop(&mut self) {
        // The tools complain about a lock that is destroyed and was never locked.
        must!(libc::pthread_rwlock_rdlock(self.0.get()));
        must!(libc::pthread_rwlock_unlock(self.0.get()));
        must!(libc::pthread_rwlock_destroy(self.0.get()));
    }
}

pub(crate) struct Condvar(UnsafeCell<libc::pthread_cond_t>);

// SAFETY: made to be used by several threads; nobody moves it while one waits.
unsafe impl Send for Condvar {}
// SAFETY: as above.
unsafe impl Sync for Condvar {}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER))
    }

    pub(crate) fn notify_one(&self) {
        must!(libc::pthread_cond_signal(self.0.get()));
    }

    pub(crate) fn notify_all(&self) {
        must!(libc::pthread_cond_broadcast(self.0.get()));
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        must!(libc::pthread_cond_wait(self.0.get(), mutex_of(guard)));
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> TimedOut {
        let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        must!(libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut until));
        let nanos = until.tv_nsec as u64 + u64::from(time.subsec_nanos());
        until.tv_sec += (time.as_secs() + nanos / 1_000_000_000) as libc::time_t;
        until.tv_nsec = (nanos % 1_000_000_000) as libc::c_long;
        let mutex = mutex_of(guard);
        // SAFETY: the guard has the mutex locked, and has it again when this returns.
        match unsafe { libc::pthread_cond_timedwait(self.0.get(), mutex, &raw const until) } {
            0 => TimedOut(false),
            libc::ETIMEDOUT => TimedOut(true),
            error => panic!("pthread_cond_timedwait: {error}"),
        }
    }

    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, end: Instant) -> TimedOut {
        self.wait_for(guard, end.saturating_duration_since(Instant::now()))
    }
}

fn mutex_of<T>(guard: &MutexGuard<'_, T>) -> *mut libc::pthread_mutex_t {
    // SAFETY: only the wait unlocks it, and it locks it again.
    unsafe { MutexGuard::mutex(guard).raw() }.0.get()
}
