//! A cluster with contracts applied, for the engine's tests.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use unchain::contract::system::DeadLetter;
use unchain::contract::{Contract, Decoder, Encoder, SchemaRegistry, Topic, apply_topics, open_registry};
use unchain::engine::{Engine, EngineError, EngineSettings};
use unchain::kafka::{Admin, Connection, Headers, NewRecord, Publisher, PublisherSettings, Reader};
use unchain::process::Processor;
use unchain::produce::Producer;
use unchain::recovery::dead_letters;
use unchain_testkit::TestCluster;
pub use unchain_testkit::contracts::{Count, Item, Item2, Total};

const DEADLINE: Duration = Duration::from_secs(60);

const TOPICS: [&Topic; 5] = [Item::TOPIC, Item2::TOPIC, Count::TOPIC, Total::TOPIC, DeadLetter::TOPIC];

/// A cluster with the contracts applied.
pub struct Fixture {
    cluster: TestCluster,
    registry: Arc<dyn SchemaRegistry>,
}

impl Fixture {
    pub fn embedded() -> Fixture {
        Fixture::on(TestCluster::embedded())
    }

    pub fn on(cluster: TestCluster) -> Fixture {
        let connection = cluster.connection();
        let registry = open_registry(&connection, DEADLINE).unwrap();
        apply_topics(&connection, &*registry, &TOPICS, DEADLINE).unwrap();
        Fixture { cluster, registry }
    }

    fn connection(&self) -> Connection {
        self.cluster.connection()
    }

    pub fn produce<C: Contract>(&self, values: impl Iterator<Item = C>) {
        let registry = Arc::clone(&self.registry);
        let mut producer =
            Producer::connect(&self.connection(), registry, "test", PublisherSettings::default()).unwrap();
        for (index, value) in values.enumerate() {
            producer.send(&format!("test-{index}"), &value).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }

    pub fn produce_bytes(&self, topic: &str, key: &'static str, value: &'static [u8]) {
        let publisher = Publisher::new(&self.connection(), PublisherSettings::default()).unwrap();
        let (key, value) = (Some(Bytes::from_static(key.as_bytes())), Some(Bytes::from_static(value)));
        let record = NewRecord { topic, partition: None, timestamp_ms: None, key, value, headers: Headers::default() };
        publisher.send(&record).unwrap();
        publisher.flush(DEADLINE).unwrap();
    }

    /// A value's bytes as a producer writes them.
    pub fn encode<C: Contract>(&self, value: &C) -> Bytes {
        let mut bytes = Vec::new();
        Encoder::<C>::register(&*self.registry).unwrap().encode(value, &mut bytes).unwrap();
        bytes.into()
    }

    /// Writes records as they are, in their order.
    pub fn produce_raw(&self, records: Vec<NewRecord<'_>>) {
        let connection = self.connection().with_property("message.max.bytes", "12000000").unwrap();
        let publisher = Publisher::new(&connection, PublisherSettings::default()).unwrap();
        for record in &records {
            publisher.send(record).unwrap();
        }
        publisher.flush(DEADLINE).unwrap();
    }

    /// Writes an item to a partition of its topic.
    pub fn produce_to(&self, partition: i32, item: &Item) {
        self.produce_raw(vec![NewRecord {
            topic: Item::TOPIC.name,
            partition: Some(partition),
            timestamp_ms: None,
            key: Some(Bytes::copy_from_slice(item.key.as_bytes())),
            value: Some(self.encode(item)),
            headers: Headers::default(),
        }]);
    }

    pub fn admin(&self) -> Admin {
        Admin::new(&self.connection(), DEADLINE).unwrap()
    }

    /// Waits until a condition holds.
    pub fn wait_until(&self, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < DEADLINE, "the condition does not come to hold");
            #[allow(clippy::disallowed_methods, reason = "the pause between two looks")]
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn try_start(&self, processors: &[Processor], settings: &EngineSettings) -> Result<Engine, EngineError> {
        Engine::start(&self.connection(), &self.registry, processors, settings, dead_letters)
    }

    pub fn start(&self, processors: &[Processor], settings: EngineSettings) -> Engine {
        self.try_start(processors, &settings).unwrap()
    }

    pub fn delete(&self, topic: &str) {
        Admin::new(&self.connection(), DEADLINE).unwrap().delete_topics(&[topic]).unwrap();
        let started = Instant::now();
        while self.connection().topics(DEADLINE).unwrap().iter().any(|existing| existing.name == topic) {
            assert!(started.elapsed() < DEADLINE, "topic {topic} is still there");
        }
    }

    /// Every committed record of a topic, in the order of each partition, once there are `count` of them.
    pub fn wait_for<C: Contract>(&self, count: usize) -> Vec<C> {
        let mut decoder = Decoder::<C>::new(Arc::clone(&self.registry));
        let started = Instant::now();
        loop {
            let mut values = Vec::new();
            let partitions: Vec<_> = (0..C::TOPIC.partitions).map(|partition| (partition, None)).collect();
            let mut reader = Reader::open(&self.connection(), C::TOPIC.name, &partitions).unwrap();
            reader
                .read_to_end(DEADLINE, |record| {
                    values.push(decoder.decode(record.value.as_deref().unwrap()).unwrap());
                    Ok(())
                })
                .unwrap();
            assert!(values.len() <= count, "{} records in {}, more than {count}", values.len(), C::TOPIC.name);
            if values.len() == count {
                return values;
            }
            assert!(started.elapsed() < DEADLINE, "{} of {count} records in {}", values.len(), C::TOPIC.name);
        }
    }

    pub fn wait_for_letters(&self, count: usize) -> Vec<DeadLetter> {
        self.wait_for(count)
    }
}

/// The same test on the development broker and, where there is one, on Apache Kafka.
macro_rules! on_each_broker {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn on_the_development_broker() {
                let test: fn(&Fixture) = $test;
                test(&Fixture::embedded());
            }

            #[test]
            fn on_kafka() {
                let test: fn(&Fixture) = $test;
                if let Some(cluster) = unchain_testkit::TestCluster::kafka() {
                    test(&Fixture::on(cluster));
                }
            }
        }
    };
}

pub(crate) use on_each_broker;
