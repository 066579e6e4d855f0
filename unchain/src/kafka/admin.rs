//! Creates, grows and deletes topics.

use std::time::Duration;

use futures_util::FutureExt;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as ClientTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use super::connection::AdminContext;
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
    client: AdminClient<AdminContext>,
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
