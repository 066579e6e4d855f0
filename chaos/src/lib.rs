//! The exactly-once checker: processors under faults, judged by what a consumer of their topics reads.
//!
//! `src/bin/subject.rs` is the program under test, `src/bin/chaos.rs` the checker; `cargo xtask chaos` builds and runs both.

pub mod broker_faults;
pub mod cluster;
pub mod events;
pub mod fleet;
pub mod group_log;
pub mod history;
pub mod judging;
pub mod observer;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod reading;
pub mod report;
pub mod run;
pub mod transaction_log;
pub mod verify;
pub mod workload;
pub mod writer;

pub use unchain_measure::random;

/// The contracts of the workload.
pub mod contracts {
    unchain::contracts!();
}

/// What keeps the checker from coming to a verdict; a wrong record is none of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{operation}: {source}")]
    Kafka { operation: &'static str, source: rdkafka::error::KafkaError },
    #[error(transparent)]
    Client(#[from] unchain::kafka::ClientError),
    #[error("{what} does not decode: {reason}")]
    Undecodable { what: String, reason: String },
    #[error("`{command}` failed: {said}")]
    Command { command: String, said: String },
    #[error("{what} took longer than {} s{state}", .patience.as_secs())]
    TooLong { what: String, patience: std::time::Duration, state: String },
    #[error("{0}")]
    Setup(String),
    /// A verdict by itself: inputs that are never worked off are lost.
    #[error("STALLED: not every input was worked off within {} s after the faults: {state}", .patience.as_secs())]
    Stalled { patience: std::time::Duration, state: String },
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// For `map_err`: an input or output error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
        let what = what.into();
        move |source| Failure::Io { what, source }
    }

    /// For `map_err`: what Kafka says, with what it was asked for.
    pub fn kafka(operation: &'static str) -> impl Fn(rdkafka::error::KafkaError) -> Failure {
        move |source| Failure::Kafka { operation, source }
    }
}

/// A pause of the schedule, or between two looks at something that nothing announces.
pub fn pause(duration: std::time::Duration) {
    #[allow(
        clippy::disallowed_methods,
        reason = "faults have times, and other programs do not tell when they are done"
    )]
    std::thread::sleep(duration);
}

/// The wall clock in milliseconds since the Unix epoch, as records and brokers' logs have it.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
