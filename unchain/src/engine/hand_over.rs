//! Membership: partitions taken over and handed over, and the stop, which hands everything over.
//!
//! On a revocation nothing more of the partitions is started; what runs may end within the drain timeout; what is
//! complete is committed; then they are released. Other partitions go on meanwhile.

use std::time::Duration;

use super::EngineError;
use super::committer::{Order, Report};
use super::core::Slot;
use super::handling::Beside;
use super::session::{Assigned, Session};
use super::take_over::{Cancel, Prepared};
use super::transactions::FlushPlan;
use crate::kafka::{ClientError, ErrorKind, GroupEvent, TopicPartition};

/// How long the cluster may take to say which topics it has.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// Partitions that are being handed over.
#[derive(Debug)]
pub(crate) struct HandOver {
    partitions: Vec<TopicPartition>,
    slots: Vec<Slot>,
    /// When what still runs is given up.
    deadline: Duration,
    is_stop: bool,
    storing: Storing,
}

/// How far the tables' last way into their stores is, which leaves the next owner on this machine little to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storing {
    NotBegun,
    /// The changelogs' stable ends are asked for.
    Asked,
    Done,
}

/// Partitions that are being taken over.
#[derive(Debug)]
pub(crate) struct Taking {
    assignment: u64,
    /// Whether the group waits for the answer.
    is_answered: bool,
    cancel: Cancel,
}

impl Taking {
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// The group waits for an answer that only a member built anew can do without.
fn unanswered(error: EngineError) -> EngineError {
    match error.kind() {
        ErrorKind::Abort => {
            let reason = error.to_string();
            ClientError::Operation { operation: "a take-over", reason, kind: ErrorKind::Rebuild }.into()
        }
        _ => error,
    }
}

impl Session<'_> {
    /// Hands everything over and takes nothing more.
    pub(crate) fn begin_stop(&mut self) {
        self.is_stopping = true;
        let partitions = self.assigned.iter().map(|assigned| assigned.at.clone()).collect();
        self.begin_hand_over(partitions, true);
    }

    /// Goes on with rebalances; tells whether anything was done.
    pub(crate) fn membership(&mut self) -> Result<bool, EngineError> {
        let mut any = false;
        while let Some(event) = self.consumer.next_event() {
            any = true;
            match event {
                GroupEvent::Failed(error)
                    if matches!(error.kind(), ErrorKind::Stop | ErrorKind::Rebuild | ErrorKind::Fenced) =>
                {
                    return Err(error.into());
                }
                // The client reconnects by itself.
                GroupEvent::Failed(error) => {
                    tracing::debug!(%error, "fetching goes on");
                    self.topic_watch.suspect(self.started.elapsed());
                }
                GroupEvent::Stalled => return Err(self.stalled()),
                GroupEvent::Revoked { partitions, lost: true } => {
                    self.lost = Some(partitions);
                    let reason = "the group has given this member's partitions away".to_owned();
                    return Err(
                        ClientError::Operation { operation: "membership", reason, kind: ErrorKind::Abort }.into()
                    );
                }
                event => self.events.push_back(event),
            }
        }
        any |= self.finish_hand_over()?;
        let is_answering = self.taking.iter().any(|taking| !taking.is_answered);
        if self.hand_over.is_none() && !is_answering && !self.is_stopping {
            match self.events.pop_front() {
                Some(GroupEvent::Assigned(partitions)) => self.begin_take_over(partitions)?,
                Some(GroupEvent::Revoked { partitions, .. }) => self.begin_hand_over(partitions, false),
                Some(GroupEvent::Stalled | GroupEvent::Failed(_)) | None => return Ok(any),
            }
            any = true;
        }
        Ok(any)
    }

