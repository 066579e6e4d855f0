//! Whether two results differ by more than their own runs do.

use std::path::Path;

use serde::Serialize;
use unchain_measure::{Spread, differ};

use crate::BenchError;
use crate::result::{Better, Report, describe, in_order};

/// One figure of two results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    pub(crate) metric: String,
    pub(crate) one: Spread,
    pub(crate) other: Spread,
    /// The other's median divided by the first one's; nothing where that is 0.
    pub(crate) ratio: Option<f64>,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Some run of the one lies among those of the other.
    WithinTheSpread,
    Better,
    Worse,
    /// With a single run on a side nothing is known of its spread.
    OneRunOnly,
}

impl Verdict {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Verdict::WithinTheSpread => "within the spread",
            Verdict::Better => "different: better",
            Verdict::Worse => "different: worse",
            Verdict::OneRunOnly => "one run says nothing of a spread",
        }
    }
}

/// The figures that both have.
pub(crate) fn compare(one: &Report, other: &Report) -> Vec<Difference> {
    let has_spread = one.runs.len() > 1 && other.runs.len() > 1;
    let both = in_order(one.metrics.keys()).into_iter().filter_map(|name| {
        let (first, second) = (*one.metrics.get(name)?, *other.metrics.get(name)?);
        Some(difference(name, first, second, has_spread))
    });
    both.collect()
}

fn difference(metric: &str, one: Spread, other: Spread, has_spread: bool) -> Difference {
    let (_, better) = describe(metric);
    let verdict = if !has_spread {
        Verdict::OneRunOnly
    } else if !differ(&one, &other) {
        Verdict::WithinTheSpread
    } else if (other.median > one.median) == (better == Better::Higher) {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    let ratio = (one.median != 0.0).then(|| other.median / one.median);
    Difference { metric: metric.to_owned(), one, other, ratio, verdict }
}

/// Reads two results of the same kind.
pub(crate) fn read(one: &Path, other: &Path) -> Result<[Report; 2], BenchError> {
    let reports = [Report::read(one)?, Report::read(other)?];
    let [one_kind, other_kind] = reports.each_ref().map(|report| report.workload.kind);
    if one_kind == other_kind {
        return Ok(reports);
    }
    Err(BenchError::OtherKind {
        one: one.display().to_string(),
        one_kind: one_kind.name().to_owned(),
        other: other.display().to_string(),
        other_kind: other_kind.name().to_owned(),
    })
}

/// Fails where the other result is slower: by its rate or by a latency. CPU and memory are no slowness.
pub(crate) fn refuse_slower(differences: &[Difference]) -> Result<(), BenchError> {
    let is_speed = |metric: &str| metric.ends_with("_per_second") || metric.starts_with("latency_");
    let slower = differences.iter().filter(|it| it.verdict == Verdict::Worse && is_speed(&it.metric));
    let slower: Vec<_> = slower.map(|it| describe(&it.metric).0).collect();
    if slower.is_empty() { Ok(()) } else { Err(BenchError::Slower { what: slower.join("; ") }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(metric: &str, one: &[f64], other: &[f64]) -> Verdict {
        let has_spread = one.len() > 1 && other.len() > 1;
        difference(metric, Spread::of(one).unwrap(), Spread::of(other).unwrap(), has_spread).verdict
    }

    #[test]
    fn only_what_lies_outside_of_the_spread_differs() {
        let rate = "records_per_second";
        assert_eq!(verdict(rate, &[1.0, 2.0, 3.0], &[2.5, 3.5, 4.0]), Verdict::WithinTheSpread);
        assert_eq!(verdict(rate, &[1.0, 2.0, 3.0], &[3.1, 3.5, 4.0]), Verdict::Better);
        assert_eq!(verdict(rate, &[1.0, 2.0, 3.0], &[0.1, 0.2, 0.3]), Verdict::Worse);
        assert_eq!(verdict("latency_ms_p99", &[1.0, 2.0, 3.0], &[3.1, 3.5, 4.0]), Verdict::Worse);
        assert_eq!(verdict(rate, &[1.0], &[9.0, 9.0]), Verdict::OneRunOnly);
    }

    #[test]
    fn only_rates_and_latencies_are_slowness() {
        let three = |value: f64| Spread::of(&[value, value, value]).unwrap();
        let worse = |metric: &str, other: f64| difference(metric, three(1.0), three(other), true);
        assert!(refuse_slower(&[worse("peak_memory_mb.client", 2.0), worse("records_per_second", 2.0)]).is_ok());
        let slower = refuse_slower(&[worse("latency_ms_p50", 2.0), worse("records_per_second", 0.5)]).unwrap_err();
        assert_eq!(slower.to_string(), "slower: latency p50, ms; records/s");
        assert_eq!(slower.exit_code(), 3);
    }

    #[test]
    fn a_ratio_needs_something_to_divide_by() {
        let spread = |value| Spread::of(&[value]).unwrap();
        assert_eq!(difference("x", spread(0.0), spread(1.0), true).ratio, None);
        assert_eq!(difference("x", spread(2.0), spread(1.0), true).ratio, Some(0.5));
    }
}
