//! Transactions in turn: one is filled while the one before it is committed by another producer.
//!
//! The second producer sends only after the first has flushed, so that a key's outputs stand in order in their
//! partition, and it commits only after the first has committed. Where the first aborts, the second does too: its
//! records came later, and it saw the table writes of the first.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Slot;
use crate::table::Change;

/// When a transaction that is being filled is to be committed.
#[derive(Debug, Clone)]
pub struct CommitPolicy {
    pub max_records: usize,
    pub max_bytes: usize,
    pub max_interval: Duration,
}

/// What one transaction covers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// For each partition the offset after the unbroken run of records that it covers.
    pub next_offsets: BTreeMap<Slot, i64>,
    /// The table writes of those records, in order.
    pub changes: Vec<(Slot, Change)>,
    /// The largest event time of those records.
    pub stream_times_ms: BTreeMap<Slot, i64>,
    pub records: usize,
    pub bytes: usize,
}

/// One of the two producers, as a number.
pub type ProducerIndex = usize;

#[derive(Debug)]
struct Filling {
    producer: ProducerIndex,
    began: Duration,
    transaction: Transaction,
}

#[derive(Debug)]
struct Committing {
    producer: ProducerIndex,
    is_flushed: bool,
    transaction: Transaction,
}

/// The transaction that is filled and the one that is committed, at most one of each.
#[derive(Debug)]
pub struct Turns {
    policy: CommitPolicy,
    next_producer: ProducerIndex,
    filling: Option<Filling>,
    committing: Option<Committing>,
}

/// How long an idle worker waits for more records before it commits, for each record that it has collected: a commit
/// costs as much as some thousand records, so a few wait for nothing and many for company.
const LINGER_PER_RECORD: Duration = Duration::from_micros(2);
const MIN_LINGER: Duration = Duration::from_micros(500);
const MAX_LINGER: Duration = Duration::from_millis(20);

impl Turns {
    pub fn new(policy: CommitPolicy) -> Turns {
        Turns { policy, next_producer: 0, filling: None, committing: None }
    }

    /// The producer that may send now, and whether its transaction begins with that. `None` until the transaction
    /// before has flushed.
    pub fn sender(&mut self, now: Duration) -> Option<(ProducerIndex, bool)> {
        if let Some(filling) = &self.filling {
            return Some((filling.producer, false));
        }
        if self.committing.as_ref().is_some_and(|committing| !committing.is_flushed) {
            return None;
        }
        let producer = self.next_producer;
        self.next_producer = 1 - producer;
        self.filling = Some(Filling { producer, began: now, transaction: Transaction::default() });
        Some((producer, true))
    }

    /// The transaction being filled, to which the caller adds what it sends.
    pub fn filling(&mut self) -> Option<&mut Transaction> {
        self.filling.as_mut().map(|filling| &mut filling.transaction)
    }

    /// The producer whose outputs may still be on their way while its transaction is committed.
    pub fn flushing_producer(&self) -> Option<ProducerIndex> {
        self.committing.as_ref().filter(|committing| !committing.is_flushed).map(|committing| committing.producer)
    }

    pub fn committing(&self) -> Option<(ProducerIndex, &Transaction)> {
        self.committing.as_ref().map(|committing| (committing.producer, &committing.transaction))
    }

    /// When the transaction being filled should be committed if nothing else comes; `None` where there is none to
    /// commit or another one is still being committed.
    pub fn commit_at(&self, idle_since: Option<Duration>) -> Option<Duration> {
        let filling = self.filling.as_ref().filter(|_| self.committing.is_none())?;
        let transaction = &filling.transaction;
        if transaction.records >= self.policy.max_records || transaction.bytes >= self.policy.max_bytes {
            return Some(filling.began);
        }
        let linger = LINGER_PER_RECORD.saturating_mul(u32::try_from(transaction.records).unwrap_or(u32::MAX));
        // Timers are no finer than this, and a few records are not worth it.
        let linger = if linger < MIN_LINGER { Duration::ZERO } else { linger.min(MAX_LINGER) };
        let when_idle = idle_since.map(|since| since + linger);
        let at_interval = filling.began + self.policy.max_interval;
        Some(when_idle.map_or(at_interval, |at| at.min(at_interval)))
    }

    /// Whether the transaction is as large as it may get: nothing more may be added before it is committed.
    pub fn is_full(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| {
            filling.transaction.records >= self.policy.max_records || filling.transaction.bytes >= self.policy.max_bytes
        })
    }

    /// Hands the filled transaction over to be committed.
    pub fn begin_commit(&mut self) -> Option<(ProducerIndex, &Transaction)> {
        if self.committing.is_some() {
            return None;
        }
        let Filling { producer, transaction, .. } = self.filling.take()?;
        let committing = self.committing.insert(Committing { producer, is_flushed: false, transaction });
        Some((committing.producer, &committing.transaction))
    }

    /// Everything that the committing producer has sent is acknowledged.
    pub fn flushed(&mut self) {
        if let Some(committing) = &mut self.committing {
            committing.is_flushed = true;
        }
    }

    /// The commit has succeeded.
    ///
    /// # Panics
    /// Where nothing was being committed.
    pub fn committed(&mut self) -> Transaction {
        self.committing.take().expect("a commit ends that was begun").transaction
    }

    /// Forgets what is open; returns the producers whose transactions are to be aborted, the earlier one first.
    pub fn abort(&mut self) -> Vec<ProducerIndex> {
        let committing = self.committing.take().map(|committing| committing.producer);
        let filling = self.filling.take().map(|filling| filling.producer);
        committing.into_iter().chain(filling).collect()
    }

    /// Whether a transaction that is not committed yet covers records of the partition.
    pub fn covers(&self, slot: Slot) -> bool {
        let committing = self.committing.as_ref().map(|committing| &committing.transaction);
        let filling = self.filling.as_ref().map(|filling| &filling.transaction);
        committing.into_iter().chain(filling).any(|transaction| transaction.next_offsets.contains_key(&slot))
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.filling.is_none() && self.committing.is_none()
    }
}

impl Transaction {
    /// Adds what a record did to the tables beside its partition.
    pub fn write(&mut self, slot: Slot, changes: impl IntoIterator<Item = Change>, stream_time_ms: Option<i64>) {
        self.changes.extend(changes.into_iter().map(|change| (slot, change)));
        if let Some(stream_time_ms) = stream_time_ms {
            let known = self.stream_times_ms.entry(slot).or_insert(stream_time_ms);
            *known = stream_time_ms.max(*known);
        }
    }

    pub fn add(&mut self, slot: Slot, next_offset: i64, bytes: usize) {
        self.next_offsets.insert(slot, next_offset);
        self.records += 1;
        self.bytes += bytes;
    }
}
