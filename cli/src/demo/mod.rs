//! `demo`: recorded orders through the whole pipeline in one process, then the verdict from the topics.

mod cluster;
mod progress;
mod settle;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use unchain::app::{AppError, BROKER_DEADLINE, JsonFlag, Options, Signals};
use unchain::contract::{SchemaRegistry, apply_topics, open_registry};
use unchain::engine::{Engine, EngineSettings};
use unchain::kafka::{Connection, PublisherSettings};
use unchain::produce::Producer;
use unchain::recovery::dead_letters;
use unchain_processors::mail::{EmailConfig, count_mails};
use unchain_processors::{Config, processors};
use unchain_producers::OrderLog;
use unchain_producers::replay::send_reference;

use crate::check::{Checked, Expectation, check, wait};
use crate::produce::{FLUSH_DEADLINE, SOURCE};
use crate::{CliError, pipeline};
use cluster::Cluster;

pub(crate) const EXAMPLE: &str = "Example:\n  unchain demo\n  unchain demo --orders 2000 --json\n  \
    unchain demo --bootstrap-servers 127.0.0.1:9092 --keep\n\n\
    `seconds` is the time from the first order to the last e-mail, `records_per_second` the records that the processors\n\
    handled in it. On a Kafka of your own, the topics and groups that the demo created are deleted at its end.";

/// How long the topics are read when the counters say that orders are missing.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How to demonstrate.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// Replay the first N orders only.
    #[arg(long, value_name = "N")]
    orders: Option<usize>,
    /// Keep the development broker's log, and the mails, in this folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave topics, groups and the broker's data in place.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    json: JsonFlag,
}

pub(crate) fn command(
    options: &Options,
    email: Option<EmailConfig>,
    arguments: &DemoArguments,
) -> Result<(), CliError> {
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let cluster = Cluster::open(options, arguments)?;
    let email = email.unwrap_or_else(|| EmailConfig::Mbox { path: cluster.folder().join("orders.mbox") });
    let result = demonstrate(&cluster, &email, arguments, &signals);
    // Also after a failure: what the demo created is not left behind.
    let closed = cluster.close();
    let checked = result?;
    checked.print(arguments.json.json);
    if !arguments.json.json {
        println!("e-mails: {email}");
    }
    closed?;
    if checked.violations.is_empty() { Ok(()) } else { Err(CliError::Verdict) }
}

fn demonstrate(
    cluster: &Cluster,
    email: &EmailConfig,
    arguments: &DemoArguments,
    signals: &Signals,
) -> Result<Checked, CliError> {
    let connection = cluster.connection();
    let config = Config { email: email.clone() };
    let registry = open_registry(connection, BROKER_DEADLINE)?;
    let topics = pipeline(&config).all_topics();
    let applied = apply_topics(connection, &*registry, &topics, BROKER_DEADLINE)?;
    cluster.created(&applied.created);
    let log = || Ok::<_, CliError>(OrderLog::shipped()?.take(arguments.orders.unwrap_or(usize::MAX)));
    let mails_before = mails(email)?;
    let mut producer = Producer::connect(connection, Arc::clone(&registry), SOURCE, PublisherSettings::default())?;
    send_reference(&mut producer, log()?)?;
    producer.flush(FLUSH_DEADLINE)?;

    // Without a stable name the members leave their groups at the end, which can then be deleted at once.
    let settings = EngineSettings::default();
    let engine = Engine::start(connection, &registry, &processors(&config), &settings, dead_letters)?;
    let started = Instant::now();
    let settled = settle::replay(&mut producer, log()?, &engine, signals, |orders| {
        // A commit whose answer was lost is in the topics, not in the counters.
        Ok(wait(connection, &registry, orders, ASK_TIMEOUT)?)
    });
    let taken = started.elapsed();
    let records: u64 = engine.stats().iter().map(|stats| stats.consumed_records()).sum();
    let stopped = engine.stop();
    let settled = settled?;
    stopped?;
    judge(connection, &registry, settled, email, mails_before).map(|mut checked| {
        checked.report.time(records, taken);
        checked
    })
}

fn judge(
    connection: &Connection,
    registry: &Arc<dyn SchemaRegistry>,
    expectation: Expectation,
    email: &EmailConfig,
    mails_before: u64,
) -> Result<Checked, CliError> {
    let mut checked = check(connection, registry, expectation)?;
    if let EmailConfig::Mbox { .. } = email {
        let written = mails(email)?.saturating_sub(mails_before);
        if written != checked.report.emails {
            checked.violations.add(format!("mails in {email}: {written}, expected {}", checked.report.emails));
            checked.report.exactly_once = false;
        }
    }
    Ok(checked)
}

fn mails(email: &EmailConfig) -> Result<u64, CliError> {
    match email {
        EmailConfig::Mbox { path } => count_mails(path).map_err(|source| CliError::Mbox { file: path.clone(), source }),
        EmailConfig::Smtp { .. } => Ok(0),
    }
}
