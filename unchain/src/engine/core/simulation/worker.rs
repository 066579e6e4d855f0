//! A simulated worker: the core and tables as the engine has them, its effects on the fake Kafka step by step.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::kafka::{FakeKafka, Refused};
use super::random::Random;
use crate::engine::core::{Bounds, CommitPolicy, Core, Offer, Passed, Slot, Ticket};
use crate::table::Change;

/// What a record led to: its key's count.
#[derive(Debug, Clone)]
pub struct Result {
    key: u8,
    input: (usize, i64),
    count: u64,
}

#[derive(Debug, Clone)]
struct Input {
    key: u8,
    at: (usize, i64),
}

#[derive(Debug)]
struct Held {
    partition: usize,
    slot: Slot,
    next: i64,
    committed: i64,
    is_draining: bool,
    table: super::ModelTable,
}

/// How far the transaction under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    Offsets,
    Flush,
    End,
}

#[derive(Debug)]
pub struct SimWorker {
    pub id: usize,
    pub is_alive: bool,
    core: Core<Input, Result>,
    epochs: [u64; 2],
    /// The generation that the member knows, as of its last word from the group.
    pub generation: u64,
    held: Vec<Held>,
    running: Vec<(Ticket, Input)>,
    commit: Option<(usize, Commit)>,
    lane_groups: u64,
    clock_ms: u64,
    pub mutation: Option<super::Mutation>,
}

fn key_bytes(key: u8) -> Bytes {
    Bytes::copy_from_slice(&[key])
}

impl SimWorker {
    pub fn new(id: usize) -> SimWorker {
        SimWorker {
            id,
            is_alive: false,
            core: core(),
            epochs: [0; 2],
            generation: 0,
            held: Vec::new(),
            running: Vec::new(),
            commit: None,
            lane_groups: 0,
            clock_ms: 0,
            mutation: None,
        }
    }

    /// A new process under the same name: knows nothing, fences what the last one left open.
    pub fn start(&mut self, kafka: &mut FakeKafka) {
        let mutation = self.mutation;
        *self = SimWorker { is_alive: true, generation: kafka.generation, mutation, ..SimWorker::new(self.id) };
        self.epochs = [0, 1].map(|producer| kafka.init(self.producer_id(producer)));
    }

    pub fn crash(&mut self) {
        self.is_alive = false;
    }

    fn producer_id(&self, producer: usize) -> usize {
        self.id * 2 + producer
    }

    pub fn partitions(&self) -> Vec<usize> {
        self.held.iter().map(|held| held.partition).collect()
    }

    /// Takes a partition over from the last commit, once that is decided.
    pub fn take_over(&mut self, partition: usize, kafka: &FakeKafka) {
        assert!(kafka.is_decided(partition), "the engine waits until offsets and changelog are decided");
        let mut table = super::ModelTable::default();
        for logged in kafka.changelog[partition].iter().filter(|logged| logged.committed == Some(true)) {
            table.restore(logged.key, logged.count);
        }
        self.lane_groups += 1;
        let (slot, committed) = (self.core.add(self.lane_groups), kafka.committed[partition]);
        self.held.push(Held { partition, slot, next: committed, committed, is_draining: false, table });
    }

    pub fn begin_hand_over(&mut self, partition: usize) {
        if let Some(held) = self.held.iter_mut().find(|held| held.partition == partition) {
            held.is_draining = true;
            self.core.drain(held.slot);
        }
    }

    /// Gives the partition up where everything that can be committed is; `gives_up` where the drain timeout has passed.
    pub fn finish_hand_over(&mut self, partition: usize, gives_up: bool) -> bool {
        let Some(place) = self.held.iter().position(|held| held.partition == partition) else { return true };
        let slot = self.held[place].slot;
        let is_done = if gives_up { self.core.is_settled(slot) } else { self.core.is_drained(slot) };
        if is_done {
            self.core.remove(slot);
            self.held.remove(place);
        }
        is_done
    }

