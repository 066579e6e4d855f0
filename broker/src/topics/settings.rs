//! A topic's configuration: Kafka's names, defaults and bounds; what is set and what it means to the log.

use std::collections::BTreeMap;

/// What the log obeys, parsed from the topic's overrides.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSettings {
    pub delete: bool,
    pub compact: bool,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    pub segment_bytes: u64,
    pub segment_ms: i64,
    pub max_message_bytes: usize,
    pub log_append_time: bool,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
}

impl Default for TopicSettings {
    fn default() -> Self {
        TopicSettings::parse(&BTreeMap::new()).expect("the defaults are valid")
    }
}

/// The kind of a configuration's value, as DescribeConfigs numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// One configuration a topic can have.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    /// False where the value is kept and shown, but changes nothing here.
    pub obeyed: bool,
}

const fn known(name: &'static str, default: &'static str, kind: Kind, obeyed: bool) -> Known {
    Known { name, default, kind, obeyed }
}

/// Every topic configuration of Apache Kafka 4.1 that a client may set here.
pub const KNOWN: &[Known] = &[
    known("cleanup.policy", "delete", Kind::List, true),
    known("compression.type", "producer", Kind::Text, false),
    known("delete.retention.ms", "86400000", Kind::Long, true),
    known("file.delete.delay.ms", "60000", Kind::Long, false),
    known("flush.messages", "9223372036854775807", Kind::Long, false),
    known("flush.ms", "9223372036854775807", Kind::Long, false),
    known("index.interval.bytes", "4096", Kind::Int, false),
    known("max.compaction.lag.ms", "9223372036854775807", Kind::Long, false),
    known("max.message.bytes", "1048588", Kind::Int, true),
    known("message.timestamp.after.max.ms", "3600000", Kind::Long, false),
    known("message.timestamp.before.max.ms", "9223372036854775807", Kind::Long, false),
    known("message.timestamp.type", "CreateTime", Kind::Text, true),
    known("min.cleanable.dirty.ratio", "0.5", Kind::Double, true),
    known("min.compaction.lag.ms", "0", Kind::Long, true),
    known("min.insync.replicas", "1", Kind::Int, false),
    known("preallocate", "false", Kind::Boolean, false),
    known("retention.bytes", "-1", Kind::Long, true),
    known("retention.ms", "604800000", Kind::Long, true),
    known("segment.bytes", "67108864", Kind::Int, true),
    known("segment.index.bytes", "10485760", Kind::Int, false),
    known("segment.jitter.ms", "0", Kind::Long, false),
    known("segment.ms", "604800000", Kind::Long, true),
    known("unclean.leader.election.enable", "false", Kind::Boolean, false),
];

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    #[error("unknown topic config name: {0}")]
    Unknown(String),
    #[error("invalid value {value} for configuration {name}: {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
}

/// The entry of that name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn text(&self, name: &'static str) -> &str {
        let default = find(name).map_or("", |known| known.default);
        self.0.get(name).map_or(default, String::as_str)
    }

    fn number(&self, name: &'static str, at_least: i64, at_most: i64) -> Result<i64, SettingsError> {
        let value = self.text(name);
        let parsed = value.trim().parse::<i64>().ok().filter(|number| (at_least..=at_most).contains(number));
        parsed.ok_or_else(|| SettingsError::Invalid {
            name,
            value: value.to_owned(),
            expected: "not a number in the configuration's range",
        })
    }
}

impl TopicSettings {
    /// Parses a topic's overrides; every one must be known and valid.
    pub fn parse(overrides: &BTreeMap<String, String>) -> Result<TopicSettings, SettingsError> {
        for (name, value) in overrides {
            check_kind(name, value)?;
        }
        let values = Values(overrides);
        let policy = values.text("cleanup.policy");
        let (mut delete, mut compact) = (false, false);
        for part in policy.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "delete" => delete = true,
                "compact" => compact = true,
                _ => return Err(invalid("cleanup.policy", policy, "expected delete, compact or both")),
            }
        }
        let timestamp_type = values.text("message.timestamp.type");
        let log_append_time = match timestamp_type {
            "CreateTime" => false,
            "LogAppendTime" => true,
            other => return Err(invalid("message.timestamp.type", other, "expected CreateTime or LogAppendTime")),
        };
        let ratio = values.text("min.cleanable.dirty.ratio");
        let min_cleanable_dirty_ratio = ratio.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        Ok(TopicSettings {
            delete,
            compact,
            retention_ms: values.number("retention.ms", -1, i64::MAX)?,
            retention_bytes: values.number("retention.bytes", -1, i64::MAX)?,
            segment_bytes: values.number("segment.bytes", 1_024, i64::from(i32::MAX))? as u64,
            segment_ms: values.number("segment.ms", 1, i64::MAX)?,
            max_message_bytes: values.number("max.message.bytes", 0, i64::from(i32::MAX))? as usize,
            log_append_time,
            delete_retention_ms: values.number("delete.retention.ms", 0, i64::MAX)?,
            min_compaction_lag_ms: values.number("min.compaction.lag.ms", 0, i64::MAX)?,
            min_cleanable_dirty_ratio: min_cleanable_dirty_ratio
                .ok_or_else(|| invalid("min.cleanable.dirty.ratio", ratio, "expected a number from 0 to 1"))?,
        })
    }
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> SettingsError {
    SettingsError::Invalid { name, value: value.to_owned(), expected }
}

fn check_kind(name: &str, value: &str) -> Result<(), SettingsError> {
    let Some(known) = find(name) else { return Err(SettingsError::Unknown(name.to_owned())) };
    let fits = match known.kind {
        Kind::Boolean => matches!(value, "true" | "false"),
        Kind::Int => value.trim().parse::<i32>().is_ok(),
        Kind::Long => value.trim().parse::<i64>().is_ok(),
        Kind::Double => value.trim().parse::<f64>().is_ok(),
        Kind::Text | Kind::List => true,
    };
    if fits { Ok(()) } else { Err(invalid(known.name, value, "value does not fit the configuration's type")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<TopicSettings, SettingsError> {
        TopicSettings::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn overrides_are_parsed_and_the_rest_has_kafkas_defaults() {
        let settings = parse("cleanup.policy", "compact,delete").unwrap();
        assert!(settings.compact && settings.delete);
        assert_eq!(settings.retention_ms, 604_800_000);
        assert_eq!(parse("retention.ms", "-1").unwrap().retention_ms, -1);
        assert!(parse("message.timestamp.type", "LogAppendTime").unwrap().log_append_time);
    }

    #[test]
    fn unknown_names_and_bad_values_are_refused() {
        assert_eq!(parse("retention.msec", "1"), Err(SettingsError::Unknown("retention.msec".into())));
        for (name, value) in [
            ("retention.ms", "-2"),
            ("cleanup.policy", "shred"),
            ("segment.bytes", "ten"),
            ("min.cleanable.dirty.ratio", "2"),
            ("preallocate", "maybe"),
        ] {
            assert!(matches!(parse(name, value), Err(SettingsError::Invalid { .. })), "{name}={value}");
        }
    }
}
