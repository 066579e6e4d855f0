//! Why a foreign file cannot be imported: the file, the mapping, or a line, each with its place and what is wanted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Format;
use crate::recording::RecordingError;

/// What an import fails by.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    #[error("{}: there is no such file", .file.display())]
    Missing { file: PathBuf },
    #[error("{}: is a folder; one file is imported at a time", .file.display())]
    Folder { file: PathBuf },
    #[error("{}: is empty: there is nothing to import", .file.display())]
    Empty { file: PathBuf },
    #[error("{}: cannot be read: {source}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error(
        "{}: neither its name nor its first line says which format it has: name it with --format csv, jsonl, kcat or \
         console",
        .file.display()
    )]
    UnknownFormat { file: PathBuf },
    #[error(
        "{}: a CSV file needs a mapping from its columns to a contract: `import {} --print-mapping > mapping.toml` \
         writes one to start from, --mapping mapping.toml uses it",
        .file.display(), .file.display()
    )]
    NeedsMapping { file: PathBuf },
    #[error("{option} is needed for {format} files: {why}")]
    NeedsOption { format: Format, option: &'static str, why: &'static str },
    #[error("{option} has no meaning for {format} files{instead}")]
    UselessOption { format: Format, option: &'static str, instead: &'static str },
    #[error("{option} {found:?}: {wanted}")]
    Option { option: &'static str, found: String, wanted: String },
    #[error("{}: {problem}", .file.display())]
    Mapping { file: PathBuf, problem: Box<MappingProblem> },
    #[error("{}: {line}", .file.display())]
    BadLine { file: PathBuf, line: Box<BadLine> },
    #[error("{}: none of its {lines} lines is a record", .file.display())]
    NoRecords { file: PathBuf, lines: u64 },
    #[error("topic {topic:?}: {reason}")]
    TopicName { topic: String, reason: &'static str },
    #[error("{}: records cannot be sorted there: {source}", .folder.display())]
    Sort { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("the import was interrupted before {} was complete", .out.display())]
    Interrupted { out: PathBuf },
}

impl ImportError {
    pub(super) fn read(file: &Path, source: io::Error) -> ImportError {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => ImportError::Missing { file },
            io::ErrorKind::IsADirectory => ImportError::Folder { file },
            _ => ImportError::Read { file, source },
        }
    }

    /// Whether the command line or the mapping is wrong, and not the data.
    pub fn is_wrong_usage(&self) -> bool {
        matches!(
            self,
            ImportError::Missing { .. }
                | ImportError::Folder { .. }
                | ImportError::UnknownFormat { .. }
                | ImportError::NeedsMapping { .. }
                | ImportError::NeedsOption { .. }
                | ImportError::UselessOption { .. }
                | ImportError::Option { .. }
                | ImportError::Mapping { .. }
                | ImportError::TopicName { .. }
        )
    }
}

/// What is wrong with a mapping file, or between it, its schema and the columns.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MappingProblem {
    #[error("cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("is no mapping: {reason}")]
    Toml { reason: String },
    #[error("line {line}: field {field:?}: {reason}")]
    Field { line: usize, field: String, reason: String },
    #[error("{setting} names the column {column:?}, which the data does not have; its columns are: {known}")]
    NoColumn { setting: String, column: String, known: String },
    #[error("{setting} = {text:?}: {reason}")]
    Setting { setting: String, text: String, reason: String },
    #[error("schema {}: {reason}", .schema.display())]
    Schema { schema: PathBuf, reason: String },
    #[error("[fields] has {field:?}, which the schema {schema} does not have; its fields are: {known}")]
    NotInSchema { field: String, schema: String, known: String },
    #[error(
        "the schema {schema} has a field {field:?} ({wanted}) without a default: give it a column or a constant under [fields]"
    )]
    NotCovered { field: String, schema: String, wanted: String },
}

/// A line that is no record, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1; of a record over several lines, the first one.
    pub line: u64,
    pub fault: Fault,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

/// What is wrong within a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The column, field or part; empty where it is the whole line.
    pub place: String,
    pub reason: FaultReason,
}

impl Fault {
    pub(super) fn new(place: impl Into<String>, reason: FaultReason) -> Fault {
        Fault { place: place.into(), reason }
    }

    pub(super) fn whole(reason: FaultReason) -> Fault {
        Fault::new("", reason)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { self.reason.fmt(f) } else { write!(f, "{}: {}", self.place, self.reason) }
    }
}

/// Why a line, or a part of it, does not do. What was found is shortened: a report shows no whole payloads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FaultReason {
    #[error("{found:?} is not {wanted}")]
    NotA { found: String, wanted: String },
    #[error("{found} is out of range: {wanted} goes from {min} to {max}")]
    OutOfRange { found: String, wanted: &'static str, min: i64, max: i64 },
    #[error("{found:?} has more than {scale} decimal places: raise the field's scale, nothing is rounded")]
    TooManyDecimals { found: String, scale: u32 },
    #[error("{found:?} is no symbol of the enum; its symbols are: {symbols}")]
    NoSymbol { found: String, symbols: String },
    #[error("is empty, {wanted} is wanted; `optional = true` makes empty ones null")]
    Empty { wanted: String },
    #[error("is missing; {wanted}")]
    Absent { wanted: &'static str },
    #[error("{found:?} is no time by {format:?}: {reason}")]
    Time { found: String, format: String, reason: String },
    #[error("{found:?} is before 1970, and Kafka has no such timestamps")]
    BeforeEpoch { found: String },
    #[error("there are {found} columns, {expected} are wanted")]
    ColumnCount { found: usize, expected: usize },
    #[error("a quote is opened and not closed within {max_lines} lines or {max_bytes} bytes")]
    OpenQuote { max_lines: usize, max_bytes: usize },
    #[error("byte {byte} is not UTF-8 text")]
    NotUtf8 { byte: usize },
    #[error("the line is longer than {max_bytes} bytes; --max-line-bytes raises the limit")]
    TooLong { max_bytes: usize },
    #[error("is not JSON: {reason}")]
    Json { reason: String },
    #[error("{found:?} is no topic's name: {reason}")]
    TopicName { found: String, reason: &'static str },
    #[error("{found:?} stands where {wanted} is wanted")]
    Envelope { found: String, wanted: &'static str },
    #[error("the line ends before its {part}; {wanted} are wanted, separated by {separator:?}")]
    Parts { part: &'static str, wanted: String, separator: String },
}

/// The longest piece of data that a report shows, in characters.
const MAX_SHOWN_CHARS: usize = 40;

/// A piece of the data, fit for a report.
pub(super) fn shown(found: &str) -> String {
    if found.chars().nth(MAX_SHOWN_CHARS).is_none() {
        return found.to_owned();
    }
    found.chars().take(MAX_SHOWN_CHARS).chain(['…']).collect()
}
