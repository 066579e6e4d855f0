//! Sorts records by time with bounded memory: sorted runs go to a temporary file and are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Takes records in any order.
pub(super) struct Sorter {
    /// Where the temporary file goes. It has no name: nothing of it stays, however the process ends.
    folder: PathBuf,
    max_bytes: usize,
    data: Vec<u8>,
    entries: Vec<Entry>,
    spilled: Option<File>,
    runs: Vec<Run>,
    is_sorted: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    time_ms: i64,
    start: usize,
    bytes: usize,
}

/// A sorted run in the temporary file.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

/// Bytes before an entry in a run: its time and its length.
const HEAD_BYTES: usize = 16;

impl Sorter {
    pub(super) fn new(folder: &Path, max_bytes: usize) -> Sorter {
        Sorter {
            folder: folder.to_owned(),
            max_bytes,
            data: Vec::new(),
            entries: Vec::new(),
            spilled: None,
            runs: Vec::new(),
            is_sorted: true,
        }
    }

    /// Takes a record that `write` appends. Records of one time stay in their order.
    pub(super) fn push(&mut self, time_ms: i64, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let start = self.data.len();
        write(&mut self.data);
        self.is_sorted &= self.entries.last().is_none_or(|last| last.time_ms <= time_ms);
        self.entries.push(Entry { time_ms, start, bytes: self.data.len() - start });
        let bytes = self.data.len() + self.entries.len() * size_of::<Entry>();
        if bytes >= self.max_bytes { self.spill() } else { Ok(()) }
    }

    fn sort(&mut self) {
        if !self.is_sorted {
            self.entries.sort_by_key(|entry| entry.time_ms);
        }
        self.is_sorted = true;
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.sort();
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        let start = file.stream_position()?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        for entry in &self.entries {
            out.write_all(&entry.time_ms.to_le_bytes())?;
            out.write_all(&(entry.bytes as u64).to_le_bytes())?;
            out.write_all(&self.data[entry.start..entry.start + entry.bytes])?;
        }
        out.flush()?;
        let end = out.get_mut().stream_position()?;
        drop(out);
        self.runs.push(Run { start, end });
        self.data.clear();
        self.entries.clear();
        Ok(())
    }

    /// The records in the order of their times.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        if self.runs.is_empty() {
            self.sort();
            return Ok(Sorted::InMemory { data: self.data, entries: self.entries, next: 0 });
        }
        self.spill()?;
        // Their buffers take the place of what was sorted.
        (self.data, self.entries) = (Vec::new(), Vec::new());
        let file = self.spilled.take().expect("there are runs in it");
        let buffer_bytes = (self.max_bytes / self.runs.len()).clamp(4 * 1024, 256 * 1024);
        let mut runs: Vec<_> =
            self.runs.iter().map(|run| RunReader { at: *run, data: Vec::new(), from: 0, buffer_bytes }).collect();
        let mut heap = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            if let Some(time_ms) = run.peek(&file)? {
                heap.push(Reverse((time_ms, index)));
            }
        }
        Ok(Sorted::Merged { file, runs, heap, record: Vec::new() })
    }
}

/// Gives records in the order of their times.
pub(super) enum Sorted {
    InMemory { data: Vec<u8>, entries: Vec<Entry>, next: usize },
    Merged { file: File, runs: Vec<RunReader>, heap: BinaryHeap<Reverse<(i64, usize)>>, record: Vec<u8> },
}

impl Sorted {
    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        match self {
            Sorted::InMemory { data, entries, next } => {
                let Some(entry) = entries.get(*next) else { return Ok(None) };
                *next += 1;
                Ok(Some(&data[entry.start..entry.start + entry.bytes]))
            }
            Sorted::Merged { file, runs, heap, record } => {
                let Some(Reverse((_, index))) = heap.pop() else { return Ok(None) };
                let run = &mut runs[index];
                run.take(file, record)?;
                if let Some(time_ms) = run.peek(file)? {
                    heap.push(Reverse((time_ms, index)));
                }
                Ok(Some(record))
            }
        }
    }
}

/// Reads one run through a buffer of its own.
pub(super) struct RunReader {
    /// What of the run is not in the buffer yet.
    at: Run,
    data: Vec<u8>,
    from: usize,
    buffer_bytes: usize,
}

impl RunReader {
    /// The time of the next record; `None` at the run's end.
    fn peek(&mut self, file: &File) -> io::Result<Option<i64>> {
        if self.from == self.data.len() && self.at.start == self.at.end {
            return Ok(None);
        }
        self.fill(file, HEAD_BYTES)?;
        Ok(Some(i64::from_le_bytes(self.word(0))))
    }

    fn take(&mut self, file: &File, record: &mut Vec<u8>) -> io::Result<()> {
        self.fill(file, HEAD_BYTES)?;
        let bytes = u64::from_le_bytes(self.word(8)) as usize;
        self.fill(file, HEAD_BYTES + bytes)?;
        record.clear();
        record.extend_from_slice(&self.data[self.from + HEAD_BYTES..self.from + HEAD_BYTES + bytes]);
        self.from += HEAD_BYTES + bytes;
        Ok(())
    }

    fn word(&self, at: usize) -> [u8; 8] {
        self.data[self.from + at..self.from + at + 8].try_into().expect("eight bytes")
    }

    /// Has so many bytes ready.
    fn fill(&mut self, file: &File, bytes: usize) -> io::Result<()> {
        let ready = self.data.len() - self.from;
        if ready >= bytes {
            return Ok(());
        }
        self.data.drain(..self.from);
        self.from = 0;
        let more = self.buffer_bytes.max(bytes - ready).min((self.at.end - self.at.start) as usize);
        self.data.resize(ready + more, 0);
        file.read_exact_at(&mut self.data[ready..], self.at.start)?;
        self.at.start += more as u64;
        if ready + more < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(times: &[i64], max_bytes: usize) -> Vec<(i64, usize)> {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path(), max_bytes);
        for (index, time_ms) in times.iter().enumerate() {
            let text = format!("{time_ms} {index} {}", "x".repeat(index % 100));
            sorter.push(*time_ms, |out| out.extend_from_slice(text.as_bytes())).unwrap();
        }
        let (mut sorted, mut all) = (sorter.finish().unwrap(), Vec::new());
        while let Some(record) = sorted.next().unwrap() {
            let text = std::str::from_utf8(record).unwrap();
            let mut parts = text.split(' ');
            all.push((parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap()));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary file has no name");
        all
    }

    fn expected(times: &[i64]) -> Vec<(i64, usize)> {
        let mut all: Vec<_> = times.iter().copied().enumerate().map(|(index, time_ms)| (time_ms, index)).collect();
        all.sort();
        all
    }

    #[test]
    fn many_runs_are_merged_as_one_sort_would() {
        let times: Vec<i64> = (0..20_000).map(|index| index * 7_919 % 1_000).collect();
        assert_eq!(sorted(&times, 50_000), expected(&times));
    }

    proptest! {
        #[test]
        fn records_come_by_time_and_equal_times_in_their_order(
            times in prop::collection::vec(-5_i64..5, 0..200),
            max_bytes in prop::sample::select(vec![1_usize, 500, 5_000, 1_000_000]),
        ) {
            prop_assert_eq!(sorted(&times, max_bytes), expected(&times));
        }
    }
}
