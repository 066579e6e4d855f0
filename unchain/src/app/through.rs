//! `replay --through`: runs a recording through a processor without a broker, and compares what it writes with another
//! run's outputs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::{AppError, Signals};
use crate::engine::EngineSettings;
use crate::process::Processor;
use crate::recording::Recording;
use crate::rehearse::{
    Comparison, ComparisonSettings, Difference, DifferenceKind, FieldChange, Place, Rehearsed, compare, rehearse,
};

/// The options of a replay that is sent.
const SENDING: [&str; 15] = [
    "speed",
    "from",
    "to",
    "topics",
    "to_topic",
    "keys",
    "timestamps",
    "headers",
    "raw",
    "no_create",
    "allow_expired",
    "id",
    "again",
    "dry_run",
    "verify",
];

/// What a recording goes through, in place of being sent, and what the outputs are held against.
#[derive(Debug, Clone, Args)]
pub struct ThroughArguments {
    /// Run the recording through this processor, without a broker, in place of sending it.
    #[arg(long, value_name = "PROCESSOR", help_heading = "Through a processor", conflicts_with_all = SENDING)]
    pub through: Option<String>,
    /// Write what the processor writes to a recording in this folder: outputs, tables' changes and dead letters.
    #[arg(long, value_name = "DIR", requires = "through", help_heading = "Through a processor")]
    pub out: Option<PathBuf>,
    /// Show how that differs from the recording in this folder, which another build has written with --out; differences
    /// exit with 3.
    #[arg(long, value_name = "DIR", requires = "through", help_heading = "Through a processor")]
    pub against: Option<PathBuf>,
    /// Differences to show in full.
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Through a processor")]
    pub max_differences: usize,
    /// Compare timestamps and headers too.
    #[arg(long, requires = "against", help_heading = "Through a processor")]
    pub compare_headers: bool,
    /// A field that may differ, such as `failed_at_ms` or `lines[].price`. May be given more than once.
    #[arg(long, value_name = "FIELD", requires = "against", help_heading = "Through a processor")]
    pub ignore: Vec<String>,
}

/// Lookups hold all that was recorded of their topics, tables begin empty, and the clock is that of the records.
pub(super) fn through(
    processors: &[Processor],
    name: &str,
    recording: &Recording,
    arguments: &ThroughArguments,
    json: bool,
) -> Result<(), AppError> {
    let processor = processors.iter().find(|processor| processor.name() == name);
    let processor = processor.ok_or_else(|| AppError::UnknownProcessor {
        name: name.to_owned(),
        known: processors.iter().map(Processor::name).collect::<Vec<_>>().join(", "),
    })?;
    // Before the work is done: it may take long.
    let against = arguments.against.as_deref().map(Recording::open).transpose()?;
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let is_stopped = || signals.received();
    let aside = (arguments.out.is_none() && against.is_some()).then(Aside::make).transpose()?;
    let folder = arguments.out.as_deref().or(aside.as_ref().map(|aside| aside.0.as_path()));
    let rehearsed = rehearse(processor, recording, &EngineSettings::default(), folder, &is_stopped)?;
    let settings = ComparisonSettings {
        max_differences: arguments.max_differences,
        headers: arguments.compare_headers,
        ignored: arguments.ignore.clone(),
        ..ComparisonSettings::default()
    };
    let compared = against.as_ref().zip(folder).map(|(against, folder)| {
        let new = Recording::open(folder)?;
        Ok::<_, AppError>(compare(against, &new, &settings, &is_stopped)?)
    });
    let compared = compared.transpose()?;
    let report = match json {
        true => format!("{}\n", serde_json::json!({"run": rehearsed, "comparison": compared})),
        false => text(processor.name(), &rehearsed, compared.as_ref()),
    };
    std::io::stdout().write_all(report.as_bytes()).map_err(AppError::Output)?;
    match (compared.map_or(0, |compared| compared.differing_records()), &arguments.against) {
        (records @ 1.., Some(against)) => Err(AppError::Different { records, against: against.clone() }),
        _ => Ok(()),
    }
}

/// A folder for outputs that are compared and not kept.
struct Aside(PathBuf);

impl Aside {
    fn make() -> Result<Aside, AppError> {
        let folder = std::env::temp_dir().join(format!("unchain-rehearsal-{}", std::process::id()));
        // Its own: made by nobody before.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|source| AppError::TemporaryFolder { folder: folder.clone(), source })?;
        Ok(Aside(folder))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a temporary folder was not removed");
        }
    }
}

fn text(processor: &str, rehearsed: &Rehearsed, compared: Option<&Comparison>) -> String {
    let mut text = String::new();
    let Rehearsed { consumed_records, dead_letters, retries, left_out_records, left_out_rows, .. } = rehearsed;
    line(
        &mut text,
        format_args!("{processor}: {consumed_records} records, {dead_letters} dead letters, {retries} retries"),
    );
    if *left_out_records > 0 {
        line(&mut text, format_args!("  {left_out_records} records that it had written to itself were left out"));
    }
    if *left_out_rows > 0 {
        line(&mut text, format_args!("  {left_out_rows} undecodable rows of lookups were left out"));
    }
    for (topic, records) in &rehearsed.written_records {
        line(&mut text, format_args!("  {topic}: {records} written"));
    }
    if let Some(compared) = compared {
        compared_text(compared, &mut text);
    }
    text
}

fn compared_text(compared: &Comparison, text: &mut String) {
    line(text, format_args!("\ncompared with {}:", compared.old_id));
    for topic in &compared.topics {
        let (changed, moved) = (topic.changed, topic.moved);
        let (old, new) = (topic.only_in_old, topic.only_in_new);
        line(
            text,
            format_args!(
                "  {}: {} equal, {changed} changed ({moved} moved), {old} only in the old, {new} only in the new",
                topic.topic,
                topic.equal + topic.reencoded
            ),
        );
        if topic.reencoded > 0 {
            line(text, format_args!("    written by another schema, with equal values: {}", topic.reencoded));
        }
        for (field, records) in &topic.fields {
            line(text, format_args!("    {field}: {records}"));
        }
        if topic.given_up > 0 {
            let given_up = topic.given_up;
            line(text, format_args!("    {given_up} were given up on: what they match may stand further away"));
        }
    }
    if !compared.not_compared.is_empty() {
        line(text, format_args!("  not written by the processor: {}", compared.not_compared.join(", ")));
    }
    if !compared.differences.is_empty() {
        line(text, format_args!("\nthe first {} of {}:", compared.differences.len(), compared.differing_records()));
    }
    compared.differences.iter().for_each(|difference| difference_text(difference, text));
}

fn difference_text(difference: &Difference, text: &mut String) {
    let at = |place: &Option<Place>| place.as_ref().map(|place| (place.partition, place.offset, place.key.clone()));
    let (partition, offset, key) = at(&difference.new).or(at(&difference.old)).unwrap_or_default();
    let kind = match difference.kind {
        DifferenceKind::OnlyInOld => "only in the old",
        DifferenceKind::OnlyInNew => "only in the new",
        DifferenceKind::Changed => "changed",
    };
    let (topic, key) = (&difference.topic, key.unwrap_or_default());
    let id = difference.id.as_deref().map(|id| format!(" id {id}")).unwrap_or_default();
    line(text, format_args!("{topic}/{partition}/{offset} key {key}{id}: {kind}"));
    if let Some(value) = &difference.value {
        line(text, format_args!("  {value}"));
    }
    for FieldChange { field, old, new } in &difference.changes {
        let shown = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        line(text, format_args!("  {field}: {} -> {}", shown(old), shown(new)));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("text grows in memory");
}
