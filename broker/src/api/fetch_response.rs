//! The bytes of a fetch response, versions 4 to 16, written into one buffer that the log reads into directly.

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use kafka_protocol::messages::fetch_request::FetchPartition;

use crate::log::LogError;
use crate::log::batch::BatchHeader;
use crate::log::partition::PartitionLog;

/// Writes a response front to back; calls must nest as `begin (begin_topic partition* end_topic)* end`.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    version: i16,
}

/// A compact length is written before the records are read, in as many bytes as the longest needs: padded with
/// continuation bits, which every varint reader takes.
const PADDED_VARINT_BYTES: usize = 5;

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>, version: i16) -> Self {
        Writer { out, version }
    }

    fn is_flexible(&self) -> bool {
        self.version >= 12
    }

    fn short(&mut self, value: i16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn int(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn long(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn count(&mut self, count: usize) {
        if self.is_flexible() { self.varint(count as u32 + 1) } else { self.int(count as i32) }
    }

    fn no_tags(&mut self) {
        if self.is_flexible() {
            self.out.push(0);
        }
    }

    pub fn begin(&mut self, error_code: i16, topics: usize) {
        const NOT_THROTTLED_MS: i32 = 0;
        const NO_SESSION: i32 = 0;
        self.int(NOT_THROTTLED_MS);
        if self.version >= 7 {
            self.short(error_code);
            self.int(NO_SESSION);
        }
        self.count(topics);
    }

    pub fn begin_topic(&mut self, name: &StrBytes, id: Uuid, partitions: usize) {
        if self.version >= 13 {
            self.out.extend_from_slice(id.as_bytes());
        } else {
            if self.is_flexible() {
                self.varint(name.len() as u32 + 1)
            } else {
                self.short(name.len() as i16)
            }
            self.out.extend_from_slice(name.as_bytes());
        }
        self.count(partitions);
    }

    pub fn end_topic(&mut self) {
        self.no_tags();
    }

    pub fn end(&mut self) {
        self.no_tags();
    }

    fn partition_head(&mut self, index: i32, error_code: i16, high_watermark: i64, stable: i64, log_start: i64) {
        self.int(index);
        self.short(error_code);
        self.long(high_watermark);
        self.long(stable);
        if self.version >= 5 {
            self.long(log_start);
        }
    }

    fn no_preferred_replica(&mut self) {
        if self.version >= 11 {
            self.int(-1);
        }
    }

    /// A partition with an error: no offsets, and records that are empty, not null (librdkafka refuses null).
    pub fn failed_partition(&mut self, index: i32, error_code: i16) {
        self.partition_head(index, error_code, -1, -1, -1);
        self.count(0);
        self.no_preferred_replica();
        self.count(0);
        self.no_tags();
    }

    /// A partition's records from the wanted offset on; gives their bytes.
    pub fn partition(
        &mut self,
        log: &PartitionLog,
        wanted: &FetchPartition,
        until: i64,
        max_bytes: usize,
        at_least_one: bool,
        committed_only: bool,
    ) -> Result<usize, LogError> {
        let index = wanted.partition;
        let start = self.out.len();
        self.partition_head(index, 0, log.high_watermark(), log.last_stable_offset(), log.log_start());
        let written = if committed_only && log.aborted(wanted.fetch_offset, until).next().is_some() {
            self.records_with_aborted(log, wanted.fetch_offset, until, max_bytes, at_least_one)
        } else {
            self.count(0);
            self.no_preferred_replica();
            self.records(|out| log.read(wanted.fetch_offset, until, max_bytes, at_least_one, out))
        };
        match written {
            Ok(bytes) => {
                self.no_tags();
                Ok(bytes)
            }
            Err(error) => {
                tracing::error!(%error, "cannot read a partition");
                self.out.truncate(start);
                self.failed_partition(index, error.code());
                Err(error)
            }
        }
    }

    /// The list of aborted transactions stands before the records but depends on how far they go, so they are read first.
    fn records_with_aborted(
        &mut self,
        log: &PartitionLog,
        from: i64,
        until: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<usize, LogError> {
        let mut records = Vec::new();
        log.read(from, until, max_bytes, at_least_one, &mut records)?;
        let aborted: Vec<_> = log.aborted(from, end_offset(&records).unwrap_or(from)).collect();
        self.count(aborted.len());
        for transaction in aborted {
            self.long(transaction.producer_id);
            self.long(transaction.first_offset);
            self.no_tags();
        }
        self.no_preferred_replica();
        self.records(|out| {
            out.extend_from_slice(&records);
            Ok(())
        })
    }

    fn records(&mut self, read: impl FnOnce(&mut Vec<u8>) -> Result<(), LogError>) -> Result<usize, LogError> {
        let at = self.out.len();
        let prefix = if self.is_flexible() { PADDED_VARINT_BYTES } else { 4 };
        self.out.resize(at + prefix, 0);
        read(self.out)?;
        let bytes = self.out.len() - at - prefix;
        if self.is_flexible() {
            let mut rest = bytes as u32 + 1;
            for (n, byte) in self.out[at..at + prefix].iter_mut().enumerate() {
                *byte = (rest & 0x7f) as u8 | if n + 1 < PADDED_VARINT_BYTES { 0x80 } else { 0 };
                rest >>= 7;
            }
        } else {
            self.out[at..at + prefix].copy_from_slice(&(bytes as i32).to_be_bytes());
        }
        Ok(bytes)
    }
}

/// The offset after the last record of whole batches.
fn end_offset(records: &[u8]) -> Option<i64> {
    let mut at = 0;
    let mut end = None;
    while let Ok(header) = BatchHeader::parse(&records[at..]) {
        end = Some(header.last_offset() + 1);
        at += header.total_bytes();
    }
    end
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::batch::tests::batch_of;
    use crate::log::partition::tests::memory_log;
    use crate::topics::settings::TopicSettings;
    use bytes::Bytes;
    use kafka_protocol::messages::{FetchResponse, TopicName};
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn every_version_is_read_back_by_the_codecs() {
        let mut log = memory_log();
        let settings = TopicSettings::default();
        log.append(&batch_of(&["gone"], Some((3, 0, 0)), true), &settings, 0).unwrap();
        log.append_marker(3, 0, false, &settings, 0).unwrap();
        log.append(&batch_of(&["kept"], None, false), &settings, 0).unwrap();
        let wanted = FetchPartition::default().with_partition(4);
        let (name, id) = (StrBytes::from_static_str("orders"), Uuid::from_u128(9));
        for version in 4..=16 {
            for committed_only in [false, true] {
                let mut out = Vec::new();
                let mut writer = Writer::new(&mut out, version);
                writer.begin(0, 1);
                writer.begin_topic(&name, id, 2);
                let bytes = writer.partition(&log, &wanted, 3, 10_000, true, committed_only).unwrap();
                writer.failed_partition(5, 1);
                writer.end_topic();
                writer.end();
                let mut encoded = Bytes::from(out);
                let response = FetchResponse::decode(&mut encoded, version).unwrap();
                assert!(encoded.is_empty(), "version {version} has bytes left over");
                let topic = &response.responses[0];
                if version >= 13 {
                    assert_eq!(topic.topic_id, id)
                } else {
                    assert_eq!(topic.topic, TopicName(name.clone()))
                }
                let [read, failed] = &topic.partitions[..] else { panic!("two partitions") };
                assert_eq!((read.partition_index, read.error_code), (4, 0));
                assert_eq!((read.high_watermark, read.last_stable_offset), (3, 3));
                assert_eq!(read.records.as_ref().map(Bytes::len), Some(bytes));
                let aborted = read.aborted_transactions.as_ref().unwrap();
                assert_eq!(aborted.len(), usize::from(committed_only));
                assert_eq!((failed.partition_index, failed.error_code), (5, 1));
                assert_eq!(failed.records, Some(Bytes::new()));
            }
        }
    }
}
