//! DescribeTransactions, ListTransactions, DescribeProducers (KIP-664): what is going on, for people and tools.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};

use super::{text, topic_name};
use crate::clock;
use crate::core::Core;
use crate::transaction::State;

pub fn transactions(core: &Core, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| {
        let Some(transaction) = core.transactions.by_id.get(id.as_str()) else {
            return TransactionState::default()
                .with_transactional_id(id)
                .with_error_code(ResponseError::TransactionalIdNotFound.code());
        };
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &transaction.partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| TopicData::default().with_topic(topic_name(topic)).with_partitions(partitions));
        TransactionState::default()
            .with_transactional_id(id)
            .with_transaction_state(text(transaction.state.name()))
            .with_transaction_timeout_ms(transaction.timeout_ms)
            .with_transaction_start_time_ms(if transaction.is_ongoing() { transaction.started_ms } else { -1 })
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_producer_epoch(transaction.epoch)
            .with_topics(topics.collect())
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

pub fn list_transactions(core: &Core, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let unknown = request
        .state_filters
        .iter()
        .filter(|filter| !State::ALL.iter().any(|state| state.name() == filter.as_str()))
        .cloned()
        .collect();
    let now_ms = clock::now_ms();
    let wanted = core.transactions.by_id.iter().filter(|(_, transaction)| {
        let name = transaction.state.name();
        let by_state = request.state_filters.is_empty() || request.state_filters.iter().any(|f| f.as_str() == name);
        let producers = &request.producer_id_filters;
        let by_producer = producers.is_empty() || producers.iter().any(|id| id.0 == transaction.producer_id);
        let by_duration = request.duration_filter < 0
            || (transaction.is_ongoing() && now_ms - transaction.started_ms > request.duration_filter);
        by_state && by_producer && by_duration
    });
    let states = wanted.map(|(id, transaction)| {
        Listed::default()
            .with_transactional_id(TransactionalId(text(id.as_str())))
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_transaction_state(text(transaction.state.name()))
    });
    ListTransactionsResponse::default().with_unknown_state_filters(unknown).with_transaction_states(states.collect())
}

pub fn producers(core: &Core, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&index| {
            let result = PartitionResponse::default().with_partition_index(index);
            let Some(partition) = core.catalog.partition(&topic.name, index) else {
                return result.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            let log = partition.log.borrow();
            let active = log.producers().iter().map(|(id, producer)| {
                ProducerState::default()
                    .with_producer_id(ProducerId(id))
                    .with_producer_epoch(i32::from(producer.epoch))
                    .with_last_sequence(producer.last_sequence())
                    .with_last_timestamp(producer.last_timestamp())
                    .with_coordinator_epoch(-1)
                    .with_current_txn_start_offset(log.transactions().open_since(id).unwrap_or(-1))
            });
            result.with_active_producers(active.collect())
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}
