//! Reads `topics.toml`: which record a topic carries, its key, partitions, cleanup and retention.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::catalogue::{Catalogue, Kind, Type};
use crate::error::CodegenError;

/// Kafka's own limit on the length of a topic's name.
const MAX_NAME_BYTES: usize = 249;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicsFile {
    #[serde(default)]
    topics: BTreeMap<String, TopicEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicEntry {
    schema: String,
    key: String,
    partitions: i32,
    #[serde(default)]
    cleanup: Cleanup,
    retention: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cleanup {
    #[default]
    Delete,
    Compact,
}

/// One topic, checked against the schemas.
#[derive(Debug)]
pub(crate) struct TopicSpec {
    pub name: String,
    /// Full name of the value's record.
    pub record: String,
    pub key: String,
    pub key_is_text: bool,
    pub partitions: i32,
    pub cleanup: Cleanup,
    /// `None` keeps records for ever.
    pub retention_seconds: Option<u64>,
}

/// The topics in the order of their names.
pub(crate) fn parse(catalogue: &Catalogue, file: PathBuf, text: &str) -> Result<Vec<TopicSpec>, CodegenError> {
    let parsed: TopicsFile =
        toml::from_str(text).map_err(|source| CodegenError::Toml { file: file.clone(), source: Box::new(source) })?;
    let mut topics = Vec::<TopicSpec>::new();
    for (name, entry) in parsed.topics {
        let place = format!("topic {name}");
        let wrong = |problem: String, remedy: &str| CodegenError::unsuitable(&file, &place, problem, remedy);
        if let Some(other) = topics.iter().find(|topic| topic.record == entry.schema) {
            let problem = format!("schema {} is already that of topic {}", entry.schema, other.name);
            return Err(wrong(problem, "give each topic a record of its own, so that a type names its topic"));
        }
        topics.push(checked(catalogue, name.clone(), entry, wrong)?);
    }
    Ok(topics)
}

fn checked(
    catalogue: &Catalogue,
    name: String,
    entry: TopicEntry,
    wrong: impl Fn(String, &str) -> CodegenError,
) -> Result<TopicSpec, CodegenError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(legal) || name == "." || name == ".." {
        return Err(wrong("is not a legal name in Kafka".into(), "use up to 249 letters, digits, '.', '_' and '-'"));
    }
    if entry.partitions < 1 {
        return Err(wrong(format!("has {} partitions", entry.partitions), "give it at least 1"));
    }
    let record = catalogue.types.get(&entry.schema).map(|named| &named.kind);
    let Some(Kind::Record(fields)) = record else {
        let problem = format!("schema {} is not a record of any schema file", entry.schema);
        return Err(wrong(problem, "write the record's full name (namespace.Name)"));
    };
    let Some(field) = fields.iter().find(|field| field.name == entry.key) else {
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        let problem = format!("key {} is not a field of {}", entry.key, entry.schema);
        return Err(wrong(problem, &format!("choose one of: {}", names.join(", "))));
    };
    let key_is_text = match field.ty {
        Type::String => true,
        Type::Int | Type::Long => false,
        _ => return Err(wrong(format!("key {} cannot be a key", entry.key), "choose a string, int or long field")),
    };
    let retention_seconds = match entry.retention.as_deref() {
        Some("forever") => None,
        Some(time) => match seconds(time) {
            Some(seconds) => Some(seconds),
            None => {
                return Err(wrong(
                    format!("retention {time} is not a time"),
                    "write \"forever\", \"7d\", \"12h\", \"30m\"",
                ));
            }
        },
        None if entry.cleanup == Cleanup::Compact => None,
        None => return Err(wrong("has no retention".into(), "write \"forever\", \"7d\", \"12h\", \"30m\"")),
    };
    let (record, key, partitions, cleanup) = (entry.schema, entry.key, entry.partitions, entry.cleanup);
    Ok(TopicSpec { name, record, key, key_is_text, partitions, cleanup, retention_seconds })
}

fn seconds(time: &str) -> Option<u64> {
    let unit_seconds = match time.chars().last()? {
        'd' => 24 * 60 * 60,
        'h' => 60 * 60,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let count: u64 = time[..time.len() - 1].parse().ok()?;
    count.checked_mul(unit_seconds).filter(|seconds| *seconds > 0)
}
