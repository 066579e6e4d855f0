//! The only room that names librdkafka: connections, records, plain and transactional clients, administration.

mod admin;
mod connection;
mod error;
mod group_consumer;
mod headers;
mod publisher;
mod reader;
mod record;
mod transactional_producer;

pub use admin::{Admin, NewTopic};
pub use connection::{Connection, ExistingTopic};
pub use error::{ClientError, ErrorKind};
pub use group_consumer::{ConsumerEvent, GroupConsumer, GroupSettings, TopicPartition};
pub use headers::{Headers, HeadersBuilder};
pub use publisher::{Position, Publisher, PublisherSettings};
pub use reader::{OffsetsClient, ReadEvent, Reader, Watermarks};
pub use record::{NewRecord, Record};
pub use transactional_producer::TransactionalProducer;
