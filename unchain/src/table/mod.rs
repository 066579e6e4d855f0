//! Keyed state: tables that belong to an input partition, and lookups, read-only replicas of another topic's table.

mod error;
mod expire;
mod lookup;
mod options;
mod partition;
mod rows;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod times;

pub use error::{StoreError, StoreErrorKind};
pub use lookup::{AnyLookup, FeedLookup, LookupTable};
pub use options::{StoreSettings, TableOptions};
pub use partition::{Change, PartitionTables};
pub use store::{MAX_KEY_BYTES, Stores};
