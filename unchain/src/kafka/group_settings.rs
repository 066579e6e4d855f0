//! How a member joins a consumer group, and what that is to librdkafka.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use tokio::sync::Notify;

use super::Connection;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// Who computes an assignment, and how members learn of it. All members of a group use the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// A member computes it; the group's members rebalance together.
    #[default]
    Classic,
    /// The broker computes it and moves single partitions (KIP-848; Kafka 4.0 and later). Session and heartbeat times
    /// are then the broker's.
    Consumer,
}

/// What an assignment is to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignment {
    /// As many partitions as possible stay where they are.
    #[default]
    Sticky,
    /// Partitions of the same number, of all inputs, go to the same member.
    Range,
}

/// Membership of a consumer group.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    pub group: String,
    /// Static membership (KIP-345): a restart under the same name within the session timeout moves no partition. All
    /// members of a group have a name, or none has.
    pub instance: Option<String>,
    pub protocol: GroupProtocol,
    pub assignment: Assignment,
    /// Silence after which the group gives a member's partitions to others.
    pub session_timeout: Duration,
    /// Time without a call to the consumer after which a member is considered stuck.
    pub max_poll_interval: Duration,
    /// Bytes fetched ahead of the owner, a partition.
    pub max_prefetched_bytes: usize,
    /// Notified, by librdkafka's threads, whenever a record, a rebalance or an error may be there.
    pub wake: Arc<Notify>,
}

/// Records fetched ahead, a partition: each also costs librdkafka about 400 bytes of its own.
const MAX_PREFETCHED_RECORDS: &str = "4000";

/// A partition's share of one fetch; a larger batch still comes, alone.
const MAX_PARTITION_FETCH_BYTES: usize = 256 * 1024;

/// One fetch; what it brings stays in memory until its last record was read.
const MAX_FETCH_BYTES: usize = 8 * 1024 * 1024;

impl GroupSettings {
    pub(super) fn client_config(&self, connection: &Connection) -> ClientConfig {
        let mut config = connection.client_config(&[
            // With the default of 1 s a queue that was full for a moment stays empty for the rest of it.
            ("fetch.queue.backoff.ms", "5"),
            // A broker answers one fetch at a time, and one that asks only for partitions without new records is answered
            // this late: the others, whose queues were full when it was sent, must last as long.
            ("fetch.wait.max.ms", "50"),
            ("queued.min.messages", MAX_PREFETCHED_RECORDS),
            ("fetch.message.max.bytes", &MAX_PARTITION_FETCH_BYTES.to_string()),
            ("fetch.max.bytes", &MAX_FETCH_BYTES.to_string()),
        ]);
        config.set("group.id", &self.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed");
        // A new group begins at an explicit offset. Where a committed one is gone, records are: that must not pass.
        config.set("auto.offset.reset", "error");
        config.set("max.poll.interval.ms", self.max_poll_interval.as_millis().to_string());
        config.set("queued.max.messages.kbytes", self.max_prefetched_bytes.div_ceil(1024).to_string());
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        match self.protocol {
            GroupProtocol::Classic => {
                config.set("partition.assignment.strategy", self.assignor());
                config.set("session.timeout.ms", self.session_timeout.as_millis().to_string());
                config.set("heartbeat.interval.ms", "300");
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
                let assignor = if self.assignment == Assignment::Range { "range" } else { "uniform" };
                config.set("group.remote.assignor", assignor);
            }
        }
        config
    }

    /// Cooperative hand-over takes two rebalances, and the member that gave partitions up asks for the second. A static
    /// member that is restarted between the two gets its old assignment back and asks for nothing: what it gave up then
    /// belongs to nobody, for good. Static members therefore hand over in one step; they rebalance seldom.
    fn assignor(&self) -> &'static str {
        let in_one_step = self.instance.is_some() || self.assignment == Assignment::Range;
        if in_one_step { "range" } else { "cooperative-sticky" }
    }
}
