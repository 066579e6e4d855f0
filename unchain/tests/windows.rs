//! Windows and joins on a real broker: late records set aside and counted, tables shared by two inputs.

mod support;

use std::sync::Arc;

use support::{Count, Fixture, Item, Item2, Total, on_each_broker};
use unchain::contract::system::FailureClass;
use unchain::engine::{EngineError, EngineSettings};
use unchain::process::window::{hours, minutes};
use unchain::process::{DeclareError, Entry, Processor, Row, Tumbling, Windows};

const KEYS: i64 = 10;

async fn count(item: Item, mut windows: Windows<Total>) -> Vec<Count> {
    windows.update(|_, before| {
        let (count, sum) = before.map_or((0, 0), |total| (total.count, total.sum));
        Total { key: item.key.clone(), count: count + 1, sum: sum + item.number }
    });
    windows.iter().filter_map(|window| Some(Count { key: item.key.clone(), count: window.get()?.count })).collect()
}

on_each_broker!(windows_add_up_and_late_records_are_set_aside_and_counted, |fixture: &Fixture| {
    // The numbers are event times in milliseconds; of each key the last is late.
    let times = [0, 30_000, 60_000, 200_000, 59_000];
    let items = times.into_iter().flat_map(|number| (0..KEYS).map(move |key| Item { key: format!("k{key}"), number }));
    fixture.produce(items);
    let processor = || {
        Processor::new("count")
            .handle(count)
            .window::<Total>(Tumbling::of(minutes(1)).retention(hours(1)))
            .event_time::<Item>(|item| item.number)
    };
    let engine = fixture.start(&[processor()], EngineSettings::default());
    let counts: Vec<Count> = fixture.wait_for(40);
    let rows: Vec<Total> = fixture.wait_for(40);
    let letters = fixture.wait_for_letters(10);
    let stats = Arc::clone(&engine.stats()[0]);
    engine.stop().unwrap();
    for key in 0..KEYS {
        let key = format!("k{key}");
        let of_key: Vec<_> = counts.iter().filter(|count| count.key == key).map(|count| count.count).collect();
        assert_eq!(of_key, [1, 2, 1, 1]);
        let of_key: Vec<_> = rows.iter().filter(|row| row.key == key).map(|row| (row.count, row.sum)).collect();
        assert_eq!(of_key, [(1, 0), (2, 30_000), (1, 60_000), (1, 200_000)]);
    }
    assert!(letters.iter().all(|letter| letter.class == FailureClass::Late && letter.attempts == 0));
    assert_eq!((stats.late_records(), stats.dead_letters()), (10, 10));

    // A restart restores stream time by event time as well, not by when rows were written.
    let engine = fixture.start(&[processor()], EngineSettings::default());
    fixture.produce((0..KEYS).map(|key| Item { key: format!("k{key}"), number: 230_000 }));
    let counts: Vec<Count> = fixture.wait_for(50);
    assert_eq!(counts.iter().filter(|count| count.count == 2).count(), 20);
    assert_eq!(engine.stats()[0].late_records(), 0);
    engine.stop().unwrap();
});

async fn keep(item: Item, mut entry: Entry<Total>) {
    entry.set(Total { key: item.key, count: 1, sum: item.number });
}

async fn read(item: Item2, row: Row<Total>) -> Count {
    Count { key: item.key, count: row.get().map_or(-1, |total| total.sum) }
}

async fn keep_as_well(item: Item2, mut entry: Entry<Total>) {
    entry.set(Total { key: item.key, count: 1, sum: item.number });
}

#[test]
fn processors_that_both_keep_a_table_do_not_start_together() {
    let fixture = Fixture::embedded();
    let processors = [Processor::new("one").handle(keep), Processor::new("other").handle(keep_as_well)];
    let refused = fixture.try_start(&processors, &EngineSettings::default());
    assert!(matches!(refused.err(), Some(EngineError::Declare(DeclareError::TwoOwners { .. }))));
}

on_each_broker!(two_inputs_share_a_table, |fixture: &Fixture| {
    let processor = Processor::new("join").handle(keep).handle(read);
    fixture.produce((0..KEYS).map(|key| Item { key: format!("k{key}"), number: key * 100 }));
    let engine = fixture.start(&[processor], EngineSettings::default());
    let _: Vec<Total> = fixture.wait_for(10);
    fixture.produce((0..KEYS + 1).map(|key| Item2 { key: format!("k{key}"), number: key }));
    let mut counts: Vec<Count> = fixture.wait_for(11);
    engine.stop().unwrap();
    counts.sort_by_key(|count| count.count);
    let expected = (-1..KEYS).map(|key| if key < 0 { -1 } else { key * 100 });
    assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(counts[0].key, "k10", "the key that the table does not have");
});
