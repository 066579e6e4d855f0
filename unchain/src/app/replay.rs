//! `replay`: a recording into topics, each record exactly once, at the recorded pace or faster.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::import::{ImportSourceArguments, ImportWatch};
use super::progress::Progress;
use super::through::{ThroughArguments, through};
use super::{AppError, BROKER_DEADLINE, JsonFlag, Moment, Options, Signals};
use crate::contract::open_registry;
use crate::import::import_beside;
use crate::process::Processor;
use crate::process::window::format_time;
use crate::recording::{Recording, Span};
use crate::replay::{
    HeaderFilter, NamePattern, Preview, Replay, ReplayError, ReplaySettings, ReplayStatus, Replayed, Speed, TargetName,
    Timestamps, Verified,
};

pub(super) const EXAMPLE: &str = "Example:\n  replay recordings/monday --speed 10x --to-topic 'replayed.{topic}'\n  \
    replay recordings/monday --speed max --topics 'orders.*' --verify\n  \
    replay recordings/monday --through verification --out new --against old\n\n\
    What was sent and how far the replay has come are committed together, in the topic _unchain.replays: run again after\n\
    a failure or a signal (which exits with 1), the same command goes on, with nothing left out and nothing twice.\n\
    A record stays in its partition; where the target has another number of partitions, its key chooses one.\n\n\
    --through sends nothing: the processor handles the records here, and what it writes is another recording. Lookups\n\
    hold all that was recorded of their topics, tables begin empty, and the clock is that of the records.";

/// What to replay, and how.
#[derive(Debug, Clone, Args)]
pub struct ReplayArguments {
    /// A recording's folder, or a file that `import` understands: it is imported into FILE.recording first.
    #[arg(value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// A factor of the recorded pace, as 10x or 0.5x, or max.
    #[arg(long, default_value = "1x")]
    pub speed: Speed,
    /// Begin at this time (2026-01-31T12:00:00Z, 2026-01-31 or milliseconds since 1970), or as offset:N at an offset of each partition.
    #[arg(long, value_name = "TIME|offset:N", value_parser = from, allow_hyphen_values = true)]
    pub from: Option<From>,
    /// End before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<Moment>,
    /// Only these topics; `*` stands for any characters.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub topics: Vec<String>,
    /// The topics to replay into; {topic} stands for the recorded name.
    #[arg(long, value_name = "PATTERN", default_value = "{topic}")]
    pub to_topic: TargetName,
    /// Only records of these keys; @FILE names a file with one key a line.
    #[arg(long, value_name = "K1,K2|@FILE")]
    pub keys: Option<String>,
    /// Keep the records' times, or move all by the same distance, so that the first one is now.
    #[arg(long, value_name = "keep|shift", default_value = "keep")]
    pub timestamps: TimestampsArgument,
    /// The headers to send; `*` stands for any characters. Others say how the recorded run went, not what was recorded.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', default_value = "ce_*,content-type")]
    pub headers: Vec<String>,
    /// Send values as they are: register no schemas, change no schema ids.
    #[arg(long)]
    pub raw: bool,
    /// Refuse a target topic that is missing, in place of creating it as it was recorded.
    #[arg(long)]
    pub no_create: bool,
    /// Replay old records into a topic whose retention deletes them at once.
    #[arg(long)]
    pub allow_expired: bool,
    /// Use what is whole of a recording that was not finished.
    #[arg(long)]
    pub incomplete: bool,
    /// The name under which progress is kept; by default it follows from the recording and the options.
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// Forget the progress, and replay anew.
    #[arg(long)]
    pub again: bool,
    /// Read the recording and look at the target, but write nothing: say what would be sent.
    #[arg(long, conflicts_with = "verify")]
    pub dry_run: bool,
    /// When all is replayed, compare the target with the recording; a difference exits with 3.
    #[arg(long)]
    pub verify: bool,
    #[command(flatten, next_help_heading = "Reading a FILE")]
    pub file: ImportSourceArguments,
    #[command(flatten)]
    pub through: ThroughArguments,
    #[command(flatten)]
    pub json: JsonFlag,
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Time(i64),
    Offset(i64),
}

/// What becomes of the records' times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimestampsArgument {
    Keep,
    Shift,
}

