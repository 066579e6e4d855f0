//! Runs a batch of records through their handlers: keys side by side, one key's records in order, retries in place.
//!
//! Nothing is sent from here. A batch that is given up leaves no trace but what its handlers did outside.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::time::Instant;

use super::EngineSettings;
use super::lanes::{LaneKey, Lanes};
use super::shutdown::Shutdown;
use crate::contract::Codecs;
use crate::kafka::{Record, TopicPartition};
use crate::process::{AnyHandler, Deferred, Emissions, Failed, Failure, FailureClass, Outputs, Processor, Started};
use crate::process::{Context, PendingWrite, TableWrites};
use crate::table::{AnyLookup, Change, PartitionTables};

/// What a worker keeps from batch to batch and a batch works on.
pub(crate) struct Workbench {
    pub(crate) processor: Processor,
    pub(crate) handlers: Vec<Box<dyn AnyHandler>>,
    pub(crate) codecs: Codecs,
    pub(crate) lookups: Vec<Arc<dyn AnyLookup>>,
    pub(crate) tables: HashMap<TopicPartition, PartitionTables>,
}

/// What became of one record.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) emitted: Emissions,
    pub(crate) changes: Vec<Change>,
    pub(crate) failed: Option<Failed>,
}

/// The batch was given up because the worker has to stop and its handlers did not end in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

type Writes = Vec<Arc<dyn PendingWrite>>;

enum Step {
    Called { record: usize, called: Called, result: Result<Deferred, Failed> },
    TryAgain { record: usize },
}

/// What a call leaves behind beside its outputs.
struct Called {
    writes: Writes,
    /// What stream time moves on to if it succeeds.
    stream_time_ms: Option<i64>,
}

struct Run<'a> {
    records: &'a [Record],
    /// Each record's input partition, as a number within the batch, and its handler.
    sources: Vec<(usize, usize)>,
    partitions: Vec<TopicPartition>,
    bench: &'a mut Workbench,
    settings: &'a EngineSettings,
    lanes: Lanes,
    waiting: FuturesUnordered<LocalBoxFuture<'static, Step>>,
    /// Calls made, for records that were retried.
    attempts: HashMap<usize, u32>,
    outcomes: Vec<Outcome>,
}

/// Handles every record; the outcomes are in the records' order.
pub(crate) async fn run_batch(
    records: &[Record],
    bench: &mut Workbench,
    settings: &EngineSettings,
    shutdown: &mut Shutdown,
) -> Result<Vec<Outcome>, Abandoned> {
    let (partitions, sources) = locate(records, bench);
    let mut run = Run {
        records,
        sources,
        partitions,
        bench,
        settings,
        lanes: Lanes::default(),
        waiting: FuturesUnordered::new(),
        attempts: HashMap::new(),
        outcomes: std::iter::repeat_with(Outcome::default).take(records.len()).collect(),
    };
    let mut drain = Drain { shutdown, timeout: settings.drain_timeout, deadline: None };
    for record in 0..records.len() {
        if run.lanes.is_idle() || run.lanes.admit(run.lane(record).as_ref(), record) {
            run.start_lane(record);
        }
        while run.waiting.len() >= settings.max_in_flight_records {
            run.next(&mut drain).await?;
        }
    }
    while !run.waiting.is_empty() {
        run.next(&mut drain).await?;
    }
    Ok(run.outcomes)
}

/// Inputs that share tables share lanes as well: partitions are told apart by their group's first input.
fn locate(records: &[Record], bench: &Workbench) -> (Vec<TopicPartition>, Vec<(usize, usize)>) {
    let mut partitions: Vec<TopicPartition> = Vec::new();
    let mut sources = Vec::with_capacity(records.len());
    for record in records {
        let handler = bench.handlers.iter().position(|handler| handler.input().name == &*record.topic);
        let home = bench.processor.home_of(record);
        let known = partitions.iter().position(|at| *at == home);
        let source = known.unwrap_or_else(|| {
            partitions.push(home);
            partitions.len() - 1
        });
        sources.push((source, handler.expect("only the handlers' inputs are subscribed")));
    }
    (partitions, sources)
}

