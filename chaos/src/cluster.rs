//! The brokers: started and ended by `cargo xtask kafka`, observed by a client that talks around the proxies.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::process::output_of;
use crate::workload::{Group, INPUT_PARTITIONS, INPUTS};
use crate::{Failure, pause};

pub const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
const SYNC_PATIENCE: Duration = Duration::from_secs(120);
pub const GROUPS_LOG: &str = "__consumer_offsets";
pub const TRANSACTIONS_LOG: &str = "__transaction_state";

/// Where one broker is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    id: i32,
    direct: SocketAddr,
    proxied: SocketAddr,
    advertised: SocketAddr,
}

/// Brokers of the checker's own; they end with it.
pub struct Cluster {
    xtask: PathBuf,
    folder: PathBuf,
    nodes: Vec<Node>,
    watcher: BaseConsumer,
    data_stay: AtomicBool,
}

/// A client that says nothing and talks around the proxies.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "checker").set("enable.auto.commit", "false");
    config.set("reconnect.backoff.max.ms", "500").set("topic.metadata.refresh.interval.ms", "5000");
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config
}

impl Cluster {
    /// Starts brokers with empty data in a folder; what an earlier run has left there ends before.
    pub fn start(xtask: &Path, folder: &Path, brokers: u16) -> Result<Cluster, Failure> {
        let kafka =
            |arguments: &[&str]| output_of(Command::new(xtask).arg("kafka").args(arguments).arg("--dir").arg(folder));
        kafka(&["stop", "--kill"])?;
        kafka(&["start", "--brokers", &brokers.to_string(), "--port", "0", "--proxied"])?;
        let node = |id: u16| {
            let path = folder.join(format!("{id}.properties"));
            let text = fs::read_to_string(&path).map_err(Failure::io(path.display().to_string()))?;
            node_of(i32::from(id), &text).ok_or_else(|| Failure::Setup(format!("{} lacks listeners", path.display())))
        };
        let nodes: Vec<Node> = (1..=brokers).map(node).collect::<Result<_, Failure>>()?;
        let direct = addresses(nodes.iter().map(|node| node.direct));
        let watcher = client(&direct).create().map_err(Failure::kafka("creating a client"))?;
        Ok(Cluster {
            xtask: xtask.to_owned(),
            folder: folder.to_owned(),
            nodes,
            watcher,
            data_stay: AtomicBool::new(false),
        })
    }

    /// Around the proxies.
    pub fn bootstrap(&self) -> String {
        addresses(self.nodes.iter().map(|node| node.direct))
    }

    /// Through the proxies.
    pub fn proxied_bootstrap(&self) -> String {
        addresses(self.nodes.iter().map(|node| node.advertised))
    }

    /// For each broker, where a proxy listens and what for.
    pub fn ways(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.nodes.iter().map(|node| (node.advertised, node.proxied)).collect()
    }

    pub fn broker_ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// Leaves the data where they are when the brokers end, until the next start.
    pub fn keep_data(&self) {
        self.data_stay.store(true, Ordering::Relaxed);
    }

    /// Ends one broker: by kill -9, or by a controlled shutdown.
    pub fn end_broker(&self, id: i32, by_kill: bool) -> Result<(), Failure> {
        let how: &[&str] = if by_kill { &["--kill"] } else { &[] };
        self.kafka(&["stop", "--keep-data", "--broker", &id.to_string()], how)
    }

    /// Starts one broker again and waits until it answers.
    pub fn start_broker(&self, id: i32) -> Result<(), Failure> {
        self.kafka(&["start", "--keep-data", "--broker", &id.to_string()], &[])
    }

    fn kafka(&self, arguments: &[&str], more: &[&str]) -> Result<(), Failure> {
        let mut command = Command::new(&self.xtask);
        output_of(command.arg("kafka").args(arguments).args(more).arg("--dir").arg(&self.folder)).map(drop)
    }

