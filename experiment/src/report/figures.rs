//! The figures of a run: what the reports show.

use std::time::Duration;

use serde::Serialize;
use unchain_measure::Latencies;

use crate::cpu::CpuSeconds;
use crate::judge::{Counts, Fate};
use crate::recovery::Recovery;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::side::Kind;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub scenario: Scenario,
    pub side: Kind,
    #[serde(flatten)]
    pub counts: Counts,
    /// Until the caller had its yes, of accepted orders after the warm-up.
    pub accept_ms: Option<Latency>,
    /// Until the chain's last effect was there, of completed orders after the warm-up.
    pub complete_ms: Option<Latency>,
    /// `complete_ms` of the orders that were complete before the fault.
    pub usual_complete_ms: Option<Latency>,
    /// From the fault's end until the side was itself again.
    pub recovery: Option<Recovery>,
    /// From the first order until the last was complete.
    pub cpu: CpuSeconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Figures {
    pub fn of(run: &Run) -> Figures {
        let warm_us = run.began_us + u64::try_from(run.plan.warm_up.as_micros()).unwrap_or(u64::MAX);
        let warm = || run.judgement.fates.iter().filter(move |fate| fate.due_us >= warm_us);
        let fault_us = run.fault_us.as_ref().map_or(u64::MAX, |fault| fault.start);
        Figures {
            scenario: run.plan.scenario,
            side: run.kind,
            counts: run.judgement.counts.clone(),
            accept_ms: Latency::of(warm().filter_map(|fate| fate.accepted_after_us())),
            complete_ms: Latency::of(warm().filter_map(|fate| fate.completed_after_us)),
            usual_complete_ms: Latency::of(
                warm().filter(|fate: &&Fate| fate.is_complete_by(fault_us)).filter_map(|fate| fate.completed_after_us),
            ),
            recovery: run.recovery,
            cpu: run.cpu.seconds(),
        }
    }
}

impl Latency {
    /// Over all of them; none without any.
    pub fn of(us: impl Iterator<Item = u64>) -> Option<Latency> {
        let mut all = Latencies::default();
        us.for_each(|us| all.record(Duration::from_micros(us)));
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        let (p50, p99, max) = (ms(all.percentile(50.0)), ms(all.percentile(99.0)), ms(all.max()));
        (all.count() > 0).then_some(Latency { p50, p99, max })
    }
}

impl Figures {
    /// CPU time an order that was completed, of services and broker; only where all of it is known.
    pub fn cpu_ms_an_order(&self) -> Option<f64> {
        let broker = if self.side == Kind::Pipeline { self.cpu.broker? } else { 0.0 };
        let seconds = self.cpu.services + broker;
        (self.counts.completed > 0 && seconds > 0.0).then(|| seconds * 1_000.0 / self.counts.completed as f64)
    }

    fn cpu_text(&self) -> String {
        let CpuSeconds { services, broker } = self.cpu;
        match broker {
            None if self.side == Kind::Pipeline => format!("{services:.1} + broker's, not known"),
            None => format!("{services:.1}"),
            Some(broker) => format!("{services:.1} + {broker:.1}"),
        }
    }

    /// The figures as a table's cells, under [`HEADINGS`].
    pub fn cells(&self) -> Vec<String> {
        let counts = &self.counts;
        let numbers = [
            counts.offered,
            counts.accepted,
            counts.refused,
            counts.completed,
            counts.lost,
            counts.half_done,
            counts.done_though_refused,
            counts.doubled,
        ];
        let name = std::iter::once(self.side.name().to_owned());
        let rest = [latency(self.accept_ms), latency(self.complete_ms), recovered(self.recovery), self.cpu_text()];
        name.chain(numbers.iter().map(u64::to_string)).chain(rest).collect()
    }
}

/// The headings of a table of runs.
pub const HEADINGS: [&str; 13] = [
    "side",
    "offered",
    "accepted",
    "refused",
    "completed",
    "lost",
    "half done",
    "done though refused",
    "doubled",
    "to accept, ms (p50 / p99 / max)",
    "to complete, ms (p50 / p99 / max)",
    "recovered after",
    "CPU s (services + broker)",
];

fn latency(latency: Option<Latency>) -> String {
    latency.map_or_else(|| "-".to_owned(), |ms| format!("{:.0} / {:.0} / {:.0}", ms.p50, ms.p99, ms.max))
}

pub fn recovered(recovery: Option<Recovery>) -> String {
    match recovery {
        None => "-".to_owned(),
        Some(Recovery::After { seconds }) => format!("{seconds:.1} s"),
        Some(Recovery::WorkedOffAfter { seconds }) => format!("{seconds:.1} s, after the load's end"),
        Some(Recovery::Never) => "not within the run".to_owned(),
    }
}
