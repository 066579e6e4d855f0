//! Transactional ids and the states of their transactions: plain decisions, no I/O (KIP-98, KIP-360, KIP-447, KIP-588).
//!
//! A transaction goes `Empty -> Ongoing -> Prepared(commit|abort) -> Completed(commit|abort) -> Ongoing ...`. Entering
//! `Prepared` is the point of decision: one journal entry; what follows (markers, offsets) can be done again after a crash.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use crate::group::CommittedOffset;

/// Where a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Empty,
    Ongoing,
    PreparedCommit,
    PreparedAbort,
    CompletedCommit,
    CompletedAbort,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Empty,
        State::Ongoing,
        State::PreparedCommit,
        State::PreparedAbort,
        State::CompletedCommit,
        State::CompletedAbort,
    ];

    /// The legal transitions.
    pub fn may_become(self, next: State) -> bool {
        use State::*;
        matches!(
            (self, next),
            (Empty | CompletedCommit | CompletedAbort, Empty | Ongoing)
                | (Ongoing, Ongoing | PreparedCommit | PreparedAbort)
                | (PreparedCommit, CompletedCommit)
                | (PreparedAbort, CompletedAbort)
        )
    }

    pub fn is_prepared(self) -> bool {
        matches!(self, State::PreparedCommit | State::PreparedAbort)
    }

    /// Kafka's name, as DescribeTransactions and ListTransactions give it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PreparedCommit => "PrepareCommit",
            State::PreparedAbort => "PrepareAbort",
            State::CompletedCommit => "CompleteCommit",
            State::CompletedAbort => "CompleteAbort",
        }
    }
}

/// One transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub producer_id: i64,
    pub epoch: i16,
    /// The epoch before the last bump that its owner asked for; it may ask again if the answer was lost.
    pub last_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<(String, i32)>,
    /// Group offsets sent to the transaction, applied when it commits.
    pub offsets: Vec<CommittedOffset>,
    pub started_ms: i64,
}

/// Why the coordinator refused; [`TransactionError::code`] knows what old clients must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error("a newer producer has the transactional id")]
    Fenced,
    #[error("the transactional id has another producer id")]
    WrongProducerId,
    #[error("not possible in the transaction's state")]
    InvalidState,
    #[error("the transaction is being completed")]
    Concurrent,
}

impl TransactionError {
    /// The protocol's code; `knows_fenced` is false for request versions older than `PRODUCER_FENCED` (KIP-588).
    pub fn code(self, knows_fenced: bool) -> i16 {
        match self {
            TransactionError::Fenced if knows_fenced => ResponseError::ProducerFenced,
            TransactionError::Fenced => ResponseError::InvalidProducerEpoch,
            TransactionError::WrongProducerId => ResponseError::InvalidProducerIdMapping,
            TransactionError::InvalidState => ResponseError::InvalidTxnState,
            TransactionError::Concurrent => ResponseError::ConcurrentTransactions,
        }
        .code()
    }
}

/// What InitProducerId must do for a known transactional id.
#[derive(Debug, PartialEq, Eq)]
pub enum Init {
    /// End the open transaction of the previous incarnation first (its epoch is bumped already), then ask again.
    AbortFirst,
    /// Answer with the id and epoch that are now current.
    Ready,
    /// The epochs of this producer id are used up: give it a new one with [`Transaction::renew`].
    NewProducerId,
}

impl Transaction {
    pub fn new(producer_id: i64, timeout_ms: i32) -> Transaction {
        Transaction {
            producer_id,
            epoch: 0,
            last_epoch: -1,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            offsets: Vec::new(),
            started_ms: 0,
        }
    }

    /// Moves on; an illegal transition is a defect of the caller.
    pub fn become_state(&mut self, next: State) {
        assert!(self.state.may_become(next), "illegal transaction transition {:?} -> {next:?}", self.state);
        self.state = next;
    }

    /// Decides InitProducerId; `expected` is what a producer that asks for a bump believes to own (KIP-360).
    pub fn init(&mut self, expected: Option<(i64, i16)>, timeout_ms: i32) -> Result<Init, TransactionError> {
        let mut is_retry = false;
        if let Some((producer_id, epoch)) = expected {
            is_retry = epoch == self.last_epoch && epoch != self.epoch;
            if producer_id != self.producer_id || (epoch != self.epoch && !is_retry) {
                return Err(TransactionError::Fenced);
            }
        }
        if self.state.is_prepared() {
            return Err(TransactionError::Concurrent);
        }
        if self.state == State::Ongoing {
            self.fence();
            return Ok(Init::AbortFirst);
        }
        self.timeout_ms = timeout_ms;
        if is_retry {
            return Ok(Init::Ready);
        }
        if self.epoch >= i16::MAX - 1 {
            return Ok(Init::NewProducerId);
        }
        // The owner may repeat its request; anyone else only fences.
        self.last_epoch = if expected.is_some() { self.epoch } else { -1 };
        self.epoch += 1;
        self.become_state(State::Empty);
        Ok(Init::Ready)
    }

