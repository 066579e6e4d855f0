//! Which import a recording is of: a file is not imported twice while it, its mapping and its options stay the same.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::mapping::LoadedMapping;
use super::{ImportError, ImportObserver, ImportOptions, ImportSummary, import};
use crate::recording::{Recording, RecordingError};

/// Whether a folder holds the finished import of this file, as it is now, by these options.
pub fn is_current(recording: &Path, file: &Path, options: &ImportOptions) -> Result<bool, ImportError> {
    match Recording::open(recording) {
        Ok(found) => Ok(found.manifest().id == import_id(file, options)?),
        Err(RecordingError::NoRecording { .. } | RecordingError::Incomplete { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The recording `FILE.recording` beside a file: as it is where it is current, otherwise made anew. Only what an import has
/// made is ever removed.
pub fn import_beside(
    file: &Path,
    options: &ImportOptions,
    observer: &mut dyn ImportObserver,
) -> Result<(PathBuf, Option<ImportSummary>), ImportError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".recording");
    let out = PathBuf::from(name);
    if is_current(&out, file, options)? {
        return Ok((out, None));
    }
    if Recording::open_incomplete(&out).is_ok_and(|found| found.manifest().id.starts_with(ID_PREFIX)) {
        std::fs::remove_dir_all(&out).map_err(|source| RecordingError::Write { file: out.clone(), source })?;
    }
    import(file, &out, options, observer).map(|summary| (out, Some(summary)))
}

const ID_PREFIX: &str = "import-";

/// Tells imports apart: the file by name, size and time, and everything that decides what its records are.
pub(super) fn import_id(file: &Path, options: &ImportOptions) -> Result<String, ImportError> {
    let failed = |error| ImportError::read(file, error);
    let metadata = std::fs::metadata(file).map_err(failed)?;
    let modified = metadata.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    add(&file.file_name().unwrap_or_default().to_string_lossy());
    add(&format!("{} {}", metadata.len(), modified.as_nanos()));
    add(&options.fingerprint());
    if let Some(path) = &options.mapping {
        let loaded = LoadedMapping::load(path)
            .map_err(|problem| ImportError::Mapping { file: path.clone(), problem: Box::new(problem) })?;
        add(&loaded.text);
        add(loaded.schema.as_ref().map_or("", |(_, text)| text));
    }
    let mut id = ID_PREFIX.to_owned();
    for byte in &digest.finalize()[..16] {
        write!(id, "{byte:02x}").expect("a text takes everything");
    }
    Ok(id)
}

/// Before a long file is read: the folder must be one that a recording can begin in.
pub(super) fn check_free(out: &Path) -> Result<(), ImportError> {
    if out.join("manifest.json").exists() {
        return Err(RecordingError::Exists { folder: out.to_owned() }.into());
    }
    let mut entries = match std::fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(RecordingError::Write { file: out.to_owned(), source }.into()),
    };
    match entries.next() {
        Some(_) => Err(RecordingError::NotEmpty { folder: out.to_owned() }.into()),
        None => Ok(()),
    }
}
