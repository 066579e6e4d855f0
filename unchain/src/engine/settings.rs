//! Bounds, waits and identity of the engine.

use std::path::PathBuf;
use std::time::Duration;

use super::core::{Bounds, CommitPolicy};
use crate::kafka::GroupProtocol;

/// What a crash, a rebalance or a failed broker may do to results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guarantee {
    /// Outputs, table changes and input offsets commit in one transaction: readers of committed records see each
    /// input's results once (KIP-98, KIP-447).
    #[default]
    ExactlyOnce,
    /// Offsets are committed after the results of everything below them are acknowledged: none is lost, some may come
    /// twice.
    AtLeastOnce,
}

/// How processors run. The defaults suit most; each bound keeps memory flat at any lag.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    pub guarantee: Guarantee,
    /// The stable name of this instance (the pod's). A restart under the same name fences what the last one left open
    /// and gets its partitions back at once. Without it the instance gets a new name at each start.
    pub instance: Option<String>,
    /// How the group shares its partitions out.
    pub group_protocol: GroupProtocol,
    /// Workers a processor, each with a consumer and producers of its own.
    pub workers: usize,
    /// The folder under which tables are kept, so that a restart reads only what is new from their changelogs. Without
    /// it tables are kept in memory.
    pub state_dir: Option<PathBuf>,
    /// Keep the tables of partitions that other instances own up to date in the state folder, so that taking one over
    /// takes no longer than its last moments' changes. Costs the disk and the reading of all changelogs.
    pub standby: bool,
    /// Input records of one transaction.
    pub max_transaction_records: usize,
    /// Bytes of one transaction: of its inputs, outputs and table changes.
    pub max_transaction_bytes: usize,
    /// The largest key and value that a handler may emit: what is larger is rejected, since Kafka would refuse it. Goes
    /// with the topics' `max.message.bytes`, and leaves room for headers.
    pub max_output_bytes: usize,
    /// How long a transaction is filled while more records keep coming.
    pub max_commit_interval: Duration,
    /// Records of one partition from the first that is not complete on; past it the partition is not read.
    pub max_in_flight_records: usize,
    /// Their bytes, and those of their results.
    pub max_in_flight_bytes: usize,
    /// Bytes fetched ahead of the handlers, for each partition.
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
    /// How long a worker may stand still before [`Engine::is_alive`](super::Engine::is_alive) says so.
    pub stall_timeout: Duration,
    /// Aborted transactions in a row after which the worker's clients are built anew.
    pub max_aborts_in_a_row: u32,
    /// Times in a row that a named instance may be fenced before it ends: another process has its name.
    pub max_fencings: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            guarantee: Guarantee::ExactlyOnce,
            instance: None,
            group_protocol: GroupProtocol::Classic,
            workers: 1,
            state_dir: None,
            standby: false,
            max_transaction_records: 100_000,
            max_transaction_bytes: 64 * 1024 * 1024,
            max_output_bytes: 950_000,
            max_commit_interval: Duration::from_millis(100),
            max_in_flight_records: 1_000,
            max_in_flight_bytes: 4 * 1024 * 1024,
            max_prefetched_bytes: 2 * 1024 * 1024,
            max_attempts: 5,
            retry_backoff: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(15),
            transaction_timeout: Duration::from_secs(10),
            broker_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            max_aborts_in_a_row: 10,
            max_fencings: 5,
        }
    }
}

/// Results that wait for the earlier transaction to flush: some milliseconds' worth at full speed.
const MAX_UNSENT_RECORDS: usize = 20_000;
const MAX_UNSENT_BYTES: usize = 8 * 1024 * 1024;

impl EngineSettings {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            max_in_flight_records: self.max_in_flight_records,
            max_in_flight_bytes: self.max_in_flight_bytes,
            max_unsent_records: MAX_UNSENT_RECORDS,
            max_unsent_bytes: MAX_UNSENT_BYTES,
        }
    }

    pub(crate) fn commit_policy(&self) -> CommitPolicy {
        CommitPolicy {
            max_records: self.max_transaction_records,
            max_bytes: self.max_transaction_bytes,
            max_interval: self.max_commit_interval,
        }
    }
}
