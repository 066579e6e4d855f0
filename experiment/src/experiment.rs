//! All runs of an experiment, one after the other, on one cluster that is left as it was.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use unchain::app::{BROKER_DEADLINE, Options, Signals};

use crate::child::Program;
use crate::error::ExperimentError;
use crate::pipeline::{Broker, Cleanup};
use crate::run::{Run, Stage};
use crate::scenario::Scenario;
use crate::settings::Settings;
use crate::side::Kind;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Request {
    pub scenarios: Vec<Scenario>,
    pub sides: Vec<Kind>,
    pub settings: Settings,
    /// This program: its `experiment service` and `broker` commands are the processes of the experiment.
    pub executable: PathBuf,
    /// The process whose CPU time is the broker's, where it runs on this machine.
    pub broker_id: Option<u32>,
}

/// Where the pipeline's topics were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterKind {
    Development,
    Named,
}

/// Runs every scenario with every side. `progress` is told which run begins.
///
/// # Errors
/// What keeps a run from being made. Processes, topics and files of the experiment are gone then as well.
pub fn experiment(
    request: &Request,
    options: &Options,
    signals: &Signals,
    mut progress: impl FnMut(Scenario, Kind),
) -> Result<(Vec<Run>, ClusterKind), ExperimentError> {
    let folder = tempfile::Builder::new().prefix("unchain-experiment-").tempdir();
    let folder = folder.map_err(ExperimentError::file(std::env::temp_dir()))?;
    let needs_cluster = request.sides.contains(&Kind::Pipeline);
    let cluster_kind = if options.bootstrap_servers.is_some() { ClusterKind::Named } else { ClusterKind::Development };
    let broker = match cluster_kind {
        ClusterKind::Development if needs_cluster => Some(own_broker(request, options, folder.path())?),
        _ => None,
    };
    let mut options = options.clone();
    if let Some(broker) = &broker {
        options.bootstrap_servers = Some(broker.address().to_owned());
    }
    let connection = options.connection()?;
    if needs_cluster {
        connection.topics(BROKER_DEADLINE)?;
    }
    let broker_id = request.broker_id.or(broker.as_ref().map(Broker::id));
    let stage = Stage {
        settings: &request.settings,
        program: &program(request, &options),
        signals,
        cluster: needs_cluster.then_some((&connection, broker_id)),
        folder: folder.path(),
    };
    let mut cleanup = needs_cluster.then(|| Cleanup::of(&connection));
    let mut runs = Vec::new();
    let done = (|| {
        for scenario in &request.scenarios {
            for side in &request.sides {
                progress(*scenario, *side);
                runs.push(stage.run(*side, *scenario, &mut cleanup)?);
            }
        }
        Ok(())
    })();
    // A cluster of its own goes with its broker.
    let closed = match (cleanup, cluster_kind) {
        (Some(cleanup), ClusterKind::Named) => cleanup.close(),
        _ => Ok(()),
    };
    done.and(closed).map(|()| (runs, cluster_kind))
}

fn own_broker(request: &Request, options: &Options, folder: &Path) -> Result<Broker, ExperimentError> {
    Broker::start(&program(request, options), folder)
}

fn program(request: &Request, options: &Options) -> Program {
    let servers = options.bootstrap_servers.iter().flat_map(|servers| ["--bootstrap-servers".into(), servers.into()]);
    let config = options.config.iter().flat_map(|file| ["--config".into(), file.as_os_str().to_owned()]);
    Program { executable: request.executable.clone(), options: servers.chain(config).collect::<Vec<OsString>>() }
}
