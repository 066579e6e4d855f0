//! The keys of a windowed table's rows: `KEY|END/START`, printable, a key's rows side by side and in their order.
//!
//! The end comes first, as in the session stores of Kafka Streams: a scan from a time on finds the windows that reach it.
//! A `|` within the key is doubled; what follows the single one is a digit, so no other key's row stands between.

use bytes::Bytes;

use super::time::{MAX_TIME_MS, TEXT_BYTES, parse_time, write_time};

/// The time that a window spans, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    /// The first millisecond; in a session the time of its first record.
    pub start_ms: i64,
    /// The first millisecond after the window; in a session the time of its last record.
    pub end_ms: i64,
}

const SEPARATOR: u8 = b'|';
/// `|END/START`
const SUFFIX_BYTES: usize = 1 + TEXT_BYTES + 1 + TEXT_BYTES;

/// The key of a row.
pub fn row_key(key: &str, bounds: Bounds) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + SUFFIX_BYTES);
    write_escaped(key, &mut out);
    out.push(SEPARATOR);
    // An end may lie past the last time that has a text; there is no window behind it that it could be mistaken for.
    write_time(bounds.end_ms.min(MAX_TIME_MS), &mut out);
    out.push(b'/');
    write_time(bounds.start_ms, &mut out);
    out.into()
}

/// From (inclusive) and to (exclusive) of a key's rows whose windows end at `from_end_ms` or later.
pub fn rows_from(key: &str, from_end_ms: i64) -> (Bytes, Bytes) {
    let mut from = Vec::with_capacity(key.len() + SUFFIX_BYTES);
    write_escaped(key, &mut from);
    from.push(SEPARATOR);
    let mut to = from.clone();
    write_time(from_end_ms.clamp(0, MAX_TIME_MS), &mut from);
    to.push(b'9' + 1);
    (from.into(), to.into())
}

/// The record key and the window of a row; `None` where the bytes are no row's key.
pub fn parse_row_key(row: &[u8]) -> Option<(String, Bounds)> {
    let text = std::str::from_utf8(row).ok()?;
    let (escaped, suffix) = text.split_at_checked(text.len().checked_sub(SUFFIX_BYTES)?)?;
    let (end, start) = suffix.strip_prefix('|')?.split_once('/')?;
    Some((unescaped(escaped)?, Bounds { start_ms: parse_time(start)?, end_ms: parse_time(end)? }))
}

fn write_escaped(key: &str, out: &mut Vec<u8>) {
    for byte in key.bytes() {
        out.push(byte);
        if byte == SEPARATOR {
            out.push(SEPARATOR);
        }
    }
}

fn unescaped(escaped: &str) -> Option<String> {
    let mut key = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        if c == '|' && chars.next() != Some('|') {
            return None;
        }
        key.push(c);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Bounds = Bounds { start_ms: 852_076_800_000, end_ms: 852_080_400_000 };

    /// What is stored stays readable: these bytes must never change.
    #[test]
    fn golden_row_keys() {
        assert_eq!(row_key("c-1", HOUR), &b"c-1|1997-01-01T01:00:00.000Z/1997-01-01T00:00:00.000Z"[..]);
        assert_eq!(row_key("a|b", HOUR), &b"a||b|1997-01-01T01:00:00.000Z/1997-01-01T00:00:00.000Z"[..]);
        assert_eq!(row_key("", HOUR), &b"|1997-01-01T01:00:00.000Z/1997-01-01T00:00:00.000Z"[..]);
    }

    #[test]
    fn what_is_no_rows_key_is_told_apart() {
        for bytes in [&b""[..], b"c-1", b"c-1|1997-01-01T01:00:00.000Z", &[0xff; 60]] {
            assert_eq!(parse_row_key(bytes), None);
        }
        assert_eq!(parse_row_key(b"a|b|1997-01-01T01:00:00.000Z/1997-01-01T00:00:00.000Z"), None);
    }

    fn rows() -> impl Strategy<Value = (String, Bounds)> {
        // Keys that look like each other's rows, and times that are close.
        let keys = prop_oneof![
            "[ab|0-9]{0,6}",
            Just("a|1970-01-01T00:00:00.000Z/1970-01-01T00:00:00.000Z".to_owned()),
            Just("a|1970".to_owned()),
            ".{0,5}"
        ];
        (keys, 0..5_i64, 0..5_i64)
            .prop_map(|(key, start_ms, length)| (key, Bounds { start_ms, end_ms: start_ms + length }))
    }

    proptest! {
        #[test]
        fn keys_come_back_and_rows_stand_by_key_and_then_by_window(
            rows in proptest::collection::vec(rows(), 1..30),
            from_end_ms in 0..8_i64,
        ) {
            let mut stored: Vec<_> = rows.iter().map(|(key, bounds)| row_key(key, *bounds)).collect();
            stored.sort();
            let parsed: Vec<_> = stored.iter().map(|row| parse_row_key(row).expect("a row's key")).collect();
            for (key, bounds) in &rows {
                prop_assert!(parsed.contains(&(key.clone(), *bounds)));
                let mut of_key: Vec<_> = rows.iter().filter(|(other, _)| other == key).map(|(_, bounds)| *bounds).collect();
                of_key.sort_by_key(|bounds| (bounds.end_ms, bounds.start_ms));
                let places: Vec<_> = (0..parsed.len()).filter(|place| parsed[*place].0 == *key).collect();
                prop_assert!(places.windows(2).all(|pair| pair[0] + 1 == pair[1]), "another key stands between");
                prop_assert_eq!(&places.iter().map(|place| parsed[*place].1).collect::<Vec<_>>(), &of_key);

                let (from, to) = rows_from(key, from_end_ms);
                let scanned: Vec<_> = stored.iter().zip(&parsed).filter(|(row, _)| **row >= from && **row < to).collect();
                let scanned: Vec<_> = scanned.iter().map(|(_, (key, bounds))| (key.clone(), *bounds)).collect();
                let expected = of_key.iter().filter(|bounds| bounds.end_ms >= from_end_ms);
                let expected: Vec<_> = expected.map(|bounds| (key.clone(), *bounds)).collect();
                prop_assert_eq!(scanned, expected);
            }
        }
    }
}
