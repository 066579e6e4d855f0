//! The summary of a run: on one screen, or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::verify::{Finding, Kind};
use crate::{broker_faults, fleet};

/// What one group's consumers lived through.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupReport {
    pub name: &'static str,
    pub rebalances: usize,
    pub longest_pause_ms: i64,
    /// When the pause began, in milliseconds from the beginning of the faults.
    pub pause_at_ms: i64,
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    pub brokers: u16,
    pub inputs: usize,
    /// Records judged, of all output topics.
    pub judged: usize,
    pub counts: BTreeMap<&'static str, u32>,
    pub groups: Vec<GroupReport>,
    pub findings: BTreeMap<&'static str, usize>,
}

/// The counts of both tracks by the names under which they are printed.
pub fn counts(processes: &fleet::Counts, others: &broker_faults::Counts) -> BTreeMap<&'static str, u32> {
    let of = |count: &std::sync::atomic::AtomicU32| count.load(Ordering::Relaxed);
    let (kills, stops) = (of(&others.broker_kills), of(&others.broker_stops));
    BTreeMap::from([
        ("process_starts", processes.starts),
        ("process_kills", processes.kills),
        ("process_freezes", processes.freezes),
        ("zombies", processes.zombies),
        ("scaled_out", processes.scaled_out),
        ("scaled_in", processes.scaled_in),
        ("ended_by_themselves", processes.ended_by_themselves),
        ("overdue_ends", processes.overdue_ends),
        ("broker_restarts", kills + stops),
        ("broker_kills", kills),
        ("broker_stops", stops),
        ("coordinator_moves", of(&others.coordinator_moves)),
        ("connection_cuts", of(&others.cuts)),
        ("connection_stalls", of(&others.stalls)),
        ("connection_delays", of(&others.delays)),
    ])
}

/// How many findings there are of each kind, all kinds named.
pub fn by_kind(findings: &[Finding]) -> BTreeMap<&'static str, usize> {
    let count = |kind: Kind| findings.iter().filter(|finding| finding.kind() == kind).count();
    Kind::ALL.into_iter().map(|kind| (kind.name(), count(kind))).collect()
}

impl Report {
    pub fn is_right(&self) -> bool {
        self.findings.values().all(|count| *count == 0)
    }

    pub fn rebalances(&self) -> usize {
        self.groups.iter().map(|group| group.rebalances).sum()
    }

    pub fn to_json(&self) -> Value {
        let groups = self.groups.iter().map(|group| {
            json!({ "name": group.name, "rebalances": group.rebalances, "longest_pause_ms": group.longest_pause_ms,
                "pause_at_ms": group.pause_at_ms })
        });
        json!({
            "seed": self.seed, "seconds": self.seconds, "brokers": self.brokers, "inputs": self.inputs,
            "judged": self.judged, "faults": self.counts, "rebalances": self.rebalances(),
            "groups": groups.collect::<Vec<_>>(), "findings": self.findings, "exactly_once": self.is_right(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} s of faults, {} brokers\n", self.seed, self.seconds, self.brokers)?;
        for (name, count) in &self.counts {
            writeln!(f, "{:>24}  {count}", name.replace('_', " "))?;
        }
        writeln!(f, "{:>24}  {}", "rebalances", self.rebalances())?;
        writeln!(f, "{:>24}  {}", "inputs", self.inputs)?;
        writeln!(f, "{:>24}  {}", "records judged", self.judged)?;
        for group in &self.groups {
            let (pause, at) = (group.longest_pause_ms as f64 / 1e3, group.pause_at_ms as f64 / 1e3);
            writeln!(
                f,
                "{:>24}  longest pause {pause:.1} s, at {at:.1} s; {} rebalances",
                group.name, group.rebalances
            )?;
        }
        writeln!(f)?;
        for (name, count) in &self.findings {
            writeln!(f, "{:>24}  {count}", name.replace('_', " "))?;
        }
        let verdict = if self.is_right() { "every record exactly once, in order" } else { "NOT exactly once" };
        write!(f, "\nverdict: {verdict}")
    }
}
