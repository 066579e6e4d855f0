//! A transactional producer: outputs, changelog and input offsets become visible together or not at all.

use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::error::classify;
use super::group_consumer::offsets_list;
use super::publisher::base_record;
use super::{ClientError, Connection, ErrorKind, NewRecord, TopicPartition};

struct Context;

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    // A failed delivery puts the transaction into its error state: the commit reports it.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// How often the event queue is served while waiting; rdkafka's own flush waits in steps of 100 ms.
const SERVE_STEP: Duration = Duration::from_millis(1);

/// One producer with one open transaction at a time. Calls block; all but `begin` and `send` are round trips.
pub struct TransactionalProducer {
    producer: BaseProducer<Context>,
    transaction_timeout: Duration,
}

impl TransactionalProducer {
    /// Registers the transactional id, which fences its previous owner and ends what that left open (KIP-98).
    pub fn connect(
        connection: &Connection,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Result<TransactionalProducer, ClientError> {
        let mut config = connection.client_config(&[
            ("enable.idempotence", "true"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            ("linger.ms", "2"),
            ("batch.size", "262144"),
            ("queue.buffering.max.messages", "200000"),
            ("queue.buffering.max.kbytes", "65536"),
            // After a transaction its markers are still being written and the next one is told to wait: ask again soon.
            ("retry.backoff.ms", "5"),
        ]);
        config.set("transactional.id", transactional_id);
        config.set("transaction.timeout.ms", transaction_timeout.as_millis().to_string());
        let producer: BaseProducer<Context> =
            config.create_with_context(Context).map_err(|error| ClientError::Settings { reason: error.to_string() })?;
        let connected = TransactionalProducer { producer, transaction_timeout };
        connected.until("initialisation of transactions", |producer, step| producer.init_transactions(step))?;
        Ok(connected)
    }

    pub fn begin(&self) -> Result<(), ClientError> {
        let begin = self.producer.begin_transaction();
        begin.map_err(|error| ClientError::operation("begin of a transaction", &error))
    }

    /// Queues a record into the open transaction; waits while the queue is full.
    pub fn send(&self, record: &NewRecord<'_>) -> Result<(), ClientError> {
        let started = Instant::now();
        let mut pending = base_record(record, ());
        loop {
            let Err((error, refused)) = self.producer.send(pending) else { return Ok(()) };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                // The transaction cannot hold this record: it must not commit without it.
                let kind = if classify(&error) == ErrorKind::Rebuild { ErrorKind::Rebuild } else { ErrorKind::Abort };
                let (topic, reason) = (record.topic.to_string(), error.to_string());
                return Err(ClientError::Topic { operation: "sending", topic, reason, kind });
            }
            if started.elapsed() > self.transaction_timeout {
                return Err(ClientError::Operation {
                    operation: "sending",
                    reason: "the producer's queue stayed full for a whole transaction timeout".to_owned(),
                    kind: ErrorKind::Abort,
                });
            }
            pending = refused;
            self.producer.poll(SERVE_STEP);
        }
    }

    /// Adds the next offsets to be read to the open transaction, fenced by the group's generation (KIP-447).
    pub fn send_offsets(
        &self,
        next_offsets: &[(TopicPartition, i64)],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), ClientError> {
        let list = offsets_list(next_offsets)?;
        self.until("adding offsets to a transaction", |producer, _| {
            // For this call alone a time-out means an abort, not a call to be repeated.
            producer.send_offsets_to_transaction(&list, group, self.transaction_timeout)
        })
    }

    /// Waits until everything sent is acknowledged, then commits.
    pub fn commit(&self) -> Result<(), ClientError> {
        self.drain_deliveries()?;
        self.until("commit of a transaction", |producer, step| producer.commit_transaction(step))
    }

    /// Aborts the open transaction; what was queued is dropped.
    pub fn abort(&self) -> Result<(), ClientError> {
        self.until("abort of a transaction", |producer, step| {
            producer.poll(Duration::ZERO);
            producer.abort_transaction(step)
        })
    }

    /// Undelivered records fail by themselves at the transaction timeout, so this ends.
    fn drain_deliveries(&self) -> Result<(), ClientError> {
        let started = Instant::now();
        while self.producer.in_flight_count() > 0 {
            if started.elapsed() > self.transaction_timeout * 2 {
                let (operation, kind) = ("delivery of a transaction's records", ErrorKind::Abort);
                let reason = format!("records unacknowledged after {} ms", started.elapsed().as_millis());
                return Err(ClientError::Operation { operation, reason, kind });
            }
            self.producer.poll(SERVE_STEP);
        }
        Ok(())
    }

    /// Repeats a call while librdkafka says that repeating it goes on where it stopped, for three transaction timeouts.
    fn until(
        &self,
        operation: &'static str,
        call: impl Fn(&BaseProducer<Context>, Duration) -> Result<(), KafkaError>,
    ) -> Result<(), ClientError> {
        let started = Instant::now();
        loop {
            let Err(error) = call(&self.producer, Duration::from_secs(1)) else { return Ok(()) };
            if classify(&error) != ErrorKind::Retry {
                return Err(ClientError::operation(operation, &error));
            }
            let waited = started.elapsed();
            if waited > self.transaction_timeout * 3 {
                tracing::warn!(operation, %error, "gave up");
                let reason = format!("no result within {} ms: {error}", waited.as_millis());
                return Err(ClientError::Operation { operation, reason, kind: ErrorKind::Rebuild });
            }
            // Serving events is also the pause between two tries.
            self.producer.poll(Duration::from_millis(20));
        }
    }
}
