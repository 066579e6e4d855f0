//! One assigned partition's records, read in batches by whoever holds the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::headers::put;
use super::native::{BatchQueue, RawMessage};
use super::{ClientError, Headers, Record, TopicPartition};

/// The records of one assigned partition, in order. Nothing comes out of it that lies before a seek, nor after the
/// partition was released. Dropping it ends the reading, not the assignment.
pub struct PartitionQueue {
    at: TopicPartition,
    queue: BatchQueue,
    /// Cleared when the partition is released, at once; librdkafka stops it a moment later.
    is_assigned: Arc<AtomicBool>,
    /// Reported by the read after the one that brought the records before it.
    error: Option<ClientError>,
    /// The size of a record, as a running average.
    record_bytes: usize,
    /// The headers' part of it.
    headers_bytes: usize,
    has_warned: bool,
}

/// Bytes that one read copies at most, but for a single record that is larger.
const MAX_READ_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that share one allocation, which lives as long as any record of them.
const ARENA_BYTES: usize = 256 * 1024;

impl PartitionQueue {
    pub(super) fn new(at: TopicPartition, queue: BatchQueue, is_assigned: Arc<AtomicBool>) -> PartitionQueue {
        PartitionQueue { at, queue, is_assigned, error: None, record_bytes: 1024, headers_bytes: 0, has_warned: false }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    /// Appends up to `max_records` of what has been fetched, and returns how many. Never waits. After 0, the settings'
    /// `wake` is notified when there is something again; until then it may not be.
    ///
    /// # Errors
    /// [`ClientError::OffsetOutOfRange`] where retention has deleted what was to be read, and what else the broker says
    /// of this partition, after the records that came before it.
    pub fn read(&mut self, into: &mut Vec<Record>, max_records: usize) -> Result<usize, ClientError> {
        let (mut records, mut bytes) = (0, 0);
        while records < max_records && bytes < MAX_READ_BYTES && self.error.is_none() {
            if !self.is_assigned.load(Ordering::Acquire) {
                return Ok(records);
            }
            let wanted = (ARENA_BYTES / self.record_bytes).clamp(1, max_records - records);
            let (at, headers_bytes, has_warned) = (&self.at, self.headers_bytes, &mut self.has_warned);
            let copy = |messages: &[RawMessage<'_>]| copy_batch(messages, at, headers_bytes, into, has_warned);
            let Some(batch) = self.queue.read(wanted, copy) else {
                return Ok(records);
            };
            records += batch.records;
            bytes += batch.bytes;
            self.error = batch.error;
            if let Some(average) = batch.bytes.checked_div(batch.records) {
                self.record_bytes = (self.record_bytes + average).div_ceil(2);
                self.headers_bytes = (self.headers_bytes + batch.headers_bytes / batch.records).div_ceil(2);
            }
            if batch.messages < wanted {
                break;
            }
        }
        match self.error.take_if(|_| records == 0) {
            Some(error) => Err(error),
            None => Ok(records),
        }
    }
}

struct Batch {
    messages: usize,
    records: usize,
    bytes: usize,
    headers_bytes: usize,
    /// The last one, where there are several.
    error: Option<ClientError>,
}

/// Copies messages into one allocation that their records share. Headers are parsed as they are copied: how much room
/// they need is known only then, and `headers_bytes` a record is what the last ones did.
fn copy_batch(
    messages: &[RawMessage<'_>],
    at: &TopicPartition,
    headers_bytes: usize,
    into: &mut Vec<Record>,
    warned: &mut bool,
) -> Batch {
    let bytes: usize = messages.iter().map(|message| size(*message)).sum();
    let mut arena = Vec::with_capacity(bytes + messages.len() * headers_bytes);
    let mut places = Vec::with_capacity(messages.len());
    let mut error = None;
    for message in messages {
        if let Some(code) = message.error() {
            let text = String::from_utf8_lossy(message.value().unwrap_or_default());
            error = Some(ClientError::fetch(at, message.offset(), code, &text));
        } else {
            places.push((*message, Place::copy(*message, &mut arena, at, warned)));
        }
    }
    let headers_bytes = arena.len() - bytes;
    let batch = Batch { messages: messages.len(), records: places.len(), bytes: arena.len(), headers_bytes, error };
    into.reserve(places.len());
    let arena = Bytes::from(arena);
    into.extend(places.into_iter().map(|(message, place)| place.record(message, &arena, at)));
    batch
}

/// Key and value of a record.
fn size(message: RawMessage<'_>) -> usize {
    if message.error().is_some() {
        return 0;
    }
    message.key().map_or(0, <[u8]>::len) + message.value().map_or(0, <[u8]>::len)
}

/// Where the parts of a record end in the arena; each begins where the one before it ends.
struct Place {
    start: usize,
    key_end: usize,
    value_end: usize,
    headers_end: usize,
    headers: usize,
}

impl Place {
    fn copy(message: RawMessage<'_>, arena: &mut Vec<u8>, at: &TopicPartition, warned: &mut bool) -> Place {
        let start = arena.len();
        arena.extend_from_slice(message.key().unwrap_or_default());
        let key_end = arena.len();
        arena.extend_from_slice(message.value().unwrap_or_default());
        let value_end = arena.len();
        let headers = copy_headers(message, arena, || {
            if !std::mem::replace(warned, true) {
                let (topic, partition, offset) = (&*at.topic, at.partition, message.offset());
                tracing::warn!(topic, partition, offset, "a header's name is not UTF-8: such headers are left out");
            }
        });
        Place { start, key_end, value_end, headers_end: arena.len(), headers }
    }

    fn record(&self, message: RawMessage<'_>, arena: &Bytes, at: &TopicPartition) -> Record {
        // Each slice counts a reference: none is taken for what is not there.
        let headers = match self.headers {
            0 => Headers::default(),
            count => Headers::from_block(arena.slice(self.value_end..self.headers_end), count),
        };
        Record {
            topic: Arc::clone(&at.topic),
            partition: at.partition,
            offset: message.offset(),
            timestamp_ms: message.timestamp_ms(),
            key: message.key().map(|_| arena.slice(self.start..self.key_end)),
            value: message.value().map(|_| arena.slice(self.key_end..self.value_end)),
            headers,
        }
    }
}

/// Writes the headers whose names are UTF-8 and returns how many; `left_out` hears of each other.
pub(super) fn copy_headers(message: RawMessage<'_>, block: &mut Vec<u8>, mut left_out: impl FnMut()) -> usize {
    let mut count = 0;
    message.headers(|name, value| match std::str::from_utf8(name) {
        Ok(name) => {
            put(block, name, value);
            count += 1;
        }
        Err(_) => left_out(),
    });
    count
}
