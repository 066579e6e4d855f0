//! One partition's table in the embedded store: how its rows, their times and its mark are laid out.
//!
//! All of it is one tree of the store, so that whatever a crash leaves is the table as some batch left it.

use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{Keyspace, OwnedWriteBatch as Batch};

use super::super::StoreError;
use super::super::times::RowTime;
use super::database::Database;
use super::mark::Mark;

/// The longest key of a row: the store's own limit is 64 KiB, and a key appears behind a time as well.
pub const MAX_KEY_BYTES: usize = 65_000;

/// The longest that a batch waits for the store's background work.
const MAX_STALL: Duration = Duration::from_secs(10);

/// The first byte of a key in the store. The mark stands before all rows, their times behind them.
const MARK: u8 = 0;
const ROW: u8 = 1;
const TIME: u8 = 2;

/// A table's tree.
pub(crate) struct DiskTable {
    database: Arc<Database>,
    tree: Keyspace,
    /// Rows carry their event time and are indexed by it.
    timed: bool,
}

/// A row as the store has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredRow {
    pub(crate) value: Bytes,
    /// Present in timed tables.
    pub(crate) time_ms: Option<i64>,
}

impl DiskTable {
    pub(super) fn new(database: Arc<Database>, tree: Keyspace, timed: bool) -> DiskTable {
        DiskTable { database, tree, timed }
    }

    pub(crate) fn mark(&self) -> Result<Option<Mark>, StoreError> {
        let bytes = self.tree.get([MARK]).map_err(|error| self.database.failed("reading a table's mark", error))?;
        Ok(bytes.and_then(|bytes| Mark::decode(&bytes)))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<StoredRow>, StoreError> {
        let read = |key: &[u8]| self.tree.get(key);
        let found = with_tag(ROW, key, read).map_err(|error| self.database.failed("reading a row", error))?;
        Ok(found.map(|value| self.row(value.into())))
    }

    /// The rows from one key to another, in order, as they are now.
    pub(crate) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> StoredRows {
        let tagged = |key: &[u8]| [&[ROW], key].concat();
        let from = match from {
            Bound::Unbounded => Bound::Included(vec![ROW]),
            bound => bound.map(tagged),
        };
        let to = match to {
            Bound::Unbounded => Bound::Excluded(vec![ROW + 1]),
            bound => bound.map(tagged),
        };
        StoredRows { rows: self.tree.range((from, to)), database: Arc::clone(&self.database), timed: self.timed }
    }

    /// The times of rows, from one and its row's key on, each with its row's key; the oldest first.
    pub(crate) fn times(&self, from_ms: i64, key: &[u8]) -> impl Iterator<Item = Result<(i64, Bytes), StoreError>> {
        let times = self.tree.range(time_key(from_ms, key)..vec![TIME + 1]);
        times.map(|found| {
            let key: Bytes = found.key().map_err(|error| self.database.failed("reading a row's time", error))?.into();
            let time = key.get(1..9).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            let time = time.ok_or_else(|| self.database.damaged("a row's time is cut short"))?;
            Ok((ordered_time(u64::from_be_bytes(time)), key.slice(9..)))
        })
    }

    pub(crate) fn batch(&self) -> Batch {
        self.database.batch()
    }

    /// Adds a row, or its deletion, to a batch.
    pub(crate) fn put(&self, batch: &mut Batch, key: &Bytes, value: Option<&[u8]>, time: Option<&RowTime>) {
        let (stored_ms, time_ms) = match time.filter(|_| self.timed) {
            Some(time) => (time.stored_ms, value.map(|_| time.committed_ms)),
            None => (None, None),
        };
        if let Some(stored_ms) = stored_ms.filter(|stored_ms| Some(*stored_ms) != time_ms) {
            batch.remove(&self.tree, time_key(stored_ms, key));
        }
        let tagged = [&[ROW], &**key].concat();
        match (value, time_ms) {
            (None, _) => batch.remove(&self.tree, tagged),
            (Some(value), Some(time_ms)) => {
                if stored_ms != Some(time_ms) {
                    batch.insert(&self.tree, time_key(time_ms, key), Bytes::new());
                }
                batch.insert(&self.tree, tagged, [&time_ms.to_be_bytes(), value].concat());
            }
            (Some(value), None) => batch.insert(&self.tree, tagged, value),
        }
    }

    pub(crate) fn put_mark(&self, batch: &mut Batch, mark: &Mark) {
        batch.insert(&self.tree, [MARK], mark.encode());
    }

    /// Writes a batch: all of it, or nothing.
    ///
    /// # Errors
    /// What the store says; and where its background work has not kept up for [`MAX_STALL`], as it does not once it has
    /// met a full disk.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        // The store would wait itself at twice as much, without an end where its background work has died.
        let started = Instant::now();
        // All partitions' tables are to be closed then, so that the store can be opened anew.
        self.database.expect_sound()?;
        while self.tree.sealed_memtable_count() >= 2 || self.tree.l0_table_count() >= 16 {
            if started.elapsed() > MAX_STALL {
                return Err(self.database.stalled());
            }
            #[allow(clippy::disallowed_methods, reason = "the store does not signal the end of its background work")]
            std::thread::sleep(Duration::from_millis(2));
        }
        batch.commit().map_err(|error| self.database.failed("writing rows", error))
    }

    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        self.tree.is_empty().map_err(|error| self.database.failed("reading a table", error))
    }

    /// The same table without rows: another tree, so that nothing that is still being written can come back.
    pub(crate) fn emptied(self) -> Result<DiskTable, StoreError> {
        let tree = self.database.emptied(self.tree)?;
        Ok(DiskTable::new(self.database, tree, self.timed))
    }

    fn row(&self, value: Bytes) -> StoredRow {
        stored_row(value, self.timed)
    }
}

