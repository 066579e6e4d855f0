//! `import`: a foreign event log becomes a recording, which `replay` brings to Kafka.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::progress::Progress;
use super::{AppError, Signals};
use crate::contract::Codec;
use crate::import::{
    BadLine, ConsolePart, DEFAULT_MAX_LINE_BYTES, Format, ImportObserver, ImportOptions, ImportSummary, OnError,
    sketch_mapping,
};
use crate::process::window::format_time;

pub(super) const EXAMPLE: &str = "Example:\n  import rides.csv --print-mapping > rides.toml\n  \
    import rides.csv --mapping rides.toml --out rides.recording\n  \
    import events.jsonl --topic app.events --key user.id --time at --out events.recording\n  \
    kcat -C -J -e -t orders > orders.json; import orders.json --out orders.recording\n\n\
    A mapping is a TOML file; --print-mapping writes one with comments, from the columns and the first lines of a file:\n\n  \
    topic = \"city.rides\"\n  \
    key = \"{bike}\"                      # one column, several, and text between them\n  \
    time = { column = \"started\", format = \"%Y-%m-%d %H:%M\", zone = \"UTC\" }   # or rfc3339, unix, unix_ms\n  \
    [fields]                            # field = column; none of it: every column, as a string\n  \
    bike = \"bike\"\n  \
    metres = { column = \"distance\", type = \"int\" }\n  \
    cents = { column = \"price\", type = \"decimal\", scale = 2 }    # 2.50 becomes 250\n  \
    currency = { constant = \"EUR\" }\n  \
    ride = { template = \"{bike}-{line}\" }                      # {line} is the line's number\n\n\
    Types: string, int, long, float, double, boolean, decimal, date, timestamp; with `optional = true` what is empty is\n\
    null. `schema = \"ride.avsc\"` takes a contract that there is; without it one is made, and printed.\n\
    Records are sorted by time. Bad lines are reported with file, line and reason; see --on-error.";

/// What to import, and how.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// The file.
    pub file: PathBuf,
    /// The folder of the recording, which must not be there yet.
    #[arg(long, value_name = "DIR", required_unless_present = "print_mapping")]
    pub out: Option<PathBuf>,
    /// Print a mapping for this CSV file to start from, and import nothing.
    #[arg(long, conflicts_with = "out")]
    pub print_mapping: bool,
    #[command(flatten)]
    pub source: ImportSourceArguments,
    /// How blocks are compressed: zstandard, deflate or null.
    #[arg(long, default_value_t)]
    pub codec: Codec,
    /// Print what was imported as JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// How a foreign file is read.
#[derive(Debug, Clone, Args)]
pub struct ImportSourceArguments {
    /// The mapping from columns or JSON paths to a contract.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The file's format, where its name and first line do not say it.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// What becomes of a line that is no record.
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    pub on_error: OnError,
    /// The topic of JSON lines without a mapping, and of the console consumer's output.
    #[arg(long)]
    pub topic: Option<String>,
    /// JSON lines without a mapping: where the key is, as `user.id`.
    #[arg(long, value_name = "PATH")]
    pub key: Option<String>,
    /// JSON lines without a mapping: where the time is.
    #[arg(long, value_name = "PATH")]
    pub time: Option<String>,
    /// How it is written: rfc3339, unix, unix_ms, or a pattern as "%Y-%m-%d %H:%M:%S".
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<String>,
    /// The zone of times without an offset: UTC, +02:00, Europe/Berlin.
    #[arg(long)]
    pub zone: Option<String>,
    /// Partitions of the topics; 6, or as many as the records name.
    #[arg(long, value_name = "N")]
    pub partitions: Option<i32>,
    /// The console consumer's key.separator; a tab by default.
    #[arg(long, value_name = "TEXT")]
    pub separator: Option<String>,
    /// The console consumer's null.literal; `null` by default.
    #[arg(long, value_name = "TEXT")]
    pub null: Option<String>,
    /// What the console consumer printed, where its first line does not show it: timestamp,headers,key,value.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    pub parts: Option<Vec<ConsolePart>>,
    /// A longer line is a bad one.
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MAX_LINE_BYTES)]
    pub max_line_bytes: usize,
}

