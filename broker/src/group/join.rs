//! Joining a group: new members, members that come back, and static members that take their old place.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::JoinGroupResponse;

use super::member::{JoinTerms, Member, refused_join};
use super::membership::Group;
use super::state::GroupState;
use super::{Reply, text};

/// A first join may wait through a whole rebalance without heartbeats; Kafka allows it this long.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// What one JoinGroup request asks, beside the terms.
pub(super) struct Join {
    /// Empty for a member that has no id yet.
    pub member_id: String,
    pub terms: JoinTerms,
    /// Version 4 and later: a new dynamic member is given an id first and joins with it (KIP-394).
    pub needs_known_member_id: bool,
    /// Version 9 and later: a returning static leader is told to keep the assignment (KIP-814).
    pub can_skip_assignment: bool,
    /// The id to use if this member turns out to be new.
    pub fresh_member_id: String,
    pub reply: Reply<JoinGroupResponse>,
}

impl Group {
    pub fn join(&mut self, now: Instant, join: Join) {
        match self.refusal(&join) {
            Some(error) => (join.reply)(refused_join(error, &join.member_id)),
            None if join.member_id.is_empty() => self.join_as_new(now, join),
            None if self.pending_members.contains_key(&join.member_id) => {
                let member_id = join.member_id.clone();
                self.admit(now, member_id, join);
            }
            None => self.rejoin(now, join),
        }
    }

    fn refusal(&self, join: &Join) -> Option<ResponseError> {
        let instance_id = join.terms.instance_id.as_deref();
        let static_holder = instance_id.and_then(|id| self.static_members.get(id)).map(String::as_str);
        let replaced = if join.member_id.is_empty() { static_holder } else { Some(join.member_id.as_str()) };
        if self.state == GroupState::Dead {
            return Some(ResponseError::CoordinatorNotAvailable);
        } else if !self.admits(replaced.unwrap_or_default()) {
            return Some(ResponseError::GroupMaxSizeReached);
        } else if !self.accepts(&join.terms) {
            return Some(ResponseError::InconsistentGroupProtocol);
        } else if !self.has_room_for(&join.terms, replaced) {
            return Some(ResponseError::UnknownServerError);
        } else if join.member_id.is_empty() || self.pending_members.contains_key(&join.member_id) {
            return None;
        }
        self.check_member(&join.member_id, instance_id).err()
    }

    fn join_as_new(&mut self, now: Instant, join: Join) {
        let instance_id = join.terms.instance_id.as_deref();
        if let Some(holder) = instance_id.and_then(|id| self.static_members.get(id)).cloned() {
            self.replace_static_member(now, &holder, join);
        } else if join.needs_known_member_id && instance_id.is_none() {
            let member_id = join.fresh_member_id;
            self.pending_members.insert(member_id.clone(), now + join.terms.session_timeout);
            (join.reply)(refused_join(ResponseError::MemberIdRequired, &member_id));
        } else {
            let member_id = join.fresh_member_id.clone();
            self.admit(now, member_id, join);
        }
    }

    fn admit(&mut self, now: Instant, member_id: String, join: Join) {
        let mut member = Member::new(member_id, join.terms, now + NEW_MEMBER_JOIN_TIMEOUT);
        member.hold_join(join.reply);
        self.add(member);
        self.rebalance(now);
    }

    /// A present member joins again. It starts a rebalance only if it says something new or leads the group: any other
    /// repeats a request whose answer it has lost.
    fn rejoin(&mut self, now: Instant, join: Join) {
        let member_id = join.member_id;
        let Some(member) = self.members.get_mut(&member_id) else {
            return (join.reply)(refused_join(ResponseError::UnknownMemberId, &member_id));
        };
        let unchanged = member.terms.protocols == join.terms.protocols;
        let repeats = match self.state {
            GroupState::CompletingRebalance => unchanged,
            GroupState::Stable => unchanged && self.leader.as_deref() != Some(&member_id),
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => false,
        };
        if repeats {
            member.heard_from(now);
            return (join.reply)(self.generation_for(&member_id));
        }
        member.terms = join.terms;
        member.hold_join(join.reply);
        member.heard_from(now);
        self.rebalance(now);
    }

    /// A static member came back without its member id: it gets a new one, and the old one is fenced (KIP-345).
    fn replace_static_member(&mut self, now: Instant, old_id: &str, join: Join) {
        let new_id = join.fresh_member_id;
        let was_leader = self.is_leader(old_id);
        let Some(index) = self.members.get_index_of(old_id) else { return };
        let Some(mut member) = self.members.shift_remove(old_id) else { return };
        member.refuse_all(ResponseError::FencedInstanceId);
        member.id.clone_from(&new_id);
        member.terms = join.terms;
        member.heard_from(now);
        if let Some(instance_id) = &member.terms.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        self.members.shift_insert(index, new_id.clone(), member);
        if self.pending_syncs.remove(old_id) {
            self.pending_syncs.insert(new_id.clone());
        }
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        if self.state == GroupState::Stable && self.select_protocol() == self.protocol {
            return (join.reply)(self.kept_generation(&new_id, was_leader, old_id, join.can_skip_assignment));
        }
        if let Some(member) = self.members.get_mut(&new_id) {
            member.hold_join(join.reply);
        }
        self.rebalance(now);
    }

    /// The running generation for a static member that has returned: it syncs and gets its old assignment.
    fn kept_generation(&self, id: &str, was_leader: bool, old_id: &str, can_skip: bool) -> JoinGroupResponse {
        let mut response = self.generation_for(id);
        if was_leader && can_skip {
            response.skip_assignment = true;
        } else if was_leader {
            // An older client that is told it leads would compute an assignment: it is shown its former self as the
            // leader, so that it follows.
            response.leader = text(old_id);
            response.members.clear();
        }
        response
    }
}
