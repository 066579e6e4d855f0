//! The tables beside one input partition: committed values, and the writes of the open transaction over them.

use std::collections::HashMap;

use bytes::Bytes;

use crate::contract::Topic;

/// Tables in memory, by topic and key. Values are the changelog's own bytes.
#[derive(Debug, Default)]
pub struct PartitionTables {
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    topic: &'static Topic,
    committed: HashMap<Bytes, Bytes>,
    /// `None` is a deletion.
    uncommitted: HashMap<Bytes, Option<Bytes>>,
}

impl PartitionTables {
    pub fn new(topics: &[&'static Topic]) -> PartitionTables {
        let table = |topic| Table { topic, committed: HashMap::new(), uncommitted: HashMap::new() };
        PartitionTables { tables: topics.iter().map(|topic| table(*topic)).collect() }
    }

    pub fn topics(&self) -> impl Iterator<Item = &'static Topic> {
        self.tables.iter().map(|table| table.topic)
    }

    fn table(&self, topic: &Topic) -> Option<&Table> {
        self.tables.iter().find(|table| table.topic.name == topic.name)
    }

    fn table_mut(&mut self, topic: &Topic) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.topic.name == topic.name)
    }

    /// The value of a key as the open transaction sees it.
    pub fn get(&self, topic: &Topic, key: &[u8]) -> Option<&Bytes> {
        let table = self.table(topic)?;
        match table.uncommitted.get(key) {
            Some(written) => written.as_ref(),
            None => table.committed.get(key),
        }
    }

    /// Writes within the open transaction; `None` deletes. Returns false where there is no such table.
    pub fn write(&mut self, topic: &Topic, key: Bytes, value: Option<Bytes>) -> bool {
        let Some(table) = self.table_mut(topic) else { return false };
        table.uncommitted.insert(key, value);
        true
    }

    /// Applies a record of the changelog, which is committed already.
    pub fn restore(&mut self, topic: &Topic, key: Bytes, value: Option<Bytes>) {
        let Some(table) = self.table_mut(topic) else { return };
        match value {
            // Copied: a record's bytes are slices of a buffer that many records share, and one row would keep it whole.
            Some(value) => table.committed.insert(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)),
            None => table.committed.remove(&key),
        };
    }

    /// The open transaction has committed: its writes stand.
    pub fn commit(&mut self) {
        for table in &mut self.tables {
            for (key, value) in table.uncommitted.drain() {
                match value {
                    Some(value) => table.committed.insert(key, value),
                    None => table.committed.remove(&key),
                };
            }
        }
    }

    /// The open transaction has aborted: its writes never were.
    pub fn roll_back(&mut self) {
        for table in &mut self.tables {
            table.uncommitted.clear();
        }
    }

    /// Keys held, over all tables.
    pub fn entries(&self) -> usize {
        self.tables.iter().map(|table| table.committed.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::contract::{Cleanup, Retention};

    static TOPIC: Topic = Topic {
        name: "t",
        schema_name: "T",
        schema: "{}",
        key: "k",
        partitions: 1,
        cleanup: Cleanup::Compact,
        retention: Retention::Forever,
        doc: "",
    };

    #[derive(Debug, Clone)]
    enum Step {
        Write(u8, Option<u8>),
        Commit,
        RollBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..8u8, proptest::option::of(any::<u8>())).prop_map(|(key, value)| Step::Write(key, value)),
            1 => Just(Step::Commit),
            1 => Just(Step::RollBack),
        ]
    }

    fn byte(value: u8) -> Bytes {
        Bytes::copy_from_slice(&[value])
    }

    proptest! {
        /// Whatever is written, committed and rolled back, reads see the last commit and the open transaction over it.
        #[test]
        fn reads_see_the_commit_and_the_open_transaction(steps in proptest::collection::vec(step(), 0..80)) {
            let mut tables = PartitionTables::new(&[&TOPIC]);
            let (mut committed, mut open) = (BTreeMap::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Write(key, value) => {
                        prop_assert!(tables.write(&TOPIC, byte(key), value.map(byte)));
                        match value { Some(value) => open.insert(key, value), None => open.remove(&key) };
                    }
                    Step::Commit => { tables.commit(); committed = open.clone(); }
                    Step::RollBack => { tables.roll_back(); open = committed.clone(); }
                }
                for key in 0..8u8 {
                    prop_assert_eq!(tables.get(&TOPIC, &[key]).cloned(), open.get(&key).copied().map(byte));
                }
                prop_assert_eq!(tables.entries(), committed.len());
            }
        }
    }
}
