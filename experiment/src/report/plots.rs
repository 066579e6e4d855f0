//! The plots of a scenario: its sides in one figure each, second by second, with the fault marked.

use std::time::Duration;

use unchain_measure::{Axis, Chart, Mark, PlotError, Series, Timeline};

use crate::judge::Fate;
use crate::run::Run;
use crate::scenario::Scenario;

const INTERVAL: Duration = Duration::from_secs(1);
/// Beyond the longest run there can be.
const MAX_LENGTH: Duration = Duration::from_secs(2 * 86_400);

/// The charts of an experiment, each with its scenario and the name of its file.
pub struct Plots(pub Vec<Plot>);

pub struct Plot {
    pub scenario: Scenario,
    pub file: String,
    pub chart: Chart,
}

/// What is counted each second: at which time after it was due, if at all, and its latency.
type Event = fn(&Fate) -> Option<(u64, u64)>;

impl Plots {
    pub fn of(runs: &[Run]) -> Plots {
        let mut plots = Vec::new();
        for scenario in Scenario::ALL {
            let runs: Vec<&Run> = runs.iter().filter(|run| run.plan.scenario == scenario).collect();
            if runs.is_empty() {
                continue;
            }
            let mut add = |name: &str, title: &str, y: Axis, series: Vec<Series>| {
                if series.iter().flat_map(|series| &series.points).any(|(_, count)| *count > 0.0) {
                    let title = format!("{}: {title}", scenario.name());
                    let (x, marks) = (Axis::linear("seconds"), marks(&runs));
                    let chart = Chart { title, x, y, series, marks };
                    plots.push(Plot { scenario, file: format!("{}-{name}.svg", scenario.name()), chart });
                }
            };
            let rate = || Axis::linear("orders a second");
            add("accepted", "orders accepted, by when the caller was told", rate(), rates(&runs, accepted));
            add("completed", "orders completed, by when they were", rate(), rates(&runs, completed));
            add("refused", "orders refused, by when the caller was told", rate(), rates(&runs, refused));
            let title = "time to complete, by when an order was due (99 % of its second)";
            add("latency", title, Axis::logarithmic("milliseconds"), latencies(&runs));
        }
        Plots(plots)
    }

    /// Each chart's title and file, as Markdown and pages name them.
    pub fn files(&self, scenario: Scenario) -> Vec<(String, String)> {
        let of_scenario = self.0.iter().filter(|plot| plot.scenario == scenario);
        of_scenario.map(|plot| (plot.chart.title.clone(), plot.file.clone())).collect()
    }

    /// Each file's name and text.
    pub fn svgs(&self) -> Result<Vec<(String, String)>, PlotError> {
        self.0.iter().map(|plot| Ok((plot.file.clone(), plot.chart.svg()?))).collect()
    }
}

fn accepted(fate: &Fate) -> Option<(u64, u64)> {
    fate.is_accepted.then_some((fate.told_after_us, fate.told_after_us))
}

fn refused(fate: &Fate) -> Option<(u64, u64)> {
    (!fate.is_accepted).then_some((fate.told_after_us, fate.told_after_us))
}

fn completed(fate: &Fate) -> Option<(u64, u64)> {
    fate.completed_after_us.map(|after_us| (after_us, after_us))
}

fn completed_by_due_time(fate: &Fate) -> Option<(u64, u64)> {
    fate.completed_after_us.map(|after_us| (0, after_us))
}

fn timeline(run: &Run, event: Event) -> Timeline {
    let mut timeline = Timeline::new(INTERVAL, MAX_LENGTH);
    for fate in run.judgement.fates.iter().filter(|fate| fate.due_us >= run.began_us) {
        if let Some((at_us, latency_us)) = event(fate) {
            let since_start_us = fate.due_us - run.began_us + at_us;
            timeline.add(Duration::from_micros(since_start_us), Duration::from_micros(latency_us));
        }
    }
    timeline
}

fn series(runs: &[&Run], points: impl Fn(&Run) -> Vec<(f64, f64)>) -> Vec<Series> {
    runs.iter().map(|run| Series { name: run.kind.name().to_owned(), points: points(run) }).collect()
}

fn rates(runs: &[&Run], event: Event) -> Vec<Series> {
    series(runs, |run| {
        let mut timeline = timeline(run, event);
        // Also where nothing happens any more: the line goes on at nothing until the load's end.
        timeline.count(run.plan.span().saturating_sub(INTERVAL), 0);
        timeline.rates()
    })
}

fn latencies(runs: &[&Run]) -> Vec<Series> {
    series(runs, |run| timeline(run, completed_by_due_time).percentiles(99.0))
}

/// The fault, from its first beginning to its last end on any side.
fn marks(runs: &[&Run]) -> Vec<Mark> {
    let seconds = |run: &Run, at_us: u64| at_us.saturating_sub(run.began_us) as f64 / 1e6;
    let faults = runs.iter().filter_map(|run| {
        let fault = run.fault_us.as_ref()?;
        Some((run.plan.scenario.name(), seconds(run, fault.start), seconds(run, fault.end)))
    });
    let all = faults.reduce(|one, other| (one.0, one.1.min(other.1), one.2.max(other.2)));
    all.map(|(name, from, to)| Mark { name: name.to_owned(), from, to }).into_iter().collect()
}
