//! A cluster with contracts applied, for the engine's tests.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use unchain::contract::system::DeadLetter;
use unchain::contract::{Contract, Decoder, SchemaRegistry, Topic, apply_topics, open_registry};
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
