//! Drives the coordinator by hand: a scene has a clock that only tests move, and collects every answer.
#![allow(clippy::unwrap_used)]

mod admin;
mod offsets;
mod properties;
mod rebalance;
mod static_members;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest, SyncGroupResponse, TopicName,
};

use super::{ClientInfo, CommittedOffset, GroupCoordinator, GroupLimits, GroupState, Reply, text};

pub const GROUP: &str = "orders";
pub const SESSION: Duration = Duration::from_secs(10);
pub const REBALANCE: Duration = Duration::from_secs(60);

/// The answers that one request got: none while it waits, one when it is done, never two.
pub struct Answer<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone + Send + 'static> Answer<T> {
    pub fn new() -> (Self, Reply<T>) {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::clone(&answers);
        (Self(answers), Box::new(move |response| reply.lock().unwrap().push(response)))
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn waits(&self) -> bool {
        self.count() == 0
    }

    #[track_caller]
    pub fn get(&self) -> T {
        let answers = self.0.lock().unwrap();
        assert_eq!(answers.len(), 1, "exactly one answer");
        answers[0].clone()
    }
}

/// How a member joins; the defaults are those of most tests.
#[derive(Clone)]
pub struct Joining<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    /// Protocol names in order of preference, with metadata.
    pub protocols: &'a [(&'a str, &'a str)],
    pub session: Duration,
    pub api_version: i16,
}

impl Default for Joining<'_> {
    fn default() -> Self {
        Self { member_id: "", instance_id: None, protocols: &[("range", "")], session: SESSION, api_version: 3 }
    }
}

pub struct Scene {
    pub coordinator: GroupCoordinator,
    pub now: Instant,
}

impl Scene {
    pub fn new() -> Self {
        Self { coordinator: GroupCoordinator::new(GroupLimits::default()), now: Instant::now() }
    }

    pub fn pass(&mut self, time: Duration) -> Option<Instant> {
        self.now += time;
        self.coordinator.tick(self.now)
    }

    pub fn join(&mut self, joining: Joining) -> Answer<JoinGroupResponse> {
        let offered = joining.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::copy_from_slice(metadata.as_bytes()))
        });
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_session_timeout_ms(joining.session.as_millis() as i32)
            .with_rebalance_timeout_ms(REBALANCE.as_millis() as i32)
            .with_member_id(text(joining.member_id))
            .with_group_instance_id(joining.instance_id.map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(offered.collect());
        let (answer, reply) = Answer::new();
        let client = ClientInfo { id: "client".into(), host: "/127.0.0.1".into() };
        self.coordinator.join(self.now, request, joining.api_version, client, reply);
        answer
    }

    pub fn rejoin(&mut self, member_id: &str) -> Answer<JoinGroupResponse> {
        self.join(Joining { member_id, ..Joining::default() })
    }

    pub fn sync(&mut self, member_id: &str, generation: i32, shares: &[(&str, &str)]) -> Answer<SyncGroupResponse> {
        let assignments = shares.iter().map(|(member_id, share)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member_id))
                .with_assignment(Bytes::copy_from_slice(share.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(generation)
            .with_member_id(text(member_id))
            .with_assignments(assignments.collect());
        let (answer, reply) = Answer::new();
        self.coordinator.sync(self.now, request, reply);
        answer
    }

    pub fn heartbeat(&mut self, member_id: &str, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(generation)
            .with_member_id(text(member_id));
        self.coordinator.heartbeat(self.now, request).error_code
    }

    pub fn leave(&mut self, member_id: &str) -> i16 {
        let leaver = MemberIdentity::default().with_member_id(text(member_id));
        let request = LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP))).with_members(vec![leaver]);
        self.coordinator.leave(self.now, request, 5).members[0].error_code
    }

    pub fn commit(&mut self, member_id: &str, generation: i32, offset: i64) -> (i16, Vec<CommittedOffset>) {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(text("placed"))).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member_id))
            .with_topics(vec![topic]);
        let (response, journal) = self.coordinator.commit_offsets(self.now, request);
        (response.topics[0].partitions[0].error_code, journal)
    }

    pub fn state(&self) -> GroupState {
        self.coordinator.groups[GROUP].state
    }

    pub fn generation(&self) -> i32 {
        self.coordinator.groups[GROUP].generation
    }

    /// A stable group of `count` members with the assignments "share 0", "share 1", ...; the first leads.
    pub fn stable_group(count: usize) -> (Self, Vec<String>) {
        let mut scene = Self::new();
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..count {
            let newcomer = scene.join(Joining::default());
            let returning: Vec<_> = ids.iter().map(|id| scene.rejoin(id)).collect();
            assert!(returning.iter().all(|answer| answer.get().error_code == 0));
            ids.push(newcomer.get().member_id.to_string());
        }
        let shares: Vec<String> = (0..count).map(|index| format!("share {index}")).collect();
        let shares: Vec<(&str, &str)> =
            ids.iter().zip(&shares).map(|(id, share)| (id.as_str(), share.as_str())).collect();
        let generation = scene.generation();
        for id in ids.iter().skip(1) {
            scene.sync(id, generation, &[]);
        }
        let leader = ids.first().cloned().unwrap_or_default();
        assert_eq!(scene.sync(&leader, generation, &shares).get().error_code, 0);
        assert_eq!(scene.state(), GroupState::Stable);
        (scene, ids)
    }
}
