//! What a failing run prints: the schedule as it went, and what was going on around each wrong record.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::events::Event;
use crate::group_log::Generation;
use crate::observer::Seen;
use crate::transaction_log::Step;
use crate::verify::Finding;
use crate::workload::Group;

/// Findings that are told with all that was around them; of the rest there is one line each, up to a bound.
pub const TOLD: usize = 5;
const LISTED: usize = 50;
/// How far around a wrong record the history reaches.
pub const AROUND_MS: i64 = 12_000;

/// Everything that a history is told from.
pub struct Evidence<'a> {
    pub begun_ms: i64,
    pub events: &'a [Event],
    pub generations: &'a BTreeMap<Group, Vec<Generation>>,
    pub steps: &'a [Step],
    pub seen: &'a [Seen; 2],
}

/// The moment that a finding is about: the arrival of its record where the observer saw it, else the time of its input.
pub fn moment(finding: &Finding, seen: &[Seen; 2]) -> Option<i64> {
    let place = finding.place()?;
    let arrival = Group::ALL.iter().find_map(|group| {
        let is_its_topic = finding.topic() == Some(group.outputs().as_str());
        seen[*group as usize].arrival_of(place).filter(|_| is_its_topic)
    });
    Some(arrival.unwrap_or(place.timestamp_ms))
}

pub fn tell(findings: &[Finding], evidence: &Evidence<'_>) -> String {
    let mut out = String::from("schedule\n");
    for event in evidence.events {
        line(&mut out, evidence.begun_ms, event.at_ms, &format!("{:16} {}", event.who, event.what));
    }
    for finding in findings.iter().take(TOLD) {
        let _ = writeln!(out, "\n{finding}");
        if let Some(at_ms) = moment(finding, evidence.seen) {
            around(&mut out, finding, at_ms, evidence);
        }
    }
    if findings.len() > TOLD {
        let _ = writeln!(out, "\nfurther findings");
        for finding in findings.iter().skip(TOLD).take(LISTED) {
            let _ = writeln!(out, "  {finding}");
        }
        let left = findings.len().saturating_sub(TOLD + LISTED);
        if left > 0 {
            let _ = writeln!(out, "  and {left} more");
        }
    }
    out
}

fn around(out: &mut String, finding: &Finding, at_ms: i64, evidence: &Evidence<'_>) {
    let is_near = |other: i64| (at_ms - AROUND_MS..=at_ms + AROUND_MS).contains(&other);
    let mut lines: Vec<(i64, String)> = Vec::new();
    let events = evidence.events.iter().filter(|event| is_near(event.at_ms));
    lines.extend(events.map(|event| (event.at_ms, format!("{:16} {}", event.who, event.what))));
    let groups = Group::ALL.iter().filter(|group| is_about(finding, **group));
    for group in groups {
        let steps = evidence.steps.iter().filter(|step| is_near(step.at_ms) && step.id.starts_with(group.name()));
        lines.extend(steps.map(|step| {
            let (id, producer, epoch, state) = (&step.id, step.producer, step.epoch, step.state);
            (step.at_ms, format!("transaction      {id} producer {producer} epoch {epoch}: {state}"))
        }));
        let all = evidence.generations.get(group).map_or(&[][..], Vec::as_slice);
        let before = all.iter().rposition(|generation| generation.at_ms < at_ms - AROUND_MS);
        let near = all.iter().enumerate().filter(|(at, generation)| Some(*at) == before || is_near(generation.at_ms));
        lines.extend(near.map(|(_, generation)| {
            let members = generation.members.iter().map(|(client, partitions)| format!("{client}{partitions:?}"));
            let members = members.collect::<Vec<_>>().join(" ");
            (generation.at_ms, format!("{:16} generation {}: {members}", group.name(), generation.number))
        }));
    }
    lines.push((at_ms, "---------------- this record".to_owned()));
    lines.sort();
    lines.iter().for_each(|(at, text)| line(out, evidence.begun_ms, *at, text));
}

fn is_about(finding: &Finding, group: Group) -> bool {
    finding.topic().is_none_or(|topic| topic.starts_with(group.name()))
}

fn line(out: &mut String, begun_ms: i64, at_ms: i64, text: &str) {
    let since = at_ms - begun_ms;
    let _ = writeln!(out, "  {:>5}.{:03}  {text}", since.div_euclid(1_000), since.rem_euclid(1_000));
}
