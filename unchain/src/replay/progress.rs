//! How far replays have come: a compacted topic, written in the transactions that write what is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ReplayError;
use super::source::Place;
use crate::kafka::{
    Admin, ClientError, Connection, ErrorKind, Headers, NewTopic, OffsetsClient, Outgoing, Reader, TopicPartition,
    TransactionalProducer,
};

/// The topic that keeps the progress of replays: its records' keys are `ID` for what a replay began with, and
/// `ID/TOPIC/PARTITION` for how far it has come in a recorded partition, and `ID/owner` for the process that replays.
pub const REPLAYS_TOPIC: &str = "_unchain.replays";

const OWNER: &str = "/owner";

/// How long markers of transactions that have ended are waited for.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a transaction may hang until its broker ends it: its timeout, and the broker's own rounds.
const HANGING_PATIENCE: Duration = Duration::from_secs(40);

/// What a replay began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    /// The digest of the recording and of the options that say what is written.
    pub(super) digest: String,
    pub(super) started_ms: i64,
    pub(super) shift_ms: i64,
    /// Each target topic's partitions: where they ended, so that what is replayed begins there.
    pub(super) target_starts: BTreeMap<String, Vec<i64>>,
}

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) next_offset: i64,
    pub(super) due_ms: i64,
    /// What was replayed of it.
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// What the topic says about one replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) begin: Option<Begin>,
    /// The process that replays.
    pub(super) owner: Option<String>,
    pub(super) partitions: BTreeMap<TopicPartition, Progress>,
    /// The first thing that could not be read.
    pub(super) damaged: Option<String>,
}

impl Stored {
    pub(super) fn places(&self) -> BTreeMap<TopicPartition, Place> {
        let place = |progress: &Progress| Place { next_offset: progress.next_offset, due_ms: progress.due_ms };
        self.partitions.iter().map(|(at, progress)| (at.clone(), place(progress))).collect()
    }

    pub(super) fn records(&self) -> u64 {
        self.partitions.values().map(|progress| progress.records).sum()
    }

    fn take(&mut self, id: &str, key: &[u8], value: Option<&[u8]>) {
        let Some(rest) = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(id)) else { return };
        if rest.is_empty() {
            self.begin = self.read(value);
        } else if rest == OWNER {
            self.owner = self.read(value);
        } else if let Some(at) = rest.strip_prefix('/').and_then(place) {
            match self.read(value) {
                Some(progress) => drop(self.partitions.insert(at, progress)),
                None => drop(self.partitions.remove(&at)),
            }
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self, value: Option<&[u8]>) -> Option<T> {
        let read = serde_json::from_slice(value?);
        read.map_err(|error| self.damaged.get_or_insert_with(|| error.to_string())).ok()
    }
}

fn place(text: &str) -> Option<TopicPartition> {
    let (topic, partition) = text.rsplit_once('/')?;
    Some(TopicPartition { topic: Arc::from(topic), partition: partition.parse().ok()? })
}

fn key(id: &str, at: &TopicPartition) -> String {
    format!("{id}/{}/{}", at.topic, at.partition)
}

/// Creates the topic where it is missing.
pub(super) fn create_topic(connection: &Connection, deadline: Duration) -> Result<(), ClientError> {
    let configs = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.1")];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let topic = NewTopic { name: REPLAYS_TOPIC.to_owned(), partitions: 1, configs };
    Admin::new(connection, deadline)?.create_topics(&[topic]).map(drop)
}

/// Reads the progress of a replay, as of the last transaction that has ended.
pub(super) fn load(connection: &Connection, id: &str, deadline: Duration) -> Result<Stored, ClientError> {
    let mut stored = Stored::default();
    if !connection.topics(deadline)?.iter().any(|topic| topic.name == REPLAYS_TOPIC) {
        return Ok(stored);
    }
    let at = TopicPartition { topic: REPLAYS_TOPIC.into(), partition: 0 };
    OffsetsClient::new(connection)?.settled_ends(&[at], SETTLE_PATIENCE, deadline)?;
    Reader::open(connection, REPLAYS_TOPIC, &[(0, None)])?.read_to_end(deadline, |record| {
        stored.take(id, record.key.as_deref().unwrap_or_default(), record.value.as_deref());
        Ok(())
    })?;
    Ok(stored)
}

/// As [`load`], where nothing that was written before the call may be hidden by a transaction that is still undecided.
pub(super) fn load_settled(connection: &Connection, id: &str, deadline: Duration) -> Result<Stored, ClientError> {
    if connection.topics(deadline)?.iter().any(|topic| topic.name == REPLAYS_TOPIC) {
        let at = TopicPartition { topic: REPLAYS_TOPIC.into(), partition: 0 };
        let offsets = OffsetsClient::new(connection)?;
        let end = offsets.watermarks(&at.topic, at.partition, deadline)?.end;
        let stable = offsets.settled_ends(std::slice::from_ref(&at), HANGING_PATIENCE, deadline)?;
        if stable.iter().any(|stable| *stable < end) {
            return Err(hidden());
        }
    }
    load(connection, id, deadline)
}

