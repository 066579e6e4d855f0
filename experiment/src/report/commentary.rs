//! What the figures say, in sentences: each claim is computed, whichever side it speaks for.

use super::{Figures, Section};
use crate::recovery::Recovery;
use crate::scenario::Scenario;
use crate::side::Kind;

/// The sentences on a set of runs.
pub fn of(runs: &[Figures]) -> Vec<Section> {
    let sections = [wins(runs, true), wins(runs, false), costs(runs, true), costs(runs, false)];
    sections.into_iter().flatten().filter(|section| !section.sentences.is_empty()).collect()
}

fn find(runs: &[Figures], scenario: Scenario, side: Kind) -> Option<&Figures> {
    runs.iter().find(|run| run.scenario == scenario && run.side == side)
}

/// The pipeline's run of a scenario beside that of the better synchronous variant, by a figure of which less is better.
fn pair(runs: &[Figures], scenario: Scenario, by: impl Fn(&Figures) -> f64) -> Option<(&Figures, &Figures)> {
    let sync = [Kind::Sync, Kind::SyncBreaker].into_iter().filter_map(|side| find(runs, scenario, side));
    let sync = sync.min_by(|one, other| by(one).total_cmp(&by(other)))?;
    Some((sync, find(runs, scenario, Kind::Pipeline)?))
}

/// One claim, made of a better and another run where it holds, with the figure by which its opponent is chosen.
type Claim = (fn(&Figures) -> f64, fn(&Figures, &Figures) -> Option<String>);

const CLAIMS: [Claim; 5] = [
    (|run| run.usual_complete_ms.map_or(f64::INFINITY, |ms| ms.p50), faster),
    (|run| -(run.counts.accepted as f64), accepts_more),
    (|run| undone(run) as f64, leaves_less_undone),
    (|run| run.recovery.map_or(f64::INFINITY, seconds), recovers_sooner),
    (|run| run.cpu_ms_an_order().unwrap_or(f64::INFINITY), cheaper),
];

/// What one way of building the chain does better, by the figures.
fn wins(runs: &[Figures], of_sync: bool) -> Option<Section> {
    let mut sentences = Vec::new();
    for scenario in Scenario::ALL {
        for (by, claim) in CLAIMS {
            let Some((sync, pipeline)) = pair(runs, scenario, by) else { continue };
            let (better, other) = if of_sync { (sync, pipeline) } else { (pipeline, sync) };
            sentences.extend(claim(better, other));
        }
    }
    if of_sync && !sentences.is_empty() {
        // No figure has these; they hold by construction.
        sentences.push(
            "By construction, not by a figure: one answer says that the order is done. In the pipeline the first answer says that it will be, and who wants \
             to know more asks again or is told."
                .to_owned(),
        );
        sentences.push(
            "By construction: a failure reaches the caller, who can react to it, at the latest with its time-out. In the pipeline the caller does not see that a step \
             waits."
                .to_owned(),
        );
        sentences.push(
            "By construction: there are fewer parts: no broker, no topics, no offsets to understand and to watch."
                .to_owned(),
        );
    }
    let title = if of_sync { "What synchronous calls win" } else { "What the pipeline wins" };
    Some(Section { title: title.to_owned(), sentences })
}

/// Only while nothing fails: under a fault, times are of those orders only that got through.
fn faster(better: &Figures, other: &Figures) -> Option<String> {
    let (mine, theirs) = (better.usual_complete_ms?, other.usual_complete_ms?);
    (better.scenario == Scenario::Steady && mine.p50 < theirs.p50).then(|| {
        format!(
            "Steady: an order is complete after {:.0} ms (half of them; 99 %: {:.0} ms), against {:.0} ms ({:.0} ms) with \
             the {}.",
            mine.p50,
            mine.p99,
            theirs.p50,
            theirs.p99,
            way(other.side)
        )
    })
}

/// Smaller differences between single runs are no claim.
const MIN_DIFFERENCE: f64 = 0.01;

