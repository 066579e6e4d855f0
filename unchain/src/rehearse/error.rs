//! Why a rehearsal did not come to its end.

use std::io;

use thiserror::Error;

use super::run::MAX_STANDSTILL;
use crate::contract::RegistryError;
use crate::engine::EngineError;
use crate::recording::RecordingError;

/// What stops a rehearsal or a comparison.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RehearsalError {
    #[error(
        "processor {processor} reads topics that the recording does not have: {missing}; it has: {recorded}. \
         Record them too: a lookup's rows change results as well as inputs do"
    )]
    MissingTopics { processor: &'static str, missing: String, recorded: String },
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("schema {id} of the recording is not Avro: {reason}")]
    InvalidSchema { id: u32, reason: String },
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("no runtime can be had: {0}")]
    Runtime(io::Error),
    #[error("the failure policy failed itself: {reason}")]
    Policy { reason: String },
    #[error(
        "{waiting} records wait for their handlers, and none of them was completed within {} hours of the recording's \
         time; the last one offered is {last}. What handlers call must be within the process: others cannot answer while \
         time stands still",
        MAX_STANDSTILL.as_secs() / 3_600
    )]
    StandsStill { waiting: usize, last: String },
    #[error("ended by a signal; what was written stays marked as incomplete")]
    Stopped,
}
