//! The tables beside one input partition: committed rows, and the writes of open transactions over them.

use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::rows::View;
use super::shared::Table;
use super::store::Mark;
use super::{StoreError, StoreErrorKind, Stores, TableOptions};
use crate::contract::Topic;

/// One write of a handler: a row of a table, set or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The table's place in [`PartitionTables::topics`].
    pub table: usize,
    pub key: Bytes,
    /// `None` is a deletion.
    pub value: Option<Bytes>,
}

impl Change {
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Before anything: how long a store that nothing was written to goes without saying that it is up to date.
const IDLE_FLUSHES_A_MAX_AGE: u32 = 20;

/// The tables of one partition, which one worker has at a time.
///
/// Writes are seen at once by [`get`](Self::get) and [`range`](Self::range). They stand from [`commit`](Self::commit) on,
/// when other threads see them too, and reach the store with [`flush`](Self::flush). Dropped without a flush, the store
/// is what the last one left, and the changelog's records from [`restored_to`](Self::restored_to) on bring it up to date.
pub struct PartitionTables {
    topics: Vec<&'static Topic>,
    tables: Vec<Arc<Table>>,
    stores: Stores,
    /// What each store says of itself; `None` where the changelog is to be read from its beginning.
    marks: Vec<Option<Mark>>,
    stream_time_ms: i64,
    committed_stream_time_ms: i64,
    last_flush: Instant,
    /// What went wrong where there was nobody to tell: the next operation that can fail does.
    failed: Option<StoreError>,
    /// The first read that the store has failed at.
    failed_read: OnceLock<String>,
    /// Something has gone wrong: what came since may be missing, so the store must not say that it has everything.
    is_broken: bool,
}

impl PartitionTables {
    /// Tables in memory.
    pub fn new(topics: &[&'static Topic]) -> PartitionTables {
        let options = vec![TableOptions::default(); topics.len()];
        PartitionTables::open(&Stores::memory(), 0, topics, &options).expect("tables in memory open without I/O")
    }

    /// Opens the partition's tables, as their last flush left them; `options` are the topics', one each.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another worker of this process has them; [`StoreError::Locked`] while another process
    /// has the directory; what the disk says.
    pub fn open(
        stores: &Stores,
        partition: i32,
        topics: &[&'static Topic],
        options: &[TableOptions],
    ) -> Result<PartitionTables, StoreError> {
        let mut opened = PartitionTables {
            topics: topics.to_vec(),
            tables: Vec::with_capacity(topics.len()),
            stores: stores.clone(),
            marks: Vec::with_capacity(topics.len()),
            stream_time_ms: i64::MIN,
            committed_stream_time_ms: i64::MIN,
            last_flush: Instant::now(),
            failed: None,
            failed_read: OnceLock::new(),
            is_broken: false,
        };
        for (index, topic) in topics.iter().enumerate() {
            let options = options.get(index).copied().unwrap_or_default();
            // Whoever has the table already is still writing to it: nothing is opened beside that.
            if stores.open_table(topic.name, partition).is_some() {
                return Err(StoreError::InUse { table: topic.name.to_owned(), partition });
            }
            let (table, mark) = Table::open(stores, topic, partition, options)?;
            opened.add(Arc::new(table), mark)?;
        }
        Ok(opened)
    }

    fn add(&mut self, table: Arc<Table>, mark: Option<Mark>) -> Result<(), StoreError> {
        self.stores.register(&table)?;
        self.tables.push(table);
        if let Some(mark) = &mark {
            self.commit_stream_time(mark.stream_time_ms);
        }
        self.marks.push(mark);
        Ok(())
    }

    pub fn topics(&self) -> &[&'static Topic] {
        &self.topics
    }

    /// A row, open writes included.
    ///
    /// # Errors
    /// What the store says, and [`StoreError::KeyTooLong`].
    pub fn get(&self, table: usize, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.tables[table].get(key).inspect_err(|error| self.note(error))
    }

    /// Rows in the order of their keys, from a key on and up to another, at most so many; open writes included.
    pub fn range(
        &self,
        table: usize,
        from: &[u8],
        to: Option<&[u8]>,
        max_rows: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        self.tables[table].range(Bound::Included(from), to, View::Open, max_rows).inspect_err(|error| self.note(error))
    }

    /// A store that cannot be read is to be opened anew; a key that no store takes says nothing of it.
    fn note(&self, error: &StoreError) {
        if error.kind() != StoreErrorKind::Reject {
            let _ = self.failed_read.set(error.to_string());
        }
    }

    /// Adds a write that is not committed yet. Writes of one key come in the order in which they will be committed.
    pub fn write(&mut self, table: usize, key: &[u8], value: Option<Bytes>, event_time_ms: i64) {
        if let Err(error) = self.tables[table].write(key, value, event_time_ms) {
            self.break_with(error);
        }
    }

    fn break_with(&mut self, error: StoreError) {
        self.is_broken = true;
        self.failed.get_or_insert(error);
    }

    /// Once broken, tables stay so until they are opened anew.
    ///
    /// # Errors
    /// What went wrong with the store since it was opened.
    pub fn expect_sound(&mut self) -> Result<(), StoreError> {
        if let Some(reason) = self.failed_read.take() {
            let error = self.failure(reason);
            self.break_with(error);
        }
        if !self.is_broken {
            return Ok(());
        }
        Err(self.failed.take().unwrap_or_else(|| self.failure("a write failed before".to_owned())))
    }

    fn failure(&self, reason: String) -> StoreError {
        StoreError::Failed { dir: self.stores.dir().map(Path::to_owned).unwrap_or_default(), reason }
    }

    /// Makes writes stand: those of the transactions that have been committed, in the order in which they were written.
    pub fn commit<'c>(&mut self, changes: impl IntoIterator<Item = &'c Change>) {
        let mut changes = changes.into_iter().peekable();
        while let Some(table) = changes.peek().map(|change| change.table) {
            let mut rows = self.tables[table].rows();
            while let Some(change) = changes.next_if(|change| change.table == table) {
                rows.commit(&change.key, change.value.as_deref(), None);
            }
        }
    }

    /// Every write that is not committed never was, and stream time is what it was at the last commit.
    pub fn roll_back(&mut self) {
        self.tables.iter().for_each(|table| table.rows().roll_back());
        self.stream_time_ms = self.committed_stream_time_ms;
    }

    /// One past the last changelog record that the store is known to reflect; `None` where it is to be restored from the
    /// changelog's beginning.
    pub fn restored_to(&self, table: usize) -> Option<i64> {
        self.marks[table].as_ref().map(|mark| mark.next_offset)
    }

    /// From where the changelog is to be read, which spans the offsets from `start` to `end` now.
    ///
    /// A store that reflects what the changelog no longer has, or does not have yet, is of another changelog or has
    /// missed deletions: its rows are dropped.
    pub fn restore_from(&mut self, table: usize, start: i64, end: i64) -> Result<i64, StoreError> {
        match self.restored_to(table) {
            Some(offset) if (start..=end).contains(&offset) => return Ok(offset),
            None => return Ok(start),
            Some(offset) => {
                let (topic, partition) = (self.topics[table].name, self.tables[table].partition());
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    start,
                    end,
                    "the store is not of this changelog: it is rebuilt"
                );
            }
        }
        let old = &self.tables[table];
        let (topic, partition, options) = (old.topic(), old.partition(), old.options);
        self.stores.remove_tree(topic.name, partition)?;
        old.disown();
        self.stores.unregister(old);
        let (rebuilt, _) = Table::open(&self.stores, topic, partition, options)?;
        let rebuilt = Arc::new(rebuilt);
        self.tables[table] = Arc::clone(&rebuilt);
        self.marks[table] = None;
        // What the old store said of the time is of another changelog too.
        let known = self.marks.iter().flatten().map(|mark| mark.stream_time_ms).max().unwrap_or(i64::MIN);
        (self.stream_time_ms, self.committed_stream_time_ms) = (known, known);
        self.stores.register(&rebuilt)?;
        Ok(start)
    }

