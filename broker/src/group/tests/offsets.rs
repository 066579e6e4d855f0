//! Commits, transactional commits and what a fetch then answers.

use kafka_protocol::error::ResponseError::{
    IllegalGeneration, OffsetMetadataTooLarge, RebalanceInProgress, UnknownMemberId, UnstableOffsetCommit,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, ProducerId, TopicName, TxnOffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;

use super::{GROUP, Joining, Scene};
use crate::group::{CommittedOffset, text};

/// Offset and error of partition 0 of "placed", asked by version 7 and by version 8; both must agree.
fn fetch(scene: &mut Scene, require_stable: bool) -> (i64, i16) {
    let name = TopicName(text("placed"));
    let single = OffsetFetchRequestTopic::default().with_name(name.clone()).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_require_stable(require_stable);
    let request_7 = request.clone().with_group_id(GroupId(text(GROUP))).with_topics(Some(vec![single]));
    let partition = scene.coordinator.fetch_offsets(request_7, 7).topics[0].partitions[0].clone();

    let batched = OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(GROUP))).with_topics(Some(vec![batched]));
    let response = scene.coordinator.fetch_offsets(request.with_groups(vec![group]), 8);
    let same = &response.groups[0].topics[0].partitions[0];
    assert_eq!((same.committed_offset, same.error_code), (partition.committed_offset, partition.error_code));
    assert_eq!(response.groups[0].error_code, 0);
    (partition.committed_offset, partition.error_code)
}

fn commit_in_transaction(scene: &mut Scene, producer: i64, member_id: &str, generation: i32, offset: i64) -> i16 {
    let partition = TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
    let topic =
        TxnOffsetCommitRequestTopic::default().with_name(TopicName(text("placed"))).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_producer_id(ProducerId(producer))
        .with_member_id(text(member_id))
        .with_generation_id(generation)
        .with_topics(vec![topic]);
    let response = scene.coordinator.add_transactional_offsets(scene.now, request);
    response.topics[0].partitions[0].error_code
}

#[test]
fn a_group_that_nobody_has_heard_of_has_no_offset_and_no_error() {
    assert_eq!(fetch(&mut Scene::new(), true), (-1, 0));
}

#[test]
fn a_member_commits_in_its_generation_only() {
    let (mut scene, ids) = Scene::stable_group(1);
    let (error, journal) = scene.commit(&ids[0], 1, 42);
    assert_eq!((error, journal.len(), journal[0].offset), (0, 1, 42));
    assert_eq!(scene.commit(&ids[0], 0, 43), (IllegalGeneration.code(), vec![]));
    assert_eq!(scene.commit("stranger", 1, 43).0, UnknownMemberId.code());
    assert_eq!(fetch(&mut scene, false), (42, 0));
}

#[test]
fn a_member_may_commit_while_it_prepares_to_rebalance_but_not_before_it_synced() {
    let (mut scene, ids) = Scene::stable_group(1);
    scene.join(Joining::default());
    assert_eq!(scene.commit(&ids[0], 1, 42).0, 0);
    scene.rejoin(&ids[0]);
    assert_eq!(scene.commit(&ids[0], 2, 43).0, RebalanceInProgress.code());
}

#[test]
fn a_client_without_membership_commits_to_an_empty_group_only() {
    let mut scene = Scene::new();
    assert_eq!(scene.commit("", -1, 5).0, 0);
    assert_eq!(fetch(&mut scene, false), (5, 0));
    scene.join(Joining::default());
    assert_eq!(scene.commit("", -1, 6).0, UnknownMemberId.code());
    assert_eq!(fetch(&mut scene, false), (5, 0));
}

#[test]
fn a_generation_in_a_group_that_is_gone_is_refused() {
    assert_eq!(Scene::new().commit("member", 3, 1).0, IllegalGeneration.code());
}

#[test]
fn transactional_offsets_are_unstable_until_the_transaction_ends() {
    let (mut scene, ids) = Scene::stable_group(1);
    scene.commit(&ids[0], 1, 10);
    assert_eq!(commit_in_transaction(&mut scene, 7, &ids[0], 1, 20), 0);
    assert_eq!(fetch(&mut scene, false), (10, 0));
    assert_eq!(fetch(&mut scene, true), (-1, UnstableOffsetCommit.code()));
    scene.coordinator.end_transaction(7, true);
    assert_eq!(fetch(&mut scene, true), (20, 0));
}

#[test]
fn an_aborted_transaction_leaves_the_offsets_as_they_were() {
    let (mut scene, ids) = Scene::stable_group(1);
    scene.commit(&ids[0], 1, 10);
    commit_in_transaction(&mut scene, 7, &ids[0], 1, 20);
    scene.coordinator.end_transaction(7, false);
    assert_eq!(fetch(&mut scene, true), (10, 0));
}

#[test]
fn a_transaction_that_speaks_for_the_past_is_refused() {
    let (mut scene, ids) = Scene::stable_group(1);
    assert_eq!(commit_in_transaction(&mut scene, 7, &ids[0], 0, 20), IllegalGeneration.code());
    assert_eq!(commit_in_transaction(&mut scene, 7, "stranger", 1, 20), UnknownMemberId.code());
    assert_eq!(commit_in_transaction(&mut scene, 7, "", -1, 20), 0, "without group metadata nothing is checked");
}

#[test]
fn restored_offsets_are_the_last_of_the_journal() {
    let mut scene = Scene::new();
    let at = |offset| CommittedOffset {
        group: GROUP.into(),
        topic: "placed".into(),
        partition: 0,
        offset,
        leader_epoch: 3,
        metadata: "m".into(),
    };
    scene.coordinator.restore_offsets(GROUP, vec![at(1), at(2)]);
    assert_eq!(fetch(&mut scene, true), (2, 0));
    scene.coordinator.restore_offsets(GROUP, vec![at(-1)]);
    assert_eq!(fetch(&mut scene, true), (-1, 0));
}

#[test]
fn all_partitions_are_fetched_when_none_is_named() {
    let mut scene = Scene::new();
    scene.commit("", -1, 5);
    let request = OffsetFetchRequest::default().with_group_id(GroupId(text(GROUP))).with_topics(None);
    let response = scene.coordinator.fetch_offsets(request, 7);
    assert_eq!(response.topics[0].name.0, StrBytes::from_static_str("placed"));
    assert_eq!(response.topics[0].partitions[0].committed_offset, 5);
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten() {
    let mut scene = Scene::new();
    scene.commit("", -1, 5);
    let journal = scene.coordinator.forget_topic("placed");
    assert_eq!(journal.iter().map(|offset| offset.offset).collect::<Vec<_>>(), [-1]);
    assert_eq!(fetch(&mut scene, false), (-1, 0));
}

#[test]
fn metadata_has_a_limit() {
    let mut scene = Scene::new();
    scene.coordinator.limits.max_offset_metadata_bytes = 0;
    assert_eq!(scene.commit("", -1, 5).0, 0);
    let long = TxnOffsetCommitRequestPartition::default().with_committed_metadata(Some(text("m")));
    let topic = TxnOffsetCommitRequestTopic::default().with_partitions(vec![long]);
    let request = TxnOffsetCommitRequest::default().with_group_id(GroupId(text(GROUP))).with_generation_id(-1);
    let response = scene.coordinator.add_transactional_offsets(scene.now, request.with_topics(vec![topic]));
    assert_eq!(response.topics[0].partitions[0].error_code, OffsetMetadataTooLarge.code());
}
