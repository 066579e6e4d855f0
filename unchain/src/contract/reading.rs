//! How the values of one writer's schema are read as a type of ours.

use apache_avro::Schema;

use super::{Datum, Input, Malformed, Resolution, ResolutionError};

/// The way from a writer's bytes to values.
#[derive(Debug)]
pub enum Reading {
    /// The writer's encoding is the reader's: read field by field, without a look at either schema.
    Straight,
    /// Each datum is first rewritten as the reader's schema would have it.
    Resolved(Resolution),
}

impl Reading {
    /// The way from one schema to another, both as JSON.
    pub fn between(writer: &str, reader: &str) -> Result<Reading, ResolutionError> {
        let parse = |schema: &str| {
            Schema::parse_str(schema)
                .map_err(|error| ResolutionError { field: String::new(), reason: error.to_string() })
        };
        let (writer, reader) = (parse(writer)?, parse(reader)?);
        // Schemas of one canonical form have one encoding; they differ in docs, defaults and aliases only.
        if writer.canonical_form() == reader.canonical_form() {
            Ok(Reading::Straight)
        } else {
            Resolution::new(&writer, &reader).map(Reading::Resolved)
        }
    }

    /// Reads the next datum. `scratch` is for its use alone, kept from call to call to save allocations.
    pub fn next<T: Datum>(&self, input: &mut Input<'_>, scratch: &mut Vec<u8>) -> Result<T, Malformed> {
        match self {
            Reading::Straight => T::read(input),
            Reading::Resolved(resolution) => {
                scratch.clear();
                resolution.rewrite_next(input, scratch)?;
                T::read(&mut Input::new(scratch))
            }
        }
    }

    /// Reads a datum that must fill its bytes.
    pub fn whole<T: Datum>(&self, datum: &[u8], scratch: &mut Vec<u8>) -> Result<T, Malformed> {
        let mut input = Input::new(datum);
        let value = self.next(&mut input, scratch)?;
        input.finish()?;
        Ok(value)
    }
}
