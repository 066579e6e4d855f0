//! What administrators ask about groups: list, describe, delete a group, delete its offsets.

use bytes::Buf;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};
use kafka_protocol::protocol::{Decodable, Message};

use super::member::Member;
use super::membership::Group;
use super::offsets::CommittedOffset;
use super::state::GroupState;
use super::{GroupCoordinator, text};

/// The protocol type of groups that share out partitions; others (Connect, custom) carry metadata of their own.
const CONSUMER_PROTOCOL: &str = "consumer";
/// `authorized_operations` when nothing was asked or nothing is known.
const UNKNOWN_OPERATIONS: i32 = i32::MIN;

impl GroupCoordinator {
    /// Lists the groups, those of the named states and types only when the request names any.
    pub fn list(&self, request: &ListGroupsRequest) -> ListGroupsResponse {
        let wanted = |filter: &[_], value: &str| {
            filter.is_empty()
                || filter.iter().any(|name: &kafka_protocol::protocol::StrBytes| name.eq_ignore_ascii_case(value))
        };
        let listed = self.groups.iter().filter(|(_, group)| {
            wanted(&request.states_filter, group.state.name()) && wanted(&request.types_filter, "classic")
        });
        let groups = listed.map(|(id, group)| {
            ListedGroup::default()
                .with_group_id(GroupId(text(id)))
                .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
                .with_group_state(text(group.state.name()))
                .with_group_type(text("classic"))
        });
        ListGroupsResponse::default().with_groups(groups.collect())
    }

    /// Describes groups. An unknown one is `Dead`, and from version 6 on also `GROUP_ID_NOT_FOUND` (KIP-1043).
    pub fn describe(&self, request: &DescribeGroupsRequest, api_version: i16) -> DescribeGroupsResponse {
        let describe = |id: &GroupId| match self.groups.get(id.0.as_str()) {
            Some(group) => describe_group(id, group),
            None => unknown_group(id, api_version),
        };
        DescribeGroupsResponse::default().with_groups(request.groups.iter().map(describe).collect())
    }

    /// Deletes groups that have no members, and their offsets, which are returned as deleted for the journal.
    pub fn delete(&mut self, request: &DeleteGroupsRequest) -> (DeleteGroupsResponse, Vec<CommittedOffset>) {
        let mut journal = Vec::new();
        let mut results = Vec::new();
        for id in &request.groups_names {
            let result = DeletableGroupResult::default().with_group_id(id.clone());
            results.push(match self.delete_group(&id.0) {
                Ok(deleted) => {
                    journal.extend(deleted);
                    result
                }
                Err(error) => result.with_error_code(error.code()),
            });
        }
        (DeleteGroupsResponse::default().with_results(results), journal)
    }

    fn delete_group(&mut self, id: &str) -> Result<Vec<CommittedOffset>, ResponseError> {
        let group = self.groups.get_mut(id).ok_or(ResponseError::GroupIdNotFound)?;
        if group.state != GroupState::Empty {
            return Err(ResponseError::NonEmptyGroup);
        }
        let deleted = group.offsets.delete_all();
        group.transition(GroupState::Dead);
        self.groups.shift_remove(id);
        Ok(deleted)
    }

    /// Deletes single offsets of a group (KIP-496); refused for topics that a member subscribes to.
    pub fn delete_offsets(&mut self, request: &OffsetDeleteRequest) -> (OffsetDeleteResponse, Vec<CommittedOffset>) {
        let Some(group) = self.groups.get_mut(request.group_id.0.as_str()) else {
            let error_code = ResponseError::GroupIdNotFound.code();
            return (OffsetDeleteResponse::default().with_error_code(error_code), Vec::new());
        };
        let is_consumer_group = group.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL);
        if group.state != GroupState::Empty && !is_consumer_group {
            let error_code = ResponseError::NonEmptyGroup.code();
            return (OffsetDeleteResponse::default().with_error_code(error_code), Vec::new());
        }
        let mut journal = Vec::new();
        let mut topics = Vec::new();
        for topic in &request.topics {
            let subscribed = group.members.values().any(|member| subscribes_to(member, &topic.name.0));
            let error_code = if subscribed { ResponseError::GroupSubscribedToTopic.code() } else { 0 };
            if !subscribed {
                let deleted =
                    topic.partitions.iter().filter_map(|p| group.offsets.delete(&topic.name.0, p.partition_index));
                journal.extend(deleted);
            }
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error_code)
            });
            let answered = OffsetDeleteResponseTopic::default().with_name(topic.name.clone());
            topics.push(answered.with_partitions(partitions.collect()));
        }
        (OffsetDeleteResponse::default().with_topics(topics), journal)
    }
}

fn describe_group(id: &GroupId, group: &Group) -> DescribedGroup {
    // Metadata and assignments belong to a generation: a group between two of them shows none.
    let protocol = group.protocol.as_deref().filter(|_| group.state == GroupState::Stable);
    let describe = |member: &Member| {
        let described = DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.terms.instance_id.as_deref().map(text))
            .with_client_id(text(&member.terms.client.id))
            .with_client_host(text(&member.terms.client.host));
        match protocol {
            Some(protocol) => described
                .with_member_metadata(member.terms.protocols.metadata(protocol))
                .with_member_assignment(member.assignment.clone()),
            None => described,
        }
    };
    DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
        .with_protocol_data(text(protocol.unwrap_or_default()))
        .with_members(group.members.values().map(describe).collect())
        .with_authorized_operations(UNKNOWN_OPERATIONS)
}

fn unknown_group(id: &GroupId, api_version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(text(GroupState::Dead.name()))
        .with_authorized_operations(UNKNOWN_OPERATIONS);
    if api_version < 6 {
        return dead;
    }
    let message = format!("Group {} not found.", id.0);
    dead.with_error_code(ResponseError::GroupIdNotFound.code()).with_error_message(Some(text(&message)))
}

/// Reads the topics from a member's subscription; metadata that cannot be read counts as subscribed to everything.
fn subscribes_to(member: &Member, topic: &str) -> bool {
    let Some(protocol) = member.terms.protocols.names().next() else { return false };
    let mut metadata = member.terms.protocols.metadata(protocol);
    let subscription = match metadata.try_get_i16() {
        Ok(version) => {
            ConsumerProtocolSubscription::decode(&mut metadata, version.min(ConsumerProtocolSubscription::VERSIONS.max))
                .ok()
        }
        Err(_) => None,
    };
    subscription.is_none_or(|subscription| subscription.topics.iter().any(|name| name.as_str() == topic))
}
