//! Consume, transform, produce, and die: every input has exactly one output, however often the process is killed.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::child::{Arguments, Child};
use crate::client::{Sender, consumer, poll, read_all, values};
use crate::site::{PATIENCE, Site, until};

const PARTITIONS: i32 = 2;
const INPUTS: usize = 5_000;
const KILLS: i64 = 4;

pub fn crashes_neither_lose_nor_double_records(site: &Site) {
    let (input, output) = (site.topic(PARTITIONS, &[]), site.topic(PARTITIONS, &[]));
    let (group, transactional_id) = (site.fresh("group"), site.fresh("tx"));
    let sender = Sender::new(&site.config(), &[]);
    for index in 0..INPUTS {
        let value = index.to_string();
        sender.send(BaseRecord::to(&input).partition(index as i32 % PARTITIONS).payload(value.as_bytes()));
    }
    sender.deliver();

    let observer = consumer(site, &group, &[("isolation.level", "read_uncommitted")]);
    let written = || -> i64 {
        (0..PARTITIONS).map(|partition| observer.fetch_watermarks(&output, partition, PATIENCE).unwrap().1).sum()
    };
    let start = || {
        let arguments =
            [("input", &*input), ("output", &output), ("group", &group), ("transactional_id", &transactional_id)];
        Child::start(site, "pipeline", &arguments)
    };
    let mut pipeline = start();
    for kill in 1..=KILLS {
        // Each life gets some work done, and ends wherever it happens to be.
        let enough = kill * INPUTS as i64 / (KILLS + 2);
        until("the pipeline to get on", || (written() >= enough).then_some(()));
        drop(pipeline);
        pipeline = start();
    }
    until("the pipeline to finish", || (progress(&observer, &input) == INPUTS as i64).then_some(()));
    drop(pipeline);

    let records = read_all(site, &output, PARTITIONS, "read_committed");
    let mut outputs: Vec<usize> = values(&records).iter().map(|value| value.parse().unwrap()).collect();
    outputs.sort_unstable();
    assert!(outputs == (0..INPUTS).collect::<Vec<_>>(), "{} outputs of {INPUTS} inputs", outputs.len());
}

/// How many inputs are committed.
fn progress(observer: &BaseConsumer, input: &str) -> i64 {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(input, 0, PARTITIONS - 1);
    let committed = observer.committed_offsets(asked, PATIENCE).unwrap();
    committed.elements().iter().map(|element| element.offset().to_raw().unwrap_or(0).max(0)).sum()
}

/// The part of the process that is killed. A static member takes its partitions back at once, and the producer's
/// transactional id fences its own past.
pub fn be_a_pipeline(site: &Site, arguments: &Arguments, deadline: Instant) {
    let sender = Sender::in_transaction(site, &arguments["transactional_id"], &[]);
    let settings = [("group.instance.id", "pipeline"), ("isolation.level", "read_committed")];
    let consumer = consumer(site, &arguments["group"], &settings);
    consumer.subscribe(&[&arguments["input"]]).unwrap();
    while Instant::now() < deadline {
        let batch: Vec<OwnedMessage> = (0..50).map_while(|_| poll(&consumer, Duration::from_millis(50))).collect();
        if batch.is_empty() {
            continue;
        }
        for record in &batch {
            let output = BaseRecord::to(arguments["output"].as_str()).partition(record.partition());
            sender.send(output.payload(record.payload().unwrap()));
        }
        let mut offsets = TopicPartitionList::new();
        for record in &batch {
            let next = Offset::Offset(record.offset() + 1);
            match offsets.find_partition(record.topic(), record.partition()) {
                Some(mut partition) => partition.set_offset(next).unwrap(),
                None => offsets.add_partition_offset(record.topic(), record.partition(), next).unwrap(),
            }
        }
        let metadata = consumer.group_metadata().unwrap();
        sender.producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE).unwrap();
        sender.commit().unwrap();
        sender.producer.begin_transaction().unwrap();
    }
}
