//! Replays on a real broker: every record once and in order, whatever interrupts them, and nothing into a wrong target.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use unchain::contract::{SchemaId, open_registry};
use unchain::kafka::{
    Admin, Connection, Headers, NewRecord, NewTopic, ProducerSettings, Publisher, PublisherSettings, Reader, Record,
    TopicPartition, TransactionalProducer,
};
use unchain::recording::{OffsetRange, RecordedTopic, Recording, RecordingSettings, RecordingWriter, SegmentRoll};
use unchain::replay::{
    DifferenceKind, HeaderFilter, NamePattern, REPLAYS_TOPIC, Replay, ReplayError, ReplaySettings, Replayed, Speed,
    Timestamps,
};
use unchain_testkit::TestCluster;

const DEADLINE: Duration = Duration::from_secs(30);
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
const SCHEMA: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}"#;
/// The id that the schema has in the recording.
const RECORDED_ID: u32 = 77;

/// What is recorded, and how it is replayed.
struct Fixture {
    folder: tempfile::TempDir,
    connection: Connection,
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition }
}

/// The number-th record of a partition; times go up and sometimes back.
fn record(started_ms: i64, partition: i32, number: i64) -> Record {
    let mut headers = Headers::builder();
    if number % 3 == 0 {
        headers.text("ce_id", &format!("{partition}-{number}")).text("traceparent", "00-1");
    }
    let mut value = vec![0];
    value.extend_from_slice(&RECORDED_ID.to_be_bytes());
    value.extend_from_slice(format!("\x0c{number:06}").as_bytes());
    Record {
        topic: TOPIC.into(),
        partition,
        offset: number * 2,
        timestamp_ms: started_ms + number - (number % 7) * 3,
        key: (number % 10 != 9).then(|| Bytes::from(format!("key-{}", (number * 3 + i64::from(partition)) % 50))),
        value: (number % 11 != 10).then(|| Bytes::from(value)),
        headers: headers.finish(),
    }
}

impl Fixture {
    /// A recording of so many records a partition, that began a minute ago.
    fn record(connection: Connection, records: i64, schemas: &[u32]) -> Fixture {
        Fixture::record_at(connection, records, schemas, now_ms() - 60_000)
    }

    fn record_at(connection: Connection, records: i64, schemas: &[u32], started_ms: i64) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let range = OffsetRange { start: 0, end: records * 2 };
        let topic = RecordedTopic {
            name: TOPIC.to_owned(),
            partitions: PARTITIONS,
            config: BTreeMap::from([("retention.ms".to_owned(), "3600000".to_owned())]),
            ranges: (0..PARTITIONS).map(|partition| (partition, range)).collect(),
            schemas: Vec::new(),
        };
        let refunds = RecordedTopic { name: "refunds".to_owned(), ranges: BTreeMap::new(), ..topic.clone() };
        let topics = vec![topic, refunds];
        let roll = SegmentRoll { max_segment_bytes: 100_000, max_segment_age: Duration::MAX };
        let settings = RecordingSettings { roll, ..RecordingSettings::default() };
        let mut writer =
            RecordingWriter::create(folder.path(), &settings, "r-1".to_owned(), started_ms, topics).unwrap();
        let numbers: Vec<_> = (0..PARTITIONS).map(|partition| writer.partition(&at(partition)).unwrap()).collect();
        for number in 0..records {
            for partition in 0..PARTITIONS {
                writer
                    .append(numbers[usize::try_from(partition).unwrap()], &record(started_ms, partition, number))
                    .unwrap();
            }
        }
        for id in schemas {
            writer.schema(TOPIC, *id, SCHEMA).unwrap();
        }
        writer.unknown_schema(TOPIC, RECORDED_ID).unwrap();
        writer.finish(vec![records * 2; 3], Vec::new()).unwrap();
        Fixture { folder, connection }
    }

    fn prepare(&self, settings: ReplaySettings) -> Result<Replay, ReplayError> {
        let registry = open_registry(&self.connection, DEADLINE).unwrap();
        let recording = Recording::open(self.folder.path()).unwrap();
        Replay::prepare(&self.connection, registry, recording, settings, DEADLINE)
    }

    fn create_target(&self, partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let topic = NewTopic { name: "replayed".to_owned(), partitions, configs };
        Admin::new(&self.connection, DEADLINE).unwrap().create_topics(&[topic]).unwrap();
    }

    /// What the target holds.
    fn replayed(&self, partitions: i32) -> Vec<Record> {
        let all: Vec<_> = (0..partitions).map(|partition| (partition, None)).collect();
        let mut records = Vec::new();
        let mut reader = Reader::open(&self.connection, "replayed", &all).unwrap();
        let each = |record| {
            records.push(record);
            Ok(())
        };
        reader.read_to_end(DEADLINE, each).unwrap();
        records
    }

    fn topics(&self) -> Vec<String> {
        self.connection.topics(DEADLINE).unwrap().into_iter().map(|topic| topic.name).collect()
    }
}

