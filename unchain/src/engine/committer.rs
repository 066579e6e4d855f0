//! The thread that commits a worker's transactions: their round trips overlap with the handling of the next records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::EngineError;
use super::transactions::FlushPlan;
use crate::kafka::{ClientError, ErrorKind, GroupHandle, OffsetsClient, OutputProducer, TopicPartition};
use crate::process::panicked;

/// What a committer is told to do. At most one commit and one abort are under way at a time.
pub(crate) enum Order {
    Commit(Commit),
    /// Ends the producers' open transactions without effect, the earlier one first.
    Abort(Vec<Arc<OutputProducer>>),
    /// Asks for the stable ends of the changelogs of tables that are about to be handed over, whose inputs' offsets are
    /// committed as they are.
    StableEnds(FlushPlan, Vec<(TopicPartition, i64)>),
}

/// One transaction that has everything it is to hold.
pub(crate) struct Commit {
    pub(crate) producer: Arc<OutputProducer>,
    pub(crate) next_offsets: Vec<(TopicPartition, i64)>,
    /// The stable ends of its changelogs are asked for before the commit.
    pub(crate) flush: FlushPlan,
}

/// What a committer, or another thread that works for a worker, reports.
pub(crate) enum Report {
    /// Every record of the transaction under way is acknowledged.
    Flushed,
    /// The transaction under way is committed. The stable ends are as they were before this transaction was: whatever
    /// lies below them was decided, and is in the tables.
    Committed(FlushPlan, Result<Vec<i64>, EngineError>),
    Aborted(Result<(), EngineError>),
    /// Whatever lies below the stable ends is in the tables: every commit was reported before.
    StableEnds(FlushPlan, Result<Vec<i64>, EngineError>),
    /// From the thread that prepares newly assigned partitions.
    TakeOver(super::take_over::Prepared),
    /// A thread panicked.
    Failed(EngineError),
    /// From the thread that asks whether the inputs exist: the first that does not.
    Inputs {
        missing: Option<&'static str>,
    },
}

/// How long a hand-over waits for the markers of its last transaction, which leave the next owner less to restore.
const MARKER_PATIENCE: Duration = Duration::from_millis(500);

/// Where the threads that work for a worker leave their reports.
pub(crate) type Mailbox = UnboundedSender<Report>;

pub(crate) struct Committer {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(
        name: &str,
        group: GroupHandle,
        offsets: OffsetsClient,
        broker_timeout: Duration,
        mailbox: Mailbox,
    ) -> Result<Committer, EngineError> {
        // At most a commit, an abort and a question: the worker waits for reports before it gives the next order of a kind.
        let (orders, received) = mpsc::channel();
        let work = move || {
            for order in received {
                let work = AssertUnwindSafe(|| match order {
                    Order::Commit(order) => {
                        let ends = commit(&order, &group, &offsets, broker_timeout, &mailbox);
                        Report::Committed(order.flush, ends)
                    }
                    Order::Abort(producers) => Report::Aborted(abort(&producers)),
                    Order::StableEnds(plan, committed) => {
                        let ends = last_ends(&plan, &committed, &group, &offsets, broker_timeout);
                        Report::StableEnds(plan, ends)
                    }
                });
                // The worker would wait for ever for what a thread that has ended does not say.
                let report = catch_unwind(work).unwrap_or_else(|panic| {
                    let reason = format!("the committing {}", panicked(&*panic).reason);
                    Report::Failed(EngineError::Thread { reason })
                });
                if mailbox.send(report).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("{name}-commit")).spawn(work);
        let thread = thread.map_err(|error| EngineError::Thread { reason: error.to_string() })?;
        Ok(Committer { orders: Some(orders), thread: Some(thread) })
    }

    pub(crate) fn give(&self, order: Order) {
        let orders = self.orders.as_ref().expect("present until the committer is dropped");
        orders.send(order).expect("the thread ends only after the last order");
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.orders.take());
        // What it does has deadlines of its own; the worker's session does not end before its producers are free.
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn commit(
    order: &Commit,
    group: &GroupHandle,
    offsets: &OffsetsClient,
    broker_timeout: Duration,
    mailbox: &Mailbox,
) -> Result<Vec<i64>, EngineError> {
    let producer = &order.producer;
    if !producer.is_transactional() {
        let stable_ends = offsets.stable_ends(&order.flush.changelogs, broker_timeout)?;
        producer.commit()?;
        drop(mailbox.send(Report::Flushed));
        // Refused offsets are read again: that may give results twice, which this guarantee allows.
        group.commit(&order.next_offsets, broker_timeout).map_err(ClientError::into_abort)?;
        return Ok(stable_ends);
    }
    // First of all: the next transaction's outputs wait for this.
    producer.flush()?;
    drop(mailbox.send(Report::Flushed));
    // Before the commit: this transaction is not decided yet, so its changes lie above.
    let stable_ends = offsets.stable_ends(&order.flush.changelogs, broker_timeout)?;
    if group.assignment_lost() {
        // The broker would refuse the offsets as well, but only as long as it can tell who sends them.
        let reason = "the group has given this member's partitions away".to_owned();
        return Err(ClientError::Operation { operation: "commit", reason, kind: ErrorKind::Abort }.into());
    }
    // The group's identity and generation of this moment fence the offsets (KIP-447).
    producer.send_offsets(&order.next_offsets, &group.group_metadata()?)?;
    producer.commit()?;
    Ok(stable_ends)
}

/// The stable ends, sure to lie below whatever the next owner writes: this member's commit, which changes nothing, is
/// accepted after they were asked for. A process that was suspended meanwhile has no partitions any more, and is refused.
fn last_ends(
    plan: &FlushPlan,
    committed: &[(TopicPartition, i64)],
    group: &GroupHandle,
    offsets: &OffsetsClient,
    broker_timeout: Duration,
) -> Result<Vec<i64>, EngineError> {
    let ends = offsets.settled_ends(&plan.changelogs, MARKER_PATIENCE, broker_timeout)?;
    if committed.is_empty() {
        let reason = "nothing was committed that could tell whose the partitions are".to_owned();
        return Err(ClientError::Operation { operation: "hand-over", reason, kind: ErrorKind::Abort }.into());
    }
    group.commit(committed, MARKER_PATIENCE)?;
    Ok(ends)
}

fn abort(producers: &[Arc<OutputProducer>]) -> Result<(), EngineError> {
    for producer in producers {
        producer.abort()?;
    }
    Ok(())
}
