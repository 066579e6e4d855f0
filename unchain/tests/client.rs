//! The client layer on a real broker: what is assigned is read exactly, wakes its reader, and stops when it is released.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use unchain::kafka::{
    Admin, Assignment, BulkReader, BulkSettings, ClientError, Connection, ErrorKind, GroupConsumer, GroupEvent,
    GroupHandle, GroupProtocol, GroupSettings, Headers, Lent, NewRecord, NewTopic, Outgoing, OutputProducer,
    PartitionQueue, ProducerSettings, Publisher, PublisherSettings, Reader, Record, TopicPartition,
};
use unchain_testkit::TestCluster;

const DEADLINE: Duration = Duration::from_secs(40);
const TOPIC: &str = "numbers";

fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition }
}

fn create_topic(connection: &Connection, partitions: i32, configs: &[(&str, &str)]) {
    // The records' times lie in 1970: without this they are retention's to delete.
    let configs = configs.iter().chain(&[("retention.ms", "-1")]);
    let configs = configs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: TOPIC.to_owned(), partitions, configs };
    assert_eq!(Admin::new(connection, DEADLINE).unwrap().create_topics(&[topic]).unwrap(), [TOPIC]);
}

/// Writes numbers as keys and values, every tenth value null, with a header that repeats the number.
fn produce(connection: &Connection, partition: i32, numbers: std::ops::Range<i64>) {
    let publisher = Publisher::new(connection, PublisherSettings::default()).unwrap();
    for number in numbers {
        publisher.send(&numbered(partition, number)).unwrap();
    }
    publisher.flush(DEADLINE).unwrap();
}

fn numbered(partition: i32, number: i64) -> NewRecord<'static> {
    let text = Bytes::from(number.to_string());
    let mut headers = Headers::builder();
    headers.text("number", &number.to_string());
    headers.push("empty", Some(b""));
    headers.push("null", None);
    NewRecord {
        topic: TOPIC,
        partition: Some(partition),
        timestamp_ms: Some(1_000 + number),
        key: Some(text.clone()),
        value: (number % 10 != 0).then_some(text),
        headers: headers.finish(),
    }
}

fn expect_numbered(records: &[Record], partition: i32, offsets: std::ops::Range<i64>) {
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), offsets.collect::<Vec<_>>());
    for record in records {
        let expected = numbered(partition, record.offset);
        assert_eq!((&*record.topic, record.partition), (TOPIC, partition));
        assert_eq!((&record.key, &record.value), (&expected.key, &expected.value));
        assert_eq!((Some(record.timestamp_ms), &record.headers), (expected.timestamp_ms, &expected.headers));
    }
}

/// A member that acts only when it is woken.
struct Member {
    consumer: GroupConsumer,
    wake: Arc<Notify>,
    runtime: tokio::runtime::Runtime,
}

fn settings(group: &str) -> GroupSettings {
    GroupSettings {
        group: group.to_owned(),
        instance: None,
        protocol: GroupProtocol::Classic,
        assignment: Assignment::Sticky,
        // Longer than a test waits: who gets a partition in time got it because it was given up.
        session_timeout: Duration::from_secs(60),
        max_poll_interval: Duration::from_secs(300),
        max_prefetched_bytes: 1024 * 1024,
        wake: Arc::default(),
    }
}

