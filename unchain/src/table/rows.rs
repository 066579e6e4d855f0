//! The rows of a partition's table that are in memory: open writes, committed rows on their way to the store, and a
//! bounded cache of rows that the store has as well.

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::ops::Bound;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::times::{RowTime, Times};

/// What a row takes in memory beside its key and value.
const ROW_OVERHEAD_BYTES: usize = 224;

/// Which state of the rows is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// With the writes that are not committed yet.
    Open,
    Committed,
}

#[derive(Debug)]
pub(super) struct Rows {
    index: HashTable<u32>,
    hasher: RandomState,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// There is a store, which has every row that is not here.
    stored: bool,
    /// Rows whose committed value the store does not have yet.
    dirty: Vec<u32>,
    dirty_bytes: usize,
    /// Rows that may be forgotten, the first first, unless they were asked for since.
    clean: VecDeque<u32>,
    clean_bytes: usize,
    /// Keys of the rows whose value here is not the store's, in order; made when a range is first asked for.
    ordered: Option<Ordered>,
    /// For tables whose rows expire.
    pub(super) times: Option<Times>,
}

#[derive(Debug, Default)]
struct Ordered {
    keys: BTreeSet<Bytes>,
    /// Asked for since the last flush.
    used: bool,
}

#[derive(Debug)]
struct Slot {
    key: Bytes,
    /// The outer option tells whether it is known here, the inner one whether there is a row. Its own copy: writes share
    /// the memory of their transaction's, which a row that stays must not hold on to.
    committed: Option<Option<Vec<u8>>>,
    /// The newest of the `pending` writes.
    open: Option<Bytes>,
    /// Writes that are not committed.
    pending: u32,
    /// What the row adds to `dirty_bytes` or `clean_bytes`.
    charged_bytes: u32,
    dirty: bool,
    /// In the queue of clean rows.
    queued: bool,
    /// Asked for since it was last at the head of that queue.
    used: bool,
    /// For tables whose rows expire.
    time: Option<Box<RowTime>>,
}

impl Slot {
    /// The outer option tells whether it is known here.
    fn value(&self, view: View) -> Option<Option<Bytes>> {
        if self.pending > 0 && view == View::Open {
            return Some(self.open.clone());
        }
        self.committed.as_ref().map(|value| value.as_deref().map(Bytes::copy_from_slice))
    }

    fn exists(&self, view: View) -> bool {
        if self.pending > 0 && view == View::Open { self.open.is_some() } else { self.is_committed() }
    }

    fn is_committed(&self) -> bool {
        matches!(self.committed, Some(Some(_)))
    }

    /// Takes over a committed value, where it can in the memory of the one before.
    fn commit(&mut self, value: Option<&[u8]>) {
        match (&mut self.committed, value) {
            (Some(Some(known)), Some(value)) => {
                known.clear();
                known.reserve_exact(value.len());
                known.extend_from_slice(value);
            }
            (committed, value) => *committed = Some(value.map(<[u8]>::to_vec)),
        }
    }

    /// Its value here is not the store's.
    fn differs(&self) -> bool {
        self.dirty || self.pending > 0
    }
}

impl Rows {
    pub(super) fn new(stored: bool, times: Option<Times>) -> Rows {
        Rows {
            index: HashTable::new(),
            hasher: RandomState::default(),
            slots: Vec::new(),
            free: Vec::new(),
            stored,
            dirty: Vec::new(),
            dirty_bytes: 0,
            clean: VecDeque::new(),
            clean_bytes: 0,
            ordered: None,
            times,
        }
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let counted: usize = self.slots.iter().flatten().map(|slot| slot.charged_bytes as usize).sum();
        assert_eq!(counted, self.dirty_bytes + self.clean_bytes);
        counted
    }

    /// The row as far as it is known here: `None` where the store has to be asked.
    pub(super) fn get(&mut self, key: &[u8], view: View) -> Option<Option<Bytes>> {
        let Some(place) = self.find(key) else { return (!self.stored).then_some(None) };
        let slot = self.slot_mut(place);
        slot.used = true;
        slot.value(view)
    }

    /// Remembers what the store has for a key that is not known here; `max_clean_bytes` bounds what is remembered.
    pub(super) fn remember(&mut self, key: &[u8], value: Option<&[u8]>, time: Option<RowTime>, max_clean_bytes: usize) {
        let place = self.find_or_insert(key);
        let slot = self.slot_mut(place);
        slot.commit(value);
        slot.time = time.map(Box::new);
        slot.used = true;
        self.settle(place);
        self.forget_down_to(max_clean_bytes);
    }

