//! What `kafka-console-consumer` prints with keys and timestamps: parts in a fixed order between separators.
//!
//! The order is that of Kafka's `DefaultMessageFormatter`: timestamp, partition, offset, delivery count, headers, key,
//! value.

use super::draft::Draft;
use super::error::{Fault, FaultReason, shown};
use super::mapping::MAX_PARTITIONS;
use super::options::ConsolePart;

/// Kafka's defaults of `key.separator` and `null.literal`.
pub(super) const SEPARATOR: &str = "\t";
pub(super) const NULL: &str = "null";

/// Reads lines of one printout.
pub(super) struct ConsoleLines {
    pub(super) topic: String,
    pub(super) separator: String,
    pub(super) null: String,
    /// The parts that every line has.
    pub(super) parts: Vec<ConsolePart>,
}

/// What begins a part, and what stands there instead if there is none.
fn marks(part: ConsolePart) -> &'static [&'static str] {
    match part {
        ConsolePart::Timestamp => &["CreateTime:", "LogAppendTime:", "NO_TIMESTAMP"],
        ConsolePart::Partition => &["Partition:"],
        ConsolePart::Offset => &["Offset:"],
        ConsolePart::Delivery => &["Delivery:"],
        ConsolePart::Headers => &["NO_HEADERS"],
        ConsolePart::Key | ConsolePart::Value => &[],
    }
}

/// The parts that a first line shows; a key and a value are taken to be there. Headers cannot be told from a key, except
/// where there are none.
pub(super) fn parts_of(line: &[u8], separator: &str) -> Vec<ConsolePart> {
    use ConsolePart::{Delivery, Headers, Key, Offset, Partition, Timestamp, Value};
    let (mut parts, mut rest) = (Vec::new(), line);
    for part in [Timestamp, Partition, Offset, Delivery, Headers] {
        if marks(part).iter().any(|mark| rest.starts_with(mark.as_bytes())) {
            parts.push(part);
            rest = split(rest, separator).map_or(&[][..], |(_, rest)| rest);
        }
    }
    parts.extend([Key, Value]);
    parts
}

fn split<'a>(text: &'a [u8], separator: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator.as_bytes())?;
    Some((&text[..at], &text[at + separator.len()..]))
}

impl ConsoleLines {
    pub(super) fn read(&self, line: &[u8], draft: &mut Draft) -> Result<(), Fault> {
        draft.clear();
        draft.topic.push_str(&self.topic);
        let mut rest = Some(line);
        for (index, part) in self.parts.iter().enumerate() {
            let text = rest.ok_or_else(|| self.ends_early(*part))?;
            let is_last = index + 1 == self.parts.len();
            let text = match split(text, &self.separator) {
                Some((text, behind)) if !is_last => {
                    rest = Some(behind);
                    text
                }
                _ => {
                    rest = None;
                    text
                }
            };
            self.take(*part, text, draft)?;
        }
        Ok(())
    }

    fn take(&self, part: ConsolePart, text: &[u8], draft: &mut Draft) -> Result<(), Fault> {
        let number = |max: i64, wanted: &'static str| {
            let digits = marks(part).iter().find_map(|mark| text.strip_prefix(mark.as_bytes()));
            let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
            let found = || shown(&String::from_utf8_lossy(text));
            number
                .filter(|number| (0..=max).contains(number))
                .ok_or_else(|| Fault::new(name(part), FaultReason::Envelope { found: found(), wanted }))
        };
        let nullable = |text: &[u8]| (text != self.null.as_bytes()).then(|| text.to_vec());
        match part {
            ConsolePart::Timestamp if text == b"NO_TIMESTAMP" => (),
            ConsolePart::Timestamp => draft.timestamp_ms = number(i64::MAX, "CreateTime: and milliseconds")?,
            ConsolePart::Partition => {
                let partition = number(i64::from(MAX_PARTITIONS) - 1, "Partition: and a number from 0 to 9999")?;
                draft.partition = Some(i32::try_from(partition).expect("it is below the limit"));
            }
            ConsolePart::Offset => draft.offset = Some(number(i64::MAX - 1, "Offset: and a number")?),
            // How often a share group was given a record is nothing of the record.
            ConsolePart::Delivery => (),
            ConsolePart::Headers => self.headers(text, draft),
            ConsolePart::Key => draft.set_key(nullable(text).as_deref()),
            ConsolePart::Value => draft.set_value(nullable(text).as_deref()),
        }
        Ok(())
    }

    /// `name:value,name:value`; what has no name goes on with the value before it, which held a comma.
    fn headers(&self, text: &[u8], draft: &mut Draft) {
        let text = String::from_utf8_lossy(text);
        if text == "NO_HEADERS" {
            return;
        }
        for piece in text.split(',') {
            match (piece.split_once(':'), draft.headers.last_mut()) {
                (Some((name, value)), _) => {
                    let value = (value != self.null).then(|| value.as_bytes().to_vec());
                    draft.headers.push((name.to_owned(), value));
                }
                (None, Some((_, Some(value)))) => {
                    value.push(b',');
                    value.extend_from_slice(piece.as_bytes());
                }
                (None, _) => draft.headers.push((piece.to_owned(), None)),
            }
        }
    }

    #[cold]
    fn ends_early(&self, part: ConsolePart) -> Fault {
        let wanted: Vec<_> = self.parts.iter().map(|part| name(*part)).collect();
        Fault::whole(FaultReason::Parts {
            part: name(part),
            wanted: wanted.join(", "),
            separator: self.separator.clone(),
        })
    }
}

