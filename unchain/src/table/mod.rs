//! Keyed state: tables that belong to an input partition, and lookups, read-only replicas of another topic's table.

mod lookup;
mod partition;

pub use lookup::{AnyLookup, FeedLookup, LookupTable};
pub use partition::{Change, PartitionTables};
