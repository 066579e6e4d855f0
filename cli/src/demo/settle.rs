//! Replays the orders and waits until every one of them is through, or until nothing moves any more.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use unchain::app::Signals;
use unchain::engine::Engine;
use unchain::produce::Producer;
use unchain_producers::OrderLogError;
use unchain_producers::replay::send_orders;
use unchain_schemas::OrderPlaced;

use super::progress::{Progress, Stage, Stages};
use crate::CliError;
use crate::check::{Expectation, Totals};
use crate::produce::FLUSH_DEADLINE;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// After so long without movement the topics are asked: a commit whose answer was lost is not in the counters.
const ASK_AFTER: Duration = Duration::from_secs(10);

/// Longer than a broker takes to restart and a group to rebalance.
const IDLE_DEADLINE: Duration = Duration::from_secs(90);

/// The producer's side, as the waiting side sees it.
#[derive(Default)]
struct Published {
    records: AtomicU64,
    finished: AtomicBool,
    /// Set by the waiting side: nobody waits for the orders any more.
    given_up: AtomicBool,
}

/// Sends the orders while the engine runs; returns what was published once all of it is through.
///
/// # Errors
/// What keeps orders from being published, or which stages are behind when nothing moves any more.
pub(super) fn replay(
    producer: &mut Producer,
    orders: impl Iterator<Item = Result<OrderPlaced, OrderLogError>> + Send,
    engine: &Engine,
    signals: &Signals,
    is_settled: impl Fn(u64) -> Result<bool, CliError>,
) -> Result<Expectation, CliError> {
    let published = Published::default();
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let result = publish(producer, orders, &published);
            published.finished.store(true, Ordering::Release);
            result
        });
        let waited = wait(&published, engine, signals, is_settled);
        published.given_up.store(true, Ordering::Relaxed);
        let expectation = publishing.join().expect("publishing returns its errors")?;
        waited.map(|()| expectation)
    })
}

fn publish(
    producer: &mut Producer,
    orders: impl Iterator<Item = Result<OrderPlaced, OrderLogError>>,
    published: &Published,
) -> Result<Expectation, CliError> {
    let (before, mut customers, mut totals) = (producer.acknowledged_records(), HashSet::new(), Totals::default());
    let sent = send_orders(producer, orders, None, |producer, order| {
        published.records.store(producer.acknowledged_records() - before, Ordering::Relaxed);
        if published.given_up.load(Ordering::Relaxed) {
            return false;
        }
        if !customers.contains(&order.customer_id) {
            customers.insert(order.customer_id.clone());
        }
        totals.units += i64::from(order.units());
        totals.ordered_cents += order.total_cents();
        true
    })?;
    producer.flush(FLUSH_DEADLINE)?;
    published.records.store(sent, Ordering::Relaxed);
    totals.customers = customers.len() as u64;
    Ok(Expectation { orders: sent, totals: Some(totals) })
}

fn wait(
    published: &Published,
    engine: &Engine,
    signals: &Signals,
    is_settled: impl Fn(u64) -> Result<bool, CliError>,
) -> Result<(), CliError> {
    let counters = Stages::new();
    let mut stages = counters.now(engine, 0);
    let progress = Progress::start(&stages);
    let (mut last, mut moved, mut asked) = ((0, stages.clone()), Instant::now(), Instant::now());
    loop {
        // Whether all is sent is read first: the counts that follow are then those of all orders.
        let finished = published.finished.load(Ordering::Acquire);
        let records = published.records.load(Ordering::Relaxed);
        stages = counters.now(engine, records);
        progress.show(records, &stages);
        if finished && stages.iter().all(|stage| stage.lag == 0) {
            return Ok(());
        }
        if (records, &stages) != (last.0, &last.1) {
            (last, moved, asked) = ((records, stages.clone()), Instant::now(), Instant::now());
        }
        let missing = || missing(finished, &stages);
        if !engine.is_alive() {
            return Err(CliError::ProcessorEnded { missing: missing() });
        }
        if finished && asked.elapsed() > ASK_AFTER {
            match is_settled(records) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A broker that is away for a while: the deadline below says when that is too long.
                Err(error) => tracing::debug!(%error, "the topics could not be asked"),
            }
            asked = Instant::now();
        }
        if moved.elapsed() > IDLE_DEADLINE {
            return Err(CliError::Stalled { waited: moved.elapsed(), missing: missing() });
        }
        if signals.wait(POLL_INTERVAL) {
            return Err(CliError::Interrupted { missing: missing() });
        }
    }
}

/// The stages that are behind, and by how much.
fn missing(finished: bool, stages: &[Stage]) -> String {
    let orders = (!finished).then(|| "orders to be published".to_owned());
    let behind = stages.iter().filter(|stage| stage.lag > 0);
    let behind = behind.map(|stage| format!("{} {} records", stage.name, stage.lag));
    let all: Vec<_> = orders.into_iter().chain(behind).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}
