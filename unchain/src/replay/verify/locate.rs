//! The first record of a partition that is not as it was recorded.

use std::collections::VecDeque;
use std::fmt;

use super::super::progress::Begin;
use super::{Range, RangeReader, Replay, ReplayError};
use crate::kafka::{Headers, Outgoing, Record, TopicPartition};

/// Where the target differs from the recording first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub kind: DifferenceKind,
    /// The target's topic and partition.
    pub at: TopicPartition,
    /// Which record of the partition's it is, since the replay began: 0 is the first one.
    pub index: u64,
    /// The record's key, the recorded one's where there is one.
    pub key: Option<Vec<u8>>,
    /// Where the record was recorded that was expected there.
    pub recorded: Option<(TopicPartition, i64)>,
    /// The offset of what the target has there.
    pub found_offset: Option<i64>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The recorded record is not there.
    Missing,
    /// The target has a record that was not recorded.
    Extra,
    /// Both have the record, at different places.
    Order,
    Key,
    Value,
    Timestamp,
    Headers,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DifferenceKind::Missing => "is missing",
            DifferenceKind::Extra => "was not recorded",
            DifferenceKind::Order => "is not in the recorded order",
            DifferenceKind::Key => "has another key",
            DifferenceKind::Value => "has another value",
            DifferenceKind::Timestamp => "has another timestamp",
            DifferenceKind::Headers => "has other headers",
        };
        write!(f, "record {} of {}/{} ", self.index, self.at.topic, self.at.partition)?;
        match &self.key {
            Some(key) => write!(f, "with key {:?} {what}", String::from_utf8_lossy(key))?,
            None => write!(f, "without a key {what}")?,
        }
        if let Some((at, offset)) = &self.recorded {
            write!(f, "; recorded as {}/{}, offset {offset}", at.topic, at.partition)?;
        }
        self.found_offset.map_or(Ok(()), |offset| write!(f, "; the target has offset {offset} there"))
    }
}

/// A record as it was to be sent.
struct Expected {
    recorded: (TopicPartition, i64),
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

/// How far around a difference is looked for what stands elsewhere.
const WINDOW_RECORDS: usize = 64;

/// Both sides of a partition, read side by side: what is equal is dropped.
struct SideBySide {
    reader: RangeReader,
    at: TopicPartition,
    found: VecDeque<Record>,
    is_at_end: bool,
    expected: VecDeque<Expected>,
    equal_records: u64,
}

impl Replay {
    /// Reads a partition that differs again, and finds where.
    pub(super) fn locate(&self, begin: &Begin, range: &Range) -> Result<Difference, ReplayError> {
        let partitions = [(range.at.clone(), range.start)];
        let is_empty = range.start >= range.end;
        let partitions = if is_empty { &[][..] } else { &partitions[..] };
        let ends = if is_empty { Vec::new() } else { vec![range.end] };
        let mut sides = SideBySide {
            reader: RangeReader::open(self, partitions, ends)?,
            at: range.at.clone(),
            found: VecDeque::new(),
            is_at_end: false,
            expected: VecDeque::new(),
            equal_records: 0,
        };
        self.each_expected(begin, |target, recorded, outgoing| {
            let is_here = target == range.target && outgoing.partition == Some(range.at.partition);
            // Beyond the window there is nothing more to be known.
            if is_here && sides.expected.len() < WINDOW_RECORDS {
                sides.expected.push_back(expected(recorded, outgoing));
                sides.drop_equal()?;
            }
            Ok(())
        })?;
        sides.fill(WINDOW_RECORDS)?;
        Ok(sides.difference())
    }
}

impl SideBySide {
    /// Reads until so many found records are there, or the end.
    fn fill(&mut self, records: usize) -> Result<(), ReplayError> {
        while self.found.len() < records && !self.is_at_end {
            let (found, at) = (&mut self.found, &self.at);
            self.is_at_end = !self.reader.read(|_, record| found.push_back(record.copy(at)))?;
        }
        Ok(())
    }

    fn drop_equal(&mut self) -> Result<(), ReplayError> {
        // The fronts are equal or differ for good.
        self.fill(1)?;
        while let (Some(expected), Some(found)) = (self.expected.front(), self.found.front())
            && unequal(expected, found).is_none()
        {
            self.expected.pop_front();
            self.found.pop_front();
            self.equal_records += 1;
        }
        Ok(())
    }

    fn difference(self) -> Difference {
        let (expected, found) = (self.expected.front(), self.found.front());
        let later = |wanted: &Expected| self.found.iter().any(|found| unequal(wanted, found).is_none());
        let recorded_later = |found: &Record| self.expected.iter().any(|wanted| unequal(wanted, found).is_none());
        let kind = match (expected, found) {
            (Some(_), None) => DifferenceKind::Missing,
            (None, _) => DifferenceKind::Extra,
            (Some(expected), Some(found)) => match (later(expected), recorded_later(found)) {
                (true, true) => DifferenceKind::Order,
                (true, false) => DifferenceKind::Extra,
                (false, true) => DifferenceKind::Missing,
                (false, false) => unequal(expected, found).unwrap_or(DifferenceKind::Value),
            },
        };
        let of_target = found.filter(|_| kind == DifferenceKind::Extra).or(found.filter(|_| expected.is_none()));
        let key = match of_target {
            Some(found) => found.key.as_ref().map(|key| key.to_vec()),
            None => expected.and_then(|expected| expected.key.clone()),
        };
        Difference {
            kind,
            at: self.at.clone(),
            index: self.equal_records,
            key,
            recorded: expected.map(|expected| expected.recorded.clone()),
            found_offset: found.map(|found| found.offset),
        }
    }
}

fn expected((at, offset): (&TopicPartition, i64), outgoing: &Outgoing<'_>) -> Expected {
    Expected {
        recorded: (at.clone(), offset),
        timestamp_ms: outgoing.timestamp_ms.unwrap_or(-1),
        key: outgoing.key.map(<[u8]>::to_vec),
        value: outgoing.value.map(<[u8]>::to_vec),
        headers: outgoing.headers.clone(),
    }
}

/// The first thing in which two records differ.
fn unequal(expected: &Expected, found: &Record) -> Option<DifferenceKind> {
    if expected.key.as_deref() != found.key.as_deref() {
        return Some(DifferenceKind::Key);
    }
    if expected.value.as_deref() != found.value.as_deref() {
        return Some(DifferenceKind::Value);
    }
    if expected.timestamp_ms != found.timestamp_ms {
        return Some(DifferenceKind::Timestamp);
    }
    (expected.headers != found.headers).then_some(DifferenceKind::Headers)
}
