//! How processors run: workers with exactly-once transactions, tables restored, lookups followed, a bounded stop.

mod calls;
mod committer;
mod core;
pub mod drive;
mod hand_over;
mod handling;
mod lookups;
mod outbox;
mod restore;
mod session;
mod settings;
mod shutdown;
mod standby;
mod stats;
mod take_over;
mod topic_watch;
mod transactions;
pub mod virtual_time;
mod watchdog;
mod worker;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::contract::{Contract, RegistryError, SchemaRegistry, Topic};
use crate::kafka::{ClientError, Connection, ErrorKind, ExistingTopic};
use crate::process::{DeclareError, FailurePolicy, Processor};
use crate::table::{StoreError, StoreErrorKind, StoreSettings, Stores, TableView};
use shutdown::{Shutdown, Stopper};
use worker::Worker;

pub use settings::{EngineSettings, Guarantee};
pub use stats::ProcessorStats;

/// Why processors do not start, or ended.
#[derive(Debug, Error)]
pub enum EngineError {
    #[error(transparent)]
    Declare(#[from] DeclareError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("processor {processor} needs topic {topic}, which does not exist: create it with `topics apply`")]
    MissingTopic { processor: &'static str, topic: &'static str },
    #[error(
        "processor {processor} needs {needed} partitions of topic {topic}, which has {existing}: \
         a topic with fewer partitions than its contract says is refused"
    )]
    TooFewPartitions { processor: &'static str, topic: &'static str, needed: i32, existing: i32 },
    #[error("two processors are called {name}: a name is a consumer group, and they would take each other's records")]
    SameName { name: &'static str },
    #[error("a worker of processor {processor} panicked: this is a defect, its message stands above")]
    Panicked { processor: &'static str },
    #[error("a failed record could not be set aside: {reason}")]
    Policy { reason: String },
    #[error("processor {processor} has lost its input {topic}: the topic was deleted while it was read")]
    InputDeleted { processor: &'static str, topic: &'static str },
    #[error("processor {processor} cannot keep standby copies in memory: name a state directory, or do without them")]
    StandbyInMemory { processor: &'static str },
    #[error("the state directory {} cannot be used: {source}", dir.display())]
    StateDir { dir: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a worker of processor {processor} did not poll in time and was taken for dead by its group")]
    Stalled { processor: &'static str },
    #[error(
        "processor {processor} is fenced again and again ({reason}): another process runs under the instance name \
         {instance}; give each its own"
    )]
    Twin { processor: &'static str, instance: String, reason: String },
    #[error("a thread could not be started: {reason}")]
    Thread { reason: String },
    #[error("a worker stood still: its process is to be started again")]
    StoodStill,
    #[error("{workers} workers did not stop within {} ms", .waited.as_millis())]
    Stuck { workers: usize, waited: Duration },
}

impl EngineError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            EngineError::Client(error) => error.kind(),
            EngineError::Registry(RegistryError::Unavailable { .. }) => ErrorKind::Retry,
            EngineError::Store(error) if error.kind() == StoreErrorKind::Reopen => ErrorKind::Retry,
            EngineError::Stalled { .. } => ErrorKind::Rebuild,
            _ => ErrorKind::Stop,
        }
    }
}

