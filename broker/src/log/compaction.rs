//! Compaction (`cleanup.policy=compact`): of each key the last value stays; offsets do not change.
//!
//! Only sealed segments below the last stable offset are touched. Records of aborted transactions go; tombstones stay for
//! `delete.retention.ms`. Batches keep their base offset and last offset, so positions of readers stay valid. Small
//! results are merged into one segment, which takes its place by one rename.

use std::collections::{HashMap, HashSet};

use super::LogError;
use super::batch::{self, BatchHeader};
use super::partition::{Home, PartitionLog};
use super::records::{self, Records};
use super::recovery::compacting_store;
use super::segment::{HeaderReader, Segment, segment_path};
use crate::topics::settings::TopicSettings;

/// The last offset of each key among the committed records of the segments being cleaned.
type LastOffsets = HashMap<Vec<u8>, i64>;

/// What one pass decides by.
struct Pass<'a> {
    last: LastOffsets,
    settings: &'a TopicSettings,
    now_ms: i64,
    /// Producers whose transaction has records kept since its last marker; their next marker must stay.
    kept_producers: HashSet<i64>,
}

impl PartitionLog {
    /// Compacts what has become worth it since the last time.
    pub fn compact(&mut self, settings: &TopicSettings, now_ms: i64) -> Result<(), LogError> {
        if !settings.compact {
            return Ok(());
        }
        self.roll_if_due(settings, now_ms)?;
        let sealed = self.sealed_segments(settings, now_ms);
        let dirty: u64 = self.segments[..sealed]
            .iter()
            .enumerate()
            .filter(|(at, _)| self.end_of(*at) > self.cleaned_until)
            .map(|(_, segment)| segment.bytes())
            .sum();
        let total: u64 = self.segments[..sealed].iter().map(Segment::bytes).sum();
        if dirty == 0 || (dirty as f64) < total as f64 * settings.min_cleanable_dirty_ratio {
            return Ok(());
        }
        let end = self.end_of(sealed - 1);
        let last = self.last_offsets(sealed)?;
        let mut pass = Pass { last, settings, now_ms, kept_producers: HashSet::new() };
        let cleaned = self.rewrite(sealed, &mut pass)?;
        self.replace(sealed, cleaned)?;
        self.cleaned_until = end;
        Ok(())
    }

    /// Kafka rolls on append only; a quiet topic is rolled here, so that its last records are compacted too.
    fn roll_if_due(&mut self, settings: &TopicSettings, now_ms: i64) -> Result<(), LogError> {
        let due = self
            .segments
            .last()
            .is_some_and(|active| active.bytes() > 0 && now_ms - active.first_append_ms > settings.segment_ms);
        if due { self.roll(now_ms) } else { Ok(()) }
    }

    fn end_of(&self, at: usize) -> i64 {
        self.segments.get(at + 1).map_or(self.next_offset, |next| next.base_offset)
    }

    /// How many segments from the front may be cleaned.
    fn sealed_segments(&self, settings: &TopicSettings, now_ms: i64) -> usize {
        let stable = self.last_stable_offset();
        let sealed = self.segments.len().saturating_sub(1);
        (0..sealed)
            .take_while(|at| {
                let old_enough = now_ms - self.segments[*at].max_timestamp >= settings.min_compaction_lag_ms;
                self.end_of(*at) <= stable && old_enough
            })
            .count()
    }

    fn is_aborted(&self, header: &BatchHeader) -> bool {
        header.is_transactional()
            && !header.is_control()
            && self
                .transactions
                .aborted_between(header.base_offset, header.last_offset() + 1)
                .any(|aborted| aborted.producer_id == header.producer_id)
    }

    fn last_offsets(&self, sealed: usize) -> Result<LastOffsets, LogError> {
        let mut last = LastOffsets::new();
        for segment in &self.segments[..sealed] {
            let mut reader = HeaderReader::new(segment, 0);
            while let Some((position, header)) = reader.next()? {
                if header.is_control() || self.is_aborted(&header) {
                    continue;
                }
                for record in Records::open(&segment.read_batch(position, &header)?)?.iter() {
                    let record = record?;
                    if let Some(key) = record.key {
                        last.insert(key.to_vec(), record.offset);
                    }
                }
            }
        }
        Ok(last)
    }

