//! The records that one call of a handler led to, encoded into one buffer: emitting many costs no allocation each.

use crate::contract::Topic;

/// Encoded outputs in the order in which they were emitted. Cleared and used again, call after call.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Emissions {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    topic: &'static Topic,
    start: usize,
    key_end: usize,
    /// `None` is a tombstone.
    value_end: Option<usize>,
}

/// One emitted record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emitted<'a> {
    pub topic: &'static Topic,
    pub key: &'a [u8],
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

impl Emitted<'_> {
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.map_or(0, <[u8]>::len)
    }
}

impl Emissions {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = Emitted<'_>> {
        self.entries.iter().map(|entry| Emitted {
            topic: entry.topic,
            key: &self.bytes[entry.start..entry.key_end],
            value: entry.value_end.map(|end| &self.bytes[entry.key_end..end]),
        })
    }

    /// Appends a record whose value `write` appends to the buffer it is given; on its error nothing is appended.
    pub fn push<E>(
        &mut self,
        topic: &'static Topic,
        key: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        self.entries.push(Entry { topic, start, key_end, value_end: Some(self.bytes.len()) });
        Ok(())
    }

    pub fn push_tombstone(&mut self, topic: &'static Topic, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.entries.push(Entry { topic, start, key_end: self.bytes.len(), value_end: None });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{Cleanup, Retention};

    static TOPIC: Topic = Topic {
        name: "t",
        schema_name: "T",
        schema: "{}",
        key: "k",
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: Retention::Forever,
        doc: "",
    };

    #[test]
    fn records_come_back_in_order_and_a_value_that_fails_leaves_no_trace() {
        let mut emissions = Emissions::default();
        let value = |bytes: &'static [u8]| {
            move |out: &mut Vec<u8>| {
                out.extend_from_slice(bytes);
                Ok::<_, ()>(())
            }
        };
        emissions.push(&TOPIC, b"a", value(b"one")).unwrap();
        emissions
            .push(&TOPIC, b"lost", |out| {
                out.push(7);
                Err(())
            })
            .unwrap_err();
        emissions.push_tombstone(&TOPIC, b"b");
        emissions.push(&TOPIC, b"", value(b"")).unwrap();
        let all: Vec<_> = emissions.iter().map(|emitted| (emitted.key, emitted.value)).collect();
        assert_eq!(all, [(&b"a"[..], Some(&b"one"[..])), (b"b", None), (b"", Some(b""))]);
        assert_eq!(emissions.size_bytes(), 5);
    }
}
