//! `cargo xtask`: the one entry for chores. CI calls it too, so that no command is written down twice.

mod chaos;
mod check;
mod ci;
mod compare;
mod demo;
mod deny;
mod docs;
mod kafka;
mod paths;
mod python;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use steps::Steps;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The chores of unchain")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Processors beneath seeded faults, judged by what consumers read; a schedule is repeated by its seed
    Chaos(chaos::Chaos),
    /// Formatting, lints, licences and the README's commands: what to run before a commit
    Check,
    /// All that CI runs: the checks, every test with a real Kafka beside them, the demo in release, a foreign reader
    Ci,
    /// Our contestant beside its peers on one Apache Kafka, measured from outside; writes benches/RESULTS.md
    Compare(compare::Compare),
    /// Licences and doubled versions of all dependencies, against deny.toml
    Deny,
    /// Every command that README.md shows is one that CI runs
    Docs,
    /// A real Apache Kafka on this machine's loopback, from its published Java artifacts
    #[command(subcommand)]
    Kafka(kafka::Command),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Chaos(chaos) => chaos::run(&chaos),
        Chore::Check => report(check::run),
        Chore::Ci => report(ci::run),
        Chore::Compare(compare) => compare::run(&compare),
        Chore::Deny => report(deny::step),
        Chore::Docs => report(docs::step),
        Chore::Kafka(command) => kafka::run(command).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the steps of a chore and prints the table of what they took.
fn report(chore: impl FnOnce(&mut Steps)) -> Result<(), String> {
    let mut steps = Steps::default();
    chore(&mut steps);
    steps.finish()
}
