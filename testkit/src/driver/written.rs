//! What a processor has written: emitted records by topic, and the rows of its tables as the changelogs have them.

use std::collections::BTreeMap;

use unchain::contract::Bytes;
use unchain::kafka::{NewRecord, Record};

/// A record's key and value; no value is a tombstone.
type Entry = (String, Option<Bytes>);

#[derive(Debug, Default)]
pub(super) struct Written {
    topics: BTreeMap<String, Vec<Entry>>,
    tables: BTreeMap<String, BTreeMap<Bytes, Bytes>>,
}

impl Written {
    pub(super) fn add(&mut self, record: Record) {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        self.topics.entry(record.topic.to_string()).or_default().push((key, record.value));
    }

    pub(super) fn change(&mut self, NewRecord { topic, key, value, .. }: NewRecord<'static>) {
        let table = self.tables.entry(topic.to_owned()).or_default();
        let key = key.unwrap_or_default();
        match value {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
    }

    pub(super) fn take(&mut self, topic: &str) -> Vec<Entry> {
        self.topics.remove(topic).unwrap_or_default()
    }

    pub(super) fn row(&self, table: &str, key: &[u8]) -> Option<&Bytes> {
        self.tables.get(table)?.get(key)
    }

    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.tables.get(table).into_iter().flatten()
    }
}
