//! The receiving side of timed runs: records as soon as they are there, without waiting for a batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use unchain::kafka::{BulkReader, BulkSettings, Connection, Lent, TopicPartition};

use crate::BenchError;

/// A reader of its own partitions.
pub(crate) struct Receiver {
    reader: BulkReader,
}

const BATCH: usize = 1_000;
/// A stop is seen within this.
const WAIT: Duration = Duration::from_millis(50);

impl Receiver {
    pub(crate) fn open(connection: &Connection, share: &[(TopicPartition, i64)]) -> Result<Receiver, BenchError> {
        Ok(Receiver { reader: BulkReader::open(connection, share, &BulkSettings::default())? })
    }

    /// Hands each record's value on until it is told to stop.
    pub(crate) fn run(
        &mut self,
        stop: &AtomicBool,
        mut each: impl FnMut(&[u8]) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        while !stop.load(Ordering::Acquire) {
            self.next(&mut each)?;
        }
        Ok(())
    }

    /// Hands on what is there; waits a moment where nothing is.
    pub(crate) fn next(&mut self, each: &mut impl FnMut(&[u8]) -> Result<(), BenchError>) -> Result<usize, BenchError> {
        let mut hand_on = |lent: Lent<'_>| match lent {
            Lent::Record(record) => each(record.value().unwrap_or_default()),
            Lent::End { .. } => Ok(()),
        };
        // A batch is waited for until it is full, so the first record is asked for alone.
        let first = self.reader.read(1, WAIT, &mut hand_on)?;
        Ok(first + self.reader.read(BATCH, Duration::ZERO, &mut hand_on)?)
    }
}
