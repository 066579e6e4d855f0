//! A lookup: every process holds the whole of another topic's table and reads it without a query.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::contract::{Contract, DecodeError, Decoder, SchemaRegistry, Topic};
use crate::kafka::Record;

/// The replica of a table whose records are of one contract.
#[derive(Debug)]
pub struct LookupTable<C> {
    topic: &'static Topic,
    rows: RwLock<HashMap<String, Arc<C>>>,
}

impl<C> LookupTable<C> {
    pub fn of(topic: &'static Topic) -> LookupTable<C> {
        LookupTable { topic, rows: RwLock::default() }
    }

    pub fn get(&self, key: &str) -> Option<Arc<C>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

/// A lookup whose type is forgotten: fed by whoever reads its topic.
pub trait AnyLookup: Send + Sync {
    fn topic(&self) -> &'static Topic;

    /// A function that applies records of the topic, in their order.
    fn feed(self: Arc<Self>, registry: Arc<dyn SchemaRegistry>) -> FeedLookup;

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Applies one record of a lookup's topic.
pub type FeedLookup = Box<dyn FnMut(&Record) -> Result<(), DecodeError> + Send>;

impl<C: Contract> AnyLookup for LookupTable<C> {
    fn topic(&self) -> &'static Topic {
        self.topic
    }

    fn feed(self: Arc<Self>, registry: Arc<dyn SchemaRegistry>) -> FeedLookup {
        let mut decoder = Decoder::<C>::new(registry);
        Box::new(move |record| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let row = record.value.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
            let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            match row {
                Some(row) => rows.insert(key, Arc::new(row)),
                None => rows.remove(&key),
            };
            Ok(())
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
