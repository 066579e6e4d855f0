//! Options that every command has: where Kafka is, and the configuration file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{AppError, Config};
use crate::kafka::Connection;

/// Where Kafka is looked for when nothing says where.
pub const DEFAULT_BOOTSTRAP_SERVERS: &str = "127.0.0.1:9092";

/// How long a command waits for a broker before it says that there is none.
pub const BROKER_DEADLINE: Duration = Duration::from_secs(8);

/// The options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Kafka's address; 127.0.0.1:9092 where neither this nor the configuration names one.
    #[arg(long, global = true, value_name = "HOST:PORT", env = "UNCHAIN_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: Option<String>,
    /// The configuration file; ./unchain.toml is read where it exists.
    #[arg(long, global = true, value_name = "FILE", env = "UNCHAIN_CONFIG")]
    pub config: Option<PathBuf>,
}

impl Options {
    /// The configuration file's content.
    pub fn config(&self) -> Result<Config, AppError> {
        Ok(Config::load(self.config.as_deref())?)
    }

    /// How Kafka is spoken to: `[kafka]` passed through, the address from the flag where it is given.
    pub fn connection(&self) -> Result<Connection, AppError> {
        self.connection_by(&self.config()?)
    }

    fn connection_by(&self, config: &Config) -> Result<Connection, AppError> {
        let configured = config.kafka.get("bootstrap.servers").cloned();
        let servers = self.bootstrap_servers.clone().or(configured);
        let connection = Connection::new(servers.unwrap_or_else(|| DEFAULT_BOOTSTRAP_SERVERS.to_owned()));
        let mut properties = config.kafka.iter().filter(|(name, _)| *name != "bootstrap.servers");
        Ok(properties.try_fold(connection, |connection, (name, value)| connection.with_property(name, value))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(flag: Option<&str>, file: &str) -> String {
        let options = Options { bootstrap_servers: flag.map(str::to_owned), config: None };
        options.connection_by(&Config::parse(file).unwrap()).unwrap().bootstrap_servers().to_owned()
    }

    #[test]
    fn what_exactly_once_stands_on_is_not_to_be_set() {
        let options = Options { bootstrap_servers: None, config: None };
        let refused =
            options.connection_by(&Config::parse("[kafka]\n\"isolation.level\" = \"read_uncommitted\"").unwrap());
        assert!(refused.unwrap_err().to_string().contains("`isolation.level` is not to be set"));
    }

    #[test]
    fn the_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "[kafka]\n\"bootstrap.servers\" = \"file:1\"";
        assert_eq!(servers(Some("flag:1"), file), "flag:1");
        assert_eq!(servers(None, file), "file:1");
        assert_eq!(servers(None, ""), DEFAULT_BOOTSTRAP_SERVERS);
    }
}
