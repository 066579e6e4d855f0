//! Whether the target holds what was recorded: each partition's records, in their order, with their times and headers.
//!
//! A replay's order follows from the recording alone. So each target partition must hold one certain sequence, and a
//! number that stands for the sequence is all that is kept of it while both sides are read. Where two numbers differ, the
//! one partition is read again, side by side, to find the first record that differs.

mod chain;
mod locate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::plan::Target;
use super::progress::{self, Begin};
use super::reshape::{Registration, Reshape, Times};
use super::source::Source;
use super::{Replay, ReplayError};
use crate::kafka::{BulkReader, BulkSettings, ClientError, Lent, OffsetsClient, TopicPartition};
use chain::Chain;

pub use locate::{Difference, DifferenceKind};

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    pub partitions: usize,
}

/// A partition of a target: from where the replay began to the end of now.
struct Range {
    at: TopicPartition,
    target: usize,
    start: i64,
    end: i64,
}

const MAX_LENT_RECORDS: usize = 10_000;
/// Less than a recorder's: what is read waits for nobody.
const READ_AHEAD: BulkSettings = BulkSettings { max_prefetched_bytes: 8 * 1024 * 1024, max_prefetched_records: 20_000 };
const READ_WAIT: Duration = Duration::from_millis(100);
/// How long a partition that has more brings nothing.
const MAX_SILENCE: Duration = Duration::from_secs(60);
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

impl Replay {
    /// Compares the target with the recording, from where the replay began.
    ///
    /// # Errors
    /// [`ReplayError::Differs`] with the first difference, [`ReplayError::NotEnded`], [`ReplayError::Stopped`] where
    /// `stop` says so.
    pub fn verify(&self, stop: &dyn Fn(Duration) -> bool) -> Result<Verified, ReplayError> {
        let id = &self.plan.id;
        let stored = progress::load_settled(&self.connection, id, self.deadline)?;
        progress::check(&stored, id, &self.plan.digest)?;
        let not_ended = || ReplayError::NotEnded { id: id.clone() };
        let begin = stored.begin.as_ref().ok_or_else(not_ended)?;
        let (plan, span) = (&self.plan, self.settings.span);
        if Source::open(&self.recording, &plan.partitions, span, &stored.places())?.next()?.is_some() {
            return Err(not_ended());
        }
        let ranges = self.ranges(begin)?;
        let mut expected: BTreeMap<(usize, i32), Chain> = BTreeMap::new();
        let mut seen = 0_usize;
        self.each_expected(begin, |target, _, outgoing| {
            seen += 1;
            if seen.is_multiple_of(MAX_LENT_RECORDS) && stop(Duration::ZERO) {
                return Err(ReplayError::Stopped);
            }
            let partition = outgoing.partition.unwrap_or(0);
            expected.entry((target, partition)).or_default().add_outgoing(outgoing);
            Ok(())
        })?;
        let found = self.found(&ranges, stop)?;
        for (range, found) in ranges.iter().zip(&found) {
            let expected = expected.get(&(range.target, range.at.partition)).copied().unwrap_or_default();
            if expected != *found {
                return Err(ReplayError::Differs(Box::new(self.locate(begin, range)?)));
            }
        }
        Ok(Verified { records: found.iter().map(|chain| chain.records).sum(), partitions: ranges.len() })
    }

    fn ranges(&self, begin: &Begin) -> Result<Vec<Range>, ReplayError> {
        let offsets = OffsetsClient::new(&self.connection)?;
        let mut ranges = Vec::new();
        for (index, target) in self.plan.targets.iter().enumerate() {
            let partitions = partitions_of(target);
            let ends = offsets.settled_ends(&partitions, SETTLE_PATIENCE, self.deadline)?;
            // A partition that was added later begins at its beginning.
            let starts = begin.target_starts.get(&target.name).into_iter().flatten().copied();
            let starts = starts.chain(std::iter::repeat(0));
            let all = partitions.into_iter().zip(starts.zip(ends));
            ranges.extend(all.map(|(at, (start, end))| Range { at, target: index, start, end }));
        }
        Ok(ranges)
    }

