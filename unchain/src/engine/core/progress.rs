//! Completed-offset tracking: which records of a partition are in flight, and how far an unbroken run of them is done.

use std::collections::VecDeque;

/// The records of one partition between the first that is not complete and the last that was read.
#[derive(Debug)]
pub struct Progress<O> {
    in_flight: VecDeque<InFlight<O>>,
    /// The sequence number of the first entry of `in_flight`.
    first_sequence: u64,
    bytes: usize,
}

#[derive(Debug)]
struct InFlight<O> {
    next_offset: i64,
    bytes: usize,
    outcome: Option<O>,
}

impl<O> Default for Progress<O> {
    fn default() -> Self {
        Progress { in_flight: VecDeque::new(), first_sequence: 0, bytes: 0 }
    }
}

impl<O> Progress<O> {
    /// Takes note of the next record, which ends before `next_offset`; returns its sequence number.
    pub fn admit(&mut self, next_offset: i64, bytes: usize) -> u64 {
        self.in_flight.push_back(InFlight { next_offset, bytes, outcome: None });
        self.bytes += bytes;
        self.first_sequence + self.in_flight.len() as u64 - 1
    }

    /// The record is done, though earlier ones may not be.
    pub fn complete(&mut self, sequence: u64, outcome: O) {
        let place = sequence.checked_sub(self.first_sequence).and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.in_flight.get_mut(place));
        entry.expect("a record completes once, before it is taken").outcome = Some(outcome);
    }

    /// Takes the first record if it is done: its outcome, and the offset that may be committed with it.
    pub fn take_first(&mut self) -> Option<(i64, usize, O)> {
        let outcome = self.in_flight.front_mut()?.outcome.take()?;
        let first = self.in_flight.pop_front()?;
        self.first_sequence += 1;
        self.bytes -= first.bytes;
        Some((first.next_offset, first.bytes, outcome))
    }

    /// The offset after the first record in flight.
    pub fn first_next_offset(&self) -> Option<i64> {
        self.in_flight.front().map(|first| first.next_offset)
    }

    /// Records in flight, those that are done behind an unfinished one included.
    pub fn records(&self) -> usize {
        self.in_flight.len()
    }

    /// Input bytes of the records in flight.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In whatever order records complete, exactly the unbroken run from the first is given out, in order.
        #[test]
        fn only_an_unbroken_run_is_taken(order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle()) {
            let mut progress = Progress::default();
            for record in 0..order.len() {
                prop_assert_eq!(progress.admit(record as i64 + 1, 10), record as u64);
            }
            let (mut done, mut taken) = (vec![false; order.len()], 0);
            for record in order {
                progress.complete(record as u64, record);
                done[record] = true;
                while let Some((next_offset, _, outcome)) = progress.take_first() {
                    prop_assert_eq!((next_offset, outcome), (taken as i64 + 1, taken));
                    taken += 1;
                }
                prop_assert_eq!(taken, done.iter().take_while(|done| **done).count());
                prop_assert_eq!(progress.records(), done.len() - taken);
                prop_assert_eq!(progress.bytes(), 10 * progress.records());
            }
        }
    }
}
