//! Reads many partitions at full speed, outside any consumer group: records are lent in librdkafka's memory, not copied.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::client_log::ClientLog;
use super::error::is_passing;
use super::native::{BatchQueue, QueueingConsumer, RawMessage};
use super::{ClientError, Connection, Headers, HeadersBuilder, Record, TopicPartition};

/// Bounds of a [`BulkReader`].
#[derive(Debug, Clone)]
pub struct BulkSettings {
    /// Bytes fetched ahead of the reader, of all partitions together.
    pub max_prefetched_bytes: usize,
    /// Records fetched ahead of the reader; each also costs librdkafka about 400 bytes of its own.
    pub max_prefetched_records: usize,
}

impl Default for BulkSettings {
    fn default() -> Self {
        BulkSettings { max_prefetched_bytes: 8 * 1024 * 1024, max_prefetched_records: 20_000 }
    }
}

/// Reads the partitions that it was opened with, each in order, committed records only.
pub struct BulkReader {
    /// Stands before the consumer, which closes the queue all the same.
    queue: BatchQueue,
    /// Present until the reader is dropped.
    consumer: Option<QueueingConsumer<ClientLog>>,
    sources: Sources,
}

/// What a read lends.
pub enum Lent<'a> {
    Record(LentRecord<'a>),
    /// A partition has been read up to its end of this moment, where the next record will have this offset. Commit
    /// markers before it count.
    End {
        source: usize,
        offset: i64,
    },
}

/// A record in the client's memory, until the call that lends it returns.
#[derive(Clone, Copy)]
pub struct LentRecord<'a> {
    source: usize,
    message: RawMessage<'a>,
}

impl<'a> LentRecord<'a> {
    /// The index of its partition among those that the reader was opened with.
    pub fn source(&self) -> usize {
        self.source
    }

    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// Milliseconds since the Unix epoch; -1 where the record has none.
    pub fn timestamp_ms(&self) -> i64 {
        self.message.timestamp_ms()
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        self.message.key()
    }

    /// `None` is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.message.value()
    }

    /// Calls `each` with each header's name, which need not be UTF-8, and value.
    pub fn headers(&self, each: impl FnMut(&[u8], Option<&[u8]>)) {
        self.message.headers(each);
    }

    /// A copy that lives on. Headers whose names are not UTF-8 are left out.
    pub fn copy(&self, at: &TopicPartition) -> Record {
        let mut headers: HeadersBuilder = Headers::builder();
        self.headers(|name, value| {
            if let Ok(name) = std::str::from_utf8(name) {
                headers.push(name, value);
            }
        });
        Record {
            topic: Arc::clone(&at.topic),
            partition: at.partition,
            offset: self.offset(),
            timestamp_ms: self.timestamp_ms(),
            key: self.key().map(bytes::Bytes::copy_from_slice),
            value: self.value().map(bytes::Bytes::copy_from_slice),
            headers: headers.finish(),
        }
    }
}

