//! Windows through whole processors: what is counted where, what is late, what is refused, and what goes away.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use unchain::contract::system::FailureClass as LetterClass;
use unchain::process::window::{Bounds, minutes, seconds};
use unchain::process::{DeclareError, Entry, EventTime, Failure, Hopping, Late, Processor, Session, Tumbling, Windows};
use unchain_testkit::Driver;
use unchain_testkit::contracts::{Item, Item2, Total};

fn item(key: &str, number: i64) -> Item {
    Item { key: key.into(), number }
}

fn add(item: &Item, before: Option<&Total>) -> Total {
    let (count, sum) = before.map_or((0, 0), |total| (total.count, total.sum));
    Total { key: item.key.clone(), count: count + 1, sum: sum + item.number }
}

async fn count(item: Item, mut windows: Windows<Total>) {
    windows.update(|_, before| add(&item, before));
}

fn merge(earlier: Total, later: Total) -> Total {
    Total { key: earlier.key, count: earlier.count + later.count, sum: earlier.sum + later.sum }
}

/// The rows as `key, start, end, count`, in seconds.
fn rows(test: &Driver) -> Vec<(String, i64, i64, i64)> {
    let rows = test.windows::<Total>().into_iter();
    rows.map(|(key, bounds, row)| (key, bounds.start_ms / 1_000, bounds.end_ms / 1_000, row.count)).collect()
}

fn row(key: &str, start: i64, end: i64, count: i64) -> (String, i64, i64, i64) {
    (key.to_owned(), start, end, count)
}

fn send(test: &mut Driver, records: &[(&str, i64)]) {
    for (key, second) in records {
        test.at(second * 1_000).send(&item(key, 1));
    }
}

#[test]
fn tumbling_windows_count_each_record_once_and_late_ones_are_set_aside() {
    let kind = Tumbling::of(minutes(1)).grace(seconds(10)).retention(minutes(60));
    let mut test = Driver::new(Processor::new("count").handle(count).window::<Total>(kind));
    // At 69 the first window still waits for late records, at 70 it has closed.
    send(&mut test, &[("a", 0), ("a", 59), ("b", 30), ("a", 60), ("b", 69), ("a", 58), ("a", 70)]);
    assert_eq!(test.failures(), []);
    send(&mut test, &[("a", 57)]);
    assert_eq!(rows(&test), [row("a", 0, 60, 3), row("a", 60, 120, 2), row("b", 0, 60, 1), row("b", 60, 120, 1)]);
    let letters = test.dead_letters();
    assert_eq!((letters.len(), letters[0].class, letters[0].attempts), (1, LetterClass::Late, 0));
    assert!(letters[0].reason.contains("1970-01-01T00:00:57.000Z"), "{}", letters[0].reason);
    assert_eq!(letters[0].timestamp_ms, 57_000);
    let bounds = Bounds { start_ms: 60_000, end_ms: 120_000 };
    assert_eq!(test.window::<Total>("a", bounds).unwrap().count, 2);
}

#[test]
fn hopping_windows_count_a_record_in_each_that_is_open() {
    let kind = Hopping::of(seconds(30), seconds(10)).retention(minutes(60));
    let mut test = Driver::new(Processor::new("count").handle(count).window::<Total>(kind));
    send(&mut test, &[("a", 25)]);
    assert_eq!(rows(&test), [row("a", 0, 30, 1), row("a", 10, 40, 1), row("a", 20, 50, 1)]);
    // Of the three windows around 25 only the last is open at 45.
    send(&mut test, &[("b", 45), ("a", 26)]);
    assert_eq!(rows(&test)[..3], [row("a", 0, 30, 1), row("a", 10, 40, 1), row("a", 20, 50, 2)]);
    send(&mut test, &[("b", 50), ("a", 27)]);
    assert_eq!(test.dead_letters().len(), 1);
}

#[test]
fn sessions_grow_merge_and_close() {
    let kind = Session::of(seconds(10), merge).grace(seconds(100)).retention(minutes(60));
    let mut test = Driver::new(Processor::new("count").handle(count).window::<Total>(kind));
    send(&mut test, &[("a", 0), ("a", 20), ("b", 5)]);
    assert_eq!(rows(&test), [row("a", 0, 0, 1), row("a", 20, 20, 1), row("b", 5, 5, 1)]);
    // A record between two sessions makes them one; its own rows are replaced.
    send(&mut test, &[("a", 10)]);
    assert_eq!(rows(&test), [row("a", 0, 20, 3), row("b", 5, 5, 1)]);
    // A record within leaves the bounds as they are, one before moves the start.
    send(&mut test, &[("a", 15), ("b", 1)]);
    assert_eq!(rows(&test), [row("a", 0, 20, 4), row("b", 1, 5, 2)]);
    // Past its end, the gap and the grace, nothing joins a session any more.
    send(&mut test, &[("c", 131), ("a", 20), ("a", 21)]);
    assert_eq!(test.dead_letters().iter().map(|letter| letter.timestamp_ms).collect::<Vec<_>>(), [20_000]);
    assert_eq!(rows(&test)[..2], [row("a", 0, 20, 4), row("a", 21, 21, 1)]);
}

