//! One member of a consumer group: what it can speak, what it was assigned, and the answers it waits for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupResponse};

use super::{ClientInfo, Reply, text};

/// The assignment protocols a member offers, in its order of preference, with its metadata for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protocols(Vec<(String, Bytes)>);

impl Protocols {
    /// Copies the bytes, so that a group does not keep whole request frames alive.
    pub fn of(request: &JoinGroupRequest) -> Self {
        let offered = request.protocols.iter();
        Self(offered.map(|p| (p.name.to_string(), Bytes::copy_from_slice(&p.metadata))).collect())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.0.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub fn metadata_bytes(&self) -> usize {
        self.0.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
    }
}

/// What a member declares each time it joins.
#[derive(Debug, Clone)]
pub(super) struct JoinTerms {
    pub instance_id: Option<String>,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: String,
    pub protocols: Protocols,
    pub client: ClientInfo,
}

impl JoinTerms {
    pub fn of(request: &JoinGroupRequest, client: ClientInfo) -> Self {
        let session_timeout = positive_milliseconds(request.session_timeout_ms);
        // Version 0 has no rebalance timeout: the session's stands for it.
        let rebalance_timeout = match request.rebalance_timeout_ms {
            timeout if timeout < 0 => session_timeout,
            timeout => positive_milliseconds(timeout),
        };
        Self {
            instance_id: request.group_instance_id.as_ref().map(|id| id.to_string()),
            session_timeout,
            rebalance_timeout,
            protocol_type: request.protocol_type.to_string(),
            protocols: Protocols::of(request),
            client,
        }
    }
}

/// At least one millisecond, so that a deadline always lies ahead of the moment that sets it.
fn positive_milliseconds(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).max(1))
}

pub(super) struct Member {
    pub id: String,
    pub terms: JoinTerms,
    pub assignment: Bytes,
    /// Joined for the first time and not yet part of a generation.
    pub is_new: bool,
    pub session_deadline: Instant,
    joining: Option<Reply<JoinGroupResponse>>,
    syncing: Option<Reply<SyncGroupResponse>>,
}

impl Member {
    pub fn new(id: String, terms: JoinTerms, session_deadline: Instant) -> Self {
        Self { id, terms, assignment: Bytes::new(), is_new: true, session_deadline, joining: None, syncing: None }
    }

    pub fn is_static(&self) -> bool {
        self.terms.instance_id.is_some()
    }

    pub fn awaits_join(&self) -> bool {
        self.joining.is_some()
    }

    pub fn awaits_sync(&self) -> bool {
        self.syncing.is_some()
    }

    /// Holds the answer to a join until the rebalance completes. An older join of the same member is told to retry.
    pub fn hold_join(&mut self, reply: Reply<JoinGroupResponse>) {
        self.refuse_join(ResponseError::RebalanceInProgress);
        self.joining = Some(reply);
    }

    /// Holds the answer to a sync until the leader's assignment is known.
    pub fn hold_sync(&mut self, reply: Reply<SyncGroupResponse>) {
        self.refuse_sync(ResponseError::RebalanceInProgress);
        self.syncing = Some(reply);
    }

    pub fn answer_join(&mut self, response: JoinGroupResponse) {
        if let Some(reply) = self.joining.take() {
            reply(response);
        }
    }

    pub fn answer_sync(&mut self, response: SyncGroupResponse) {
        if let Some(reply) = self.syncing.take() {
            reply(response);
        }
    }

    pub fn refuse_join(&mut self, error: ResponseError) {
        if self.joining.is_some() {
            self.answer_join(refused_join(error, &self.id));
        }
    }

    pub fn refuse_sync(&mut self, error: ResponseError) {
        self.answer_sync(SyncGroupResponse::default().with_error_code(error.code()));
    }

    /// Answers whatever the member still waits for with `error`.
    pub fn refuse_all(&mut self, error: ResponseError) {
        self.refuse_join(error);
        self.refuse_sync(error);
    }

    pub fn heard_from(&mut self, now: Instant) {
        self.session_deadline = now + self.terms.session_timeout;
    }

    /// How the group's leader sees this member under `protocol`.
    pub fn for_leader(&self, protocol: &str) -> JoinGroupResponseMember {
        JoinGroupResponseMember::default()
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.terms.instance_id.as_deref().map(text))
            .with_metadata(self.terms.protocols.metadata(protocol))
    }

    pub fn held_bytes(&self) -> usize {
        self.terms.protocols.metadata_bytes() + self.assignment.len()
    }
}

/// A join's refusal. The protocol name is empty rather than null, which versions before 7 cannot carry.
pub(super) fn refused_join(error: ResponseError, member_id: &str) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(Some(text("")))
        .with_member_id(text(member_id))
}
