//! `produce`: an order log, and the reference data that goes with it, onto their topics.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use unchain::app::{AppError, BROKER_DEADLINE, JsonFlag, Options, Signals};
use unchain::contract::open_registry;
use unchain::kafka::{Connection, PublisherSettings};
use unchain::produce::Producer;
use unchain_producers::replay::{send_orders, send_reference};
use unchain_producers::{OrderLog, OrderLogError, Rate};

use crate::CliError;
use crate::command_line::ProduceCommand;

/// The producer's name in the envelope of its records.
pub(crate) const SOURCE: &str = "order-log";

/// How long the last records may take to be acknowledged, a restart of the broker included.
pub(crate) const FLUSH_DEADLINE: Duration = Duration::from_secs(300);

/// Which orders to publish, and how fast.
#[derive(Debug, Clone, Args)]
pub(crate) struct OrdersArguments {
    #[command(flatten)]
    log: LogArguments,
    /// Records a second, for example 500/s; as fast as the broker takes them where it is not given.
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    #[command(flatten)]
    json: JsonFlag,
}

/// Which log's customers get accounts.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReferenceArguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    json: JsonFlag,
}

/// An order log.
#[derive(Debug, Clone, Args)]
struct LogArguments {
    /// An Avro object container file of orders; the CDNOW log, which is built in, where it is not given.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Take the first N orders only.
    #[arg(long, value_name = "N")]
    orders: Option<usize>,
}

impl LogArguments {
    fn open(&self) -> Result<impl Iterator<Item = Result<unchain_schemas::OrderPlaced, OrderLogError>>, OrderLogError> {
        let log = match &self.from {
            Some(file) => OrderLog::open(file)?,
            None => OrderLog::shipped()?,
        };
        Ok(log.take(self.orders.unwrap_or(usize::MAX)))
    }
}

pub(crate) fn command(options: &Options, command: &ProduceCommand) -> Result<(), CliError> {
    match command {
        ProduceCommand::Orders(arguments) => orders(options, arguments),
        ProduceCommand::Reference(arguments) => reference(options, arguments),
    }
}

fn orders(options: &Options, arguments: &OrdersArguments) -> Result<(), CliError> {
    // A log that cannot be opened is refused before a broker is asked for.
    let log = arguments.log.open()?;
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let mut producer = connect(&options.connection()?)?;
    let sent = send_orders(&mut producer, log, arguments.rate, |_, _| !signals.received());
    // What was sent before a damaged record is published all the same.
    producer.flush(FLUSH_DEADLINE)?;
    let orders = sent?;
    if arguments.json.json {
        println!("{}", serde_json::json!({"orders": orders}));
    } else {
        println!("{orders} orders published");
    }
    Ok(())
}

fn reference(options: &Options, arguments: &ReferenceArguments) -> Result<(), CliError> {
    let log = arguments.log.open()?;
    let mut producer = connect(&options.connection()?)?;
    let sent = send_reference(&mut producer, log)?;
    producer.flush(FLUSH_DEADLINE)?;
    if arguments.json.json {
        println!("{}", serde_json::json!({"accounts": sent.accounts, "items": sent.items}));
    } else {
        println!("{} accounts and {} items published", sent.accounts, sent.items);
    }
    Ok(())
}

fn connect(connection: &Connection) -> Result<Producer, CliError> {
    let registry = open_registry(connection, BROKER_DEADLINE)?;
    // A topic that is missing is said at once: a producer alone would wait for it.
    let existing = connection.topics(BROKER_DEADLINE)?;
    for topic in unchain_schemas::TOPICS {
        if !existing.iter().any(|found| found.name == topic.name) {
            return Err(crate::check::CheckError::MissingTopic { topic: topic.name }.into());
        }
    }
    Ok(Producer::connect(connection, registry, SOURCE, PublisherSettings::default())?)
}