impl Member {
    fn join(connection: &Connection, settings: &GroupSettings) -> Member {
        let consumer = GroupConsumer::join(connection, settings, &[TOPIC.into()]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Member { consumer, wake: Arc::clone(&settings.wake), runtime }
    }

    /// Calls `step` once, and again after each wake-up, until it yields something.
    fn when_woken<T>(&mut self, what: &str, mut step: impl FnMut(&mut GroupConsumer) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = step(&mut self.consumer) {
                return found;
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            let woken = self.runtime.block_on(async { tokio::time::timeout(left, self.wake.notified()).await });
            assert!(woken.is_ok(), "no wake-up brought {what}");
        }
    }

    fn next_event(&mut self) -> GroupEvent {
        // A group that is just forming reports passing errors as well.
        self.when_woken("an event", |consumer| {
            loop {
                match consumer.next_event()? {
                    GroupEvent::Failed(error) if error.kind() == ErrorKind::Retry => {}
                    event => return Some(event),
                }
            }
        })
    }

    fn assigned(&mut self) -> Vec<TopicPartition> {
        let event = self.next_event();
        let GroupEvent::Assigned(mut partitions) = event else { panic!("{event:?} instead of an assignment") };
        partitions.sort();
        partitions
    }

    /// Takes over whatever is assigned first, from the offset.
    fn take_over(&mut self, offset: Option<i64>) -> Vec<PartitionQueue> {
        let partitions = self.assigned();
        let positions: Vec<_> = partitions.into_iter().map(|at| (at, offset)).collect();
        self.consumer.assign(&positions).unwrap()
    }

    fn read(&mut self, queue: &mut PartitionQueue, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        self.when_woken("records", |consumer| {
            while consumer.next_event().is_some() {}
            loop {
                let left = count - records.len();
                if left == 0 || queue.read(&mut records, left).unwrap() == 0 {
                    break;
                }
            }
            (records.len() == count).then_some(())
        });
        records
    }
}

fn every_partition_is_read_in_order(connection: &Connection, settings: &GroupSettings) {
    create_topic(connection, 3, &[]);
    (0..3).for_each(|partition| produce(connection, partition, 0..2_000));
    let mut member = Member::join(connection, settings);
    let mut queues = member.take_over(None);
    assert_eq!(queues.iter().map(PartitionQueue::partition).collect::<Vec<_>>(), [&at(0), &at(1), &at(2)]);
    for (partition, queue) in (0..).zip(&mut queues) {
        expect_numbered(&member.read(queue, 2_000), partition, 0..2_000);
    }
    // Everything was read: what comes now has to wake.
    produce(connection, 1, 2_000..2_001);
    expect_numbered(&member.read(&mut queues[1], 1), 1, 2_000..2_001);
}

fn seeks_bring_nothing_older(connection: &Connection) {
    create_topic(connection, 2, &[]);
    (0..2).for_each(|partition| produce(connection, partition, 0..3_000));
    let mut member = Member::join(connection, &settings("seeks"));
    let mut queues = member.take_over(Some(100));
    expect_numbered(&member.read(&mut queues[0], 10), 0, 100..110);
    expect_numbered(&member.read(&mut queues[1], 10), 1, 100..110);
    for (to, count) in [(50, 5), (2_500, 500), (0, 3_000), (7, 1)] {
        member.consumer.seek(&[(at(0), Some(to))], DEADLINE).unwrap();
        expect_numbered(&member.read(&mut queues[0], count), 0, to..to + i64::try_from(count).unwrap());
    }
    member.consumer.seek(&[(at(0), None)], DEADLINE).unwrap();
    expect_numbered(&member.read(&mut queues[0], 5), 0, 0..5);
    expect_numbered(&member.read(&mut queues[1], 2_890), 1, 110..3_000);
}

fn what_is_released_brings_nothing_and_can_be_taken_again(connection: &Connection) {
    create_topic(connection, 2, &[]);
    (0..2).for_each(|partition| produce(connection, partition, 0..3_000));
    let mut member = Member::join(connection, &settings("release"));
    let mut queues = member.take_over(None);
    expect_numbered(&member.read(&mut queues[0], 10), 0, 0..10);
    member.consumer.unassign(&[at(0)]).unwrap();
    let mut records = Vec::new();
    assert_eq!(queues[0].read(&mut records, 100).unwrap(), 0);
    expect_numbered(&member.read(&mut queues[1], 3_000), 1, 0..3_000);
    // The old queue is still held, and stays empty beside the new one.
    let mut again = member.consumer.assign(&[(at(0), Some(1_000))]).unwrap();
    expect_numbered(&member.read(&mut again[0], 2_000), 0, 1_000..3_000);
    assert_eq!(queues[0].read(&mut records, 100).unwrap(), 0);
    drop(queues);
    produce(connection, 0, 3_000..3_001);
    expect_numbered(&member.read(&mut again[0], 1), 0, 3_000..3_001);
}

fn a_close_ends_queues_and_handles(connection: &Connection) {
    create_topic(connection, 2, &[]);
    produce(connection, 0, 0..3_000);
    let mut member = Member::join(connection, &settings("close"));
    let mut queues = member.take_over(None);
    expect_numbered(&member.read(&mut queues[0], 10), 0, 0..10);
    let handle: GroupHandle = member.consumer.handle();
    let other_thread = std::thread::spawn(move || {
        handle.commit(&[(at(0), 10)], DEADLINE).unwrap();
        assert_eq!(handle.committed(&[at(0), at(1)], DEADLINE).unwrap(), [(at(0), Some(10)), (at(1), None)]);
        assert!(!handle.assignment_lost());
        handle
    });
    let handle = other_thread.join().unwrap();
    member.consumer.close(DEADLINE);
    let mut records = Vec::new();
    assert_eq!(queues[0].read(&mut records, 10).unwrap(), 0);
    assert_eq!(handle.group_metadata().err().unwrap().kind(), ErrorKind::Abort);
    assert!(handle.assignment_lost());
    // It has left the group: nobody waits for its session to end.
    let mut next = Member::join(connection, &settings("close"));
    assert_eq!(next.assigned(), [at(0), at(1)]);
}

fn transactions_in_turn(connection: &Connection) {
    create_topic(connection, 1, &[]);
    let producers: Vec<_> = (0..2)
        .map(|index| {
            let settings = ProducerSettings::default();
            Arc::new(OutputProducer::transactional(connection, &format!("turn-{index}"), &settings).unwrap())
        })
        .collect();
    let mut member = Member::join(connection, &settings("turn"));
    let _queues = member.take_over(None);
    let send = |producer: &OutputProducer, number: i64| {
        let record = numbered(0, number);
        producer.send(&Outgoing::from(&record)).unwrap();
    };
    for round in 0..4 {
        let (filling, handle) = (Arc::clone(&producers[round % 2]), member.consumer.handle());
        filling.begin().unwrap();
        (0..100).for_each(|index| send(&filling, round as i64 * 100 + index));
        let committed = std::thread::spawn(move || {
            if round == 2 {
                return filling.abort().unwrap();
            }
            filling.flush().unwrap();
            assert_eq!(filling.unacknowledged(), 0);
            filling.send_offsets(&[(at(0), round as i64)], &handle.group_metadata().unwrap()).unwrap();
            filling.commit().unwrap();
        });
        committed.join().unwrap();
    }
    assert_eq!(member.consumer.handle().committed(&[at(0)], DEADLINE).unwrap(), [(at(0), Some(3))]);
    let (mut reader, mut numbers) = (Reader::open(connection, TOPIC, &[(0, None)]).unwrap(), Vec::new());
    let each = |record: Record| {
        numbers.push(std::str::from_utf8(record.key.as_deref().unwrap()).unwrap().parse::<i64>().unwrap());
        Ok(())
    };
    reader.read_to_end(DEADLINE, each).unwrap();
    assert_eq!(numbers, (0..200).chain(300..400).collect::<Vec<_>>());
}

/// The same test on the development broker and, where there is one, on Apache Kafka.
macro_rules! on_each_broker {
    ($($name:ident: $test:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn on_the_development_broker() {
                let test: fn(&Connection) = $test;
                test(&TestCluster::embedded().connection());
            }

            #[test]
            fn on_kafka() {
                let test: fn(&Connection) = $test;
                if let Some(cluster) = TestCluster::kafka() {
                    test(&cluster.connection());
                }
            }
        }
    )*};
}

