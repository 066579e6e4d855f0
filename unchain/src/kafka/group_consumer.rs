//! A consumer-group member whose owner decides when a rebalance takes effect.
//!
//! librdkafka announces assignments and revocations from within a poll. They are handed out as events and answered by
//! [`GroupConsumer::assign`] and [`GroupConsumer::unassign`] when the owner has drained and committed its work; until
//! then the group waits, for at most the rebalance timeout.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::client_log::ClientLog;
use super::error::classify;
use super::native::{QueueingConsumer, RawMessage};
use super::partition_queue::{PartitionQueue, copy_headers};
use super::reader::first_offset;
use super::{ClientError, Connection, ErrorKind, GroupHandle, GroupSettings, Headers, Record, TopicPartition};

/// What happened to a member, beside records.
#[derive(Debug)]
pub enum GroupEvent {
    /// Partitions to take over, to be answered by `assign`, also where there are none.
    Assigned(Vec<TopicPartition>),
    /// Partitions to hand over, to be answered by `unassign`. Where `lost`, they belong to somebody else already.
    Revoked {
        partitions: Vec<TopicPartition>,
        lost: bool,
    },
    /// The consumer was not called for longer than `max_poll_interval`: the group goes on without this member.
    Stalled,
    Failed(ClientError),
}

/// Where librdkafka leaves what it announces.
#[derive(Default)]
pub(super) struct Context {
    log: ClientLog,
    rebalances: Mutex<VecDeque<GroupEvent>>,
}

impl Context {
    fn next_rebalance(&self) -> Option<GroupEvent> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        // Nobody polls for events any more: revocations are answered at once.
        if self.log.is_closing() {
            if let Err(error) = release(consumer, list) {
                tracing::warn!(%error, "releasing partitions at close failed");
            }
            return;
        }
        let partitions = partitions_of(list);
        let event = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => GroupEvent::Assigned(partitions),
            _ => GroupEvent::Revoked { partitions, lost: consumer.assignment_lost() },
        };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// The client, which closes on a thread of its own when its last user is done with it.
pub(super) struct Member {
    /// Present until the member is dropped.
    consumer: Option<QueueingConsumer<Context>>,
    /// Dropped once the client has ended.
    closed: Option<mpsc::Sender<()>>,
}

impl Member {
    fn consumer(&self) -> &QueueingConsumer<Context> {
        self.consumer.as_ref().expect("present until the member is dropped")
    }

    pub(super) fn client(&self) -> &BaseConsumer<Context> {
        self.consumer().client()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        let closed = self.closed.take();
        Consumer::context(consumer.client()).log.close();
        // librdkafka closes without a deadline of its own, so it closes on a thread that can be left behind. Where no
        // thread can be had, the closure and with it the consumer is dropped here.
        let _ = std::thread::Builder::new().name("consumer-close".to_owned()).spawn(move || {
            // Rebalances that were handed out but not answered would keep the client from closing.
            if let Ok(assignment) = consumer.client().assignment() {
                let _ = release(consumer.client(), &assignment);
            }
            drop(consumer);
            drop(closed);
        });
    }
}

/// A member of a consumer group that reads committed records only.
pub struct GroupConsumer {
    /// Present until the consumer is closed.
    member: Option<Arc<Member>>,
    closed: mpsc::Receiver<()>,
    /// Whether the main queue may hold something; set by librdkafka's threads.
    signalled: Arc<AtomicBool>,
    last_poll: Instant,
    events: VecDeque<GroupEvent>,
    /// Cleared when the partition is released.
    assigned: HashMap<TopicPartition, Arc<AtomicBool>>,
}

/// How often the main queue is polled without a signal: that is how librdkafka knows that its owner is alive.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

