//! When a side is itself again after a fault: by what orders met that were due second by second.

use std::ops::Range;

use serde::Serialize;

use crate::judge::Fate;

/// A second is good when so many of its orders were accepted and completed ...
const GOOD_SHARE: f64 = 0.99;
/// ... and nine tenths of them in about the time that was usual before the fault.
const GOOD_QUANTILE: f64 = 0.9;
const USUAL_TIMES: f64 = 1.5;
const USUAL_PLUS_US: u64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Orders that were due so long after the fault's end, and all later ones, met nothing of it any more.
    After { seconds: f64 },
    /// The load ended before; so long after the fault's end all that was accepted was worked off.
    WorkedOffAfter { seconds: f64 },
    /// Not within the run.
    Never,
}

/// The seconds of a run, by when orders were due.
struct Seconds<'a> {
    began_us: u64,
    fates: Vec<Vec<&'a Fate>>,
}

/// Judges the time after a fault by the time before it. Times in microseconds on the clock of the fates.
pub fn recovery(fates: &[Fate], usual: Range<u64>, fault: Range<u64>) -> Recovery {
    let is_usual = |fate: &&Fate| fate.due_us >= usual.start && fate.is_complete_by(usual.end);
    let before: Vec<&Fate> = fates.iter().filter(is_usual).collect();
    let Some(usual_us) = completed_within(&before, GOOD_QUANTILE) else { return Recovery::Never };
    let limit_us = ((usual_us as f64 * USUAL_TIMES) as u64).max(usual_us + USUAL_PLUS_US);
    let seconds = Seconds::from(fates, fault.start);
    let is_good = |fates: &Vec<&Fate>| {
        let good = fates.iter().filter(|fate| fate.is_accepted && fate.completed_after_us.is_some()).count();
        good as f64 >= GOOD_SHARE * fates.len() as f64
            && completed_within(fates, GOOD_QUANTILE).is_some_and(|within_us| within_us <= limit_us)
    };
    let last_bad = seconds.fates.iter().rposition(|fates| !fates.is_empty() && !is_good(fates));
    let last_due = seconds.fates.iter().rposition(|fates| !fates.is_empty());
    let after = |at_us: u64| at_us.saturating_sub(fault.end) as f64 / 1e6;
    match last_bad {
        None => Recovery::After { seconds: 0.0 },
        Some(bad) if Some(bad) != last_due => {
            Recovery::After { seconds: after(seconds.began_us + (bad as u64 + 1) * 1_000_000) }
        }
        Some(_) if fates.iter().any(|fate| fate.is_accepted && fate.completed_after_us.is_none()) => Recovery::Never,
        // Whoever refused orders to the very end has not worked anything off.
        Some(bad) if seconds.fates[bad].iter().any(|fate| !fate.is_accepted) => Recovery::Never,
        Some(_) => {
            let ends = fates.iter().filter_map(|fate| Some(fate.due_us + fate.completed_after_us?));
            Recovery::WorkedOffAfter { seconds: after(ends.max().unwrap_or(fault.end)) }
        }
    }
}

impl<'a> Seconds<'a> {
    fn from(fates: &'a [Fate], began_us: u64) -> Seconds<'a> {
        let mut seconds: Vec<Vec<&Fate>> = Vec::new();
        for fate in fates.iter().filter(|fate| fate.due_us >= began_us) {
            let second = ((fate.due_us - began_us) / 1_000_000) as usize;
            if seconds.len() <= second {
                seconds.resize_with(second + 1, Vec::new);
            }
            seconds[second].push(fate);
        }
        Seconds { began_us, fates: seconds }
    }
}

/// The time within which this share of the completed orders was complete.
fn completed_within(fates: &[&Fate], share: f64) -> Option<u64> {
    let mut times: Vec<u64> = fates.iter().filter_map(|fate| fate.completed_after_us).collect();
    times.sort_unstable();
    let rank = (share * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Ten orders a second; each second's have this completion time in ms, or are refused.
    fn fates(seconds: &[Option<u64>]) -> Vec<Fate> {
        let of_second = |(second, ms): (usize, &Option<u64>)| {
            let after_us = ms.map(|ms| ms * 1_000);
            (0..10).map(move |order| Fate {
                due_us: second as u64 * SECOND + order * 100_000,
                is_accepted: after_us.is_some(),
                told_after_us: 1_000,
                completed_after_us: after_us,
            })
        };
        seconds.iter().enumerate().flat_map(of_second).collect()
    }

    /// Three usual seconds, a fault of two, then these.
    fn judged(after: &[Option<u64>]) -> Recovery {
        let all = [&[Some(100); 3][..], &[None; 2], after].concat();
        recovery(&fates(&all), 0..3 * SECOND, 3 * SECOND..5 * SECOND)
    }

    #[test]
    fn it_is_over_once_it_is_over_for_good() {
        assert_eq!(judged(&[Some(100); 4]), Recovery::After { seconds: 0.0 });
        assert_eq!(judged(&[Some(5_000), Some(190), Some(100)]), Recovery::After { seconds: 1.0 });
        assert_eq!(judged(&[Some(100), None, Some(100)]), Recovery::After { seconds: 2.0 });
    }

    #[test]
    fn a_backlog_that_outlives_the_load_is_worked_off_after_it() {
        let Recovery::WorkedOffAfter { seconds } = judged(&[Some(9_000), Some(9_000)]) else { panic!() };
        assert!((seconds - 10.9).abs() < 0.001, "{seconds}");
    }

    #[test]
    fn who_refuses_to_the_end_has_not_recovered() {
        assert_eq!(judged(&[Some(100), None]), Recovery::Never);
    }
}
