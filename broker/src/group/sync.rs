//! The requests of members that have joined: sync, heartbeat and leave.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{HeartbeatRequest, SyncGroupRequest, SyncGroupResponse};

use super::membership::Group;
use super::state::GroupState;
use super::{Reply, text};

/// A sync's refusal.
pub(super) fn refused_sync(error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

impl Group {
    pub fn sync(&mut self, now: Instant, request: SyncGroupRequest, reply: Reply<SyncGroupResponse>) {
        if let Err(error) = self.check_sync(&request) {
            return reply(refused_sync(error));
        }
        let member_id = request.member_id.as_str();
        self.pending_syncs.remove(member_id);
        let Some(member) = self.members.get_mut(member_id) else {
            return reply(refused_sync(ResponseError::UnknownMemberId));
        };
        member.heard_from(now);
        if self.state == GroupState::Stable {
            return reply(self.assignment_of(member_id));
        }
        member.hold_sync(reply);
        if self.is_leader(member_id) {
            self.take_assignment(now, &request);
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ResponseError> {
        let instance_id = request.group_instance_id.as_deref();
        self.check_generation(&request.member_id, instance_id, request.generation_id)?;
        let differs = |said: &Option<_>, ours: &Option<String>| {
            said.as_deref().is_some_and(|said: &str| ours.as_deref() != Some(said))
        };
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
        }
    }

    /// The leader has decided: every member learns its share, those the leader left out get an empty one.
    fn take_assignment(&mut self, now: Instant, request: &SyncGroupRequest) {
        let shares: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|share| (share.member_id.as_str(), &share.assignment)).collect();
        let share_bytes: usize = shares.values().map(|share| share.len()).sum();
        let held_bytes: usize = self.members.values().map(|member| member.terms.protocols.metadata_bytes()).sum();
        if held_bytes + share_bytes > self.limits.max_group_metadata_bytes {
            self.withdraw_assignment(ResponseError::UnknownServerError);
            return self.rebalance(now);
        }
        for member in self.members.values_mut() {
            member.assignment = shares.get(member.id.as_str()).map_or_else(Bytes::new, |s| Bytes::copy_from_slice(s));
        }
        self.transition(GroupState::Stable);
        for member_id in self.members.keys().cloned().collect::<Vec<_>>() {
            let response = self.assignment_of(&member_id);
            if let Some(member) = self.members.get_mut(&member_id).filter(|member| member.awaits_sync()) {
                member.heard_from(now);
                member.answer_sync(response);
            }
        }
    }

    fn assignment_of(&self, member_id: &str) -> SyncGroupResponse {
        let assignment = self.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default();
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(assignment)
    }

    /// Keeps a member's session alive.
    ///
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` asks the member to join again; its session is kept alive all the same.
    pub fn heartbeat(&mut self, now: Instant, request: &HeartbeatRequest) -> Result<(), ResponseError> {
        let instance_id = request.group_instance_id.as_deref();
        self.check_generation(&request.member_id, instance_id, request.generation_id)?;
        if let Some(member) = self.members.get_mut(request.member_id.as_str()) {
            member.heard_from(now);
        }
        match self.state {
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Takes one member out. A static member may be named by its instance id alone, as administrators do.
    pub fn leave(&mut self, now: Instant, leaver: &MemberIdentity) -> Result<(), ResponseError> {
        let instance_id = leaver.group_instance_id.as_deref();
        let member_id = match instance_id.filter(|_| leaver.member_id.is_empty()) {
            Some(id) => self.static_members.get(id).cloned().ok_or(ResponseError::UnknownMemberId)?,
            None => leaver.member_id.to_string(),
        };
        if self.pending_members.contains_key(&member_id) {
            self.forget_pending_member(now, &member_id);
            return Ok(());
        }
        self.check_member(&member_id, instance_id)?;
        self.expel(now, &member_id);
        Ok(())
    }
}
