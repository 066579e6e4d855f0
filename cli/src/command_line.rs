//! The command line of `unchain`.

use clap::{Parser, Subcommand};
use serde::Deserialize;
use unchain::app::{self, AppError, Options};
use unchain_processors::mail::EmailConfig;

use crate::broker::BrokerArguments;
use crate::check::CheckArguments;
use crate::demo::DemoArguments;
use crate::experiment::ExperimentCommand;
use crate::produce::{OrdersArguments, ReferenceArguments};

/// Turns chains of synchronous calls into event streams on Apache Kafka.
#[derive(Debug, Parser)]
#[command(name = "unchain", version, after_help = app::EXIT_CODES)]
pub struct CommandLine {
    #[command(flatten)]
    pub options: Options,
    /// Where the pipeline's mails go; mbox:orders.mbox where neither this nor the configuration says.
    #[arg(long, global = true, value_name = "mbox:PATH | smtp://HOST:PORT", env = "UNCHAIN_EMAIL")]
    email: Option<EmailConfig>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay recorded orders through the pipeline and check the outcome from the topics.
    #[command(after_help = crate::demo::EXAMPLE)]
    Demo(DemoArguments),
    #[command(flatten)]
    App(app::Command),
    /// Publish an order log, or the reference data that goes with it.
    #[command(after_help = "Example:\n  unchain produce reference\n  unchain produce orders --rate 500/s")]
    Produce {
        #[command(subcommand)]
        command: ProduceCommand,
    },
    /// Judge what processors did by reading the topics.
    #[command(after_help = "Example:\n  unchain check orders --wait 60")]
    Check {
        #[command(subcommand)]
        command: CheckCommand,
    },
    /// Try out what a pipeline would change for a chain of services.
    #[command(after_help = "Example:\n  unchain experiment sync-vs-async --scenario outage")]
    Experiment {
        #[command(subcommand)]
        command: ExperimentCommand,
    },
    /// Measure throughput and latency, search for the highest rate, compare results.
    #[command(after_help = unchain_workload::EXAMPLE)]
    Bench(Box<unchain_workload::BenchArguments>),
    /// Run the development broker until SIGINT or SIGTERM.
    #[command(after_help = "Example:\n  unchain broker --listen 127.0.0.1:9092 --data-dir broker-data")]
    Broker(BrokerArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProduceCommand {
    /// Publish the orders of a log, oldest first.
    #[command(after_help = "Example:\n  unchain produce orders --from orders.avro --rate 500/s")]
    Orders(OrdersArguments),
    /// Publish one account for each customer of a log, and the catalogue.
    #[command(after_help = "Example:\n  unchain produce reference --from orders.avro")]
    Reference(ReferenceArguments),
}

/// What to check.
#[derive(Debug, Subcommand)]
pub enum CheckCommand {
    /// Every order has exactly one outcome, one mail and one sale, and tables and totals are right.
    #[command(after_help = "Example:\n  unchain check orders --orders 2000 --wait 60 --json\n\n\
        Exit code 3 says that the verdict failed. `seconds` and `records_per_second` are those of the reading.")]
    Orders(CheckArguments),
}

/// `[email]` of the configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailSection {
    transport: EmailConfig,
}

impl CommandLine {
    /// How mails are sent, where the command line or the configuration file says.
    pub(crate) fn email(&self) -> Result<Option<EmailConfig>, AppError> {
        let config = self.options.config()?;
        config.check_sections(&["email"])?;
        let configured = config.section::<EmailSection>("email")?.map(|section| section.transport);
        Ok(self.email.clone().or(configured))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example"), "{} shows no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        CommandLine::command().get_subcommands().for_each(check);
    }
}
