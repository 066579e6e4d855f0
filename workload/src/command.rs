//! The command line of `bench`, and what each of its commands does.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use unchain::app::{AppError, Options};

use crate::BenchError;
use crate::compare::{compare, read, refuse_slower};
use crate::ramp::{Limit, Percentile, Step};
use crate::settings::Settings;
use crate::workload::{Kind, Workload};
use crate::{cluster, ramp, report, session, table};

pub const EXAMPLE: &str = "Example:\n  unchain bench produce --rate 50000 --seconds 20 --out results\n  \
    unchain bench --workload workload.yaml\n  unchain bench ramp end-to-end --limit-ms 50 --percentile 99\n\n\
    Without --bootstrap-servers it runs on a development broker of its own. A workload file has the flags' names, with\n\
    underscores, as fields (`record_bytes: {min: 100, max: 300}`), and `kind`.";

/// What to measure, or to do with what was measured.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    measuring: Measuring,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Produce; timed from when each record was due until it was acknowledged.
    #[command(after_help = "Example:\n  unchain bench produce --rate 50000 --record-bytes 100..300 --keys 10000:1.1")]
    Produce(Box<Measuring>),
    /// Fill a topic, then read it at full speed.
    #[command(after_help = "Example:\n  unchain bench consume --records 5000000")]
    Consume(Box<Measuring>),
    /// Pass records through a processor; timed until each output is visible.
    #[command(after_help = "Example:\n  unchain bench process --rate 5000 --guarantee exactly-once")]
    Process(Box<Measuring>),
    /// Request and reply over two topics.
    #[command(after_help = "Example:\n  unchain bench request --in-flight 1000")]
    Request(Box<Measuring>),
    /// Produce and consume; timed from when each record was due until a consumer has it.
    #[command(after_help = "Example:\n  unchain bench end-to-end --rate 1000 --seconds 30")]
    EndToEnd(Box<Measuring>),
    /// Encode and decode a contract's values on one core, without a broker.
    #[command(after_help = "Example:\n  unchain bench avro")]
    Avro(Box<Measuring>),
    /// Find the highest rate that holds a latency limit.
    #[command(after_help = "Example:\n  unchain bench ramp end-to-end --limit-ms 50 --percentile 99")]
    Ramp(Box<RampArguments>),
    /// Say whether two results differ by more than their runs do.
    #[command(after_help = "Example:\n  unchain bench compare before/result.json after/result.json --fail-if-slower")]
    Compare(CompareArguments),
    /// Remove the topics and groups of benchmarks that were killed.
    #[command(after_help = "Example:\n  unchain bench clean --bootstrap-servers broker:9092")]
    Clean(CleanArguments),
}

/// A workload and where its result goes.
#[derive(Debug, Clone, Args)]
struct Measuring {
    /// A workload file (YAML); flags stand over its fields.
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// The process id of a broker, whose CPU and memory are noted; may be given several times.
    #[arg(long, value_name = "PID")]
    broker_pid: Vec<u32>,
    /// Write result.json, report.html and the charts as SVG into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct RampArguments {
    /// What to measure: produce, process, request or end-to-end.
    #[arg(value_enum)]
    kind: Option<Kind>,
    /// The latency to be held.
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    limit_ms: f64,
    /// Which latencies have to hold it.
    #[arg(long, value_enum, default_value = "99")]
    percentile: Percentile,
    #[command(flatten)]
    measuring: Measuring,
}

