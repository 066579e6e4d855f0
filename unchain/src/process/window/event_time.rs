//! When a record happened: its timestamp or a field of its value, and whether stream time may follow it.
//!
//! One record from the year 2100 would close every window for ever. So a record whose time lies ahead of the wall clock
//! by more than `max_ahead` never moves stream time, and handlers with windows reject it. The clock is asked only for
//! times beyond the last bound that it gave: not once a record.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::timing::millis;
use super::{MAX_TIME_MS, format_time};
use crate::process::{Context, Declaration, Extract, Failure};

/// What a record's event time is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    /// Milliseconds since the Unix epoch.
    At(i64),
    /// The record has none, or one before the Unix epoch.
    Missing { time_ms: i64 },
    /// Further ahead of the wall clock than is believed.
    Ahead { time_ms: i64, now_ms: i64 },
}

impl Extract for EventTime {
    fn declare(_: &mut Declaration) {}

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        Ok(context.event_time())
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventTime::At(time_ms) => write!(f, "{}", format_time(*time_ms)),
            EventTime::Missing { time_ms } => write!(f, "the record has no event time ({time_ms} ms)"),
            EventTime::Ahead { time_ms, now_ms } => {
                let (time, now) = (format_time(*time_ms), format_time(*now_ms));
                write!(f, "the record's event time {time} lies too far ahead of the clock, which is at {now}")
            }
        }
    }
}

/// The field of a contract that holds the event time.
#[derive(Debug)]
pub(crate) struct EventTimeOf<C>(pub(crate) fn(&C) -> i64);

impl<C> Clone for EventTimeOf<C> {
    fn clone(&self) -> Self {
        EventTimeOf(self.0)
    }
}

/// As the brokers' default for `message.timestamp.after.max.ms` since Kafka 4.0 (KIP-1030).
const DEFAULT_MAX_AHEAD: Duration = Duration::from_secs(3_600);

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How a processor's records get their event times.
#[derive(Clone)]
pub(crate) struct EventTimes {
    /// Whether some contract has a field for it.
    pub(crate) has_fields: bool,
    max_ahead_ms: i64,
    now_ms: Clock,
    /// Times up to this one are known not to be too far ahead.
    believed_ms: Arc<AtomicI64>,
}

impl Default for EventTimes {
    fn default() -> Self {
        EventTimes {
            has_fields: false,
            max_ahead_ms: millis(DEFAULT_MAX_AHEAD),
            now_ms: Arc::new(wall_clock_ms),
            believed_ms: Arc::new(AtomicI64::new(0)),
        }
    }
}

impl EventTimes {
    pub(crate) fn set_max_ahead(&mut self, max_ahead: Duration) {
        self.max_ahead_ms = millis(max_ahead);
        self.believed_ms = Arc::default();
    }

    pub(crate) fn set_clock(&mut self, now_ms: Clock) {
        self.now_ms = now_ms;
        self.believed_ms = Arc::default();
    }

    pub(crate) fn judge(&self, time_ms: i64) -> EventTime {
        if time_ms < 0 {
            return EventTime::Missing { time_ms };
        }
        if time_ms > self.believed_ms.load(Ordering::Relaxed) {
            let now_ms = (self.now_ms)();
            let bound_ms = now_ms.saturating_add(self.max_ahead_ms).min(MAX_TIME_MS);
            self.believed_ms.fetch_max(bound_ms, Ordering::Relaxed);
            if time_ms > bound_ms {
                return EventTime::Ahead { time_ms, now_ms };
            }
        }
        EventTime::At(time_ms)
    }
}

fn wall_clock_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_believed_up_to_the_bound_that_moves_with_the_clock() {
        let now = Arc::new(AtomicI64::new(1_000));
        let mut times = EventTimes::default();
        times.set_max_ahead(Duration::from_millis(100));
        let clock = Arc::clone(&now);
        times.set_clock(Arc::new(move || clock.load(Ordering::Relaxed)));
        assert_eq!(times.judge(1_101), EventTime::Ahead { time_ms: 1_101, now_ms: 1_000 });
        assert_eq!(times.judge(1_100), EventTime::At(1_100));
        now.store(1_001, Ordering::Relaxed);
        assert_eq!(times.judge(1_101), EventTime::At(1_101));
        assert_eq!(times.judge(0), EventTime::At(0));
        assert_eq!(times.judge(-1), EventTime::Missing { time_ms: -1 });
        assert!(matches!(times.judge(i64::MAX), EventTime::Ahead { .. }));
    }

    #[test]
    fn without_any_setting_a_record_of_the_year_2100_is_not_believed() {
        assert!(matches!(EventTimes::default().judge(4_102_444_800_000), EventTime::Ahead { .. }));
        let now_ms = wall_clock_ms();
        assert_eq!(EventTimes::default().judge(now_ms), EventTime::At(now_ms));
    }
}
