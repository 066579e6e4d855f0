//! Lanes: records of one key run one after the other, keys side by side.
//!
//! Only keys whose handler waits have a lane; a record whose handler completes at once passes without one.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// The key of one input partition. Records without a key share no lane: they have no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    /// The input partition's number within the batch.
    pub source: usize,
    pub key: Bytes,
}

/// The busy lanes of a batch, each with the records that wait behind the one that runs.
#[derive(Debug, Default)]
pub struct Lanes {
    busy: HashMap<LaneKey, VecDeque<usize>>,
}

impl Lanes {
    /// Whether the record may start now; otherwise it is queued behind its lane's earlier ones.
    pub fn admit(&mut self, lane: Option<&LaneKey>, record: usize) -> bool {
        if self.busy.is_empty() {
            return true;
        }
        match lane.and_then(|lane| self.busy.get_mut(lane)) {
            Some(waiting) => {
                waiting.push_back(record);
                false
            }
            None => true,
        }
    }

    /// The record that was admitted waits for something: its lane is busy until `release`.
    pub fn occupy(&mut self, lane: LaneKey) {
        self.busy.entry(lane).or_default();
    }

    /// The lane's running record is done. Returns the next of the lane, which runs now, or frees the lane.
    pub fn release(&mut self, lane: &LaneKey) -> Option<usize> {
        let next = self.busy.get_mut(lane)?.pop_front();
        if next.is_none() {
            self.busy.remove(lane);
        }
        next
    }

    pub fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane(key: u8) -> LaneKey {
        LaneKey { source: 0, key: Bytes::copy_from_slice(&[key]) }
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
            let mut start = |lanes: &mut Lanes, running: &mut Vec<usize>, mut record: usize| loop {
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
                if lanes.admit(Some(&lane(*key)), record) {
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