    /// Adds an open write.
    pub(super) fn write(&mut self, key: &[u8], value: Option<Bytes>, event_time_ms: i64) {
        let place = self.find_or_insert(key);
        self.enters_order(place);
        let slot = self.slots[place as usize].as_mut().expect("found or inserted");
        if let Some(times) = &mut self.times {
            let before = slot.exists(View::Open);
            times.count_open(before, value.is_some());
            slot.time.get_or_insert_default().open_ms.push_back(event_time_ms);
        }
        slot.pending += 1;
        slot.open = value;
        slot.used = true;
    }

    /// Makes a write stand: one of the open ones, where the key has any, else a new one of the event time given.
    pub(super) fn commit(&mut self, key: &[u8], value: Option<&[u8]>, event_time_ms: Option<i64>) {
        let place = self.find_or_insert(key);
        self.enters_order(place);
        let slot = self.slots[place as usize].as_mut().expect("found or inserted");
        // Writes of one key come in order: this is the newest.
        if slot.pending == 1 {
            slot.open = None;
        }
        if let Some(times) = &mut self.times {
            let before = slot.is_committed();
            let time = slot.time.get_or_insert_default();
            if slot.pending == 0 {
                times.count_open(before, value.is_some());
            }
            let in_index = before && (slot.dirty || !self.stored);
            let written_ms = time.open_ms.pop_front().or(event_time_ms).unwrap_or(time.committed_ms);
            times.committed(&slot.key, in_index.then_some(time.committed_ms), value.is_some().then_some(written_ms));
            times.count_committed(before, value.is_some());
            time.committed_ms = written_ms;
        }
        slot.pending = slot.pending.saturating_sub(1);
        slot.commit(value);
        if self.stored {
            if !slot.dirty {
                self.clean_bytes -= std::mem::take(&mut slot.charged_bytes) as usize;
                slot.dirty = true;
                self.dirty.push(place);
            }
            self.charge(place);
        } else if value.is_none() && slot.pending == 0 {
            self.remove(place);
        }
    }

    /// Takes back every write that is not committed.
    pub(super) fn roll_back(&mut self) {
        for place in 0..u32::try_from(self.slots.len()).expect("places are 32 bits wide") {
            let Some(slot) = &mut self.slots[place as usize] else { continue };
            if slot.pending == 0 {
                continue;
            }
            slot.pending = 0;
            slot.open = None;
            if let Some(time) = &mut slot.time {
                time.open_ms.clear();
            }
            match slot.committed {
                None => self.remove(place),
                Some(None) if !self.stored => self.remove(place),
                Some(_) => {
                    self.leaves_order(place);
                    if self.stored && !self.slot(place).dirty {
                        self.settle(place);
                    }
                }
            }
        }
        if let Some(times) = &mut self.times {
            times.roll_back();
        }
    }

    /// Each row that the store does not have yet: key, value, and what is known of its time.
    pub(super) fn dirty_rows(&self) -> impl Iterator<Item = (&Bytes, Option<&[u8]>, Option<&RowTime>)> {
        self.dirty.iter().map(|place| {
            let slot = self.slots[*place as usize].as_ref().expect("dirty rows stay in memory");
            (&slot.key, slot.committed.as_ref().and_then(Option::as_deref), slot.time.as_deref())
        })
    }

    /// The store has all committed rows now.
    pub(super) fn mark_clean(&mut self, max_clean_bytes: usize) {
        for place in std::mem::take(&mut self.dirty) {
            let slot = self.slot_mut(place);
            slot.dirty = false;
            if let Some(time) = &mut slot.time {
                time.stored_ms = matches!(slot.committed, Some(Some(_))).then_some(time.committed_ms);
            }
            let charged = std::mem::take(&mut slot.charged_bytes);
            self.dirty_bytes -= charged as usize;
            self.settle(place);
        }
        if let Some(times) = &mut self.times {
            times.all_stored();
        }
        self.ordered = self.ordered.take().filter(|ordered| ordered.used).map(|mut ordered| {
            ordered.used = false;
            ordered.keys.retain(|key| self.find(key).is_some_and(|place| self.slot(place).differs()));
            ordered
        });
        self.forget_down_to(max_clean_bytes);
    }

    /// Rows of a range whose value here is not the store's, deleted ones as `None`, up to and with the one that makes
    /// `max_rows` that exist.
    pub(super) fn range(
        &mut self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        view: View,
        max_rows: usize,
    ) -> Vec<(Bytes, Option<Bytes>)> {
        let mut ordered = self.ordered.take().unwrap_or_else(|| Ordered { keys: self.keys_that_differ(), used: true });
        ordered.used = true;
        let (mut rows, mut existing) = (Vec::new(), 0);
        for key in ordered.keys.range::<[u8], _>((from, to)) {
            if existing == max_rows {
                break;
            }
            let slot = self.slot(self.find(key).expect("ordered keys have rows"));
            if let Some(value) = slot.value(view) {
                existing += usize::from(value.is_some());
                rows.push((key.clone(), value));
            }
        }
        self.ordered = Some(ordered);
        rows
    }