    /// Asks aside whether the inputs exist, where there is reason to.
    pub(crate) fn watch_inputs(&mut self, now: Duration) -> Result<(), EngineError> {
        if !self.topic_watch.is_due(now) {
            return Ok(());
        }
        let (connection, mailbox) = (self.worker.connection.clone(), self.mailbox.clone());
        let inputs: Vec<&'static str> = self.worker.processor.declaration().inputs().iter().map(|at| at.name).collect();
        let ask = move || {
            let missing = match connection.topics(ASK_DEADLINE) {
                Ok(existing) => inputs.into_iter().find(|name| !existing.iter().any(|topic| topic.name == *name)),
                Err(_) => None,
            };
            drop(mailbox.send(Report::Inputs { missing }));
        };
        let thread = std::thread::Builder::new().name("input-watch".to_owned()).spawn(ask);
        thread.map(drop).map_err(|error| EngineError::Thread { reason: error.to_string() })
    }

    pub(crate) fn inputs_answered(&mut self, missing: Option<&'static str>) -> Result<(), EngineError> {
        let processor = self.worker.processor.name();
        match missing {
            Some(topic) if self.topic_watch.answered(true, self.started.elapsed()) => {
                Err(EngineError::InputDeleted { processor, topic })
            }
            Some(topic) => {
                tracing::warn!(processor, topic, "the input is missing");
                Ok(())
            }
            None => {
                self.topic_watch.answered(false, self.started.elapsed());
                Ok(())
            }
        }
    }

    fn stalled(&self) -> EngineError {
        EngineError::Stalled { processor: self.worker.processor.name() }
    }

    fn begin_take_over(&mut self, partitions: Vec<TopicPartition>) -> Result<(), EngineError> {
        tracing::debug!(processor = self.worker.processor.name(), ?partitions, "taking over");
        if partitions.is_empty() {
            // The group waits for an answer all the same.
            return Ok(self.consumer.assign(&[]).map(drop)?);
        }
        self.assignments += 1;
        let (assignment, cancel) = (self.assignments, Cancel::default());
        self.taking.push(Taking { assignment, is_answered: false, cancel: cancel.clone() });
        self.take_over.clone().start(assignment, partitions, cancel, self.mailbox.clone())
    }

    /// A step of a take-over is done.
    pub(crate) fn prepared(&mut self, prepared: Prepared) -> Result<(), EngineError> {
        match prepared {
            Prepared::Positions { assignment, positions } => {
                let Some(taking) = self.taking.iter_mut().find(|taking| taking.assignment == assignment) else {
                    return Ok(());
                };
                taking.is_answered = true;
                self.assign(assignment, positions.map_err(unanswered)?)
            }
            Prepared::Tables { assignment, tables } => {
                let Some(place) = self.taking.iter().position(|taking| taking.assignment == assignment) else {
                    return Ok(());
                };
                self.taking.remove(place);
                for (beside, tables) in tables? {
                    self.handling.add_tables(assignment, beside, tables);
                }
                Ok(())
            }
        }
    }

    fn assign(&mut self, assignment: u64, positions: Vec<(TopicPartition, Option<i64>)>) -> Result<(), EngineError> {
        let queues = self.consumer.assign(&positions)?;
        // The number makes the lane groups of this assignment its own.
        let mut groups: Vec<Beside> = Vec::new();
        for ((at, committed), queue) in positions.into_iter().zip(queues) {
            let beside = (self.worker.processor.group_of(&at.topic), at.partition);
            let group = groups.iter().position(|known| *known == beside).unwrap_or_else(|| {
                groups.push(beside);
                groups.len() - 1
            });
            let handler = self.handling.calls.handler_of(&at.topic);
            let handler = handler.expect("only the handlers' inputs are subscribed to");
            let slot = self.handling.add(handler, beside, assignment, (assignment << 32) | group as u64);
            self.assigned.push(Assigned { at, slot, queue, committed });
        }
        self.assigned_changed();
        Ok(())
    }

    fn begin_hand_over(&mut self, partitions: Vec<TopicPartition>, is_stop: bool) {
        tracing::debug!(processor = self.worker.processor.name(), ?partitions, is_stop, "handing over");
        self.topic_watch.suspect(self.started.elapsed());
        let slots = self.assigned.iter().filter(|assigned| partitions.contains(&assigned.at));
        let slots: Vec<Slot> = slots.map(|assigned| assigned.slot).collect();
        slots.iter().for_each(|slot| self.handling.core.drain(*slot));
        let deadline = self.now() + self.worker.settings.drain_timeout;
        self.hand_over = Some(HandOver { partitions, slots, deadline, is_stop, storing: Storing::NotBegun });
    }

