//! One life of a worker: from its clients' creation to their end, turn after turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::calls::{CallLimits, Calls, Step};
use super::committer::{Committer, Mailbox, Report};
use super::core::{Core, Slot, Ticket};
use super::hand_over::{HandOver, Taking};
use super::handling::Handling;
use super::outbox::Outbox;
use super::take_over::TakeOver;
use super::topic_watch::TopicWatch;
use super::watchdog::Watchdog;
use super::worker::Worker;
use super::{EngineError, Guarantee};
use crate::kafka::{
    Assignment, ErrorKind, GroupConsumer, GroupEvent, GroupSettings, OffsetsClient, OutputProducer, PartitionQueue,
    ProducerSettings, Record, TopicPartition,
};

/// An assigned partition.
pub(crate) struct Assigned {
    pub(crate) at: TopicPartition,
    pub(crate) slot: Slot,
    pub(crate) queue: PartitionQueue,
    /// The next offset by the last commit; `None` before the first.
    pub(crate) committed: Option<i64>,
}

pub(crate) struct Session<'w> {
    pub(crate) worker: &'w mut Worker,
    pub(crate) consumer: GroupConsumer,
    pub(crate) producers: [Arc<OutputProducer>; 2],
    pub(crate) committer: Committer,
    pub(crate) mailbox: Mailbox,
    pub(crate) reports: UnboundedReceiver<Report>,
    wake: Arc<Notify>,
    pub(crate) handling: Handling,
    pub(crate) outbox: Outbox,
    pub(crate) assigned: Vec<Assigned>,
    pub(crate) take_over: TakeOver,
    pub(crate) taking: Vec<Taking>,
    pub(crate) hand_over: Option<HandOver>,
    pub(crate) is_stopping: bool,
    /// Rebalances that wait for the one under way.
    pub(crate) events: VecDeque<GroupEvent>,
    /// Partitions that the group has given away already.
    pub(crate) lost: Option<Vec<TopicPartition>>,
    /// Whether the commit under way is known to have failed.
    pub(crate) commit_failed: bool,
    /// Reports that came while something else was waited for.
    pub(crate) early_reports: VecDeque<Report>,
    /// A call that could go on when the session rested.
    pub(crate) early_step: Option<Step<Ticket>>,
    pub(crate) assignments: u64,
    pub(crate) aborts_in_a_row: u32,
    watchdog: Watchdog,
    pub(crate) topic_watch: TopicWatch,
    /// When the watchdog looks again.
    look_at: Duration,
    pub(crate) started: Instant,
    /// Since when there has been nothing to read.
    idle_since: Option<Duration>,
    inbox: Vec<Record>,
    /// The partition that is read first in the next turn.
    next_to_read: usize,
}

/// Records of one partition that are handled before the next partition has its turn.
const RECORDS_PER_READ: usize = 500;
/// How often the watchdog looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long a worker that has nothing to do sleeps at most before it looks around.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(100);
/// The group's patience with a member that does not poll; a worker polls many times a second.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);

impl<'w> Session<'w> {
    /// Joins the group and works until the shutdown.
    pub(crate) async fn run(worker: &'w mut Worker) -> Result<(), EngineError> {
        let mut session = Session::open(worker)?;
        let result = session.work().await;
        session.close();
        result
    }

