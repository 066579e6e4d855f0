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
    stream_time_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Table {
    committed: HashMap<Bytes, Bytes>,
    open: HashMap<Bytes, (usize, Option<Bytes>)>,
}

impl PartitionTables {
    pub fn new(topics: &[&'static Topic]) -> PartitionTables {
        PartitionTables {
            topics: topics.to_vec(),
            tables: topics.iter().map(|_| Table::default()).collect(),
            stream_time_ms: None,
        }
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

    /// Rows in the order of their keys, from a key on and up to another, at most so many.
    pub fn range(
        &self,
        table: usize,
        from: &[u8],
        to: Option<&[u8]>,
        max_rows: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, std::io::Error> {
        let table = &self.tables[table];
        let within = |key: &Bytes| &**key >= from && to.is_none_or(|to| &**key < to);
        let committed = table.committed.iter().filter(|(key, _)| within(key) && !table.open.contains_key(*key));
        let mut rows: Vec<_> = committed.map(|(key, value)| (key.clone(), value.clone())).collect();
        let open = table.open.iter().filter(|(key, _)| within(key));
        rows.extend(open.filter_map(|(key, (_, value))| Some((key.clone(), value.clone()?))));
        rows.sort_unstable();
        rows.truncate(max_rows);
        Ok(rows)
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
        self.stream_time_ms.unwrap_or(i64::MIN)
    }

    pub fn advance_stream_time(&mut self, event_time_ms: i64) {
        self.stream_time_ms = self.stream_time_ms.max(Some(event_time_ms));
    }
}
