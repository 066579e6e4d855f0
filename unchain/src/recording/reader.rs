//! Reads a recording: what it holds, and each partition's records, block by block.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RecordingError;
use super::index::{self, IndexEntry};
use super::manifest::{Manifest, RecordedTopic, Segment};
use super::record::{RECORD_SCHEMA, RecordedRecord, read};
use crate::contract::{ContainerHeader, Input};
use crate::kafka::TopicPartition;

/// A recording's folder.
#[derive(Debug, Clone)]
pub struct Recording {
    folder: PathBuf,
    manifest: Manifest,
}

/// Which of a partition's records are read. Both bounds of each kind hold for every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From this offset, inclusive.
    pub from_offset: i64,
    /// To this time, inclusive and exclusive, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    pub to_ms: i64,
}

impl Default for Span {
    fn default() -> Self {
        Span { from_offset: i64::MIN, from_ms: i64::MIN, to_ms: i64::MAX }
    }
}

impl Recording {
    /// Opens a finished recording.
    ///
    /// # Errors
    /// [`RecordingError::Incomplete`] where the recorder was killed or failed; files that are missing or cut off.
    pub fn open(folder: &Path) -> Result<Recording, RecordingError> {
        let recording = Recording::open_incomplete(folder)?;
        if recording.manifest.complete {
            return Ok(recording);
        }
        let segments = recording.manifest.segments.len();
        Err(RecordingError::Incomplete { folder: folder.to_owned(), segments })
    }

    /// Opens a recording, with its whole files alone where it was not finished.
    pub fn open_incomplete(folder: &Path) -> Result<Recording, RecordingError> {
        let recording = Recording { folder: folder.to_owned(), manifest: Manifest::load(folder)? };
        for segment in &recording.manifest.segments {
            let file = recording.folder.join(&segment.file);
            let found = std::fs::metadata(&file).map_err(|error| RecordingError::read(&file, error))?.len();
            if found != segment.bytes {
                return Err(RecordingError::Size { file, expected: segment.bytes, found });
            }
        }
        Ok(recording)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Result<&RecordedTopic, RecordingError> {
        let topics = &self.manifest.topics;
        topics.iter().find(|topic| topic.name == name).ok_or_else(|| RecordingError::UnknownTopic {
            name: name.to_owned(),
            known: topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The text of a schema that values name; `None` where the recording does not have it.
    pub fn schema(&self, id: u32) -> Result<Option<String>, RecordingError> {
        if !self.manifest.schemas.contains(&id) {
            return Ok(None);
        }
        let file = self.folder.join("schemas").join(format!("{id}.avsc"));
        std::fs::read_to_string(&file).map(Some).map_err(|error| RecordingError::read(file, error))
    }

    /// The partitions that have records, in order.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let at = |segment: &Segment| TopicPartition {
            topic: Arc::from(segment.topic.as_str()),
            partition: segment.partition,
        };
        let mut partitions: Vec<_> = self.manifest.segments.iter().map(at).collect();
        partitions.sort();
        partitions.dedup();
        partitions
    }

    /// Records of a partition within a span, at most: whole files count.
    pub fn count(&self, at: &TopicPartition, span: &Span) -> u64 {
        self.segments(at, span).map(|segment| segment.records).sum()
    }

    /// Begins to read a partition.
    pub fn read(&self, at: &TopicPartition, span: Span) -> PartitionReader {
        let mut segments: Vec<Segment> = self.segments(at, &span).cloned().collect();
        // The next one is taken from the end.
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.first_offset));
        PartitionReader { folder: self.folder.clone(), span, segments, open: None, data: Vec::new() }
    }

    fn segments<'a>(&'a self, at: &'a TopicPartition, span: &'a Span) -> impl Iterator<Item = &'a Segment> {
        self.manifest.segments.iter().filter(move |segment| {
            segment.topic == *at.topic
                && segment.partition == at.partition
                && segment.last_offset >= span.from_offset
                && segment.max_timestamp_ms >= span.from_ms
                && segment.min_timestamp_ms < span.to_ms
        })
    }
}

/// Reads the records of one partition in the order of their offsets. Holds one block in memory.
pub struct PartitionReader {
    folder: PathBuf,
    span: Span,
    segments: Vec<Segment>,
    open: Option<OpenSegment>,
    data: Vec<u8>,
}

