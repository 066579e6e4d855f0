//! Schema resolution: a datum of a writer's schema, rewritten as the reader's schema would have it.
//!
//! The rules are those of the Avro specification, "Schema Resolution". The way from one schema to the other is worked
//! out once; the records then pass without a look at either schema and without a value tree.

mod compile;
mod default;
mod rewrite;
#[cfg(test)]
mod tests;

use apache_avro::Schema;
use serde_json::Value;
use thiserror::Error;

use super::{Input, Malformed};
pub(super) use compile::{Base, Names, base, names_of, target};
use rewrite::Step;

/// Why no datum of the writer's schema can be read by the reader's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ResolutionError {
    /// The path of the field, with dots; empty outside of any.
    pub field: String,
    pub reason: String,
}

impl std::fmt::Display for ResolutionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "field {}: {}", self.field, self.reason)
        }
    }
}

/// The bytes of a default that a field of a record's schema has; `None` where it is not of the field's type.
pub(crate) fn default_datum(record: &Schema, field: &Schema, default: &Value) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    default::default_bytes(&names_of(record), field, default, &mut bytes)?;
    Some(bytes)
}

/// The way from a writer's schema to a reader's.
#[derive(Debug)]
pub struct Resolution {
    root: Step,
    gaps: Vec<ResolutionError>,
}

impl Resolution {
    /// Works out the way.
    ///
    /// # Errors
    /// Where no value at all can go it: a type that does not widen, or a new field without a default. Also where a type
    /// holds itself, since a hostile record could then nest without limit.
    pub fn new(writer: &Schema, reader: &Schema) -> Result<Resolution, ResolutionError> {
        compile::compile(writer, reader)
    }

    /// What some values of the writer's schema lack a place for: enum symbols, and branches of unions.
    ///
    /// Such values are refused one by one; a compatible change of a schema has no gaps.
    pub fn gaps(&self) -> &[ResolutionError] {
        &self.gaps
    }

    /// Appends a datum of the writer's schema as the reader's schema has it.
    pub fn rewrite(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut input = Input::new(datum);
        self.rewrite_next(&mut input, out)?;
        input.finish()
    }

    /// As [`Resolution::rewrite`], of the next datum of several.
    pub fn rewrite_next(&self, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        self.root.run(input, out)
    }
}
