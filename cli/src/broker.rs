//! `broker`: the development broker as a process of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use unchain::app::{AppError, Signals};
use unchain_broker::{Broker, BrokerConfig};

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
    /// End as well once standard input is closed: whoever started the broker has ended then, however that came.
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
    let stdin_closed = arguments.end_with_stdin.then(watch_stdin);
    while !signals.wait(if stdin_closed.is_some() { STDIN_STEP } else { SIGNAL_STEP }) {
        if stdin_closed.as_ref().is_some_and(|closed| closed.load(Ordering::Acquire)) {
            break;
        }
    }
    broker.stop();
    Ok(())
}

/// A signal wakes the wait; this is how often it begins again.
const SIGNAL_STEP: Duration = Duration::from_secs(60);
/// A closed standard input is seen within this.
const STDIN_STEP: Duration = Duration::from_millis(50);

fn watch_stdin() -> Arc<AtomicBool> {
    let closed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&closed);
    let read = move || {
        // An error says the same as an end: nobody is there.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        seen.store(true, Ordering::Release);
    };
    if std::thread::Builder::new().name("stdin".to_owned()).spawn(read).is_err() {
        closed.store(true, Ordering::Release);
    }
    closed
}
