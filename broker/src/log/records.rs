//! The records inside a batch, for the few places that must look: lookup by time, null keys, compaction.
//!
//! Each record keeps its own encoded bytes, so that compaction copies it unchanged.

use bytes::Bytes;
use kafka_protocol::compression::{Compressor, Decompressor, Gzip, Lz4, Snappy, Zstd};

use super::LogError;
use super::batch::{BatchHeader, HEADER_BYTES};

/// The decompressed records of one batch.
pub struct Records {
    header: BatchHeader,
    payload: Bytes,
}

/// One record, borrowed from its batch.
pub struct Record<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Its encoded bytes, length prefix included.
    pub encoded: &'a [u8],
}

impl Records {
    /// Decompresses a whole batch.
    pub fn open(batch: &[u8]) -> Result<Records, LogError> {
        let header = BatchHeader::parse(batch)?;
        let mut packed = Bytes::copy_from_slice(&batch[HEADER_BYTES..]);
        let whole = |bytes: &mut Bytes| Ok(bytes.clone());
        let payload = match header.compression() {
            0 => Ok(packed),
            1 => Gzip::decompress(&mut packed, whole),
            2 => Snappy::decompress(&mut packed, whole),
            3 => Lz4::decompress(&mut packed, whole),
            4 => Zstd::decompress(&mut packed, |bytes: &mut Bytes| Ok(bytes.clone())),
            _ => return Err(LogError::Invalid("unknown compression")),
        }
        .map_err(|_| LogError::Corrupt("records do not decompress"))?;
        Ok(Records { header, payload })
    }

    /// The records in order; ends after the first that cannot be parsed.
    pub fn iter(&self) -> impl Iterator<Item = Result<Record<'_>, LogError>> {
        let mut rest = &self.payload[..];
        let mut left = self.header.record_count;
        std::iter::from_fn(move || {
            if left <= 0 {
                return None;
            }
            left -= 1;
            let record = self.parse(&mut rest);
            if record.is_none() {
                left = 0;
            }
            Some(record.ok_or(LogError::Corrupt("record ends early")))
        })
    }

    fn parse<'a>(&self, rest: &mut &'a [u8]) -> Option<Record<'a>> {
        let start = *rest;
        let length = usize::try_from(varint(rest)?).ok()?;
        let mut body = rest.get(..length)?;
        *rest = &rest[length..];
        let encoded = &start[..start.len() - rest.len()];
        body = body.get(1..)?;
        let timestamp_delta = varint(&mut body)?;
        let offset_delta = varint(&mut body)?;
        let key = field(&mut body)?;
        let value = field(&mut body)?;
        let timestamp = if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.wrapping_add(timestamp_delta)
        };
        Some(Record { offset: self.header.base_offset + offset_delta, timestamp, key, value, encoded })
    }
}

/// Compresses encoded records with the codec of the batch they came from.
pub fn compress(codec: i16, records: &[u8]) -> Result<Vec<u8>, LogError> {
    let mut packed = bytes::BytesMut::new();
    let done = match codec {
        0 => return Ok(records.to_vec()),
        1 => Gzip::compress(&mut packed, |out| {
            out.extend_from_slice(records);
            Ok(())
        }),
        2 => Snappy::compress(&mut packed, |out| {
            out.extend_from_slice(records);
            Ok(())
        }),
        3 => Lz4::compress(&mut packed, |out| {
            out.extend_from_slice(records);
            Ok(())
        }),
        _ => Zstd::compress(&mut packed, |out| {
            out.extend_from_slice(records);
            Ok(())
        }),
    };
    done.map_err(|_| LogError::Corrupt("records do not compress"))?;
    Ok(packed.to_vec())
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint(bytes)?;
    if length < 0 {
        return Some(None);
    }
    let length = usize::try_from(length).ok()?;
    let value = bytes.get(..length)?;
    *bytes = &bytes[length..];
    Some(Some(value))
}

#[cfg(test)]
pub fn encode_record(out: &mut Vec<u8>, delta: i32, timestamp_delta: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
    fn put(out: &mut Vec<u8>, value: i64) {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        while zigzag >= 0x80 {
            out.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        out.push(zigzag as u8);
    }
    let mut body = vec![0];
    put(&mut body, timestamp_delta);
    put(&mut body, i64::from(delta));
    for field in [key, value] {
        match field {
            None => put(&mut body, -1),
            Some(bytes) => {
                put(&mut body, bytes.len() as i64);
                body.extend_from_slice(bytes);
            }
        }
    }
    body.push(0);
    put(out, body.len() as i64);
    out.extend_from_slice(&body);
}
