//! The engine's decisions as plain code, without I/O or clock: which record may run, what may be sent and committed.
//!
//! A worker tells it what happened and does what it answers. So does a simulation, which crashes, rebalances and aborts
//! at every step. Generic over what waits in a lane (`R`) and over what a completed record led to (`O`).

mod lanes;
mod progress;
#[cfg(test)]
mod simulation;
mod turns;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

pub use lanes::LaneKey;
use lanes::Lanes;
use progress::{Progress, Taken};
use turns::Turns;
pub use turns::{CommitPolicy, ProducerIndex, Transaction};

/// An assigned partition, as a number that is never used for another assignment of the same worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// A record in flight: its partition and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub slot: Slot,
    sequence: u64,
}

/// How much may be in flight.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Records a partition, from the first that is not complete on; partitions that share tables share it.
    pub max_in_flight_records: usize,
    /// Their bytes, and those of their results.
    pub max_in_flight_bytes: usize,
    /// Completed records that wait for the earlier transaction to flush, over all partitions.
    pub max_unsent_records: usize,
    /// Their bytes, and those of their inputs.
    pub max_unsent_bytes: usize,
}

/// What is to happen with a record that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer<R> {
    /// It runs now, and nothing of its partition or of those beside it is in flight: a result that comes at once may pass directly.
    RunAlone(R),
    /// It runs now.
    Run(Ticket, R),
    /// It waits behind a record of its key.
    Queued,
}

/// What became of the result of a record that ran alone.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// To be sent by this producer, whose transaction begins with it where `begins`.
    Send { producer: ProducerIndex, begins: bool },
    /// Not to be sent yet: to be given to `hold`.
    Hold,
}

/// A completed record's result that may be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Ready<O> {
    pub producer: ProducerIndex,
    pub begins: bool,
    pub slot: Slot,
    pub outcome: O,
}

#[derive(Debug)]
struct Partition {
    /// Its place in `groups`.
    group: usize,
    running: usize,
    /// Handed over: nothing more of it is started.
    is_draining: bool,
}

/// Partitions that share tables, and with them the order of keys and of commits. Most are alone in theirs.
#[derive(Debug)]
struct Group<O> {
    lane_group: u64,
    partitions: usize,
    progress: Progress<O>,
}

const GROUP: &str = "a group stays as long as one of its partitions";

/// A worker's state between its effects.
#[derive(Debug)]
pub struct Core<R, O> {
    bounds: Bounds,
    first_slot: usize,
    partitions: VecDeque<Option<Partition>>,
    groups: Vec<Option<Group<O>>>,
    lanes: Lanes<(Ticket, R)>,
    /// Completed, in their partitions' order, and not sent yet.
    unsent: VecDeque<Unsent<O>>,
    unsent_bytes: usize,
    pub turns: Turns,
}

#[derive(Debug)]
struct Unsent<O> {
    slot: Slot,
    next_offset: i64,
    bytes: usize,
    outcome: O,
}

