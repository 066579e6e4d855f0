//! The records of one side of a comparison that wait for their counterparts: a bounded number, the oldest first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::envelope;
use crate::kafka::Record;

/// What makes two records the same one: their id, or their key where they have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity<'r> {
    Id(&'r [u8]),
    Key(&'r [u8]),
}

impl<'r> Identity<'r> {
    pub(super) fn of(record: &'r Record) -> Identity<'r> {
        let key = || Identity::Key(record.key.as_deref().unwrap_or_default());
        record.headers.get(envelope::ID).map_or_else(key, Identity::Id)
    }

    fn bytes(self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Identity::Id(id) => (b'i', id),
            Identity::Key(key) => (b'k', key),
        };
        [&[kind], bytes].concat()
    }
}

/// Records in the order in which they came. Those of one identity are taken in that order too.
#[derive(Debug, Default)]
pub(super) struct Unmatched {
    records: BTreeMap<u64, Record>,
    by_identity: HashMap<Vec<u8>, VecDeque<u64>, FixedState>,
    next: u64,
    bytes: usize,
}

impl Unmatched {
    pub(super) fn put(&mut self, record: Record) {
        self.by_identity.entry(Identity::of(&record).bytes()).or_default().push_back(self.next);
        self.bytes += record.size_bytes();
        self.records.insert(self.next, record);
        self.next += 1;
    }

    /// Takes the first record of an identity.
    pub(super) fn take(&mut self, identity: Identity<'_>) -> Option<Record> {
        if self.records.is_empty() {
            return None;
        }
        let identity = identity.bytes();
        let waiting = self.by_identity.get_mut(&identity)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.by_identity.remove(&identity);
        }
        let record = self.records.remove(&first?)?;
        self.bytes -= record.size_bytes();
        Some(record)
    }

    /// Whether a record of the identity waits.
    pub(super) fn has(&self, identity: Identity<'_>) -> bool {
        !self.records.is_empty() && self.by_identity.contains_key(&identity.bytes())
    }

    /// Takes the oldest record where there are more than so many, or more bytes.
    pub(super) fn take_excess(&mut self, max_records: usize, max_bytes: usize) -> Option<Record> {
        if self.records.len() <= max_records && self.bytes <= max_bytes {
            return None;
        }
        self.take_oldest()
    }

    pub(super) fn take_oldest(&mut self) -> Option<Record> {
        let (_, record) = self.records.first_key_value()?;
        let identity = Identity::of(record).bytes();
        let oldest = self.records.pop_first().map(|(_, record)| record)?;
        if let Some(waiting) = self.by_identity.get_mut(&identity) {
            waiting.pop_front();
            if waiting.is_empty() {
                self.by_identity.remove(&identity);
            }
        }
        self.bytes -= oldest.size_bytes();
        Some(oldest)
    }
}