    /// Calls `each` with each record that was to be sent: its target, where it was recorded, and what is sent of it.
    fn each_expected(
        &self,
        begin: &Begin,
        mut each: impl FnMut(usize, (&TopicPartition, i64), &crate::kafka::Outgoing<'_>) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        let (plan, settings) = (&self.plan, &self.settings);
        let times = Times { started_ms: begin.started_ms, shift_ms: begin.shift_ms };
        let mut reshape = Reshape::new(&self.recording, &self.registry, settings, plan, times, Registration::Register);
        let mut source = Source::open(&self.recording, &plan.partitions, settings.span, &BTreeMap::new())?;
        while let Some(next) = source.next()? {
            if reshape.wants(&next.record) {
                let at = &plan.partitions[next.stream];
                let outgoing = reshape.outgoing(next.stream, at, next.due_ms, &next.record)?;
                each(plan.target_of[next.stream], (at, next.record.offset), &outgoing)?;
            }
            source.pass();
        }
        Ok(())
    }

    /// The chain of each range as the target holds it.
    fn found(&self, ranges: &[Range], stop: &dyn Fn(Duration) -> bool) -> Result<Vec<Chain>, ReplayError> {
        let mut chains = vec![Chain::default(); ranges.len()];
        let reading: Vec<usize> = (0..ranges.len()).filter(|index| ranges[*index].start < ranges[*index].end).collect();
        let partitions: Vec<_> =
            reading.iter().map(|index| (ranges[*index].at.clone(), ranges[*index].start)).collect();
        let ends: Vec<i64> = reading.iter().map(|index| ranges[*index].end).collect();
        let mut reader = RangeReader::open(self, &partitions, ends)?;
        while reader.read(|source, record| chains[reading[source]].add_lent(record))? {
            if stop(Duration::ZERO) {
                return Err(ReplayError::Stopped);
            }
        }
        Ok(chains)
    }
}

fn partitions_of(target: &Target) -> Vec<TopicPartition> {
    let topic: Arc<str> = target.name.as_str().into();
    (0..target.partitions).map(|partition| TopicPartition { topic: Arc::clone(&topic), partition }).collect()
}

/// Reads partitions up to ends that are known beforehand.
struct RangeReader {
    reader: Option<BulkReader>,
    ends: Vec<i64>,
    is_read: Vec<bool>,
    last_record: Instant,
}

impl RangeReader {
    fn open(replay: &Replay, partitions: &[(TopicPartition, i64)], ends: Vec<i64>) -> Result<RangeReader, ClientError> {
        let reader = match partitions.is_empty() {
            true => None,
            false => Some(BulkReader::open(&replay.connection, partitions, &READ_AHEAD)?),
        };
        let is_read = vec![false; ends.len()];
        Ok(RangeReader { reader, ends, is_read, last_record: Instant::now() })
    }

    /// Reads some records; `false` where all partitions are read.
    fn read(&mut self, mut each: impl FnMut(usize, &crate::kafka::LentRecord<'_>)) -> Result<bool, ReplayError> {
        let (ends, is_read) = (&self.ends, &mut self.is_read);
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let records = reader.read(MAX_LENT_RECORDS, READ_WAIT, |lent| {
            match lent {
                Lent::Record(record) => {
                    let source = record.source();
                    if record.offset() < ends[source] {
                        each(source, &record);
                    }
                    is_read[source] |= record.offset() + 1 >= ends[source];
                }
                Lent::End { source, offset } => is_read[source] |= offset >= ends[source],
            }
            Ok::<(), ReplayError>(())
        })?;
        if records > 0 {
            self.last_record = Instant::now();
        } else if self.last_record.elapsed() > MAX_SILENCE && self.is_read.contains(&false) {
            let waited = self.last_record.elapsed();
            return Err(ClientError::TimedOut { operation: "reading the target", waited }.into());
        }
        Ok(self.is_read.contains(&false))
    }
}
