//! The steps of a chore: run one after the other, timed, and summed up in one table at the end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::paths;

#[derive(Debug, PartialEq)]
pub enum Outcome {
    Passed,
    /// Left out, for this reason; in CI that counts as a failure.
    Skipped(String),
    Failed(String),
}

#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration, Outcome)>,
    unchecked: Vec<String>,
    tests: TestCount,
}

impl Steps {
    /// Runs a step, says how it went, and returns whether it passed; the steps after it are the caller's decision.
    pub fn step(&mut self, name: &str, work: impl FnOnce(&mut TestCount) -> Result<Outcome, String>) -> bool {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = match work(&mut self.tests).unwrap_or_else(Outcome::Failed) {
            Outcome::Skipped(reason) if paths::in_ci() => Outcome::Failed(format!("left out in CI: {reason}")),
            outcome => outcome,
        };
        match &outcome {
            Outcome::Passed => {}
            Outcome::Skipped(reason) => println!("skipped: {reason}"),
            Outcome::Failed(reason) => eprintln!("failed: {reason}"),
        }
        let passed = !matches!(outcome, Outcome::Failed(_));
        self.done.push((name.to_owned(), started.elapsed(), outcome));
        passed
    }

    /// A step that is one cargo command.
    pub fn cargo(&mut self, name: &str, arguments: &[&str]) -> bool {
        self.step(name, |_| run(cargo(arguments)))
    }

    /// Says at the end what no step looks at, so that nobody takes it for checked.
    pub fn not_checked(&mut self, what: &str) {
        self.unchecked.push(what.to_owned());
    }

    /// Prints the table; an error where a step failed.
    pub fn finish(self) -> Result<(), String> {
        println!("\n{:<28} {:>9}  outcome", "step", "time");
        for (name, time, outcome) in &self.done {
            let outcome = match outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Skipped(reason) => format!("skipped: {reason}"),
                Outcome::Failed(reason) => format!("FAILED: {}", reason.lines().next().unwrap_or_default()),
            };
            println!("{name:<28} {:>7.1} s  {outcome}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        println!("{:<28} {:>7.1} s", "total", total.as_secs_f64());
        for what in &self.unchecked {
            println!("not checked: {what}");
        }
        // The tests' own count comes last, whole: it is what readers of a CI log look for.
        if let TestCount { binaries: 1.., passed, failed, ignored } = self.tests {
            println!("tests: {passed} passed, {failed} failed, {ignored} skipped");
        }
        let failed = self.done.iter().filter(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_)));
        let failed: Vec<&str> = failed.map(|(name, _, _)| name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("{} failed", failed.join(", "))) }
    }
}

/// What the test programs' closing lines sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TestCount {
    pub binaries: u32,
    pub passed: u32,
    pub failed: u32,
    pub ignored: u32,
}

impl TestCount {
    /// Adds `test result: ok. 3 passed; 0 failed; 1 ignored; ...`; other lines add nothing.
    pub fn add_line(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        self.binaries += 1;
        for count in counts.split(';') {
            match count.trim().split_once(' ').map(|(number, what)| (number.parse::<u32>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// The cargo that runs this program, at the checkout's root.
pub fn cargo<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(paths::root());
    cargo
}

/// Runs a command on this terminal, without input.
pub fn run(mut command: Command) -> Result<Outcome, String> {
    let line = show(&command);
    println!("    {line}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{line}: {error}"))?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("{line}: {status}")) })
}

/// Runs a command whose standard output is shown line by line and handed to `look` as well.
pub fn run_watched(mut command: Command, mut look: impl FnMut(&str)) -> Result<Outcome, String> {
    let line = show(&command);
    println!("    {line}");
    let failed = |error: std::io::Error| format!("{line}: {error}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let output = child.stdout.take().expect("its output is piped");
    for printed in BufReader::new(output).split(b'\n') {
        let printed = printed.map_err(failed)?;
        let printed = String::from_utf8_lossy(&printed);
        // A closed standard output of ours ends nothing: the exit code still tells.
        let _ = writeln!(std::io::stdout(), "{printed}");
        look(&printed);
    }
    let status = child.wait().map_err(failed)?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("{line}: {status}")) })
}

/// Runs a command and returns what it printed on standard output.
pub fn output_of(mut command: Command) -> Result<Vec<u8>, String> {
    let line = show(&command);
    println!("    {line}");
    let failed = |error: std::io::Error| format!("{line}: {error}");
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(failed)?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{line}: {}", output.status)) }
}

fn show(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_all_test_programs_add_up() {
        let mut count = TestCount::default();
        count.add_line("running 4 tests");
        count.add_line("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s");
        count
            .add_line("test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9s");
        assert_eq!(count, TestCount { binaries: 2, passed: 8, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_failed_step_fails_the_chore_and_is_named() {
        let mut steps = Steps::default();
        assert!(steps.step("good", |_| Ok(Outcome::Passed)));
        assert!(!steps.step("bad", |_| Err("broken".into())));
        assert_eq!(steps.finish(), Err("bad failed".to_owned()));
    }

    #[test]
    fn a_command_that_fails_is_an_outcome_and_one_that_is_missing_an_error() {
        assert!(matches!(run(Command::new("false")), Ok(Outcome::Failed(_))));
        assert!(run(Command::new("no-program-has-this-name")).is_err());
    }

    #[test]
    fn a_watched_command_hands_over_its_lines() {
        let mut echo = Command::new("printf");
        echo.arg("one\\ntwo\\n");
        let mut seen = Vec::new();
        assert_eq!(run_watched(echo, |line| seen.push(line.to_owned())), Ok(Outcome::Passed));
        assert_eq!(seen, ["one", "two"]);
    }
}
