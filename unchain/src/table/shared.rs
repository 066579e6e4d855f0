//! One partition's table: rows in memory over the store. Its owner writes; readers of other threads see what is committed.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::rows::{Rows, View};
use super::store::{DiskTable, MAX_KEY_BYTES, Mark, StoredRow, Stores};
use super::times::{RowTime, Times};
use super::{StoreError, TableOptions};
use crate::contract::Topic;

pub(super) struct Table {
    topic: &'static Topic,
    partition: i32,
    pub(super) options: TableOptions,
    pub(super) stores: Stores,
    rows: Mutex<Rows>,
    pub(super) disk: Option<DiskTable>,
    /// As long as its partition's owner has it.
    owned: AtomicBool,
    /// The changelog was read to its end.
    restored: AtomicBool,
    /// It follows another owner's table.
    copy: AtomicBool,
}

impl Table {
    /// Opens a table, with its mark where the store has rows to go on from.
    pub(super) fn open(
        stores: &Stores,
        topic: &'static Topic,
        partition: i32,
        options: TableOptions,
    ) -> Result<(Table, Option<Mark>), StoreError> {
        let timed = options.expire_rows();
        let (disk, mark) = stores.tree(topic.name, partition, timed)?.unzip();
        let mark = mark.flatten();
        let times = timed.then(|| Times::new(mark.as_ref().map_or(0, |mark| mark.rows)));
        let table = Table {
            topic,
            partition,
            options,
            stores: stores.clone(),
            rows: Mutex::new(Rows::new(disk.is_some(), times)),
            disk,
            owned: AtomicBool::new(true),
            restored: AtomicBool::new(false),
            copy: AtomicBool::new(false),
        };
        Ok((table, mark))
    }

    pub(super) fn topic(&self) -> &'static Topic {
        self.topic
    }

    pub(super) fn partition(&self) -> i32 {
        self.partition
    }

    pub(super) fn is_owned(&self) -> bool {
        self.owned.load(Ordering::Acquire)
    }

    pub(super) fn disown(&self) {
        self.owned.store(false, Ordering::Release);
    }

    pub(super) fn set_copy(&self) {
        self.copy.store(true, Ordering::Release);
    }

    pub(super) fn is_copy(&self) -> bool {
        self.copy.load(Ordering::Acquire)
    }

    pub(super) fn is_restored(&self) -> bool {
        self.restored.load(Ordering::Acquire)
    }

    pub(super) fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row as its owner sees it. What the store was asked for is remembered.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        // A statement of its own, so that the lock is free again when the store is asked.
        let known = self.rows().get(key, View::Open);
        let max_clean_bytes = || self.stores.share(self.stores.settings().max_cached_bytes);
        known.map_or_else(|| self.load(key, max_clean_bytes()), Ok)
    }

    /// The committed row, for any thread. Between the two looks the owner may commit; either answer was right then.
    pub(super) fn get_committed(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(known) = self.rows().get(key, View::Committed) {
            return Ok(known);
        }
        let stored = self.disk.as_ref().map(|disk| disk.get(key)).transpose()?;
        Ok(stored.flatten().map(|row| row.value))
    }

    /// Rows in the order of their keys.
    pub(super) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        view: View,
        max_rows: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        if is_empty(from, to) {
            return Ok(Vec::new());
        }
        // Both under the lock: the store's rows are those of this moment, which no flush comes between.
        let (over, stored) = {
            let mut rows = self.rows();
            (rows.range((from, to), view, max_rows), self.disk.as_ref().map(|disk| disk.range(from, to)))
        };
        merge(over, stored.into_iter().flatten(), max_rows)
    }

    /// Adds an open write.
    pub(super) fn write(&self, key: &[u8], value: Option<Bytes>, event_time_ms: i64) -> Result<(), StoreError> {
        let loaded = self.load_before_change(key);
        self.rows().write(key, value, event_time_ms);
        loaded
    }

    /// Takes a record of the changelog.
    pub(super) fn restore(&self, key: &[u8], value: Option<&[u8]>, event_time_ms: i64) -> Result<(), StoreError> {
        if key.len() > MAX_KEY_BYTES {
            tracing::error!(
                topic = self.topic.name,
                partition = self.partition,
                bytes = key.len(),
                "a row was left out: its key is too long for a table"
            );
            return Ok(());
        }
        self.load_before_change(key)?;
        self.rows().commit(key, value, Some(event_time_ms));
        Ok(())
    }

    /// Writes the committed rows that the store does not have, with the mark that says what it reflects then.
    pub(super) fn flush(&self, mark: Option<&mut Mark>) -> Result<(), StoreError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let mut batch = disk.batch();
        {
            let rows = self.rows();
            // In the order of the store's own, which it takes in faster.
            let mut dirty: Vec<_> = rows.dirty_rows().collect();
            dirty.sort_unstable_by_key(|(key, ..)| *key);
            for (key, value, time) in dirty {
                disk.put(&mut batch, key, value, time);
            }
            if let Some(mark) = mark {
                mark.rows = rows.times.as_ref().map_or(0, |times| times.rows);
                disk.put_mark(&mut batch, mark);
            }
        }
        disk.commit(batch)?;
        self.rows().mark_clean(self.stores.share(self.stores.settings().max_cached_bytes));
        Ok(())
    }

    /// Where rows expire, the time and presence of a row must be known before it changes.
    fn load_before_change(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.options.expire_rows() && self.disk.is_some() && self.rows().get(key, View::Open).is_none() {
            // It stays, whatever the bound, until it is changed: the next flush sees to the bound.
            self.load(key, usize::MAX)?;
        }
        Ok(())
    }

    #[cold]
    fn load(&self, key: &[u8], max_clean_bytes: usize) -> Result<Option<Bytes>, StoreError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        if key.len() > MAX_KEY_BYTES {
            return Err(StoreError::KeyTooLong { bytes: key.len(), limit: MAX_KEY_BYTES });
        }
        let (value, time_ms) = match disk.get(key)? {
            Some(StoredRow { value, time_ms }) => (Some(value), time_ms),
            None => (None, None),
        };
        let time = self.options.expire_rows().then(|| RowTime {
            committed_ms: time_ms.unwrap_or_default(),
            stored_ms: time_ms,
            ..RowTime::default()
        });
        self.rows().remember(key, value.as_deref(), time, max_clean_bytes);
        Ok(value)
    }
}

/// Where a bound excludes all keys, which an ordered set would panic at.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

/// Rows of two ordered sources, where `over` hides rows of `stored`.
fn merge(
    over: Vec<(Bytes, Option<Bytes>)>,
    stored: impl Iterator<Item = Result<(Bytes, Bytes), StoreError>>,
    max_rows: usize,
) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let (mut over, mut stored) = (over.into_iter().peekable(), stored.peekable());
    let mut merged = Vec::new();
    while merged.len() < max_rows {
        let (over_first, hides) = match (over.peek(), stored.peek()) {
            (None, None) => break,
            (Some(_), None) => (true, false),
            (Some((over, _)), Some(Ok((stored, _)))) => (over <= stored, over == stored),
            (None, Some(_)) | (_, Some(Err(_))) => (false, false),
        };
        if hides {
            stored.next();
        }
        if over_first {
            let (key, value) = over.next().expect("peeked");
            merged.extend(value.map(|value| (key, value)));
        } else {
            merged.push(stored.next().expect("peeked")?);
        }
    }
    Ok(merged)
}
