//! CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords.

use std::collections::{BTreeMap, HashSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};

use super::{storage_code, text, topic_name};
use crate::core::Core;
use crate::ids;
use crate::journal::Entry;
use crate::topics::catalog::is_valid_name;
use crate::topics::settings::{KNOWN, TopicSettings};

/// Why an administrative request was refused: the code and, for people, the reason.
#[derive(Debug)]
pub struct Refusal {
    pub error: ResponseError,
    pub reason: String,
}

pub fn refuse<T>(error: ResponseError, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { error, reason: reason.into() })
}

fn refuse_io(error: std::io::Error) -> Refusal {
    storage_code(&error);
    Refusal { error: ResponseError::KafkaStorageError, reason: error.to_string() }
}

/// Creates a topic: checks everything, journals it, then makes it visible.
pub fn create(
    core: &mut Core,
    name: &str,
    partitions: i32,
    overrides: BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let settings = check_new(core, name, partitions, &overrides)?;
    let id = ids::fresh();
    let entry = Entry::TopicCreated { name: name.to_owned(), id, partitions, overrides: overrides.clone() };
    core.record(&entry).map_err(refuse_io)?;
    core.catalog.add(name, id, partitions, overrides, settings);
    Ok(())
}

fn check_new(
    core: &Core,
    name: &str,
    partitions: i32,
    overrides: &BTreeMap<String, String>,
) -> Result<TopicSettings, Refusal> {
    if !is_valid_name(name) {
        return refuse(ResponseError::InvalidTopicException, "names have 1 to 249 of a-z A-Z 0-9 . _ -");
    }
    if core.catalog.get(name).is_some() {
        return refuse(ResponseError::TopicAlreadyExists, format!("topic '{name}' already exists"));
    }
    check_partitions(core, partitions, partitions)?;
    TopicSettings::parse(overrides)
        .map_err(|error| Refusal { error: ResponseError::InvalidConfig, reason: error.to_string() })
}

fn check_partitions(core: &Core, total: i32, added: i32) -> Result<(), Refusal> {
    if total < 1 {
        return refuse(ResponseError::InvalidPartitions, "a topic has at least one partition");
    }
    let max_partitions = core.config.max_partitions;
    if core.catalog.partition_count() + added.max(0) as usize > max_partitions {
        return refuse(ResponseError::PolicyViolation, format!("more than {max_partitions} partitions in all"));
    }
    Ok(())
}