    fn open(worker: &'w mut Worker) -> Result<Session<'w>, EngineError> {
        let settings = worker.settings.clone();
        let limits = CallLimits {
            max_attempts: settings.max_attempts,
            retry_backoff: settings.retry_backoff,
            max_output_bytes: settings.max_output_bytes,
        };
        let calls = Calls::new(&worker.processor, &worker.registry, worker.lookups.clone(), limits)?;
        // The producers first: they end what the last owner of the ids left open, which readers are waiting for.
        let producers = [connect(worker, 0)?, connect(worker, 1)?];
        let wake = Arc::new(Notify::new());
        let consumer = join(worker, &wake)?;
        let (mailbox, reports) = unbounded_channel();
        let offsets = OffsetsClient::new(&worker.connection)?;
        let name = format!("{}-{}", worker.processor.name(), worker.index);
        let committer = Committer::start(&name, consumer.handle(), offsets, settings.broker_timeout, mailbox.clone())?;
        let take_over = TakeOver {
            connection: worker.connection.clone(),
            processor: worker.processor.clone(),
            group: consumer.handle(),
            stores: worker.stores.clone(),
            standby: worker.standby.clone(),
            stats: Arc::clone(&worker.stats),
            broker_timeout: settings.broker_timeout,
        };
        Ok(Session {
            handling: Handling::new(Core::new(settings.bounds(), settings.commit_policy()), calls),
            outbox: Outbox::new(&worker.processor),
            worker,
            consumer,
            producers,
            committer,
            mailbox,
            reports,
            wake,
            assigned: Vec::new(),
            take_over,
            taking: Vec::new(),
            hand_over: None,
            is_stopping: false,
            events: VecDeque::new(),
            lost: None,
            commit_failed: false,
            early_reports: VecDeque::new(),
            early_step: None,
            assignments: 0,
            aborts_in_a_row: 0,
            watchdog: Watchdog::default(),
            topic_watch: TopicWatch::default(),
            look_at: Duration::ZERO,
            started: Instant::now(),
            idle_since: None,
            inbox: Vec::new(),
            next_to_read: 0,
        })
    }

    fn close(mut self) {
        self.forget_all();
        let drain_timeout = self.worker.settings.drain_timeout;
        // The committer ends first: what it still does needs the consumer's identity.
        drop(self.committer);
        self.consumer.close(drain_timeout);
    }

    /// Time since the session began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn work(&mut self) -> Result<(), EngineError> {
        loop {
            self.worker.stats.beat(self.worker.index);
            if self.worker.shutdown.is_signalled() && !self.is_stopping {
                self.begin_stop();
            }
            match self.turn() {
                Ok(Turn::Busy) if self.handling.calls.waiting_count() == 0 => {}
                // Lets the runtime see to what the waiting calls wait for.
                Ok(Turn::Busy) => tokio::task::yield_now().await,
                Ok(Turn::Idle { until }) => self.rest(until).await,
                Ok(Turn::Stopped) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Abort => self.reset(&error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Does everything that can be done at once.
    fn turn(&mut self) -> Result<Turn, EngineError> {
        let mut is_busy = self.take_reports()?;
        is_busy |= self.membership()?;
        if self.is_stopping && self.hand_over.is_none() {
            return Ok(Turn::Stopped);
        }
        is_busy |= self.send_ready()?;
        let read = self.read()?;
        let resumed = self.resume();
        is_busy |= self.send_ready()? || read || resumed;
        self.producers.iter().for_each(|producer| producer.serve());
        let now = self.now();
        self.idle_since = if read || resumed { None } else { self.idle_since.or(Some(now)) };
        if now >= self.look_at {
            self.look_at = now + WATCH_INTERVAL;
            self.watch(now);
            self.handling.all_tables().try_for_each(|(_, tables)| tables.expect_sound())?;
            self.watch_inputs(now)?;
        }
        let commit_at = self.commit_at();
        if commit_at.is_some_and(|at| at <= now) {
            self.begin_commit();
            is_busy = true;
        }
        let until = commit_at.map_or(now + HOUSEKEEPING_INTERVAL, |at| at.min(now + HOUSEKEEPING_INTERVAL));
        Ok(if is_busy { Turn::Busy } else { Turn::Idle { until } })
    }

    /// Waits until there may be something to do, at most until a time of the session.
    async fn rest(&mut self, until: Duration) {
        let until = tokio::time::Instant::from_std(self.started + until);
        let (is_waiting, is_stopping) = (self.handling.calls.waiting_count() > 0, self.is_stopping);
        let (calls, shutdown) = (&mut self.handling.calls, &mut self.worker.shutdown);
        tokio::select! {
            biased;
            Some(report) = self.reports.recv() => self.early_reports.push_back(report),
            Some(step) = calls.waiting().next(), if is_waiting => self.early_step = Some(step),
            () = self.wake.notified() => {}
            () = shutdown.signalled(), if !is_stopping => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Tells of records that hold their partitions up for too long.
    fn watch(&mut self, now: Duration) {
        let stall_timeout = self.worker.settings.stall_timeout;
        let (stalls, is_stalled) = self.watchdog.look(now, stall_timeout, self.handling.core.first_in_flight());
        for stall in stalls {
            let at = self.assigned.iter().find(|assigned| assigned.slot == stall.slot).map(|assigned| &assigned.at);
            tracing::error!(processor = self.worker.processor.name(), partition = ?at, offset = stall.offset,
                lasted_ms = stall.lasted.as_millis(), "a record has not been handled: its partition stands still");
        }
        self.worker.stats.set_stalled(self.worker.index, is_stalled);
    }

    /// Reads what partitions with room have, each a bounded number of records.
    fn read(&mut self) -> Result<bool, EngineError> {
        let mut any = false;
        for turn in 0..self.assigned.len() {
            if self.handling.core.is_choked() {
                break;
            }
            let place = (self.next_to_read + turn) % self.assigned.len();
            let assigned = &mut self.assigned[place];
            let room = self.handling.room(assigned.slot);
            if room == 0 {
                continue;
            }
            let mut inbox = std::mem::take(&mut self.inbox);
            let read = assigned.queue.read(&mut inbox, RECORDS_PER_READ.min(room));
            let (slot, now) = (assigned.slot, self.started.elapsed());
            for record in inbox.drain(..) {
                if let Some(direct) = self.handling.handle(slot, record, now) {
                    self.send_now(slot, &direct)?;
                }
            }
            self.inbox = inbox;
            any |= read? > 0;
        }
        self.next_to_read += 1;
        Ok(any)
    }

    /// Goes on with calls that waited.
    fn resume(&mut self) -> bool {
        let mut any = false;
        while let Some(step) = self.early_step.take().or_else(|| self.handling.calls.next_now()) {
            any = true;
            self.handling.resume(step);
        }
        any
    }

    pub(crate) fn idle_since(&self) -> Option<Duration> {
        self.idle_since
    }
}

fn connect(worker: &Worker, index: usize) -> Result<Arc<OutputProducer>, EngineError> {
    let settings = ProducerSettings { transaction_timeout: worker.settings.transaction_timeout, ..Default::default() };
    let id = format!("{}-{index}", worker.transactional_id);
    worker.stats.beat(worker.index);
    let producer = match worker.settings.guarantee {
        Guarantee::ExactlyOnce => OutputProducer::transactional(&worker.connection, &id, &settings)?,
        Guarantee::AtLeastOnce => OutputProducer::idempotent(&worker.connection, &settings)?,
    };
    Ok(Arc::new(producer))
}

fn join(worker: &Worker, wake: &Arc<Notify>) -> Result<GroupConsumer, EngineError> {
    let settings = &worker.settings;
    let group = GroupSettings {
        group: worker.processor.name().to_owned(),
        instance: worker.member.clone(),
        protocol: settings.group_protocol,
        assignment: if worker.processor.co_partitioned() { Assignment::Range } else { Assignment::Sticky },
        session_timeout: settings.session_timeout,
        max_poll_interval: MAX_POLL_INTERVAL,
        max_prefetched_bytes: settings.max_prefetched_bytes,
        wake: Arc::clone(wake),
    };
    let inputs: Vec<Arc<str>> = worker.processor.declaration().inputs().iter().map(|topic| topic.name.into()).collect();
    Ok(GroupConsumer::join(&worker.connection, &group, &inputs)?)
}

/// How a turn went.
enum Turn {
    Busy,
    /// There is nothing to do before a time of the session, unless something comes.
    Idle {
        until: Duration,
    },
    Stopped,
}
