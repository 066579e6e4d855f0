//! The comparison's own contestant: J1, J2 and the slow job by the public handler API, until SIGTERM.
//!
//! Everything is in the environment, as for every peer: BROKERS IN_TOPIC OUT_TOPIC CLOG_TOPIC GROUP MODE JOB THRESHOLD
//! STATE_DIR, and WORKERS (2), HANDLER_MS (20), SESSION_MS, KAFKA_PROPERTIES (librdkafka's own, NAME=VALUE).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use unchain::app::{Signals, start_logging};
use unchain::contract::{Contract, RegistryError, SchemaRegistry, Topic};
use unchain::engine::{Engine, EngineSettings, Guarantee};
use unchain::kafka::{Connection, NewRecord};
use unchain::process::{Entry, Envelope, FailedRecord, Failure, FailurePolicy, Processor, State};
use unchain_benches::contracts::{CustomerSpend, CustomerStats, Order, OrderTotal};
use unchain_benches::environment::{Environment, Job, Mode};
use unchain_benches::preset_registry::PresetRegistry;

/// As in the `unchain` command: handlers' values come and go by the million.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The schemas by their ids: 1, 2, 3 are the peers' too; the changelog is each program's own affair.
const SCHEMAS: [&Topic; 4] = [Order::TOPIC, OrderTotal::TOPIC, CustomerStats::TOPIC, CustomerSpend::TOPIC];

#[derive(Clone, Copy)]
struct Threshold(i64);

#[derive(Clone, Copy)]
struct HandlerWait(Duration);

/// J1.
async fn total(order: Order, State(Threshold(threshold)): State<Threshold>) -> Option<OrderTotal> {
    let (total_cents, item_count) = sums(&order);
    let Order { order_id, customer_id, .. } = order;
    (total_cents >= threshold).then_some(OrderTotal { order_id, customer_id, total_cents, item_count })
}

/// J2.
async fn spend(order: Order, mut spend: Entry<CustomerSpend>) -> CustomerStats {
    let (count, sum_cents) = spend.get().map_or((0, 0), |row| (row.count, row.sum_cents));
    let (count, sum_cents) = (count + 1, sum_cents + sums(&order).0);
    spend.set(CustomerSpend { customer_id: order.customer_id.clone(), count, sum_cents });
    CustomerStats { customer_id: order.customer_id, count, sum_cents }
}

/// The slow job: J1 behind a wait.
async fn ask_and_total(
    order: Order,
    State(HandlerWait(wait)): State<HandlerWait>,
    threshold: State<Threshold>,
) -> Option<OrderTotal> {
    tokio::time::sleep(wait).await;
    total(order, threshold).await
}

fn sums(order: &Order) -> (i64, i32) {
    let total = order.lines.iter().map(|line| i64::from(line.quantity) * line.unit_price_cents).sum();
    (total, order.lines.iter().map(|line| line.quantity).sum())
}

fn processor(run: &Environment) -> Processor {
    // A processor's name is the group's; it lives as long as the process.
    let processor = Processor::new(Box::leak(run.group.clone().into_boxed_str()));
    // The peers write no headers either.
    let processor = processor.topic_name::<Order>(&run.in_topic).envelope(Envelope::Off);
    match run.job {
        Job::J1 => processor.topic_name::<OrderTotal>(&run.out_topic).state(Threshold(run.threshold)).handle(total),
        Job::Slow => processor
            .topic_name::<OrderTotal>(&run.out_topic)
            .state(Threshold(run.threshold))
            .state(HandlerWait(run.handler_wait))
            .handle(ask_and_total),
        Job::J2 => processor
            .topic_name::<CustomerStats>(&run.out_topic)
            .topic_name::<CustomerSpend>(&run.changelog_topic)
            .handle(spend),
    }
}

fn settings(run: &Environment) -> EngineSettings {
    let defaults = EngineSettings::default();
    EngineSettings {
        workers: run.workers,
        session_timeout: run.session_timeout.unwrap_or(defaults.session_timeout),
        guarantee: match run.mode {
            Mode::ExactlyOnce => Guarantee::ExactlyOnce,
            Mode::AtLeastOnce => Guarantee::AtLeastOnce,
        },
        state_dir: run.state_dir.clone(),
        ..defaults
    }
}

/// No record of a benchmark may fail: the first one that does ends the run.
struct NoFailures;

impl FailurePolicy for NoFailures {
    fn topics(&self) -> Vec<&'static Topic> {
        Vec::new()
    }

    fn on_failure(&mut self, failed: FailedRecord<'_>) -> Result<Vec<NewRecord<'static>>, Failure> {
        Err(Failure::reject(format!("record {}: {}", failed.record.position(), failed.failed.reason)))
    }
}

fn no_failures(_: &Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError> {
    Ok(Box::new(NoFailures))
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let run = Environment::read()?;
    let signals = Signals::watch()?;
    let registry: Arc<dyn SchemaRegistry> = Arc::new(PresetRegistry::of(&SCHEMAS));
    let mut connection = Connection::new(&run.brokers);
    for property in std::env::var("KAFKA_PROPERTIES").unwrap_or_default().split_whitespace() {
        let (name, value) = property.split_once('=').ok_or("KAFKA_PROPERTIES are NAME=VALUE pairs")?;
        connection = connection.with_property(name, value)?;
    }
    let engine = Engine::start(&connection, &registry, &[processor(&run)], &settings(&run), no_failures)?;
    while engine.is_alive() && !signals.wait(Duration::from_millis(200)) {}
    engine.stop()?;
    Ok(())
}

fn main() -> ExitCode {
    start_logging(true);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