struct OpenSegment {
    file: PathBuf,
    source: BufReader<File>,
    header: ContainerHeader,
    /// The blocks that are left, the next one last.
    blocks: Vec<IndexEntry>,
    stored: Vec<u8>,
}

/// The records of one block.
pub struct RecordBlock<'a> {
    input: Input<'a>,
    left: u64,
    span: Span,
    file: &'a Path,
    position: u64,
}

impl PartitionReader {
    /// The next block with records of the span; `None` at the end.
    ///
    /// # Errors
    /// A file that is damaged, with its name and the block's place.
    pub fn next_block(&mut self) -> Result<Option<RecordBlock<'_>>, RecordingError> {
        let entry = loop {
            if let Some(open) = &mut self.open
                && let Some(entry) = open.blocks.pop()
            {
                break entry;
            }
            let Some(segment) = self.segments.pop() else { return Ok(None) };
            self.open = Some(OpenSegment::open(&self.folder, &segment, &self.span)?);
        };
        let open = self.open.as_mut().expect("the block is of the open file");
        open.read(&entry, &mut self.data)?;
        let (input, span) = (Input::new(&self.data), self.span);
        Ok(Some(RecordBlock { input, left: entry.extent.records, span, file: &open.file, position: entry.position }))
    }

    /// Bytes that the reader holds in memory.
    pub fn buffered_bytes(&self) -> usize {
        self.data.capacity() + self.open.as_ref().map_or(0, |open| open.stored.capacity())
    }
}

impl OpenSegment {
    fn open(folder: &Path, segment: &Segment, span: &Span) -> Result<OpenSegment, RecordingError> {
        let file = folder.join(&segment.file);
        let mut blocks = index::load(&file.with_extension("index.avro"), segment.index_crc32c)?;
        blocks.retain(|block| {
            let extent = &block.extent;
            extent.last_offset >= span.from_offset
                && extent.max_timestamp_ms >= span.from_ms
                && extent.min_timestamp_ms < span.to_ms
        });
        blocks.reverse();
        let opened = File::open(&file).map_err(|error| RecordingError::read(&file, error))?;
        let mut source = BufReader::new(opened);
        let container = |source| RecordingError::Container { file: file.clone(), source };
        let header = ContainerHeader::read(&mut source).map_err(container)?;
        if header.schema() != RECORD_SCHEMA {
            let reason = "its schema is not that of a recording".to_owned();
            return Err(RecordingError::Block { file, position: 0, reason });
        }
        Ok(OpenSegment { file, source, header, blocks, stored: Vec::new() })
    }

    fn read(&mut self, entry: &IndexEntry, data: &mut Vec<u8>) -> Result<(), RecordingError> {
        let unreadable = |error| RecordingError::read(&self.file, error);
        let position = self.source.stream_position().map_err(unreadable)?;
        let ahead = entry.position.cast_signed() - position.cast_signed();
        self.source.seek_relative(ahead).map_err(|error| RecordingError::read(&self.file, error))?;
        self.stored.clear();
        let stored = self.source.by_ref().take(entry.bytes).read_to_end(&mut self.stored);
        stored.map_err(|error| RecordingError::read(&self.file, error))?;
        if self.stored.len() as u64 != entry.bytes || crc32c::crc32c(&self.stored) != entry.crc32c {
            return Err(RecordingError::Checksum { file: self.file.clone(), position: entry.position });
        }
        let read = self.header.next_block(&mut &self.stored[..], data);
        let read = read.map_err(|source| RecordingError::Container { file: self.file.clone(), source })?;
        if read == Some(entry.extent.records) {
            return Ok(());
        }
        let reason = "it does not hold as many records as its index says".to_owned();
        Err(RecordingError::Block { file: self.file.clone(), position: entry.position, reason })
    }
}

impl<'a> RecordBlock<'a> {
    /// The next record of the span; `None` at the block's end.
    pub fn next_record(&mut self) -> Result<Option<RecordedRecord<'a>>, RecordingError> {
        while self.left > 0 {
            self.left -= 1;
            let record = read(&mut self.input);
            let record = record.map_err(|error| RecordingError::malformed(self.file, self.position, &error))?;
            let span = &self.span;
            let within = record.offset >= span.from_offset
                && record.timestamp_ms >= span.from_ms
                && record.timestamp_ms < span.to_ms;
            if within {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}
