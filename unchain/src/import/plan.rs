//! What a mapping comes to: for each field of the contract where its value is and how it is encoded.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use serde_json::Value;

use super::columns::{Cells, Columns};
use super::draft::Draft;
use super::encoding::Encoding;
use super::error::{Fault, FaultReason, MappingProblem, shown};
use super::mapping::{FieldTable, LoadedMapping, MappedField};
use super::schemas::{self, FieldType};
use super::template::Template;
use super::times::TimeFormat;
use crate::contract::{SchemaId, default_datum, id_of};

/// Turns the wanted columns of a line into a record.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) columns: Columns,
    pub(super) schema_id: SchemaId,
    pub(super) schema: String,
    /// The schema was made from the mapping.
    pub(super) is_made: bool,
    key: Template,
    time: Template,
    time_format: TimeFormat,
    fields: Vec<PlannedField>,
    text: String,
}

#[derive(Debug)]
struct PlannedField {
    name: String,
    value: FieldValue,
}

#[derive(Debug)]
enum FieldValue {
    /// The same bytes in every record: a constant, or the schema's default.
    Fixed(Vec<u8>),
    Of {
        template: Template,
        encoding: Encoding,
        null: Option<Branches>,
    },
}

/// The branches of a union with null, as they are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branches {
    pub(super) null: u8,
    pub(super) value: u8,
}

impl Plan {
    /// Works a mapping out. `known` are the columns of the data, where it names them.
    pub(super) fn new(loaded: &LoadedMapping, known: Option<&[String]>) -> Result<Plan, MappingProblem> {
        let mapping = &loaded.mapping;
        let mut columns = Columns::default();
        let setting = |setting: &str, text: &str, reason: String| MappingProblem::Setting {
            setting: setting.to_owned(),
            text: text.to_owned(),
            reason,
        };
        let key = Template::parse(&mapping.key, "key", &mut columns);
        let key = key.map_err(|reason| setting("key", &mapping.key, reason))?;
        if key.is_constant() {
            let reason = format!("every record would have this key; write {{{}}} for the column's value", mapping.key);
            return Err(setting("key", &mapping.key, reason));
        }
        let source = &mapping.time;
        let time = if source.column.contains('{') {
            Template::parse(&source.column, "time.column", &mut columns)
                .map_err(|reason| setting("time.column", &source.column, reason))?
        } else {
            Template::column(columns.want(&source.column, "time.column"))
        };
        let time_format = TimeFormat::new(&source.format, source.zone.as_deref());
        let time_format = time_format.map_err(|reason| setting("time.format", &source.format, reason))?;
        let fields = fields_of(loaded, known)?;
        let (schema, is_made) = match &loaded.schema {
            Some((_, text)) => (text.clone(), false),
            None => (schemas::make(&mapping.topic, &fields)?, true),
        };
        let fields = planned(loaded, &schema, &fields, &mut columns)?;
        check_columns(&columns, known)?;
        let schema_id = id_of(&schema).expect("the schema was parsed");
        let (topic, partitions) = (mapping.topic.clone(), mapping.partitions);
        let text = String::new();
        Ok(Plan { topic, partitions, columns, schema_id, schema, is_made, key, time, time_format, fields, text })
    }

    /// Fills a record from a line's cells.
    pub(super) fn fill(&mut self, cells: &Cells, draft: &mut Draft) -> Result<(), Fault> {
        draft.clear();
        draft.topic.push_str(&self.topic);
        self.text.clear();
        let columns = &self.columns;
        let absent = |column: usize| absent(columns.name(column));
        self.key.write(cells, &mut self.text).map_err(absent).map_err(|fault| within("key", fault))?;
        if self.text.is_empty() {
            return Err(Fault::new(
                "key",
                FaultReason::Absent { wanted: "a record without a key has no order: map another column" },
            ));
        }
        draft.set_key(Some(self.text.as_bytes()));
        self.text.clear();
        self.time.write(cells, &mut self.text).map_err(absent).map_err(|fault| within("time", fault))?;
        let time_ms = self.time_format.read_ms(&self.text);
        draft.timestamp_ms = time_ms.map_err(|reason| Fault::new(place("time", &self.time, columns), reason))?;
        if draft.timestamp_ms < 0 {
            let reason = FaultReason::BeforeEpoch { found: shown(&self.text) };
            return Err(Fault::new(place("time", &self.time, columns), reason));
        }
        let value = draft.begin_value();
        value.push(0);
        value.extend_from_slice(&self.schema_id.0.to_be_bytes());
        for field in &self.fields {
            field.write(cells, columns, &mut self.text, value)?;
        }
        Ok(())
    }
}

impl PlannedField {
    fn write(&self, cells: &Cells, columns: &Columns, text: &mut String, out: &mut Vec<u8>) -> Result<(), Fault> {
        let (template, encoding, null) = match &self.value {
            FieldValue::Fixed(bytes) => {
                out.extend_from_slice(bytes);
                return Ok(());
            }
            FieldValue::Of { template, encoding, null } => (template, encoding, null),
        };
        text.clear();
        // A column alone is read where it stands.
        let found = match template.only_column() {
            Some(column) => cells.get(column),
            None => template.write(cells, text).is_ok().then_some(text.as_str()),
        };
        let found = found.filter(|found| !found.is_empty() || (null.is_none() && encoding.takes_empty()));
        let field = || place(&format!("field `{}`", self.name), template, columns);
        match (found.filter(|found| encoding.takes_empty() || !found.trim().is_empty()), null) {
            (Some(found), null) => {
                out.extend(null.map(|null| null.value));
                encoding.write(found, out).map_err(|reason| Fault::new(field(), reason))
            }
            (None, Some(null)) => {
                out.push(null.null);
                Ok(())
            }
            (None, None) => Err(Fault::new(field(), FaultReason::Empty { wanted: encoding.wanted() })),
        }
    }
}

