//! The metadata journal: what must survive besides records, in one append-only file of CRC-framed entries.
//!
//! Frame: length (u32), CRC-32C of the payload (u32), payload. A torn last frame is cut off at start. When the file has
//! grown to a multiple of its last snapshot it is replaced, by rename, with a snapshot of the state.

mod codec;
mod entry;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

pub use entry::Entry;

/// A journal smaller than this is never compacted.
const MIN_COMPACT_BYTES: u64 = 4 * 1024 * 1024;
/// It is compacted when it is this many times its last snapshot.
const GROWTH_FACTOR: u64 = 4;
const FRAME_HEADER_BYTES: usize = 8;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    snapshot_bytes: u64,
}

impl Journal {
    /// Opens or creates the journal in `dir` and gives its entries in order.
    pub fn open(dir: &Path) -> std::io::Result<(Journal, Vec<Entry>)> {
        let path = dir.join("journal.log");
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, whole) = parse(&bytes);
        if whole < bytes.len() {
            tracing::warn!(cut_bytes = bytes.len() - whole, "cut the torn end off the journal");
            file.set_len(whole as u64)?;
        }
        Ok((Journal { path, file, bytes: whole as u64, snapshot_bytes: whole as u64 }, entries))
    }

    /// Appends one entry; it is decided once this returns (for a killed process, not for a power loss).
    pub fn append(&mut self, entry: &Entry) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        frame(entry, &mut bytes);
        if let Err(error) = self.file.write_all(&bytes) {
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub fn wants_snapshot(&self) -> bool {
        self.bytes > MIN_COMPACT_BYTES.max(self.snapshot_bytes * GROWTH_FACTOR)
    }

    /// Replaces the journal by entries that lead to the same state.
    pub fn snapshot(&mut self, entries: impl Iterator<Item = Entry>) -> std::io::Result<()> {
        let next = self.path.with_extension("next");
        let mut bytes = Vec::new();
        entries.for_each(|entry| frame(&entry, &mut bytes));
        std::fs::write(&next, &bytes)?;
        std::fs::rename(&next, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = bytes.len() as u64;
        self.snapshot_bytes = self.bytes;
        Ok(())
    }
}

fn frame(entry: &Entry, out: &mut Vec<u8>) {
    let payload = entry.encode();
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
    out.extend_from_slice(&payload);
}

/// The whole entries at the front of `bytes`, and how many bytes they take.
fn parse(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + FRAME_HEADER_BYTES) {
        let word =
            |from: usize| u32::from_be_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]]);
        let start = at + FRAME_HEADER_BYTES;
        let Some(payload) = bytes.get(start..start + word(0) as usize) else { break };
        if crc32c::crc32c(payload) != word(4) {
            break;
        }
        let Some(entry) = Entry::decode(payload) else { break };
        entries.push(entry);
        at = start + payload.len();
    }
    (entries, at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        (0..5).map(|n| Entry::TopicDeleted { name: format!("topic-{n}") }).collect()
    }

    #[test]
    fn a_torn_tail_costs_the_torn_entry_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.log");
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        entries().iter().for_each(|entry| journal.append(entry).unwrap());
        drop(journal);
        let bytes = std::fs::read(&path).unwrap();
        let frame_bytes = bytes.len() / 5;
        for cut in 1..=frame_bytes {
            std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            let (mut journal, read) = Journal::open(dir.path()).unwrap();
            assert_eq!(read, entries()[..4]);
            journal.append(&entries()[4]).unwrap();
            drop(journal);
            assert_eq!(Journal::open(dir.path()).unwrap().1, entries());
        }
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(Journal::open(dir.path()).unwrap().1, entries()[..4]);
    }

    #[test]
    fn a_snapshot_replaces_what_was_there_and_appends_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        entries().iter().for_each(|entry| journal.append(entry).unwrap());
        journal.snapshot(entries().into_iter().take(1)).unwrap();
        journal.append(&entries()[3]).unwrap();
        let read = Journal::open(dir.path()).unwrap().1;
        assert_eq!(read, [entries()[0].clone(), entries()[3].clone()]);
    }
}