/// The latest progress is there, but a reader of committed records does not come to it yet.
pub(super) fn hidden() -> ClientError {
    ClientError::Operation {
        operation: "reading the progress",
        reason: "the latest progress cannot be read yet: a transaction before it is undecided".to_owned(),
        kind: ErrorKind::Retry,
    }
}

/// Writes which process replays into the open transaction.
pub(super) fn write_owner(producer: &TransactionalProducer, id: &str, owner: &str) -> Result<(), ClientError> {
    write(producer, &format!("{id}{OWNER}"), Some(owner))
}

/// Writes what a replay begins with into the open transaction.
pub(super) fn write_begin(producer: &TransactionalProducer, id: &str, begin: &Begin) -> Result<(), ClientError> {
    write(producer, id, Some(begin))
}

/// Writes how far a partition has come into the open transaction.
pub(super) fn write_progress(
    producer: &TransactionalProducer,
    id: &str,
    at: &TopicPartition,
    progress: &Progress,
) -> Result<(), ClientError> {
    write(producer, &key(id, at), Some(progress))
}

/// Forgets how far a partition had come.
pub(super) fn clear(producer: &TransactionalProducer, id: &str, at: &TopicPartition) -> Result<(), ClientError> {
    write::<Progress>(producer, &key(id, at), None)
}

fn write<T: Serialize + ?Sized>(
    producer: &TransactionalProducer,
    key: &str,
    value: Option<&T>,
) -> Result<(), ClientError> {
    let value = value.map(|value| serde_json::to_vec(value).expect("numbers and texts have a JSON form"));
    producer.send(Outgoing {
        topic: REPLAYS_TOPIC,
        partition: Some(0),
        timestamp_ms: None,
        key: Some(key.as_bytes()),
        value: value.as_deref(),
        headers: &Headers::default(),
    })
}

/// A replay that can be gone on with: begun by the same options, its progress readable.
pub(super) fn check(stored: &Stored, id: &str, digest: &str) -> Result<(), ReplayError> {
    if let Some(reason) = &stored.damaged {
        return Err(ReplayError::Damaged { id: id.to_owned(), reason: reason.clone() });
    }
    match &stored.begin {
        Some(begin) if begin.digest != digest => Err(ReplayError::OtherOptions { id: id.to_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    #[test]
    fn progress_comes_back_for_its_own_replay_alone_and_a_tombstone_ends_it() {
        let progress = Progress { next_offset: 7, due_ms: i64::MIN, records: 3, bytes: 9 };
        let value = serde_json::to_vec(&progress).unwrap();
        let mut stored = Stored::default();
        for id in ["load", "load-2", "other"] {
            stored.take("load", key(id, &at("orders.placed", 11)).as_bytes(), Some(&value));
        }
        assert_eq!(stored.partitions, BTreeMap::from([(at("orders.placed", 11), progress)]));
        assert_eq!(stored.records(), 3);
        stored.take("load", key("load", &at("orders.placed", 11)).as_bytes(), None);
        assert_eq!(stored, Stored::default());
        stored.take("load", b"load/owner", Some(b"\"me\""));
        stored.take("load", b"load-2/owner", Some(b"\"you\""));
        assert_eq!(stored.owner.as_deref(), Some("me"));
    }

    #[test]
    fn a_stored_replay_keeps_its_bytes() {
        let progress = Progress { next_offset: 7, due_ms: 5, records: 3, bytes: 9 };
        let text = serde_json::to_string(&progress).unwrap();
        assert_eq!(text, r#"{"next_offset":7,"due_ms":5,"records":3,"bytes":9}"#);
        assert_eq!(key("load", &at("orders", 3)), "load/orders/3");
    }

    #[test]
    fn what_cannot_be_read_or_is_of_other_options_is_told() {
        let mut stored = Stored::default();
        stored.take("load", b"load", Some(b"{"));
        assert!(matches!(check(&stored, "load", "d"), Err(ReplayError::Damaged { .. })));
        let begin = Begin { digest: "d".to_owned(), started_ms: 0, shift_ms: 0, target_starts: BTreeMap::new() };
        let stored = Stored { begin: Some(begin), ..Stored::default() };
        assert!(check(&stored, "load", "d").is_ok());
        assert!(matches!(check(&stored, "load", "e"), Err(ReplayError::OtherOptions { .. })));
    }
}
