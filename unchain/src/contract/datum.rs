//! Avro's binary encoding of Rust values, as straight code: no schema is interpreted and no value tree is built.
//!
//! The encoding is that of the Avro specification, "Binary Encoding". Generated types implement [`Datum`] field by field.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::malformed::{Malformed, MalformedReason};

/// Items for which space is set aside before they are read: what a length claims is not yet worth trusting.
const MAX_RESERVED_ITEMS: usize = 256;

/// A value that has one Avro encoding.
pub trait Datum: Sized {
    /// Appends the value's bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads a value, leaving `input` behind it.
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed>;
}

/// The bytes of a datum, read from the front.
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, offset: 0 }
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What lies between two earlier [`Input::offset`]s.
    pub(crate) fn between(&self, start: usize, end: usize) -> &'a [u8] {
        &self.bytes[start..end]
    }

    /// What was read since `start`, an earlier [`Input::offset`].
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.offset]
    }

    /// A datum must fill its record: bytes left over mean that it was written by another schema.
    pub fn finish(self) -> Result<(), Malformed> {
        match self.remaining() {
            0 => Ok(()),
            bytes => Err(self.malformed(MalformedReason::TrailingBytes { bytes })),
        }
    }

    /// An error at this place.
    #[cold]
    pub(super) fn malformed(&self, reason: MalformedReason) -> Malformed {
        Malformed::new(self.offset, reason)
    }

    /// The error of an enum index that has no symbol.
    #[cold]
    pub fn no_symbol(&self, index: i32, enumeration: &'static str) -> Malformed {
        self.malformed(MalformedReason::NoSymbol { index, enumeration: enumeration.to_owned() })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        match self.bytes.get(self.offset) {
            Some(byte) => {
                self.offset += 1;
                Ok(*byte)
            }
            None => Err(self.malformed(MalformedReason::EndsEarly)),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        if length > self.remaining() {
            let remaining_bytes = self.remaining();
            return Err(self.malformed(MalformedReason::LengthBeyondEnd { length, remaining_bytes }));
        }
        let start = self.offset;
        self.offset += length;
        Ok(&self.bytes[start..self.offset])
    }

    /// A zig-zag variable-length integer.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Malformed> {
        let mut bits = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte holds the 64th bit only.
            if shift == 63 && byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err(self.malformed(MalformedReason::IntegerTooLong))
    }

    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| self.malformed(MalformedReason::NegativeLength { length }))
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed(MalformedReason::NotUtf8))
    }

    /// The item count of an array's or map's next block; 0 ends it.
    #[inline]
    pub(crate) fn block(&mut self) -> Result<usize, Malformed> {
        let mut count = self.long()?;
        if count < 0 {
            // A negative count is followed by the block's size in bytes, for readers that skip.
            self.length()?;
            count = count.checked_neg().unwrap_or(i64::MAX);
        }
        // Every item of every type that contracts allow takes at least one byte.
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() => Ok(count),
            _ => {
                let remaining_bytes = self.remaining();
                Err(self.malformed(MalformedReason::LengthBeyondEnd {
                    length: usize::try_from(count).unwrap_or(usize::MAX),
                    remaining_bytes,
                }))
            }
        }
    }

    /// The index of a union's branch, where it has two.
    #[inline]
    pub(crate) fn branch_of_two(&mut self) -> Result<i64, Malformed> {
        match self.long()? {
            branch @ 0..=1 => Ok(branch),
            branch => Err(self.malformed(MalformedReason::NoBranch { branch })),
        }
    }
}

/// Reads a record's field; an error names it.
#[inline]
pub fn read_field<T: Datum>(input: &mut Input<'_>, field: &'static str) -> Result<T, Malformed> {
    T::read(input).map_err(|malformed| malformed.within(field))
}

/// Reads a field that is a union whose second branch is null.
#[inline]
pub fn read_null_last_field<T: Datum>(input: &mut Input<'_>, field: &'static str) -> Result<Option<T>, Malformed> {
    let read = |input: &mut Input<'_>| match input.branch_of_two()? {
        0 => T::read(input).map(Some),
        _ => Ok(None),
    };
    read(input).map_err(|malformed| malformed.within(field))
}

/// Writes a union whose second branch is null.
#[inline]
pub fn write_null_last<T: Datum>(value: &Option<T>, out: &mut Vec<u8>) {
    match value {
        Some(value) => {
            write_long(0, out);
            value.write(out);
        }
        None => write_long(1, out),
    }
}

#[inline]
pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

#[inline]
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

impl Datum for bool {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(input.malformed(MalformedReason::NotBoolean { byte })),
        }
    }
}

impl Datum for i32 {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        write_long(i64::from(*self), out);
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let value = input.long()?;
        i32::try_from(value).map_err(|_| input.malformed(MalformedReason::BeyondInt { value }))
    }
}

impl Datum for i64 {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        write_long(*self, out);
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.long()
    }
}

impl Datum for f32 {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        <[u8; 4]>::read(input).map(f32::from_le_bytes)
    }
}

impl Datum for f64 {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        <[u8; 8]>::read(input).map(f64::from_le_bytes)
    }
}

/// An Avro fixed.
impl<const N: usize> Datum for [u8; N] {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(input.take(N)?);
        Ok(fixed)
    }
}

impl Datum for Bytes {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self, out);
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let length = input.length()?;
        input.take(length).map(Bytes::copy_from_slice)
    }
}

impl Datum for String {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.text().map(str::to_owned)
    }
}

/// A union of null and one type, null first.
impl<T: Datum> Datum for Option<T> {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => {
                write_long(1, out);
                value.write(out);
            }
            None => write_long(0, out),
        }
    }

    #[inline]
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        match input.branch_of_two()? {
            0 => Ok(None),
            _ => T::read(input).map(Some),
        }
    }
}

impl<T: Datum> Datum for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_long(self.len() as i64, out);
            for item in self {
                item.write(out);
            }
        }
        write_long(0, out);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let mut items = Vec::new();
        loop {
            let count = input.block()?;
            if count == 0 {
                return Ok(items);
            }
            items.reserve(count.min(MAX_RESERVED_ITEMS));
            for _ in 0..count {
                items.push(T::read(input)?);
            }
        }
    }
}

/// An Avro map. It is sorted, so that equal maps have equal bytes.
impl<T: Datum> Datum for BTreeMap<String, T> {
    fn write(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_long(self.len() as i64, out);
            for (key, value) in self {
                key.write(out);
                value.write(out);
            }
        }
        write_long(0, out);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let mut map = BTreeMap::new();
        loop {
            let count = input.block()?;
            if count == 0 {
                return Ok(map);
            }
            for _ in 0..count {
                let key = String::read(input)?;
                map.insert(key, T::read(input)?);
            }
        }
    }
}
