//! `cargo xtask compare`: builds our contestant and its peers, starts an Apache Kafka, and lets the comparison run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::kafka::{Cluster, Libraries};
use crate::paths;

/// What to compare, and how long.
#[derive(Args)]
pub struct Compare {
    /// One repetition of 1,000,000 records, for development; RESULTS.md stays as it is
    #[arg(long)]
    quick: bool,
    /// Only these measures: J1-eos J1-alos J2-eos LATENCY SLOW RESTORE REBALANCE MEMORY LARGE
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    jobs: Vec<String>,
    /// Only these contestants, by the beginning of their names: unchain, raw, franz-go, Kafka
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<String>,
    /// How often each contestant runs each measure [default: 5; 1 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=99))]
    repetitions: Option<u16>,
    /// Records of the throughput measures [default: 5000000; 1000000 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    records: Option<u64>,
    /// An Apache Kafka that does nothing else; without it one is started, and ended afterwards
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Print the runs as JSON instead of the page
    #[arg(long)]
    json: bool,
    /// Write benches/RESULTS.md even where only a part was measured
    #[arg(long)]
    write: bool,
}

/// Why there is no comparison, or no more of it.
type Failure = String;

/// A peer that can take part, or the reason why it cannot.
type Peer = Result<PathBuf, String>;

pub fn run(compare: &Compare) -> Result<(), Failure> {
    let target = paths::target();
    cargo_build()?;
    let peers =
        [("franz-go", "--franz-go", franz_go(&target)), ("Kafka Streams", "--kafka-streams", kafka_streams(&target))];
    let release = target.join("release");
    let mut comparison = Command::new(release.join("compare"));
    comparison.arg("--rig").arg(release.join("rig")).arg("--raw").arg(release.join("raw"));
    comparison.arg("--schemas").arg(paths::root().join("benches/schemas"));
    comparison.arg("--folder").arg(target.join("compare"));
    for (name, option, peer) in &peers {
        match peer {
            Ok(built) => comparison.arg(option).arg(built),
            Err(reason) => {
                eprintln!("{name} is left out: {reason}");
                comparison.arg("--skipped").arg(format!("{name}: {reason}"))
            }
        };
    }
    for version in versions() {
        comparison.arg("--version-of").arg(version);
    }
    arguments(compare, &mut comparison);
    if let Some(servers) = &compare.bootstrap_servers {
        return carry_out(comparison.arg("--brokers").arg(servers));
    }

    let folder = target.join("compare-kafka");
    let kafka = Cluster::at(&folder);
    let libraries = Libraries::fetch().map_err(|error| error.to_string())?;
    // What a comparison that was interrupted has left.
    kafka.stop(false, true).map_err(|error| error.to_string())?;
    let servers = kafka.start(&libraries, 1, 0).map_err(|error| error.to_string())?;
    if let Ok(pid) = fs::read_to_string(folder.join("1.pid")) {
        comparison.arg("--broker-pid").arg(pid.trim());
    }
    let done = carry_out(comparison.arg("--brokers").arg(servers));
    kafka.stop(false, false).map_err(|error| error.to_string())?;
    done
}

fn arguments(compare: &Compare, comparison: &mut Command) {
    let (repetitions, records) = if compare.quick { (1, 1_000_000) } else { (5, 5_000_000) };
    comparison.arg("--repetitions").arg(compare.repetitions.unwrap_or(repetitions).to_string());
    comparison.arg("--records").arg(compare.records.unwrap_or(records).to_string());
    for (option, names) in [("--jobs", &compare.jobs), ("--contestants", &compare.contestants)] {
        if !names.is_empty() {
            comparison.arg(option).arg(names.join(","));
        }
    }
    for (option, given) in [("--quick", compare.quick), ("--json", compare.json)] {
        if given {
            comparison.arg(option);
        }
    }
    let whole = !compare.quick && compare.jobs.is_empty() && compare.contestants.is_empty();
    if whole || compare.write {
        comparison.arg("--page").arg(paths::root().join("benches/RESULTS.md"));
    }
}

fn cargo_build() -> Result<(), Failure> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--package", "unchain-benches"]);
    cargo.args(["--bin", "rig", "--bin", "raw", "--bin", "compare"]).current_dir(paths::root());
    carry_out(&mut cargo)
}

/// Builds the Go peer into the target folder.
fn franz_go(target: &Path) -> Peer {
    if paths::program("go").is_none() {
        return Err("there is no Go (`go` is not in the PATH)".to_owned());
    }
    let program = target.join("peers/franz-go/peer");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(".").current_dir(paths::root().join("benches/peers/franz-go"));
    carry_out(&mut go).map(|()| program)
}

/// Builds the Java peer into the target folder: its classes, and the libraries beside them.
fn kafka_streams(target: &Path) -> Peer {
    for program in ["java", "mvn"] {
        if paths::program(program).is_none() {
            return Err(format!("there is no Java with Maven (`{program}` is not in the PATH)"));
        }
    }
    let folder = target.join("peers/kafka-streams");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(paths::root().join("benches/peers/kafka-streams/pom.xml"));
    maven.arg(format!("-Dbuild.folder={}", folder.display())).arg("process-classes");
    carry_out(&mut maven).map(|()| folder)
}

/// The versions that the figures depend on; what is not there is not named.
fn versions() -> Vec<String> {
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
        // `java -version` writes to standard error.
        let said = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&said).lines().next()?.trim().to_owned())
    };
    let asked = [("rustc", &["--version"][..]), ("java", &["-version"]), ("go", &["version"])];
    let mut versions = vec!["Apache Kafka and Kafka Streams 4.1.0".to_owned(), "franz-go 1.22.2".to_owned()];
    versions.extend(asked.iter().filter_map(|(program, arguments)| first_line(program, arguments)));
    versions
}

/// Runs a command on this terminal; its failure is ours.
fn carry_out(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let name = Path::new(&name).file_name().map_or(name.clone(), |name| name.to_string_lossy().into_owned());
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{name} does not run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status})")) }
}
