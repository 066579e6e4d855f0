//! OffsetCommit, TxnOffsetCommit and OffsetFetch: protocol requests against one group's offsets.

use std::time::Instant;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::membership::Group;
use super::offsets::{CommittedOffset, Position};
use super::state::GroupState;
use super::text;

/// Who commits: a member of a generation, or a client that manages its partitions itself.
struct Committer<'a> {
    member_id: &'a str,
    instance_id: Option<&'a str>,
    generation: i32,
}

impl Committer<'_> {
    fn claims_membership(&self) -> bool {
        self.generation >= 0 || !self.member_id.is_empty() || self.instance_id.is_some()
    }
}

impl Group {
    pub fn commit(
        &mut self,
        now: Instant,
        request: &OffsetCommitRequest,
    ) -> (OffsetCommitResponse, Vec<CommittedOffset>) {
        let committer = Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
        };
        if let Err(error) = self.check_commit(&committer) {
            return (refused_commit(request, error), Vec::new());
        }
        if let Some(member) = self.members.get_mut(committer.member_id) {
            member.heard_from(now);
        }
        let mut journal = Vec::new();
        let response = commit_response(request, |topic, partition| {
            let position = self.position_of(partition)?;
            journal.push(self.offsets.commit(topic, partition.partition_index, position)?);
            Ok(())
        });
        (response, journal)
    }

    fn check_commit(&self, committer: &Committer) -> Result<(), ResponseError> {
        if committer.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if !committer.claims_membership() {
            // A client that assigns partitions itself must not write into the commits of a group at work.
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_generation(committer.member_id, committer.instance_id, committer.generation)?;
        // The member has not synced yet: it cannot own what it commits.
        let unassigned = self.state == GroupState::CompletingRebalance;
        if unassigned { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    }

    /// Keeps offsets until their transaction ends. Group metadata is checked when the producer sends it (KIP-447).
    pub fn hold(&mut self, now: Instant, request: &TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        let committer = Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id,
        };
        let checked = match committer.claims_membership() {
            true => self.check_generation(committer.member_id, committer.instance_id, committer.generation),
            false => Ok(()),
        };
        if let (Ok(()), Some(member)) = (checked, self.members.get_mut(committer.member_id)) {
            member.heard_from(now);
        }
        hold_response(request, |topic, partition| {
            checked?;
            let position = self.held_position_of(partition)?;
            self.offsets.hold(request.producer_id.0, topic, partition.partition_index, position)
        })
    }

    fn position_of(&self, partition: &OffsetCommitRequestPartition) -> Result<Position, ResponseError> {
        self.position(partition.committed_offset, partition.committed_leader_epoch, &partition.committed_metadata)
    }

    fn held_position_of(&self, partition: &TxnOffsetCommitRequestPartition) -> Result<Position, ResponseError> {
        self.position(partition.committed_offset, partition.committed_leader_epoch, &partition.committed_metadata)
    }

    fn position(&self, offset: i64, leader_epoch: i32, metadata: &Option<StrBytes>) -> Result<Position, ResponseError> {
        let metadata = metadata.as_deref().unwrap_or_default();
        if metadata.len() > self.limits.max_offset_metadata_bytes {
            return Err(ResponseError::OffsetMetadataTooLarge);
        } else if offset < 0 {
            // -1 marks a deleted commit in the journal.
            return Err(ResponseError::InvalidRequest);
        }
        Ok(Position { offset, leader_epoch, metadata: metadata.to_owned() })
    }
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

/// Answers each partition of a commit with what `commit` makes of it.
fn commit_response(
    request: &OffsetCommitRequest,
    mut commit: impl FnMut(&str, &OffsetCommitRequestPartition) -> Result<(), ResponseError>,
) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(commit(&topic.name.0, partition)))
        });
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn hold_response(
    request: &TxnOffsetCommitRequest,
    mut hold: impl FnMut(&str, &TxnOffsetCommitRequestPartition) -> Result<(), ResponseError>,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(hold(&topic.name.0, partition)))
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// The same refusal for every partition of a commit.
pub(super) fn refused_commit(request: &OffsetCommitRequest, error: ResponseError) -> OffsetCommitResponse {
    commit_response(request, |_, _| Err(error))
}

/// The same refusal for every partition of a transactional commit.
pub(super) fn refused_hold(request: &TxnOffsetCommitRequest, error: ResponseError) -> TxnOffsetCommitResponse {
    hold_response(request, |_, _| Err(error))
}

/// What OffsetFetch answers for one partition, before the response's version gives it a shape.
pub(super) struct Fetched {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    error_code: i16,
}

/// Which partitions of which topics are asked for; `None` asks for all that the group knows.
pub(super) type Wanted = Option<Vec<(TopicName, Vec<i32>)>>;

/// Looks committed offsets up. No commit is offset -1 and no error, also in a group that nobody has heard of.
pub(super) fn fetch(group: Option<&Group>, wanted: Wanted, require_stable: bool) -> Vec<(TopicName, Vec<Fetched>)> {
    let known = || {
        let partitions = group.map(|group| group.offsets.known_partitions()).unwrap_or_default();
        partitions
            .into_iter()
            .map(|(topic, partitions)| (TopicName(StrBytes::from_string(topic)), partitions))
            .collect()
    };
    let wanted = wanted.unwrap_or_else(known);
    let look_up = |topic: &str, partition: i32| {
        let position = group.and_then(|group| group.offsets.position(topic, partition));
        let unstable = require_stable && group.is_some_and(|group| group.offsets.is_unstable(topic, partition));
        let position = position.filter(|_| !unstable);
        Fetched {
            partition,
            offset: position.map_or(-1, |at| at.offset),
            leader_epoch: position.map_or(-1, |at| at.leader_epoch),
            metadata: position.map_or_else(StrBytes::new, |at| text(&at.metadata)),
            error_code: if unstable { ResponseError::UnstableOffsetCommit.code() } else { 0 },
        }
    };
    let answered = wanted.into_iter().map(|(topic, partitions)| {
        let fetched = partitions.into_iter().map(|partition| look_up(&topic.0, partition)).collect();
        (topic, fetched)
    });
    answered.collect()
}

/// The shape of versions 1 to 7: one group.
pub(super) fn single_group_topics(fetched: Vec<(TopicName, Vec<Fetched>)>) -> Vec<OffsetFetchResponseTopic> {
    let shape = |at: Fetched| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(at.partition)
            .with_committed_offset(at.offset)
            .with_committed_leader_epoch(at.leader_epoch)
            .with_metadata(Some(at.metadata))
            .with_error_code(at.error_code)
    };
    let topics = fetched.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(shape).collect();
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
    });
    topics.collect()
}

/// The shape of version 8 and later: many groups (KIP-709).
pub(super) fn batched_group_topics(fetched: Vec<(TopicName, Vec<Fetched>)>) -> Vec<OffsetFetchResponseTopics> {
    let shape = |at: Fetched| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(at.partition)
            .with_committed_offset(at.offset)
            .with_committed_leader_epoch(at.leader_epoch)
            .with_metadata(Some(at.metadata))
            .with_error_code(at.error_code)
    };
    let topics = fetched.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(shape).collect();
        OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
    });
    topics.collect()
}
