//! What a call of a handler may draw on: the record, shared state, the entry of a table, lookups.

use std::sync::Arc;

use super::state::States;
use super::{Emitted, Failure, Outputs};
use crate::contract::{Codecs, Contract};
use crate::kafka::Record;
use crate::table::{AnyLookup, LookupTable, PartitionTables};

/// A table entry that a handler may have changed; read once the handler has succeeded.
pub trait PendingWrite: Send {
    /// The change as a changelog record, if there is one.
    fn changelog(&self, outputs: &mut Outputs<'_>) -> Result<(), Failure>;
}

/// The surroundings of one call.
pub struct Context<'a> {
    pub(crate) record: &'a Record,
    pub(crate) states: &'a States,
    pub(crate) tables: &'a PartitionTables,
    pub(crate) lookups: &'a [Arc<dyn AnyLookup>],
    pub(crate) codecs: &'a mut Codecs,
    pub(crate) writes: &'a mut Vec<Arc<dyn PendingWrite + Sync>>,
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

    pub(crate) fn lookup<C: Contract>(&self) -> Option<Arc<LookupTable<C>>> {
        let found = self.lookups.iter().find(|lookup| lookup.topic().name == C::TOPIC.name)?;
        Arc::clone(found).as_any().downcast::<LookupTable<C>>().ok()
    }

    /// The value that a table holds for a key, writes of the open transaction included.
    pub(crate) fn entry<C: Contract>(&mut self, key: &[u8]) -> Result<Option<C>, Failure> {
        let Some(bytes) = self.tables.get(C::TOPIC, key) else { return Ok(None) };
        let decoded = self.codecs.decode(bytes);
        decoded.map(Some).map_err(|error| {
            let reason = format!("entry of table {}: {error}", C::TOPIC.name);
            if error.is_transient() { Failure::Retry { reason } } else { Failure::Reject { reason } }
        })
    }
}

/// The changelog records of a call's table writes.
pub(crate) fn collect_writes(
    writes: &[Arc<dyn PendingWrite + Sync>],
    codecs: &mut Codecs,
) -> Result<Vec<Emitted>, Failure> {
    let mut emitted = Vec::new();
    for write in writes {
        write.changelog(&mut Outputs::new(codecs, &mut emitted))?;
    }
    Ok(emitted)
}