    /// Waits until every partition of every topic has a leader and all its replicas in sync.
    pub fn await_in_sync(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + SYNC_PATIENCE;
        loop {
            let behind = self.out_of_sync();
            if behind.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let state = format!(": {}", behind.join(", "));
                return Err(Failure::TooLong { what: "getting in sync".into(), patience: SYNC_PATIENCE, state });
            }
            pause(Duration::from_millis(200));
        }
    }

    fn out_of_sync(&self) -> Vec<String> {
        let Ok(metadata) = self.watcher.fetch_metadata(None, BROKER_TIMEOUT) else { return vec!["no answer".into()] };
        if metadata.brokers().len() < self.nodes.len() {
            return vec![format!("{} brokers", metadata.brokers().len())];
        }
        let partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions().iter().map(move |partition| (topic.name().to_owned(), partition)));
        let behind = partitions
            .filter(|(_, partition)| partition.leader() < 0 || partition.isr().len() < partition.replicas().len());
        behind.map(|(topic, partition)| format!("{topic}/{}", partition.id())).collect()
    }

    /// The broker that leads a partition; of [`GROUPS_LOG`] and [`TRANSACTIONS_LOG`] the leader is the coordinator.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let metadata = self.watcher.fetch_metadata(Some(topic), BROKER_TIMEOUT).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        partitions.iter().find(|found| found.id() == partition).map(|found| found.leader()).filter(|id| *id > 0)
    }

    pub fn partitions(&self, topic: &str) -> Result<i32, Failure> {
        let metadata = self.watcher.fetch_metadata(Some(topic), BROKER_TIMEOUT);
        let metadata = metadata.map_err(Failure::kafka("asking for partitions"))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        Ok(i32::try_from(partitions).unwrap_or(i32::MAX))
    }

    /// The partition of [`GROUPS_LOG`] that a group belongs to.
    pub fn partition_of(&self, group: Group) -> Result<i32, Failure> {
        Ok(java_hash(group.name()) % self.partitions(GROUPS_LOG)?.max(1))
    }

    /// A group's progress: for each input partition its next offset by the last commit, and the partition's end.
    pub fn progress(&self, group: Group) -> Result<Vec<(i64, i64)>, Failure> {
        let asking = Failure::kafka("asking for a group's offsets");
        let client: BaseConsumer = client(&self.bootstrap())
            .set("group.id", group.name())
            .set("isolation.level", "read_committed")
            .create()
            .map_err(&asking)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(INPUTS, 0, INPUT_PARTITIONS - 1);
        let committed = client.committed_offsets(asked, BROKER_TIMEOUT).map_err(&asking)?;
        let progress = (0..INPUT_PARTITIONS).map(|partition| {
            let (_, end) = client.fetch_watermarks(INPUTS, partition, BROKER_TIMEOUT).map_err(&asking)?;
            let found = committed.find_partition(INPUTS, partition).map(|found| found.offset());
            let next = if let Some(Offset::Offset(next)) = found { next } else { 0 };
            Ok((next, end))
        });
        progress.collect()
    }

    /// A group as the brokers describe it, for a report: its state, its members and how far it is.
    pub fn describe(&self, group: Group) -> String {
        let described = self.watcher.fetch_group_list(Some(group.name()), BROKER_TIMEOUT);
        let state = described.map_or_else(
            |error| error.to_string(),
            |list| {
                let groups = list.groups().iter().map(|group| {
                    let members: Vec<&str> = group.members().iter().map(|member| member.client_id()).collect();
                    format!("{} with members {}", group.state(), members.join(" "))
                });
                groups.collect::<Vec<_>>().join("; ")
            },
        );
        let progress = self.progress(group).map_or_else(
            |error| error.to_string(),
            |all| all.iter().map(|(next, end)| format!("{next}/{end}")).collect::<Vec<_>>().join(" "),
        );
        format!("{}: {state}; committed/end by partition: {progress}", group.name())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stay: &[&str] = if self.data_stay.load(Ordering::Relaxed) { &["--keep-data"] } else { &[] };
        if let Err(error) = self.kafka(&["stop", "--kill"], stay) {
            eprintln!("error: {error}");
        }
    }
}

fn addresses(all: impl Iterator<Item = SocketAddr>) -> String {
    all.map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}

fn node_of(id: i32, properties: &str) -> Option<Node> {
    let value = |key: &str| properties.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let listener = |key: &str, name: &str| {
        value(key)?.split(',').find_map(|listener| listener.strip_prefix(name)?.strip_prefix("://"))?.parse().ok()
    };
    Some(Node {
        id,
        direct: listener("listeners", "PLAINTEXT")?,
        proxied: listener("listeners", "PROXIED")?,
        advertised: listener("advertised.listeners", "PROXIED")?,
    })
}

/// Java's `String.hashCode` without its sign, by which a coordinator is chosen.
fn java_hash(text: &str) -> i32 {
    let hash = text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_javas() {
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), 0);
    }

    #[test]
    fn listeners_are_told_from_each_other() {
        let properties = "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2,PROXIED://127.0.0.1:3\n\
            advertised.listeners=PLAINTEXT://127.0.0.1:1,PROXIED://127.0.0.1:4\n";
        let node = node_of(1, properties).unwrap();
        assert_eq!((node.direct.port(), node.proxied.port(), node.advertised.port()), (1, 3, 4));
    }
}
