//! Reads an Avro schema file into the catalogue, refusing what has no plain Rust counterpart.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::catalogue::{Catalogue, Field, Kind, Named, Type, short_name};
use crate::error::CodegenError;

/// Type names that would hide a name of Rust's prelude from the generated code.
const PRELUDE: [&str; 10] = ["String", "Option", "Vec", "Result", "Box", "Some", "None", "Ok", "Err", "Self"];

/// serde implements its traits for arrays up to this length.
const MAX_FIXED_BYTES: u64 = 32;

/// Adds the named types of one schema file.
pub(crate) fn add_file(catalogue: &mut Catalogue, file: PathBuf, text: &str) -> Result<(), CodegenError> {
    let json: Value = serde_json::from_str(text).map_err(|source| CodegenError::Json { file: file.clone(), source })?;
    let mut parser = Parser { catalogue, file: &file };
    match &json {
        Value::Array(types) => types.iter().try_for_each(|json| parser.named_at_top(json)),
        json => parser.named_at_top(json),
    }
}

struct Parser<'a> {
    catalogue: &'a mut Catalogue,
    file: &'a Path,
}

/// Where a type stands: messages name the place, relative names are of its namespace.
#[derive(Clone, Copy)]
struct Site<'a> {
    place: &'a str,
    namespace: &'a str,
}

