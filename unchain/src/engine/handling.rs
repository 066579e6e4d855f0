//! Records on their way through handlers: the core's decisions, the calls, and the tables that calls see.
//!
//! Without I/O: a session feeds it from Kafka and sends what it gives; tests of processors drive it by hand.

use std::time::Duration;

use super::calls::{Call, Called, Calls, Step};
use super::core::{Core, Offer, Passed, ProducerIndex, Slot, Ticket};
use super::outbox::Outcome;
use crate::kafka::Record;
use crate::process::Failed;
use crate::table::PartitionTables;

/// An input group and a partition number: what tables stand beside.
pub(crate) type Beside = (usize, i32);

/// Tables with what they stand beside.
pub(crate) type TablesBeside = Vec<(Beside, PartitionTables)>;

/// A partition whose records may be handled.
#[derive(Debug, Clone, Copy)]
struct Place {
    slot: Slot,
    handler: usize,
    beside: Beside,
    /// Which take-over it came with.
    assignment: u64,
    /// Where its tables are, once they are restored.
    tables: Option<usize>,
}

pub(crate) struct Handling {
    pub(crate) core: Core<Record, Outcome>,
    pub(crate) calls: Calls<Ticket>,
    places: Vec<Place>,
    /// A place is used again once its partition is given away.
    tables: Vec<Option<(Beside, PartitionTables)>>,
    /// When the table writes of the call that has just ended happened, by event time; by stream time where the record's
    /// own is not believed.
    pub(crate) change_time_ms: i64,
}

/// A record that is complete and may be sent at once: its results are still with the calls.
pub(crate) struct Direct {
    pub(crate) producer: ProducerIndex,
    pub(crate) begins: bool,
    pub(crate) record: Record,
    pub(crate) failed: Option<Failed>,
}

/// Rows that one record may let go.
const MAX_EXPIRED_ROWS: usize = 16;
/// What a record in flight costs beside its bytes.
const RECORD_OVERHEAD_BYTES: usize = 100;

impl Handling {
    pub(crate) fn new(core: Core<Record, Outcome>, calls: Calls<Ticket>) -> Handling {
        Handling { core, calls, places: Vec::new(), tables: Vec::new(), change_time_ms: 0 }
    }

    /// Takes a partition over; nothing of it is handled before its tables are there. `lane_group` is the same for
    /// partitions of one assignment that share tables, and never used again.
    pub(crate) fn add(&mut self, handler: usize, beside: Beside, assignment: u64, lane_group: u64) -> Slot {
        let slot = self.core.add(lane_group);
        self.places.push(Place { slot, handler, beside, assignment, tables: None });
        slot
    }

    /// Gives partitions of an assignment their tables; dropped where no partition waits for them any more. Those of an
    /// earlier assignment may be older than what another owner has committed since.
    pub(crate) fn add_tables(&mut self, assignment: u64, beside: Beside, tables: PartitionTables) {
        let is_waiting =
            |place: &Place| place.beside == beside && place.assignment == assignment && place.tables.is_none();
        if !self.places.iter().any(is_waiting) {
            return;
        }
        let free = self.tables.iter().position(Option::is_none).unwrap_or_else(|| {
            self.tables.push(None);
            self.tables.len() - 1
        });
        self.tables[free] = Some((beside, tables));
        self.places.iter_mut().filter(|place| is_waiting(place)).for_each(|place| place.tables = Some(free));
    }

