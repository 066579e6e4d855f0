//! One try of a replay: from the last commit on, until its end, a signal or a failure of the target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::plan::{Plan, now_ms};
use super::progress::{self, Begin, Progress, Stored};
use super::reshape::{Registration, Reshape, Times};
use super::source::Source;
use super::{Replay, ReplayError, ReplayStatus, Speed, Timestamps};
use crate::kafka::{ClientError, ErrorKind, OffsetsClient, ProducerSettings, TopicPartition, TransactionalProducer};

/// What a session is given from outside.
pub(super) struct Outside<'a> {
    /// Waits for so long at most, and tells whether the replay is to stop.
    pub(super) stop: &'a dyn Fn(Duration) -> bool,
    /// Hears of the replay now and then.
    pub(super) report: &'a mut dyn FnMut(&ReplayStatus),
}

/// Transactions that have just ended are decided a moment later.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How soon a paced replay's records become visible.
const PACED_COMMIT_INTERVAL: Duration = Duration::from_millis(50);
/// The same at full speed: each commit stops the sending for a moment.
const MAX_COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// A commit may take this part of the time: a slow cluster gets fewer of them.
const COMMIT_SHARE: u32 = 4;
/// At full speed the clock is looked at once in so many records.
const RECORDS_A_LOOK: u64 = 256;
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// The longest wait for a record's time before reports are served.
const MAX_WAIT: Duration = Duration::from_millis(500);

pub(super) fn producer_settings() -> ProducerSettings {
    ProducerSettings {
        max_queued_records: 100_000,
        max_queued_bytes: 32 * 1024 * 1024,
        linger: Duration::from_millis(5),
        ..ProducerSettings::default()
    }
}

pub(super) struct Session<'a> {
    plan: &'a Plan,
    producer: TransactionalProducer,
    source: Source,
    reshape: Reshape<'a>,
    pace: Option<Pace>,
    /// Of each stream: its progress with the open transaction, and whether that has changed it.
    progress: Vec<(Progress, bool)>,
    open_since: Option<Instant>,
    commit_interval: Duration,
    last_report: Instant,
    status: ReplayStatus,
}

/// Why a session ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    AtTheEnd,
    Stopped,
}

