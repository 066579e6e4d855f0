//! An idempotent producer (KIP-98) whose connections break while requests are in flight.

use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer};

use crate::client::{Sender, read_all, values};
use crate::proxy::Proxy;
use crate::site::{Site, until};

pub fn cut_connections_neither_lose_nor_double_records(site: &Site) {
    let (topic, count, cuts) = (site.topic(1, &[]), 20_000, 4);
    let proxy = Proxy::before(site);
    let settings = [
        ("enable.idempotence", "true"),
        ("batch.num.messages", "100"),
        ("reconnect.backoff.ms", "10"),
        ("reconnect.backoff.max.ms", "50"),
        ("retry.backoff.ms", "10"),
        ("retry.backoff.max.ms", "50"),
    ];
    let sender = Sender::new(&proxy.site().config(), &settings);
    for index in 0..count {
        sender.send(BaseRecord::to(&topic).partition(0).payload(index.to_string().as_bytes()));
        if index % (count / cuts) == count / cuts / 2 {
            until("records to be in flight over a connection", || {
                sender.producer.poll(Duration::from_millis(1));
                (sender.producer.in_flight_count() > 0 && proxy.cut() > 0).then_some(())
            });
        }
    }
    assert_eq!(sender.deliver().len(), count);

    let expected: Vec<String> = (0..count).map(|index| index.to_string()).collect();
    let records = read_all(site, &topic, 1, "read_committed");
    assert!(values(&records) == expected, "{} records of {count}, or out of order", records.len());
}
