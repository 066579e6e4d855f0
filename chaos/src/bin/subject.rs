//! The program under test: one processor on unchain's public API, until SIGTERM or the end of the checker.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use unchain::app::{Signals, start_logging};
use unchain::contract::open_registry;
use unchain::engine::{Engine, EngineSettings};
use unchain::kafka::Connection;
use unchain::recovery::dead_letters;
use unchain_chaos::workload::{Group, processor};

#[derive(Parser)]
#[command(about = "The program that `chaos` runs, stops and kills")]
struct Arguments {
    #[arg(long)]
    bootstrap_servers: String,
    /// The consumer group
    #[arg(long)]
    group: String,
    /// The name of this process in its outputs, in the group and in the history
    #[arg(long)]
    name: String,
    /// The stable name of this instance
    #[arg(long)]
    instance: Option<String>,
    #[arg(long, default_value_t = 1)]
    workers: usize,
    #[arg(long)]
    transaction_timeout_ms: u64,
    /// Where tables are kept
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

fn settings(arguments: &Arguments) -> EngineSettings {
    EngineSettings {
        instance: arguments.instance.clone(),
        workers: arguments.workers,
        // Short, so that a schedule of minutes has many silences that are longer.
        session_timeout: Duration::from_secs(6),
        transaction_timeout: Duration::from_millis(arguments.transaction_timeout_ms),
        drain_timeout: Duration::from_secs(5),
        state_dir: arguments.state_dir.clone(),
        ..EngineSettings::default()
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let group = Group::of(&arguments.group).ok_or("there is no such group")?;
    let signals = Signals::watch()?;
    std::thread::Builder::new().name("checker".to_owned()).spawn(end_with_the_checker)?;
    // The group's members are then known by their processes' names.
    let connection = Connection::new(&arguments.bootstrap_servers).with_property("client.id", &arguments.name)?;
    let registry = open_registry(&connection, Duration::from_secs(30))?;
    let processors = [processor(group, &arguments.name)];
    let engine = Engine::start(&connection, &registry, &processors, &settings(arguments), dead_letters)?;
    tracing::info!(name = arguments.name, "running");
    while engine.is_alive() && !signals.wait(Duration::from_millis(200)) {}
    tracing::info!(name = arguments.name, "ending");
    engine.stop()?;
    Ok(())
}

/// The checker holds the other end of standard input: it closes when the checker is gone, however that ended.
fn end_with_the_checker() {
    let mut all = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut all);
    #[allow(clippy::disallowed_methods, reason = "nobody is left who could use an orderly end")]
    std::process::exit(1);
}

fn main() -> ExitCode {
    start_logging(true);
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
