//! Types of fields: those that a mapping names, those that a schema has, and what goes with what.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use serde_json::{Value, json};

use super::encoding::{Encoding, Whole};
use super::error::MappingProblem;
use super::mapping::{FieldTable, MappedField};
use super::plan::Branches;
use super::times::{DEFAULT_FORMAT, TimeFormat};

/// The types that a mapping can name.
const TYPES: &str = "string, int, long, float, double, boolean, decimal, date, timestamp";

/// A schema's type without its null.
pub(super) struct FieldType<'s> {
    pub(super) base: &'s Schema,
    pub(super) null: Option<Branches>,
}

/// Takes a field's type apart.
///
/// # Errors
/// What of it a line's text cannot fill, as the end of a sentence.
pub(super) fn field_type<'s>(schema: &'s Schema, record: &'s RecordSchema) -> Result<FieldType<'s>, String> {
    let Schema::Union(union) = schema else { return Ok(FieldType { base: resolved(schema, record), null: None }) };
    match union.variants() {
        [Schema::Null, base] => {
            Ok(FieldType { base: resolved(base, record), null: Some(Branches { null: 0, value: 2 }) })
        }
        [base, Schema::Null] => {
            Ok(FieldType { base: resolved(base, record), null: Some(Branches { null: 2, value: 0 }) })
        }
        _ => Err(format!("is {} in the schema; of unions, those of null and one type can be filled", describe(schema))),
    }
}

/// The type behind a name that an earlier field has defined.
fn resolved<'s>(schema: &'s Schema, record: &'s RecordSchema) -> &'s Schema {
    let Schema::Ref { name } = schema else { return schema };
    let variants = record.fields.iter().flat_map(|field| match &field.schema {
        Schema::Union(union) => union.variants(),
        other => std::slice::from_ref(other),
    });
    let mut named = variants.filter(|schema| matches!(schema, Schema::Enum(of) if of.name == *name));
    named.next().unwrap_or(schema)
}

