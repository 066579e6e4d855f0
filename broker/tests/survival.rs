//! A broker killed with SIGKILL comes back with everything it acknowledged, and with whole transactions only.
//!
//! The test runs itself again as the process that is killed: with the variable set, it is the broker.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{PATIENCE, client, create_topic, produce, read_all, transactional};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use unchain_broker::{Broker, BrokerConfig, StartError};

const DATA_DIR: &str = "UNCHAIN_TEST_BROKER_DATA_DIR";
const LISTEN: &str = "UNCHAIN_TEST_BROKER_LISTEN";

/// Not a test of its own: the body of the child process, which never returns.
#[test]
fn child_process() {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else { return };
    let listen = std::env::var(LISTEN).unwrap();
    let config = BrokerConfig { listen, data_dir: Some(data_dir.into()), ..BrokerConfig::default() };
    let broker = Broker::start(config).unwrap();
    println!("listening on {}", broker.bootstrap_servers());
    // Until it is killed, or the parent is gone and closes the pipe.
    let _ = std::io::stdin().read_line(&mut String::new());
}

struct Killable {
    child: Child,
    servers: String,
}

impl Killable {
    fn start(data_dir: &Path, listen: &str) -> Killable {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_process", "--exact", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .env(LISTEN, listen)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let servers = lines.map(Result::unwrap).find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        Killable { child, servers: servers.expect("the child prints its address") }
    }

    /// SIGKILL; then a new process on the same directory and port.
    fn kill_and_restart(mut self, data_dir: &Path) -> Killable {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Killable::start(data_dir, &self.servers)
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn records_offsets_and_transactions_survive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Killable::start(dir.path(), "127.0.0.1:0");
    let servers = broker.servers.clone();
    create_topic(&servers, "t", 1, &[("retention.ms", "-1")]);

    let plain: BaseProducer = client(&servers).set("enable.idempotence", "true").create().unwrap();
    produce(&plain, "t", &["plain"]);
    let committed = transactional(&servers, "committed", 60_000);
    committed.begin_transaction().unwrap();
    produce(&committed, "t", &["committed"]);
    committed.commit_transaction(PATIENCE).unwrap();
    let open = transactional(&servers, "open", 60_000);
    open.begin_transaction().unwrap();
    produce(&open, "t", &["open"]);
    commit_offset(&servers, 2);

    let broker = broker.kill_and_restart(dir.path());
    assert_eq!(read_all(&servers, "t", "read_committed"), ["plain", "committed"]);
    assert_eq!(committed_offset(&servers), Offset::Offset(2));

    // The owner of the open transaction goes on as if nothing had been: what it has sent is part of it still.
    produce(&open, "t", &["after"]);
    open.commit_transaction(PATIENCE).unwrap();
    produce(&plain, "t", &["plain again"]);
    let broker = broker.kill_and_restart(dir.path());
    let expected = ["plain", "committed", "open", "after", "plain again"];
    assert_eq!(read_all(&servers, "t", "read_committed"), expected);
    drop(broker);
}

fn consumer(servers: &str) -> BaseConsumer {
    client(servers).set("group.id", "group").set("enable.auto.commit", "false").create().unwrap()
}

fn commit_offset(servers: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(offset)).unwrap();
    consumer(servers).commit(&list, CommitMode::Sync).unwrap();
}

fn committed_offset(servers: &str) -> Offset {
    let mut list = TopicPartitionList::new();
    list.add_partition("t", 0);
    let committed = consumer(servers).committed_offsets(list, PATIENCE).unwrap();
    committed.find_partition("t", 0).unwrap().offset()
}

#[test]
fn a_data_directory_has_one_broker_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = || BrokerConfig { data_dir: Some(dir.path().to_owned()), ..BrokerConfig::default() };
    let first = Broker::start(config()).unwrap();
    assert!(matches!(Broker::start(config()), Err(StartError::Locked { .. })));
    first.stop();
    Broker::start(config()).unwrap().stop();
}
