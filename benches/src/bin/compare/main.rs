//! The comparison: our contestant beside its peers on one Apache Kafka, in turn, all measured from outside.
//!
//! `cargo xtask compare` builds everyone, starts the broker and calls this.

mod cluster;
mod contestant;
mod drain;
mod latency;
mod measures;
mod orders;
mod page;
mod rebalance;
mod restore;
mod results;
mod stage;
mod targets;
mod verify;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;

use cluster::Cluster;
use contestant::Contestant;
use measures::{FRANZ, Inputs, Kind, MEASURES, Measure, OURS, RAW, RAW_TWO, STREAMS, Sizes};
use results::{Results, Run};
use stage::Task;
use unchain_measure::{Machine, usage};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Runs unchain beside its peers; started by `cargo xtask compare`")]
struct Arguments {
    /// An Apache Kafka that does nothing else
    #[arg(long)]
    brokers: String,
    /// The broker's process, for the CPU that it takes
    #[arg(long)]
    broker_pid: Option<u32>,
    /// Our contestant's program
    #[arg(long)]
    rig: PathBuf,
    /// The raw loop's program
    #[arg(long)]
    raw: PathBuf,
    /// franz-go's program
    #[arg(long)]
    franz_go: Option<PathBuf>,
    /// The folder of Kafka Streams' classes and libs
    #[arg(long)]
    kafka_streams: Option<PathBuf>,
    /// Why a peer is not there, for the page
    #[arg(long)]
    skipped: Vec<String>,
    /// Versions, for the page
    #[arg(long)]
    version_of: Vec<String>,
    /// The folder of the schemas
    #[arg(long)]
    schemas: PathBuf,
    /// Where logs, state and the JSON report lie
    #[arg(long)]
    folder: PathBuf,
    /// The page to write
    #[arg(long)]
    page: Option<PathBuf>,
    /// Only these measures
    #[arg(long, value_delimiter = ',')]
    jobs: Vec<String>,
    /// Only these contestants
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<String>,
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    #[arg(long, default_value_t = 5_000_000)]
    records: u64,
    /// Small sizes, for development
    #[arg(long)]
    quick: bool,
    /// Print the runs as JSON instead of the page
    #[arg(long)]
    json: bool,
}

/// What every run is given.
pub struct Bench {
    cluster: Cluster,
    folder: PathBuf,
    broker_pid: Option<u32>,
    runs: Cell<usize>,
}

impl Bench {
    fn next_run(&self) -> usize {
        self.runs.set(self.runs.get() + 1);
        self.runs.get()
    }

    /// A name in the cluster that no other comparison has, so that one that was broken off is not in the way.
    fn name(&self, what: &str) -> String {
        format!("compare-{}-{what}", std::process::id())
    }

    /// CPU seconds that the broker has taken so far; 0 where its process is not known.
    fn broker_cpu(&self) -> f64 {
        self.broker_pid.map_or(0.0, usage::cpu_seconds)
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let chosen = chosen(&arguments.jobs)?;
    let contestants = contestants(&arguments);
    let sizes = if arguments.quick { Sizes::quick(arguments.records) } else { Sizes::full(arguments.records) };
    fs::create_dir_all(&arguments.folder)?;
    let cluster = Cluster::connect(&arguments.brokers)?;
    let bench =
        Bench { cluster, folder: arguments.folder.clone(), broker_pid: arguments.broker_pid, runs: Cell::new(0) };
    let mut results = Results { runs: Vec::new(), skipped: arguments.skipped.clone() };
    let mut inputs = Inputs::default();
    // A broker that has just started is slow for its first million records: those count for nobody.
    let warm_up = program(RAW, &arguments.raw, vec![("THREADS", "1".to_owned())]);
    measures::run(&bench, Kind::Drain(Task::J1), &warm_up, &sizes, &mut inputs)?;
    for repetition in 1..=arguments.repetitions {
        for measure in chosen.iter().filter(|measure| repetition <= measure.max_repetitions) {
            let mut taking_part: Vec<&Contestant> =
                contestants.iter().filter(|known| measure.contestants.contains(&known.name)).collect();
            // Each is first at some time, and last.
            let turn = (repetition - 1) % taking_part.len().max(1);
            taking_part.rotate_left(turn);
            for contestant in taking_part {
                let run = one_run(&bench, measure, contestant, repetition, &sizes, &mut inputs);
                results.runs.push(run);
                // Kept after every run: an interrupted comparison has its figures still.
                write_json(&arguments.folder, &results)?;
            }
        }
    }
    bench.cluster.drop_topics(&bench.name(""))?;
    let page = page::page(&heading(&arguments), &results);
    if let Some(path) = &arguments.page {
        fs::write(path, &page)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&results.runs)?);
    } else {
        println!("{page}");
    }
    Ok(())
}

