//! What is wrong with a schema folder, as the developer reads it in the build's output.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why no contracts were generated.
#[derive(Debug, Error)]
pub enum CodegenError {
    #[error("{}: cannot be read or written: {source}", .file.display())]
    Io { file: PathBuf, source: io::Error },
    #[error("{}: is not JSON: {source}", .file.display())]
    Json { file: PathBuf, source: serde_json::Error },
    #[error("{}: {source}", .file.display())]
    Toml { file: PathBuf, source: Box<toml::de::Error> },
    /// A schema or topic that cannot become a contract.
    #[error("{}: {place}: {problem}; {remedy}", .file.display())]
    Unsuitable { file: PathBuf, place: String, problem: String, remedy: String },
}

impl CodegenError {
    pub(crate) fn unsuitable(
        file: impl Into<PathBuf>,
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> CodegenError {
        CodegenError::Unsuitable {
            file: file.into(),
            place: place.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}
