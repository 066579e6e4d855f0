//! The highest rate that holds a latency limit: the rate is doubled until it does not, then halved into.

use clap::ValueEnum;
use serde::Serialize;
use unchain::app::{AppError, Options, Signals};

use crate::BenchError;
use crate::cluster::Cluster;
use crate::progress::Progress;
use crate::result::Run;
use crate::session::run_once;
use crate::shape::Rate;
use crate::workload::Workload;

/// Which latencies a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
pub(crate) enum Percentile {
    #[value(name = "50")]
    #[serde(rename = "50")]
    P50,
    #[value(name = "90")]
    #[serde(rename = "90")]
    P90,
    #[value(name = "99")]
    #[serde(rename = "99")]
    P99,
    #[value(name = "99.9")]
    #[serde(rename = "99.9")]
    P999,
}

impl Percentile {
    fn metric(self) -> &'static str {
        match self {
            Percentile::P50 => "latency_ms_p50",
            Percentile::P90 => "latency_ms_p90",
            Percentile::P99 => "latency_ms_p99",
            Percentile::P999 => "latency_ms_p99_9",
        }
    }
}

/// What a rate must hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Limit {
    pub(crate) limit_ms: f64,
    pub(crate) percentile: Percentile,
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Step {
    pub(crate) rate: u64,
    pub(crate) measured_rate: f64,
    pub(crate) latency_ms: f64,
    /// Why the rate does not hold; nothing where it does.
    pub(crate) missed: Option<String>,
}

/// What a search has found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Found {
    #[serde(flatten)]
    pub(crate) limit: Limit,
    pub(crate) highest_rate: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) workload: Workload,
}

/// Where a search stands. It ends: each step doubles, halves, or narrows what is between.
#[derive(Debug, Clone, PartialEq)]
struct Search {
    start: u64,
    held: Option<u64>,
    missed: Option<u64>,
}

/// The result is this near to the first rate that was missed.
const PRECISION: f64 = 0.05;
/// More than this is not asked for.
const MAX_RATE: u64 = 100_000_000;

impl Search {
    fn from(start: u64) -> Search {
        Search { start, held: None, missed: None }
    }

    /// The rate to be tried next; `None` at the end.
    fn next(&self) -> Option<u64> {
        match (self.held, self.missed) {
            (None, None) => Some(self.start),
            (Some(held), None) => (held < MAX_RATE).then(|| (held * 2).min(MAX_RATE)),
            (None, Some(missed)) => (missed > 1).then_some(missed / 2),
            (Some(held), Some(missed)) => {
                let is_near = (missed - held) as f64 <= (held as f64 * PRECISION).max(1.0);
                (!is_near).then(|| u64::midpoint(held, missed))
            }
        }
    }

    fn judge(&mut self, rate: u64, is_held: bool) {
        if is_held {
            self.held = Some(self.held.map_or(rate, |held| held.max(rate)));
        } else {
            self.missed = Some(self.missed.map_or(rate, |missed| missed.min(rate)));
        }
    }
}

/// A rate counts as held where this share of it was measured.
const HELD_SHARE: f64 = 0.98;

fn judge(rate: u64, run: &Run, limit: Limit) -> Step {
    let figure = |name: &str| run.metrics.get(name).copied();
    let measured_rate = figure("records_per_second").unwrap_or(0.0);
    let latency_ms = figure(limit.percentile.metric());
    // One record more or less is a matter of where the time of the run ends.
    let least = rate as f64 * run.facts.measured_seconds * HELD_SHARE - 1.0;
    let missed = match latency_ms {
        _ if run.facts.unsent > 0 => Some(format!("{} records could not be sent", run.facts.unsent)),
        None => Some("no record was measured".to_owned()),
        Some(_) if (run.facts.measured as f64) < least => Some(format!("only {measured_rate:.0}/s came through")),
        Some(latency) if latency > limit.limit_ms => Some("too late".to_owned()),
        Some(_) => None,
    };
    Step { rate, measured_rate, latency_ms: latency_ms.unwrap_or(0.0), missed }
}

/// Searches; `show` is told of each step.
pub(crate) fn search(
    options: &Options,
    broker_pids: &[u32],
    workload: Workload,
    limit: Limit,
    mut show: impl FnMut(&Step),
) -> Result<Found, BenchError> {
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let cluster = Cluster::open(options, broker_pids)?;
    let mut search = Search::from(workload.rate.per_second().unwrap_or(1_000));
    let mut steps = Vec::new();
    let progress = Progress::start();
    while let Some(rate) = search.next() {
        progress.say(format!("{rate} records/s"));
        let paced = Workload { rate: Rate::PerSecond(rate), ..workload.clone() };
        let mut try_once = |number: usize| -> Result<Step, BenchError> {
            let step = judge(rate, &run_once(&cluster, &signals, &paced, number as u64)?, limit);
            show(&step);
            Ok(step)
        };
        let mut step = try_once(steps.len())?;
        if step.missed.is_some() {
            // One miss may be the machine's; a second one is the rate's.
            steps.push(step);
            step = try_once(steps.len())?;
        }
        search.judge(rate, step.missed.is_none());
        steps.push(step);
    }
    let Some(highest_rate) = search.held else {
        let last = steps.last().and_then(|step| step.missed.clone()).unwrap_or_default();
        return Err(BenchError::NoRate { reason: format!("at {} records/s: {last}", search.missed.unwrap_or(0)) });
    };
    Ok(Found { limit, highest_rate, steps, workload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Facts;

    /// Searches a system that holds up to so much; returns what was found and the number of steps.
    fn found(start: u64, capacity: u64) -> (Option<u64>, usize) {
        let mut search = Search::from(start);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            search.judge(rate, rate <= capacity);
            steps += 1;
            assert!(steps < 100, "the search ends");
        }
        (search.held, steps)
    }

    #[test]
    fn the_search_comes_near_to_what_a_system_holds() {
        for capacity in [1, 7, 999, 1_000, 12_345, 765_432, 90_000_000] {
            for start in [1, 1_000, 5_000_000] {
                let (held, steps) = found(start, capacity);
                let held = held.unwrap();
                assert!(held <= capacity && held as f64 >= capacity as f64 * 0.94 - 1.0, "{held} of {capacity}");
                assert!(steps < 45, "{steps} steps from {start} to {capacity}");
            }
        }
        assert_eq!(found(1_000, 0).0, None);
        assert_eq!(found(1_000, u64::MAX).0, Some(MAX_RATE));
    }

    #[test]
    fn a_rate_is_held_by_its_latency_and_by_what_came_through() {
        let run = |measured: u64, latency: f64, unsent: u64| {
            let metrics = [("records_per_second".to_owned(), measured as f64), ("latency_ms_p99".to_owned(), latency)];
            let facts = Facts { unsent, measured, measured_seconds: 1.0, ..Facts::default() };
            Run { metrics: metrics.into(), facts, ..Run::default() }
        };
        let limit = Limit { limit_ms: 50.0, percentile: Percentile::P99 };
        let missed = |run| judge(1_000, &run, limit).missed;
        assert_eq!(missed(run(995, 49.0, 0)), None);
        assert!(missed(run(995, 51.0, 0)).unwrap().contains("late"));
        assert!(missed(run(900, 1.0, 0)).unwrap().contains("900/s"));
        assert!(missed(run(995, 1.0, 3)).unwrap().contains("3 records"));
    }
}
