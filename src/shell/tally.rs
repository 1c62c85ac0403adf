//! What is counted for administrators since the start, without a lock.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The nine callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackKind {
    /// pfnRpfCallback.
    Rpf,
    /// pfnCreationAlertCallback.
    Creation,
    /// pfnPruneAlertCallback.
    Prune,
    /// pfnJoinAlertCallback.
    Join,
    /// pfnWrongIfCallback.
    WrongInterface,
    /// pfnLocalJoinCallback.
    LocalJoin,
    /// pfnLocalLeaveCallback.
    LocalLeave,
    /// pfnDisableIgmpCallback.
    DisableIgmp,
    /// pfnEnableIgmpCallback.
    EnableIgmp,
}

impl CallbackKind {
    /// All of them with their names, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Rpf, "rpf"),
        (Self::Creation, "creation"),
        (Self::Prune, "prune"),
        (Self::Join, "join"),
        (Self::WrongInterface, "wrong_interface"),
        (Self::LocalJoin, "local_join"),
        (Self::LocalLeave, "local_leave"),
        (Self::DisableIgmp, "disable_igmp"),
        (Self::EnableIgmp, "enable_igmp"),
    ];
}

/// The upper bounds of the ranges that callbacks' times are counted in, in milliseconds. The clock
/// that is read moves in steps of 1 to 10 ms (decision 57), so there is none below.
pub const BOUNDS_MS: [u64; 8] = [10, 25, 50, 100, 250, 500, 1000, 5000];

/// How long the calls of one callback took.
pub struct Times {
    /// By range; the last one has those beyond all bounds.
    ranges: [AtomicU64; BOUNDS_MS.len() + 1],
    /// All together, in microseconds.
    total_us: AtomicU64,
}

impl Times {
    const fn new() -> Self {
        Self {
            ranges: [const { AtomicU64::new(0) }; BOUNDS_MS.len() + 1],
            total_us: AtomicU64::new(0),
        }
    }

    /// How many took at most each bound's time, and how many there were in all. A call that is
    /// counted meanwhile is in all of these or in none.
    pub fn within(&self) -> ([u64; BOUNDS_MS.len()], u64) {
        let (mut within, mut all) = ([0; BOUNDS_MS.len()], 0);
        for (at, range) in self.ranges.iter().enumerate() {
            all += range.load(Relaxed);
            if let Some(place) = within.get_mut(at) {
                *place = all;
            }
        }
        (within, all)
    }

    /// The time of all together.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.total_us.load(Relaxed))
    }

    fn reset(&self) {
        self.ranges.iter().chain([&self.total_us]).for_each(|count| count.store(0, Relaxed));
    }
}

/// The counters of a run that are neither the core's nor the forwarder's.
pub struct Tally {
    /// Reports of new flows.
    pub new_flows: AtomicU64,
    /// Reports of packets on a wrong interface.
    pub wrong_interface: AtomicU64,
    /// Changes of entries that the forwarding plane refused; they are tried again.
    pub refused_changes: AtomicU64,
    callbacks: [Times; CallbackKind::ALL.len()],
}

impl Tally {
    /// Nothing is counted yet.
    pub const fn new() -> Self {
        Self {
            new_flows: AtomicU64::new(0),
            wrong_interface: AtomicU64::new(0),
            refused_changes: AtomicU64::new(0),
            callbacks: [const { Times::new() }; CallbackKind::ALL.len()],
        }
    }

    /// A run begins.
    pub fn reset(&self) {
        let counts = [&self.new_flows, &self.wrong_interface, &self.refused_changes];
        counts.iter().for_each(|count| count.store(0, Relaxed));
        self.callbacks.iter().for_each(Times::reset);
    }

    /// Counts one more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// A callback began and ended at these times.
    pub fn took(&self, kind: CallbackKind, begun: Duration, ended: Duration) {
        let times = &self.callbacks[kind as usize];
        // Most often the clock has not moved.
        let mut range = 0;
        if begun != ended {
            let time = ended.saturating_sub(begun);
            let bounds = BOUNDS_MS.map(Duration::from_millis);
            range = bounds.partition_point(|bound| *bound < time);
            times.total_us.fetch_add(time.as_micros() as u64, Relaxed);
        }
        times.ranges[range].fetch_add(1, Relaxed);
    }

    /// The times of each callback.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'static str, &Times)> {
        CallbackKind::ALL.iter().map(|(kind, name)| (*name, &self.callbacks[*kind as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_at_their_numbers() {
        for (at, (kind, _)) in CallbackKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }

    #[test]
    fn times_are_counted_by_range() {
        let tally = Tally::new();
        for ms in [0, 10, 11, 5000, 5001] {
            let begun = Duration::from_secs(7);
            tally.took(CallbackKind::Join, begun, begun + Duration::from_millis(ms));
        }
        let times = &tally.callbacks[CallbackKind::Join as usize];
        assert_eq!(times.within(), ([2, 3, 3, 3, 3, 3, 3, 4], 5));
        assert_eq!(times.total(), Duration::from_millis(10_022));
        assert_eq!(tally.callbacks[CallbackKind::Rpf as usize].within().1, 0);
        tally.reset();
        assert_eq!((times.within().1, times.total()), (0, Duration::ZERO));
    }
}
