//! Avro object container files: a schema, then blocks of data by it (Avro specification, "Object Container Files").
//!
//! apache-avro's own writer orders the header's entries anew at every run, and its reader does not read past a
//! resolution without a value tree; blocks and data are simple enough to be ours.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use thiserror::Error;

use super::Datum;
use super::container_codec::{Codec, Coder};
use super::datum::write_long;

const MAGIC: &[u8; 4] = b"Obj\x01";

/// Headers beyond this are refused.
const MAX_HEADER_BYTES: u64 = 4 * 1024 * 1024;

/// Blocks beyond this, as they stand in the file, are refused: a reader holds one in memory.
const MAX_BLOCK_BYTES: usize = 64 * 1024 * 1024;

/// Why a container file cannot be read, or no further.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContainerError {
    #[error("the file does not begin as an Avro object container file does")]
    NotAvro,
    #[error("the header has no {entry}, or not as text")]
    Header { entry: &'static str },
    #[error("codec {codec} is not supported; null, deflate and zstandard are")]
    Codec { codec: String },
    #[error("the file ends inside a block or its header")]
    Truncated,
    #[error("a block is damaged: {reason}")]
    Block { reason: String },
    #[error("the file cannot be read: {0}")]
    Io(io::Error),
}

/// One block's data, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// How many data there are, one after the other.
    pub count: u64,
    pub data: Vec<u8>,
}

/// What a container file begins with; reads blocks that follow it, wherever they were found.
pub struct ContainerHeader {
    schema: String,
    marker: [u8; 16],
    coder: Coder,
    stored: Vec<u8>,
}

impl ContainerHeader {
    /// Reads the header, leaving `source` at the first block.
    pub fn read(source: &mut impl Read) -> Result<ContainerHeader, ContainerError> {
        let mut magic = [0; 4];
        match source.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(ContainerError::Io(error)),
            _ => return Err(ContainerError::NotAvro),
        }
        let metadata = metadata(&mut source.take(MAX_HEADER_BYTES))?;
        let text = |entry| metadata.get(entry).and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let schema = text("avro.schema").ok_or(ContainerError::Header { entry: "avro.schema" })?;
        let codec = match text("avro.codec") {
            None => Codec::Null,
            Some(name) => Codec::of_name(&name).ok_or(ContainerError::Codec { codec: name })?,
        };
        let mut marker = [0; 16];
        fill(source, &mut marker)?;
        Ok(ContainerHeader { schema, marker, coder: Coder::new(codec), stored: Vec::new() })
    }

    /// The schema of the data, as JSON.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Reads the next block's data into `data`, in place of what is there; how many data they are, `None` at the end.
    pub fn next_block(&mut self, source: &mut impl Read, data: &mut Vec<u8>) -> Result<Option<u64>, ContainerError> {
        let Some(count) = long(source)? else {
            return Ok(None);
        };
        let damaged = |reason: String| ContainerError::Block { reason };
        let count = u64::try_from(count).map_err(|_| damaged(format!("it has {count} data")))?;
        prefixed(source, &mut self.stored)?;
        let mut marker = [0; 16];
        fill(source, &mut marker)?;
        if marker != self.marker {
            return Err(damaged("it does not end with the file's marker".to_owned()));
        }
        self.coder.decompress(&mut self.stored, data, MAX_BLOCK_BYTES).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(count))
    }
}

/// Reads a container file block by block.
pub struct ContainerReader<R> {
    source: R,
    header: ContainerHeader,
}

impl<R: Read> ContainerReader<R> {
    /// Reads the header.
    pub fn open(mut source: R) -> Result<ContainerReader<R>, ContainerError> {
        let header = ContainerHeader::read(&mut source)?;
        Ok(ContainerReader { source, header })
    }

    /// The schema of the data, as JSON.
    pub fn schema(&self) -> &str {
        self.header.schema()
    }

    /// The next block; `None` at the end of the file.
    pub fn next_block(&mut self) -> Result<Option<Block>, ContainerError> {
        let mut data = Vec::new();
        let count = self.header.next_block(&mut self.source, &mut data)?;
        Ok(count.map(|count| Block { count, data }))
    }
}

fn metadata(source: &mut impl Read) -> Result<BTreeMap<String, Vec<u8>>, ContainerError> {
    let mut entries = BTreeMap::new();
    loop {
        let count = long(source)?.ok_or(ContainerError::Truncated)?;
        if count == 0 {
            return Ok(entries);
        }
        if count < 0 {
            // The size in bytes of the entries that follow.
            long(source)?;
        }
        for _ in 0..count.unsigned_abs() {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            prefixed(source, &mut key)?;
            prefixed(source, &mut value)?;
            entries.insert(String::from_utf8(key).map_err(|_| ContainerError::NotAvro)?, value);
        }
    }
}

fn prefixed(source: &mut impl Read, bytes: &mut Vec<u8>) -> Result<(), ContainerError> {
    let length = long(source)?.ok_or(ContainerError::Truncated)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BLOCK_BYTES);
    let length = length.ok_or_else(|| ContainerError::Block { reason: "its length is not plausible".to_owned() })?;
    // Grows with what is there: a length in a damaged file is no reason to set memory aside.
    bytes.clear();
    source.take(length as u64).read_to_end(bytes).map_err(ContainerError::Io)?;
    if bytes.len() == length { Ok(()) } else { Err(ContainerError::Truncated) }
}

