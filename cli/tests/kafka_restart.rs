//! An Apache Kafka that is killed and started again in the middle of the demo.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Workplace, await_records};

/// A broker of the test's own, started and ended by `cargo xtask kafka`.
struct Kafka<'a> {
    xtask: &'a str,
    folder: &'a Path,
}

impl Kafka<'_> {
    fn call(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.xtask);
        command.arg("kafka").args(arguments).arg("--dir").arg(self.folder).stderr(Stdio::inherit());
        let output = command.output().unwrap();
        assert!(output.status.success(), "kafka {arguments:?} ended with {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Kafka<'_> {
    fn drop(&mut self) {
        let _ = Command::new(self.xtask).args(["kafka", "stop", "--kill", "--dir"]).arg(self.folder).status();
    }
}

#[test]
fn the_demo_finishes_exact_on_a_kafka_that_is_killed_and_started_again() {
    let Ok(xtask) = std::env::var("UNCHAIN_XTASK") else {
        println!("skipped: UNCHAIN_XTASK, which starts and stops an Apache Kafka, is not set");
        return;
    };
    let workplace = Workplace::without_cluster();
    let folder = workplace.path("kafka");
    let kafka = Kafka { xtask: &xtask, folder: &folder };
    let address = kafka.call(&["start", "--port", "0"]);
    let demo = workplace.command(&["demo", "--json", "--bootstrap-servers", &address]);
    let demo = { demo }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_records(&unchain::kafka::Connection::new(&address), "orders.shipped", 1_000);
    kafka.call(&["stop", "--kill", "--keep-data"]);
    kafka.call(&["start", "--keep-data"]);
    let output = demo.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exactly_once"], true);
    assert_eq!((&report["orders"], &report["ordered_cents"]), (&Value::from(69_659), &Value::from(250_031_563)));
    assert_eq!(report["emails"], 69_659);
}