fn name(part: ConsolePart) -> &'static str {
    match part {
        ConsolePart::Timestamp => "timestamp",
        ConsolePart::Partition => "partition",
        ConsolePart::Offset => "offset",
        ConsolePart::Delivery => "delivery",
        ConsolePart::Headers => "headers",
        ConsolePart::Key => "key",
        ConsolePart::Value => "value",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(first: &str, line: &str) -> Result<Draft, String> {
        let parts = parts_of(first.as_bytes(), SEPARATOR);
        let lines =
            ConsoleLines { topic: "t".to_owned(), separator: SEPARATOR.to_owned(), null: NULL.to_owned(), parts };
        let mut draft = Draft::default();
        lines.read(line.as_bytes(), &mut draft).map_err(|fault| fault.to_string())?;
        Ok(draft)
    }

    #[test]
    fn the_parts_are_those_that_the_first_line_shows() {
        let line = "CreateTime:1700000000000\tkey\tvalue\twith a tab";
        let draft = of(line, line).unwrap();
        assert_eq!((draft.timestamp_ms, draft.key()), (1_700_000_000_000, Some(&b"key"[..])));
        assert_eq!(draft.value(), Some(&b"value\twith a tab"[..]));
        let line = "CreateTime:5\tPartition:2\tOffset:9\tNO_HEADERS\tk\tnull";
        let draft = of(line, line).unwrap();
        assert_eq!((draft.partition, draft.offset, draft.value()), (Some(2), Some(9), None));
        let draft = of(line, "CreateTime:5\tPartition:2\tOffset:10\ta:1,2,b:null\tk\tv").unwrap();
        assert_eq!(draft.headers, [("a".to_owned(), Some(b"1,2".to_vec())), ("b".to_owned(), None)]);
    }

    #[test]
    fn a_line_that_lacks_a_part_is_told() {
        let first = "CreateTime:5\tk\tv";
        let short = "the line ends before its value; timestamp, key, value are wanted, separated by \"\\t\"";
        assert_eq!(of(first, "CreateTime:5\tk").unwrap_err(), short);
        let other = "timestamp: \"second line of a value\" stands where CreateTime: and milliseconds is wanted";
        assert_eq!(of(first, "second line of a value\tk\tv").unwrap_err(), other);
    }

    proptest! {
        #[test]
        fn what_the_console_consumer_prints_comes_back(
            key in "[^\t\n]{0,20}", value in "[^\n]{0,20}", ms in 0..i64::MAX, partition in 0..100_i32, offset in 0..i64::MAX - 1,
        ) {
            let line = format!("CreateTime:{ms}\tPartition:{partition}\tOffset:{offset}\tNO_HEADERS\t{key}\t{value}");
            let draft = of(&line, &line).unwrap();
            prop_assert_eq!(draft.timestamp_ms, ms);
            prop_assert_eq!((draft.partition, draft.offset), (Some(partition), Some(offset)));
            prop_assert_eq!(draft.key(), (key != NULL).then_some(key.as_bytes()));
            prop_assert_eq!(draft.value(), (value != NULL).then_some(value.as_bytes()));
        }
    }
}
