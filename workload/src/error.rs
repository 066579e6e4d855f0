//! Why a benchmark failed, and the exit code that says so.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use unchain::app::AppError;
use unchain::contract::{DecodeError, EncodeError, RegistryError};
use unchain::engine::EngineError;
use unchain::kafka::ClientError;
use unchain_measure::PlotError;

/// A benchmark that failed.
#[derive(Debug, Error)]
pub enum BenchError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("a record of the run does not decode: {0}")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error("{}: {source}", file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("workload file {}: {reason}", file.display())]
    Workload { file: PathBuf, reason: String },
    #[error("{origin}: `{field}` is {given}; allowed: {allowed}")]
    Field { origin: String, field: &'static str, given: String, allowed: String },
    #[error(
        "{0}: say what to measure (unchain bench produce | consume | process | ...), or name a `--workload FILE` with `kind`"
    )]
    NoKind(String),
    #[error("{} is no result of `unchain bench --out` or `--json`: {reason}", file.display())]
    NotAResult { file: PathBuf, reason: String },
    #[error("{one} measured {one_kind} and {other} {other_kind}: only results of the same kind compare")]
    OtherKind { one: String, one_kind: String, other: String, other_kind: String },
    #[error("the development broker cannot be started: {reason}")]
    Broker { reason: String },
    #[error("{what} took longer than {} s; {state}", .waited.as_secs())]
    TooLong { what: &'static str, waited: Duration, state: String },
    #[error("{count} records were not delivered: {reason}")]
    Undelivered { count: u64, reason: String },
    #[error("no rate held the limit: {reason}")]
    NoRate { reason: String },
    #[error("a thread cannot be started or has panicked: {what}")]
    Thread { what: &'static str },
    #[error("interrupted; the run's topics and groups were removed")]
    Interrupted,
    #[error("slower: {what}")]
    Slower { what: String },
}

impl BenchError {
    /// 2 where the command line or the workload is wrong, 3 where a comparison has found a slower result, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            BenchError::App(error) => error.exit_code(),
            BenchError::Workload { .. }
            | BenchError::Field { .. }
            | BenchError::NoKind(_)
            | BenchError::NotAResult { .. }
            | BenchError::OtherKind { .. } => 2,
            BenchError::Slower { .. } => 3,
            _ => 1,
        }
    }
}
