//! Processors as separate processes, killed with -9 again and again while the log is replayed on Apache Kafka.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use unchain_testkit::TestCluster;

/// Six processors, two of them in two instances.
const INSTANCES: [(&str, &str); 8] = [
    ("verification", "v1"),
    ("verification", "v2"),
    ("payment", "p1"),
    ("payment", "p2"),
    ("inventory", "i1"),
    ("shipping", "s1"),
    ("email", "e1"),
    ("revenue", "r1"),
];
const KILL_EVERY: Duration = Duration::from_secs(2);
const ORDERS_PER_SECOND: u32 = 2_500;

struct Fleet {
    servers: String,
    folder: PathBuf,
    running: HashMap<&'static str, Child>,
}

impl Fleet {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unchain"));
        command.args(arguments).env("UNCHAIN_BOOTSTRAP_SERVERS", &self.servers).current_dir(&self.folder);
        command.env("UNCHAIN_EMAIL", format!("mbox:{}", self.folder.join("outbox.mbox").display()));
        command.stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "unchain {arguments:?} ended with {}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&mut self, processor: &str, instance: &'static str) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join(instance)).unwrap();
        let mut command = self.command(&["run", processor, "--instance", instance]);
        self.running.insert(instance, command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn kill(&mut self, instance: &str) {
        let mut child = self.running.remove(instance).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn shipped_log() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../producers/data/cdnow-orders.avro")
}

#[test]
fn every_total_is_exact_though_processes_are_killed_every_two_seconds() {
    let Some(cluster) = TestCluster::kafka() else { return };
    let servers = cluster.bootstrap_servers().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet { servers, folder: folder.path().to_owned(), running: HashMap::new() };
    let log = shipped_log();
    let log = log.to_str().unwrap();
    fleet.call(&["topics", "apply"]);
    fleet.call(&["produce", "reference", "--from", log]);
    for (processor, instance) in INSTANCES {
        fleet.start(processor, instance);
    }
    let rate = format!("{ORDERS_PER_SECOND}/s");
    let mut producer = fleet.command(&["produce", "orders", "--from", log, "--rate", &rate]).spawn().unwrap();
    let mut kills = 0;
    for (processor, instance) in INSTANCES.into_iter().cycle() {
        let until = Instant::now() + KILL_EVERY;
        let ended = loop {
            if let Some(status) = producer.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() >= until {
                break None;
            }
            #[allow(clippy::disallowed_methods, reason = "the time between two kills is the fault's schedule")]
            std::thread::sleep(Duration::from_millis(50));
        };
        if let Some(status) = ended {
            assert!(status.success(), "the producer ended with {status}");
            break;
        }
        fleet.kill(instance);
        kills += 1;
        fleet.start(processor, instance);
    }
    assert!(kills >= 8, "each process was to be killed at least once, there were {kills} kills");
    let report = fleet.call(&["check", "orders", "--json", "--wait", "120"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    println!("{kills} kills, report: {report}");
    assert_eq!(report["exactly_once"], true);
    assert_eq!(report["orders"], 69_659);
    assert_eq!(report["customers"], 23_570);
    assert_eq!(report["units"], 167_881);
    assert_eq!(report["ordered_cents"], 250_031_563_i64);
    assert_eq!(report["emails"], 69_659);
    let mails = std::fs::read_to_string(folder.path().join("outbox.mbox")).unwrap();
    assert_eq!(mails.lines().filter(|line| line.starts_with("Message-ID:")).count(), 69_659);
}