fn flat_out() -> ReplaySettings {
    ReplaySettings {
        speed: Speed::Max,
        topics: vec![NamePattern::new("ord*")],
        to_topic: "replayed".parse().unwrap(),
        ..ReplaySettings::default()
    }
}

fn run(replay: &Replay) -> Replayed {
    replay.run(&|_| false, &mut |_| ()).unwrap()
}

/// Each key's values, in their order, with what stands for the order of a replay: partition and offset.
fn by_key(records: &[Record]) -> BTreeMap<Option<Bytes>, Vec<Option<Bytes>>> {
    let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in records {
        let bare = record.value.as_ref().map(|value| value.slice(5..));
        keys.entry(record.key.clone()).or_default().push(bare);
    }
    keys
}

fn every_record_once_into_another_number_of_partitions(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 10_000, &[RECORDED_ID]);
    fixture.create_target(5, &[]);
    let replay = fixture.prepare(flat_out()).unwrap();
    let replayed = run(&replay);
    assert_eq!((replayed.records, replayed.is_complete), (30_000, true));
    assert_eq!(replay.verify(&|_| false).unwrap().records, 30_000);
    let found = fixture.replayed(5);
    assert_eq!(found.len(), 30_000);
    // A key's records are in one partition.
    let places: BTreeSet<_> = found.iter().filter_map(|record| Some((record.key.clone()?, record.partition))).collect();
    assert_eq!(places.len(), found.iter().filter_map(|record| record.key.clone()).collect::<BTreeSet<_>>().len());
    // Schemas have the target's ids, traces stay behind.
    let value = found.iter().find_map(|record| record.value.clone()).unwrap();
    let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
    assert_ne!(id, RECORDED_ID);
    let registry = open_registry(connection, DEADLINE).unwrap();
    assert!(registry.schema(SchemaId(id)).unwrap().contains("Order"));
    assert!(found.iter().any(|record| record.headers.get("ce_id").is_some()));
    assert!(found.iter().all(|record| record.headers.get("traceparent").is_none()));
    // Nothing is left.
    let again = run(&fixture.prepare(flat_out()).unwrap());
    assert_eq!((again.records, again.resumed_records, again.is_complete), (0, 30_000, true));
    assert_eq!(fixture.replayed(5).len(), 30_000);
    // And again, when asked for: the check then begins where this one began.
    let anew = fixture.prepare(ReplaySettings { again: true, ..flat_out() }).unwrap();
    assert_eq!(run(&anew).records, 30_000);
    anew.verify(&|_| false).unwrap();
    assert_eq!(fixture.replayed(5).len(), 60_000);
}