/// By more than a hundredth of the orders.
fn accepts_more(better: &Figures, other: &Figures) -> Option<String> {
    let ahead = better.counts.accepted as f64 - other.counts.accepted as f64;
    (ahead > MIN_DIFFERENCE * better.counts.offered as f64).then(|| {
        format!(
            "{}: the {} accepted {} of the orders, the {} {}.",
            title(better),
            way(better.side),
            percent(better.counts.accepted, better.counts.offered),
            way(other.side),
            percent(other.counts.accepted, other.counts.offered)
        )
    })
}

/// By more than the second in which recovery is measured.
fn recovers_sooner(better: &Figures, other: &Figures) -> Option<String> {
    let (mine, theirs) = (seconds(better.recovery?), seconds(other.recovery?));
    (mine + 1.0 < theirs).then(|| {
        let refused =
            if better.counts.refused > other.counts.refused { " What it refused, it need not work off." } else { "" };
        let (mine, theirs) = (when(better.recovery), when(other.recovery));
        format!("{}: it is itself again {mine}, the {} {theirs}.{refused}", title(better), way(other.side))
    })
}

fn seconds(recovery: Recovery) -> f64 {
    match recovery {
        Recovery::After { seconds } | Recovery::WorkedOffAfter { seconds } => seconds,
        Recovery::Never => f64::INFINITY,
    }
}

/// Orders of which the caller believes something else than is true.
fn undone(run: &Figures) -> u64 {
    run.counts.lost + run.counts.half_done + run.counts.done_though_refused
}

fn leaves_less_undone(better: &Figures, other: &Figures) -> Option<String> {
    (undone(better) < undone(other)).then(|| {
        let counts = &other.counts;
        format!(
            "{}: {} orders are in doubt, against {} with the {} ({} lost, {} half done, {} done though refused).",
            title(better),
            undone(better),
            undone(other),
            way(other.side),
            counts.lost,
            counts.half_done,
            counts.done_though_refused
        )
    })
}

fn cheaper(better: &Figures, other: &Figures) -> Option<String> {
    let (mine, theirs) = (better.cpu_ms_an_order()?, other.cpu_ms_an_order()?);
    (better.scenario == Scenario::Steady && mine < theirs).then(|| {
        format!(
            "Steady: {mine:.1} ms of CPU time an order in all its processes, against {theirs:.1} ms with the {}.",
            way(other.side)
        )
    })
}

/// What one way of building the chain costs its users, by the figures.
fn costs(runs: &[Figures], of_sync: bool) -> Option<Section> {
    let sides = if of_sync { &[Kind::Sync, Kind::SyncBreaker][..] } else { &[Kind::Pipeline] };
    let of_side = |run: &&Figures| sides.contains(&run.side);
    let sentences = runs.iter().filter(of_side).filter_map(cost).collect();
    let title = if of_sync { "What synchronous calls lose" } else { "What the pipeline loses" };
    Some(Section { title: title.to_owned(), sentences })
}

fn cost(run: &Figures) -> Option<String> {
    let counts = &run.counts;
    let mut parts = Vec::new();
    let mut part = |count: u64, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    part(counts.refused, "refused");
    part(counts.half_done, "half done");
    part(counts.done_though_refused, "done though refused");
    part(counts.lost, "lost");
    part(counts.doubled, "doubled");
    let mut text = match &parts[..] {
        [] => String::new(),
        parts => format!(" of {} orders {}.", counts.offered, parts.join(", ")),
    };
    if let (Some(usual), Some(all)) = (run.usual_complete_ms, run.complete_ms)
        && all.max > 2_000.0
        && all.max > 4.0 * usual.p99
    {
        text.push_str(&format!(" Some orders are complete only after up to {:.0} s.", all.max / 1_000.0));
    }
    (!text.is_empty()).then(|| format!("{}, {}:{text}", title(run), run.side.name()))
}

fn title(run: &Figures) -> String {
    let name = run.scenario.name();
    name[..1].to_uppercase() + &name[1..]
}

