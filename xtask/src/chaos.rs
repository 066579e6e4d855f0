//! `cargo xtask chaos`: builds the checker and the program under test, and lets faults come over them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::paths;

mod mutation;

/// What to run, and how long.
#[derive(Args)]
pub struct Chaos {
    /// How long the faults go on
    #[arg(long, default_value = "5")]
    minutes: String,
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

pub fn run(chaos: &Chaos) -> Result<(), String> {
    let folder = paths::target().join(FOLDER);
    build(paths::root(), &["chaos", "subject"], chaos.release)?;
    let profile = if chaos.release { "release" } else { "debug" };
    let built = |name: &str| paths::target().join(profile).join(name);
    let subject = match &chaos.mutation {
        None => built("subject"),
        Some(name) => mutated(name, &folder, &built("subject"), chaos.release)?,
    };
    let mut checker = Command::new(built("chaos"));
    checker.args(["--minutes", &chaos.minutes, "--seed", &chaos.seed.to_string()]);
    checker.args(["--brokers", &chaos.brokers.to_string()]).arg("--subject").arg(subject).arg("--folder").arg(&folder);
    checker.arg("--xtask").arg(std::env::current_exe().map_err(|error| error.to_string())?);
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

/// Builds the program under test from a broken copy of the sources.
fn mutated(name: &str, folder: &Path, built: &Path, release: bool) -> Result<PathBuf, String> {
    let copy = folder.join("mutated").join(name);
    mutation::plant(name, paths::root(), &copy)?;
    build(&copy, &["subject"], release)?;
    // Both builds leave their program in the same place: this one is taken away, so that the next unbroken one is not it.
    let subject = copy.join("subject");
    std::fs::copy(built, &subject).map_err(|error| format!("{}: {error}", built.display()))?;
    build(paths::root(), &["subject"], release)?;
    Ok(subject)
}

fn build(root: &Path, programs: &[&str], release: bool) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--package", "unchain-chaos"]).current_dir(root);
    cargo.env("CARGO_TARGET_DIR", paths::target());
    cargo.args(programs.iter().flat_map(|program| ["--bin", program]));
    if release {
        cargo.arg("--release");
    }
    let status = cargo.stdin(Stdio::null()).status().map_err(|error| format!("cargo does not run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("building {} failed ({status})", programs.join(" and "))) }
}
