//! ListOffsets and OffsetForLeaderEpoch: which offset a time, a boundary or an epoch has.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use crate::core::Core;
use crate::log::LogError;
use crate::log::batch::LEADER_EPOCH;
use crate::log::partition::PartitionLog;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// The record with the greatest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The earliest offset on local disk, which is the earliest here (KIP-405).
const EARLIEST_LOCAL: i64 = -4;
const READ_COMMITTED: i8 = 1;

pub fn list(core: &Core, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let committed_only = request.isolation_level == READ_COMMITTED;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let result = ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
            let refuse = |code: i16| {
                result.clone().with_error_code(code).with_timestamp(-1).with_offset(-1).with_leader_epoch(-1)
            };
            let Some(partition) = core.catalog.partition(&topic.name, wanted.partition_index) else {
                return refuse(ResponseError::UnknownTopicOrPartition.code());
            };
            if let Some(error) = wrong_epoch(wanted.current_leader_epoch) {
                return refuse(error.code());
            }
            match look_up(&partition.log.borrow(), wanted.timestamp, committed_only) {
                Ok(Some((offset, timestamp))) => {
                    result.clone().with_offset(offset).with_timestamp(timestamp).with_leader_epoch(LEADER_EPOCH)
                }
                Ok(None) => refuse(0),
                Err(error) => refuse(error.code()),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn look_up(log: &PartitionLog, timestamp: i64, committed_only: bool) -> Result<Option<(i64, i64)>, LogError> {
    let end = if committed_only { log.last_stable_offset() } else { log.high_watermark() };
    match timestamp {
        LATEST => Ok(Some((end, -1))),
        EARLIEST | EARLIEST_LOCAL => Ok(Some((log.log_start(), -1))),
        MAX_TIMESTAMP => log.max_timestamp(),
        time => log.find_by_time(time, end),
    }
}

/// The error for a client that knows another leader epoch than ours; -1 means it does not know.
pub fn wrong_epoch(current_leader_epoch: i32) -> Option<ResponseError> {
    (current_leader_epoch > LEADER_EPOCH).then_some(ResponseError::UnknownLeaderEpoch)
}

/// OffsetForLeaderEpoch: the one epoch ends where the log does.
pub fn for_leader_epoch(core: &Core, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let result =
                EpochEndOffset::default().with_partition(wanted.partition).with_leader_epoch(-1).with_end_offset(-1);
            let Some(partition) = core.catalog.partition(&topic.topic, wanted.partition) else {
                return result.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            if let Some(error) = wrong_epoch(wanted.current_leader_epoch) {
                return result.with_error_code(error.code());
            }
            if wanted.leader_epoch != LEADER_EPOCH {
                return result;
            }
            result.with_leader_epoch(LEADER_EPOCH).with_end_offset(partition.log.borrow().high_watermark())
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
