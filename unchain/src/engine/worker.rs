//! A worker: a thread that lives through sessions, each with a consumer and its producers, until it is told to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::session::Session;
use super::shutdown::Shutdown;
use super::standby::Standby;
use super::{EngineError, EngineSettings, ProcessorStats};
use crate::contract::SchemaRegistry;
use crate::kafka::{Connection, ErrorKind};
use crate::process::{FailurePolicy, Processor};
use crate::table::{AnyLookup, Stores};

/// What a worker is started with.
pub(crate) struct Worker {
    pub(crate) connection: Connection,
    pub(crate) registry: Arc<dyn SchemaRegistry>,
    pub(crate) processor: Processor,
    pub(crate) lookups: Vec<Arc<dyn AnyLookup>>,
    pub(crate) settings: EngineSettings,
    /// Where tables are kept, shared by the process's workers.
    pub(crate) stores: Stores,
    pub(crate) standby: Standby,
    /// Unique among the processor's workers; stable over restarts where the instance has a name.
    pub(crate) transactional_id: String,
    /// The member's name for static membership.
    pub(crate) member: Option<String>,
    pub(crate) policy: Box<dyn FailurePolicy>,
    pub(crate) stats: Arc<ProcessorStats>,
    /// The worker's number among those of its processor in this process.
    pub(crate) index: usize,
    pub(crate) shutdown: Shutdown,
}

/// A session that lasted this long counts as a success: the next failure is the first again.
const HEALTHY_SESSION: Duration = Duration::from_secs(30);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

impl Worker {
    /// Works until the shutdown. A session that fails is followed by another, built from the last commit.
    pub(crate) fn run(mut self) -> Result<(), EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| EngineError::Thread { reason: error.to_string() })?;
        let result = runtime.block_on(self.sessions());
        // A handler's blocking task must not hold the end up.
        runtime.shutdown_background();
        result
    }

    async fn sessions(&mut self) -> Result<(), EngineError> {
        let mut failures = 0;
        while !self.shutdown.is_signalled() {
            let started = Instant::now();
            let Err(error) = Session::run(self).await else { return Ok(()) };
            failures = if started.elapsed() > HEALTHY_SESSION { 1 } else { failures + 1 };
            let error = self.give_up(error, failures);
            if error.kind() == ErrorKind::Stop {
                tracing::error!(processor = self.processor.name(), %error, "the worker has ended");
                self.stats.set_failed();
                return Err(error);
            }
            self.stats.add_rebuild();
            let backoff = backoff(failures);
            tracing::warn!(processor = self.processor.name(), %error, backoff_ms = backoff.as_millis(),
                "the worker is built anew from the last commit");
            self.shutdown.pause(backoff).await;
        }
        Ok(())
    }

    /// A worker that is fenced again and again has a twin: the two would end each other's work for ever.
    fn give_up(&self, error: EngineError, failures: u32) -> EngineError {
        let is_fenced = error.kind() == ErrorKind::Fenced;
        match &self.settings.instance {
            Some(instance) if is_fenced && failures > self.settings.max_fencings => EngineError::Twin {
                processor: self.processor.name(),
                instance: instance.clone(),
                reason: error.to_string(),
            },
            _ => error,
        }
    }
}

/// The pause after so many failures in a row.
pub(crate) fn backoff(failures: u32) -> Duration {
    Duration::from_millis(20).saturating_mul(2_u32.saturating_pow(failures.min(10))).min(MAX_BACKOFF)
}
