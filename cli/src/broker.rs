//! `broker`: the development broker as a process of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use unchain::app::{AppError, Signals};
use unchain_broker::{Broker, BrokerConfig, StartError};

use crate::CliError;

/// How to run the broker.
#[derive(Debug, Clone, Args)]
pub(crate) struct BrokerArguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    listen: String,
    /// Where records and metadata are kept; in memory where it is not given.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// End when standard input closes: for whoever starts the broker and must not leave it behind.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

pub(crate) fn command(arguments: &BrokerArguments) -> Result<(), CliError> {
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let config = BrokerConfig {
        listen: arguments.listen.clone(),
        data_dir: arguments.data_dir.clone(),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config)?;
    // The one line on stdout: whoever started the process waits for it.
    println!("{}", broker.bootstrap_servers());
    tracing::info!(address = broker.bootstrap_servers(), "the development broker is ready");
    if arguments.end_with_stdin {
        std::thread::Builder::new().name("parent".to_owned()).spawn(end_with_stdin).map_err(StartError::Thread)?;
    }
    while !signals.wait(Duration::from_secs(60)) {}
    broker.stop();
    Ok(())
}

fn end_with_stdin() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    #[allow(clippy::disallowed_methods, reason = "nobody is left who could use an orderly end")]
    std::process::exit(1);
}
