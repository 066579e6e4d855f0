//! Topics recorded and replayed by the command: killed with -9 on either side, on a full disk, and refused where it must.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{DEADLINE, Workplace, await_records, await_that, mounts_are_allowed, on_every_cluster};
use unchain::contract::open_registry;
use unchain::kafka::{Admin, Connection, NewTopic, OffsetsClient};
use unchain::recording::{Manifest, RecordError, RecordPlan, RecordProgress, RecordingSettings, record};
use unchain_testkit::TestCluster;

const KILLS: i64 = 10;

/// Fills `orders.placed` with so many orders.
fn place_orders(workplace: &Workplace, orders: &str) {
    workplace.done(&["topics", "apply"]);
    workplace.done(&["produce", "orders", "--orders", orders]);
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

fn count(recording: &Path, topic: &str) -> i64 {
    let manifest = manifest(recording);
    let of_topic = manifest["segments"].as_array().unwrap().iter().filter(|segment| segment["topic"] == topic);
    of_topic.map(|segment| segment["records"].as_i64().unwrap()).sum()
}

fn end_of(connection: &Connection, topic: &str) -> i64 {
    let existing = connection.topics(DEADLINE).unwrap();
    let partitions = existing.iter().find(|found| found.name == topic).map_or(0, |found| found.partitions);
    let client = OffsetsClient::new(connection).unwrap();
    (0..partitions).map(|partition| client.watermarks(topic, partition, DEADLINE).map_or(0, |found| found.end)).sum()
}

#[test]
fn a_recorder_that_was_killed_goes_on_and_has_every_record_once() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        place_orders(&workplace, "2000");
        let arguments = ["record", "--topics", "orders.placed", "--out", "r", "--follow", "--roll-seconds", "1"];
        let recorder = workplace.start("record.log", &arguments);
        let recording = workplace.path("r");
        await_that("a file is whole", || {
            recording.join("manifest.json").exists() && count(&recording, "orders.placed") > 0
        });
        recorder.kill();
        let refused = workplace.run(&["replay", "r"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("was not finished") && refused.stderr.contains("--resume"), "{refused:?}");

        workplace.done(&["produce", "orders", "--orders", "500"]);
        let resumed = workplace.done(&["record", "--topics", "orders.placed", "--out", "r", "--resume", "--json"]);
        assert_eq!(resumed.json()["records"], 2_500);
        workplace.done(&["replay", "r", "--to-topic", "again.{topic}", "--speed", "max", "--verify"]);
    });
}

/// Kills a replay again and again while it is under way, lets it end, and returns what the last run says.
fn replay_killed(workplace: &Workplace, connection: &Connection, target: &str, records: i64) -> Value {
    let arguments = ["replay", "r", "--to-topic", target, "--speed", "0.2x", "--timestamps", "shift"];
    for kill in 1..=KILLS {
        let replay = workplace.start("replay.log", &arguments);
        let started = Instant::now();
        // A part of the records, so that the kills are spread over the whole.
        while end_of(connection, target) < records * kill / (KILLS + 2) {
            assert!(started.elapsed() < DEADLINE, "kill {kill}: {}", workplace.log("replay.log"));
        }
        replay.kill();
    }
    let last = [&arguments[..4], &["--speed", "max", "--timestamps", "shift", "--verify", "--json"]].concat();
    workplace.done(&last).json()
}

#[test]
fn a_replay_killed_ten_times_has_no_gap_and_no_duplicate() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        place_orders(&workplace, "0");
        // Two seconds of orders, in five times as long.
        workplace.done(&["produce", "orders", "--orders", "6000", "--rate", "3000/s"]);
        workplace.done(&["record", "--topics", "orders.placed", "--out", "r"]);
        let connection = cluster.connection();
        let report = replay_killed(&workplace, &connection, "again", 6_000);
        assert!(report["resumed_from"].as_i64().unwrap() >= 6_000 * KILLS / (KILLS + 2) - 1_000, "{report}");
        assert_eq!(report["verified_records"], 6_000, "{report}");
        // Nothing is left, and nothing is sent again.
        let again = workplace.done(&["replay", "r", "--to-topic", "again", "--timestamps", "shift", "--json"]).json();
        assert_eq!(again["records"], 0, "{again}");
    });
}

