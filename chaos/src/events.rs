//! What happened, with its times: the history that a failing run prints.

use std::sync::{Arc, Mutex, PoisonError};

use crate::now_ms;

/// One thing that the checker did or saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at_ms: i64,
    /// Whom it is about: a process, a broker, a proxy, the checker.
    pub who: String,
    pub what: String,
}

/// The log of a run, shared by all who take part in it.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub fn add(&self, who: impl Into<String>, what: impl Into<String>) {
        let event = Event { at_ms: now_ms(), who: who.into(), what: what.into() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
