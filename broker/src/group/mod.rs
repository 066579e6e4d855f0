//! The consumer-group coordinator: Apache Kafka's classic group protocol as plain code, without I/O and without a clock.
//!
//! Requests come in with the present moment, answers go out as values or, where a member has to wait for the others,
//! through a [`Reply`]. Whoever owns the coordinator calls [`GroupCoordinator::tick`] no later than the moment that the
//! last call returned, and after every request that may have brought that moment forward.

mod admin;
mod commit;
mod join;
mod member;
mod membership;
mod offsets;
mod rebalance;
mod state;
mod sync;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use join::Join;
use member::{JoinTerms, refused_join};
use membership::Group;
pub use offsets::CommittedOffset;
pub use state::GroupState;

/// Takes the answer to a request that had to wait. It is called exactly once, possibly within the call that hands it in.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// The bounds of the coordinator.
#[derive(Debug, Clone, Copy)]
pub struct GroupLimits {
    pub min_session_timeout: Duration,
    pub max_session_timeout: Duration,
    /// How long the first member of an empty group waits for others; zero does not wait.
    pub initial_rebalance_delay: Duration,
    pub max_members_per_group: usize,
    /// Members' subscriptions and assignments of one group together.
    pub max_group_metadata_bytes: usize,
    pub max_groups: usize,
    pub max_offsets_per_group: usize,
    /// The metadata string of one committed offset.
    pub max_offset_metadata_bytes: usize,
}