impl BulkReader {
    /// Begins to read each partition at the offset given.
    ///
    /// # Errors
    /// [`ClientError::Settings`] for what the client cannot be configured with.
    pub fn open(
        connection: &Connection,
        partitions: &[(TopicPartition, i64)],
        settings: &BulkSettings,
    ) -> Result<BulkReader, ClientError> {
        let client: BaseConsumer<ClientLog> = Connection::create(&connection.client_config(&[
            // No group is joined; librdkafka wants a name all the same.
            ("group.id", "unchain-reader"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            // What retention has deleted is to be said, not to be skipped.
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("fetch.queue.backoff.ms", "2"),
            ("fetch.wait.max.ms", "20"),
            ("fetch.message.max.bytes", "524288"),
            // One fetch; what it brings stays in memory until its last record was read.
            ("fetch.max.bytes", "4194304"),
            ("queued.min.messages", &settings.max_prefetched_records.to_string()),
            ("queued.max.messages.kbytes", &settings.max_prefetched_bytes.div_ceil(1024).to_string()),
        ]))?;
        let consumer = QueueingConsumer::new(client, Arc::new(Notify::new()));
        let at: Vec<TopicPartition> = partitions.iter().map(|(at, _)| at.clone()).collect();
        let queue = consumer.shared_queue(&at).ok_or_else(|| ClientError::Settings {
            reason: "a topic's name is not one that the client takes".to_owned(),
        })?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (at, offset) in partitions {
            list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))
                .map_err(|error| ClientError::partition("naming an offset", at, &error))?;
        }
        consumer.client().assign(&list).map_err(|error| ClientError::operation("reading topics", &error))?;
        Ok(BulkReader { queue, consumer: Some(consumer), sources: Sources::new(at) })
    }

    /// Lends up to `max_records` to `each`, waiting until there are as many for at most `wait`; returns how many came.
    /// An error of `each` ends the call, and what was taken with the record is lost to this reader.
    ///
    /// # Errors
    /// What the broker says of a partition, [`ClientError::OffsetOutOfRange`] among it, and what `each` returns. A
    /// broker that is away is waited for.
    pub fn read<E: From<ClientError>>(
        &mut self,
        max_records: usize,
        wait: Duration,
        mut each: impl FnMut(Lent<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (consumer, sources) = (&self.consumer, &mut self.sources);
        // Reports of the client, its log among them, wait in a queue of their own.
        let _ = consumer.as_ref().map(|consumer| consumer.client().poll(Duration::ZERO));
        let lend = |messages: &[RawMessage<'_>]| {
            let mut records = 0;
            for message in messages {
                let Some(source) = sources.index(*message) else { continue };
                match message.error() {
                    None => {
                        records += 1;
                        each(Lent::Record(LentRecord { source, message: *message }))?;
                    }
                    Some(RDKafkaErrorCode::PartitionEOF) => each(Lent::End { source, offset: message.offset() })?,
                    Some(code) if is_passing(code) => {}
                    Some(code) => {
                        let text = String::from_utf8_lossy(message.value().unwrap_or_default());
                        let at = &sources.partitions[source];
                        return Err(ClientError::fetch(at, message.offset(), code, &text).into());
                    }
                }
            }
            Ok(records)
        };
        self.queue.wait_and_read(max_records, wait, lend).unwrap_or(Ok(0))
    }

    /// The partitions, in the order of their indexes.
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.sources.partitions
    }
}

impl Drop for BulkReader {
    fn drop(&mut self) {
        if let Some(consumer) = &self.consumer {
            Consumer::context(consumer.client()).close();
        }
        super::close_aside(self.consumer.take());
    }
}

/// Finds the index of a message's partition; records of one partition come in runs.
struct Sources {
    partitions: Vec<TopicPartition>,
    known: Vec<(usize, i32, usize)>,
    last: (usize, i32, usize),
}

impl Sources {
    fn new(partitions: Vec<TopicPartition>) -> Sources {
        Sources { partitions, known: Vec::new(), last: (0, -1, 0) }
    }

    fn index(&mut self, message: RawMessage<'_>) -> Option<usize> {
        let (mark, partition) = (message.topic_mark(), message.partition());
        if (self.last.0, self.last.1) != (mark, partition) {
            let known = self.known.iter().copied().find(|known| (known.0, known.1) == (mark, partition));
            self.last = match known {
                Some(known) => known,
                None => self.learn(message, mark, partition)?,
            };
        }
        Some(self.last.2)
    }

    fn learn(&mut self, message: RawMessage<'_>, mark: usize, partition: i32) -> Option<(usize, i32, usize)> {
        let topic = message.topic()?;
        let index = self.partitions.iter().position(|at| *at.topic == *topic && at.partition == partition)?;
        self.known.push((mark, partition, index));
        Some((mark, partition, index))
    }
}