    /// Writes the cleaned segments beside the present ones.
    fn rewrite(&self, sealed: usize, pass: &mut Pass) -> Result<Vec<Segment>, LogError> {
        let mut cleaned: Vec<Segment> = Vec::new();
        for segment in &self.segments[..sealed] {
            let has_room =
                cleaned.last().is_some_and(|open| open.bytes() + segment.bytes() <= pass.settings.segment_bytes);
            if !has_room {
                let store = compacting_store(self, segment.base_offset)?;
                cleaned.push(Segment::new(segment.base_offset, store, segment.first_append_ms));
            }
            let target = cleaned.last_mut().expect("a segment was pushed above");
            let mut reader = HeaderReader::new(segment, 0);
            while let Some((position, header)) = reader.next()? {
                if self.is_aborted(&header) {
                    continue;
                }
                let batch = segment.read_batch(position, &header)?;
                if let Some(kept) = pass.clean(&header, batch)? {
                    let header = BatchHeader::parse(&kept)?;
                    target.append(&header, &kept, &[])?;
                }
            }
        }
        Ok(cleaned)
    }

    /// Puts the cleaned segments in place of the first `sealed` ones.
    ///
    /// A crash in between leaves a segment whose offsets the merged one before it has already: recovery removes it.
    fn replace(&mut self, sealed: usize, mut cleaned: Vec<Segment>) -> Result<(), LogError> {
        for segment in &mut cleaned {
            if let Home::Dir(dir) = &self.home {
                segment.store.rename(&segment_path(dir, segment.base_offset))?;
            }
        }
        for old in self.segments.drain(..sealed) {
            if !cleaned.iter().any(|new| new.base_offset == old.base_offset) {
                old.store.delete()?;
            }
        }
        self.segments.splice(0..0, cleaned);
        Ok(())
    }
}

