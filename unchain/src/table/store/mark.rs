//! What a table's store says of itself: which changelog it reflects, and up to where. Written with the rows, atomically.

/// Raised whenever bytes in the store change their meaning; a store of any other version is rebuilt.
const FORMAT_VERSION: u8 = 1;
const FIXED_BYTES: usize = 2 + 4 * 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Rows carry their event time and are indexed by it.
    pub(crate) timed: bool,
    /// Every changelog record below this offset is in the store; some above may be.
    pub(crate) next_offset: i64,
    /// Wall time at which that was so, in milliseconds since the Unix epoch.
    pub(crate) flushed_at_ms: i64,
    pub(crate) stream_time_ms: i64,
    /// Rows in the store; kept for timed tables only.
    pub(crate) rows: u64,
    pub(crate) topic: String,
}

impl Mark {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.topic.len());
        bytes.extend_from_slice(&[FORMAT_VERSION, u8::from(self.timed)]);
        for number in [self.next_offset, self.flushed_at_ms, self.stream_time_ms] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        bytes.extend_from_slice(self.topic.as_bytes());
        bytes
    }

    /// `None` where the bytes are of another version or of something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Mark> {
        let (fixed, topic) = bytes.split_at_checked(FIXED_BYTES)?;
        let [FORMAT_VERSION, timed @ (0 | 1), numbers @ ..] = fixed else { return None };
        let number = |index: usize| <[u8; 8]>::try_from(numbers.get(index * 8..index * 8 + 8)?).ok();
        Some(Mark {
            timed: *timed == 1,
            next_offset: i64::from_be_bytes(number(0)?),
            flushed_at_ms: i64::from_be_bytes(number(1)?),
            stream_time_ms: i64::from_be_bytes(number(2)?),
            rows: u64::from_be_bytes(number(3)?),
            topic: std::str::from_utf8(topic).ok()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_these() {
        let mark = Mark {
            timed: true,
            next_offset: 258,
            flushed_at_ms: 1,
            stream_time_ms: -1,
            rows: 7,
            topic: "spend".to_owned(),
        };
        let bytes =
            b"\x01\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x07spend";
        assert_eq!(mark.encode(), bytes);
        assert_eq!(Mark::decode(bytes), Some(mark));
    }

    #[test]
    fn other_bytes_are_no_mark() {
        let mut other_version = vec![FORMAT_VERSION + 1];
        other_version.extend_from_slice(&[0; FIXED_BYTES]);
        for bytes in [&[][..], b"\x01", &other_version, &[0xff; 60]] {
            assert_eq!(Mark::decode(bytes), None);
        }
    }
}