/// Records `orders.placed` with the library, as long as `go_on` says.
fn record_while(
    cluster: &TestCluster,
    folder: &Path,
    change: impl Fn(&mut RecordPlan),
    go_on: impl FnMut(&RecordProgress) -> bool,
) -> Result<Manifest, RecordError> {
    let connection = cluster.connection();
    let registry = open_registry(&connection, DEADLINE).unwrap();
    let mut plan = RecordPlan {
        folder: folder.to_owned(),
        topics: vec!["orders.placed".to_owned()],
        from_ms: None,
        to_ms: None,
        follow: false,
        resume: false,
        settings: RecordingSettings::default(),
        deadline: DEADLINE,
    };
    change(&mut plan);
    record(&connection, &*registry, &plan, ("r-1".to_owned(), 0), go_on)
}

#[test]
fn a_recording_that_is_stopped_too_early_is_not_whole_and_goes_on_only_as_it_began() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        place_orders(&workplace, "30000");
        let folder = workplace.path("r");
        let stopped = record_while(cluster, &folder, |_| {}, |at| at.records == 0);
        assert!(matches!(stopped, Err(RecordError::Stopped)), "{stopped:?}");
        assert_eq!(manifest(&folder)["complete"], false);
        let kept = count(&folder, "orders.placed");
        assert!(kept > 0 && kept < 30_000, "{kept} records were kept");

        let resume = |change: &dyn Fn(&mut RecordPlan)| {
            let both = |plan: &mut RecordPlan| {
                plan.resume = true;
                change(plan);
            };
            record_while(cluster, &folder, both, |_| true)
        };
        let other_times = resume(&|plan| plan.to_ms = Some(1));
        assert!(matches!(other_times, Err(RecordError::OtherTimes)), "{other_times:?}");
        let other_topics = resume(&|plan| plan.topics.push("orders.paid".to_owned()));
        assert!(matches!(other_topics, Err(RecordError::OtherTopics { .. })), "{other_topics:?}");
        assert!(resume(&|_| {}).unwrap().complete);
        assert_eq!(count(&folder, "orders.placed"), 30_000);
    });
}

#[test]
fn partitions_that_are_added_to_a_followed_topic_leave_its_recording_incomplete() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        place_orders(&workplace, "100");
        let mut has_grown = false;
        let followed = record_while(
            cluster,
            &workplace.path("r"),
            |plan| plan.follow = true,
            |at| {
                if at.records == 100 && !has_grown {
                    Admin::new(&cluster.connection(), DEADLINE).unwrap().add_partitions("orders.placed", 9).unwrap();
                    has_grown = true;
                }
                !has_grown
            },
        );
        assert!(matches!(followed, Err(RecordError::PartitionsAdded { found: 9, .. })), "{followed:?}");
        assert_eq!(manifest(&workplace.path("r"))["complete"], false);
        assert_eq!(count(&workplace.path("r"), "orders.placed"), 100);
    });
}

/// Runs the rest of a command line where `disk` is a file system of two megabytes.
const ON_A_SMALL_DISK: &str =
    r#"mount -t tmpfs -o size=2m none disk || exit 77; "$@"; code=$?; cp disk/r/manifest.json .; exit $code"#;