    /// Takes one record of a table's changelog, in their order. The record's timestamp is the event time of the change.
    ///
    /// Once the store has failed nothing is taken; [`finish_restore`](Self::finish_restore) says so.
    pub fn restore(&mut self, table: usize, key: &[u8], value: Option<&[u8]>, timestamp_ms: i64) {
        if self.is_broken {
            return;
        }
        let restored = self.tables[table].restore(key, value, timestamp_ms);
        if timestamp_ms >= 0 {
            self.commit_stream_time(timestamp_ms);
        }
        let restored = restored.and_then(|()| {
            if self.tables[table].rows().dirty_bytes() < self.max_dirty_bytes() {
                return Ok(());
            }
            // What was read so far is read again after a crash, and changes nothing then.
            self.tables[table].flush(self.marks[table].as_mut())
        });
        if let Err(error) = restored {
            self.break_with(error);
        }
    }

    /// Ends the restore: `next_offsets` are one past the last record read, by table. Queries are answered from now on.
    ///
    /// # Errors
    /// What went wrong with the store since it was opened.
    pub fn finish_restore(&mut self, next_offsets: &[i64]) -> Result<(), StoreError> {
        self.flush(next_offsets)?;
        self.tables.iter().for_each(|table| table.set_restored());
        Ok(())
    }

