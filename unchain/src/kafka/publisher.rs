//! An idempotent producer with a bounded queue: sending waits for room, flushing waits for acknowledgement.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::record::given_time;
use super::{ClientError, Connection, Headers, NewRecord};

/// Bounds and waits of a [`Publisher`].
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Records queued or in flight; beyond it `send` waits.
    pub max_queued_records: usize,
    /// Bytes queued or in flight; beyond it `send` waits.
    pub max_queued_bytes: usize,
    /// How long a batch is filled before it is sent.
    pub linger: Duration,
    /// How long delivery of one record is tried, broker outages included, before it fails.
    pub delivery_timeout: Duration,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        PublisherSettings {
            max_queued_records: 100_000,
            max_queued_bytes: 32 * 1024 * 1024,
            linger: Duration::from_millis(5),
            delivery_timeout: Duration::from_secs(300),
        }
    }
}

/// Where an acknowledged record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub partition: i32,
    pub offset: i64,
}

type Acknowledgement = Option<oneshot::Sender<Result<Position, ClientError>>>;

/// Counts what the broker answered, and keeps the first failure until somebody asks.
#[derive(Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    state: Mutex<DeliveryState>,
    settled: Condvar,
}

#[derive(Default)]
struct DeliveryState {
    settled_records: u64,
    first_failure: Option<ClientError>,
}

impl Deliveries {
    fn state(&self) -> MutexGuard<'_, DeliveryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PublisherContext(Arc<Deliveries>);

impl ClientContext for PublisherContext {}

impl ProducerContext for PublisherContext {
    type DeliveryOpaque = Box<Acknowledgement>;

    fn delivery(&self, result: &DeliveryResult<'_>, acknowledgement: Box<Acknowledgement>) {
        let outcome = match result {
            Ok(message) => Ok(Position { partition: message.partition(), offset: message.offset() }),
            Err((error, message)) => Err(ClientError::topic("delivery", message.topic(), error)),
        };
        let mut state = self.0.state();
        state.settled_records += 1;
        match &outcome {
            Ok(_) => {
                self.0.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if acknowledgement.is_none() => {
                state.first_failure.get_or_insert_with(|| error.clone());
            }
            Err(_) => {}
        }
        drop(state);
        self.0.settled.notify_all();
        if let Some(waiter) = *acknowledgement {
            // The caller may have stopped waiting: the record is written all the same.
            let _ = waiter.send(outcome);
        }
    }
}

/// Publishes records with `acks=all` and idempotence: in order per partition, none twice. Where a delivery has failed its
/// outcome is unknown, and of what was under way beside it something may be written twice.
pub struct Publisher {
    producer: ThreadedProducer<PublisherContext>,
    deliveries: Arc<Deliveries>,
    settings: PublisherSettings,
    sent_records: AtomicU64,
}

impl Publisher {
    pub fn new(connection: &Connection, settings: PublisherSettings) -> Result<Publisher, ClientError> {
        let mut config = connection.client_config(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            // With more, a request that overtakes a refused one while the leader changes makes librdkafka give all that
            // is under way new numbers, and write again what was there already (its issue 4953).
            ("max.in.flight.requests.per.connection", "1"),
        ]);
        config.set("linger.ms", settings.linger.as_millis().to_string());
        config.set("queue.buffering.max.messages", settings.max_queued_records.to_string());
        config.set("queue.buffering.max.kbytes", settings.max_queued_bytes.div_ceil(1024).to_string());
        config.set("message.timeout.ms", settings.delivery_timeout.as_millis().to_string());
        let deliveries = Arc::new(Deliveries::default());
        let producer = config
            .create_with_context(PublisherContext(Arc::clone(&deliveries)))
            .map_err(|error| ClientError::Settings { reason: error.to_string() })?;
        Ok(Publisher { producer, deliveries, settings, sent_records: AtomicU64::new(0) })
    }

