//! A file's lines with their numbers, none of them longer than a limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::ImportError;

/// Reads a file line by line.
pub(super) struct Lines {
    file: PathBuf,
    source: BufReader<File>,
    max_bytes: usize,
    /// Of the next line.
    place: Place,
    pub(super) total_bytes: u64,
}

/// Where a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) byte: u64,
    /// Counted from 1.
    pub(super) line: u64,
}

/// What was read of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadLine {
    Whole,
    /// It is longer than the limit; the buffer has its beginning.
    Cut,
    End,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Lines {
    pub(super) fn open(file: &Path, max_bytes: usize) -> Result<Lines, ImportError> {
        let failed = |error| ImportError::read(file, error);
        let opened = File::open(file).map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(ImportError::Folder { file: file.to_owned() });
        }
        let source = BufReader::with_capacity(128 * 1024, opened);
        let place = Place { byte: 0, line: 1 };
        Ok(Lines { file: file.to_owned(), source, max_bytes, place, total_bytes: metadata.len() })
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Goes back to the beginning of a line.
    pub(super) fn go_to(&mut self, place: Place) -> Result<(), ImportError> {
        self.source.seek(SeekFrom::Start(place.byte)).map_err(|error| ImportError::read(&self.file, error))?;
        self.place = place;
        Ok(())
    }

    /// Appends the next line, without its end, to `line`.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Result<ReadLine, ImportError> {
        let start = line.len();
        let read = self.read(line);
        let (read, bytes) = read.map_err(|error| ImportError::read(&self.file, error))?;
        if bytes == 0 {
            return Ok(ReadLine::End);
        }
        if self.place.byte == 0 && line[start..].starts_with(BYTE_ORDER_MARK) {
            line.drain(start..start + BYTE_ORDER_MARK.len());
        }
        self.place = Place { byte: self.place.byte + bytes, line: self.place.line + 1 };
        if line[start..].last() == Some(&b'\r') {
            line.pop();
        }
        Ok(read)
    }

    /// Gives how many bytes of the file it took.
    fn read(&mut self, line: &mut Vec<u8>) -> io::Result<(ReadLine, u64)> {
        let (mut bytes, mut read) = (0, ReadLine::Whole);
        let mut room = self.max_bytes;
        loop {
            let found = match self.source.fill_buf() {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = line_end(found);
            let part = &found[..end.unwrap_or(found.len())];
            let kept = part.len().min(room);
            line.extend_from_slice(&part[..kept]);
            room -= kept;
            if kept < part.len() {
                read = ReadLine::Cut;
            }
            let taken = part.len() + usize::from(end.is_some());
            self.source.consume(taken);
            bytes += taken as u64;
            if end.is_some() || taken == 0 {
                return Ok((read, bytes));
            }
        }
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8], max_bytes: usize) -> Vec<(String, bool, u64)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, content).unwrap();
        let mut lines = Lines::open(&file, max_bytes).unwrap();
        let mut all = Vec::new();
        loop {
            let (mut line, place) = (Vec::new(), lines.place());
            match lines.next(&mut line).unwrap() {
                ReadLine::End => return all,
                read => all.push((String::from_utf8(line).unwrap(), read == ReadLine::Cut, place.line)),
            }
        }
    }

    #[test]
    fn lines_end_as_on_every_system_and_the_last_one_may_not_end() {
        let expected = [("a", 1), ("", 2), ("b", 3)].map(|(text, line)| (text.to_owned(), false, line));
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\nb", 10), expected);
        assert_eq!(lines(b"a\n\r\nb\n", 10), expected);
        assert_eq!(lines(b"", 10), []);
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut_and_the_next_one_is_whole() {
        let content = [vec![b'x'; 300_000], b"\nnext".to_vec()].concat();
        let found = lines(&content, 1_000);
        assert_eq!((found[0].0.len(), found[0].1), (1_000, true));
        assert_eq!(found[1], ("next".to_owned(), false, 2));
    }

    #[test]
    fn reading_goes_on_from_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "a\nb\nc\n").unwrap();
        let (mut lines, mut line) = (Lines::open(&file, 10).unwrap(), Vec::new());
        lines.next(&mut line).unwrap();
        let second = lines.place();
        lines.next(&mut line).unwrap();
        lines.go_to(second).unwrap();
        line.clear();
        lines.next(&mut line).unwrap();
        assert_eq!((line.as_slice(), second), (&b"b"[..], Place { byte: 2, line: 2 }));
    }
}
