//! Why a replay was refused, ended or found a difference.

use std::time::Duration;

use thiserror::Error;

use super::verify::Difference;
use crate::contract::RegistryError;
use crate::kafka::ClientError;
use crate::recording::RecordingError;

/// What keeps a recording from being replayed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("{option}: {reason}")]
    Usage { option: &'static str, reason: String },
    #[error("the recording has no topic that {pattern:?} matches; there are: {known}")]
    NoTopic { pattern: String, known: String },
    #[error(
        "--to-topic: {first} and {second} would both be replayed into {target}, and their records mixed: name {{topic}} \
         in the pattern, or choose one with --topics"
    )]
    OneTarget { first: String, second: String, target: String },
    #[error("the target has no topic {target}, and --no-create forbids to create it")]
    NoTarget { target: String },
    #[error(
        "{topic}: values name schema {id}, which the recording does not have: registered schemas are recorded with a \
         topic, this one was not. --raw sends the values as they are"
    )]
    MissingSchema { topic: String, id: u32 },
    #[error(
        "{topic}/{partition}, offset {offset}: the value names schema {id}, which the recording does not have. --raw \
         sends the values as they are"
    )]
    UnknownSchema { topic: String, partition: i32, offset: i64, id: u32 },
    #[error("topic {target} cannot take the schema {id} of {topic}: {source}")]
    Incompatible { topic: String, target: String, id: u32, source: RegistryError },
    #[error(
        "topic {target} deletes records that are older than its retention.ms, {retention_ms}, and {topic} was recorded up \
         to {age_ms} ms ago: they would be deleted at once. Replay with --timestamps shift, set the topic's retention.ms \
         to -1, or allow it with --allow-expired"
    )]
    Expired { topic: String, target: String, retention_ms: i64, age_ms: i64 },
    #[error(
        "the replay {id} was begun with other options, or of another recording: give it another --id, or begin it anew \
         with --again"
    )]
    OtherOptions { id: String },
    #[error(
        "topic {target} is not the one that the replay {id} began with, when it had {partitions} partitions: a key's \
         records would not stay in one partition. Begin it anew with --again, or replay into another topic"
    )]
    TargetChanged { id: String, target: String, partitions: usize },
    #[error("the progress of the replay {id} cannot be read: {reason}. --again begins it anew")]
    Damaged { id: String, reason: String },
    #[error(
        "another process has taken over the replay {id}, and this one ends: run it once at a time, or use another --id"
    )]
    TakenOver { id: String },
    #[error(
        "the replay {id} has not come on for {} s and ends; the same command, without --again, goes on with it. The last failure: {last}",
        .waited.as_secs()
    )]
    Standstill { id: String, waited: Duration, last: ClientError },
    #[error("stopped by a signal; what was sent is committed, and the same command, without --again, goes on with it")]
    Stopped,
    #[error("the target does not hold what was recorded: {0}")]
    Differs(Box<Difference>),
    #[error("the replay {id} has not ended: there is nothing to verify yet")]
    NotEnded { id: String },
}

impl ReplayError {
    /// 2 where the command line is wrong, 3 where the target differs from the recording, 1 where the work failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            ReplayError::Usage { .. }
            | ReplayError::NoTopic { .. }
            | ReplayError::OneTarget { .. }
            | ReplayError::OtherOptions { .. }
            | ReplayError::Recording(RecordingError::NoRecording { .. }) => 2,
            ReplayError::Differs(_) => 3,
            _ => 1,
        }
    }
}
