//! Finds rows whose time is over, a few rows a call: a pass over the table for each period of stream time.
//!
//! Where a pass stands is a hint that is kept in memory alone. A row that is missed, since its call was taken back or the
//! partition moved, is found by the next pass; no result depends on when a row goes.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::parse_row_key;
use super::timing::Timing;

/// Rows looked at in one call, for each window that a record belongs to: more than the call may add.
const ROWS_A_WINDOW: i64 = 16;

/// The windowed table of a partition.
pub(crate) type SweptTable = (TypeId, i32);

/// Where the passes of a worker's tables stand. A clone begins anew: it is another worker's.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    tables: Mutex<HashMap<SweptTable, Sweep>>,
}

impl Clone for Sweeps {
    fn clone(&self) -> Self {
        Sweeps::default()
    }
}

impl Sweeps {
    pub(super) fn with<T>(&self, table: SweptTable, act: impl FnOnce(&mut Sweep) -> T) -> T {
        act(self.tables.lock().unwrap_or_else(PoisonError::into_inner).entry(table).or_default())
    }
}

#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// From where the pass goes on; `None` between two passes.
    from: Option<Bytes>,
    /// The stream time from which the next pass is worth it.
    next_pass_ms: i64,
}

impl Sweep {
    /// From where rows are to be looked at, and how many; `None` where there is nothing to do.
    pub(super) fn step(&mut self, timing: &Timing, stream_time_ms: i64) -> Option<(Bytes, usize)> {
        if self.from.is_none() && stream_time_ms >= self.next_pass_ms {
            self.next_pass_ms = stream_time_ms.saturating_add(timing.period_ms());
            self.from = Some(Bytes::new());
        }
        let rows = ROWS_A_WINDOW * timing.windows_a_record();
        Some((self.from.clone()?, usize::try_from(rows).expect("windows a record are bounded")))
    }

    /// Takes the rows that the step found; returns those whose time is over.
    pub(super) fn found<'r>(
        &mut self,
        timing: &Timing,
        stream_time_ms: i64,
        max_rows: usize,
        rows: impl ExactSizeIterator<Item = &'r Bytes>,
    ) -> Vec<Bytes> {
        let ended = rows.len() < max_rows;
        let (mut expired, mut last) = (Vec::new(), None);
        for row in rows {
            if parse_row_key(row).is_some_and(|(_, bounds)| timing.is_expired(bounds, stream_time_ms)) {
                expired.push(row.clone());
            }
            last = Some(row);
        }
        // The least key after the last one.
        self.from = last.filter(|_| !ended).map(|last| [last, &b"\0"[..]].concat().into());
        expired
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::timing::Shape;
    use super::super::{Bounds, row_key};
    use super::*;

    fn step(sweep: &mut Sweep, timing: &Timing, stream_time_ms: i64, table: &mut BTreeSet<Bytes>) {
        let Some((from, max_rows)) = sweep.step(timing, stream_time_ms) else { return };
        let rows: Vec<_> = table.range(from..).take(max_rows).cloned().collect();
        for row in sweep.found(timing, stream_time_ms, max_rows, rows.iter()) {
            assert!(table.remove(&row));
        }
    }

    proptest! {
        /// Whatever the rows: those that are over go within the calls that a pass takes, the others stay.
        #[test]
        fn a_pass_takes_every_expired_row_and_no_other(
            ends in proptest::collection::vec((0..20_u8, 1..30_i64), 0..200), now in 0..40_i64,
        ) {
            let timing = Timing { shape: Shape::Time { size_ms: 10, advance_ms: 10 }, grace_ms: 3, retention_ms: 0 };
            let row = |(key, end): (u8, i64)| {
                let end_ms = end * 10;
                row_key(&key.to_string(), Bounds { start_ms: end_ms - 10, end_ms })
            };
            let mut table: BTreeSet<Bytes> = ends.iter().copied().map(row).collect();
            let stream_time_ms = now * 10;
            let expected: BTreeSet<Bytes> =
                ends.iter().copied().filter(|(_, end)| stream_time_ms < end * 10 + 3).map(row).collect();
            let mut sweep = Sweep::default();
            for _ in 0..=table.len() / 16 {
                step(&mut sweep, &timing, stream_time_ms, &mut table);
            }
            prop_assert_eq!(table, expected);
            prop_assert!(sweep.step(&timing, stream_time_ms).is_none_or(|(from, _)| !from.is_empty()));
        }
    }

    #[test]
    fn between_two_passes_nothing_is_read() {
        let timing = Timing { shape: Shape::Session { gap_ms: 100 }, grace_ms: 0, retention_ms: 0 };
        let mut sweep = Sweep::default();
        assert_eq!(sweep.step(&timing, 1_000), Some((Bytes::new(), 16)));
        sweep.found(&timing, 1_000, 16, [].iter());
        assert_eq!(sweep.step(&timing, 1_099), None);
        assert_eq!(sweep.step(&timing, 1_100), Some((Bytes::new(), 16)));
    }
}
