//! A disk that is full under the tables for a while: an error that says so, and every total exact once there is room.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::process::{Command, Stdio};

use support::{Running, Workplace, await_records, await_that, mounts_are_allowed, on_every_cluster};

/// Gives the processors a file system of their own, small, that is full while the file `full` stands beside it. Whoever
/// fills it ends by itself: nothing else tells it to.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=48m none state || exit 77
fill() {
  for _ in $(seq 1200); do
    if [ -e full ]; then cat /dev/zero > state/ballast 2>/dev/null; touch filled; else rm -f state/ballast; fi
    sleep 0.1
  done
}
fill > /dev/null 2>&1 &
exec "$@"
"#;

fn run_on_a_small_disk(workplace: &Workplace) -> Running {
    std::fs::create_dir(workplace.path("state")).unwrap();
    let run = workplace.command(&["run", "--state-dir", "state"]);
    let mut small = Command::new("unshare");
    small.args(["--map-root-user", "--mount", "bash", "-c", ON_A_SMALL_DISK, "bash"]);
    small.arg(run.get_program()).args(run.get_args()).current_dir(workplace.folder.path());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => small.env(name, value),
            None => small.env_remove(name),
        };
    }
    let log = std::fs::File::create(workplace.path("run.log")).unwrap();
    Running(small.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

#[test]
fn a_full_disk_is_told_of_and_nothing_is_lost() {
    if !mounts_are_allowed() {
        println!("skipped: no small file system can be mounted here (`unshare --map-root-user --mount`)");
        return;
    }
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        workplace.done(&["topics", "apply"]);
        workplace.done(&["produce", "reference"]);
        let run = run_on_a_small_disk(&workplace);
        let mut producer = workplace.start("producer", &["produce", "orders", "--orders", "8000", "--rate", "1000/s"]);
        await_records(&cluster.connection(), "orders.shipped", 500);
        std::fs::File::create(workplace.path("full")).unwrap();
        await_that("the disk is full", || workplace.path("filled").exists());
        let log = || std::fs::read_to_string(workplace.path("run.log")).unwrap();
        await_that("the log says that there is no room", || {
            log().contains("no space is left for the tables in the state directory state/")
        });
        std::fs::remove_file(workplace.path("full")).unwrap();
        assert!(producer.0.wait().unwrap().success(), "the producer failed");
        let report = workplace.done(&["check", "orders", "--orders", "8000", "--json", "--wait", "90"]).json();
        assert_eq!(report["exactly_once"], true, "{report}");
        assert!(!log().contains("panicked"), "{}", log());
        drop(run);
    });
}
