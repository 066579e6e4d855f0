//! A lookup: a process holds another topic's table, whole or some partitions of it, and reads it without a query.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;

use crate::contract::{Contract, DecodeError, Decoder, SchemaRegistry, Topic};
use crate::kafka::Record;

/// The replica of a table whose records are of one contract: of all partitions of its topic, or of those assigned.
#[derive(Debug)]
pub struct LookupTable<C> {
    topic: &'static Topic,
    held: RwLock<Held<C>>,
}

#[derive(Debug)]
struct Held<C> {
    /// Each row with the partition that it came from.
    rows: HashMap<Box<str>, (i32, Arc<C>), RandomState>,
    /// One past the last record taken, by partition.
    next_offsets: HashMap<i32, i64>,
    /// Rows of partitions that are read again from the beginning, until they take the old ones' place.
    aside: HashMap<i32, HashMap<Box<str>, Arc<C>, RandomState>>,
}

impl<C> Held<C> {
    fn apply(&mut self, partition: i32, key: &str, row: Option<C>) {
        if let Some(rows) = self.aside.get_mut(&partition) {
            match row {
                Some(row) => rows.insert(key.into(), Arc::new(row)),
                None => rows.remove(key),
            };
            return;
        }
        match row {
            Some(row) => {
                self.rows.insert(key.into(), (partition, Arc::new(row)));
            }
            // A key that has moved to another partition is deleted in its old one.
            None if self.rows.get(key).is_some_and(|(of, _)| *of == partition) => {
                self.rows.remove(key);
            }
            None => {}
        }
    }

    fn begin_rebuild(&mut self, partition: i32) {
        self.next_offsets.remove(&partition);
        self.aside.insert(partition, HashMap::default());
    }

    fn finish_rebuild(&mut self, partition: i32) {
        if let Some(rows) = self.aside.remove(&partition) {
            self.rows.retain(|_, (of, _)| *of != partition);
            self.rows.extend(rows.into_iter().map(|(key, row)| (key, (partition, row))));
        }
    }

    fn drop_partition(&mut self, partition: i32) {
        self.next_offsets.remove(&partition);
        self.aside.remove(&partition);
        self.rows.retain(|_, (of, _)| *of != partition);
    }
}

impl<C> LookupTable<C> {
    pub fn of(topic: &'static Topic) -> LookupTable<C> {
        let held = Held { rows: HashMap::default(), next_offsets: HashMap::new(), aside: HashMap::new() };
        LookupTable { topic, held: RwLock::new(held) }
    }

    pub fn get(&self, key: &str) -> Option<Arc<C>> {
        self.read().rows.get(key).map(|(_, row)| Arc::clone(row))
    }

    fn read(&self) -> RwLockReadGuard<'_, Held<C>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held<C>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lookup whose type is forgotten: fed by whoever reads its topic.
///
/// After an error its reader may go on from [`next_offset`](AnyLookup::next_offset), as long as the topic still has that
/// offset and the pause was shorter than its `delete.retention.ms`: deletions in between would be gone otherwise. Where
/// not, the partition is read [anew](AnyLookup::begin_rebuild) while the old rows are still answered.
pub trait AnyLookup: Send + Sync {
    fn topic(&self) -> &'static Topic;

    /// A function that applies records of the topic, in their order.
    fn feed(self: Arc<Self>, registry: Arc<dyn SchemaRegistry>) -> FeedLookup;

    /// One past the last record of a partition that was taken; `None` before the first.
    fn next_offset(&self, partition: i32) -> Option<i64>;

    /// From now on records of the partition go aside, from its first one on; until then rows stay as they are.
    fn begin_rebuild(&self, partition: i32);

    /// The rows that went aside take the place of the partition's old ones, all at once.
    fn finish_rebuild(&self, partition: i32);

    /// Forgets a partition that is no longer assigned.
    fn drop_partition(&self, partition: i32);

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Applies one record of a lookup's topic.
pub type FeedLookup = Box<dyn FnMut(&Record) -> Result<(), DecodeError> + Send>;

impl<C: Contract> AnyLookup for LookupTable<C> {
    fn topic(&self) -> &'static Topic {
        self.topic
    }

    fn feed(self: Arc<Self>, registry: Arc<dyn SchemaRegistry>) -> FeedLookup {
        let mut decoder = Decoder::<C>::new(registry);
        Box::new(move |record| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
            let row = record.value.as_deref().map(|bytes| decoder.decode(bytes)).transpose();
            let mut held = self.write();
            held.next_offsets.insert(record.partition, record.offset + 1);
            held.apply(record.partition, &key, row?);
            Ok(())
        })
    }

    fn next_offset(&self, partition: i32) -> Option<i64> {
        self.read().next_offsets.get(&partition).copied()
    }

    fn begin_rebuild(&self, partition: i32) {
        self.write().begin_rebuild(partition);
    }

    fn finish_rebuild(&self, partition: i32) {
        self.write().finish_rebuild(partition);
    }

    fn drop_partition(&self, partition: i32) {
        self.write().drop_partition(partition);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Row(u8);

    fn apply(lookup: &LookupTable<Row>, partition: i32, key: &str, row: Option<u8>) {
        lookup.write().apply(partition, key, row.map(Row));
    }

    fn get(lookup: &LookupTable<Row>, key: &str) -> Option<u8> {
        lookup.get(key).map(|row| row.0)
    }

    fn lookup() -> LookupTable<Row> {
        let lookup = LookupTable::of(&crate::table::tests::SPEND);
        apply(&lookup, 0, "ann", Some(1));
        apply(&lookup, 0, "bob", Some(2));
        apply(&lookup, 1, "eve", Some(3));
        lookup
    }

    #[test]
    fn a_rebuild_shows_the_old_rows_until_it_is_whole_and_keeps_none_that_were_deleted_meanwhile() {
        let lookup = lookup();
        lookup.write().begin_rebuild(0);
        apply(&lookup, 0, "ann", Some(9));
        apply(&lookup, 1, "eve", Some(4));
        assert_eq!(["ann", "bob", "eve"].map(|key| get(&lookup, key)), [Some(1), Some(2), Some(4)]);
        lookup.write().finish_rebuild(0);
        assert_eq!(["ann", "bob", "eve"].map(|key| get(&lookup, key)), [Some(9), None, Some(4)]);
    }

    #[test]
    fn a_dropped_partition_takes_its_own_rows_alone() {
        let lookup = lookup();
        lookup.write().drop_partition(0);
        assert_eq!(["ann", "bob", "eve"].map(|key| get(&lookup, key)), [None, None, Some(3)]);
    }

    #[test]
    fn a_key_that_moved_is_not_deleted_by_its_old_partition() {
        let lookup = lookup();
        apply(&lookup, 1, "ann", Some(5));
        apply(&lookup, 0, "ann", None);
        assert_eq!(get(&lookup, "ann"), Some(5));
    }
}
