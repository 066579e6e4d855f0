//! Drives a processor's calls without a broker: what tests of processors and runs of recordings stand on. The calls are
//! the engine's own.
//!
//! Each completed record commits by itself: its table writes are final, its outputs are handed out at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::calls::{CallLimits, Calls, Step};
use super::core::{Bounds, Core, Slot};
use super::handling::Handling;
use super::outbox::Outcome;
use super::{EngineError, EngineSettings};
use crate::contract::{DecodeError, RegistryError, SchemaRegistry, Topic};
use crate::envelope;
use crate::kafka::{Headers, NewRecord, Record};
use crate::process::{Envelope, Failed, FailedRecord, Failure, FailurePolicy, Processor};
use crate::table::{FeedLookup, PartitionTables, Stores};

/// The calls of one processor, on as many partitions of each of its inputs.
pub struct Drive {
    processor: Processor,
    policy: Box<dyn FailurePolicy>,
    lookups: Vec<(&'static Topic, FeedLookup)>,
    handling: Handling,
    /// The inputs, each with the core's numbers of its partitions.
    slots: Vec<(&'static str, Vec<Slot>)>,
    offered_records: usize,
    completed_records: usize,
    retries: u64,
    completed: VecDeque<Handled>,
}

/// A record that is completed, and what it led to, as it would be sent.
#[derive(Debug)]
pub struct Handled {
    pub record: Record,
    pub failed: Option<Failed>,
    pub outputs: Vec<NewRecord<'static>>,
    pub changelog: Vec<NewRecord<'static>>,
    /// Or why the failure policy failed itself.
    pub dead_letters: Result<Vec<NewRecord<'static>>, Failure>,
}

/// Whoever offers records holds them in memory, and bounds them.
const NO_BOUNDS: Bounds = Bounds {
    max_in_flight_records: usize::MAX,
    max_in_flight_bytes: usize::MAX,
    max_unsent_records: usize::MAX,
    max_unsent_bytes: usize::MAX,
};

impl Drive {
    /// # Errors
    /// What is wrong with the processor's declaration or its schemas.
    pub fn new(
        processor: &Processor,
        registry: &Arc<dyn SchemaRegistry>,
        settings: &EngineSettings,
        policy: impl FnOnce(&Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError>,
        partitions: i32,
    ) -> Result<Drive, EngineError> {
        processor.check()?;
        let lookups = processor.declaration().new_lookups();
        let feeds = lookups.iter().map(|lookup| (lookup.topic(), Arc::clone(lookup).feed(Arc::clone(registry))));
        let feeds = feeds.collect();
        let limits = CallLimits {
            max_attempts: settings.max_attempts,
            retry_backoff: settings.retry_backoff,
            max_output_bytes: settings.max_output_bytes,
        };
        let calls = Calls::new(processor, registry, lookups, limits)?;
        let mut handling = Handling::new(Core::new(NO_BOUNDS, settings.commit_policy()), calls);
        let mut slots = Vec::new();
        for (group, of_group) in processor.groups().iter().enumerate() {
            for input in &of_group.inputs {
                let handler = handling.calls.handler_of(input.name).expect("every input has its handler");
                let slot = |partition: i32| {
                    let lanes = (u64::from(partition.unsigned_abs()) << 32) | group as u64;
                    handling.add(handler, (group, partition), 0, lanes)
                };
                slots.push((input.name, (0..partitions).map(slot).collect()));
            }
            let (topics, options) = (processor.tables_of(group), processor.table_options(group));
            for partition in 0..partitions {
                let tables = PartitionTables::open(&Stores::memory(), partition, topics, &options)?;
                handling.add_tables(0, (group, partition), tables);
            }
        }
        Ok(Drive {
            processor: processor.clone(),
            policy: policy(registry)?,
            lookups: feeds,
            handling,
            slots,
            offered_records: 0,
            completed_records: 0,
            retries: 0,
            completed: VecDeque::new(),
        })
    }

    /// Applies a record to the lookups of its topic; tells whether there are any.
    ///
    /// # Errors
    /// Where the value is not the contract's.
    pub fn feed(&mut self, record: &Record) -> Result<bool, DecodeError> {
        let mut any = false;
        for (_, feed) in self.lookups.iter_mut().filter(|(topic, _)| topic.name == &*record.topic) {
            feed(record)?;
            any = true;
        }
        Ok(any)
    }

    /// Takes a record and handles it as far as nothing has to be waited for. To be called within a runtime.
    ///
    /// # Panics
    /// Where no handler reads its topic, or not so many partitions of it.
    pub fn offer(&mut self, record: Record) {
        let Some(slot) = self.slot(&record.topic, record.partition) else {
            panic!("processor {} does not read {}/{}", self.processor.name(), record.topic, record.partition)
        };
        self.offered_records += 1;
        if let Some(direct) = self.handling.handle(slot, record, Duration::ZERO) {
            let change_time_ms = self.handling.change_time_ms;
            let outcome = Outcome::take(direct.record, &mut self.handling.calls, change_time_ms, direct.failed);
            self.complete(slot, outcome);
        }
        self.take_ready();
    }

    fn slot(&self, input: &str, partition: i32) -> Option<Slot> {
        let (_, slots) = self.slots.iter().find(|(name, _)| *name == input)?;
        slots.get(usize::try_from(partition).ok()?).copied()
    }

    /// Goes on with what waits until something has come to its end. May be dropped and called again.
    pub async fn turn(&mut self) {
        if self.handling.calls.waiting_count() == 0 {
            return std::future::pending().await;
        }
        if let Some(step) = self.handling.calls.waiting().next().await {
            self.retries += u64::from(matches!(step, Step::TryAgain(_)));
            self.handling.resume(step);
            self.take_ready();
        }
    }

    fn take_ready(&mut self) {
        while let Some(ready) = self.handling.core.next_ready(Duration::ZERO) {
            self.complete(ready.slot, ready.outcome);
        }
        self.commit();
    }

    fn commit(&mut self) {
        if self.handling.core.turns.begin_commit().is_none() {
            return;
        }
        let transaction = self.handling.core.turns.committed();
        for (slot, change) in &transaction.changes {
            self.handling.tables_mut(*slot).expect("every group has its tables").commit([change]);
        }
        for (slot, stream_time_ms) in transaction.stream_times_ms {
            self.handling.tables_mut(slot).expect("every group has its tables").commit_stream_time(stream_time_ms);
        }
    }

    /// Takes the records that have been completed, in that order.
    pub fn completed(&mut self) -> impl Iterator<Item = Handled> {
        self.completed.drain(..)
    }

    /// Records that were offered and are not completed.
    pub fn waiting(&self) -> usize {
        self.offered_records - self.completed_records
    }

    /// Calls beyond the first of a record.
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// The stream time of an input's partition; `None` before its first record.
    pub fn stream_time_ms(&self, input: &str, partition: i32) -> Option<i64> {
        let time_ms = self.handling.tables(self.slot(input, partition)?)?.stream_time_ms();
        (time_ms > i64::MIN).then_some(time_ms)
    }

    fn complete(&mut self, slot: Slot, outcome: Outcome) {
        let Outcome { record, emissions, changes, failed, stream_time_ms, change_time_ms } = outcome;
        self.completed_records += 1;
        let timestamp_ms = (record.timestamp_ms >= 0).then_some(record.timestamp_ms);
        let tables = self.processor.tables_of(self.processor.group_of(&record.topic));
        let changelog = changes.iter().map(|change| NewRecord {
            topic: tables[change.table].name,
            partition: Some(record.partition),
            timestamp_ms: Some(change_time_ms),
            key: Some(change.key.clone()),
            value: change.value.clone(),
            headers: Headers::default(),
        });
        let changelog = changelog.collect();
        let letters = failed.as_ref().map(|failed| {
            self.policy.on_failure(FailedRecord { processor: self.processor.name(), record: &record, failed })
        });
        let headers = |index, schema| match self.processor.envelope_kind() {
            Envelope::CloudEvents => envelope::of_output(&record, index, schema, self.processor.name()),
            Envelope::Off => Headers::default(),
        };
        let outputs = emissions.iter().enumerate().map(|(index, emitted)| NewRecord {
            topic: emitted.topic.name,
            partition: None,
            timestamp_ms,
            key: Some(Bytes::copy_from_slice(emitted.key)),
            value: emitted.value.map(Bytes::copy_from_slice),
            headers: headers(index, emitted.topic.schema_name),
        });
        let (outputs, dead_letters) = (outputs.collect(), letters.unwrap_or_else(|| Ok(Vec::new())));
        self.handling.core.transaction().write(slot, changes, stream_time_ms);
        self.completed.push_back(Handled { record, failed, outputs, changelog, dead_letters });
    }
}
