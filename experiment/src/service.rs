//! One service as a process of its own: what it is to be comes from a file, changes of it over standard input.

use std::io::{BufRead, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use unchain::app::Options;

use crate::chain::{self, HopSpec};
use crate::error::ServiceError;
use crate::pipeline::{self, RunName};
use crate::settings::Settings;
use crate::step::Step;
use crate::work::Work;

/// What a service is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub settings: Settings,
    pub role: Role,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Role {
    /// A service of the synchronous chain.
    Hop(HopSpec),
    /// The pipeline's front.
    Front { listen: String, run: RunName },
    /// A processor of the pipeline.
    Processor { step: Step, run: RunName },
}

/// Runs the service that a file describes, until SIGTERM or until its parent is gone.
pub fn run_service(options: &Options, file: &Path) -> Result<(), ServiceError> {
    let spec = |reason: String| ServiceError::Spec { file: file.to_owned(), reason };
    let text = std::fs::read_to_string(file).map_err(|error| spec(error.to_string()))?;
    let ServiceSpec { settings, role } = serde_json::from_str(&text).map_err(|error| spec(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServiceError::Runtime)?;
    // Both sides draw their service times from the same seeds.
    let work_of = |step: Step| Work::new(settings.of(step), 100 + step.index() as u64);
    match &role {
        Role::Hop(hop) => {
            let work = work_of(hop.step);
            obey(Some(work.clone()));
            runtime.block_on(chain::serve(hop, &settings.chain, work, settings.of(hop.step).concurrency))
        }
        Role::Front { listen, run } => {
            obey(None);
            runtime.block_on(pipeline::serve(listen, &options.connection()?, run, &settings.pipeline))
        }
        Role::Processor { step, run } => {
            let work = work_of(*step);
            obey(Some(work.clone()));
            pipeline::run(&options.connection()?, *step, run, &settings.pipeline, work)
        }
    }
}

/// The line that changes how long the work takes.
pub fn service_time_line(service_time_ms: u64) -> String {
    format!("service-time-ms {service_time_ms}")
}

/// Says that the service is ready: the one line on stdout, which whoever started it waits for.
pub fn say_ready() {
    let mut stdout = std::io::stdout();
    // Where nobody reads it any more, the closed standard input ends the process as well.
    let _ = writeln!(stdout, "ready").and_then(|()| stdout.flush());
}

/// Follows the parent's lines, and ends the process when the parent is gone, however that ended.
fn obey(work: Option<Work>) {
    let follow = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let time_ms = line.strip_prefix("service-time-ms ").and_then(|number| number.parse().ok());
            match (time_ms, &work) {
                (Some(time_ms), Some(work)) => work.set_service_time_ms(time_ms),
                _ => tracing::warn!(line, "not understood"),
            }
        }
        #[allow(clippy::disallowed_methods, reason = "nobody is left who could use an orderly end")]
        std::process::exit(1);
    };
    drop(std::thread::Builder::new().name("parent".to_owned()).spawn(follow));
}
