//! The bytes of one segment: an append-only file, or chunks of memory under a shared bound.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::LogError;

const CHUNK_BYTES: usize = 256 * 1024;

/// What all logs of a broker without a data directory may hold together.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    used_bytes: Rc<Cell<u64>>,
    pub max_memory_bytes: u64,
}

impl MemoryBudget {
    pub fn new(max_memory_bytes: u64) -> Self {
        MemoryBudget { used_bytes: Rc::new(Cell::new(0)), max_memory_bytes }
    }

    fn take(&self, bytes: u64, is_own: bool) -> Result<(), LogError> {
        let used_bytes = self.used_bytes.get() + bytes;
        if used_bytes > self.max_memory_bytes && !is_own {
            return Err(LogError::MemoryFull { max_memory_bytes: self.max_memory_bytes });
        }
        self.used_bytes.set(used_bytes);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.set(self.used_bytes.get().saturating_sub(bytes));
    }

    #[cfg(test)]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.get()
    }
}

/// Where a segment's bytes lie.
#[derive(Debug)]
pub enum Store {
    /// Opened for append; read with positioned reads, so readers and the writer share no cursor.
    File { file: File, path: PathBuf, bytes: u64 },
    /// Chunks of a fixed size, the last one growing, so that small partitions stay small.
    Memory { chunks: Vec<Vec<u8>>, bytes: u64, budget: MemoryBudget },
}

impl Store {
    pub fn create_file(path: &Path) -> std::io::Result<Store> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Store::File { file, path: path.to_owned(), bytes })
    }

    pub fn in_memory(budget: &MemoryBudget) -> Store {
        Store::Memory { chunks: Vec::new(), bytes: 0, budget: budget.clone() }
    }

    pub fn bytes(&self) -> u64 {
        match self {
            Store::File { bytes, .. } | Store::Memory { bytes, .. } => *bytes,
        }
    }

    /// Appends a batch given in two parts. After an error nothing of it remains visible.
    ///
    /// What the broker itself writes (`is_own`) may go a little over the memory bound: a transaction must be able to end.
    pub fn append(&mut self, head: &[u8], tail: &[u8], is_own: bool) -> Result<(), LogError> {
        match self {
            Store::File { file, bytes, .. } => {
                if let Err(error) = write_both(file, head, tail) {
                    // A half-written batch would be taken for the log's end by the next append.
                    file.set_len(*bytes)?;
                    return Err(error.into());
                }
                *bytes += (head.len() + tail.len()) as u64;
            }
            Store::Memory { chunks, bytes, budget } => {
                budget.take((head.len() + tail.len()) as u64, is_own)?;
                push_chunks(chunks, head);
                push_chunks(chunks, tail);
                *bytes += (head.len() + tail.len()) as u64;
            }
        }
        Ok(())
    }

    /// Fills `target` from `position`; the caller asks only for bytes that were appended.
    pub fn read_at(&self, position: u64, target: &mut [u8]) -> std::io::Result<()> {
        match self {
            Store::File { file, .. } => file.read_exact_at(target, position),
            Store::Memory { chunks, .. } => {
                let mut position = position as usize;
                let mut filled = 0;
                while filled < target.len() {
                    let from = position % CHUNK_BYTES;
                    let chunk = chunks.get(position / CHUNK_BYTES).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                    let part = chunk.get(from..).unwrap_or_default();
                    let count = part.len().min(target.len() - filled);
                    if count == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                    target[filled..filled + count].copy_from_slice(&part[..count]);
                    filled += count;
                    position += count;
                }
                Ok(())
            }
        }
    }

    /// Cuts a file to its first `length` bytes (memory is never torn).
    pub fn truncate(&mut self, length: u64) -> std::io::Result<()> {
        if let Store::File { file, bytes, .. } = self {
            file.set_len(length)?;
            *bytes = length;
        }
        Ok(())
    }

    /// Removes the file, if there is one; memory is given back on drop.
    pub fn delete(&self) -> std::io::Result<()> {
        match self {
            Store::File { path, .. } => std::fs::remove_file(path),
            Store::Memory { .. } => Ok(()),
        }
    }

    /// Moves a file over another segment's; compaction puts its result in place with it.
    pub fn rename(&mut self, to: &Path) -> std::io::Result<()> {
        if let Store::File { path, .. } = self {
            std::fs::rename(&*path, to)?;
            *path = to.to_owned();
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Store::Memory { bytes, budget, .. } = self {
            budget.give_back(*bytes);
        }
    }
}

fn write_both(file: &mut File, head: &[u8], tail: &[u8]) -> std::io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])?;
    if written < head.len() {
        file.write_all(&head[written..])?;
        return file.write_all(tail);
    }
    file.write_all(&tail[written - head.len()..])
}

fn push_chunks(chunks: &mut Vec<Vec<u8>>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_BYTES) {
            chunks.push(Vec::new());
        }
        let chunk = chunks.last_mut().expect("a chunk was pushed above");
        let count = bytes.len().min(CHUNK_BYTES - chunk.len());
        chunk.extend_from_slice(&bytes[..count]);
        bytes = &bytes[count..];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_across_chunks_and_gives_its_bytes_back() {
        let budget = MemoryBudget::new(CHUNK_BYTES as u64 + 100);
        let mut store = Store::in_memory(&budget);
        let first: Vec<u8> = (0..CHUNK_BYTES - 3).map(|i| i as u8).collect();
        store.append(&first, b"abcdefgh", false).unwrap();
        let mut read = [0; 8];
        store.read_at(first.len() as u64, &mut read).unwrap();
        assert_eq!(&read, b"abcdefgh");
        assert!(matches!(store.append(&[0; 200], &[], false), Err(LogError::MemoryFull { .. })));
        assert_eq!(budget.used_bytes(), store.bytes());
        store.append(&[0; 200], &[], true).unwrap();
        drop(store);
        assert_eq!(budget.used_bytes(), 0);
    }
}
