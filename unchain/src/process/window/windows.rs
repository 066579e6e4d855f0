//! The windows of a record as a handler sees them: one where they tumble, several where they hop, a session's one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use thiserror::Error;

use super::open::open;
use super::{Bounds, format_time};
use crate::contract::Contract;
use crate::process::{Context, Declaration, Extract, Failure, PendingWrite, TableWrites};

/// The open windows that the record belongs to, each with the row that the table keeps for the record's key and it.
/// Changes are written when the handler succeeds, in the same transaction as its outputs.
///
/// The processor says what the windows are like: `.window::<C>(Tumbling::of(hours(1)))`. For a record whose windows are
/// all closed the handler is not called: it goes where dead letters go, as [`FailureClass::Late`]. A handler that wants
/// to see late records takes `Result<Windows<C>, Late>`.
///
/// [`FailureClass::Late`]: crate::process::FailureClass::Late
#[derive(Debug)]
pub struct Windows<C: Contract> {
    windows: Vec<Window<C>>,
}

/// The record's event time is before what its partition still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "its event time is {}, and its windows closed before stream time came to {}",
    format_time(*.time_ms), format_time(*.stream_time_ms)
)]
pub struct Late {
    pub time_ms: i64,
    pub stream_time_ms: i64,
}

impl From<Late> for Failure {
    fn from(late: Late) -> Failure {
        Failure::late(late)
    }
}

/// One window of the record's key.
#[derive(Debug)]
pub struct Window<C> {
    bounds: Bounds,
    value: Option<C>,
    is_changed: bool,
    change: Arc<Change<C>>,
}

#[derive(Debug)]
struct Change<C> {
    table: usize,
    key: Arc<str>,
    row: Bytes,
    /// The rows that there are: the window's own, and those of the sessions that it takes in.
    present: Vec<Bytes>,
    /// Filled when the window is dropped. The outer option tells whether it was changed, the inner one whether it was set or deleted.
    slot: Mutex<Option<Option<C>>>,
}

impl<C: Contract> Windows<C> {
    pub(super) fn of(windows: Vec<Window<C>>) -> Windows<C> {
        Windows { windows }
    }

    /// The windows, earliest first; there is at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Window<C>> {
        self.windows.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Window<C>> {
        self.windows.iter_mut()
    }

    /// Replaces the row of each window by what `next` makes of it.
    pub fn update(&mut self, mut next: impl FnMut(Bounds, Option<&C>) -> C) {
        for window in &mut self.windows {
            window.set(next(window.bounds, window.get()));
        }
    }
}

impl<C: Contract> Window<C> {
    /// A window without changes, and what writes them.
    pub(super) fn new(
        context: &mut Context<'_>,
        (table, key, row): (usize, &Arc<str>, Bytes),
        bounds: Bounds,
        value: Option<C>,
        present: Vec<Bytes>,
    ) -> Window<C> {
        let change = Arc::new(Change { table, key: Arc::clone(key), row, present, slot: Mutex::new(None) });
        context.writes.push(Arc::clone(&change) as Arc<dyn PendingWrite>);
        Window { bounds, value, is_changed: false, change }
    }

    /// The time that the window spans, this record included where it is a session.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The row as it was before this record; where the record joins two sessions, their merged row.
    pub fn get(&self) -> Option<&C> {
        self.value.as_ref()
    }

    /// Replaces the row by a value whose own key must be the record's. A session is extended to the record only so.
    pub fn set(&mut self, value: C) {
        (self.value, self.is_changed) = (Some(value), true);
    }

    /// Deletes the row: the changelog gets a tombstone.
    pub fn delete(&mut self) {
        (self.value, self.is_changed) = (None, true);
    }
}

impl<C> Drop for Window<C> {
    fn drop(&mut self) {
        if self.is_changed {
            *self.change.slot() = Some(self.value.take());
        }
    }
}

impl<C> Change<C> {
    fn slot(&self) -> MutexGuard<'_, Option<Option<C>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Contract> PendingWrite for Change<C> {
    fn collect(&self, writes: &mut TableWrites<'_>) -> Result<(), Failure> {
        let slot = self.slot();
        let Some(changed) = &*slot else { return Ok(()) };
        for row in self.present.iter().filter(|row| changed.is_none() || **row != self.row) {
            writes.delete(self.table, row);
        }
        match changed {
            None => Ok(()),
            Some(value) if *value.key() == *self.key => writes.put(self.table, &self.row, value),
            Some(value) => Err(Failure::reject(format!(
                "a window of key {} of table {} was set to a value of key {}",
                self.key,
                C::TOPIC.name,
                value.key()
            ))),
        }
    }
}

impl<C: Contract> Extract for Windows<C> {
    fn declare(declaration: &mut Declaration) {
        declaration.window::<C>();
    }

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        Ok(open(context)??)
    }
}

impl<C: Contract> Extract for Result<Windows<C>, Late> {
    fn declare(declaration: &mut Declaration) {
        declaration.window::<C>();
    }

    fn extract(context: &mut Context<'_>) -> Result<Self, Failure> {
        open(context)
    }
}