#[test]
fn a_full_disk_ends_a_recording_with_an_error_and_nothing_looks_whole() {
    if !mounts_are_allowed() {
        println!("skipped: no small file system can be mounted here (`unshare --map-root-user --mount`)");
        return;
    }
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    place_orders(&workplace, "60000");
    std::fs::create_dir(workplace.path("disk")).unwrap();
    let record = workplace.command(&["record", "--topics", "orders.placed", "--out", "disk/r", "--codec", "null"]);
    let mut small = Command::new("unshare");
    small.args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]);
    small.arg(record.get_program()).args(record.get_args()).current_dir(workplace.folder.path());
    small.env("UNCHAIN_BOOTSTRAP_SERVERS", cluster.bootstrap_servers());
    let ended = small.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("disk/r/data/orders.placed/") && stderr.contains("No space left"), "{stderr}");
    assert_eq!(manifest(workplace.folder.path())["complete"], false);
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_refused_before_anything_is_written() {
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    place_orders(&workplace, "10");
    let refuse = |arguments: &[&str], code: i32, says: &[&str]| {
        let ended = workplace.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        says.iter().for_each(|text| assert!(ended.stderr.contains(text), "{arguments:?}: {ended:?}"));
    };
    refuse(&["record", "--topics", "no.*", "--out", "r"], 2, &["no.*", "orders.placed"]);
    workplace.done(&["record", "--topics", "orders.placed", "--out", "r"]);
    refuse(&["record", "--topics", "orders.placed", "--out", "r"], 2, &["a recording already", "--resume"]);
    refuse(&["replay", "nowhere"], 2, &["nowhere", "no recording"]);
    refuse(&["replay", "r", "--speed", "fast"], 2, &["--speed"]);
    refuse(&["replay", "r", "--through", "revenue", "--keys", "1"], 2, &["--through", "--keys"]);
    refuse(&["replay", "r", "--topics", "x"], 2, &["x", "orders.placed"]);

    // Another contract's topic takes no orders.
    refuse(&["replay", "r", "--to-topic", "revenue.sales"], 1, &["revenue.sales", "not compatible"]);
    assert_eq!(end_of(&cluster.connection(), "revenue.sales"), 0);

    // A file that is cut off, and one that is damaged.
    let file = workplace.path("r").join(manifest(&workplace.path("r"))["segments"][0]["file"].as_str().unwrap());
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..good.len() - 7]).unwrap();
    refuse(&["replay", "r", "--to-topic", "cut", "--speed", "max"], 1, &["cut off", ".avro"]);
    let mut damaged = good.clone();
    damaged[good.len() - 20] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    refuse(&["replay", "r", "--to-topic", "damaged", "--speed", "max"], 1, &["checksum", ".avro"]);
    std::fs::write(&file, good).unwrap();

    // A schema that is gone.
    let schemas = workplace.path("r").join("schemas");
    for schema in std::fs::read_dir(&schemas).unwrap() {
        std::fs::remove_file(schema.unwrap().path()).unwrap();
    }
    refuse(&["replay", "r", "--to-topic", "schemaless", "--speed", "max"], 1, &["schemas", ".avsc"]);
    assert_eq!(end_of(&cluster.connection(), "schemaless"), 0);
}

#[test]
fn a_replay_into_other_partitions_at_a_speed_keeps_each_keys_order_and_its_time() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        place_orders(&workplace, "0");
        workplace.done(&["produce", "orders", "--orders", "2000", "--rate", "1000/s"]);
        await_records(&cluster.connection(), "orders.placed", 2_000);
        workplace.done(&["record", "--topics", "orders.placed", "--out", "r"]);
        let admin = Admin::new(&cluster.connection(), DEADLINE).unwrap();
        let configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
        admin.create_topics(&[NewTopic { name: "narrow".to_owned(), partitions: 2, configs }]).unwrap();
        let report = workplace.done(&["replay", "r", "--to-topic", "narrow", "--speed", "2x", "--verify", "--json"]);
        let report = report.json();
        assert_eq!(report["verified_records"], 2_000, "{report}");
        // Two seconds of orders at twice the speed: the figure is a result, the machine's load decides on its upper end.
        assert!(report["seconds"].as_f64().unwrap() >= Duration::from_millis(900).as_secs_f64(), "{report}");
    });
}
