//! The tables beside one input partition: committed values, and the writes of the open transaction over them.

use std::collections::HashMap;

use bytes::Bytes;

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

#[derive(Debug, Default)]
pub struct PartitionTables {
    topics: Vec<&'static Topic>,
    tables: Vec<Table>,
}

#[derive(Debug, Default)]
struct Table {
    committed: HashMap<Bytes, Bytes>,
    open: HashMap<Bytes, (usize, Option<Bytes>)>,
}

impl PartitionTables {
    pub fn new(topics: &[&'static Topic]) -> PartitionTables {
        PartitionTables { topics: topics.to_vec(), tables: topics.iter().map(|_| Table::default()).collect() }
    }

    pub fn topics(&self) -> &[&'static Topic] {
        &self.topics
    }

    pub fn get(&self, table: usize, key: &[u8]) -> Result<Option<Bytes>, std::io::Error> {
        let table = &self.tables[table];
        Ok(match table.open.get(key) {
            Some((_, written)) => written.clone(),
            None => table.committed.get(key).cloned(),
        })
    }

    pub fn write(&mut self, table: usize, key: Bytes, value: Option<Bytes>, _event_time_ms: i64) {
        let entry = self.tables[table].open.entry(key).or_default();
        *entry = (entry.0 + 1, value);
    }

    pub fn restore(&mut self, table: usize, key: &[u8], value: Option<&[u8]>, _timestamp_ms: i64) {
        match value {
            Some(value) => {
                self.tables[table].committed.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
            }
            None => self.tables[table].committed.remove(key),
        };
    }

    pub fn commit(&mut self, changes: &[Change]) {
        for change in changes {
            let table = &mut self.tables[change.table];
            match &change.value {
                Some(value) => table.committed.insert(change.key.clone(), value.clone()),
                None => table.committed.remove(&change.key),
            };
            if let Some(open) = table.open.get_mut(&change.key) {
                open.0 -= 1;
                if open.0 == 0 {
                    table.open.remove(&change.key);
                }
            }
        }
    }

    pub fn roll_back(&mut self) {
        self.tables.iter_mut().for_each(|table| table.open.clear());
    }

    pub fn stream_time_ms(&self) -> i64 {
        i64::MIN
    }

    pub fn advance_stream_time(&mut self, _event_time_ms: i64) {}
}
