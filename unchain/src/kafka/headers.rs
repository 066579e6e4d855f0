//! A record's headers in one block of bytes: eight headers cost one allocation, not sixteen.

use bytes::Bytes;

/// Header names and values, in order; a name may stand more than once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `name length u32, name, value length u32 or u32::MAX for null, value`, repeated.
    block: Bytes,
    count: usize,
}

impl Headers {
    pub fn builder() -> HeadersBuilder {
        HeadersBuilder::default()
    }

    /// Headers that were written as `put` writes them.
    pub(super) fn from_block(block: Bytes, count: usize) -> Headers {
        Headers { block, count }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn size_bytes(&self) -> usize {
        self.block.len()
    }

    pub fn iter(&self) -> HeadersIter<'_> {
        HeadersIter { rest: &self.block }
    }

    /// The value of the last header of this name, as Kafka's `lastHeader`; a null value counts as absent.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(n, _)| *n == name).last().and_then(|(_, value)| value)
    }

    /// As [`Headers::get`], where the value is UTF-8 text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, value.map(String::from_utf8_lossy)))).finish()
    }
}

/// Writes [`Headers`] in order.
#[derive(Default)]
pub struct HeadersBuilder {
    block: Vec<u8>,
    count: usize,
}

const NULL_VALUE: u32 = u32::MAX;

impl HeadersBuilder {
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        put(&mut self.block, name, value);
        self.count += 1;
    }

    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.push(name, Some(value.as_bytes()));
        self
    }

    pub fn finish(self) -> Headers {
        Headers { block: self.block.into(), count: self.count }
    }
}

/// Writes one header to the end of a block.
pub(super) fn put(block: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    put_bytes(block, name.as_bytes());
    match value {
        Some(value) => put_bytes(block, value),
        None => block.extend_from_slice(&NULL_VALUE.to_le_bytes()),
    }
}

fn put_bytes(block: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a header is smaller than a record, which is below 2 GiB");
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(bytes);
}

pub struct HeadersIter<'a> {
    rest: &'a [u8],
}

impl<'a> HeadersIter<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn length(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes were taken"))
    }
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.length();
        let name = std::str::from_utf8(self.take(length as usize)).expect("names are written from text");
        let value = match self.length() {
            NULL_VALUE => None,
            length => Some(self.take(length as usize)),
        };
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_in_order_with_null_and_empty_values_told_apart() {
        let mut builder = Headers::builder();
        builder.text("a", "1");
        builder.push("b", None);
        builder.push("a", Some(b""));
        let headers = builder.finish();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, vec![("a", Some(b"1".as_slice())), ("b", None), ("a", Some(b"".as_slice()))]);
        assert_eq!(headers.get("a"), Some(b"".as_slice()));
        assert_eq!(headers.get("b"), None);
        assert_eq!(headers.len(), 3);
    }
}
