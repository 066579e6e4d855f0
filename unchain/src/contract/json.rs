//! Any topic's values as JSON, without a Rust type: for commands and consoles.

use std::sync::Arc;

use apache_avro::Schema;
use serde_json::{Map, Value};

use super::avro::{DecodeError, split};
use super::datum::{Datum, Input};
use super::malformed::{Malformed, MalformedReason};
use super::resolution::{Base, Names, base, names_of, target};
use super::{SchemaId, SchemaRegistry};

/// Types nested deeper than this in one value are refused.
const MAX_DEPTH: usize = 64;

/// Reads values of any schema as JSON. Keeps the schemas that it has met.
///
/// Numbers, strings, arrays and maps are JSON's; an enum is its symbol, a union its value alone, and bytes are text of
/// the code points 0 to 255, as in Avro's own JSON encoding. Logical types stand as the number that carries them.
pub struct JsonDecoder {
    registry: Arc<dyn SchemaRegistry>,
    schemas: Vec<(SchemaId, Schema)>,
}

impl JsonDecoder {
    pub fn new(registry: Arc<dyn SchemaRegistry>) -> JsonDecoder {
        JsonDecoder { registry, schemas: Vec::new() }
    }

    /// Reads a value by the schema that wrote it.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Value, DecodeError> {
        let (id, datum) = split(bytes)?;
        let index = match self.schemas.iter().position(|(known, _)| *known == id) {
            Some(index) => index,
            None => {
                self.schemas.push((id, writer_schema(&*self.registry, id)?));
                self.schemas.len() - 1
            }
        };
        datum_json(&self.schemas[index].1, datum).map_err(|source| DecodeError::Malformed { id, source })
    }
}

/// Reads one value as JSON; see [`JsonDecoder`], which is faster for many.
pub fn decode_json(bytes: &[u8], registry: &dyn SchemaRegistry) -> Result<Value, DecodeError> {
    let (id, datum) = split(bytes)?;
    let schema = writer_schema(registry, id)?;
    datum_json(&schema, datum).map_err(|source| DecodeError::Malformed { id, source })
}

fn writer_schema(registry: &dyn SchemaRegistry, id: SchemaId) -> Result<Schema, DecodeError> {
    let text = registry.schema(id).map_err(DecodeError::of_registry)?;
    Schema::parse_str(&text).map_err(|error| DecodeError::Unresolvable {
        id,
        reader: "JSON".to_owned(),
        reason: error.to_string(),
    })
}

fn datum_json(schema: &Schema, datum: &[u8]) -> Result<Value, Malformed> {
    let names = names_of(schema);
    let mut input = Input::new(datum);
    let value = json(&names, schema, &mut input, 0)?;
    input.finish()?;
    Ok(value)
}

fn json(names: &Names<'_>, schema: &Schema, input: &mut Input<'_>, depth: usize) -> Result<Value, Malformed> {
    if depth == MAX_DEPTH {
        return Err(input.malformed(MalformedReason::NoPlace { written: format!("nested deeper than {MAX_DEPTH}") }));
    }
    Ok(match base(target(names, schema)) {
        Base::Null => Value::Null,
        Base::Boolean => bool::read(input)?.into(),
        Base::Int => i32::read(input)?.into(),
        Base::Long => input.long()?.into(),
        // JSON has no number for what is not finite: such a value is null.
        Base::Float => f32::read(input)?.into(),
        Base::Double => f64::read(input)?.into(),
        Base::String => input.text()?.into(),
        Base::Bytes => {
            let length = input.length()?;
            latin_1(input.take(length)?)
        }
        Base::Fixed(fixed) => latin_1(input.take(fixed.size)?),
        Base::Enum(schema) => {
            let index = i32::read(input)?;
            match usize::try_from(index).ok().and_then(|index| schema.symbols.get(index)) {
                Some(symbol) => symbol.as_str().into(),
                None => {
                    let enumeration = schema.name.to_string();
                    return Err(input.malformed(MalformedReason::NoSymbol { index, enumeration }));
                }
            }
        }
        Base::Union(branches) => {
            let branch = input.long()?;
            match usize::try_from(branch).ok().and_then(|index| branches.get(index)) {
                Some(schema) => json(names, schema, input, depth + 1)?,
                None => return Err(input.malformed(MalformedReason::NoBranch { branch })),
            }
        }
        Base::Array(item) => {
            let mut items = Vec::new();
            blocks(input, |input| {
                items.push(json(names, item, input, depth + 1)?);
                Ok(())
            })?;
            Value::Array(items)
        }
        Base::Map(value) => {
            let mut map = Map::new();
            blocks(input, |input| {
                let key = input.text()?.to_owned();
                map.insert(key, json(names, value, input, depth + 1)?);
                Ok(())
            })?;
            Value::Object(map)
        }
        Base::Record(record) => {
            let mut object = Map::new();
            for field in &record.fields {
                let value = json(names, &field.schema, input, depth + 1);
                object.insert(field.name.clone(), value.map_err(|malformed| malformed.within(&field.name))?);
            }
            Value::Object(object)
        }
        Base::Unknown => {
            return Err(
                input.malformed(MalformedReason::NoPlace { written: "a type that it does not define".to_owned() })
            );
        }
    })
}

fn blocks(
    input: &mut Input<'_>,
    mut one: impl FnMut(&mut Input<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    loop {
        let count = input.block()?;
        if count == 0 {
            return Ok(());
        }
        (0..count).try_for_each(|_| one(input))?;
    }
}

fn latin_1(bytes: &[u8]) -> Value {
    bytes.iter().copied().map(char::from).collect::<String>().into()
}