fn absent(column: &str) -> Fault {
    Fault::new(format!("column `{column}`"), FaultReason::Absent { wanted: "every record needs one" })
}

fn within(what: &str, fault: Fault) -> Fault {
    Fault { place: format!("{what}, {}", fault.place), ..fault }
}

/// `field, column` where the two have different names to tell.
fn place(what: &str, template: &Template, columns: &Columns) -> String {
    match template.only_column() {
        Some(column) => format!("{what}, column `{}`", columns.name(column)),
        None => what.to_owned(),
    }
}

/// The mapping's fields; where it has none, each column is one.
fn fields_of(loaded: &LoadedMapping, known: Option<&[String]>) -> Result<Vec<MappedField>, MappingProblem> {
    if !loaded.fields.is_empty() {
        return Ok(loaded.fields.clone());
    }
    let Some(known) = known else {
        return Err(MappingProblem::Toml { reason: "[fields] is needed where the data names no columns".to_owned() });
    };
    let field = |column: &String| MappedField {
        name: if loaded.schema.is_some() { column.clone() } else { schemas::field_name(column) },
        line: 1,
        source: FieldTable { column: Some(column.clone()), ..FieldTable::default() },
    };
    Ok(known.iter().map(field).collect())
}

fn check_columns(columns: &Columns, known: Option<&[String]>) -> Result<(), MappingProblem> {
    let Some(known) = known else { return Ok(()) };
    match columns.names().iter().position(|wanted| !known.contains(wanted)) {
        None => Ok(()),
        Some(missing) => Err(MappingProblem::NoColumn {
            setting: columns.setting(missing).to_owned(),
            column: columns.name(missing).to_owned(),
            known: known.join(", "),
        }),
    }
}

fn planned(
    loaded: &LoadedMapping,
    text: &str,
    mapped: &[MappedField],
    columns: &mut Columns,
) -> Result<Vec<PlannedField>, MappingProblem> {
    let refused = |reason: String| MappingProblem::Schema {
        schema: loaded.schema.as_ref().map(|(file, _)| file.clone()).unwrap_or_default(),
        reason,
    };
    let parsed = Schema::parse_str(text).map_err(|error| refused(format!("is no Avro schema: {error}")))?;
    let Schema::Record(record) = &parsed else {
        return Err(refused("is no record; a contract's value is one".to_owned()));
    };
    let known = || record.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
    let schema_name = record.name.to_string();
    if let Some(extra) = mapped.iter().find(|mapped| !record.fields.iter().any(|field| field.name == mapped.name)) {
        // A mapping without fields takes from the columns what the schema has.
        if !loaded.fields.is_empty() {
            return Err(MappingProblem::NotInSchema { field: extra.name.clone(), schema: schema_name, known: known() });
        }
    }
    record
        .fields
        .iter()
        .map(|field| {
            let value =
                match mapped.iter().find(|mapped| mapped.name == field.name) {
                    Some(mapped) => planned_value(mapped, &field.schema, record, columns)?,
                    None => FieldValue::Fixed(default_of(&parsed, field.default.as_ref(), &field.schema).ok_or_else(
                        || MappingProblem::NotCovered {
                            field: field.name.clone(),
                            schema: schema_name.clone(),
                            wanted: schemas::describe(&field.schema),
                        },
                    )?),
                };
            Ok(PlannedField { name: field.name.clone(), value })
        })
        .collect()
}

fn default_of(record: &Schema, default: Option<&Value>, field: &Schema) -> Option<Vec<u8>> {
    default_datum(record, field, default?)
}

fn planned_value(
    mapped: &MappedField,
    schema: &Schema,
    record: &RecordSchema,
    columns: &mut Columns,
) -> Result<FieldValue, MappingProblem> {
    let failed = |reason: String| MappingProblem::Field { line: mapped.line, field: mapped.name.clone(), reason };
    let source = &mapped.source;
    let FieldType { base, null } = schemas::field_type(schema, record).map_err(failed)?;
    let encoding = schemas::encoding(source, base).map_err(failed)?;
    if source.optional == Some(true) && null.is_none() {
        return Err(failed("is optional, but the schema's type has no null; make it a union with null".to_owned()));
    }
    let setting = format!("field {}", mapped.name);
    let given = [source.column.is_some(), source.constant.is_some(), source.template.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(failed("wants one of column, constant and template".to_owned()));
    }
    let template = match (&source.column, &source.template, &source.constant) {
        (Some(column), ..) => Template::column(columns.want(column, &setting)),
        (_, Some(template), _) => Template::parse(template, &setting, columns).map_err(failed)?,
        (_, _, constant) => {
            let text = constant_text(constant.as_ref()).map_err(failed)?;
            let mut bytes = Vec::from_iter(null.map(|null| null.value));
            encoding.write(&text, &mut bytes).map_err(|reason| failed(format!("constant: {reason}")))?;
            return Ok(FieldValue::Fixed(bytes));
        }
    };
    Ok(FieldValue::Of { template, encoding, null })
}

fn constant_text(constant: Option<&toml::Value>) -> Result<String, String> {
    match constant {
        Some(toml::Value::String(text)) => Ok(text.clone()),
        Some(toml::Value::Integer(number)) => Ok(number.to_string()),
        Some(toml::Value::Float(number)) => Ok(number.to_string()),
        Some(toml::Value::Boolean(value)) => Ok(value.to_string()),
        Some(toml::Value::Datetime(time)) => Ok(time.to_string()),
        Some(_) => Err("has a constant that is no text, number or boolean".to_owned()),
        None => Err("wants one of column, constant and template".to_owned()),
    }
}
