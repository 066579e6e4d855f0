//! The processors: each does its service's work, then emits the order to the next topic, exactly once.

use std::time::Duration;

use unchain::app::Signals;
use unchain::contract::{RegistryError, SchemaRegistry, Topic};
use unchain::engine::{Engine, EngineSettings};
use unchain::kafka::{Connection, NewRecord};
use unchain::process::{Envelope, FailedRecord, Failure, FailurePolicy, Processor, State};

use super::topics::{RunName, registry};
use super::{Mailed, Paid, Placed, Reserved, Shipped, Verified};
use crate::error::ServiceError;
use crate::service::say_ready;
use crate::settings::PipelineSettings;
use crate::step::Step;
use crate::work::Work;

/// How often a running process looks whether its worker lives.
const HEALTH_INTERVAL: Duration = Duration::from_millis(20);
/// A record may wait for its permit as long as the work before it takes, which is what the experiment is about; the run
/// itself notices when nothing moves any more.
const STALL_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How long a processor may take to get its partitions.
const START_TIMEOUT: Duration = Duration::from_secs(30);

async fn verify(order: Placed, State(work): State<Work>) -> Verified {
    work.perform().await;
    Verified { order_id: order.order_id, customer_id: order.customer_id, cents: order.cents }
}

async fn pay(order: Verified, State(work): State<Work>) -> Paid {
    work.perform().await;
    Paid { order_id: order.order_id, customer_id: order.customer_id, cents: order.cents }
}

async fn reserve(order: Paid, State(work): State<Work>) -> Reserved {
    work.perform().await;
    Reserved { order_id: order.order_id, customer_id: order.customer_id, cents: order.cents }
}

async fn ship(order: Reserved, State(work): State<Work>) -> Shipped {
    work.perform().await;
    Shipped { order_id: order.order_id, customer_id: order.customer_id, cents: order.cents }
}

async fn mail(order: Shipped, State(work): State<Work>) -> Mailed {
    work.perform().await;
    Mailed { order_id: order.order_id, customer_id: order.customer_id, cents: order.cents }
}

/// The processor of a step in one run, which has the run's names.
pub(super) fn processor(step: Step, run: &RunName, work: Work) -> Processor {
    // A processor's name lives as long as its process.
    let processor = Processor::new(String::leak(run.group(step))).state(work);
    let processor = match step {
        Step::Verification => processor
            .handle(verify)
            .topic_name::<Placed>(&run.topic::<Placed>())
            .topic_name::<Verified>(&run.topic::<Verified>()),
        Step::Payment => processor
            .handle(pay)
            .topic_name::<Verified>(&run.topic::<Verified>())
            .topic_name::<Paid>(&run.topic::<Paid>()),
        Step::Inventory => processor
            .handle(reserve)
            .topic_name::<Paid>(&run.topic::<Paid>())
            .topic_name::<Reserved>(&run.topic::<Reserved>()),
        Step::Shipping => processor
            .handle(ship)
            .topic_name::<Reserved>(&run.topic::<Reserved>())
            .topic_name::<Shipped>(&run.topic::<Shipped>()),
        Step::Email => processor
            .handle(mail)
            .topic_name::<Shipped>(&run.topic::<Shipped>())
            .topic_name::<Mailed>(&run.topic::<Mailed>()),
    };
    processor.envelope(Envelope::default())
}

/// Drops what fails: no handler here can fail, and if one did, the judge would miss its order in the topics.
struct Drop;

impl FailurePolicy for Drop {
    fn topics(&self) -> Vec<&'static Topic> {
        Vec::new()
    }

    fn on_failure(&mut self, failed: FailedRecord<'_>) -> Result<Vec<NewRecord<'static>>, Failure> {
        tracing::error!(record = failed.record.position(), reason = failed.failed.reason, "a record failed");
        Ok(Vec::new())
    }
}

fn policy(_: &std::sync::Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError> {
    Ok(Box::new(Drop))
}

/// Runs one processor until SIGTERM, which drains it.
pub fn run(
    connection: &Connection,
    step: Step,
    name: &RunName,
    settings: &PipelineSettings,
    work: Work,
) -> Result<(), ServiceError> {
    let signals = Signals::watch().map_err(ServiceError::Signals)?;
    let engine_settings = EngineSettings {
        // A stable name, as a pod has: a restart takes over at once what the last one left.
        instance: Some("0".to_owned()),
        max_in_flight_records: settings.max_in_flight_records,
        max_commit_interval: Duration::from_millis(settings.commit_interval_ms),
        drain_timeout: Duration::from_millis(settings.drain_ms),
        stall_timeout: STALL_TIMEOUT,
        ..EngineSettings::default()
    };
    let processors = [processor(step, name, work)];
    let engine = Engine::start(connection, &registry()?, &processors, &engine_settings, policy)?;
    let started = std::time::Instant::now();
    let mut is_ready = false;
    while engine.is_alive() && !signals.wait(if is_ready { HEALTH_INTERVAL * 25 } else { HEALTH_INTERVAL }) {
        if !is_ready && engine.stats().iter().all(|stats| stats.assigned_partitions() > 0) {
            is_ready = true;
            say_ready();
        }
        if !is_ready && started.elapsed() > START_TIMEOUT {
            return Err(ServiceError::NoPartitions { step, waited: started.elapsed() });
        }
    }
    let died = !signals.received();
    engine.stop()?;
    if died { Err(unchain::engine::EngineError::StoodStill.into()) } else { Ok(()) }
}
