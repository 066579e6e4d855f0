//! Reads every topic of a run and lets the judge look at it.

use unchain::contract::system;

use crate::Failure;
use crate::history::moment;
use crate::observer::{OUTPUT_PARTITIONS, Seen};
use crate::reading::{Decoding, Isolation, Values, await_decided, place, read_topic};
use crate::verify::{Finding, Inputs, OutputRecord, judge_observed, judge_table, judge_topic};
use crate::workload::{Group, INPUT_PARTITIONS, INPUTS};

/// One output topic as it was read.
#[derive(Debug)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub values: Values,
    pub records: Vec<OutputRecord>,
}

/// Everything that was read, and what is wrong with it.
#[derive(Debug)]
pub struct Read {
    pub inputs: Inputs,
    pub topics: Vec<Topic>,
    pub seen: [Seen; 2],
    pub findings: Vec<Finding>,
}

impl Read {
    pub fn all(bootstrap: &str, acknowledged: &[i64], seen: [Seen; 2]) -> Result<Read, Failure> {
        let mut decoding = Decoding::new()?;
        let mut records = Vec::new();
        read_topic(bootstrap, INPUTS, INPUT_PARTITIONS, Isolation::Committed, |message| {
            records.push(decoding.input(message)?);
            Ok(())
        })?;
        let (inputs, mut findings) = Inputs::read(&records, acknowledged);
        let mut topics = Vec::new();
        for group in Group::ALL {
            for (name, partitions, values) in [
                (group.outputs(), OUTPUT_PARTITIONS, Values::Outputs),
                (group.updates(), OUTPUT_PARTITIONS, Values::Updates),
                (group.totals(), INPUT_PARTITIONS, Values::Totals),
            ] {
                await_decided(bootstrap, &name, partitions)?;
                let records = read_outputs(bootstrap, &name, partitions, values, Isolation::Committed)?;
                findings.extend(judge_topic(&inputs, &name, &records));
                match values {
                    Values::Outputs => {
                        findings.extend(judge_observed(&name, &seen[group as usize].records, &records));
                    }
                    Values::Totals => findings.extend(judge_table(&inputs, &name, &records)),
                    Values::Updates => {}
                }
                topics.push(Topic { name, partitions, values, records });
            }
        }
        for letters in system::TOPICS {
            read_topic(bootstrap, letters.name, letters.partitions, Isolation::Committed, |message| {
                findings.push(Finding::DeadLetter { place: place(message) });
                Ok(())
            })?;
        }
        Ok(Read { inputs, topics, seen, findings })
    }

    pub fn judged(&self) -> usize {
        self.topics.iter().map(|topic| topic.records.len()).sum()
    }

    /// Puts what happened first to the front: what follows may be its consequence.
    pub fn sort_findings(&mut self) {
        let seen = &self.seen;
        self.findings.sort_by_key(|finding| moment(finding, seen));
    }
}

/// The records of an output topic.
pub fn read_outputs(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    values: Values,
    isolation: Isolation,
) -> Result<Vec<OutputRecord>, Failure> {
    let (mut decoding, mut records) = (Decoding::new()?, Vec::new());
    read_topic(bootstrap, name, partitions, isolation, |message| {
        records.push(decoding.output(values, message)?);
        Ok(())
    })?;
    Ok(records)
}
