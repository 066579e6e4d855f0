//! Reads a topic outside any consumer group: from given offsets to its end, or on and on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client_log::ClientLog;
use super::error::is_passing;
use super::group_consumer::copy;
use super::{ClientError, Connection, ErrorKind, Record, TopicPartition};

/// Asks a cluster for the offsets of partitions.
pub struct OffsetsClient {
    stable: BaseConsumer<ClientLog>,
    latest: BaseConsumer<ClientLog>,
}

/// The offsets between which a partition holds records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    pub start: i64,
    /// One past the last record that is decided; transaction markers count.
    pub stable_end: i64,
    /// One past the last record, of open transactions too.
    pub end: i64,
}

/// Reads some partitions of one topic, committed records only.
pub struct Reader {
    /// Present until the reader is dropped.
    consumer: Option<BaseConsumer<ClientLog>>,
    connection: Connection,
    topic: [Arc<str>; 1],
    /// Partitions whose end has not been reached yet.
    behind: BTreeSet<i32>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(consumer) = &self.consumer {
            consumer.context().close();
        }
        super::close_aside(self.consumer.take());
    }
}

/// What a step of reading brought.
#[derive(Debug)]
pub enum ReadEvent {
    Record(Record),
    /// Every partition has been read to the end that it had when it was reached.
    CaughtUp,
    Idle,
}

impl Reader {
    /// Begins to read `partitions` of a topic, each from its beginning or from the offset given.
    pub fn open(
        connection: &Connection,
        topic: &str,
        partitions: &[(i32, Option<i64>)],
    ) -> Result<Reader, ClientError> {
        let consumer: BaseConsumer<ClientLog> = Connection::create(&connection.client_config(&[
            // No group is joined; librdkafka wants a name all the same.
            ("group.id", "unchain-reader"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("fetch.queue.backoff.ms", "5"),
            ("queued.max.messages.kbytes", "16384"),
            // A partition's end shows only in a fetch that brings nothing, which the broker answers after this long.
            ("fetch.wait.max.ms", "20"),
        ]))?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (partition, offset) in partitions {
            let offset = offset.or_else(|| first_offset(&consumer, topic, *partition));
            let offset = offset.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(topic, *partition, offset)
                .map_err(|error| ClientError::topic("naming an offset", topic, &error))?;
        }
        consumer.assign(&list).map_err(|error| ClientError::topic("reading", topic, &error))?;
        Ok(Reader {
            consumer: Some(consumer),
            connection: connection.clone(),
            topic: [topic.into()],
            behind: partitions.iter().map(|(partition, _)| *partition).collect(),
        })
    }

    /// The next record, or [`ReadEvent::CaughtUp`] once when the last partition reaches its end.
    pub fn next(&mut self, timeout: Duration) -> Result<ReadEvent, ClientError> {
        let consumer = self.consumer.as_ref().expect("present until the reader is dropped");
        match consumer.poll(timeout) {
            Some(Ok(message)) => Ok(ReadEvent::Record(copy(&message, &self.topic))),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let was_behind = self.behind.remove(&partition);
                Ok(if was_behind && self.behind.is_empty() { ReadEvent::CaughtUp } else { ReadEvent::Idle })
            }
            // The client reconnects by itself.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_passing) => Ok(ReadEvent::Idle),
            Some(Err(error)) => Err(ClientError::topic("reading", &self.topic[0], &error)),
            None => Ok(ReadEvent::Idle),
        }
    }

    /// Reads up to the end, each record to `each`; `deadline` bounds the time in which nothing comes.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] after `deadline` without a record, and what the broker says.
    pub fn read_to_end(
        &mut self,
        deadline: Duration,
        mut each: impl FnMut(Record) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        if self.behind.is_empty() {
            return Ok(());
        }
        let mut last_progress = Instant::now();
        loop {
            match self.next(Duration::from_millis(100))? {
                ReadEvent::Record(record) => {
                    last_progress = Instant::now();
                    each(record)?;
                }
                ReadEvent::CaughtUp => return Ok(()),
                ReadEvent::Idle if last_progress.elapsed() > deadline => return Err(self.stalled(last_progress)),
                ReadEvent::Idle => {}
            }
        }
    }

    /// One past the last record of a partition that is decided, as of now.
    pub fn stable_end(&self, partition: i32, deadline: Duration) -> Result<i64, ClientError> {
        let consumer = self.consumer.as_ref().expect("present until the reader is dropped");
        let watermarks = consumer.fetch_watermarks(&self.topic[0], partition, deadline);
        watermarks.map(|(_, end)| end).map_err(|error| ClientError::topic("reading the end", &self.topic[0], &error))
    }

