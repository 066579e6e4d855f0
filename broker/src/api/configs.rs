//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: topics can be changed, the broker's own settings only read.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::topics::{Refusal, refuse};
use super::{storage_code, text};
use crate::core::{Core, NODE_ID};
use crate::journal::Entry;
use crate::topics::settings::{KNOWN, Kind, TopicSettings};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

pub fn describe(core: &Core, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match describe_one(core, &resource, request.include_synonyms) {
            Ok(configs) => result.with_configs(configs),
            Err(refusal) => result.with_error_code(refusal.error.code()).with_error_message(Some(text(refusal.reason))),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(
    core: &Core,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let wanted = |name: &str| {
        resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
    };
    match resource.resource_type {
        TOPIC => {
            let Some(topic) = core.catalog.get(&resource.resource_name) else {
                return refuse(ResponseError::UnknownTopicOrPartition, "no such topic");
            };
            let configs = KNOWN.iter().filter(|known| wanted(known.name)).map(|known| {
                let set = topic.overrides.get(known.name).map(String::as_str);
                let source = if set.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT };
                {
                    let result = entry(known.name, set.unwrap_or(known.default), known.kind, source, false, synonyms);
                    let note =
                        if known.obeyed { None } else { Some(text("kept and shown, without effect on this broker")) };
                    result.with_documentation(note)
                }
            });
            Ok(configs.collect())
        }
        BROKER if resource.resource_name.as_str() == NODE_ID.to_string() || resource.resource_name.is_empty() => {
            let configs = broker_settings(core).into_iter().filter(|(name, ..)| wanted(name));
            Ok(configs
                .map(|(name, value, kind)| entry(name, &value, kind, SOURCE_STATIC_BROKER, true, synonyms))
                .collect())
        }
        BROKER => refuse(ResponseError::InvalidRequest, "there is only one broker, with id 0"),
        _ => refuse(ResponseError::InvalidRequest, "only topics and the broker have configurations here"),
    }
}

fn broker_settings(core: &Core) -> Vec<(&'static str, String, Kind)> {
    let config = &core.config;
    let milliseconds = |duration: std::time::Duration| duration.as_millis().to_string();
    vec![
        ("auto.create.topics.enable", config.auto_create_topics.to_string(), Kind::Boolean),
        ("broker.id", NODE_ID.to_string(), Kind::Int),
        ("connections.max.idle.ms", milliseconds(config.idle_timeout), Kind::Long),
        ("fetch.max.bytes", config.max_fetch_bytes.to_string(), Kind::Int),
        ("log.cleaner.backoff.ms", milliseconds(config.cleanup_interval), Kind::Long),
        ("log.retention.check.interval.ms", milliseconds(config.cleanup_interval), Kind::Long),
        ("num.partitions", config.default_partitions.to_string(), Kind::Int),
        ("socket.request.max.bytes", config.max_request_bytes.to_string(), Kind::Int),
        ("transaction.max.timeout.ms", milliseconds(config.max_transaction_timeout), Kind::Int),
    ]
}

fn entry(
    name: &'static str,
    value: &str,
    kind: Kind,
    source: i8,
    read_only: bool,
    synonyms: bool,
) -> DescribeConfigsResourceResult {
    let synonym =
        DescribeConfigsSynonym::default().with_name(text(name)).with_value(Some(text(value))).with_source(source);
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_read_only(read_only)
        .with_config_source(source)
        .with_config_type(kind as i8)
        .with_synonyms(if synonyms { vec![synonym] } else { Vec::new() })
}

/// AlterConfigs: what is named becomes the whole of the topic's overrides.
pub fn alter(core: &mut Core, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let overrides = resource
            .configs
            .iter()
            .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
            .collect();
        let name = resource.resource_name.as_str();
        let altered = replace(core, resource.resource_type, name, overrides, request.validate_only);
        let (code, reason) = outcome(altered);
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(code)
            .with_error_message(reason.map(text))
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// IncrementalAlterConfigs (KIP-339): set, delete, append to or subtract from a list.
pub fn alter_incrementally(
    core: &mut Core,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let name = resource.resource_name.as_str();
        let present = core.catalog.get(name).map(|topic| topic.overrides.clone()).unwrap_or_default();
        let altered = apply(present, &resource.configs)
            .and_then(|overrides| replace(core, resource.resource_type, name, overrides, request.validate_only));
        let (code, reason) = outcome(altered);
        IncrementalResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(code)
            .with_error_message(reason.map(text))
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn outcome(altered: Result<(), Refusal>) -> (i16, Option<String>) {
    altered.map_or_else(|refusal| (refusal.error.code(), Some(refusal.reason)), |()| (0, None))
}

fn apply(
    mut overrides: BTreeMap<String, String>,
    changes: &[AlterableConfig],
) -> Result<BTreeMap<String, String>, Refusal> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    for change in changes {
        let name = change.name.to_string();
        let value = change.value.as_ref().map(|value| value.to_string());
        let known = KNOWN.iter().find(|known| known.name == name);
        match (change.config_operation, value) {
            (DELETE, _) => {
                overrides.remove(&name);
            }
            (SET, Some(value)) => {
                overrides.insert(name, value);
            }
            (APPEND | SUBTRACT, Some(value)) => {
                let Some(known) = known.filter(|known| known.kind == Kind::List) else {
                    return refuse(ResponseError::InvalidConfig, format!("{name} is not a list"));
                };
                let present = overrides.get(&name).map_or(known.default, String::as_str);
                let mut parts: Vec<&str> = present.split(',').filter(|part| !part.is_empty()).collect();
                let changed: Vec<&str> = value.split(',').collect();
                parts.retain(|part| !changed.contains(part));
                if change.config_operation == APPEND {
                    parts.extend(changed);
                }
                let joined = parts.join(",");
                overrides.insert(name, joined);
            }
            _ => return refuse(ResponseError::InvalidRequest, format!("{name}: unknown operation or no value")),
        }
    }
    Ok(overrides)
}

fn replace(
    core: &mut Core,
    resource_type: i8,
    name: &str,
    overrides: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<(), Refusal> {
    if resource_type != TOPIC {
        return refuse(ResponseError::InvalidRequest, "only topic configurations can be changed");
    }
    if core.catalog.get(name).is_none() {
        return refuse(ResponseError::UnknownTopicOrPartition, "no such topic");
    }
    let settings = TopicSettings::parse(&overrides)
        .map_err(|error| Refusal { error: ResponseError::InvalidConfig, reason: error.to_string() })?;
    if validate_only {
        return Ok(());
    }
    let entry = Entry::TopicConfigured { name: name.to_owned(), overrides: overrides.clone() };
    core.record(&entry).map_err(|error| {
        storage_code(&error);
        Refusal { error: ResponseError::KafkaStorageError, reason: error.to_string() }
    })?;
    core.catalog.configure(name, overrides, settings);
    Ok(())
}
