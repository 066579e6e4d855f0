//! End-to-end latency: orders at a steady rate, each timed from when it was due to when its total is read, by one clock.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use unchain_measure::usage;

use crate::cluster::{PARTITIONS, client};
use crate::contestant::Contestant;
use crate::orders::{Feed, index_of, order};
use crate::results::Measured;
use crate::stage::Stage;
use crate::{Failure, pause};

/// Records a second.
const RATE: u64 = 1_000;
/// How long the reader waits for what is still on its way.
const SILENCE: Duration = Duration::from_secs(5);

/// Feeds for `warm_up` and then for `seconds`, which count.
pub fn latency(
    stage: &Stage<'_>,
    contestant: &Contestant,
    warm_up: Duration,
    seconds: Duration,
) -> Result<Measured, Failure> {
    // A commit every 10 ms, records sent at once: what peers need to be quick. Ours commits whenever it is idle.
    let mut process = stage.start(contestant, &[("COMMIT_MS", "10"), ("LINGER_MS", "0")])?;
    let (unmeasured, all) = (RATE * warm_up.as_secs(), RATE * (warm_up + seconds).as_secs());
    let consumer = reader(stage)?;
    let mut feed = Feed::prompt(stage.cluster, &stage.input)?;
    let begin = Instant::now();
    let due = |index: u64| begin + Duration::from_micros(index * 1_000_000 / RATE);
    let arrivals = std::thread::scope(|scope| -> Result<_, Failure> {
        let reading = scope.spawn(move || read(&consumer, all));
        for index in 0..all {
            let order = order(index);
            while Instant::now() < due(index) {
                feed.serve();
                pause(Duration::from_micros(100));
            }
            feed.send(&order)?;
        }
        feed.finish()?;
        reading.join().map_err(|_| "the reader panicked")?
    })?;
    process.expect_alive()?;
    let mut measured = Measured::default();
    measured.set("cpu_share", usage::cpu_seconds(process.pid()) / process.started.elapsed().as_secs_f64());
    measured.set("peak_mb", usage::peak_resident_mb(process.pid()));
    process.stop()?;

    let mut taken: Vec<Duration> = arrivals
        .iter()
        .filter(|(index, _)| *index >= unmeasured)
        .map(|(index, at)| at.saturating_duration_since(due(*index)))
        .collect();
    taken.sort_unstable();
    let missing = (all - unmeasured).saturating_sub(u64::try_from(taken.len())?);
    if missing > 0 {
        measured.faults.push(format!("{missing} records did not arrive"));
    }
    let last = taken.len().checked_sub(1).ok_or("nothing arrived")?;
    for (name, per_mille) in [("p50_ms", 500), ("p99_ms", 990), ("p999_ms", 999), ("max_ms", 1_000)] {
        measured.set(name, taken[last * per_mille / 1_000].as_secs_f64() * 1_000.0);
    }
    Ok(measured)
}

fn reader(stage: &Stage<'_>) -> Result<BaseConsumer, Failure> {
    let consumer: BaseConsumer = client(&stage.cluster.brokers)
        .set("group.id", "stopwatch")
        .set("isolation.level", stage.task.isolation().name())
        .create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(&stage.output, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

/// When each order's total was read, until all have come or nothing comes any more.
fn read(consumer: &BaseConsumer, expected: u64) -> Result<Vec<(u64, Instant)>, Failure> {
    let mut arrivals = Vec::new();
    let mut heard = None::<Instant>;
    let begun = Instant::now();
    while u64::try_from(arrivals.len())? < expected {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                let message = message?;
                let at = Instant::now();
                let index = message.payload().and_then(|value| index_of(value.get(6..42)?));
                arrivals.push((index.ok_or("an output that is no total")?, at));
                heard = Some(at);
            }
            // A start may take long; silence counts from the first arrival on.
            None if heard.is_some_and(|heard| heard.elapsed() > SILENCE) => break,
            None if begun.elapsed() > Duration::from_secs(60) && heard.is_none() => break,
            None => {}
        }
    }
    Ok(arrivals)
}