impl Run<'_> {
    fn lane(&self, record: usize) -> Option<LaneKey> {
        let key = self.records[record].key.clone()?;
        Some(LaneKey { source: self.sources[record].0, key })
    }

    /// Starts a record and, where it completes at once, those that wait behind it.
    fn start_lane(&mut self, record: usize) {
        let mut next = Some(record);
        while let Some(record) = next {
            if self.start(record) {
                if let Some(lane) = self.lane(record) {
                    self.lanes.occupy(lane);
                }
                return;
            }
            next = self.release(record);
        }
    }

    fn release(&mut self, record: usize) -> Option<usize> {
        if self.lanes.is_idle() {
            return None;
        }
        self.lane(record).and_then(|lane| self.lanes.release(&lane))
    }

    /// Calls the handler; tells whether it waits.
    fn start(&mut self, record: usize) -> bool {
        let (source, handler) = self.sources[record];
        let bench = &mut *self.bench;
        let (mut writes, mut emitted) = (Writes::new(), Emissions::default());
        let tables = bench.tables.get(&self.partitions[source]);
        let mut context = Context {
            record: &self.records[record],
            states: bench.processor.states(),
            tables: tables.expect("tables are set up before a partition's first record is read"),
            lookups: &bench.lookups,
            codecs: &mut bench.codecs,
            writes: &mut writes,
            event_time_ms: self.records[record].timestamp_ms,
        };
        let started = bench.handlers[handler].start(&mut context, &mut emitted);
        let stream_time_ms = context.moves_stream_time_to_ms();
        match started {
            Started::Done(result) => {
                self.complete(record, result.map(|()| emitted), &Called { writes, stream_time_ms })
            }
            Started::Failed(failed) => self.give_up(record, failed),
            Started::Pending(call) => {
                let called = Called { writes, stream_time_ms };
                self.waiting.push(call.map(move |result| Step::Called { record, called, result }).boxed_local());
                true
            }
        }
    }

    /// Waits for one of the waiting calls and goes on with its lane.
    async fn next(&mut self, drain: &mut Drain<'_>) -> Result<(), Abandoned> {
        let step = tokio::select! {
            biased;
            step = self.waiting.next() => step.expect("next is called while calls wait"),
            () = drain.is_over() => return Err(Abandoned),
        };
        let (record, waits) = match step {
            Step::TryAgain { record } => (record, self.start(record)),
            Step::Called { record, result: Err(failed), .. } => (record, self.give_up(record, failed)),
            Step::Called { record, called, result: Ok(deferred) } => {
                let mut emitted = Emissions::default();
                let result = deferred(&mut Outputs::new(&mut self.bench.codecs, &mut emitted));
                (record, self.complete(record, result.map(|()| emitted), &called))
            }
        };
        if !waits && let Some(next) = self.release(record) {
            self.start_lane(next);
        }
        Ok(())
    }

    /// Takes a call's result; tells whether the record waits for another attempt.
    fn complete(&mut self, record: usize, result: Result<Emissions, Failure>, called: &Called) -> bool {
        let result = result.and_then(|emitted| {
            let mut changes = Vec::new();
            for write in &called.writes {
                write.collect(&mut TableWrites::new(&mut self.bench.codecs, &mut changes))?;
            }
            let largest = emitted.iter().map(|output| output.size_bytes()).max().unwrap_or(0);
            self.check_size(largest)?;
            Ok((emitted, changes))
        });
        match result {
            Ok((emitted, changes)) => {
                let source = &self.partitions[self.sources[record].0];
                let tables = self.bench.tables.get_mut(source).expect("the partition's tables served the call");
                for change in &changes {
                    tables.write(change.table, change.key.clone(), change.value.clone(), 0);
                }
                if let Some(stream_time_ms) = called.stream_time_ms {
                    tables.advance_stream_time(stream_time_ms);
                }
                self.outcomes[record] = Outcome { emitted, changes, failed: None };
                false
            }
            Err(failure) => self.fail(record, failure),
        }
    }

    /// What Kafka would refuse must be rejected here: its refusal would abort the transaction, each time anew.
    fn check_size(&self, bytes: usize) -> Result<(), Failure> {
        let limit = self.settings.max_output_bytes;
        if bytes <= limit {
            return Ok(());
        }
        Err(Failure::reject(format!("an output has {bytes} bytes, more than {limit}")))
    }

    fn fail(&mut self, record: usize, failure: Failure) -> bool {
        let attempts = self.attempts.get(&record).copied().unwrap_or(1);
        match failure {
            Failure::Reject { reason } => {
                self.give_up(record, Failed { class: FailureClass::Rejected, reason, attempts })
            }
            Failure::Late { reason } => self.give_up(record, Failed { class: FailureClass::Late, reason, attempts: 0 }),
            Failure::Retry { reason } if attempts >= self.settings.max_attempts => {
                self.give_up(record, Failed { class: FailureClass::RetriesExhausted, reason, attempts })
            }
            Failure::Retry { .. } => {
                self.attempts.insert(record, attempts + 1);
                let backoff = self.settings.retry_backoff * 2_u32.saturating_pow(attempts - 1).min(1 << 10);
                self.waiting.push(tokio::time::sleep(backoff).map(move |()| Step::TryAgain { record }).boxed_local());
                true
            }
        }
    }

    fn give_up(&mut self, record: usize, mut failed: Failed) -> bool {
        if failed.class == FailureClass::Panicked {
            failed.attempts = self.attempts.get(&record).copied().unwrap_or(1);
        }
        self.outcomes[record] = Outcome { failed: Some(failed), ..Outcome::default() };
        false
    }
}

/// The bounded time in which running handlers may end once the signal to stop was given.
struct Drain<'a> {
    shutdown: &'a mut Shutdown,
    timeout: Duration,
    /// Set at the signal, so that each further wait uses up what is left.
    deadline: Option<Instant>,
}

impl Drain<'_> {
    async fn is_over(&mut self) {
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => {
                self.shutdown.signalled().await;
                *self.deadline.insert(Instant::now() + self.timeout)
            }
        };
        tokio::time::sleep_until(deadline).await;
    }
}
