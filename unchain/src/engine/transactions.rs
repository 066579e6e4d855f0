//! The worker's side of transactions: what may be sent is sent, what is due is committed, what fails is taken back.

use std::time::{Duration, Instant};

use super::EngineError;
use super::committer::{Commit, Order, Report};
use super::core::Slot;
use super::handling::{Beside, Direct, Handling};
use super::outbox::Sending;
use super::session::Session;
use super::worker::backoff;
use crate::contract::Topic;
use crate::kafka::{ClientError, ErrorKind, TopicPartition};
use crate::table::PartitionTables;

/// Tables whose rows go to their stores once their changelogs' stable ends are known: with the commit under way, or
/// before they are handed over.
#[derive(Debug, Default)]
pub(crate) struct FlushPlan {
    /// What the tables stand beside, and how many they are.
    tables: Vec<(Beside, usize)>,
    /// Theirs, in the same order.
    pub(crate) changelogs: Vec<TopicPartition>,
}

/// How often a worker that waits says that it is alive.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Sends the result of the call that has just ended.
    pub(crate) fn send_now(&mut self, slot: Slot, direct: &Direct) -> Result<(), EngineError> {
        let producer = &self.producers[direct.producer];
        if direct.begins {
            producer.begin()?;
        }
        let calls = &self.handling.calls;
        let sending = Sending {
            record: &direct.record,
            emissions: &calls.emissions,
            changes: &calls.changes,
            change_time_ms: self.handling.change_time_ms,
            failed: direct.failed.as_ref(),
            tables: self.handling.tables(slot).map_or(&[], |tables| tables.topics()),
        };
        let keeps_nothing = sending.tables.is_empty();
        self.outbox.send(producer, &mut *self.worker.policy, &sending)?;
        let Handling { core, calls, .. } = &mut self.handling;
        if !keeps_nothing {
            core.transaction().write(slot, calls.changes.drain(..), calls.stream_time_ms);
        }
        Ok(())
    }

    /// Sends what is complete and was held back; tells whether there was anything.
    pub(crate) fn send_ready(&mut self) -> Result<bool, EngineError> {
        self.notice_flush();
        let mut any = false;
        while let Some(ready) = self.handling.core.next_ready(self.started.elapsed()) {
            any = true;
            let producer = &self.producers[ready.producer];
            if ready.begins {
                producer.begin()?;
            }
            let outcome = ready.outcome;
            let sending = Sending {
                record: &outcome.record,
                emissions: &outcome.emissions,
                changes: &outcome.changes,
                change_time_ms: outcome.change_time_ms,
                failed: outcome.failed.as_ref(),
                tables: self.handling.tables(ready.slot).map_or(&[], |tables| tables.topics()),
            };
            self.outbox.send(producer, &mut *self.worker.policy, &sending)?;
            self.handling.core.transaction().write(ready.slot, outcome.changes, outcome.stream_time_ms);
        }
        Ok(any)
    }

    /// The committer tells when the last output is acknowledged; a busy worker sees it earlier.
    fn notice_flush(&mut self) {
        if let Some(producer) = self.handling.core.turns.flushing_producer()
            && self.producers[producer].is_transactional()
            && self.producers[producer].unacknowledged() == 0
        {
            self.handling.core.turns.flushed();
        }
    }

    /// When the open transaction is to be committed.
    pub(crate) fn commit_at(&self) -> Option<Duration> {
        let at = self.handling.core.turns.commit_at(self.idle_since())?;
        Some(if self.is_handing_over() { Duration::ZERO } else { at })
    }

    /// Gives the filled transaction to the committer.
    pub(crate) fn begin_commit(&mut self) {
        let now = Instant::now();
        let flush = self.plan_flush(|_, tables| tables.is_flush_due(now));
        let Some((producer, transaction)) = self.handling.core.turns.begin_commit() else { return };
        let at = |slot| self.assigned.iter().find(|assigned| assigned.slot == slot).map(|assigned| assigned.at.clone());
        let next_offsets = transaction.next_offsets.iter();
        let next_offsets = next_offsets.filter_map(|(slot, offset)| at(*slot).map(|at| (at, *offset))).collect();
        self.outbox.begin_commit();
        let producer = self.producers[producer].clone();
        self.committer.give(Order::Commit(Commit { producer, next_offsets, flush }));
    }

    /// Plans to flush some of the tables.
    pub(crate) fn plan_flush(&mut self, which: impl Fn(Beside, &PartitionTables) -> bool) -> FlushPlan {
        let mut plan = FlushPlan::default();
        for (beside, tables) in self.handling.all_tables().filter(|(beside, tables)| which(*beside, tables)) {
            plan.tables.push((*beside, tables.topics().len()));
            let at = |topic: &&'static Topic| TopicPartition { topic: topic.name.into(), partition: beside.1 };
            plan.changelogs.extend(tables.topics().iter().map(at));
        }
        plan
    }

    /// Takes the reports of the threads that work for this session; tells whether there was one.
    pub(crate) fn take_reports(&mut self) -> Result<bool, EngineError> {
        let mut any = false;
        while let Some(report) = self.early_reports.pop_front().or_else(|| self.reports.try_recv().ok()) {
            any = true;
            match report {
                Report::Flushed => self.handling.core.turns.flushed(),
                Report::Committed(flush, Ok(stable_ends)) => self.committed(flush, &stable_ends)?,
                Report::Committed(_, Err(error)) => {
                    self.commit_failed = true;
                    return Err(error);
                }
                // Awaited where it is ordered.
                Report::Aborted(_) => {}
                Report::StableEnds(plan, ends) => self.hand_over_stored(plan, ends)?,
                Report::Failed(error) => return Err(error),
                Report::TakeOver(prepared) => self.prepared(prepared)?,
                Report::Inputs { missing } => self.inputs_answered(missing)?,
            }
        }
        Ok(any)
    }

    /// The transaction under way has committed: offsets, table writes and counters follow.
    fn committed(&mut self, flush: FlushPlan, stable_ends: &[i64]) -> Result<(), EngineError> {
        let transaction = self.handling.core.turns.committed();
        for assigned in &mut self.assigned {
            if let Some(next_offset) = transaction.next_offsets.get(&assigned.slot) {
                assigned.committed = Some(*next_offset);
            }
        }
        for of_slot in transaction.changes.chunk_by(|(one, _), (other, _)| one == other) {
            if let Some(tables) = self.handling.tables_mut(of_slot[0].0) {
                tables.commit(of_slot.iter().map(|(_, change)| change));
            }
        }
        for (slot, stream_time_ms) in transaction.stream_times_ms {
            if let Some(tables) = self.handling.tables_mut(slot) {
                tables.commit_stream_time(stream_time_ms);
            }
        }
        self.flush(flush, stable_ends)?;
        self.aborts_in_a_row = 0;
        self.worker.stats.add_commit(&self.outbox.committed());
        Ok(())
    }

    /// Flushes what was planned, up to the changelogs' stable ends.
    pub(crate) fn flush(&mut self, plan: FlushPlan, stable_ends: &[i64]) -> Result<(), EngineError> {
        let mut ends = stable_ends;
        for (of, tables) in plan.tables {
            let (of_these, rest) = ends.split_at(tables.min(ends.len()));
            ends = rest;
            if let Some((_, tables)) = self.handling.all_tables().find(|(beside, _)| *beside == of) {
                tables.flush(of_these)?;
            }
        }
        Ok(())
    }

    /// Aborts what is open, forgets what is not committed and goes back to the last commit.
    pub(crate) async fn reset(&mut self, cause: &EngineError) -> Result<(), EngineError> {
        self.aborts_in_a_row += 1;
        self.worker.stats.add_abort();
        let pause = backoff(self.aborts_in_a_row);
        tracing::warn!(processor = self.worker.processor.name(), error = %cause, backoff_ms = pause.as_millis(),
            "the transaction is aborted and its records are read again");
        if self.aborts_in_a_row > self.worker.settings.max_aborts_in_a_row {
            let reason = format!("{} transactions in a row were aborted, at last since {cause}", self.aborts_in_a_row);
            return Err(ClientError::Operation { operation: "processing", reason, kind: ErrorKind::Rebuild }.into());
        }
        // A commit under way may still succeed, and what it covers must not be done again.
        while self.handling.core.turns.committing().is_some() && !self.commit_failed {
            match self.next_report().await? {
                Report::Committed(flush, Ok(stable_ends)) => self.committed(flush, &stable_ends)?,
                Report::Failed(error) => return Err(error),
                // An abort would wait for the commit that was given up.
                Report::Committed(_, Err(error)) if matches!(error.kind(), ErrorKind::Rebuild | ErrorKind::Fenced) => {
                    return Err(error);
                }
                Report::Committed(_, Err(_)) => self.commit_failed = true,
                other => self.early_reports.push_back(other),
            }
        }
        self.commit_failed = false;
        let producers: Vec<_> = self.handling.reset().into_iter().map(|index| self.producers[index].clone()).collect();
        if !producers.is_empty() {
            self.committer.give(Order::Abort(producers));
            self.aborted().await?;
        }
        self.early_reports.retain(|report| !matches!(report, Report::Flushed));
        self.early_step = None;
        self.outbox.reset();
        self.go_back()?;
        self.worker.shutdown.pause(pause).await;
        Ok(())
    }

    async fn aborted(&mut self) -> Result<(), EngineError> {
        loop {
            match self.next_report().await? {
                Report::Aborted(result) => return result,
                Report::Failed(error) => return Err(error),
                other => self.early_reports.push_back(other),
            }
        }
    }

    /// What comes next from the threads that work for this session: their calls have deadlines of their own, so that
    /// this worker waits but does not stand still.
    async fn next_report(&mut self) -> Result<Report, EngineError> {
        let (started, deadline) = (Instant::now(), self.worker.settings.transaction_timeout * 10);
        while started.elapsed() < deadline {
            self.worker.stats.beat(self.worker.index);
            match tokio::time::timeout(BEAT_INTERVAL, self.reports.recv()).await {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        Err(ClientError::TimedOut { operation: "the end of a transaction", waited: started.elapsed() }.into())
    }

    /// Reads again from the last commit, or not at all what was lost.
    fn go_back(&mut self) -> Result<(), EngineError> {
        if let Some(lost) = self.lost.take() {
            let slots = self.assigned.iter().filter(|assigned| lost.contains(&assigned.at));
            let slots: Vec<_> = slots.map(|assigned| assigned.slot).collect();
            self.hand_over = None;
            self.events.clear();
            self.taking.drain(..).for_each(|taking| taking.cancel());
            self.remove(&slots);
            self.consumer.unassign(&lost)?;
        }
        let positions: Vec<_> =
            self.assigned.iter().map(|assigned| (assigned.at.clone(), assigned.committed)).collect();
        if !positions.is_empty() {
            self.consumer.seek(&positions, self.worker.settings.broker_timeout)?;
        }
        Ok(())
    }
}
