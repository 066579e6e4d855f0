//! Partitions that move: workers and processes that come and go, slow handlers, both group protocols, both guarantees.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Count, Fixture, Item, Item2, Total, on_each_broker};
use tokio::sync::Notify;
use unchain::engine::{EngineSettings, Guarantee};
use unchain::kafka::GroupProtocol;
use unchain::process::{Entry, Processor, State};
use unchain::table::QueryError;

async fn sum(item: Item, mut total: Entry<Total>) -> Count {
    let count = total.get().map_or(0, |total| total.count) + 1;
    let sum = total.get().map_or(0, |total| total.sum) + item.number;
    total.set(Total { key: item.key.clone(), count, sum });
    Count { key: item.key, count }
}

fn items(range: std::ops::Range<i64>) -> impl Iterator<Item = Item> {
    range.map(|number| Item { key: format!("k{}", number % 40), number })
}

/// Each key's counts go 1, 2, 3, ...
fn check_counts(counts: &[Count]) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for count in counts {
        let before = last.insert(&count.key, count.count).unwrap_or(0);
        assert_eq!(count.count, before + 1, "counts of key {}", count.key);
    }
}

fn scale_out_and_in(fixture: &Fixture, settings: &EngineSettings) {
    let start = || fixture.start(&[Processor::new("sum").handle(sum)], settings.clone());
    let first = start();
    let mut produced = 0;
    let mut round = |engines: &[&unchain::engine::Engine]| {
        fixture.produce(items(produced..produced + 2_000));
        produced += 2_000;
        check_counts(&fixture.wait_for::<Count>(usize::try_from(produced).unwrap()));
        assert!(engines.iter().all(|engine| engine.is_alive()));
    };
    round(&[&first]);
    let second = start();
    round(&[&first, &second]);
    let third = start();
    round(&[&first, &second, &third]);
    first.stop().unwrap();
    round(&[&second, &third]);
    second.stop().unwrap();
    round(&[&third]);
    third.stop().unwrap();
}

on_each_broker!(instances_that_come_and_go_change_no_result, |fixture: &Fixture| {
    scale_out_and_in(fixture, &EngineSettings::default());
});

on_each_broker!(several_workers_in_each_of_several_instances_change_no_result, |fixture: &Fixture| {
    scale_out_and_in(fixture, &EngineSettings { workers: 2, ..EngineSettings::default() });
});

#[test]
fn the_brokers_protocol_changes_no_result() {
    let Some(cluster) = unchain_testkit::TestCluster::kafka() else { return };
    let settings = EngineSettings { group_protocol: GroupProtocol::Consumer, ..EngineSettings::default() };
    scale_out_and_in(&Fixture::on(cluster), &settings);
}

on_each_broker!(tables_on_disk_move_with_their_partitions, |fixture: &Fixture| {
    let dir = tempfile::tempdir().unwrap();
    let settings = |name: &str| EngineSettings { state_dir: Some(dir.path().join(name)), ..EngineSettings::default() };
    let start = |name: &str| fixture.start(&[Processor::new("sum").handle(sum)], settings(name));
    let first = start("first");
    fixture.produce(items(0..2_000));
    check_counts(&fixture.wait_for::<Count>(2_000));
    let second = start("second");
    fixture.produce(items(2_000..4_000));
    check_counts(&fixture.wait_for::<Count>(4_000));
    first.stop().unwrap();
    fixture.produce(items(4_000..6_000));
    check_counts(&fixture.wait_for::<Count>(6_000));
    second.stop().unwrap();
    // A restart reads only what its store does not have.
    let second = start("second");
    fixture.produce(items(6_000..8_000));
    check_counts(&fixture.wait_for::<Count>(8_000));
    let restored = second.stats()[0].restored_records();
    second.stop().unwrap();
    assert!(restored < 300, "{restored} records were restored of 6,000");
});

on_each_broker!(a_standby_copy_leaves_little_to_restore, |fixture: &Fixture| {
    let dir = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let state_dir = Some(dir.path().join(name));
        let settings = EngineSettings { state_dir, standby: true, ..EngineSettings::default() };
        fixture.start(&[Processor::new("sum").handle(sum)], settings)
    };
    let (first, second) = (start("first"), start("second"));
    let has_half = |engine: &unchain::engine::Engine| engine.stats()[0].assigned_partitions() == 3;
    fixture.wait_until(|| has_half(&first) && has_half(&second));
    fixture.produce(items(0..4_000));
    check_counts(&fixture.wait_for::<Count>(4_000));
    let stats = |engine: &unchain::engine::Engine| Arc::clone(&engine.stats()[0]);
    // Each input is a row's change in the table's partition of the same number.
    fixture.wait_until(|| stats(&first).consumed_records() + stats(&second).consumed_records() == 4_000);
    fixture.wait_until(|| stats(&second).standby_records() == stats(&first).consumed_records());
    fixture.wait_until(|| stats(&first).standby_records() == stats(&second).consumed_records());
    // A copy is not asked: its owner has rows that it has not.
    let rows = second.table::<Total>().unwrap();
    let owned = rows.range("", None, 100).unwrap();
    assert!(!owned.is_empty() && owned.len() < 40, "{} rows", owned.len());
    for key in (0..40).map(|key| format!("k{key}")) {
        match rows.get(&key) {
            Ok(row) => assert!(row.is_some() && owned.iter().any(|(of, _)| *of == key), "{key}"),
            Err(QueryError::NotOwned { .. }) => assert!(owned.iter().all(|(of, _)| *of != key), "{key}"),
            Err(error) => panic!("{key}: {error}"),
        }
    }
    first.stop().unwrap();
    fixture.produce(items(4_000..6_000));
    check_counts(&fixture.wait_for::<Count>(6_000));
    let restored = stats(&second).restored_records();
    second.stop().unwrap();
    assert!(restored < 100, "{restored} records were restored beside a standby copy");
});

