//! A point in time as a command line gives it.

use std::str::FromStr;

use crate::process::window::parse_time;

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    pub fn as_ms(self) -> i64 {
        self.0
    }
}

impl FromStr for Moment {
    type Err = String;

    /// `2026-01-31T12:00:00Z`, `2026-01-31` for its first moment in UTC, or milliseconds.
    fn from_str(text: &str) -> Result<Moment, String> {
        let as_time = parse_time(text).or_else(|| parse_time(&format!("{text}T00:00:00Z")));
        as_time.or_else(|| text.parse().ok()).map(Moment).ok_or_else(|| {
            "give a time as 2026-01-31T12:00:00Z, as 2026-01-31, or in milliseconds since 1970".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_milliseconds_are_understood() {
        for text in ["1997-01-01T00:00:00Z", "1997-01-01", "852076800000"] {
            assert_eq!(text.parse::<Moment>().unwrap().as_ms(), 852_076_800_000, "{text}");
        }
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
