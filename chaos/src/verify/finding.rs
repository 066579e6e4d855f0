//! What can be wrong with a record, each kind with the facts that lead to its cause.

use std::fmt;

use super::{OutputRecord, Says};

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
    /// The record's timestamp: of an output, that of its input.
    pub timestamp_ms: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// One wrong thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An input has no record in a topic.
    Lost { topic: String, key: u32, sequence: i64, number: i64, input: Place },
    /// An input has several.
    Doubled { topic: String, key: u32, sequence: i64, number: i64, input: Place, records: Vec<OutputRecord> },
    /// A record of a key stands behind one of a later input.
    Disordered { topic: String, after: OutputRecord, record: OutputRecord },
    /// Records of one key stand in several partitions.
    Scattered { topic: String, before: Place, record: OutputRecord },
    /// A record says something else than its input, or than the fold up to it.
    Wrong { topic: String, record: OutputRecord, expected: Says, input: Place },
    /// A record stems from no input.
    Unknown { topic: String, record: OutputRecord },
    /// A table's last row of a key is not the fold of its inputs.
    Table { topic: String, key: u32, expected: Says, found: Option<OutputRecord> },
    /// A reader saw it as committed, and it is gone.
    Vanished { topic: String, place: Place, key: u32, sequence: i64 },
    /// A record became a dead letter, which no record of this workload may.
    DeadLetter { place: Place },
    /// The input topic itself has a gap, a double or a swap.
    Input { place: Place, sequence: i64, expected: i64 },
    /// An acknowledged input is gone.
    InputGone { number: i64 },
}

/// The kinds that a summary counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Lost,
    Doubled,
    Disordered,
    WrongRow,
    Foreign,
    Input,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Lost, Kind::Doubled, Kind::Disordered, Kind::WrongRow, Kind::Foreign, Kind::Input];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Lost => "lost",
            Kind::Doubled => "doubled",
            Kind::Disordered => "disordered",
            Kind::WrongRow => "wrong_rows",
            Kind::Foreign => "foreign",
            Kind::Input => "wrong_inputs",
        }
    }
}

impl Finding {
    pub fn kind(&self) -> Kind {
        match self {
            Finding::Lost { .. } | Finding::Vanished { .. } | Finding::DeadLetter { .. } => Kind::Lost,
            Finding::Doubled { .. } => Kind::Doubled,
            Finding::Disordered { .. } | Finding::Scattered { .. } => Kind::Disordered,
            Finding::Wrong { .. } | Finding::Table { .. } => Kind::WrongRow,
            Finding::Unknown { .. } => Kind::Foreign,
            Finding::Input { .. } | Finding::InputGone { .. } => Kind::Input,
        }
    }

    /// The topic and the record to look at first.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Finding::Lost { input, .. } => Some(input),
            Finding::Doubled { records, .. } => records.last().map(|record| &record.place),
            Finding::Disordered { record, .. }
            | Finding::Scattered { record, .. }
            | Finding::Wrong { record, .. }
            | Finding::Unknown { record, .. } => Some(&record.place),
            Finding::Table { found, .. } => found.as_ref().map(|record| &record.place),
            Finding::Vanished { place, .. } | Finding::DeadLetter { place } | Finding::Input { place, .. } => {
                Some(place)
            }
            Finding::InputGone { .. } => None,
        }
    }

    /// The key and the sequence of the input that it is about.
    pub fn subject(&self) -> Option<(u32, i64)> {
        match self {
            Finding::Lost { key, sequence, .. }
            | Finding::Doubled { key, sequence, .. }
            | Finding::Vanished { key, sequence, .. } => Some((*key, *sequence)),
            Finding::Disordered { record, .. }
            | Finding::Scattered { record, .. }
            | Finding::Wrong { record, .. }
            | Finding::Unknown { record, .. } => Some((record.key, record.sequence)),
            Finding::Table { key, found, .. } => found.as_ref().map(|record| (*key, record.sequence)),
            Finding::DeadLetter { .. } | Finding::Input { .. } | Finding::InputGone { .. } => None,
        }
    }

    pub fn topic(&self) -> Option<&str> {
        match self {
            Finding::Lost { topic, .. }
            | Finding::Doubled { topic, .. }
            | Finding::Disordered { topic, .. }
            | Finding::Scattered { topic, .. }
            | Finding::Wrong { topic, .. }
            | Finding::Unknown { topic, .. }
            | Finding::Table { topic, .. }
            | Finding::Vanished { topic, .. } => Some(topic),
            Finding::DeadLetter { .. } | Finding::Input { .. } | Finding::InputGone { .. } => None,
        }
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Says::Number(number) => write!(f, "number {number}"),
            Says::Row { count, sum } => write!(f, "count {count}, sum {sum}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Lost { topic, key, sequence, number, input } => {
                write!(f, "LOST {topic}: input {input}, number {number}, k{key} #{sequence}, has no record")
            }
            Finding::Doubled { topic, key, sequence, number, input, records } => {
                write!(
                    f,
                    "DOUBLED {topic}: input {input}, number {number}, k{key} #{sequence}, has {}:",
                    records.len()
                )?;
                records.iter().try_for_each(|record| write!(f, " {} by {}", record.place, record.process))
            }
            Finding::Disordered { topic, after, record } => write!(
                f,
                "DISORDERED {topic}: k{} #{} at {} by {} stands behind #{} at {} by {}",
                record.key, record.sequence, record.place, record.process, after.sequence, after.place, after.process
            ),
            Finding::Scattered { topic, before, record } => {
                write!(f, "SCATTERED {topic}: k{} stands at {before} and at {}", record.key, record.place)
            }
            Finding::Wrong { topic, record, expected, input } => write!(
                f,
                "WRONG {topic}: k{} #{} at {} by {} says {}, by input {input} it is {expected}",
                record.key, record.sequence, record.place, record.process, record.says
            ),
            Finding::Unknown { topic, record } => write!(
                f,
                "UNKNOWN {topic}: k{} #{} at {} by {} stems from no input",
                record.key, record.sequence, record.place, record.process
            ),
            Finding::Table { topic, key, expected, found: Some(found) } => write!(
                f,
                "TABLE {topic}: k{key} ends at {} with {} by {}, the fold of its inputs is {expected}",
                found.place, found.says, found.process
            ),
            Finding::Table { topic, key, expected, found: None } => {
                write!(f, "TABLE {topic}: k{key} has no row, the fold of its inputs is {expected}")
            }
            Finding::Vanished { topic, place, key, sequence } => {
                write!(
                    f,
                    "VANISHED {topic}: k{key} #{sequence} was read at {place} during the run, and is not there now"
                )
            }
            Finding::DeadLetter { place } => write!(f, "DEAD LETTER at {place}"),
            Finding::Input { place, sequence, expected } => {
                write!(f, "INPUT {place}: #{sequence} where #{expected} comes next")
            }
            Finding::InputGone { number } => write!(f, "INPUT number {number} was acknowledged and is gone"),
        }
    }
}
