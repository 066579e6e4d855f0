//! Rehearsals: a recording runs through a processor without a broker, what it writes becomes a recording, and two of
//! those are compared record by record.
//!
//! Handlers are called by the engine's own code. Time is the recording's: the clock follows the records' timestamps, and
//! retries, timeouts and pauses happen at their moment of it, at once. So one build gives one result, byte for byte.

mod compare;
mod differences;
mod error;
mod field_changes;
mod outputs;
mod run;
mod schemas;
#[cfg(test)]
mod tests;
mod time_order;
mod unmatched;
mod values;

pub use compare::{ComparisonSettings, compare};
pub use differences::{Comparison, Difference, DifferenceKind, Place, TopicComparison};
pub use error::RehearsalError;
pub use field_changes::FieldChange;
pub use run::{Rehearsed, rehearse};
pub use schemas::RecordedSchemas;
