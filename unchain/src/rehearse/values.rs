//! Two recordings' records of one identity, compared: values by what they mean, each by its own schemas.

use std::sync::Arc;

use serde_json::Value;

use super::field_changes::{self, FieldChange};
use super::schemas::schema_id;
use super::{ComparisonSettings, RecordedSchemas, RehearsalError};
use crate::contract::{JsonDecoder, SchemaId, SchemaRegistry, id_of};
use crate::kafka::Record;
use crate::recording::Recording;

/// Reads both recordings' values.
pub(super) struct Values {
    pub(super) old: SideValues,
    pub(super) new: SideValues,
    /// Ids that values of both have named, and whether they mean the same schema on both sides.
    common: Vec<(SchemaId, bool)>,
}

pub(super) struct SideValues {
    schemas: Arc<dyn SchemaRegistry>,
    decoder: JsonDecoder,
}

/// How two records stand to each other.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Equal,
    Reencoded,
    Changed(Vec<FieldChange>),
}

impl SideValues {
    fn of(recording: &Recording) -> Result<SideValues, RehearsalError> {
        let schemas: Arc<dyn SchemaRegistry> = Arc::new(RecordedSchemas::of(recording)?);
        Ok(SideValues { decoder: JsonDecoder::new(Arc::clone(&schemas)), schemas })
    }

    /// The value as JSON; text of its bytes where it cannot be decoded.
    pub(super) fn json(&mut self, value: &[u8]) -> Value {
        let as_text = |_| String::from_utf8_lossy(value).into_owned().into();
        self.decoder.decode(value).unwrap_or_else(as_text)
    }
}

impl Values {
    pub(super) fn of(old: &Recording, new: &Recording) -> Result<Values, RehearsalError> {
        Ok(Values { old: SideValues::of(old)?, new: SideValues::of(new)?, common: Vec::new() })
    }

    pub(super) fn compare(&mut self, old: &Record, new: &Record, settings: &ComparisonSettings) -> Verdict {
        let mut changes = Vec::new();
        if old.key != new.key {
            changes.push(change("(key)", text(old.key.as_deref()), text(new.key.as_deref())));
        }
        if old.partition != new.partition {
            changes.push(change("(partition)", Some(old.partition.into()), Some(new.partition.into())));
        }
        let is_same = self.is_same(old.value.as_deref(), new.value.as_deref());
        if !is_same {
            self.compare_values(old.value.as_deref(), new.value.as_deref(), &mut changes);
        }
        if settings.headers {
            compare_headers(old, new, &mut changes);
        }
        changes.retain(|change| !settings.ignores(&change.kind()));
        match changes.is_empty() {
            false => Verdict::Changed(changes),
            true if is_same => Verdict::Equal,
            true => Verdict::Reencoded,
        }
    }

    /// Whether equal bytes mean the same, too.
    fn is_same(&mut self, old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        if old != new {
            return false;
        }
        let Some(id) = old.and_then(schema_id) else { return true };
        if let Some((_, is_same)) = self.common.iter().find(|(known, _)| *known == id) {
            return *is_same;
        }
        let meaning = |side: &SideValues| side.schemas.schema(id).ok().and_then(|schema| id_of(&schema));
        let is_same = meaning(&self.old) == meaning(&self.new);
        self.common.push((id, is_same));
        is_same
    }

    fn compare_values(&mut self, old: Option<&[u8]>, new: Option<&[u8]>, changes: &mut Vec<FieldChange>) {
        match (old, new) {
            (Some(old), Some(new)) => match (self.old.decoder.decode(old), self.new.decoder.decode(new)) {
                (Ok(old), Ok(new)) => field_changes::compare("", Some(&old), Some(&new), changes),
                // Bytes without a meaning are what they are.
                (Err(_), Err(_)) if old == new => {}
                _ => changes.push(change("(bytes)", Some(self.old.json(old)), Some(self.new.json(new)))),
            },
            (old, new) => {
                let (old, new) = (old.map(|value| self.old.json(value)), new.map(|value| self.new.json(value)));
                changes.push(change("(tombstone)", old, new));
            }
        }
    }
}

fn compare_headers(old: &Record, new: &Record, changes: &mut Vec<FieldChange>) {
    if old.timestamp_ms != new.timestamp_ms {
        changes.push(change("(timestamp)", Some(old.timestamp_ms.into()), Some(new.timestamp_ms.into())));
    }
    let mut names: Vec<&str> = old.headers.iter().chain(new.headers.iter()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (was, is) = (old.headers.get(name), new.headers.get(name));
        if was != is {
            changes.push(change(&format!("(header {name})"), text(was), text(is)));
        }
    }
}

fn change(field: &str, old: Option<Value>, new: Option<Value>) -> FieldChange {
    FieldChange { field: field.to_owned(), old, new }
}

fn text(bytes: Option<&[u8]>) -> Option<Value> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned().into())
}
