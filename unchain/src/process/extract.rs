//! A handler's arguments after the value: what each type draws from the record and its surroundings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::{PendingWrite, TableWrites};
use super::{Context, Declaration, Failure, State};
use crate::contract::Contract;
use crate::envelope;
use crate::kafka::Headers;
use crate::table::LookupTable;

/// A type that a handler may take as an argument.
pub trait Extract: Sized {
    fn declare(declaration: &mut Declaration);

    /// # Errors
    /// A rejection where the record does not have what is asked for.
    fn extract(context: &mut Context<'_>) -> Result<Self, Failure>;
}

/// The record's key as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub String);

impl Extract for Key {
    fn declare(_: &mut Declaration) {}

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        context.key().map(|key| Key(key.to_owned()))
    }
}

/// The record's headers.
#[derive(Debug, Clone)]
pub struct RecordHeaders(pub Headers);

impl Extract for RecordHeaders {
    fn declare(_: &mut Declaration) {}

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        Ok(RecordHeaders(context.record.headers.clone()))
    }
}

/// Where and when the record stands in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
}

impl Extract for Position {
    fn declare(_: &mut Declaration) {}

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        let record = context.record;
        let topic = Arc::clone(&record.topic);
        Ok(Position { topic, partition: record.partition, offset: record.offset, timestamp_ms: record.timestamp_ms })
    }
}

/// The correlation id: the same for every record that stems from one first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation(pub String);

impl Extract for Correlation {
    fn declare(_: &mut Declaration) {}

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        Ok(Correlation(envelope::correlation_id(context.record)))
    }
}

impl<T: Clone + Send + Sync + 'static> Extract for State<T> {
    fn declare(declaration: &mut Declaration) {
        declaration.state::<T>();
    }

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        Ok(State(context.states.get().expect("the processor was refused if it lacks a declared state")))
    }
}

/// The entry of a table for the record's key. What the handler leaves in it is written when the handler succeeds, in the
/// same transaction as its outputs. The table's changelog is the topic of `C`, which needs as many partitions as the
/// input.
#[derive(Debug)]
pub struct Entry<C: Contract> {
    value: Option<C>,
    is_changed: bool,
    change: Arc<Change<C>>,
}

#[derive(Debug)]
struct Change<C> {
    table: usize,
    key: String,
    /// Filled when the entry is dropped. The outer option tells whether it was changed, the inner one whether it was set
    /// or deleted.
    slot: Mutex<Option<Option<C>>>,
}

impl<C> Change<C> {
    fn slot(&self) -> MutexGuard<'_, Option<Option<C>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Contract> Entry<C> {
    pub fn key(&self) -> &str {
        &self.change.key
    }

    pub fn get(&self) -> Option<&C> {
        self.value.as_ref()
    }

    /// Replaces the value, whose own key must be the record's.
    pub fn set(&mut self, value: C) {
        (self.value, self.is_changed) = (Some(value), true);
    }

    /// Deletes the value: the changelog gets a tombstone.
    pub fn delete(&mut self) {
        (self.value, self.is_changed) = (None, true);
    }
}

impl<C: Contract> Drop for Entry<C> {
    fn drop(&mut self) {
        if self.is_changed {
            *self.change.slot() = Some(self.value.take());
        }
    }
}

impl<C: Contract> PendingWrite for Change<C> {
    fn collect(&self, writes: &mut TableWrites<'_>) -> Result<(), Failure> {
        match &*self.slot() {
            None => Ok(()),
            Some(Some(value)) if value.key() == self.key => writes.put(self.table, self.key.as_bytes(), value),
            Some(Some(value)) => Err(Failure::reject(format!(
                "the entry for key {} of table {} was set to a value of key {}",
                self.key,
                C::TOPIC.name,
                value.key()
            ))),
            Some(None) => {
                writes.delete(self.table, self.key.as_bytes());
                Ok(())
            }
        }
    }
}

impl<C: Contract> Extract for Entry<C> {
    fn declare(declaration: &mut Declaration) {
        declaration.table::<C>();
    }

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        let key = context.key()?.to_owned();
        let table = context.table::<C>();
        let value = context.row(table, key.as_bytes())?;
        let change = Arc::new(Change { table, key, slot: Mutex::new(None) });
        context.writes.push(Arc::clone(&change) as Arc<dyn PendingWrite>);
        Ok(Entry { value, is_changed: false, change })
    }
}

/// The row of a table for the record's key, to be read only: the table's other handlers, which share it with this one,
/// change it through [`Entry`]. So records of several topics meet, partition by partition: a join.
#[derive(Debug)]
pub struct Row<C: Contract> {
    key: String,
    value: Option<C>,
}

impl<C: Contract> Row<C> {
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn get(&self) -> Option<&C> {
        self.value.as_ref()
    }

    pub fn into_inner(self) -> Option<C> {
        self.value
    }
}

impl<C: Contract> Extract for Row<C> {
    fn declare(declaration: &mut Declaration) {
        declaration.table_read::<C>();
    }

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        let key = context.key()?.to_owned();
        let table = context.table::<C>();
        let value = context.row(table, key.as_bytes())?;
        Ok(Row { key, value })
    }
}

/// A read-only replica of another topic's table, whole in every process: local data in place of a synchronous query.
#[derive(Debug, Clone)]
pub struct Lookup<C: Contract>(Arc<LookupTable<C>>);

impl<C: Contract> Lookup<C> {
    pub fn get(&self, key: &str) -> Option<Arc<C>> {
        self.0.get(key)
    }
}

impl<C: Contract> Extract for Lookup<C> {
    fn declare(declaration: &mut Declaration) {
        declaration.lookup::<C>();
    }

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        Ok(Lookup(context.lookup().expect("every declared lookup is loaded before records are handled")))
    }
}
