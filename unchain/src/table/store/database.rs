//! The embedded store of a process: one database in one directory, which one process at a time may open.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use fjall::{Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

use super::super::{StoreError, StoreSettings};

/// Tells a directory of ours; a directory with anything else in it is not touched.
const SIGN: &str = "unchain-tables";
const LOCK: &str = "lock";
const DATA: &str = "data";

const SOUND: u8 = 0;
/// A write failed: the store takes no more until it is opened anew.
const FAILED: u8 = 1;
/// What is on disk cannot be read: it is to be built anew from the changelogs.
const DAMAGED: u8 = 2;

pub(crate) struct Database {
    dir: PathBuf,
    database: fjall::Database,
    tree_options: KeyspaceCreateOptions,
    state: AtomicU8,
    /// Held as long as the database is open; the system lets go of it however the process ends. Dropped last.
    _lock: File,
}

impl Database {
    /// Opens a directory, made where there is none. What is damaged is deleted: the changelogs hold it.
    pub(super) fn open(dir: &Path, settings: &StoreSettings) -> Result<Database, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("making the folder", dir))?;
        refuse_foreign(dir)?;
        let lock = lock(dir)?;
        fs::write(dir.join(SIGN), "Tables of an unchain processor; rebuilt from their changelogs if deleted.\n")
            .map_err(StoreError::io("writing", dir))?;
        let data = dir.join(DATA);
        let database = match open_data(&data, settings) {
            Err(error) if is_damage(&error) => {
                tracing::warn!(dir = %dir.display(), %error, "the tables' store cannot be read: it is rebuilt");
                fs::remove_dir_all(&data).map_err(StoreError::io("removing a damaged store", dir))?;
                open_data(&data, settings)?
            }
            opened => opened?,
        };
        let tree_options = KeyspaceCreateOptions::default().max_memtable_size(settings.write_buffer_bytes);
        Ok(Database { dir: dir.to_owned(), database, tree_options, state: AtomicU8::new(SOUND), _lock: lock })
    }

    pub(super) fn is_sound(&self) -> bool {
        self.state.load(Ordering::Acquire) == SOUND
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.state.load(Ordering::Acquire) == DAMAGED
    }

    pub(super) fn tree(&self, name: &str) -> Result<Keyspace, StoreError> {
        let opened = self.database.keyspace(name, || self.tree_options.clone());
        opened.map_err(|error| self.failed("opening a table", error))
    }

    pub(super) fn tree_names(&self) -> Vec<String> {
        self.database.list_keyspace_names().iter().map(|name| name.to_string()).collect()
    }

    /// Another tree of the same name, without rows.
    pub(super) fn emptied(&self, tree: Keyspace) -> Result<Keyspace, StoreError> {
        let name = tree.name().to_string();
        self.delete(tree)?;
        self.tree(&name)
    }

    pub(super) fn delete(&self, tree: Keyspace) -> Result<(), StoreError> {
        let deleted = self.database.delete_keyspace(tree);
        deleted.map_err(|error| self.failed("deleting a table", error))
    }

    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.database.batch()
    }

    /// Takes the store out of use where the error says that it has to be, and says what happened.
    #[cold]
    pub(super) fn failed(&self, operation: &'static str, error: fjall::Error) -> StoreError {
        let state = if means_damage(&error) { DAMAGED } else { FAILED };
        self.state.fetch_max(state, Ordering::AcqRel);
        StoreError::engine(operation, &self.dir)(error)
    }

    /// # Errors
    /// [`StoreError::Failed`] once any of its tables has found it broken.
    pub(super) fn expect_sound(&self) -> Result<(), StoreError> {
        if self.is_sound() {
            return Ok(());
        }
        let reason = "another partition's table has found it broken".to_owned();
        Err(StoreError::Failed { dir: self.dir.clone(), reason })
    }

    #[cold]
    pub(super) fn stalled(&self) -> StoreError {
        self.state.fetch_max(FAILED, Ordering::AcqRel);
        let reason = "its background work has stopped; is the disk full?".to_owned();
        StoreError::Failed { dir: self.dir.clone(), reason }
    }

    #[cold]
    pub(super) fn damaged(&self, reason: &str) -> StoreError {
        self.state.fetch_max(DAMAGED, Ordering::AcqRel);
        StoreError::Failed { dir: self.dir.clone(), reason: reason.to_owned() }
    }
}

/// Removes a store's data, for the next opening to begin anew. To be called when nobody has it open.
pub(super) fn remove_data(dir: &Path) -> Result<(), StoreError> {
    let data = dir.join(DATA);
    match fs::remove_dir_all(&data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("removing a damaged store", dir)(error))
        }
        _ => Ok(()),
    }
}

fn open_data(data: &Path, settings: &StoreSettings) -> Result<fjall::Database, StoreError> {
    let builder = fjall::Database::builder(data)
        .cache_size(settings.block_cache_bytes)
        .max_journaling_size(settings.max_journal_bytes.max(64 << 20))
        .max_cached_files(Some(settings.max_open_files.max(10)))
        .worker_threads(1);
    // Files that are not what the store wrote make it panic here and there.
    match catch_unwind(AssertUnwindSafe(|| builder.open())) {
        Ok(opened) => opened.map_err(StoreError::engine("opening the store", data.parent().unwrap_or(data))),
        Err(_) => Err(StoreError::Failed { dir: data.to_owned(), reason: "its files make no sense".to_owned() }),
    }
}

/// Whether an error at opening speaks of what is on disk, and not of the disk.
fn is_damage(error: &StoreError) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        StoreError::Failed { .. } => true,
        StoreError::Io { source, .. } => matches!(source.kind(), InvalidData | NotFound | UnexpectedEof),
        _ => false,
    }
}

fn means_damage(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::NotFound)
        }
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => false,
        _ => true,
    }
}

fn refuse_foreign(dir: &Path) -> Result<(), StoreError> {
    let mut entries = fs::read_dir(dir).map_err(StoreError::io("listing", dir))?;
    // A process that was killed between its first two files has left the lock alone.
    let others = entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOCK));
    if others && !dir.join(SIGN).exists() {
        return Err(StoreError::Foreign { dir: dir.to_owned() });
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let failed = || StoreError::io("locking", dir);
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK));
    let mut file = opened.map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message: what cannot be read is not told.
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::Locked { dir: dir.to_owned(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(failed()(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed())?;
    writeln!(file, "{}", std::process::id()).map_err(failed())?;
    Ok(file)
}
