//! Record headers by published conventions: CloudEvents' Kafka binding in binary mode and W3C trace context.
//!
//! An output's id is derived from its input's place and its own index, so that a record handled twice yields the same
//! ids: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>.

use crate::kafka::{Headers, Record};

/// The headers that a processor gives its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Id, type, source, correlation, cause and trace.
    #[default]
    CloudEvents,
    /// None: for topics shared with programs that know no headers, and where their bytes cost too much.
    Off,
}

pub const ID: &str = "ce_id";
pub const SPEC_VERSION: &str = "ce_specversion";
pub const TYPE: &str = "ce_type";
pub const SOURCE: &str = "ce_source";
/// The id that every record of one chain of causes shares.
pub const CORRELATION_ID: &str = "ce_correlationid";
/// The id of the record that caused this one.
pub const CAUSATION_ID: &str = "ce_causationid";
pub const TRACE_PARENT: &str = "traceparent";

/// A header that is longer is not taken over from one record to those that stem from it.
const MAX_TAKEN_OVER_BYTES: usize = 1024;

/// The headers of a record that begins a chain: it correlates to itself.
pub fn of_origin(id: &str, event_type: &str, source: &str) -> Headers {
    write(id, event_type, source, id, None, None)
}

/// The headers of a handler's output number `index`.
pub fn of_output(input: &Record, index: usize, event_type: &str, source: &str) -> Headers {
    let id = format!("{}/{}/{source}/{index}", input.topic, place(input));
    write(&id, event_type, source, &correlation_id(input), Some(&record_id(input)), taken_over(input, TRACE_PARENT))
}

/// The record's id: its header's, or its place where it came without.
pub fn record_id(record: &Record) -> String {
    taken_over(record, ID).map_or_else(|| record.position(), str::to_owned)
}

/// The correlation id: its header's, or the record's own id.
pub fn correlation_id(record: &Record) -> String {
    taken_over(record, CORRELATION_ID).map_or_else(|| record_id(record), str::to_owned)
}

fn taken_over<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    record.headers.text(name).filter(|value| value.len() <= MAX_TAKEN_OVER_BYTES)
}

fn place(record: &Record) -> String {
    format!("{}/{}", record.partition, record.offset)
}

fn write(
    id: &str,
    event_type: &str,
    source: &str,
    correlation: &str,
    cause: Option<&str>,
    trace: Option<&str>,
) -> Headers {
    let mut headers = Headers::builder();
    headers.text(ID, id).text(SPEC_VERSION, "1.0").text(TYPE, event_type).text(SOURCE, source);
    headers.text(CORRELATION_ID, correlation);
    if let Some(cause) = cause {
        headers.text(CAUSATION_ID, cause);
    }
    if let Some(trace) = trace {
        headers.text(TRACE_PARENT, trace);
    }
    headers.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(headers: Headers) -> Record {
        let (topic, key, value) = ("orders.placed".into(), None, None);
        Record { topic, partition: 3, offset: 42, timestamp_ms: 0, key, value, headers }
    }

    #[test]
    fn an_output_is_named_after_its_input_so_that_a_second_run_gives_the_same_name() {
        let output =
            of_output(&input(of_origin("o-1", "orders.OrderPlaced", "producer")), 1, "orders.OrderPaid", "payment");
        let expected = [
            (ID, "orders.placed/3/42/payment/1"),
            (SPEC_VERSION, "1.0"),
            (TYPE, "orders.OrderPaid"),
            (SOURCE, "payment"),
            (CORRELATION_ID, "o-1"),
            (CAUSATION_ID, "o-1"),
        ];
        let headers: Vec<_> = output.iter().map(|(n, v)| (n, std::str::from_utf8(v.unwrap()).unwrap())).collect();
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_record_that_came_without_headers_is_known_by_its_place() {
        let output = of_output(&input(Headers::default()), 0, "T", "p");
        assert_eq!(output.text(CORRELATION_ID), Some("orders.placed/3/42"));
        assert_eq!(output.text(CAUSATION_ID), Some("orders.placed/3/42"));
    }
}
