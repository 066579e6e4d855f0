//! What a partition remembers of each idempotent producer: its epoch and its last five batches (KIP-98, KIP-360).

use std::collections::{HashMap, VecDeque};

use super::batch::BatchHeader;

/// Batches a client may have in flight; a repeat of any of them is recognised.
const REMEMBERED_BATCHES: usize = 5;
/// A producer that was silent for this long is forgotten, as by Kafka's `producer.id.expiration.ms`.
pub const PRODUCER_EXPIRATION_MS: i64 = 24 * 3_600 * 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Appended {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

/// One producer's window.
#[derive(Debug, Clone)]
pub struct Producer {
    pub epoch: i16,
    recent: VecDeque<Appended>,
    pub last_seen_ms: i64,
}

impl Producer {
    pub fn last_sequence(&self) -> i32 {
        self.recent.back().map_or(-1, |batch| batch.last_sequence)
    }

    pub fn last_timestamp(&self) -> i64 {
        self.recent.back().map_or(-1, |batch| batch.timestamp)
    }
}

/// What to do with a batch, by its producer id, epoch and sequence.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is here already: answer as if it had been appended just now.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
    OutOfOrder,
    Fenced,
}

/// All producers of a partition.
#[derive(Debug, Default)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// Judges a batch that carries a producer id.
    pub fn judge(&self, batch: &BatchHeader) -> Verdict {
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            // Its records may have expired, so any sequence is a beginning.
            return Verdict::Append;
        };
        if batch.producer_epoch < producer.epoch {
            return Verdict::Fenced;
        }
        if batch.producer_epoch > producer.epoch {
            return if batch.base_sequence == 0 { Verdict::Append } else { Verdict::OutOfOrder };
        }
        let same = |seen: &&Appended| {
            seen.first_sequence == batch.base_sequence && seen.last_sequence == batch.last_sequence()
        };
        if let Some(seen) = producer.recent.iter().find(same) {
            return Verdict::Duplicate { base_offset: seen.base_offset, timestamp: seen.timestamp };
        }
        let expected = match producer.recent.back() {
            Some(last) if last.last_sequence == i32::MAX => 0,
            Some(last) => last.last_sequence + 1,
            None => 0,
        };
        if batch.base_sequence == expected { Verdict::Append } else { Verdict::OutOfOrder }
    }

    /// Remembers a batch that was appended (or found in the log by recovery).
    pub fn note(&mut self, batch: &BatchHeader, now_ms: i64) {
        let producer = self.entry(batch.producer_id, batch.producer_epoch, now_ms);
        if batch.is_control() {
            return;
        }
        if producer.recent.len() == REMEMBERED_BATCHES {
            producer.recent.pop_front();
        }
        producer.recent.push_back(Appended {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            timestamp: batch.max_timestamp,
        });
    }

    fn entry(&mut self, id: i64, epoch: i16, now_ms: i64) -> &mut Producer {
        let producer =
            self.by_id.entry(id).or_insert_with(|| Producer { epoch, recent: VecDeque::new(), last_seen_ms: now_ms });
        if epoch > producer.epoch {
            producer.epoch = epoch;
            producer.recent.clear();
        }
        producer.last_seen_ms = now_ms;
        producer
    }

    /// Forgets producers that were silent for [`PRODUCER_EXPIRATION_MS`] and have no open transaction.
    pub fn expire(&mut self, now_ms: i64, has_open_transaction: impl Fn(i64) -> bool) {
        self.by_id.retain(|id, producer| {
            now_ms - producer.last_seen_ms < PRODUCER_EXPIRATION_MS || has_open_transaction(*id)
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::batch::tests::batch_of;

    fn batch(epoch: i16, sequence: i32) -> BatchHeader {
        BatchHeader::parse(&batch_of(&["a", "b"], Some((1, epoch, sequence)), false)).unwrap()
    }

    #[test]
    fn sequences_follow_and_the_last_five_batches_are_recognised() {
        let mut producers = Producers::default();
        for n in 0..7 {
            let mut header = batch(0, n * 2);
            assert_eq!(producers.judge(&header), Verdict::Append);
            header.base_offset = i64::from(n) * 2;
            producers.note(&header, 0);
        }
        assert_eq!(producers.judge(&batch(0, 4)), Verdict::Duplicate { base_offset: 4, timestamp: 1_000 });
        assert_eq!(producers.judge(&batch(0, 2)), Verdict::OutOfOrder, "older than five batches");
        assert_eq!(producers.judge(&batch(0, 16)), Verdict::OutOfOrder, "a gap");
    }

    #[test]
    fn epochs_fence_and_restart_sequences() {
        let mut producers = Producers::default();
        producers.note(&batch(1, 0), 0);
        assert_eq!(producers.judge(&batch(0, 2)), Verdict::Fenced);
        assert_eq!(producers.judge(&batch(2, 2)), Verdict::OutOfOrder);
        assert_eq!(producers.judge(&batch(2, 0)), Verdict::Append);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.note(&batch(0, i32::MAX - 1), 0);
        assert_eq!(producers.judge(&batch(0, 0)), Verdict::Append);
    }

    #[test]
    fn silent_producers_are_forgotten_unless_a_transaction_is_open() {
        let mut producers = Producers::default();
        producers.note(&batch(0, 0), 0);
        producers.expire(PRODUCER_EXPIRATION_MS, |_| true);
        assert_eq!(producers.iter().count(), 1);
        producers.expire(PRODUCER_EXPIRATION_MS, |_| false);
        assert_eq!(producers.iter().count(), 0);
    }
}
