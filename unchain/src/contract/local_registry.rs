//! The schema registry that needs no server: its state is a compacted topic, its ids are hashes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::registry_state::{Registration, RegistryState};
use super::{Compatibility, RegisteredSchema, RegistryError, SchemaId, SchemaRegistry};

/// The topic of a local registry: one partition, compacted; key `subject/id`, value JSON `{subject, id, schema}`.
pub const SCHEMAS_TOPIC: &str = "_unchain.schemas";

/// The topic that holds a registry's records.
pub trait SchemaTopic: Send + Sync {
    /// Every record from the topic's beginning to its end as of now, as key and value, without tombstones.
    fn load(&self) -> Result<Vec<(Bytes, Bytes)>, RegistryError>;

    /// Appends a record; returns once every replica in sync has it, so that no value carries an id that can be lost.
    fn append(&self, key: Bytes, value: Bytes) -> Result<(), RegistryError>;
}

/// A schema registry whose state is a [`SchemaTopic`].
///
/// Registrations are checked against the topic as it stands. Two processes that register different schemas of one
/// subject at the same instant are both checked against the same past, not against each other.
pub struct LocalRegistry {
    topic: Box<dyn SchemaTopic>,
    compatibility: Compatibility,
    /// Held during I/O as well: a miss of many workers at once loads the topic once.
    state: Mutex<RegistryState>,
}

impl LocalRegistry {
    /// A registry with backward compatibility; it reads the topic when first asked.
    pub fn new(topic: impl SchemaTopic + 'static) -> LocalRegistry {
        LocalRegistry::with_compatibility(topic, Compatibility::default())
    }

    pub fn with_compatibility(topic: impl SchemaTopic + 'static, compatibility: Compatibility) -> LocalRegistry {
        LocalRegistry { topic: Box::new(topic), compatibility, state: Mutex::default() }
    }

    /// A registry of this process alone, for tests.
    pub fn in_memory() -> LocalRegistry {
        LocalRegistry::new(MemorySchemaTopic::default())
    }

    /// Every subject and its ids, in the order of registration.
    pub fn subjects(&self) -> Result<Vec<(String, Vec<SchemaId>)>, RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload(&mut state)?;
        Ok(state.subjects().map(|(subject, ids)| (subject.to_owned(), ids.to_vec())).collect())
    }

    fn reload(&self, state: &mut RegistryState) -> Result<(), RegistryError> {
        *state = RegistryState::of_records(&self.topic.load()?)?;
        Ok(())
    }
}

impl SchemaRegistry for LocalRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(Registration::Known(id)) = state.registration(subject, schema, self.compatibility) {
            return Ok(id);
        }
        self.reload(&mut state)?;
        match state.registration(subject, schema, self.compatibility)? {
            Registration::Known(id) => Ok(id),
            Registration::New { id, key, value } => {
                self.topic.append(key.clone(), value.clone())?;
                state.apply(&key, &value)?;
                Ok(id)
            }
        }
    }

    fn check(&self, subject: &str, schema: &str) -> Result<(), RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload(&mut state)?;
        state.registration(subject, schema, self.compatibility).map(drop)
    }

    fn schema(&self, id: SchemaId) -> Result<Arc<str>, RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = state.schema(id) {
            return Ok(schema);
        }
        self.reload(&mut state)?;
        state.schema(id).ok_or(RegistryError::UnknownId { id })
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload(&mut state)?;
        Ok(state.latest(subject))
    }
}

/// A schema topic in memory; clones share it, as processes share the real one.
#[derive(Debug, Clone, Default)]
pub struct MemorySchemaTopic {
    records: Arc<Mutex<Vec<(Bytes, Bytes)>>>,
}

impl SchemaTopic for MemorySchemaTopic {
    fn load(&self) -> Result<Vec<(Bytes, Bytes)>, RegistryError> {
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn append(&self, key: Bytes, value: Bytes) -> Result<(), RegistryError> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push((key, value));
        Ok(())
    }
}
