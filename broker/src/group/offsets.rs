//! The offsets of one group: committed ones, and those that wait for their transaction to end.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

/// One committed offset, as the broker journals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    /// The next offset to read, or -1 when the commit was deleted.
    pub offset: i64,
    /// The leader epoch of the last record read, or -1 when unknown.
    pub leader_epoch: i32,
    pub metadata: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

type Positions = BTreeMap<String, BTreeMap<i32, Position>>;

pub(super) struct GroupOffsets {
    group: String,
    max_offsets: usize,
    committed: Positions,
    /// By producer id: what that producer's open transaction will commit (KIP-98).
    pending: BTreeMap<i64, Positions>,
}

impl GroupOffsets {
    pub fn new(group: &str, max_offsets: usize) -> Self {
        Self { group: group.to_owned(), max_offsets, committed: Positions::new(), pending: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    pub fn restore(&mut self, restored: CommittedOffset) {
        let CommittedOffset { topic, partition, offset, leader_epoch, metadata, .. } = restored;
        if offset < 0 {
            self.delete(&topic, partition);
        } else {
            put(&mut self.committed, &topic, partition, Position { offset, leader_epoch, metadata });
        }
    }

    /// Commits one offset and returns it for the journal.
    ///
    /// # Errors
    /// `INVALID_COMMIT_OFFSET_SIZE` when the group holds as many offsets as it may.
    pub fn commit(
        &mut self,
        topic: &str,
        partition: i32,
        position: Position,
    ) -> Result<CommittedOffset, ResponseError> {
        self.check_room(topic, partition)?;
        let journaled = self.describe(topic, partition, &position);
        put(&mut self.committed, topic, partition, position);
        Ok(journaled)
    }

    /// Keeps one offset until the transaction of `producer_id` ends.
    ///
    /// # Errors
    /// `INVALID_COMMIT_OFFSET_SIZE` when the group holds as many offsets as it may.
    pub fn hold(
        &mut self,
        producer_id: i64,
        topic: &str,
        partition: i32,
        position: Position,
    ) -> Result<(), ResponseError> {
        self.check_room(topic, partition)?;
        put(self.pending.entry(producer_id).or_default(), topic, partition, position);
        Ok(())
    }

    fn check_room(&self, topic: &str, partition: i32) -> Result<(), ResponseError> {
        let held: usize = self.pending.values().chain([&self.committed]).map(count).sum();
        if held < self.max_offsets || self.position(topic, partition).is_some() {
            return Ok(());
        }
        Err(ResponseError::InvalidCommitOffsetSize)
    }

    pub fn position(&self, topic: &str, partition: i32) -> Option<&Position> {
        self.committed.get(topic)?.get(&partition)
    }

    /// Whether an open transaction may still change this offset (KIP-447).
    pub fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        self.pending.values().any(|held| held.get(topic).is_some_and(|t| t.contains_key(&partition)))
    }

    /// Every topic and partition that has a commit, or would have one.
    pub fn known_partitions(&self) -> BTreeMap<String, Vec<i32>> {
        let mut known: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partitions) in self.pending.values().chain([&self.committed]).flatten() {
            known.entry(topic.clone()).or_default().extend(partitions.keys());
        }
        for partitions in known.values_mut() {
            partitions.sort_unstable();
            partitions.dedup();
        }
        known
    }

    pub fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        for (topic, partitions) in self.pending.remove(&producer_id).into_iter().flatten().filter(|_| commit) {
            self.committed.entry(topic).or_default().extend(partitions);
        }
    }

    /// Forgets one commit; returns what to journal, or nothing when there was none.
    pub fn delete(&mut self, topic: &str, partition: i32) -> Option<CommittedOffset> {
        let partitions = self.committed.get_mut(topic)?;
        partitions.remove(&partition)?;
        if partitions.is_empty() {
            self.committed.remove(topic);
        }
        Some(self.describe(topic, partition, &Position { offset: -1, leader_epoch: -1, metadata: String::new() }))
    }

    /// Forgets a topic that no longer exists, open transactions included.
    pub fn delete_topic(&mut self, topic: &str) -> Vec<CommittedOffset> {
        for held in self.pending.values_mut() {
            held.remove(topic);
        }
        self.pending.retain(|_, held| !held.is_empty());
        let partitions: Vec<i32> = self.committed.get(topic).into_iter().flat_map(|t| t.keys().copied()).collect();
        partitions.into_iter().filter_map(|partition| self.delete(topic, partition)).collect()
    }

    pub fn delete_all(&mut self) -> Vec<CommittedOffset> {
        self.pending.clear();
        let topics: Vec<String> = self.committed.keys().cloned().collect();
        topics.iter().flat_map(|topic| self.delete_topic(topic)).collect()
    }

    fn describe(&self, topic: &str, partition: i32, position: &Position) -> CommittedOffset {
        CommittedOffset {
            group: self.group.clone(),
            topic: topic.to_owned(),
            partition,
            offset: position.offset,
            leader_epoch: position.leader_epoch,
            metadata: position.metadata.clone(),
        }
    }
}

fn put(positions: &mut Positions, topic: &str, partition: i32, position: Position) {
    match positions.get_mut(topic) {
        Some(partitions) => partitions.insert(partition, position),
        None => positions.entry(topic.to_owned()).or_default().insert(partition, position),
    };
}

fn count(positions: &Positions) -> usize {
    positions.values().map(BTreeMap::len).sum()
}
