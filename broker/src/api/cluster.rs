//! Metadata, DescribeCluster, FindCoordinator: there is one broker, and it is everything.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest,
    MetadataResponse,
};

use super::{text, topic_name};
use crate::core::{Core, NODE_ID};
use crate::log::batch::LEADER_EPOCH;
use crate::topics::catalog::{Topic, is_valid_name};

/// Metadata: the topics asked for, or all of them; unknown ones are created if client and broker both allow it.
pub fn metadata(core: &mut Core, request: MetadataRequest, version: i16) -> MetadataResponse {
    // Before version 4 a client could not say, and the broker's setting decided alone.
    let may_create = core.config.auto_create_topics && (request.allow_auto_topic_creation || version < 4);
    let topics = match request.topics {
        None => core.catalog.iter().map(describe).collect(),
        Some(topics) => topics.into_iter().map(|topic| find_or_create(core, topic, may_create)).collect(),
    };
    let broker = MetadataResponseBroker::default().with_node_id(BrokerId(NODE_ID)).with_host(text(core.host.as_str()));
    MetadataResponse::default()
        .with_brokers(vec![broker.with_port(i32::from(core.port))])
        .with_cluster_id(Some(text(core.cluster_id.to_string())))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics)
}

fn find_or_create(core: &mut Core, wanted: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    let Some(name) = wanted.name else {
        return match core.catalog.by_id(wanted.topic_id) {
            Some(topic) => describe(topic),
            None => MetadataResponseTopic::default()
                .with_topic_id(wanted.topic_id)
                .with_error_code(ResponseError::UnknownTopicId.code()),
        };
    };
    let refused = |error: ResponseError| {
        MetadataResponseTopic::default().with_name(Some(name.clone())).with_error_code(error.code())
    };
    if core.catalog.get(&name).is_none() {
        if !is_valid_name(&name) {
            return refused(ResponseError::InvalidTopicException);
        }
        if !may_create {
            return refused(ResponseError::UnknownTopicOrPartition);
        }
        let partitions = core.config.default_partitions;
        if let Err(refusal) = super::topics::create(core, &name, partitions, Default::default()) {
            return refused(refusal.error);
        }
    }
    core.catalog.get(&name).map_or_else(|| refused(ResponseError::UnknownTopicOrPartition), describe)
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions.len() as i32)
        .map(|at| {
            MetadataResponsePartition::default()
                .with_partition_index(at)
                .with_leader_id(BrokerId(NODE_ID))
                .with_leader_epoch(LEADER_EPOCH)
                .with_replica_nodes(vec![BrokerId(NODE_ID)])
                .with_isr_nodes(vec![BrokerId(NODE_ID)])
        })
        .collect();
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_partitions(partitions)
}

pub fn describe_cluster(core: &Core) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(text(core.host.as_str()))
        .with_port(i32::from(core.port));
    DescribeClusterResponse::default()
        .with_cluster_id(text(core.cluster_id.to_string()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
}

/// FindCoordinator, for one key (until version 3) or several.
pub fn find_coordinator(core: &Core, request: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    const GROUP: i8 = 0;
    const TRANSACTION: i8 = 1;
    let (host, port) = (text(core.host.as_str()), i32::from(core.port));
    let error = if matches!(request.key_type, GROUP | TRANSACTION) { 0 } else { ResponseError::InvalidRequest.code() };
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(error)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host.clone())
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
