//! A partition's view of transactions: which are open (the last stable offset), which were aborted and where.

use std::collections::HashMap;

use super::batch::BatchHeader;

/// An aborted transaction's records, from its first to its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
    pub marker_offset: i64,
}

/// Open and aborted transactions of one partition.
#[derive(Debug, Default)]
pub struct PartitionTransactions {
    open: HashMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

impl PartitionTransactions {
    /// Takes note of an appended batch; `commit` is set for end markers.
    pub fn note(&mut self, batch: &BatchHeader, commit: Option<bool>) {
        if !batch.is_transactional() {
            return;
        }
        if !batch.is_control() {
            self.open.entry(batch.producer_id).or_insert(batch.base_offset);
            return;
        }
        let (Some(first_offset), Some(commit)) = (self.open.remove(&batch.producer_id), commit) else { return };
        if !commit {
            let marker_offset = batch.base_offset;
            self.aborted.push(Aborted { producer_id: batch.producer_id, first_offset, marker_offset });
        }
    }

    /// The first offset of an open transaction: nothing from there on is stable.
    pub fn first_unstable(&self) -> Option<i64> {
        self.open.values().copied().min()
    }

    /// Where the producer's open transaction begins.
    pub fn open_since(&self, producer_id: i64) -> Option<i64> {
        self.open.get(&producer_id).copied()
    }

    /// The aborted transactions that have a record in `from..until`; a reader drops their records.
    pub fn aborted_between(&self, from: i64, until: i64) -> impl Iterator<Item = &Aborted> {
        let start = self.aborted.partition_point(|aborted| aborted.marker_offset < from);
        self.aborted[start..].iter().filter(move |aborted| aborted.first_offset < until)
    }

    /// Forgets what lies before the log's start.
    pub fn forget_before(&mut self, log_start: i64) {
        self.aborted.retain(|aborted| aborted.marker_offset >= log_start);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::batch::{end_marker, is_commit_marker, tests::batch_of};

    fn note(transactions: &mut PartitionTransactions, batch: &[u8], base_offset: i64) {
        let mut header = BatchHeader::parse(batch).unwrap();
        header.base_offset = base_offset;
        transactions.note(&header, is_commit_marker(batch).filter(|_| header.is_control()));
    }

    #[test]
    fn open_transactions_hold_the_stable_offset_and_aborts_are_listed() {
        let mut partition = PartitionTransactions::default();
        note(&mut partition, &batch_of(&["a"], Some((1, 0, 0)), true), 10);
        note(&mut partition, &batch_of(&["b"], Some((2, 0, 0)), true), 11);
        note(&mut partition, &batch_of(&["c"], None, false), 12);
        assert_eq!(partition.first_unstable(), Some(10));
        note(&mut partition, &end_marker(0, 1, 0, false, 0), 13);
        assert_eq!(partition.first_unstable(), Some(11));
        note(&mut partition, &end_marker(0, 2, 0, true, 0), 14);
        assert_eq!(partition.first_unstable(), None);
        let aborted = Aborted { producer_id: 1, first_offset: 10, marker_offset: 13 };
        assert_eq!(partition.aborted_between(0, 20).collect::<Vec<_>>(), [&aborted]);
        assert_eq!(partition.aborted_between(13, 20).count(), 1);
        assert_eq!(partition.aborted_between(14, 20).count(), 0);
        assert_eq!(partition.aborted_between(0, 10).count(), 0);
        partition.forget_before(14);
        assert_eq!(partition.aborted_between(0, 20).count(), 0);
    }
}
