//! The log after a restart: indexes, producers and transactions are rebuilt from batch headers, a torn tail is cut off.
//!
//! A killed process loses nothing that was written (the page cache survives it), except that its last write may be
//! incomplete; so lengths are walked through everything and the CRC is checked for the last batch. After a power loss
//! recent batches may be missing or damaged: this broker never calls fsync.

use std::path::Path;

use super::LogError;
use super::batch;
use super::partition::{Home, PartitionLog};
use super::segment::{HeaderReader, Segment};
use super::store::Store;

impl PartitionLog {
    /// Opens the log in `dir`, or an empty one if it does not exist.
    pub fn open(dir: &Path, log_start: i64, now_ms: i64) -> Result<PartitionLog, LogError> {
        let mut log = PartitionLog::new(Home::Dir(dir.to_owned()));
        log.log_start = log_start;
        log.next_offset = log_start;
        let bases = segment_bases(dir)?;
        for (at, &base_offset) in bases.iter().enumerate() {
            if base_offset < log.next_offset && !log.segments.is_empty() {
                // Left behind when compaction merged segments and died before it removed the sources.
                std::fs::remove_file(super::segment::segment_path(dir, base_offset))?;
                continue;
            }
            log.load_segment(base_offset, at + 1 == bases.len(), now_ms)?;
        }
        if let Some(first) = log.segments.first() {
            log.log_start = log.log_start.max(first.base_offset);
        }
        log.delete_before(log.log_start)?;
        Ok(log)
    }

    fn load_segment(&mut self, base_offset: i64, is_last: bool, now_ms: i64) -> Result<(), LogError> {
        let mut segment = Segment::new(base_offset, self.new_store(base_offset, "")?, now_ms);
        self.next_offset = self.next_offset.max(base_offset);
        let mut found = Vec::new();
        let mut reader = HeaderReader::new(&segment, 0);
        while let Some((position, header)) = reader.next()? {
            found.push((position, header));
        }
        let mut end = reader.position();
        if is_last
            && let Some((position, header)) = found.last()
            && !header.crc_matches(&segment.read_batch(*position, header)?)
        {
            end = *position;
            found.pop();
        }
        if end < segment.bytes() {
            tracing::warn!(base_offset, cut_bytes = segment.bytes() - end, "cut the torn end off a segment");
            segment.store.truncate(end)?;
        }
        for (position, header) in found {
            let commit = if header.is_control() {
                batch::is_commit_marker(&segment.read_batch(position, &header)?)
            } else {
                None
            };
            segment.note(&header, position);
            if header.has_producer() {
                self.producers.note(&header, now_ms);
            }
            self.transactions.note(&header, commit);
            self.next_offset = header.last_offset() + 1;
        }
        self.segments.push(segment);
        Ok(())
    }
}

fn segment_bases(dir: &Path) -> std::io::Result<Vec<i64>> {
    let mut bases = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(bases),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => bases.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<i64>().ok())),
            // A compaction that did not finish.
            Some("log-compacting") => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    bases.sort_unstable();
    Ok(bases)
}

/// A store for compaction's result; its name is one that recovery removes.
pub(super) fn compacting_store(log: &PartitionLog, base_offset: i64) -> Result<Store, LogError> {
    let mut store = log.new_store(base_offset, "-compacting")?;
    store.truncate(0)?;
    Ok(store)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::batch::tests::batch_of;
    use crate::topics::settings::TopicSettings;

    fn filled(dir: &Path) -> PartitionLog {
        let settings = TopicSettings { segment_bytes: 400, ..TopicSettings::default() };
        let mut log = PartitionLog::open(dir, 0, 0).unwrap();
        for n in 0..6 {
            log.append(&batch_of(&["a", "b"], Some((1, 0, n * 2)), true), &settings, 0).unwrap();
        }
        log.append_marker(1, 0, false, &settings, 0).unwrap();
        log.append(&batch_of(&["c"], Some((1, 0, 12)), true), &settings, 0).unwrap();
        log
    }

    #[test]
    fn a_reopened_log_knows_what_the_first_one_knew() {
        let dir = tempfile::tempdir().unwrap();
        let before = filled(dir.path());
        let after = PartitionLog::open(dir.path(), 3, 0).unwrap();
        assert_eq!(after.high_watermark(), before.high_watermark());
        assert_eq!(after.last_stable_offset(), 13);
        assert_eq!(after.log_start(), 3);
        assert_eq!(after.aborted(0, 100).count(), 1);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        before.read(4, 100, 10_000, true, &mut first).unwrap();
        after.read(4, 100, 10_000, true, &mut second).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let (last, whole) = {
            let log = filled(dir.path());
            let last = log.segments.last().unwrap();
            (super::super::segment::segment_path(dir.path(), last.base_offset), last.bytes())
        };
        let bytes = std::fs::read(&last).unwrap();
        for cut in 1..=(whole.min(100) as usize) {
            std::fs::write(&last, &bytes[..bytes.len() - cut]).unwrap();
            let mut log = PartitionLog::open(dir.path(), 0, 0).unwrap();
            assert!(log.high_watermark() <= 13);
            let settings = TopicSettings::default();
            let next = log.append(&batch_of(&["again"], None, false), &settings, 0).unwrap();
            assert_eq!(next.base_offset, log.high_watermark() - 1);
        }
        // A last batch of the right length but with wrong bytes.
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&last, &damaged).unwrap();
        assert_eq!(PartitionLog::open(dir.path(), 0, 0).unwrap().high_watermark(), 13);
    }
}
