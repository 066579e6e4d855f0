//! What the journal can say: one entry, one change.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::codec::{Fields, put_list, put_text};
use crate::group::CommittedOffset;
use crate::transaction::{State, Transaction};

/// One change of the broker's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    TopicCreated {
        name: String,
        id: Uuid,
        partitions: i32,
        overrides: BTreeMap<String, String>,
    },
    TopicDeleted {
        name: String,
    },
    PartitionsAdded {
        name: String,
        total: i32,
    },
    TopicConfigured {
        name: String,
        overrides: BTreeMap<String, String>,
    },
    LogStart {
        topic: Uuid,
        partition: i32,
        offset: i64,
    },
    /// Producer ids below this one may have been given out.
    ProducerIds {
        reserved_until: i64,
    },
    /// The whole state of a transactional id. `Prepared` is the point of decision of its transaction.
    Transaction {
        transactional_id: String,
        transaction: Transaction,
    },
    /// Committed offsets; -1 deletes one.
    Offsets(Vec<CommittedOffset>),
    /// The cluster's id, made once.
    Cluster {
        id: Uuid,
    },
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Entry::TopicCreated { name, id, partitions, overrides } => {
                out.push(1);
                put_text(&mut out, name);
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(&partitions.to_be_bytes());
                put_overrides(&mut out, overrides);
            }
            Entry::TopicDeleted { name } => {
                out.push(2);
                put_text(&mut out, name);
            }
            Entry::PartitionsAdded { name, total } => {
                out.push(3);
                put_text(&mut out, name);
                out.extend_from_slice(&total.to_be_bytes());
            }
            Entry::TopicConfigured { name, overrides } => {
                out.push(4);
                put_text(&mut out, name);
                put_overrides(&mut out, overrides);
            }
            Entry::LogStart { topic, partition, offset } => {
                out.push(5);
                out.extend_from_slice(topic.as_bytes());
                out.extend_from_slice(&partition.to_be_bytes());
                out.extend_from_slice(&offset.to_be_bytes());
            }
            Entry::ProducerIds { reserved_until } => {
                out.push(6);
                out.extend_from_slice(&reserved_until.to_be_bytes());
            }
            Entry::Transaction { transactional_id, transaction } => {
                out.push(7);
                put_text(&mut out, transactional_id);
                put_transaction(&mut out, transaction);
            }
            Entry::Offsets(offsets) => {
                out.push(8);
                put_list(&mut out, offsets.iter(), put_offset);
            }
            Entry::Cluster { id } => {
                out.push(9);
                out.extend_from_slice(id.as_bytes());
            }
        }
        out
    }

    /// `None` for bytes that are no entry of this version.
    pub fn decode(bytes: &[u8]) -> Option<Entry> {
        let mut fields = Fields(bytes);
        let entry = match fields.byte()? {
            1 => Entry::TopicCreated {
                name: fields.text()?,
                id: Uuid::from_bytes(fields.array()?),
                partitions: fields.int()?,
                overrides: overrides(&mut fields)?,
            },
            2 => Entry::TopicDeleted { name: fields.text()? },
            3 => Entry::PartitionsAdded { name: fields.text()?, total: fields.int()? },
            4 => Entry::TopicConfigured { name: fields.text()?, overrides: overrides(&mut fields)? },
            5 => Entry::LogStart {
                topic: Uuid::from_bytes(fields.array()?),
                partition: fields.int()?,
                offset: fields.long()?,
            },
            6 => Entry::ProducerIds { reserved_until: fields.long()? },
            7 => Entry::Transaction { transactional_id: fields.text()?, transaction: transaction(&mut fields)? },
            8 => Entry::Offsets(fields.list(offset)?),
            9 => Entry::Cluster { id: Uuid::from_bytes(fields.array()?) },
            _ => return None,
        };
        fields.0.is_empty().then_some(entry)
    }
}