/// Makes the policy of one worker, for example one that writes dead letters.
pub type NewPolicy = fn(&Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError>;

/// Running processors.
pub struct Engine {
    stopper: Stopper,
    stats: Vec<Arc<ProcessorStats>>,
    registry: Arc<dyn SchemaRegistry>,
    kept: Vec<Kept>,
    workers: Vec<JoinHandle<()>>,
    followers: Vec<JoinHandle<()>>,
    results: mpsc::Receiver<Result<(), EngineError>>,
    drain_timeout: Duration,
    stall_timeout: Duration,
}

impl Engine {
    /// Checks the processors against the cluster, loads their lookups and starts their workers.
    ///
    /// # Errors
    /// What is wrong with a declaration, a topic or a schema; nothing has been read or written then.
    pub fn start(
        connection: &Connection,
        registry: &Arc<dyn SchemaRegistry>,
        processors: &[Processor],
        settings: &EngineSettings,
        policy: NewPolicy,
    ) -> Result<Engine, EngineError> {
        let existing = connection.topics(settings.broker_timeout.min(Duration::from_secs(10)))?;
        for (index, processor) in processors.iter().enumerate() {
            if processors[..index].iter().any(|other| other.name() == processor.name()) {
                return Err(EngineError::SameName { name: processor.name() });
            }
            processor.check()?;
            check_topics(processor, &policy(registry)?.topics(), &existing)?;
        }
        crate::process::check_together(processors)?;
        let (stopper, shutdown) = shutdown::channel();
        let (results_sender, results) = mpsc::channel();
        let mut engine = Engine {
            stopper,
            stats: Vec::new(),
            registry: Arc::clone(registry),
            kept: Vec::new(),
            workers: Vec::new(),
            followers: Vec::new(),
            results,
            drain_timeout: settings.drain_timeout,
            stall_timeout: settings.stall_timeout,
        };
        for processor in processors {
            let start = Start { connection, registry, settings, existing: &existing, shutdown: &shutdown };
            engine.add(processor, &start, policy, &results_sender)?;
        }
        Ok(engine)
    }

    fn add(
        &mut self,
        processor: &Processor,
        start: &Start<'_>,
        policy: NewPolicy,
        results: &mpsc::Sender<Result<(), EngineError>>,
    ) -> Result<(), EngineError> {
        let declared = processor.declaration();
        let lookups = declared.new_lookups();
        for lookup in &lookups {
            let partitions = partitions_of(start.existing, lookup.topic().name);
            let (connection, settings) = (start.connection, start.settings);
            let follower = lookups::load_and_follow(
                connection,
                start.registry,
                lookup,
                partitions,
                settings,
                start.shutdown.clone(),
            )?;
            self.followers.push(follower);
        }
        let written = declared.outputs().iter().chain(declared.tables()).map(|topic| topic.name);
        let stats = Arc::new(ProcessorStats::new(processor.name(), written, start.settings.workers));
        self.stats.push(Arc::clone(&stats));
        let stores = stores(processor, start.settings)?;
        self.kept.extend(declared.tables().iter().map(|topic| Kept {
            own: declared.own_name_of(topic),
            topic,
            partitions: partitions_of(start.existing, topic.name),
            stores: stores.clone(),
        }));
        let standby = standby::Standby::default();
        if start.settings.standby && !declared.tables().is_empty() {
            if stores.dir().is_none() {
                return Err(EngineError::StandbyInMemory { processor: processor.name() });
            }
            let follower = standby::Follower {
                standby: standby.clone(),
                connection: start.connection.clone(),
                processor: processor.clone(),
                besides: besides(processor, start.existing),
                stores: stores.clone(),
                stats: Arc::clone(&stats),
                broker_timeout: start.settings.broker_timeout,
                shutdown: start.shutdown.clone(),
            };
            self.followers.push(follower.start()?);
        }
        for index in 0..start.settings.workers {
            let worker = Worker {
                connection: start.connection.clone(),
                registry: Arc::clone(start.registry),
                processor: processor.clone(),
                lookups: lookups.clone(),
                settings: start.settings.clone(),
                stores: stores.clone(),
                standby: standby.clone(),
                transactional_id: transactional_id(processor.name(), start.settings.instance.as_deref(), index),
                member: start.settings.instance.as_ref().map(|instance| format!("{instance}-{index}")),
                policy: policy(start.registry)?,
                stats: Arc::clone(&stats),
                index,
                shutdown: start.shutdown.clone(),
            };
            let results = results.clone();
            let thread = std::thread::Builder::new().name(format!("{}-{index}", processor.name()));
            let processor = processor.name();
            let run = move || {
                let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
                // The engine may be gone already when the result comes: then nobody asks for it.
                drop(results.send(ended.unwrap_or(Err(EngineError::Panicked { processor }))));
            };
            let spawned = thread.spawn(run);
            self.workers.push(spawned.map_err(|error| EngineError::Thread { reason: error.to_string() })?);
        }
        Ok(())
    }

    /// The processors' counters, in the order in which they were given.
    pub fn stats(&self) -> &[Arc<ProcessorStats>] {
        &self.stats
    }

    /// The committed rows of a processor's table, of the partitions that this process owns at the moment of each query;
    /// `None` where no processor of the engine keeps the table.
    pub fn table<C: Contract>(&self) -> Option<TableView<C>> {
        let kept = self.kept.iter().find(|kept| kept.own == C::TOPIC.name)?;
        Some(TableView::of(kept.topic, &kept.stores, Arc::clone(&self.registry), kept.partitions))
    }

    /// False once a worker has ended or stands still, or a lookup is no longer followed: the process is to be replaced.
    pub fn is_alive(&self) -> bool {
        let has_ended = self.workers.iter().chain(&self.followers).any(JoinHandle::is_finished);
        let moves = |stats: &Arc<ProcessorStats>| !stats.is_stalled() && stats.longest_stall() < self.stall_timeout;
        !has_ended && self.stats.iter().all(moves)
    }

    /// Stops polling, drains, commits and leaves the group.
    ///
    /// # Errors
    /// The error that ended a worker before, or [`EngineError::Stuck`] past twice the drain timeout and 5 s.
    pub fn stop(self) -> Result<(), EngineError> {
        let started = Instant::now();
        // Draining has its timeout, closing the consumer another; the rest is for the last commit.
        let deadline = self.drain_timeout * 2 + Duration::from_secs(5);
        self.stopper.stop();
        let mut first_error = None;
        for ended in 0..self.workers.len() {
            match self.results.recv_timeout(deadline.saturating_sub(started.elapsed())) {
                Ok(result) => first_error = first_error.or(result.err()),
                Err(_) => {
                    let workers = self.workers.len() - ended;
                    return Err(first_error.unwrap_or(EngineError::Stuck { workers, waited: started.elapsed() }));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// A table that can be queried.
struct Kept {
    /// The contract's own topic name.
    own: &'static str,
    topic: &'static Topic,
    partitions: i32,
    stores: Stores,
}

/// What every processor of an engine is started with.
struct Start<'a> {
    connection: &'a Connection,
    registry: &'a Arc<dyn SchemaRegistry>,
    settings: &'a EngineSettings,
    existing: &'a [ExistingTopic],
    shutdown: &'a Shutdown,
}

fn check_topics(
    processor: &Processor,
    policy_topics: &[&'static Topic],
    existing: &[ExistingTopic],
) -> Result<(), EngineError> {
    let name = processor.name();
    let declared = processor.declaration().topics();
    for topic in declared.iter().chain(policy_topics) {
        match partitions_of(existing, topic.name) {
            0 => return Err(EngineError::MissingTopic { processor: name, topic: topic.name }),
            found if found < topic.partitions => {
                let (needed, existing) = (topic.partitions, found);
                return Err(EngineError::TooFewPartitions { processor: name, topic: topic.name, needed, existing });
            }
            _ => {}
        }
    }
    for input in processor.declaration().inputs() {
        let needed = partitions_of(existing, input.name);
        for table in processor.tables_beside(input.name) {
            let found = partitions_of(existing, table.name);
            if found < needed {
                let (topic, existing) = (table.name, found);
                return Err(EngineError::TooFewPartitions { processor: name, topic, needed, existing });
            }
        }
    }
    Ok(())
}

/// Where a processor's tables are kept. An instance without a name has one folder, which no other may use meanwhile.
///
/// # Errors
/// [`EngineError::StateDir`] where the folder cannot be made: better known now than with the first partition.
fn stores(processor: &Processor, settings: &EngineSettings) -> Result<Stores, EngineError> {
    let Some(dir) = &settings.state_dir else { return Ok(Stores::memory()) };
    let instance = settings.instance.as_deref().unwrap_or("unnamed");
    let stores = Stores::at(dir, processor.name(), instance, StoreSettings::default());
    let made = stores.dir().map_or(Ok(()), std::fs::create_dir_all);
    made.map_err(|source| EngineError::StateDir { dir: dir.clone(), source })?;
    Ok(stores)
}

/// What a processor's tables stand beside: each partition of each input group that has tables.
fn besides(processor: &Processor, existing: &[ExistingTopic]) -> Vec<handling::Beside> {
    let groups = processor.groups().iter().enumerate().filter(|(_, group)| !group.tables.is_empty());
    let besides = groups.flat_map(|(index, group)| {
        let partitions = group.inputs.iter().map(|input| partitions_of(existing, input.name)).max().unwrap_or(0);
        (0..partitions).map(move |partition| (index, partition))
    });
    besides.collect()
}

/// 0 where the topic does not exist.
fn partitions_of(existing: &[ExistingTopic], name: &str) -> i32 {
    existing.iter().find(|topic| topic.name == name).map_or(0, |topic| topic.partitions)
}

/// `processor:instance:worker`, which no other names give; an instance without a name gets a random one, so that no two
/// can fence each other.
fn transactional_id(processor: &str, instance: Option<&str>, worker: usize) -> String {
    let escaped = |name: &str| name.replace('%', "%25").replace(':', "%3A");
    let processor = escaped(processor);
    match instance {
        Some(instance) => format!("{processor}:{}:{worker}", escaped(instance)),
        None => format!("{processor}:{:016x}:{worker}", RandomState::new().build_hasher().finish()),
    }
}

#[cfg(test)]
mod tests {
    use super::transactional_id;

    #[test]
    fn no_two_workers_have_one_transactional_id() {
        let names = ["a", "a-b", "b", "a:b", "b-1", "a%3A", ":", "1"];
        let mut ids: Vec<_> = names
            .iter()
            .flat_map(|processor| names.iter().map(move |instance| transactional_id(processor, Some(instance), 1)))
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), names.len() * names.len());
        assert_ne!(transactional_id("a", None, 0), transactional_id("a", None, 0));
    }
}
