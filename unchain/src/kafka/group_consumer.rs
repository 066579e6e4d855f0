//! A consumer-group member whose owner decides when a rebalance takes effect.
//!
//! librdkafka announces assignments and revocations from within a poll. They are handed out as events and answered by
//! [`GroupConsumer::assign`] and [`GroupConsumer::unassign`] when the owner has drained and committed its work; until
//! then the group waits, for at most the rebalance timeout.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::reader::first_offset;
use super::{ClientError, Connection, ErrorKind, Headers, Record};

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// Membership of a consumer group.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    pub group: String,
    /// Static membership (KIP-345): a restart under the same name within the session timeout moves no partition. All
    /// members of a group have a name, or none has.
    pub instance: Option<String>,
    /// Silence after which the group gives a member's partitions to others.
    pub session_timeout: Duration,
    /// Time between two polls after which a member is considered stuck.
    pub max_poll_interval: Duration,
    /// Bytes fetched ahead of the owner.
    pub max_prefetched_bytes: usize,
}

/// What a poll brought.
#[derive(Debug)]
pub enum ConsumerEvent {
    Record(Record),
    /// Partitions to take over, to be answered by `assign`.
    Assigned(Vec<TopicPartition>),
    /// Partitions to hand over, to be answered by `unassign`. Where `lost`, they belong to somebody else already.
    Revoked {
        partitions: Vec<TopicPartition>,
        lost: bool,
    },
    Failed(ClientError),
    /// Nothing within the timeout.
    Idle,
}

enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>, bool),
}

#[derive(Default)]
struct Context {
    pending: Mutex<VecDeque<Rebalance>>,
    /// While closing nobody polls for events any more: revocations are answered at once.
    closing: AtomicBool,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            if let Err(error) = release(consumer, list) {
                tracing::warn!(%error, "releasing partitions at close failed");
            }
            return;
        }
        let partitions = partitions_of(list);
        let rebalance = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ => Rebalance::Revoke(partitions, consumer.assignment_lost()),
        };
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push_back(rebalance);
    }
}

/// A member of a consumer group that reads committed records only.
pub struct GroupConsumer {
    consumer: Option<BaseConsumer<Context>>,
    topics: Vec<Arc<str>>,
    arena: BytesMut,
}

const ARENA_BYTES: usize = 256 * 1024;

impl GroupConsumer {
    pub fn join(
        connection: &Connection,
        settings: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<GroupConsumer, ClientError> {
        let mut config = connection.client_config(&[
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("partition.assignment.strategy", assignor(settings)),
            // With the default of 1 s a queue that was full for a moment stays empty for the rest of it.
            ("fetch.queue.backoff.ms", "5"),
            ("queued.min.messages", "20000"),
            ("heartbeat.interval.ms", "1000"),
        ]);
        config.set("group.id", &settings.group);
        if let Some(instance) = &settings.instance {
            config.set("group.instance.id", instance);
        }
        config.set("session.timeout.ms", settings.session_timeout.as_millis().to_string());
        config.set("max.poll.interval.ms", settings.max_poll_interval.as_millis().to_string());
        config.set("queued.max.messages.kbytes", settings.max_prefetched_bytes.div_ceil(1024).to_string());
        let consumer: BaseConsumer<Context> = config
            .create_with_context(Context::default())
            .map_err(|error| ClientError::Settings { reason: error.to_string() })?;
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        consumer.subscribe(&names).map_err(|error| ClientError::operation("subscription", &error))?;
        Ok(GroupConsumer { consumer: Some(consumer), topics: topics.to_vec(), arena: BytesMut::new() })
    }

    fn client(&self) -> &BaseConsumer<Context> {
        self.consumer.as_ref().expect("the client is taken only by close, which takes the consumer")
    }

    /// The next event, after at most `timeout`.
    pub fn poll(&mut self, timeout: Duration) -> ConsumerEvent {
        if let Some(event) = self.pending_rebalance() {
            return event;
        }
        let consumer = self.consumer.as_ref().expect("the client is taken only by close, which takes the consumer");
        match consumer.poll(timeout) {
            Some(Ok(message)) => ConsumerEvent::Record(copy(&message, &self.topics, &mut self.arena)),
            Some(Err(error)) => ConsumerEvent::Failed(ClientError::operation("fetch", &error)),
            None => self.pending_rebalance().unwrap_or(ConsumerEvent::Idle),
        }
    }

    fn pending_rebalance(&self) -> Option<ConsumerEvent> {
        let context = rdkafka::client::Client::context(self.client().client());
        let rebalance = context.pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        Some(match rebalance {
            Rebalance::Assign(partitions) => ConsumerEvent::Assigned(partitions),
            Rebalance::Revoke(partitions, lost) => ConsumerEvent::Revoked { partitions, lost },
        })
    }

    /// The group's committed offsets; `None` where it has none. Waits while a transaction holds them undecided.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        deadline: Duration,
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, ClientError> {
        let started = Instant::now();
        loop {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in partitions {
                list.add_partition(&partition.topic, partition.partition);
            }
            match self.client().committed_offsets(list, Duration::from_secs(2)) {
                // An error of a single partition must not be taken for "nothing committed": it would be read again.
                Ok(list) if list.elements().iter().all(|element| element.error().is_ok()) => {
                    let offset = |partition: &TopicPartition| {
                        let found = list.find_partition(&partition.topic, partition.partition)?;
                        if let Offset::Offset(offset) = found.offset() { Some(offset) } else { None }
                    };
                    return Ok(partitions.iter().map(|partition| (partition.clone(), offset(partition))).collect());
                }
                Ok(_) if started.elapsed() > deadline => {
                    let (operation, waited) = ("reading committed offsets", started.elapsed());
                    return Err(ClientError::TimedOut { operation, waited });
                }
                Ok(_) => tracing::debug!("committed offsets of some partitions are not known yet"),
                Err(error) if started.elapsed() > deadline => {
                    return Err(ClientError::operation("reading committed offsets", &error));
                }
                Err(error) => tracing::debug!(%error, "committed offsets are not known yet"),
            }
        }
    }

    /// Takes the partitions over, each from its offset, or from the beginning where that is `None`.
    pub fn assign(&self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<(), ClientError> {
        let known = |(partition, offset): &(TopicPartition, Option<i64>)| {
            let first = || first_offset(self.client(), &partition.topic, partition.partition);
            (partition.clone(), offset.or_else(first))
        };
        let list = positions_list(&partitions.iter().map(known).collect::<Vec<_>>())?;
        let result = match self.client().rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client().incremental_assign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.client().assign(&list),
        };
        result.map_err(|error| ClientError::operation("assignment", &error))
    }

    /// Hands the partitions over.
    pub fn unassign(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        release(self.client(), &list).map_err(|error| ClientError::operation("release of partitions", &error))
    }

    /// Goes back (or on) to the offsets; records fetched ahead are dropped.
    pub fn seek(&self, partitions: &[(TopicPartition, Option<i64>)], deadline: Duration) -> Result<(), ClientError> {
        let list = positions_list(partitions)?;
        let result = self.client().seek_partitions(list, deadline);
        let list = result.map_err(|error| ClientError::operation("seek", &error))?;
        for partition in list.elements() {
            partition.error().map_err(|error| ClientError::topic("seek", partition.topic(), &error))?;
        }
        Ok(())
    }

    /// The member's identity and generation of this moment, which fence a transaction's offsets.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata, ClientError> {
        self.client().group_metadata().ok_or(ClientError::Operation {
            operation: "reading the group's metadata",
            reason: "the consumer is not a member".to_owned(),
            kind: ErrorKind::Abort,
        })
    }

