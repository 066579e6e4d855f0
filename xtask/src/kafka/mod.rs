//! `cargo xtask kafka`: a real Apache Kafka (KRaft, one or several brokers) on loopback, begun and ended by process id.

mod cluster;
mod error;
mod libraries;
mod process;
mod readiness;
mod settings;

use std::path::PathBuf;

use clap::Subcommand;

pub use cluster::Cluster;
pub use error::KafkaError;
pub use libraries::Libraries;

use crate::paths;

#[derive(Subcommand)]
pub enum Command {
    /// Starts the brokers, waits until they answer, and prints their bootstrap address
    Start {
        /// How many brokers; topics are replicated three times from three brokers on
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9))]
        brokers: u16,
        /// The first broker's port; each broker takes two. 0 finds free ones
        #[arg(long, default_value_t = 29092)]
        port: u16,
        /// Where settings, data and logs lie [default: target/kafka]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Starts what `stop --keep-data` stopped: the same brokers, ports and data
        #[arg(long, conflicts_with_all = ["brokers", "port"])]
        keep_data: bool,
        /// With --keep-data: only the broker of this number, beside those that run
        #[arg(long, requires = "keep_data")]
        broker: Option<u16>,
        /// Gives each broker a listener PROXIED as well, whose clients are sent to the port after the listener's own, where
        /// the caller runs a proxy; each broker then takes four ports
        #[arg(long, conflicts_with = "keep_data")]
        proxied: bool,
    },
    /// Ends the brokers that `start` began, by their process ids
    Stop {
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Leaves the data, for `start --keep-data`
        #[arg(long)]
        keep_data: bool,
        /// Ends them at once, as a crash would, in place of a controlled shutdown
        #[arg(long)]
        kill: bool,
        /// Only the broker of this number; its data stay
        #[arg(long)]
        broker: Option<u16>,
    },
    /// Runs one of Kafka's own tools, such as org.apache.kafka.tools.TopicCommand
    Tool {
        class: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Carries out one command; `start` prints the bootstrap address alone on standard output.
pub fn run(command: Command) -> Result<(), KafkaError> {
    let dir = |named: Option<PathBuf>| named.unwrap_or_else(|| paths::target().join("kafka"));
    match command {
        Command::Start { dir: named, keep_data: true, broker: Some(broker), .. } => {
            println!("{}", Cluster::at(&dir(named)).restart_one(&Libraries::fetch()?, broker)?);
        }
        Command::Start { dir: named, keep_data: true, .. } => {
            println!("{}", Cluster::at(&dir(named)).restart(&Libraries::fetch()?)?);
        }
        Command::Start { brokers, port, dir: named, proxied, .. } => {
            let (cluster, libraries) = (Cluster::at(&dir(named)), Libraries::fetch()?);
            let start = if proxied { Cluster::start_proxied } else { Cluster::start };
            println!("{}", start(&cluster, &libraries, brokers, port)?);
        }
        Command::Stop { dir: named, kill, broker: Some(broker), .. } => {
            Cluster::at(&dir(named)).stop_one(broker, kill)?;
        }
        Command::Stop { dir: named, keep_data, kill, broker: None } => {
            Cluster::at(&dir(named)).stop(keep_data, kill)?
        }
        Command::Tool { class, arguments } => Libraries::fetch()?.tool(&class, &arguments)?,
    }
    Ok(())
}
