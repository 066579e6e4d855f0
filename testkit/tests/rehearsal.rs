//! A recording through a processor: the same result each time, and a changed handler's differences, no more and no fewer.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use unchain::contract::{Bytes, Contract, Encoder, SchemaId};
use unchain::engine::EngineSettings;
use unchain::kafka::{Headers, Record, TopicPartition};
use unchain::process::{Entry, Failure, Lookup, Processor, State};
use unchain::recording::{OffsetRange, RecordedTopic, Recording, RecordingSettings, RecordingWriter};
use unchain::rehearse::{
    Comparison, ComparisonSettings, Difference, DifferenceKind, RehearsalError, Rehearsed, compare, rehearse,
};
use unchain_testkit::contracts::{Count, Item, Item2, Narrow, Total};

const RECORDS: i64 = 2_000;
const PARTITIONS: i32 = 3;
/// Ids as a registry gives them that counts.
const ITEM_ID: SchemaId = SchemaId(7);
const NARROW_ID: SchemaId = SchemaId(8);

fn value<C: Contract>(id: SchemaId, value: &C) -> Option<Bytes> {
    let mut bytes = Vec::new();
    Encoder::<C>::with_id(id).encode(value, &mut bytes).unwrap();
    Some(bytes.into())
}

fn topic<C: Contract>() -> RecordedTopic {
    let ranges = (0..PARTITIONS).map(|partition| (partition, OffsetRange { start: 0, end: 0 })).collect();
    let (name, config) = (C::TOPIC.name.to_owned(), BTreeMap::new());
    RecordedTopic { name, partitions: PARTITIONS, config, ranges, schemas: Vec::new() }
}

/// Items of ten keys, one each 10 ms, and a limit for each key but one.
fn record(folder: &Path) -> Recording {
    let topics = vec![topic::<Item>(), topic::<Narrow>()];
    let settings = RecordingSettings::default();
    let mut writer = RecordingWriter::create(folder, &settings, "r-1".into(), 5, topics).unwrap();
    let mut ends = Vec::new();
    for name in [Item::TOPIC.name, Narrow::TOPIC.name] {
        for partition in 0..PARTITIONS {
            writer.partition(&TopicPartition { topic: name.into(), partition }).unwrap();
            ends.push(0);
        }
    }
    let mut append = |place: usize, name: &str, partition: i32, timestamp_ms: i64, key: &str, value| {
        let (topic, key) = (name.into(), Some(Bytes::copy_from_slice(key.as_bytes())));
        let record =
            Record { topic, partition, offset: ends[place], timestamp_ms, key, value, headers: Headers::default() };
        ends[place] += 1;
        writer.append(place, &record).unwrap();
    };
    for number in 0..RECORDS {
        let key = format!("k{}", number % 10);
        let partition = (number % 10) as i32 % PARTITIONS;
        let bytes = if number == 1_234 {
            Some(Bytes::from_static(b"no value"))
        } else {
            value(ITEM_ID, &Item { key: key.clone(), number })
        };
        append(partition as usize, Item::TOPIC.name, partition, 1_000_000 + number * 10, &key, bytes);
    }
    for number in 0..9 {
        let key = format!("k{number}");
        let row = value(NARROW_ID, &Narrow { key: key.clone(), number: 1_000 + number });
        append(3, Narrow::TOPIC.name, 0, 0, &key, row);
    }
    writer.schema(Item::TOPIC.name, ITEM_ID.0, Item::TOPIC.schema).unwrap();
    writer.schema(Narrow::TOPIC.name, NARROW_ID.0, Narrow::TOPIC.schema).unwrap();
    writer.finish(ends, Vec::new()).unwrap();
    Recording::open(folder).unwrap()
}

/// Numbers that have been tried once.
#[derive(Clone, Default)]
struct Tried(Arc<Mutex<HashSet<i64>>>);

type Made = Result<(Option<Count>, Option<Item2>), Failure>;