/// See [`DiskTable::range`].
pub(crate) struct StoredRows {
    rows: fjall::Iter,
    database: Arc<Database>,
    timed: bool,
}

impl Iterator for StoredRows {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.rows.next()?.into_inner();
        Some(match found {
            Ok((key, value)) => Ok((Bytes::from(key).slice(1..), stored_row(value.into(), self.timed).value)),
            Err(error) => Err(self.database.failed("reading rows", error)),
        })
    }
}

/// Copies: what the store hands out may hold a block of its file in memory.
fn stored_row(value: Bytes, timed: bool) -> StoredRow {
    match value.split_first_chunk::<8>().filter(|_| timed) {
        Some((time, value)) => {
            StoredRow { time_ms: Some(i64::from_be_bytes(*time)), value: Bytes::copy_from_slice(value) }
        }
        None => StoredRow { time_ms: None, value: Bytes::copy_from_slice(&value) },
    }
}

/// Most keys are short: they are put together without an allocation.
fn with_tag<T>(tag: u8, key: &[u8], act: impl FnOnce(&[u8]) -> T) -> T {
    let mut short = [0; 128];
    match short.get_mut(..=key.len()) {
        Some(tagged) => {
            tagged[0] = tag;
            tagged[1..].copy_from_slice(key);
            act(tagged)
        }
        None => act(&[&[tag], key].concat()),
    }
}

/// The sign bit is turned over, so that times before 1970 come first.
fn time_key(time_ms: i64, key: &[u8]) -> Vec<u8> {
    let time = (time_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes();
    [&[TIME], &time[..], key].concat()
}

fn ordered_time(bits: u64) -> i64 {
    (bits ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_order_and_read_back() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX];
        let keys: Vec<_> = times.iter().map(|time_ms| time_key(*time_ms, b"k")).collect();
        assert!(keys.is_sorted());
        for (time_ms, key) in times.iter().zip(&keys) {
            let bits = u64::from_be_bytes(key[1..9].try_into().unwrap());
            assert_eq!(ordered_time(bits), *time_ms);
        }
    }

    #[test]
    fn short_and_long_keys_are_tagged_alike() {
        for length in [0, 1, 126, 127, 128, 500] {
            let key = vec![7; length];
            with_tag(ROW, &key, |tagged| assert_eq!(tagged, [&[ROW], &*key].concat()));
        }
    }
}
