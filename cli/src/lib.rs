//! The commands of `unchain`: those of every program, with the order pipeline's processors and contracts; a broker, a
//! producer, a demonstration, and a checker that judges the pipeline by its topics alone.

mod broker;
pub mod check;
mod command_line;
pub mod demo;
mod error;
mod experiment;
mod produce;

use std::process::ExitCode;

use clap::Parser;

pub use command_line::{CheckCommand, CommandLine};
pub use error::CliError;
use unchain::app::{self, App, start_logging};
use unchain_processors::Config;

use command_line::Command;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    start_logging(matches!(command_line.command, Command::App(app::Command::Run(_)) | Command::Broker(_)));
    match execute(&command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn execute(command_line: &CommandLine) -> Result<(), CliError> {
    let options = &command_line.options;
    let email = command_line.email()?;
    match &command_line.command {
        Command::App(command) => Ok(pipeline(&Config { email: email.unwrap_or_default() }).execute(options, command)?),
        Command::Demo(arguments) => demo::command(options, email, arguments),
        Command::Produce { command } => produce::command(options, command),
        Command::Check { command } => check::command(options, command),
        Command::Experiment { command } => experiment::command(options, command),
        Command::Bench(arguments) => Ok(unchain_workload::command(options, arguments)?),
        Command::Broker(arguments) => broker::command(arguments),
    }
}

/// The order pipeline with its contracts.
pub(crate) fn pipeline(config: &Config) -> App {
    App::new("unchain").processors(unchain_processors::processors(config)).topics(unchain_schemas::TOPICS)
}
