//! A worker: one consumer and its transactional producer, from joining the group to leaving it.
//!
//! One loop: collect a batch, run it, commit its outputs, changelog and offsets in one transaction. Between two batches
//! nothing is in flight, so partitions change hands and tables roll back there and nowhere else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Abandoned, Outcome, Workbench, run_batch};
use super::restore::restore_tables;
use super::shutdown::Shutdown;
use super::stats::{CommittedBatch, ProcessorStats};
use super::{EngineError, EngineSettings};
use crate::contract::{Codecs, SchemaRegistry};
use crate::envelope;
use crate::kafka::{
    ClientError, Connection, ConsumerEvent, ErrorKind, GroupConsumer, GroupSettings, Headers, NewRecord, Record,
    TopicPartition, TransactionalProducer,
};
use crate::process::{FailedRecord, FailureClass, FailurePolicy, Processor};
use crate::table::AnyLookup;

/// What a worker is started with.
pub(crate) struct Worker {
    pub(crate) connection: Connection,
    pub(crate) registry: Arc<dyn SchemaRegistry>,
    pub(crate) processor: Processor,
    pub(crate) lookups: Vec<Arc<dyn AnyLookup>>,
    pub(crate) settings: EngineSettings,
    /// Unique among the processor's workers; stable over restarts where the instance has a name.
    pub(crate) transactional_id: String,
    /// The member's name for static membership.
    pub(crate) member: Option<String>,
    pub(crate) policy: Box<dyn FailurePolicy>,
    pub(crate) stats: Arc<ProcessorStats>,
    pub(crate) shutdown: Shutdown,
}

/// One life of a worker: from its clients' creation to their end.
struct Session<'a> {
    worker: &'a mut Worker,
    runtime: &'a tokio::runtime::Runtime,
    consumer: GroupConsumer,
    producer: TransactionalProducer,
    bench: Workbench,
    /// The next offset of each assigned partition by the last commit; `None` before its first.
    positions: BTreeMap<TopicPartition, Option<i64>>,
    /// A rebalance that was announced while a batch was being collected.
    announced: Option<ConsumerEvent>,
    aborts_in_a_row: u32,
}

const MAX_BACKOFF: Duration = Duration::from_secs(2);

impl Worker {
    /// Works until the shutdown. A session that fails is followed by another, built from the last commit.
    pub(crate) fn run(mut self) -> Result<(), EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| EngineError::Thread { reason: error.to_string() })?;
        let mut failures = 0;
        while !self.shutdown.is_signalled() {
            let started = Instant::now();
            let Err(error) = self.session(&runtime) else { return Ok(()) };
            if error.kind() == ErrorKind::Stop {
                tracing::error!(processor = self.processor.name(), %error, "the worker has ended");
                self.stats.set_failed();
                return Err(error);
            }
            self.stats.add_rebuild();
            failures = if started.elapsed() > Duration::from_secs(30) { 1 } else { failures + 1 };
            let backoff = backoff(failures);
            tracing::warn!(processor = self.processor.name(), %error, backoff_ms = backoff.as_millis(),
                "the worker is built anew from the last commit");
            self.shutdown.pause(&runtime, backoff);
        }
        Ok(())
    }

    fn session(&mut self, runtime: &tokio::runtime::Runtime) -> Result<(), EngineError> {
        let mut codecs = Codecs::new(Arc::clone(&self.registry));
        self.processor.declaration().add_codecs(&mut codecs)?;
        let bench = Workbench {
            processor: self.processor.clone(),
            handlers: self.processor.new_handlers(),
            codecs,
            lookups: self.lookups.clone(),
            tables: HashMap::new(),
        };
        // The producer first: it ends what the last owner of the id left open, which readers are waiting for.
        let producer = TransactionalProducer::connect(
            &self.connection,
            &self.transactional_id,
            self.settings.transaction_timeout,
        )?;
        let group = GroupSettings {
            group: self.processor.name().to_owned(),
            instance: self.member.clone(),
            session_timeout: self.settings.session_timeout,
            max_poll_interval: Duration::from_secs(300),
            max_prefetched_bytes: self.settings.max_prefetched_bytes,
            protocol: Default::default(),
            assignment: Default::default(),
            wake: Default::default(),
        };
        let inputs: Vec<Arc<str>> =
            self.processor.declaration().inputs().iter().map(|topic| topic.name.into()).collect();
        let consumer = GroupConsumer::join(&self.connection, &group, &inputs)?;
        let mut session = Session {
            worker: self,
            runtime,
            consumer,
            producer,
            bench,
            positions: BTreeMap::new(),
            announced: None,
            aborts_in_a_row: 0,
        };
        let result = session.work();
        session.set_partitions(BTreeMap::new());
        let drain_timeout = session.worker.settings.drain_timeout;
        session.consumer.close(drain_timeout);
        result
    }
}

