//! The machine that a measurement was taken on, in a few facts and without names.

use std::fs;

use serde::{Deserialize, Serialize};

/// What a reader must know to compare figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub memory_gib: u64,
    pub processor: String,
    pub kernel: String,
    /// Programs and libraries with their versions, in the order in which they were added.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    pub fn here() -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let memory_gib = kib.unwrap_or(0).div_ceil(1024 * 1024);
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // What comes behind the version is the name of somebody's build.
        let kernel = release.trim().split('-').next().unwrap_or_default().to_owned();
        Machine { cores, memory_gib, processor, kernel, versions: Vec::new() }
    }

    /// Notes the version of something that took part.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, version: impl Into<String>) -> Machine {
        self.versions.push((name.into(), version.into()));
        self
    }

    /// All of it in one line.
    pub fn summary(&self) -> String {
        let Machine { cores, memory_gib, processor, kernel, .. } = self;
        let mut line = format!("{cores} cores ({processor}), {memory_gib} GiB of memory, Linux {kernel}");
        for (name, version) in &self.versions {
            line.push_str(&format!(", {name} {version}"));
        }
        line
    }
}

/// The value of a line `name : value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_memory_and_a_summary_names_versions() {
        let machine = Machine::here().with("Apache Kafka", "4.1.0");
        assert!(machine.cores > 0 && machine.memory_gib > 0, "{machine:?}");
        assert!(machine.summary().ends_with("Apache Kafka 4.1.0"), "{}", machine.summary());
    }
}