#[test]
fn standby_copies_need_a_folder() {
    let fixture = Fixture::embedded();
    let settings = EngineSettings { standby: true, ..EngineSettings::default() };
    let refused = fixture.try_start(&[Processor::new("sum").handle(sum)], &settings).err().unwrap();
    assert!(refused.to_string().contains("cannot keep standby copies in memory"), "{refused}");
}

on_each_broker!(a_table_is_queried_where_its_partition_is, |fixture: &Fixture| {
    let start = || fixture.start(&[Processor::new("sum").handle(sum)], EngineSettings::default());
    let first = start();
    fixture.produce(items(0..400));
    check_counts(&fixture.wait_for::<Count>(400));
    let rows = first.table::<Total>().unwrap();
    // The commit that readers saw is known to the worker a moment later.
    fixture.wait_until(|| rows.get("k7").unwrap().is_some_and(|row| row.count == 10));
    assert!(rows.get("k99").unwrap().is_none());
    assert_eq!(rows.range("k1", Some("k2"), 100).unwrap().len(), 11);
    assert!(first.table::<Count>().is_none());
    let second = start();
    fixture.wait_until(|| second.stats()[0].assigned_partitions() == 3 && first.stats()[0].assigned_partitions() == 3);
    let others = second.table::<Total>().unwrap();
    for key in (0..40).map(|key| format!("k{key}")) {
        let here = || rows.get(&key).is_ok_and(|row| row.is_some());
        let there = || others.get(&key).is_ok_and(|row| row.is_some());
        fixture.wait_until(|| here() != there());
    }
    first.stop().unwrap();
    second.stop().unwrap();
});

on_each_broker!(at_least_once_loses_nothing_and_keeps_order, |fixture: &Fixture| {
    let settings = EngineSettings { guarantee: Guarantee::AtLeastOnce, ..EngineSettings::default() };
    let start = || fixture.start(&[Processor::new("sum").handle(sum)], settings.clone());
    let engine = start();
    fixture.produce(items(0..2_000));
    check_counts(&fixture.wait_for::<Count>(2_000));
    engine.stop().unwrap();
    let engine = start();
    fixture.produce(items(2_000..4_000));
    check_counts(&fixture.wait_for::<Count>(4_000));
    engine.stop().unwrap();
});

/// Lets a record through once it is told to, and counts those that wait.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<Notify>,
    waiting: Arc<AtomicUsize>,
}

async fn gated(item: Item, State(gate): State<Gate>) -> Item2 {
    if item.number == 0 {
        gate.waiting.fetch_add(1, Ordering::SeqCst);
        gate.open.notified().await;
    }
    Item2 { key: item.key, number: item.number }
}

on_each_broker!(a_slow_record_holds_up_its_own_partition_only, |fixture: &Fixture| {
    let gate = Gate::default();
    let processor = Processor::new("gated").handle(gated).state(gate.clone());
    let engine = fixture.start(&[processor], EngineSettings::default());
    // The record that waits, behind it others of its partition, beside it other partitions.
    fixture.produce_to(0, &Item { key: "slow".to_owned(), number: 0 });
    (0..10).for_each(|key| fixture.produce_to(0, &Item { key: format!("behind{key}"), number: 2 }));
    let expected = 50;
    (0..expected).for_each(|key| fixture.produce_to(1 + key % 5, &Item { key: format!("k{key}"), number: 1 }));
    let expected = usize::try_from(expected).unwrap();
    let outputs: Vec<Item2> = fixture.wait_for(expected);
    assert!(outputs.iter().all(|item| item.number == 1));
    gate.open.notify_one();
    let _: Vec<Item2> = fixture.wait_for(expected + 11);
    engine.stop().unwrap();
    assert_eq!(gate.waiting.load(Ordering::SeqCst), 1, "the slow record was handled once");
});

on_each_broker!(a_handler_that_never_ends_does_not_hold_a_stop_up, |fixture: &Fixture| {
    let gate = Gate::default();
    let processor = || Processor::new("gated").handle(gated).state(gate.clone());
    let settings = EngineSettings { drain_timeout: Duration::from_millis(200), ..EngineSettings::default() };
    let engine = fixture.start(&[processor()], settings.clone());
    fixture.produce([Item { key: "slow".to_owned(), number: 0 }].into_iter());
    fixture.produce((1..50).map(|number| Item { key: format!("k{number}"), number }));
    fixture.wait_until(|| gate.waiting.load(Ordering::SeqCst) == 1);
    engine.stop().unwrap();
    // What was not complete is read again by whoever comes next, and nothing twice.
    gate.open.notify_one();
    let engine = fixture.start(&[processor()], settings);
    let mut numbers: Vec<_> = fixture.wait_for::<Item2>(50).iter().map(|item| item.number).collect();
    engine.stop().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
});
