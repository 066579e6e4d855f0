//! Produce: every partition's one batch is judged and appended; who waits for it is woken at once.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::text;
use crate::clock;
use crate::core::Core;
use crate::log::LogError;
use crate::log::batch::BatchHeader;
use crate::transaction::Allowed;

struct Refused {
    code: i16,
    reason: Option<String>,
}

impl From<ResponseError> for Refused {
    fn from(error: ResponseError) -> Self {
        Refused { code: error.code(), reason: None }
    }
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        if let LogError::Io(_) | LogError::MemoryFull { .. } = &error {
            tracing::error!(%error, "cannot append");
        }
        Refused { code: error.code(), reason: Some(error.to_string()) }
    }
}

pub fn handle(core: &mut Core, request: ProduceRequest) -> ProduceResponse {
    let now_ms = clock::now_ms();
    let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
    let valid_acks = matches!(request.acks, -1..=1);
    let responses = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|data| {
            let result = PartitionProduceResponse::default().with_index(data.index);
            let appended = if valid_acks {
                append(core, &topic.name, data, transactional_id, now_ms)
            } else {
                Err(ResponseError::InvalidRequiredAcks.into())
            };
            match appended {
                Ok((base_offset, append_time_ms, log_start)) => result
                    .with_base_offset(base_offset)
                    .with_log_append_time_ms(append_time_ms)
                    .with_log_start_offset(log_start),
                Err(refused) => result
                    .with_error_code(refused.code)
                    .with_error_message(refused.reason.map(text))
                    .with_base_offset(-1)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(-1),
            }
        });
        let partitions = partitions.collect();
        TopicProduceResponse::default().with_name(topic.name.clone()).with_partition_responses(partitions)
    });
    ProduceResponse::default().with_responses(responses.collect())
}

fn append(
    core: &mut Core,
    topic: &str,
    data: &PartitionProduceData,
    transactional_id: Option<&str>,
    now_ms: i64,
) -> Result<(i64, i64, i64), Refused> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let settings = &core.catalog.get(topic).ok_or(unknown)?.settings;
    let partition = core.catalog.partition(topic, data.index).ok_or(unknown)?;
    let records = data.records.as_ref().ok_or(LogError::Invalid("no record batch"))?;
    check_transaction(core, topic, data.index, records, transactional_id)?;
    let mut log = partition.log.borrow_mut();
    let appended = log.append(records, settings, now_ms)?;
    let log_start = log.log_start();
    drop(log);
    if appended.is_new {
        partition.wake();
    }
    Ok((appended.base_offset, appended.append_time_ms, log_start))
}

/// A transactional batch must belong to the open transaction of its owner, and only such a batch may come with an id.
fn check_transaction(
    core: &Core,
    topic: &str,
    partition: i32,
    records: &[u8],
    transactional_id: Option<&str>,
) -> Result<(), Refused> {
    let header = BatchHeader::parse(records)?;
    if !header.is_transactional() {
        return Ok(());
    }
    let Some(transactional_id) = transactional_id else {
        return Err(LogError::Invalid("transactional batch without transactional id").into());
    };
    match core.transactions.allows(transactional_id, header.producer_id, header.producer_epoch, topic, partition) {
        Allowed::Yes => Ok(()),
        Allowed::Fenced => Err(ResponseError::InvalidProducerEpoch.into()),
        Allowed::NotInTransaction => Err(ResponseError::InvalidTxnState.into()),
    }
}
