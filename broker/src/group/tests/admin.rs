//! Listing, describing and deleting groups and offsets.

use kafka_protocol::error::ResponseError::{GroupIdNotFound, GroupSubscribedToTopic, NonEmptyGroup};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest, OffsetDeleteRequest, TopicName,
};

use super::{GROUP, Joining, Scene};
use crate::group::text;

fn delete(scene: &mut Scene) -> (i16, usize) {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(GROUP))]);
    let (response, journal) = scene.coordinator.delete(&request);
    (response.results[0].error_code, journal.len())
}

fn delete_offset(scene: &mut Scene, topic: &str) -> (i16, usize) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(GroupId(text(GROUP))).with_topics(vec![topic]);
    let (response, journal) = scene.coordinator.delete_offsets(&request);
    (response.topics[0].partitions[0].error_code, journal.len())
}

#[test]
fn a_group_is_deleted_with_its_offsets_once_it_is_empty() {
    let (mut scene, ids) = Scene::stable_group(1);
    scene.commit(&ids[0], 1, 42);
    assert_eq!(delete(&mut scene), (NonEmptyGroup.code(), 0));
    scene.leave(&ids[0]);
    assert_eq!(delete(&mut scene), (0, 1));
    assert_eq!(delete(&mut scene), (GroupIdNotFound.code(), 0));
}

#[test]
fn offsets_are_deleted_only_where_nobody_subscribes() {
    let mut scene = Scene::new();
    scene.commit("", -1, 5);
    // A consumer's subscription, version 0: one topic, "placed", no user data.
    let subscription = "\0\0\0\0\0\u{1}\0\u{6}placed\0\0\0\0";
    scene.join(Joining { protocols: &[("range", subscription)], ..Joining::default() });
    assert_eq!(delete_offset(&mut scene, "placed"), (GroupSubscribedToTopic.code(), 0));
    assert_eq!(delete_offset(&mut scene, "other"), (0, 0));
    let member = scene.coordinator.groups[GROUP].leader.clone().unwrap();
    scene.leave(&member);
    assert_eq!(delete_offset(&mut scene, "placed"), (0, 1));
}

#[test]
fn groups_are_listed_by_state() {
    let (scene, _) = Scene::stable_group(1);
    let listed = |state: &str| {
        let request = ListGroupsRequest::default().with_states_filter(vec![text(state)]);
        scene.coordinator.list(&request).groups.len()
    };
    assert_eq!((listed("stable"), listed("Empty")), (1, 0));
    let all = scene.coordinator.list(&ListGroupsRequest::default());
    assert_eq!((all.groups[0].protocol_type.as_str(), all.groups[0].group_state.as_str()), ("consumer", "Stable"));
}

#[test]
fn a_stable_group_shows_its_members_and_an_unknown_one_is_dead() {
    let (scene, ids) = Scene::stable_group(2);
    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(GROUP)), GroupId(text("nobody"))]);
    let groups = scene.coordinator.describe(&request, 5).groups;
    let members: Vec<_> = groups[0].members.iter().map(|m| (m.member_id.as_str(), &m.member_assignment[..])).collect();
    assert_eq!(members, [(ids[0].as_str(), &b"share 0"[..]), (ids[1].as_str(), &b"share 1"[..])]);
    assert_eq!((groups[0].group_state.as_str(), groups[0].protocol_data.as_str()), ("Stable", "range"));
    assert_eq!((groups[1].group_state.as_str(), groups[1].error_code), ("Dead", 0));
    assert_eq!(scene.coordinator.describe(&request, 6).groups[1].error_code, GroupIdNotFound.code());
}