async fn handle(item: Item, State(tried): State<Tried>, limits: Lookup<Narrow>, mut sum: Entry<Total>) -> Made {
    tokio::time::sleep(Duration::from_millis(item.number.unsigned_abs() % 40)).await;
    if item.number % 50 == 0 && tried.0.lock().unwrap().insert(item.number) {
        return Err(Failure::retry("not yet"));
    }
    if item.number % 97 == 0 {
        return Err(Failure::reject("of a kind that is not wanted"));
    }
    let (count, so_far) = sum.get().map_or((0, 0), |total| (total.count, total.sum));
    sum.set(Total { key: item.key.clone(), count: count + 1, sum: so_far + item.number });
    let limit = limits.get(&item.key).map_or(0, |limit| limit.number);
    let above = (item.number > limit).then(|| Item2 { key: item.key.clone(), number: item.number - limit });
    Ok((Some(Count { key: item.key, count: count + 1 }), above))
}

/// Another build: it refuses one more, counts one of a key twice, and sends nothing that is far above.
async fn handle_anew(item: Item, tried: State<Tried>, limits: Lookup<Narrow>, sum: Entry<Total>) -> Made {
    let number = item.number;
    if number == 1_999 {
        return Err(Failure::reject("the last one is not wanted"));
    }
    let (count, above) = handle(item, tried, limits, sum).await?;
    let count = count.map(|count| if number == 1_001 { Count { count: count.count + 1_000, ..count } } else { count });
    let above = above.map(|above| match number {
        1_500.. if above.key == "k3" => Item2 { key: "k4".to_owned(), ..above },
        _ => above,
    });
    Ok((count, above.filter(|above| above.key != "k9" || number < 1_900)))
}

fn old() -> Processor {
    Processor::new("sums").handle(handle).state(Tried::default())
}

fn new() -> Processor {
    Processor::new("sums").handle(handle_anew).state(Tried::default())
}

fn run(processor: &Processor, recording: &Recording, folder: &Path) -> Rehearsed {
    rehearse(processor, recording, &EngineSettings::default(), Some(folder), &|| false).unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn compared(old: &Path, new: &Path, settings: &ComparisonSettings) -> Comparison {
    let (old, new) = (Recording::open(old).unwrap(), Recording::open(new).unwrap());
    compare(&old, &new, settings, &|| false).unwrap()
}

#[test]
fn two_runs_give_equal_files_and_nothing_that_differs() {
    let (source, first, second) = (folder(), folder(), folder());
    let recording = record(source.path());
    let rehearsed = run(&old(), &recording, first.path());
    assert_eq!(run(&old(), &recording, second.path()), rehearsed);
    // 0, 97, ... 1940, and what is no value.
    assert_eq!((rehearsed.consumed_records, rehearsed.dead_letters, rehearsed.retries), (2_000, 22, 40));
    let written = |topic: &str| rehearsed.written_records[topic];
    assert_eq!((written("test.counts"), written("test.totals"), written("unchain.dead-letters")), (1_978, 1_978, 22));
    let files = files(first.path());
    assert!(files.len() > 10 && files == self::files(second.path()), "{:?}", files.keys());
    let settings = ComparisonSettings { headers: true, ..ComparisonSettings::default() };
    let compared = compared(first.path(), second.path(), &settings);
    assert_eq!((compared.differing_records(), compared.topics.len()), (0, 4));
    assert_eq!(
        compared.topics.iter().map(|topic| topic.equal).sum::<u64>(),
        rehearsed.written_records.values().sum::<u64>()
    );
}

#[test]
fn a_changed_handler_differs_in_what_it_changed_and_in_nothing_else() {
    let (source, before, after) = (folder(), folder(), folder());
    let recording = record(source.path());
    run(&old(), &recording, before.path());
    run(&new(), &recording, after.path());
    let settings = ComparisonSettings { max_differences: 1_000, ..ComparisonSettings::default() };
    let compared = compared(before.path(), after.path(), &settings);
    let of = |topic: &str, kind| {
        let is_it = |difference: &&Difference| difference.topic == topic && difference.kind == kind;
        compared.differences.iter().filter(is_it).cloned().collect::<Vec<_>>()
    };
    use DifferenceKind::{Changed, OnlyInNew, OnlyInOld};
    // The one that counts more, and the one that is refused: with its row, its outputs, and a letter.
    let changed = of("test.counts", Changed);
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].id.as_deref(), Some("test.items/1/300/sums/0"));
    assert_eq!((changed[0].changes.len(), changed[0].changes[0].field.as_str()), (1, "count"));
    let missing = ["test.counts", "test.totals"].map(|topic| of(topic, OnlyInOld).len());
    assert_eq!(missing, [1, 1]);
    assert_eq!(of("unchain.dead-letters", OnlyInNew).len(), 1);
    // 1909 to 1989 and the one that is refused are missing, 1503 to 1993 have moved (1552, 1649, ... are refused anyway).
    assert_eq!(of("test.items2", OnlyInOld).len(), 10);
    let moved = of("test.items2", Changed);
    assert!(moved.iter().all(|moved| moved.changes.iter().any(|change| change.field == "key")));
    let numbers = (1_503..2_000).step_by(10).filter(|number| number % 97 != 0).count();
    assert_eq!(moved.len(), numbers);
    let counted = compared.topics.iter().find(|topic| topic.topic == "test.items2").unwrap();
    assert_eq!((counted.moved, counted.fields["key"]), (numbers as u64, numbers as u64));
    assert_eq!(compared.differing_records() as usize, 1 + 2 + 1 + 10 + numbers);

    let settings = ComparisonSettings { max_differences: 3, ignored: vec!["count".into()], ..settings };
    let compared = self::compared(before.path(), after.path(), &settings);
    assert_eq!((compared.differences.len(), compared.differing_records() as usize), (3, 2 + 1 + 10 + numbers));
}

