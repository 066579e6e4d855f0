//! Bounds, waits and identity of the engine.

use std::time::Duration;

/// How processors run. The defaults suit most; each bound keeps memory flat at any lag.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The stable name of this instance (the pod's). A restart under the same name fences what the last one left open
    /// and gets its partitions back at once. Without it the instance gets a new name at each start.
    pub instance: Option<String>,
    /// Workers a processor, each with a consumer and a transactional producer of its own.
    pub workers: usize,
    /// Input records of one transaction.
    pub max_batch_records: usize,
    /// Input bytes of one transaction.
    pub max_batch_bytes: usize,
    /// The largest key and value that a handler may emit: what is larger is rejected, since Kafka would refuse it. Goes
    /// with the topics' `max.message.bytes`, and leaves room for headers.
    pub max_output_bytes: usize,
    /// How long records are collected into one transaction while more keep coming.
    pub max_commit_interval: Duration,
    /// Calls of handlers that wait at the same time, in one worker.
    pub max_in_flight_records: usize,
    /// Bytes fetched ahead of the handlers, in one worker.
    pub max_prefetched_bytes: usize,
    /// Calls of a handler with one record before it becomes a dead letter.
    pub max_attempts: u32,
    /// The pause before the second attempt; it doubles with each further one.
    pub retry_backoff: Duration,
    /// How long running handlers may still take at a stop or a hand-over.
    pub drain_timeout: Duration,
    /// Silence after which the group gives a member's partitions to others.
    pub session_timeout: Duration,
    /// How long a transaction may stay open before the broker aborts it; shorter than the session timeout.
    pub transaction_timeout: Duration,
    /// How long a call to the broker may stay without any answer before the worker is built anew.
    pub broker_timeout: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            instance: None,
            workers: 1,
            max_batch_records: 5_000,
            max_batch_bytes: 8 * 1024 * 1024,
            max_output_bytes: 950_000,
            max_commit_interval: Duration::from_millis(100),
            max_in_flight_records: 1_000,
            max_prefetched_bytes: 16 * 1024 * 1024,
            max_attempts: 5,
            retry_backoff: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(15),
            transaction_timeout: Duration::from_secs(10),
            broker_timeout: Duration::from_secs(30),
        }
    }
}