pub fn create_topics(core: &mut Core, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut seen = HashSet::new();
    let repeated: HashSet<TopicName> =
        request.topics.iter().filter(|topic| !seen.insert(&topic.name)).map(|topic| topic.name.clone()).collect();
    let results = request.topics.into_iter().map(|topic| {
        let name = topic.name.clone();
        let created = if repeated.contains(&name) {
            refuse(ResponseError::InvalidRequest, "the topic is named twice in the request")
        } else {
            create_one(core, topic, request.validate_only)
        };
        match created {
            Ok(result) => result,
            Err(refusal) => CreatableTopicResult::default()
                .with_name(name)
                .with_error_code(refusal.error.code())
                .with_error_message(Some(text(refusal.reason)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_one(core: &mut Core, topic: CreatableTopic, validate_only: bool) -> Result<CreatableTopicResult, Refusal> {
    let partitions = if !topic.assignments.is_empty() {
        if topic
            .assignments
            .iter()
            .any(|assignment| assignment.broker_ids.iter().any(|id| id.0 != crate::core::NODE_ID))
        {
            return refuse(ResponseError::InvalidReplicaAssignment, "there is only one broker, with id 0");
        }
        topic.assignments.len() as i32
    } else if topic.num_partitions == -1 {
        core.config.default_partitions
    } else {
        topic.num_partitions
    };
    if topic.assignments.is_empty() && !matches!(topic.replication_factor, -1 | 1) {
        return refuse(ResponseError::InvalidReplicationFactor, "there is one broker, so one replica");
    }
    let overrides: BTreeMap<String, String> = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    if validate_only {
        check_new(core, &topic.name, partitions, &overrides)?;
    } else {
        create(core, &topic.name, partitions, overrides.clone())?;
    }
    let configs = KNOWN.iter().map(|known| {
        const DEFAULT_CONFIG: i8 = 5;
        const TOPIC_CONFIG: i8 = 1;
        let set = overrides.get(known.name);
        CreatableTopicConfigs::default()
            .with_name(text(known.name))
            .with_value(Some(text(set.map_or(known.default, String::as_str))))
            .with_config_source(if set.is_some() { TOPIC_CONFIG } else { DEFAULT_CONFIG })
    });
    let id = core.catalog.get(&topic.name).map(|topic| topic.id).unwrap_or_default();
    Ok(CreatableTopicResult::default()
        .with_name(topic.name)
        .with_topic_id(id)
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect())))
}

pub fn delete_topics(core: &mut Core, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), uuid::Uuid::nil()));
    let by_state = request.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let responses = by_name.chain(by_state).map(|(name, id)| delete_one(core, name, id)).collect();
    DeleteTopicsResponse::default().with_responses(responses)
}

fn delete_one(core: &mut Core, name: Option<TopicName>, id: uuid::Uuid) -> DeletableTopicResult {
    let result = DeletableTopicResult::default();
    let (found, unknown) = match &name {
        Some(name) => (core.catalog.get(name), ResponseError::UnknownTopicOrPartition),
        None => (core.catalog.by_id(id), ResponseError::UnknownTopicId),
    };
    let Some(topic) = found else {
        return result.with_name(name).with_topic_id(id).with_error_code(unknown.code());
    };
    let (name, id) = (topic.name.clone(), topic.id);
    let result = result.with_name(Some(topic_name(&name))).with_topic_id(id);
    let mut deleted = core.record(&Entry::TopicDeleted { name: name.clone() });
    if deleted.is_ok() {
        deleted = core.catalog.remove(&name);
        let forgotten = core.forget_topic(&name, id);
        deleted = deleted.and(forgotten);
    }
    match deleted {
        Ok(()) => result,
        Err(error) => result.with_error_code(storage_code(&error)),
    }
}

pub fn create_partitions(core: &mut Core, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match grow(core, topic, request.validate_only) {
            Ok(()) => result,
            Err(refusal) => result.with_error_code(refusal.error.code()).with_error_message(Some(text(refusal.reason))),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(core: &mut Core, wanted: CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let Some(topic) = core.catalog.get(&wanted.name) else {
        return refuse(ResponseError::UnknownTopicOrPartition, "no such topic");
    };
    let present = topic.partitions.len() as i32;
    if wanted.count <= present {
        return refuse(ResponseError::InvalidPartitions, format!("the topic has {present} partitions already"));
    }
    check_partitions(core, wanted.count, wanted.count - present)?;
    if validate_only {
        return Ok(());
    }
    let name = wanted.name.to_string();
    core.record(&Entry::PartitionsAdded { name: name.clone(), total: wanted.count }).map_err(refuse_io)?;
    core.catalog.grow(&name, wanted.count);
    Ok(())
}

pub fn delete_records(core: &mut Core, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
            match delete_before(core, &topic.name, wanted.partition_index, wanted.offset) {
                Ok(low_watermark) => result.with_low_watermark(low_watermark),
                Err(error_code) => result.with_low_watermark(-1).with_error_code(error_code),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// Offset -1 means the high watermark.
fn delete_before(core: &mut Core, topic: &str, partition: i32, offset: i64) -> Result<i64, i16> {
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let id = core.catalog.get(topic).ok_or(unknown)?.id;
    let found = core.catalog.partition(topic, partition).ok_or(unknown)?.clone();
    let offset = if offset == -1 { found.log.borrow().high_watermark() } else { offset };
    if !(0..=found.log.borrow().high_watermark()).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange.code());
    }
    core.record_log_start(id, partition, offset.max(found.log.borrow().log_start()))
        .map_err(|error| storage_code(&error))?;
    let mut log = found.log.borrow_mut();
    log.delete_before(offset).map_err(|error| error.code())?;
    Ok(log.log_start())
}
