//! `cargo xtask docs`: README.md shows no command of cargo that CI does not run; `cli/tests/readme.rs` runs unchain's.

use std::fs;

use crate::paths;
use crate::steps::{Outcome, Steps};

/// README's commands, each with the step of `cargo xtask ci` that runs it, or the reason why none can.
const COMMANDS: &[(&str, &str)] = &[
    ("cargo run --release -- demo", "the steps `demo` run it, built by `release build`"),
    ("cargo test --workspace", "the step `tests` runs it"),
    ("cargo xtask check", "CI runs it as a part of the next"),
    ("cargo xtask ci", "CI is this command"),
    ("cargo xtask kafka start", "the step `Apache Kafka` runs it"),
    ("cargo xtask kafka stop", "the step `end of Apache Kafka` runs it"),
];

pub fn step(steps: &mut Steps) {
    steps.step("README's commands", |_| {
        let path = paths::root().join("README.md");
        let readme = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let unknown =
            commands(&readme).into_iter().filter(|(_, shown)| !COMMANDS.iter().any(|(known, _)| known == shown));
        let unknown: Vec<String> = unknown.map(|(line, shown)| format!("README.md:{line}: `{shown}`")).collect();
        if unknown.is_empty() {
            return Ok(Outcome::Passed);
        }
        Err(format!("CI does not run {}: say in COMMANDS of xtask/src/docs.rs which step does", unknown.join(", ")))
    });
}

/// The commands of cargo in the blocks marked `sh`, with their line numbers, comments and indents removed.
fn commands(readme: &str) -> Vec<(usize, String)> {
    let mut within = false;
    let mut found = Vec::new();
    for (index, line) in readme.lines().enumerate() {
        if let Some(mark) = line.trim_start().strip_prefix("```") {
            within = mark.trim() == "sh";
        } else if within {
            let command = line.split(" #").next().unwrap_or_default().trim().trim_start_matches("$ ");
            if command.starts_with("cargo ") {
                found.push((index + 1, command.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_in_shell_blocks() {
        let readme = "```sh\ncargo run # at once\n\n  cargo test\nls\n```\ncargo in prose\n```rust\ncargo no\n```\n";
        assert_eq!(commands(readme), [(2, "cargo run".to_owned()), (4, "cargo test".to_owned())]);
    }
}