    /// Queues a record; waits while the queue is full, at most the delivery timeout.
    ///
    /// # Errors
    /// The first failed delivery of an earlier record, or what keeps this one from being queued.
    pub fn send(&self, record: &NewRecord<'_>) -> Result<(), ClientError> {
        if let Some(error) = self.deliveries.state().first_failure.clone() {
            return Err(error);
        }
        self.enqueue(record, None)
    }

    /// Queues a record; the receiver yields where it stands once every replica in sync has it.
    pub fn send_acknowledged(
        &self,
        record: &NewRecord<'_>,
    ) -> Result<oneshot::Receiver<Result<Position, ClientError>>, ClientError> {
        let (sender, receiver) = oneshot::channel();
        self.enqueue(record, Some(sender))?;
        Ok(receiver)
    }

    /// Records acknowledged so far.
    pub fn acknowledged_records(&self) -> u64 {
        self.deliveries.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until every record sent so far is acknowledged.
    ///
    /// # Errors
    /// The first failed delivery, or [`ClientError::TimedOut`].
    pub fn flush(&self, deadline: Duration) -> Result<(), ClientError> {
        let target = self.sent_records.load(Ordering::Acquire);
        let (state, timeout) = self
            .deliveries
            .settled
            .wait_timeout_while(self.deliveries.state(), deadline, |state| state.settled_records < target)
            .unwrap_or_else(PoisonError::into_inner);
        match &state.first_failure {
            Some(error) => Err(error.clone()),
            None if timeout.timed_out() => Err(ClientError::TimedOut { operation: "flush", waited: deadline }),
            None => Ok(()),
        }
    }

    fn enqueue(&self, record: &NewRecord<'_>, acknowledgement: Acknowledgement) -> Result<(), ClientError> {
        let started = Instant::now();
        let mut pending = base_record(record, Box::new(acknowledgement));
        loop {
            // Counted before, so that a flush that begins now waits for it.
            self.sent_records.fetch_add(1, Ordering::AcqRel);
            let Err((error, refused)) = self.producer.send(pending) else { return Ok(()) };
            self.sent_records.fetch_sub(1, Ordering::AcqRel);
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(ClientError::topic("sending", record.topic, &error));
            }
            if started.elapsed() > self.settings.delivery_timeout {
                return Err(ClientError::TimedOut {
                    operation: "waiting for room in the queue",
                    waited: started.elapsed(),
                });
            }
            pending = refused;
            self.wait_for_room();
        }
    }

    /// Returns after the next delivery, or after a moment in which none came.
    fn wait_for_room(&self) {
        let state = self.deliveries.state();
        let seen = state.settled_records;
        let moment = Duration::from_millis(100);
        drop(
            self.deliveries
                .settled
                .wait_timeout_while(state, moment, |state| state.settled_records == seen)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let left = self.producer.in_flight_count();
        if left > 0 {
            tracing::warn!(records = left, "a publisher was dropped before its records were flushed");
        }
    }
}

pub(super) fn base_record<'a, O: rdkafka::util::IntoOpaque>(
    record: &'a NewRecord<'_>,
    opaque: O,
) -> BaseRecord<'a, [u8], [u8], O> {
    let mut base = BaseRecord::with_opaque_to(record.topic, opaque);
    if let Some(key) = &record.key {
        base = base.key(key.as_ref());
    }
    if let Some(value) = &record.value {
        base = base.payload(value.as_ref());
    }
    if let Some(partition) = record.partition {
        base = base.partition(partition);
    }
    if let Some(timestamp_ms) = record.timestamp_ms {
        base = base.timestamp(given_time(timestamp_ms));
    }
    if !record.headers.is_empty() {
        base = base.headers(owned_headers(&record.headers));
    }
    base
}

fn owned_headers(headers: &Headers) -> OwnedHeaders {
    headers
        .iter()
        .fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| all.insert(Header { key, value }))
}
