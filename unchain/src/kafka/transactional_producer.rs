//! A transactional producer: outputs, changelog and input offsets become visible together or not at all.

use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use super::group_consumer::offsets_list;
use super::output_producer::{Outputs, config};
use super::{ClientError, Connection, ErrorKind, Outgoing, ProducerSettings, TopicPartition};

/// One producer with one open transaction at a time. Calls may come from any thread: one may fill a transaction while
/// another ends the transaction of another producer. They block; all but `begin` and `send` are round trips.
pub struct TransactionalProducer {
    outputs: Outputs,
    transaction_timeout: Duration,
}

/// How long one call into librdkafka waits.
const STEP: Duration = Duration::from_secs(1);
/// How long a commit waits while records are unacknowledged: one that fails is done with only when its event is served.
const DELIVERY_STEP: Duration = Duration::from_millis(200);
/// The same for an abort, where what was queued fails as a rule.
const PURGE_STEP: Duration = Duration::from_millis(20);
/// The pause between two tries of a call.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

impl TransactionalProducer {
    /// Registers the transactional id, which fences its previous owner and ends what that left open (KIP-98).
    pub fn connect(
        connection: &Connection,
        transactional_id: &str,
        settings: &ProducerSettings,
    ) -> Result<TransactionalProducer, ClientError> {
        let mut config = config(connection, settings);
        config.set("transactional.id", transactional_id);
        config.set("transaction.timeout.ms", settings.transaction_timeout.as_millis().to_string());
        let outputs = Outputs::create(&config, settings)?;
        let connected = TransactionalProducer { outputs, transaction_timeout: settings.transaction_timeout };
        connected.until("initialisation of transactions", |outputs| {
            let result = outputs.client().init_transactions(STEP);
            result.map_err(|error| ClientError::operation("initialisation of transactions", &error))
        })?;
        Ok(connected)
    }

    pub(super) fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    pub fn begin(&self) -> Result<(), ClientError> {
        let begin = self.outputs.client().begin_transaction();
        begin.map_err(|error| ClientError::operation("begin of a transaction", &error))
    }

    /// Queues a record into the open transaction; waits, while the queue is full, for at most the transaction timeout.
    pub fn send<'a>(&self, record: impl Into<Outgoing<'a>>) -> Result<(), ClientError> {
        self.outputs.send(&record.into())
    }

    /// Records that no broker has acknowledged yet, and reports that were not served yet.
    pub fn unacknowledged(&self) -> usize {
        self.outputs.unacknowledged()
    }

    /// Takes in what librdkafka reports: failed deliveries, errors, its log. To be called now and then.
    pub fn serve(&self) {
        self.outputs.serve();
    }

    /// Waits until everything sent is acknowledged, without lingering.
    pub fn flush(&self) -> Result<(), ClientError> {
        self.outputs.flush()
    }

    /// Adds the next offsets to be read to the open transaction, fenced by the group's generation (KIP-447).
    pub fn send_offsets(
        &self,
        next_offsets: &[(TopicPartition, i64)],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), ClientError> {
        let operation = "adding offsets to a transaction";
        let list = offsets_list(next_offsets)?;
        self.until(operation, |outputs| {
            // For this call alone a time-out means an abort, not a call to be repeated.
            let result = outputs.client().send_offsets_to_transaction(&list, group, self.transaction_timeout);
            result.map_err(|error| ClientError::operation(operation, &error))
        })
    }

    /// Waits until everything sent is acknowledged, then commits. A record whose delivery failed makes it fail.
    pub fn commit(&self) -> Result<(), ClientError> {
        self.until("commit of a transaction", |outputs| {
            let result = outputs.native().commit_transaction(step(outputs, DELIVERY_STEP));
            result.map_err(|error| ClientError::transaction("commit of a transaction", &error))
        })
    }

    /// Aborts the open transaction; what was queued is dropped.
    pub fn abort(&self) -> Result<(), ClientError> {
        let aborted = self.until("abort of a transaction", |outputs| {
            let result: Result<(), KafkaError> = outputs.client().abort_transaction(step(outputs, PURGE_STEP));
            result.map_err(|error| ClientError::operation("abort of a transaction", &error))
        });
        self.outputs.take_failure();
        aborted
    }

    /// Repeats a call while librdkafka says that repeating it goes on where it stopped, for three transaction timeouts.
    fn until(
        &self,
        operation: &'static str,
        call: impl Fn(&Outputs) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let started = Instant::now();
        loop {
            let Err(error) = call(&self.outputs) else { return Ok(()) };
            if error.kind() != ErrorKind::Retry {
                return Err(error);
            }
            let waited = started.elapsed();
            if waited > self.transaction_timeout * 3 {
                let cause = self.outputs.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
                let reason = format!("no result within {} ms: {error}{cause}", waited.as_millis());
                tracing::warn!(operation, reason, "gave up");
                return Err(ClientError::Operation { operation, reason, kind: ErrorKind::Rebuild });
            }
            self.outputs.serve();
            self.outputs.client().poll(RETRY_PAUSE);
        }
    }
}

/// What a call waits for first: deliveries, as long as there are some outstanding.
fn step(outputs: &Outputs, while_delivering: Duration) -> Duration {
    if outputs.unacknowledged() > 0 { while_delivering } else { STEP }
}