    /// One step of whatever can be done; a refusal leads to the reset.
    pub fn step(&mut self, kafka: &mut FakeKafka, random: &mut Random, is_calm: bool) {
        self.clock_ms += random.below(20);
        let done = match random.below(6) {
            0 | 1 => self.read(kafka, random),
            2 => self.complete_one(random),
            3 => self.send_ready(kafka),
            4 => self.commit_step(kafka),
            _ if !is_calm && random.below(12) == 0 => Err(Refused),
            _ => self.begin_commit(),
        };
        if done.is_err() {
            self.reset(kafka);
        }
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.clock_ms)
    }

    fn read(&mut self, kafka: &mut FakeKafka, random: &mut Random) -> std::result::Result<(), Refused> {
        if self.held.is_empty() || self.core.is_choked() {
            return Ok(());
        }
        let place = random.below(self.held.len() as u64) as usize;
        for _ in 0..random.below(4) {
            let held = &mut self.held[place];
            let input = &kafka.input[held.partition];
            if held.is_draining || self.core.room(held.slot) == 0 || held.next as usize >= input.len() {
                return Ok(());
            }
            let record = Input { key: input[held.next as usize], at: (held.partition, held.next) };
            held.next += 1;
            let (slot, next_offset, key) = (held.slot, held.next, key_bytes(record.key));
            match self.core.offer(slot, next_offset, 1, record, |_| Some(key.clone())) {
                None | Some(Offer::Queued) => {}
                Some(Offer::Run(ticket, record)) => self.run(ticket, record, random),
                Some(Offer::RunAlone(record)) if random.below(2) == 0 => {
                    let ticket = self.core.track(slot, next_offset, 1);
                    self.core.occupy(ticket, Some(&key));
                    self.running.push((ticket, record));
                }
                Some(Offer::RunAlone(record)) => {
                    let result = self.handle(slot, &record);
                    match self.core.pass(slot, next_offset, 1, self.now()) {
                        Passed::Send { producer, begins } => self.send(kafka, producer, begins, slot, result)?,
                        Passed::Hold => self.core.hold(slot, next_offset, 1, result),
                    }
                }
            }
        }
        Ok(())
    }

    /// The handler: counts the key's records.
    fn handle(&mut self, slot: Slot, record: &Input) -> Result {
        let held = self.held.iter_mut().find(|held| held.slot == slot).expect("a record runs while it is held");
        let count = held.table.get(record.key) + 1;
        held.table.write(record.key, count);
        Result { key: record.key, input: record.at, count }
    }

    fn run(&mut self, ticket: Ticket, record: Input, random: &mut Random) {
        let mut next = Some((ticket, record));
        while let Some((ticket, record)) = next {
            let key = key_bytes(record.key);
            if random.below(2) == 0 {
                self.core.occupy(ticket, Some(&key));
                self.running.push((ticket, record));
                return;
            }
            let result = self.handle(ticket.slot, &record);
            self.core.complete(ticket, 0, result);
            next = self.core.next_in_lane(ticket, Some(&key));
        }
    }

    fn complete_one(&mut self, random: &mut Random) -> std::result::Result<(), Refused> {
        if self.running.is_empty() {
            return Ok(());
        }
        let place = random.below(self.running.len() as u64) as usize;
        let (ticket, record) = self.running.swap_remove(place);
        if self.core.holds(ticket) {
            let result = self.handle(ticket.slot, &record);
            self.core.complete(ticket, 0, result);
            if let Some((ticket, record)) = self.core.next_in_lane(ticket, Some(&key_bytes(record.key))) {
                self.run(ticket, record, random);
            }
        }
        Ok(())
    }

    fn send_ready(&mut self, kafka: &mut FakeKafka) -> std::result::Result<(), Refused> {
        while let Some(ready) = self.core.next_ready(self.now()) {
            self.send(kafka, ready.producer, ready.begins, ready.slot, ready.outcome)?;
        }
        Ok(())
    }

    fn send(
        &mut self,
        kafka: &mut FakeKafka,
        producer: usize,
        begins: bool,
        slot: Slot,
        result: Result,
    ) -> std::result::Result<(), Refused> {
        let (id, epoch) = (self.producer_id(producer), self.epochs[producer]);
        if begins {
            kafka.begin(id, epoch)?;
        }
        let value = Bytes::copy_from_slice(&result.count.to_be_bytes());
        let change = Change { table: 0, key: key_bytes(result.key), value: Some(value) };
        self.core.transaction().changes.push((slot, change));
        kafka.send(id, epoch, (result.key, result.input, result.count))
    }

    fn begin_commit(&mut self) -> std::result::Result<(), Refused> {
        if self.core.turns.commit_at(Some(Duration::ZERO)).is_some()
            && let Some((producer, _)) = self.core.turns.begin_commit()
        {
            self.commit = Some((producer, Commit::Offsets));
        }
        Ok(())
    }

    fn commit_step(&mut self, kafka: &mut FakeKafka) -> std::result::Result<(), Refused> {
        let Some((producer, step)) = self.commit else { return Ok(()) };
        let (id, epoch) = (self.producer_id(producer), self.epochs[producer]);
        match step {
            Commit::Offsets => {
                let (_, transaction) = self.core.turns.committing().expect("a commit is under way");
                let at = |slot: &Slot| self.held.iter().find(|held| held.slot == *slot).map(|held| held.partition);
                let offsets = transaction.next_offsets.iter();
                let offsets: Vec<_> = offsets.filter_map(|(slot, offset)| Some((at(slot)?, *offset))).collect();
                let generation = match self.mutation {
                    Some(super::Mutation::Fence) => kafka.generation,
                    _ => self.generation,
                };
                kafka.send_offsets(id, epoch, &offsets, generation)?;
                self.commit = Some((producer, Commit::Flush));
            }
            Commit::Flush => {
                self.core.turns.flushed();
                self.commit = Some((producer, Commit::End));
            }
            Commit::End => {
                kafka.commit(id, epoch)?;
                self.commit = None;
                let transaction = self.core.turns.committed();
                for held in &mut self.held {
                    if let Some(offset) = transaction.next_offsets.get(&held.slot) {
                        held.committed = *offset;
                    }
                    let mine = transaction.changes.iter().filter(|(slot, _)| *slot == held.slot);
                    mine.for_each(|(_, change)| held.table.commit(change));
                }
            }
        }
        Ok(())
    }

    /// As the engine's: abort what is open, forget what is not committed, go back to the last commit.
    fn reset(&mut self, kafka: &mut FakeKafka) {
        self.commit = None;
        for producer in self.core.reset() {
            let (id, epoch) = (self.producer_id(producer), self.epochs[producer]);
            if self.mutation != Some(super::Mutation::Abort) && kafka.abort(id, epoch).is_err() {
                // Fenced: this process is of no further use.
                return self.crash();
            }
            if self.mutation == Some(super::Mutation::Abort) {
                drop(kafka.commit(id, epoch));
            }
        }
        self.running.clear();
        for held in &mut self.held {
            held.table.roll_back();
            if self.mutation != Some(super::Mutation::Rewind) {
                held.next = held.committed;
            }
        }
    }

    /// The group has given the member's partitions away and the member hears of it.
    pub fn lose_all(&mut self, kafka: &mut FakeKafka) {
        self.reset(kafka);
        let slots: VecDeque<Slot> = self.held.drain(..).map(|held| held.slot).collect();
        slots.into_iter().for_each(|slot| self.core.remove(slot));
    }

    pub fn is_idle(&self) -> bool {
        self.core.is_idle() && self.running.is_empty()
    }
}

fn core() -> Core<Input, Result> {
    let bounds =
        Bounds { max_in_flight_records: 6, max_in_flight_bytes: 1_000, max_unsent_records: 5, max_unsent_bytes: 1_000 };
    let policy = CommitPolicy { max_records: 8, max_bytes: 1_000, max_interval: Duration::from_millis(50) };
    Core::new(bounds, policy)
}
