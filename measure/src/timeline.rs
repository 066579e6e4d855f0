//! What happened in each interval of a run: how much, and how long it took.

use std::time::Duration;

use crate::Latencies;

/// Intervals from the start of a run on.
#[derive(Debug, Clone)]
pub struct Timeline {
    interval: Duration,
    max_buckets: usize,
    buckets: Vec<Bucket>,
}

/// One interval.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    pub count: u64,
    pub latencies: Latencies,
}

impl Timeline {
    /// A timeline of intervals of this length, for at most this long: what comes later counts into the last one.
    pub fn new(interval: Duration, max_length: Duration) -> Timeline {
        let buckets = max_length.as_nanos().div_ceil(interval.as_nanos().max(1));
        Timeline { interval, max_buckets: usize::try_from(buckets).unwrap_or(usize::MAX).max(1), buckets: Vec::new() }
    }

    /// Counts something that ended, or whatever the line is of, so long after the start.
    pub fn add(&mut self, since_start: Duration, latency: Duration) {
        let bucket = self.bucket(since_start);
        bucket.count += 1;
        bucket.latencies.record(latency);
    }

    /// Counts so many without a latency.
    pub fn count(&mut self, since_start: Duration, count: u64) {
        self.bucket(since_start).count += count;
    }

    /// Adds what another thread has counted in the same run.
    pub fn merge(&mut self, other: &Timeline) {
        for (index, theirs) in other.buckets.iter().enumerate() {
            let ours = self.bucket(self.interval * u32::try_from(index).unwrap_or(u32::MAX));
            ours.count += theirs.count;
            ours.latencies.merge(&theirs.latencies);
        }
    }

    fn bucket(&mut self, since_start: Duration) -> &mut Bucket {
        let index = since_start.as_nanos() / self.interval.as_nanos().max(1);
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(self.max_buckets - 1);
        if self.buckets.len() <= index {
            self.buckets.resize_with(index + 1, Bucket::default);
        }
        &mut self.buckets[index]
    }

    /// The intervals, each with the seconds from the start to its beginning.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, &Bucket)> {
        let seconds = self.interval.as_secs_f64();
        self.buckets.iter().enumerate().map(move |(index, bucket)| (index as f64 * seconds, bucket))
    }

    /// For a plot: seconds, and how many a second.
    pub fn rates(&self) -> Vec<(f64, f64)> {
        let seconds = self.interval.as_secs_f64();
        self.buckets().map(|(at, bucket)| (at, bucket.count as f64 / seconds)).collect()
    }

    /// For a plot: seconds, and a percentile in milliseconds of the intervals that have one.
    pub fn percentiles(&self, percent: f64) -> Vec<(f64, f64)> {
        let with_any = self.buckets().filter(|(_, bucket)| bucket.latencies.count() > 0);
        with_any.map(|(at, bucket)| (at, bucket.latencies.percentile(percent).as_secs_f64() * 1e3)).collect()
    }

    /// All latencies from a point on, as after a warm-up.
    pub fn latencies_from(&self, start: Duration) -> Latencies {
        let mut all = Latencies::default();
        let from = start.as_secs_f64();
        self.buckets().filter(|(at, _)| *at >= from).for_each(|(_, bucket)| all.merge(&bucket.latencies));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_happens_is_counted_in_its_interval_and_the_last_one_takes_the_rest() {
        let mut line = Timeline::new(SECOND, SECOND * 3);
        line.add(SECOND / 2, Duration::from_millis(5));
        line.count(SECOND * 2, 10);
        line.add(SECOND * 100, Duration::from_millis(7));
        assert_eq!(line.rates(), [(0.0, 1.0), (1.0, 0.0), (2.0, 11.0)]);
        let p99 = line.percentiles(99.0);
        assert_eq!(p99.iter().map(|point| point.0).collect::<Vec<_>>(), [0.0, 2.0]);
        assert_eq!(line.latencies_from(SECOND).count(), 1);
    }

    #[test]
    fn lines_of_several_threads_add_up() {
        let mut first = Timeline::new(SECOND, SECOND * 10);
        let mut second = first.clone();
        first.add(SECOND, SECOND);
        second.add(SECOND, SECOND);
        second.add(SECOND * 4, SECOND);
        first.merge(&second);
        assert_eq!(first.rates(), [(0.0, 0.0), (1.0, 2.0), (2.0, 0.0), (3.0, 0.0), (4.0, 1.0)]);
    }
}