impl GroupConsumer {
    /// Joins the group. The consumer must be called at least once a `max_poll_interval`, whether woken or not.
    pub fn join(
        connection: &Connection,
        settings: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<GroupConsumer, ClientError> {
        let mut client: BaseConsumer<Context> =
            Connection::create_with(&settings.client_config(connection), Context::default())?;
        // Set at first: what came before the callback gives no signal.
        let signalled = Arc::new(AtomicBool::new(true));
        let (signal, wake) = (Arc::clone(&signalled), Arc::clone(&settings.wake));
        client.set_nonempty_callback(move || {
            signal.store(true, Ordering::Release);
            wake.notify_one();
        });
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        client.subscribe(&names).map_err(|error| ClientError::operation("subscription", &error))?;
        let (sender, closed) = mpsc::channel();
        let consumer = QueueingConsumer::new(client, Arc::clone(&settings.wake));
        Ok(GroupConsumer {
            member: Some(Arc::new(Member { consumer: Some(consumer), closed: Some(sender) })),
            closed,
            signalled,
            last_poll: Instant::now(),
            events: VecDeque::new(),
            assigned: HashMap::new(),
        })
    }

    fn member(&self) -> &Arc<Member> {
        self.member.as_ref().expect("present until the consumer is closed")
    }

    fn client(&self) -> &BaseConsumer<Context> {
        self.member().client()
    }

    /// For other threads.
    pub fn handle(&self) -> GroupHandle {
        GroupHandle::new(self.member())
    }

    /// The next event that is there. Never waits, and costs little where there is none.
    pub fn next_event(&mut self) -> Option<GroupEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let is_signalled = self.signalled.load(Ordering::Relaxed) && self.signalled.swap(false, Ordering::AcqRel);
        if !is_signalled && self.last_poll.elapsed() < POLL_INTERVAL {
            return None;
        }
        self.last_poll = Instant::now();
        let consumer = self.member.as_ref().expect("present until the consumer is closed").consumer();
        loop {
            let event = match consumer.client().poll(Duration::ZERO) {
                Some(Ok(message)) => Some(GroupEvent::Failed(stray_record(&message))),
                Some(Err(error)) => Some(failure(consumer.client(), &error)),
                // A poll serves one event at a time, of which the log's and rebalances bring nothing here.
                None => None,
            };
            self.events.extend(event);
            while let Some(rebalance) = Consumer::context(consumer.client()).next_rebalance() {
                self.events.push_back(rebalance);
            }
            if consumer.queued_events() == 0 {
                return self.events.pop_front();
            }
        }
    }

    /// Takes the partitions over, each from its offset, or from the beginning where that is `None`, and returns their
    /// queues in the same order. A partition without an offset costs a round trip.
    pub fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<Vec<PartitionQueue>, ClientError> {
        let mut queues = Vec::with_capacity(partitions.len());
        // Before the assignment: from then on no record reaches the main queue, where it would be lost.
        for (at, _) in partitions {
            let queue = self.member().consumer().partition_queue(&at.topic, at.partition);
            let queue = queue.ok_or_else(|| ClientError::Partition {
                operation: "assignment",
                topic: at.topic.to_string(),
                partition: at.partition,
                reason: "librdkafka has no such partition".to_owned(),
                kind: ErrorKind::Rebuild,
            })?;
            let is_assigned = Arc::new(AtomicBool::new(true));
            self.assigned.insert(at.clone(), Arc::clone(&is_assigned));
            queues.push(PartitionQueue::new(at.clone(), queue, is_assigned));
        }
        let known = |(at, offset): &(TopicPartition, Option<i64>)| {
            let first = || first_offset(self.client(), &at.topic, at.partition);
            (at.clone(), offset.or_else(first))
        };
        let list = positions_list(&partitions.iter().map(known).collect::<Vec<_>>())?;
        let result = match self.client().rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client().incremental_assign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.client().assign(&list),
        };
        result.map_err(|error| ClientError::operation("assignment", &error))?;
        Ok(queues)
    }

    /// Hands the partitions over; without cooperation (range) that is all of them.
    pub fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for at in partitions {
            list.add_partition(&at.topic, at.partition);
        }
        let all = !matches!(self.client().rebalance_protocol(), RebalanceProtocol::Cooperative);
        self.assigned.retain(|at, is_assigned| {
            let stays = !all && !partitions.contains(at);
            is_assigned.fetch_and(stays, Ordering::AcqRel);
            stays
        });
        release(self.client(), &list).map_err(|error| ClientError::operation("release of partitions", &error))
    }

    /// Goes back (or on) to the offsets; records fetched ahead are dropped.
    pub fn seek(&self, partitions: &[(TopicPartition, Option<i64>)], deadline: Duration) -> Result<(), ClientError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = positions_list(partitions)?;
        let result = self.client().seek_partitions(list, deadline);
        let list = result.map_err(|error| ClientError::operation("seek", &error))?;
        for found in list.elements() {
            let Err(error) = found.error() else { continue };
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) {
                let (operation, topic, partition) = ("seek", found.topic().to_owned(), found.partition());
                return Err(ClientError::PartitionTimedOut { operation, topic, partition, waited: deadline });
            }
            let at = TopicPartition { topic: found.topic().into(), partition: found.partition() };
            return Err(ClientError::partition("seek", &at, &error));
        }
        Ok(())
    }

    /// Leaves the group (a static member does not) and ends the client, waiting for at most `deadline`. Queues and
    /// handles that are still held bring nothing from then on.
    pub fn close(mut self, deadline: Duration) {
        self.begin_close(deadline);
    }

    fn begin_close(&mut self, deadline: Duration) {
        let Some(member) = self.member.take() else { return };
        Consumer::context(member.client()).log.close();
        drop(member);
        // Nothing is ever sent: the channel ends with the client.
        if self.closed.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(waited_ms = deadline.as_millis(), "a consumer did not close in time and was left behind");
        }
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.begin_close(Duration::from_secs(5));
    }
}

