//! What a user's own program gets: the commands that run, provision, draw and read its processors and topics.
//!
//! ```no_run
//! # use unchain::process::Processor;
//! # fn processors() -> Vec<Processor> { Vec::new() }
//! fn main() -> std::process::ExitCode {
//!     unchain::app::App::new("pricing").processors(processors()).topics(&[]).main()
//! }
//! ```
//!
//! A program with commands of its own flattens [`Options`] and [`Command`] into its clap parser and calls
//! [`App::execute`].

mod config;
mod consume;
mod error;
mod graph;
mod logging;
mod moment;
mod options;
mod patterns;
mod progress;
mod record;
mod run;
mod signals;
mod topics;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::contract::{Topic, system};
use crate::process::Processor;

pub use config::{Config, ConfigError};
pub use consume::ConsumeArguments;
pub use error::{AppError, exit_code};
pub use graph::GraphArguments;
pub use logging::start_logging;
pub use moment::Moment;
pub use options::{BROKER_DEADLINE, DEFAULT_BOOTSTRAP_SERVERS, Options};
pub use patterns::{NamePatterns, NoMatch};
pub use record::RecordArguments;
pub use run::RunArguments;
pub use signals::Signals;
pub use topics::TopicsCommand;

/// A program's processors and topics, with the commands on them.
pub struct App {
    name: &'static str,
    processors: Vec<Processor>,
    topics: Vec<&'static Topic>,
}

/// The commands that every program has.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run processors until SIGINT or SIGTERM, which drains them; a second one ends the program at once.
    #[command(after_help = "Example:\n  run verification payment --instance pod-1\n  run --list")]
    Run(RunArguments),
    /// Create the topics and schemas of the contracts, or list them.
    #[command(after_help = "Example:\n  topics apply\n  topics list --json")]
    Topics {
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// Draw the processors and the topics between them.
    #[command(after_help = "Example:\n  graph\n  graph --format mermaid")]
    Graph(GraphArguments),
    /// Read a topic: one JSON object a line, with Avro values as JSON.
    #[command(after_help = consume::EXAMPLE)]
    Consume(ConsumeArguments),
    /// Record topics into a folder of Avro files.
    #[command(after_help = record::EXAMPLE)]
    Record(RecordArguments),
}

/// The command line of a program that has no commands of its own.
#[derive(Debug, Parser)]
#[command(after_help = EXIT_CODES)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What a program's exit code says, for its help.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check's verdict failed.\n\
    Settings come from unchain.toml, UNCHAIN_* variables and flags; the later wins. UNCHAIN_LOG filters the log.";

impl App {
    pub fn new(name: &'static str) -> App {
        App { name, processors: Vec::new(), topics: system::TOPICS.to_vec() }
    }

    /// Adds processors, in the order in which lists and graphs show them.
    pub fn processors(mut self, processors: impl IntoIterator<Item = Processor>) -> App {
        self.processors.extend(processors);
        self
    }

    /// Adds the topics that `topics apply` creates, beside those that the processors name.
    pub fn topics(mut self, topics: &[&'static Topic]) -> App {
        self.topics.extend_from_slice(topics);
        self
    }

    /// Reads the command line and does what it says.
    pub fn main(self) -> ExitCode {
        let options = match self.parse(std::env::args_os()) {
            Ok(command_line) => command_line,
            Err(error) => error.exit(),
        };
        start_logging(matches!(options.command, Command::Run(_)));
        exit_code(self.execute(&options.options, &options.command))
    }

    fn parse(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
        let matches = CommandLine::command().name(self.name).try_get_matches_from(arguments)?;
        CommandLine::from_arg_matches(&matches)
    }

    /// Does what one of the commands says.
    ///
    /// # Errors
    /// [`AppError`], whose `exit_code` tells wrong usage from failure.
    pub fn execute(&self, options: &Options, command: &Command) -> Result<(), AppError> {
        match command {
            Command::Run(arguments) => run::run(&self.processors, options, arguments),
            Command::Topics { command } => topics::topics(&self.all_topics(), options, command),
            Command::Graph(arguments) => graph::graph(&self.processors, arguments),
            Command::Consume(arguments) => consume::consume(options, arguments),
            Command::Record(arguments) => record::record_topics(options, arguments),
        }
    }

    /// The topics given, those that the processors name, and those that unchain itself writes; each once, by name.
    pub fn all_topics(&self) -> Vec<&'static Topic> {
        let declared = self.processors.iter().flat_map(|processor| processor.declaration().topics());
        let mut all: Vec<_> = self.topics.iter().copied().chain(declared).collect();
        all.sort_by_key(|topic| topic.name);
        all.dedup_by_key(|topic| topic.name);
        all
    }
}

/// Prints results as JSON, for programs.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonFlag {
    /// Print the result as JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<CommandLine, clap::Error> {
        let all = std::iter::once("app").chain(arguments.iter().copied());
        App::new("app").parse(all.map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        for arguments in [["--bootstrap-servers", "b:1", "graph"], ["graph", "--bootstrap-servers", "b:1"]] {
            assert_eq!(parse(&arguments).unwrap().options.bootstrap_servers.as_deref(), Some("b:1"));
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in CommandLine::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example"), "{} shows no example", command.get_name());
        }
    }

    #[test]
    fn dead_letters_belong_to_every_program() {
        let names: Vec<_> = App::new("app").all_topics().iter().map(|topic| topic.name).collect();
        assert_eq!(names, ["unchain.dead-letters"]);
    }
}
