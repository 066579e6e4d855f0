//! One side of the comparison at work: its services as processes, and what a fault does to them.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::chain::HopSpec;
use crate::child::{Child, Program};
use crate::error::ExperimentError;
use crate::pipeline::RunName;
use crate::service::{Role, ServiceSpec, service_time_line};
use crate::settings::Settings;
use crate::step::Step;

/// How long a service may take to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(40);
/// How long one may take to end, beyond the drain that its settings allow.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the ports that outgoing connections come from: a service that is down for a while must find its port free.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=31_999;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Services that call each other.
    Sync,
    /// The same with a circuit breaker before each call.
    SyncBreaker,
    /// Processors.
    Pipeline,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Sync, Kind::SyncBreaker, Kind::Pipeline];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Sync => "sync",
            Kind::SyncBreaker => "sync + breaker",
            Kind::Pipeline => "pipeline",
        }
    }

    pub fn is_sync(self) -> bool {
        self != Kind::Pipeline
    }
}

/// A side's services. All end when it is dropped.
pub struct Side<'a> {
    program: &'a Program,
    folder: PathBuf,
    services: Vec<Service>,
    entry: String,
    end_timeout: Duration,
}

struct Service {
    name: String,
    step: Option<Step>,
    spec: PathBuf,
    child: Option<Child>,
}

impl<'a> Side<'a> {
    /// Starts all services of a side and waits until each is ready. Their files go to the folder.
    pub fn start(
        kind: Kind,
        settings: &Settings,
        run: &RunName,
        program: &'a Program,
        folder: &Path,
    ) -> Result<Side<'a>, ExperimentError> {
        let (entry, roles) = match kind {
            Kind::Pipeline => pipeline(run)?,
            Kind::Sync | Kind::SyncBreaker => chain(kind == Kind::SyncBreaker, folder)?,
        };
        let drain_ms = settings.chain.drain_ms.max(settings.pipeline.drain_ms);
        let end_timeout = Duration::from_millis(drain_ms) + END_TIMEOUT;
        let mut side = Side { program, folder: folder.to_owned(), services: Vec::new(), entry, end_timeout };
        for (name, step, role) in roles {
            let spec = folder.join(format!("{name}.json"));
            let text = serde_json::to_vec(&ServiceSpec { settings: settings.clone(), role });
            let text = text.expect("a service's description is JSON");
            std::fs::write(&spec, text).map_err(ExperimentError::file(&spec))?;
            side.services.push(Service { name, step, spec, child: None });
        }
        // All at once, then all awaited.
        (0..side.services.len()).try_for_each(|service| side.launch(service))?;
        (0..side.services.len()).try_for_each(|service| side.await_ready(service))?;
        Ok(side)
    }

    /// Where orders are posted.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The processes that run now.
    pub fn process_ids(&self) -> Vec<u32> {
        self.services.iter().filter_map(|service| Some(service.child.as_ref()?.id())).collect()
    }

    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// As `kill -9` of the step's service.
    pub fn kill(&mut self, step: Step) {
        let service = self.service_of(step);
        if let Some(mut child) = self.services[service].child.take() {
            child.kill();
        }
    }

    /// Ends everything at once.
    pub fn kill_all(&mut self) {
        self.services.iter_mut().for_each(|service| drop(service.child.take()));
    }

    /// Starts a step's service that was killed.
    pub fn start_again(&mut self, step: Step) -> Result<(), ExperimentError> {
        let service = self.service_of(step);
        self.launch(service)?;
        self.await_ready(service)
    }

    pub fn set_service_time_ms(&mut self, step: Step, service_time_ms: u64) -> Result<(), ExperimentError> {
        let service = self.service_of(step);
        let child = self.services[service].child.as_mut();
        child.map_or(Ok(()), |child| child.tell(&service_time_line(service_time_ms)))
    }

    /// Ends a service with SIGTERM and starts it again.
    pub fn restart(&mut self, service: usize) -> Result<(), ExperimentError> {
        if let Some(mut child) = self.services[service].child.take() {
            child.terminate();
            if !child.await_end(self.end_timeout) {
                tracing::warn!(service = self.services[service].name, "did not end in time and is killed");
            }
        }
        self.launch(service)?;
        self.await_ready(service)
    }

    /// Fails where a service has ended that nobody ended.
    pub fn check(&mut self) -> Result<(), ExperimentError> {
        for service in &mut self.services {
            if let Some(child) = service.child.as_mut()
                && child.has_ended()
            {
                return Err(ExperimentError::Ended { name: service.name.clone(), said: child.said() });
            }
        }
        Ok(())
    }

    /// Ends all services with SIGTERM.
    pub fn stop(mut self) {
        let children: Vec<_> = self.services.iter_mut().filter_map(|service| service.child.take()).collect();
        children.iter().for_each(Child::terminate);
        for mut child in children {
            // One that does not end in time is killed by its drop.
            child.await_end(self.end_timeout);
        }
    }

    fn launch(&mut self, service: usize) -> Result<(), ExperimentError> {
        let Service { name, spec, .. } = &self.services[service];
        let arguments = ["experiment", "service"].map(OsString::from).into_iter().chain([spec.into()]);
        let log = self.folder.join(format!("{name}.log"));
        let child = self.program.start(name, &arguments.collect::<Vec<_>>(), &log)?;
        self.services[service].child = Some(child);
        Ok(())
    }

    fn await_ready(&mut self, service: usize) -> Result<(), ExperimentError> {
        let child = self.services[service].child.as_mut().expect("it was launched before");
        child.first_line(START_TIMEOUT).map(drop)
    }

    fn service_of(&self, step: Step) -> usize {
        let found = self.services.iter().position(|service| service.step == Some(step));
        found.expect("each side has a service for each step")
    }
}