fn a_replay_that_is_stopped_again_and_again_leaves_no_gap_and_nothing_twice(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 2_000, &[RECORDED_ID]);
    // Half a second at this pace; stopped whenever it has waited for 40 times.
    let settings = ReplaySettings {
        speed: Speed::Times(4.0),
        timestamps: Timestamps::Shift,
        headers: HeaderFilter::new([NamePattern::new("*")]),
        ..flat_out()
    };
    let (mut runs, mut records) = (0, 0);
    loop {
        let replay = fixture.prepare(settings.clone()).unwrap();
        let waits = AtomicU64::new(0);
        let stop = |at_most: Duration| {
            std::thread::park_timeout(at_most);
            waits.fetch_add(1, Ordering::Relaxed) == 40
        };
        let replayed = replay.run(&stop, &mut |_| ()).unwrap();
        assert_eq!(replayed.resumed_records, records);
        records += replayed.records;
        runs += 1;
        if replayed.is_complete {
            break;
        }
        assert!(matches!(replay.verify(&|_| false), Err(ReplayError::NotEnded { .. })));
    }
    assert!(runs > 3, "{runs} runs");
    assert_eq!(records, 6_000);
    assert_eq!(fixture.prepare(settings).unwrap().verify(&|_| false).unwrap().records, 6_000);
    let found = fixture.replayed(PARTITIONS);
    assert_eq!(found.len(), 6_000);
    assert!(found.iter().all(|record| record.timestamp_ms > now_ms() - 50_000), "times are moved");
}

fn a_second_process_takes_a_replay_over(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 2_000, &[RECORDED_ID]);
    let slow = ReplaySettings { speed: Speed::Times(0.5), ..flat_out() };
    let first = fixture.prepare(slow.clone()).unwrap();
    std::thread::scope(|scope| {
        let (started, has_started) = std::sync::mpsc::channel();
        let first = scope.spawn(move || {
            let stop = |at_most: Duration| {
                std::thread::park_timeout(at_most);
                let _ = started.send(());
                false
            };
            first.run(&stop, &mut |_| ())
        });
        (0..200).for_each(|_| has_started.recv_timeout(DEADLINE).unwrap());
        let second = fixture.prepare(flat_out()).unwrap();
        assert!(run(&second).is_complete);
        let first = first.join().unwrap();
        assert!(matches!(first, Err(ReplayError::TakenOver { .. })), "{first:?}");
        assert_eq!(second.verify(&|_| false).unwrap().records, 6_000);
    });
    assert_eq!(fixture.replayed(PARTITIONS).len(), 6_000);
}

fn a_difference_is_found_and_named(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 500, &[RECORDED_ID]);
    let replay = fixture.prepare(flat_out()).unwrap();
    run(&replay);
    replay.verify(&|_| false).unwrap();
    let publisher = Publisher::new(connection, PublisherSettings::default()).unwrap();
    let planted = NewRecord {
        topic: "replayed",
        partition: Some(1),
        timestamp_ms: None,
        key: Some(Bytes::from_static(b"planted")),
        value: None,
        headers: Headers::default(),
    };
    publisher.send(&planted).unwrap();
    publisher.flush(DEADLINE).unwrap();
    let ReplayError::Differs(difference) = replay.verify(&|_| false).unwrap_err() else {
        panic!("a difference was planted")
    };
    assert_eq!((difference.kind, difference.at.partition, difference.index), (DifferenceKind::Extra, 1, 500));
    assert_eq!(difference.key.as_deref(), Some(&b"planted"[..]));
    let error = ReplayError::Differs(difference);
    assert!(error.to_string().contains("record 500 of replayed/1 with key \"planted\" was not recorded"), "{error}");
    assert_eq!(error.exit_code(), 3);
}

fn a_record_that_is_gone_from_the_target_is_found(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 500, &[RECORDED_ID]);
    let replay = fixture.prepare(flat_out()).unwrap();
    run(&replay);
    Admin::new(connection, DEADLINE).unwrap().delete_records("replayed", &[(2, Some(3))]).unwrap();
    let error = replay.verify(&|_| false).unwrap_err();
    assert!(error.to_string().contains("replayed/2"), "{error}");
}

fn nothing_is_written_where_a_schema_does_not_fit(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 10, &[RECORDED_ID]);
    let registry = open_registry(connection, DEADLINE).unwrap();
    let other = r#"{"type": "record", "name": "Order", "fields": [{"name": "number", "type": "long"}]}"#;
    registry.register("replayed-value", other).unwrap();
    let before = fixture.topics();
    let error = fixture.prepare(flat_out()).err().unwrap();
    assert!(matches!(error, ReplayError::Incompatible { id: RECORDED_ID, .. }), "{error}");
    assert!(error.to_string().contains("replayed") && error.to_string().contains("field id"), "{error}");
    assert_eq!(fixture.topics(), before);
}

