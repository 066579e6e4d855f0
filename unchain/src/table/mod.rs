//! Keyed state: tables that belong to an input partition, and lookups, read-only replicas of another topic's table.

mod error;
mod expire;
mod lookup;
mod murmur2;
mod options;
mod partition;
mod reader;
mod rows;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod times;
mod view;

pub use error::{StoreError, StoreErrorKind};
pub use lookup::{AnyLookup, FeedLookup, LookupTable};
pub(crate) use murmur2::partition_of;
pub use options::{StoreSettings, TableOptions};
pub use partition::{Change, PartitionTables};
pub use reader::{QueryError, TableReader};
pub use store::{MAX_KEY_BYTES, Stores};
pub use view::TableView;
