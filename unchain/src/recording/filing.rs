//! The thread behind a recording: puts blocks into files, files into the manifest.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

use super::closing::Closing;
use super::index::Extent;
use super::manifest::{GroupOffset, Manifest, OffsetRange};
use super::segment_writer::SegmentWriter;
use super::{RecordingError, RecordingSettings};
use crate::kafka::TopicPartition;

/// What the recorder hands over, in the order in which it happened.
pub(super) enum Job {
    /// The next partition; they are numbered from 0.
    Partition(TopicPartition),
    Between {
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    },
    Schema {
        id: u32,
        topic: String,
        is_known: bool,
    },
    Block {
        partition: usize,
        extent: Extent,
        data: Vec<u8>,
    },
    CloseOldFiles,
    Finish {
        ends: Vec<i64>,
        groups: Vec<GroupOffset>,
    },
}

pub(super) struct Filing {
    folder: PathBuf,
    settings: RecordingSettings,
    manifest: Manifest,
    partitions: Vec<TopicPartition>,
    /// A partition's open file.
    open: Vec<Option<SegmentWriter>>,
    closing: Closing,
    give_back: Sender<Vec<u8>>,
}

impl Filing {
    pub(super) fn new(
        folder: &Path,
        settings: &RecordingSettings,
        manifest: Manifest,
        give_back: Sender<Vec<u8>>,
    ) -> Result<Filing, RecordingError> {
        let closing = Closing::start().map_err(|error| RecordingError::write(folder, error))?;
        let (folder, settings) = (folder.to_owned(), settings.clone());
        Ok(Filing { folder, settings, manifest, partitions: Vec::new(), open: Vec::new(), closing, give_back })
    }

    /// Works until the recording is finished; without that, until the recorder is gone: the manifest then says that the
    /// recording is incomplete.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> Result<Manifest, RecordingError> {
        for job in jobs {
            match job {
                Job::Partition(at) => {
                    self.partitions.push(at);
                    self.open.push(None);
                }
                Job::Between { from_ms, to_ms } => {
                    (self.manifest.from_ms, self.manifest.to_ms) = (from_ms, to_ms);
                    self.manifest.store(&self.folder)?;
                }
                Job::Schema { id, topic, is_known } => self.schema(id, &topic, is_known),
                Job::Block { partition, extent, data } => {
                    self.write(partition, &extent, &data)?;
                    let mut data = data;
                    data.clear();
                    // Nobody takes it where the recorder has just ended.
                    let _ = self.give_back.send(data);
                }
                Job::CloseOldFiles => {
                    self.close(|segment, settings| segment.is_full(&settings.roll));
                    self.take_in(false)?;
                }
                Job::Finish { ends, groups } => return self.finish(&ends, groups),
            }
        }
        // Whoever began has gone before the end: what was handed over is kept, and the recording can be gone on with.
        self.close(|_, _| true);
        self.take_in(true)?;
        self.manifest.store(&self.folder)?;
        Ok(self.manifest)
    }

    fn schema(&mut self, id: u32, topic: &str, is_known: bool) {
        let manifest = &mut self.manifest;
        add(if is_known { &mut manifest.schemas } else { &mut manifest.unknown_schemas }, id);
        let topic = manifest.topics.iter_mut().find(|of_manifest| of_manifest.name == topic);
        topic.into_iter().for_each(|topic| add(&mut topic.schemas, id));
    }

    fn write(&mut self, partition: usize, extent: &Extent, data: &[u8]) -> Result<(), RecordingError> {
        self.take_in(false)?;
        if self.open[partition].as_ref().is_some_and(|segment| segment.is_full(&self.settings.roll)) {
            self.close_one(partition);
        }
        let segment = match &mut self.open[partition] {
            Some(segment) => segment,
            none => none.insert(SegmentWriter::create(
                &self.folder,
                &self.partitions[partition],
                extent.first_offset,
                self.settings.codec,
            )?),
        };
        segment.write(extent, data)?;
        if let Some(file) = segment.unsynced() {
            self.closing.sync(file);
        }
        Ok(())
    }

    fn close(&mut self, which: impl Fn(&SegmentWriter, &RecordingSettings) -> bool) {
        for partition in 0..self.open.len() {
            if self.open[partition].as_ref().is_some_and(|segment| which(segment, &self.settings)) {
                self.close_one(partition);
            }
        }
    }

    fn close_one(&mut self, partition: usize) {
        if let Some(segment) = self.open[partition].take() {
            self.closing.close(segment, &self.partitions[partition]);
        }
    }

    /// Notes the files that have become whole; with `wait` all that were closed.
    fn take_in(&mut self, wait: bool) -> Result<(), RecordingError> {
        let mut has_new = false;
        while let Some(segment) = self.closing.closed(wait)? {
            let at = TopicPartition { topic: segment.topic.as_str().into(), partition: segment.partition };
            range(&mut self.manifest, &at, segment.last_offset + 1);
            self.manifest.segments.push(segment);
            has_new = true;
        }
        if has_new && !wait { self.manifest.store(&self.folder) } else { Ok(()) }
    }

    fn finish(mut self, ends: &[i64], groups: Vec<GroupOffset>) -> Result<Manifest, RecordingError> {
        self.close(|_, _| true);
        self.take_in(true)?;
        for (at, end) in self.partitions.iter().zip(ends) {
            range(&mut self.manifest, at, *end);
        }
        self.manifest.groups = groups;
        self.manifest.complete = true;
        self.manifest.store(&self.folder)?;
        Ok(self.manifest)
    }
}

fn add(ids: &mut Vec<u32>, id: u32) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}

/// Moves on what has been recorded of a partition.
fn range(manifest: &mut Manifest, at: &TopicPartition, end: i64) {
    let topic = manifest.topics.iter_mut().find(|topic| *topic.name == *at.topic);
    if let Some(topic) = topic {
        let range = topic.ranges.entry(at.partition).or_insert(OffsetRange { start: 0, end });
        range.end = range.end.max(end);
    }
}
