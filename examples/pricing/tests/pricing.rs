//! The example's program against a broker: three orders in, three prices out.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use unchain::contract::open_registry;
use unchain::kafka::PublisherSettings;
use unchain::produce::Producer;
use unchain_testkit::TestCluster;

#[allow(dead_code, reason = "the test writes one of the two contracts")]
mod contracts {
    unchain::contracts!();
}

const DEADLINE: Duration = Duration::from_secs(30);

fn pricing(cluster: &TestCluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-pricing"));
    command.args(arguments).args(["--bootstrap-servers", cluster.bootstrap_servers()]);
    command
}

/// Ends the running program with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn three_orders_get_three_prices() {
    let cluster = TestCluster::embedded();
    assert!(pricing(&cluster, &["topics", "apply"]).status().unwrap().success());
    let connection = cluster.connection();
    let registry = open_registry(&connection, DEADLINE).unwrap();
    let mut producer = Producer::connect(&connection, registry, "test", PublisherSettings::default()).unwrap();
    for (order_id, quantity) in [("a", 1), ("b", 2), ("c", 3)] {
        producer.send(order_id, &contracts::Order { order_id: order_id.to_owned(), quantity }).unwrap();
    }
    producer.flush(DEADLINE).unwrap();

    let mut running = Running(pricing(&cluster, &["run"]).spawn().unwrap());
    let read = pricing(&cluster, &["consume", "shop.priced", "--follow", "--max-records", "3"]);
    let read = { read }.stderr(Stdio::inherit()).output().unwrap();
    let prices: BTreeMap<String, i64> = String::from_utf8(read.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["key"].as_str().unwrap().to_owned(), line["value"]["cents"].as_i64().unwrap()))
        .collect();
    let expected = [("a", 1_499), ("b", 2_998), ("c", 4_497)].map(|(order, cents)| (order.to_owned(), cents));
    assert_eq!(prices, BTreeMap::from(expected));

    // SIGTERM drains, and a drained program has done what it should.
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());
}

const FILES: [&str; 5] =
    ["build.rs", "schemas/order.avsc", "schemas/priced.avsc", "schemas/topics.toml", "src/main.rs"];

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn contract_handler_and_main_are_at_most_forty_lines() {
    let lines: usize = FILES.iter().map(|file| read(file).lines().count()).sum();
    assert!(lines <= 40, "{lines} lines");
}

#[test]
fn the_readme_shows_every_line() {
    let readme = read("../../README.md");
    for file in FILES {
        assert!(readme.contains(&read(file)), "README.md does not show {file} as it is");
    }
}
