//! Why a command failed, and the exit code that says so.

use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;
use unchain::app::AppError;
use unchain::contract::{ApplyError, RegistryError};
use unchain::engine::EngineError;
use unchain::kafka::ClientError;
use unchain::produce::ProduceError;
use unchain_broker::StartError;
use unchain_experiment::{ExperimentError, ServiceError};
use unchain_producers::OrderLogError;
use unchain_producers::replay::ReplayError;

use crate::check::CheckError;

/// A command that failed.
#[derive(Debug, Error)]
pub enum CliError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Produce(#[from] ProduceError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Log(#[from] OrderLogError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Broker(#[from] StartError),
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("the mbox file {} cannot be read: {source}", file.display())]
    Mbox { file: PathBuf, source: std::io::Error },
    #[error("--data-dir is for the development broker, which --bootstrap-servers replaces: give one of them")]
    DataDirOfAnotherBroker,
    #[error(
        "topic {topic} at {bootstrap_servers} holds records of an earlier run, and the check counts every record: \
         delete the pipeline's topics, or use another cluster or --data-dir"
    )]
    TopicInUse { topic: String, bootstrap_servers: String },
    #[error("nothing has moved for {} s; still missing: {missing}", .waited.as_secs())]
    Stalled { waited: std::time::Duration, missing: String },
    #[error("a processor has ended before the orders were through; still missing: {missing}")]
    ProcessorEnded { missing: String },
    #[error("interrupted before the orders were through; still missing: {missing}")]
    Interrupted { missing: String },
    #[error(transparent)]
    Bench(#[from] unchain_workload::BenchError),
    #[error("the verdict failed")]
    Verdict,
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            CliError::App(error) => error.exit_code(),
            CliError::Experiment(error) => error.exit_code(),
            CliError::Bench(error) => error.exit_code(),
            CliError::DataDirOfAnotherBroker => 2,
            CliError::Verdict => 3,
            _ => 1,
        }
    }

    /// Says on stderr what failed, and gives the program's exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            CliError::App(error) => unchain::app::exit_code(Err(error)),
            error => {
                eprintln!("error: {error}");
                ExitCode::from(error.exit_code())
            }
        }
    }
}