#[derive(Debug, Clone, Args)]
struct CompareArguments {
    /// The result.json to compare with.
    one: PathBuf,
    /// The result.json that is judged.
    other: PathBuf,
    /// Exit with 3 where the other result is slower by more than the spread.
    #[arg(long)]
    fail_if_slower: bool,
    /// Print the differences as JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct CleanArguments {
    /// Print what was removed as JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Does what the command line says.
///
/// # Errors
/// [`BenchError`], whose `exit_code` tells wrong usage from failure.
pub fn command(options: &Options, arguments: &BenchArguments) -> Result<(), BenchError> {
    let (kind, measuring) = match &arguments.what {
        None => (None, &arguments.measuring),
        Some(What::Produce(measuring)) => (Some(Kind::Produce), &**measuring),
        Some(What::Consume(measuring)) => (Some(Kind::Consume), &**measuring),
        Some(What::Process(measuring)) => (Some(Kind::Process), &**measuring),
        Some(What::Request(measuring)) => (Some(Kind::Request), &**measuring),
        Some(What::EndToEnd(measuring)) => (Some(Kind::EndToEnd), &**measuring),
        Some(What::Avro(measuring)) => (Some(Kind::Avro), &**measuring),
        Some(What::Ramp(arguments)) => return find_highest_rate(options, arguments),
        Some(What::Compare(arguments)) => return compare_results(arguments),
        Some(What::Clean(arguments)) => return clean(options, arguments),
    };
    let workload = measuring.workload(kind, Settings::default())?;
    let result = session::measure(options, &measuring.broker_pid, workload)?;
    if let Some(folder) = &measuring.out {
        report::write(&result, folder)?;
    }
    if measuring.json { print_json(&result) } else { print(&table::result(&result)) }
}

impl Measuring {
    fn workload(&self, kind: Option<Kind>, defaults: Settings) -> Result<Workload, BenchError> {
        let file = self.workload.as_deref().map(Settings::read).transpose()?;
        let origin = match &self.workload {
            Some(file) => format!("workload file {}", file.display()),
            None => "the command line".to_owned(),
        };
        let settings = self.settings.clone().or(file.unwrap_or_default()).or(defaults);
        let kind = kind.or(settings.kind).ok_or_else(|| BenchError::NoKind(origin.clone()))?;
        Workload::of(kind, settings, &origin)
    }
}

/// Steps of a search are short.
const STEP_SECONDS: f64 = 4.0;

fn find_highest_rate(options: &Options, arguments: &RampArguments) -> Result<(), BenchError> {
    let RampArguments { kind, limit_ms, percentile, measuring } = arguments;
    let defaults = Settings { seconds: Some(STEP_SECONDS), ..Settings::default() };
    let workload = measuring.workload(*kind, defaults)?;
    let wrong = |field, given: String, allowed: &str| BenchError::Field {
        origin: "the command line".to_owned(),
        field,
        given,
        allowed: allowed.to_owned(),
    };
    if matches!(workload.kind, Kind::Consume | Kind::Avro) {
        return Err(wrong("kind", workload.kind.name().to_owned(), "produce, process, request, end-to-end"));
    }
    if !(*limit_ms > 0.0 && limit_ms.is_finite()) {
        return Err(wrong("limit-ms", limit_ms.to_string(), "more than 0"));
    }
    let limit = Limit { limit_ms: *limit_ms, percentile: *percentile };
    let show = |step: &Step| {
        if !measuring.json {
            let verdict = step.missed.as_ref().map_or("held".to_owned(), |missed| format!("missed: {missed}"));
            // A reader who has gone is met at the end.
            let _ = print(&format!("{:>10}/s  {:>9.3} ms  {verdict}\n", step.rate, step.latency_ms));
        }
    };
    let found = ramp::search(options, &measuring.broker_pid, workload, limit, show)?;
    if measuring.json {
        return print_json(&found);
    }
    print(&format!("{} records/s hold {limit_ms} ms, seed {}\n", found.highest_rate, found.workload.seed))
}

fn compare_results(arguments: &CompareArguments) -> Result<(), BenchError> {
    let [one, other] = read(&arguments.one, &arguments.other)?;
    let differences = compare(&one, &other);
    if arguments.json {
        print_json(&differences)?;
    } else {
        print(&format!("{}\n", table::differences(&differences)))?;
        // The seed is another one in each result, unless it was given.
        if (Workload { seed: other.workload.seed, ..one.workload.clone() }) != other.workload {
            print("the workloads are not the same in every field\n")?;
        }
    }
    if arguments.fail_if_slower { refuse_slower(&differences) } else { Ok(()) }
}

fn clean(options: &Options, arguments: &CleanArguments) -> Result<(), BenchError> {
    let cleaned = cluster::clean(&options.connection()?)?;
    if arguments.json {
        return print_json(&serde_json::json!({"topics": cleaned.topics, "groups": cleaned.groups}));
    }
    print(&format!("{} topics and {} groups removed\n", cleaned.topics.len(), cleaned.groups.len()))
}

fn print_json(value: &impl serde::Serialize) -> Result<(), BenchError> {
    let text = serde_json::to_string(value).map_err(std::io::Error::other);
    print(&format!("{}\n", text.map_err(AppError::Output)?))
}

fn print(text: &str) -> Result<(), BenchError> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(AppError::Output)?)
}
