//! The experiment: one scenario from end to end, and what an interrupted one leaves behind.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use support::{DEADLINE, Workplace};
use unchain_testkit::TestCluster;

/// Enough to see every part at work within seconds.
const QUICK: &str = "scenarios: {warm_up_s: 5, before_s: 10, outage: {span_s: 30, after_s: 20}}\n";

fn side<'a>(report: &'a Value, name: &str) -> &'a Value {
    let runs = report["runs"].as_array().unwrap();
    runs.iter().find(|run| run["side"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn an_outage_costs_the_chain_orders_and_the_pipeline_none() {
    let workplace = Workplace::without_cluster();
    std::fs::write(workplace.path("quick.yaml"), QUICK).unwrap();
    let arguments = ["experiment", "sync-vs-async", "--scenario", "outage", "--scale", "small", "--json"];
    let report = workplace.done(&[&arguments[..], &["--settings", "quick.yaml", "--out", "report"]].concat()).json();
    let pipeline = side(&report, "pipeline");
    for nothing in ["lost", "doubled", "unknown", "half_done"] {
        assert_eq!(pipeline[nothing], 0, "{nothing} in {pipeline}");
    }
    assert_eq!(pipeline["accepted"], pipeline["offered"]);
    assert_eq!(pipeline["completed"], pipeline["offered"]);
    for chain in ["sync", "sync-breaker"] {
        let chain = side(&report, chain);
        assert!(chain["refused"].as_u64().unwrap() > 0, "{chain}");
        assert_eq!((&chain["lost"], &chain["offered"]), (&Value::from(0), &pipeline["offered"]), "{chain}");
    }
    let page = std::fs::read_to_string(workplace.path("report/report.md")).unwrap();
    for file in ["report.html", "outage-completed.svg", "outage-latency.svg"] {
        assert!(workplace.path("report").join(file).is_file(), "no {file}");
    }
    assert!(page.contains("## What the pipeline wins") && page.contains("](outage-completed.svg)"), "{page}");
}

/// The ids of this user's processes that were started with a path in their arguments.
fn processes_of(folder: &Path) -> Vec<String> {
    let marker = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let own = processes.filter(|process| {
        let command_line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command_line).contains(marker)
    });
    own.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_interrupted_experiment_leaves_no_process_and_no_topic() {
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    let arguments = ["experiment", "sync-vs-async", "--scenario", "steady", "--sides", "pipeline"];
    let mut experiment = workplace.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let topics = || {
        let topics = cluster.connection().topics(DEADLINE).unwrap();
        topics.into_iter().map(|topic| topic.name).filter(|name| !name.starts_with("__")).collect::<Vec<_>>()
    };
    // Its services' files lie in the folder that is given for temporary ones.
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < DEADLINE, "not {what} in time");
        }
    };
    until("at work", &|| topics().len() == 6 && processes_of(workplace.folder.path()).len() == 6);
    let interrupted = Command::new("sh").args(["-c", "kill -INT \"$1\"", "sh", &experiment.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    assert_eq!(experiment.wait().unwrap().code(), Some(1));
    assert_eq!(processes_of(workplace.folder.path()), Vec::<String>::new());
    assert_eq!(topics(), Vec::<String>::new());
    assert!(std::fs::read_dir(workplace.folder.path()).unwrap().next().is_none(), "files are left");
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_fields_name() {
    let workplace = Workplace::without_cluster();
    std::fs::write(workplace.path("bad.yaml"), "services: {payment: {concurency: 3}}").unwrap();
    let refused = workplace.run(&["experiment", "sync-vs-async", "--settings", "bad.yaml"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("bad.yaml: services.payment: unknown field `concurency`"), "{refused:?}");
    let defaults = workplace.done(&["experiment", "sync-vs-async", "--print-settings"]).stdout;
    std::fs::write(workplace.path("defaults.yaml"), defaults).unwrap();
    let refused = workplace.run(&["experiment", "sync-vs-async", "--settings", "defaults.yaml", "--scale", "0"]);
    assert!(refused.stderr.contains("from 0.01 to 100, or small"), "{refused:?}");
}
