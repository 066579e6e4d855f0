//! One consumer group: who belongs to it, which generation and leader it has, and which protocol its members share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::JoinGroupResponse;

use super::member::{JoinTerms, Member};
use super::offsets::GroupOffsets;
use super::state::GroupState;
use super::{GroupLimits, text};

pub(super) struct Group {
    pub state: GroupState,
    /// Counts rebalances; it never goes back while the group lives.
    pub generation: i32,
    pub protocol_type: Option<String>,
    /// The assignment protocol of the current generation.
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// In order of arrival: the eldest follows a leader that leaves.
    pub members: IndexMap<String, Member>,
    /// `group.instance.id` to the member id that holds it now.
    pub static_members: BTreeMap<String, String>,
    /// Ids handed out by the member-id-required round whose owners have not joined with them yet, and until when.
    pub pending_members: BTreeMap<String, Instant>,
    /// Members of this generation that have not synced yet.
    pub pending_syncs: BTreeSet<String>,
    pub rebalance_deadline: Option<Instant>,
    /// The first members of an empty group wait for others until the rebalance deadline.
    pub gathers_first_members: bool,
    pub sync_deadline: Option<Instant>,
    pub offsets: GroupOffsets,
    pub limits: GroupLimits,
}

impl Group {
    pub fn new(id: &str, limits: GroupLimits) -> Self {
        Self {
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: IndexMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            rebalance_deadline: None,
            gathers_first_members: false,
            sync_deadline: None,
            offsets: GroupOffsets::new(id, limits.max_offsets_per_group),
            limits,
        }
    }

    pub fn transition(&mut self, next: GroupState) {
        debug_assert!(self.state.can_become(next), "{:?} -> {next:?}", self.state);
        self.state = next;
    }

    pub fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Whether nothing would be lost if the coordinator forgot this group.
    pub fn is_forgettable(&self) -> bool {
        self.state == GroupState::Empty && self.pending_members.is_empty() && self.offsets.is_empty()
    }

    /// Checks that `member_id` is a current member and, for a static member, still the holder of its instance id.
    ///
    /// # Errors
    /// `FENCED_INSTANCE_ID` when another member took the instance id (KIP-345), else `UNKNOWN_MEMBER_ID`.
    pub fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    /// As [`Group::check_member`], and the member must speak of the current generation.
    pub fn check_generation(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.check_member(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    /// Whether a member on these terms could share a protocol with every present member.
    pub fn accepts(&self, terms: &JoinTerms) -> bool {
        if self.members.is_empty() {
            return !terms.protocol_type.is_empty() && terms.protocols.names().next().is_some();
        }
        self.protocol_type.as_deref() == Some(&terms.protocol_type)
            && terms.protocols.names().any(|name| self.all_members_support(name))
    }

    fn all_members_support(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.terms.protocols.names().any(|name| name == protocol))
    }

    /// Whether the group has room for these terms beside the members it holds, `replaced` not counted.
    pub fn has_room_for(&self, terms: &JoinTerms, replaced: Option<&str>) -> bool {
        let others = self.members.values().filter(|member| Some(member.id.as_str()) != replaced);
        let held_bytes: usize = others.map(Member::held_bytes).sum();
        held_bytes + terms.protocols.metadata_bytes() <= self.limits.max_group_metadata_bytes
    }

    /// Whether one more member may join. Members that already wait in a rebalance keep their place.
    pub fn admits(&self, member_id: &str) -> bool {
        let taken = self.members.len() + self.pending_members.len();
        let holds_a_place = self.members.contains_key(member_id) || self.pending_members.contains_key(member_id);
        holds_a_place || taken < self.limits.max_members_per_group
    }

    pub fn add(&mut self, member: Member) {
        if self.members.is_empty() {
            self.protocol_type = Some(member.terms.protocol_type.clone());
        }
        if let Some(instance_id) = &member.terms.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_members.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out and answers what it still waits for with `UNKNOWN_MEMBER_ID`, so that a living client
    /// joins anew.
    pub fn remove(&mut self, member_id: &str) {
        let Some(mut member) = self.members.shift_remove(member_id) else { return };
        if let Some(instance_id) = &member.terms.instance_id
            && self.static_members.get(instance_id).is_some_and(|holder| holder == member_id)
        {
            self.static_members.remove(instance_id);
        }
        self.pending_syncs.remove(member_id);
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        member.refuse_all(ResponseError::UnknownMemberId);
    }

    /// The protocol that most members prefer among those that all of them support; the eldest's order breaks ties.
    pub fn select_protocol(&self) -> Option<String> {
        let eldest = self.members.values().next()?;
        let shared = eldest.terms.protocols.names().filter(|name| self.all_members_support(name));
        let candidates: Vec<&str> = shared.collect();
        let votes_for = |candidate: &str| {
            let votes = self.members.values().map(|m| m.terms.protocols.names().find(|n| candidates.contains(n)));
            votes.filter(|vote| *vote == Some(candidate)).count()
        };
        // `max_by_key` keeps the last of equals: reversed, the first in the eldest's order wins.
        candidates.iter().rev().max_by_key(|name| votes_for(name)).map(|name| (*name).to_owned())
    }

    /// The longest time that any member asks for to finish its work and join again.
    pub fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.terms.rebalance_timeout).max().unwrap_or(Duration::from_millis(1))
    }

    /// The current generation as `member_id` sees it: the leader gets every member's metadata, the others none.
    pub fn generation_for(&self, member_id: &str) -> JoinGroupResponse {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            self.members.values().map(|member| member.for_leader(protocol)).collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(Some(text(protocol)))
            .with_leader(text(self.leader.as_deref().unwrap_or_default()))
            .with_member_id(text(member_id))
            .with_members(members)
    }
}