    /// How a row that is in memory stands.
    pub(super) fn standing(&self, key: &[u8]) -> Option<Standing> {
        let slot = self.slot(self.find(key)?);
        Some(Standing { pending: slot.pending > 0, dirty: slot.dirty })
    }

    fn keys_that_differ(&self) -> BTreeSet<Bytes> {
        let slots = self.slots.iter().flatten().filter(|slot| slot.differs() || !self.stored);
        slots.map(|slot| slot.key.clone()).collect()
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        let is_key = |place: &u32| self.slots[*place as usize].as_ref().is_some_and(|slot| slot.key == key);
        self.index.find(self.hasher.hash_one(key), is_key).copied()
    }

    fn find_or_insert(&mut self, key: &[u8]) -> u32 {
        self.find(key).unwrap_or_else(|| self.insert(Bytes::copy_from_slice(key)))
    }

    fn insert(&mut self, key: Bytes) -> u32 {
        let hash = self.hasher.hash_one(&*key);
        let slot = Some(Slot {
            key,
            committed: (!self.stored).then_some(None),
            open: None,
            pending: 0,
            charged_bytes: 0,
            dirty: false,
            queued: false,
            used: false,
            time: None,
        });
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("the bounds in bytes keep rows in memory below 2^32")
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, place, |place| {
            hasher.hash_one(&*slots[*place as usize].as_ref().expect("indexed places hold rows").key)
        });
        place
    }

    fn remove(&mut self, place: u32) {
        let Some(slot) = self.slots[place as usize].take() else { return };
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(&*slot.key), |found| *found == place) {
            entry.remove();
        }
        if let Some(ordered) = &mut self.ordered {
            ordered.keys.remove(&slot.key);
        }
        self.free.push(place);
    }

    fn slot(&self, place: u32) -> &Slot {
        self.slots[place as usize].as_ref().expect("the place holds a row")
    }

    fn slot_mut(&mut self, place: u32) -> &mut Slot {
        self.slots[place as usize].as_mut().expect("the place holds a row")
    }

    fn enters_order(&mut self, place: u32) {
        if let Some(ordered) = &mut self.ordered {
            let slot = self.slots[place as usize].as_ref().expect("the place holds a row");
            if !slot.differs() {
                ordered.keys.insert(slot.key.clone());
            }
        }
    }

    fn leaves_order(&mut self, place: u32) {
        let slot = self.slots[place as usize].as_ref().expect("the place holds a row");
        if let Some(ordered) = self.ordered.as_mut().filter(|_| self.stored && !slot.differs()) {
            ordered.keys.remove(&slot.key);
        }
    }

    /// Counts what the row takes, as dirty or clean as it is.
    fn charge(&mut self, place: u32) {
        let slot = self.slots[place as usize].as_mut().expect("the place holds a row");
        let value = slot.committed.as_ref().and_then(Option::as_ref).map_or(0, Vec::capacity);
        let bytes = ROW_OVERHEAD_BYTES + slot.key.len() + value;
        let total = if slot.dirty { &mut self.dirty_bytes } else { &mut self.clean_bytes };
        *total = *total - slot.charged_bytes as usize + bytes;
        slot.charged_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    /// Puts a row that the store has as well among those that may be forgotten.
    fn settle(&mut self, place: u32) {
        self.charge(place);
        let slot = self.slot_mut(place);
        if !std::mem::replace(&mut slot.queued, true) {
            self.clean.push_back(place);
        }
    }

    fn forget_down_to(&mut self, max_clean_bytes: usize) {
        // Each row comes to the head at most twice: once to find that it was used, once to go.
        for _ in 0..2 * self.clean.len() {
            if self.clean_bytes <= max_clean_bytes {
                return;
            }
            let place = self.clean.pop_front().expect("the loop ends before the queue is empty");
            let slot = self.slots[place as usize].as_mut().expect("queued rows stay in memory");
            if slot.differs() {
                // It comes back when the store has what stands.
                slot.queued = false;
                if !slot.dirty {
                    self.clean_bytes -= std::mem::take(&mut slot.charged_bytes) as usize;
                }
            } else if std::mem::take(&mut slot.used) {
                self.clean.push_back(place);
            } else {
                self.clean_bytes -= slot.charged_bytes as usize;
                self.remove(place);
            }
            if self.clean.is_empty() {
                return;
            }
        }
    }
}

/// What the search for expired rows asks of one that is in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) pending: bool,
    pub(super) dirty: bool,
}
