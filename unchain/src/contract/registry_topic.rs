//! The local registry's compacted topic on Kafka: how its schemas reach every process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{LocalRegistry, RegistryError, SCHEMAS_TOPIC, SchemaRegistry, SchemaTopic};
use crate::kafka::{
    Admin, ClientError, Connection, Headers, NewRecord, NewTopic, Publisher, PublisherSettings, ReadEvent, Reader,
};

/// The registry that the connection's cluster keeps itself. Its topic is created with the first schema.
///
/// # Errors
/// [`RegistryError::Unavailable`] where the broker does not answer within the deadline.
pub fn open_registry(connection: &Connection, deadline: Duration) -> Result<Arc<dyn SchemaRegistry>, RegistryError> {
    connection.topics(deadline).map_err(unavailable)?;
    let (connection, state) = (connection.clone(), Mutex::default());
    Ok(Arc::new(LocalRegistry::new(KafkaSchemaTopic { connection, deadline, state })))
}

struct KafkaSchemaTopic {
    connection: Connection,
    deadline: Duration,
    state: Mutex<Clients>,
}

/// Clients are made when they are first needed and kept: schemas are registered and looked up in bursts.
#[derive(Default)]
struct Clients {
    reader: Option<Reader>,
    publisher: Option<Publisher>,
    records: Vec<(Bytes, Bytes)>,
    next_offset: i64,
}

impl SchemaTopic for KafkaSchemaTopic {
    fn load(&self) -> Result<Vec<(Bytes, Bytes)>, RegistryError> {
        let mut clients = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        clients.catch_up(&self.connection, self.deadline).map_err(unavailable)?;
        Ok(clients.records.clone())
    }

    fn append(&self, key: Bytes, value: Bytes) -> Result<(), RegistryError> {
        let mut clients = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = clients.append(&self.connection, key, value, self.deadline);
        if appended.is_err() {
            // A publisher that failed once refuses everything after it.
            clients.publisher = None;
        }
        appended.map_err(unavailable)
    }
}

impl Clients {
    /// Reads what has come since the last time, up to the topic's end.
    fn catch_up(&mut self, connection: &Connection, deadline: Duration) -> Result<(), ClientError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let existing = connection.topics(deadline)?;
                if !existing.iter().any(|topic| topic.name == SCHEMAS_TOPIC) {
                    return Ok(());
                }
                none.insert(Reader::open(connection, SCHEMAS_TOPIC, &[(0, None)])?)
            }
        };
        let started = Instant::now();
        // Compaction leaves gaps, but never removes the last record.
        let end = reader.stable_end(0, deadline)?;
        while self.next_offset < end {
            if let ReadEvent::Record(record) = reader.next(Duration::from_millis(100))? {
                self.next_offset = record.offset + 1;
                self.records.extend(record.key.zip(record.value));
            } else if started.elapsed() > deadline {
                return Err(ClientError::TimedOut { operation: "reading the schemas", waited: started.elapsed() });
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        connection: &Connection,
        key: Bytes,
        value: Bytes,
        deadline: Duration,
    ) -> Result<(), ClientError> {
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => {
                Admin::new(connection, deadline)?.create_topics(&[schemas_topic()])?;
                none.insert(Publisher::new(connection, settings(deadline))?)
            }
        };
        let (topic, key, value) = (SCHEMAS_TOPIC, Some(key), Some(value));
        let record =
            NewRecord { topic, partition: Some(0), timestamp_ms: None, key, value, headers: Headers::default() };
        publisher.send(&record)?;
        publisher.flush(deadline)
    }
}

fn schemas_topic() -> NewTopic {
    let configs = [("cleanup.policy", "compact"), ("retention.ms", "-1")];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    NewTopic { name: SCHEMAS_TOPIC.to_owned(), partitions: 1, configs }
}

/// A schema is waited for one at a time: nothing is gained by lingering.
fn settings(deadline: Duration) -> PublisherSettings {
    PublisherSettings { linger: Duration::ZERO, delivery_timeout: deadline, ..PublisherSettings::default() }
}

fn unavailable(error: ClientError) -> RegistryError {
    RegistryError::Unavailable { reason: error.to_string() }
}
