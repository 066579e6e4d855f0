//! How handling a record fails, and what becomes of the record then.

use std::fmt::Display;
use std::time::Duration;

use thiserror::Error;

use crate::contract::Topic;
use crate::kafka::{NewRecord, Record};

/// What a handler says of a record that it could not process.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The record can never succeed: it becomes a dead letter and processing goes on.
    #[error("rejected: {reason}")]
    Reject { reason: String },
    /// The record may succeed later: it is tried again after a pause that holds up only its own key.
    #[error("to be retried: {reason}")]
    Retry { reason: String },
    /// Something that the handler needs cannot be reached, which is not the record's fault: it is tried again for as long
    /// as that lasts, with growing pauses of up to [`MAX_UNAVAILABLE_PAUSE`]. The reason goes to the log.
    #[error("unavailable: {reason}")]
    Unavailable { reason: String },
    /// The record came after every window that it belongs to had closed: set aside like a rejected one, but counted
    /// apart.
    #[error("late: {reason}")]
    Late { reason: String },
}

/// The longest pause between two tries of a record whose handler lacks what it needs.
pub const MAX_UNAVAILABLE_PAUSE: Duration = Duration::from_secs(10);

impl Failure {
    pub fn reject(reason: impl Display) -> Failure {
        Failure::Reject { reason: reason.to_string() }
    }

    pub fn late(reason: impl Display) -> Failure {
        Failure::Late { reason: reason.to_string() }
    }

    pub fn unavailable(reason: impl Display) -> Failure {
        Failure::Unavailable { reason: reason.to_string() }
    }

    pub fn retry(reason: impl Display) -> Failure {
        Failure::Retry { reason: reason.to_string() }
    }
}

/// The ways in which a record fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The handler rejected it.
    Rejected,
    /// The handler asked for more tries than there are.
    RetriesExhausted,
    /// The handler panicked.
    Panicked,
    /// Its bytes are not what the contract says.
    Undecodable,
    /// It came after its windows had closed; the handler was not called.
    Late,
}

/// Why a record failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub class: FailureClass,
    pub reason: String,
    /// How often the handler was called with it; 0 where the bytes could not be decoded or the record was late.
    pub attempts: u32,
}

/// A record that failed for good, with who gave up on it.
#[derive(Debug, Clone, Copy)]
pub struct FailedRecord<'a> {
    pub processor: &'a str,
    pub record: &'a Record,
    pub failed: &'a Failed,
}

/// Decides what is written in place of a failed record's outputs, in the same transaction as its offset.
pub trait FailurePolicy: Send {
    /// The topics that the policy writes to.
    fn topics(&self) -> Vec<&'static Topic>;

    /// The records to write; an empty list drops the failed record.
    fn on_failure(&mut self, failed: FailedRecord<'_>) -> Result<Vec<NewRecord<'static>>, Failure>;
}
