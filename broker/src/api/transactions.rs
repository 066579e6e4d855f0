//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn, and what describes them.
//!
//! Ending a transaction is synchronous here, so a client is never told to wait for one that is being completed.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::storage_code;
use crate::clock;
use crate::core::Core;
use crate::group::CommittedOffset;
use crate::transaction::{Init, Transaction, TransactionError};

pub fn init_producer_id(core: &mut Core, request: InitProducerIdRequest, version: i16) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    let initialised = match &request.transactional_id {
        None => core.fresh_producer_id().map(|id| (id, 0)).map_err(|error| storage_code(&error)),
        Some(id) if id.is_empty() => Err(ResponseError::InvalidRequest.code()),
        Some(id) => init_transactional(core, id.as_str(), &request, version),
    };
    match initialised {
        Ok((producer_id, epoch)) => response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(epoch),
        Err(code) => response.with_error_code(code).with_producer_id(ProducerId(-1)).with_producer_epoch(-1),
    }
}

fn init_transactional(
    core: &mut Core,
    id: &str,
    request: &InitProducerIdRequest,
    version: i16,
) -> Result<(i64, i16), i16> {
    let timeout_ms = request.transaction_timeout_ms;
    let max_timeout_ms = i32::try_from(core.config.max_transaction_timeout.as_millis()).unwrap_or(i32::MAX);
    if !(1..=max_timeout_ms).contains(&timeout_ms) {
        return Err(ResponseError::InvalidTransactionTimeout.code());
    }
    let stored = |error: std::io::Error| storage_code(&error);
    if !core.transactions.by_id.contains_key(id) {
        let producer_id = core.fresh_producer_id().map_err(stored)?;
        core.transactions.by_id.insert(id.to_owned(), Transaction::new(producer_id, timeout_ms));
    } else {
        let expected = (request.producer_id.0 >= 0).then_some((request.producer_id.0, request.producer_epoch));
        let refused = |error: TransactionError| error.code(version >= 4);
        if init_known(core, id, expected, timeout_ms).map_err(refused)? == Init::AbortFirst {
            core.end_transaction(id, false).map_err(stored)?;
            // The abort took an epoch of its own, which nobody holds: so there is nothing to expect any more.
            init_known(core, id, None, timeout_ms).map_err(refused)?;
            if let (Some((_, epoch)), Some(transaction)) = (expected, core.transactions.by_id.get_mut(id)) {
                transaction.last_epoch = epoch;
            }
        }
        if core.transactions.by_id.get(id).is_some_and(|transaction| transaction.epoch >= i16::MAX - 1) {
            let producer_id = core.fresh_producer_id().map_err(stored)?;
            if let Some(transaction) = core.transactions.by_id.get_mut(id) {
                transaction.renew(producer_id);
            }
        }
    }
    core.record_transaction(id).map_err(stored)?;
    let transaction = core.transactions.by_id.get(id).ok_or(ResponseError::UnknownServerError.code())?;
    Ok((transaction.producer_id, transaction.epoch))
}

fn init_known(
    core: &mut Core,
    id: &str,
    expected: Option<(i64, i16)>,
    timeout_ms: i32,
) -> Result<Init, TransactionError> {
    core.transactions.by_id.get_mut(id).ok_or(TransactionError::WrongProducerId)?.init(expected, timeout_ms)
}

/// Makes sure that the owner's transaction is open; the caller journals what it adds.
fn enter<'a>(
    core: &'a mut Core,
    id: &str,
    producer_id: i64,
    epoch: i16,
    knows_fenced: bool,
) -> Result<&'a mut Transaction, i16> {
    let refused = |error: TransactionError| error.code(knows_fenced);
    let transaction = core.transactions.by_id.get_mut(id).ok_or_else(|| refused(TransactionError::WrongProducerId))?;
    if transaction.enter(producer_id, epoch, clock::now_ms()).map_err(refused)? {
        core.deadlines_changed.notify_one();
    }
    Ok(transaction)
}

pub fn add_partitions(core: &mut Core, request: AddPartitionsToTxnRequest, version: i16) -> AddPartitionsToTxnResponse {
    let topics = request.v3_and_below_topics;
    let unknown = topics.iter().any(|topic| {
        topic.partitions.iter().any(|partition| core.catalog.partition(&topic.name, *partition).is_none())
    });
    if unknown {
        // All or nothing: the known ones are told that they were not tried.
        let code = |core: &Core, name: &str, partition| match core.catalog.partition(name, partition) {
            None => ResponseError::UnknownTopicOrPartition.code(),
            Some(_) => ResponseError::OperationNotAttempted.code(),
        };
        return partition_results(&topics, |name, partition| code(core, name, partition));
    }
    let id = request.v3_and_below_transactional_id;
    let (producer_id, epoch) = (request.v3_and_below_producer_id.0, request.v3_and_below_producer_epoch);
    let code = match enter(core, &id, producer_id, epoch, version >= 2) {
        Err(code) => code,
        Ok(transaction) => {
            let before = transaction.partitions.len();
            for topic in &topics {
                transaction.partitions.extend(topic.partitions.iter().map(|at| (topic.name.to_string(), *at)));
            }
            let added = transaction.partitions.len() > before;
            if added { core.record_transaction(&id).map_or_else(|error| storage_code(&error), |()| 0) } else { 0 }
        }
    };
    partition_results(&topics, |_, _| code)
}

