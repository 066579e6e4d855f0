//! What a processor has done so far, for progress lines, health and tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::FailureClass;

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
    standby_records: AtomicU64,
    workers: Vec<WorkerStats>,
    failed: AtomicBool,
    started: Instant,
}

#[derive(Debug, Default)]
struct WorkerStats {
    assigned_partitions: AtomicUsize,
    /// When the worker was last seen to move, in milliseconds since the start; 0 before its first session.
    last_seen_ms: AtomicU64,
    is_stalled: AtomicBool,
}

impl ProcessorStats {
    pub(crate) fn new(
        name: &'static str,
        topics: impl Iterator<Item = &'static str>,
        workers: usize,
    ) -> ProcessorStats {
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
            standby_records: AtomicU64::new(0),
            workers: std::iter::repeat_with(WorkerStats::default).take(workers).collect(),
            failed: AtomicBool::new(false),
            started: Instant::now(),
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

    /// Records that came after their window had closed; each became a dead letter.
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

    /// Changelog records that went into standby copies.
    pub fn standby_records(&self) -> u64 {
        self.standby_records.load(Ordering::Relaxed)
    }

    /// Changelog records read into tables.
    pub fn restored_records(&self) -> u64 {
        self.restored_records.load(Ordering::Relaxed)
    }

    pub fn assigned_partitions(&self) -> usize {
        self.workers.iter().map(|worker| worker.assigned_partitions.load(Ordering::Relaxed)).sum()
    }

    /// How long ago the worker that has stood still the longest moved: in health, a fraction of a second.
    pub fn longest_stall(&self) -> Duration {
        let last_seen = self.workers.iter().map(|worker| worker.last_seen_ms.load(Ordering::Relaxed)).min();
        self.started.elapsed().saturating_sub(Duration::from_millis(last_seen.unwrap_or_default()))
    }

    /// Whether a record has held its partition up for longer than the stall timeout.
    pub fn is_stalled(&self) -> bool {
        self.workers.iter().any(|worker| worker.is_stalled.load(Ordering::Relaxed))
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

    pub(crate) fn add_standby(&self, records: u64) {
        self.standby_records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn add_restored(&self, records: u64) {
        self.restored_records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn partitions_changed(&self, worker: usize, partitions: usize) {
        self.workers[worker].assigned_partitions.store(partitions, Ordering::Relaxed);
    }

    /// The worker moves.
    pub(crate) fn beat(&self, worker: usize) {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.workers[worker].last_seen_ms.store(elapsed_ms, Ordering::Relaxed);
    }

    pub(crate) fn set_stalled(&self, worker: usize, is_stalled: bool) {
        self.workers[worker].is_stalled.store(is_stalled, Ordering::Relaxed);
    }

    pub(crate) fn set_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// What one committed transaction adds.
#[derive(Debug, Default)]
pub(crate) struct CommittedBatch {
    pub(crate) consumed_records: u64,
    dead_letters: u64,
    late_records: u64,
    /// By topic; a processor writes to a few, and a scan is faster than a tree.
    emitted: Vec<(&'static str, u64)>,
}

impl CommittedBatch {
    pub(crate) fn add(&mut self, topic: &'static str) {
        match self.emitted.iter_mut().find(|(known, _)| std::ptr::eq(*known, topic)) {
            Some((_, records)) => *records += 1,
            None => self.emitted.push((topic, 1)),
        }
    }

    pub(crate) fn failed(&mut self, class: FailureClass) {
        self.dead_letters += 1;
        self.late_records += u64::from(class == FailureClass::Late);
    }
}
