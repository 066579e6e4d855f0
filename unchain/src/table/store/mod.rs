//! Where the tables of a process are: in memory, or in one embedded store that all its partitions share.
//!
//! The store is a cache of the changelogs, and never the only place of a committed row: whatever is wrong with it, it can
//! be rebuilt. Each partition of a table is a tree of its own in one database, so that a partition that moves to another
//! worker of the process takes nothing with it, and files, log and caches are shared.

mod database;
mod disk;
mod mark;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use super::shared::Table;
use super::{StoreError, StoreSettings};
use database::Database;
pub use disk::MAX_KEY_BYTES;
pub(super) use disk::{DiskTable, StoredRow};
pub(super) use mark::Mark;

/// The place of all tables of one processor in this process. Clones are the same place.
#[derive(Clone)]
pub struct Stores(Arc<Inner>);

struct Inner {
    /// `None` keeps tables in memory alone.
    disk: Option<Disk>,
    settings: StoreSettings,
    /// Each table that was opened, by topic and partition, as long as somebody has it.
    tables: Mutex<HashMap<(&'static str, i32), Weak<Table>>>,
    open_tables: AtomicUsize,
    wall_clock_ms: fn() -> i64,
}

struct Disk {
    dir: PathBuf,
    /// Opened with the first table.
    database: Mutex<Option<Arc<Database>>>,
}

impl Stores {
    /// Tables that are restored from the beginning of their changelogs at each start.
    pub fn memory() -> Stores {
        Stores::new(None, StoreSettings::default())
    }

    /// Tables in `dir/<processor>/<instance>`. Every instance that runs at the same time needs a name of its own there;
    /// one that restarts under its old name finds its tables again.
    pub fn at(dir: impl AsRef<Path>, processor: &str, instance: &str, settings: StoreSettings) -> Stores {
        let dir = dir.as_ref().join(file_name(processor)).join(file_name(instance));
        Stores::new(Some(Disk { dir, database: Mutex::default() }), settings)
    }

    fn new(disk: Option<Disk>, settings: StoreSettings) -> Stores {
        Stores(Arc::new(Inner {
            disk,
            settings,
            tables: Mutex::default(),
            open_tables: AtomicUsize::new(0),
            wall_clock_ms,
        }))
    }

    #[cfg(test)]
    pub(super) fn with_clock(mut self, wall_clock_ms: fn() -> i64) -> Stores {
        Arc::get_mut(&mut self.0).expect("not shared yet").wall_clock_ms = wall_clock_ms;
        self
    }

    /// The directory, where tables are on disk.
    pub fn dir(&self) -> Option<&Path> {
        self.0.disk.as_ref().map(|disk| &*disk.dir)
    }

    pub(super) fn settings(&self) -> &StoreSettings {
        &self.0.settings
    }

    /// Wall time in milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> i64 {
        (self.0.wall_clock_ms)()
    }

    /// What one table may have of a bound that all share.
    pub(super) fn share(&self, bytes: usize) -> usize {
        bytes / self.0.open_tables.load(Ordering::Relaxed).max(1)
    }

