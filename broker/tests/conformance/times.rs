//! Timestamps: whose they are, and finding offsets by them.

use std::time::SystemTime;

use rdkafka::consumer::Consumer;
use rdkafka::message::{Message, Timestamp};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{Sender, consumer, read_all};
use crate::site::{PATIENCE, Site};

fn now_ms() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64
}

/// Sends one record a timestamp to partition 0.
fn publish_at(site: &Site, topic: &str, timestamps: &[i64]) {
    let sender = Sender::new(&site.config(), &[]);
    for timestamp in timestamps {
        sender.send(BaseRecord::to(topic).partition(0).payload(b"at").timestamp(*timestamp));
    }
    sender.deliver();
}

pub fn create_time_is_the_producers(site: &Site) {
    // Replayed history: such records live only where retention does not judge them by their time.
    let topic = site.topic(1, &[("retention.ms", "-1")]);
    let times = [870_000_000_000, 870_000_000_500, 1];
    publish_at(site, &topic, &times);
    let read: Vec<_> = read_all(site, &topic, 1, "read_committed").iter().map(Message::timestamp).collect();
    assert_eq!(read, times.map(Timestamp::CreateTime));
}

pub fn append_time_is_the_brokers(site: &Site) {
    let topic = site.topic(1, &[("message.timestamp.type", "LogAppendTime")]);
    let before = now_ms();
    publish_at(site, &topic, &[870_000_000_000, 870_000_000_500]);
    let after = now_ms();
    for record in read_all(site, &topic, 1, "read_committed") {
        let Timestamp::LogAppendTime(time) = record.timestamp() else { panic!("{:?}", record.timestamp()) };
        assert!((before..=after).contains(&time), "{before} <= {time} <= {after}");
    }
}

pub fn offsets_are_found_by_time(site: &Site) {
    let topic = site.topic(1, &[("retention.ms", "-1")]);
    let start = 1_600_000_000_000;
    publish_at(site, &topic, &[start, start + 100, start + 200]);
    publish_at(site, &topic, &[start + 300, start + 400]);
    let consumer = consumer(site, &site.fresh("group"), &[]);
    let found = |time: i64| {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&topic, 0, Offset::Offset(time)).unwrap();
        consumer.offsets_for_times(asked, PATIENCE).unwrap().find_partition(&topic, 0).unwrap().offset()
    };
    assert_eq!(found(start - 1), Offset::Offset(0));
    assert_eq!(found(start + 100), Offset::Offset(1), "the first record at or after the time");
    assert_eq!(found(start + 101), Offset::Offset(2), "inside a batch");
    assert_eq!(found(start + 201), Offset::Offset(3), "in the next batch");
    assert_eq!(found(start + 401), Offset::End, "no record is that late");
}
