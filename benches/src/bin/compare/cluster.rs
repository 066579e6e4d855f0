//! The cluster as an observer sees it: topics made and dropped, how far they are visible, what a group has committed.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::{Failure, pause};

pub const PARTITIONS: i32 = 6;
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which records count as visible: those of decided transactions, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

impl Isolation {
    pub fn name(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

pub struct Cluster {
    pub brokers: String,
    admin: AdminClient<DefaultClientContext>,
    runtime: Runtime,
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

impl Cluster {
    pub fn connect(brokers: &str) -> Result<Cluster, Failure> {
        let watcher = |isolation: Isolation| client(brokers).set("isolation.level", isolation.name()).create();
        Ok(Cluster {
            brokers: brokers.to_owned(),
            admin: client(brokers).create()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            committed: watcher(Isolation::Committed)?,
            uncommitted: watcher(Isolation::Uncommitted)?,
        })
    }

    pub fn create(&self, topic: &str, configs: &[(&str, &str)]) -> Result<(), Failure> {
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(-1));
        let new = configs.iter().fold(new, |new, (name, value)| new.set(name, value));
        for created in self.runtime.block_on(self.admin.create_topics([&new], &AdminOptions::new()))? {
            created.map_err(|(topic, code)| format!("topic {topic} was not created: {code}"))?;
        }
        // Created is not yet known to every broker and client: both watchers have to find it.
        self.ends(topic, Isolation::Committed)?;
        self.ends(topic, Isolation::Uncommitted)?;
        Ok(())
    }

    /// Drops every topic whose name begins so: what a run made, and what its contestant made for itself.
    pub fn drop_topics(&self, beginning: &str) -> Result<(), Failure> {
        let names = self.topics(beginning)?;
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for dropped in self.runtime.block_on(self.admin.delete_topics(&names, &AdminOptions::new()))? {
            dropped.map_err(|(topic, code)| format!("topic {topic} was not deleted: {code}"))?;
        }
        Ok(())
    }

    pub fn topics(&self, beginning: &str) -> Result<Vec<String>, Failure> {
        let metadata = self.uncommitted.fetch_metadata(None, BROKER_TIMEOUT)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(names.filter(|name| name.starts_with(beginning)).collect())
    }

    /// Each partition's end, as a reader of that isolation sees it; markers of transactions count as well.
    pub fn ends(&self, topic: &str, isolation: Isolation) -> Result<Vec<i64>, Failure> {
        let watcher = match isolation {
            Isolation::Committed => &self.committed,
            Isolation::Uncommitted => &self.uncommitted,
        };
        let deadline = Instant::now() + BROKER_TIMEOUT;
        loop {
            match ends_by(watcher, topic) {
                Err(_) if Instant::now() < deadline => {
                    // A topic that is new to a client stays unknown to it until it asks for this one by name.
                    watcher.fetch_metadata(Some(topic), BROKER_TIMEOUT)?;
                    pause(Duration::from_millis(50));
                }
                result => return result,
            }
        }
    }

    pub fn end_sum(&self, topic: &str, isolation: Isolation) -> Result<i64, Failure> {
        Ok(self.ends(topic, isolation)?.iter().sum())
    }

    /// An observer of a group's offsets. The first look also lets the broker load its coordinator.
    pub fn group(&self, group: &str, topic: &str) -> Result<GroupWatch, Failure> {
        let watch = GroupWatch {
            client: client(&self.brokers).set("group.id", group).set("isolation.level", "read_committed").create()?,
            group: group.to_owned(),
            topic: topic.to_owned(),
        };
        let deadline = Instant::now() + BROKER_TIMEOUT;
        while let Err(error) = watch.committed() {
            if Instant::now() > deadline {
                return Err(error);
            }
            pause(Duration::from_millis(50));
        }
        Ok(watch)
    }
}

fn ends_by(watcher: &BaseConsumer, topic: &str) -> Result<Vec<i64>, Failure> {
    let mut asked = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        asked.add_partition_offset(topic, partition, Offset::End)?;
    }
    let found = watcher.offsets_for_times(asked, BROKER_TIMEOUT)?;
    let end = |partition| match found.find_partition(topic, partition).map(|found| found.offset()) {
        Some(Offset::Offset(end)) => Ok(end),
        other => Err(format!("the end of {topic}/{partition} is {other:?}").into()),
    };
    (0..PARTITIONS).map(end).collect()
}

/// Looks at a group's offsets without being a member.
pub struct GroupWatch {
    client: BaseConsumer,
    group: String,
    topic: String,
}

impl GroupWatch {
    /// Waits until the group has no members: some programs do not leave it, and only its session timeout ends them.
    pub fn await_empty(&self, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let groups = self.client.fetch_group_list(Some(&self.group), BROKER_TIMEOUT)?;
            if groups.groups().iter().all(|group| group.members().is_empty()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("group {} still has members after {} s", self.group, patience.as_secs()).into());
            }
            pause(Duration::from_millis(100));
        }
    }

    /// The sum of the group's offsets over the topic's partitions.
    pub fn committed(&self) -> Result<i64, Failure> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.topic, 0, PARTITIONS - 1);
        let found = self.client.committed_offsets(asked, BROKER_TIMEOUT)?;
        let offset = |offset| if let Offset::Offset(at) = offset { at } else { 0 };
        Ok(found.elements().iter().map(|found| offset(found.offset())).sum())
    }
}

/// What every client of the observer begins with.
pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.auto.commit", "false").set_log_level(RDKafkaLogLevel::Error);
    config
}
