//! Why a table store cannot be used, and what whoever runs the processor can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of a table's store. The rows themselves are never at stake: their changelogs hold them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{operation} in the state directory {}: {source}", dir.display())]
    Io { operation: &'static str, dir: PathBuf, source: io::Error },

    #[error(
        "no space is left for the tables in the state directory {}: free some, or choose another; no row is lost, the \
         changelogs hold them",
        dir.display()
    )]
    DiskFull { dir: PathBuf },

    #[error("the state directory {} is in use by process {holder}: give each instance a name of its own", dir.display())]
    Locked { dir: PathBuf, holder: String },

    #[error("{} holds files that are no table store's: choose another state directory", dir.display())]
    Foreign { dir: PathBuf },

    #[error("partition {partition} of table {table} is still open in this process")]
    InUse { table: String, partition: i32 },

    #[error("the table store in {} failed and is opened anew once its partitions are closed: {reason}", dir.display())]
    Failed { dir: PathBuf, reason: String },

    #[error("a key of {bytes} bytes; a table takes keys of at most {limit}")]
    KeyTooLong { bytes: usize, limit: usize },
}

/// What to do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The record that asks for this can never succeed.
    Reject,
    /// Close the partitions' tables and open them again, after a pause.
    Reopen,
    /// Somebody has to change the configuration.
    Stop,
}

impl StoreError {
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            StoreError::KeyTooLong { .. } => StoreErrorKind::Reject,
            StoreError::Foreign { .. } => StoreErrorKind::Stop,
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => StoreErrorKind::Stop,
            // The lock's holder may be the instance's past life on its way out.
            StoreError::Io { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Locked { .. }
            | StoreError::InUse { .. }
            | StoreError::Failed { .. } => StoreErrorKind::Reopen,
        }
    }

    pub(in crate::table) fn io(operation: &'static str, dir: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let dir = dir.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { dir },
            _ => StoreError::Io { operation, dir, source },
        }
    }

    pub(super) fn engine(operation: &'static str, dir: &Path) -> impl FnOnce(fjall::Error) -> StoreError {
        let dir = dir.to_owned();
        move |error| match error {
            fjall::Error::Io(source) => StoreError::io(operation, &dir)(source),
            fjall::Error::Storage(fjall::LsmError::Io(source)) => StoreError::io(operation, &dir)(source),
            error => StoreError::Failed { reason: format!("{operation}: {error}"), dir },
        }
    }
}
