//! A record as it was read and a record to be written, independent of the client library.

use std::sync::Arc;

use bytes::Bytes;

use super::Headers;

/// A record read from a topic. Clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 where the record has none.
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    pub headers: Headers,
}

impl Record {
    /// `topic/partition/offset`: where the record stands, and the root of the ids derived from it.
    pub fn position(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }

    /// The bytes that the record holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + self.headers.size_bytes()
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord<'a> {
    pub topic: &'a str,
    /// `None` lets the key choose the partition, by murmur2 as Java clients do.
    pub partition: Option<i32>,
    /// `None` takes the time of sending.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

/// A record to be written, borrowed: what a producer copies.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// `None` lets the key choose the partition, by murmur2 as Java clients do.
    pub partition: Option<i32>,
    /// `None` takes the time of sending.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a Headers,
}

impl<'a> From<&'a NewRecord<'_>> for Outgoing<'a> {
    fn from(record: &'a NewRecord<'_>) -> Outgoing<'a> {
        Outgoing {
            topic: record.topic,
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        }
    }
}

/// A record's own time as librdkafka takes it, for which 0 stands for the present.
pub(super) fn given_time(timestamp_ms: i64) -> i64 {
    if timestamp_ms == 0 { 1 } else { timestamp_ms }
}
