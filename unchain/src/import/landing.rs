//! Writes the sorted records into a recording: the last step of an import.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::SortedDraft;
use super::sort::Sorted;
use super::topics::{Topic, Topics};
use super::{ImportError, ImportObserver, ImportOptions, OBSERVED_EVERY};
use crate::kafka::TopicPartition;
use crate::recording::{OffsetRange, RecordedTopic, RecordingSettings, RecordingWriter};

/// What is to be written where.
pub(super) struct Landing<'a> {
    pub(super) out: &'a Path,
    pub(super) id: String,
    pub(super) started_ms: i64,
    pub(super) topics: &'a Topics,
    /// The schemas of values: topic, id, text.
    pub(super) schemas: Vec<(String, u32, String)>,
    /// The time of records that have none of their own.
    pub(super) fallback_ms: i64,
}

/// A topic's partitions: their numbers in the writer, and their next offsets.
struct Open {
    partitions: i32,
    first: usize,
    next: Vec<i64>,
    keeps: Vec<bool>,
}

impl Landing<'_> {
    pub(super) fn write(
        &self,
        mut sorted: Sorted,
        options: &ImportOptions,
        observer: &mut dyn ImportObserver,
    ) -> Result<(), ImportError> {
        let settings = RecordingSettings { codec: options.codec, ..RecordingSettings::default() };
        let recorded = self.topics.all().iter().map(recorded).collect();
        let mut writer = RecordingWriter::create(self.out, &settings, self.id.clone(), self.started_ms, recorded)?;
        for (topic, id, text) in &self.schemas {
            writer.schema(topic, *id, text)?;
        }
        let (mut open, mut partitions) = (Vec::new(), 0);
        for topic in self.topics.all() {
            let of_topic = Open::new(topic, partitions);
            for partition in 0..of_topic.partitions {
                partitions = writer.partition(&TopicPartition { topic: topic.name.as_str().into(), partition })? + 1;
            }
            open.push(of_topic);
        }
        let failed = |source| ImportError::Sort { folder: self.out.to_owned(), source };
        let mut written = 0_u64;
        while let Some(bytes) = sorted.next().map_err(failed)? {
            let draft = SortedDraft::read(bytes).expect("it is as it was written");
            let (partition, record) = self.placed(draft, &mut open);
            writer.append(partition, &record)?;
            written += 1;
            if written.is_multiple_of(OBSERVED_EVERY) && observer.is_interrupted() {
                return Err(ImportError::Interrupted { out: self.out.to_owned() });
            }
        }
        let ends = open.into_iter().flat_map(|topic| topic.next).collect();
        writer.finish(ends, Vec::new())?;
        Ok(())
    }

    /// Gives a record its partition and its offset.
    fn placed<'d>(&self, draft: SortedDraft<'d>, open: &mut [Open]) -> (usize, SortedDraft<'d>) {
        let (topic, open) = (&self.topics.all()[draft.topic], &mut open[draft.topic]);
        let partition = match draft.partition {
            -1 => topic.partition_of(open.partitions, draft.key, draft.sequence),
            named => named,
        };
        let place = usize::try_from(partition).expect("it is between 0 and the partitions");
        let offset = if open.keeps[place] { draft.offset } else { open.next[place] };
        open.next[place] = offset + 1;
        let timestamp_ms = if draft.timestamp_ms < 0 { self.fallback_ms } else { draft.timestamp_ms };
        (open.first + place, SortedDraft { partition, offset, timestamp_ms, ..draft })
    }
}

impl Open {
    fn new(topic: &Topic, first: usize) -> Open {
        let partitions = topic.partitions();
        let kept: Vec<_> = (0..partitions).map(|partition| topic.kept_from(partition)).collect();
        let next = kept.iter().map(|from| from.unwrap_or(0)).collect();
        Open { partitions, first, next, keeps: kept.iter().map(Option::is_some).collect() }
    }
}

fn recorded(topic: &Topic) -> RecordedTopic {
    let partitions = topic.partitions();
    let range = |partition| {
        let start = topic.kept_from(partition).unwrap_or(0);
        (partition, OffsetRange { start, end: start })
    };
    // Logs are older than a broker's usual retention: without this, a replayed topic would be emptied at once.
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let (name, ranges) = (topic.name.clone(), (0..partitions).map(range).collect());
    RecordedTopic { name, partitions, config, ranges, schemas: Vec::new() }
}
