//! What completed records led to, on its way to the producers: outputs, changelog, dead letters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::EngineError;
use super::calls::Calls;
use super::stats::CommittedBatch;
use crate::contract::Topic;
use crate::envelope;
use crate::kafka::{Headers, Outgoing, OutputProducer, Record};
use crate::process::{Emissions, Envelope, Failed, FailedRecord, Failure, FailurePolicy, Processor, panicked};
use crate::table::Change;

/// The result of one record, kept until it may be sent.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) record: Record,
    pub(crate) emissions: Emissions,
    pub(crate) changes: Vec<Change>,
    pub(crate) failed: Option<Failed>,
    /// What stream time moves on to.
    pub(crate) stream_time_ms: Option<i64>,
    /// When its table writes happened.
    pub(crate) change_time_ms: i64,
}

impl Outcome {
    /// Takes what the call that has just ended left.
    pub(crate) fn take<T: 'static>(
        record: Record,
        calls: &mut Calls<T>,
        change_time_ms: i64,
        failed: Option<Failed>,
    ) -> Outcome {
        let (emissions, changes) = (std::mem::take(&mut calls.emissions), std::mem::take(&mut calls.changes));
        Outcome { record, emissions, changes, failed, stream_time_ms: calls.stream_time_ms, change_time_ms }
    }
}

/// One record's result, wherever it is kept.
pub(crate) struct Sending<'a> {
    pub(crate) record: &'a Record,
    pub(crate) emissions: &'a Emissions,
    pub(crate) changes: &'a [Change],
    /// When the changes happened, by event time.
    pub(crate) change_time_ms: i64,
    pub(crate) failed: Option<&'a Failed>,
    /// The topics of the tables beside the record's input.
    pub(crate) tables: &'a [&'static Topic],
}

/// Sends results and counts what the open transaction holds.
pub(crate) struct Outbox {
    processor: &'static str,
    envelope: Envelope,
    filling: CommittedBatch,
    committing: CommittedBatch,
}

impl Outbox {
    pub(crate) fn new(processor: &Processor) -> Outbox {
        Outbox {
            processor: processor.name(),
            envelope: processor.envelope_kind(),
            filling: CommittedBatch::default(),
            committing: CommittedBatch::default(),
        }
    }

    /// Sends a record's outputs, its table writes and, where it failed, what the policy makes of it.
    pub(crate) fn send(
        &mut self,
        producer: &Arc<OutputProducer>,
        policy: &mut dyn FailurePolicy,
        sending: &Sending<'_>,
    ) -> Result<(), EngineError> {
        let record = sending.record;
        self.filling.consumed_records += 1;
        // Event time travels on: what stems from a record has its time.
        let timestamp_ms = (record.timestamp_ms >= 0).then_some(record.timestamp_ms);
        for (index, emitted) in sending.emissions.iter().enumerate() {
            let headers = match self.envelope {
                Envelope::CloudEvents => envelope::of_output(record, index, emitted.topic.schema_name, self.processor),
                Envelope::Off => Headers::default(),
            };
            let topic = emitted.topic.name;
            let (key, value) = (Some(emitted.key), emitted.value);
            producer.send(&Outgoing { topic, partition: None, timestamp_ms, key, value, headers: &headers })?;
            self.filling.add(topic);
        }
        for change in sending.changes {
            // Beside its input: a table's partition restores from the same number of its changelog.
            let (topic, partition) = (sending.tables[change.table].name, Some(record.partition));
            // What a restore takes for the row's time, and for stream time.
            let timestamp_ms = Some(sending.change_time_ms);
            let (key, value) = (Some(&*change.key), change.value.as_deref());
            producer.send(&Outgoing { topic, partition, timestamp_ms, key, value, headers: &Headers::default() })?;
            self.filling.add(topic);
        }
        match sending.failed {
            Some(failed) => self.send_letters(producer, policy, record, failed),
            None => Ok(()),
        }
    }

    fn send_letters(
        &mut self,
        producer: &Arc<OutputProducer>,
        policy: &mut dyn FailurePolicy,
        record: &Record,
        failed: &Failed,
    ) -> Result<(), EngineError> {
        let processor = self.processor;
        tracing::warn!(processor, topic = &*record.topic, partition = record.partition, offset = record.offset,
            class = ?failed.class, attempts = failed.attempts, "a record failed for good");
        let ask = AssertUnwindSafe(|| policy.on_failure(FailedRecord { processor, record, failed }));
        let letters = catch_unwind(ask).unwrap_or_else(|panic| Err(Failure::reject(panicked(&*panic).reason)));
        for letter in letters.map_err(|failure| EngineError::Policy { reason: failure.to_string() })? {
            producer.send(&Outgoing {
                topic: letter.topic,
                partition: letter.partition,
                timestamp_ms: letter.timestamp_ms,
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                headers: &letter.headers,
            })?;
        }
        self.filling.failed(failed.class);
        Ok(())
    }

    /// The open transaction is being committed; what is sent from now on belongs to the next.
    pub(crate) fn begin_commit(&mut self) {
        self.committing = std::mem::take(&mut self.filling);
    }

    /// What the transaction held that has committed.
    pub(crate) fn committed(&mut self) -> CommittedBatch {
        std::mem::take(&mut self.committing)
    }

    pub(crate) fn reset(&mut self) {
        self.filling = CommittedBatch::default();
        self.committing = CommittedBatch::default();
    }
}
