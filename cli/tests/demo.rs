//! The demo: exact, the same at every run and on every broker, and gone without a trace.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use serde_json::Value;
use support::{Workplace, await_records, mails, on_every_cluster, without_times};

const FIELDS: [&str; 12] = [
    "orders",
    "customers",
    "units",
    "ordered_cents",
    "shipped",
    "rejected",
    "emails",
    "revenue_by_month",
    "top_customers",
    "exactly_once",
    "seconds",
    "records_per_second",
];

fn demo(workplace: &Workplace, arguments: &[&str]) -> Value {
    let all: Vec<_> = ["demo", "--json", "--orders", "2000"].iter().chain(arguments).copied().collect();
    workplace.done(&all).json()
}

#[test]
fn every_run_on_every_broker_comes_to_the_same_exact_totals() {
    let report = demo(&Workplace::without_cluster(), &[]);
    let mut fields: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = FIELDS.to_vec();
    fields.sort_unstable();
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!(report["exactly_once"], true);
    assert_eq!(report["orders"], 2_000);
    assert_eq!(report["emails"], 2_000);
    let rejected: u64 = report["rejected"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(report["shipped"].as_u64().unwrap() + rejected, 2_000);
    assert!(rejected > 0, "some orders are to be rejected");
    assert_eq!(report["top_customers"].as_array().unwrap().len(), 10);
    let report = without_times(report);
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        assert_eq!(without_times(demo(&workplace, &[])), report);
        // What the demo created is gone: it runs again.
        assert!(
            cluster.connection().topics(support::DEADLINE).unwrap().iter().all(|topic| topic.name.starts_with("__"))
        );
        assert_eq!(without_times(demo(&workplace, &["--keep"])), report);
        // What was kept is checked by a process of its own, and stands in the way of another demo.
        let checked = workplace.done(&["check", "orders", "--orders", "2000", "--json"]).json();
        assert_eq!(without_times(checked), report);
        let refused = workplace.run(&["demo", "--orders", "10"]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("holds records of an earlier run"), "{refused:?}");
    });
}

#[test]
fn the_table_ends_with_the_verdict_and_the_mails_are_where_it_says() {
    let workplace = Workplace::without_cluster();
    let ended = workplace.done(&["demo", "--orders", "300", "--data-dir", "kept"]);
    for line in ["verdict: every order exactly once", "e-mails: mbox:kept/orders.mbox", "orders in", "1997-01"] {
        assert!(ended.stdout.contains(line), "no {line:?} in {}", ended.stdout);
    }
    assert_eq!(ended.stderr, "", "progress is for terminals only");
    assert_eq!(mails(&workplace.path("kept/orders.mbox")), 300);
    let again = workplace.run(&["demo", "--orders", "300", "--data-dir", "kept"]);
    assert!(again.stderr.contains("holds records of an earlier run"), "{again:?}");
}

#[test]
fn a_verdict_that_fails_has_its_own_exit_code() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        workplace.done(&["topics", "apply"]);
        workplace.done(&["produce", "orders", "--orders", "3"]);
        let ended = workplace.run(&["check", "orders", "--orders", "3", "--json"]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert_eq!(ended.json()["exactly_once"], false);
        assert!(ended.stderr.contains("stands in orders.shipped and orders.rejected: 0, expected 1"), "{ended:?}");
    });
}

#[test]
fn a_broker_that_is_killed_and_started_again_in_the_middle_changes_nothing() {
    let workplace = Workplace::without_cluster();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let arguments = ["broker", "--listen", &address, "--data-dir", "broker"];
    let broker = workplace.start("broker.log", &arguments);
    let connection = unchain::kafka::Connection::new(&address);
    let demo = workplace.command(&["demo", "--json", "--orders", "20000", "--bootstrap-servers", &address]);
    let demo = { demo }.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    await_records(&connection, "orders.shipped", 1);
    broker.kill();
    let _broker = workplace.start("broker.log", &arguments);
    let output = demo.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["orders"], &report["exactly_once"]), (&Value::from(20_000), &Value::from(true)));
}