type Roles = Vec<(String, Option<Step>, Role)>;

fn chain(circuit_breaker: bool, folder: &Path) -> Result<(String, Roles), ExperimentError> {
    let addresses = free_addresses(Step::ALL.len())?;
    let role = |step: Step| {
        let next = addresses.get(step.index() + 1).cloned();
        let (listen, effects) = (addresses[step.index()].clone(), effects_file(folder, step));
        let role = Role::Hop(HopSpec { step, listen, next, circuit_breaker, effects });
        (step.name().to_owned(), Some(step), role)
    };
    // The last first, so that whoever is ready can be called.
    Ok((addresses[0].clone(), Step::ALL.into_iter().rev().map(role).collect()))
}

fn pipeline(run: &RunName) -> Result<(String, Roles), ExperimentError> {
    let entry = free_addresses(1)?.remove(0);
    let front = ("front".to_owned(), None, Role::Front { listen: entry.clone(), run: run.clone() });
    let processor = |step: Step| (step.name().to_owned(), Some(step), Role::Processor { step, run: run.clone() });
    Ok((entry, std::iter::once(front).chain(Step::ALL.map(processor)).collect()))
}

/// Where the chain's service of a step writes its effects.
pub fn effects_file(folder: &Path, step: Step) -> PathBuf {
    folder.join(format!("{step}.effects"))
}

fn free_addresses(count: usize) -> Result<Vec<String>, ExperimentError> {
    // Experiments that run at the same time look in different places first.
    let span = u32::from(*PORTS.end() - *PORTS.start()) + 1;
    let first = u32::from(*PORTS.start()) + std::process::id().wrapping_mul(37) % span;
    let candidates = (first..=u32::from(*PORTS.end())).chain(u32::from(*PORTS.start())..first);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let free = candidates.filter_map(|port| u16::try_from(port).ok()).filter(is_free).take(count);
    let addresses: Vec<_> = free.map(|port| format!("127.0.0.1:{port}")).collect();
    if addresses.len() < count {
        return Err(ExperimentError::NoPort { first: *PORTS.start(), last: *PORTS.end() });
    }
    Ok(addresses)
}
