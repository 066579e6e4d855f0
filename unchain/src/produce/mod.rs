//! Typed, idempotent publishing: a contract's value becomes a record of its topic.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::contract::{Codecs, Contract, EncodeError, RegistryError, SchemaRegistry};
use crate::envelope;
use crate::kafka::{ClientError, Connection, Headers, NewRecord, Position, Publisher, PublisherSettings};

/// Why a value was not published.
#[derive(Debug, Error)]
pub enum ProduceError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the value does not fit the schema of topic {topic}: {source}")]
    Encode { topic: &'static str, source: EncodeError },
    #[error("the producer ended before the broker acknowledged the record of topic {topic}")]
    Ended { topic: &'static str },
}

/// Publishes events and commands that begin a chain of records.
pub struct Producer {
    publisher: Publisher,
    codecs: Codecs,
    source: String,
}

/// The acknowledgement of one record.
pub struct Delivery {
    topic: &'static str,
    acknowledgement: oneshot::Receiver<Result<Position, ClientError>>,
}

impl Delivery {
    /// Waits until every replica in sync has the record; fails at the latest after the delivery timeout.
    pub async fn acknowledged(self) -> Result<Position, ProduceError> {
        Ok(self.acknowledgement.await.map_err(|_| ProduceError::Ended { topic: self.topic })??)
    }
}

impl Producer {
    /// A producer known as `source` in the records' envelopes.
    pub fn connect(
        connection: &Connection,
        registry: Arc<dyn SchemaRegistry>,
        source: &str,
        settings: PublisherSettings,
    ) -> Result<Producer, ProduceError> {
        let publisher = Publisher::new(connection, settings)?;
        Ok(Producer { publisher, codecs: Codecs::new(registry), source: source.to_owned() })
    }

    /// Queues a value under the id of its event; waits while the queue is full.
    ///
    /// # Errors
    /// Also the first failed delivery of an earlier record: records after it may be missing as well.
    pub fn send<C: Contract>(&mut self, id: &str, value: &C) -> Result<(), ProduceError> {
        let (key, bytes, headers) = self.encode(id, value)?;
        Ok(self.publisher.send(&record::<C>(key, bytes, headers))?)
    }

    /// As [`Producer::send`], with the acknowledgement of this one record.
    pub fn send_acknowledged<C: Contract>(&mut self, id: &str, value: &C) -> Result<Delivery, ProduceError> {
        let (key, bytes, headers) = self.encode(id, value)?;
        let acknowledgement = self.publisher.send_acknowledged(&record::<C>(key, bytes, headers))?;
        Ok(Delivery { topic: C::TOPIC.name, acknowledgement })
    }

    /// Records that the broker has acknowledged.
    pub fn acknowledged_records(&self) -> u64 {
        self.publisher.acknowledged_records()
    }

    /// Waits until every record sent so far is acknowledged: to be called before the producer is dropped.
    pub fn flush(&self, deadline: Duration) -> Result<(), ProduceError> {
        Ok(self.publisher.flush(deadline)?)
    }

    fn encode<C: Contract>(&mut self, id: &str, value: &C) -> Result<(Bytes, Bytes, Headers), ProduceError> {
        self.codecs.add_encoder::<C>()?;
        let bytes =
            self.codecs.encode(value).map_err(|source| ProduceError::Encode { topic: C::TOPIC.name, source })?;
        let headers = envelope::of_origin(id, C::TOPIC.schema_name, &self.source);
        Ok((Bytes::copy_from_slice(value.key().as_bytes()), bytes, headers))
    }
}

fn record<C: Contract>(key: Bytes, value: Bytes, headers: Headers) -> NewRecord<'static> {
    NewRecord { topic: C::TOPIC.name, partition: None, timestamp_ms: None, key: Some(key), value: Some(value), headers }
}