on_each_broker! {
    sticky_members_read_every_partition_in_order: |connection| every_partition_is_read_in_order(connection, &settings("g"));
    range_members_read_every_partition_in_order: |connection| {
        every_partition_is_read_in_order(connection, &GroupSettings { assignment: Assignment::Range, ..settings("g") });
    };
    named_members_read_every_partition_in_order: |connection| {
        let session_timeout = Duration::from_secs(6); // A named member does not leave: its group stays for so long.
        let named = GroupSettings { instance: Some("a".to_owned()), session_timeout, ..settings("named") };
        every_partition_is_read_in_order(connection, &named);
    };
    a_seek_brings_nothing_older: seeks_bring_nothing_older;
    a_released_partition_brings_nothing: what_is_released_brings_nothing_and_can_be_taken_again;
    a_close_does_not_wait_for_who_holds_something: a_close_ends_queues_and_handles;
    an_offset_that_retention_has_deleted_is_a_typed_error: an_offset_that_is_gone;
    a_delivery_that_failed_fails_the_commit: a_failed_delivery;
    transactions_are_ended_by_another_thread: transactions_in_turn;
    bulk_reading_lends_every_record: a_bulk_reader_lends_each_partition_from_its_offset_to_its_end;
    a_topics_own_configuration_is_told_from_defaults: what_is_set_on_a_topic;
    bulk_reading_skips_nothing: a_bulk_reader_reports_an_offset_that_is_gone;
}

