//! The topics of an import: their partitions, and whether a partition's offsets can stay as they are.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::mapping::DEFAULT_PARTITIONS;
use crate::table::partition_of;

/// The topics met so far; a topic's number is its place.
#[derive(Debug)]
pub(super) struct Topics {
    all: Vec<Topic>,
    /// Partitions of topics that nothing else is known of.
    partitions: Option<i32>,
}

/// A topic, as its records show it.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    /// Where somebody says it; more are taken where records name more.
    declared: Option<i32>,
    /// Partitions that records name.
    named: BTreeMap<i32, Named>,
    has_unplaced: bool,
    pub(super) records: u64,
}

/// A partition that records name.
#[derive(Debug, Clone, Copy)]
struct Named {
    first_offset: i64,
    last_offset: i64,
    /// Every record has an offset above the one before it.
    rises: bool,
    max_ms: i64,
}

/// What makes a topic's name: it is a folder's name in the recording, too.
pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match name {
        "" => Some("a topic has a name"),
        "." | ".." => Some("is no name that Kafka allows"),
        _ if name.len() > 249 => Some("Kafka allows 249 characters"),
        _ if !name.chars().all(is_plain) => Some("Kafka allows letters, digits, `.`, `_` and `-`"),
        _ => None,
    }
}

/// More topics in one file are a mistake about its format, in all likelihood; each takes memory.
pub(super) const MAX_TOPICS: usize = 10_000;

impl Topics {
    pub(super) fn new(partitions: Option<i32>) -> Topics {
        Topics { all: Vec::new(), partitions }
    }

    /// Takes a topic in.
    pub(super) fn declare(&mut self, name: &str, partitions: Option<i32>) -> usize {
        if let Some(known) = self.all.iter().position(|topic| topic.name == name) {
            return known;
        }
        let (name, declared) = (name.to_owned(), partitions.or(self.partitions));
        self.all.push(Topic { name, declared, named: BTreeMap::new(), has_unplaced: false, records: 0 });
        self.all.len() - 1
    }

    pub(super) fn all(&self) -> &[Topic] {
        &self.all
    }

    /// Takes note of a record, and gives the time that sorts it.
    ///
    /// Records of a partition that the file names stay in the file's order, whatever their times.
    pub(super) fn note(&mut self, topic: usize, draft: &Draft, last_ms: i64) -> i64 {
        let topic = &mut self.all[topic];
        topic.records += 1;
        let time_ms = if draft.timestamp_ms < 0 { last_ms } else { draft.timestamp_ms };
        let Some(partition) = draft.partition else {
            topic.has_unplaced = true;
            return time_ms;
        };
        let offset = draft.offset.unwrap_or(-1);
        let known = topic.named.entry(partition);
        let first = Named { first_offset: offset, last_offset: -1, rises: true, max_ms: time_ms };
        let named = known.or_insert(first);
        named.rises &= offset > named.last_offset;
        named.last_offset = offset;
        named.max_ms = named.max_ms.max(time_ms);
        named.max_ms
    }
}

impl Topic {
    pub(super) fn partitions(&self) -> i32 {
        let named = self.named.keys().next_back().map_or(0, |last| last + 1);
        let default = if self.has_unplaced || named == 0 { DEFAULT_PARTITIONS } else { named };
        self.declared.unwrap_or(default).max(named)
    }

    /// The partition of a record that names none: by its key, as Java's client has it; in turn where it has no key.
    pub(super) fn partition_of(&self, partitions: i32, key: Option<&[u8]>, sequence: u64) -> i32 {
        match key {
            Some(key) => partition_of(key, partitions),
            None => (sequence % u64::from(partitions.unsigned_abs())) as i32,
        }
    }

    /// The offset that a partition begins with, where its records keep their own.
    pub(super) fn kept_from(&self, partition: i32) -> Option<i64> {
        let named = self.named.get(&partition).filter(|named| named.rises && !self.has_unplaced)?;
        Some(named.first_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(partition: Option<i32>, offset: Option<i64>, timestamp_ms: i64) -> Draft {
        let mut draft = Draft::default();
        (draft.partition, draft.offset, draft.timestamp_ms) = (partition, offset, timestamp_ms);
        draft
    }

    #[test]
    fn offsets_that_rise_are_kept_and_others_are_not() {
        let mut topics = Topics::new(None);
        let topic = topics.declare("t", None);
        for (partition, offset) in [(0, 5), (2, 9), (0, 7), (2, 9)] {
            topics.note(topic, &draft(Some(partition), Some(offset), 1), 0);
        }
        let topic = &topics.all()[topic];
        assert_eq!((topic.kept_from(0), topic.kept_from(2), topic.kept_from(1)), (Some(5), None, None));
        assert_eq!(topic.partitions(), 3);
    }

    #[test]
    fn a_partition_that_the_file_names_stays_in_the_order_of_the_file() {
        let mut topics = Topics::new(None);
        let topic = topics.declare("t", None);
        let mut time = |partition, ms| topics.note(topic, &draft(partition, None, ms), 3);
        assert_eq!([time(Some(0), 10), time(Some(0), 7), time(Some(1), 7)], [10, 10, 7]);
        assert_eq!([time(None, 7), time(None, -1)], [7, 3]);
    }

    #[test]
    fn a_name_that_would_leave_the_folder_is_refused() {
        for name in ["", "..", "../x", "a/b", "a b", "ü"] {
            assert!(name_fault(name).is_some(), "{name}");
        }
        assert_eq!(name_fault("shop.orders-1_x"), None);
    }
}
