//! Topics: created, described, grown, configured, deleted.

use rdkafka::admin::{AlterConfig, ConfigSource, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;

use crate::client::{Sender, consumer, publish};
use crate::site::{PATIENCE, Site, block_on, options, until};

pub fn created_topics_are_described(site: &Site) {
    let topic = site.topic(3, &[]);
    let metadata = site.admin().inner().fetch_metadata(Some(&topic), PATIENCE).unwrap();
    let mut partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2]);
    assert_eq!(site.create(&topic, 3, &[]), Err(RDKafkaErrorCode::TopicAlreadyExists));
    assert_eq!(site.create(&site.fresh("none"), 0, &[]), Err(RDKafkaErrorCode::InvalidPartitions));
    assert_eq!(site.create("no/slash", 1, &[]), Err(RDKafkaErrorCode::InvalidTopic));
    let refused = site.create(&site.fresh("odd"), 1, &[("cleanup.policy", "no such policy")]);
    assert_eq!(refused, Err(RDKafkaErrorCode::InvalidConfig));
}

pub fn deleted_topics_are_gone(site: &Site) {
    let topic = site.topic(1, &[]);
    let admin = site.admin();
    let delete = || block_on(admin.delete_topics(&[&topic], &options())).unwrap().remove(0);
    assert_eq!(delete(), Ok(topic.clone()));
    until("the topic to be gone", || {
        let metadata = admin.inner().fetch_metadata(None, PATIENCE).unwrap();
        metadata.topics().iter().all(|known| known.name() != topic).then_some(())
    });
    assert_eq!(delete(), Err((topic.clone(), RDKafkaErrorCode::UnknownTopicOrPartition)));
    site.create(&topic, 1, &[]).unwrap();
}

pub fn partitions_grow(site: &Site) {
    let topic = site.topic(2, &[]);
    let grow = |count| {
        let partitions = NewPartitions::new(&topic, count);
        block_on(site.admin().create_partitions([&partitions], &options())).unwrap().remove(0)
    };
    grow(4).unwrap();
    site.await_partitions(&topic, 4);
    let sender = Sender::new(&site.config(), &[]);
    sender.send(BaseRecord::to(&topic).partition(3).payload(b"grown"));
    assert_eq!(sender.deliver(), [(3, 0)]);
    assert_eq!(grow(3).unwrap_err().1, RDKafkaErrorCode::InvalidPartitions);
}

pub fn configs_are_read_and_altered(site: &Site) {
    let topic = site.topic(1, &[("retention.ms", "3600000"), ("cleanup.policy", "compact")]);
    let admin = site.admin();
    let read = |name: &str| {
        let described = block_on(admin.describe_configs([&ResourceSpecifier::Topic(&topic)], &options())).unwrap();
        let entry = described[0].as_ref().unwrap().get(name).unwrap();
        (entry.value.clone().unwrap(), entry.source == ConfigSource::DynamicTopic)
    };
    assert_eq!(read("retention.ms"), ("3600000".to_owned(), true));
    assert_eq!(read("cleanup.policy"), ("compact".to_owned(), true));
    assert_eq!(read("max.message.bytes"), ("1048588".to_owned(), false));
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "-1");
    block_on(admin.alter_configs([&change], &options())).unwrap().remove(0).unwrap();
    until("the new setting to be read", || (read("retention.ms") == ("-1".to_owned(), true)).then_some(()));
    assert_eq!(read("cleanup.policy"), ("delete".to_owned(), false), "AlterConfigs resets what it does not name");
}

pub fn unknown_topics_are_refused(site: &Site) {
    let topic = site.fresh("unknown");
    let consumer = consumer(site, &site.fresh("group"), &[]);
    consumer.subscribe(&[&topic]).unwrap();
    let error = until("the subscription to be refused", || consumer.poll(Duration::from_millis(100))).unwrap_err();
    assert_eq!(error, KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition));
    let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
    assert!(metadata.topics()[0].error().is_some(), "asking does not create a topic");
}

pub fn watermarks_follow_the_records(site: &Site) {
    let topic = site.topic(1, &[]);
    let consumer = consumer(site, &site.fresh("group"), &[]);
    assert_eq!(consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (0, 0));
    publish(site, &topic, ["a", "b", "c"]);
    assert_eq!(consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (0, 3));
    assert!(consumer.fetch_watermarks(&topic, 9, PATIENCE).is_err(), "there is no partition 9");
}
