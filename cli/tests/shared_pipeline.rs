//! Two processes that share the pipeline, one of them killed on the way: a separate checker finds every total exact.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use support::{Workplace, await_records, mails, on_every_cluster};

#[test]
fn a_killed_process_is_taken_over_and_every_order_is_handled_exactly_once() {
    on_every_cluster(|cluster| {
        let workplace = Workplace::at(cluster.bootstrap_servers());
        workplace.done(&["topics", "apply"]);
        workplace.done(&["produce", "reference", "--orders", "5000"]);
        let run = |instance: &'static str| workplace.start(instance, &["run", "--instance", instance]);
        let (first, mut second) = (run("first"), run("second"));
        let mut producer = workplace.start("producer", &["produce", "orders", "--orders", "5000", "--rate", "2500/s"]);
        for shipped in [200, 1_500] {
            await_records(&cluster.connection(), "orders.shipped", shipped);
            second.kill();
            second = run("second");
        }
        assert!(producer.0.wait().unwrap().success());
        let checked = workplace.run(&["check", "orders", "--orders", "5000", "--json", "--wait", "90"]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
        let report = checked.json();
        assert_eq!((report["orders"].as_u64(), report["emails"].as_u64()), (Some(5_000), Some(5_000)));
        assert_eq!(report["exactly_once"], true);
        drop((first, second));
        assert_eq!(mails(&workplace.path("orders.mbox")), 5_000);
    });
}
