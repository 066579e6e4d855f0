//! Standby copies: tables of partitions that other processes own are followed in this one's store, so that taking such
//! a partition over restores next to nothing.
//!
//! A thread beside the workers follows every partition that no worker of this process has. A worker that takes one over
//! claims it first: the thread flushes its copy and lets go of it.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::handling::Beside;
use super::shutdown::Shutdown;
use super::{EngineError, ProcessorStats};
use crate::kafka::{ClientError, Connection, ErrorKind, OffsetsClient, ReadEvent, Reader};
use crate::process::Processor;
use crate::table::{PartitionTables, StoreError, Stores};

/// How long a partition may take to be let go of: one flush of its rows.
const LET_GO_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two looks for partitions that nobody here has. The first look comes after it too: a process that
/// starts is about to be given partitions.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long one topic is waited for.
const READ_STEP: Duration = Duration::from_millis(20);
/// Records of one topic that are read before claims and other topics have their turn.
const RECORDS_PER_READ: usize = 2_000;

/// Which partitions are followed, and which the workers want; shared by the thread and the workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standby(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    claims: Mutex<Claims>,
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct Claims {
    followed: HashSet<Beside>,
    claimed: Vec<Beside>,
}

/// Keeps the partitions from being followed until their tables are open elsewhere.
#[derive(Debug)]
pub(crate) struct Claim {
    standby: Standby,
    besides: Vec<Beside>,
}

impl Standby {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.0.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing of the partitions is followed. Past the deadline their tables are found in use.
    pub(crate) fn claim(&self, besides: Vec<Beside>) -> Claim {
        let mut claims = self.claims();
        claims.claimed.extend(&besides);
        let followed = |claims: &mut Claims| besides.iter().any(|beside| claims.followed.contains(beside));
        let waited = self.0.let_go.wait_timeout_while(claims, LET_GO_DEADLINE, followed);
        drop(waited);
        Claim { standby: self.clone(), besides }
    }

    /// Whether the thread may begin to follow a partition; from then on it is said to.
    fn begin(&self, beside: Beside) -> bool {
        let mut claims = self.claims();
        !claims.claimed.contains(&beside) && claims.followed.insert(beside)
    }

    fn is_claimed(&self, beside: Beside) -> bool {
        self.claims().claimed.contains(&beside)
    }

    fn end(&self, beside: Beside) {
        self.claims().followed.remove(&beside);
        self.0.let_go.notify_all();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.standby.claims();
        for beside in &self.besides {
            if let Some(place) = claims.claimed.iter().position(|claimed| claimed == beside) {
                claims.claimed.swap_remove(place);
            }
        }
    }
}

/// A copy that is kept up to date.
struct Copy {
    beside: Beside,
    tables: PartitionTables,
    /// Where each table's changelog is read on.
    next_offsets: Vec<i64>,
}

/// One table's changelog, of all partitions that are followed beside one input group.
struct Changelog {
    group: usize,
    table: usize,
    reader: Reader,
}

/// What the thread works with.
pub(crate) struct Follower {
    pub(crate) standby: Standby,
    pub(crate) connection: Connection,
    pub(crate) processor: Processor,
    /// What its tables may stand beside.
    pub(crate) besides: Vec<Beside>,
    pub(crate) stores: Stores,
    pub(crate) stats: Arc<ProcessorStats>,
    pub(crate) broker_timeout: Duration,
    pub(crate) shutdown: Shutdown,
}

impl Follower {
    pub(crate) fn start(self) -> Result<JoinHandle<()>, EngineError> {
        let thread = std::thread::Builder::new().name(format!("standby-{}", self.processor.name()));
        let work = move || {
            while !self.shutdown.is_signalled() {
                let mut following = Following { follower: &self, copies: Vec::new(), changelogs: Vec::new() };
                let result = following.run();
                following.let_go(|_| true);
                if let Err(error) = result {
                    tracing::warn!(processor = self.processor.name(), %error, "standby copies are opened anew");
                    #[allow(clippy::disallowed_methods, reason = "a back-off before the broker is asked again")]
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        };
        thread.spawn(work).map_err(|error| EngineError::Thread { reason: error.to_string() })
    }
}

/// The copies of one try.
struct Following<'f> {
    follower: &'f Follower,
    copies: Vec<Copy>,
    changelogs: Vec<Changelog>,
}

impl Following<'_> {
    /// Follows until the shutdown.
    fn run(&mut self) -> Result<(), EngineError> {
        let offsets = OffsetsClient::new(&self.follower.connection)?;
        let mut looked = Instant::now();
        while !self.follower.shutdown.is_signalled() {
            let standby = &self.follower.standby;
            let mut is_changed = self.let_go(|beside| standby.is_claimed(beside));
            if looked.elapsed() >= LOOK_INTERVAL {
                is_changed |= self.take_up(&offsets)?;
                looked = Instant::now();
            }
            if is_changed {
                self.open_changelogs()?;
            }
            self.read()?;
            if self.changelogs.is_empty() {
                #[allow(clippy::disallowed_methods, reason = "nothing tells of a partition that nobody has")]
                std::thread::sleep(READ_STEP);
            }
        }
        Ok(())
    }

