//! Windows by event time: tumbling, hopping and session windows over a table, one row a key and window.
//!
//! Event time is the record's timestamp, or a field of its value (`Processor::event_time`); stream time is the largest
//! event time of the records that its partition has completed. A window is open until stream time has passed its end and
//! its grace (the rules of Kafka Streams). What is late is decided when a record's call begins: where handlers complete at
//! once that is by the order of offsets alone, and a redelivered record is judged as before; where they wait, records of
//! other keys may have been completed in between, and the grace is to be longer than handlers wait.
//!
//! Windows that slide with each record, as Kafka Streams has them beside these, are left out: hopping windows answer the
//! same questions with a bounded number of rows.

mod event_time;
mod key;
mod kinds;
mod open;
mod sweep;
mod time;
mod timing;
mod windows;

use std::time::Duration;

pub use event_time::EventTime;
pub(crate) use event_time::{EventTimeOf, EventTimes};
pub use key::{Bounds, parse_row_key, row_key, rows_from};
pub use kinds::{Hopping, Session, Tumbling, WindowKind, WindowSpec};
pub(crate) use sweep::Sweeps;
pub use time::{MAX_TIME_MS, format_time, parse_time};
pub use timing::WindowError;
pub use windows::{Late, Window, Windows};

/// So many seconds.
pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// So many minutes.
pub const fn minutes(number: u64) -> Duration {
    seconds(60 * number)
}

/// So many hours.
pub const fn hours(number: u64) -> Duration {
    minutes(60 * number)
}
