//! The broker's state and its way to and from the journal.
//!
//! One thread owns it: connections borrow it from a `RefCell` for the length of a synchronous step and never across an
//! await, so there are no locks and no lock order. A step that changes metadata writes the journal before it answers.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{GroupId, ProducerId, TopicName, TransactionalId, TxnOffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::config::{BrokerConfig, StartError};
use crate::group::{CommittedOffset, GroupCoordinator, GroupLimits};
use crate::journal::{Entry, Journal};
use crate::log::store::MemoryBudget;
use crate::topics::catalog::Catalog;
use crate::topics::settings::TopicSettings;
use crate::transaction::{State, Transaction, Transactions};
use crate::{clock, ids};

/// Producer ids are reserved in the journal by blocks of this size.
const PRODUCER_ID_BLOCK: i64 = 1_000;
/// The one broker's id.
pub const NODE_ID: i32 = 0;

/// Everything the broker knows.
pub struct Core {
    pub config: BrokerConfig,
    pub host: String,
    pub port: u16,
    pub cluster_id: Uuid,
    pub catalog: Catalog,
    pub transactions: Transactions,
    pub groups: GroupCoordinator,
    /// Wakes housekeeping when a deadline may have moved closer.
    pub deadlines_changed: Rc<Notify>,
    journal: Option<Journal>,
    offsets: BTreeMap<(String, String, i32), CommittedOffset>,
    log_starts: HashMap<(Uuid, i32), i64>,
    next_producer_id: i64,
    reserved_until: i64,
}

impl Core {
    /// Opens the data directory, if there is one, and recovers what it holds.
    pub fn open(config: BrokerConfig, host: String, port: u16) -> Result<Core, StartError> {
        let budget = MemoryBudget::new(config.max_memory_bytes);
        let mut core = Core {
            host,
            port,
            cluster_id: Uuid::nil(),
            catalog: Catalog::new(config.data_dir.clone(), budget),
            transactions: Transactions::default(),
            groups: GroupCoordinator::new(GroupLimits::default()),
            deadlines_changed: Rc::new(Notify::new()),
            journal: None,
            offsets: BTreeMap::new(),
            log_starts: HashMap::new(),
            next_producer_id: 0,
            reserved_until: 0,
            config,
        };
        if let Some(data_dir) = core.config.data_dir.clone() {
            core.recover(&data_dir)?;
        }
        if core.cluster_id.is_nil() {
            core.cluster_id = ids::fresh();
            let entry = Entry::Cluster { id: core.cluster_id };
            core.record(&entry).map_err(|source| core.data_dir_error(source))?;
        }
        Ok(core)
    }

    fn data_dir_error(&self, source: std::io::Error) -> StartError {
        StartError::DataDir { data_dir: self.config.data_dir.clone().unwrap_or_default(), source }
    }

    fn recover(&mut self, data_dir: &Path) -> Result<(), StartError> {
        let (journal, entries) = Journal::open(data_dir).map_err(|source| self.data_dir_error(source))?;
        self.journal = Some(journal);
        entries.into_iter().for_each(|entry| self.replay(entry));
        self.next_producer_id = self.reserved_until;
        self.catalog.remove_strays().map_err(|source| self.data_dir_error(source))?;
        let log_starts = std::mem::take(&mut self.log_starts);
        self.catalog
            .open_logs(&log_starts, clock::now_ms())
            .map_err(|error| StartError::Recover { data_dir: data_dir.to_owned(), reason: error.to_string() })?;
        self.log_starts = log_starts;
        self.restore_groups();
        self.complete_prepared();
        self.resume_ongoing();
        Ok(())
    }

