//! The figures of a run: what the reports show.

use serde::Serialize;

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
            accept_ms: Latency::of(warm().filter_map(|fate| fate.accepted_after_us)),
            complete_ms: Latency::of(warm().filter_map(|fate| fate.completed_after_us)),
            usual_complete_ms: Latency::of(
                warm().filter(|fate: &&Fate| fate.is_complete_by(fault_us)).filter_map(|fate| fate.completed_after_us),
            ),
            recovery: run.recovery,
        }
    }
}

impl Latency {
    /// Exact, over all of them; none without any.
    pub fn of(us: impl Iterator<Item = u64>) -> Option<Latency> {
        let mut all: Vec<u64> = us.collect();
        all.sort_unstable();
        let max = *all.last()?;
        let at = |share: f64| {
            let rank = (share * all.len() as f64).ceil() as usize;
            all[rank.saturating_sub(1)] as f64 / 1_000.0
        };
        Some(Latency { p50: at(0.5), p99: at(0.99), max: max as f64 / 1_000.0 })
    }
}
