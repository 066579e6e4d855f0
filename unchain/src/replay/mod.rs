//! Replays of recordings: into topics, in the recorded order and at the recorded pace or faster, each record exactly once.
//!
//! What was replayed and how far the replay has come are committed in one transaction: a replay that was killed goes on
//! where it stood, with nothing left out and nothing twice.

mod error;
mod feeder;
mod merge;
mod names;
mod pace;
mod plan;
mod preview;
mod progress;
mod reshape;
mod session;
mod settings;
mod source;
mod verify;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::contract::{RegistryError, SchemaRegistry};
use crate::kafka::{ClientError, Connection, ErrorKind, TopicPartition};
use crate::recording::{Recording, Span};

pub use error::ReplayError;
pub use names::{HeaderFilter, NamePattern, TargetName};
pub use pace::Speed;
pub use plan::Target;
pub use preview::{Preview, TopicPreview};
pub use progress::REPLAYS_TOPIC;
pub use settings::{ReplaySettings, Timestamps};
pub use verify::{Difference, DifferenceKind, Verified};

use plan::Plan;
use session::{Ended, Outside, Session};

/// A replay that was checked and can be run.
pub struct Replay {
    connection: Connection,
    registry: Arc<dyn SchemaRegistry>,
    recording: Recording,
    settings: ReplaySettings,
    plan: Plan,
    deadline: Duration,
}

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayStatus {
    /// Records that earlier runs have replayed.
    pub resumed_records: u64,
    pub sent_records: u64,
    /// Of keys and values.
    pub sent_bytes: u64,
    /// Records that were sent or were none of those to be sent.
    pub passed_records: u64,
    pub transactions: u64,
    /// The records of the recording, at most.
    pub total_records: u64,
    /// The recorded time that the replay has come to, and the last one.
    pub due_ms: i64,
    pub last_ms: i64,
}

/// What a run of a replay has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub replay_id: String,
    pub records: u64,
    pub bytes: u64,
    /// The time in which it sent: without the checks before, with the waits for the recorded pace.
    pub seconds: f64,
    /// Records that earlier runs had replayed.
    pub resumed_records: u64,
    /// Whether the replay has come to its end; it was stopped otherwise.
    pub is_complete: bool,
}

/// How long a target that is away is waited for.
const MAX_STANDSTILL: Duration = Duration::from_secs(300);
/// How long a process that was fenced waits for the name of whoever has fenced it.
const CLAIM_PATIENCE: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

impl Replay {
    /// Looks at everything that can be wrong with the recording, the target and the settings; writes nothing.
    pub fn prepare(
        connection: &Connection,
        registry: Arc<dyn SchemaRegistry>,
        recording: Recording,
        settings: ReplaySettings,
        deadline: Duration,
    ) -> Result<Replay, ReplayError> {
        let plan = Plan::make(connection, &*registry, &recording, &settings, deadline)?;
        Ok(Replay { connection: connection.clone(), registry, recording, settings, plan, deadline })
    }

    /// The name under which the progress is kept.
    pub fn id(&self) -> &str {
        &self.plan.id
    }

    pub fn targets(&self) -> &[Target] {
        &self.plan.targets
    }

    /// Replays what is left. `stop` waits for so long at most and tells whether to stop; `report` hears of the replay
    /// about twice a second.
    ///
    /// # Errors
    /// What is wrong with the recording, and a target that is away for five minutes. What was committed stays, and
    /// another run goes on with it.
    pub fn run(
        &self,
        stop: &dyn Fn(Duration) -> bool,
        report: &mut dyn FnMut(&ReplayStatus),
    ) -> Result<Replayed, ReplayError> {
        let owner = owner();
        let mut run = Run { first: None, last: self.status(), sending: Duration::ZERO };
        let mut outside = Outside { stop, report };
        let (mut failing_since, mut pause) = (None::<Instant>, FIRST_PAUSE);
        let ended = loop {
            let mut committed = |_: &ReplayStatus| (failing_since, pause) = (None, FIRST_PAUSE);
            let failure = match self.session(&owner, &mut run, &mut outside, &mut committed) {
                Ok(ended) => break ended,
                Err(failure) => self.is_passing(failure, &owner, outside.stop)?,
            };
            let waited = failing_since.get_or_insert_with(Instant::now).elapsed();
            if waited > MAX_STANDSTILL {
                return Err(ReplayError::Standstill { id: self.plan.id.clone(), waited, last: failure });
            }
            tracing::warn!(replay = self.plan.id, reason = %failure, "goes on from the last commit");
            if (outside.stop)(pause) {
                break Ended::Stopped;
            }
            pause = (pause * 2).min(MAX_PAUSE);
        };
        let first = run.first.unwrap_or(run.last);
        Ok(Replayed {
            replay_id: self.plan.id.clone(),
            records: run.last.resumed_records + run.last.sent_records - first.resumed_records,
            bytes: run.last.sent_bytes,
            seconds: run.sending.as_secs_f64(),
            resumed_records: first.resumed_records,
            is_complete: ended == Ended::AtTheEnd,
        })
    }

