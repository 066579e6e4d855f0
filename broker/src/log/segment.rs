//! One segment: a store of whole batches and a sparse index over it (offset, position, greatest timestamp so far).

use std::path::{Path, PathBuf};

use super::LogError;
use super::batch::{BatchHeader, HEADER_BYTES};
use super::store::Store;

/// One index entry is kept for about this many bytes of batches.
const INDEX_INTERVAL_BYTES: u64 = 4096;

/// Where a batch begins, and the greatest timestamp of the segment before it.
#[derive(Debug, Clone, Copy)]
struct IndexEntry {
    offset: i64,
    position: u64,
    max_timestamp_before: i64,
}

/// A run of batches that rolls, expires and is compacted as one.
#[derive(Debug)]
pub struct Segment {
    pub base_offset: i64,
    pub store: Store,
    index: Vec<IndexEntry>,
    indexed_until: u64,
    pub max_timestamp: i64,
    /// Offset of the record that carries the greatest timestamp is in the batch that begins here.
    pub max_timestamp_offset: i64,
    /// When the first batch was appended (or the segment was opened), for `segment.ms`.
    pub first_append_ms: i64,
}

/// The file of the segment that begins at `base_offset`.
pub fn segment_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

impl Segment {
    pub fn new(base_offset: i64, store: Store, now_ms: i64) -> Segment {
        Segment {
            base_offset,
            store,
            index: Vec::new(),
            indexed_until: 0,
            max_timestamp: -1,
            max_timestamp_offset: -1,
            first_append_ms: now_ms,
        }
    }

    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Appends a batch whose header (with its assigned offset) is `header`.
    pub fn append(&mut self, header: &BatchHeader, head: &[u8], tail: &[u8]) -> Result<(), LogError> {
        let position = self.bytes();
        self.store.append(head, tail, header.is_control())?;
        self.note(header, position);
        Ok(())
    }

    /// Takes a batch into the index; recovery calls it for batches that are already stored.
    pub fn note(&mut self, header: &BatchHeader, position: u64) {
        if self.index.is_empty() || position >= self.indexed_until + INDEX_INTERVAL_BYTES {
            self.index.push(IndexEntry {
                offset: header.base_offset,
                position,
                max_timestamp_before: self.max_timestamp,
            });
            self.indexed_until = position;
        }
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = header.base_offset;
        }
    }

    /// Where to start looking for `offset`: the last indexed batch that begins at or before it.
    fn start_position(&self, offset: i64) -> u64 {
        let after = self.index.partition_point(|entry| entry.offset <= offset);
        after.checked_sub(1).map_or(0, |at| self.index[at].position)
    }

    /// The batch that holds `offset`, or the first one after it: its position and header.
    pub fn find(&self, offset: i64) -> std::io::Result<Option<(u64, BatchHeader)>> {
        self.scan(self.start_position(offset), |header| header.last_offset() >= offset)
    }

    /// The first batch that ends at or after `log_start` and has a record at or after `timestamp`.
    pub fn find_by_time(&self, timestamp: i64, log_start: i64) -> std::io::Result<Option<(u64, BatchHeader)>> {
        if self.max_timestamp < timestamp {
            return Ok(None);
        }
        let after = self.index.partition_point(|entry| entry.max_timestamp_before < timestamp);
        let start = after.checked_sub(1).map_or(0, |at| self.index[at].position);
        self.scan(start, |header| header.max_timestamp >= timestamp && header.last_offset() >= log_start)
    }

    fn scan(&self, start: u64, wanted: impl Fn(&BatchHeader) -> bool) -> std::io::Result<Option<(u64, BatchHeader)>> {
        let mut reader = HeaderReader::new(self, start);
        while let Some((position, header)) = reader.next()? {
            if wanted(&header) {
                return Ok(Some((position, header)));
            }
        }
        Ok(None)
    }

    /// Reads one whole batch.
    pub fn read_batch(&self, position: u64, header: &BatchHeader) -> std::io::Result<Vec<u8>> {
        let mut batch = vec![0; header.total_bytes()];
        self.store.read_at(position, &mut batch)?;
        Ok(batch)
    }
}

/// Walks the headers of a segment; small batches are read in windows, large ones are skipped over.
pub struct HeaderReader<'a> {
    segment: &'a Segment,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    window_bytes: usize,
}

impl<'a> HeaderReader<'a> {
    pub fn new(segment: &'a Segment, position: u64) -> Self {
        HeaderReader { segment, position, window: Vec::new(), window_start: position, window_bytes: 4096 }
    }

    /// The next batch's position and header; `None` at the end or where the rest is no whole batch.
    pub fn next(&mut self) -> std::io::Result<Option<(u64, BatchHeader)>> {
        let end = self.segment.bytes();
        if self.position + HEADER_BYTES as u64 > end {
            return Ok(None);
        }
        let held = self.window_start..self.window_start + self.window.len() as u64;
        if !(held.contains(&self.position) && self.position + HEADER_BYTES as u64 <= held.end) {
            let count = (self.window_bytes as u64).min(end - self.position) as usize;
            self.window.resize(count, 0);
            self.segment.store.read_at(self.position, &mut self.window)?;
            self.window_start = self.position;
            self.window_bytes = (self.window_bytes * 2).min(256 * 1024);
        }
        let at = (self.position - self.window_start) as usize;
        let Ok(header) = BatchHeader::parse(&self.window[at..]) else { return Ok(None) };
        let position = self.position;
        if position + header.total_bytes() as u64 > end {
            return Ok(None);
        }
        self.position += header.total_bytes() as u64;
        Ok(Some((position, header)))
    }

    /// Where the next batch would begin.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::batch::{assigned_prefix, tests::batch_of};
    use crate::log::store::MemoryBudget;

    fn segment_of(batches: usize) -> Segment {
        let mut segment = Segment::new(0, Store::in_memory(&MemoryBudget::new(1 << 30)), 0);
        let value = "x".repeat(700);
        for n in 0..batches {
            let batch = batch_of(&[&value, &value], None, false);
            let mut header = BatchHeader::parse(&batch).unwrap();
            // A gap of one offset after every batch, as compaction leaves.
            header.base_offset = n as i64 * 3;
            header.max_timestamp = 1_000 + n as i64 * 10;
            let prefix = assigned_prefix(header.base_offset, header.length);
            segment.append(&header, &prefix, &batch[16..]).unwrap();
        }
        segment
    }

    #[test]
    fn every_offset_is_found_in_its_batch_or_the_next() {
        let segment = segment_of(200);
        for n in 0..200 {
            for offset in n * 3..n * 3 + 2 {
                assert_eq!(segment.find(offset).unwrap().unwrap().1.base_offset, n * 3);
            }
            let next = segment.find(n * 3 + 2).unwrap().map(|(_, header)| header.base_offset);
            assert_eq!(next, (n < 199).then_some(n * 3 + 3));
        }
    }

    #[test]
    fn the_index_is_sparse() {
        let segment = segment_of(200);
        assert!(segment.index.len() < 100, "{} entries for 200 batches", segment.index.len());
    }
}
