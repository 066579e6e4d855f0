//! Wall-clock time, read in this one place.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch, as record timestamps count.
pub fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
