//! Consumer offsets inside a transaction (KIP-98, KIP-447).

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{Sender, committed_values, consumer, poll, publish};
use crate::offsets::committed;
use crate::site::{PATIENCE, Site, until};

fn up_to(topic: &str, offset: i64) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    offsets
}

/// A member that owns the topic's partition.
fn owner(site: &Site, group: &str, topic: &str) -> BaseConsumer {
    let owner = consumer(site, group, &[("isolation.level", "read_committed")]);
    owner.subscribe(&[topic]).unwrap();
    until("the partition to be owned", || {
        poll(&owner, Duration::from_millis(20));
        (owner.assignment().unwrap().count() == 1).then_some(())
    });
    owner
}

pub fn offsets_commit_with_the_transaction(site: &Site) {
    let (input, output, group) = (site.topic(1, &[]), site.topic(1, &[]), site.fresh("group"));
    publish(site, &input, ["a", "b", "c"]);
    let owner = owner(site, &group, &input);
    let metadata = owner.group_metadata().unwrap();
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    let send = |value, offset| {
        sender.send_all(&output, [value]);
        sender.producer.send_offsets_to_transaction(&up_to(&input, offset), &metadata, PATIENCE).unwrap();
    };
    send("A", 1);
    sender.commit().unwrap();
    assert_eq!(committed(&owner, &input).0, Offset::Offset(1));
    sender.producer.begin_transaction().unwrap();
    send("B", 2);
    sender.abort();
    assert_eq!(committed(&owner, &input).0, Offset::Offset(1), "aborted with its record");
    sender.producer.begin_transaction().unwrap();
    send("C", 3);
    sender.commit().unwrap();
    assert_eq!(committed(&owner, &input).0, Offset::Offset(3));
    assert_eq!(committed_values(site, &output), ["A", "C"]);
}

/// Who takes a partition over must not start from offsets that an open transaction is about to change.
pub fn pending_offsets_hold_readers_back(site: &Site) {
    let (input, group) = (site.topic(1, &[]), site.fresh("group"));
    publish(site, &input, ["a", "b"]);
    let owner = owner(site, &group, &input);
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    let metadata = owner.group_metadata().unwrap();
    sender.producer.send_offsets_to_transaction(&up_to(&input, 1), &metadata, PATIENCE).unwrap();

    let ask = |isolation: &str, patience: Duration| {
        let reader = consumer(site, &group, &[("isolation.level", isolation)]);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&input, 0);
        let answer = reader.committed_offsets(asked, patience)?;
        Ok::<Offset, rdkafka::error::KafkaError>(answer.find_partition(&input, 0).unwrap().offset())
    };
    assert_eq!(ask("read_uncommitted", PATIENCE), Ok(Offset::Invalid), "nothing is committed yet");
    assert!(ask("read_committed", Duration::from_secs(1)).is_err(), "the offset is about to change");
    sender.commit().unwrap();
    assert_eq!(ask("read_committed", PATIENCE), Ok(Offset::Offset(1)));
}

pub fn a_stale_generation_may_not_send_offsets(site: &Site) {
    let (input, group) = (site.topic(1, &[]), site.fresh("group"));
    let former = owner(site, &group, &input);
    let stale = former.group_metadata().unwrap();
    let gone = former.group_metadata().unwrap();
    let second = consumer(site, &group, &[]);
    second.subscribe(&[&input]).unwrap();
    // The group goes on to its next generation, with both.
    until("the group to have two members", || {
        poll(&former, Duration::from_millis(20));
        poll(&second, Duration::from_millis(20));
        let groups = second.fetch_group_list(Some(&group), PATIENCE).unwrap();
        let described = groups.groups().first()?;
        (described.state() == "Stable" && described.members().len() == 2).then_some(())
    });
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    let refused = sender.producer.send_offsets_to_transaction(&up_to(&input, 1), &stale, PATIENCE);
    assert!(refused.is_err(), "an older generation speaks");
    sender.abort();

    // A member that has left is no member.
    drop(former);
    sender.producer.begin_transaction().unwrap();
    let refused = sender.producer.send_offsets_to_transaction(&up_to(&input, 1), &gone, PATIENCE);
    assert!(refused.is_err(), "a former member speaks");
    sender.abort();
    assert_eq!(committed(&second, &input).0, Offset::Invalid);
}
