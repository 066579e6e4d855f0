//! `consume`: a topic's committed records as JSON, one object a line.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{AppError, BROKER_DEADLINE, Options, Signals};
use crate::contract::{JsonDecoder, open_registry};
use crate::kafka::{ClientError, Connection, Headers, OffsetsClient, ReadEvent, Reader, Record};

pub(super) const EXAMPLE: &str = "Example:\n  consume orders.shipped --max-records 3\n  \
    consume orders.placed --partition 0 --from-offset 100 --follow\n\n\
    Each line has topic, partition, offset, timestamp_ms, key, headers and value. Bytes stand as text of the code points\n\
    0 to 255, dates and times as their number, a tombstone as null. A value that is not Avro by a registered schema\n\
    stands as its bytes under \"bytes\", with \"undecodable\" saying why.";

/// What to read.
#[derive(Debug, Clone, Args)]
pub struct ConsumeArguments {
    /// The topic.
    pub topic: String,
    /// Stop after so many records.
    #[arg(long, value_name = "N")]
    pub max_records: Option<u64>,
    /// Go on at the end of the topic, until SIGINT or SIGTERM.
    #[arg(long)]
    pub follow: bool,
    /// Read this partition only.
    #[arg(long, value_name = "P")]
    pub partition: Option<i32>,
    /// Begin at this offset of the partition.
    #[arg(long, value_name = "OFFSET", requires = "partition")]
    pub from_offset: Option<i64>,
}

pub(super) fn consume(options: &Options, arguments: &ConsumeArguments) -> Result<(), AppError> {
    let connection = options.connection()?;
    let partitions = partitions(&connection, arguments)?;
    let registry = open_registry(&connection, BROKER_DEADLINE)?;
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let mut reader = Reader::open(&connection, &arguments.topic, &partitions)?;
    let mut printer = Printer { values: JsonDecoder::new(registry), out: BufWriter::new(io::stdout().lock()) };
    let (mut left, mut last_event) = (arguments.max_records.unwrap_or(u64::MAX), Instant::now());
    while left > 0 && !signals.received() {
        match reader.next(Duration::from_millis(100))? {
            ReadEvent::Record(record) => {
                last_event = Instant::now();
                printer.print(&record)?;
                left -= 1;
            }
            ReadEvent::CaughtUp if !arguments.follow => break,
            ReadEvent::CaughtUp | ReadEvent::Idle => {
                printer.flush()?;
                if !arguments.follow && last_event.elapsed() > BROKER_DEADLINE {
                    return Err(gone(&connection, last_event.elapsed()).into());
                }
            }
        }
    }
    printer.flush()
}

/// Why nothing comes though the end is not reached: no broker, in most cases.
fn gone(connection: &Connection, waited: Duration) -> ClientError {
    let reachable = connection.topics(Duration::from_secs(1));
    reachable.err().unwrap_or(ClientError::TimedOut { operation: "reading the topic", waited })
}

/// The partitions to read and where each begins.
fn partitions(connection: &Connection, arguments: &ConsumeArguments) -> Result<Vec<(i32, Option<i64>)>, AppError> {
    let existing = connection.topics(BROKER_DEADLINE)?;
    let Some(topic) = existing.iter().find(|topic| topic.name == arguments.topic) else {
        let mut known: Vec<_> = existing.into_iter().map(|topic| topic.name).collect();
        known.retain(|name| !name.starts_with("__"));
        known.sort();
        return Err(AppError::UnknownTopic { name: arguments.topic.clone(), known: known.join(", ") });
    };
    let topic_name = || topic.name.clone();
    let Some(partition) = arguments.partition else {
        return Ok((0..topic.partitions).map(|partition| (partition, None)).collect());
    };
    if !(0..topic.partitions).contains(&partition) {
        return Err(AppError::UnknownPartition { topic: topic_name(), partition, last: topic.partitions - 1 });
    }
    if let Some(offset) = arguments.from_offset {
        let offsets = OffsetsClient::new(connection)?.watermarks(&topic.name, partition, BROKER_DEADLINE)?;
        let (start, end) = (offsets.start, offsets.end);
        if !(start..=end).contains(&offset) {
            return Err(AppError::OffsetOutOfRange { topic: topic_name(), partition, offset, start, end });
        }
    }
    Ok(vec![(partition, arguments.from_offset)])
}

struct Printer {
    values: JsonDecoder,
    out: BufWriter<StdoutLock<'static>>,
}

impl Printer {
    fn print(&mut self, record: &Record) -> Result<(), AppError> {
        let line = line(record, &mut self.values);
        writeln!(self.out, "{line}").map_err(AppError::Output)
    }

    fn flush(&mut self) -> Result<(), AppError> {
        self.out.flush().map_err(AppError::Output)
    }
}

fn line(record: &Record, values: &mut JsonDecoder) -> Value {
    let mut line = json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key.as_deref().map(text),
        "headers": headers(&record.headers),
        "value": null,
    });
    let Some(bytes) = &record.value else { return line };
    match values.decode(bytes) {
        Ok(value) => line["value"] = value,
        Err(error) => {
            line["undecodable"] = error.to_string().into();
            line["bytes"] = latin_1(bytes).into();
        }
    }
    line
}

/// A header that stands more than once becomes the array of its values.
fn headers(headers: &Headers) -> Value {
    let mut all = Map::new();
    for (name, value) in headers.iter() {
        let value = value.map_or(Value::Null, text);
        match all.get_mut(name) {
            None => drop(all.insert(name.to_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(all)
}

fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| latin_1(bytes), str::to_owned).into()
}

/// Any bytes as text, one code point a byte.
fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::contract::LocalRegistry;

    fn record(value: Option<&'static [u8]>) -> Record {
        let mut headers = Headers::builder();
        headers.text("a", "1").text("b", "2").text("a", "3");
        headers.push("n", None);
        Record {
            topic: "t".into(),
            partition: 1,
            offset: 42,
            timestamp_ms: 1_000,
            key: Some(Bytes::from_static(b"k")),
            value: value.map(Bytes::from_static),
            headers: headers.finish(),
        }
    }

    fn printed(value: Option<&'static [u8]>) -> Value {
        let registry = LocalRegistry::in_memory();
        line(&record(value), &mut JsonDecoder::new(Arc::new(registry)))
    }

    #[test]
    fn a_line_says_where_the_record_stands_and_what_it_carries() {
        let line = printed(None);
        assert_eq!(line["offset"], 42);
        assert_eq!(line["key"], "k");
        assert_eq!(line["headers"], json!({"a": ["1", "3"], "b": "2", "n": null}));
        assert_eq!(line["value"], Value::Null);
        assert!(line.get("undecodable").is_none());
    }

    #[test]
    fn bytes_that_are_not_avro_are_shown_with_the_reason() {
        let line = printed(Some(b"\xffhi"));
        assert_eq!(line["bytes"], "\u{ff}hi");
        assert!(line["undecodable"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
}
