//! Producers and consumers as checks use them: every delivery is accounted for, every read has a deadline.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Message, OwnedMessage, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::site::{PATIENCE, Site};

/// Where a record went, or why not.
pub type Delivery = Result<(i32, i64), RDKafkaErrorCode>;

#[derive(Clone, Default)]
pub struct Deliveries(Arc<Mutex<Vec<Delivery>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let delivery = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        self.0.lock().unwrap().push(delivery);
    }
}

/// A producer that remembers what became of each record.
pub struct Sender {
    pub producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
}

impl Sender {
    pub fn new(config: &ClientConfig, settings: &[(&str, &str)]) -> Self {
        let mut config = config.clone();
        config.set("linger.ms", "1");
        with(&mut config, settings);
        let deliveries = Deliveries::default();
        Self { producer: config.create_with_context(deliveries.clone()).unwrap(), deliveries }
    }

    /// A producer in its first transaction.
    pub fn in_transaction(site: &Site, transactional_id: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = [("transactional.id", transactional_id)].iter().chain(settings).copied().collect();
        let sender = Self::new(&site.config(), &settings);
        sender.producer.init_transactions(PATIENCE).unwrap();
        sender.producer.begin_transaction().unwrap();
        sender
    }

    /// Queues a record, waiting while the queue is full.
    pub fn send<P: ToBytes + ?Sized>(&self, record: BaseRecord<'_, str, P, ()>) {
        let mut record = record;
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    record = returned;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => panic!("cannot produce: {error}"),
            }
        }
    }

    /// Queues values for partition 0.
    pub fn send_all<'a>(&self, topic: &str, values: impl IntoIterator<Item = &'a str>) {
        for value in values {
            self.send(BaseRecord::to(topic).partition(0).payload(value.as_bytes()));
        }
    }

    /// Waits until nothing is in flight, and returns what became of the records since the last call.
    pub fn flush(&self) -> Vec<Delivery> {
        self.producer.flush(PATIENCE).unwrap();
        std::mem::take(&mut *self.deliveries.0.lock().unwrap())
    }

    /// Like [`Sender::flush`], where every record must have arrived.
    #[track_caller]
    pub fn deliver(&self) -> Vec<(i32, i64)> {
        self.flush().into_iter().map(|delivery| delivery.expect("the record is delivered")).collect()
    }

    pub fn commit(&self) -> KafkaResult<()> {
        self.producer.commit_transaction(PATIENCE)
    }

    /// Aborts what has arrived: librdkafka does not poll while it aborts, so deliveries must have been reported.
    pub fn abort(&self) {
        self.flush();
        self.producer.abort_transaction(PATIENCE).unwrap();
    }
}

/// Sends values to partition 0 without a transaction and waits for them to arrive.
pub fn publish<'a>(site: &Site, topic: &str, values: impl IntoIterator<Item = &'a str>) {
    let sender = Sender::new(&site.config(), &[]);
    sender.send_all(topic, values);
    sender.deliver();
}

fn with(config: &mut ClientConfig, settings: &[(&str, &str)]) {
    for (key, value) in settings {
        config.set(*key, *value);
    }
}

pub fn consumer(site: &Site, group: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    consumer_config(site, group, settings).create().unwrap()
}

pub fn consumer_config(site: &Site, group: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = site.config();
    config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    // The end of a partition is reported when a fetch comes back empty: it shall not wait long for records.
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "20");
    config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "200");
    with(&mut config, settings);
    config
}

/// Polls once; the end of a partition and faults that librdkafka mends by itself count as no record.
pub fn poll<C: ConsumerContext>(consumer: &BaseConsumer<C>, wait: Duration) -> Option<OwnedMessage> {
    match consumer.poll(wait)? {
        Ok(message) => Some(message.detach()),
        Err(KafkaError::PartitionEOF(_)) => None,
        Err(KafkaError::MessageConsumption(
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve,
        )) => None,
        Err(error) => panic!("cannot consume: {error}"),
    }
}

/// Reads exactly `count` records.
#[track_caller]
pub fn read<C: ConsumerContext>(consumer: &BaseConsumer<C>, count: usize) -> Vec<OwnedMessage> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::with_capacity(count);
    while records.len() < count {
        assert!(Instant::now() < deadline, "read {} of {count} records in {PATIENCE:?}", records.len());
        records.extend(poll(consumer, Duration::from_millis(100)));
    }
    records
}

/// Everything in partitions 0 to `partitions`, as a reader of that isolation level sees it now.
pub fn read_all(site: &Site, topic: &str, partitions: i32, isolation: &str) -> Vec<OwnedMessage> {
    let consumer = consumer(site, &site.fresh("reader"), &[("isolation.level", isolation)]);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (mut records, mut ends) = (Vec::new(), std::collections::BTreeSet::new());
    while ends.len() < partitions as usize {
        assert!(Instant::now() < deadline, "read {} records without reaching the end", records.len());
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => records.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.insert(partition)),
            Some(Err(error)) => panic!("cannot consume: {error}"),
        }
    }
    records
}

/// Assigns partition 0 of a topic.
pub fn assign<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, offset: Offset) {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, offset).unwrap();
    consumer.assign(&assignment).unwrap();
}

/// The values of records, as text.
pub fn values(records: &[OwnedMessage]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record.payload().unwrap()).unwrap()).collect()
}

/// What a reader that trusts committed records only sees now in partition 0.
pub fn committed_values(site: &Site, topic: &str) -> Vec<String> {
    values(&read_all(site, topic, 1, "read_committed")).into_iter().map(str::to_owned).collect()
}

/// What a reader sees now in partition 0 that also takes records of open and aborted transactions.
pub fn all_values(site: &Site, topic: &str) -> Vec<String> {
    values(&read_all(site, topic, 1, "read_uncommitted")).into_iter().map(str::to_owned).collect()
}
