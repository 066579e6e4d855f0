//! Writes one file of records. It has another name until it is whole and durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::index::{self, Extent, IndexEntry};
use super::manifest::{Segment, rename};
use super::record::RECORD_SCHEMA;
use super::{RecordingError, SegmentRoll};
use crate::contract::{Codec, ContainerWriter};
use crate::kafka::TopicPartition;

/// Ends every block; the id of a file's recording would do as well, but equal records are to give equal files.
const MARKER: [u8; 16] = *b"unchain-record-1";

/// What is left to the system to write at its leisure: more would have to be waited for at the file's end.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// A file that is being written.
pub(super) struct SegmentWriter {
    /// Below the recording's folder, with slashes.
    name: String,
    file: PathBuf,
    part: PathBuf,
    container: ContainerWriter<Counted>,
    entries: Vec<IndexEntry>,
    extent: Extent,
    opened: Instant,
    /// Bytes after which a sync was last asked for.
    synced_bytes: u64,
}

impl SegmentWriter {
    /// Begins the file whose first record has this offset.
    pub(super) fn create(
        folder: &Path,
        at: &TopicPartition,
        first_offset: i64,
        codec: Codec,
    ) -> Result<SegmentWriter, RecordingError> {
        let name = format!("data/{}/{}/{first_offset:020}.avro", at.topic, at.partition);
        let file = folder.join(&name);
        let within = file.parent().expect("the name has folders");
        fs::create_dir_all(within).map_err(|error| RecordingError::write(within, error))?;
        let part = file.with_extension("avro.part");
        let opened = File::create(&part).and_then(|open| {
            let counted = Counted { file: open, bytes: 0, block_start: 0, crc32c: 0, block_crc32c: 0 };
            ContainerWriter::new(counted, RECORD_SCHEMA, MARKER, codec)
        });
        let container = opened.map_err(|error| RecordingError::write(&part, error))?;
        let (entries, extent) = (Vec::new(), Extent::EMPTY);
        Ok(SegmentWriter { name, file, part, container, entries, extent, opened: Instant::now(), synced_bytes: 0 })
    }

    pub(super) fn write(&mut self, extent: &Extent, data: &[u8]) -> Result<(), RecordingError> {
        let position = self.container.get_mut().begin_block();
        let written = self.container.write_block(extent.records, data);
        written.map_err(|error| RecordingError::write(&self.part, error))?;
        let counted = self.container.get_ref();
        let (bytes, crc32c) = (counted.bytes - position, counted.block_crc32c);
        self.entries.push(IndexEntry { position, bytes, crc32c, extent: *extent });
        self.extent.merge(extent);
        Ok(())
    }

    /// The file, to be synced while it is written, where a good deal has been added since the last time.
    pub(super) fn unsynced(&mut self) -> Option<File> {
        let bytes = self.container.get_ref().bytes;
        if bytes < self.synced_bytes + SYNC_BYTES {
            return None;
        }
        self.synced_bytes = bytes;
        self.container.get_ref().file.try_clone().ok()
    }

    /// Whether the next block belongs into another file.
    pub(super) fn is_full(&self, roll: &SegmentRoll) -> bool {
        self.container.get_ref().bytes >= roll.max_segment_bytes || self.opened.elapsed() >= roll.max_segment_age
    }

    /// Makes the file and its index durable, and gives them their names.
    pub(super) fn finish(self, at: &TopicPartition) -> Result<Segment, RecordingError> {
        let mut counted = self.container.into_inner();
        counted.begin_block();
        counted.file.sync_all().map_err(|error| RecordingError::write(&self.part, error))?;
        let index_crc32c = index::store(&self.file.with_extension("index.avro"), &self.entries)?;
        rename(&self.part, &self.file)?;
        Ok(Segment {
            topic: at.topic.to_string(),
            partition: at.partition,
            file: self.name,
            records: self.extent.records,
            first_offset: self.extent.first_offset,
            last_offset: self.extent.last_offset,
            min_timestamp_ms: self.extent.min_timestamp_ms,
            max_timestamp_ms: self.extent.max_timestamp_ms,
            bytes: counted.bytes,
            crc32c: counted.crc32c,
            index_crc32c,
        })
    }
}

/// A file with the length of what was written to it, and the checksums of the blocks before the last and of that.
struct Counted {
    file: File,
    bytes: u64,
    block_start: u64,
    crc32c: u32,
    block_crc32c: u32,
}

impl Counted {
    /// The position at which the next block begins. What was written since the last time is a part of the file now.
    fn begin_block(&mut self) -> u64 {
        let length = usize::try_from(self.bytes - self.block_start).expect("a block fits into memory");
        self.crc32c = crc32c::crc32c_combine(self.crc32c, self.block_crc32c, length);
        (self.block_start, self.block_crc32c) = (self.bytes, 0);
        self.bytes
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.block_crc32c = crc32c::crc32c_append(self.block_crc32c, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
