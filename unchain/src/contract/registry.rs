//! The seam to a schema registry: schemas get ids, and ids give schemas back.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The id of a schema, as the Confluent wire format carries it: 4 bytes, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema and its id.
pub type RegisteredSchema = (SchemaId, Arc<str>);

/// Why a registry did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    #[error("the schema for subject {subject} is not a valid Avro schema: {reason}")]
    InvalidSchema { subject: String, reason: String },
    /// Nothing was written.
    #[error(
        "the schema for subject {subject} is not compatible with its schema {earlier}: {difference}. \
         Give new fields a default, keep the types of old ones (or widen them), name renamed ones by `aliases`; \
         or use a new topic"
    )]
    Incompatible { subject: String, earlier: SchemaId, difference: String },
    #[error("no subject has a schema with id {id}: the record is of another registry, or its schema was deleted")]
    UnknownId { id: SchemaId },
    #[error("the schema for subject {subject} would get id {id}, which another schema has: add or change an attribute")]
    Collision { subject: String, id: SchemaId },
    #[error("the schema registry cannot be reached: {reason}")]
    Unavailable { reason: String },
    #[error("the schema registry's state is damaged at key {key}: {reason}")]
    Damaged { key: String, reason: String },
}

impl RegistryError {
    /// Whether the same call may succeed at another time.
    pub fn is_transient(&self) -> bool {
        matches!(self, RegistryError::Unavailable { .. })
    }
}

/// Registers schemas and looks them up. Calls may block on I/O; codecs cache what they learn.
pub trait SchemaRegistry: Send + Sync {
    /// The id of a subject's schema; registers it if the subject has not had it yet.
    ///
    /// # Errors
    /// [`RegistryError::Incompatible`] if the subject's compatibility rule forbids the schema: nothing is written then.
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError>;

    /// Whether [`SchemaRegistry::register`] would take the schema; writes nothing.
    fn check(&self, subject: &str, schema: &str) -> Result<(), RegistryError>;

    /// The schema that has an id.
    fn schema(&self, id: SchemaId) -> Result<Arc<str>, RegistryError>;

    /// The schema last registered for a subject.
    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, RegistryError>;
}
