//! What the integration tests share: a broker, clients, and reading a topic to its end.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// Long enough for a slow machine; no test waits it out when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn client(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

/// Runs a future that needs no runtime of its own.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub fn create_topic(bootstrap_servers: &str, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap_servers).create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = wait(admin.create_topics([&topic], &options)).unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

/// Produces the values to partition 0 and waits for their acknowledgement.
pub fn produce(producer: &BaseProducer, topic: &str, values: &[&str]) {
    for value in values {
        producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(value)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

pub fn transactional(bootstrap_servers: &str, id: &str, timeout_ms: u32) -> BaseProducer {
    let mut config = client(bootstrap_servers);
    config.set("transactional.id", id).set("transaction.timeout.ms", timeout_ms.to_string());
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

/// Everything in partition 0 up to its present end, as a reader of that isolation level sees it.
pub fn read_all(bootstrap_servers: &str, topic: &str, isolation_level: &str) -> Vec<String> {
    let consumer: BaseConsumer = client(bootstrap_servers)
        .set("group.id", "reader")
        .set("isolation.level", isolation_level)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut values = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "no end of {topic} after {values:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap()),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return values,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
}
