//! Benchmarks by the command: every kind loses nothing and leaves nothing, interrupted or killed; results compare.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::process::Command;

use serde_json::Value;
use support::{DEADLINE, Workplace, await_that, on_every_cluster};
use unchain::kafka::Admin;
use unchain_testkit::TestCluster;

const PREFIX: &str = "unchain-bench-";

/// What benchmarks have left on a cluster.
fn left_over(cluster: &TestCluster) -> Vec<String> {
    let topics = cluster.connection().topics(DEADLINE).unwrap().into_iter().map(|topic| topic.name);
    let groups = Admin::new(&cluster.connection(), DEADLINE).unwrap().groups().unwrap();
    topics.chain(groups).filter(|name| name.starts_with(PREFIX)).collect()
}

#[test]
fn every_kind_acknowledges_and_receives_what_it_sends_and_leaves_nothing() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        for kind in [
            &["produce", "--rate", "2000"][..],
            &["produce", "--producers", "2", "--topics", "2", "--record-bytes", "50..150", "--keys", "100:1.1"],
            &["consume", "--records", "20000", "--consumers", "2"],
            &["end-to-end", "--rate", "500"],
            &["process", "--rate", "500"],
            &["process", "--rate", "500", "--guarantee", "at-least-once"],
            &["request", "--in-flight", "10"],
        ] {
            let mut arguments = [&["bench"], kind].concat();
            arguments.extend(["--seconds", "0.5", "--runs", "1", "--partitions", "2", "--json"]);
            let report = workplace.done(&arguments).json();
            let facts = &report["runs"][0]["facts"];
            let count = |name: &str| facts[name].as_u64().unwrap();
            assert!(count("sent") > 0 && count("measured") > 0, "{kind:?}: {facts}");
            assert_eq!((count("acknowledged"), count("unsent")), (count("sent"), 0), "{kind:?}: {facts}");
            assert_eq!(count("received"), count("sent"), "{kind:?}: {facts}");
            let rate = report["metrics"]["records_per_second"]["median"].as_f64().unwrap();
            assert!(rate > 0.0, "{kind:?}: {report}");
            if !kind.contains(&"consume") {
                let latency = |name: &str| report["metrics"][name]["median"].as_f64().unwrap();
                assert!(latency("latency_ms_p50") <= latency("latency_ms_p99"), "{kind:?}");
            }
            assert_eq!(left_over(cluster), Vec::<String>::new(), "after {kind:?}");
        }
    });
}

#[test]
fn an_interrupted_run_removes_what_it_created() {
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    for (kind, signal) in [("end-to-end", "-INT"), ("process", "-TERM")] {
        let mut running = workplace.start("bench.log", &["bench", kind, "--seconds", "600", "--runs", "1"]);
        await_that("a topic of the benchmark", || !left_over(&cluster).is_empty());
        let sent = Command::new("kill").args([signal, &running.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ended = running.0.wait().unwrap();
        assert_eq!(ended.code(), Some(1), "{}", workplace.log("bench.log"));
        assert!(workplace.log("bench.log").contains("interrupted"), "{}", workplace.log("bench.log"));
        assert_eq!(left_over(&cluster), Vec::<String>::new(), "after {signal}");
    }
}

#[test]
fn what_a_killed_run_leaves_is_cleaned_up_by_a_command() {
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    let running = workplace.start("bench.log", &["bench", "produce", "--rate", "100", "--seconds", "600"]);
    await_that("a topic of the benchmark", || !left_over(&cluster).is_empty());
    running.kill();
    let cleaned = workplace.done(&["bench", "clean", "--json"]).json();
    assert_eq!(cleaned["topics"].as_array().unwrap().len(), 1, "{cleaned}");
    assert_eq!(left_over(&cluster), Vec::<String>::new());
}

#[test]
fn a_result_from_a_file_on_a_broker_of_its_own_is_kept_and_compared() {
    let workplace = Workplace::without_cluster();
    let workload = "kind: produce\nrate: 1000\nseconds: 0.4\nruns: 2\nseed: 7\nrecord_bytes: {min: 20, max: 40}\n";
    std::fs::write(workplace.path("w.yaml"), workload).unwrap();
    let ended = workplace.done(&["bench", "--workload", "w.yaml", "--out", "one", "--rate", "2000"]);
    assert!(ended.stdout.contains("records/s") && ended.stdout.contains("CPU s per million, broker"), "{ended:?}");
    assert_eq!(ended.stderr, "", "progress is for terminals only");
    let page = std::fs::read_to_string(workplace.path("one/report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("src="), "the page holds its charts itself");
    let kept: Value = serde_json::from_slice(&std::fs::read(workplace.path("one/result.json")).unwrap()).unwrap();
    assert_eq!((&kept["workload"]["rate"], &kept["workload"]["seed"]), (&Value::from(2_000), &Value::from(7)));
    assert!(std::fs::read_to_string(workplace.path("one/throughput.svg")).unwrap().starts_with("<svg"));

    let compare = ["bench", "compare", "one/result.json", "two.json", "--fail-if-slower"];
    let slower = |spread: &str| {
        let mut other = kept.clone();
        other["metrics"]["records_per_second"] = serde_json::from_str(spread).unwrap();
        std::fs::write(workplace.path("two.json"), other.to_string()).unwrap();
        workplace.run(&compare)
    };
    let same = slower(&kept["metrics"]["records_per_second"].to_string());
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("within the spread"), "{same:?}");
    let worse = slower(r#"{"median": 2.0, "min": 1.0, "max": 3.0}"#);
    assert_eq!(worse.code, Some(3), "{worse:?}");
    assert!(worse.stderr.contains("slower: records/s"), "{worse:?}");
}

#[test]
fn what_cannot_be_run_is_refused_with_what_is_allowed() {
    let workplace = Workplace::without_cluster();
    std::fs::write(workplace.path("w.yaml"), "kind: produce\npartition: 3\n").unwrap();
    for (arguments, expected) in [
        (&["bench", "--workload", "w.yaml"][..], "workload file w.yaml: unknown field `partition`"),
        (&["bench"], "say what to measure"),
        (&["bench", "produce", "--partitions", "0"], "`partitions` is 0; allowed: 1 to 10000"),
        (&["bench", "ramp", "avro"], "`kind` is avro; allowed: produce"),
        (&["bench", "compare", "w.yaml", "w.yaml"], "w.yaml is no result of"),
    ] {
        let refused = workplace.run(arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(expected), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn a_search_tells_a_rate_that_holds_from_none() {
    let cluster = TestCluster::embedded();
    let workplace = Workplace::at(cluster.bootstrap_servers());
    let search = |limit: &str| {
        let bounds = ["--limit-ms", limit, "--rate", "8", "--seconds", "0.5", "--partitions", "1"];
        workplace.run(&[&["bench", "ramp", "produce"], &bounds[..]].concat())
    };
    let none = search("0.000001");
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("no rate held the limit") && none.stdout.contains("missed: too late"), "{none:?}");
    assert_eq!(left_over(&cluster), Vec::<String>::new());
}
