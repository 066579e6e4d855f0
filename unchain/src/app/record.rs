//! `record`: topics into a folder of Avro files, which `replay` sends again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::progress::Progress;
use super::{AppError, BROKER_DEADLINE, JsonFlag, Moment, NamePatterns, Options, Signals};
use crate::contract::{Codec, open_registry};
use crate::recording::{Manifest, RecordPlan, RecordProgress, RecordingSettings, SegmentRoll, record};

pub(super) const EXAMPLE: &str = "Example:\n  record --topics 'orders.*' --out monday\n  \
    record --topics 'orders.*,payments' --out live --follow\n\n\
    Without --follow it reads to the end that the topics have when it starts; a signal before that, as a kill, leaves an\n\
    incomplete recording, with which --resume goes on. With --follow SIGINT or SIGTERM completes it.";

/// How long nothing may come, where something is expected.
const DEADLINE: Duration = Duration::from_secs(60);

/// What to record, and where to.
#[derive(Debug, Clone, Args)]
pub struct RecordArguments {
    /// The topics, by name or with `*`, with commas between them. Topics that begin with `_` are meant only by name.
    #[arg(long, value_name = "PATTERNS", required = true)]
    pub topics: NamePatterns,
    /// The recording's folder; it is made.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// From the first record of this time or later: 2026-01-31T12:00:00Z, 2026-01-31 or milliseconds since 1970.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<Moment>,
    /// Only records before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<Moment>,
    /// Go on with what comes, until SIGINT or SIGTERM.
    #[arg(long, conflicts_with = "to")]
    pub follow: bool,
    /// Go on with the incomplete recording in the folder.
    #[arg(long)]
    pub resume: bool,
    /// How blocks are compressed: zstandard, deflate or null.
    #[arg(long, default_value_t)]
    pub codec: Codec,
    /// Megabytes on disk after which a partition's next file begins.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub roll_mb: u64,
    /// Seconds after which a partition's next file begins: what a killed recorder loses at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub roll_seconds: u64,
    #[command(flatten)]
    pub json: JsonFlag,
}

pub(super) fn record_topics(options: &Options, arguments: &RecordArguments) -> Result<(), AppError> {
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let connection = options.connection()?;
    let existing = connection.topics(BROKER_DEADLINE)?;
    let names: Vec<&str> = existing.iter().map(|topic| topic.name.as_str()).collect();
    let topics = arguments.topics.choose(&names).map_err(|unknown| unknown.on_the_cluster(&names))?;
    let registry = open_registry(&connection, BROKER_DEADLINE)?;
    let plan = plan(arguments, topics);
    let (started, mut progress) = (Instant::now(), Progress::start());
    let began = (random_id(), now_ms());
    let recorded = record(&connection, &*registry, &plan, began, |at| {
        progress.show(|| line(at, started.elapsed(), plan.follow));
        !signals.received()
    });
    drop(progress);
    print(&recorded?, arguments, started.elapsed())
}

fn line(at: &RecordProgress, since: Duration, follow: bool) -> String {
    let rate = at.records as f64 / since.as_secs_f64().max(0.001);
    let left = if follow || at.records == 0 {
        String::new()
    } else {
        format!(", {} to go, {:.0} s", at.left, at.left as f64 / rate)
    };
    format!("{} records, {} MB, {rate:.0}/s{left}", at.records, at.bytes / 1_000_000)
}

fn plan(arguments: &RecordArguments, topics: Vec<String>) -> RecordPlan {
    let roll = SegmentRoll {
        max_segment_bytes: arguments.roll_mb * 1024 * 1024,
        max_segment_age: Duration::from_secs(arguments.roll_seconds),
    };
    RecordPlan {
        folder: arguments.out.clone(),
        topics,
        from_ms: arguments.from.map(Moment::as_ms),
        to_ms: arguments.to.map(Moment::as_ms),
        follow: arguments.follow,
        resume: arguments.resume,
        settings: RecordingSettings { codec: arguments.codec, roll, ..RecordingSettings::default() },
        deadline: DEADLINE,
    }
}

fn print(manifest: &Manifest, arguments: &RecordArguments, took: Duration) -> Result<(), AppError> {
    let records: u64 = manifest.segments.iter().map(|segment| segment.records).sum();
    let bytes: u64 = manifest.segments.iter().map(|segment| segment.bytes).sum();
    let (files, seconds) = (manifest.segments.len(), took.as_secs_f64());
    if arguments.json.json {
        let topics: Vec<_> = manifest.topics.iter().map(|topic| topic.name.as_str()).collect();
        let summary = json!({
            "id": manifest.id, "topics": topics, "records": records, "files": files, "bytes": bytes, "seconds": seconds,
        });
        println!("{summary}");
    } else {
        let (topics, folder) = (manifest.topics.len(), arguments.out.display());
        println!("{records} records of {topics} topics in {files} files, {bytes} bytes, in {folder}, {seconds:.1} s");
    }
    Ok(())
}

/// Told apart from every other recording's.
fn random_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
