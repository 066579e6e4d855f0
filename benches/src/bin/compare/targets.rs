//! The targets, each with the figure that it is about and whether that was met.

use crate::measures::{FRANZ, OURS, RAW_TWO, STREAMS};
use crate::results::Results;

/// A target beside what was measured.
#[derive(Debug, PartialEq)]
pub struct Judged {
    pub measure: &'static str,
    pub goal: &'static str,
    /// As the page shows it; "not measured" where a side is missing.
    pub measured: String,
    pub met: Option<bool>,
}

/// Every target, in the order of the page.
pub fn judge(results: &Results) -> Vec<Judged> {
    let ours = |measure, figure| results.median(measure, OURS, figure);
    let ratio = |measure, peer| Some(ours(measure, "records_per_s")? / results.median(measure, peer, "records_per_s")?);
    let guarantees = || Some(ours("J1-eos", "records_per_s")? / ours("J1-alos", "records_per_s")?);
    vec![
        at_least(
            "J1 exactly-once beside the raw loop with two threads",
            "at least 0.95",
            ratio("J1-eos", RAW_TWO),
            0.95,
            2,
        ),
        at_least("J1 exactly-once beside franz-go", "above 1", ratio("J1-eos", FRANZ), 1.0, 2),
        at_least("J1 exactly-once beside Kafka Streams", "at least 3", ratio("J1-eos", STREAMS), 3.0, 2),
        at_least("J1 exactly-once beside its own at-least-once", "at least 0.9", guarantees(), 0.9, 2),
        at_most(
            "CPU seconds a million records, J1 exactly-once",
            "at most 2.2",
            ours("J1-eos", "cpu_s_per_million"),
            2.2,
            2,
        ),
        at_most("peak resident memory, J1 exactly-once, MB", "at most 150", ours("J1-eos", "peak_mb"), 150.0, 0),
        at_most(
            "memory's growth over a long lag, percent",
            "at most 10",
            ours("MEMORY", "memory_growth_percent"),
            10.0,
            1,
        ),
        at_most(
            "memory's growth with records of 1 MB, percent",
            "at most 10",
            ours("LARGE", "memory_growth_percent"),
            10.0,
            1,
        ),
        at_least(
            "J2 exactly-once, durable table, beside Kafka Streams",
            "at least 3",
            ratio("J2-eos", STREAMS),
            3.0,
            2,
        ),
        at_most("exactly-once latency at 1,000 records/s, p50, ms", "at most 10", ours("LATENCY", "p50_ms"), 10.0, 1),
        at_most("the same, p99, ms", "at most 30", ours("LATENCY", "p99_ms"), 30.0, 1),
        at_least("20 ms handler, records/s", "at least 10,000", ours("SLOW", "records_per_s"), 10_000.0, 0),
        at_least(
            "restore, changelog records/s",
            "at least 500,000",
            ours("RESTORE", "records_per_s_from_start"),
            500_000.0,
            0,
        ),
        at_most("process start to first output, s", "under 1", ours("J1-eos", "first_output_s"), 1.0, 2),
    ]
}

fn at_least(measure: &'static str, goal: &'static str, value: Option<f64>, limit: f64, digits: usize) -> Judged {
    judged(measure, goal, value, digits, |value| value >= limit)
}

fn at_most(measure: &'static str, goal: &'static str, value: Option<f64>, limit: f64, digits: usize) -> Judged {
    judged(measure, goal, value, digits, |value| value <= limit)
}

fn judged(
    measure: &'static str,
    goal: &'static str,
    value: Option<f64>,
    digits: usize,
    met: impl Fn(f64) -> bool,
) -> Judged {
    let measured = value.map_or_else(|| "not measured".to_owned(), |value| crate::page::number(value, digits));
    Judged { measure, goal, measured, met: value.map(met) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::Run;

    #[test]
    fn targets_are_met_missed_or_not_measured() {
        let run = |contestant, rate, cpu| Run {
            measure: "J1-eos",
            contestant,
            repetition: 1,
            figures: BTreeMap::from([("records_per_s", rate), ("cpu_s_per_million", cpu)]),
            faults: Vec::new(),
        };
        let results = Results {
            runs: vec![run(OURS, 900.0, 2.5), run(RAW_TWO, 1_000.0, 1.0), run(STREAMS, 300.0, 9.0)],
            skipped: vec![],
        };
        let judged = judge(&results);
        let met: Vec<_> = judged[..5].iter().map(|target| (target.measured.as_str(), target.met)).collect();
        let expected = [
            ("0.90", Some(false)),
            ("not measured", None),
            ("3.00", Some(true)),
            ("not measured", None),
            ("2.50", Some(false)),
        ];
        assert_eq!(met, expected);
    }
}