impl Session<'_> {
    fn work(&mut self) -> Result<(), EngineError> {
        while !self.worker.shutdown.is_signalled() {
            if let Some(event) = self.announced.take() {
                self.rebalance(event)?;
            }
            let batch = self.collect()?;
            if batch.is_empty() {
                continue;
            }
            let run = run_batch(&batch, &mut self.bench, &self.worker.settings, &mut self.worker.shutdown);
            match self.runtime.block_on(run) {
                Ok(outcomes) => self.settle(&batch, &outcomes)?,
                Err(Abandoned) => {
                    tracing::warn!(
                        processor = self.worker.processor.name(),
                        records = batch.len(),
                        "handlers did not end within the drain timeout: their records will be read again"
                    );
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Records until the input is idle or a bound is reached; empty where there are none or a rebalance comes first.
    fn collect(&mut self) -> Result<Vec<Record>, EngineError> {
        let settings = &self.worker.settings;
        let (mut batch, mut bytes, mut began) = (Vec::new(), 0, Instant::now());
        loop {
            let wait = if batch.is_empty() { Duration::from_millis(100) } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                // A partition that was handed over may still have had records queued.
                ConsumerEvent::Record(record) if !self.is_assigned(&record) => {}
                ConsumerEvent::Record(record) => {
                    if batch.is_empty() {
                        began = Instant::now();
                    }
                    bytes += record.size_bytes();
                    batch.push(record);
                    let full = batch.len() >= settings.max_batch_records || bytes >= settings.max_batch_bytes;
                    if full || began.elapsed() >= settings.max_commit_interval {
                        return Ok(batch);
                    }
                }
                event @ (ConsumerEvent::Assigned(_) | ConsumerEvent::Revoked { .. }) => {
                    self.announced = Some(event);
                    return Ok(batch);
                }
                ConsumerEvent::Failed(error) if matches!(error.kind(), ErrorKind::Stop | ErrorKind::Rebuild) => {
                    return Err(error.into());
                }
                // The client reconnects by itself.
                ConsumerEvent::Failed(error) => tracing::debug!(%error, "fetching goes on"),
                ConsumerEvent::Idle => return Ok(batch),
            }
        }
    }

    fn is_assigned(&self, record: &Record) -> bool {
        let at = |(partition, _): (&TopicPartition, _)| {
            partition.partition == record.partition && partition.topic == record.topic
        };
        self.positions.iter().any(at)
    }

    fn rebalance(&mut self, event: ConsumerEvent) -> Result<(), EngineError> {
        let mut positions = self.positions.clone();
        match event {
            ConsumerEvent::Assigned(partitions) => {
                let committed = self.consumer.committed(&partitions, self.worker.settings.broker_timeout)?;
                let (connection, processor) = (&self.worker.connection, &self.worker.processor);
                let deadline = self.worker.settings.broker_timeout;
                let (tables, restored) = restore_tables(connection, processor, &partitions, deadline)?;
                self.worker.stats.add_restored(restored);
                self.bench.tables.extend(tables);
                self.consumer.assign_shared(&committed)?;
                positions.extend(committed);
            }
            ConsumerEvent::Revoked { partitions, lost } => {
                tracing::debug!(processor = self.worker.processor.name(), ?partitions, lost, "handing over");
                self.consumer.unassign(&partitions)?;
                for partition in &partitions {
                    positions.remove(partition);
                    self.bench.tables.remove(partition);
                }
            }
            ConsumerEvent::Record(_) | ConsumerEvent::Failed(_) | ConsumerEvent::Idle => {}
        }
        self.set_partitions(positions);
        Ok(())
    }

    fn set_partitions(&mut self, positions: BTreeMap<TopicPartition, Option<i64>>) {
        self.worker.stats.partitions_changed(self.positions.len(), positions.len());
        self.positions = positions;
    }

    /// Commits a batch, or takes it back.
    fn settle(&mut self, batch: &[Record], outcomes: &[Outcome]) -> Result<(), EngineError> {
        match self.commit(batch, outcomes) {
            Ok(committed) => {
                self.aborts_in_a_row = 0;
                for (record, outcome) in batch.iter().zip(outcomes) {
                    if let Some(tables) = self.bench.tables.get_mut(&self.bench.processor.home_of(record)) {
                        tables.commit(&outcome.changes);
                    }
                }
                self.worker.stats.add_commit(&committed);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Abort => self.roll_back(&error),
            Err(error) => Err(error),
        }
    }

    /// Sends everything that the batch led to and commits it with the batch's offsets.
    fn commit(&mut self, batch: &[Record], outcomes: &[Outcome]) -> Result<CommittedBatch, EngineError> {
        let mut next_offsets = self.next_offsets(batch);
        self.producer.begin()?;
        let mut committed = CommittedBatch { consumed_records: batch.len() as u64, ..CommittedBatch::default() };
        for (record, outcome) in batch.iter().zip(outcomes) {
            self.send_outcome(record, outcome, &mut committed)?;
        }
        let group = self.consumer.group_metadata()?;
        if self.consumer.assignment_lost() {
            // The broker would refuse the offsets as well, but only as long as it can tell who sends them.
            let reason = "the group has given this member's partitions away".to_owned();
            return Err(ClientError::Operation { operation: "commit", reason, kind: ErrorKind::Abort }.into());
        }
        let offsets: Vec<_> = next_offsets.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
        self.producer.send_offsets(&offsets, &group)?;
        self.producer.commit()?;
        for (partition, position) in &mut self.positions {
            if let Some(next) = next_offsets.remove(partition) {
                *position = Some(next);
            }
        }
        Ok(committed)
    }

    fn next_offsets(&self, batch: &[Record]) -> BTreeMap<TopicPartition, i64> {
        let mut next = BTreeMap::new();
        for record in batch {
            // Records of a partition come in order: the last one decides.
            next.insert(
                TopicPartition { topic: Arc::clone(&record.topic), partition: record.partition },
                record.offset + 1,
            );
        }
        next
    }

    fn send_outcome(
        &mut self,
        record: &Record,
        outcome: &Outcome,
        committed: &mut CommittedBatch,
    ) -> Result<(), EngineError> {
        let processor = self.worker.processor.name();
        for (index, emitted) in outcome.emitted.iter().enumerate() {
            let headers = envelope::of_output(record, index, emitted.topic.schema_name, processor);
            let new = NewRecord {
                topic: emitted.topic.name,
                partition: None,
                timestamp_ms: (record.timestamp_ms >= 0).then_some(record.timestamp_ms),
                key: Some(bytes::Bytes::copy_from_slice(emitted.key)),
                value: emitted.value.map(bytes::Bytes::copy_from_slice),
                headers,
            };
            self.producer.send(&new)?;
            *committed.emitted.entry(emitted.topic.name).or_default() += 1;
        }
        let tables = self.worker.processor.tables_beside(&record.topic);
        for change in &outcome.changes {
            // Beside its input: a table's partition restores from the same number of its changelog.
            let topic = tables[change.table].name;
            let new = NewRecord {
                topic,
                partition: Some(record.partition),
                timestamp_ms: (record.timestamp_ms >= 0).then_some(record.timestamp_ms),
                key: Some(change.key.clone()),
                value: change.value.clone(),
                headers: Headers::default(),
            };
            self.producer.send(&new)?;
            *committed.emitted.entry(topic).or_default() += 1;
        }
        if let Some(failed) = &outcome.failed {
            tracing::warn!(processor, topic = &*record.topic, partition = record.partition, offset = record.offset,
                class = ?failed.class, attempts = failed.attempts, "a record failed for good");
            let letters = self.worker.policy.on_failure(FailedRecord { processor, record, failed });
            for letter in letters.map_err(|failure| EngineError::Policy { reason: failure.to_string() })? {
                self.producer.send(&letter)?;
            }
            committed.dead_letters += 1;
            committed.late_records += u64::from(failed.class == FailureClass::Late);
        }
        Ok(())
    }

    /// Aborts, forgets the table writes and goes back to the last commit.
    fn roll_back(&mut self, cause: &EngineError) -> Result<(), EngineError> {
        self.aborts_in_a_row += 1;
        self.worker.stats.add_abort();
        let backoff = backoff(self.aborts_in_a_row);
        tracing::warn!(processor = self.worker.processor.name(), error = %cause, backoff_ms = backoff.as_millis(),
            "the transaction is aborted and its records are read again");
        self.producer.abort()?;
        self.bench.tables.values_mut().for_each(crate::table::PartitionTables::roll_back);
        if self.consumer.assignment_lost() {
            // The partitions are somebody else's: the revocation that says so comes with the next poll.
            let lost = self.positions.keys().cloned().collect::<Vec<_>>();
            self.bench.tables.retain(|partition, _| !lost.contains(partition));
            self.set_partitions(BTreeMap::new());
        } else {
            let positions: Vec<_> =
                self.positions.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
            self.consumer.seek(&positions, self.worker.settings.broker_timeout)?;
        }
        self.worker.shutdown.pause(self.runtime, backoff);
        Ok(())
    }
}

fn backoff(failures: u32) -> Duration {
    Duration::from_millis(20).saturating_mul(2_u32.saturating_pow(failures.min(10))).min(MAX_BACKOFF)
}
