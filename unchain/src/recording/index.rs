//! The index beside each file of records: where its blocks are, and which offsets and times they hold.
//!
//! It is an Avro object container file too, uncompressed.

use std::path::Path;

use super::RecordingError;
use super::manifest::replace;
use crate::contract::{Codec, ContainerReader, ContainerWriter, Datum, Input};

const SCHEMA: &str = r#"{"type": "record", "name": "IndexEntry", "namespace": "unchain.recording", "doc": "A block of a file of records.", "fields": [{"name": "position", "type": "long", "doc": "Where the block begins in the file."}, {"name": "bytes", "type": "long", "doc": "How long it is."}, {"name": "records", "type": "long", "doc": "How many records it holds."}, {"name": "first_offset", "type": "long", "doc": "The first one's offset."}, {"name": "last_offset", "type": "long", "doc": "The last one's offset."}, {"name": "min_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "The earliest time."}, {"name": "max_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "The latest time."}, {"name": "crc32c", "type": "long", "doc": "CRC-32C of the block's bytes in the file."}]}"#;

const MARKER: [u8; 16] = *b"unchain-rec-idx1";

/// The records of a block: how many, and between which offsets and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) records: u64,
    pub(super) first_offset: i64,
    pub(super) last_offset: i64,
    pub(super) min_timestamp_ms: i64,
    pub(super) max_timestamp_ms: i64,
}

impl Extent {
    pub(super) const EMPTY: Extent = Extent {
        records: 0,
        first_offset: i64::MAX,
        last_offset: i64::MIN,
        min_timestamp_ms: i64::MAX,
        max_timestamp_ms: i64::MIN,
    };

    pub(super) fn add(&mut self, offset: i64, timestamp_ms: i64) {
        let one = Extent {
            records: 1,
            first_offset: offset,
            last_offset: offset,
            min_timestamp_ms: timestamp_ms,
            max_timestamp_ms: timestamp_ms,
        };
        self.merge(&one);
    }

    pub(super) fn merge(&mut self, other: &Extent) {
        self.records += other.records;
        self.first_offset = self.first_offset.min(other.first_offset);
        self.last_offset = self.last_offset.max(other.last_offset);
        self.min_timestamp_ms = self.min_timestamp_ms.min(other.min_timestamp_ms);
        self.max_timestamp_ms = self.max_timestamp_ms.max(other.max_timestamp_ms);
    }
}

/// A block of a file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
    pub(super) extent: Extent,
}

impl IndexEntry {
    fn write(&self, out: &mut Vec<u8>) {
        let extent = &self.extent;
        let longs = [
            self.position.cast_signed(),
            self.bytes.cast_signed(),
            extent.records.cast_signed(),
            extent.first_offset,
            extent.last_offset,
            extent.min_timestamp_ms,
            extent.max_timestamp_ms,
            i64::from(self.crc32c),
        ];
        longs.iter().for_each(|long| long.write(out));
    }

    fn read(input: &mut Input<'_>) -> Option<IndexEntry> {
        let mut longs = [0; 8];
        for long in &mut longs {
            *long = i64::read(input).ok()?;
        }
        let [position, bytes, records, first_offset, last_offset, min_timestamp_ms, max_timestamp_ms, crc32c] = longs;
        Some(IndexEntry {
            position: position.try_into().ok()?,
            bytes: bytes.try_into().ok()?,
            crc32c: crc32c.try_into().ok()?,
            extent: Extent {
                records: records.try_into().ok()?,
                first_offset,
                last_offset,
                min_timestamp_ms,
                max_timestamp_ms,
            },
        })
    }
}

/// Writes the index of a file and returns its checksum.
pub(super) fn store(file: &Path, entries: &[IndexEntry]) -> Result<u32, RecordingError> {
    let failed = |error| RecordingError::write(file, error);
    let mut writer = ContainerWriter::new(Vec::new(), SCHEMA, MARKER, Codec::Null).map_err(failed)?;
    let mut data = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut data));
    writer.write_block(entries.len() as u64, &data).map_err(failed)?;
    let content = writer.into_inner();
    replace(file, &content)?;
    Ok(crc32c::crc32c(&content))
}

/// Reads an index that has this checksum.
pub(super) fn load(file: &Path, crc32c: u32) -> Result<Vec<IndexEntry>, RecordingError> {
    let content = std::fs::read(file).map_err(|error| RecordingError::read(file, error))?;
    if crc32c::crc32c(&content) != crc32c {
        return Err(RecordingError::Checksum { file: file.to_owned(), position: 0 });
    }
    let container = |source| RecordingError::Container { file: file.to_owned(), source };
    let mut reader = ContainerReader::open(&content[..]).map_err(container)?;
    let mut entries = Vec::new();
    while let Some(block) = reader.next_block().map_err(container)? {
        let mut input = Input::new(&block.data);
        for _ in 0..block.count {
            let entry = IndexEntry::read(&mut input).ok_or_else(|| RecordingError::Block {
                file: file.to_owned(),
                position: 0,
                reason: "an entry of the index is not as it was written".to_owned(),
            })?;
            entries.push(entry);
        }
    }
    Ok(entries)
}