fn way(side: Kind) -> &'static str {
    match side {
        Kind::Sync => "synchronous chain",
        Kind::SyncBreaker => "synchronous chain with breakers",
        Kind::Pipeline => "pipeline",
    }
}

fn percent(part: u64, whole: u64) -> String {
    let share = 100.0 * part as f64 / whole.max(1) as f64;
    if part < whole && share > 99.9 { "all but a few".to_owned() } else { format!("{share:.1} %") }
}

fn when(recovery: Option<Recovery>) -> String {
    match recovery {
        None => "without a fault".to_owned(),
        Some(Recovery::After { seconds }) => format!("{seconds:.0} s after the fault"),
        Some(Recovery::WorkedOffAfter { seconds }) => format!("{seconds:.0} s after the fault, the load being over"),
        Some(Recovery::Never) => "not within the run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuSeconds;
    use crate::judge::Counts;
    use crate::report::figures::Latency;

    fn run(side: Kind, scenario: Scenario, accepted: u64, half_done: u64, complete_ms: f64) -> Figures {
        let latency = Some(Latency { p50: complete_ms, p99: complete_ms, max: complete_ms });
        let cpu = CpuSeconds { services: 1.0, broker: Some(0.0) };
        let counts = Counts { offered: 100, accepted, refused: 100 - accepted, half_done, ..Counts::default() };
        let (accept_ms, complete_ms, usual_complete_ms) = (latency, latency, latency);
        Figures { scenario, side, counts, accept_ms, complete_ms, usual_complete_ms, recovery: None, cpu }
    }

    fn sentences(runs: &[Figures], title: &str) -> String {
        let sections = of(runs);
        let found = sections.iter().find(|section| section.title == title);
        found.map(|section| section.sentences.join("\n")).unwrap_or_default()
    }

    #[test]
    fn whoever_is_faster_is_said_to_be() {
        for (sync_ms, pipeline_ms, winner) in
            [(100.0, 150.0, "What synchronous calls win"), (150.0, 100.0, "What the pipeline wins")]
        {
            let runs = [
                run(Kind::Sync, Scenario::Steady, 100, 0, sync_ms),
                run(Kind::Pipeline, Scenario::Steady, 100, 0, pipeline_ms),
            ];
            assert!(sentences(&runs, winner).contains("complete after 100 ms"), "{:?}", of(&runs));
        }
    }

    #[test]
    fn nobody_wins_where_the_figures_are_the_same() {
        let runs = [run(Kind::Sync, Scenario::Outage, 90, 5, 1.0), run(Kind::Pipeline, Scenario::Outage, 90, 5, 1.0)];
        assert_eq!(sentences(&runs, "What synchronous calls win"), "");
        assert_eq!(sentences(&runs, "What the pipeline wins"), "");
    }

    #[test]
    fn whoever_recovers_sooner_is_said_to() {
        let mut sync = run(Kind::Sync, Scenario::Overload, 40, 0, 1.0);
        let mut pipeline = run(Kind::Pipeline, Scenario::Overload, 100, 0, 1.0);
        sync.recovery = Some(Recovery::After { seconds: 1.0 });
        pipeline.recovery = Some(Recovery::WorkedOffAfter { seconds: 90.0 });
        let said = sentences(&[sync, pipeline], "What synchronous calls win");
        assert!(said.contains("1 s after the fault") && said.contains("need not work off"), "{said}");
    }

    #[test]
    fn the_better_of_the_synchronous_variants_is_the_opponent() {
        let runs = [
            run(Kind::Sync, Scenario::Outage, 40, 30, 1.0),
            run(Kind::SyncBreaker, Scenario::Outage, 50, 3, 1.0),
            run(Kind::Pipeline, Scenario::Outage, 100, 0, 1.0),
        ];
        let said = sentences(&runs, "What the pipeline wins");
        assert!(said.contains("50.0 %") && said.contains("0 orders are in doubt, against 3"), "{said}");
        let lost = sentences(&runs, "What synchronous calls lose");
        assert!(lost.contains("Outage, sync: of 100 orders 60 refused, 30 half done."), "{lost}");
    }
}