    fn stalled(&self, since: Instant) -> ClientError {
        let reachable = self.connection.topics(Duration::from_secs(1));
        reachable.err().unwrap_or(ClientError::TimedOut { operation: "reading a topic", waited: since.elapsed() })
    }
}

impl OffsetsClient {
    pub fn new(connection: &Connection) -> Result<OffsetsClient, ClientError> {
        let client = |isolation| Connection::create(&connection.client_config(&[("isolation.level", isolation)]));
        Ok(OffsetsClient { stable: client("read_committed")?, latest: client("read_uncommitted")? })
    }

    pub fn watermarks(&self, topic: &str, partition: i32, deadline: Duration) -> Result<Watermarks, ClientError> {
        let ask = |client: &BaseConsumer<ClientLog>| {
            let answer = client.fetch_watermarks(topic, partition, deadline);
            answer.map_err(|error| ClientError::topic("reading the offsets", topic, &error))
        };
        // The later end first: the stable end asked afterwards can only have grown.
        let (_, end) = ask(&self.latest)?;
        let (start, stable_end) = ask(&self.stable)?;
        Ok(Watermarks { start, stable_end, end })
    }

    /// The offset of each partition's first record of this time or later (KIP-79); `None` where there is none.
    pub fn at_time(
        &self,
        partitions: &[TopicPartition],
        time_ms: i64,
        deadline: Duration,
    ) -> Result<Vec<Option<i64>>, ClientError> {
        // Negative numbers have a meaning of their own in the protocol.
        list_offsets(
            &self.latest,
            partitions,
            Offset::Offset(time_ms.max(0)),
            "reading the offsets of a time",
            deadline,
        )
    }

    /// One past the last record of each partition that is decided, as of now: one round trip a leader.
    pub fn stable_ends(&self, partitions: &[TopicPartition], deadline: Duration) -> Result<Vec<i64>, ClientError> {
        ends(&self.stable, partitions, deadline)
    }

    /// As [`stable_ends`](Self::stable_ends), after a wait of at most `patience` for the markers of transactions that
    /// have ended: their brokers write them a moment later.
    pub fn settled_ends(
        &self,
        partitions: &[TopicPartition],
        patience: Duration,
        deadline: Duration,
    ) -> Result<Vec<i64>, ClientError> {
        let (started, latest) = (Instant::now(), ends(&self.latest, partitions, deadline)?);
        loop {
            let stable = self.stable_ends(partitions, deadline)?;
            if started.elapsed() >= patience || stable.iter().zip(&latest).all(|(stable, latest)| stable >= latest) {
                return Ok(stable);
            }
            #[allow(clippy::disallowed_methods, reason = "a back-off between two questions to the broker")]
            std::thread::sleep(SETTLE_STEP);
        }
    }
}

const SETTLE_STEP: Duration = Duration::from_millis(5);

fn ends(
    client: &BaseConsumer<ClientLog>,
    partitions: &[TopicPartition],
    deadline: Duration,
) -> Result<Vec<i64>, ClientError> {
    // The protocol's ListOffsets takes the end as a point in time.
    let found = list_offsets(client, partitions, Offset::End, "reading the ends", deadline)?;
    let end = |(at, found): (&TopicPartition, Option<i64>)| {
        found.ok_or_else(|| ClientError::Partition {
            operation: "reading the ends",
            topic: at.topic.to_string(),
            partition: at.partition,
            reason: "the broker did not say where it ends".to_owned(),
            kind: ErrorKind::Retry,
        })
    };
    partitions.iter().zip(found).map(end).collect()
}

/// What the leaders answer for a point in time, each for its partitions.
fn list_offsets(
    client: &BaseConsumer<ClientLog>,
    partitions: &[TopicPartition],
    point: Offset,
    operation: &'static str,
    deadline: Duration,
) -> Result<Vec<Option<i64>>, ClientError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition_offset(&at.topic, at.partition, point)
            .map_err(|error| ClientError::partition(operation, at, &error))?;
    }
    let found = client.offsets_for_times(list, deadline);
    let found = found.map_err(|error| ClientError::operation(operation, &error))?;
    let offset = |at: &TopicPartition| {
        let of_partition = found.find_partition(&at.topic, at.partition);
        let of_partition = of_partition.expect("librdkafka answers for each partition that it was asked for");
        of_partition.error().map_err(|error| ClientError::partition(operation, at, &error))?;
        Ok(match of_partition.offset() {
            Offset::Offset(offset) if offset >= 0 => Some(offset),
            _ => None,
        })
    };
    partitions.iter().map(offset).collect()
}

/// Where a partition begins, asked for before it is assigned: librdkafka itself asks the leader, whom it does not know
/// yet, only after pauses of half a second. `None` leaves it to librdkafka.
pub(super) fn first_offset<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).ok().map(|(start, _)| start)
}