impl Pass<'_> {
    /// The batch as it is kept, or nothing.
    fn clean(&mut self, header: &BatchHeader, batch: Vec<u8>) -> Result<Option<Vec<u8>>, LogError> {
        let is_old = self.now_ms - header.max_timestamp > self.settings.delete_retention_ms;
        if header.is_control() {
            let is_needed = self.kept_producers.remove(&header.producer_id);
            return Ok((is_needed || !is_old).then_some(batch));
        }
        let opened = Records::open(&batch)?;
        let mut kept = Vec::new();
        let mut count = 0;
        for record in opened.iter() {
            let record = record?;
            let is_last = record.key.is_some_and(|key| self.last.get(key) == Some(&record.offset));
            if is_last && !(record.value.is_none() && is_old) {
                kept.extend_from_slice(record.encoded);
                count += 1;
            }
        }
        if count > 0 && header.is_transactional() {
            self.kept_producers.insert(header.producer_id);
        }
        if count == header.record_count {
            return Ok(Some(batch));
        }
        if count == 0 {
            return Ok(None);
        }
        let packed = records::compress(header.compression(), &kept)?;
        Ok(Some(batch::assemble(&BatchHeader { record_count: count, ..*header }, &packed)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::partition::tests::memory_log;
    use crate::log::records::encode_record;

    fn keyed(records: &[(&str, Option<&str>)], codec: i16, producer: Option<(i64, i32)>) -> Vec<u8> {
        let mut encoded = Vec::new();
        for (delta, (key, value)) in records.iter().enumerate() {
            encode_record(&mut encoded, delta as i32, 0, Some(key.as_bytes()), value.map(str::as_bytes));
        }
        let (producer_id, base_sequence) = producer.unwrap_or((-1, -1));
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            magic: 2,
            crc: 0,
            attributes: codec | if producer.is_some() { 0x10 } else { 0 },
            last_offset_delta: records.len() as i32 - 1,
            base_timestamp: 1_000,
            max_timestamp: 1_000,
            producer_id,
            producer_epoch: if producer.is_some() { 0 } else { -1 },
            base_sequence,
            record_count: records.len() as i32,
        };
        batch::assemble(&header, &records::compress(codec, &encoded).unwrap())
    }

    fn settings() -> TopicSettings {
        TopicSettings { compact: true, delete: false, segment_ms: 1, ..TopicSettings::default() }
    }

    fn contents(log: &PartitionLog) -> Vec<(i64, String, Option<String>)> {
        let mut bytes = Vec::new();
        let mut next = 0;
        let mut found = Vec::new();
        while next < log.high_watermark() {
            bytes.clear();
            log.read(next, i64::MAX, 1, true, &mut bytes).unwrap();
            let Ok(header) = BatchHeader::parse(&bytes) else { break };
            assert!(header.crc_matches(&bytes));
            next = header.last_offset() + 1;
            if header.is_control() {
                continue;
            }
            for record in Records::open(&bytes).unwrap().iter() {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                found.push((record.offset, text(record.key.unwrap()), record.value.map(text)));
            }
        }
        found
    }

    #[test]
    fn the_last_value_of_each_key_stays_under_every_codec() {
        for codec in 0..=4 {
            let mut log = memory_log();
            let mut append = |batch: Vec<u8>, now_ms| log.append(&batch, &settings(), now_ms).unwrap();
            append(keyed(&[("a", Some("1")), ("b", Some("1"))], codec, None), 0);
            append(keyed(&[("a", Some("2")), ("c", Some("1"))], codec, None), 0);
            append(keyed(&[("c", None)], codec, None), 0);
            log.compact(&settings(), 1_010).unwrap();
            let expected = [(1, "b", Some("1")), (2, "a", Some("2")), (4, "c", None)];
            let expected = expected.map(|(at, key, value)| (at, key.to_owned(), value.map(str::to_owned)));
            assert_eq!(contents(&log), expected, "codec {codec}");
            assert_eq!(log.high_watermark(), 5);
            log.cleaned_until = 0;
            log.compact(&settings(), 1_001 + settings().delete_retention_ms).unwrap();
            assert_eq!(contents(&log), expected[..2], "the tombstone has expired");
        }
    }

    #[test]
    fn aborted_records_go_and_unstable_ones_are_not_touched() {
        let mut log = memory_log();
        let settings = settings();
        log.append(&keyed(&[("a", Some("kept"))], 0, None), &settings, 0).unwrap();
        log.append(&keyed(&[("a", Some("aborted"))], 0, Some((1, 0))), &settings, 0).unwrap();
        log.append_marker(1, 0, false, &settings, 0).unwrap();
        log.append(&keyed(&[("b", Some("committed"))], 0, Some((1, 1))), &settings, 0).unwrap();
        log.append_marker(1, 0, true, &settings, 0).unwrap();
        log.roll(5).unwrap();
        log.append(&keyed(&[("a", Some("open"))], 0, Some((1, 2))), &settings, 5).unwrap();
        log.compact(&settings, 1_010).unwrap();
        let kept: Vec<_> = contents(&log).into_iter().map(|(at, _, value)| (at, value.unwrap())).collect();
        assert_eq!(kept, [(0, "kept".to_owned()), (3, "committed".to_owned()), (5, "open".to_owned())]);
    }

    #[test]
    fn compacted_files_are_found_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = PartitionLog::open(dir.path(), 0, 0).unwrap();
        for n in 0..50 {
            let value = format!("value {n}");
            log.append(&keyed(&[("a", Some(&value)), ("b", Some(&value))], 3, None), &settings(), n * 10).unwrap();
        }
        let files = || std::fs::read_dir(dir.path()).unwrap().count();
        assert!(files() > 40);
        log.compact(&settings(), 10_000).unwrap();
        assert_eq!(files(), 2, "one merged segment and the active one");
        let before = contents(&log);
        drop(log);
        let log = PartitionLog::open(dir.path(), 0, 0).unwrap();
        assert_eq!(contents(&log), before);
        assert_eq!(log.high_watermark(), 100);
    }
}