impl Default for GroupLimits {
    /// Kafka's defaults where it has them, except that nobody waits: sessions may be shorter than six seconds, and
    /// the first member starts at once.
    fn default() -> Self {
        Self {
            min_session_timeout: Duration::from_millis(100),
            max_session_timeout: Duration::from_secs(1800),
            initial_rebalance_delay: Duration::ZERO,
            max_members_per_group: 1_000,
            max_group_metadata_bytes: 8 << 20,
            max_groups: 10_000,
            max_offsets_per_group: 100_000,
            max_offset_metadata_bytes: 4096,
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    pub id: String,
    pub host: String,
}

/// All consumer groups of the broker.
pub struct GroupCoordinator {
    limits: GroupLimits,
    groups: IndexMap<String, Group>,
    /// Sets this coordinator's member ids apart from those of an earlier run, whose members may still call.
    incarnation: u64,
    members_named: u64,
}

impl GroupCoordinator {
    pub fn new(limits: GroupLimits) -> Self {
        let incarnation = RandomState::new().hash_one("member ids");
        Self { limits, groups: IndexMap::new(), incarnation, members_named: 0 }
    }

    /// Puts journaled offsets back, oldest first; -1 deletes.
    pub fn restore_offsets(&mut self, group: &str, offsets: Vec<CommittedOffset>) {
        let limits = self.limits;
        let group_offsets =
            &mut self.groups.entry(group.to_owned()).or_insert_with(|| Group::new(group, limits)).offsets;
        offsets.into_iter().for_each(|offset| group_offsets.restore(offset));
        if self.groups.get(group).is_some_and(Group::is_forgettable) {
            self.groups.shift_remove(group);
        }
    }

    /// JoinGroup. The reply comes when every member of the group has joined, or the rebalance timeout is over.
    pub fn join(
        &mut self,
        now: Instant,
        request: JoinGroupRequest,
        api_version: i16,
        client: ClientInfo,
        reply: Reply<JoinGroupResponse>,
    ) {
        let member_id = request.member_id.to_string();
        let terms = JoinTerms::of(&request, client);
        let sessions = self.limits.min_session_timeout..=self.limits.max_session_timeout;
        if !sessions.contains(&terms.session_timeout) {
            return reply(refused_join(ResponseError::InvalidSessionTimeout, &member_id));
        }
        let fresh_member_id = self.name_member(terms.instance_id.as_deref().unwrap_or(&terms.client.id));
        let found = if member_id.is_empty() {
            self.group_or_new(&request.group_id.0)
        } else {
            self.groups.get_mut(request.group_id.0.as_str()).ok_or(ResponseError::UnknownMemberId)
        };
        let (needs_known_member_id, can_skip_assignment) = (api_version >= 4, api_version >= 9);
        match found {
            Ok(group) => group.join(
                now,
                Join { member_id, terms, needs_known_member_id, can_skip_assignment, fresh_member_id, reply },
            ),
            Err(error) => reply(refused_join(error, &member_id)),
        }
    }

    /// SyncGroup. The reply comes with the leader's assignment, or when the generation ends without one.
    pub fn sync(&mut self, now: Instant, request: SyncGroupRequest, reply: Reply<SyncGroupResponse>) {
        match self.groups.get_mut(request.group_id.0.as_str()) {
            Some(group) => group.sync(now, request, reply),
            None => reply(sync::refused_sync(ResponseError::UnknownMemberId)),
        }
    }

    /// Heartbeat.
    pub fn heartbeat(&mut self, now: Instant, request: HeartbeatRequest) -> HeartbeatResponse {
        let alive = match self.groups.get_mut(request.group_id.0.as_str()) {
            Some(group) => group.heartbeat(now, &request),
            None => Err(ResponseError::UnknownMemberId),
        };
        HeartbeatResponse::default().with_error_code(alive.err().map_or(0, |error| error.code()))
    }

    /// LeaveGroup: one member up to version 2, several from version 3 on, each with its own result (KIP-345).
    pub fn leave(&mut self, now: Instant, request: LeaveGroupRequest, api_version: i16) -> LeaveGroupResponse {
        let mut group = self.groups.get_mut(request.group_id.0.as_str());
        let mut leave = |leaver: &MemberIdentity| match &mut group {
            Some(group) => group.leave(now, leaver).err().map_or(0, |error| error.code()),
            None => ResponseError::UnknownMemberId.code(),
        };
        if api_version < 3 {
            let leaver = MemberIdentity::default().with_member_id(request.member_id);
            return LeaveGroupResponse::default().with_error_code(leave(&leaver));
        }
        let members = request.members.into_iter().map(|leaver| {
            let error_code = leave(&leaver);
            MemberResponse::default()
                .with_member_id(leaver.member_id)
                .with_group_instance_id(leaver.group_instance_id)
                .with_error_code(error_code)
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }

    /// OffsetCommit; the second value is what to journal.
    pub fn commit_offsets(
        &mut self,
        now: Instant,
        request: OffsetCommitRequest,
    ) -> (OffsetCommitResponse, Vec<CommittedOffset>) {
        match self.group_for_commit(&request.group_id.0, request.generation_id_or_member_epoch) {
            Ok(group) => group.commit(now, &request),
            Err(error) => (commit::refused_commit(&request, error), Vec::new()),
        }
    }

    /// TxnOffsetCommit: the offsets are pending until [`GroupCoordinator::end_transaction`].
    pub fn add_transactional_offsets(
        &mut self,
        now: Instant,
        request: TxnOffsetCommitRequest,
    ) -> TxnOffsetCommitResponse {
        match self.group_for_commit(&request.group_id.0, request.generation_id) {
            Ok(group) => group.hold(now, &request),
            Err(error) => commit::refused_hold(&request, error),
        }
    }

    /// Makes the pending offsets of `producer_id` the committed ones, or drops them.
    pub fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        self.groups.values_mut().for_each(|group| group.offsets.end_transaction(producer_id, commit));
    }

    /// OffsetFetch: one group up to version 7, several from version 8 on. An unknown group has no offsets; that is no
    /// error. With `require_stable`, offsets that an open transaction may change answer `UNSTABLE_OFFSET_COMMIT`.
    pub fn fetch_offsets(&mut self, request: OffsetFetchRequest, api_version: i16) -> OffsetFetchResponse {
        let require_stable = request.require_stable;
        if api_version < 8 {
            let wanted = request.topics.map(|ts| ts.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let fetched = commit::fetch(self.groups.get(request.group_id.0.as_str()), wanted, require_stable);
            return OffsetFetchResponse::default().with_topics(commit::single_group_topics(fetched));
        }
        let groups = request.groups.into_iter().map(|asked| {
            let wanted = asked.topics.map(|ts| ts.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let fetched = commit::fetch(self.groups.get(asked.group_id.0.as_str()), wanted, require_stable);
            OffsetFetchResponseGroup::default()
                .with_group_id(asked.group_id)
                .with_topics(commit::batched_group_topics(fetched))
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }

    /// Forgets the offsets of a deleted topic in every group and returns what to journal.
    pub fn forget_topic(&mut self, topic: &str) -> Vec<CommittedOffset> {
        self.groups.values_mut().flat_map(|group| group.offsets.delete_topic(topic)).collect()
    }

    /// Expires sessions, joins and syncs whose time is over, and returns when to be called again.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.groups.values_mut().filter_map(|group| group.tick(now)).min()
    }

    /// Answers everyone who still waits with `COORDINATOR_NOT_AVAILABLE`. For the broker's shutdown.
    pub fn close(&mut self) {
        for (_, mut group) in self.groups.drain(..) {
            group.members.values_mut().for_each(|member| member.refuse_all(ResponseError::CoordinatorNotAvailable));
            group.transition(GroupState::Dead);
        }
    }

    fn name_member(&mut self, prefix: &str) -> String {
        self.members_named += 1;
        format!("{prefix}-{:016x}-{:08x}", self.incarnation, self.members_named)
    }

    fn group_or_new(&mut self, id: &str) -> Result<&mut Group, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if self.groups.len() >= self.limits.max_groups && !self.groups.contains_key(id) {
            self.groups.retain(|_, group| !group.is_forgettable());
            if self.groups.len() >= self.limits.max_groups {
                return Err(ResponseError::GroupMaxSizeReached);
            }
        }
        let limits = self.limits;
        Ok(self.groups.entry(id.to_owned()).or_insert_with(|| Group::new(id, limits)))
    }

    /// A commit that claims no membership may found a group; one that speaks of a generation needs it to exist.
    fn group_for_commit(&mut self, id: &str, generation: i32) -> Result<&mut Group, ResponseError> {
        match generation < 0 {
            true => self.group_or_new(id),
            false => self.groups.get_mut(id).ok_or(ResponseError::IllegalGeneration),
        }
    }
}

impl Drop for GroupCoordinator {
    fn drop(&mut self) {
        self.close();
    }
}

/// Protocol strings are shared byte buffers: this one gets its own copy.
fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
