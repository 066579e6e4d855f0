//! Contracts: what a topic carries (its Avro type), how its records are keyed, and how both become bytes.

mod avro;
mod codecs;
mod compatibility;
mod container;
mod container_codec;
mod datum;
mod json;
mod local_registry;
mod malformed;
mod normal_form;
mod provision;
mod reading;
mod registry;
mod registry_state;
mod registry_topic;
mod resolution;
#[cfg(test)]
mod tests;
mod topic;

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

pub use avro::{DecodeError, Decoder, EncodeError, Encoder, MAX_VALUE_BYTES, schema_id};
pub use codecs::Codecs;
pub use compatibility::{Compatibility, Difference};
pub use container::{Block, ContainerError, ContainerHeader, ContainerReader, ContainerWriter};
pub use container_codec::Codec;
pub use datum::{Datum, Input, read_field, read_null_last_field, write_null_last};
pub(crate) use datum::{write_bytes, write_long};
pub use json::{JsonDecoder, decode_json};
pub use local_registry::{LocalRegistry, MemorySchemaTopic, SCHEMAS_TOPIC, SchemaTopic};
pub use malformed::{Malformed, MalformedReason};
pub use provision::{Applied, ApplyError, apply_topics};
pub use reading::Reading;
pub use registry::{RegisteredSchema, RegistryError, SchemaId, SchemaRegistry};
pub use registry_state::{Registration, RegistryState, id_of};
pub use registry_topic::open_registry;
pub use resolution::{Resolution, ResolutionError};
pub use topic::{Cleanup, Retention, Topic};

// Generated code reaches these through unchain, so that a contract crate depends on nothing else.
pub use bytes::Bytes;
pub use serde;

/// A value type that belongs to one topic. Implemented by generated code, from `topics.toml` and the `.avsc` files.
pub trait Contract: Datum + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    const TOPIC: &'static Topic;

    /// The record key: the key field's text (numbers in decimal), which chooses the partition and the order.
    fn key(&self) -> Cow<'_, str>;
}

/// Brings in the types that `unchain_codegen::generate`, called in the crate's `build.rs`, has made of its schemas.
#[macro_export]
macro_rules! contracts {
    () => {
        include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
    };
}

/// The contracts of the topics that unchain itself writes.
pub mod system {
    crate::contracts!();
}
