//! The thread behind a recording: puts blocks into files, files into the manifest.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

use super::index::Extent;
use super::manifest::{GroupOffset, Manifest, OffsetRange};
use super::segment_writer::SegmentWriter;
use super::{RecordingError, RecordingSettings};
use crate::kafka::TopicPartition;

/// What the recorder hands over, in the order in which it happened.
pub(super) enum Job {
    /// The next partition; they are numbered from 0.
    Partition(TopicPartition),
    Schema {
        id: u32,
        /// `None` where nobody knows the schema.
        of_topic: Option<String>,
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
    give_back: Sender<Vec<u8>>,
}

impl Filing {
    pub(super) fn new(
        folder: &Path,
        settings: &RecordingSettings,
        manifest: Manifest,
        give_back: Sender<Vec<u8>>,
    ) -> Filing {
        let (folder, settings) = (folder.to_owned(), settings.clone());
        Filing { folder, settings, manifest, partitions: Vec::new(), open: Vec::new(), give_back }
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
                Job::Schema { id, of_topic } => self.schema(id, of_topic.as_deref()),
                Job::Block { partition, extent, data } => {
                    self.write(partition, &extent, &data)?;
                    let mut data = data;
                    data.clear();
                    // Nobody takes it where the recorder has just ended.
                    let _ = self.give_back.send(data);
                }
                Job::CloseOldFiles => self.close(|segment, settings| segment.is_full(&settings.roll))?,
                Job::Finish { ends, groups } => return self.finish(&ends, groups),
            }
        }
        Ok(self.manifest)
    }

    fn schema(&mut self, id: u32, of_topic: Option<&str>) {
        let manifest = &mut self.manifest;
        match of_topic {
            Some(name) => {
                add(&mut manifest.schemas, id);
                let topic = manifest.topics.iter_mut().find(|topic| topic.name == name);
                topic.into_iter().for_each(|topic| add(&mut topic.schemas, id));
            }
            None => add(&mut manifest.unknown_schemas, id),
        }
    }

    fn write(&mut self, partition: usize, extent: &Extent, data: &[u8]) -> Result<(), RecordingError> {
        if self.open[partition].as_ref().is_some_and(|segment| segment.is_full(&self.settings.roll)) {
            self.close_one(partition)?;
            self.manifest.store(&self.folder)?;
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
        segment.write(extent, data)
    }

    fn close(&mut self, which: impl Fn(&SegmentWriter, &RecordingSettings) -> bool) -> Result<(), RecordingError> {
        let segments = self.manifest.segments.len();
        for partition in 0..self.open.len() {
            if self.open[partition].as_ref().is_some_and(|segment| which(segment, &self.settings)) {
                self.close_one(partition)?;
            }
        }
        if self.manifest.segments.len() > segments { self.manifest.store(&self.folder) } else { Ok(()) }
    }

    fn close_one(&mut self, partition: usize) -> Result<(), RecordingError> {
        let Some(segment) = self.open[partition].take() else { return Ok(()) };
        let at = &self.partitions[partition];
        let segment = segment.finish(at)?;
        range(&mut self.manifest, at, segment.last_offset + 1);
        self.manifest.segments.push(segment);
        Ok(())
    }

    fn finish(mut self, ends: &[i64], groups: Vec<GroupOffset>) -> Result<Manifest, RecordingError> {
        self.close(|_, _| true)?;
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