    fn session(
        &self,
        owner: &str,
        run: &mut Run,
        outside: &mut Outside<'_>,
        committed: &mut dyn FnMut(&ReplayStatus),
    ) -> Result<Ended, ReplayError> {
        let anew = self.settings.again && run.first.is_none();
        let mut session = Session::begin(self, owner, anew)?;
        let status = session.status();
        run.first.get_or_insert(status);
        let sent_bytes = run.last.sent_bytes;
        run.last = ReplayStatus { sent_bytes, ..status };
        let started = Instant::now();
        let ended = session.run(outside, &mut |status| {
            run.last = ReplayStatus { sent_bytes: sent_bytes + status.sent_bytes, ..*status };
            committed(status);
        });
        run.sending += started.elapsed();
        ended
    }

    /// The failure, where trying again may mend it.
    fn is_passing(
        &self,
        failure: ReplayError,
        owner: &str,
        stop: &dyn Fn(Duration) -> bool,
    ) -> Result<ClientError, ReplayError> {
        match failure {
            ReplayError::Client(error) if error.kind() == ErrorKind::Stop => Err(error.into()),
            ReplayError::Client(error) => {
                // A producer that is fenced may only hear that it has failed for good; and one whose transaction has timed
                // out is fenced as well.
                let may_be_fenced = matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Rebuild);
                if may_be_fenced && self.is_taken_over(owner, stop)? {
                    return Err(ReplayError::TakenOver { id: self.plan.id.clone() });
                }
                Ok(error)
            }
            ReplayError::Registry(RegistryError::Unavailable { reason }) => {
                let (operation, kind) = ("registering schemas", ErrorKind::Retry);
                Ok(ClientError::Operation { operation, reason, kind })
            }
            other => Err(other),
        }
    }

    /// Whether another process has said that it replays. It does so right after it has fenced this one.
    fn is_taken_over(&self, owner: &str, stop: &dyn Fn(Duration) -> bool) -> Result<bool, ReplayError> {
        let fenced = Instant::now();
        loop {
            let stored = progress::load(&self.connection, &self.plan.id, self.deadline);
            if stored.is_ok_and(|stored| stored.owner.is_some_and(|now| now != owner)) {
                return Ok(true);
            }
            if fenced.elapsed() > CLAIM_PATIENCE || stop(FIRST_PAUSE) {
                return Ok(false);
            }
        }
    }

    fn status(&self) -> ReplayStatus {
        let span: &Span = &self.settings.span;
        let total = |at: &TopicPartition| self.recording.count(at, span);
        let last = |at: &TopicPartition| self.recording.times(at, span).map(|(_, last)| last);
        let last_ms = self.plan.partitions.iter().filter_map(last).max().unwrap_or(-1);
        ReplayStatus {
            resumed_records: 0,
            sent_records: 0,
            sent_bytes: 0,
            passed_records: 0,
            transactions: 0,
            total_records: self.plan.partitions.iter().map(total).sum(),
            due_ms: -1,
            last_ms: last_ms.min(span.to_ms),
        }
    }
}

/// What a run has done: at the begin of its first session and at its last commit.
struct Run {
    first: Option<ReplayStatus>,
    last: ReplayStatus,
    sending: Duration,
}

/// Tells this run apart from every other.
fn owner() -> String {
    let salt = foldhash::quality::RandomState::default();
    format!("{:016x}", salt.hash_one((std::process::id(), plan::now_ms())))
}
