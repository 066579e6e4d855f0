//! Why a recording cannot be written, or not be read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::contract::{ContainerError, Malformed};

/// What is wrong with a recording, or with where it is to go.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    #[error("{}: there is a recording already: choose another folder, or --resume that one", .folder.display())]
    Exists { folder: PathBuf },
    #[error("{}: is not empty: a recording wants a folder of its own", .folder.display())]
    NotEmpty { folder: PathBuf },
    #[error("{}: another process is recording into it", .folder.display())]
    Busy { folder: PathBuf },
    #[error("{}: is no recording: it has no {}", .folder.display(), super::manifest::FILE)]
    NoRecording { folder: PathBuf },
    #[error("{}: cannot be read as a recording's manifest: {reason}", .file.display())]
    Manifest { file: PathBuf, reason: String },
    #[error(
        "{}: the recording was not finished; its {segments} whole files can be used with --incomplete, \
         or `record --resume` goes on with it",
        .folder.display()
    )]
    Incomplete { folder: PathBuf, segments: usize },
    #[error("{}: cannot be written: {source}", .file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("{}: cannot be read: {source}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{}: is not the Avro file that was recorded: {source}", .file.display())]
    Container { file: PathBuf, source: ContainerError },
    #[error("{}: byte {position}: the block does not have its checksum: the file is damaged", .file.display())]
    Checksum { file: PathBuf, position: u64 },
    #[error("{}: byte {position}: the block is damaged: {reason}", .file.display())]
    Block { file: PathBuf, position: u64, reason: String },
    #[error("{}: has {found} bytes, the manifest says {expected}: the file is cut off or was changed", .file.display())]
    Size { file: PathBuf, expected: u64, found: u64 },
    #[error("the recording has no topic {name:?}; there are: {known}")]
    UnknownTopic { name: String, known: String },
}

impl RecordingError {
    /// Whether another folder or option is wanted; otherwise something failed, or is damaged.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            RecordingError::Exists { .. }
                | RecordingError::NotEmpty { .. }
                | RecordingError::Busy { .. }
                | RecordingError::NoRecording { .. }
                | RecordingError::UnknownTopic { .. }
        )
    }

    pub(super) fn write(file: impl AsRef<Path>, source: io::Error) -> RecordingError {
        RecordingError::Write { file: file.as_ref().to_owned(), source }
    }

    pub(super) fn read(file: impl AsRef<Path>, source: io::Error) -> RecordingError {
        RecordingError::Read { file: file.as_ref().to_owned(), source }
    }

    pub(super) fn malformed(file: &Path, position: u64, malformed: &Malformed) -> RecordingError {
        RecordingError::Block { file: file.to_owned(), position, reason: malformed.to_string() }
    }
}
