//! How a group moves from one generation to the next: begin, wait for the members, complete, and what time does to it.

use std::time::Instant;

use kafka_protocol::error::ResponseError;

use super::membership::Group;
use super::state::GroupState;

impl Group {
    /// Starts a rebalance unless one is being joined already, and completes it at once when nobody is missing.
    pub fn rebalance(&mut self, now: Instant) {
        match self.state {
            GroupState::Dead => return,
            GroupState::PreparingRebalance => {}
            GroupState::Empty => {
                self.begin_rebalance(now);
                return self.gather_first_members(now);
            }
            GroupState::CompletingRebalance | GroupState::Stable => self.begin_rebalance(now),
        }
        self.complete_join_if_all_are_here(now);
    }

    fn begin_rebalance(&mut self, now: Instant) {
        if self.state == GroupState::CompletingRebalance {
            self.withdraw_assignment(ResponseError::RebalanceInProgress);
        }
        self.pending_syncs.clear();
        self.sync_deadline = None;
        self.rebalance_deadline = Some(now + self.rebalance_timeout());
        self.transition(GroupState::PreparingRebalance);
    }

    /// The first member waits for others to come, but not for those that were only given an id.
    fn gather_first_members(&mut self, now: Instant) {
        let delay = self.limits.initial_rebalance_delay.min(self.rebalance_timeout());
        if delay.is_zero() {
            return self.complete_join(now);
        }
        self.gathers_first_members = true;
        self.rebalance_deadline = Some(now + delay);
    }

    /// Clears every assignment and answers the waiting syncs with `error`.
    pub fn withdraw_assignment(&mut self, error: ResponseError) {
        for member in self.members.values_mut() {
            member.assignment.clear();
            member.refuse_sync(error);
        }
    }

    pub fn complete_join_if_all_are_here(&mut self, now: Instant) {
        let everyone_joined = self.pending_members.is_empty() && self.members.values().all(|m| m.awaits_join());
        if self.state == GroupState::PreparingRebalance && everyone_joined && !self.gathers_first_members {
            self.complete_join(now);
        }
    }

    /// Ends the joining: whoever has not come is out, except static members, who have their session timeout to return.
    fn complete_join(&mut self, now: Instant) {
        self.rebalance_deadline = None;
        self.gathers_first_members = false;
        let missing = self.members.values().filter(|member| !member.awaits_join() && !member.is_static());
        for member_id in missing.map(|member| member.id.clone()).collect::<Vec<_>>() {
            self.remove(&member_id);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only absent static members are left: nobody could compute an assignment.
            self.rebalance_deadline = Some(now + self.rebalance_timeout());
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol = None;
            return self.transition(GroupState::Empty);
        }
        self.protocol = self.select_protocol();
        self.transition(GroupState::CompletingRebalance);
        self.sync_deadline = Some(now + self.rebalance_timeout());
        self.pending_syncs = self.members.keys().cloned().collect();
        for member_id in &self.pending_syncs {
            let response = self.generation_for(member_id);
            if let Some(member) = self.members.get_mut(member_id) {
                member.is_new = false;
                if member.awaits_join() {
                    member.heard_from(now);
                    member.answer_join(response);
                }
            }
        }
    }

    /// Keeps the leader if it has joined, else makes the eldest that has joined the leader.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &String| self.members.get(id).is_some_and(|member| member.awaits_join());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let successor = self.members.values().find(|member| member.awaits_join()).map(|member| member.id.clone());
        let found = successor.is_some();
        self.leader = successor.or_else(|| self.leader.take());
        found
    }

    /// Removes a member and lets the others take over its share.
    pub fn expel(&mut self, now: Instant, member_id: &str) {
        self.remove(member_id);
        if self.state != GroupState::Empty {
            self.rebalance(now);
        }
    }

    pub fn forget_pending_member(&mut self, now: Instant, member_id: &str) {
        if self.pending_members.remove(member_id).is_some() {
            self.complete_join_if_all_are_here(now);
        }
    }

    /// Applies every deadline that `now` has reached and returns the next one.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        let overdue = self.pending_members.iter().filter(|(_, deadline)| **deadline <= now);
        for member_id in overdue.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.forget_pending_member(now, &member_id);
        }
        self.expire_sessions(now);
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.expire_syncs(now);
        }
        if self.rebalance_deadline.is_some_and(|deadline| deadline <= now) {
            self.complete_join(now);
        }
        self.next_deadline()
    }

    fn expire_sessions(&mut self, now: Instant) {
        let overdue = self.members.values().filter(|member| member.session_deadline <= now);
        for member_id in overdue.map(|member| member.id.clone()).collect::<Vec<_>>() {
            let Some(member) = self.members.get_mut(&member_id) else { continue };
            // A member that waits for our answer cannot heartbeat; the rebalance and sync deadlines bound its wait.
            let waits_for_us = member.awaits_sync() || (member.awaits_join() && !member.is_new);
            if member.session_deadline > now {
                continue;
            } else if waits_for_us {
                member.heard_from(now);
            } else {
                self.expel(now, &member_id);
            }
        }
    }

    fn expire_syncs(&mut self, now: Instant) {
        self.sync_deadline = None;
        let late = std::mem::take(&mut self.pending_syncs);
        if late.is_empty() {
            return;
        }
        for member_id in &late {
            self.remove(member_id);
        }
        self.rebalance(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().map(|member| member.session_deadline);
        let pending = self.pending_members.values().copied();
        sessions.chain(pending).chain(self.rebalance_deadline).chain(self.sync_deadline).min()
    }
}
