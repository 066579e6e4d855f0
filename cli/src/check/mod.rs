//! The separate checker: reads what consumers read, and judges whether every order was handled exactly once.
//!
//! It uses neither the processors' code nor their counters. Sums of what went in are compared with the tables, every
//! order's trail through the topics with the one that its outcome implies, totals with those that are known.

mod collect;
mod evidence;
pub mod known;
mod report;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use thiserror::Error;
use unchain::app::{BROKER_DEADLINE, JsonFlag, Options};
use unchain::contract::{RegistryError, SchemaRegistry, open_registry};
use unchain::kafka::{ClientError, Connection};

use crate::{CheckCommand, CliError};
use collect::Collector;

pub use report::{MonthTotal, Rejected, Report, Stages, TopCustomer};
pub use verdict::Violations;

/// What to check against.
#[derive(Debug, Clone, Args)]
pub struct CheckArguments {
    /// How many orders were published; the whole CDNOW log, with its known totals, where it is not given.
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// Wait for the outcomes of all orders, at most so long.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    #[command(flatten)]
    json: JsonFlag,
}

/// What the topics are expected to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    pub orders: u64,
    /// Customers, units and cents of the orders, where whoever published them has counted.
    pub totals: Option<Totals>,
}

/// Sums over published orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub customers: u64,
    pub units: i64,
    pub ordered_cents: i64,
}

/// The outcome of a check.
#[derive(Debug)]
pub struct Checked {
    pub report: Report,
    pub stages: Stages,
    pub violations: Violations,
}

/// Why topics could not be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("there is no topic {topic}: create the pipeline's topics with `unchain topics apply`")]
    MissingTopic { topic: &'static str },
    #[error("record {record} cannot be decoded: {reason}")]
    Undecodable { record: String, reason: String },
}

/// Reads every topic of the pipeline and judges it.
pub fn check(
    connection: &Connection,
    registry: &Arc<dyn SchemaRegistry>,
    expectation: Expectation,
) -> Result<Checked, CheckError> {
    let started = Instant::now();
    let evidence = Collector::new(connection, registry)?.collect()?;
    let violations = verdict::judge(&evidence, expectation);
    let mut report = Report::of(&evidence);
    report.exactly_once = violations.is_empty();
    report.time(evidence.records, started.elapsed());
    Ok(Checked { report, stages: Stages::of(&evidence), violations })
}

/// Waits until so many orders have an outcome, a mail and a place in a month's revenue, for as long as allowed; tells
/// whether they have.
pub fn wait(
    connection: &Connection,
    registry: &Arc<dyn SchemaRegistry>,
    orders: u64,
    at_most: Duration,
) -> Result<bool, CheckError> {
    Collector::new(connection, registry)?.wait(orders, at_most)
}

pub(crate) fn command(options: &Options, command: &CheckCommand) -> Result<(), CliError> {
    let CheckCommand::Orders(arguments) = command;
    let connection = options.connection()?;
    let registry = open_registry(&connection, BROKER_DEADLINE)?;
    let orders = arguments.orders.unwrap_or(known::CDNOW.orders);
    if let Some(seconds) = arguments.wait {
        wait(&connection, &registry, orders, Duration::from_secs(seconds))?;
    }
    let checked = check(&connection, &registry, Expectation { orders, totals: None })?;
    checked.print(arguments.json.json);
    if checked.violations.is_empty() { Ok(()) } else { Err(CliError::Verdict) }
}

impl Checked {
    /// Prints the report on stdout; what is wrong goes to stderr beside the JSON, and into the text otherwise.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", self.report.json());
            eprint!("{}", self.violations);
        } else {
            print!("{}{}", self.report.text(&self.stages), self.violations);
            let verdict = if self.violations.is_empty() { "every order exactly once" } else { "FAILED" };
            println!("verdict: {verdict}");
        }
    }
}
