//! Where a consumer group stands, asked for without joining it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client_log::ClientLog;
use super::{ClientError, Connection, TopicPartition};

/// The group's committed offsets of these partitions; those without one are left out.
pub fn group_offsets(
    connection: &Connection,
    group: &str,
    partitions: &[TopicPartition],
    deadline: Duration,
) -> Result<Vec<(TopicPartition, i64)>, ClientError> {
    let client: BaseConsumer<ClientLog> = Connection::create(&connection.client_config(&[("group.id", group)]))?;
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition(&at.topic, at.partition);
    }
    let operation = "reading a group's offsets";
    let found = client.committed_offsets(list, deadline);
    let found = found.map_err(|error| ClientError::operation(operation, &error))?;
    let committed = |at: &TopicPartition| match found.find_partition(&at.topic, at.partition)?.offset() {
        Offset::Offset(offset) => Some((at.clone(), offset)),
        _ => None,
    };
    Ok(partitions.iter().filter_map(committed).collect())
}
