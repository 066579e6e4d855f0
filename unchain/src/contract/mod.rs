//! Contracts: what a topic carries (its Avro type), how its records are keyed, and how both become bytes.

mod topic;

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

pub use topic::{Cleanup, Retention, Topic};

/// A value type that belongs to one topic. Implemented by generated code, from `topics.toml` and the `.avsc` files.
pub trait Contract: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    const TOPIC: &'static Topic;

    /// The record key: the key field's text (numbers in decimal), which chooses the partition and the order.
    fn key(&self) -> Cow<'_, str>;
}
