//! Open-loop pacing: when each record is due follows from the start and the rate alone, whatever holds the sender up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds since a run's start; every thread of the run reads the same clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    made: Instant,
    /// When the run began, in nanoseconds since the clock was made.
    began_nanos: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { made: Instant::now(), began_nanos: Arc::default() }
    }

    /// Lets the run begin now, for all who have this clock.
    pub(crate) fn restart(&self) {
        self.began_nanos.store(nanos(self.made.elapsed()), Ordering::Release);
    }

    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        nanos(self.made.elapsed()).saturating_sub(self.began_nanos.load(Ordering::Acquire))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One sender's share of the records of a rate: every `senders`th one, from `sender` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// `None` makes each record due at once.
    pub(crate) per_second: Option<u64>,
    pub(crate) sender: u64,
    pub(crate) senders: u64,
}

impl Schedule {
    /// When this sender's nth record is due, in nanoseconds since the start. It is never set anew: a record that a
    /// stall has made late keeps its time, and what it waited counts (no coordinated omission).
    #[inline]
    pub(crate) fn due_nanos(&self, nth: u64) -> Option<u64> {
        let per_second = u128::from(self.per_second?);
        let record = u128::from(nth) * u128::from(self.senders) + u128::from(self.sender);
        Some(u64::try_from(record * 1_000_000_000 / per_second).unwrap_or(u64::MAX))
    }
}

/// Shorter sleeps end late by more than they last; the records of so long are sent together, each late by less, which
/// counts as its latency.
const MIN_SLEEP: Duration = Duration::from_micros(50);
/// A signal is seen within this.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// Sleeps towards a moment that is so far ahead; may return before.
pub(crate) fn sleep_towards(ahead_nanos: u64) {
    #[allow(clippy::disallowed_methods, reason = "the condition waited for is the time itself")]
    std::thread::sleep(Duration::from_nanos(ahead_nanos).clamp(MIN_SLEEP, MAX_SLEEP));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(per_second: u64, sender: u64, senders: u64, nth: u64) -> u64 {
        Schedule { per_second: Some(per_second), sender, senders }.due_nanos(nth).unwrap()
    }

    #[test]
    fn records_are_due_at_even_distances_from_the_start() {
        assert_eq!(due(400, 0, 1, 0), 0);
        assert_eq!(due(400, 0, 1, 1), 2_500_000);
        assert_eq!(due(3, 0, 1, 3_000_000), 1_000_000_000_000_000, "no rounding adds up");
        assert_eq!(due(1_000_000, 0, 1, 86_400_000_000), 86_400_000_000_000, "a day at a million a second");
    }

    #[test]
    fn several_senders_share_one_schedule() {
        let mut all: Vec<u64> = (0..3).flat_map(|sender| (0..4).map(move |nth| due(1_000, sender, 3, nth))).collect();
        all.sort_unstable();
        assert_eq!(all, (0..12).map(|record| record * 1_000_000).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_rate_no_record_has_a_time() {
        assert_eq!(Schedule { per_second: None, sender: 0, senders: 1 }.due_nanos(5), None);
    }
}
