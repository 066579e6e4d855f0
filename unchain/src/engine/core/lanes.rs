//! Lanes: records of one key run one after the other, keys side by side.
//!
//! Only keys whose handler waits have a lane; a record whose handler completes at once passes without one.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use foldhash::fast::FixedState;

/// A key among the records that share an order: those of one partition, or of one number of co-partitioned inputs.
/// Records without a key share no lane: they have no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    pub group: u64,
    pub key: Bytes,
}

/// The busy lanes, each with what waits behind the record that runs.
#[derive(Debug)]
pub struct Lanes<T> {
    busy: HashMap<LaneKey, VecDeque<T>, FixedState>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Lanes { busy: HashMap::default() }
    }
}

impl<T> Lanes<T> {
    /// Whether a record of the lane runs or waits.
    pub fn is_busy(&self, lane: &LaneKey) -> bool {
        self.busy.contains_key(lane)
    }

    /// Queues a record behind those of a busy lane.
    ///
    /// # Panics
    /// Where the lane is free: then the record is to run, not to wait.
    pub fn queue(&mut self, lane: &LaneKey, waiting: T) {
        self.busy.get_mut(lane).expect("a record is queued behind a busy lane only").push_back(waiting);
    }

    /// A record of the lane waits for something: the lane is busy until `release`.
    pub fn occupy(&mut self, lane: LaneKey) {
        self.busy.entry(lane).or_default();
    }

    /// The lane's running record is done. Returns the next of the lane, which runs now, or frees the lane.
    pub fn release(&mut self, lane: &LaneKey) -> Option<T> {
        let next = self.busy.get_mut(lane)?.pop_front();
        if next.is_none() {
            self.busy.remove(lane);
        }
        next
    }

    /// Forgets the waiting records for which `is_dropped` holds; what runs goes on.
    pub fn drop_waiting(&mut self, is_dropped: impl Fn(&T) -> bool) {
        for waiting in self.busy.values_mut() {
            waiting.retain(|record| !is_dropped(record));
        }
    }

    /// Forgets the lanes of a group: what still runs there will not be asked for.
    pub fn drop_group(&mut self, group: u64) {
        self.busy.retain(|lane, _| lane.group != group);
    }

    pub fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    pub fn clear(&mut self) {
        self.busy.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane(key: u8) -> LaneKey {
        LaneKey { group: 0, key: Bytes::copy_from_slice(&[key]) }
    }

    proptest! {
        /// Whichever running record finishes next, records of a key start in their order and never two at once.
        #[test]
        fn a_key_runs_in_order_and_one_at_a_time(
            keys in proptest::collection::vec(0..5u8, 1..60),
            waits in proptest::collection::vec(any::<bool>(), 60),
            choices in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut lanes = Lanes::default();
            let (mut running, mut started, mut choices) = (Vec::new(), Vec::new(), choices.into_iter());
            let mut start = |lanes: &mut Lanes<usize>, running: &mut Vec<usize>, mut record: usize| loop {
                prop_assert!(running.iter().all(|other| keys[*other] != keys[record]), "two records of a key at once");
                started.push(record);
                if waits[record] {
                    lanes.occupy(lane(keys[record]));
                    running.push(record);
                    return Ok(());
                }
                // Done at once: the next of its lane, if it had one, runs.
                match lanes.release(&lane(keys[record])) { Some(next) => record = next, None => return Ok(()) }
            };
            for (record, key) in keys.iter().enumerate() {
                if lanes.is_busy(&lane(*key)) {
                    lanes.queue(&lane(*key), record);
                } else {
                    start(&mut lanes, &mut running, record)?;
                }
            }
            while !running.is_empty() {
                let choice = choices.next().map_or(0, |choice| choice.index(running.len()));
                let done = running.swap_remove(choice);
                if let Some(next) = lanes.release(&lane(keys[done])) {
                    start(&mut lanes, &mut running, next)?;
                }
            }
            prop_assert!(lanes.is_idle());
            prop_assert_eq!(started.len(), keys.len());
            for key in 0..5u8 {
                let order: Vec<_> = started.iter().filter(|record| keys[**record] == key).collect();
                prop_assert!(order.is_sorted(), "records of key {} started as {:?}", key, order);
            }
        }
    }
}
