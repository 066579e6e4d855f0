//! Which changes of a subject's schema are allowed.

use apache_avro::Schema;

use super::{Resolution, SchemaId};

/// A subject's rule (Confluent, "Schema Evolution and Compatibility"). The transitive kinds look at every earlier
/// schema instead of the latest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    None,
    /// New readers read old records: readers are upgraded first.
    #[default]
    Backward,
    BackwardTransitive,
    /// Old readers read new records: writers are upgraded first.
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

/// A change that the rule forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The earlier schema.
    pub earlier: SchemaId,
    /// What differs, with the field's path.
    pub difference: String,
}

impl Compatibility {
    fn reads_old(self) -> bool {
        use Compatibility::*;
        matches!(self, Backward | BackwardTransitive | Full | FullTransitive)
    }

    fn is_read_by_old(self) -> bool {
        use Compatibility::*;
        matches!(self, Forward | ForwardTransitive | Full | FullTransitive)
    }

    fn is_transitive(self) -> bool {
        use Compatibility::*;
        matches!(self, BackwardTransitive | ForwardTransitive | FullTransitive)
    }

    /// Checks a schema against its subject's earlier ones, oldest first.
    ///
    /// It is checked by what decoders do: a change is compatible if the way from the one schema to the other exists and
    /// no value of the one lacks a place in the other.
    pub fn check(self, schema: &Schema, earlier: &[(SchemaId, Schema)]) -> Result<(), Difference> {
        let from = if self.is_transitive() { 0 } else { earlier.len().saturating_sub(1) };
        for (id, other) in earlier[from..].iter().rev() {
            let difference =
                |side: &str, reason: String| Difference { earlier: *id, difference: format!("{side}: {reason}") };
            if self.reads_old() {
                readable(other, schema).map_err(|reason| difference("it cannot read earlier records", reason))?;
            }
            if self.is_read_by_old() {
                readable(schema, other)
                    .map_err(|reason| difference("earlier readers cannot read its records", reason))?;
            }
        }
        Ok(())
    }
}

fn readable(writer: &Schema, reader: &Schema) -> Result<(), String> {
    let resolution = Resolution::new(writer, reader).map_err(|error| error.to_string())?;
    resolution.gaps().first().map_or(Ok(()), |gap| Err(gap.to_string()))
}
