//! Foreign event logs become recordings: CSV, JSON lines, and what kcat and the console consumer print.
//!
//! A file is read line by line, its records are sorted by time with bounded memory, and then written. Everything else, such
//! as replay, reads recordings alone.

mod columns;
mod console;
mod csv;
mod draft;
mod encoding;
mod error;
mod identity;
mod json;
mod kcat;
mod landing;
mod letters;
mod lines;
mod mapping;
mod options;
mod plan;
mod run;
mod schemas;
mod sketch;
mod sort;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod times;
mod topics;

pub use error::{BadLine, Fault, FaultReason, ImportError, MappingProblem};
pub use identity::{import_beside, is_current};
pub use options::{ConsolePart, DEFAULT_MAX_LINE_BYTES, Format, ImportOptions, OnError};
pub use run::{ImportObserver, ImportSummary, ImportedTopic, import};
pub use sketch::sketch_mapping;

use run::OBSERVED_EVERY;