impl ImportSourceArguments {
    /// The options for the library.
    pub fn options(&self) -> ImportOptions {
        ImportOptions {
            format: self.format,
            mapping: self.mapping.clone(),
            on_error: self.on_error,
            topic: self.topic.clone(),
            key: self.key.clone(),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            zone: self.zone.clone(),
            partitions: self.partitions,
            separator: self.separator.clone(),
            null: self.null.clone(),
            parts: self.parts.clone(),
            max_line_bytes: self.max_line_bytes,
            ..ImportOptions::default()
        }
    }
}

pub(super) fn import(arguments: &ImportArguments) -> Result<(), AppError> {
    let Some(out) = arguments.out.as_deref().filter(|_| !arguments.print_mapping) else {
        let mapping = sketch_mapping(&arguments.file)?;
        return io::stdout().lock().write_all(mapping.as_bytes()).map_err(AppError::Output);
    };
    let options = ImportOptions { codec: arguments.codec, ..arguments.source.options() };
    let mut watch = ImportWatch::new()?;
    let imported = crate::import::import(&arguments.file, out, &options, &mut watch);
    watch.end();
    let summary = imported?;
    let text = if arguments.json { serde_json::to_string(&summary).unwrap_or_default() } else { told(&summary) };
    writeln!(io::stdout().lock(), "{text}").map_err(AppError::Output)
}

/// The summary for people.
fn told(summary: &ImportSummary) -> String {
    let mut lines = vec![format!(
        "{} records of {} lines, {} bad ones, from {} to {}",
        summary.records,
        summary.lines,
        summary.bad_lines,
        format_time(summary.min_timestamp_ms),
        format_time(summary.max_timestamp_ms),
    )];
    lines.extend(
        summary
            .topics
            .iter()
            .map(|topic| format!("  topic {}: {} records, {} partitions", topic.name, topic.records, topic.partitions)),
    );
    if let Some(schema) = &summary.made_schema {
        lines.push(format!("  its schema was made from the mapping: {schema}"));
    }
    lines.push(format!("  recording: {}", summary.recording.display()));
    lines.join("\n")
}

/// Bad lines that are shown one by one; the rest is counted.
const MAX_SHOWN_BAD_LINES: u64 = 20;

/// Shows bad lines and, on a terminal, how far the file was read; ends with the first signal.
pub(super) struct ImportWatch {
    signals: Signals,
    progress: Progress,
    bad_lines: u64,
}

impl ImportWatch {
    pub(super) fn new() -> Result<ImportWatch, AppError> {
        let signals = Signals::watch().map_err(AppError::Signals)?;
        Ok(ImportWatch { signals, progress: Progress::start(), bad_lines: 0 })
    }

    /// Says what was left unsaid.
    pub(super) fn end(self) {
        if let Some(more) = self.bad_lines.checked_sub(MAX_SHOWN_BAD_LINES).filter(|more| *more > 0) {
            self.progress.say(&format!("warning: and {more} more bad lines"));
        }
    }
}

impl ImportObserver for ImportWatch {
    fn bad_line(&mut self, file: &Path, line: &BadLine) {
        self.bad_lines += 1;
        if self.bad_lines <= MAX_SHOWN_BAD_LINES {
            self.progress.say(&format!("warning: {}: {line}", file.display()));
        }
    }

    fn progress(&mut self, read_bytes: u64, total_bytes: u64) {
        self.progress.show(|| format!("{} of {} MB read", read_bytes / 1_000_000, total_bytes / 1_000_000));
    }

    fn is_interrupted(&mut self) -> bool {
        self.signals.received()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_how_many_and_from_when_to_when() {
        let summary = ImportSummary {
            recording: "out".into(),
            id: "import-1".into(),
            format: Format::Csv,
            lines: 4,
            records: 2,
            bad_lines: 1,
            topics: vec![crate::import::ImportedTopic { name: "t".into(), partitions: 6, records: 2 }],
            min_timestamp_ms: 0,
            max_timestamp_ms: 1,
            made_schema: None,
        };
        let expected = "2 records of 4 lines, 1 bad ones, from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:00.001Z\n  \
            topic t: 2 records, 6 partitions\n  recording: out";
        assert_eq!(told(&summary), expected);
    }
}