fn partition_results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&str, i32) -> i16,
) -> AddPartitionsToTxnResponse {
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|at| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*at)
                .with_partition_error_code(code(&topic.name, *at))
        });
        let partitions = partitions.collect();
        AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone()).with_results_by_partition(partitions)
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub fn add_offsets(core: &mut Core, request: AddOffsetsToTxnRequest, version: i16) -> AddOffsetsToTxnResponse {
    let id = request.transactional_id;
    let entered = enter(core, &id, request.producer_id.0, request.producer_epoch, version >= 2).map(|_| ());
    let recorded = entered.and_then(|()| core.record_transaction(&id).map_err(|error| storage_code(&error)));
    AddOffsetsToTxnResponse::default().with_error_code(recorded.err().unwrap_or(0))
}

/// TxnOffsetCommit: the group checks member and generation (KIP-447) and keeps the offsets pending; the transaction
/// carries them too, so that they survive a crash with it.
///
/// The group does not know which partitions exist: those that do not are refused here.
pub fn commit_offsets(core: &mut Core, mut request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let mut unknown = request.clone();
    for (topic, unknown) in request.topics.iter_mut().zip(&mut unknown.topics) {
        let exists = |index| core.catalog.partition(&topic.name, index).is_some();
        topic.partitions.retain(|partition| exists(partition.partition_index));
        unknown.partitions.retain(|partition| !exists(partition.partition_index));
    }
    let refused = offset_results(&unknown, ResponseError::UnknownTopicOrPartition.code());
    let mut response = commit_known_offsets(core, request);
    for (topic, refused) in response.topics.iter_mut().zip(refused.topics) {
        topic.partitions.extend(refused.partitions);
    }
    response
}

fn commit_known_offsets(core: &mut Core, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let id = request.transactional_id.clone();
    let owner = match core.transactions.by_id.get(id.as_str()) {
        None => Err(TransactionError::WrongProducerId),
        Some(transaction) => transaction.check_owner(request.producer_id.0, request.producer_epoch),
    };
    if let Err(error) = owner {
        return offset_results(&request, error.code(false));
    }
    if !core.transactions.by_id.get(id.as_str()).is_some_and(Transaction::is_ongoing) {
        return offset_results(&request, ResponseError::InvalidTxnState.code());
    }
    let pending = pending_offsets(&request);
    let response = core.groups.add_transactional_offsets(std::time::Instant::now(), request.clone());
    let accepted = |offset: &CommittedOffset| {
        response.topics.iter().any(|topic| {
            topic.name.as_str() == offset.topic
                && topic.partitions.iter().any(|at| at.partition_index == offset.partition && at.error_code == 0)
        })
    };
    let pending: Vec<_> = pending.into_iter().filter(accepted).collect();
    if pending.is_empty() {
        return response;
    }
    if let Some(transaction) = core.transactions.by_id.get_mut(id.as_str()) {
        transaction.keep_offsets(pending);
    }
    match core.record_transaction(&id) {
        Ok(()) => response,
        Err(error) => offset_results(&request, storage_code(&error)),
    }
}

fn pending_offsets(request: &TxnOffsetCommitRequest) -> Vec<CommittedOffset> {
    let mut pending = Vec::new();
    for topic in &request.topics {
        pending.extend(topic.partitions.iter().map(|partition| CommittedOffset {
            group: request.group_id.to_string(),
            topic: topic.name.to_string(),
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref().map(|text| text.to_string()).unwrap_or_default(),
        }));
    }
    pending
}

fn offset_results(request: &TxnOffsetCommitRequest, code: i16) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub fn end(core: &mut Core, request: EndTxnRequest, version: i16) -> EndTxnResponse {
    let id = request.transactional_id;
    let may_end = match core.transactions.by_id.get(id.as_str()) {
        None => Err(TransactionError::WrongProducerId),
        Some(transaction) => transaction.may_end(request.producer_id.0, request.producer_epoch, request.committed),
    };
    let code = match may_end {
        Ok(false) => 0,
        Ok(true) => core.end_transaction(&id, request.committed).map_or_else(|error| storage_code(&error), |()| 0),
        Err(error) => error.code(version >= 2),
    };
    EndTxnResponse::default().with_error_code(code)
}
