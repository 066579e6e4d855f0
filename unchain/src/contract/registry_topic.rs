//! The local registry's compacted topic on Kafka: how its schemas reach every process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{LocalRegistry, RegistryError, SchemaRegistry, SchemaTopic};
use crate::kafka::{Admin, ClientError, Connection, Headers, NewRecord, NewTopic, Publisher, PublisherSettings, Reader};

/// The topic's name. One partition, so that all processes see one order.
pub const SCHEMAS_TOPIC: &str = "_unchain.schemas";

/// The registry that the connection's cluster keeps itself; its topic is created where it is missing.
///
/// # Errors
/// [`RegistryError::Unavailable`] where the broker does not answer within the deadline.
pub fn open_registry(connection: &Connection, deadline: Duration) -> Result<Arc<dyn SchemaRegistry>, RegistryError> {
    // Before the admin call, whose own error does not name the address.
    let existing = connection.topics(deadline).map_err(unavailable)?;
    if !existing.iter().any(|topic| topic.name == SCHEMAS_TOPIC) {
        let configs = [("cleanup.policy", "compact"), ("retention.ms", "-1")];
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let topic = NewTopic { name: SCHEMAS_TOPIC.to_owned(), partitions: 1, configs };
        let admin = Admin::new(connection, deadline).map_err(unavailable)?;
        admin.create_topics(&[topic]).map_err(unavailable)?;
    }
    Ok(Arc::new(LocalRegistry::open(KafkaSchemaTopic { connection: connection.clone(), deadline })?))
}

struct KafkaSchemaTopic {
    connection: Connection,
    deadline: Duration,
}

impl SchemaTopic for KafkaSchemaTopic {
    fn load(&self) -> Result<Vec<(String, String)>, RegistryError> {
        let mut entries = Vec::new();
        let mut reader = Reader::open(&self.connection, SCHEMAS_TOPIC, &[(0, None)]).map_err(unavailable)?;
        let read = reader.read_to_end(self.deadline, |record| {
            if let (Some(key), Some(value)) = (&record.key, &record.value) {
                entries.push((String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(value).into_owned()));
            }
            Ok(())
        });
        read.map_err(unavailable)?;
        Ok(entries)
    }

    fn append(&self, key: &str, value: &str) -> Result<(), RegistryError> {
        let publisher = Publisher::new(&self.connection, PublisherSettings::default()).map_err(unavailable)?;
        let sent = publisher.send(&NewRecord {
            topic: SCHEMAS_TOPIC,
            partition: Some(0),
            timestamp_ms: None,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Headers::default(),
        });
        sent.and_then(|()| publisher.flush(self.deadline)).map_err(unavailable)
    }
}

fn unavailable(error: ClientError) -> RegistryError {
    RegistryError::Unavailable { reason: error.to_string() }
}
