//! The judge: what consumers read, held against the inputs. Plain code over lists; every kind of wrong has a name.

mod finding;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use finding::{Finding, Kind, Place};

/// A record of the input topic, as a consumer reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRecord {
    pub place: Place,
    pub key: u32,
    /// Its place among the inputs of its key, from 1.
    pub sequence: i64,
    pub number: i64,
}

/// A record of an output topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRecord {
    pub place: Place,
    pub key: u32,
    pub sequence: i64,
    /// What it says besides: the number of its input, or the table's row after it.
    pub says: Says,
    pub process: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Number(i64),
    Row { count: i64, sum: i64 },
}

/// The inputs, by key in their order, with what a fold over them gives.
#[derive(Debug, Default)]
pub struct Inputs {
    /// By key: the n-th is the input of sequence n + 1.
    by_key: BTreeMap<u32, Vec<Folded>>,
    records: usize,
}

#[derive(Debug, Clone)]
struct Folded {
    number: i64,
    sum: i64,
    place: Place,
}

impl Inputs {
    /// Takes the input topic as it was read, partition by partition. What is wrong with it is the writer's or the brokers'
    /// fault, not the processors'.
    pub fn read(records: &[InputRecord], acknowledged: &[i64]) -> (Inputs, Vec<Finding>) {
        let mut inputs = Inputs { records: records.len(), ..Inputs::default() };
        let mut findings = Vec::new();
        for record in records {
            let key = inputs.by_key.entry(record.key).or_default();
            let expected = i64::try_from(key.len()).unwrap_or(i64::MAX) + 1;
            if record.sequence != expected {
                findings.push(Finding::Input { place: record.place.clone(), sequence: record.sequence, expected });
                continue;
            }
            let sum = key.last().map_or(0, |last| last.sum) + record.number;
            key.push(Folded { number: record.number, sum, place: record.place.clone() });
        }
        let written: HashSet<i64> = records.iter().map(|record| record.number).collect();
        let gone = acknowledged.iter().filter(|number| !written.contains(number));
        findings.extend(gone.map(|&number| Finding::InputGone { number }));
        (inputs, findings)
    }

    pub fn records(&self) -> usize {
        self.records
    }

    pub fn keys(&self) -> impl Iterator<Item = (u32, i64)> {
        self.by_key.iter().map(|(key, all)| (*key, i64::try_from(all.len()).unwrap_or(i64::MAX)))
    }

    fn get(&self, key: u32, sequence: i64) -> Option<&Folded> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.by_key.get(&key)?.get(index)
    }
}

/// Judges one output topic: each input once, in the order of its key, and saying what the fold says.
pub fn judge_topic(inputs: &Inputs, topic: &str, records: &[OutputRecord]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_key: HashMap<u32, Vec<&OutputRecord>> = HashMap::new();
    for record in records {
        match inputs.get(record.key, record.sequence) {
            None => findings.push(Finding::Unknown { topic: topic.to_owned(), record: record.clone() }),
            Some(folded) => {
                by_key.entry(record.key).or_default().push(record);
                findings.extend(wrong_content(topic, record, folded));
            }
        }
    }
    for (key, expected) in inputs.keys() {
        let read = by_key.get(&key).map_or(&[][..], Vec::as_slice);
        judge_key(inputs, topic, key, expected, read, &mut findings);
    }
    findings
}

/// One key's outputs in the order in which they stand in their partition.
fn judge_key(
    inputs: &Inputs,
    topic: &str,
    key: u32,
    expected: i64,
    records: &[&OutputRecord],
    findings: &mut Vec<Finding>,
) {
    let mut seen: HashMap<i64, Vec<&OutputRecord>> = HashMap::new();
    let mut highest: Option<&OutputRecord> = None;
    for record in records {
        if let Some(before) = highest.filter(|before| before.place.partition != record.place.partition) {
            let (topic, before) = (topic.to_owned(), before.place.clone());
            findings.push(Finding::Scattered { topic, before, record: (*record).clone() });
        }
        let again = seen.entry(record.sequence).or_default();
        again.push(record);
        // A doubled record is found as such; it is not out of order as well.
        if again.len() > 1 {
            continue;
        }
        match highest {
            Some(before) if before.sequence > record.sequence => findings.push(Finding::Disordered {
                topic: topic.to_owned(),
                after: before.clone(),
                record: (*record).clone(),
            }),
            _ => highest = Some(record),
        }
    }
    for sequence in 1..=expected {
        let Some(input) = inputs.get(key, sequence) else { continue };
        let (topic, number, input) = (topic.to_owned(), input.number, input.place.clone());
        match seen.get(&sequence).map_or(&[][..], Vec::as_slice) {
            [_] => {}
            [] => findings.push(Finding::Lost { topic, key, sequence, number, input }),
            several => {
                let records = several.iter().map(|record| (*record).clone()).collect();
                findings.push(Finding::Doubled { topic, key, sequence, number, input, records });
            }
        }
    }
}

fn wrong_content(topic: &str, record: &OutputRecord, folded: &Folded) -> Option<Finding> {
    let expected = match record.says {
        Says::Number(_) => Says::Number(folded.number),
        Says::Row { .. } => Says::Row { count: record.sequence, sum: folded.sum },
    };
    let (topic, input) = (topic.to_owned(), folded.place.clone());
    (record.says != expected).then(|| Finding::Wrong { topic, record: record.clone(), expected, input })
}

/// Judges a table by its changelog alone: the last row of each key is the fold of all its inputs.
pub fn judge_table(inputs: &Inputs, topic: &str, changelog: &[OutputRecord]) -> Vec<Finding> {
    let last: HashMap<u32, &OutputRecord> = changelog.iter().map(|record| (record.key, record)).collect();
    let expected = |key, sequence| inputs.get(key, sequence).map_or(0, |folded| folded.sum);
    let wrong = inputs.keys().filter_map(|(key, count)| {
        let expected = Says::Row { count, sum: expected(key, count) };
        let found = last.get(&key).map(|record| (*record).clone());
        let is_right = found.as_ref().is_some_and(|row| row.says == expected && row.sequence == count);
        (!is_right).then(|| Finding::Table { topic: topic.to_owned(), key, expected, found })
    });
    let mut findings: Vec<Finding> = wrong.collect();
    findings.sort_by_key(|finding| finding.place().map(|place| (place.partition, place.offset)));
    findings
}

/// What a reader saw while the faults went on must be there at the end, unchanged.
pub fn judge_observed(topic: &str, observed: &[(Place, u32, i64)], records: &[OutputRecord]) -> Vec<Finding> {
    let read: HashMap<(i32, i64), (u32, i64)> = records
        .iter()
        .map(|record| ((record.place.partition, record.place.offset), (record.key, record.sequence)))
        .collect();
    let is_there = |(place, key, sequence): &&(Place, u32, i64)| {
        read.get(&(place.partition, place.offset)) == Some(&(*key, *sequence))
    };
    let gone = observed.iter().filter(|seen| !is_there(seen));
    gone.map(|(place, key, sequence)| Finding::Vanished {
        topic: topic.to_owned(),
        place: place.clone(),
        key: *key,
        sequence: *sequence,
    })
    .collect()
}