fn put_overrides(out: &mut Vec<u8>, overrides: &BTreeMap<String, String>) {
    put_list(out, overrides.iter(), |out, (name, value)| {
        put_text(out, name);
        put_text(out, value);
    });
}

fn overrides(fields: &mut Fields) -> Option<BTreeMap<String, String>> {
    Some(fields.list(|fields| Some((fields.text()?, fields.text()?)))?.into_iter().collect())
}

fn put_offset(out: &mut Vec<u8>, committed: &CommittedOffset) {
    put_text(out, &committed.group);
    put_text(out, &committed.topic);
    out.extend_from_slice(&committed.partition.to_be_bytes());
    out.extend_from_slice(&committed.offset.to_be_bytes());
    out.extend_from_slice(&committed.leader_epoch.to_be_bytes());
    put_text(out, &committed.metadata);
}

fn offset(fields: &mut Fields) -> Option<CommittedOffset> {
    Some(CommittedOffset {
        group: fields.text()?,
        topic: fields.text()?,
        partition: fields.int()?,
        offset: fields.long()?,
        leader_epoch: fields.int()?,
        metadata: fields.text()?,
    })
}

fn put_transaction(out: &mut Vec<u8>, transaction: &Transaction) {
    out.extend_from_slice(&transaction.producer_id.to_be_bytes());
    out.extend_from_slice(&transaction.epoch.to_be_bytes());
    out.extend_from_slice(&transaction.last_epoch.to_be_bytes());
    out.extend_from_slice(&transaction.timeout_ms.to_be_bytes());
    let state = State::ALL.iter().position(|state| *state == transaction.state).expect("ALL has every state");
    out.push(state as u8);
    out.extend_from_slice(&transaction.started_ms.to_be_bytes());
    put_list(out, transaction.partitions.iter(), |out, (topic, partition)| {
        put_text(out, topic);
        out.extend_from_slice(&partition.to_be_bytes());
    });
    put_list(out, transaction.offsets.iter(), put_offset);
}

fn transaction(fields: &mut Fields) -> Option<Transaction> {
    Some(Transaction {
        producer_id: fields.long()?,
        epoch: fields.short()?,
        last_epoch: fields.short()?,
        timeout_ms: fields.int()?,
        state: *State::ALL.get(usize::from(fields.byte()?))?,
        started_ms: fields.long()?,
        partitions: fields.list(|fields| Some((fields.text()?, fields.int()?)))?.into_iter().collect(),
        offsets: fields.list(offset)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn examples() -> Vec<Entry> {
        let id = Uuid::from_u128(7);
        let overrides = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        let committed = CommittedOffset {
            group: "g".into(),
            topic: "t".into(),
            partition: 3,
            offset: 9,
            leader_epoch: -1,
            metadata: "m".into(),
        };
        let mut transaction = Transaction::new(4, 60_000);
        transaction.enter(4, 0, 12).unwrap();
        transaction.partitions.insert(("t".into(), 1));
        transaction.offsets.push(committed.clone());
        transaction.prepare(true);
        vec![
            Entry::TopicCreated { name: "t".into(), id, partitions: 6, overrides: overrides.clone() },
            Entry::TopicDeleted { name: "t".into() },
            Entry::PartitionsAdded { name: "t".into(), total: 9 },
            Entry::TopicConfigured { name: "t".into(), overrides },
            Entry::LogStart { topic: id, partition: 2, offset: 100 },
            Entry::ProducerIds { reserved_until: 1_000 },
            Entry::Transaction { transactional_id: "worker".into(), transaction },
            Entry::Offsets(vec![committed]),
            Entry::Cluster { id },
        ]
    }

    #[test]
    fn every_entry_survives_its_bytes_and_no_prefix_of_them_is_one() {
        for entry in examples() {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Some(entry));
            for cut in 0..bytes.len() {
                assert_eq!(Entry::decode(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn stored_bytes_do_not_change() {
        let bytes = Entry::PartitionsAdded { name: "ab".into(), total: 9 }.encode();
        assert_eq!(bytes, [3, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 9]);
    }
}
