//! What a failing run prints: the schedule as it went, and what was going on around each wrong record.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Failure;
use crate::cluster::Cluster;
use crate::events::Event;
use crate::group_log::Generation;
use crate::judging::{Read, Topic, read_outputs};
use crate::observer::Seen;
use crate::reading::Isolation;
use crate::transaction_log::{Step, read_steps};
use crate::verify::{Finding, OutputRecord};
use crate::workload::Group;

/// Findings that are told with all that was around them; of the rest there is one line each, up to a bound.
const TOLD: usize = 5;
const LISTED: usize = 50;
/// How far around a wrong record the history reaches.
const AROUND_MS: i64 = 12_000;
/// Transactions are many: those within this time.
const STEPS_AROUND_MS: i64 = 3_000;

/// The moment that a finding is about: the arrival of its record where the observer saw it, else the time of its input.
pub fn moment(finding: &Finding, seen: &[Seen; 2]) -> Option<i64> {
    let place = finding.place()?;
    let arrival = Group::ALL.iter().find_map(|group| {
        let is_its_topic = finding.topic() == Some(group.outputs().as_str());
        seen[*group as usize].arrival_of(place).filter(|_| is_its_topic)
    });
    Some(arrival.unwrap_or(place.timestamp_ms))
}

/// Everything that a history is told from.
pub struct Evidence<'a> {
    begun_ms: i64,
    events: &'a [Event],
    generations: &'a BTreeMap<Group, Vec<Generation>>,
    read: &'a Read,
    steps: Vec<Step>,
    /// Of topics with lost records: what stands there, of aborted transactions too.
    uncommitted: Vec<(String, Vec<OutputRecord>)>,
}

impl<'a> Evidence<'a> {
    /// Asks the brokers for what else they know.
    pub fn gather(
        cluster: &Cluster,
        events: &'a [Event],
        generations: &'a BTreeMap<Group, Vec<Generation>>,
        read: &'a Read,
        begun_ms: i64,
    ) -> Result<Evidence<'a>, Failure> {
        let told = || read.findings.iter().take(TOLD);
        let moments: Vec<i64> = told().filter_map(|finding| moment(finding, &read.seen)).collect();
        let is_near = |at: i64| moments.iter().any(|moment| (at - moment).abs() <= STEPS_AROUND_MS);
        let steps = read_steps(cluster, is_near)?;
        let mut uncommitted = Vec::new();
        let has_lost = |topic: &&Topic| {
            told().any(|finding| matches!(finding, Finding::Lost { topic: lost, .. } if *lost == topic.name))
        };
        for topic in read.topics.iter().filter(has_lost) {
            let Topic { name, partitions, values, .. } = topic;
            let all = read_outputs(&cluster.bootstrap(), name, *partitions, *values, Isolation::Uncommitted)?;
            uncommitted.push((name.clone(), all));
        }
        Ok(Evidence { begun_ms, events, generations, read, steps, uncommitted })
    }

    pub fn tell(&self) -> String {
        let mut out = schedule(self.events, self.begun_ms);
        let findings = &self.read.findings;
        for finding in findings.iter().take(TOLD) {
            let _ = writeln!(out, "\n{finding}");
            self.siblings(&mut out, finding);
            if let Some(at_ms) = moment(finding, &self.read.seen) {
                self.around(&mut out, finding, at_ms);
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

    /// What else the same input led to, and what of it was aborted.
    fn siblings(&self, out: &mut String, finding: &Finding) {
        let Some((key, sequence)) = finding.subject() else { return };
        let is_one = |record: &&OutputRecord| record.key == key && record.sequence == sequence;
        for topic in self.read.topics.iter().filter(|topic| same_group(finding, &topic.name)) {
            for record in topic.records.iter().filter(is_one) {
                let _ = writeln!(out, "  committed in {} at {} by {}", topic.name, record.place, record.process);
            }
        }
        for (name, records) in self.uncommitted.iter().filter(|(name, _)| finding.topic() == Some(name)) {
            for record in records.iter().filter(is_one) {
                let _ = writeln!(out, "  not committed in {name} at {} by {}", record.place, record.process);
            }
        }
    }

    fn around(&self, out: &mut String, finding: &Finding, at_ms: i64) {
        let is_near = |other: i64| (at_ms - AROUND_MS..=at_ms + AROUND_MS).contains(&other);
        let is_very_near = |other: i64| (at_ms - STEPS_AROUND_MS..=at_ms + STEPS_AROUND_MS).contains(&other);
        let mut lines: Vec<(i64, String)> = Vec::new();
        let events = self.events.iter().filter(|event| is_near(event.at_ms));
        lines.extend(events.map(|event| (event.at_ms, format!("{:16} {}", event.who, event.what))));
        for group in Group::ALL.iter().filter(|group| same_group(finding, group.name())) {
            let is_its = |step: &&Step| is_very_near(step.at_ms) && step.id.starts_with(group.name());
            lines.extend(self.steps.iter().filter(is_its).map(|step| {
                let (id, producer, epoch, state) = (&step.id, step.producer, step.epoch, step.state);
                (step.at_ms, format!("transaction      {id} producer {producer} epoch {epoch}: {state}"))
            }));
            let all = self.generations.get(group).map_or(&[][..], Vec::as_slice);
            let before = all.iter().rposition(|generation| generation.at_ms < at_ms - AROUND_MS);
            let near =
                all.iter().enumerate().filter(|(at, generation)| Some(*at) == before || is_near(generation.at_ms));
            lines.extend(near.map(|(_, generation)| {
                let members = generation.members.iter().map(|(client, partitions)| format!("{client}{partitions:?}"));
                let members = members.collect::<Vec<_>>().join(" ");
                (generation.at_ms, format!("{:16} generation {}: {members}", group.name(), generation.number))
            }));
        }
        lines.push((at_ms, "---------------- this record".to_owned()));
        lines.sort();
        lines.iter().for_each(|(at, text)| line(out, self.begun_ms, *at, text));
    }
}

/// What was done and seen, in its order, in seconds since a moment.
pub fn schedule(events: &[Event], since_ms: i64) -> String {
    let mut out = String::from("schedule\n");
    for event in events {
        line(&mut out, since_ms, event.at_ms, &format!("{:16} {}", event.who, event.what));
    }
    out
}

fn line(out: &mut String, since_ms: i64, at_ms: i64, text: &str) {
    let since = at_ms - since_ms;
    let sign = if since < 0 { "-" } else { "" };
    let _ = writeln!(out, "  {sign}{:>5}.{:03}  {text}", since.abs() / 1_000, since.abs() % 1_000);
}

/// Whether a finding is about the group that a topic is of; one about the inputs is about both.
fn same_group(finding: &Finding, name: &str) -> bool {
    let group = Group::ALL.into_iter().find(|group| name.starts_with(group.name()));
    finding.topic().is_none_or(|topic| group.is_some_and(|group| topic.starts_with(group.name())))
}