fn nothing_is_written_where_a_schema_is_missing(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 10, &[]);
    let error = fixture.prepare(flat_out()).err().unwrap();
    assert!(matches!(error, ReplayError::MissingSchema { id: RECORDED_ID, .. }), "{error}");
    assert!(error.to_string().contains("--raw"), "{error}");
    assert!(!fixture.topics().contains(&"replayed".to_owned()));
    let raw = fixture.prepare(ReplaySettings { raw: true, ..flat_out() }).unwrap();
    assert_eq!(run(&raw).records, 30);
    raw.verify(&|_| false).unwrap();
}

fn nothing_is_written_where_a_file_is_damaged(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 1_000, &[RECORDED_ID]);
    let segment = Recording::open(fixture.folder.path()).unwrap().manifest().segments[0].file.clone();
    damage(&fixture.folder.path().join(segment));
    let error = fixture.prepare(flat_out()).unwrap().run(&|_| false, &mut |_| ()).unwrap_err();
    assert!(matches!(error, ReplayError::Recording(_)) && error.to_string().contains("damaged"), "{error}");
    assert!(!fixture.topics().contains(&"replayed".to_owned()));
}

fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn old_records_are_not_sent_into_retention(connection: &Connection) {
    let day_ms = 24 * 3_600 * 1_000;
    let fixture = Fixture::record_at(connection.clone(), 10, &[RECORDED_ID], now_ms() - 10 * day_ms);
    let error = fixture.prepare(flat_out()).err().unwrap();
    assert!(matches!(error, ReplayError::Expired { retention_ms: 3_600_000, .. }), "{error}");
    fixture.create_target(3, &[("retention.ms", "-1")]);
    let kept = fixture.prepare(flat_out()).unwrap();
    assert_eq!(run(&kept).records, 30);
    kept.verify(&|_| false).unwrap();
}

fn a_dry_run_counts_and_writes_nothing(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 1_000, &[RECORDED_ID]);
    let before = fixture.topics();
    let keys = Some(BTreeSet::from([b"key-0".to_vec(), b"key-1".to_vec()]));
    let settings = ReplaySettings { keys, speed: Speed::Times(10.0), ..flat_out() };
    let preview = fixture.prepare(settings.clone()).unwrap().preview().unwrap();
    assert_eq!(fixture.topics(), before);
    let topic = &preview.topics[0];
    assert_eq!((topic.target.as_str(), topic.partitions, topic.is_new), ("replayed", PARTITIONS, true));
    assert!(preview.takes.unwrap() < Duration::from_millis(101), "{preview:?}");
    let replay = fixture.prepare(settings).unwrap();
    assert_eq!(run(&replay).records, topic.records);
    replay.verify(&|_| false).unwrap();
    let found = fixture.replayed(PARTITIONS);
    let keys: BTreeSet<_> = by_key(&found).into_keys().flatten().collect();
    assert_eq!(keys, BTreeSet::from([Bytes::from_static(b"key-0"), Bytes::from_static(b"key-1")]));
}

fn what_is_asked_for_wrongly_is_told(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 10, &[RECORDED_ID]);
    let unknown = fixture.prepare(ReplaySettings { topics: vec![NamePattern::new("none.*")], ..flat_out() });
    let unknown = unknown.err().unwrap();
    assert!(unknown.to_string().contains("none.*") && unknown.to_string().contains(TOPIC), "{unknown}");
    assert_eq!(unknown.exit_code(), 2);
    let both = fixture.prepare(ReplaySettings { topics: Vec::new(), ..flat_out() }).err().unwrap();
    assert!(matches!(both, ReplayError::OneTarget { .. }), "{both}");
    let each = ReplaySettings { topics: Vec::new(), to_topic: "copy.{topic}".parse().unwrap(), ..flat_out() };
    let names: Vec<_> = fixture.prepare(each).unwrap().targets().iter().map(|target| target.name.clone()).collect();
    assert_eq!(names, ["copy.orders", "copy.refunds"]);
    let missing = fixture.prepare(ReplaySettings { create_topics: false, ..flat_out() }).err().unwrap();
    assert!(matches!(missing, ReplayError::NoTarget { .. }), "{missing}");
    let named = ReplaySettings { id: Some("mine".to_owned()), ..flat_out() };
    run(&fixture.prepare(named.clone()).unwrap());
    let other = fixture.prepare(ReplaySettings { raw: true, ..named }).unwrap();
    let other = other.run(&|_| false, &mut |_| ()).unwrap_err();
    assert!(matches!(other, ReplayError::OtherOptions { .. }), "{other}");
}

