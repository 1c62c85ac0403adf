//! What threads use together: parking_lot's locks, std's atomics, the clock. The tests in
//! `schedules` replace them with a scheduler's, which decides at each of them which thread goes on.

/// Locks for threads that no scheduler runs, because they wait for the kernel or for a socket.
pub(crate) use parking_lot as unscheduled;

#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use crate::sys::{ShardedRwLock as RwLock, Thread, Writing, coarse_time};
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use std::{sync::atomic, thread_local, time::Instant};
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use unscheduled::{Condvar, Condvar as Alarm, Mutex, MutexGuard};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use scheduled::{
    Alarm, Condvar, Instant, Mutex, MutexGuard, RwLock, Thread, Writing, coarse_time,
};
#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttle::{sync::atomic, thread_local};

/// Lets a thread that waits for a lock have it in between. (It is not enough to release the lock and take
/// it again at once: a thread that is woken takes longer to come.)
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) fn give_way<T>(lock: &mut Writing<'_, T>) {
    Writing::bump(lock);
}
/// Releases a lock; a thread that waits for it gets it at once.
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) fn hand_over<T>(lock: MutexGuard<'_, T>) {
    MutexGuard::unlock_fair(lock);
}

/// The scheduler decides who comes next.
#[cfg(all(test, feature = "shuttle"))]
pub(crate) const fn give_way<T>(_: &mut Writing<'_, T>) {}
#[cfg(all(test, feature = "shuttle"))]
pub(crate) fn hand_over<T>(lock: MutexGuard<'_, T>) {
    drop(lock);
}

/// The scheduler's locks with parking_lot's signatures. Time stands still: threads that would wait
/// for some time wait until they are woken. So a lost wake-up is a deadlock, which the scheduler
/// reports.
#[cfg(all(test, feature = "shuttle"))]
mod scheduled {
    use crate::sys::{Body, Errno};
    use shuttle::{sync, thread};
    use std::ffi::CStr;
    use std::ops::{Add, Deref, DerefMut};
    use std::sync::{Arc, PoisonError};
    use std::time::Duration;

    /// Whether a wait ended because its time was up. Code outside parking_lot cannot make
    /// parking_lot's own type.
    pub(crate) struct TimedOut(bool);

    impl TimedOut {
        pub(crate) const fn timed_out(&self) -> bool {
            self.0
        }
    }

    #[derive(Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    /// Empty only inside [`Condvar::wait`].
    pub(crate) struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>, &'a Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)), self)
        }

        pub(crate) fn is_locked(&self) -> bool {
            self.0.try_lock().is_err()
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok().map(|guard| MutexGuard(Some(guard), self))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("the lock is held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("the lock is held")
        }
    }

    pub(crate) use sync::RwLockWriteGuard as Writing;

    pub(crate) struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }

    pub(crate) const fn coarse_time() -> Duration {
        Duration::ZERO
    }

    /// Always the same moment; what is later comes after it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Instant {
        later: bool,
    }

    impl Instant {
        pub(crate) const fn now() -> Self {
            Self { later: false }
        }

        #[expect(clippy::unused_self, reason = "the signature is std's")]
        pub(crate) const fn elapsed(self) -> Duration {
            Duration::ZERO
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, _: Duration) -> Self {
            Self { later: true }
        }
    }

    pub(crate) struct Condvar(sync::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Self(sync::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) -> TimedOut {
            let held = guard.0.take().expect("the lock is held");
            guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
            TimedOut(false)
        }

        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> TimedOut {
            self.wait(guard)
        }
    }

    /// For threads that wait for time to pass. Their waits end at whatever moment the scheduler
    /// chooses.
    pub(crate) struct Alarm(Condvar);

    impl Alarm {
        pub(crate) const fn new() -> Self {
            Self(Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            self.0.wait(guard);
        }

        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> TimedOut {
            drop(guard.0.take());
            thread::yield_now();
            guard.0 = guard.1.lock().0.take();
            TimedOut(true)
        }
    }

    /// A thread with the signatures of the library's own.
    pub(crate) struct Thread(thread::JoinHandle<()>);

    impl Thread {
        pub(crate) fn spawn<B: Body>(_: &CStr, on: Arc<B::On>) -> Result<Self, Errno> {
            Ok(Self(thread::spawn(move || B::run(on))))
        }

        pub(crate) fn is_self(&self) -> bool {
            self.0.thread().id() == thread::current().id()
        }

        pub(crate) fn join(self) {
            self.0.join().expect("it does not panic");
        }

        pub(crate) fn detach(self) {
            drop(self);
        }
    }
}
