//! The producer of load tests: as little as can be between a record and librdkafka, and each delivery reported.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{Producer, ProducerContext};
use serde::{Deserialize, Serialize};

use super::client_log::ClientLog;
use super::native::TaggingProducer;
use super::{ClientError, Connection};

/// Whose acknowledgement a record waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Acks {
    /// Every replica in sync.
    All,
    Leader,
    None,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// What a load test sets of a producer: the settings that Kafka's own performance tool takes.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSettings {
    pub acks: Acks,
    /// How long a batch is filled before it is sent.
    pub linger: Duration,
    pub max_batch_bytes: usize,
    pub compression: Compression,
    pub idempotence: bool,
    /// Requests in flight to one broker.
    pub max_in_flight_requests: usize,
    /// Records queued or in flight; beyond it a record is refused.
    pub max_queued_records: usize,
    /// Bytes queued or in flight; beyond it a record is refused.
    pub max_queued_bytes: usize,
    /// How long delivery of a record is tried.
    pub delivery_timeout: Duration,
}

/// The version of the client library, for reports.
pub fn client_version() -> String {
    format!("librdkafka {}", rdkafka::util::get_rdkafka_version().1)
}

/// Is told of each record's end, on a thread of the producer's.
pub trait Deliveries: Send + Sync + 'static {
    /// The record that was sent with this tag was acknowledged, or has failed.
    fn ended(&self, tag: usize, is_acknowledged: bool);
}

/// What became of a record that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Queued,
    /// There is no room: [`LoadProducer::wait_for_room`], then send it again.
    Full,
}

/// Produces to one topic. Deliveries are reported until it is dropped.
pub struct LoadProducer<D: Deliveries> {
    producer: Arc<TaggingProducer<Context<D>>>,
    topic: String,
    stop: Arc<AtomicBool>,
    reports: Option<JoinHandle<()>>,
}

/// How long one wait for reports lasts: what a drop waits for at most.
const REPORT_STEP: Duration = Duration::from_millis(20);
/// How long a full queue is left alone.
const ROOM_STEP: Duration = Duration::from_millis(1);

impl<D: Deliveries> LoadProducer<D> {
    /// # Errors
    /// [`ClientError::Settings`] for what librdkafka refuses, such as idempotence without `acks=all`.
    pub fn connect(
        connection: &Connection,
        topic: &str,
        settings: &LoadSettings,
        deliveries: Arc<D>,
    ) -> Result<LoadProducer<D>, ClientError> {
        let context = Context { log: ClientLog::default(), deliveries, failure: Mutex::default() };
        let client = Connection::create_with(&config(connection, settings), context)?;
        let producer = TaggingProducer::new(client, topic).map_err(|code| {
            let error = KafkaError::MessageProduction(code);
            ClientError::topic("naming", topic, &error)
        })?;
        let (producer, stop) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (served, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let serve = move || {
            while !stopped.load(Ordering::Acquire) {
                served.client().poll(REPORT_STEP);
            }
        };
        let reports = std::thread::Builder::new().name("load-reports".to_owned()).spawn(serve);
        let reports = reports.map_err(|error| ClientError::Settings { reason: error.to_string() })?;
        Ok(LoadProducer { producer, topic: topic.to_owned(), stop, reports: Some(reports) })
    }

    /// Queues a copy of a record; an empty key is none. The tag comes back with the report.
    ///
    /// # Errors
    /// What librdkafka refuses other than for want of room, such as a record that is too large.
    #[inline]
    pub fn send(&self, partition: Option<i32>, key: &[u8], value: &[u8], tag: usize) -> Result<Sent, ClientError> {
        match self.producer.produce(partition, key, value, tag) {
            Ok(()) => Ok(Sent::Queued),
            Err(RDKafkaErrorCode::QueueFull) => Ok(Sent::Full),
            Err(code) => Err(ClientError::topic("sending", &self.topic, &KafkaError::MessageProduction(code))),
        }
    }

    /// Waits a moment for records to leave the queue.
    pub fn wait_for_room(&self) {
        #[allow(clippy::disallowed_methods, reason = "room in the queue is not announced")]
        std::thread::sleep(ROOM_STEP);
    }

    /// Records without a report yet.
    pub fn unreported(&self) -> usize {
        usize::try_from(self.producer.client().in_flight_count()).unwrap_or(0)
    }

    /// Sends what is queued without lingering, and waits for at most so long; tells whether every record was reported.
    pub fn flush(&self, wait: Duration) -> bool {
        let started = Instant::now();
        // A flush ends with the last record taken from the client; the report may still be underway then.
        self.producer.flush(wait) && self.wait_for_reports(wait.saturating_sub(started.elapsed()))
    }

    fn wait_for_reports(&self, wait: Duration) -> bool {
        let started = Instant::now();
        while self.unreported() > 0 {
            if started.elapsed() > wait {
                return false;
            }
            self.wait_for_room();
        }
        true
    }

    /// The first failed delivery's reason, or what the client last said about its connections.
    pub fn failure(&self) -> Option<String> {
        let context = self.producer.client().context();
        let first = context.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        first.or_else(|| context.log.cause())
    }
}

impl<D: Deliveries> Drop for LoadProducer<D> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(reports) = self.reports.take() {
            // The thread ends within a step; where it panicked, its message was printed.
            let _ = reports.join();
        }
    }
}

fn config(connection: &Connection, settings: &LoadSettings) -> ClientConfig {
    let acks = match settings.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    let compression = match settings.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let mut config = connection.client_config(&[
        ("partitioner", "murmur2_random"),
        ("acks", acks),
        ("compression.type", compression),
        ("enable.idempotence", if settings.idempotence { "true" } else { "false" }),
        ("batch.num.messages", "1000000"),
    ]);
    let linger_ms = settings.linger.as_secs_f64() * 1e3;
    config.set("linger.ms", format!("{linger_ms}"));
    config.set("batch.size", settings.max_batch_bytes.to_string());
    config.set("max.in.flight.requests.per.connection", settings.max_in_flight_requests.to_string());
    config.set("queue.buffering.max.messages", settings.max_queued_records.to_string());
    config.set("queue.buffering.max.kbytes", settings.max_queued_bytes.div_ceil(1024).to_string());
    config.set("message.timeout.ms", settings.delivery_timeout.as_millis().to_string());
    config
}

struct Context<D> {
    log: ClientLog,
    deliveries: Arc<D>,
    /// The first one.
    failure: Mutex<Option<String>>,
}

impl<D: Deliveries> ClientContext for Context<D> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl<D: Deliveries> ProducerContext for Context<D> {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        if let Err((error, _)) = result {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.to_string());
        }
        self.deliveries.ended(tag, result.is_ok());
    }
}
