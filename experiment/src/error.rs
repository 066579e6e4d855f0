//! Why an experiment, or one of its services, failed.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use unchain::app::AppError;
use unchain::contract::{ApplyError, RegistryError};
use unchain::engine::EngineError;
use unchain::kafka::ClientError;
use unchain_measure::PlotError;
use unchain_producers::OrderLogError;

use crate::settings::SettingsError;
use crate::step::Step;

/// A service that could not start, or ended.
#[derive(Debug, Error)]
pub enum ServiceError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("what the service is to be, {}: {reason}", file.display())]
    Spec { file: PathBuf, reason: String },
    #[error("the effects in {}: {source}", file.display())]
    Effects { file: PathBuf, source: std::io::Error },
    #[error("listening on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("signals cannot be watched: {0}")]
    Signals(std::io::Error),
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    #[error("the processor of {step} got no partitions within {} ms", .waited.as_millis())]
    NoPartitions { step: Step, waited: Duration },
}

/// An experiment that could not be made.
#[derive(Debug, Error)]
pub enum ExperimentError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Log(#[from] OrderLogError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{name} cannot be started: {source}")]
    Start { name: String, source: std::io::Error },
    #[error("{name} was not ready within {} ms; it said: {said}", .waited.as_millis())]
    NotReady { name: String, waited: Duration, said: String },
    #[error("{name} ended by itself; it said: {said}")]
    Ended { name: String, said: String },
    #[error("no free port from {first} to {last} on 127.0.0.1")]
    NoPort { first: u16, last: u16 },
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("the pipeline lost or doubled orders: {0}")]
    Verdict(String),
}

impl ExperimentError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ExperimentError {
        let path = path.into();
        move |source| ExperimentError::File { path, source }
    }

    /// 2 where the command line or a file of settings is wrong, 3 where the verdict is, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            ExperimentError::App(error) => error.exit_code(),
            ExperimentError::Settings(_) => 2,
            ExperimentError::Verdict(_) => 3,
            _ => 1,
        }
    }
}