impl Parser<'_> {
    fn wrong<T>(&self, place: &str, problem: impl Into<String>, remedy: &str) -> Result<T, CodegenError> {
        Err(CodegenError::unsuitable(self.file, place, problem, remedy))
    }

    fn named_at_top(&mut self, json: &Value) -> Result<(), CodegenError> {
        let site = Site { place: "top level", namespace: "" };
        match self.ty(json, site)? {
            (Type::Named(_), _) if json.is_object() => Ok(()),
            _ => self.wrong(site.place, "is not a named type", "write a record, an enum or a fixed"),
        }
    }

    /// A type, and its schema with named types as references.
    fn ty(&mut self, json: &Value, site: Site<'_>) -> Result<(Type, Value), CodegenError> {
        match json {
            Value::String(name) => self.type_by_name(name, site),
            Value::Array(branches) => self.union(branches, site),
            Value::Object(attributes) => self.complex(attributes, site),
            other => self.wrong(site.place, format!("{other} is not a type"), "write a type's name or definition"),
        }
    }

    fn type_by_name(&self, name: &str, site: Site<'_>) -> Result<(Type, Value), CodegenError> {
        let ty = match name {
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            "null" => return self.wrong(site.place, "null alone says nothing", "make it a union of null and a type"),
            name => {
                let name = full_name(name, site.namespace);
                return Ok((Type::Named(name.clone()), Value::from(name)));
            }
        };
        Ok((ty, Value::from(name)))
    }

    fn union(&mut self, branches: &[Value], site: Site<'_>) -> Result<(Type, Value), CodegenError> {
        let (inner, null_first) = match branches {
            [null, inner] if null == "null" => (inner, true),
            [inner, null] if null == "null" => (inner, false),
            _ => {
                let problem = "a union of other than null and one type has no Rust counterpart here";
                return self.wrong(site.place, problem, "use one optional field for each branch");
            }
        };
        let (ty, json) = self.ty(inner, site)?;
        let null = Value::from("null");
        let json = if null_first { [null, json] } else { [json, null] };
        Ok((Type::Optional { inner: Box::new(ty), null_first }, Value::from(json.to_vec())))
    }

    fn complex(&mut self, attributes: &Map<String, Value>, site: Site<'_>) -> Result<(Type, Value), CodegenError> {
        match attributes.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "record" | "enum" | "fixed" => self.named(attributes, kind, site),
                "array" => self.container(attributes, "items", site, Type::Array),
                "map" => self.container(attributes, "values", site, Type::Map),
                // A primitive with attributes, such as a logical type, or a reference in braces.
                name => {
                    let (ty, json) = self.type_by_name(name, site)?;
                    let json = if matches!(ty, Type::Named(_)) { json } else { Value::Object(attributes.clone()) };
                    Ok((ty, json))
                }
            },
            Some(inner) => self.ty(inner, site),
            None => self.wrong(site.place, "the attribute `type` is missing", "add it"),
        }
    }

    fn container(
        &mut self,
        attributes: &Map<String, Value>,
        of: &str,
        site: Site<'_>,
        make: fn(Box<Type>) -> Type,
    ) -> Result<(Type, Value), CodegenError> {
        let Some(inner) = attributes.get(of) else {
            return self.wrong(site.place, format!("the attribute `{of}` is missing"), "add it");
        };
        let (ty, json) = self.ty(inner, site)?;
        if matches!(ty, Type::Optional { null_first: false, .. }) {
            return self.wrong(
                site.place,
                "null is the union's second branch",
                "put null first inside arrays and maps",
            );
        }
        let mut attributes = attributes.clone();
        attributes.insert(of.to_owned(), json);
        Ok((make(Box::new(ty)), Value::Object(attributes)))
    }

    fn named(
        &mut self,
        attributes: &Map<String, Value>,
        kind: &str,
        site: Site<'_>,
    ) -> Result<(Type, Value), CodegenError> {
        let name = self.text(attributes, "name", site.place)?;
        let namespace = attributes.get("namespace").and_then(Value::as_str).unwrap_or(site.namespace);
        let name = full_name(name, namespace);
        if !name.split('.').all(is_name) {
            return self.wrong(&name, "is not an Avro name", "use letters, digits and underscores");
        }
        if PRELUDE.contains(&short_name(&name)) {
            return self.wrong(&name, "hides a name of Rust's prelude", "choose another name");
        }
        let mut json = attributes.clone();
        json.remove("namespace");
        json.insert("name".to_owned(), Value::from(name.as_str()));
        let kind = match kind {
            "record" => {
                let (fields, fields_json) = self.fields(attributes, &name)?;
                json.insert("fields".to_owned(), Value::from(fields_json));
                Kind::Record(fields)
            }
            "enum" => Kind::Enum(self.symbols(attributes, &name)?),
            _ => Kind::Fixed(self.size(attributes, &name)?),
        };
        let named = Named { file: self.file.to_owned(), doc: doc(attributes), kind, json: Value::Object(json) };
        if let Some(other) = self.catalogue.types.insert(name.clone(), named) {
            let problem = format!("is also defined in {}", other.file.display());
            return self.wrong(&name, problem, "keep one definition and refer to it by name");
        }
        Ok((Type::Named(name.clone()), Value::from(name)))
    }

    fn fields(
        &mut self,
        attributes: &Map<String, Value>,
        record: &str,
    ) -> Result<(Vec<Field>, Vec<Value>), CodegenError> {
        let namespace = record.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let Some(list) = attributes.get("fields").and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            return self.wrong(record, "has no fields", "give it at least one");
        };
        let (mut fields, mut jsons) = (Vec::<Field>::new(), Vec::new());
        for json in list {
            let Some(field) = json.as_object() else {
                return self.wrong(record, format!("{json} is not a field"), "write {\"name\": .., \"type\": ..}");
            };
            let name = self.text(field, "name", record)?;
            let place = format!("{record}.{name}");
            if !is_name(name) {
                return self.wrong(&place, "is not an Avro name", "use letters, digits and underscores");
            }
            if fields.iter().any(|other| crate::rust::field_name(&other.name) == crate::rust::field_name(name)) {
                return self.wrong(&place, "another field has the same Rust name", "rename one of the two");
            }
            let Some(ty) = field.get("type") else {
                return self.wrong(&place, "the attribute `type` is missing", "add it");
            };
            let (ty, ty_json) = self.ty(ty, Site { place: &place, namespace })?;
            let mut json = field.clone();
            json.insert("type".to_owned(), ty_json);
            jsons.push(Value::Object(json));
            let default = field.get("default").cloned();
            fields.push(Field { name: name.to_owned(), doc: doc(field), ty, default });
        }
        Ok((fields, jsons))
    }

    fn symbols(&self, attributes: &Map<String, Value>, name: &str) -> Result<Vec<String>, CodegenError> {
        let list = attributes.get("symbols").and_then(Value::as_array).filter(|list| !list.is_empty());
        let Some(list) = list else {
            return self.wrong(name, "has no symbols", "give it at least one");
        };
        let mut symbols = Vec::<String>::new();
        for symbol in list {
            let Some(symbol) = symbol.as_str().filter(|symbol| is_name(symbol)) else {
                return self.wrong(name, format!("{symbol} is not a symbol"), "use letters, digits and underscores");
            };
            if symbols.iter().any(|other| crate::rust::variant_name(other) == crate::rust::variant_name(symbol)) {
                return self.wrong(
                    name,
                    format!("another symbol has the Rust name of {symbol}"),
                    "rename one of the two",
                );
            }
            symbols.push(symbol.to_owned());
        }
        Ok(symbols)
    }

    fn size(&self, attributes: &Map<String, Value>, name: &str) -> Result<usize, CodegenError> {
        match attributes.get("size").and_then(Value::as_u64) {
            Some(size @ 1..=MAX_FIXED_BYTES) => Ok(size as usize),
            _ => self.wrong(name, "the size is not between 1 and 32 bytes", "use bytes for longer values"),
        }
    }

    fn text<'j>(&self, attributes: &'j Map<String, Value>, what: &str, place: &str) -> Result<&'j str, CodegenError> {
        match attributes.get(what).and_then(Value::as_str) {
            Some(text) => Ok(text),
            None => self.wrong(place, format!("the attribute `{what}` is missing"), "add it, as a string"),
        }
    }
}

fn doc(attributes: &Map<String, Value>) -> String {
    attributes.get("doc").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Avro's rule: a name with a dot is a full name, any other is of the namespace around it.
fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}