/// A type's name, for messages.
pub(super) fn describe(schema: &Schema) -> String {
    match schema {
        Schema::Union(union) => {
            let names: Vec<_> = union.variants().iter().map(describe).collect();
            format!("a union of {}", names.join(" and "))
        }
        Schema::Record(_) => "record".to_owned(),
        Schema::Array(_) => "array".to_owned(),
        Schema::Map(_) => "map".to_owned(),
        Schema::Enum(_) => "enum".to_owned(),
        Schema::Fixed(_) => "fixed".to_owned(),
        Schema::Date => "date".to_owned(),
        Schema::Decimal(_) | Schema::BigDecimal => "decimal of bytes".to_owned(),
        Schema::TimestampMillis | Schema::TimestampMicros => "timestamp".to_owned(),
        Schema::Ref { name } => name.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// How the text of a field becomes its schema's type.
///
/// # Errors
/// Why the mapping's type does not go with it, as the end of a sentence.
pub(super) fn encoding(source: &FieldTable, schema: &Schema) -> Result<Encoding, String> {
    let named = source.kind.as_deref();
    if named != Some("decimal") && source.scale.is_some() {
        return Err("scale is for `type = \"decimal\"`".to_owned());
    }
    let encoding = match (named, schema) {
        (None | Some("string"), Schema::String) => Encoding::String,
        (None | Some("string"), Schema::Bytes) => Encoding::Bytes,
        (None | Some("string" | "enum"), Schema::Enum(schema)) => Encoding::Enum { symbols: schema.symbols.clone() },
        (None | Some("int"), Schema::Int) => Encoding::Int,
        (Some("int"), Schema::Long) => Encoding::Int,
        (None | Some("long"), Schema::Long) => Encoding::Long,
        (None | Some("float"), Schema::Float) => Encoding::Float,
        (None | Some("double"), Schema::Double) => Encoding::Double,
        (Some("float" | "int" | "long"), Schema::Double) => Encoding::Double,
        (None | Some("boolean"), Schema::Boolean) => Encoding::Boolean,
        (Some("decimal"), Schema::Int) => decimal(source, Whole::Int)?,
        (Some("decimal"), Schema::Long) => decimal(source, Whole::Long)?,
        (None | Some("date"), Schema::Date) | (Some("date"), Schema::Int) => Encoding::Date(time_format(source)?),
        (None | Some("timestamp"), Schema::TimestampMillis) | (Some("timestamp"), Schema::Long) => {
            Encoding::Timestamp { format: time_format(source)?, per_ms: 1 }
        }
        (None | Some("timestamp"), Schema::TimestampMicros) => {
            Encoding::Timestamp { format: time_format(source)?, per_ms: 1_000 }
        }
        (Some(named), _) if !TYPES.split(", ").any(|known| known == named) && named != "enum" => {
            return Err(format!("has the type {named:?}; there are: {TYPES}"));
        }
        (Some(named), _) => return Err(format!("is {named} in the mapping and {} in the schema", describe(schema))),
        (None, _) => {
            return Err(format!("is {} in the schema; a line's text can be {TYPES} and an enum", describe(schema)));
        }
    };
    let is_time = matches!(encoding, Encoding::Date(_) | Encoding::Timestamp { .. });
    if !is_time && (source.format.is_some() || source.zone.is_some()) {
        return Err("format and zone are for `type = \"timestamp\"` and `type = \"date\"`".to_owned());
    }
    Ok(encoding)
}

fn decimal(source: &FieldTable, whole: Whole) -> Result<Encoding, String> {
    match source.scale {
        Some(scale) if scale <= 18 => Ok(Encoding::Decimal { scale, whole }),
        Some(scale) => Err(format!("has a scale of {scale}; a long holds 18 decimal places at most")),
        None => Err("is a decimal and needs its scale: `scale = 2` makes 29.33 the number 2933".to_owned()),
    }
}

fn time_format(source: &FieldTable) -> Result<TimeFormat, String> {
    let format = source.format.as_deref().unwrap_or(DEFAULT_FORMAT);
    TimeFormat::new(format, source.zone.as_deref()).map_err(|reason| format!("format {format:?} {reason}"))
}

/// A schema of the mapping's fields: a record that is named after the topic.
pub(super) fn make(topic: &str, fields: &[MappedField]) -> Result<String, MappingProblem> {
    let made: Result<Vec<Value>, MappingProblem> = fields
        .iter()
        .map(|field| {
            let failed = |reason: String| MappingProblem::Field { line: field.line, field: field.name.clone(), reason };
            if !is_name(&field.name) {
                let reason = "is no Avro name: letters, digits and _ make one, beginning with no digit".to_owned();
                return Err(failed(reason));
            }
            if fields.iter().filter(|other| other.name == field.name).count() > 1 {
                let reason = "several columns come to this name: name their fields under [fields]".to_owned();
                return Err(failed(reason));
            }
            let source = &field.source;
            let kind = match source.kind.as_deref().unwrap_or("string") {
                known @ ("string" | "int" | "long" | "float" | "double" | "boolean") => json!(known),
                "decimal" => json!("long"),
                "date" => json!({"type": "int", "logicalType": "date"}),
                "timestamp" => json!({"type": "long", "logicalType": "timestamp-millis"}),
                other => return Err(failed(format!("has the type {other:?}; without a schema there are: {TYPES}"))),
            };
            let doc = source.doc.clone().unwrap_or_else(|| doc(source));
            Ok(match source.optional {
                Some(true) => json!({"name": field.name, "type": ["null", kind], "doc": doc, "default": null}),
                _ => json!({"name": field.name, "type": kind, "doc": doc}),
            })
        })
        .collect();
    let (namespace, last) = topic.rsplit_once('.').unwrap_or(("imported", topic));
    let namespace: Vec<_> = namespace.split('.').map(field_name).collect();
    let schema = json!({
        "type": "record",
        "name": type_name(last),
        "namespace": namespace.join("."),
        "doc": format!("A record of {topic}, imported."),
        "fields": made?,
    });
    Ok(schema.to_string())
}

fn doc(source: &FieldTable) -> String {
    let from = match (&source.column, &source.template) {
        (Some(column), _) => format!("From the column {column}"),
        (_, Some(template)) => format!("Made as {template}"),
        _ => "The same in every record".to_owned(),
    };
    match source.scale {
        Some(scale) if scale > 0 => format!("{from}, in units of 0.{:0>width$}.", 1, width = scale as usize),
        _ => format!("{from}."),
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A column's name as the name of a field.
pub(super) fn field_name(column: &str) -> String {
    let mut name = String::new();
    for character in column.trim().chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_lowercase());
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    if is_name(name) { name.to_owned() } else { format!("c_{name}") }
}

/// `late-orders` as `LateOrders`.
fn type_name(topic: &str) -> String {
    let words = topic.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    if is_name(&name) { name } else { format!("T{name}") }
}
