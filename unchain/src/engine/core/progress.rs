//! Completed-offset tracking: which records of a lane group are in flight, and how far an unbroken run of them is done.

use std::collections::VecDeque;

use super::Slot;

/// The records of the partitions that share tables (mostly that is one) between the first that is not complete and the
/// last that was read, in the order of reading.
///
/// One order for all of them: a record may have seen table writes of any that was completed before it, so it must not be
/// committed before those.
#[derive(Debug)]
pub struct Progress<O> {
    in_flight: VecDeque<InFlight<O>>,
    /// The sequence number of the first entry of `in_flight`.
    first_sequence: u64,
    bytes: usize,
}

#[derive(Debug)]
struct InFlight<O> {
    slot: Slot,
    next_offset: i64,
    bytes: usize,
    state: State<O>,
}

#[derive(Debug)]
enum State<O> {
    Running,
    Done(O),
    /// Its partition was given away.
    Forgotten,
}

/// A record that is done, as all before it are.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken<O> {
    pub slot: Slot,
    /// The offset of its partition that may be committed with it.
    pub next_offset: i64,
    pub bytes: usize,
    pub outcome: O,
}

impl<O> Default for Progress<O> {
    fn default() -> Self {
        Progress { in_flight: VecDeque::new(), first_sequence: 0, bytes: 0 }
    }
}

impl<O> Progress<O> {
    /// Takes note of the next record, which ends before `next_offset`; returns its sequence number.
    pub fn admit(&mut self, slot: Slot, next_offset: i64, bytes: usize) -> u64 {
        self.in_flight.push_back(InFlight { slot, next_offset, bytes, state: State::Running });
        self.bytes += bytes;
        self.first_sequence + self.in_flight.len() as u64 - 1
    }

    /// The record is done, though earlier ones may not be; its result takes so many bytes.
    pub fn complete(&mut self, sequence: u64, result_bytes: usize, outcome: O) {
        let place = sequence.checked_sub(self.first_sequence).and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.in_flight.get_mut(place));
        let entry = entry.expect("a record completes once, before it is taken");
        entry.state = State::Done(outcome);
        entry.bytes += result_bytes;
        self.bytes += result_bytes;
    }

    /// Whether the record is the first in flight: what it leads to is committed next.
    pub fn is_first(&self, sequence: u64) -> bool {
        sequence == self.first_sequence
    }

    /// Takes the first record if it is done.
    pub fn take_first(&mut self) -> Option<Taken<O>> {
        loop {
            if matches!(self.in_flight.front()?.state, State::Running) {
                return None;
            }
            let InFlight { slot, next_offset, bytes, state } = self.in_flight.pop_front()?;
            self.first_sequence += 1;
            self.bytes -= bytes;
            if let State::Done(outcome) = state {
                return Some(Taken { slot, next_offset, bytes, outcome });
            }
        }
    }

    /// Waits no longer for the records of a partition.
    pub fn forget(&mut self, slot: Slot) {
        self.in_flight.iter_mut().filter(|entry| entry.slot == slot).for_each(|entry| entry.state = State::Forgotten);
    }

    /// The first record in flight: its partition, and the offset after it.
    pub fn first(&self) -> Option<(Slot, i64)> {
        let first = self.in_flight.iter().find(|entry| !matches!(entry.state, State::Forgotten))?;
        Some((first.slot, first.next_offset))
    }

    /// Records in flight, those that are done behind an unfinished one included.
    pub fn records(&self) -> usize {
        self.in_flight.len()
    }

    /// Bytes of the records in flight, and of their results.
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
                prop_assert_eq!(progress.admit(Slot(record % 2), record as i64 + 1, 10), record as u64);
            }
            let (mut done, mut taken) = (vec![false; order.len()], 0);
            for record in order {
                progress.complete(record as u64, 0, record);
                done[record] = true;
                while let Some(first) = progress.take_first() {
                    let (slot, next_offset) = (Slot(taken % 2), taken as i64 + 1);
                    prop_assert_eq!(first, Taken { slot, next_offset, bytes: 10, outcome: taken });
                    taken += 1;
                }
                prop_assert_eq!(taken, done.iter().take_while(|done| **done).count());
                prop_assert_eq!(progress.records(), done.len() - taken);
                prop_assert_eq!(progress.bytes(), 10 * progress.records());
            }
        }
    }

    #[test]
    fn a_partition_that_was_given_away_is_not_waited_for() {
        let mut progress = Progress::default();
        let sequences: Vec<u64> = (0..4).map(|record| progress.admit(Slot(record % 2), 1, 10)).collect();
        progress.complete(sequences[1], 0, "b");
        assert_eq!(progress.take_first(), None);
        progress.forget(Slot(0));
        assert_eq!(progress.first(), Some((Slot(1), 1)));
        assert_eq!(progress.take_first().map(|taken| taken.outcome), Some("b"));
        assert_eq!(progress.take_first(), None);
        progress.complete(sequences[3], 0, "d");
        assert_eq!(progress.take_first().map(|taken| taken.outcome), Some("d"));
        assert_eq!((progress.records(), progress.bytes()), (0, 0));
    }
}