    /// Gives copies up, each flushed before; tells whether there was one.
    fn let_go(&mut self, which: impl Fn(Beside) -> bool) -> bool {
        let (go, stay) = std::mem::take(&mut self.copies).into_iter().partition(|copy: &Copy| which(copy.beside));
        self.copies = stay;
        let go: Vec<Copy> = go;
        for Copy { beside, mut tables, next_offsets } in &mut go.into_iter() {
            if let Err(error) = tables.flush(&next_offsets) {
                tracing::debug!(%error, "a standby copy was let go of without a last flush");
            }
            drop(tables);
            self.follower.standby.end(beside);
            self.changelogs.retain(|changelog| changelog.group != beside.0);
        }
        self.changelogs.len() < self.wanted_changelogs()
    }

    /// Opens copies of the partitions that nobody here has; tells whether there was one.
    fn take_up(&mut self, offsets: &OffsetsClient) -> Result<bool, EngineError> {
        let mut any = false;
        for beside in &self.follower.besides {
            let topics = self.follower.processor.tables_of(beside.0);
            let is_here = |topic: &&'static crate::contract::Topic| self.follower.stores.is_open(topic.name, beside.1);
            if topics.iter().any(is_here) || !self.follower.standby.begin(*beside) {
                continue;
            }
            // Whoever claims one waits for this thread.
            if self.copies.iter().any(|copy| self.follower.standby.is_claimed(copy.beside)) {
                self.follower.standby.end(*beside);
                return Ok(any);
            }
            match self.open_copy(*beside, offsets) {
                Ok(copy) => {
                    self.copies.push(copy);
                    self.changelogs.retain(|changelog| changelog.group != beside.0);
                    any = true;
                }
                Err(error) => {
                    self.follower.standby.end(*beside);
                    // A worker was quicker.
                    if !matches!(error, EngineError::Store(StoreError::InUse { .. })) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(any)
    }

    fn open_copy(&self, beside: Beside, offsets: &OffsetsClient) -> Result<Copy, EngineError> {
        let Follower { processor, stores, broker_timeout, .. } = self.follower;
        let (topics, options) = (processor.tables_of(beside.0), processor.table_options(beside.0));
        let mut tables = PartitionTables::open(stores, beside.1, topics, &options)?;
        let mut next_offsets = Vec::with_capacity(topics.len());
        for (table, topic) in topics.iter().enumerate() {
            let bounds = offsets.watermarks(topic.name, beside.1, *broker_timeout)?;
            next_offsets.push(tables.restore_from(table, bounds.start, bounds.end)?);
        }
        tables.set_copies();
        Ok(Copy { beside, tables, next_offsets })
    }

    fn wanted_changelogs(&self) -> usize {
        let groups: HashSet<usize> = self.copies.iter().map(|copy| copy.beside.0).collect();
        groups.into_iter().map(|group| self.follower.processor.tables_of(group).len()).sum()
    }

    /// Opens the readers that are missing, each from where its copies stand.
    fn open_changelogs(&mut self) -> Result<(), EngineError> {
        let groups: HashSet<usize> = self.copies.iter().map(|copy| copy.beside.0).collect();
        for group in groups {
            if self.changelogs.iter().any(|changelog| changelog.group == group) {
                continue;
            }
            for (table, topic) in self.follower.processor.tables_of(group).iter().enumerate() {
                let of_group = self.copies.iter().filter(|copy| copy.beside.0 == group);
                let from: Vec<_> = of_group.map(|copy| (copy.beside.1, Some(copy.next_offsets[table]))).collect();
                let reader = Reader::open(&self.follower.connection, topic.name, &from)?;
                self.changelogs.push(Changelog { group, table, reader });
            }
        }
        Ok(())
    }

    /// Takes what the changelogs have.
    fn read(&mut self) -> Result<(), EngineError> {
        let mut records = 0;
        for Changelog { group, table, reader } in &mut self.changelogs {
            // A partition that has reached its end says so between the others' records.
            let (mut wait, mut idle) = (READ_STEP, self.copies.len() + 1);
            for _ in 0..RECORDS_PER_READ {
                let record = match reader.next(wait)? {
                    ReadEvent::Record(record) => record,
                    ReadEvent::CaughtUp | ReadEvent::Idle if idle == 0 => break,
                    ReadEvent::CaughtUp | ReadEvent::Idle => {
                        (wait, idle) = (Duration::ZERO, idle - 1);
                        continue;
                    }
                };
                wait = Duration::ZERO;
                let beside = (*group, record.partition);
                let Some(copy) = self.copies.iter_mut().find(|copy| copy.beside == beside) else { continue };
                if record.offset < copy.next_offsets[*table] {
                    let (topic, partition) = (record.topic.to_string(), record.partition);
                    let (operation, reason) = ("following a table", "its changelog begins anew".to_owned());
                    let kind = ErrorKind::Retry;
                    return Err(ClientError::Partition { operation, topic, partition, reason, kind }.into());
                }
                if let Some(key) = &record.key {
                    copy.tables.restore(*table, key, record.value.as_deref(), record.timestamp_ms);
                    records += 1;
                }
                copy.next_offsets[*table] = record.offset + 1;
            }
        }
        self.follower.stats.add_standby(records);
        let now = Instant::now();
        for copy in self.copies.iter_mut().filter(|copy| copy.tables.is_flush_due(now)) {
            copy.tables.flush(&copy.next_offsets)?;
        }
        Ok(())
    }
}
