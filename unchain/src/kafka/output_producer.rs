//! The producers of a worker's outputs: in a transaction (exactly-once), or idempotent alone (at-least-once).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::client_log::ClientLog;
use super::error::classify;
use super::native::{Produced, TopicProducer};
use super::{ClientError, Connection, ErrorKind, Outgoing, TopicPartition, TransactionalProducer};

/// Bounds and waits of a producer of outputs.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    /// Records queued or in flight; beyond it `send` waits.
    pub max_queued_records: usize,
    /// Bytes queued or in flight; beyond it `send` waits.
    pub max_queued_bytes: usize,
    /// How long a batch is filled before it is sent; a flush does not wait for it.
    pub linger: Duration,
    /// How long a transaction may stay open before the broker aborts it; how long delivery of a record is tried.
    pub transaction_timeout: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        ProducerSettings {
            max_queued_records: 20_000,
            max_queued_bytes: 16 * 1024 * 1024,
            linger: Duration::from_millis(20),
            transaction_timeout: Duration::from_secs(10),
        }
    }
}

/// Either producer. All calls may come from any thread; one transaction at a time is begun, filled and ended.
pub enum OutputProducer {
    Transactional(TransactionalProducer),
    Idempotent(IdempotentProducer),
}

impl OutputProducer {
    /// As [`TransactionalProducer::connect`].
    pub fn transactional(
        connection: &Connection,
        transactional_id: &str,
        settings: &ProducerSettings,
    ) -> Result<OutputProducer, ClientError> {
        TransactionalProducer::connect(connection, transactional_id, settings).map(OutputProducer::Transactional)
    }

    /// As [`IdempotentProducer::connect`].
    pub fn idempotent(connection: &Connection, settings: &ProducerSettings) -> Result<OutputProducer, ClientError> {
        IdempotentProducer::connect(connection, settings).map(OutputProducer::Idempotent)
    }

    pub fn is_transactional(&self) -> bool {
        matches!(self, OutputProducer::Transactional(_))
    }

    fn outputs(&self) -> &Outputs {
        match self {
            OutputProducer::Transactional(producer) => producer.outputs(),
            OutputProducer::Idempotent(producer) => &producer.outputs,
        }
    }

    /// Opens a transaction; without transactions it does nothing.
    pub fn begin(&self) -> Result<(), ClientError> {
        match self {
            OutputProducer::Transactional(producer) => producer.begin(),
            OutputProducer::Idempotent(producer) => producer.begin(),
        }
    }

    /// Queues a record; waits, while the queue is full, for at most the transaction timeout.
    pub fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        self.outputs().send(record)
    }

    /// Records that no broker has acknowledged yet. Reports that were not served yet count as well, so it is 0 only where
    /// nothing is outstanding.
    pub fn unacknowledged(&self) -> usize {
        self.outputs().unacknowledged()
    }

    /// Takes in what librdkafka reports: failed deliveries, errors, its log. To be called now and then.
    pub fn serve(&self) {
        self.outputs().serve();
    }

    /// Adds the next offsets to be read to the open transaction; without transactions it does nothing.
    pub fn send_offsets(
        &self,
        next_offsets: &[(TopicPartition, i64)],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), ClientError> {
        match self {
            OutputProducer::Transactional(producer) => producer.send_offsets(next_offsets, group),
            OutputProducer::Idempotent(_) => Ok(()),
        }
    }

    /// Waits until everything sent is acknowledged, without lingering.
    pub fn flush(&self) -> Result<(), ClientError> {
        self.outputs().flush()
    }

    /// Makes everything sent since `begin` durable: by the transaction's commit, or by its acknowledgement.
    pub fn commit(&self) -> Result<(), ClientError> {
        match self {
            OutputProducer::Transactional(producer) => producer.commit(),
            OutputProducer::Idempotent(producer) => producer.commit(),
        }
    }

    /// Ends the open transaction without effect. Without transactions what was sent stays sent: it is read again, and
    /// sent again.
    pub fn abort(&self) -> Result<(), ClientError> {
        match self {
            OutputProducer::Transactional(producer) => producer.abort(),
            OutputProducer::Idempotent(producer) => producer.abort(),
        }
    }
}

/// A producer with idempotence and `acks=all`, but no transactions: in order per partition, at least once.
pub struct IdempotentProducer {
    outputs: Outputs,
}

impl IdempotentProducer {
    pub fn connect(connection: &Connection, settings: &ProducerSettings) -> Result<IdempotentProducer, ClientError> {
        let mut config = config(connection, settings);
        config.set("message.timeout.ms", settings.transaction_timeout.as_millis().to_string());
        Ok(IdempotentProducer { outputs: Outputs::create(&config, settings)? })
    }

    /// Forgets the failures of earlier records.
    pub fn begin(&self) -> Result<(), ClientError> {
        self.outputs.serve();
        self.outputs.take_failure();
        Ok(())
    }

    /// Queues a record; waits, while the queue is full, for at most the transaction timeout.
    pub fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        self.outputs.send(record)
    }

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// The first failed delivery since `begin`.
    pub fn commit(&self) -> Result<(), ClientError> {
        self.outputs.flush()?;
        self.outputs.take_failure().map_or(Ok(()), Err)
    }

    /// Waits until everything sent is acknowledged or has failed.
    pub fn abort(&self) -> Result<(), ClientError> {
        let flushed = self.outputs.flush();
        self.outputs.take_failure();
        flushed
    }
}

