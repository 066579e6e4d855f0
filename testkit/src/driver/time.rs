//! Times as tests write them: RFC 3339 text in UTC, or milliseconds since the Unix epoch.

use unchain::process::window::parse_time;

/// What a test may give as a time.
pub trait EventTime {
    /// Milliseconds since the Unix epoch.
    ///
    /// # Panics
    /// Where a text is no time.
    fn to_ms(&self) -> i64;
}

impl EventTime for i64 {
    fn to_ms(&self) -> i64 {
        *self
    }
}

impl EventTime for &str {
    fn to_ms(&self) -> i64 {
        parse_time(self).unwrap_or_else(|| panic!("{self:?} is no time such as \"1997-01-31T12:00:00Z\""))
    }
}
