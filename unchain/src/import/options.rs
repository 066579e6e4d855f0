//! How a file is imported, and which format it has where nobody says.

use std::fmt;
use std::path::{Path, PathBuf};

use super::ImportError;
use super::lines::{Lines, ReadLine};
use crate::contract::Codec;

/// The formats that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Rows of columns, by a mapping.
    Csv,
    /// One JSON object a line, by a mapping or as it stands.
    Jsonl,
    /// What `kcat -C -J` prints.
    Kcat,
    /// What `kafka-console-consumer` prints with keys and timestamps.
    Console,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Kcat => "kcat",
            Format::Console => "console",
        })
    }
}

/// What becomes of a line that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OnError {
    /// The import ends, and leaves nothing behind.
    #[default]
    Stop,
    /// It is reported and left out.
    Skip,
    /// It is reported and becomes a record of `unchain.dead-letters`.
    DeadLetter,
}

/// How a file is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Guessed from the file's name and first line where it is `None`.
    pub format: Option<Format>,
    /// The mapping file, for CSV and JSON lines.
    pub mapping: Option<PathBuf>,
    pub on_error: OnError,
    /// For files that name no topic: JSON lines without a mapping, and the console consumer's output.
    pub topic: Option<String>,
    /// JSON lines without a mapping: the path of the key.
    pub key: Option<String>,
    /// JSON lines without a mapping: the path of the time, and how it is written.
    pub time: Option<String>,
    pub time_format: Option<String>,
    pub zone: Option<String>,
    /// The partitions of topics; a mapping and the records themselves may say more.
    pub partitions: Option<i32>,
    /// The console consumer's `key.separator` and `null.literal`.
    pub separator: Option<String>,
    pub null: Option<String>,
    /// What the console consumer printed, where its first line does not show it.
    pub parts: Option<Vec<ConsolePart>>,
    pub codec: Codec,
    pub max_line_bytes: usize,
    /// Records that wait to be sorted, in memory; more go to a temporary file.
    pub max_sorted_bytes: usize,
}

/// The parts of a line of the console consumer, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum ConsolePart {
    Timestamp,
    Partition,
    Offset,
    Delivery,
    Headers,
    Key,
    Value,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            format: None,
            mapping: None,
            on_error: OnError::default(),
            topic: None,
            key: None,
            time: None,
            time_format: None,
            zone: None,
            partitions: None,
            separator: None,
            null: None,
            parts: None,
            codec: Codec::default(),
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            max_sorted_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Kafka's usual limit of 1 MB, as JSON escapes it at its worst.
pub const DEFAULT_MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

impl ImportOptions {
    /// Everything that decides what the records are, as a text.
    pub(super) fn fingerprint(&self) -> String {
        let of_records = (&self.format, &self.topic, &self.key, &self.time, &self.time_format, &self.zone);
        let of_console = (&self.partitions, &self.separator, &self.null, &self.parts);
        format!("{of_records:?} {of_console:?} {:?} {}", self.on_error, self.max_line_bytes)
    }

    /// Refuses options that say nothing about files of this format.
    pub(super) fn check(&self, format: Format) -> Result<(), ImportError> {
        let is_mapped = self.mapping.is_some();
        let (of_topic, of_json, of_console) = match format {
            Format::Csv => (false, false, false),
            Format::Jsonl => (!is_mapped, !is_mapped, false),
            Format::Kcat => (false, false, false),
            Format::Console => (true, false, true),
        };
        let instead = if is_mapped { ": the mapping says it" } else { "" };
        let given = [
            ("--mapping", is_mapped, matches!(format, Format::Csv | Format::Jsonl)),
            ("--topic", self.topic.is_some(), of_topic),
            ("--key", self.key.is_some(), of_json),
            ("--time", self.time.is_some(), of_json),
            ("--time-format", self.time_format.is_some(), of_json),
            ("--zone", self.zone.is_some(), of_json),
            ("--separator", self.separator.is_some(), of_console),
            ("--null", self.null.is_some(), of_console),
            ("--parts", self.parts.is_some(), of_console),
        ];
        match given.iter().find(|(_, is_given, is_useful)| *is_given && !is_useful) {
            Some((option, ..)) => Err(ImportError::UselessOption { format, option, instead }),
            None => Ok(()),
        }
    }
}

/// The format of a file, by its name or by its first line.
pub(super) fn guess(file: &Path, has_mapping: bool) -> Result<Format, ImportError> {
    let mut lines = Lines::open(file, 64 * 1024)?;
    let mut line = Vec::new();
    while line.trim_ascii().is_empty() {
        line.clear();
        if lines.next(&mut line)? == ReadLine::End {
            return Err(ImportError::Empty { file: file.to_owned() });
        }
    }
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    guess_by(&ending, &String::from_utf8_lossy(&line), has_mapping)
        .ok_or_else(|| ImportError::UnknownFormat { file: file.to_owned() })
}

fn guess_by(ending: &str, line: &str, has_mapping: bool) -> Option<Format> {
    let line = line.trim_start();
    if ["csv", "tsv"].contains(&ending) {
        return Some(Format::Csv);
    }
    if ["CreateTime:", "LogAppendTime:", "NO_TIMESTAMP"].iter().any(|begin| line.starts_with(begin)) {
        return Some(Format::Console);
    }
    if line.starts_with('{') {
        let is_envelope = ["\"topic\":", "\"partition\":", "\"payload\":"].iter().all(|name| line.contains(name));
        return Some(if is_envelope && !has_mapping { Format::Kcat } else { Format::Jsonl });
    }
    has_mapping.then_some(Format::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_first_line_or_its_name() {
        assert_eq!(guess_by("csv", "a,b", false), Some(Format::Csv));
        assert_eq!(guess_by("log", "CreateTime:17\tk\tv", false), Some(Format::Console));
        assert_eq!(guess_by("json", r#"{"topic":"t","partition":0,"payload":"x"}"#, false), Some(Format::Kcat));
        assert_eq!(guess_by("json", r#"{"topic":"t"}"#, false), Some(Format::Jsonl));
        assert_eq!(guess_by("txt", " customer_id date", true), Some(Format::Csv));
        assert_eq!(guess_by("txt", " customer_id date", false), None);
    }

    #[test]
    fn an_option_of_another_format_is_refused() {
        let options = ImportOptions { topic: Some("t".to_owned()), ..ImportOptions::default() };
        assert!(options.check(Format::Console).is_ok());
        assert_eq!(options.check(Format::Kcat).unwrap_err().to_string(), "--topic has no meaning for kcat files");
    }
}
