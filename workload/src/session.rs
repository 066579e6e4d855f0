//! A benchmark: its workload several times in a row, on one cluster, with the topics of each run removed after it.

use unchain::app::{AppError, Options, Signals};
use unchain::kafka::client_version;
use unchain_measure::Machine;

use crate::BenchError;
use crate::cluster::Cluster;
use crate::kinds;
use crate::progress::Progress;
use crate::records::Material;
use crate::result::{Report, Run};
use crate::stage::Stage;
use crate::workload::{Kind, Workload};

/// Runs a workload as often as it says.
pub(crate) fn measure(options: &Options, broker_pids: &[u32], workload: Workload) -> Result<Report, BenchError> {
    let signals = Signals::watch().map_err(AppError::Signals)?;
    if workload.kind == Kind::Avro {
        let runs = repeat(&workload, |_| kinds::run_without_broker(&workload, &signals))?;
        return Ok(report(workload, "none".to_owned(), runs));
    }
    let cluster = Cluster::open(options, broker_pids)?;
    let runs = repeat(&workload, |run| run_once(&cluster, &signals, &workload, run))?;
    let broker = if cluster.is_own() { "development broker" } else { "Kafka" };
    Ok(report(workload, broker.to_owned(), runs))
}

fn repeat(workload: &Workload, mut run: impl FnMut(u64) -> Result<Run, BenchError>) -> Result<Vec<Run>, BenchError> {
    let progress = Progress::start();
    let mut runs = Vec::new();
    for number in 0..workload.runs {
        progress.say(format!("{}, run {} of {}", workload.kind.name(), number + 1, workload.runs));
        runs.push(run(number.into())?);
    }
    Ok(runs)
}

/// One run, whose topics and groups are gone afterwards.
pub(crate) fn run_once(cluster: &Cluster, signals: &Signals, workload: &Workload, run: u64) -> Result<Run, BenchError> {
    let material = Material::of(workload)?;
    let ran = kinds::run(&Stage { workload, cluster, signals, material: &material, run });
    let cleared = cluster.clear();
    // What was left behind is to be known first.
    cleared?;
    ran
}

fn report(workload: Workload, broker: String, runs: Vec<Run>) -> Report {
    let machine = Machine::here().with("unchain", env!("CARGO_PKG_VERSION")).with("client", client_version());
    Report::of(workload, broker, machine, runs)
}
