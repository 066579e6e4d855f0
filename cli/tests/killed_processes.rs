//! Processors as separate processes, killed with -9 again and again while the log is replayed on Apache Kafka.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::collections::HashMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use support::{Running, Workplace, mails};
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
const ORDERS_PER_SECOND: &str = "2500/s";

fn start(workplace: &Workplace, processor: &str, instance: &str) -> Running {
    workplace.start(instance, &["run", processor, "--instance", instance])
}

/// How the producer ended, if it did before the next kill is due.
fn ended_before_the_next_kill(producer: &mut Running) -> Option<ExitStatus> {
    let due = Instant::now() + KILL_EVERY;
    while Instant::now() < due {
        if let Some(status) = producer.0.try_wait().unwrap() {
            return Some(status);
        }
        #[allow(clippy::disallowed_methods, reason = "the time between two kills is the fault's schedule")]
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

#[test]
fn every_total_is_exact_though_a_process_is_killed_every_two_seconds() {
    let Some(cluster) = TestCluster::kafka() else { return };
    let workplace = Workplace::at(cluster.bootstrap_servers());
    workplace.done(&["topics", "apply"]);
    workplace.done(&["produce", "reference"]);
    let mut running: HashMap<_, _> = INSTANCES.into_iter().map(|at| (at, start(&workplace, at.0, at.1))).collect();
    let mut producer = workplace.start("producer", &["produce", "orders", "--rate", ORDERS_PER_SECOND]);
    let mut kills = 0;
    for (processor, instance) in INSTANCES.into_iter().cycle() {
        if let Some(status) = ended_before_the_next_kill(&mut producer) {
            assert!(status.success(), "the producer ended with {status}");
            break;
        }
        running.remove(&(processor, instance)).unwrap().kill();
        kills += 1;
        running.insert((processor, instance), start(&workplace, processor, instance));
    }
    assert!(kills >= INSTANCES.len(), "each process was to be killed at least once, there were {kills} kills");
    let report = workplace.done(&["check", "orders", "--json", "--wait", "120"]).json();
    println!("{kills} kills: {report}");
    assert_eq!(report["exactly_once"], true);
    assert_eq!(report["orders"], 69_659);
    assert_eq!(report["customers"], 23_570);
    assert_eq!(report["units"], 167_881);
    assert_eq!(report["ordered_cents"], 250_031_563_i64);
    assert_eq!(report["emails"], 69_659);
    assert_eq!(mails(&workplace.path("orders.mbox")), 69_659);
}
