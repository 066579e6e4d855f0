//! The program's log: on stderr, filtered by `UNCHAIN_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log. A service tells of its work; other commands speak of trouble only.
///
/// `UNCHAIN_LOG` overrules, for example `UNCHAIN_LOG=unchain=debug`. A second call changes nothing.
pub fn start_logging(service: bool) {
    let default = if service { "info" } else { "warn" };
    let filter = std::env::var("UNCHAIN_LOG").unwrap_or_else(|_| default.to_owned());
    let ansi = std::io::stderr().is_terminal();
    let log =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr).with_ansi(ansi);
    // Refused only where the program has set up a log of its own, which is then the one to keep.
    let _ = log.try_init();
}