/// Each assigned partition has a queue of its own, set up before its assignment.
fn stray_record(message: &BorrowedMessage<'_>) -> ClientError {
    ClientError::Partition {
        operation: "fetch",
        topic: message.topic().to_owned(),
        partition: message.partition(),
        reason: format!("offset {} came beside the partition's queue", message.offset()),
        kind: ErrorKind::Rebuild,
    }
}

fn failure(client: &BaseConsumer<Context>, error: &KafkaError) -> GroupEvent {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded) {
        return GroupEvent::Stalled;
    }
    // The error has only a code; its text went to the context a moment ago.
    let reason = Consumer::context(client).log.cause();
    let reason = reason.map_or_else(|| error.to_string(), |reason| format!("{error}: {reason}"));
    GroupEvent::Failed(ClientError::Operation { operation: "fetch", reason, kind: classify(error) })
}

fn release(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    elements
        .iter()
        .map(|element| TopicPartition { topic: element.topic().into(), partition: element.partition() })
        .collect()
}

fn positions_list(partitions: &[(TopicPartition, Option<i64>)]) -> Result<TopicPartitionList, ClientError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (partition, offset) in partitions {
        let offset = offset.map_or(Offset::Beginning, Offset::Offset);
        list.add_partition_offset(&partition.topic, partition.partition, offset)
            .map_err(|error| ClientError::topic("naming an offset", &partition.topic, &error))?;
    }
    Ok(list)
}

pub(super) fn offsets_list(offsets: &[(TopicPartition, i64)]) -> Result<TopicPartitionList, ClientError> {
    let positions: Vec<_> = offsets.iter().map(|(partition, offset)| (partition.clone(), Some(*offset))).collect();
    positions_list(&positions)
}

/// Copies a message out of librdkafka's memory.
pub(super) fn copy(message: &BorrowedMessage<'_>, topics: &[Arc<str>]) -> Record {
    let topic = topics.iter().find(|topic| &***topic == message.topic());
    let mut block = Vec::new();
    let headers = copy_headers(RawMessage::of(message), &mut block, || {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        tracing::warn!(topic, partition, offset, "a header's name is not UTF-8: it is left out");
    });
    Record {
        topic: topic.cloned().unwrap_or_else(|| message.topic().into()),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(bytes::Bytes::copy_from_slice),
        value: message.payload().map(bytes::Bytes::copy_from_slice),
        headers: Headers::from_block(block.into(), headers),
    }
}
