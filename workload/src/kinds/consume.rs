//! `consume`: a topic is filled first, then read to its end at full speed, from each consumer's first record on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unchain::kafka::{BulkReader, BulkSettings, Lent};

use super::join_all;
use super::produce::refuse_failures;
use crate::BenchError;
use crate::load::Load;
use crate::result::{Facts, Run};
use crate::schedule::{Clock, Schedule, nanos};
use crate::stage::{DRAIN_DEADLINE, Stage, Usage, rates};
use crate::tally::{Tally, Window};

/// How long filling the topic may take; it is not measured.
const MAX_FILLING: Duration = Duration::from_secs(3_600);
const READ_AHEAD: BulkSettings =
    BulkSettings { max_prefetched_bytes: 64 * 1024 * 1024, max_prefetched_records: 200_000 };
const BATCH: usize = 5_000;
const BATCH_WAIT: Duration = Duration::from_millis(20);

pub(super) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    let topics = stage.create_topics()?;
    let filled = fill(stage, &topics)?;
    let window = Window { end: MAX_FILLING, interval: Duration::from_millis(100), ..stage.window() };
    let usage = Usage::start(stage);
    let clock = Clock::start();
    let tally = Tally::new(clock.clone(), window);
    let first = drain(stage, &topics, &tally, filled)?;
    let used = usage.stop();
    let counts = tally.counts();
    // From the open on: what came with the first batch took that long as well.
    let seconds = counts.last_nanos as f64 / 1e9;
    let facts = Facts {
        sent: filled,
        acknowledged: filled,
        received: counts.ended,
        measured: counts.ended,
        measured_seconds: seconds,
        ..Facts::default()
    };
    let mut run = Run { facts, ..Run::default() };
    run.metrics.insert("records_per_second".into(), counts.ended as f64 / seconds.max(1e-6));
    run.metrics.insert("first_record_ms".into(), first as f64 / 1e6);
    run.series.insert("rate".into(), rates(&counts.ends, window.interval));
    used.note(&mut run, counts.ended);
    stage.note_megabytes(&mut run);
    Ok(run)
}

/// Sends the records that are to be read, in equal shares of the producers.
fn fill(stage: &Stage<'_>, topics: &[String]) -> Result<u64, BenchError> {
    let (clock, producers) = (Clock::start(), u64::from(stage.workload.producers));
    let window = Window { end: MAX_FILLING, interval: MAX_FILLING, ..stage.window() };
    let records = stage.workload.records;
    let clock = &clock;
    let send = |producer: u32| -> Result<(u64, u64, Option<String>), BenchError> {
        let tally = Arc::new(Tally::new(clock.clone(), window));
        let mut outlet = stage.producing(topics, producer, &tally)?;
        let share = records / producers + u64::from(u64::from(producer) < records % producers);
        let load = Load {
            schedule: Schedule { per_second: None, sender: 0, senders: 1 },
            end: MAX_FILLING,
            max_records: Some(share),
            ..stage.load(clock, producer, None)
        };
        load.run(&mut outlet)?;
        stage.flush(&outlet)?;
        let counts = tally.counts();
        Ok((counts.ended, counts.failed, outlet.producer.failure()))
    };
    let ended = std::thread::scope(|scope| {
        let threads = (0..stage.workload.producers).map(|producer| scope.spawn(move || send(producer)));
        join_all(threads.collect())
    })?;
    let failed = ended.iter().map(|(_, failed, _)| failed).sum();
    let acknowledged = ended.iter().map(|(acknowledged, ..)| acknowledged).sum();
    refuse_failures(failed, ended.into_iter().find_map(|(.., failure)| failure))?;
    Ok(acknowledged)
}

/// Reads so many records; returns when the first one came, in nanoseconds since the start.
fn drain(stage: &Stage<'_>, topics: &[String], tally: &Tally, records: u64) -> Result<u64, BenchError> {
    let started = Instant::now();
    let read = |share: Vec<_>| -> Result<u64, BenchError> {
        let mut reader = BulkReader::open(stage.connection(), &share, &READ_AHEAD)?;
        let mut first = None;
        let (mut last_seen, mut last_ended) = (Instant::now(), 0);
        while tally.ended() < records {
            let mut bytes = 0;
            let came = reader.read(BATCH, BATCH_WAIT, |lent| {
                if let Lent::Record(record) = lent {
                    bytes += record.value().map_or(0, <[u8]>::len);
                }
                Ok::<_, BenchError>(())
            })?;
            std::hint::black_box(bytes);
            let ended = tally.ended();
            if came > 0 || ended > last_ended {
                (last_seen, last_ended) = (Instant::now(), ended);
            }
            if came > 0 {
                tally.end_many(came as u64);
                first.get_or_insert(nanos(started.elapsed()));
            }
            if stage.signals.received() {
                return Err(BenchError::Interrupted);
            }
            if last_seen.elapsed() > DRAIN_DEADLINE {
                let state = format!("{} of {records} records came", tally.ended());
                return Err(BenchError::TooLong { what: "reading", waited: started.elapsed(), state });
            }
        }
        Ok(first.unwrap_or(u64::MAX))
    };
    let read = &read;
    let firsts = std::thread::scope(|scope| {
        let shares = stage.shares(topics, stage.workload.consumers);
        join_all(shares.into_iter().map(|share| scope.spawn(move || read(share))).collect())
    })?;
    Ok(firsts.into_iter().min().unwrap_or(0))
}
