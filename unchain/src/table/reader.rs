//! Queries of a table from outside its processor's workers: the committed rows of the partitions that this process has.

use std::ops::Bound;

use bytes::Bytes;

use super::rows::View;
use super::shared::Table;
use super::{StoreError, Stores, murmur2};
use crate::contract::{DecodeError, Topic};

/// Why a query has no answer here. That there is no such row is an answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("partition {partition} of table {table} is not with this instance now: ask the others")]
    NotOwned { table: &'static str, partition: i32 },

    #[error("partition {partition} of table {table} is still being restored: ask again")]
    Restoring { table: &'static str, partition: i32 },

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error("a row of table {table} cannot be decoded: {source}")]
    Undecodable { table: &'static str, source: DecodeError },
}

/// Reads the committed rows of one table, from any thread. Clones read the same table.
///
/// Each answer is what stood at one moment during the call; two calls may see different moments.
#[derive(Debug, Clone)]
pub struct TableReader {
    stores: Stores,
    topic: &'static Topic,
    partitions: i32,
}

impl TableReader {
    /// A reader of the table whose changelog is `topic`, which has this many partitions in the cluster.
    pub fn new(stores: &Stores, topic: &'static Topic, partitions: i32) -> TableReader {
        TableReader { stores: stores.clone(), topic, partitions }
    }

    pub fn topic(&self) -> &'static Topic {
        self.topic
    }

    /// The partition that a key's record is in, where the key chose it as Kafka's Java producer does.
    pub fn partition_of(&self, key: &[u8]) -> i32 {
        murmur2::partition_of(key, self.partitions)
    }

    /// The row of a key whose partition follows from it.
    ///
    /// # Errors
    /// [`QueryError::NotOwned`], [`QueryError::Restoring`], and what the store says.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, QueryError> {
        self.get_in(self.partition_of(key), key)
    }

    /// The row of a key in a partition: for tables whose keys are not their records' alone, as those of windows.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_in(&self, partition: i32, key: &[u8]) -> Result<Option<Bytes>, QueryError> {
        let not_owned = QueryError::NotOwned { table: self.topic.name, partition };
        let table = self.stores.open_table(self.topic.name, partition).filter(|table| !table.is_copy());
        let table = table.ok_or(not_owned)?;
        self.expect_restored(&table)?;
        Ok(table.get_committed(key)?)
    }

    /// Rows of all partitions that this process has now, in the order of their keys, from a key on and up to another, at
    /// most so many.
    ///
    /// # Errors
    /// [`QueryError::Restoring`] while one of them is, and what the store says.
    pub fn range(&self, from: &[u8], to: Option<&[u8]>, max_rows: usize) -> Result<Vec<(Bytes, Bytes)>, QueryError> {
        let mut rows = Vec::new();
        for table in self.stores.open_tables(self.topic.name).into_iter().filter(|table| !table.is_copy()) {
            self.expect_restored(&table)?;
            let to = to.map_or(Bound::Unbounded, Bound::Excluded);
            rows.extend(table.range(Bound::Included(from), to, View::Committed, max_rows)?);
        }
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        rows.truncate(max_rows);
        Ok(rows)
    }

    fn expect_restored(&self, table: &Table) -> Result<(), QueryError> {
        if table.is_restored() {
            return Ok(());
        }
        Err(QueryError::Restoring { table: self.topic.name, partition: table.partition() })
    }
}