fn from(text: &str) -> Result<From, String> {
    match text.strip_prefix("offset:") {
        Some(offset) => offset.parse().map(From::Offset).map_err(|_| "write a number after offset:".to_owned()),
        None => text.parse::<Moment>().map(|moment| From::Time(moment.as_ms())),
    }
}

pub(super) fn replay(processors: &[Processor], options: &Options, arguments: &ReplayArguments) -> Result<(), AppError> {
    let settings = settings(arguments)?;
    let recording = open(arguments)?;
    if let Some(name) = &arguments.through.through {
        return through(processors, name, &recording, &arguments.through, arguments.json.json);
    }
    let connection = options.connection()?;
    let registry = open_registry(&connection, BROKER_DEADLINE)?;
    let replay = Replay::prepare(&connection, registry, recording, settings, BROKER_DEADLINE)?;
    if arguments.dry_run {
        print_preview(&replay.preview()?, replay.id(), arguments.json.json);
        return Ok(());
    }
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let (mut progress, mut line) = (Progress::start(), ReplayLine { speed: arguments.speed, last: None });
    let stop = |at_most| signals.wait(at_most);
    let replayed = replay.run(&stop, &mut |status| progress.show(|| line.text(status)))?;
    drop(progress);
    let verified = if arguments.verify && replayed.is_complete { Some(replay.verify(&stop)?) } else { None };
    print_result(&replayed, verified, arguments.json.json);
    if replayed.is_complete { Ok(()) } else { Err(ReplayError::Stopped.into()) }
}

/// The recording; that of a file is made where it is not there yet, or no longer the file's.
fn open(arguments: &ReplayArguments) -> Result<Recording, AppError> {
    let folder = if arguments.source.is_file() {
        let mut watch = ImportWatch::new()?;
        let imported = import_beside(&arguments.source, &arguments.file.options(), &mut watch);
        watch.end();
        imported?.0
    } else {
        arguments.source.clone()
    };
    let recording = match arguments.incomplete {
        true => Recording::open_incomplete(&folder),
        false => Recording::open(&folder),
    };
    Ok(recording.map_err(ReplayError::from)?)
}

fn settings(arguments: &ReplayArguments) -> Result<ReplaySettings, ReplayError> {
    let (from_ms, from_offset) = match arguments.from {
        Some(From::Time(time_ms)) => (time_ms, i64::MIN),
        Some(From::Offset(offset)) => (i64::MIN, offset),
        None => (i64::MIN, i64::MIN),
    };
    let patterns = |names: &[String]| names.iter().map(NamePattern::new).collect::<Vec<_>>();
    Ok(ReplaySettings {
        id: arguments.id.clone(),
        speed: arguments.speed,
        topics: patterns(&arguments.topics),
        span: Span { from_offset, from_ms, to_ms: arguments.to.map_or(i64::MAX, Moment::as_ms) },
        keys: arguments.keys.as_deref().map(keys).transpose()?,
        to_topic: arguments.to_topic.clone(),
        timestamps: match arguments.timestamps {
            TimestampsArgument::Keep => Timestamps::Keep,
            TimestampsArgument::Shift => Timestamps::Shift,
        },
        headers: HeaderFilter::new(patterns(&arguments.headers)),
        raw: arguments.raw,
        create_topics: !arguments.no_create,
        allow_expired: arguments.allow_expired,
        again: arguments.again,
    })
}

fn keys(text: &str) -> Result<BTreeSet<Vec<u8>>, ReplayError> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(text.split(',').map(|key| key.as_bytes().to_vec()).collect());
    };
    let lines = std::fs::read(file)
        .map_err(|error| ReplayError::Usage { option: "--keys", reason: format!("{file}: {error}") })?;
    let lines = lines.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

