//! The only room that names librdkafka: connections, records, plain and transactional clients, administration.

mod admin;
mod bulk_reader;
mod client_log;
mod connection;
mod error;
mod group_consumer;
mod group_handle;
mod group_offsets;
mod group_settings;
mod headers;
mod load_producer;
mod native;
mod output_producer;
mod partition_queue;
mod publisher;
mod reader;
mod record;
mod transactional_producer;

/// Ends a consumer on a thread of its own: rdkafka waits for that in steps of 100 ms, without a deadline.
fn close_aside<T: Send + 'static>(consumer: Option<T>) {
    let thread = std::thread::Builder::new().name("consumer-close".to_owned());
    // Where no thread can be had, the closure and with it the consumer is dropped here.
    let _ = thread.spawn(move || drop(consumer));
}

pub use admin::{Admin, NewTopic};
pub use bulk_reader::{BulkReader, BulkSettings, Lent, LentRecord};
pub use connection::{Connection, ExistingTopic};
pub use error::{ClientError, ErrorKind};
pub use group_consumer::{GroupConsumer, GroupEvent};
pub use group_handle::GroupHandle;
pub use group_offsets::group_offsets;
pub use group_settings::{Assignment, GroupProtocol, GroupSettings, TopicPartition};
pub use headers::{Headers, HeadersBuilder};
pub use load_producer::{Acks, Compression, Deliveries, LoadProducer, LoadSettings, Sent, client_version};
pub use output_producer::{IdempotentProducer, OutputProducer, ProducerSettings};
pub use partition_queue::PartitionQueue;
pub use publisher::{Position, Publisher, PublisherSettings};
pub use rdkafka::consumer::ConsumerGroupMetadata;
pub use reader::{OffsetsClient, ReadEvent, Reader, Watermarks};
pub use record::{NewRecord, Outgoing, Record};
pub use transactional_producer::TransactionalProducer;
