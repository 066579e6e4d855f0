//! Why a command failed, and the exit code that says so.

use std::process::ExitCode;

use thiserror::Error;

use super::ConfigError;
use crate::contract::{ApplyError, RegistryError};
use crate::engine::EngineError;
use crate::kafka::ClientError;
use crate::recording::RecordError;

/// A command that failed.
#[derive(Debug, Error)]
pub enum AppError {
    #[error("there is no processor {name:?}; there are: {known}")]
    UnknownProcessor { name: String, known: String },
    #[error("there is no topic {name:?}; there are: {known}")]
    UnknownTopic { name: String, known: String },
    #[error("topic {topic} has no partition {partition}; it has 0 to {last}")]
    UnknownPartition { topic: String, partition: i32, last: i32 },
    #[error("partition {partition} of topic {topic} has no offset {offset}; it has {start} to {end}")]
    OffsetOutOfRange { topic: String, partition: i32, offset: i64, start: i64, end: i64 },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("signals cannot be watched: {0}")]
    Signals(std::io::Error),
    #[error("the result cannot be printed: {0}")]
    Output(std::io::Error),
}

impl AppError {
    /// 2 where the command line or the configuration is wrong, 1 where the work failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            AppError::UnknownProcessor { .. }
            | AppError::UnknownTopic { .. }
            | AppError::UnknownPartition { .. }
            | AppError::OffsetOutOfRange { .. }
            | AppError::Config(_) => 2,
            _ => 1,
        }
    }

    /// Whether nobody reads the output any more (`consume ... | head`), which is no failure.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, AppError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Says on stderr what failed, and gives the program's exit code.
pub fn exit_code(result: Result<(), AppError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
