//! What is replayed, how it is changed on the way, and how fast.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{HeaderFilter, NamePattern, ReplayError, Speed, TargetName};
use crate::recording::Span;

/// Settings of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySettings {
    /// The name under which its progress is kept; by default it follows from the recording and what is written of it.
    pub id: Option<String>,
    pub speed: Speed,
    /// The topics to replay; all of them where none is named.
    pub topics: Vec<NamePattern>,
    pub span: Span,
    /// Only records of these keys.
    pub keys: Option<BTreeSet<Vec<u8>>>,
    pub to_topic: TargetName,
    pub timestamps: Timestamps,
    pub headers: HeaderFilter,
    /// Values are bytes: no schemas are registered, no ids changed.
    pub raw: bool,
    /// Create target topics that are missing, with the recorded partitions and configuration.
    pub create_topics: bool,
    /// Replay records that the target's retention deletes at once.
    pub allow_expired: bool,
    /// Forget the progress, and replay anew.
    pub again: bool,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        ReplaySettings {
            id: None,
            speed: Speed::Times(1.0),
            topics: Vec::new(),
            span: Span::default(),
            keys: None,
            to_topic: TargetName::default(),
            timestamps: Timestamps::Keep,
            headers: HeaderFilter::default(),
            raw: false,
            create_topics: true,
            allow_expired: false,
            again: false,
        }
    }
}

/// What becomes of the records' times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    Keep,
    /// All are moved by the same distance, the first one to the replay's start.
    Shift,
}

const MAX_ID_BYTES: usize = 100;
/// Enough of a digest that two replays do not meet.
const ID_DIGEST_BYTES: usize = 8;

impl ReplaySettings {
    /// A digest of all that says what is written: a replay is gone on with only under the same one.
    pub(super) fn digest(&self, recording: &str, topics: &[&str]) -> String {
        let keys = self.keys.iter().flatten().map(|key| hexadecimal(key));
        let Span { from_offset, from_ms, to_ms } = self.span;
        let written = serde_json::json!({
            "recording": recording,
            "topics": topics,
            "span": [from_offset, from_ms, to_ms],
            "keys": self.keys.as_ref().map(|_| keys.collect::<Vec<_>>()),
            "to_topic": self.to_topic.pattern(),
            "shift": self.timestamps == Timestamps::Shift,
            "headers": self.headers.patterns(),
            "raw": self.raw,
        });
        hexadecimal(&Sha256::digest(written.to_string()))
    }

    /// The replay's id, where none is given from its digest.
    pub(super) fn id(&self, digest: &str) -> Result<String, ReplayError> {
        let Some(id) = &self.id else { return Ok(digest[..ID_DIGEST_BYTES * 2].to_owned()) };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(is_allowed) {
            return Ok(id.clone());
        }
        let reason = format!("an id has 1 to {MAX_ID_BYTES} letters, digits, `.`, `_` and `-`");
        Err(ReplayError::Usage { option: "--id", reason })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_the_same_at_another_speed_and_another_one_with_other_topics_keys_or_headers() {
        let settings = ReplaySettings::default();
        let digest = settings.digest("r", &["a"]);
        assert_eq!(ReplaySettings { speed: Speed::Max, ..settings.clone() }.digest("r", &["a"]), digest);
        let others = [
            ReplaySettings { timestamps: Timestamps::Shift, ..settings.clone() },
            ReplaySettings { keys: Some(BTreeSet::from([b"k".to_vec()])), ..settings.clone() },
            ReplaySettings { headers: HeaderFilter::new([NamePattern::new("*")]), ..settings.clone() },
            ReplaySettings { span: Span { to_ms: 1, ..Span::default() }, ..settings.clone() },
        ];
        for other in others {
            assert_ne!(other.digest("r", &["a"]), digest);
        }
        assert_ne!(settings.digest("r", &["a", "b"]), digest);
        assert_ne!(settings.digest("s", &["a"]), digest);
    }

    #[test]
    fn an_id_that_would_not_do_as_a_key_is_refused() {
        let id = |id: &str| ReplaySettings { id: Some(id.to_owned()), ..ReplaySettings::default() }.id("0");
        assert_eq!(id("load-1").unwrap(), "load-1");
        assert!(id("a/b").is_err() && id("").is_err());
    }
}