impl<R, O> Core<R, O> {
    pub fn new(bounds: Bounds, policy: CommitPolicy) -> Core<R, O> {
        Core {
            bounds,
            first_slot: 0,
            partitions: VecDeque::new(),
            groups: Vec::new(),
            lanes: Lanes::default(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            turns: Turns::new(policy),
        }
    }

    /// Takes a partition over. `lane_group` is the same for partitions that share tables, and never used again once
    /// they are removed.
    pub fn add(&mut self, lane_group: u64) -> Slot {
        let group = self.group_for(lane_group);
        self.groups[group].as_mut().expect(GROUP).partitions += 1;
        self.partitions.push_back(Some(Partition { group, running: 0, is_draining: false }));
        Slot(self.first_slot + self.partitions.len() - 1)
    }

    fn group_for(&mut self, lane_group: u64) -> usize {
        let is_it = |group: &Option<Group<O>>| group.as_ref().is_some_and(|group| group.lane_group == lane_group);
        if let Some(known) = self.groups.iter().position(is_it) {
            return known;
        }
        let new = Some(Group { lane_group, partitions: 0, progress: Progress::default() });
        match self.groups.iter().position(Option::is_none) {
            Some(free) => {
                self.groups[free] = new;
                free
            }
            None => {
                self.groups.push(new);
                self.groups.len() - 1
            }
        }
    }

    fn partition(&self, slot: Slot) -> Option<&Partition> {
        self.partitions.get(slot.0.checked_sub(self.first_slot)?)?.as_ref()
    }

    fn partition_mut(&mut self, slot: Slot) -> Option<&mut Partition> {
        self.partitions.get_mut(slot.0.checked_sub(self.first_slot)?)?.as_mut()
    }

    fn group(&self, slot: Slot) -> Option<&Group<O>> {
        self.groups[self.partition(slot)?.group].as_ref()
    }

    fn group_mut(&mut self, slot: Slot) -> Option<&mut Group<O>> {
        let group = self.partition(slot)?.group;
        self.groups[group].as_mut()
    }

    /// How many more records of the partition may be read.
    pub fn room(&self, slot: Slot) -> usize {
        let Some(partition) = self.partition(slot).filter(|partition| !partition.is_draining) else { return 0 };
        let progress = &self.groups[partition.group].as_ref().expect(GROUP).progress;
        match progress.bytes() < self.bounds.max_in_flight_bytes {
            true => self.bounds.max_in_flight_records.saturating_sub(progress.records()),
            false => 0,
        }
    }

    /// Whether results pile up because the earlier transaction is still being flushed, or the open one is full.
    pub fn is_choked(&self) -> bool {
        self.unsent.len() >= self.bounds.max_unsent_records
            || self.unsent_bytes >= self.bounds.max_unsent_bytes
            || self.turns.is_full()
    }

    /// A record was read, whose key `key` finds. `None` where its partition is not held any more.
    pub fn offer(
        &mut self,
        slot: Slot,
        next_offset: i64,
        bytes: usize,
        record: R,
        key: impl FnOnce(&R) -> Option<Bytes>,
    ) -> Option<Offer<R>> {
        let all_idle = self.lanes.is_idle();
        let group = self.partition(slot).filter(|partition| !partition.is_draining)?.group;
        let group = self.groups[group].as_mut().expect(GROUP);
        if all_idle && group.progress.records() == 0 {
            return Some(Offer::RunAlone(record));
        }
        let lane = key(&record).map(|key| LaneKey { group: group.lane_group, key });
        let ticket = Ticket { slot, sequence: group.progress.admit(slot, next_offset, bytes) };
        if let Some(lane) = lane.filter(|lane| self.lanes.is_busy(lane)) {
            self.lanes.queue(&lane, (ticket, record));
            return Some(Offer::Queued);
        }
        self.partition_mut(slot)?.running += 1;
        Some(Offer::Run(ticket, record))
    }

    /// A record that ran alone is complete at once.
    pub fn pass(&mut self, slot: Slot, next_offset: i64, bytes: usize, now: Duration) -> Passed {
        if !self.unsent.is_empty() {
            return Passed::Hold;
        }
        let Some((producer, begins)) = self.turns.sender(now) else { return Passed::Hold };
        self.transaction().add(slot, next_offset, bytes);
        Passed::Send { producer, begins }
    }

    /// Keeps the result of a record that ran alone until it may be sent.
    pub fn hold(&mut self, slot: Slot, next_offset: i64, bytes: usize, outcome: O) {
        self.unsent_bytes += bytes;
        self.unsent.push_back(Unsent { slot, next_offset, bytes, outcome });
    }

    /// A record that ran alone waits: it is in flight from now on.
    pub fn track(&mut self, slot: Slot, next_offset: i64, bytes: usize) -> Ticket {
        let partition = self.partition_mut(slot).expect("a record runs only while its partition is held");
        partition.running += 1;
        let group = self.group_mut(slot).expect(GROUP);
        Ticket { slot, sequence: group.progress.admit(slot, next_offset, bytes) }
    }

    /// A running record waits for something: later ones of its key queue behind it.
    pub fn occupy(&mut self, ticket: Ticket, key: Option<&Bytes>) {
        if let (Some(group), Some(key)) = (self.group(ticket.slot), key) {
            let group = group.lane_group;
            self.lanes.occupy(LaneKey { group, key: key.clone() });
        }
    }

    #[cfg(test)]
    /// Whether the ticket's partition is still held.
    pub fn holds(&self, ticket: Ticket) -> bool {
        self.partition(ticket.slot).is_some()
    }

    /// A record in flight is complete; its result takes so many bytes.
    pub fn complete(&mut self, ticket: Ticket, result_bytes: usize, outcome: O) {
        let Some(partition) = self.partition_mut(ticket.slot) else { return };
        partition.running -= 1;
        let group = partition.group;
        self.groups[group].as_mut().expect(GROUP).progress.complete(ticket.sequence, result_bytes, outcome);
        self.advance(group);
    }

    /// Whether the record is the first in flight of its partition and those beside it.
    pub fn is_first(&self, ticket: Ticket) -> bool {
        self.group(ticket.slot).is_some_and(|group| group.progress.is_first(ticket.sequence))
    }

    /// Moves the unbroken run of complete records to those that may be sent.
    fn advance(&mut self, group: usize) {
        while let Some(taken) = self.groups[group].as_mut().expect(GROUP).progress.take_first() {
            let Taken { slot, next_offset, bytes, outcome } = taken;
            self.hold(slot, next_offset, bytes, outcome);
        }
    }

    /// The record that runs next in the lane of one that is complete, or whose partition was given away.
    pub fn next_in_lane(&mut self, ticket: Ticket, key: Option<&Bytes>) -> Option<(Ticket, R)> {
        let group = self.group(ticket.slot)?.lane_group;
        let lane = LaneKey { group, key: key?.clone() };
        let (next, record) = self.lanes.release(&lane)?;
        let partition = self.partition_mut(next.slot).expect("waiting records go with their partition");
        partition.running += 1;
        Some((next, record))
    }

    /// The next result that may be sent now.
    pub fn next_ready(&mut self, now: Duration) -> Option<Ready<O>> {
        if self.unsent.is_empty() || self.turns.is_full() {
            return None;
        }
        let (producer, begins) = self.turns.sender(now)?;
        let Unsent { slot, next_offset, bytes, outcome } = self.unsent.pop_front()?;
        self.unsent_bytes -= bytes;
        self.transaction().add(slot, next_offset, bytes);
        Some(Ready { producer, begins, slot, outcome })
    }

    /// The transaction that takes what is sent.
    pub fn transaction(&mut self) -> &mut Transaction {
        self.turns.filling().expect("a transaction is open while something is sent")
    }

    /// Starts nothing more of the partition: what waits in lanes is forgotten, what runs may still complete.
    pub fn drain(&mut self, slot: Slot) {
        if let Some(partition) = self.partition_mut(slot) {
            partition.is_draining = true;
        }
        self.lanes.drop_waiting(|(ticket, _)| ticket.slot == slot);
    }

    /// Whether everything of a draining partition that can still be committed is.
    pub fn is_drained(&self, slot: Slot) -> bool {
        self.partition(slot).is_none_or(|partition| partition.running == 0) && self.is_settled(slot)
    }

    /// Whether no result of the partition waits to be sent or committed.
    pub fn is_settled(&self, slot: Slot) -> bool {
        !self.turns.covers(slot) && self.unsent.iter().all(|unsent| unsent.slot != slot)
    }

    /// Gives a partition up, with what of it is still in flight. Partitions that share a lane group go together.
    pub fn remove(&mut self, slot: Slot) {
        if let Some(place) = self.partition(slot).map(|partition| partition.group) {
            let group = self.groups[place].as_mut().expect(GROUP);
            self.lanes.drop_group(group.lane_group);
            group.progress.forget(slot);
            group.partitions -= 1;
            if group.partitions == 0 {
                self.groups[place] = None;
            } else {
                self.advance(place);
            }
        }
        self.unsent.retain(|unsent| unsent.slot != slot);
        self.unsent_bytes = self.unsent.iter().map(|unsent| unsent.bytes).sum();
        if let Some(place) = slot.0.checked_sub(self.first_slot)
            && let Some(partition) = self.partitions.get_mut(place)
        {
            *partition = None;
        }
        while let Some(None) = self.partitions.front() {
            self.partitions.pop_front();
            self.first_slot += 1;
        }
    }

    /// Forgets everything that is not committed; partitions stay, and are to be read again from the last commit.
    /// Returns the producers whose transactions are to be aborted.
    pub fn reset(&mut self) -> Vec<ProducerIndex> {
        self.lanes.clear();
        self.unsent.clear();
        self.unsent_bytes = 0;
        self.partitions.iter_mut().flatten().for_each(|partition| partition.running = 0);
        self.groups.iter_mut().flatten().for_each(|group| group.progress = Progress::default());
        self.turns.abort()
    }

    /// The first record in flight of each group of partitions, by the offset after it.
    pub fn first_in_flight(&self) -> impl Iterator<Item = (Slot, i64)> {
        self.groups.iter().flatten().filter_map(|group| group.progress.first())
    }

    #[cfg(test)]
    /// Whether nothing is in flight and nothing waits for its commit.
    pub fn is_idle(&self) -> bool {
        self.unsent.is_empty()
            && self.turns.is_idle()
            && self.groups.iter().flatten().all(|group| group.progress.records() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core() -> Core<&'static str, &'static str> {
        let bounds = Bounds {
            max_in_flight_records: 10,
            max_in_flight_bytes: 1_000,
            max_unsent_records: 10,
            max_unsent_bytes: 1_000,
        };
        let policy = CommitPolicy { max_records: 100, max_bytes: 10_000, max_interval: Duration::from_secs(1) };
        Core::new(bounds, policy)
    }

    fn ready(core: &mut Core<&'static str, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| core.next_ready(Duration::ZERO)).map(|ready| ready.outcome).collect()
    }

    #[test]
    fn results_count_as_their_inputs_do() {
        let mut core = core();
        let slot = core.add(1);
        let Some(Offer::RunAlone(_)) = core.offer(slot, 1, 1, "slow", |_| None) else { panic!("nothing else runs") };
        core.track(slot, 1, 1);
        let Some(Offer::Run(ticket, _)) = core.offer(slot, 2, 1, "fans out", |_| None) else { panic!("without a key") };
        assert_eq!(core.room(slot), 8);
        core.complete(ticket, 998, "a great deal");
        assert_eq!(core.room(slot), 0);
        core.hold(slot, 3, 1_000, "more");
        assert!(core.is_choked());
    }

    #[test]
    fn what_saw_a_write_is_not_sent_before_the_write_is() {
        let mut core = core();
        let (purchases, profiles) = (core.add(7), core.add(7));
        let alone = core.add(8);
        let (slow, key) = (Bytes::from_static(b"slow"), Bytes::from_static(b"k"));
        let run = |core: &mut Core<&'static str, &'static str>, slot, key: &Bytes, next_offset| match core.offer(
            slot,
            next_offset,
            1,
            "record",
            |_| Some(key.clone()),
        ) {
            Some(Offer::Run(ticket, _)) => ticket,
            Some(Offer::RunAlone(_)) => core.track(slot, next_offset, 1),
            other => panic!("{other:?}"),
        };
        let first = run(&mut core, purchases, &slow, 5);
        core.occupy(first, Some(&slow));
        // It writes the key's row, which the record of the other input sees.
        let writer = run(&mut core, purchases, &key, 6);
        core.complete(writer, 0, "writer");
        let reader = run(&mut core, profiles, &key, 10);
        assert!(!core.is_first(reader));
        core.complete(reader, 0, "reader");
        assert_eq!(core.first_in_flight().collect::<Vec<_>>(), [(purchases, 5)]);
        assert_eq!(ready(&mut core), [""; 0]);
        let elsewhere = run(&mut core, alone, &key, 1);
        core.complete(elsewhere, 0, "elsewhere");
        assert_eq!(ready(&mut core), ["elsewhere"]);
        core.complete(first, 0, "first");
        assert_eq!(ready(&mut core), ["first", "writer", "reader"]);
    }
}