/// Feeds its own input until the number is used up.
async fn count_down(item: Item) -> Option<Item> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    (item.number % 10 > 0).then(|| Item { number: item.number - 1, ..item })
}

#[test]
fn what_a_processor_sends_to_itself_comes_back_and_is_not_fed_twice() {
    let (source, first, second) = (folder(), folder(), folder());
    let processor = Processor::new("down").handle(count_down);
    let rehearsed = run(&processor, &record(source.path()), first.path());
    // Each number's last digit, and one that is no value.
    assert_eq!(rehearsed.consumed_records, 2_000 + 9_000 - 4);
    assert_eq!(rehearsed.written_records["test.items"], 9_000 - 4);
    // A recording that holds its own work alone.
    let again = run(&processor, &Recording::open(first.path()).unwrap(), second.path());
    assert_eq!((again.consumed_records, again.left_out_records), (0, 9_000 - 4));
}

async fn never(_: Item) -> Result<(), Failure> {
    Err(Failure::unavailable("the service is not there"))
}

#[test]
fn what_cannot_go_on_ends_with_the_reason() {
    let (source, out) = (folder(), folder());
    let recording = record(source.path());
    let run = |processor: Processor, is_stopped: &dyn Fn() -> bool| {
        rehearse(&processor, &recording, &EngineSettings::default(), Some(&out.path().join("a")), is_stopped)
    };
    let missing = Processor::new("p").handle(|_: Item2, _: Lookup<Narrow>| async {});
    let error = run(missing, &|| false).unwrap_err().to_string();
    assert!(error.contains("test.items2; it has: test.items, test.narrow"), "{error}");
    assert!(matches!(run(old(), &|| true), Err(RehearsalError::Stopped)));
    assert!(Recording::open(&out.path().join("a")).is_err(), "it is incomplete");
    let processor = Processor::new("never").handle(never);
    let error = rehearse(&processor, &recording, &EngineSettings::default(), None, &|| false).unwrap_err();
    assert!(matches!(error, RehearsalError::StandsStill { waiting: 1_000, .. }), "{error}");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
