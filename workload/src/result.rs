//! What a benchmark has found: each run's facts and figures, their spread, and what a reader must know to judge them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use unchain_measure::{Machine, Spread};

use crate::BenchError;
use crate::workload::Workload;

/// A benchmark's result, as it is written and read again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub workload: Workload,
    pub broker: String,
    pub machine: Machine,
    /// Each figure's median and ends over the runs, by name.
    pub metrics: BTreeMap<String, Spread>,
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub facts: Facts,
    pub metrics: BTreeMap<String, f64>,
    /// Lines of plots by name: seconds or percent, and the value.
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

/// What was sent and what came of it, the warm-up included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub sent: u64,
    /// Records that were due but had no room in the producer's queue until the run was over.
    pub unsent: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// By a consumer of committed records; of `request`, the replies.
    pub received: u64,
    /// Those after the warm-up and within the time of the run, of which the rates speak.
    pub measured: u64,
    /// How long those took.
    pub measured_seconds: f64,
}

/// What is better of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// A figure's title for readers, and what is better.
pub fn describe(metric: &str) -> (String, Better) {
    let fixed = [
        ("records_per_second", "records/s", Better::Higher),
        ("megabytes_per_second", "MB/s", Better::Higher),
        ("encoded_per_second", "encoded/s", Better::Higher),
        ("decoded_per_second", "decoded/s", Better::Higher),
        ("latency_ms_p50", "latency p50, ms", Better::Lower),
        ("latency_ms_p90", "latency p90, ms", Better::Lower),
        ("latency_ms_p99", "latency p99, ms", Better::Lower),
        ("latency_ms_p99_9", "latency p99.9, ms", Better::Lower),
        ("latency_ms_max", "latency max, ms", Better::Lower),
        ("first_record_ms", "first record, ms", Better::Lower),
    ];
    if let Some((_, title, better)) = fixed.iter().find(|(name, ..)| *name == metric) {
        return ((*title).to_owned(), *better);
    }
    let of_process = |start: &str, title: &str| Some(format!("{title}, {}", metric.strip_prefix(start)?));
    let title = of_process("cpu_seconds_per_million.", "CPU s per million")
        .or_else(|| of_process("memory_mb_per_million.", "memory growth, MB per million"))
        .or_else(|| of_process("peak_memory_mb.", "peak memory, MB"));
    (title.unwrap_or_else(|| metric.to_owned()), Better::Lower)
}

/// The order in which readers see figures: as described above, then those of processes.
pub fn in_order<'a>(metrics: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    const FIRST: [&str; 10] = [
        "records_per_second",
        "megabytes_per_second",
        "encoded_per_second",
        "decoded_per_second",
        "latency_ms_p50",
        "latency_ms_p90",
        "latency_ms_p99",
        "latency_ms_p99_9",
        "latency_ms_max",
        "first_record_ms",
    ];
    let mut names: Vec<_> = metrics.collect();
    names.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    names
}

impl Report {
    pub fn of(workload: Workload, broker: String, machine: Machine, runs: Vec<Run>) -> Report {
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (name, value) in runs.iter().flat_map(|run| &run.metrics) {
            values.entry(name.clone()).or_default().push(*value);
        }
        let metrics = values.into_iter().filter_map(|(name, values)| Some((name, Spread::of(&values)?))).collect();
        Report { workload, broker, machine, metrics, runs }
    }

    pub fn read(file: &Path) -> Result<Report, BenchError> {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|source| BenchError::File { file: file.to_owned(), source })?;
        serde_json::from_str(&text)
            .map_err(|error| BenchError::NotAResult { file: file.to_owned(), reason: error.to_string() })
    }

    /// A run whose figures stand for all: the one whose rate is nearest to the median.
    pub fn typical_run(&self) -> Option<&Run> {
        let rate = |run: &Run| run.metrics.get("records_per_second").copied().unwrap_or(0.0);
        let median = self.metrics.get("records_per_second").map_or(0.0, |spread| spread.median);
        let distance = |run: &&Run| (rate(run) - median).abs();
        self.runs.iter().min_by(|one, other| distance(one).total_cmp(&distance(other)))
    }

    /// What a reader must not overlook.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let unsent: u64 = self.runs.iter().map(|run| run.facts.unsent).sum();
        if unsent > 0 {
            warnings.push(format!(
                "the rate was not held: {unsent} records that were due could not be sent, and no latency counts them"
            ));
        }
        if self.workload.is_closed_loop() {
            warnings.push(
                "without a rate the loop is closed: the next record waits for room, so latencies are those of full queues, \
                 and a stall counts for few records"
                    .to_owned(),
            );
        }
        let failed: u64 = self.runs.iter().map(|run| run.facts.failed).sum();
        if failed > 0 {
            warnings.push(format!("{failed} records were not delivered"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    #[test]
    fn figures_become_a_median_with_its_ends() {
        let run = |rate: f64| Run { metrics: BTreeMap::from([("records_per_second".into(), rate)]), ..Run::default() };
        let workload = Workload::of(Kind::Produce, Default::default(), "the test").unwrap();
        let runs = vec![run(3.0), run(1.0), run(2.0)];
        let report = Report::of(workload, "a broker".into(), Machine::here(), runs);
        assert_eq!(report.metrics["records_per_second"], Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(report.typical_run(), Some(&run(2.0)));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn figures_of_processes_are_titled_with_them_and_come_last() {
        assert_eq!(describe("peak_memory_mb.broker"), ("peak memory, MB, broker".into(), Better::Lower));
        let names = ["cpu_seconds_per_million.client", "latency_ms_p50", "records_per_second"].map(String::from);
        assert_eq!(in_order(names.iter()), [&names[2], &names[1], &names[0]]);
    }
}