    /// Starts over with a fresh producer id.
    pub fn renew(&mut self, producer_id: i64) {
        self.producer_id = producer_id;
        self.epoch = 0;
        self.last_epoch = -1;
        self.become_state(State::Empty);
    }

    /// Bumps the epoch so that whoever holds the old one can do no more.
    pub fn fence(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
        self.last_epoch = -1;
    }

    /// Checks that the caller is the current owner.
    pub fn check_owner(&self, producer_id: i64, epoch: i16) -> Result<(), TransactionError> {
        if producer_id != self.producer_id {
            return Err(TransactionError::WrongProducerId);
        }
        if epoch != self.epoch {
            return Err(TransactionError::Fenced);
        }
        Ok(())
    }

    /// Makes sure a transaction is open for its owner; true if this began it.
    pub fn enter(&mut self, producer_id: i64, epoch: i16, now_ms: i64) -> Result<bool, TransactionError> {
        self.check_owner(producer_id, epoch)?;
        if self.state.is_prepared() {
            return Err(TransactionError::Concurrent);
        }
        let begins = self.state != State::Ongoing;
        if begins {
            self.partitions.clear();
            self.offsets.clear();
            self.started_ms = now_ms;
        }
        self.become_state(State::Ongoing);
        Ok(begins)
    }

    /// Decides EndTxn: true if it is to be ended now, false if that was done before (a repeated request).
    pub fn may_end(&self, producer_id: i64, epoch: i16, commit: bool) -> Result<bool, TransactionError> {
        self.check_owner(producer_id, epoch)?;
        match (self.state, commit) {
            (State::Ongoing, _) => Ok(true),
            (State::CompletedCommit, true) | (State::CompletedAbort, false) => Ok(false),
            (State::PreparedCommit, true) | (State::PreparedAbort, false) => Err(TransactionError::Concurrent),
            _ => Err(TransactionError::InvalidState),
        }
    }

    /// The point of decision.
    pub fn prepare(&mut self, commit: bool) {
        self.become_state(if commit { State::PreparedCommit } else { State::PreparedAbort });
    }

    /// All markers are written and the offsets applied.
    pub fn complete(&mut self) {
        self.become_state(match self.state {
            State::PreparedCommit => State::CompletedCommit,
            _ => State::CompletedAbort,
        });
        self.partitions.clear();
        self.offsets.clear();
    }

    pub fn is_ongoing(&self) -> bool {
        self.state == State::Ongoing
    }

    /// Keeps offsets for the commit; a later one for the same group and partition replaces an earlier one.
    pub fn keep_offsets(&mut self, offsets: Vec<CommittedOffset>) {
        for offset in offsets {
            let key = |known: &CommittedOffset| {
                (known.group == offset.group) && (known.topic == offset.topic) && known.partition == offset.partition
            };
            match self.offsets.iter_mut().find(|known| key(known)) {
                Some(known) => *known = offset,
                None => self.offsets.push(offset),
            }
        }
    }

    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.state == State::Ongoing && now_ms - self.started_ms > i64::from(self.timeout_ms)
    }
}

/// All transactional ids.
#[derive(Debug, Default)]
pub struct Transactions {
    pub by_id: BTreeMap<String, Transaction>,
}

impl Transactions {
    /// Whether this producer may write transactional records to the partition now (KIP-890, part 1).
    pub fn allows(&self, transactional_id: &str, producer_id: i64, epoch: i16, topic: &str, partition: i32) -> Allowed {
        let Some(transaction) = self.by_id.get(transactional_id) else { return Allowed::NotInTransaction };
        match transaction.check_owner(producer_id, epoch) {
            Err(TransactionError::Fenced) => return Allowed::Fenced,
            Err(_) => return Allowed::NotInTransaction,
            Ok(()) => {}
        }
        // A linear look, because a tuple of borrowed parts cannot be asked of the set, and the set is small.
        let added = transaction.partitions.iter().any(|(name, at)| *at == partition && name == topic);
        if transaction.state == State::Ongoing && added { Allowed::Yes } else { Allowed::NotInTransaction }
    }
}

