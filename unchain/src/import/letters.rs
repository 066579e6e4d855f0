//! Bad lines as dead letters, in the contract that processors write theirs in.

use std::path::Path;

use bytes::Bytes;

use super::draft::Draft;
use super::error::BadLine;
use crate::contract::system::{DeadLetter, FailureClass};
use crate::contract::{Contract, Encoder, id_of};

/// A longer line is not repeated in its letter: Kafka's usual limit for a record, less what the letter adds.
const MAX_LETTER_BYTES: usize = 950_000;

/// Makes letters of one file's bad lines.
pub(super) struct Letters {
    encoder: Encoder<DeadLetter>,
    file_name: String,
    now_ms: i64,
}

impl Letters {
    pub(super) fn new(file: &Path, now_ms: i64) -> Letters {
        let id = id_of(DeadLetter::TOPIC.schema).expect("it was parsed when this was built");
        let file_name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        Letters { encoder: Encoder::with_id(id), file_name, now_ms }
    }

    pub(super) fn schema_id(&self) -> u32 {
        self.encoder.schema_id().0
    }

    /// The letter of a line: the file stands for the topic that it came from, the line's number for the offset.
    pub(super) fn write(&self, bad: &BadLine, text: &[u8], draft: &mut Draft) {
        let offset = i64::try_from(bad.line).unwrap_or(i64::MAX);
        let mut reason = bad.to_string();
        let is_short = text.len() <= MAX_LETTER_BYTES;
        if !is_short {
            reason.push_str(&format!(" (its {} bytes are left out: they do not fit into a letter)", text.len()));
        }
        let letter = DeadLetter {
            record: format!("{}/0/{offset}", self.file_name),
            processor: "import".to_owned(),
            topic: self.file_name.clone(),
            partition: 0,
            offset,
            timestamp_ms: -1,
            key: None,
            value: is_short.then(|| Bytes::copy_from_slice(text)),
            headers: Vec::new(),
            class: FailureClass::Undecodable,
            reason,
            attempts: 1,
            failed_at_ms: self.now_ms,
        };
        draft.clear();
        draft.topic.push_str(DeadLetter::TOPIC.name);
        draft.set_key(Some(letter.key().as_bytes()));
        self.encoder.encode(&letter, draft.begin_value()).expect("a letter is far smaller than the largest value");
    }
}
