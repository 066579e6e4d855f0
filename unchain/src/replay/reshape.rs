//! A recorded record as it is sent: its target and partition, its time, its headers, its value's schema id.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{Plan, Target, subject};
use super::{ReplayError, ReplaySettings};
use crate::contract::{RegistryError, SchemaRegistry};
use crate::kafka::{Headers, Outgoing, TopicPartition};
use crate::recording::{RecordedHeaders, RecordedRecord, Recording};
use crate::table::partition_of;

/// Where a replay's times begin: chosen once, and kept with its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) started_ms: i64,
    pub(super) shift_ms: i64,
}

/// Changes records on their way. What it gives is the same in every run of a replay, and in its verification.
pub(super) struct Reshape<'a> {
    recording: &'a Recording,
    settings: &'a ReplaySettings,
    plan: &'a Plan,
    times: Times,
    schemas: Schemas<'a>,
    value: Vec<u8>,
    headers: Headers,
}

/// What comes before the bytes of a value with a schema: a zero and the schema's id, big-endian.
const ID_BYTES: usize = 5;

impl<'a> Reshape<'a> {
    pub(super) fn new(
        recording: &'a Recording,
        registry: &'a Arc<dyn SchemaRegistry>,
        settings: &'a ReplaySettings,
        plan: &'a Plan,
        times: Times,
        registration: Registration,
    ) -> Reshape<'a> {
        let schemas = Schemas { recording, registry, registration, known: vec![BTreeMap::new(); plan.targets.len()] };
        Reshape { recording, settings, plan, times, schemas, value: Vec::new(), headers: Headers::default() }
    }

    /// Registers the schemas that the recording names for its topics, in the order in which they were met.
    pub(super) fn register_schemas(&mut self) -> Result<(), ReplayError> {
        if self.settings.raw {
            return Ok(());
        }
        for (index, target) in self.plan.targets.iter().enumerate() {
            for id in &self.recording.topic(&target.topic)?.schemas {
                let missing = || ReplayError::MissingSchema { topic: target.topic.clone(), id: *id };
                self.schemas.learn(index, target, *id)?.ok_or_else(missing)?;
            }
        }
        Ok(())
    }

    /// Whether a record is replayed at all.
    pub(super) fn wants(&self, record: &RecordedRecord<'_>) -> bool {
        let Some(keys) = &self.settings.keys else { return true };
        record.key.is_some_and(|key| keys.contains(key))
    }

    /// The record as it is sent. `at` is where it was recorded, the partition of the stream `stream`.
    pub(super) fn outgoing<'b>(
        &'b mut self,
        stream: usize,
        at: &TopicPartition,
        due_ms: i64,
        record: &RecordedRecord<'b>,
    ) -> Result<Outgoing<'b>, ReplayError> {
        let index = self.plan.target_of[stream];
        let target = &self.plan.targets[index];
        let partition = partition(target, at.partition, record.key);
        let timestamp_ms = Some(timestamp_ms(self.times, due_ms, record.timestamp_ms));
        self.headers = match record.headers.is_empty() {
            true => Headers::default(),
            false => self.allowed(&record.headers),
        };
        let mut value = record.value;
        if let Some(bytes) = record.value
            && let Some(id) = schema_id(bytes).filter(|_| !self.settings.raw)
        {
            let (topic, partition, offset) = (target.topic.as_str(), at.partition, record.offset);
            let unknown = || ReplayError::UnknownSchema { topic: topic.to_owned(), partition, offset, id };
            let new_id = self.schemas.learn(index, target, id)?.ok_or_else(unknown)?;
            if new_id != id {
                self.value.clear();
                self.value.push(0);
                self.value.extend_from_slice(&new_id.to_be_bytes());
                self.value.extend_from_slice(&bytes[ID_BYTES..]);
                value = Some(&self.value);
            }
        }
        let headers = &self.headers;
        Ok(Outgoing { topic: &target.name, partition: Some(partition), timestamp_ms, key: record.key, value, headers })
    }

    fn allowed(&self, recorded: &RecordedHeaders<'_>) -> Headers {
        let mut headers = Headers::builder();
        let allowed = recorded.iter().filter(|(name, _)| self.settings.headers.allows(name));
        allowed.for_each(|(name, value)| headers.push(name, value));
        headers.finish()
    }
}

