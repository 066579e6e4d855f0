//! What a processor writes during a rehearsal: records get the partitions and offsets that a broker would give them, and
//! go into a recording.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::RehearsalError;
use super::schemas::schema_id;
use crate::contract::{RegistryError, SchemaId, SchemaRegistry, Topic};
use crate::kafka::{NewRecord, Record, TopicPartition};
use crate::process::Processor;
use crate::recording::{OffsetRange, RecordedTopic, Recording, RecordingSettings, RecordingWriter, SegmentRoll};
use crate::table::partition_of;

/// The topics that are written, and the recording that they go to, if to any.
pub(super) struct Outputs {
    topics: Vec<Written>,
    writer: Option<RecordingWriter>,
    registry: Arc<dyn SchemaRegistry>,
    /// Those that values have named.
    schemas: Vec<(Arc<str>, SchemaId)>,
}

struct Written {
    name: Arc<str>,
    /// The writer's number of the first partition; the others follow.
    first: usize,
    next_offsets: Vec<i64>,
    records: u64,
}

impl Outputs {
    /// Topics have the partitions and the configuration that were recorded of them, or what their contracts say.
    pub(super) fn begin(
        processor: &Processor,
        recording: &Recording,
        letters: &[&'static Topic],
        registry: Arc<dyn SchemaRegistry>,
        folder: Option<&Path>,
    ) -> Result<Outputs, RehearsalError> {
        let declared = processor.declaration();
        let (mut topics, mut recorded) = (Vec::new(), Vec::new());
        let mut first = 0;
        for topic in declared.outputs().iter().chain(letters).chain(declared.written()) {
            if topics.iter().any(|known: &Written| *known.name == *topic.name) {
                continue;
            }
            let is_table = declared.written().iter().any(|table| table.name == topic.name);
            let written = recorded_topic(topic, processor, recording, is_table);
            let next_offsets: Vec<i64> = written.ranges.values().map(|range| range.start).collect();
            let partitions = next_offsets.len();
            topics.push(Written { name: topic.name.into(), first, next_offsets, records: 0 });
            recorded.push(written);
            first += partitions;
        }
        let writer = folder.map(|folder| writer(folder, processor, recording, &topics, recorded)).transpose()?;
        Ok(Outputs { topics, writer, registry, schemas: Vec::new() })
    }

    /// Takes a record and gives it back as a topic would have it.
    pub(super) fn add(&mut self, new: NewRecord<'static>, now_ms: i64) -> Result<Record, RehearsalError> {
        let topic = self.topics.iter_mut().find(|topic| *topic.name == *new.topic);
        let topic = topic.expect("a processor writes what it declares, and its policy what it names");
        let partitions = i32::try_from(topic.next_offsets.len()).unwrap_or(i32::MAX);
        let partition =
            new.partition.unwrap_or_else(|| partition_of(new.key.as_deref().unwrap_or_default(), partitions));
        let place = usize::try_from(partition).expect("partitions are counted from 0");
        let offset = topic.next_offsets[place];
        topic.next_offsets[place] += 1;
        topic.records += 1;
        let NewRecord { key, value, headers, .. } = new;
        let timestamp_ms = new.timestamp_ms.unwrap_or(now_ms);
        let number = topic.first + place;
        let topic = Arc::clone(&topic.name);
        let record = Record { topic, partition, offset, timestamp_ms, key, value, headers };
        if let Some(writer) = &mut self.writer {
            writer.append(number, &record)?;
            if let Some(id) = record.value.as_deref().and_then(schema_id) {
                name_schema((Arc::clone(&record.topic), id), &mut self.schemas, &*self.registry, writer)?;
            }
        }
        Ok(record)
    }

    /// Completes the recording; returns how many records each topic has.
    pub(super) fn finish(self) -> Result<BTreeMap<String, u64>, RehearsalError> {
        let records = self.topics.iter().map(|topic| (topic.name.to_string(), topic.records)).collect();
        let ends = self.topics.into_iter().flat_map(|topic| topic.next_offsets).collect();
        if let Some(writer) = self.writer {
            writer.finish(ends, Vec::new())?;
        }
        Ok(records)
    }
}

fn recorded_topic(topic: &Topic, processor: &Processor, recording: &Recording, is_table: bool) -> RecordedTopic {
    let found = recording.topic(topic.name).ok();
    // A table has a partition beside each of its inputs'.
    let beside = if is_table { input_partitions(processor, recording) } else { 0 };
    let partitions = found.map_or(topic.partitions, |found| found.partitions).max(beside).max(1);
    let config = found.map_or_else(|| topic.config().into(), |found| found.config.clone());
    let is_read = processor.declaration().inputs().iter().any(|input| input.name == topic.name);
    let start = |partition: i32| match found.and_then(|found| found.ranges.get(&partition)) {
        // What is fed back must not have the offsets of records that were there before.
        Some(range) if is_read => range.end,
        _ => 0,
    };
    let ranges = (0..partitions).map(|partition| {
        let start = start(partition);
        (partition, OffsetRange { start, end: start })
    });
    RecordedTopic { name: topic.name.to_owned(), partitions, config, ranges: ranges.collect(), schemas: Vec::new() }
}

/// The most partitions that one of the inputs has.
pub(super) fn input_partitions(processor: &Processor, recording: &Recording) -> i32 {
    let declared = processor.declaration();
    let is_input = |name: &str| declared.inputs().iter().any(|input| input.name == name);
    let counted = declared.inputs().iter().map(|input| match recording.topic(input.name) {
        Ok(topic) => topic.partitions,
        // What is written alone, and fed back.
        Err(_) => input.partitions,
    });
    // Partitions may have been added while the recorder ran.
    let read = recording.partitions().into_iter().filter(|at| is_input(&at.topic)).map(|at| at.partition + 1);
    counted.chain(read).max().unwrap_or(1).max(1)
}

fn writer(
    folder: &Path,
    processor: &Processor,
    recording: &Recording,
    topics: &[Written],
    recorded: Vec<RecordedTopic>,
) -> Result<RecordingWriter, RehearsalError> {
    // Files end by size alone, so that two runs have the same ones.
    let roll = SegmentRoll { max_segment_age: Duration::MAX, ..RecordingSettings::default().roll };
    let settings = RecordingSettings { roll, ..RecordingSettings::default() };
    let source = recording.manifest();
    let id = format!("{}/through/{}", source.id, processor.name());
    let mut writer = RecordingWriter::create(folder, &settings, id, source.started_ms, recorded)?;
    for topic in topics {
        for (partition, _) in (0..).zip(&topic.next_offsets) {
            writer.partition(&TopicPartition { topic: Arc::clone(&topic.name), partition })?;
        }
    }
    Ok(writer)
}

fn name_schema(
    named: (Arc<str>, SchemaId),
    known: &mut Vec<(Arc<str>, SchemaId)>,
    registry: &dyn SchemaRegistry,
    writer: &mut RecordingWriter,
) -> Result<(), RehearsalError> {
    if known.contains(&named) {
        return Ok(());
    }
    let (topic, id) = &named;
    match registry.schema(*id) {
        Ok(text) => writer.schema(topic, id.0, &text)?,
        Err(RegistryError::UnknownId { .. }) => writer.unknown_schema(topic, id.0)?,
        Err(error) => return Err(error.into()),
    }
    known.push(named);
    Ok(())
}
