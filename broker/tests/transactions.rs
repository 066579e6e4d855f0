//! Transactions of rdkafka producers, seen through `read_committed`: commit, abort, fencing, timeout.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, create_topic, produce, read_all, transactional};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, Producer};
use unchain_broker::{Broker, BrokerConfig};

fn started(topic: &str) -> (Broker, String) {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let servers = broker.bootstrap_servers();
    create_topic(&servers, topic, 1, &[]);
    (broker, servers)
}

#[test]
fn committed_records_are_seen_and_aborted_ones_are_not() {
    let (_broker, servers) = started("t");
    let producer = transactional(&servers, "worker", 60_000);
    for (value, commit) in [("one", true), ("two", false), ("three", true), ("four", false)] {
        producer.begin_transaction().unwrap();
        produce(&producer, "t", &[value]);
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    assert_eq!(read_all(&servers, "t", "read_committed"), ["one", "three"]);
    assert_eq!(read_all(&servers, "t", "read_uncommitted"), ["one", "two", "three", "four"]);
}

#[test]
fn an_open_transaction_is_not_seen_until_it_commits() {
    let (_broker, servers) = started("t");
    let producer = transactional(&servers, "worker", 60_000);
    producer.begin_transaction().unwrap();
    produce(&producer, "t", &["open"]);
    assert_eq!(read_all(&servers, "t", "read_committed"), [] as [&str; 0]);
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(read_all(&servers, "t", "read_committed"), ["open"]);
}

#[test]
fn a_second_instance_fences_the_first_with_a_fatal_error() {
    let (_broker, servers) = started("t");
    let first = transactional(&servers, "worker", 60_000);
    first.begin_transaction().unwrap();
    produce(&first, "t", &["zombie"]);
    let second = transactional(&servers, "worker", 60_000);
    second.begin_transaction().unwrap();
    produce(&second, "t", &["heir"]);
    second.commit_transaction(PATIENCE).unwrap();
    let error = first.commit_transaction(PATIENCE).unwrap_err();
    assert!(matches!(&error, rdkafka::error::KafkaError::Transaction(error) if error.is_fatal()), "{error:?}");
    let (code, _) = first.client().fatal_error().unwrap();
    assert_eq!(code, RDKafkaErrorCode::Fenced);
    assert_eq!(read_all(&servers, "t", "read_committed"), ["heir"]);
}

#[test]
fn a_transaction_that_exceeds_its_timeout_is_aborted_and_its_owner_fenced() {
    let (_broker, servers) = started("t");
    let producer = transactional(&servers, "worker", 1_000);
    producer.begin_transaction().unwrap();
    produce(&producer, "t", &["late"]);
    let other = transactional(&servers, "other", 60_000);
    other.begin_transaction().unwrap();
    produce(&other, "t", &["in time"]);
    other.commit_transaction(PATIENCE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while read_all(&servers, "t", "read_committed") != ["in time"] {
        assert!(Instant::now() < deadline, "the hung transaction still holds the stable offset");
    }
    assert!(producer.commit_transaction(Duration::from_secs(5)).is_err());
}

#[test]
fn a_record_outside_any_transaction_is_refused_by_the_client() {
    let (_broker, servers) = started("t");
    let producer = transactional(&servers, "worker", 60_000);
    assert!(producer.send(BaseRecord::<str, str>::to("t").payload("stray")).is_err());
}
