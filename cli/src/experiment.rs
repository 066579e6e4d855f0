//! `experiment`: the same chain of services as synchronous calls and as a pipeline, under the same load and faults.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use unchain::app::{AppError, JsonFlag, Options, Signals};
use unchain_experiment::{
    DEFAULTS, ExperimentError, Kind, Plots, Report, Request, Scenario, Settings, experiment, run_service,
};

use crate::CliError;

const EXAMPLE: &str = "Example:\n  unchain experiment sync-vs-async --scenario outage\n  \
    unchain experiment sync-vs-async --scenario all --out report --bootstrap-servers 127.0.0.1:9092\n  \
    unchain experiment sync-vs-async --print-settings > mine.yaml\n  \
    unchain experiment sync-vs-async --settings mine.yaml --scenario slow --scale small\n\n\
    Put your own chain's service times, time limits and faults into the settings to see whether going asynchronous would\n\
    help it. Without --bootstrap-servers the pipeline runs on a development broker of its own. Exit code 3 says that the\n\
    pipeline lost or doubled an order, by its topics.";

/// What to try out.
#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentCommand {
    /// Services that call each other over HTTP, with and without a circuit breaker, against processors.
    #[command(after_help = EXAMPLE)]
    SyncVsAsync(SyncVsAsyncArguments),
    /// One service of an experiment, which the experiment starts by itself.
    #[command(hide = true, after_help = "Example:\n  unchain experiment service payment.json")]
    Service { file: PathBuf },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SyncVsAsyncArguments {
    /// What happens to the services.
    #[arg(long, value_name = "NAME", default_value = "all")]
    scenario: Scenarios,
    /// Only these sides.
    #[arg(long, value_enum, value_delimiter = ',')]
    sides: Vec<Kind>,
    /// Service times, time limits, rates and faults, over the defaults.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Print the default settings, with a comment on each, and end.
    #[arg(long)]
    print_settings: bool,
    /// Multiply all spans, for a quick look: a number, or `small` for 0.1.
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    scale: Scale,
    /// Write `report.html`, `report.md`, `report.json` and the plots into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The broker's process, where it runs on this machine: its CPU time is added to the pipeline's.
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    #[command(flatten)]
    json: JsonFlag,
}

#[derive(Debug, Clone)]
struct Scenarios(Vec<Scenario>);

#[derive(Debug, Clone, Copy)]
struct Scale(f64);

impl FromStr for Scenarios {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenarios, String> {
        if text == "all" {
            return Ok(Scenarios(Scenario::ALL.to_vec()));
        }
        let known = || Scenario::ALL.map(Scenario::name).join(", ");
        let one = |name| Scenario::from_str(name, false).map_err(|_| format!("there are: {}, all", known()));
        text.split(',').map(one).collect::<Result<_, _>>().map(Scenarios)
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Scale, String> {
        let factor = if text == "small" { Some(0.1) } else { text.parse().ok() };
        let usable = factor.filter(|factor: &f64| factor.is_finite() && (0.01..=100.0).contains(factor));
        usable.map(Scale).ok_or_else(|| "write a number from 0.01 to 100, or small".to_owned())
    }
}

pub(crate) fn command(options: &Options, command: &ExperimentCommand) -> Result<(), CliError> {
    match command {
        ExperimentCommand::SyncVsAsync(arguments) => sync_vs_async(options, arguments),
        ExperimentCommand::Service { file } => Ok(run_service(options, file)?),
    }
}

fn sync_vs_async(options: &Options, arguments: &SyncVsAsyncArguments) -> Result<(), CliError> {
    if arguments.print_settings {
        print!("{DEFAULTS}");
        return Ok(());
    }
    let settings = arguments.settings.as_deref().map_or_else(|| Ok(Settings::defaults()), Settings::load);
    let settings = settings.map_err(ExperimentError::from)?.scaled(arguments.scale.0);
    let sides = if arguments.sides.is_empty() { Kind::ALL.to_vec() } else { arguments.sides.clone() };
    let executable = std::env::current_exe();
    let request = Request {
        scenarios: arguments.scenario.0.clone(),
        sides,
        settings,
        executable: executable.map_err(|source| CliError::Folder { folder: PathBuf::from("."), source })?,
        broker_id: arguments.broker_pid,
    };
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let shows_progress = std::io::stderr().is_terminal();
    let (runs, cluster) = experiment(&request, options, &signals, |scenario, side| {
        if shows_progress {
            eprintln!("{}: {}", scenario.name(), side.name());
        }
    })?;
    let report = Report::of(&runs, &request.settings, cluster);
    if let Some(folder) = &arguments.out {
        report.write(&Plots::of(&runs), folder)?;
    }
    if arguments.json.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_text());
    }
    match &report.violations()[..] {
        [] => Ok(()),
        violations => Err(ExperimentError::Verdict(violations.join("; ")).into()),
    }
}