    /// Applies one journal entry to the state; the logs are opened afterwards.
    fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::TopicCreated { name, id, partitions, overrides } => {
                let settings = TopicSettings::parse(&overrides).unwrap_or_default();
                self.catalog.add(&name, id, partitions, overrides, settings);
            }
            Entry::TopicDeleted { name } => self.catalog.forget(&name),
            Entry::PartitionsAdded { name, total } => self.catalog.grow(&name, total),
            Entry::TopicConfigured { name, overrides } => {
                let settings = TopicSettings::parse(&overrides).unwrap_or_default();
                self.catalog.configure(&name, overrides, settings);
            }
            Entry::LogStart { topic, partition, offset } => {
                self.log_starts.insert((topic, partition), offset);
            }
            Entry::ProducerIds { reserved_until } => self.reserved_until = reserved_until,
            Entry::Transaction { transactional_id, transaction } => {
                if transaction.state == State::PreparedCommit {
                    self.keep_offsets(&transaction.offsets);
                }
                self.transactions.by_id.insert(transactional_id, transaction);
            }
            Entry::Offsets(offsets) => self.keep_offsets(&offsets),
            Entry::Cluster { id } => self.cluster_id = id,
        }
    }

    fn restore_groups(&mut self) {
        let mut by_group: BTreeMap<&str, Vec<CommittedOffset>> = BTreeMap::new();
        for committed in self.offsets.values() {
            by_group.entry(&committed.group).or_default().push(committed.clone());
        }
        for (group, offsets) in by_group {
            self.groups.restore_offsets(group, offsets);
        }
    }

    /// Mirrors committed offsets for the next snapshot.
    fn keep_offsets(&mut self, offsets: &[CommittedOffset]) {
        if self.config.data_dir.is_none() {
            return;
        }
        for committed in offsets {
            let key = (committed.group.clone(), committed.topic.clone(), committed.partition);
            if committed.offset < 0 {
                self.offsets.remove(&key);
            } else {
                self.offsets.insert(key, committed.clone());
            }
        }
    }

    /// Writes an entry to the journal, if there is one.
    pub fn record(&mut self, entry: &Entry) -> std::io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(entry)?;
        if journal.wants_snapshot() {
            let entries = self.snapshot();
            if let Some(journal) = &mut self.journal {
                journal.snapshot(entries.into_iter())?;
            }
        }
        Ok(())
    }

    /// Journals committed offsets (-1 deletes) and mirrors them.
    pub fn record_offsets(&mut self, offsets: Vec<CommittedOffset>) -> std::io::Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.keep_offsets(&offsets);
        self.record(&Entry::Offsets(offsets))
    }

    /// Journals the present state of a transactional id.
    pub fn record_transaction(&mut self, transactional_id: &str) -> std::io::Result<()> {
        let Some(transaction) = self.transactions.by_id.get(transactional_id).cloned() else { return Ok(()) };
        if transaction.state == State::PreparedCommit {
            self.keep_offsets(&transaction.offsets);
        }
        self.record(&Entry::Transaction { transactional_id: transactional_id.to_owned(), transaction })
    }

    /// Forgets what is kept of a deleted topic beside its records: its log starts, and groups' offsets in it.
    pub fn forget_topic(&mut self, name: &str, id: Uuid) -> std::io::Result<()> {
        self.log_starts.retain(|(topic, _), _| *topic != id);
        let deleted = self.groups.forget_topic(name);
        self.record_offsets(deleted)
    }

    pub fn record_log_start(&mut self, topic: Uuid, partition: i32, offset: i64) -> std::io::Result<()> {
        self.log_starts.insert((topic, partition), offset);
        self.record(&Entry::LogStart { topic, partition, offset })
    }

    /// Entries that lead to the present state.
    fn snapshot(&self) -> Vec<Entry> {
        let mut entries =
            vec![Entry::Cluster { id: self.cluster_id }, Entry::ProducerIds { reserved_until: self.reserved_until }];
        for topic in self.catalog.iter() {
            entries.push(Entry::TopicCreated {
                name: topic.name.clone(),
                id: topic.id,
                partitions: topic.partitions.len() as i32,
                overrides: topic.overrides.clone(),
            });
        }
        for (&(topic, partition), &offset) in &self.log_starts {
            if self.catalog.by_id(topic).is_some() {
                entries.push(Entry::LogStart { topic, partition, offset });
            }
        }
        for (transactional_id, transaction) in &self.transactions.by_id {
            entries.push(Entry::Transaction {
                transactional_id: transactional_id.clone(),
                transaction: transaction.clone(),
            });
        }
        entries.push(Entry::Offsets(self.offsets.values().cloned().collect()));
        entries
    }

    /// A producer id that was never given out before, across restarts.
    pub fn fresh_producer_id(&mut self) -> std::io::Result<i64> {
        if self.next_producer_id >= self.reserved_until {
            let reserved_until = self.next_producer_id + PRODUCER_ID_BLOCK;
            self.reserved_until = reserved_until;
            self.record(&Entry::ProducerIds { reserved_until })?;
        }
        self.next_producer_id += 1;
        Ok(self.next_producer_id - 1)
    }

    /// Ends a transaction: decides it in the journal, then writes its markers and applies its offsets.
    ///
    /// After an error it stays prepared, and [`Core::complete_prepared`] goes on with it.
    pub fn end_transaction(&mut self, transactional_id: &str, commit: bool) -> std::io::Result<()> {
        if let Some(transaction) = self.transactions.by_id.get_mut(transactional_id) {
            transaction.prepare(commit);
        }
        self.record_transaction(transactional_id)?;
        self.finish_transaction(transactional_id, false)
    }

    /// Writes what a prepared transaction still lacks; `only_missing` skips partitions without an open transaction.
    fn finish_transaction(&mut self, transactional_id: &str, only_missing: bool) -> std::io::Result<()> {
        let Some(transaction) = self.transactions.by_id.get(transactional_id).cloned() else { return Ok(()) };
        let commit = transaction.state == State::PreparedCommit;
        let (producer_id, epoch) = (transaction.producer_id, transaction.epoch);
        for (topic, at) in &transaction.partitions {
            let Some(topic) = self.catalog.get(topic) else { continue };
            let Some(partition) = topic.partitions.get(*at as usize) else { continue };
            let mut log = partition.log.borrow_mut();
            if only_missing && log.transactions().open_since(producer_id).is_none() {
                continue;
            }
            log.append_marker(producer_id, epoch, commit, &topic.settings, clock::now_ms())
                .map_err(|error| std::io::Error::other(error.to_string()))?;
            drop(log);
            partition.wake();
        }
        self.groups.end_transaction(producer_id, commit);
        if let Some(transaction) = self.transactions.by_id.get_mut(transactional_id) {
            transaction.complete();
        }
        self.record_transaction(transactional_id)
    }

    /// Completes prepared transactions that a crash or a full disk interrupted.
    pub fn complete_prepared(&mut self) {
        let is_prepared = |transaction: &Transaction| transaction.state.is_prepared();
        let prepared = self.transactions.by_id.iter().filter(|(_, transaction)| is_prepared(transaction));
        let ids: Vec<String> = prepared.map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Err(error) = self.finish_transaction(&id, true) {
                tracing::error!(transactional_id = id, %error, "cannot complete a transaction");
            }
        }
    }

    /// Gives open transactions their time and their pending offsets back after a restart: their owners may go on.
    fn resume_ongoing(&mut self) {
        let now_ms = clock::now_ms();
        let open = self.transactions.by_id.iter_mut().filter(|(_, transaction)| transaction.is_ongoing());
        let mut resumed = Vec::new();
        for (id, transaction) in open {
            transaction.started_ms = now_ms;
            resumed.push((id.clone(), transaction.clone()));
        }
        for (id, transaction) in resumed {
            self.restore_pending_offsets(&id, &transaction);
        }
    }

    fn restore_pending_offsets(&mut self, transactional_id: &str, transaction: &Transaction) {
        let mut by_group: BTreeMap<&str, Vec<&CommittedOffset>> = BTreeMap::new();
        for offset in &transaction.offsets {
            by_group.entry(&offset.group).or_default().push(offset);
        }
        for (group, offsets) in by_group {
            let request =
                offset_commit_request(transactional_id, transaction.producer_id, transaction.epoch, group, &offsets);
            self.groups.add_transactional_offsets(Instant::now(), request);
        }
    }

    /// Aborts transactions that are open for longer than their timeout, bumping the epoch so that their owner learns it.
    pub fn abort_overdue(&mut self) {
        let now_ms = clock::now_ms();
        let overdue: Vec<String> = self
            .transactions
            .by_id
            .iter()
            .filter(|(_, transaction)| transaction.is_overdue(now_ms))
            .map(|(id, _)| id.clone())
            .collect();
        for id in overdue {
            tracing::info!(transactional_id = id, "aborting a transaction that exceeded its timeout");
            if let Some(transaction) = self.transactions.by_id.get_mut(&id) {
                transaction.fence();
            }
            if let Err(error) = self.end_transaction(&id, false) {
                tracing::error!(transactional_id = id, %error, "cannot abort a transaction");
            }
        }
    }
}

/// The request that gives a group its pending offsets back after a restart; it needs no member, as a simple client's.
fn offset_commit_request(
    transactional_id: &str,
    producer_id: i64,
    epoch: i16,
    group: &str,
    offsets: &[&CommittedOffset],
) -> TxnOffsetCommitRequest {
    let topics = offsets.iter().map(|offset| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(offset.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_committed_metadata(Some(StrBytes::from_string(offset.metadata.clone())));
        TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(offset.topic.clone())))
            .with_partitions(vec![partition])
    });
    TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(StrBytes::from_string(transactional_id.to_owned())))
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
        .with_generation_id(-1)
        .with_topics(topics.collect())
}
