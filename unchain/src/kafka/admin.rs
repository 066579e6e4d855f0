//! Creates, grows and deletes topics.

use std::time::Duration;

use futures_util::FutureExt;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewPartitions, NewTopic as ClientTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::client_log::ClientLog;
use super::{ClientError, Connection, ErrorKind};

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    /// The broker's own names and values, for example `cleanup.policy`.
    pub configs: Vec<(String, String)>,
}

/// Administration of one cluster. Calls block, for at most the deadline given at construction.
pub struct Admin {
    client: AdminClient<ClientLog>,
    deadline: Duration,
}

impl Admin {
    pub fn new(connection: &Connection, deadline: Duration) -> Result<Admin, ClientError> {
        Ok(Admin { client: Connection::create(&connection.client_config(&[]))?, deadline })
    }

    /// Creates the topics that do not exist yet, with the broker's default replication; returns the names created.
    pub fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<String>, ClientError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<ClientTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let new = ClientTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1));
                topic.configs.iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let results = block_on(self.client.create_topics(&new, &self.options()), self.deadline, "creation of topics")?
            .map_err(|error| ClientError::operation("creation of topics", &error))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(name),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(topic_error("creation", topic, code)),
            }
        }
        Ok(created)
    }

    /// Deletes topics; one that does not exist is no error.
    pub fn delete_topics(&self, names: &[&str]) -> Result<(), ClientError> {
        if names.is_empty() {
            return Ok(());
        }
        let results = block_on(self.client.delete_topics(names, &self.options()), self.deadline, "deletion of topics")?
            .map_err(|error| ClientError::operation("deletion of topics", &error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(topic_error("deletion", topic, code)),
            }
        }
        Ok(())
    }

    /// Grows a topic to so many partitions.
    pub fn add_partitions(&self, topic: &str, partitions: usize) -> Result<(), ClientError> {
        let (operation, new) = ("adding partitions", [NewPartitions::new(topic, partitions)]);
        let results = block_on(self.client.create_partitions(&new, &self.options()), self.deadline, operation)?
            .map_err(|error| ClientError::operation(operation, &error))?;
        let failed = results.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |(topic, code)| Err(topic_error(operation, topic, code)))
    }

    /// Deletes each partition's records below an offset, or all of them where that is `None`.
    pub fn delete_records(&self, topic: &str, before: &[(i32, Option<i64>)]) -> Result<(), ClientError> {
        let operation = "deletion of records";
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (partition, offset) in before {
            let offset = offset.map_or(Offset::End, Offset::Offset);
            list.add_partition_offset(topic, *partition, offset)
                .map_err(|error| ClientError::topic(operation, topic, &error))?;
        }
        let deleted = block_on(self.client.delete_records(&list, &self.options()), self.deadline, operation)?
            .map_err(|error| ClientError::topic(operation, topic, &error))?;
        for partition in deleted.elements() {
            partition.error().map_err(|error| ClientError::topic(operation, topic, &error))?;
        }
        Ok(())
    }

    /// Sets a topic's configuration: what is not named returns to the broker's default.
    pub fn set_topic_config(&self, topic: &str, configs: &[(&str, &str)]) -> Result<(), ClientError> {
        let operation = "configuration";
        let alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let alter = configs.iter().fold(alter, |alter, (name, value)| alter.set(name, value));
        let results = block_on(self.client.alter_configs([&alter], &self.options()), self.deadline, operation)?
            .map_err(|error| ClientError::topic(operation, topic, &error))?;
        let failed = results.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |(_, code)| Err(topic_error(operation, topic.to_owned(), code)))
    }

    /// What is set on a topic itself, by the broker's names and sorted by them; the broker's defaults are not named.
    pub fn topic_config(&self, topic: &str) -> Result<Vec<(String, String)>, ClientError> {
        self.config_where(topic, |entry| matches!(entry.source, ConfigSource::DynamicTopic))
    }

    /// Everything that holds for a topic, whether it is set on it or is the broker's default.
    pub fn effective_topic_config(&self, topic: &str) -> Result<Vec<(String, String)>, ClientError> {
        self.config_where(topic, |_| true)
    }

    fn config_where(
        &self,
        topic: &str,
        wanted: impl Fn(&ConfigEntry) -> bool,
    ) -> Result<Vec<(String, String)>, ClientError> {
        let operation = "reading the configuration";
        let resource = ResourceSpecifier::Topic(topic);
        let results = block_on(self.client.describe_configs([&resource], &self.options()), self.deadline, operation)?
            .map_err(|error| ClientError::topic(operation, topic, &error))?;
        let mut configs = Vec::new();
        for result in results {
            let resource = result.map_err(|code| topic_error(operation, topic.to_owned(), code))?;
            if resource.entries.is_empty() {
                // Every topic has settings; rdkafka drops the broker's refusal, which is of a topic that does not exist.
                return Err(topic_error(operation, topic.to_owned(), RDKafkaErrorCode::UnknownTopicOrPartition));
            }
            // A secret has no value here.
            let entries = resource.entries.into_iter().filter(&wanted);
            configs.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        configs.sort();
        Ok(configs)
    }

    /// Deletes consumer groups with their offsets; one that does not exist is no error.
    pub fn delete_groups(&self, names: &[&str]) -> Result<(), ClientError> {
        if names.is_empty() {
            return Ok(());
        }
        let operation = "deletion of consumer groups";
        let results = block_on(self.client.delete_groups(names, &self.options()), self.deadline, operation)?
            .map_err(|error| ClientError::operation(operation, &error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((group, code)) => {
                    let reason = format!("group {group}: {code}");
                    return Err(ClientError::Operation { operation, reason, kind: ErrorKind::Retry });
                }
            }
        }
        Ok(())
    }

    /// The names of the cluster's consumer groups.
    pub fn groups(&self) -> Result<Vec<String>, ClientError> {
        let groups = self.client.inner().fetch_group_list(None, self.deadline);
        let groups = groups.map_err(|error| ClientError::operation("listing consumer groups", &error))?;
        Ok(groups.groups().iter().map(|group| group.name().to_owned()).collect())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.deadline)).operation_timeout(Some(self.deadline))
    }
}

fn topic_error(operation: &'static str, topic: String, code: RDKafkaErrorCode) -> ClientError {
    ClientError::Topic { operation, topic, reason: code.to_string(), kind: ErrorKind::Stop }
}

/// Admin calls are futures served by the client's own thread: waiting for one needs no runtime.
fn block_on<T>(future: impl Future<Output = T>, deadline: Duration, operation: &'static str) -> Result<T, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| ClientError::Operation { operation, reason: error.to_string(), kind: ErrorKind::Retry })?;
    // Twice the deadline: the broker's own timeout comes first and says more.
    runtime
        .block_on(async { tokio::time::timeout(deadline * 2, future.boxed_local()).await })
        .map_err(|_| ClientError::TimedOut { operation, waited: deadline * 2 })
}
