//! A plain rdkafka client against the broker in memory: produce, fetch, offsets, configuration.
#![allow(clippy::unwrap_used)]

mod common;

use common::{PATIENCE, client, create_topic, produce, read_all};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::BaseProducer;
use unchain_broker::{Broker, BrokerConfig};

#[test]
fn what_is_produced_is_consumed_under_every_codec() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let servers = broker.bootstrap_servers();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        create_topic(&servers, &topic, 1, &[]);
        let producer: BaseProducer =
            client(&servers).set("compression.type", codec).set("enable.idempotence", "true").create().unwrap();
        let values: Vec<String> = (0..1_000).map(|n| format!("value {n}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        produce(&producer, &topic, &values);
        assert_eq!(read_all(&servers, &topic, "read_uncommitted"), values);
        let reader: BaseConsumer = client(&servers).create().unwrap();
        assert_eq!(reader.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (0, 1_000));
    }
    broker.stop();
}
