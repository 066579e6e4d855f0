//! What other threads than its owner's may ask of a group's member: committed offsets, its identity, a commit.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::group_consumer::{Context, Member, offsets_list};
use super::{ClientError, ErrorKind, TopicPartition};

/// A member of a group, for other threads. It does not keep the member from closing; then its calls fail.
#[derive(Clone)]
pub struct GroupHandle {
    member: Weak<Member>,
}

impl GroupHandle {
    pub(super) fn new(member: &Arc<Member>) -> GroupHandle {
        GroupHandle { member: Arc::downgrade(member) }
    }

    fn member(&self, operation: &'static str) -> Result<Arc<Member>, ClientError> {
        self.member.upgrade().ok_or_else(|| ClientError::Operation {
            operation,
            reason: "the consumer is closed".to_owned(),
            kind: ErrorKind::Abort,
        })
    }

    /// The group's committed offsets; `None` where it has none. Waits while a transaction holds them undecided.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        deadline: Duration,
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, ClientError> {
        let started = Instant::now();
        loop {
            // Anew for each try, so that a close waits for one try only.
            let member = self.member("reading committed offsets")?;
            match committed(member.client(), partitions) {
                Ok(committed) => return Ok(committed),
                Err(error) if started.elapsed() > deadline => return Err(error.after(started.elapsed())),
                Err(error) => tracing::debug!(error = %error.after(started.elapsed()), "asking again"),
            }
        }
    }

    /// The member's identity and generation of this moment, which fence a transaction's offsets.
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata, ClientError> {
        let operation = "reading the group's metadata";
        self.member(operation)?.client().group_metadata().ok_or(ClientError::Operation {
            operation,
            reason: "the consumer is not a member".to_owned(),
            kind: ErrorKind::Abort,
        })
    }

    /// Whether the group has given this member's partitions away.
    pub fn assignment_lost(&self) -> bool {
        self.member.upgrade().is_none_or(|member| member.client().assignment_lost())
    }

    /// Commits the next offsets to be read and waits for the coordinator's answer: librdkafka gives up after the session
    /// timeout without a coordinator, and after a minute without an answer. While the group rebalances, and the member
    /// still has its partitions, it is tried again for at most `deadline`.
    pub fn commit(&self, next_offsets: &[(TopicPartition, i64)], deadline: Duration) -> Result<(), ClientError> {
        if next_offsets.is_empty() {
            return Ok(());
        }
        let (operation, started) = ("commit of offsets", Instant::now());
        let list = offsets_list(next_offsets)?;
        loop {
            let member = self.member(operation)?;
            let Err(error) = member.client().commit(&list, CommitMode::Sync) else { return Ok(()) };
            let rebalances = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::IllegalGeneration)
            );
            if !rebalances || started.elapsed() > deadline || member.client().assignment_lost() {
                return Err(ClientError::operation(operation, &error));
            }
            drop(member);
            #[allow(clippy::disallowed_methods, reason = "a back-off: nothing tells that the group is stable again")]
            std::thread::sleep(REBALANCE_STEP);
        }
    }
}

const REBALANCE_STEP: Duration = Duration::from_millis(20);

enum NotYet {
    Undecided(TopicPartition),
    Failed(ClientError),
}

impl NotYet {
    fn after(self, waited: Duration) -> ClientError {
        match self {
            NotYet::Failed(error) => error,
            NotYet::Undecided(TopicPartition { topic, partition }) => {
                let operation = "reading committed offsets";
                ClientError::PartitionTimedOut { operation, topic: topic.to_string(), partition, waited }
            }
        }
    }
}

fn committed(
    consumer: &BaseConsumer<Context>,
    partitions: &[TopicPartition],
) -> Result<Vec<(TopicPartition, Option<i64>)>, NotYet> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    let list = consumer
        .committed_offsets(list, Duration::from_secs(2))
        .map_err(|error| NotYet::Failed(ClientError::operation("reading committed offsets", &error)))?;
    let offset = |partition: &TopicPartition| {
        let found = list.find_partition(&partition.topic, partition.partition);
        // An error of a single partition must not be taken for "nothing committed": it would be read again.
        match found.filter(|found| found.error().is_ok()).map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => Ok((partition.clone(), Some(offset))),
            Some(_) => Ok((partition.clone(), None)),
            None => Err(NotYet::Undecided(partition.clone())),
        }
    };
    partitions.iter().map(offset).collect()
}
