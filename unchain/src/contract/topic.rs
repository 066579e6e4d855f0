//! A topic as its contract declares it: name, key, value schema, partitions, cleanup and retention.

use std::time::Duration;

/// The declaration of one topic, generated from `topics.toml` and its value schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: &'static str,
    /// Full name of the value's Avro record, for example `orders.OrderPlaced`.
    pub schema_name: &'static str,
    /// The value's Avro schema as JSON, with every named type that it refers to written out.
    pub schema: &'static str,
    /// The field whose value is the record's key.
    pub key: &'static str,
    /// The fewest partitions that the topic may have, and how many it is created with.
    pub partitions: i32,
    pub cleanup: Cleanup,
    pub retention: Retention,
    /// The sentence of the schema's `doc`, shown where topics are listed.
    pub doc: &'static str,
}

impl Topic {
    /// The registry subject of the value schema, by Confluent's TopicNameStrategy.
    pub fn subject(&self) -> String {
        format!("{}-value", self.name)
    }

    /// What is set on the topic when it is created, by the broker's names.
    pub fn config(&self) -> [(String, String); 2] {
        let cleanup = match self.cleanup {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
        };
        [
            ("cleanup.policy".to_owned(), cleanup.to_owned()),
            ("retention.ms".to_owned(), self.retention.as_retention_ms().to_string()),
        ]
    }

    /// The same declaration under another name, for as long as the process lives.
    pub(crate) fn renamed(&self, name: &str) -> &'static Topic {
        Box::leak(Box::new(Topic { name: Box::leak(Box::from(name)), ..self.clone() }))
    }
}

/// What the broker does with old records (`cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Records are deleted once they are older than the retention.
    Delete,
    /// The last record of each key is kept: the topic is a table's changelog or a lookup's source.
    Compact,
}

/// How long records are kept, by record timestamp (`retention.ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    Forever,
    For(Duration),
}

impl Retention {
    /// The value of `retention.ms`, in milliseconds; -1 keeps records for ever.
    pub fn as_retention_ms(self) -> i64 {
        match self {
            Retention::Forever => -1,
            Retention::For(time) => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
        }
    }
}
