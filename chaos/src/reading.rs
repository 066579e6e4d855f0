//! Reads topics whole, as a plain consumer of committed records does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use unchain::contract::{Codecs, Contract, LocalRegistry, RegistryError, SchemaRegistry};
use unchain::kafka::{Connection, OffsetsClient};

use crate::cluster::{BROKER_TIMEOUT, client};
use crate::contracts::{Input, Output, Total, Update};
use crate::verify::{InputRecord, OutputRecord, Place, Says};
use crate::{Failure, pause};

const SILENCE_PATIENCE: Duration = Duration::from_secs(60);
const DECIDED_PATIENCE: Duration = Duration::from_secs(60);

/// What a topic's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    Outputs,
    Updates,
    Totals,
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Committed,
    /// Those of open and aborted transactions too.
    Uncommitted,
}

/// Decodes the workload's values. Schema ids follow from the schemas, so no registry is asked.
pub struct Decoding(Codecs);

impl Decoding {
    pub fn new() -> Result<Decoding, Failure> {
        let registry = LocalRegistry::in_memory();
        let prepare = || -> Result<Codecs, RegistryError> {
            for (subject, schema) in [
                ("i", Input::TOPIC.schema),
                ("o", Output::TOPIC.schema),
                ("t", Total::TOPIC.schema),
                ("u", Update::TOPIC.schema),
            ] {
                registry.register(subject, schema)?;
            }
            let mut codecs = Codecs::new(Arc::new(registry));
            codecs.add_decoder::<Input>()?;
            codecs.add_decoder::<Output>()?;
            codecs.add_decoder::<Total>()?;
            codecs.add_decoder::<Update>()?;
            Ok(codecs)
        };
        Ok(Decoding(prepare().map_err(|error| Failure::Setup(error.to_string()))?))
    }

    fn value<C: Contract>(&mut self, message: &BorrowedMessage<'_>) -> Result<C, Failure> {
        let what = || format!("{}/{}@{}", message.topic(), message.partition(), message.offset());
        let bytes = message.payload().unwrap_or_default();
        self.0.decode(bytes).map_err(|error| Failure::Undecodable { what: what(), reason: error.to_string() })
    }

    pub fn input(&mut self, message: &BorrowedMessage<'_>) -> Result<InputRecord, Failure> {
        let Input { key, sequence, number } = self.value(message)?;
        Ok(InputRecord { place: place(message), key: key_number(&key)?, sequence, number })
    }

    pub fn output(&mut self, values: Values, message: &BorrowedMessage<'_>) -> Result<OutputRecord, Failure> {
        let place = place(message);
        let (key, sequence, says, process) = match values {
            Values::Outputs => {
                let Output { key, sequence, number, process } = self.value(message)?;
                (key, sequence, Says::Number(number), process)
            }
            Values::Updates => {
                let Update { key, count, sum, last, process } = self.value(message)?;
                (key, last, Says::Row { count, sum }, process)
            }
            Values::Totals => {
                let Total { key, count, sum, last, process } = self.value(message)?;
                (key, last, Says::Row { count, sum }, process)
            }
        };
        Ok(OutputRecord { place, key: key_number(&key)?, sequence, says, process })
    }
}

pub fn place(message: &BorrowedMessage<'_>) -> Place {
    let timestamp_ms = message.timestamp().to_millis().unwrap_or(-1);
    Place { partition: message.partition(), offset: message.offset(), timestamp_ms }
}

fn key_number(name: &str) -> Result<u32, Failure> {
    let number = name.strip_prefix('k').and_then(|number| number.parse().ok());
    number
        .ok_or_else(|| Failure::Undecodable { what: format!("key {name:?}"), reason: "the writer has no such".into() })
}

/// A consumer of all partitions from their beginnings, in no group, that tells each partition's end.
pub fn reader(bootstrap: &str, topics: &[(&str, i32)], isolation: Isolation) -> Result<BaseConsumer, Failure> {
    let reading = Failure::kafka("reading a topic");
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "checker")
        .set("isolation.level", if isolation == Isolation::Committed { "read_committed" } else { "read_uncommitted" })
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("enable.auto.offset.store", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .map_err(&reading)?;
    let mut all = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning).map_err(&reading)?;
        }
    }
    consumer.assign(&all).map_err(&reading)?;
    Ok(consumer)
}

/// An error after which the client goes on by itself.
pub fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
        )
    )
}

/// Reads a topic from its beginning to its end, each record to `each`, partitions in their offsets' order.
pub fn read_topic(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    isolation: Isolation,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let consumer = reader(bootstrap, &[(topic, partitions)], isolation)?;
    let (mut behind, mut last): (BTreeSet<i32>, _) = ((0..partitions).collect(), Instant::now());
    while !behind.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                last = Instant::now();
                each(&message)?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(behind.remove(&partition)),
            Some(Err(error)) if !is_passing(&error) => return Err(Failure::kafka("reading a topic")(error)),
            Some(Err(_)) | None => {}
        }
        if last.elapsed() > SILENCE_PATIENCE {
            let state = format!(": partitions {behind:?} are not read to their ends");
            return Err(Failure::TooLong { what: format!("reading {topic}"), patience: SILENCE_PATIENCE, state });
        }
    }
    Ok(())
}

/// Waits until no transaction is open in a topic: a reader of committed records would stop before it.
pub fn await_decided(bootstrap: &str, topic: &str, partitions: i32) -> Result<(), Failure> {
    let client = OffsetsClient::new(&Connection::new(bootstrap))?;
    let deadline = Instant::now() + DECIDED_PATIENCE;
    for partition in 0..partitions {
        loop {
            let found = client.watermarks(topic, partition, BROKER_TIMEOUT)?;
            if found.stable_end >= found.end {
                break;
            }
            if Instant::now() > deadline {
                let state = format!(": {topic}/{partition} is decided up to {} of {}", found.stable_end, found.end);
                return Err(Failure::TooLong { what: "a transaction".into(), patience: DECIDED_PATIENCE, state });
            }
            pause(Duration::from_millis(100));
        }
    }
    Ok(())
}
