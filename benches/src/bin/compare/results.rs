//! What was measured: figures of single runs, and their median, least and greatest over the repetitions.

use std::collections::BTreeMap;

use serde::Serialize;

/// The outcome of one run.
#[derive(Debug, Default)]
pub struct Measured {
    pub figures: BTreeMap<&'static str, f64>,
    /// What the output lacked or had too much of; a run with faults is no measurement.
    pub faults: Vec<String>,
}

impl Measured {
    pub fn set(&mut self, figure: &'static str, value: f64) {
        self.figures.insert(figure, value);
    }
}

/// One run, as the JSON report has it.
#[derive(Debug, Serialize)]
pub struct Run {
    pub measure: &'static str,
    pub contestant: &'static str,
    pub repetition: usize,
    pub figures: BTreeMap<&'static str, f64>,
    pub faults: Vec<String>,
}

/// The middle and the ends of a figure over its repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Spread { median, least, greatest })
    }
}

/// All runs of a comparison.
#[derive(Debug, Default)]
pub struct Results {
    pub runs: Vec<Run>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

impl Results {
    /// A figure over the sound repetitions; `None` where there are none.
    pub fn spread(&self, measure: &str, contestant: &str, figure: &str) -> Option<Spread> {
        let runs = self.runs.iter().filter(|run| run.measure == measure && run.contestant == contestant);
        Spread::of(
            runs.filter(|run| run.faults.is_empty()).filter_map(|run| run.figures.get(figure).copied()).collect(),
        )
    }

    pub fn median(&self, measure: &str, contestant: &str, figure: &str) -> Option<f64> {
        self.spread(measure, contestant, figure).map(|spread| spread.median)
    }

    /// Runs in which other programs took more than a third of a core, and all runs that were watched for it.
    pub fn disturbed(&self) -> (usize, usize) {
        const DISTURBANCE: f64 = 0.35;
        let shares = self.runs.iter().filter_map(|run| run.figures.get("others_cpu_share"));
        (shares.clone().filter(|share| **share > DISTURBANCE).count(), shares.count())
    }

    pub fn faulty(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| !run.faults.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = |values: &[f64]| Spread::of(values.to_vec()).unwrap();
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, greatest: 3.0 });
        assert_eq!(spread(&[4.0, 1.0]).median, 2.5);
    }

    #[test]
    fn a_run_with_faults_does_not_count() {
        let run = |repetition, value, faults: &[&str]| Run {
            measure: "m",
            contestant: "c",
            repetition,
            figures: BTreeMap::from([("f", value)]),
            faults: faults.iter().map(ToString::to_string).collect(),
        };
        let runs = vec![run(1, 5.0, &[]), run(2, 900.0, &["1 duplicates"])];
        let results = Results { runs, skipped: Vec::new() };
        assert_eq!(results.median("m", "c", "f"), Some(5.0));
        assert_eq!(results.median("m", "other", "f"), None);
        assert_eq!(results.faulty().count(), 1);
    }
}
