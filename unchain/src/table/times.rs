//! When rows were last changed, by event time, and how many there are: what the expiry of rows goes by.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

/// The times of one row, in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct RowTime {
    pub(super) committed_ms: i64,
    /// Of the writes that are not committed, in their order.
    pub(super) open_ms: VecDeque<i64>,
    /// As the store's index by time has it; `None` where it has no such row.
    pub(super) stored_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Times {
    /// Committed rows that the store's own index does not have; all, where there is no store.
    pub(super) committed: BTreeSet<(i64, Bytes)>,
    /// Committed rows, the store's included.
    pub(super) rows: u64,
    /// Rows if every open write is committed.
    pub(super) open_rows: u64,
    /// From here the search for expired rows goes on: whatever is before it has been given back, or is being changed.
    pub(super) from: (i64, Bytes),
}

/// Before every row.
const BEGINNING: (i64, Bytes) = (i64::MIN, Bytes::new());

impl Times {
    pub(super) fn new(rows: u64) -> Times {
        Times { committed: BTreeSet::new(), rows, open_rows: rows, from: BEGINNING }
    }

    /// Moves a row from one time to another; `None` is no row, or one that the store's index has.
    pub(super) fn committed(&mut self, key: &Bytes, before_ms: Option<i64>, now_ms: Option<i64>) {
        if let Some(now_ms) = now_ms.filter(|now_ms| *now_ms <= self.from.0) {
            self.from = (now_ms, Bytes::new());
        }
        if before_ms == now_ms {
            return;
        }
        if let Some(before_ms) = before_ms {
            self.committed.remove(&(before_ms, key.clone()));
        }
        if let Some(now_ms) = now_ms {
            self.committed.insert((now_ms, key.clone()));
        }
    }

    pub(super) fn count_committed(&mut self, before: bool, now: bool) {
        self.rows = (self.rows + u64::from(now)).saturating_sub(u64::from(before));
    }

    pub(super) fn count_open(&mut self, before: bool, now: bool) {
        self.open_rows = (self.open_rows + u64::from(now)).saturating_sub(u64::from(before));
    }

    pub(super) fn roll_back(&mut self) {
        self.open_rows = self.rows;
        self.from = BEGINNING;
    }

    /// The store has all committed rows now, and their times.
    pub(super) fn all_stored(&mut self) {
        self.committed.clear();
    }
}
