//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a process that a second signal ended, as a shell reports SIGINT.
const ENDED_AT_ONCE: i32 = 130;

/// Observes the signals.
#[derive(Debug, Clone)]
pub struct Signals(Arc<Received>);

#[derive(Debug, Default)]
struct Received {
    first: Mutex<bool>,
    changed: Condvar,
}

impl Signals {
    /// From now on signals no longer end the process by themselves.
    pub fn watch() -> io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _within = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let received = Arc::new(Received::default());
        let seen = Arc::clone(&received);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut next = || {
                runtime.block_on(async {
                    tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
                });
            };
            next();
            *seen.first.lock().unwrap_or_else(PoisonError::into_inner) = true;
            seen.changed.notify_all();
            next();
            eprintln!("ended at once by a second signal");
            #[allow(clippy::disallowed_methods, reason = "skipping the drain is what a second signal asks for")]
            std::process::exit(ENDED_AT_ONCE);
        })?;
        Ok(Signals(received))
    }

    pub fn received(&self) -> bool {
        *self.0.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the first signal, at most so long; tells whether it came.
    pub fn wait(&self, at_most: Duration) -> bool {
        let first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(first, at_most, |received| !*received);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
