//! What a partition holds, as one number: two partitions with equal chains hold the same records in the same order.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use crate::kafka::{LentRecord, Outgoing};

/// Records, hashed one after the other with what came before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) records: u64,
    hash: u64,
}

impl Chain {
    pub(super) fn add_outgoing(&mut self, record: &Outgoing<'_>) {
        let mut link = self.link(record.timestamp_ms.unwrap_or(-1), record.key, record.value);
        record.headers.iter().for_each(|(name, value)| add_header(&mut link, name.as_bytes(), value));
        self.close(&link);
    }

    pub(super) fn add_lent(&mut self, record: &LentRecord<'_>) {
        let mut link = self.link(record.timestamp_ms(), record.key(), record.value());
        record.headers(|name, value| add_header(&mut link, name, value));
        self.close(&link);
    }

    fn link(&self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> impl Hasher + use<> {
        let mut link = FixedState::with_seed(self.hash).build_hasher();
        link.write_i64(timestamp_ms);
        add_bytes(&mut link, key);
        add_bytes(&mut link, value);
        link
    }

    fn close(&mut self, link: &impl Hasher) {
        self.records += 1;
        self.hash = link.finish();
    }
}

fn add_header(link: &mut impl Hasher, name: &[u8], value: Option<&[u8]>) {
    add_bytes(link, Some(name));
    add_bytes(link, value);
}

/// The length comes first, so that bytes cannot move from one part to the next.
fn add_bytes(link: &mut impl Hasher, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            link.write_u64(bytes.len() as u64);
            link.write(bytes);
        }
        None => link.write_u64(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Headers;

    /// Time, key, value and headers.
    type Parts = (i64, Option<&'static [u8]>, Option<&'static [u8]>, &'static [(&'static str, &'static str)]);

    fn chain(records: &[Parts]) -> Chain {
        let mut chain = Chain::default();
        for (timestamp_ms, key, value, headers) in records {
            let mut built = Headers::builder();
            headers.iter().for_each(|(name, value)| built.push(name, Some(value.as_bytes())));
            let headers = built.finish();
            let timestamp_ms = Some(*timestamp_ms);
            let (topic, partition, key, value) = ("t", Some(0), *key, *value);
            chain.add_outgoing(&Outgoing { topic, partition, timestamp_ms, key, value, headers: &headers });
        }
        chain
    }

    #[test]
    fn a_chain_tells_order_and_every_part_of_a_record_apart() {
        let (a, b): (Parts, Parts) = ((1, Some(b"k"), Some(b"v"), &[]), (2, None, None, &[]));
        let chains = [
            chain(&[a, b]),
            chain(&[b, a]),
            chain(&[a]),
            chain(&[(1, Some(b"kv"), Some(b""), &[]), b]),
            chain(&[(1, Some(b"k"), None, &[]), b]),
            chain(&[(1, None, Some(b"v"), &[]), b]),
            chain(&[(3, a.1, a.2, &[]), b]),
            chain(&[(1, a.1, a.2, &[("n", "x")]), b]),
            chain(&[(1, a.1, a.2, &[("nx", "")]), b]),
        ];
        for (index, chain) in chains.iter().enumerate() {
            assert!(!chains[..index].contains(chain), "{index}");
        }
        assert_eq!(chain(&[a, b]), chains[0]);
    }
}
