//! The log of one partition: append, read, find, trim.

use std::path::PathBuf;

use super::LogError;
use super::batch::{self, BatchHeader};
use super::producers::{Producers, Verdict};
use super::records::Records;
use super::segment::{Segment, segment_path};
use super::store::{MemoryBudget, Store};
use super::transactions::{Aborted, PartitionTransactions};
use crate::topics::settings::TopicSettings;

/// Where new segments go.
#[derive(Debug, Clone)]
pub enum Home {
    Dir(PathBuf),
    Memory(MemoryBudget),
}

/// The log; offsets `log_start..next_offset` can be read.
#[derive(Debug)]
pub struct PartitionLog {
    pub(super) home: Home,
    pub(super) segments: Vec<Segment>,
    pub(super) log_start: i64,
    pub(super) next_offset: i64,
    pub(super) producers: Producers,
    pub(super) transactions: PartitionTransactions,
    /// Compaction has dealt with everything before this offset.
    pub(super) cleaned_until: i64,
}

/// Where a batch came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    /// Set under `LogAppendTime`, else -1.
    pub append_time_ms: i64,
    /// False for a duplicate: nothing was written.
    pub is_new: bool,
}

impl PartitionLog {
    pub fn new(home: Home) -> PartitionLog {
        PartitionLog {
            home,
            segments: Vec::new(),
            log_start: 0,
            next_offset: 0,
            producers: Producers::default(),
            transactions: PartitionTransactions::default(),
            cleaned_until: 0,
        }
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    pub fn log_start(&self) -> i64 {
        self.log_start
    }

    /// The next offset to be assigned; with one replica also the high watermark.
    pub fn high_watermark(&self) -> i64 {
        self.next_offset
    }

    /// Where a `read_committed` reader must stop.
    pub fn last_stable_offset(&self) -> i64 {
        self.transactions.first_unstable().unwrap_or(self.next_offset)
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    pub fn transactions(&self) -> &PartitionTransactions {
        &self.transactions
    }

    /// Validates and appends what a client sent for this partition: exactly one batch.
    pub fn append(&mut self, bytes: &[u8], settings: &TopicSettings, now_ms: i64) -> Result<Appended, LogError> {
        let max_message_bytes = settings.max_message_bytes;
        if bytes.len() > max_message_bytes {
            return Err(LogError::TooLarge { bytes: bytes.len(), max_message_bytes });
        }
        let header = BatchHeader::parse_produced(bytes)?;
        if settings.compact {
            require_keys(bytes)?;
        }
        if header.has_producer() {
            let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
            match self.producers.judge(&header) {
                Verdict::Append => {}
                Verdict::Duplicate { base_offset, timestamp } => {
                    let append_time_ms = if settings.log_append_time { timestamp } else { -1 };
                    return Ok(Appended { base_offset, append_time_ms, is_new: false });
                }
                Verdict::OutOfOrder => {
                    return Err(LogError::OutOfOrder { producer_id, first_sequence: header.base_sequence });
                }
                Verdict::Fenced => return Err(LogError::Fenced { producer_id, epoch }),
            }
        }
        if settings.log_append_time {
            let mut stamped = bytes.to_vec();
            batch::stamp_append_time(&mut stamped, now_ms);
            let header = BatchHeader::parse(&stamped)?;
            let base_offset = self.write(header, &stamped, settings, now_ms)?;
            return Ok(Appended { base_offset, append_time_ms: now_ms, is_new: true });
        }
        let base_offset = self.write(header, bytes, settings, now_ms)?;
        Ok(Appended { base_offset, append_time_ms: -1, is_new: true })
    }

    /// Appends the marker that ends a producer's transaction here.
    pub fn append_marker(
        &mut self,
        producer_id: i64,
        epoch: i16,
        commit: bool,
        settings: &TopicSettings,
        now_ms: i64,
    ) -> Result<i64, LogError> {
        let marker = batch::end_marker(self.next_offset, producer_id, epoch, commit, now_ms);
        self.write(BatchHeader::parse(&marker)?, &marker, settings, now_ms)
    }

    fn write(
        &mut self,
        mut header: BatchHeader,
        bytes: &[u8],
        settings: &TopicSettings,
        now_ms: i64,
    ) -> Result<i64, LogError> {
        header.base_offset = self.next_offset;
        let prefix = batch::assigned_prefix(header.base_offset, header.length);
        let segment = self.active_segment(bytes.len() as u64, settings, now_ms)?;
        if segment.bytes() == 0 {
            segment.first_append_ms = now_ms;
        }
        segment.append(&header, &prefix, &bytes[prefix.len()..])?;
        self.next_offset = header.last_offset() + 1;
        if header.has_producer() {
            self.producers.note(&header, now_ms);
        }
        self.transactions.note(&header, batch::is_commit_marker(bytes).filter(|_| header.is_control()));
        Ok(header.base_offset)
    }

    fn active_segment(
        &mut self,
        batch_bytes: u64,
        settings: &TopicSettings,
        now_ms: i64,
    ) -> Result<&mut Segment, LogError> {
        let full = self.segments.last().is_none_or(|active| {
            active.bytes() > 0
                && (active.bytes() + batch_bytes > settings.segment_bytes
                    || now_ms - active.first_append_ms > settings.segment_ms)
        });
        if full {
            self.roll(now_ms)?;
        }
        Ok(self.segments.last_mut().expect("a segment was rolled above"))
    }

    /// Begins a new segment at the end of the log.
    pub(super) fn roll(&mut self, now_ms: i64) -> Result<(), LogError> {
        let store = self.new_store(self.next_offset, "")?;
        self.segments.push(Segment::new(self.next_offset, store, now_ms));
        Ok(())
    }

    pub(super) fn new_store(&self, base_offset: i64, suffix: &str) -> Result<Store, LogError> {
        Ok(match &self.home {
            Home::Dir(dir) => {
                std::fs::create_dir_all(dir)?;
                let mut path = segment_path(dir, base_offset).into_os_string();
                path.push(suffix);
                Store::create_file(path.as_ref())?
            }
            Home::Memory(budget) => Store::in_memory(budget),
        })
    }

    /// Appends to `out` whole batches from `offset` on, ending before `until` (an offset) and at about `max_bytes`.
    ///
    /// The first batch is given even if it is larger, when `at_least_one` asks for it, so that readers advance.
    pub fn read(
        &self,
        offset: i64,
        until: i64,
        max_bytes: usize,
        at_least_one: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), LogError> {
        let Some((at, position, first)) = self.locate(offset)? else { return Ok(()) };
        if first.base_offset >= until || (first.total_bytes() > max_bytes && !at_least_one) {
            return Ok(());
        }
        let segment = &self.segments[at];
        let count = (max_bytes.max(first.total_bytes()) as u64).min(segment.bytes() - position) as usize;
        let start = out.len();
        out.resize(start + count, 0);
        segment.store.read_at(position, &mut out[start..])?;
        let whole = whole_batches(&out[start..], until);
        out.truncate(start + whole);
        Ok(())
    }

    /// About how many bytes a read from `offset` would find before `until`; what `min_bytes` is held against.
    pub fn available_bytes(&self, offset: i64, until: i64) -> Result<u64, LogError> {
        let Some((at, position, first)) = self.locate(offset)? else { return Ok(0) };
        if first.base_offset >= until {
            return Ok(0);
        }
        let end = match self.locate(until)? {
            Some((end_at, end_position, _)) if end_at == at => return Ok(end_position.saturating_sub(position)),
            Some((end_at, end_position, _)) => (end_at, end_position),
            None => (self.segments.len(), 0),
        };
        let whole: u64 = self.segments[at..end.0].iter().map(Segment::bytes).sum();
        Ok(whole - position + end.1)
    }

    /// The segment, position and header of the batch that holds `offset`, or of the next one.
    fn locate(&self, offset: i64) -> Result<Option<(usize, u64, BatchHeader)>, LogError> {
        if offset >= self.next_offset {
            return Ok(None);
        }
        let after = self.segments.partition_point(|segment| segment.base_offset <= offset);
        for at in after.saturating_sub(1)..self.segments.len() {
            if let Some((position, header)) = self.segments[at].find(offset)? {
                return Ok(Some((at, position, header)));
            }
        }
        Ok(None)
    }

    /// The first record at or after `timestamp`: its offset and timestamp.
    pub fn find_by_time(&self, timestamp: i64, until: i64) -> Result<Option<(i64, i64)>, LogError> {
        for segment in &self.segments {
            let Some((position, header)) = segment.find_by_time(timestamp, self.log_start)? else { continue };
            let batch = segment.read_batch(position, &header)?;
            if header.is_control() {
                return Ok(Some((header.base_offset, header.max_timestamp)).filter(|(offset, _)| *offset < until));
            }
            for record in Records::open(&batch)?.iter() {
                let record = record?;
                if record.timestamp >= timestamp && record.offset >= self.log_start {
                    return Ok(Some((record.offset, record.timestamp)).filter(|(offset, _)| *offset < until));
                }
            }
        }
        Ok(None)
    }

    /// The record with the greatest timestamp: its offset and timestamp.
    pub fn max_timestamp(&self) -> Result<Option<(i64, i64)>, LogError> {
        let mut newest: Option<&Segment> = None;
        for segment in self.segments.iter().filter(|segment| segment.max_timestamp >= 0) {
            if newest.is_none_or(|best| segment.max_timestamp > best.max_timestamp) {
                newest = Some(segment);
            }
        }
        let Some(segment) = newest else { return Ok(None) };
        let Some((position, header)) = segment.find(segment.max_timestamp_offset)? else { return Ok(None) };
        let batch = segment.read_batch(position, &header)?;
        for record in Records::open(&batch)?.iter() {
            let record = record?;
            if record.timestamp == segment.max_timestamp {
                return Ok(Some((record.offset, record.timestamp)));
            }
        }
        Ok(None)
    }

    /// The aborted transactions a `read_committed` reader of `from..until` must know of.
    pub fn aborted(&self, from: i64, until: i64) -> impl Iterator<Item = &Aborted> {
        self.transactions.aborted_between(from, until)
    }

    /// Moves the log's start to `offset` and drops the segments that lie wholly before it.
    pub fn delete_before(&mut self, offset: i64) -> Result<(), LogError> {
        if offset > self.next_offset {
            return Err(LogError::OutOfRange { offset, start: self.log_start, end: self.next_offset });
        }
        self.log_start = self.log_start.max(offset);
        while self.segments.len() > 1 && self.segments[1].base_offset <= self.log_start {
            self.segments.remove(0).store.delete()?;
        }
        self.transactions.forget_before(self.log_start);
        Ok(())
    }

    /// Applies `retention.ms` and `retention.bytes` by whole segments, never above the last stable offset.
    pub fn apply_retention(&mut self, settings: &TopicSettings, now_ms: i64) -> Result<(), LogError> {
        if !settings.delete {
            return Ok(());
        }
        let stable = self.last_stable_offset();
        loop {
            let Some(oldest) = self.segments.first().filter(|segment| segment.bytes() > 0) else { return Ok(()) };
            let end = self.segments.get(1).map_or(self.next_offset, |next| next.base_offset);
            let too_old = settings.retention_ms >= 0 && now_ms - oldest.max_timestamp > settings.retention_ms;
            let too_much =
                settings.retention_bytes >= 0 && self.bytes() - oldest.bytes() >= settings.retention_bytes as u64;
            if end > stable || !(too_old || too_much) {
                return Ok(());
            }
            if self.segments.len() == 1 {
                self.roll(now_ms)?;
            }
            self.delete_before(end)?;
        }
    }

    /// Forgets producers that were silent for long.
    pub fn expire_producers(&mut self, now_ms: i64) {
        let transactions = &self.transactions;
        self.producers.expire(now_ms, |id| transactions.open_since(id).is_some());
    }
}

fn require_keys(batch: &[u8]) -> Result<(), LogError> {
    for record in Records::open(batch)?.iter() {
        if record?.key.is_none() {
            return Err(LogError::Invalid("a compacted topic takes no records without key"));
        }
    }
    Ok(())
}

/// Length of the whole batches at the front of `bytes` that begin before `until`.
fn whole_batches(bytes: &[u8], until: i64) -> usize {
    let mut end = 0;
    while let Ok(header) = BatchHeader::parse(&bytes[end..]) {
        if header.base_offset >= until || end + header.total_bytes() > bytes.len() {
            break;
        }
        end += header.total_bytes();
    }
    end
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;
    use crate::log::batch::tests::batch_of;

    pub fn memory_log() -> PartitionLog {
        PartitionLog::new(Home::Memory(MemoryBudget::new(1 << 30)))
    }

    fn offsets(bytes: &[u8]) -> Vec<i64> {
        let mut offsets = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let header = BatchHeader::parse(&bytes[at..]).unwrap();
            offsets.push(header.base_offset);
            at += header.total_bytes();
        }
        offsets
    }

    #[test]
    fn reads_give_whole_batches_within_their_bounds() {
        let mut log = memory_log();
        let settings = TopicSettings { segment_bytes: 400, ..TopicSettings::default() };
        for _ in 0..20 {
            log.append(&batch_of(&["a", "b"], None, false), &settings, 0).unwrap();
        }
        assert!(log.segments.len() > 3);
        let read = |offset, until, max_bytes, at_least_one| {
            let mut out = Vec::new();
            log.read(offset, until, max_bytes, at_least_one, &mut out).unwrap();
            offsets(&out)
        };
        assert_eq!(read(5, 40, 100, true), [4]);
        assert_eq!(read(5, 40, 1, true), [4], "one batch even if it is larger");
        assert_eq!(read(5, 40, 1, false), [] as [i64; 0]);
        assert_eq!(read(5, 4, 1_000, true), [] as [i64; 0]);
        assert_eq!(read(0, 2, 1_000, true), [0]);
        assert_eq!(read(40, 41, 1_000, true), [] as [i64; 0]);
        let one = log.available_bytes(38, 40).unwrap();
        assert_eq!(log.available_bytes(1, 40).unwrap(), 20 * one);
        assert_eq!(log.available_bytes(10, 20).unwrap(), 5 * one);
    }

    #[test]
    fn trimming_keeps_offsets_and_drops_whole_segments() {
        let mut log = memory_log();
        let settings = TopicSettings { segment_bytes: 400, retention_bytes: 500, ..TopicSettings::default() };
        for _ in 0..20 {
            log.append(&batch_of(&["a", "b"], None, false), &settings, 2_000).unwrap();
        }
        log.delete_before(7).unwrap();
        assert_eq!(log.log_start(), 7);
        assert!(log.segments[0].base_offset <= 7);
        assert!(matches!(log.delete_before(41), Err(LogError::OutOfRange { .. })));
        log.apply_retention(&settings, 2_000).unwrap();
        assert_eq!(log.log_start(), 20, "as much as can go without falling below the bound");
        assert_eq!(log.high_watermark(), 40);
        let expired = TopicSettings { retention_ms: 10, ..settings };
        log.apply_retention(&expired, 2_000).unwrap();
        assert_eq!((log.log_start(), log.bytes()), (40, 0));
    }

    #[test]
    fn an_open_transaction_holds_the_stable_offset_and_retention() {
        let mut log = memory_log();
        let settings = TopicSettings { retention_ms: 10, ..TopicSettings::default() };
        log.append(&batch_of(&["a"], None, false), &settings, 0).unwrap();
        log.append(&batch_of(&["b"], Some((1, 0, 0)), true), &settings, 0).unwrap();
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (1, 2));
        log.apply_retention(&settings, 1_000_000).unwrap();
        assert_eq!(log.log_start(), 0);
        assert_eq!(log.append_marker(1, 0, false, &settings, 0).unwrap(), 2);
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (3, 3));
        assert_eq!(log.aborted(0, 3).count(), 1);
    }

    #[test]
    fn compacted_topics_refuse_records_without_key() {
        let settings = TopicSettings { compact: true, ..TopicSettings::default() };
        let refused = memory_log().append(&batch_of(&["a"], None, false), &settings, 0);
        assert!(matches!(refused, Err(LogError::Invalid(_))));
    }

    #[test]
    fn a_time_is_found_inside_its_batch() {
        let mut log = memory_log();
        log.append(&batch_of(&["a"], None, false), &TopicSettings::default(), 0).unwrap();
        assert_eq!(log.find_by_time(1_000, 10).unwrap(), Some((0, 1_000)));
        assert_eq!(log.find_by_time(1_001, 10).unwrap(), None);
        assert_eq!(log.max_timestamp().unwrap(), Some((0, 1_000)));
    }
}
