//! A record on its way into a recording, and its form while the records are sorted.

use crate::contract::{Input, Malformed, write_bytes, write_long};
use crate::recording::Recordable;

/// A record as a parser has read it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) topic: String,
    /// Where the foreign file says so; the key chooses otherwise.
    pub(super) partition: Option<i32>,
    pub(super) offset: Option<i64>,
    /// -1 where the file has none.
    pub(super) timestamp_ms: i64,
    key: Vec<u8>,
    has_key: bool,
    value: Vec<u8>,
    has_value: bool,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Draft {
    /// Makes an empty record of it; its buffers stay.
    pub(super) fn clear(&mut self) {
        self.topic.clear();
        (self.partition, self.offset, self.timestamp_ms) = (None, None, -1);
        self.key.clear();
        self.value.clear();
        (self.has_key, self.has_value) = (false, false);
        self.headers.clear();
    }

    pub(super) fn set_key(&mut self, key: Option<&[u8]>) {
        self.key.clear();
        self.key.extend_from_slice(key.unwrap_or_default());
        self.has_key = key.is_some();
    }

    pub(super) fn set_value(&mut self, value: Option<&[u8]>) {
        self.value.clear();
        self.value.extend_from_slice(value.unwrap_or_default());
        self.has_value = value.is_some();
    }

    /// The buffer of a value, to be filled.
    pub(super) fn begin_value(&mut self) -> &mut Vec<u8> {
        self.set_value(Some(&[]));
        &mut self.value
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.has_key.then_some(&self.key)
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.has_value.then_some(&self.value)
    }

    /// Appends the record's form for the sorter. `partition` and `offset` are -1 where they are still to be given.
    pub(super) fn write(&self, topic: usize, sequence: u64, out: &mut Vec<u8>) {
        write_long(topic as i64, out);
        write_long(self.partition.map_or(-1, i64::from), out);
        write_long(self.offset.unwrap_or(-1), out);
        write_long(self.timestamp_ms, out);
        write_long(sequence.cast_signed(), out);
        for (bytes, is_there) in [(&self.key, self.has_key), (&self.value, self.has_value)] {
            out.push(u8::from(is_there));
            write_bytes(bytes, out);
        }
        for (name, value) in &self.headers {
            write_bytes(name.as_bytes(), out);
            out.push(u8::from(value.is_some()));
            write_bytes(value.as_deref().unwrap_or_default(), out);
        }
    }
}

/// A record as it comes out of the sorter.
#[derive(Debug, Clone, Copy)]
pub(super) struct SortedDraft<'a> {
    pub(super) topic: usize,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) sequence: u64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
}

impl<'a> SortedDraft<'a> {
    /// Reads what [`Draft::write`] has written.
    pub(super) fn read(bytes: &'a [u8]) -> Result<SortedDraft<'a>, Malformed> {
        let mut input = Input::new(bytes);
        let topic = input.long()? as usize;
        let partition = input.long()? as i32;
        let (offset, timestamp_ms) = (input.long()?, input.long()?);
        let sequence = input.long()?.cast_unsigned();
        let (key, value) = (nullable(&mut input)?, nullable(&mut input)?);
        let headers = input.take(input.remaining())?;
        Ok(SortedDraft { topic, partition, offset, timestamp_ms, sequence, key, value, headers })
    }
}

fn nullable<'a>(input: &mut Input<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let is_there = input.take(1)? == [1];
    let length = input.length()?;
    let bytes = input.take(length)?;
    Ok(is_there.then_some(bytes))
}

impl Recordable for SortedDraft<'_> {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    fn key(&self) -> Option<&[u8]> {
        self.key
    }

    fn value(&self) -> Option<&[u8]> {
        self.value
    }

    fn headers(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut input = Input::new(self.headers);
        while input.remaining() > 0 {
            let name = input.length().and_then(|length| input.take(length));
            let Ok(name) = name else { return };
            let Ok(value) = nullable(&mut input) else { return };
            each(name, value);
        }
    }
}
