//! What a call of a handler may draw on: the record, shared state, rows of tables, lookups, and the time.

use std::sync::Arc;

use super::Failure;
use super::state::States;
use super::window::{EventTime, EventTimeOf};
use crate::contract::{Codecs, Contract, DecodeError};
use crate::kafka::Record;
use crate::table::{AnyLookup, Change, LookupTable, MAX_KEY_BYTES, PartitionTables, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};

/// Rows that a handler may have changed; read once the handler has succeeded.
pub trait PendingWrite: Send + Sync {
    /// Adds the changes, if there are any.
    ///
    /// # Errors
    /// A rejection where what the handler wrote cannot stand in the table.
    fn collect(&self, writes: &mut TableWrites<'_>) -> Result<(), Failure>;
}

/// The surroundings of one call.
pub struct Context<'a> {
    pub(crate) record: &'a Record,
    pub(crate) states: &'a States,
    pub(crate) tables: &'a PartitionTables,
    pub(crate) lookups: &'a [Arc<dyn AnyLookup>],
    pub(crate) codecs: &'a mut Codecs,
    pub(crate) writes: &'a mut Vec<Arc<dyn PendingWrite>>,
    /// The record's timestamp at first; a field of its value once that is decoded, where the processor says so.
    pub(crate) event_time_ms: i64,
}

impl Context<'_> {
    pub fn record(&self) -> &Record {
        self.record
    }

    /// The record's key as text.
    pub fn key(&self) -> Result<&str, Failure> {
        let key = self.record.key.as_deref().ok_or_else(|| Failure::reject("the record has no key"))?;
        std::str::from_utf8(key).map_err(|_| Failure::reject("the record's key is not UTF-8 text"))
    }

    /// The largest event time of the records that the partition had before this one, in milliseconds since the Unix
    /// epoch; `i64::MIN` before its first.
    pub(crate) fn stream_time_ms(&self) -> i64 {
        self.tables.stream_time_ms()
    }

    /// When the record happened.
    pub fn event_time(&self) -> EventTime {
        self.states.event_times.judge(self.event_time_ms)
    }

    /// What stream time moves on to once the record is completed; `None` where its event time cannot be believed.
    pub(crate) fn moves_stream_time_to_ms(&self) -> Option<i64> {
        match self.event_time() {
            EventTime::At(time_ms) => Some(time_ms),
            EventTime::Missing { .. } | EventTime::Ahead { .. } => None,
        }
    }

    /// Takes the event time from the record's value, where the processor says so.
    pub(crate) fn observe<C: Contract>(&mut self, value: &C) {
        if self.states.event_times.has_fields
            && let Some(EventTimeOf(field)) = self.states.get::<EventTimeOf<C>>()
        {
            self.event_time_ms = field(value);
        }
    }

    pub(crate) fn lookup<C: Contract>(&self) -> Option<Arc<LookupTable<C>>> {
        let topic = self.codecs.topic::<C>();
        let found = self.lookups.iter().find(|lookup| lookup.topic().name == topic.name)?;
        Arc::clone(found).as_any().downcast::<LookupTable<C>>().ok()
    }

    /// The place of a contract's table among those beside the record's partition.
    pub(crate) fn table<C: Contract>(&self) -> usize {
        let table = self.codecs.topic::<C>();
        let place = self.tables.topics().iter().position(|topic| topic.name == table.name);
        place.expect("the tables that handlers declare are kept beside their inputs")
    }

    /// The row that a table holds for a key, writes of open transactions included.
    pub(crate) fn row<C: Contract>(&mut self, table: usize, key: &[u8]) -> Result<Option<C>, Failure> {
        let bytes = self.tables.get(table, key).map_err(store_failure)?;
        bytes.map(|bytes| self.decode_row(&bytes)).transpose()
    }

    /// Rows in the order of their keys, from a key on and up to another.
    pub(crate) fn rows(
        &mut self,
        table: usize,
        from: &[u8],
        to: Option<&[u8]>,
        max_rows: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Failure> {
        self.tables.range(table, from, to, max_rows).map_err(store_failure)
    }

    pub(crate) fn decode_row<C: Contract>(&mut self, bytes: &[u8]) -> Result<C, Failure> {
        self.codecs.decode(bytes).map_err(|error: DecodeError| {
            let reason = format!("row of table {}: {error}", C::TOPIC.name);
            if error.is_transient() { Failure::Unavailable { reason } } else { Failure::Reject { reason } }
        })
    }
}

/// Collects the rows that one call has changed, encoded as the changelog has them.
pub struct TableWrites<'a> {
    codecs: &'a mut Codecs,
    changes: &'a mut Vec<Change>,
    memory: &'a mut ChangeMemory,
}

/// Memory that the keys and values of many changes share: a change costs no allocation of its own. A piece of it is free
/// again when the transactions of its changes have ended.
#[derive(Debug, Default)]
pub(crate) struct ChangeMemory {
    piece: BytesMut,
    encoded: Vec<u8>,
}

const PIECE_BYTES: usize = 32 * 1024;
/// What is larger has memory of its own, so that little of a piece is left over.
const MAX_SHARED_BYTES: usize = PIECE_BYTES / 16;

impl ChangeMemory {
    fn keep(piece: &mut BytesMut, bytes: &[u8]) -> Bytes {
        if bytes.len() > MAX_SHARED_BYTES {
            return Bytes::copy_from_slice(bytes);
        }
        if piece.capacity() < bytes.len() {
            *piece = BytesMut::with_capacity(PIECE_BYTES);
        }
        piece.extend_from_slice(bytes);
        piece.split().freeze()
    }
}

impl<'a> TableWrites<'a> {
    pub(crate) fn new(
        codecs: &'a mut Codecs,
        changes: &'a mut Vec<Change>,
        memory: &'a mut ChangeMemory,
    ) -> TableWrites<'a> {
        TableWrites { codecs, changes, memory }
    }

    /// # Errors
    /// A rejection where the value cannot be encoded, or the key is too long for a table.
    pub fn put<C: Contract>(&mut self, table: usize, key: &[u8], value: &C) -> Result<(), Failure> {
        if key.len() > MAX_KEY_BYTES {
            return Err(Failure::reject(StoreError::KeyTooLong { bytes: key.len(), limit: MAX_KEY_BYTES }));
        }
        let ChangeMemory { piece, encoded } = &mut *self.memory;
        encoded.clear();
        let result = self.codecs.encode_into(value, encoded);
        result.map_err(|error| Failure::reject(format!("row of table {}: {error}", C::TOPIC.name)))?;
        let (key, value) = (ChangeMemory::keep(piece, key), ChangeMemory::keep(piece, encoded));
        self.changes.push(Change { table, key, value: Some(value) });
        Ok(())
    }

    pub fn delete(&mut self, table: usize, key: &[u8]) {
        let key = ChangeMemory::keep(&mut self.memory.piece, key);
        self.changes.push(Change { table, key, value: None });
    }
}

fn store_failure(error: StoreError) -> Failure {
    match error.kind() {
        StoreErrorKind::Reject => Failure::reject(error),
        StoreErrorKind::Reopen | StoreErrorKind::Stop => Failure::unavailable(error),
    }
}
