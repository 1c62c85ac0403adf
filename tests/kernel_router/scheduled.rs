//! What a test that measures leaves out: the time that threads waited for a processor, on a machine with more
//! to do than to run this test. That is no fault of the library's.

use std::collections::HashMap;
use std::time::Duration;

/// How long each thread of this program has waited for a processor, as the scheduler says, and the
/// calling one has run or waited.
pub struct Scheduled {
    own: Duration,
    waited: HashMap<String, Duration>,
}

impl Scheduled {
    pub fn now() -> Self {
        let read = |path: &str| {
            let text = std::fs::read_to_string(format!("{path}/schedstat")).ok()?;
            let mut ns = text.split_whitespace().map(|number| number.parse().unwrap());
            Some([ns.next(), ns.next()].map(|ns| Duration::from_nanos(ns.unwrap())))
        };
        let [ran, waited] = read("/proc/thread-self").unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let paths = threads.map(|thread| thread.unwrap().path().to_str().unwrap().to_owned());
        // A thread may end in between.
        let all = paths.filter_map(|path| Some((read(&path)?[1], path)));
        Self { own: ran + waited, waited: all.map(|(waited, path)| (path, waited)).collect() }
    }

    /// Of the time since then, what no one thread waited for a processor: that one may hold what the
    /// others need.
    pub fn not_waited(&self, time: Duration) -> Duration {
        time.saturating_sub(self.most_waited(&Self::now()))
    }

    /// Of the time since then, what neither this thread ran nor it or any one other waited for a
    /// processor.
    pub fn held_up(&self, time: Duration) -> Duration {
        let now = Self::now();
        time.saturating_sub(now.own - self.own).saturating_sub(self.most_waited(&now))
    }

    fn most_waited(&self, now: &Self) -> Duration {
        let before = |path| self.waited.get(path).copied().unwrap_or_default();
        now.waited
            .iter()
            .map(|(path, waited)| waited.saturating_sub(before(path)))
            .max()
            .unwrap_or_default()
    }
}
