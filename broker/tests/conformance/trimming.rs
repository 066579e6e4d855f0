//! Records that go away: deleted up to an offset, compacted by key.

use std::collections::BTreeMap;

use rdkafka::consumer::Consumer;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{Sender, committed_values, consumer, publish, read_all};
use crate::site::{PATIENCE, Site, block_on, options, until};

pub fn deleted_records_move_the_log_start(site: &Site) {
    let topic = site.topic(1, &[]);
    publish(site, &topic, ["0", "1", "2", "3", "4"]);
    let delete_before = |offset| {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(&topic, 0, offset).unwrap();
        let deleted = block_on(site.admin().delete_records(&before, &options())).unwrap();
        let partition = deleted.find_partition(&topic, 0).unwrap();
        partition.error().map(|()| partition.offset())
    };
    assert_eq!(delete_before(Offset::Offset(3)), Ok(Offset::Offset(3)));
    assert_eq!(committed_values(site, &topic), ["3", "4"]);
    let consumer = consumer(site, &site.fresh("group"), &[]);
    assert_eq!(consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (3, 5));
    assert!(delete_before(Offset::Offset(9)).is_err(), "there is no record 9 yet");
    assert_eq!(delete_before(Offset::End), Ok(Offset::Offset(5)));
    assert_eq!(consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (5, 5));
    publish(site, &topic, ["5"]);
    assert_eq!(committed_values(site, &topic), ["5"]);
}

/// Kafka's cleaner looks every 15 seconds, and never at the newest segment: new records push the old ones out of it.
pub fn compaction_keeps_the_last_of_each_key(site: &Site) {
    let topic = site.topic(
        1,
        &[
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("segment.ms", "100"),
            ("delete.retention.ms", "0"),
        ],
    );
    let sender = Sender::new(&site.config(), &[]);
    for round in 0..50 {
        for key in ["a", "b", "c"] {
            let value = format!("{key}{round}");
            sender.send(BaseRecord::to(&topic).partition(0).key(key).payload(value.as_bytes()));
        }
        sender.deliver();
    }
    let records = until("the older records of each key to go", || {
        sender.send(BaseRecord::to(&topic).partition(0).key("clock").payload(b"tick"));
        sender.deliver();
        let records = read_all(site, &topic, 1, "read_committed");
        let of_a = records.iter().filter(|record| record.key() == Some(b"a")).count();
        (of_a == 1).then_some(records)
    });
    let last: BTreeMap<_, _> = records.iter().map(|record| (record.key().unwrap(), record)).collect();
    let of = |key: &str| last[key.as_bytes()];
    assert_eq!(["a", "b", "c"].map(|key| of(key).payload().unwrap()), [b"a49", b"b49", b"c49"]);
    assert_eq!(["a", "b", "c"].map(|key| OwnedMessage::offset(of(key))), [147, 148, 149], "offsets stay");
}
