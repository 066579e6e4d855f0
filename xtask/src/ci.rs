//! `cargo xtask ci`: all that CI runs, in the order in which failures are cheapest to learn of.

use std::env;
use std::path::PathBuf;

use crate::kafka::{Cluster, KafkaError, Libraries};
use crate::steps::{Outcome, Steps, TestCount, cargo, run_watched};
use crate::{chaos, check, demo, paths, python};

pub fn run(steps: &mut Steps) {
    check::run(steps);
    if !steps.cargo("build", &["test", "--workspace", "--no-run"]) {
        return;
    }
    let kafka = start_kafka(steps, "Apache Kafka for tests");
    steps.step("tests", |count| tests(kafka.as_ref(), count));
    stop_kafka(steps, kafka);
    chaos::step(steps);
    if !steps.cargo("release build", &["build", "--release"]) {
        return;
    }
    // An empty one: the demo's own records are all that the foreign reader is to find.
    let kafka = start_kafka(steps, "Apache Kafka for the demo");
    let bootstrap = kafka.as_ref().map(|kafka| kafka.bootstrap.as_str());
    demo::steps(steps, bootstrap);
    python::step(steps, bootstrap);
    stop_kafka(steps, kafka);
}

fn start_kafka(steps: &mut Steps, name: &str) -> Option<TestKafka> {
    let mut kafka = None;
    steps.step(name, |_| match TestKafka::start() {
        Ok(started) => {
            println!("    answers on {}", started.bootstrap);
            kafka = Some(started);
            Ok(Outcome::Passed)
        }
        Err(error @ (KafkaError::Missing { .. } | KafkaError::OldJava { .. })) => {
            Ok(Outcome::Skipped(error.to_string()))
        }
        Err(error) => Err(error.to_string()),
    });
    kafka
}

fn stop_kafka(steps: &mut Steps, kafka: Option<TestKafka>) {
    if let Some(kafka) = kafka {
        steps
            .step("end of Apache Kafka", |_| kafka.stop().map(|()| Outcome::Passed).map_err(|error| error.to_string()));
    }
}

/// README's test command, with the real Kafka beside the tests in the same go.
fn tests(kafka: Option<&TestKafka>, count: &mut TestCount) -> Result<Outcome, String> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    // Tests that need a Kafka of their own, to stop and start it, call this program.
    command.env("UNCHAIN_XTASK", env::current_exe().map_err(|error| error.to_string())?);
    if let Some(kafka) = kafka {
        command.env("UNCHAIN_TEST_KAFKA", &kafka.bootstrap);
    }
    run_watched(command, |line| count.add_line(line))
}

/// The cluster of this run. It ends with it, also where a step panics; `.ci/run` ends it where this program is killed.
struct TestKafka {
    cluster: Cluster,
    bootstrap: String,
}

impl TestKafka {
    fn start() -> Result<Self, KafkaError> {
        let folder: PathBuf = paths::target().join("kafka-ci");
        let cluster = Cluster::at(&folder);
        // Left over by a run that was killed.
        cluster.stop(false, true)?;
        let bootstrap = cluster.start(&Libraries::fetch()?, 1, 0)?;
        Ok(Self { cluster, bootstrap })
    }

    fn stop(&self) -> Result<(), KafkaError> {
        self.cluster.stop(false, false)
    }
}

impl Drop for TestKafka {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.stop(false, true) {
            eprintln!("error: {error}");
        }
    }
}
