//! Counts what ends in a run, and how late after it was due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use unchain::kafka::Deliveries;
use unchain_measure::{Latencies, Timeline};

use crate::schedule::{Clock, nanos};
use crate::workload::Workload;

/// The part of a run that counts, and the interval of its plots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) warm_up: Duration,
    pub(crate) end: Duration,
    pub(crate) interval: Duration,
}

/// A plot has about so many points.
const MAX_POINTS: u32 = 60;

impl Window {
    pub(crate) fn of(workload: &Workload) -> Window {
        let end = workload.duration();
        let tenths = (end.as_secs_f64() * 10.0 / f64::from(MAX_POINTS)).ceil().max(1.0);
        Window { warm_up: workload.warm_up(), end, interval: Duration::from_secs_f64(tenths / 10.0) }
    }
}

/// What one thread's records came to; several are merged at the end.
pub(crate) struct Tally {
    clock: Clock,
    window: Window,
    counts: Mutex<Counts>,
}

/// When records are due that only open connections, before a run begins: they are no part of it.
pub(crate) const PRIMING: u64 = u64::MAX;

/// The figures of a tally.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) ended: u64,
    pub(crate) primed: u64,
    pub(crate) failed: u64,
    /// Those that ended after the warm-up and before the end.
    pub(crate) measured: u64,
    /// When the last one ended.
    pub(crate) last_nanos: u64,
    /// How many ended in each interval.
    pub(crate) ends: Vec<u64>,
    /// By when they were due: a stall shows where it began.
    pub(crate) latencies: Timeline,
}

impl Tally {
    pub(crate) fn new(clock: Clock, window: Window) -> Tally {
        let latencies = Timeline::new(window.interval, window.end + window.interval);
        let counts = Counts { ended: 0, primed: 0, failed: 0, measured: 0, last_nanos: 0, ends: Vec::new(), latencies };
        Tally { clock, window, counts: Mutex::new(counts) }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a record that was due then and ends now.
    #[inline]
    pub(crate) fn end(&self, due_nanos: u64) {
        let now_nanos = self.clock.nanos();
        let mut counts = self.lock();
        if due_nanos == PRIMING {
            counts.primed += 1;
            return;
        }
        counts.end_many(now_nanos, 1, &self.window);
        counts
            .latencies
            .add(Duration::from_nanos(due_nanos), Duration::from_nanos(now_nanos.saturating_sub(due_nanos)));
    }

    /// Counts records of which it does not matter when they were due.
    pub(crate) fn end_many(&self, records: u64) {
        self.lock().end_many(self.clock.nanos(), records, &self.window);
    }

    pub(crate) fn ended(&self) -> u64 {
        self.lock().ended
    }

    pub(crate) fn primed(&self) -> u64 {
        self.lock().primed
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }
}

impl Deliveries for Tally {
    fn ended(&self, tag: usize, is_acknowledged: bool) {
        if is_acknowledged {
            self.end(tag as u64);
        } else {
            self.lock().failed += 1;
        }
    }
}

impl Counts {
    #[inline]
    fn end_many(&mut self, now_nanos: u64, records: u64, window: &Window) {
        self.ended += records;
        self.last_nanos = self.last_nanos.max(now_nanos);
        if now_nanos >= nanos(window.warm_up) && now_nanos < nanos(window.end) {
            self.measured += records;
        }
        let interval = usize::try_from(now_nanos / nanos(window.interval)).unwrap_or(usize::MAX);
        // What ends long after its run is counted, but not drawn.
        if interval <= 10 * MAX_POINTS as usize {
            if self.ends.len() <= interval {
                self.ends.resize(interval + 1, 0);
            }
            self.ends[interval] += records;
        }
    }

    pub(crate) fn merge(&mut self, other: &Counts) {
        self.ended += other.ended;
        self.failed += other.failed;
        self.measured += other.measured;
        self.last_nanos = self.last_nanos.max(other.last_nanos);
        if self.ends.len() < other.ends.len() {
            self.ends.resize(other.ends.len(), 0);
        }
        self.ends.iter_mut().zip(&other.ends).for_each(|(ours, theirs)| *ours += theirs);
        self.latencies.merge(&other.latencies);
    }

    /// The latencies of what was due after the warm-up.
    pub(crate) fn measured_latencies(&self, window: &Window) -> Latencies {
        self.latencies.latencies_from(window.warm_up)
    }
}

/// All tallies of a run together.
pub(crate) fn total<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Option<Counts> {
    let mut counts = tallies.into_iter().map(Tally::counts);
    let first = counts.next()?;
    Some(counts.fold(first, |mut all, next| {
        all.merge(&next);
        all
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let second = Duration::from_secs(1);
        Window { warm_up: second, end: 3 * second, interval: second }
    }

    #[test]
    fn what_ends_in_the_warm_up_or_after_the_end_is_counted_but_not_measured() {
        let tally = Tally::new(Clock::start(), window());
        let mut counts = tally.counts();
        for tenths in [0, 9, 10, 29, 30, 55] {
            counts.end_many(tenths * 100_000_000, 1, &window());
        }
        assert_eq!((counts.ended, counts.measured, counts.ends), (6, 2, vec![2, 1, 1, 1, 0, 1]));
    }

    #[test]
    fn tallies_add_up_and_failures_are_none_of_the_ends() {
        let [one, other] = [0, 1].map(|_| Tally::new(Clock::start(), window()));
        Deliveries::ended(&one, 5, true);
        Deliveries::ended(&one, usize::MAX, true);
        Deliveries::ended(&other, 5, false);
        other.end_many(3);
        let all = total([&one, &other]).unwrap();
        assert_eq!((all.ended, all.failed, all.latencies.buckets().map(|(_, b)| b.count).sum::<u64>()), (4, 1, 1));
    }

    #[test]
    fn long_runs_are_drawn_with_few_points() {
        let settings = crate::settings::Settings { seconds: Some(600.0), ..Default::default() };
        let workload = Workload::of(crate::workload::Kind::Produce, settings, "the test").unwrap();
        assert_eq!(Window::of(&workload).interval, Duration::from_secs(10));
    }
}
