//! What several runs of the same thing say together.

use serde::{Deserialize, Serialize};

/// The median of some runs, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` where there was no run.
    pub fn of(runs: &[f64]) -> Option<Spread> {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Spread { median, min, max })
    }
}

/// Whether two sets of runs differ by more than their own spreads: no run of the one lies among those of the other.
///
/// With three runs a side that happens by chance once in ten comparisons of equals; with five, once in 126.
pub fn differ(one: &Spread, other: &Spread) -> bool {
    one.max < other.min || other.max < one.min
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_run_or_between_two() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn runs_differ_where_they_do_not_overlap() {
        let spread = |runs: &[f64]| Spread::of(runs).unwrap();
        assert!(differ(&spread(&[1.0, 2.0, 3.0]), &spread(&[3.1, 4.0, 5.0])));
        assert!(!differ(&spread(&[1.0, 2.0, 3.0]), &spread(&[2.9, 4.0, 5.0])));
    }
}