    /// Whether the group has given this member's partitions away.
    pub fn assignment_lost(&self) -> bool {
        self.client().assignment_lost()
    }

    /// Leaves the group (a static member does not) and ends the client, waiting for at most `deadline`.
    pub fn close(mut self, deadline: Duration) {
        self.begin_close(deadline);
    }

    fn begin_close(&mut self, deadline: Duration) {
        let Some(consumer) = self.consumer.take() else { return };
        rdkafka::client::Client::context(consumer.client()).closing.store(true, Ordering::Release);
        // librdkafka closes without a deadline of its own, so it closes on a thread that can be left behind.
        let (done, closed) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("consumer-close".to_owned()).spawn(move || {
            // Rebalances that were handed out but not answered would keep the client from closing.
            if let Ok(assignment) = consumer.assignment() {
                let _ = release(&consumer, &assignment);
            }
            drop(consumer);
            let _ = done.send(());
        });
        if thread.is_ok() && closed.recv_timeout(deadline).is_err() {
            tracing::warn!(waited_ms = deadline.as_millis(), "a consumer did not close in time and was left behind");
        }
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.begin_close(Duration::from_secs(5));
    }
}

/// Cooperative hand-over takes two rebalances, and the member that gave partitions up asks for the second. A static
/// member that is restarted between the two gets its old assignment back and asks for nothing: what it gave up then
/// belongs to nobody, for good. Static members therefore hand over in one step; they rebalance seldom.
fn assignor(settings: &GroupSettings) -> &'static str {
    if settings.instance.is_some() { "range" } else { "cooperative-sticky" }
}

fn release(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), rdkafka::error::KafkaError> {
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

/// Copies a message out of librdkafka's memory into an arena that many records share.
pub(super) fn copy(message: &BorrowedMessage<'_>, topics: &[Arc<str>], arena: &mut BytesMut) -> Record {
    let topic = topics.iter().find(|topic| &***topic == message.topic());
    Record {
        topic: topic.cloned().unwrap_or_else(|| message.topic().into()),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(|key| slice(arena, key)),
        value: message.payload().map(|value| slice(arena, value)),
        headers: headers(message),
    }
}

fn slice(arena: &mut BytesMut, bytes: &[u8]) -> Bytes {
    if arena.capacity() < bytes.len() {
        *arena = BytesMut::with_capacity(ARENA_BYTES.max(bytes.len()));
    }
    arena.put_slice(bytes);
    arena.split().freeze()
}

fn headers(message: &BorrowedMessage<'_>) -> Headers {
    let Some(headers) = message.headers() else { return Headers::default() };
    let read = || {
        let mut builder = Headers::builder();
        for header in headers.iter() {
            builder.push(header.key, header.value);
        }
        builder.finish()
    };
    // rdkafka panics at a header name that is not UTF-8; the record goes on without headers.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        tracing::warn!(topic, partition, offset, "a header's name is not UTF-8: the record is read without headers");
        Headers::default()
    })
}
