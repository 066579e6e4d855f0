//! The named types of a schema folder, by full name, and what must hold between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::error::CodegenError;

/// A type as a field uses it. Logical types stand as the type that carries them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Type>),
    Map(Box<Type>),
    /// A union of null and one type. Avro writes the branch's index, so the order matters.
    Optional {
        inner: Box<Type>,
        null_first: bool,
    },
    /// A record, enum or fixed, by full name.
    Named(String),
}

#[derive(Debug)]
pub(crate) struct Field {
    pub name: String,
    pub doc: String,
    pub ty: Type,
    pub default: Option<Value>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Record(Vec<Field>),
    Enum(Vec<String>),
    Fixed(usize),
}

#[derive(Debug)]
pub(crate) struct Named {
    pub file: PathBuf,
    pub doc: String,
    pub kind: Kind,
    /// The schema, where every other named type is a reference by full name.
    pub json: Value,
}

/// Every named type, by full name.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub types: BTreeMap<String, Named>,
}

/// The Rust name of a named type: its Avro name without the namespace.
pub(crate) fn short_name(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

impl Catalogue {
    /// Checks what concerns several types: references, cycles and names.
    pub fn check(&self) -> Result<(), CodegenError> {
        self.check_short_names()?;
        for (name, named) in &self.types {
            if let Kind::Record(fields) = &named.kind {
                for field in fields {
                    self.check_references(named, &format!("{name}.{}", field.name), &field.ty)?;
                }
            }
        }
        for (name, named) in &self.types {
            self.check_cycle(name, named, &mut Vec::new())?;
        }
        Ok(())
    }

    /// Every schema must also be one to the Avro library, which resolves and compares it at run time.
    pub fn check_library_agrees(&self) -> Result<(), CodegenError> {
        self.types.iter().try_for_each(|(name, named)| {
            apache_avro::Schema::parse(&self.self_contained(name)).map(drop).map_err(|error| {
                CodegenError::unsuitable(
                    &named.file,
                    name,
                    format!("is not a valid Avro schema: {error}"),
                    "see the Avro specification, \"Schema Declaration\"",
                )
            })
        })
    }

    /// A type's schema with every type that it refers to written out where it is first used.
    pub fn self_contained(&self, name: &str) -> Value {
        self.written_out(&Value::from(name), &mut BTreeSet::new())
    }

    fn written_out(&self, schema: &Value, seen: &mut BTreeSet<String>) -> Value {
        match schema {
            Value::String(name) => match self.types.get(name) {
                Some(named) if seen.insert(name.clone()) => self.written_out(&named.json, seen),
                _ => schema.clone(),
            },
            Value::Array(branches) => branches.iter().map(|branch| self.written_out(branch, seen)).collect(),
            Value::Object(attributes) => {
                let mut attributes = attributes.clone();
                for place in ["items", "values"] {
                    if let Some(schema) = attributes.get_mut(place) {
                        *schema = self.written_out(schema, seen);
                    }
                }
                for field in attributes.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(schema) = field.get_mut("type") {
                        *schema = self.written_out(schema, seen);
                    }
                }
                Value::Object(attributes)
            }
            other => other.clone(),
        }
    }

    /// All types land in one Rust module, whatever their namespace.
    fn check_short_names(&self) -> Result<(), CodegenError> {
        let mut seen = BTreeMap::new();
        for (name, named) in &self.types {
            if let Some(other) = seen.insert(short_name(name), name) {
                return Err(CodegenError::unsuitable(
                    &named.file,
                    name,
                    format!("{other} has the same Rust name"),
                    "rename one of the two",
                ));
            }
        }
        Ok(())
    }

    fn check_references(&self, named: &Named, place: &str, ty: &Type) -> Result<(), CodegenError> {
        match ty {
            Type::Array(inner) | Type::Map(inner) | Type::Optional { inner, .. } => {
                self.check_references(named, place, inner)
            }
            Type::Named(name) if !self.types.contains_key(name) => Err(CodegenError::unsuitable(
                &named.file,
                place,
                format!("type {name} is defined in no schema file"),
                "write its full name (namespace.Name) or add its schema",
            )),
            _ => Ok(()),
        }
    }

    /// A type that holds itself could nest without limit, and bytes from a topic decide how deep.
    fn check_cycle(&self, name: &str, named: &Named, above: &mut Vec<String>) -> Result<(), CodegenError> {
        if above.iter().any(|ancestor| ancestor == name) {
            return Err(CodegenError::unsuitable(
                &named.file,
                name,
                format!("the type holds itself ({} -> {name})", above.join(" -> ")),
                "refer to the inner record by its key instead",
            ));
        }
        above.push(name.to_owned());
        if let Kind::Record(fields) = &named.kind {
            for field in fields {
                let mut ty = &field.ty;
                while let Type::Array(inner) | Type::Map(inner) | Type::Optional { inner, .. } = ty {
                    ty = inner;
                }
                if let Type::Named(inner) = ty
                    && let Some(inner_named) = self.types.get(inner)
                {
                    self.check_cycle(inner, inner_named, above)?;
                }
            }
        }
        above.pop();
        Ok(())
    }
}