#[test]
fn rows_go_once_they_are_neither_open_nor_to_be_kept() {
    let kind = Tumbling::of(seconds(10)).grace(seconds(5));
    let mut test = Driver::new(Processor::new("count").handle(count).window::<Total>(kind));
    for second in 0..1_000 {
        send(&mut test, &[(["a", "b", "c", "d"][second as usize % 4], second)]);
        assert!(rows(&test).len() <= 4 * 5, "rows of closed windows stay: {:?}", rows(&test));
    }
    send(&mut test, &[("z", 5_000), ("z", 5_000), ("z", 5_010)]);
    send(&mut test, &[("z", 5_010)]);
    assert_eq!(rows(&test), [row("z", 5_000, 5_010, 2), row("z", 5_010, 5_020, 2)]);
}

#[test]
fn records_without_a_usable_time_are_refused_and_move_nothing() {
    let kind = Tumbling::of(minutes(1));
    let mut test = Driver::new(Processor::new("count").handle(count).window::<Total>(kind));
    test.at("1997-01-01T00:00:00Z").send(&item("a", 1));
    test.stamped(-1).send(&item("a", 1)).stamped(i64::MIN).send(&item("a", 1));
    test.stamped("2100-01-01T00:00:00Z").send(&item("a", 1)).stamped(i64::MAX).send(&item("a", 1));
    let letters = test.dead_letters();
    let reasons: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert!(reasons[0].contains("no event time") && reasons[1].contains("no event time"), "{reasons:?}");
    assert!(reasons[2].contains("2100-01-01T00:00:00.000Z lies too far ahead"), "{reasons:?}");
    assert!(letters.len() == 4 && letters.iter().all(|letter| letter.class == LetterClass::Rejected));
    // Nothing was closed by them.
    test.at("1997-01-01T00:00:01Z").send(&item("a", 1));
    assert_eq!(test.windows::<Total>()[0].2.count, 2);
    // A clock that is ahead a little is believed, up to what the processor says.
    test.stamped("1997-01-01T01:00:00Z").send(&item("a", 1));
    assert_eq!(test.windows::<Total>().len(), 2);
    assert_eq!(test.failures().len(), 4);
}

#[test]
fn how_far_ahead_a_time_may_be_is_the_processors_to_say() {
    let kind = Tumbling::of(minutes(1));
    let processor = Processor::new("count").handle(count).window::<Total>(kind).max_ahead(Duration::from_millis(1));
    let mut test = Driver::new(processor);
    test.at(1_000).send(&item("a", 1)).stamped(1_002).send(&item("a", 1)).stamped(1_001).send(&item("a", 1));
    assert_eq!((test.failures().len(), test.windows::<Total>()[0].2.count), (1, 2));
    test.stamped(1_002).advance(Duration::ZERO).send(&item("a", 1));
    assert_eq!(test.failures().len(), 1);
    test.advance(Duration::from_millis(1)).stamped(1_002).send(&item("a", 1));
    assert_eq!((test.failures().len(), test.windows::<Total>()[0].2.count), (0, 3));
}

#[test]
fn event_time_may_be_a_field_of_the_value() {
    let kind = Tumbling::of(minutes(1));
    let processor = Processor::new("count").handle(count).window::<Total>(kind).event_time::<Item>(|item| item.number);
    let mut test = Driver::new(processor);
    test.at("1997-01-01T00:00:00Z").send(&item("a", 30_000)).send(&item("a", 90_000)).send(&item("a", 30_000));
    test.send(&item("a", -1));
    assert_eq!(rows(&test), [row("a", 0, 60, 1), row("a", 60, 120, 1)]);
    let classes: Vec<_> = test.dead_letters().iter().map(|letter| letter.class).collect();
    assert_eq!(classes, [LetterClass::Late, LetterClass::Rejected]);
    assert_eq!(test.stream_time_ms::<Item>(), Some(90_000));
}

async fn route_late(item: Item, windows: Result<Windows<Total>, Late>) -> Option<Item2> {
    match windows {
        Ok(mut windows) => {
            windows.update(|_, before| add(&item, before));
            None
        }
        Err(late) => Some(Item2 { key: item.key, number: late.stream_time_ms }),
    }
}

#[test]
fn a_handler_may_send_late_records_where_it_likes() {
    let processor = Processor::new("route").handle(route_late).window::<Total>(Tumbling::of(seconds(10)));
    let mut test = Driver::new(processor);
    send(&mut test, &[("a", 30), ("a", 3)]);
    assert_eq!(test.outputs::<Item2>(), [Item2 { key: "a".into(), number: 30_000 }]);
    assert_eq!(test.failures(), []);
}

async fn tell_time(item: Item, time: EventTime) -> Item2 {
    Item2 { key: item.key, number: if let EventTime::At(time_ms) = time { time_ms } else { -1 } }
}

