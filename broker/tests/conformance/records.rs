//! Single records: their parts, their size, and how soon a reader gets them.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{Sender, assign, consumer, poll, publish, read_all};
use crate::site::{PATIENCE, Site};

pub fn keys_headers_and_nulls_are_kept(site: &Site) {
    let topic = site.topic(1, &[]);
    let sender = Sender::new(&site.config(), &[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("1") })
        .insert(Header { key: "trace", value: Some("2") })
        .insert(Header::<&str> { key: "null", value: None })
        .insert(Header { key: "empty", value: Some("") });
    sender.send(BaseRecord::to(&topic).partition(0).key("key").payload(b"value").headers(headers));
    sender.send::<[u8]>(BaseRecord::to(&topic).partition(0).key("tombstone"));
    sender.send(BaseRecord::to(&topic).partition(0).key("").payload(b""));
    sender.send(BaseRecord::to(&topic).partition(0).payload(b"no key"));
    sender.deliver();

    let records = read_all(site, &topic, 1, "read_committed");
    let parts: Vec<_> = records.iter().map(|record| (record.key(), record.payload())).collect();
    assert_eq!(
        parts,
        [
            (Some(&b"key"[..]), Some(&b"value"[..])),
            (Some(b"tombstone"), None),
            (Some(b""), Some(b"")),
            (None, Some(b"no key")),
        ]
    );
    let read: Vec<_> = records[0].headers().unwrap().iter().map(|header| (header.key, header.value)).collect();
    assert_eq!(
        read,
        [("trace", Some(&b"1"[..])), ("trace", Some(b"2")), ("null", None), ("empty", Some(b""))],
        "headers keep their order, and null is not empty"
    );
    assert!(records[1].headers().is_none());
}

pub fn a_record_of_one_megabyte_is_kept(site: &Site) {
    let topic = site.topic(1, &[]);
    let payload: Vec<u8> = (0..1_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sender = Sender::new(&site.config(), &[("message.max.bytes", "2000000")]);
    sender.send(BaseRecord::to(&topic).partition(0).payload(&payload));
    sender.deliver();
    let records = read_all(site, &topic, 1, "read_committed");
    assert!(records[0].payload() == Some(&payload[..]), "the payload differs");
}

pub fn too_large_a_record_is_refused(site: &Site) {
    let topic = site.topic(1, &[("max.message.bytes", "10000")]);
    let sender = Sender::new(&site.config(), &[]);
    sender.send(BaseRecord::to(&topic).partition(0).payload(&[7; 20_000]));
    assert_eq!(sender.flush(), [Err(RDKafkaErrorCode::MessageSizeTooLarge)]);
    sender.send(BaseRecord::to(&topic).partition(0).payload(&[7; 5_000]));
    assert_eq!(sender.deliver(), [(0, 0)], "the producer goes on, and the refused record left nothing");
}

/// A fetch that finds nothing waits at the broker. It must be woken by the first record, not by its own timeout.
pub fn a_waiting_fetch_is_woken_by_a_record(site: &Site) {
    let topic = site.topic(1, &[]);
    let waits_for_long = [("fetch.wait.max.ms", "60000"), ("socket.timeout.ms", "70000")];
    let consumer = consumer(site, &site.fresh("group"), &waits_for_long);
    assign(&consumer, &topic, Offset::Beginning);
    assert!(poll(&consumer, Duration::from_millis(500)).is_none(), "an empty topic has no record");
    publish(site, &topic, ["first"]);
    let deadline = Instant::now() + PATIENCE;
    while poll(&consumer, Duration::from_millis(100)).is_none() {
        assert!(Instant::now() < deadline, "the fetch slept on");
    }
}