/// The same test on the development broker and, where there is one, on Apache Kafka.
/// Leaves a transaction open on the topic of progress, as a replay does that is killed in the middle of one.
fn hang_on_progress(connection: &Connection) -> TransactionalProducer {
    let transaction_timeout = Duration::from_secs(15);
    let settings = ProducerSettings { transaction_timeout, ..ProducerSettings::default() };
    let hanging = TransactionalProducer::connect(connection, "another-replay", &settings).unwrap();
    hanging.begin().unwrap();
    let (key, value) = (Some(Bytes::from_static(b"other/orders/0")), Some(Bytes::from_static(b"{}")));
    let topic = REPLAYS_TOPIC;
    let record = NewRecord { topic, partition: Some(0), timestamp_ms: None, key, value, headers: Headers::default() };
    hanging.send(&record).unwrap();
    hanging.flush().unwrap();
    hanging
}

fn progress_hidden_by_another_replays_transaction_is_waited_for(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 1_000, &[RECORDED_ID]);
    fixture.create_target(3, &[]);
    let configs = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    let progress = NewTopic { name: REPLAYS_TOPIC.to_owned(), partitions: 1, configs };
    Admin::new(connection, DEADLINE).unwrap().create_topics(&[progress]).unwrap();
    let hanging = hang_on_progress(connection);
    let records: u64 = (0..2).map(|_| run(&fixture.prepare(flat_out()).unwrap()).records).sum();
    assert_eq!((records, fixture.replayed(3).len()), (3_000, 3_000));
    fixture.prepare(flat_out()).unwrap().verify(&|_| false).unwrap();
    drop(hanging);
}

fn a_target_that_has_grown_is_refused(connection: &Connection) {
    let fixture = Fixture::record(connection.clone(), 100, &[RECORDED_ID]);
    fixture.create_target(3, &[]);
    run(&fixture.prepare(flat_out()).unwrap());
    Admin::new(connection, DEADLINE).unwrap().add_partitions("replayed", 5).unwrap();
    let refused = fixture.prepare(flat_out()).unwrap().run(&|_| false, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, ReplayError::TargetChanged { partitions: 3, .. }), "{refused}");
    assert!(refused.to_string().contains("--again"), "{refused}");
}

macro_rules! on_each_broker {
    ($($name:ident;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn on_the_development_broker() {
                super::$name(&TestCluster::embedded().connection());
            }

            #[test]
            fn on_kafka() {
                if let Some(cluster) = TestCluster::kafka() {
                    super::$name(&cluster.connection());
                }
            }
        }
    )*};
}

on_each_broker! {
    every_record_once_into_another_number_of_partitions;
    a_replay_that_is_stopped_again_and_again_leaves_no_gap_and_nothing_twice;
    a_second_process_takes_a_replay_over;
    a_difference_is_found_and_named;
    a_record_that_is_gone_from_the_target_is_found;
    nothing_is_written_where_a_schema_does_not_fit;
    nothing_is_written_where_a_schema_is_missing;
    nothing_is_written_where_a_file_is_damaged;
    old_records_are_not_sent_into_retention;
    a_dry_run_counts_and_writes_nothing;
    what_is_asked_for_wrongly_is_told;
    progress_hidden_by_another_replays_transaction_is_waited_for;
    a_target_that_has_grown_is_refused;
}