fn one_run(
    bench: &Bench,
    measure: &Measure,
    contestant: &Contestant,
    repetition: usize,
    sizes: &Sizes,
    inputs: &mut Inputs,
) -> Run {
    let begun = Instant::now();
    let measured = measures::run(bench, measure.kind, contestant, sizes, inputs)
        .unwrap_or_else(|error| results::Measured { faults: vec![error.to_string()], ..results::Measured::default() });
    let run = Run {
        measure: measure.name,
        contestant: contestant.name,
        repetition,
        figures: measured.figures,
        faults: measured.faults,
    };
    let figures: Vec<String> =
        run.figures.iter().map(|(name, value)| format!("{name} {}", page::number(*value, 2))).collect();
    eprintln!(
        "{} {} #{repetition} ({:.0} s): {} {}",
        run.measure,
        run.contestant,
        begun.elapsed().as_secs_f64(),
        figures.join(", "),
        if run.faults.is_empty() { String::new() } else { format!("FAULTS: {}", run.faults.join("; ")) }
    );
    run
}

fn chosen(names: &[String]) -> Result<Vec<&'static Measure>, Failure> {
    for name in names {
        if !MEASURES.iter().any(|measure| measure.name.eq_ignore_ascii_case(name)) {
            let known: Vec<_> = MEASURES.iter().map(|measure| measure.name).collect();
            return Err(format!("there is no measure {name:?}; there are: {}", known.join(", ")).into());
        }
    }
    let is_chosen =
        |measure: &&Measure| names.is_empty() || names.iter().any(|name| measure.name.eq_ignore_ascii_case(name));
    Ok(MEASURES.iter().filter(is_chosen).collect())
}

fn program(name: &'static str, path: &Path, environment: Vec<(&'static str, String)>) -> Contestant {
    Contestant { name, command: vec![path.to_string_lossy().into_owned()], environment }
}

fn contestants(arguments: &Arguments) -> Vec<Contestant> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut all = vec![
        program(OURS, &arguments.rig, vec![("WORKERS", "2".to_owned())]),
        program(RAW_TWO, &arguments.raw, vec![("THREADS", "2".to_owned())]),
        program(RAW, &arguments.raw, vec![("THREADS", "1".to_owned())]),
    ];
    if let Some(path) = &arguments.franz_go {
        all.push(program(FRANZ, path, vec![("SCHEMAS", text(&arguments.schemas))]));
    }
    if let Some(folder) = &arguments.kafka_streams {
        let class_path = format!("{}:{}", text(&folder.join("classes")), text(&folder.join("libs/*")));
        let command = [
            "java",
            "-Xms1g",
            "-Xmx1g",
            "-XX:+UseParallelGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.apache.avro.specific.use_custom_coders=true",
            "-cp",
            &class_path,
            "bench.peer.Main",
        ];
        let command = command.map(str::to_owned).to_vec();
        all.push(Contestant { name: STREAMS, command, environment: vec![("THREADS", "2".to_owned())] });
    }
    let names = &arguments.contestants;
    all.retain(|known| names.is_empty() || names.iter().any(|name| known.name.starts_with(name.as_str())));
    all
}

fn heading(arguments: &Arguments) -> page::Heading {
    let part = !arguments.jobs.is_empty() || !arguments.contestants.is_empty();
    let provisional = match (arguments.quick, part) {
        (true, _) => Some("a quick run with small sizes, for development.".to_owned()),
        (false, true) => Some("a part of the measures or contestants only.".to_owned()),
        (false, false) => None,
    };
    page::Heading {
        command: "cargo xtask compare".to_owned(),
        machine: Machine::here().summary(),
        versions: arguments.version_of.clone(),
        repetitions: arguments.repetitions,
        records: arguments.records,
        provisional,
    }
}

fn write_json(folder: &Path, results: &Results) -> Result<(), Failure> {
    Ok(fs::write(folder.join("runs.json"), serde_json::to_string_pretty(&results.runs)?)?)
}

/// A pause between two looks at other programs, which have no way to tell us.
#[allow(clippy::disallowed_methods, reason = "an observer from outside can only look again")]
fn pause(interval: Duration) {
    std::thread::sleep(interval);
}