/// The answer of [`Transactions::allows`].
#[derive(Debug, PartialEq, Eq)]
pub enum Allowed {
    Yes,
    Fenced,
    NotInTransaction,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ongoing() -> Transaction {
        let mut transaction = Transaction::new(5, 1_000);
        transaction.enter(5, 0, 100).unwrap();
        transaction
    }

    #[test]
    fn only_the_drawn_transitions_are_legal() {
        let legal: Vec<_> = State::ALL
            .iter()
            .flat_map(|from| {
                State::ALL.iter().filter(|to| from.may_become(**to)).map(move |to| (from.name(), to.name()))
            })
            .collect();
        assert_eq!(
            legal,
            [
                ("Empty", "Empty"),
                ("Empty", "Ongoing"),
                ("Ongoing", "Ongoing"),
                ("Ongoing", "PrepareCommit"),
                ("Ongoing", "PrepareAbort"),
                ("PrepareCommit", "CompleteCommit"),
                ("PrepareAbort", "CompleteAbort"),
                ("CompleteCommit", "Empty"),
                ("CompleteCommit", "Ongoing"),
                ("CompleteAbort", "Empty"),
                ("CompleteAbort", "Ongoing"),
            ]
        );
    }

    #[test]
    fn a_commit_can_be_repeated_but_not_reversed() {
        let mut transaction = ongoing();
        assert_eq!(transaction.may_end(5, 0, true), Ok(true));
        transaction.prepare(true);
        assert_eq!(transaction.may_end(5, 0, true), Err(TransactionError::Concurrent));
        transaction.complete();
        assert_eq!(transaction.may_end(5, 0, true), Ok(false));
        assert_eq!(transaction.may_end(5, 0, false), Err(TransactionError::InvalidState));
    }

    #[test]
    fn a_second_instance_aborts_and_fences_the_first() {
        let mut transaction = ongoing();
        assert_eq!(transaction.init(None, 1_000), Ok(Init::AbortFirst));
        transaction.prepare(false);
        transaction.complete();
        assert_eq!(transaction.init(None, 1_000), Ok(Init::Ready));
        assert_eq!(transaction.epoch, 2);
        assert_eq!(transaction.check_owner(5, 0), Err(TransactionError::Fenced));
        assert_eq!(transaction.init(Some((5, 0)), 1_000), Err(TransactionError::Fenced));
    }

    #[test]
    fn an_owner_may_bump_its_epoch_and_repeat_the_request() {
        let mut transaction = Transaction::new(5, 1_000);
        assert_eq!(transaction.init(Some((5, 0)), 1_000), Ok(Init::Ready));
        assert_eq!(transaction.init(Some((5, 0)), 1_000), Ok(Init::Ready));
        assert_eq!(transaction.epoch, 1);
        assert_eq!(transaction.init(Some((6, 1)), 1_000), Err(TransactionError::Fenced));
    }

    #[test]
    fn epochs_that_run_out_ask_for_a_new_producer_id() {
        let mut transaction = Transaction::new(5, 1_000);
        transaction.epoch = i16::MAX - 1;
        assert_eq!(transaction.init(None, 1_000), Ok(Init::NewProducerId));
        transaction.renew(9);
        assert_eq!((transaction.producer_id, transaction.epoch), (9, 0));
    }

    #[test]
    fn only_an_open_transaction_times_out() {
        let mut transaction = ongoing();
        assert!(!transaction.is_overdue(1_100));
        assert!(transaction.is_overdue(1_101));
        transaction.prepare(false);
        assert!(!transaction.is_overdue(5_000));
    }

    #[test]
    fn records_are_taken_for_added_partitions_of_the_owner_only() {
        let mut transactions = Transactions::default();
        let mut transaction = ongoing();
        transaction.partitions.insert(("orders".into(), 1));
        transactions.by_id.insert("worker".into(), transaction);
        assert_eq!(transactions.allows("worker", 5, 0, "orders", 1), Allowed::Yes);
        assert_eq!(transactions.allows("worker", 5, 0, "orders", 2), Allowed::NotInTransaction);
        assert_eq!(transactions.allows("worker", 5, 1, "orders", 1), Allowed::Fenced);
        assert_eq!(transactions.allows("other", 5, 0, "orders", 1), Allowed::NotInTransaction);
    }
}
