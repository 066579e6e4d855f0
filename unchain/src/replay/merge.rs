//! The order of a replay: streams merged by when their next record is due, each stream's own order kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When a stream's head is due. Of two that are due together, the stream with the lower index comes first.
pub(super) type Turn = (i64, usize);

/// The streams that wait for their turn. The order depends on what the streams hold alone, not on how they were read: a
/// replay that is gone on with, and a check of what it wrote, find the same one.
#[derive(Debug, Default)]
pub(super) struct Merge {
    waiting: BinaryHeap<Reverse<Turn>>,
}

impl Merge {
    /// A stream waits with a head that is due then.
    pub(super) fn wait(&mut self, turn: Turn) {
        self.waiting.push(Reverse(turn));
    }

    /// Takes the stream whose head is due first.
    pub(super) fn take(&mut self) -> Option<usize> {
        self.waiting.pop().map(|Reverse((_, stream))| stream)
    }

    /// Whether the stream that was taken goes on with a head that is due then, before all that wait.
    pub(super) fn goes_on(&self, turn: Turn) -> bool {
        self.waiting.peek().is_none_or(|Reverse(first)| turn < *first)
    }
}

/// When a record is due: at the latest time of its stream so far, so that an earlier one does not overtake.
pub(super) fn due(due_before_ms: i64, timestamp_ms: i64) -> i64 {
    // A record without a time follows its predecessor.
    if timestamp_ms < 0 { due_before_ms } else { due_before_ms.max(timestamp_ms) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Merges streams of times, from some records on and with the latest times until there; gives stream and index.
    fn merged(streams: &[Vec<i64>], mut next: Vec<usize>, mut dues: Vec<i64>) -> Vec<(usize, usize)> {
        let (mut merge, mut order) = (Merge::default(), Vec::new());
        for (stream, times) in streams.iter().enumerate() {
            if let Some(time) = times.get(next[stream]) {
                dues[stream] = due(dues[stream], *time);
                merge.wait((dues[stream], stream));
            }
        }
        while let Some(stream) = merge.take() {
            loop {
                order.push((stream, next[stream]));
                next[stream] += 1;
                let Some(time) = streams[stream].get(next[stream]) else { break };
                dues[stream] = due(dues[stream], *time);
                if !merge.goes_on((dues[stream], stream)) {
                    merge.wait((dues[stream], stream));
                    break;
                }
            }
        }
        order
    }

    fn from_the_start(streams: &[Vec<i64>]) -> Vec<(usize, usize)> {
        merged(streams, vec![0; streams.len()], vec![i64::MIN; streams.len()])
    }

    #[test]
    fn a_record_that_is_older_than_its_predecessor_does_not_overtake_it() {
        assert_eq!(from_the_start(&[vec![10, 5, 20], vec![12]]), [(0, 0), (0, 1), (1, 0), (0, 2)]);
    }

    #[test]
    fn a_record_without_a_time_follows_its_predecessor() {
        assert_eq!(from_the_start(&[vec![10, -1, 20], vec![11]]), [(0, 0), (0, 1), (1, 0), (0, 2)]);
    }

    fn streams() -> impl Strategy<Value = Vec<Vec<i64>>> {
        prop::collection::vec(prop::collection::vec(-1_i64..50, 0..30), 1..5)
    }

    proptest! {
        #[test]
        fn all_records_come_once_in_their_streams_order_and_by_due_time(streams in streams()) {
            let order = from_the_start(&streams);
            prop_assert_eq!(order.len(), streams.iter().map(Vec::len).sum::<usize>());
            let (mut next, mut dues, mut last) = (vec![0; streams.len()], vec![i64::MIN; streams.len()], (i64::MIN, 0));
            for (stream, index) in order {
                prop_assert_eq!(index, next[stream]);
                next[stream] += 1;
                dues[stream] = due(dues[stream], streams[stream][index]);
                prop_assert!((dues[stream], stream) >= last);
                last = (dues[stream], stream);
            }
        }

        #[test]
        fn a_merge_that_is_gone_on_with_anywhere_finds_the_same_order(streams in streams(), share in 0.0..1.0) {
            let order = from_the_start(&streams);
            let cut = (order.len() as f64 * share) as usize;
            let (mut next, mut dues) = (vec![0; streams.len()], vec![i64::MIN; streams.len()]);
            for (stream, index) in &order[..cut] {
                next[*stream] += 1;
                dues[*stream] = due(dues[*stream], streams[*stream][*index]);
            }
            prop_assert_eq!(merged(&streams, next, dues), &order[cut..]);
        }
    }
}
