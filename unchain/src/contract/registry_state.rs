//! What a local schema registry knows, and decides: plain data without I/O.
//!
//! An id is the first 31 bits of the SHA-256 of the schema's normal form. Processes that never meet so give one schema
//! one id, and a registry that is lost and filled again gives the old ids. 31 bits, since other clients read the id as
//! a signed integer.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::normal_form::normal_form;
use super::{Compatibility, RegisteredSchema, RegistryError, SchemaId};

/// The schemas of all subjects.
#[derive(Debug, Default)]
pub struct RegistryState {
    schemas: BTreeMap<SchemaId, Arc<str>>,
    /// The ids of each subject, in the order of their registration.
    subjects: BTreeMap<String, Vec<SchemaId>>,
}

/// What is to be done to register a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The subject has the schema already.
    Known(SchemaId),
    /// The schema is new to the subject and allowed: this record makes it known.
    New { id: SchemaId, key: Bytes, value: Bytes },
}

/// The value of a registry record, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    subject: String,
    id: u32,
    schema: String,
}

/// The id that a schema gets; `None` if the text is not a valid Avro schema.
pub fn id_of(schema: &str) -> Option<SchemaId> {
    Schema::parse_str(schema).ok()?;
    serde_json::from_str(schema).ok().map(|json| id_of_json(&json))
}

fn id_of_json(schema: &Value) -> SchemaId {
    let digest = Sha256::digest(normal_form(schema));
    SchemaId(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) >> 1)
}

impl RegistryState {
    /// The state after a topic's records, in their order.
    pub fn of_records(records: &[(Bytes, Bytes)]) -> Result<RegistryState, RegistryError> {
        let mut state = RegistryState::default();
        records.iter().try_for_each(|(key, value)| state.apply(key, value))?;
        Ok(state)
    }

    /// Takes in one record. Ids are believed as they stand: a later normal form may differ from the one that made them.
    pub fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), RegistryError> {
        let damaged =
            |reason: String| RegistryError::Damaged { key: String::from_utf8_lossy(key).into_owned(), reason };
        let entry: Entry = serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
        let json: Value = serde_json::from_str(&entry.schema).map_err(|error| damaged(error.to_string()))?;
        let id = SchemaId(entry.id);
        if let Some(existing) = self.schemas.get(&id)
            && !is_same(existing, &json)
        {
            return Err(RegistryError::Collision { subject: entry.subject, id });
        }
        self.schemas.entry(id).or_insert_with(|| entry.schema.into());
        let ids = self.subjects.entry(entry.subject).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
        Ok(())
    }

    /// Decides how to register a schema; what is not allowed is refused here, before anything is written.
    pub fn registration(
        &self,
        subject: &str,
        schema: &str,
        compatibility: Compatibility,
    ) -> Result<Registration, RegistryError> {
        let invalid = |reason: String| RegistryError::InvalidSchema { subject: subject.to_owned(), reason };
        let parsed = Schema::parse_str(schema).map_err(|error| invalid(error.to_string()))?;
        let json: Value = serde_json::from_str(schema).map_err(|error| invalid(error.to_string()))?;
        let id = id_of_json(&json);
        if self.schemas.get(&id).is_some_and(|existing| !is_same(existing, &json)) {
            return Err(RegistryError::Collision { subject: subject.to_owned(), id });
        }
        let ids = self.subjects.get(subject).map_or(&[][..], Vec::as_slice);
        if ids.contains(&id) {
            return Ok(Registration::Known(id));
        }
        let earlier: Vec<_> =
            ids.iter().filter_map(|id| Some((*id, Schema::parse_str(self.schemas.get(id)?).ok()?))).collect();
        compatibility.check(&parsed, &earlier).map_err(|difference| RegistryError::Incompatible {
            subject: subject.to_owned(),
            earlier: difference.earlier,
            difference: difference.difference,
        })?;
        let entry = Entry { subject: subject.to_owned(), id: id.0, schema: schema.to_owned() };
        let value = serde_json::to_vec(&entry).map_err(|error| invalid(error.to_string()))?;
        Ok(Registration::New { id, key: format!("{subject}/{id}").into(), value: value.into() })
    }

    pub fn schema(&self, id: SchemaId) -> Option<Arc<str>> {
        self.schemas.get(&id).cloned()
    }

    /// A subject's schema that was registered last.
    pub fn latest(&self, subject: &str) -> Option<RegisteredSchema> {
        let id = *self.subjects.get(subject)?.last()?;
        Some((id, self.schema(id)?))
    }

    /// Every subject with its ids, in the order of registration.
    pub fn subjects(&self) -> impl Iterator<Item = (&str, &[SchemaId])> {
        self.subjects.iter().map(|(subject, ids)| (subject.as_str(), ids.as_slice()))
    }
}

fn is_same(existing: &str, json: &Value) -> bool {
    serde_json::from_str(existing).is_ok_and(|existing: Value| normal_form(&existing) == normal_form(json))
}
