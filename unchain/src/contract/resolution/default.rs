//! A field's default, from the JSON of its schema to Avro bytes.

use apache_avro::Schema;
use serde_json::Value;

use super::super::datum::{Datum, write_long};
use super::compile::{Base, Names, base, target};

/// Appends a default's bytes; `None` where it is not of the type.
///
/// The specification, "Complex Types: Records": the default of a union is of its first branch, bytes are written as
/// text of the code points 0 to 255.
pub(super) fn default_bytes<'s>(
    names: &Names<'s>,
    schema: &'s Schema,
    default: &Value,
    out: &mut Vec<u8>,
) -> Option<()> {
    match base(target(names, schema)) {
        Base::Null => default.as_null()?,
        Base::Boolean => default.as_bool()?.write(out),
        Base::Int => i32::try_from(default.as_i64()?).ok()?.write(out),
        Base::Long => default.as_i64()?.write(out),
        Base::Float => (default.as_f64()? as f32).write(out),
        Base::Double => default.as_f64()?.write(out),
        Base::String => default.as_str()?.to_owned().write(out),
        Base::Bytes => bytes::Bytes::from(latin_1(default.as_str()?)?).write(out),
        Base::Fixed(fixed) => {
            let bytes = latin_1(default.as_str()?).filter(|bytes| bytes.len() == fixed.size)?;
            out.extend_from_slice(&bytes);
        }
        Base::Enum(schema) => {
            let symbol = default.as_str()?;
            let index = schema.symbols.iter().position(|other| other == symbol)?;
            write_long(index as i64, out);
        }
        Base::Array(item) => {
            let items = default.as_array()?;
            if !items.is_empty() {
                write_long(items.len() as i64, out);
            }
            items.iter().try_for_each(|value| default_bytes(names, item, value, out))?;
            write_long(0, out);
        }
        Base::Map(of) => {
            let entries = default.as_object()?;
            if !entries.is_empty() {
                write_long(entries.len() as i64, out);
            }
            for (key, value) in entries {
                key.write(out);
                default_bytes(names, of, value, out)?;
            }
            write_long(0, out);
        }
        Base::Union(branches) => {
            write_long(0, out);
            default_bytes(names, branches.first()?, default, out)?;
        }
        Base::Record(record) => {
            let object = default.as_object()?;
            for field in &record.fields {
                let value = object.get(&field.name).or(field.default.as_ref())?;
                default_bytes(names, &field.schema, value, out)?;
            }
        }
        Base::Unknown => return None,
    }
    Some(())
}

fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
