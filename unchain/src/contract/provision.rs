//! Brings a cluster's topics and schemas to what the contracts say, or refuses before anything is written.

use std::time::Duration;

use thiserror::Error;

use super::{RegistryError, SchemaRegistry, Topic};
use crate::kafka::{Admin, ClientError, Connection, ExistingTopic, NewTopic};

/// What applying contracts changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    pub created: Vec<String>,
    pub existing: Vec<String>,
}

/// Why contracts were not applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(
        "topic {topic} has {existing} partitions, its contract says {needed}: add partitions while it is empty, \
         or lower `partitions` in topics.toml"
    )]
    TooFewPartitions { topic: &'static str, needed: i32, existing: i32 },
}

/// Creates the missing topics and registers every schema.
///
/// # Errors
/// A topic with too few partitions or a schema that is not compatible with the registered one; both are found before
/// the first topic is created.
pub fn apply_topics(
    connection: &Connection,
    registry: &dyn SchemaRegistry,
    topics: &[&'static Topic],
    deadline: Duration,
) -> Result<Applied, ApplyError> {
    let existing = connection.topics(deadline)?;
    check_partitions(topics, &existing)?;
    for topic in topics {
        registry.check(&topic.subject(), topic.schema)?;
    }
    let (present, missing): (Vec<_>, Vec<_>) =
        topics.iter().copied().partition(|topic| existing.iter().any(|found| found.name == topic.name));
    let new: Vec<NewTopic> = missing.iter().map(|topic| new_topic(topic)).collect();
    let created = Admin::new(connection, deadline)?.create_topics(&new)?;
    for topic in topics {
        registry.register(&topic.subject(), topic.schema)?;
    }
    Ok(Applied { created, existing: present.iter().map(|topic| topic.name.to_owned()).collect() })
}

fn check_partitions(topics: &[&'static Topic], existing: &[ExistingTopic]) -> Result<(), ApplyError> {
    for topic in topics {
        let found = existing.iter().find(|found| found.name == topic.name);
        if let Some(found) = found.filter(|found| found.partitions < topic.partitions) {
            let (needed, existing) = (topic.partitions, found.partitions);
            return Err(ApplyError::TooFewPartitions { topic: topic.name, needed, existing });
        }
    }
    Ok(())
}

fn new_topic(topic: &Topic) -> NewTopic {
    NewTopic { name: topic.name.to_owned(), partitions: topic.partitions, configs: topic.config().into() }
}
