//! Contract values to wire bytes and back: Confluent's wire format around an Avro datum.
//!
//! A value is the magic byte 0, the writer schema's id in 4 bytes (big-endian), and the datum (Confluent, "Wire format").

use std::marker::PhantomData;
use std::sync::Arc;

use thiserror::Error;

use super::{Contract, Malformed, Reading, RegistryError, SchemaId, SchemaRegistry};

/// The first byte of every value.
const MAGIC: u8 = 0;

/// Bytes before the datum.
const HEADER_BYTES: usize = 5;

/// The largest message that librdkafka can be configured to send (`message.max.bytes`).
pub const MAX_VALUE_BYTES: usize = 1_000_000_000;

/// Why a value has no wire bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    #[error("the value takes {bytes} bytes; no Kafka client sends more than {MAX_VALUE_BYTES}")]
    TooLarge { bytes: usize },
}

/// Why bytes are not a value of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("{bytes} bytes are too few for a schema id")]
    TooShort { bytes: usize },
    #[error("the first byte is {byte}, not 0: the value was not written in the schema registry's format")]
    WrongMagic { byte: u8 },
    #[error("no subject has a schema with id {id}: the record is of another registry, or its schema was deleted")]
    UnknownSchemaId { id: SchemaId },
    /// The registry itself failed; the bytes may be good.
    #[error(transparent)]
    Registry(RegistryError),
    #[error("schema {id}, which wrote the value, cannot be read as {reader}: {reason}")]
    Unresolvable { id: SchemaId, reader: String, reason: String },
    #[error("the value is not what schema {id} says: {source}")]
    Malformed { id: SchemaId, source: Malformed },
}

impl DecodeError {
    /// Whether the same bytes may be decoded at another time.
    pub fn is_transient(&self) -> bool {
        matches!(self, DecodeError::Registry(error) if error.is_transient())
    }

    pub(super) fn of_registry(error: RegistryError) -> DecodeError {
        match error {
            RegistryError::UnknownId { id } => DecodeError::UnknownSchemaId { id },
            other => DecodeError::Registry(other),
        }
    }
}

/// Writes the values of one contract.
#[derive(Debug, Clone)]
pub struct Encoder<C> {
    id: SchemaId,
    contract: PhantomData<fn(&C)>,
}

impl<C: Contract> Encoder<C> {
    /// Registers the contract's schema under its topic's subject.
    ///
    /// # Errors
    /// As [`SchemaRegistry::register`]: among others, where readers of the topic could not go on.
    pub fn register(registry: &dyn SchemaRegistry) -> Result<Encoder<C>, RegistryError> {
        Ok(Encoder::with_id(registry.register(&C::TOPIC.subject(), C::TOPIC.schema)?))
    }

    /// An encoder for a schema whose id is known.
    pub fn with_id(id: SchemaId) -> Encoder<C> {
        Encoder { id, contract: PhantomData }
    }

    /// The id that every value carries.
    pub fn schema_id(&self) -> SchemaId {
        self.id
    }

    /// Appends a value's bytes. On error `out` is as before.
    pub fn encode(&self, value: &C, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.push(MAGIC);
        out.extend_from_slice(&self.id.0.to_be_bytes());
        value.write(out);
        let bytes = out.len() - start;
        if bytes > MAX_VALUE_BYTES {
            out.truncate(start);
            return Err(EncodeError::TooLarge { bytes });
        }
        Ok(())
    }
}

/// Reads the values of one contract, by whatever schema they were written.
pub struct Decoder<C> {
    registry: Arc<dyn SchemaRegistry>,
    /// By writer schema; in practice a topic holds a few at a time, and a scan is faster than a hash.
    readings: Vec<(SchemaId, Reading)>,
    scratch: Vec<u8>,
    contract: PhantomData<fn() -> C>,
}

impl<C: Contract> Decoder<C> {
    pub fn new(registry: Arc<dyn SchemaRegistry>) -> Decoder<C> {
        Decoder { registry, readings: Vec::new(), scratch: Vec::new(), contract: PhantomData }
    }

    /// Reads a value. Asks the registry when it sees a schema id for the first time, which may block.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<C, DecodeError> {
        let (id, datum) = split(bytes)?;
        let index = match self.readings.iter().position(|(known, _)| *known == id) {
            Some(index) => index,
            None => self.learn(id)?,
        };
        let read = self.readings[index].1.whole(datum, &mut self.scratch);
        read.map_err(|source| DecodeError::Malformed { id, source })
    }

    #[cold]
    fn learn(&mut self, id: SchemaId) -> Result<usize, DecodeError> {
        let writer = self.registry.schema(id).map_err(DecodeError::of_registry)?;
        let reading = Reading::between(&writer, C::TOPIC.schema).map_err(|error| DecodeError::Unresolvable {
            id,
            reader: C::TOPIC.schema_name.to_owned(),
            reason: error.to_string(),
        })?;
        self.readings.push((id, reading));
        Ok(self.readings.len() - 1)
    }
}

/// The id that a value names, if it is in the wire format at all.
pub fn schema_id(value: &[u8]) -> Option<SchemaId> {
    split(value).ok().map(|(id, _)| id)
}

/// The schema id and the datum of a value.
pub(super) fn split(bytes: &[u8]) -> Result<(SchemaId, &[u8]), DecodeError> {
    match bytes.split_first_chunk::<HEADER_BYTES>() {
        Some(([MAGIC, id @ ..], datum)) => Ok((SchemaId(u32::from_be_bytes(*id)), datum)),
        Some(([byte, ..], _)) => Err(DecodeError::WrongMagic { byte: *byte }),
        None => Err(DecodeError::TooShort { bytes: bytes.len() }),
    }
}
