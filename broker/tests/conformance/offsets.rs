//! Committed offsets: resumed from, guarded by the generation, absent without fuss.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{assign, consumer, poll, publish, read, values};
use crate::raw::Raw;
use crate::site::{PATIENCE, Site, block_on, options, until};

/// Commits an offset of partition 0, with metadata.
fn commit(consumer: &BaseConsumer, topic: &str, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    offsets.find_partition(topic, 0).unwrap().set_metadata("a note");
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// The committed offset of partition 0 and its metadata.
pub fn committed(consumer: &BaseConsumer, topic: &str) -> (Offset, String) {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let partition = answer.find_partition(topic, 0).unwrap();
    partition.error().unwrap();
    (partition.offset(), partition.metadata().to_owned())
}

pub fn committed_offsets_resume(site: &Site) {
    let (topic, group) = (site.topic(1, &[]), site.fresh("group"));
    publish(site, &topic, ["0", "1", "2", "3"]);
    let first = consumer(site, &group, &[]);
    first.subscribe(&[&topic]).unwrap();
    assert_eq!(values(&read(&first, 2)), ["0", "1"]);
    commit(&first, &topic, 2);
    drop(first);
    let second = consumer(site, &group, &[]);
    assert_eq!(committed(&second, &topic), (Offset::Offset(2), "a note".to_owned()));
    second.subscribe(&[&topic]).unwrap();
    assert_eq!(values(&read(&second, 2)), ["2", "3"]);

    // A client without membership takes over once the group is empty.
    drop(second);
    let manual = consumer(site, &group, &[]);
    assign(&manual, &topic, Offset::Stored);
    assert_eq!(read(&manual, 1)[0].offset(), 2);
    until("the group to be empty", || {
        let groups = manual.fetch_group_list(Some(&group), PATIENCE).unwrap();
        (groups.groups().first()?.state() == "Empty").then_some(())
    });
    commit(&manual, &topic, 1);
    assert_eq!(committed(&manual, &topic).0, Offset::Offset(1));
}

pub fn a_stale_generation_may_not_commit(site: &Site) {
    let (topic, group) = (site.topic(1, &[]), site.fresh("group"));
    let member = consumer(site, &group, &[]);
    member.subscribe(&[&topic]).unwrap();
    let member_id = until("the group to be stable", || {
        poll(&member, Duration::from_millis(20));
        let groups = member.fetch_group_list(Some(&group), PATIENCE).unwrap();
        let described = groups.groups().first().filter(|group| group.state() == "Stable")?;
        Some(described.members()[0].id().to_owned())
    });
    let text = |value: &str| StrBytes::from_string(value.to_owned());
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
    let commits = OffsetCommitRequestTopic::default().with_name(TopicName(text(&topic)));
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(&group)))
        .with_topics(vec![commits.with_partitions(vec![partition])]);
    let mut raw = Raw::connect(site);
    let mut answer = |member_id: &str, generation: i32| {
        let request = request.clone().with_member_id(text(member_id)).with_generation_id_or_member_epoch(generation);
        raw.call(&request, 7).topics[0].partitions[0].error_code
    };
    assert_eq!(answer(&member_id, 0), ResponseError::IllegalGeneration.code());
    assert_eq!(answer(&member_id, 99), ResponseError::IllegalGeneration.code());
    assert_eq!(answer("nobody", 1), ResponseError::UnknownMemberId.code());
    assert_eq!(answer("", -1), ResponseError::UnknownMemberId.code(), "the group has members");
    assert_eq!(committed(&member, &topic).0, Offset::Invalid, "nothing was committed");
}

pub fn an_unknown_group_has_no_offsets(site: &Site) {
    let topic = site.topic(1, &[]);
    let consumer = consumer(site, &site.fresh("unknown"), &[]);
    assert_eq!(committed(&consumer, &topic), (Offset::Invalid, String::new()));
}

pub fn an_unknown_topic_takes_no_commit(site: &Site) {
    let topic = site.topic(1, &[]);
    let consumer = consumer(site, &site.fresh("group"), &[]);
    let refusal = |topic: &str, partition| {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(1)).unwrap();
        consumer.commit(&offsets, CommitMode::Sync).err().and_then(|error| error.rdkafka_error_code())
    };
    assert_eq!(refusal(&topic, 0), None);
    assert_eq!(refusal(&topic, 7), Some(RDKafkaErrorCode::UnknownTopicOrPartition));
    assert_eq!(refusal(&site.fresh("unknown"), 0), Some(RDKafkaErrorCode::UnknownTopicOrPartition));
}

/// A topic takes its commits along: another of the same name starts anew.
pub fn a_deleted_topic_forgets_its_commits(site: &Site) {
    let topic = site.topic(1, &[]);
    let consumer = consumer(site, &site.fresh("group"), &[]);
    commit(&consumer, &topic, 5);
    assert_eq!(committed(&consumer, &topic).0, Offset::Offset(5));
    block_on(site.admin().delete_topics(&[&topic], &options())).unwrap().remove(0).unwrap();
    until("the name to be free", || site.create(&topic, 1, &[]).ok());
    until("the commit to be forgotten", || (committed(&consumer, &topic).0 == Offset::Invalid).then_some(()));
}