    /// Lists a table as open.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where the partition's table is open already.
    pub(super) fn register(&self, table: &Arc<Table>) -> Result<(), StoreError> {
        let key = (table.topic().name, table.partition());
        let mut tables = self.tables();
        if let Some(open) = tables.get(&key).and_then(Weak::upgrade).filter(|open| open.is_owned()) {
            return Err(StoreError::InUse { table: open.topic().name.to_owned(), partition: open.partition() });
        }
        tables.insert(key, Arc::downgrade(table));
        self.0.open_tables.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a table off the list; its owner has dropped it.
    pub(super) fn unregister(&self, table: &Arc<Table>) {
        let key = (table.topic().name, table.partition());
        let mut tables = self.tables();
        if tables.get(&key).is_some_and(|listed| std::ptr::eq(listed.as_ptr(), Arc::as_ptr(table))) {
            tables.remove(&key);
            self.0.open_tables.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The open tables of a topic, by partition.
    pub(super) fn open_tables(&self, topic: &str) -> Vec<Arc<Table>> {
        let tables = self.tables();
        let of_topic = tables.iter().filter(|((name, _), _)| *name == topic);
        let mut open: Vec<_> = of_topic.filter_map(|(_, table)| table.upgrade()).collect();
        open.sort_by_key(|table| table.partition());
        open
    }

    pub(super) fn open_table(&self, topic: &'static str, partition: i32) -> Option<Arc<Table>> {
        self.tables().get(&(topic, partition)).and_then(Weak::upgrade).filter(|table| table.is_owned())
    }

    /// Whether somebody of this process has the table.
    pub fn is_open(&self, topic: &'static str, partition: i32) -> bool {
        self.open_table(topic, partition).is_some()
    }

    /// A table's tree, and its mark where that can be gone on from; the tree is empty where not. `None` in memory.
    pub(super) fn tree(
        &self,
        topic: &str,
        partition: i32,
        timed: bool,
    ) -> Result<Option<(DiskTable, Option<Mark>)>, StoreError> {
        let Some(disk) = &self.0.disk else { return Ok(None) };
        let database = disk.open(self)?;
        let tree = DiskTable::new(Arc::clone(&database), database.tree(&tree_name(topic, partition))?, timed);
        let mark = tree.mark()?.filter(|mark| mark.topic == topic && mark.timed == timed && !self.is_too_old(mark));
        let tree = if mark.is_none() && !tree.is_empty()? { tree.emptied()? } else { tree };
        Ok(Some((tree, mark)))
    }

    /// Deletes a table's tree.
    pub(super) fn remove_tree(&self, topic: &str, partition: i32) -> Result<(), StoreError> {
        let Some(disk) = &self.0.disk else { return Ok(()) };
        let database = disk.open(self)?;
        database.delete(database.tree(&tree_name(topic, partition))?)
    }

    fn is_too_old(&self, mark: &Mark) -> bool {
        let max_age_ms = i64::try_from(self.0.settings.max_age().as_millis()).unwrap_or(i64::MAX);
        self.now_ms().saturating_sub(mark.flushed_at_ms) > max_age_ms
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<(&'static str, i32), Weak<Table>>> {
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// The database: the open one, unless it has failed, which is closed when its last table is and opened anew then.
    fn open(&self, stores: &Stores) -> Result<Arc<Database>, StoreError> {
        let mut opened = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = opened.take() {
            if database.is_sound() {
                return Ok(Arc::clone(opened.insert(database)));
            }
            if Arc::strong_count(&database) > 1 {
                opened.replace(database);
                let reason = "other partitions' tables are still open".to_owned();
                return Err(StoreError::Failed { dir: self.dir.clone(), reason });
            }
            let damaged = database.is_damaged();
            drop(database);
            if damaged {
                tracing::warn!(dir = %self.dir.display(), "the tables' store is damaged: it is rebuilt");
                database::remove_data(&self.dir)?;
            }
        }
        let database = Arc::new(Database::open(&self.dir, &stores.0.settings)?);
        forget_old_trees(&database, stores)?;
        Ok(Arc::clone(opened.insert(database)))
    }
}

/// Deletes what partitions have left that have been elsewhere for too long.
fn forget_old_trees(database: &Arc<Database>, stores: &Stores) -> Result<(), StoreError> {
    for name in database.tree_names() {
        let tree = database.tree(&name)?;
        let mark = DiskTable::new(Arc::clone(database), tree.clone(), false).mark()?;
        if mark.is_none_or(|mark| stores.is_too_old(&mark)) {
            database.delete(tree)?;
        }
    }
    Ok(())
}

fn tree_name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// A name as a file's: whatever is not plain is written as the hexadecimal value of its bytes behind a `%`.
fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut file = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        if plain(byte) || (byte == b'.' && index > 0) {
            file.push(byte.into());
        } else {
            file.push_str(&format!("%{byte:02x}"));
        }
    }
    file
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("dir", &self.dir()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_of_their_own() {
        let names = ["orders", "a/b", "a%2fb", ".", "..", "pod-1.eu", ""];
        let files: Vec<_> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files, ["orders", "a%2fb", "a%252fb", "%2e", "%2e.", "pod-1.eu", ""]);
    }
}
