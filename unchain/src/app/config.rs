//! The configuration file `unchain.toml`: `[kafka]` goes to librdkafka unchanged, `[run]` to the engine, other sections
//! to whoever asks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

const DEFAULT_FILE: &str = "unchain.toml";

/// A configuration file that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("configuration file {}: {source}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("configuration file {}: {reason}", file.display())]
    Invalid { file: PathBuf, reason: String },
}

/// What the configuration file says.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// librdkafka's own properties.
    pub kafka: BTreeMap<String, String>,
    pub run: RunConfig,
    file: PathBuf,
    sections: toml::Table,
}

/// `[run]`: how processors run in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The stable name of this instance.
    pub instance: Option<String>,
    /// Workers a processor.
    pub workers: Option<usize>,
    /// The folder in which tables are kept.
    pub state_dir: Option<PathBuf>,
    /// Follow other instances' tables there.
    pub standby: Option<bool>,
    pub at_least_once: Option<bool>,
    /// KIP-848 in place of the classic group protocol.
    pub consumer_protocol: Option<bool>,
}

impl Config {
    /// Reads the file; without one named, `unchain.toml` where it exists.
    pub(crate) fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse_file(path, &text),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(source) => Err(ConfigError::Read { file: path.to_owned(), source }),
        }
    }

    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse_file(Path::new(DEFAULT_FILE), text)
    }

    fn parse_file(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let sections = text.parse::<toml::Table>().map_err(|error| invalid(file, &error))?;
        let mut config = Config { file: file.to_owned(), sections, ..Config::default() };
        config.kafka = config.properties()?;
        config.run = config.section("run")?.unwrap_or_default();
        Ok(config)
    }

    /// A section as a type; `None` where the file does not have it.
    ///
    /// # Errors
    /// What does not fit the type, with the file's name.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        let section = self.sections.get(name).cloned();
        let read = section.map(|value| value.try_into().map_err(|error| format!("[{name}]: {error}")));
        read.transpose().map_err(|reason: String| invalid(&self.file, &reason))
    }

    /// Refuses a section that nobody reads: it is a misspelt one.
    pub fn check_sections(&self, others: &[&str]) -> Result<(), ConfigError> {
        let known: Vec<&str> = ["kafka", "run"].into_iter().chain(others.iter().copied()).collect();
        match self.sections.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                Err(invalid(&self.file, &format!("there is no section [{name}]; there are: {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    fn properties(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let properties = self.section::<toml::Table>("kafka")?.unwrap_or_default();
        let text = |(name, value): (String, toml::Value)| match value {
            toml::Value::String(text) => Ok((name, text)),
            toml::Value::Integer(number) => Ok((name, number.to_string())),
            toml::Value::Float(number) => Ok((name, number.to_string())),
            toml::Value::Boolean(flag) => Ok((name, flag.to_string())),
            _ => Err(invalid(&self.file, &format!("[kafka] {name}: write a string, a number, true or false"))),
        };
        properties.into_iter().map(text).collect()
    }
}

fn invalid(file: &Path, reason: &impl ToString) -> ConfigError {
    ConfigError::Invalid { file: file.to_owned(), reason: reason.to_string().trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_kafka_pass_through_as_text() {
        let config = Config::parse("[kafka]\n\"linger.ms\" = 5\n\"check.crcs\" = true\n\"client.id\" = \"x\"").unwrap();
        let all: Vec<_> = config.kafka.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(all, [("check.crcs", "true"), ("client.id", "x"), ("linger.ms", "5")]);
    }

    #[test]
    fn what_nobody_reads_is_refused_with_what_there_is() {
        let config = Config::parse("[kafak]\na = 1").unwrap();
        let refused = config.check_sections(&["email"]).unwrap_err().to_string();
        assert!(refused.ends_with("there is no section [kafak]; there are: kafka, run, email"), "{refused}");
        let refused = Config::parse("[run]\nworker = 2").unwrap_err().to_string();
        assert!(refused.contains("[run]") && refused.contains("workers"), "{refused}");
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let missing = Config::load(Some(Path::new("no-such.toml"))).unwrap_err().to_string();
        assert!(missing.starts_with("configuration file no-such.toml: "), "{missing}");
    }
}
