//! The environment that tells a program of the comparison what to do; the same for ours and for every peer.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// What is wrong with the environment.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    #[error("{name} is not set")]
    Missing { name: &'static str },
    #[error("{name} is {value:?}: {reason}")]
    Invalid { name: &'static str, value: String, reason: String },
}

/// The work of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Decode an order, drop those below the threshold, compute and encode the total.
    J1,
    /// A running count and sum a customer, with a changelog; every order emits its customer's update.
    J2,
    /// J1 with a handler that waits, as one that calls another service does.
    Slow,
}

/// What a crash may do to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

/// A run as its environment describes it.
#[derive(Debug, Clone)]
pub struct Environment {
    pub brokers: String,
    pub in_topic: String,
    pub out_topic: String,
    /// The changelog that the harness has made for J2; empty where a job needs none.
    pub changelog_topic: String,
    pub group: String,
    pub mode: Mode,
    pub job: Job,
    /// Orders whose total is below so many cents are dropped by J1.
    pub threshold: i64,
    /// Where tables are kept on disk.
    pub state_dir: Option<PathBuf>,
    /// Workers of ours, threads of the raw loop.
    pub workers: usize,
    /// How long the handler of the slow job waits.
    pub handler_wait: Duration,
    /// How often the raw loop commits, in place of each 100 ms exactly-once and each second at-least-once.
    pub commit_interval: Option<Duration>,
    /// How long the raw loop's producer waits for a batch to fill.
    pub linger: Duration,
    /// Silence after which the group gives a dead member's partitions to others; the program's own where unset.
    pub session_timeout: Option<Duration>,
}

impl Environment {
    pub fn read() -> Result<Environment, EnvironmentError> {
        Ok(Environment {
            brokers: required("BROKERS")?,
            in_topic: required("IN_TOPIC")?,
            out_topic: required("OUT_TOPIC")?,
            changelog_topic: optional("CLOG_TOPIC", String::new())?,
            group: required("GROUP")?,
            mode: optional("MODE", Mode::ExactlyOnce)?,
            job: optional("JOB", Job::J1)?,
            threshold: optional("THRESHOLD", 0)?,
            state_dir: text("STATE_DIR").map(PathBuf::from),
            workers: optional("WORKERS", optional("THREADS", 2)?)?,
            handler_wait: Duration::from_millis(optional("HANDLER_MS", 20)?),
            commit_interval: milliseconds("COMMIT_MS")?,
            linger: milliseconds("LINGER_MS")?.unwrap_or(Duration::from_millis(20)),
            session_timeout: milliseconds("SESSION_MS")?,
        })
    }
}

/// The variable's text; an empty one is as good as none.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &'static str) -> Result<String, EnvironmentError> {
    text(name).ok_or(EnvironmentError::Missing { name })
}

fn optional<T: FromStr<Err: fmt::Display>>(name: &'static str, default: T) -> Result<T, EnvironmentError> {
    let Some(value) = text(name) else { return Ok(default) };
    value.parse().map_err(|error: T::Err| EnvironmentError::Invalid { name, value, reason: error.to_string() })
}

fn milliseconds(name: &'static str) -> Result<Option<Duration>, EnvironmentError> {
    Ok(text(name).map(|_| optional(name, 0)).transpose()?.map(Duration::from_millis))
}

impl FromStr for Job {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Job, Self::Err> {
        match name {
            "J1" => Ok(Job::J1),
            "J2" => Ok(Job::J2),
            "SLOW" => Ok(Job::Slow),
            _ => Err("the jobs are J1, J2 and SLOW"),
        }
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Mode, Self::Err> {
        match name {
            "alos" => Ok(Mode::AtLeastOnce),
            "eos" => Ok(Mode::ExactlyOnce),
            _ => Err("the modes are alos and eos"),
        }
    }
}