    /// Forgets a partition, and its tables where it was the last beside them.
    pub(crate) fn remove(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.core.remove(*slot));
        self.places.retain(|place| !slots.contains(&place.slot));
        // What still waits must not go on beside the next owner's call for the same record.
        self.calls.keep(|ticket| !slots.contains(&ticket.slot));
        for (at, tables) in self.tables.iter_mut().enumerate() {
            if !self.places.iter().any(|place| place.tables == Some(at)) {
                *tables = None;
            }
        }
    }

    fn place(&self, slot: Slot) -> Option<&Place> {
        self.places.iter().find(|place| place.slot == slot)
    }

    /// What a partition's tables stand beside.
    pub(crate) fn beside(&self, slot: Slot) -> Option<Beside> {
        self.place(slot).map(|place| place.beside)
    }

    /// Whether a partition still waits for its tables.
    pub(crate) fn is_waiting_for_tables(&self) -> bool {
        self.places.iter().any(|place| place.tables.is_none())
    }

    /// How many more records of a partition may be read.
    pub(crate) fn room(&self, slot: Slot) -> usize {
        if self.place(slot).is_some_and(|place| place.tables.is_some()) { self.core.room(slot) } else { 0 }
    }

    /// The tables beside a partition.
    pub(crate) fn tables(&self, slot: Slot) -> Option<&PartitionTables> {
        self.tables[self.place(slot)?.tables?].as_ref().map(|(_, tables)| tables)
    }

    pub(crate) fn tables_mut(&mut self, slot: Slot) -> Option<&mut PartitionTables> {
        let at = self.place(slot)?.tables?;
        self.tables[at].as_mut().map(|(_, tables)| tables)
    }

    /// All tables, each with what it stands beside.
    pub(crate) fn all_tables(&mut self) -> impl Iterator<Item = &mut (Beside, PartitionTables)> {
        self.tables.iter_mut().flatten()
    }

    /// Begins to handle a record; most are complete when this returns.
    pub(crate) fn handle(&mut self, slot: Slot, record: Record, now: Duration) -> Option<Direct> {
        let Place { handler, tables: Some(tables), .. } = *self.place(slot)? else { return None };
        let (next_offset, bytes) = (record.offset + 1, record.size_bytes() + RECORD_OVERHEAD_BYTES);
        let record = match self.core.offer(slot, next_offset, bytes, record, |record| record.key.clone())? {
            Offer::Queued => return None,
            Offer::Run(ticket, record) => {
                self.run_lane(Call { tag: ticket, record, handler, attempt: 1 });
                return None;
            }
            Offer::RunAlone(record) => record,
        };
        let called = self.calls.start(handler, &record, 1, tables_at(&self.tables, tables));
        if let Called::Waits(wait) = called {
            let tag = self.core.track(slot, next_offset, bytes);
            self.core.occupy(tag, record.key.as_ref());
            let attempt = 1 + u32::from(wait.is_retry());
            self.calls.wait(Call { tag, record, handler, attempt }, wait);
            return None;
        }
        self.apply(tables, true);
        let (failed, bytes) = (called.failed(), bytes + self.calls.result_bytes());
        match self.core.pass(slot, next_offset, bytes, now) {
            Passed::Send { producer, begins } => Some(Direct { producer, begins, record, failed }),
            Passed::Hold => {
                let outcome = Outcome::take(record, &mut self.calls, self.change_time_ms, failed);
                self.core.hold(slot, next_offset, bytes, outcome);
                None
            }
        }
    }

    /// Goes on with a call that waited.
    pub(crate) fn resume(&mut self, step: Step<Ticket>) {
        // Its partition may have been given away while it waited.
        let Some(tables) = self.place(step.tag().slot).and_then(|place| place.tables) else { return };
        let (call, called) = self.calls.resume(step, tables_at(&self.tables, tables));
        if let Some(next) = self.settle(call, called, tables) {
            self.run_lane(next);
        }
    }

    /// Runs a record and, where it completes at once, those that wait behind it.
    fn run_lane(&mut self, call: Call<Ticket>) {
        let mut next = Some(call);
        while let Some(call) = next {
            let Some(tables) = self.place(call.tag.slot).and_then(|place| place.tables) else { return };
            let called = self.calls.start(call.handler, &call.record, call.attempt, tables_at(&self.tables, tables));
            next = self.settle(call, called, tables);
        }
    }

    /// Takes a call's state; returns the next record of its lane where the call has ended.
    fn settle(&mut self, mut call: Call<Ticket>, called: Called, tables: usize) -> Option<Call<Ticket>> {
        let ticket = call.tag;
        if let Called::Waits(wait) = called {
            self.core.occupy(ticket, call.record.key.as_ref());
            call.attempt += u32::from(wait.is_retry());
            self.calls.wait(call, wait);
            return None;
        }
        let is_first = self.core.is_first(ticket);
        self.apply(tables, is_first);
        let key = call.record.key.clone();
        let result_bytes = self.calls.result_bytes();
        let outcome = Outcome::take(call.record, &mut self.calls, self.change_time_ms, called.failed());
        self.core.complete(ticket, result_bytes, outcome);
        let (tag, record) = self.core.next_in_lane(ticket, key.as_ref())?;
        let handler = self.place(tag.slot)?.handler;
        Some(Call { tag, record, handler, attempt: 1 })
    }

    /// Lets later calls see the table writes of one that has ended. Rows whose time is over go with a record that is
    /// the first in flight: then their deletion is sent in the order in which it is written here.
    fn apply(&mut self, tables: usize, is_first: bool) {
        let (_, tables) = self.tables[tables].as_mut().expect("a place is freed only with its partition");
        let event_time_ms = self.calls.stream_time_ms.unwrap_or_else(|| tables.stream_time_ms().max(0));
        self.change_time_ms = event_time_ms;
        for change in &self.calls.changes {
            tables.write(change.table, &change.key, change.value.clone(), event_time_ms);
        }
        if let Some(stream_time_ms) = self.calls.stream_time_ms {
            tables.advance_stream_time(stream_time_ms);
        }
        if !is_first {
            return;
        }
        // What goes by itself goes with the record that makes time pass, in the same transaction.
        match tables.expire(MAX_EXPIRED_ROWS) {
            Ok(expired) => {
                for change in expired {
                    tables.write(change.table, &change.key, None, event_time_ms);
                    self.calls.changes.push(change);
                }
            }
            // It is tried again with the next record; a store that stays broken says so with the next flush.
            Err(error) => tracing::debug!(%error, "rows whose time is over stay for now"),
        }
    }

    /// Forgets what is not committed. Returns the producers whose transactions are to be aborted.
    pub(crate) fn reset(&mut self) -> Vec<ProducerIndex> {
        self.calls.clear();
        self.all_tables().for_each(|(_, tables)| tables.roll_back());
        self.core.reset()
    }
}

fn tables_at(tables: &[Option<(Beside, PartitionTables)>], at: usize) -> &PartitionTables {
    tables[at].as_ref().map(|(_, tables)| tables).expect("a place is freed only with its partition")
}
