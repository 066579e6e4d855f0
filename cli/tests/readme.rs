//! README.md's commands of `unchain` are run as they stand there, smaller where they would take minutes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use support::Workplace;
use unchain_testkit::TestCluster;

/// What is run in place of a command that needs another broker, or minutes.
const INSTEAD: &[(&str, &str)] = &[
    // The test has a broker.
    ("unchain broker --listen 127.0.0.1:9092 &", "unchain broker --help"),
    (
        "unchain bench end-to-end --rate 5000 --seconds 20 --out results",
        "unchain bench end-to-end --rate 500 --seconds 0.5 --runs 2 --out results && cp -r results before && cp -r results after",
    ),
    (
        "unchain bench produce --rate max --bootstrap-servers broker:9092",
        "unchain bench produce --rate max --seconds 0.5",
    ),
    (
        "unchain bench ramp end-to-end --limit-ms 50 --percentile 99",
        "unchain bench ramp end-to-end --limit-ms 5000 --percentile 99 --rate 4 --seconds 0.3 || test $? = 1",
    ),
    // `cli/tests/experiment.rs` runs it.
    ("unchain experiment sync-vs-async --scenario outage --scale small", "unchain experiment sync-vs-async --help"),
    (
        "unchain experiment sync-vs-async --settings mine.yaml --out report",
        "unchain experiment sync-vs-async --settings mine.yaml --out report --scenario steady --sides sync --scale 0.02",
    ),
];

/// The commands in the blocks marked `sh`.
fn commands(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::trim).filter(|line| line.starts_with("unchain ")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shown = commands(&readme);
    for (command, _) in INSTEAD {
        assert!(shown.contains(command), "README.md no longer has `{command}`: take it out of INSTEAD");
    }
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    workplace.done(&["topics", "apply"]);
    workplace.done(&["produce", "reference", "--orders", "300"]);
    workplace.done(&["produce", "orders", "--orders", "300"]);
    fs::copy(root().join("examples/06-import/rides.csv"), workplace.path("rides.csv")).unwrap();
    let programs = workplace.path("programs");
    fs::create_dir(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_unchain"), programs.join("unchain")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    for command in shown {
        let run = INSTEAD.iter().find(|(shown, _)| *shown == command).map_or(command, |(_, instead)| *instead);
        let mut shell = Command::new("sh");
        shell.args(["-c", run]).current_dir(workplace.folder.path()).stdin(Stdio::null()).env("PATH", &path);
        shell.env("UNCHAIN_BOOTSTRAP_SERVERS", cluster.bootstrap_servers()).env("TMPDIR", workplace.folder.path());
        let ended = shell.output().unwrap();
        assert!(ended.status.success(), "`{run}`: {}", String::from_utf8_lossy(&ended.stderr));
    }
}
