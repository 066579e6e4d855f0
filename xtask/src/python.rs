//! A foreign reader: every record that the demo left on Kafka is decoded by Python's Avro and Kafka libraries.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::paths;
use crate::steps::{Outcome, Steps, output_of, run};

/// What the readers in `testkit/python/` import, pinned so that a CI run next year reads as this one.
const PACKAGES: &[&str] = &["fastavro==1.13.1", "confluent-kafka==2.16.1", "backports.zstd==1.8.0"];

/// Reads the topics of this Kafka, which the demo has filled.
pub fn step(steps: &mut Steps, kafka: Option<&str>) {
    steps.step("foreign Avro reader", |_| {
        let Some(bootstrap) = kafka else { return Ok(Outcome::Skipped("there is no Kafka".into())) };
        let Some(python) = paths::program("python3") else {
            return Ok(Outcome::Skipped("`python3` is missing (Debian's package python3-venv brings it)".into()));
        };
        let folder = paths::target().join("python");
        let mut environment = Command::new(python);
        environment.args(["-m", "venv"]).arg(&folder);
        let mut install = Command::new(folder.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]).args(PACKAGES);
        for command in [environment, install] {
            match run(command)? {
                Outcome::Passed => {}
                other => return Ok(other),
            }
        }
        let read = |script: &str, what: &OsStr| {
            let mut reader = Command::new(folder.join("bin/python"));
            reader.arg(paths::root().join("testkit/python").join(script)).arg(what);
            summary(&output_of(reader)?)
        };
        read("decode_topics.py", bootstrap.as_ref())?;
        read("read_recording.py", record(bootstrap)?.as_ref())
    });
}

/// Records what the demo left; the recording's folder.
fn record(bootstrap: &str) -> Result<PathBuf, String> {
    let folder = paths::target().join("recording-ci");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut record = Command::new(paths::target().join("release/unchain"));
    record.args(["record", "--topics", "*", "--bootstrap-servers", bootstrap, "--out"]).arg(&folder);
    match run(record)? {
        Outcome::Passed => Ok(folder),
        other => Err(format!("the demo's topics were not recorded: {other:?}")),
    }
}

/// The reader prints how many records of each topic it decoded; a reader that found nothing has checked nothing.
fn summary(printed: &[u8]) -> Result<Outcome, String> {
    let counts: BTreeMap<String, u64> = serde_json::from_slice(printed)
        .map_err(|error| format!("the reader's output is no list of counts: {error}"))?;
    for (topic, count) in &counts {
        println!("    {topic}: {count} records");
    }
    if counts.values().all(|&count| count == 0) {
        return Err("the reader found no record: the demo left nothing on Kafka".to_owned());
    }
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_read_nothing_has_checked_nothing() {
        assert_eq!(summary(br#"{ "orders.placed": 3, "empty": 0 }"#), Ok(Outcome::Passed));
        assert!(summary(br#"{ "orders.placed": 0 }"#).is_err());
        assert!(summary(b"{}").is_err());
        assert!(summary(b"done").is_err());
    }
}