pub(super) fn config(connection: &Connection, settings: &ProducerSettings) -> ClientConfig {
    let mut config = connection.client_config(&[
        ("enable.idempotence", "true"),
        ("partitioner", "murmur2_random"),
        ("compression.type", "lz4"),
        ("batch.size", "262144"),
        ("batch.num.messages", "100000"),
        // A delivery that succeeds wakes nobody: a failed one is counted by the transaction, and reported.
        ("delivery.report.only.error", "true"),
        // After a transaction its markers are still being written and the next one is told to wait: ask again soon.
        ("retry.backoff.ms", "5"),
    ]);
    config.set("linger.ms", settings.linger.as_millis().to_string());
    config.set("queue.buffering.max.messages", settings.max_queued_records.to_string());
    config.set("queue.buffering.max.kbytes", settings.max_queued_bytes.div_ceil(1024).to_string());
    config
}

/// Keeps the first failed delivery until somebody asks.
#[derive(Default)]
pub(super) struct Context {
    log: ClientLog,
    failure: Mutex<Option<ClientError>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let at = TopicPartition { topic: message.topic().into(), partition: message.partition() };
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| ClientError::partition("delivery", &at, error));
        }
    }
}

/// What both producers have: a bounded queue to the brokers.
pub(super) struct Outputs {
    producer: TopicProducer<Context>,
    timeout: Duration,
}

/// How long a full queue is left alone: librdkafka signals failed deliveries only. rdkafka's own wait of a millisecond
/// spins, since librdkafka takes whole ones.
const ROOM_STEP: Duration = Duration::from_millis(1);
/// How long a wait within librdkafka goes on before the reports that may be what it waits for are served.
const FLUSH_STEP: Duration = Duration::from_millis(50);
/// One event holds a broker's whole answer.
const MAX_SERVED_EVENTS: usize = 1000;

impl Outputs {
    pub(super) fn create(config: &ClientConfig, settings: &ProducerSettings) -> Result<Outputs, ClientError> {
        let producer = TopicProducer::new(Connection::create_with(config, Context::default())?);
        Ok(Outputs { producer, timeout: settings.transaction_timeout })
    }

    pub(super) fn client(&self) -> &BaseProducer<Context> {
        self.producer.client()
    }

    pub(super) fn native(&self) -> &TopicProducer<Context> {
        &self.producer
    }

    /// What librdkafka last reported about its connections.
    pub(super) fn cause(&self) -> Option<String> {
        self.client().context().log.cause()
    }

    pub(super) fn take_failure(&self) -> Option<ClientError> {
        self.client().context().failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        let Outgoing { topic, partition, timestamp_ms, key, value, headers } = *record;
        let produced = Produced { topic, partition, timestamp_ms, key, value, headers };
        let Err(code) = self.producer.produce(&produced) else { return Ok(()) };
        if code == RDKafkaErrorCode::QueueFull { self.send_when_there_is_room(&produced) } else { refused(topic, code) }
    }

    #[cold]
    fn send_when_there_is_room(&self, record: &Produced<'_>) -> Result<(), ClientError> {
        let started = Instant::now();
        while started.elapsed() < self.timeout {
            self.client().poll(Duration::ZERO);
            #[allow(clippy::disallowed_methods, reason = "room in the queue is not announced")]
            std::thread::sleep(ROOM_STEP);
            match self.producer.produce(record) {
                Ok(()) => return Ok(()),
                Err(RDKafkaErrorCode::QueueFull) => {}
                Err(code) => return refused(record.topic, code),
            }
        }
        let reason = "the producer's queue stayed full for a whole transaction timeout".to_owned();
        Err(ClientError::Operation { operation: "sending", reason, kind: ErrorKind::Abort })
    }

    pub(super) fn unacknowledged(&self) -> usize {
        usize::try_from(self.client().in_flight_count()).unwrap_or(0)
    }

    pub(super) fn serve(&self) {
        for _ in 0..MAX_SERVED_EVENTS {
            self.client().poll(Duration::ZERO);
            if self.producer.queued_events() == 0 {
                return;
            }
        }
    }

    /// Undelivered records fail by themselves at the transaction timeout, so this ends.
    pub(super) fn flush(&self) -> Result<(), ClientError> {
        let started = Instant::now();
        while !self.producer.flush(FLUSH_STEP) {
            self.serve();
            if started.elapsed() > self.timeout * 2 {
                let reason = format!("records unacknowledged after {} ms", started.elapsed().as_millis());
                return Err(ClientError::Operation {
                    operation: "delivery of records",
                    reason,
                    kind: ErrorKind::Abort,
                });
            }
        }
        // What has failed is waited for as well, and reported by an event.
        self.serve();
        Ok(())
    }
}

/// A transaction cannot hold this record: it must not commit without it.
fn refused(topic: &str, code: RDKafkaErrorCode) -> Result<(), ClientError> {
    let kind = match classify(&KafkaError::MessageProduction(code)) {
        ErrorKind::Retry => ErrorKind::Abort,
        kind => kind,
    };
    Err(ClientError::Topic { operation: "sending", topic: topic.to_owned(), reason: code.to_string(), kind })
}