impl<'a> Session<'a> {
    /// Takes the replay over: whoever else replays under its id is fenced from here on. `anew` forgets what there is.
    pub(super) fn begin(replay: &'a Replay, owner: &str, anew: bool) -> Result<Session<'a>, ReplayError> {
        let (plan, connection, deadline) = (&replay.plan, &replay.connection, replay.deadline);
        progress::create_topic(connection, deadline)?;
        let id = format!("unchain-replay-{}", plan.id);
        let producer = TransactionalProducer::connect(connection, &id, &producer_settings())?;
        producer.begin()?;
        progress::write_owner(&producer, &plan.id, owner)?;
        producer.commit()?;
        let mut stored = progress::load(connection, &plan.id, deadline)?;
        if stored.owner.as_deref() != Some(owner) {
            // Written last, so whatever hides it may hide progress as well: another replay's transaction that hangs.
            return Err(progress::hidden().into());
        }
        let forgotten = if anew { std::mem::take(&mut stored) } else { Stored::default() };
        progress::check(&stored, &plan.id, &plan.digest)?;
        let (begin, is_new) = match stored.begin.take() {
            Some(begin) => (begin, false),
            None => (first_begin(replay)?, true),
        };
        for target in &plan.targets {
            let began = begin.target_starts.get(&target.name).map_or(0, Vec::len);
            if usize::try_from(target.partitions) != Ok(began) {
                let (id, target) = (plan.id.clone(), target.name.clone());
                return Err(ReplayError::TargetChanged { id, target, partitions: began });
            }
        }
        let times = Times { started_ms: begin.started_ms, shift_ms: begin.shift_ms };
        let (recording, settings) = (&replay.recording, &replay.settings);
        let mut reshape = Reshape::new(recording, &replay.registry, settings, plan, times, Registration::Register);
        reshape.register_schemas()?;
        if is_new {
            producer.begin()?;
            progress::write_begin(&producer, &plan.id, &begin)?;
            forgotten.partitions.keys().try_for_each(|at| progress::clear(&producer, &plan.id, at))?;
            producer.commit()?;
        }
        let source = Source::open(recording, &plan.partitions, settings.span, &stored.places())?;
        let of_stream = |at: &TopicPartition| {
            let start = Progress { next_offset: i64::MIN, due_ms: i64::MIN, records: 0, bytes: 0 };
            (stored.partitions.get(at).copied().unwrap_or(start), false)
        };
        let (pace, commit_interval) = match settings.speed {
            Speed::Times(factor) => (Some(Pace::new(factor)), PACED_COMMIT_INTERVAL),
            Speed::Max => (None, MAX_COMMIT_INTERVAL),
        };
        Ok(Session {
            plan,
            producer,
            source,
            reshape,
            pace,
            progress: plan.partitions.iter().map(of_stream).collect(),
            open_since: None,
            commit_interval,
            last_report: Instant::now(),
            status: ReplayStatus { resumed_records: stored.records(), ..replay.status() },
        })
    }

    pub(super) fn status(&self) -> ReplayStatus {
        self.status
    }

    /// Sends what is left. `committed` hears of each commit.
    pub(super) fn run(
        &mut self,
        outside: &mut Outside<'_>,
        committed: &mut dyn FnMut(&ReplayStatus),
    ) -> Result<Ended, ReplayError> {
        let (started, mut sent) = (Instant::now(), 0_u64);
        loop {
            if self.pace.is_some() || sent.is_multiple_of(RECORDS_A_LOOK) {
                let now = Instant::now();
                let wait = self.wait(now - started)?;
                if self.look(now, wait, outside, committed)? {
                    self.commit(committed)?;
                    return Ok(Ended::Stopped);
                }
                if wait.is_some() {
                    continue;
                }
                if self.open_since.is_none() {
                    self.producer.begin()?;
                    self.open_since = Some(now);
                }
            }
            if !self.send_next()? {
                self.commit(committed)?;
                (outside.report)(&self.status);
                return Ok(Ended::AtTheEnd);
            }
            sent += 1;
        }
    }

    /// How long the next record has to wait; `None` where it is due, or where there is none.
    fn wait(&mut self, now: Duration) -> Result<Option<Duration>, ReplayError> {
        let Some(pace) = &mut self.pace else { return Ok(None) };
        Ok(self.source.next()?.and_then(|next| pace.wait(now, next.due_ms)))
    }

    /// Sends the next record into the open transaction; `false` at the end.
    fn send_next(&mut self) -> Result<bool, ReplayError> {
        let Some(next) = self.source.next()? else { return Ok(false) };
        let stream = next.stream;
        self.status.due_ms = next.due_ms;
        let mut bytes = None;
        if self.reshape.wants(&next.record) {
            let at = &self.plan.partitions[stream];
            self.producer.send(self.reshape.outgoing(stream, at, next.due_ms, &next.record)?)?;
            bytes = Some(next.record.key.map_or(0, <[u8]>::len) + next.record.value.map_or(0, <[u8]>::len));
        }
        self.source.pass();
        let place = self.source.place(stream);
        let (progress, is_changed) = &mut self.progress[stream];
        (progress.next_offset, progress.due_ms, *is_changed) = (place.next_offset, place.due_ms, true);
        self.status.passed_records += 1;
        if let Some(bytes) = bytes {
            progress.records += 1;
            progress.bytes += bytes as u64;
            self.status.sent_records += 1;
            self.status.sent_bytes += bytes as u64;
        }
        Ok(true)
    }

    /// Commits what is old enough, reports, and waits for a record's time; tells whether the replay is to stop.
    fn look(
        &mut self,
        now: Instant,
        wait: Option<Duration>,
        outside: &mut Outside<'_>,
        committed: &mut dyn FnMut(&ReplayStatus),
    ) -> Result<bool, ReplayError> {
        if now - self.last_report >= REPORT_INTERVAL {
            self.last_report = now;
            self.producer.serve();
            (outside.report)(&self.status);
            if (outside.stop)(Duration::ZERO) {
                return Ok(true);
            }
        }
        let mut until_commit = MAX_WAIT;
        if let Some(since) = self.open_since {
            until_commit = self.commit_interval.saturating_sub(now - since);
            if until_commit.is_zero() {
                self.commit(committed)?;
                return Ok(false);
            }
        }
        let wait = wait.map(|wait| wait.min(until_commit).min(MAX_WAIT));
        Ok(wait.is_some_and(|wait| (outside.stop)(wait)))
    }

    fn commit(&mut self, committed: &mut dyn FnMut(&ReplayStatus)) -> Result<(), ReplayError> {
        if self.open_since.take().is_none() {
            return Ok(());
        }
        let started = Instant::now();
        for (at, (progress, is_changed)) in self.plan.partitions.iter().zip(&mut self.progress) {
            if std::mem::take(is_changed) {
                progress::write_progress(&self.producer, &self.plan.id, at, progress)?;
            }
        }
        self.producer.commit()?;
        let interval = if self.pace.is_some() { PACED_COMMIT_INTERVAL } else { MAX_COMMIT_INTERVAL };
        // Far below the transaction timeout: the broker would end what stays open for longer.
        let share = (started.elapsed() * COMMIT_SHARE).min(producer_settings().transaction_timeout / 4);
        self.commit_interval = interval.max(share);
        self.status.transactions += 1;
        committed(&self.status);
        Ok(())
    }
}

/// What a replay begins with: where the target ends, and by how much times are moved.
fn first_begin(replay: &Replay) -> Result<Begin, ReplayError> {
    let (plan, recording, deadline) = (&replay.plan, &replay.recording, replay.deadline);
    for at in &plan.partitions {
        recording.verify_files(at, &replay.settings.span)?;
    }
    plan.create_topics(&replay.connection, deadline)?;
    let offsets = OffsetsClient::new(&replay.connection)?;
    let mut target_starts = std::collections::BTreeMap::new();
    for target in &plan.targets {
        let topic: Arc<str> = target.name.as_str().into();
        let at = |partition| TopicPartition { topic: Arc::clone(&topic), partition };
        let partitions: Vec<_> = (0..target.partitions).map(at).collect();
        let ends = ends(&offsets, &partitions, deadline)?;
        target_starts.insert(target.name.clone(), ends);
    }
    let started_ms = now_ms();
    let shift_ms = match replay.settings.timestamps {
        Timestamps::Keep => 0,
        Timestamps::Shift => first_time(replay)?.map_or(0, |first_ms| started_ms - first_ms),
    };
    Ok(Begin { digest: plan.digest.clone(), started_ms, shift_ms, target_starts })
}

/// Where the target's partitions end. Those of a topic that was just created have a leader a moment later.
fn ends(offsets: &OffsetsClient, partitions: &[TopicPartition], deadline: Duration) -> Result<Vec<i64>, ClientError> {
    let asked = Instant::now();
    loop {
        match offsets.settled_ends(partitions, SETTLE_PATIENCE, deadline) {
            Err(error) if error.kind() == ErrorKind::Retry && asked.elapsed() < deadline => {
                tracing::debug!(%error, "asking again");
                #[allow(clippy::disallowed_methods, reason = "a back-off between two questions to the broker")]
                std::thread::sleep(ASK_AGAIN_AFTER);
            }
            answer => return answer,
        }
    }
}

fn first_time(replay: &Replay) -> Result<Option<i64>, ReplayError> {
    let (plan, span) = (&replay.plan, replay.settings.span);
    let mut source = Source::open(&replay.recording, &plan.partitions, span, &std::collections::BTreeMap::new())?;
    while let Some(next) = source.next()? {
        if next.due_ms >= 0 {
            return Ok(Some(next.due_ms));
        }
        source.pass();
    }
    Ok(None)
}
