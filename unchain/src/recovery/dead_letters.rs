//! Dead letters: a failed record with its key, bytes and headers untouched, where it stood and why it failed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::contract::system::{DeadLetter, FailureClass as LetterClass, Header};
use crate::contract::{Codecs, Contract, RegistryError, SchemaRegistry, Topic};
use crate::envelope;
use crate::kafka::NewRecord;
use crate::process::{FailedRecord, Failure, FailureClass, FailurePolicy};

/// The policy that writes every failed record to the dead-letter topic.
pub fn dead_letters(registry: &Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError> {
    dead_letters_by(now_ms)(registry)
}

/// The same by another wall clock, in milliseconds since the Unix epoch.
pub fn dead_letters_by(
    now_ms: impl Fn() -> i64 + Send + 'static,
) -> impl FnOnce(&Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError> {
    |registry| {
        let mut codecs = Codecs::new(Arc::clone(registry));
        codecs.add_encoder::<DeadLetter>()?;
        Ok(Box::new(DeadLetters { codecs, now_ms: Box::new(now_ms) }))
    }
}

/// The largest record that a letter carries: Kafka's default limit for a record, less what the letter adds.
const MAX_LETTER_BYTES: usize = 950_000;
const MAX_REASON_BYTES: usize = 8 * 1024;

struct DeadLetters {
    codecs: Codecs,
    now_ms: Box<dyn Fn() -> i64 + Send>,
}

impl FailurePolicy for DeadLetters {
    fn topics(&self) -> Vec<&'static Topic> {
        vec![DeadLetter::TOPIC]
    }

    fn on_failure(&mut self, failed: FailedRecord<'_>) -> Result<Vec<NewRecord<'static>>, Failure> {
        let mut letter = letter(failed, (self.now_ms)());
        let bytes = failed.record.size_bytes();
        if bytes > MAX_LETTER_BYTES {
            // A letter that Kafka refuses would stop its partition; the record itself stands where the letter says.
            letter.value = None;
            letter.headers.clear();
            letter.key = letter.key.filter(|key| key.len() <= MAX_LETTER_BYTES / 2);
            letter.reason.push_str(&format!(" (its {bytes} bytes are left out: they do not fit into a letter)"));
        }
        let value = self.codecs.encode(&letter).map_err(Failure::reject)?;
        Ok(vec![NewRecord {
            topic: DeadLetter::TOPIC.name,
            partition: None,
            timestamp_ms: None,
            key: Some(Bytes::copy_from_slice(letter.key().as_bytes())),
            value: Some(value),
            headers: envelope::of_output(failed.record, 0, DeadLetter::TOPIC.schema_name, failed.processor),
        }])
    }
}

fn letter(FailedRecord { processor, record, failed }: FailedRecord<'_>, failed_at_ms: i64) -> DeadLetter {
    let headers = record.headers.iter();
    DeadLetter {
        record: record.position(),
        processor: processor.to_owned(),
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: headers
            .map(|(name, value)| Header { name: name.to_owned(), value: value.map(Bytes::copy_from_slice) })
            .collect(),
        class: class(failed.class),
        reason: cut(&failed.reason),
        attempts: i32::try_from(failed.attempts).unwrap_or(i32::MAX),
        failed_at_ms,
    }
}

/// A reason may hold the record itself, and a letter that is too large for Kafka would hold its partition up for ever.
fn cut(reason: &str) -> String {
    if reason.len() <= MAX_REASON_BYTES {
        return reason.to_owned();
    }
    let end = (0..=MAX_REASON_BYTES).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    format!("{}… ({} bytes in all)", &reason[..end], reason.len())
}

fn class(class: FailureClass) -> LetterClass {
    match class {
        FailureClass::Rejected => LetterClass::Rejected,
        FailureClass::RetriesExhausted => LetterClass::RetriesExhausted,
        FailureClass::Panicked => LetterClass::Panicked,
        FailureClass::Undecodable => LetterClass::Undecodable,
        FailureClass::Late => LetterClass::Late,
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::LocalRegistry;

    /// The schema as it was before records could be late.
    fn earlier_schema() -> String {
        let mut schema: serde_json::Value = serde_json::from_str(DeadLetter::TOPIC.schema).unwrap();
        let fields = schema["fields"].as_array_mut().unwrap();
        let class = fields.iter_mut().find(|field| field["name"] == "class").unwrap();
        class["type"]["symbols"].as_array_mut().unwrap().retain(|symbol| symbol != "LATE");
        class["type"].as_object_mut().unwrap().remove("default");
        schema.to_string()
    }

    #[test]
    fn letters_of_before_there_were_late_records_can_still_be_read() {
        assert_ne!(earlier_schema(), DeadLetter::TOPIC.schema);
        let registry = LocalRegistry::in_memory();
        registry.register(&DeadLetter::TOPIC.subject(), &earlier_schema()).unwrap();
        registry.register(&DeadLetter::TOPIC.subject(), DeadLetter::TOPIC.schema).unwrap();
    }
}
