//! What a processor has done so far, for progress lines, health and tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Counters of one processor, over all its workers in this process. Only committed work counts.
#[derive(Debug)]
pub struct ProcessorStats {
    name: &'static str,
    consumed_records: AtomicU64,
    emitted: BTreeMap<&'static str, AtomicU64>,
    dead_letters: AtomicU64,
    late_records: AtomicU64,
    commits: AtomicU64,
    aborts: AtomicU64,
    rebuilds: AtomicU64,
    restored_records: AtomicU64,
    assigned_partitions: AtomicUsize,
    failed: AtomicBool,
}

impl ProcessorStats {
    pub(crate) fn new(name: &'static str, topics: impl Iterator<Item = &'static str>) -> ProcessorStats {
        ProcessorStats {
            name,
            consumed_records: AtomicU64::new(0),
            emitted: topics.map(|topic| (topic, AtomicU64::new(0))).collect(),
            dead_letters: AtomicU64::new(0),
            late_records: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            aborts: AtomicU64::new(0),
            rebuilds: AtomicU64::new(0),
            restored_records: AtomicU64::new(0),
            assigned_partitions: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Input records whose transaction has committed.
    pub fn consumed_records(&self) -> u64 {
        self.consumed_records.load(Ordering::Relaxed)
    }

    /// Records written to a topic by transactions that have committed.
    pub fn emitted_records(&self, topic: &str) -> u64 {
        self.emitted.get(topic).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Records that came after their windows had closed; they are among the dead letters.
    pub fn late_records(&self) -> u64 {
        self.late_records.load(Ordering::Relaxed)
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Transactions that were aborted and whose records were read again.
    pub fn aborts(&self) -> u64 {
        self.aborts.load(Ordering::Relaxed)
    }

    /// Times that a worker was built anew from the last commit.
    pub fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    /// Changelog records read into tables.
    pub fn restored_records(&self) -> u64 {
        self.restored_records.load(Ordering::Relaxed)
    }

    pub fn assigned_partitions(&self) -> usize {
        self.assigned_partitions.load(Ordering::Relaxed)
    }

    /// Whether a worker has ended for good.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn add_commit(&self, batch: &CommittedBatch) {
        for (topic, records) in &batch.emitted {
            if let Some(count) = self.emitted.get(topic) {
                count.fetch_add(*records, Ordering::Relaxed);
            }
        }
        self.dead_letters.fetch_add(batch.dead_letters, Ordering::Relaxed);
        self.late_records.fetch_add(batch.late_records, Ordering::Relaxed);
        self.consumed_records.fetch_add(batch.consumed_records, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_abort(&self) {
        self.aborts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_rebuild(&self) {
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_restored(&self, records: u64) {
        self.restored_records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn partitions_changed(&self, before: usize, after: usize) {
        self.assigned_partitions.fetch_add(after, Ordering::Relaxed);
        self.assigned_partitions.fetch_sub(before, Ordering::Relaxed);
    }

    pub(crate) fn set_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// What one committed transaction adds.
#[derive(Debug, Default)]
pub(crate) struct CommittedBatch {
    pub(crate) consumed_records: u64,
    pub(crate) dead_letters: u64,
    pub(crate) late_records: u64,
    pub(crate) emitted: BTreeMap<&'static str, u64>,
}