/// With as many partitions as were recorded each record keeps its own. Otherwise the key chooses, as it does for every
/// Kafka client, so that a key's records stay together; those without a key stay with their partition.
fn partition(target: &Target, recorded: i32, key: Option<&[u8]>) -> i32 {
    match key {
        _ if target.partitions == target.recorded_partitions => recorded,
        Some(key) => partition_of(key, target.partitions),
        None => recorded.checked_rem(target.partitions).unwrap_or(0),
    }
}

fn timestamp_ms(times: Times, due_ms: i64, recorded_ms: i64) -> i64 {
    // A record without a time takes its predecessor's; the first ones that of the replay's start.
    let given = if recorded_ms >= 0 { recorded_ms } else { due_ms };
    let sent = if given >= 0 { given.saturating_add(times.shift_ms) } else { times.started_ms };
    // Clients take 0 for the present.
    sent.max(1)
}

/// The schema that a value names.
fn schema_id(value: &[u8]) -> Option<u32> {
    let (0, id) = value.split_at_checked(1).map(|(magic, rest)| (magic[0], rest))? else { return None };
    id.first_chunk().map(|id| u32::from_be_bytes(*id))
}

/// Whether schemas are registered, or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registration {
    Register,
    CheckOnly,
}

/// The ids that schemas of the recording have in the target.
struct Schemas<'a> {
    recording: &'a Recording,
    registry: &'a Arc<dyn SchemaRegistry>,
    registration: Registration,
    /// Of each target.
    known: Vec<BTreeMap<u32, u32>>,
}

impl Schemas<'_> {
    /// The id in the target; `None` where the recording does not have the schema.
    fn learn(&mut self, index: usize, target: &Target, id: u32) -> Result<Option<u32>, ReplayError> {
        if let Some(known) = self.known[index].get(&id) {
            return Ok(Some(*known));
        }
        let Some(text) = self.recording.schema(id)? else { return Ok(None) };
        let subject = subject(&target.name);
        let new_id = match self.registration {
            Registration::Register => self.registry.register(&subject, &text).map(|id| id.0),
            Registration::CheckOnly => self.registry.check(&subject, &text).map(|()| id),
        };
        let new_id = new_id.map_err(|source| incompatible(target, id, source))?;
        self.known[index].insert(id, new_id);
        Ok(Some(new_id))
    }
}

fn incompatible(target: &Target, id: u32, source: RegistryError) -> ReplayError {
    if source.is_transient() {
        return source.into();
    }
    ReplayError::Incompatible { topic: target.topic.clone(), target: target.name.clone(), id, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(recorded_partitions: i32, partitions: i32) -> Target {
        Target { topic: "a".into(), recorded_partitions, name: "b".into(), partitions, is_new: false }
    }

    #[test]
    fn a_value_names_a_schema_by_a_zero_and_four_bytes() {
        assert_eq!(schema_id(b"\0\0\0\x01\x02rest"), Some(258));
        assert_eq!(schema_id(b"\0\0\0\0\x07"), Some(7));
        for other in [&b""[..], b"\0", b"\0\0\0\0", b"{\"a\": 1}"] {
            assert_eq!(schema_id(other), None, "{other:?}");
        }
    }

    #[test]
    fn times_are_kept_or_moved_and_what_has_none_takes_its_predecessors() {
        let kept = Times { started_ms: 5_000, shift_ms: 0 };
        assert_eq!(
            [(9, 7), (9, -1), (i64::MIN, -1), (0, 0)].map(|(due, at)| timestamp_ms(kept, due, at)),
            [7, 9, 5_000, 1]
        );
        let moved = Times { started_ms: 5_000, shift_ms: 4_990 };
        assert_eq!([(10, 10), (11, -1)].map(|(due, at)| timestamp_ms(moved, due, at)), [5_000, 5_001]);
    }

    proptest! {
        #[test]
        fn a_keys_records_of_all_partitions_meet_in_one(key: Vec<u8>, count in 1_i32..50, recorded in 0_i32..7) {
            prop_assume!(count != 7);
            let chosen = partition(&target(7, count), recorded, Some(&key));
            prop_assert!((0..count).contains(&chosen));
            prop_assert_eq!(chosen, partition(&target(7, count), 0, Some(&key)));
        }

        #[test]
        fn with_as_many_partitions_each_record_stays_where_it_was(key: Option<Vec<u8>>, recorded in 0_i32..7) {
            prop_assert_eq!(partition(&target(7, 7), recorded, key.as_deref()), recorded);
        }
    }
}
