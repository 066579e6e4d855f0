//! What a replay will do, checked against the recording and the target before anything is written.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::names::is_topic_name;
use super::{ReplayError, ReplaySettings, Timestamps};
use crate::contract::SchemaRegistry;
use crate::kafka::{Admin, Connection, ExistingTopic, NewTopic, TopicPartition};
use crate::recording::{RecordedTopic, Recording};

/// A recorded topic and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The recorded name.
    pub topic: String,
    pub recorded_partitions: i32,
    /// The name in the target.
    pub name: String,
    pub partitions: i32,
    /// Whether the replay creates it.
    pub is_new: bool,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) digest: String,
    pub(super) targets: Vec<Target>,
    /// What is read, in the order of the streams, with the index of each one's target.
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) target_of: Vec<usize>,
    new_topics: Vec<NewTopic>,
}

/// What Kafka keeps where a topic says nothing else.
const DEFAULT_RETENTION_MS: i64 = 7 * 24 * 3_600 * 1_000;

impl Plan {
    /// Chooses topics and targets, and looks at all that can be wrong with them.
    pub(super) fn make(
        connection: &Connection,
        registry: &dyn SchemaRegistry,
        recording: &Recording,
        settings: &ReplaySettings,
        deadline: Duration,
    ) -> Result<Plan, ReplayError> {
        let topics = chosen(recording, settings)?;
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let digest = settings.digest(&recording.manifest().id, &names);
        let id = settings.id(&digest)?;
        let existing = connection.topics(deadline)?;
        let mut targets: Vec<Target> = Vec::new();
        for topic in &topics {
            let target = target(topic, settings, &existing)?;
            if let Some(first) = targets.iter().find(|other| other.name == target.name) {
                let (first, second) = (first.topic.clone(), target.topic);
                return Err(ReplayError::OneTarget { first, second, target: target.name });
            }
            targets.push(target);
        }
        let chosen = |at: &TopicPartition| targets.iter().position(|target| *target.topic == *at.topic);
        let partitions = recording.partitions().into_iter().filter_map(|at| chosen(&at).map(|target| (at, target)));
        let (partitions, target_of) = partitions.unzip();
        let new_topics = topics.iter().zip(&targets).filter(|(_, target)| target.is_new).map(new_topic).collect();
        let plan = Plan { id, digest, targets, partitions, target_of, new_topics };
        plan.check_schemas(recording, registry, settings, &topics)?;
        plan.check_retention(connection, recording, settings, &topics, deadline)?;
        Ok(plan)
    }

    /// Creates the topics that are missing.
    pub(super) fn create_topics(&self, connection: &Connection, deadline: Duration) -> Result<(), ReplayError> {
        Admin::new(connection, deadline)?.create_topics(&self.new_topics)?;
        Ok(())
    }

    fn check_schemas(
        &self,
        recording: &Recording,
        registry: &dyn SchemaRegistry,
        settings: &ReplaySettings,
        topics: &[&RecordedTopic],
    ) -> Result<(), ReplayError> {
        if settings.raw {
            return Ok(());
        }
        for (topic, target) in topics.iter().zip(&self.targets) {
            for id in &topic.schemas {
                let text = recording.schema(*id)?;
                let text = text.ok_or_else(|| ReplayError::MissingSchema { topic: topic.name.clone(), id: *id })?;
                registry.check(&subject(&target.name), &text).map_err(|source| ReplayError::Incompatible {
                    topic: topic.name.clone(),
                    target: target.name.clone(),
                    id: *id,
                    source,
                })?;
            }
        }
        Ok(())
    }

    /// Refuses targets that would delete what is replayed with its old times.
    fn check_retention(
        &self,
        connection: &Connection,
        recording: &Recording,
        settings: &ReplaySettings,
        topics: &[&RecordedTopic],
        deadline: Duration,
    ) -> Result<(), ReplayError> {
        if settings.allow_expired || settings.timestamps == Timestamps::Shift {
            return Ok(());
        }
        let admin = Admin::new(connection, deadline)?;
        for (topic, target) in topics.iter().zip(&self.targets) {
            let of_topic = self.partitions.iter().filter(|at| *at.topic == *topic.name);
            let earliest = of_topic.filter_map(|at| recording.times(at, &settings.span)).map(|(min, _)| min).min();
            let Some(earliest) = earliest.map(|min| min.max(settings.span.from_ms)) else { continue };
            let config: BTreeMap<String, String> = match target.is_new {
                true => topic.config.clone(),
                false => admin.effective_topic_config(&target.name)?.into_iter().collect(),
            };
            let age_ms = now_ms().saturating_sub(earliest);
            if let Some(retention_ms) = retention_ms(&config).filter(|retention_ms| *retention_ms < age_ms) {
                let (topic, target) = (topic.name.clone(), target.name.clone());
                return Err(ReplayError::Expired { topic, target, retention_ms, age_ms });
            }
        }
        Ok(())
    }
}

/// The recorded topics that the settings name.
fn chosen<'a>(recording: &'a Recording, settings: &ReplaySettings) -> Result<Vec<&'a RecordedTopic>, ReplayError> {
    let topics = &recording.manifest().topics;
    let unmatched = settings.topics.iter().find(|pattern| !topics.iter().any(|topic| pattern.matches(&topic.name)));
    if let Some(pattern) = unmatched {
        let known = topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(ReplayError::NoTopic { pattern: pattern.to_string(), known });
    }
    let is_chosen = |topic: &&RecordedTopic| {
        settings.topics.is_empty() || settings.topics.iter().any(|pattern| pattern.matches(&topic.name))
    };
    Ok(topics.iter().filter(is_chosen).collect())
}

fn target(topic: &RecordedTopic, settings: &ReplaySettings, existing: &[ExistingTopic]) -> Result<Target, ReplayError> {
    let name = settings.to_topic.of(&topic.name);
    is_topic_name(&name).map_err(|reason| ReplayError::Usage { option: "--to-topic", reason })?;
    let found = existing.iter().find(|found| found.name == name);
    if found.is_none() && !settings.create_topics {
        return Err(ReplayError::NoTarget { target: name });
    }
    Ok(Target {
        topic: topic.name.clone(),
        recorded_partitions: topic.partitions,
        name,
        partitions: found.map_or(topic.partitions, |found| found.partitions),
        is_new: found.is_none(),
    })
}

fn new_topic((topic, target): (&&RecordedTopic, &Target)) -> NewTopic {
    let configs = topic.config.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    NewTopic { name: target.name.clone(), partitions: topic.partitions, configs }
}

/// How long a topic keeps records; `None` where it deletes none for their age.
fn retention_ms(config: &BTreeMap<String, String>) -> Option<i64> {
    let deletes = config.get("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
    let retention_ms = config.get("retention.ms").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_RETENTION_MS);
    (deletes && retention_ms >= 0).then_some(retention_ms)
}

pub(super) fn subject(topic: &str) -> String {
    format!("{topic}-value")
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn retention_deletes_by_age_where_the_topic_does_not_only_compact_and_has_a_limit() {
        assert_eq!(retention_ms(&config(&[])), Some(DEFAULT_RETENTION_MS));
        assert_eq!(retention_ms(&config(&[("retention.ms", "1000")])), Some(1_000));
        assert_eq!(retention_ms(&config(&[("retention.ms", "-1")])), None);
        assert_eq!(retention_ms(&config(&[("cleanup.policy", "compact")])), None);
        assert_eq!(retention_ms(&config(&[("cleanup.policy", "compact,delete"), ("retention.ms", "5")])), Some(5));
    }
}
