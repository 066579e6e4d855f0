//! One record of a recording: its Avro encoding, read without copying.

use std::sync::Arc;

use bytes::Bytes;

use crate::contract::{Input, Malformed, write_bytes, write_long};
use crate::kafka::{Headers, LentRecord, Record, TopicPartition};

/// The schema of a recording's files.
pub const RECORD_SCHEMA: &str = include_str!("recorded_record.avsc");

/// A record of a recording, borrowed from its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedRecord<'a> {
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 where the record had none.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: RecordedHeaders<'a>,
}

impl RecordedRecord<'_> {
    /// The record as it was read, with its bytes copied.
    pub fn to_record(self, at: &TopicPartition) -> Record {
        let mut headers = Headers::builder();
        self.headers.iter().for_each(|(name, value)| headers.push(name, value));
        Record {
            topic: Arc::clone(&at.topic),
            partition: at.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(Bytes::copy_from_slice),
            value: self.value.map(Bytes::copy_from_slice),
            headers: headers.finish(),
        }
    }
}

/// The headers of a recorded record, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordedHeaders<'a> {
    /// The items of the array, one a block, without the array's end. Checked when it was read.
    items: &'a [u8],
}

impl std::fmt::Debug for RecordedHeaders<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, value.map(String::from_utf8_lossy)))).finish()
    }
}

impl<'a> RecordedHeaders<'a> {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let mut input = Input::new(self.items);
        let mut left_in_block = 0;
        std::iter::from_fn(move || {
            if left_in_block == 0 {
                if input.remaining() == 0 {
                    return None;
                }
                left_in_block = input.block().ok()?;
            }
            left_in_block -= 1;
            header(&mut input).ok()
        })
    }
}

fn header<'a>(input: &mut Input<'a>) -> Result<(&'a str, Option<&'a [u8]>), Malformed> {
    Ok((input.text()?, nullable_bytes(input)?))
}

fn nullable_bytes<'a>(input: &mut Input<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match input.branch_of_two()? {
        0 => Ok(None),
        _ => {
            let length = input.length()?;
            input.take(length).map(Some)
        }
    }
}

/// Reads the next record of a block.
pub(super) fn read<'a>(input: &mut Input<'a>) -> Result<RecordedRecord<'a>, Malformed> {
    // The topic and the partition are those of the file.
    input.text()?;
    input.long()?;
    let (offset, timestamp_ms) = (input.long()?, input.long()?);
    let (key, value) = (nullable_bytes(input)?, nullable_bytes(input)?);
    let start = input.offset();
    let end = loop {
        let end = input.offset();
        let count = input.block()?;
        if count == 0 {
            break end;
        }
        for _ in 0..count {
            header(input)?;
        }
    };
    let headers = RecordedHeaders { items: input.between(start, end) };
    Ok(RecordedRecord { offset, timestamp_ms, key, value, headers })
}

/// What a record's encoding begins with: its topic and partition.
pub(super) fn prefix(at: &TopicPartition) -> Vec<u8> {
    let mut prefix = Vec::new();
    write_bytes(at.topic.as_bytes(), &mut prefix);
    write_long(i64::from(at.partition), &mut prefix);
    prefix
}

/// A record that can be written into a recording.
pub trait Recordable {
    fn offset(&self) -> i64;
    fn timestamp_ms(&self) -> i64;
    fn key(&self) -> Option<&[u8]>;
    fn value(&self) -> Option<&[u8]>;
    /// Calls `each` with each header, in their order.
    fn headers(&self, each: impl FnMut(&[u8], Option<&[u8]>));
}

impl Recordable for LentRecord<'_> {
    fn offset(&self) -> i64 {
        LentRecord::offset(self)
    }

    fn timestamp_ms(&self) -> i64 {
        LentRecord::timestamp_ms(self)
    }

    fn key(&self) -> Option<&[u8]> {
        LentRecord::key(self)
    }

    fn value(&self) -> Option<&[u8]> {
        LentRecord::value(self)
    }

    fn headers(&self, each: impl FnMut(&[u8], Option<&[u8]>)) {
        LentRecord::headers(self, each);
    }
}

impl Recordable for Record {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn headers(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        self.headers.iter().for_each(|(name, value)| each(name.as_bytes(), value));
    }
}

/// Appends a record's encoding. Headers whose names are not UTF-8, which Avro cannot hold, are left out and counted.
pub(super) fn write(prefix: &[u8], record: &impl Recordable, out: &mut Vec<u8>) -> u64 {
    out.extend_from_slice(prefix);
    write_long(record.offset(), out);
    write_long(record.timestamp_ms(), out);
    write_nullable(record.key(), out);
    write_nullable(record.value(), out);
    let mut left_out = 0;
    record.headers(|name, value| {
        if std::str::from_utf8(name).is_err() {
            left_out += 1;
            return;
        }
        // A block of one: how many there are is not known yet.
        write_long(1, out);
        write_bytes(name, out);
        write_nullable(value, out);
    });
    write_long(0, out);
    left_out
}

fn write_nullable(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => {
            write_long(1, out);
            write_bytes(bytes, out);
        }
        None => write_long(0, out),
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::Schema;
    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::types::Value;
    use proptest::prelude::*;

    use super::*;

    fn at() -> TopicPartition {
        TopicPartition { topic: "orders".into(), partition: 3 }
    }

    fn encoded(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert_eq!(write(&prefix(&at()), record, &mut bytes), 0);
        bytes
    }

    fn sample() -> Record {
        let mut headers = Headers::builder();
        headers.text("a", "1");
        headers.push("b", None);
        Record {
            topic: "orders".into(),
            partition: 3,
            offset: 42,
            timestamp_ms: -1,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: headers.finish(),
        }
    }

    #[test]
    fn the_bytes_of_a_record_do_not_change() {
        let expected = b"\x0corders\x06\x54\x01\x02\x02k\x00\x02\x02a\x02\x021\x02\x02b\x00\x00";
        assert_eq!(encoded(&sample()), expected);
    }

    #[test]
    fn another_avro_library_reads_what_is_written() {
        let schema = Schema::parse_str(RECORD_SCHEMA).unwrap();
        let bytes = encoded(&sample());
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let Value::Record(fields) = reader.read_value(&mut &bytes[..]).unwrap() else { panic!("a record was written") };
        assert_eq!(fields[2], ("offset".to_owned(), Value::Long(42)));
        let Value::Array(headers) = &fields[6].1 else { panic!("{fields:?}") };
        assert_eq!(headers.len(), 2);
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(
            offset: i64,
            timestamp_ms: i64,
            key: Option<Vec<u8>>,
            value: Option<Vec<u8>>,
            headers: Vec<(String, Option<Vec<u8>>)>,
        ) {
            let mut built = Headers::builder();
            headers.iter().for_each(|(name, value)| built.push(name, value.as_deref()));
            let (key, value) = (key.map(Bytes::from), value.map(Bytes::from));
            let (topic, partition) = ("orders".into(), 3);
            let record = Record { topic, partition, offset, timestamp_ms, key, value, headers: built.finish() };
            let bytes = encoded(&record);
            let mut input = Input::new(&bytes);
            let read = read(&mut input).unwrap();
            prop_assert_eq!(read.to_record(&at()), record);
            prop_assert_eq!(input.remaining(), 0);
        }
    }
}
