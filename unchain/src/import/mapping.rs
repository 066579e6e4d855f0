//! The mapping file: how the columns of a foreign file become a contract's fields, key and time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::error::MappingProblem;
use super::times::DEFAULT_FORMAT;

/// A mapping as its file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The topic that the records are of.
    pub topic: String,
    /// The contract's Avro schema, beside the mapping file; without it one is made from the fields.
    pub schema: Option<PathBuf>,
    #[serde(default = "default_partitions")]
    pub partitions: i32,
    /// A text with `{column}` placeholders.
    pub key: String,
    pub time: TimeSource,
    #[serde(default)]
    pub csv: CsvLayout,
    /// Without any, every column becomes a field of its own name.
    #[serde(default)]
    fields: BTreeMap<String, Spanned<FieldSource>>,
}

pub(super) const DEFAULT_PARTITIONS: i32 = 6;

fn default_partitions() -> i32 {
    DEFAULT_PARTITIONS
}

/// Where a record's time comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "TimeText")]
pub struct TimeSource {
    /// A column, or a text with `{column}` placeholders.
    pub column: String,
    /// As [`FieldSource::format`].
    pub format: String,
    /// For times without an offset.
    pub zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "wanted is a column's name, or a table { column = ..., format = ..., zone = ... }")]
enum TimeText {
    Column(String),
    Table(TimeTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeTable {
    column: String,
    format: Option<String>,
    zone: Option<String>,
}

impl From<TimeText> for TimeSource {
    fn from(text: TimeText) -> TimeSource {
        let TimeTable { column, format, zone } = match text {
            TimeText::Column(column) => TimeTable { column, format: None, zone: None },
            TimeText::Table(table) => table,
        };
        TimeSource { column, format: format.unwrap_or_else(|| DEFAULT_FORMAT.to_owned()), zone }
    }
}

/// How a CSV file is laid out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvLayout {
    /// One character, or `tab`, or `whitespace` for runs of spaces.
    pub delimiter: String,
    /// Whether the first line has the columns' names.
    pub header: bool,
    /// The columns' names where the file does not have them, or other names than it has.
    pub columns: Option<Vec<String>>,
}

impl Default for CsvLayout {
    fn default() -> CsvLayout {
        CsvLayout { delimiter: ",".to_owned(), header: true, columns: None }
    }
}

/// Where a field's value comes from, and its type.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldTable {
    pub column: Option<String>,
    pub constant: Option<toml::Value>,
    pub template: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Decimal places of a decimal.
    pub scale: Option<u32>,
    /// Empty and missing values are null.
    pub optional: Option<bool>,
    /// `rfc3339`, `unix`, `unix_ms`, or a strptime pattern.
    pub format: Option<String>,
    pub zone: Option<String>,
    pub doc: Option<String>,
}

/// A field of the mapping: a column's name alone, or a table.
#[derive(Debug, Clone)]
pub struct FieldSource(pub FieldTable);

impl<'de> Deserialize<'de> for FieldSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = FieldSource;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a column's name, or a table with one of column, constant and template")
            }

            fn visit_str<E>(self, column: &str) -> Result<FieldSource, E> {
                Ok(FieldSource(FieldTable { column: Some(column.to_owned()), ..FieldTable::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldSource, A::Error> {
                FieldTable::deserialize(MapAccessDeserializer::new(map)).map(FieldSource)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A field in the order of the file, with its line for messages.
#[derive(Debug, Clone)]
pub(super) struct MappedField {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) source: FieldTable,
}

/// A mapping that was read, with its fields in their order.
#[derive(Debug, Clone)]
pub(super) struct LoadedMapping {
    pub(super) mapping: Mapping,
    pub(super) fields: Vec<MappedField>,
    /// The text of the mapping and of its schema: an import is another one where they change.
    pub(super) text: String,
    pub(super) schema: Option<(PathBuf, String)>,
}

impl LoadedMapping {
    pub(super) fn load(file: &Path) -> Result<LoadedMapping, MappingProblem> {
        let read = std::fs::read_to_string(file);
        let text = read.map_err(|error| MappingProblem::Unreadable { reason: error.to_string() })?;
        LoadedMapping::parse(text, file.parent().unwrap_or(Path::new("")))
    }

    /// Reads a mapping's text; its schema is looked for in `folder`.
    pub(super) fn parse(text: String, folder: &Path) -> Result<LoadedMapping, MappingProblem> {
        let parsed = toml::from_str(&text);
        let mapping: Mapping =
            parsed.map_err(|error| MappingProblem::Toml { reason: error.to_string().trim_end().to_owned() })?;
        let mut fields: Vec<_> = mapping.fields.iter().collect();
        fields.sort_by_key(|(_, field)| field.span().start);
        let fields = fields.into_iter().map(|(name, field)| MappedField {
            name: name.clone(),
            line: text[..field.span().start].matches('\n').count() + 1,
            source: field.get_ref().0.clone(),
        });
        let fields = fields.collect();
        let schema = mapping.schema.as_ref().map(|name| {
            let schema = folder.join(name);
            match std::fs::read_to_string(&schema) {
                Ok(text) => Ok((schema, text)),
                Err(error) => Err(MappingProblem::Schema { schema, reason: format!("cannot be read: {error}") }),
            }
        });
        let schema = schema.transpose()?;
        let loaded = LoadedMapping { mapping, fields, text, schema };
        loaded.check()?;
        Ok(loaded)
    }

    fn check(&self) -> Result<(), MappingProblem> {
        let Mapping { partitions, csv, .. } = &self.mapping;
        let setting = |setting: &str, text: &str, reason: &str| {
            Err(MappingProblem::Setting {
                setting: setting.to_owned(),
                text: text.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if !(1..=MAX_PARTITIONS).contains(partitions) {
            return setting("partitions", &partitions.to_string(), "a topic has between 1 and 10000 partitions");
        }
        if !csv.header && csv.columns.is_none() {
            return setting("csv.header", "false", "name the columns with csv.columns = [\"...\"] then");
        }
        Ok(())
    }
}

/// More partitions than any topic has: a number beyond it is a slip.
pub(super) const MAX_PARTITIONS: i32 = 10_000;
