//! Runs the command as its users do, against the development broker and, where there is one, Apache Kafka.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use unchain::kafka::{Connection, OffsetsClient};
use unchain_testkit::TestCluster;

pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a command that has ended left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in the output of {self:?}"))
    }
}

/// A folder of its own for each test, with the command's way to run in it.
pub struct Workplace {
    pub folder: tempfile::TempDir,
    servers: Option<String>,
}

impl Workplace {
    pub fn without_cluster() -> Workplace {
        Workplace { folder: tempfile::tempdir().unwrap(), servers: None }
    }

    pub fn at(servers: &str) -> Workplace {
        Workplace { servers: Some(servers.to_owned()), ..Workplace::without_cluster() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unchain"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for inherited in
            ["UNCHAIN_BOOTSTRAP_SERVERS", "UNCHAIN_CONFIG", "UNCHAIN_EMAIL", "UNCHAIN_INSTANCE", "UNCHAIN_WORKERS"]
        {
            command.env_remove(inherited);
        }
        // Files that a demo keeps for its user go with the test.
        command.env("TMPDIR", self.folder.path());
        if let Some(servers) = &self.servers {
            command.env("UNCHAIN_BOOTSTRAP_SERVERS", servers);
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that must succeed.
    pub fn done(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "unchain {arguments:?}: {ended:?}");
        ended
    }

    /// What a command that was started has said.
    pub fn log(&self, log: &str) -> String {
        std::fs::read_to_string(self.path(log)).unwrap_or_default()
    }

    /// Starts a command whose messages go to a file of this name.
    pub fn start(&self, log: &str, arguments: &[&str]) -> Running {
        let log = std::fs::File::options().create(true).append(true).open(self.path(log)).unwrap();
        Running(self.command(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

/// A process that ends with the test, however that ends.
pub struct Running(pub Child);

impl Running {
    /// As `kill -9`: the process cannot see it coming.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a test on the development broker, and on the Kafka of the environment where there is one.
pub fn on_every_cluster(test: impl Fn(&TestCluster)) {
    test(&TestCluster::embedded());
    if let Some(kafka) = TestCluster::kafka() {
        test(&kafka);
    }
}

/// Waits until a topic has so many records, open transactions and markers included.
pub fn await_records(connection: &Connection, topic: &str, records: i64) {
    let started = Instant::now();
    let client = OffsetsClient::new(connection).unwrap();
    let partitions = || {
        let topics = connection.topics(DEADLINE).unwrap();
        topics.iter().find(|found| found.name == topic).map_or(0, |found| found.partitions)
    };
    loop {
        // A broker that restarts does not answer for a moment.
        let ends = (0..partitions())
            .map(|partition| client.watermarks(topic, partition, DEADLINE).map_or(0, |found| found.end));
        let found: i64 = ends.sum();
        if found >= records {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{topic} has {found} of {records} records");
    }
}

/// A report without what differs from run to run.
pub fn without_times(mut report: Value) -> Value {
    for field in ["seconds", "records_per_second"] {
        assert!(report.as_object_mut().unwrap().remove(field).is_some(), "the report has no {field}");
    }
    report
}

/// Mails in an mbox file, counted by what only a mail's beginning has.
pub fn mails(mbox: &Path) -> usize {
    std::fs::read_to_string(mbox).unwrap().lines().filter(|line| line.starts_with("Message-ID:")).count()
}

/// Waits until a condition holds that another process brings about.
pub fn await_that(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what} within {DEADLINE:?}");
        #[allow(clippy::disallowed_methods, reason = "another process writes what is looked for")]
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a test may have a file system of its own.
pub fn mounts_are_allowed() -> bool {
    let mount = "mount -t tmpfs none /mnt";
    let tried = Command::new("unshare").args(["--map-root-user", "--mount", "sh", "-c", mount]).output();
    tried.is_ok_and(|output| output.status.success())
}