    /// Whether committed rows have waited long enough for their way into the store, or take too much memory.
    pub fn is_flush_due(&self, now: Instant) -> bool {
        if !self.is_stored() {
            return false;
        }
        let dirty_bytes: usize = self.tables.iter().map(|table| table.rows().dirty_bytes()).sum();
        let waited = now.saturating_duration_since(self.last_flush);
        let settings = self.stores.settings();
        match dirty_bytes {
            0 => waited >= settings.max_age() / IDLE_FLUSHES_A_MAX_AGE,
            _ => waited >= settings.flush_interval || dirty_bytes >= self.max_dirty_bytes() * self.tables.len(),
        }
    }

    /// Whether there is a store to flush to.
    pub fn is_stored(&self) -> bool {
        self.tables.iter().any(|table| table.disk.is_some())
    }

    /// Writes committed rows to the store, and up to where it reflects each changelog now: each table's in one batch.
    ///
    /// An offset of `next_offsets`, one a table, may be any one below which every record of the changelog is committed
    /// here or aborted. What lies above it already changes nothing when it is restored again.
    ///
    /// # Errors
    /// What the store says, now or when a write could not: the partition's tables are to be opened anew.
    pub fn flush(&mut self, next_offsets: &[i64]) -> Result<(), StoreError> {
        self.expect_sound()?;
        let flushed_at_ms = self.stores.now_ms();
        for ((table, mark), next_offset) in self.tables.iter().zip(&mut self.marks).zip(next_offsets) {
            let mark = mark.insert(Mark {
                timed: table.options.expire_rows(),
                next_offset: *next_offset,
                flushed_at_ms,
                stream_time_ms: self.committed_stream_time_ms,
                rows: 0,
                topic: table.topic().name.to_owned(),
            });
            table.flush(Some(mark))?;
        }
        self.last_flush = Instant::now();
        Ok(())
    }

    /// Half of the bound, since as much may be written while the store is busy.
    fn max_dirty_bytes(&self) -> usize {
        self.stores.share(self.stores.settings().max_dirty_bytes) / 2
    }

    #[cfg(test)]
    pub(super) fn bytes_in_memory(&self) -> usize {
        self.tables.iter().map(|table| table.rows().bytes()).sum()
    }

    /// The largest event time so far, in milliseconds since the Unix epoch; `i64::MIN` before the first.
    pub fn stream_time_ms(&self) -> i64 {
        self.stream_time_ms
    }

    pub fn advance_stream_time(&mut self, event_time_ms: i64) {
        self.stream_time_ms = self.stream_time_ms.max(event_time_ms);
    }

    /// The records up to this event time are committed: a roll-back does not go behind it, and the store keeps it.
    pub fn commit_stream_time(&mut self, event_time_ms: i64) {
        self.committed_stream_time_ms = self.committed_stream_time_ms.max(event_time_ms);
        self.advance_stream_time(self.committed_stream_time_ms);
    }

    /// Rows whose time is over and that nobody is changing, at most so many, as changes to be made like a handler's:
    /// [written](Self::write), sent to the changelog in a transaction, and [committed](Self::commit) with it.
    pub fn expire(&self, max_rows: usize) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        for (index, table) in self.tables.iter().enumerate() {
            let keys = table.expired(self.stream_time_ms, max_rows - changes.len())?;
            changes.extend(keys.into_iter().map(|key| Change { table: index, key, value: None }));
        }
        Ok(changes)
    }
}

impl PartitionTables {
    /// These follow another owner's: queries are not answered from them.
    pub(crate) fn set_copies(&self) {
        self.tables.iter().for_each(|table| table.set_copy());
    }
}

impl Default for PartitionTables {
    fn default() -> Self {
        PartitionTables::new(&[])
    }
}

impl Drop for PartitionTables {
    fn drop(&mut self) {
        for table in &self.tables {
            table.disown();
            self.stores.unregister(table);
        }
    }
}

impl fmt::Debug for PartitionTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.topics.iter().map(|topic| topic.name).collect();
        f.debug_struct("PartitionTables").field("topics", &topics).finish_non_exhaustive()
    }
}
