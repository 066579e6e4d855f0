//! Consumer groups: the coordinator answers, this journals what it says and waits where it makes a member wait.

use std::cell::RefCell;
use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponsePartition;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use tokio::sync::oneshot;

use super::storage_code;
use crate::core::Core;
use crate::group::ClientInfo;

/// JoinGroup; its answer comes when the group's members have joined or the rebalance timeout is over.
pub async fn join(
    core: &RefCell<Core>,
    request: JoinGroupRequest,
    version: i16,
    client: ClientInfo,
) -> JoinGroupResponse {
    let (reply, answer) = oneshot::channel();
    {
        let mut core = core.borrow_mut();
        // The member may have gone, and with it who would hear the answer.
        let reply = Box::new(move |response| drop(reply.send(response)));
        core.groups.join(Instant::now(), request, version, client, reply);
        core.deadlines_changed.notify_one();
    }
    answer
        .await
        .unwrap_or_else(|_| JoinGroupResponse::default().with_error_code(ResponseError::CoordinatorNotAvailable.code()))
}

/// SyncGroup; its answer comes with the leader's assignment.
pub async fn sync(core: &RefCell<Core>, request: SyncGroupRequest) -> SyncGroupResponse {
    let (reply, answer) = oneshot::channel();
    {
        let mut core = core.borrow_mut();
        let reply = Box::new(move |response| drop(reply.send(response)));
        core.groups.sync(Instant::now(), request, reply);
        core.deadlines_changed.notify_one();
    }
    answer
        .await
        .unwrap_or_else(|_| SyncGroupResponse::default().with_error_code(ResponseError::CoordinatorNotAvailable.code()))
}

pub fn leave(core: &mut Core, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    core.deadlines_changed.notify_one();
    core.groups.leave(Instant::now(), request, version)
}

/// OffsetCommit. The coordinator does not know which partitions exist: those that do not are refused here.
pub fn commit_offsets(core: &mut Core, mut request: OffsetCommitRequest) -> OffsetCommitResponse {
    let unknown = take_unknown_partitions(core, &mut request);
    let (mut response, committed) = core.groups.commit_offsets(Instant::now(), request);
    if let Err(error) = core.record_offsets(committed) {
        let code = storage_code(&error);
        for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.error_code = code;
        }
    }
    let refused =
        OffsetCommitResponsePartition::default().with_error_code(ResponseError::UnknownTopicOrPartition.code());
    for (topic, unknown) in response.topics.iter_mut().zip(unknown) {
        topic.partitions.extend(unknown.into_iter().map(|index| refused.clone().with_partition_index(index)));
    }
    response
}

/// Takes partitions that do not exist out of the request; returns them topic by topic.
fn take_unknown_partitions(core: &Core, request: &mut OffsetCommitRequest) -> Vec<Vec<i32>> {
    let taken = request.topics.iter_mut().map(|topic| {
        let named = std::mem::take(&mut topic.partitions);
        let exists = |index| core.catalog.partition(&topic.name, index).is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = named.into_iter().partition(|at| exists(at.partition_index));
        topic.partitions = known;
        unknown.into_iter().map(|at| at.partition_index).collect()
    });
    taken.collect()
}

pub fn delete(core: &mut Core, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let (mut response, deleted) = core.groups.delete(&request);
    if let Err(error) = core.record_offsets(deleted) {
        let code = storage_code(&error);
        response.results.iter_mut().for_each(|result| result.error_code = code);
    }
    response
}

pub fn delete_offsets(core: &mut Core, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let (response, deleted) = core.groups.delete_offsets(&request);
    match core.record_offsets(deleted) {
        Ok(()) => response,
        Err(error) => response.with_error_code(storage_code(&error)),
    }
}
