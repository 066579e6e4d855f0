//! Bytes that are not a datum of their schema: where, in which field, and why.

use std::fmt;

use thiserror::Error;

/// What is wrong with the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MalformedReason {
    #[error("the bytes end early")]
    EndsEarly,
    #[error("{bytes} bytes are left over")]
    TrailingBytes { bytes: usize },
    #[error("a length of {length} goes beyond the {remaining_bytes} bytes that are left")]
    LengthBeyondEnd { length: usize, remaining_bytes: usize },
    #[error("a length is negative: {length}")]
    NegativeLength { length: i64 },
    #[error("an integer has more than 64 bits")]
    IntegerTooLong,
    #[error("{value} is beyond an int's 32 bits")]
    BeyondInt { value: i64 },
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("{byte} is not a boolean")]
    NotBoolean { byte: u8 },
    #[error("the union has no branch {branch}")]
    NoBranch { branch: i64 },
    #[error("{enumeration} has no symbol {index}")]
    NoSymbol { index: i32, enumeration: String },
    #[error("the value was written as {written}, which the reader's schema has no place for")]
    NoPlace { written: String },
}

/// An error in a datum. Boxed: the good path returns it by the million and it must stay small there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    offset: usize,
    field: String,
    reason: MalformedReason,
}

impl Malformed {
    pub(super) fn new(offset: usize, reason: MalformedReason) -> Malformed {
        Malformed(Box::new(Details { offset, field: String::new(), reason }))
    }

    /// The same error, seen from the record around the field.
    #[cold]
    pub(super) fn within(mut self, field: &str) -> Malformed {
        self.0.field = if self.0.field.is_empty() { field.to_owned() } else { format!("{field}.{}", self.0.field) };
        self
    }

    /// Bytes of the datum before the error.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The path of the field, with dots; empty outside of any.
    pub fn field(&self) -> &str {
        &self.0.field
    }

    pub fn reason(&self) -> &MalformedReason {
        &self.0.reason
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.field.is_empty() {
            write!(f, "field {}, ", self.0.field)?;
        }
        write!(f, "byte {}: {}", self.0.offset, self.0.reason)
    }
}

impl std::error::Error for Malformed {}
