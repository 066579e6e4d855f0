//! Avro defaults as Rust expressions.

use serde_json::Value;

use crate::catalogue::{Catalogue, Kind, Type, short_name};
use crate::rust::{field_name, variant_name};

/// How a default is written in Rust; `None` where the JSON value is not of the type.
///
/// The specification, "Complex Types: Records": bytes are written as text of the code points 0 to 255, and the default
/// of a union is of its first branch.
pub(crate) fn expression(catalogue: &Catalogue, ty: &Type, default: &Value) -> Option<String> {
    match ty {
        Type::Boolean => Some(default.as_bool()?.to_string()),
        Type::Int => Some(i32::try_from(default.as_i64()?).ok()?.to_string()),
        Type::Long => Some(default.as_i64()?.to_string()),
        Type::Float => Some(format!("{:?}", default.as_f64()? as f32)),
        Type::Double => Some(format!("{:?}", default.as_f64()?)),
        Type::String => Some(format!("{:?}.to_owned()", default.as_str()?)),
        Type::Bytes => Some(format!("::unchain::contract::Bytes::from_static(&{:?})", latin_1(default.as_str()?)?)),
        Type::Array(item) => {
            let items: Option<Vec<_>> = default.as_array()?.iter().map(|v| expression(catalogue, item, v)).collect();
            Some(format!("vec![{}]", items?.join(", ")))
        }
        Type::Map(of) => {
            let entry = |(key, value): (&String, &Value)| {
                Some(format!("({key:?}.to_owned(), {})", expression(catalogue, of, value)?))
            };
            let entries: Option<Vec<_>> = default.as_object()?.iter().map(entry).collect();
            Some(format!("::std::collections::BTreeMap::from([{}])", entries?.join(", ")))
        }
        Type::Optional { null_first: true, .. } => default.is_null().then(|| "None".to_owned()),
        Type::Optional { inner, .. } => Some(format!("Some({})", expression(catalogue, inner, default)?)),
        Type::Named(name) => named_expression(catalogue, name, default),
    }
}

fn named_expression(catalogue: &Catalogue, name: &str, default: &Value) -> Option<String> {
    match &catalogue.types.get(name)?.kind {
        Kind::Enum(symbols) => {
            let symbol = default.as_str()?;
            symbols.iter().any(|s| s == symbol).then(|| format!("{}::{}", short_name(name), variant_name(symbol)))
        }
        Kind::Fixed(size) => {
            let bytes = latin_1(default.as_str()?)?;
            (bytes.len() == *size).then(|| format!("{bytes:?}"))
        }
        Kind::Record(fields) => {
            let object = default.as_object()?;
            let field = |field: &crate::catalogue::Field| {
                let value = object.get(&field.name).or(field.default.as_ref())?;
                Some(format!("{}: {}", field_name(&field.name), expression(catalogue, &field.ty, value)?))
            };
            let fields: Option<Vec<_>> = fields.iter().map(field).collect();
            Some(format!("{} {{ {} }}", short_name(name), fields?.join(", ")))
        }
    }
}

/// Whether Rust's own default of the type is the same value, so that serde needs no function of ours.
pub(crate) fn is_plain(ty: &Type, default: &Value) -> bool {
    match ty {
        Type::Boolean => default == false,
        Type::Int | Type::Long => default == 0,
        Type::Float | Type::Double => default.as_f64() == Some(0.0),
        Type::String | Type::Bytes => default == "",
        Type::Array(_) => default.as_array().is_some_and(Vec::is_empty),
        Type::Map(_) => default.as_object().is_some_and(serde_json::Map::is_empty),
        Type::Optional { null_first, .. } => *null_first,
        Type::Named(_) => false,
    }
}

fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
