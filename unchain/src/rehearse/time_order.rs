//! The records of some topics of a recording, merged over their partitions by time.
//!
//! A record's turn is at the latest time that its partition has had so far: partitions keep their order, and a record
//! that came late stays late. Each partition holds one block in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::kafka::{Record, TopicPartition};
use crate::recording::{PartitionReader, Recording, RecordingError, Span};

/// Records with their turns; equal turns go by topic, as the topics were named, and by partition.
pub(super) struct TimeOrder {
    partitions: Vec<Partition>,
    /// Each partition's next turn.
    turns: BinaryHeap<Reverse<(i64, usize)>>,
}

struct Partition {
    at: TopicPartition,
    reader: PartitionReader,
    /// What is left of the block, the next record last.
    block: Vec<Record>,
    turn_ms: i64,
}

impl TimeOrder {
    pub(super) fn of<'a>(
        recording: &Recording,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> Result<TimeOrder, RecordingError> {
        let (all, mut partitions) = (recording.partitions(), Vec::new());
        for topic in topics {
            for at in all.iter().filter(|at| &*at.topic == topic) {
                let reader = recording.read(at, Span::default());
                partitions.push(Partition { at: at.clone(), reader, block: Vec::new(), turn_ms: i64::MIN });
            }
        }
        let mut turns = BinaryHeap::new();
        for (index, partition) in partitions.iter_mut().enumerate() {
            if partition.advance()? {
                turns.push(Reverse((partition.turn_ms, index)));
            }
        }
        Ok(TimeOrder { partitions, turns })
    }

    /// The next record's turn.
    pub(super) fn next_turn_ms(&self) -> Option<i64> {
        self.turns.peek().map(|Reverse((turn_ms, _))| *turn_ms)
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, RecordingError> {
        let Some(mut turn) = self.turns.peek_mut() else { return Ok(None) };
        let partition = &mut self.partitions[turn.0.1];
        let record = partition.block.pop();
        if partition.advance()? {
            turn.0.0 = partition.turn_ms;
        } else {
            PeekMut::pop(turn);
        }
        Ok(record)
    }
}

impl Partition {
    /// Makes the next record the last of the block; tells whether there is one.
    fn advance(&mut self) -> Result<bool, RecordingError> {
        while self.block.is_empty() {
            let Some(mut block) = self.reader.next_block()? else { return Ok(false) };
            while let Some(record) = block.next_record()? {
                self.block.push(record.to_record(&self.at));
            }
            self.block.reverse();
        }
        let next_ms = self.block.last().map_or(i64::MIN, |record| record.timestamp_ms);
        self.turn_ms = self.turn_ms.max(next_ms);
        Ok(true)
    }
}