#[test]
fn a_handler_may_ask_for_the_event_time() {
    let mut test = Driver::new(Processor::new("tell").handle(tell_time));
    test.at(5).send(&item("a", 1)).stamped(-1).send(&item("a", 1));
    let numbers: Vec<_> = test.outputs::<Item2>().into_iter().map(|item| item.number).collect();
    assert_eq!(numbers, [5, -1]);
    assert_eq!(test.stream_time_ms::<Item>(), Some(5));
}

async fn misplace(item: Item, mut windows: Windows<Total>) -> Result<(), Failure> {
    windows.update(|_, _| Total { key: "other".into(), count: item.number, sum: 0 });
    Ok(())
}

#[test]
fn a_row_belongs_to_the_records_key() {
    let processor = Processor::new("misplace").handle(misplace).window::<Total>(Tumbling::of(seconds(10)));
    let mut test = Driver::new(processor);
    test.at(0).send(&item("a", 1)).send_bytes::<Item>(None, None);
    assert!(test.dead_letters()[0].reason.contains("a window of key a of table test.totals"));
    assert_eq!(test.windows::<Total>(), []);
}

async fn by_key(item: Item2, mut entry: Entry<Total>) {
    entry.set(Total { key: item.key, count: 0, sum: 0 });
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let missing = Processor::new("p").handle(count).check();
    assert_eq!(missing, Err(DeclareError::MissingWindow { processor: "p", table: "test.totals" }));
    let empty = Processor::new("p").handle(count).window::<Total>(Tumbling::of(Duration::ZERO)).check();
    assert!(matches!(empty, Err(DeclareError::BadWindow { .. })));
    let mixed = Processor::new("p").handle(count).handle(by_key).window::<Total>(Tumbling::of(seconds(1))).check();
    assert_eq!(mixed, Err(DeclareError::WindowsAndEntries { processor: "p", table: "test.totals" }));
    let unread = Processor::new("p").handle(by_key).event_time::<Item>(|item| item.number).check();
    assert_eq!(unread, Err(DeclareError::EventTimeOfNoInput { processor: "p", input: "test.items" }));
}

proptest! {
    /// Whatever comes in whatever order: the table is what a count over the whole input says, less what was late.
    #[test]
    fn a_windowed_table_is_the_fold_of_its_inputs(
        records in proptest::collection::vec((0..4_u8, 0..400_i64), 1..80), grace in 0..60_u64, advance in 1..4_i64,
    ) {
        let (size, advance) = (60, advance * 20);
        let kind = Hopping::of(seconds(60), seconds(advance.unsigned_abs())).grace(seconds(grace)).retention(minutes(60));
        let mut test = Driver::new(Processor::new("count").handle(count).window::<Total>(kind));
        let (mut expected, mut late, mut newest) = (BTreeMap::new(), 0, i64::MIN);
        for (key, second) in &records {
            let key = format!("k{key}");
            send(&mut test, &[(&key, *second)]);
            let starts = (0..=*second).filter(|start| start % advance == 0 && second - start < size);
            let open: Vec<_> = starts.filter(|start| start + size + grace as i64 > newest).collect();
            late += usize::from(open.is_empty());
            open.into_iter().for_each(|start| *expected.entry((key.clone(), start)).or_insert(0) += 1);
            newest = newest.max(*second);
        }
        let expected: Vec<_> = expected.into_iter().map(|((key, start), count)| row(&key, start, start + size, count)).collect();
        prop_assert_eq!(rows(&test), expected);
        prop_assert_eq!(test.dead_letters().len(), late);
    }

    /// Sessions through the table, with keys that look like each other's rows: as a list of them in memory has it.
    #[test]
    fn sessions_are_those_of_a_plain_list(
        records in proptest::collection::vec((0..3_usize, 0..300_i64), 1..60), gap in 1..40_i64, grace in 0..60_i64,
    ) {
        let kind = Session::of(seconds(gap.unsigned_abs()), merge).grace(seconds(grace.unsigned_abs()));
        let processor = Processor::new("count").handle(count).window::<Total>(kind.retention(minutes(60)));
        let mut test = Driver::new(processor);
        let (mut sessions, mut late, mut newest) = (Vec::<(String, i64, i64, i64)>::new(), 0, i64::MIN);
        for (key, second) in records {
            let key = ["a", "a|1", "b"][key];
            send(&mut test, &[(key, second)]);
            let is_open = |end: i64| end + gap + grace >= newest;
            let (joined, others): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|(other, start, end, _)| {
                other == key && is_open(*end) && start - gap <= second && second <= end + gap
            });
            sessions = others;
            if joined.is_empty() && !is_open(second) {
                late += 1;
            } else {
                let start = joined.iter().map(|session| session.1).fold(second, i64::min);
                let end = joined.iter().map(|session| session.2).fold(second, i64::max);
                let count = joined.iter().map(|session| session.3).sum::<i64>() + 1;
                sessions.push(row(key, start, end, count));
            }
            newest = newest.max(second);
        }
        sessions.sort_by_key(|(key, start, end, _)| (key.clone(), *end, *start));
        let mut found = rows(&test);
        found.sort_by_key(|(key, start, end, _)| (key.clone(), *end, *start));
        prop_assert_eq!(found, sessions);
        prop_assert_eq!(test.dead_letters().len(), late);
    }
}
