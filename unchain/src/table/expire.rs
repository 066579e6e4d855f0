//! Which rows of a table have to go: the oldest by event time, from the store's index and that of the rows in memory.

use bytes::Bytes;

use super::StoreError;
use super::rows::Rows;
use super::shared::Table;

/// Entries of the index looked at in one call, for each row that it may give back: what is changed at the moment, and
/// what changed since the store was written, is passed over.
const LOOKS_A_ROW: usize = 4;

impl Table {
    /// Keys of rows that are over, the oldest first.
    pub(super) fn expired(&self, stream_time_ms: i64, max_rows: usize) -> Result<Vec<Bytes>, StoreError> {
        let mut rows = self.rows();
        let Some(times) = &rows.times else { return Ok(Vec::new()) };
        let over = times.open_rows.saturating_sub(self.options.max_rows.unwrap_or(u64::MAX));
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        let time_to_live_ms = self.options.time_to_live.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let ends_ms = time_to_live_ms.and_then(|time_to_live_ms| stream_time_ms.checked_sub(time_to_live_ms));
        if max_rows == 0 || (over == 0 && ends_ms.is_none_or(|ends_ms| times.from.0 > ends_ms)) {
            return Ok(Vec::new());
        }
        let mut expired = Vec::new();
        let from = self.visit_oldest(&rows, max_rows.saturating_mul(LOOKS_A_ROW), |time_ms, key, pending| {
            let goes = expired.len() < over || ends_ms.is_some_and(|ends_ms| time_ms <= ends_ms);
            if !goes || expired.len() == max_rows {
                return false;
            }
            if !pending {
                expired.push(key.clone());
            }
            true
        })?;
        rows.times.as_mut().expect("looked at above").from = from;
        Ok(expired)
    }

    /// Shows rows from the oldest on until one is to stay; returns from where the next search goes on.
    fn visit_oldest(
        &self,
        rows: &Rows,
        max_looks: usize,
        mut visit: impl FnMut(i64, &Bytes, bool) -> bool,
    ) -> Result<(i64, Bytes), StoreError> {
        let times = rows.times.as_ref().expect("asked for timed tables only");
        let mut in_memory = times.committed.range(times.from.clone()..).cloned().map(Ok).peekable();
        let stored = self.disk.as_ref().map(|disk| disk.times(times.from.0, &times.from.1));
        let mut stored = stored.into_iter().flatten().peekable();
        let mut from = times.from.clone();
        for _ in 0..max_looks {
            let from_memory = match (in_memory.peek(), stored.peek()) {
                (None, None) => return Ok((i64::MAX, Bytes::new())),
                (Some(Ok(memory)), Some(Ok(stored))) => memory <= stored,
                (memory, _) => memory.is_some(),
            };
            let next = if from_memory { in_memory.next() } else { stored.next() };
            let (time_ms, key) = next.expect("one of them has a next")?;
            let standing = rows.standing(&key);
            // The store's index is behind for rows that changed since the last flush.
            let is_outdated = !from_memory && standing.is_some_and(|standing| standing.dirty);
            if !is_outdated && !visit(time_ms, &key, standing.is_some_and(|standing| standing.pending)) {
                return Ok((time_ms, key));
            }
            from = (time_ms, after(&key));
        }
        Ok(from)
    }
}

/// The key that comes next in order.
fn after(key: &Bytes) -> Bytes {
    [&**key, &[0]].concat().into()
}
