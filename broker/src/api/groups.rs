//! Consumer groups: the coordinator answers, this journals what it says and waits where it makes a member wait.

use std::cell::RefCell;
use std::time::Instant;

use kafka_protocol::ResponseError;
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
    answer.await.unwrap_or_else(|_| {
        JoinGroupResponse::default().with_error_code(ResponseError::CoordinatorNotAvailable.code())
    })
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
    answer.await.unwrap_or_else(|_| {
        SyncGroupResponse::default().with_error_code(ResponseError::CoordinatorNotAvailable.code())
    })
}

pub fn leave(core: &mut Core, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    core.deadlines_changed.notify_one();
    core.groups.leave(Instant::now(), request, version)
}

pub fn commit_offsets(core: &mut Core, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let (mut response, committed) = core.groups.commit_offsets(Instant::now(), request);
    if let Err(error) = core.record_offsets(committed) {
        let code = storage_code(&error);
        for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.error_code = code;
        }
    }
    response
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