fn print_preview(preview: &Preview, id: &str, json: bool) {
    let seconds = preview.takes.map(|takes| takes.as_secs_f64());
    if json {
        let topics = preview.topics.iter().map(|topic| {
            json!({
                "topic": topic.topic,
                "target": topic.target,
                "partitions": topic.partitions,
                "creates_target": topic.is_new,
                "records": topic.records,
                "bytes": topic.bytes,
                "first_ms": topic.times_ms.map(|times| times.0),
                "last_ms": topic.times_ms.map(|times| times.1),
            })
        });
        println!("{}", json!({"replay_id": id, "topics": topics.collect::<Vec<_>>(), "seconds": seconds}));
        return;
    }
    for topic in &preview.topics {
        let times = topic.times_ms.map_or_else(
            || "without a time".to_owned(),
            |(first, last)| format!("{} to {}", format_time(first), format_time(last)),
        );
        let is_new = if topic.is_new { ", to be created" } else { "" };
        println!(
            "{} -> {} ({} partitions{is_new}): {} records, {} bytes, {times}",
            topic.topic, topic.target, topic.partitions, topic.records, topic.bytes
        );
    }
    match seconds {
        Some(seconds) => println!("replay {id} would take {seconds:.1} s; nothing was written"),
        None => println!("replay {id} would go as fast as the target takes it; nothing was written"),
    }
}

fn print_result(replayed: &Replayed, verified: Option<Verified>, json: bool) {
    let Replayed { replay_id, records, bytes, seconds, resumed_records, is_complete } = replayed;
    let records_per_second = (*records as f64 / seconds.max(1e-3)).round();
    if json {
        let result = json!({
            "replay_id": replay_id,
            "records": records,
            "bytes": bytes,
            "seconds": seconds,
            "records_per_second": records_per_second,
            "resumed_from": resumed_records,
            "complete": is_complete,
            "verified_records": verified.map(|verified| verified.records),
        });
        println!("{result}");
        return;
    }
    if *records == 0 && *is_complete {
        println!("replay {replay_id}: nothing left of {resumed_records} records; --again replays it anew");
    } else {
        let before = match resumed_records {
            0 => String::new(),
            before => format!(", after {before} before"),
        };
        println!(
            "replay {replay_id}: {records} records, {bytes} bytes in {seconds:.1} s, {records_per_second} records/s{before}"
        );
    }
    if let Some(verified) = verified {
        println!("verified: {} records in {} partitions are as recorded", verified.records, verified.partitions);
    }
}

/// The line that says how far the replay is.
struct ReplayLine {
    speed: Speed,
    /// When it was last asked for, and what had been sent.
    last: Option<(Instant, u64)>,
}

impl ReplayLine {
    fn text(&mut self, status: &ReplayStatus) -> String {
        let now = Instant::now();
        let rate =
            self.last.map_or(0.0, |(at, sent)| rate(status.sent_records - sent.min(status.sent_records), now - at));
        self.last = Some((now, status.sent_records));
        let done = status.resumed_records + status.passed_records;
        let percent = done.saturating_mul(100).checked_div(status.total_records).unwrap_or(100).min(100);
        let left =
            left(self.speed, status, rate).map_or_else(String::new, |left| format!(", {} s left", left.as_secs()));
        format!("{done} records, {percent} %, {rate:.0} records/s{left}")
    }
}

fn rate(records: u64, within: Duration) -> f64 {
    records as f64 / within.as_secs_f64().max(1e-3)
}

/// The time left: what the recording's times say, or at full speed the rate.
fn left(speed: Speed, status: &ReplayStatus, rate: f64) -> Option<Duration> {
    let seconds = match speed {
        Speed::Times(factor) if status.due_ms >= 0 => {
            status.last_ms.saturating_sub(status.due_ms) as f64 / 1_000.0 / factor
        }
        Speed::Max if rate > 0.0 => {
            status.total_records.saturating_sub(status.resumed_records + status.passed_records) as f64 / rate
        }
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_time_or_an_offset() {
        assert_eq!(from("1970-01-01T00:00:01Z"), Ok(From::Time(1_000)));
        assert_eq!(from("1500"), Ok(From::Time(1_500)));
        assert_eq!(from("offset:7"), Ok(From::Offset(7)));
        assert!(from("yesterday").is_err() && from("offset:x").is_err());
    }

    #[test]
    fn keys_are_named_or_stand_in_a_file() {
        let expected = BTreeSet::from([b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(keys("a,b").unwrap(), expected);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        std::fs::write(&file, "a\r\nb\n\n").unwrap();
        assert_eq!(keys(&format!("@{}", file.display())).unwrap(), expected);
        let refused = keys("@no-such-file").unwrap_err();
        assert_eq!(refused.exit_code(), 2);
    }
}
