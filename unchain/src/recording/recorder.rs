//! Records topics of a cluster: which partitions, from where to where, and the reading itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::manifest::{GroupOffset, Manifest, OffsetRange, RecordedTopic};
use super::{RecordingError, RecordingSettings, RecordingWriter};
use crate::contract::{RegistryError, SchemaId, SchemaRegistry, schema_id};
use crate::kafka::{
    Admin, BulkReader, BulkSettings, ClientError, Connection, ErrorKind, Lent, LentRecord, OffsetsClient,
    TopicPartition, group_offsets,
};

/// What to record. Partitions are read between offsets; records outside the times are left out.
#[derive(Debug, Clone)]
pub struct RecordPlan {
    pub folder: PathBuf,
    pub topics: Vec<String>,
    /// From the first record of this time or later; from the beginning where it is not given.
    pub from_ms: Option<i64>,
    /// To before this time; to the end that the topics have at the start where it is not given.
    pub to_ms: Option<i64>,
    /// Goes on with what comes, until it is told to stop.
    pub follow: bool,
    /// Goes on with the recording that the folder holds.
    pub resume: bool,
    pub settings: RecordingSettings,
    /// How long the cluster may keep silent, where something is expected of it.
    pub deadline: Duration,
}

/// Why a recording ended early. What is in whole files stays.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    #[error("there is no topic {name:?} on the cluster; there are: {known}")]
    NoTopic { name: String, known: String },
    #[error("--resume: the recording is of {recorded}, not of {given}: name the same topics")]
    OtherTopics { recorded: String, given: String },
    #[error("--resume: the recording was begun with other times of --from and --to: give the same")]
    OtherTimes,
    #[error(
        "--resume: {topic}/{partition} was recorded up to offset {recorded}, but ends at {end}: the topic was made anew, or \
         this is another cluster"
    )]
    OtherCluster { topic: String, partition: i32, recorded: i64, end: i64 },
    #[error(
        "topic {topic} has {found} partitions, and had {recorded} when its recording began: the recording stays incomplete. \
         Begin another one"
    )]
    PartitionsAdded { topic: String, recorded: i32, found: i32 },
    #[error("stopped by a signal before the end: the recording is incomplete, and --resume goes on with it")]
    Stopped,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl RecordError {
    /// 2 where the command line is wrong, 1 where the work failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            RecordError::NoTopic { .. }
            | RecordError::OtherTopics { .. }
            | RecordError::OtherTimes
            | RecordError::OtherCluster { .. } => 2,
            RecordError::Recording(error) if error.is_misuse() => 2,
            _ => 1,
        }
    }
}

/// How far a recorder is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordProgress {
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Offsets still to be read, commit markers among them; what comes while it follows is not counted.
    pub left: u64,
}

/// Records until the plan is fulfilled, or where it follows, until `go_on` says no: such a recording is whole, and its
/// manifest says how far each partition was read.
///
/// # Errors
/// [`RecordError`], [`RecordError::Stopped`] where `go_on` says no too early; the recording then stays incomplete, and
/// `resume` goes on with it.
pub fn record(
    connection: &Connection,
    registry: &dyn SchemaRegistry,
    plan: &RecordPlan,
    (id, now_ms): (String, i64),
    mut go_on: impl FnMut(&RecordProgress) -> bool,
) -> Result<Manifest, RecordError> {
    let admin = Admin::new(connection, plan.deadline)?;
    let sources = sources(connection, plan)?;
    let topics = recorded_topics(&admin, &sources)?;
    let (mut writer, found) = if plan.resume {
        RecordingWriter::resume(&plan.folder, &plan.settings)?
    } else {
        let writer = RecordingWriter::create(&plan.folder, &plan.settings, id, now_ms, topics)?;
        (writer, Manifest::new(String::new(), 0))
    };
    let sources = if plan.resume { resumed(sources, &found, plan)? } else { sources };
    writer.between(plan.from_ms, plan.to_ms)?;
    for source in &sources {
        writer.partition(&source.at)?;
    }
    let mut recorder = Recorder::new(sources, plan, registry);
    let ran = recorder.run(connection, &mut writer, &mut go_on);
    let ran = ran.and_then(|()| if plan.follow { recorder.refuse_added_partitions(connection) } else { Ok(()) });
    if let Err(error) = ran {
        // A writer that has failed says so again; the first error is the one to tell.
        let _ = writer.suspend();
        return Err(error);
    }
    if writer.left_out_headers() > 0 {
        tracing::warn!(headers = writer.left_out_headers(), "left out: their names are not text, as Avro wants it");
    }
    let groups = committed(connection, &admin, &recorder.sources, plan.deadline);
    let ends = recorder.sources.iter().map(|source| source.next).collect();
    Ok(writer.finish(ends, groups)?)
}

