//! Where a reader starts: without a committed offset, and with one that does not exist.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{assign, consumer, publish, read, values};
use crate::site::{Site, until};

/// Polls until librdkafka has said that the partition's end is reached: from then on new records are new.
fn reach_the_end(consumer: &BaseConsumer) {
    until("the end of the partition", || match consumer.poll(Duration::from_millis(100))? {
        Err(KafkaError::PartitionEOF(0)) => Some(()),
        Ok(_) => panic!("there was nothing to read"),
        Err(error) => panic!("{error}"),
    });
}

pub fn a_new_group_starts_where_it_is_told(site: &Site) {
    let topic = site.topic(1, &[]);
    publish(site, &topic, ["old"]);
    let earliest = consumer(site, &site.fresh("group"), &[("auto.offset.reset", "earliest")]);
    earliest.subscribe(&[&topic]).unwrap();
    assert_eq!(values(&read(&earliest, 1)), ["old"]);

    let latest = consumer(site, &site.fresh("group"), &[("auto.offset.reset", "latest")]);
    latest.subscribe(&[&topic]).unwrap();
    reach_the_end(&latest);
    publish(site, &topic, ["new"]);
    assert_eq!(values(&read(&latest, 1)), ["new"]);

    let strict = consumer(site, &site.fresh("group"), &[("auto.offset.reset", "error")]);
    strict.subscribe(&[&topic]).unwrap();
    let error = until("the missing offset to be reported", || strict.poll(Duration::from_millis(100))).unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset));
}

pub fn an_offset_out_of_range_resets_as_told(site: &Site) {
    let topic = site.topic(1, &[]);
    publish(site, &topic, ["first", "second"]);
    let beyond = Offset::Offset(1_000);
    let earliest = consumer(site, &site.fresh("group"), &[("auto.offset.reset", "earliest")]);
    assign(&earliest, &topic, beyond);
    assert_eq!(values(&read(&earliest, 2)), ["first", "second"]);

    let latest = consumer(site, &site.fresh("group"), &[("auto.offset.reset", "latest")]);
    assign(&latest, &topic, beyond);
    reach_the_end(&latest);
    publish(site, &topic, ["third"]);
    assert_eq!(values(&read(&latest, 1)), ["third"]);

    let strict = consumer(site, &site.fresh("group"), &[("auto.offset.reset", "error")]);
    assign(&strict, &topic, beyond);
    let error = until("the offset to be refused", || strict.poll(Duration::from_millis(100))).unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset));
}
