//! The checker: runs the program under test beneath faults, and judges what its consumers read.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use unchain::app::{Signals, start_logging};
use unchain_chaos::Failure;
use unchain_chaos::run::{Options, run};

#[derive(Parser)]
#[command(
    about = "Runs processors beneath seeded faults and judges what consumers read",
    after_help = "Exit codes: 0 every record exactly once, 1 no verdict, 2 wrong usage, 3 something was wrong."
)]
struct Arguments {
    /// How long the faults go on
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// What the schedule of faults is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=5))]
    brokers: u16,
    /// Inputs a second
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// The program under test
    #[arg(long)]
    subject: PathBuf,
    /// The program that starts and stops brokers
    #[arg(long)]
    xtask: PathBuf,
    /// Where logs and data go
    #[arg(long)]
    folder: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

const MOST_MINUTES: f64 = 24.0 * 60.0;
const WRONG: u8 = 3;
/// As a shell reports SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    start_logging(false);
    let arguments = Arguments::parse();
    if !(0.0..=MOST_MINUTES).contains(&arguments.minutes) {
        eprintln!("error: --minutes takes a number up to {MOST_MINUTES}");
        return ExitCode::from(2);
    }
    let options = Options {
        subject: arguments.subject,
        xtask: arguments.xtask,
        folder: arguments.folder,
        seed: arguments.seed,
        lasting: Duration::from_secs_f64(arguments.minutes * 60.0),
        brokers: arguments.brokers,
        records_per_second: arguments.rate,
    };
    let outcome = Signals::watch().map_err(Failure::io("watching signals")).and_then(|signals| run(&options, &signals));
    match outcome {
        Err(error @ Failure::Stalled { .. }) => {
            println!("seed {}: {error}\n\nverdict: NOT exactly once", options.seed);
            ExitCode::from(WRONG)
        }
        Err(error) => {
            eprintln!("error: no verdict for seed {}: {error}", options.seed);
            let interrupted = matches!(error, Failure::Interrupted);
            if interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
        Ok(outcome) => {
            if let Some(history) = &outcome.history {
                eprintln!("{history}");
            }
            if arguments.json {
                println!("{}", outcome.report.to_json());
            } else {
                println!("{}", outcome.report);
            }
            if outcome.report.is_right() { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
        }
    }
}
