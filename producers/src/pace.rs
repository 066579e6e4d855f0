//! The pace of a replay: so many records a second, spread evenly, or as fast as the broker takes them.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::{Duration, Instant};

use thiserror::Error;

/// Records a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(NonZeroU32);

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is no rate: write records a second, for example 500/s")]
pub struct NoRate {
    given: String,
}

impl FromStr for Rate {
    type Err = NoRate;

    /// `500/s` or `500`.
    fn from_str(text: &str) -> Result<Rate, NoRate> {
        let number = text.strip_suffix("/s").unwrap_or(text);
        number.parse().map(Rate).map_err(|_| NoRate { given: text.to_owned() })
    }
}

/// Says when each record is due.
#[derive(Debug)]
pub struct Pace {
    rate: Option<Rate>,
    started: Instant,
    records: u64,
}

impl Pace {
    /// A pace that begins now; without a rate every record is due at once.
    pub fn new(rate: Option<Rate>) -> Pace {
        Pace { rate, started: Instant::now(), records: 0 }
    }

    /// Waits until the next record is due.
    pub fn wait(&mut self) {
        let due = due_after(self.rate, self.records);
        self.records += 1;
        // A sender that fell behind catches up: the rate holds over the whole replay.
        let early = due.saturating_sub(self.started.elapsed());
        if early > Duration::from_millis(1) {
            #[allow(clippy::disallowed_methods, reason = "the condition waited for is the time itself")]
            std::thread::sleep(early);
        }
    }
}

fn due_after(rate: Option<Rate>, records: u64) -> Duration {
    let Some(Rate(per_second)) = rate else { return Duration::ZERO };
    let per_second = u64::from(per_second.get());
    let rest_nanos = (records % per_second) * 1_000_000_000 / per_second;
    Duration::from_secs(records / per_second) + Duration::from_nanos(rest_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_records_a_second() {
        assert_eq!("500/s".parse::<Rate>(), "500".parse());
        for wrong in ["", "0", "-1/s", "5/min", "fast"] {
            assert!(wrong.parse::<Rate>().unwrap_err().to_string().contains("500/s"));
        }
    }

    #[test]
    fn records_are_due_at_even_distances() {
        let rate = Some("400/s".parse().unwrap());
        assert_eq!(due_after(rate, 0), Duration::ZERO);
        assert_eq!(due_after(rate, 1), Duration::from_micros(2_500));
        assert_eq!(due_after(rate, 4_001), Duration::from_micros(10_002_500));
        assert_eq!(due_after(None, 4_001), Duration::ZERO);
    }
}
