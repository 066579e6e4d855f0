//! A block of records that owns its bytes, with a place in it: what a reading thread hands over.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::RecordingError;
use super::reader::Span;
use super::record::{RecordedHeaders, RecordedRecord, read};
use crate::contract::Input;

/// The records of one block, read one after the other.
#[derive(Debug)]
pub struct OwnedBlock {
    data: Vec<u8>,
    span: Span,
    file: PathBuf,
    position: u64,
    /// Where the records after the head begin, and how many there are.
    next: usize,
    left: u64,
    head: Option<Located>,
}

/// Where the parts of a record are in the block.
#[derive(Debug)]
struct Located {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl OwnedBlock {
    pub(super) fn new(data: Vec<u8>, records: u64, span: Span, file: &Path, position: u64) -> OwnedBlock {
        OwnedBlock { data, span, file: file.to_owned(), position, next: 0, left: records, head: None }
    }

    /// Goes to the next record of the span where the place is not at one already; tells whether there is one.
    pub fn find_head(&mut self) -> Result<bool, RecordingError> {
        while self.head.is_none() && self.left > 0 {
            let mut input = Input::new(&self.data[self.next..]);
            let record = read(&mut input);
            let record = record.map_err(|error| RecordingError::malformed(&self.file, self.position, &error))?;
            let bytes = input.offset();
            if self.span.holds(record.offset, record.timestamp_ms) {
                self.head = Some(locate(&self.data, &record));
            }
            self.next += bytes;
            self.left -= 1;
        }
        Ok(self.head.is_some())
    }

    /// The record at the place, where [`find_head`](Self::find_head) found one.
    pub fn head(&self) -> Option<RecordedRecord<'_>> {
        let head = self.head.as_ref()?;
        let bytes = |range: &Option<Range<usize>>| range.clone().map(|range| &self.data[range]);
        Some(RecordedRecord {
            offset: head.offset,
            timestamp_ms: head.timestamp_ms,
            key: bytes(&head.key),
            value: bytes(&head.value),
            headers: RecordedHeaders { items: &self.data[head.headers.clone()] },
        })
    }

    /// Leaves the record at the place behind.
    pub fn pass_head(&mut self) {
        self.head = None;
    }

    /// The block's size in memory.
    pub fn size_bytes(&self) -> usize {
        self.data.len()
    }

    /// The memory, for a later block.
    pub fn into_spare(self) -> Vec<u8> {
        self.data
    }
}

fn locate(data: &[u8], record: &RecordedRecord<'_>) -> Located {
    // Parts lie within the block: what is between their addresses is their place.
    let place = |part: &[u8]| {
        let start = part.as_ptr().addr().wrapping_sub(data.as_ptr().addr());
        if part.is_empty() { 0..0 } else { start..start + part.len() }
    };
    Located {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(place),
        value: record.value.map(place),
        headers: place(record.headers.items),
    }
}
