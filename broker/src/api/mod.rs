//! The requests, one file a family; each turns a decoded request into a response and touches no socket.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod describe;
pub(crate) mod fetch;
pub(crate) mod fetch_response;
pub(crate) mod groups;
pub(crate) mod offsets;
pub(crate) mod produce;
pub(crate) mod topics;
pub(crate) mod transactions;
pub(crate) mod versions;

/// Shorthand: a protocol string from ours.
pub(crate) fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

pub(crate) fn topic_name(value: &str) -> TopicName {
    TopicName(StrBytes::from_utf8(Bytes::copy_from_slice(value.as_bytes())).unwrap_or_default())
}

/// The code of an error, or 0.
pub(crate) fn code_of(error: Option<ResponseError>) -> i16 {
    error.map_or(0, |error| error.code())
}

/// The code of a journal or file failure; logged here, because the client only learns the code.
pub(crate) fn storage_code(error: &std::io::Error) -> i16 {
    tracing::error!(%error, "the data directory cannot be written");
    ResponseError::KafkaStorageError.code()
}
