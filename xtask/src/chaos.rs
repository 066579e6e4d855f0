//! `cargo xtask chaos`: builds the checker and the program under test, and lets faults come over them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;

use crate::kafka::{KafkaError, Libraries};
use crate::paths;
use crate::steps::{Outcome, Steps};

mod mutation;

/// What to run, and how long.
#[derive(Args)]
pub struct Chaos {
    /// How long the faults go on
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// What the schedule of faults is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=5))]
    brokers: u16,
    /// Inputs a second [default: the checker's]
    #[arg(long)]
    rate: Option<u32>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Break the program under test in this way first; then the checker is to find it
    #[arg(long, value_parser = mutation::NAMES)]
    mutation: Option<String>,
    /// Build the program under test in release; the default is the development profile
    #[arg(long)]
    release: bool,
}

/// The checker's exit code where something was wrong.
const WRONG: i32 = 3;

/// Where the checker's brokers and processes have their files, in the target folder.
pub const FOLDER: &str = "chaos";

/// The short run of CI: half a minute of faults, always the same ones.
pub fn step(steps: &mut Steps) {
    steps.step("chaos", |_| {
        match Libraries::fetch() {
            Err(error @ (KafkaError::Missing { .. } | KafkaError::OldJava { .. })) => {
                return Ok(Outcome::Skipped(error.to_string()));
            }
            fetched => fetched.map(drop).map_err(|error| error.to_string())?,
        }
        let (minutes, seed, brokers) = (0.5, 1, 3);
        run(&Chaos { minutes, seed, brokers, rate: None, json: false, mutation: None, release: false })
            .map(|()| Outcome::Passed)
    });
}

pub fn run(chaos: &Chaos) -> Result<(), String> {
    let folder = paths::target().join(FOLDER);
    let source = match &chaos.mutation {
        None => paths::root().to_owned(),
        Some(name) => {
            let copy = folder.join("mutated").join(name);
            mutation::plant(name, paths::root(), &copy)?;
            copy
        }
    };
    let programs = folder.join("programs");
    build(paths::root(), "chaos", chaos.release, &programs)?;
    build(&source, "subject", chaos.release, &programs)?;
    let xtask = std::env::current_exe().map_err(|error| error.to_string())?;
    take(&xtask, &programs.join("xtask"))?;

    let mut checker = Command::new(programs.join("chaos"));
    checker.args(["--minutes", &chaos.minutes.to_string(), "--seed", &chaos.seed.to_string()]);
    checker.args(["--brokers", &chaos.brokers.to_string()]).arg("--folder").arg(&folder);
    checker.arg("--subject").arg(programs.join("subject")).arg("--xtask").arg(programs.join("xtask"));
    if let Some(rate) = chaos.rate {
        checker.args(["--rate", &rate.to_string()]);
    }
    if chaos.json {
        checker.arg("--json");
    }
    // It ends its brokers and processes by itself, interrupted as well: a signal from the terminal reaches both of us.
    let status = checker.stdin(Stdio::null()).status().map_err(|error| format!("the checker does not run: {error}"))?;
    match (&chaos.mutation, status.code()) {
        (None, Some(0)) => Ok(()),
        (None, Some(WRONG)) => Err(format!("not exactly once with seed {}", chaos.seed)),
        (Some(name), Some(WRONG)) => {
            println!("the planted bug `{name}` was found");
            Ok(())
        }
        (Some(name), Some(0)) => Err(format!("the planted bug `{name}` was not found")),
        _ => Err(format!("the checker came to no verdict ({status})")),
    }
}

/// Builds a program and takes it away from where cargo leaves it: a build beside the run, or of broken sources, changes
/// what lies there.
fn build(source: &Path, program: &str, release: bool, to: &Path) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "unchain-chaos", "--bin", program]).current_dir(source);
    cargo.env("CARGO_TARGET_DIR", paths::target());
    // A broken copy has versions of its own, which its lock file is to take in.
    cargo.arg(if source == paths::root() { "--locked" } else { "--offline" });
    if release {
        cargo.arg("--release");
    }
    let status = cargo.stdin(Stdio::null()).status().map_err(|error| format!("cargo does not run: {error}"))?;
    if !status.success() {
        return Err(format!("building `{program}` failed ({status})"));
    }
    let profile = if release { "release" } else { "debug" };
    take(&paths::target().join(profile).join(program), &to.join(program))
}

fn take(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let folder = to.parent().expect("a file has a folder");
    fs::create_dir_all(folder).map_err(failed(folder))?;
    // A program that still runs cannot be written over, but it can be replaced.
    let _ = fs::remove_file(to);
    fs::copy(from, to).map(drop).map_err(failed(from))
}
