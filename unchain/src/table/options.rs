//! How tables are kept: which rows may go, and how much memory and disk the stores take.

use std::time::Duration;

/// Which rows of a table go by themselves. Rows that go are deleted from the changelog as well, by tombstones.
///
/// A table with any of these pays for an index of its rows by time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Rows that one partition of the table may hold; past it those of the oldest event time go first.
    pub max_rows: Option<u64>,
    /// How long a row stays after the event time of its last change, by stream time.
    pub time_to_live: Option<Duration>,
}

impl TableOptions {
    pub(super) fn expire_rows(&self) -> bool {
        self.max_rows.is_some() || self.time_to_live.is_some()
    }
}

/// Bounds of all tables of one [`Stores`](super::Stores) together.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Committed rows that are not in the store yet; half of it is when they are written there.
    pub max_dirty_bytes: usize,
    /// Rows kept in memory beside the store, so that hot keys are not read from it.
    pub max_cached_bytes: usize,
    /// Blocks of the store's files kept in memory.
    pub block_cache_bytes: u64,
    /// Rows that the store holds in memory, for each partition of a table, before it writes a file of them.
    pub write_buffer_bytes: u64,
    /// The store's log on disk, read whenever it is opened; at least 64 MiB. It also bounds all write buffers together.
    pub max_journal_bytes: u64,
    pub max_open_files: usize,
    /// The longest that a committed row waits for its way into the store.
    pub flush_interval: Duration,
    /// The changelogs' `delete.retention.ms`. A store that was not flushed for nine tenths of it is rebuilt: tombstones
    /// that it never saw may be gone from the changelog.
    pub delete_retention: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            max_dirty_bytes: 32 << 20,
            max_cached_bytes: 64 << 20,
            block_cache_bytes: 16 << 20,
            write_buffer_bytes: 8 << 20,
            max_journal_bytes: 64 << 20,
            max_open_files: 256,
            flush_interval: Duration::from_secs(1),
            delete_retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl StoreSettings {
    pub(super) fn max_age(&self) -> Duration {
        self.delete_retention.mul_f64(0.9)
    }
}