/// A partition that is read.
#[derive(Debug, Clone)]
struct Source {
    at: TopicPartition,
    partitions: i32,
    next: i64,
    /// Where the partition ended when the recorder began.
    last_end: i64,
    /// `None` where it is followed.
    end: Option<i64>,
}

impl Source {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

fn sources(connection: &Connection, plan: &RecordPlan) -> Result<Vec<Source>, RecordError> {
    let existing = connection.topics(plan.deadline)?;
    let mut partitions = Vec::new();
    for name in &plan.topics {
        let Some(topic) = existing.iter().find(|topic| topic.name == *name) else {
            let known = existing.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(RecordError::NoTopic { name: name.clone(), known });
        };
        let name: Arc<str> = name.as_str().into();
        let at = |partition| (TopicPartition { topic: Arc::clone(&name), partition }, topic.partitions);
        partitions.extend((0..topic.partitions).map(at));
    }
    let offsets = OffsetsClient::new(connection)?;
    let at: Vec<TopicPartition> = partitions.iter().map(|(at, _)| at.clone()).collect();
    let ends = offsets.settled_ends(&at, SETTLE_PATIENCE, plan.deadline)?;
    let starts = match plan.from_ms {
        Some(from_ms) => offsets.at_time(&at, from_ms, plan.deadline)?,
        None => at
            .iter()
            .map(|at| Ok(Some(offsets.watermarks(&at.topic, at.partition, plan.deadline)?.start)))
            .collect::<Result<_, ClientError>>()?,
    };
    let begin = partitions.into_iter().zip(starts).zip(ends);
    Ok(begin
        .map(|(((at, partitions), start), end)| {
            // Where nothing is of that time yet, whatever comes is.
            let next = start.unwrap_or(end);
            Source { at, partitions, next, last_end: end, end: (!plan.follow).then_some(end) }
        })
        .collect())
}

/// Transactions that have just ended are decided a moment later.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

fn recorded_topics(admin: &Admin, sources: &[Source]) -> Result<Vec<RecordedTopic>, RecordError> {
    let mut topics: Vec<RecordedTopic> = Vec::new();
    for source in sources {
        let range = OffsetRange { start: source.next, end: source.next };
        let name = &source.at.topic;
        if topics.last().is_none_or(|topic| *topic.name != **name) {
            let config = admin.topic_config(name)?.into_iter().collect();
            let (name, partitions) = (name.to_string(), source.partitions);
            topics.push(RecordedTopic { name, partitions, config, ranges: BTreeMap::new(), schemas: Vec::new() });
        }
        let topic = topics.last_mut().expect("it was just added");
        topic.ranges.insert(source.at.partition, range);
    }
    Ok(topics)
}

/// The same partitions from where the recording has them.
fn resumed(mut sources: Vec<Source>, found: &Manifest, plan: &RecordPlan) -> Result<Vec<Source>, RecordError> {
    if (found.from_ms, found.to_ms) != (plan.from_ms, plan.to_ms) {
        return Err(RecordError::OtherTimes);
    }
    let sorted = |names: &mut dyn Iterator<Item = &str>| {
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        names.join(", ")
    };
    let recorded = sorted(&mut found.topics.iter().map(|topic| topic.name.as_str()));
    let given = sorted(&mut plan.topics.iter().map(String::as_str));
    if recorded != given {
        return Err(RecordError::OtherTopics { recorded, given });
    }
    for source in &mut sources {
        let topic = found.topics.iter().find(|topic| *topic.name == *source.at.topic);
        let topic = topic.expect("the topics are the same");
        if topic.partitions != source.partitions {
            let (topic, recorded, found) = (topic.name.clone(), topic.partitions, source.partitions);
            return Err(RecordError::PartitionsAdded { topic, recorded, found });
        }
        let Some(range) = topic.ranges.get(&source.at.partition) else { continue };
        if source.last_end < range.end {
            let (topic, partition) = (topic.name.clone(), source.at.partition);
            return Err(RecordError::OtherCluster { topic, partition, recorded: range.end, end: source.last_end });
        }
        source.next = range.end;
    }
    Ok(sources)
}

/// Where the cluster's consumer groups stand on what was recorded. A group that cannot be asked is left out: what was read
/// is not to be lost for it.
fn committed(connection: &Connection, admin: &Admin, sources: &[Source], deadline: Duration) -> Vec<GroupOffset> {
    let partitions: Vec<TopicPartition> = sources.iter().map(|source| source.at.clone()).collect();
    let mut offsets = Vec::new();
    let groups = admin.groups().unwrap_or_else(|error| {
        tracing::warn!(%error, "no offsets of consumer groups are recorded");
        Vec::new()
    });
    for group in groups {
        match group_offsets(connection, &group, &partitions, deadline.min(GROUP_DEADLINE)) {
            Ok(committed) => offsets.extend(committed.into_iter().map(|(at, offset)| {
                let (topic, partition) = (at.topic.to_string(), at.partition);
                GroupOffset { group: group.clone(), topic, partition, offset }
            })),
            Err(error) => tracing::warn!(group, %error, "its offsets are not recorded"),
        }
    }
    offsets
}

/// How long one group is asked.
const GROUP_DEADLINE: Duration = Duration::from_secs(5);
/// Ids that nobody knows, after which values of a topic count as no Avro at all.
const MAX_UNKNOWN_SCHEMAS: usize = 20;
/// Records taken at once.
const BATCH_RECORDS: usize = 10_000;
const READ_WAIT: Duration = Duration::from_millis(100);
/// How long a partly filled block waits for more: where new records are waited for, and where all are there already.
const FOLLOWING_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// How long a registry that is away is asked again.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(60);

struct Recorder<'a> {
    sources: Vec<Source>,
    plan: &'a RecordPlan,
    registry: &'a dyn SchemaRegistry,
    /// By topic and id: values of one topic name few schemas.
    met: HashSet<(Arc<str>, u32)>,
    last_met: (usize, u32),
    unknown: HashMap<Arc<str>, HashSet<u32>>,
    progress: RecordProgress,
}

