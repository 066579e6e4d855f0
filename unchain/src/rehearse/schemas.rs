//! The schemas of a recording as a registry: values name them by ids that another registry may have given.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;

use super::RehearsalError;
use crate::contract::{LocalRegistry, RegisteredSchema, RegistryError, SchemaId, SchemaRegistry, id_of};
use crate::recording::Recording;

/// Knows what was recorded, and gives ids of its own to what is registered beside it, in memory.
pub struct RecordedSchemas {
    recorded: BTreeMap<SchemaId, Arc<str>>,
    registered: LocalRegistry,
}

impl RecordedSchemas {
    /// # Errors
    /// A schema that cannot be read, or is none.
    pub fn of(recording: &Recording) -> Result<RecordedSchemas, RehearsalError> {
        let mut recorded = BTreeMap::new();
        for id in &recording.manifest().schemas {
            let Some(text) = recording.schema(*id)? else { continue };
            Schema::parse_str(&text)
                .map_err(|error| RehearsalError::InvalidSchema { id: *id, reason: error.to_string() })?;
            recorded.insert(SchemaId(*id), text.into());
        }
        Ok(RecordedSchemas { recorded, registered: LocalRegistry::in_memory() })
    }

    /// An id must mean one schema: values that are read would be taken for those that are written.
    fn check_id(&self, subject: &str, schema: &str) -> Result<(), RegistryError> {
        let Some(id) = id_of(schema) else { return Ok(()) };
        match self.recorded.get(&id) {
            Some(recorded) if id_of(recorded) != Some(id) => {
                Err(RegistryError::Collision { subject: subject.to_owned(), id })
            }
            _ => Ok(()),
        }
    }
}

impl SchemaRegistry for RecordedSchemas {
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        self.check_id(subject, schema)?;
        self.registered.register(subject, schema)
    }

    fn check(&self, subject: &str, schema: &str) -> Result<(), RegistryError> {
        self.check_id(subject, schema)?;
        self.registered.check(subject, schema)
    }

    fn schema(&self, id: SchemaId) -> Result<Arc<str>, RegistryError> {
        match self.recorded.get(&id) {
            Some(schema) => Ok(Arc::clone(schema)),
            None => self.registered.schema(id),
        }
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, RegistryError> {
        self.registered.latest(subject)
    }
}

/// The id of the schema that wrote a value; `None` for bytes of another kind.
pub(super) fn schema_id(value: &[u8]) -> Option<SchemaId> {
    match value.first_chunk::<5>()? {
        [0, id @ ..] => Some(SchemaId(u32::from_be_bytes(*id))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": "long"}]}"#;

    fn recorded(id: u32, schema: &str) -> RecordedSchemas {
        let recorded = BTreeMap::from([(SchemaId(id), schema.into())]);
        RecordedSchemas { recorded, registered: LocalRegistry::in_memory() }
    }

    #[test]
    fn another_registrys_ids_are_known_beside_its_own() {
        let schemas = recorded(7, r#""string""#);
        let id = schemas.register("a-value", NEW).unwrap();
        assert_eq!(&*schemas.schema(SchemaId(7)).unwrap(), r#""string""#);
        assert_eq!(&*schemas.schema(id).unwrap(), NEW);
        assert_eq!(schemas.schema(SchemaId(8)), Err(RegistryError::UnknownId { id: SchemaId(8) }));
    }

    #[test]
    fn an_id_that_would_mean_two_schemas_is_refused() {
        let id = id_of(NEW).unwrap();
        assert_eq!(recorded(id.0, NEW).register("a-value", NEW), Ok(id));
        let refused = recorded(id.0, r#""string""#).register("a-value", NEW);
        assert_eq!(refused, Err(RegistryError::Collision { subject: "a-value".to_owned(), id }));
    }
}
