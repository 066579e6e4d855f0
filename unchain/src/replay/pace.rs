//! When each record of a replay is sent: the recorded distances divided by a factor, whatever holds the replay up.

use std::str::FromStr;
use std::time::Duration;

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// The recorded distances in time, divided by this.
    Times(f64),
    /// As fast as the target takes it.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let factor = text.strip_suffix('x').and_then(|number| number.parse::<f64>().ok());
        let factor = factor.filter(|factor| factor.is_finite() && (1e-3..=1e6).contains(factor));
        factor.map(Speed::Times).ok_or_else(|| "write a factor from 0.001x to 1000000x, as 10x, or max".to_owned())
    }
}

/// What is late by no more than this is caught up with; beyond it the rest of the schedule moves: a stall is no backlog.
const MAX_CAUGHT_UP: Duration = Duration::from_secs(1);
/// How much faster than its pace a replay goes while it catches up.
const CATCH_UP: f64 = 2.0;
/// What may come at once after a delay too short to be seen.
const MAX_AT_ONCE: Duration = Duration::from_millis(10);
/// Shorter waits are not worth a call: the records of so long are sent together.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// The schedule of a replay. Time is what its caller says it is, since any moment.
#[derive(Debug)]
pub(super) struct Pace {
    factor: f64,
    started: Option<Started>,
}

/// Seconds throughout: distances are divided by fractions.
#[derive(Debug)]
struct Started {
    /// A due time, and when it is sent.
    origin_due_ms: i64,
    origin: f64,
    /// The last record's due time, and when it might have been sent at the pace of catching up.
    last_due_ms: i64,
    permitted: f64,
}

impl Pace {
    pub(super) fn new(factor: f64) -> Pace {
        Pace { factor, started: None }
    }

    /// How long the record that is due next has to wait; `None` sends it now. The first one is sent at once.
    pub(super) fn wait(&mut self, now: Duration, due_ms: i64) -> Option<Duration> {
        if due_ms < 0 {
            // Nothing with a time has come yet.
            return None;
        }
        let now = now.as_secs_f64();
        let factor = self.factor;
        let started = self.started.get_or_insert(Started {
            origin_due_ms: due_ms,
            origin: now,
            last_due_ms: due_ms,
            permitted: now,
        });
        let mut planned = started.origin + seconds(started.origin_due_ms, due_ms) / factor;
        if now - planned > MAX_CAUGHT_UP.as_secs_f64() {
            (started.origin_due_ms, started.origin) = (due_ms, now);
            planned = now;
        }
        let permitted = started.permitted + seconds(started.last_due_ms, due_ms) / (factor * CATCH_UP);
        let permitted = permitted.max(now - MAX_AT_ONCE.as_secs_f64());
        let wait = planned.max(permitted) - now;
        if wait >= MIN_WAIT.as_secs_f64() {
            return Some(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX));
        }
        (started.last_due_ms, started.permitted) = (due_ms, permitted);
        None
    }
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends records as a replay does; `hold_up` gives how long the sending of a record takes. Returns when each was sent.
    fn sent(factor: f64, dues: &[i64], hold_up: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let (mut pace, mut now) = (Pace::new(factor), Duration::from_secs(7));
        dues.iter()
            .enumerate()
            .map(|(index, due)| {
                while let Some(wait) = pace.wait(now, *due) {
                    // A sleep takes a little longer than it should.
                    now += wait + Duration::from_micros(60);
                }
                let at = now;
                now += hold_up(index);
                at
            })
            .collect()
    }

    /// The most records within any 100 ms.
    fn most_in_100_ms(sent: &[Duration]) -> usize {
        let within =
            |index: usize| sent[index..].iter().take_while(move |at| **at < sent[index] + Duration::from_millis(100));
        (0..sent.len()).map(|index| within(index).count()).max().unwrap_or(0)
    }

    fn drift(sent: &[Duration], expected: Duration) -> f64 {
        let took = *sent.last().unwrap() - sent[0];
        (took.as_secs_f64() - expected.as_secs_f64()).abs() / expected.as_secs_f64()
    }

    #[test]
    fn speeds_are_factors_or_max() {
        assert_eq!("10x".parse(), Ok(Speed::Times(10.0)));
        assert_eq!("0.5x".parse(), Ok(Speed::Times(0.5)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        for refused in ["10", "0x", "-1x", "NaNx", "infx", "x", ""] {
            assert!(refused.parse::<Speed>().is_err(), "{refused}");
        }
    }

    #[test]
    fn a_commit_now_and_then_does_not_add_up() {
        // 1,000 records a second for 20 s; each 50 ms a commit takes 10 ms.
        let dues: Vec<i64> = (0..20_000).collect();
        let hold_up =
            |index: usize| if index.is_multiple_of(50) { Duration::from_millis(10) } else { Duration::from_micros(3) };
        let sent = sent(1.0, &dues, hold_up);
        assert!(drift(&sent, Duration::from_secs(20)) < 0.01, "{:?}", sent.last());
        assert!(most_in_100_ms(&sent) <= 230, "{}", most_in_100_ms(&sent));
    }

    #[test]
    fn after_a_long_stall_the_schedule_goes_on_from_there_without_a_burst() {
        let dues: Vec<i64> = (0..20_000).collect();
        let hold_up = |index: usize| if index == 5_000 { Duration::from_secs(60) } else { Duration::ZERO };
        let sent = sent(1.0, &dues, hold_up);
        assert!(drift(&sent, Duration::from_secs(80)) < 0.01, "{:?}", sent.last());
        assert!(most_in_100_ms(&sent) <= 130, "{}", most_in_100_ms(&sent));
    }

    #[test]
    fn a_short_stall_is_caught_up_with_at_twice_the_pace_at_most() {
        let dues: Vec<i64> = (0..20_000).collect();
        let hold_up = |index: usize| if index == 5_000 { Duration::from_millis(800) } else { Duration::ZERO };
        let sent = sent(1.0, &dues, hold_up);
        assert!(drift(&sent, Duration::from_secs(20)) < 0.01, "{:?}", sent.last());
        assert!(most_in_100_ms(&sent) <= 230, "{}", most_in_100_ms(&sent));
    }

    #[test]
    fn a_gap_in_the_recording_is_kept_and_is_no_stall() {
        let sent = sent(10.0, &[0, 100, 3_600_000, 3_600_100], |_| Duration::ZERO);
        assert!(drift(&sent, Duration::from_millis(360_010)) < 0.01, "{sent:?}");
    }

    proptest! {
        #[test]
        fn any_pace_holds_within_one_percent(
            gaps in prop::collection::vec(0_i64..40, 2_000..4_000),
            factor in 0.2_f64..50.0,
        ) {
            let mut due = 1_700_000_000_000;
            let dues: Vec<i64> = gaps.iter().map(|gap| { due += gap; due }).collect();
            let sent = sent(factor, &dues, |_| Duration::from_micros(1));
            let expected = (dues[dues.len() - 1] - dues[0]) as f64 / 1_000.0 / factor;
            let took = (*sent.last().unwrap() - sent[0]).as_secs_f64();
            // A hundredth, or what a wait is rounded to in a replay of less than a second.
            prop_assert!((took - expected).abs() < (expected * 0.01).max(0.005), "{took} s, not {expected} s");
        }
    }
}
