//! The normal form of a schema: the text that equal schemas share, whoever wrote them down.
//!
//! Unlike Avro's own Parsing Canonical Form it keeps what changes how a reader resolves (defaults, aliases, logical
//! types). It drops what only people read, so that a corrected sentence of documentation is no new schema.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The normal form of a valid Avro schema.
pub(super) fn normal_form(schema: &Value) -> String {
    let mut text = String::new();
    write_sorted(&normal(schema, ""), &mut text);
    text
}

fn normal(schema: &Value, namespace: &str) -> Value {
    match schema {
        Value::String(name) => Value::from(full_name(name, namespace)),
        Value::Array(branches) => branches.iter().map(|branch| normal(branch, namespace)).collect(),
        Value::Object(attributes) => normal_object(attributes, namespace),
        other => other.clone(),
    }
}

fn normal_object(attributes: &Map<String, Value>, namespace: &str) -> Value {
    let mut attributes = attributes.clone();
    attributes.remove("doc");
    let own_namespace = attributes.remove("namespace");
    let mut inner_namespace = namespace.to_owned();
    if let Some(Value::String(name)) = attributes.get_mut("name") {
        *name = full_name(name, own_namespace.as_ref().and_then(Value::as_str).unwrap_or(namespace));
        inner_namespace = name.rsplit_once('.').map_or(String::new(), |(namespace, _)| namespace.to_owned());
    }
    for place in ["items", "values"] {
        if let Some(schema) = attributes.get_mut(place) {
            *schema = normal(schema, &inner_namespace);
        }
    }
    for field in attributes.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(field) = field.as_object_mut() {
            field.remove("doc");
            if let Some(schema) = field.get_mut("type") {
                *schema = normal(schema, &inner_namespace);
            }
        }
    }
    match attributes.get("type") {
        // A type in braces without a further attribute is the type.
        Some(inner) if attributes.len() == 1 => normal(inner, namespace),
        _ => Value::Object(attributes),
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() || PRIMITIVES.contains(&name) {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// JSON with sorted keys, whatever order the JSON library keeps.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => {
            text.push('{');
            for (index, (key, value)) in object.iter().collect::<BTreeMap<_, _>>().into_iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(text, "{comma}{}:", Value::from(key.as_str()));
                write_sorted(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_sorted(item, text);
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn documentation_spelling_and_key_order_do_not_matter() {
        let a = json!({"type": "record", "name": "A", "namespace": "n", "doc": "One.", "fields": [
            {"name": "b", "type": {"type": "enum", "name": "B", "symbols": ["X"]}, "doc": "Two."},
            {"name": "c", "type": ["null", "B"], "default": null},
            {"name": "d", "type": {"type": "int"}}]});
        let b = json!({"fields": [
            {"type": {"name": "n.B", "symbols": ["X"], "type": "enum"}, "name": "b"},
            {"default": null, "name": "c", "type": ["null", "n.B"]},
            {"name": "d", "type": "int"}], "name": "n.A", "type": "record"});
        assert_eq!(normal_form(&a), normal_form(&b));
        assert_eq!(
            normal_form(&a),
            r#"{"fields":[{"name":"b","type":{"name":"n.B","symbols":["X"],"type":"enum"}},{"default":null,"name":"c","type":["null","n.B"]},{"name":"d","type":"int"}],"name":"n.A","type":"record"}"#
        );
    }

    #[test]
    fn what_a_reader_resolves_by_does_matter() {
        let field = |extra: Value| {
            let mut field = json!({"name": "a", "type": "int"});
            field.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            normal_form(&json!({"type": "record", "name": "A", "fields": [field]}))
        };
        assert_ne!(field(json!({})), field(json!({"default": 1})));
        assert_ne!(field(json!({})), field(json!({"aliases": ["b"]})));
        assert_ne!(field(json!({"default": 1})), field(json!({"default": 2})));
        assert_eq!(field(json!({})), field(json!({"doc": "A number."})));
    }
}
