//! Latencies in a histogram of constant relative precision (HdrHistogram): a thousandth, from a microsecond on.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer latencies count as this one.
const MAX_MICROS: u64 = 3_600_000_000;

/// Latencies of one kind.
#[derive(Debug, Clone)]
pub struct Latencies {
    micros: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, MAX_MICROS, 3);
        Latencies { micros: micros.expect("the bounds are those that the histogram asks for") }
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS);
        self.micros.saturating_record(micros.clamp(1, MAX_MICROS));
    }

    /// Adds what another thread or run has recorded.
    pub fn merge(&mut self, other: &Latencies) {
        self.micros.add(&other.micros).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// The latency that so many percent do not exceed; zero where there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.micros.value_at_percentile(percent))
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.micros.max())
    }

    /// For a plot: how many percent do not exceed which latency in milliseconds, from the smallest to the largest.
    pub fn distribution(&self) -> Vec<(f64, f64)> {
        let steps = self.micros.iter_quantiles(5);
        let mut points: Vec<_> =
            steps.map(|step| (step.quantile_iterated_to() * 100.0, step.value_iterated_to() as f64 / 1e3)).collect();
        points.dedup_by_key(|point| point.0.to_bits());
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth_and_merging_adds() {
        let (mut all, mut second) = (Latencies::default(), Latencies::default());
        (1..=5_000).for_each(|micros| all.record(Duration::from_micros(micros)));
        (5_001..=10_000).for_each(|micros| second.record(Duration::from_micros(micros)));
        all.merge(&second);
        assert_eq!(all.count(), 10_000);
        for (percent, expected) in [(50.0, 5_000.0), (99.0, 9_900.0), (100.0, 10_000.0)] {
            let found = all.percentile(percent).as_micros() as f64;
            assert!((found - expected).abs() <= expected / 1_000.0 + 1.0, "{percent}: {found}");
        }
        let distribution = all.distribution();
        assert!(distribution.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{distribution:?}");
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted_at_them() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_secs(100_000));
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= Duration::from_secs(3_599));
        assert_eq!(Latencies::default().percentile(99.0), Duration::ZERO);
    }
}