impl<'a> Recorder<'a> {
    fn new(sources: Vec<Source>, plan: &'a RecordPlan, registry: &'a dyn SchemaRegistry) -> Recorder<'a> {
        let (met, last_met, progress) = (HashSet::new(), (usize::MAX, 0), RecordProgress::default());
        Recorder { sources, plan, registry, met, last_met, unknown: HashMap::new(), progress }
    }

    fn run(
        &mut self,
        connection: &Connection,
        writer: &mut RecordingWriter,
        go_on: &mut impl FnMut(&RecordProgress) -> bool,
    ) -> Result<(), RecordError> {
        let from: Vec<_> = self.sources.iter().map(|source| (source.at.clone(), source.next)).collect();
        let mut reader = BulkReader::open(connection, &from, &BulkSettings::default())?;
        let (mut last_event, mut last_flush) = (Instant::now(), Instant::now());
        while !self.sources.iter().all(Source::is_done) {
            self.progress.left = self.left();
            if !go_on(&self.progress) {
                return if self.plan.follow { Ok(()) } else { Err(RecordError::Stopped) };
            }
            let before = self.progress.left;
            let read = reader.read(BATCH_RECORDS, READ_WAIT, |lent| self.take(writer, &lent))?;
            if read > 0 || self.left() < before {
                last_event = Instant::now();
            } else if !self.plan.follow && last_event.elapsed() > self.plan.deadline {
                return Err(silent(connection, last_event.elapsed()).into());
            }
            let interval = if self.plan.follow { FOLLOWING_FLUSH_INTERVAL } else { FLUSH_INTERVAL };
            if last_flush.elapsed() > interval {
                writer.flush()?;
                last_flush = Instant::now();
            }
        }
        Ok(())
    }

    /// What was added while it followed was not read.
    fn refuse_added_partitions(&self, connection: &Connection) -> Result<(), RecordError> {
        let existing = connection.topics(self.plan.deadline)?;
        for topic in existing {
            let source = self.sources.iter().find(|source| *source.at.topic == *topic.name);
            if let Some(source) = source.filter(|source| source.partitions != topic.partitions) {
                let (topic, recorded, found) = (topic.name, source.partitions, topic.partitions);
                return Err(RecordError::PartitionsAdded { topic, recorded, found });
            }
        }
        Ok(())
    }

    fn left(&self) -> u64 {
        let left = self.sources.iter().map(|source| source.end.unwrap_or(source.next) - source.next);
        left.filter_map(|left| u64::try_from(left).ok()).sum()
    }

    fn take(&mut self, writer: &mut RecordingWriter, lent: &Lent<'_>) -> Result<(), RecordError> {
        match lent {
            Lent::End { source, offset } => {
                let source = &mut self.sources[*source];
                source.next = source.next.max(*offset);
                Ok(())
            }
            Lent::Record(record) => self.take_record(writer, record),
        }
    }

    fn take_record(&mut self, writer: &mut RecordingWriter, record: &LentRecord<'_>) -> Result<(), RecordError> {
        let index = record.source();
        let source = &mut self.sources[index];
        let (offset, timestamp_ms) = (record.offset(), record.timestamp_ms());
        if source.is_done() {
            return Ok(());
        }
        source.next = offset + 1;
        let is_early = self.plan.from_ms.is_some_and(|from_ms| timestamp_ms < from_ms);
        if is_early || self.plan.to_ms.is_some_and(|to_ms| timestamp_ms >= to_ms) {
            return Ok(());
        }
        if let Some(id) = record.value().and_then(schema_id)
            && self.last_met != (index, id.0)
        {
            self.meet(writer, index, id)?;
        }
        self.progress.records += 1;
        self.progress.bytes += (record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len)) as u64;
        Ok(writer.append(index, record)?)
    }

    /// Keeps the text of a schema that a value names.
    #[cold]
    fn meet(&mut self, writer: &mut RecordingWriter, index: usize, id: SchemaId) -> Result<(), RecordError> {
        self.last_met = (index, id.0);
        let topic = &self.sources[index].at.topic;
        let unknown = self.unknown.entry(Arc::clone(topic)).or_default();
        let is_hopeless = unknown.contains(&id.0) || unknown.len() >= MAX_UNKNOWN_SCHEMAS;
        if self.met.contains(&(Arc::clone(topic), id.0)) || is_hopeless {
            return Ok(());
        }
        match schema(self.registry, id) {
            Ok(text) => {
                self.met.insert((Arc::clone(topic), id.0));
                Ok(writer.schema(topic, id.0, &text)?)
            }
            Err(RegistryError::UnknownId { .. }) => {
                tracing::warn!(%topic, %id, "values begin as if of this schema, which the registry does not know");
                unknown.insert(id.0);
                if unknown.len() == MAX_UNKNOWN_SCHEMAS {
                    tracing::warn!(%topic, "its values seem to be no Avro: no more schemas are looked for");
                }
                Ok(writer.unknown_schema(topic, id.0)?)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The schema's text; a registry that is away for a moment is asked again.
fn schema(registry: &dyn SchemaRegistry, id: SchemaId) -> Result<Arc<str>, RegistryError> {
    let asked = Instant::now();
    loop {
        match registry.schema(id) {
            Err(error) if error.is_transient() && asked.elapsed() < REGISTRY_PATIENCE => {
                tracing::warn!(%id, %error, "asking again");
                #[allow(clippy::disallowed_methods, reason = "a back-off between two questions")]
                std::thread::sleep(READ_WAIT);
            }
            answer => return answer,
        }
    }
}

/// Why nothing comes though the end is not reached: no broker, in most cases.
fn silent(connection: &Connection, waited: Duration) -> ClientError {
    let reachable = connection.topics(Duration::from_secs(1));
    let unsaid = ClientError::Operation {
        operation: "recording",
        reason: format!("nothing came for {} s though there is more", waited.as_secs()),
        kind: ErrorKind::Retry,
    };
    reachable.err().unwrap_or(unsaid)
}