    /// Whether a commit is wanted at once, because somebody waits for partitions.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.hand_over.is_some()
    }

    fn finish_hand_over(&mut self) -> Result<bool, EngineError> {
        let Some(hand_over) = &self.hand_over else { return Ok(false) };
        let is_over = self.started.elapsed() >= hand_over.deadline;
        let is_done = |slot: &Slot| {
            if is_over { self.handling.core.is_settled(*slot) } else { self.handling.core.is_drained(*slot) }
        };
        if !hand_over.slots.iter().all(is_done) || (!is_over && !self.store_tables()) {
            return Ok(false);
        }
        let HandOver { partitions, slots, is_stop, .. } = self.hand_over.take().expect("looked at above");
        if !slots.iter().all(|slot| self.handling.core.is_drained(*slot)) {
            tracing::warn!(
                processor = self.worker.processor.name(),
                ?partitions,
                "handlers did not end within the drain timeout: their records will be read again"
            );
        }
        self.remove(&slots);
        if !is_stop {
            self.consumer.unassign(&partitions)?;
        }
        Ok(true)
    }

    /// Sees to it that the stores get what the tables handed over have; tells whether that is done.
    fn store_tables(&mut self) -> bool {
        let Some(HandOver { slots, storing, .. }) = &self.hand_over else { return true };
        if *storing != Storing::NotBegun {
            return *storing == Storing::Done;
        }
        let besides: Vec<Beside> = slots.iter().filter_map(|slot| self.handling.beside(*slot)).collect();
        let given = self.assigned.iter().filter(|assigned| slots.contains(&assigned.slot));
        let committed = given.filter_map(|given| Some((given.at.clone(), given.committed?))).collect();
        // Also where all rows are stored: the store does not know yet that the last commit is among them.
        let plan = self.plan_flush(|beside, tables| besides.contains(&beside) && tables.is_stored());
        let next = if plan.changelogs.is_empty() { Storing::Done } else { Storing::Asked };
        if next == Storing::Asked {
            self.committer.give(Order::StableEnds(plan, committed));
        }
        self.hand_over.iter_mut().for_each(|hand_over| hand_over.storing = next);
        next == Storing::Done
    }

    /// The stable ends are known, up to which the tables handed over may say that they are stored.
    pub(crate) fn hand_over_stored(
        &mut self,
        plan: FlushPlan,
        ends: Result<Vec<i64>, EngineError>,
    ) -> Result<(), EngineError> {
        self.hand_over.iter_mut().for_each(|hand_over| hand_over.storing = Storing::Done);
        match ends {
            Ok(ends) => self.flush(plan, &ends),
            Err(error) => {
                tracing::debug!(%error, "tables are handed over without a last flush: their next owner restores more");
                Ok(())
            }
        }
    }

    /// Forgets partitions: what of them is in flight is never committed here.
    pub(crate) fn remove(&mut self, slots: &[Slot]) {
        let besides: Vec<Beside> = slots.iter().filter_map(|slot| self.handling.beside(*slot)).collect();
        self.taking.iter().filter(|taking| taking.is_answered).for_each(|taking| taking.cancel.give_away(&besides));
        self.handling.remove(slots);
        self.assigned.retain(|assigned| !slots.contains(&assigned.slot));
        if !self.handling.is_waiting_for_tables() {
            self.taking.iter().filter(|taking| taking.is_answered).for_each(Taking::cancel);
            self.taking.retain(|taking| !taking.is_answered);
        }
        self.assigned_changed();
    }

    /// Forgets every partition and whatever is under way with them.
    pub(crate) fn forget_all(&mut self) {
        for taking in self.taking.drain(..) {
            taking.cancel.cancel();
        }
        self.hand_over = None;
        self.events.clear();
        let slots: Vec<Slot> = self.assigned.iter().map(|assigned| assigned.slot).collect();
        self.remove(&slots);
    }

    fn assigned_changed(&mut self) {
        self.worker.stats.partitions_changed(self.worker.index, self.assigned.len());
    }
}