#[test]
fn the_new_group_protocol_reads_every_partition_in_order() {
    for assignment in [Assignment::Sticky, Assignment::Range] {
        let Some(cluster) = TestCluster::kafka() else { return };
        let settings = GroupSettings { protocol: GroupProtocol::Consumer, assignment, ..settings("new") };
        every_partition_is_read_in_order(&cluster.connection(), &settings);
    }
}

fn what_is_set_on_a_topic(connection: &Connection) {
    create_topic(connection, 1, &[("cleanup.policy", "compact")]);
    let admin = Admin::new(connection, DEADLINE).unwrap();
    let set = [("cleanup.policy", "compact"), ("retention.ms", "-1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(admin.topic_config(TOPIC).unwrap(), set);
    let effective = admin.effective_topic_config(TOPIC).unwrap();
    assert!(set.iter().all(|entry| effective.contains(entry)) && effective.len() > 5, "{effective:?}");
    assert!(admin.topic_config("no-such-topic").is_err());
}

fn an_offset_that_is_gone(connection: &Connection) {
    create_topic(connection, 2, &[]);
    produce(connection, 1, 0..100);
    Admin::new(connection, DEADLINE).unwrap().delete_records(TOPIC, &[(1, Some(50))]).unwrap();
    let mut member = Member::join(connection, &settings("gone"));
    let mut queues = member.take_over(Some(10));
    let mut records = Vec::new();
    let error = member.when_woken("an error", |_| queues[1].read(&mut records, 10).err());
    let ClientError::OffsetOutOfRange { topic, partition: 1, offset: Some(10), .. } = &error else {
        panic!("{error:?} instead of an offset out of range");
    };
    assert_eq!((topic.as_str(), error.kind(), records.len()), (TOPIC, ErrorKind::Stop, 0));
    // A group without an offset begins where the records begin.
    member.consumer.unassign(&[at(1)]).unwrap();
    let mut again = member.consumer.assign(&[(at(1), None)]).unwrap();
    expect_numbered(&member.read(&mut again[0], 50), 1, 50..100);
}

fn a_failed_delivery(connection: &Connection) {
    create_topic(connection, 1, &[("max.message.bytes", "1000"), ("compression.type", "producer")]);
    let producers = [
        OutputProducer::idempotent(connection, &ProducerSettings::default()).unwrap(),
        OutputProducer::transactional(connection, "too-large", &ProducerSettings::default()).unwrap(),
    ];
    let large: Vec<u8> = (0..20_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let outgoing = |value| Outgoing {
        topic: TOPIC,
        partition: Some(0),
        timestamp_ms: None,
        key: None,
        value: Some(value),
        headers: NO_HEADERS.get_or_init(Headers::default),
    };
    for producer in producers {
        producer.begin().unwrap();
        producer.send(&outgoing(&large)).unwrap();
        let error = producer.commit().unwrap_err();
        assert!(!producer.is_transactional() || error.kind() == ErrorKind::Abort, "{error:?}");
        producer.abort().unwrap();
        // The next one is not to blame. Its first try may still meet the gap in the sequence that the failed record has
        // left, upon which librdkafka takes a new epoch.
        let small = || {
            producer.begin().unwrap();
            producer.send(&outgoing(b"small")).unwrap();
            producer.commit().map_err(|error| {
                assert_eq!(error.kind(), ErrorKind::Abort, "{error:?}");
                producer.abort().unwrap();
            })
        };
        small().or_else(|()| small()).unwrap();
        producer.serve();
        assert_eq!(producer.unacknowledged(), 0);
    }
}

static NO_HEADERS: std::sync::OnceLock<Headers> = std::sync::OnceLock::new();

#[test]
fn a_member_that_is_not_called_for_too_long_hears_of_it() {
    let Some(cluster) = TestCluster::kafka() else { return };
    let connection = cluster.connection();
    create_topic(&connection, 1, &[]);
    let patience = Duration::from_secs(6);
    let settings = GroupSettings { session_timeout: patience, max_poll_interval: patience, ..settings("stalls") };
    let mut member = Member::join(&connection, &settings);
    drop(member.take_over(None));
    assert!(matches!(member.next_event(), GroupEvent::Stalled));
}

#[test]
fn a_refused_connection_is_named_as_the_cause() {
    let error = Connection::new("127.0.0.1:1").topics(Duration::from_secs(1)).unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

/// Reads with a bulk reader until each partition's end; gives what came of each, and where each ended.
fn read_bulk(connection: &Connection, from: &[(TopicPartition, i64)]) -> Vec<(Vec<Record>, i64)> {
    let mut reader = BulkReader::open(connection, from, &BulkSettings::default()).unwrap();
    let (mut records, mut ends) = (vec![Vec::new(); from.len()], vec![None; from.len()]);
    let started = Instant::now();
    while ends.contains(&None) {
        let each = |lent: Lent<'_>| {
            match lent {
                Lent::Record(record) => records[record.source()].push(record.copy(&from[record.source()].0)),
                Lent::End { source, offset } => ends[source] = Some(offset),
            }
            Ok::<(), ClientError>(())
        };
        reader.read(500, Duration::from_millis(100), each).unwrap();
        assert!(started.elapsed() < DEADLINE, "{ends:?}");
    }
    records.into_iter().zip(ends.into_iter().flatten()).collect()
}

fn a_bulk_reader_lends_each_partition_from_its_offset_to_its_end(connection: &Connection) {
    create_topic(connection, 3, &[]);
    produce(connection, 0, 0..2_000);
    produce(connection, 2, 0..3_000);
    let read = read_bulk(connection, &[(at(2), 0), (at(0), 10), (at(1), 0)]);
    expect_numbered(&read[0].0, 2, 0..3_000);
    expect_numbered(&read[1].0, 0, 10..2_000);
    assert_eq!(
        read.iter().map(|(records, end)| (records.len(), *end)).collect::<Vec<_>>(),
        [(3_000, 3_000), (1_990, 2_000), (0, 0)]
    );
}

fn a_bulk_reader_reports_an_offset_that_is_gone(connection: &Connection) {
    create_topic(connection, 1, &[]);
    let mut reader = BulkReader::open(connection, &[(at(0), 5)], &BulkSettings::default()).unwrap();
    let started = Instant::now();
    let error = loop {
        match reader.read(10, Duration::from_millis(100), |_| Ok::<(), ClientError>(())) {
            Err(error) => break error,
            Ok(_) => assert!(started.elapsed() < DEADLINE),
        }
    };
    assert!(matches!(error, ClientError::OffsetOutOfRange { offset: Some(5), .. }), "{error}");
}