/// A zig-zag integer; `None` if the source ends before it.
fn long(source: &mut impl Read) -> Result<Option<i64>, ContainerError> {
    let mut bits = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        match source.read_exact(&mut byte) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
            Err(error) => return Err(of_io(error)),
        }
        bits |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(Some((bits >> 1) as i64 ^ -((bits & 1) as i64)));
        }
    }
    Err(ContainerError::Block { reason: "an integer has more than 64 bits".to_owned() })
}

fn fill(source: &mut impl Read, bytes: &mut [u8]) -> Result<(), ContainerError> {
    source.read_exact(bytes).map_err(of_io)
}

fn of_io(error: io::Error) -> ContainerError {
    if error.kind() == io::ErrorKind::UnexpectedEof { ContainerError::Truncated } else { ContainerError::Io(error) }
}

/// Writes a container file. Equal data and markers give equal bytes.
pub struct ContainerWriter<W> {
    sink: W,
    marker: [u8; 16],
    coder: Coder,
    /// How many data a block has, and how many bytes.
    lengths: Vec<u8>,
}

impl<W: Write> ContainerWriter<W> {
    /// Writes the header. `marker` ends every block; any bytes do that are unlikely among the data.
    pub fn new(mut sink: W, schema: &str, marker: [u8; 16], codec: Codec) -> io::Result<ContainerWriter<W>> {
        let mut header = MAGIC.to_vec();
        let metadata = BTreeMap::from([
            ("avro.codec".to_owned(), Bytes::from_static(codec.name().as_bytes())),
            ("avro.schema".to_owned(), Bytes::copy_from_slice(schema.as_bytes())),
        ]);
        metadata.write(&mut header);
        header.extend_from_slice(&marker);
        sink.write_all(&header)?;
        Ok(ContainerWriter { sink, marker, coder: Coder::new(codec), lengths: Vec::new() })
    }

    /// Writes a block of `count` data.
    pub fn write_block(&mut self, count: u64, data: &[u8]) -> io::Result<()> {
        let stored = self.coder.compress(data)?;
        self.lengths.clear();
        write_long(i64::try_from(count).map_err(io::Error::other)?, &mut self.lengths);
        write_long(i64::try_from(stored.len()).map_err(io::Error::other)?, &mut self.lengths);
        self.sink.write_all(&self.lengths)?;
        self.sink.write_all(stored)?;
        self.sink.write_all(&self.marker)
    }

    pub fn get_mut(&mut self) -> &mut W {
        &mut self.sink
    }

    pub fn get_ref(&self) -> &W {
        &self.sink
    }

    pub fn into_inner(self) -> W {
        self.sink
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use apache_avro::types::Value;
    use apache_avro::{Codec as AvroCodec, DeflateSettings, Reader, Schema, Writer};

    use super::*;

    #[test]
    fn apache_avro_reads_what_is_written() {
        let mut writer = ContainerWriter::new(Vec::new(), r#""string""#, [7; 16], Codec::Deflate).unwrap();
        let mut data = Vec::new();
        "one".to_owned().write(&mut data);
        "two".to_owned().write(&mut data);
        writer.write_block(2, &data).unwrap();
        let file = writer.into_inner();
        let values: Vec<_> = Reader::new(&file[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(values, [Value::String("one".into()), Value::String("two".into())]);
    }

    #[test]
    fn what_apache_avro_writes_is_read_by_either_codec() {
        let schema = Schema::parse_str(r#""long""#).unwrap();
        for codec in [AvroCodec::Null, AvroCodec::Deflate(DeflateSettings::default())] {
            let mut writer = Writer::with_codec(&schema, Vec::new(), codec).unwrap();
            writer.append_value(Value::Long(-3)).unwrap();
            let file = writer.into_inner().unwrap();
            let mut reader = ContainerReader::open(&file[..]).unwrap();
            assert_eq!(reader.schema(), r#""long""#);
            assert_eq!(reader.next_block().unwrap(), Some(Block { count: 1, data: vec![5] }));
            assert_eq!(reader.next_block().unwrap(), None);
        }
    }

    #[test]
    fn every_codec_gives_back_what_was_written_and_contexts_serve_many_blocks() {
        let blocks: Vec<Vec<u8>> = (0..4_u8).map(|n| vec![n * 2; usize::from(n) * 10_000 + 1]).collect();
        for codec in [Codec::Null, Codec::Deflate, Codec::Zstandard] {
            let mut writer = ContainerWriter::new(Vec::new(), r#""long""#, [7; 16], codec).unwrap();
            for block in &blocks {
                writer.write_block(block.len() as u64, block).unwrap();
            }
            let file = writer.into_inner();
            let mut reader = ContainerReader::open(&file[..]).unwrap();
            for block in &blocks {
                let read = reader.next_block().unwrap().unwrap();
                assert_eq!((read.count, &read.data), (block.len() as u64, block), "{codec}");
            }
            assert_eq!(reader.next_block().unwrap(), None);
        }
    }

    #[test]
    fn every_truncation_is_an_error_or_a_whole_number_of_blocks() {
        let mut writer = ContainerWriter::new(Vec::new(), r#""long""#, [7; 16], Codec::Zstandard).unwrap();
        let header = writer.sink.len();
        writer.write_block(1, &[2]).unwrap();
        let file = writer.into_inner();
        for length in 0..file.len() {
            let read = ContainerReader::open(&file[..length]).and_then(|mut reader| reader.next_block());
            match read {
                Ok(None) => assert_eq!(length, header),
                Ok(Some(block)) => panic!("{block:?} of {length} bytes"),
                Err(error) => assert!(matches!(error, ContainerError::Truncated | ContainerError::NotAvro), "{error}"),
            }
        }
    }
}
