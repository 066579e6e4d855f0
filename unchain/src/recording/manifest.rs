//! A recording's table of contents: topics with their configuration, files with ranges and checksums, schemas, offsets of
//! consumer groups. What is not named in it is no part of the recording.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RecordingError;

pub(super) const FILE: &str = "manifest.json";

const FORMAT: &str = "unchain-recording";
const VERSION: u32 = 1;

/// What a recording holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub version: u32,
    /// Told apart from every other recording.
    pub id: String,
    /// Whether the recording came to its intended end.
    pub complete: bool,
    /// Wall clock, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// The times between which records were taken, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<i64>,
    pub topics: Vec<RecordedTopic>,
    /// The schemas that values name, by id; their text is in `schemas/ID.avsc`.
    pub schemas: Vec<u32>,
    /// Ids that values seem to name and the registry did not know; some of them, where there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_schemas: Vec<u32>,
    pub segments: Vec<Segment>,
    #[serde(default)]
    pub groups: Vec<GroupOffset>,
}

/// A topic as it was when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedTopic {
    pub name: String,
    pub partitions: i32,
    /// What is set on the topic itself, by the broker's names; defaults are not named.
    pub config: BTreeMap<String, String>,
    /// Each partition's range, by partition: what was read of it, whether or not there were records.
    pub ranges: BTreeMap<i32, OffsetRange>,
    /// The schemas that its values name, in the order in which they were met; unknown ones are among them.
    #[serde(default)]
    pub schemas: Vec<u32>,
}

/// Offsets from the first to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetRange {
    pub start: i64,
    pub end: i64,
}

/// One file of records of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub topic: String,
    pub partition: i32,
    /// Below the recording's folder, with slashes.
    pub file: String,
    pub records: u64,
    pub first_offset: i64,
    pub last_offset: i64,
    pub min_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub bytes: u64,
    /// CRC-32C of the whole file, and of the index beside it.
    pub crc32c: u32,
    pub index_crc32c: u32,
}

/// Where a consumer group stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupOffset {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl Manifest {
    pub(super) fn new(id: String, started_ms: i64) -> Manifest {
        Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            id,
            complete: false,
            started_ms,
            from_ms: None,
            to_ms: None,
            topics: Vec::new(),
            schemas: Vec::new(),
            unknown_schemas: Vec::new(),
            segments: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Reads the manifest of a recording's folder.
    pub(super) fn load(folder: &Path) -> Result<Manifest, RecordingError> {
        let file = folder.join(FILE);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(RecordingError::NoRecording { folder: folder.to_owned() });
            }
            Err(error) => return Err(RecordingError::read(file, error)),
        };
        let refused = |reason: String| RecordingError::Manifest { file: file.clone(), reason };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            let (format, version) = (manifest.format, manifest.version);
            return Err(refused(format!("it is of {format} {version}, this program reads {FORMAT} {VERSION}")));
        }
        Ok(manifest)
    }

    /// Puts the manifest in place of the one before it: whoever reads sees the one or the other, whole.
    pub(super) fn store(&self, folder: &Path) -> Result<(), RecordingError> {
        let text = serde_json::to_vec_pretty(self).expect("numbers and texts have a JSON form");
        replace(&folder.join(FILE), &text)
    }
}

/// Writes a file aside, makes it durable, and gives it its name.
pub(super) fn replace(file: &Path, content: &[u8]) -> Result<(), RecordingError> {
    let aside = file.with_extension("part");
    let written = File::create(&aside).and_then(|mut open| {
        open.write_all(content)?;
        open.sync_all()
    });
    written.map_err(|error| RecordingError::write(&aside, error))?;
    rename(&aside, file)
}

/// Gives a durable file its name, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), RecordingError> {
    fs::rename(from, to).map_err(|error| RecordingError::write(to, error))?;
    let folder = to.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| RecordingError::write(folder, error))
}
