//! Loads lookups to the end of their topics before the first record is handled, then follows them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::shutdown::Shutdown;
use super::{EngineError, EngineSettings};
use crate::contract::SchemaRegistry;
use crate::kafka::{ClientError, Connection, ErrorKind, ReadEvent, Reader, Record};
use crate::table::{AnyLookup, FeedLookup};

const REOPEN_BACKOFF: Duration = Duration::from_secs(1);

/// Fills a lookup and returns the thread that keeps it up to date until the shutdown.
pub(crate) fn load_and_follow(
    connection: &Connection,
    registry: &Arc<dyn SchemaRegistry>,
    lookup: &Arc<dyn AnyLookup>,
    partitions: i32,
    settings: &EngineSettings,
    shutdown: Shutdown,
) -> Result<JoinHandle<()>, EngineError> {
    let topic = lookup.topic().name;
    let mut feed = Arc::clone(lookup).feed(Arc::clone(registry));
    let mut reader = open(connection, topic, partitions)?;
    reader.read_to_end(settings.broker_timeout, |record| {
        apply(&mut feed, &record);
        Ok(())
    })?;
    let connection = connection.clone();
    let follow = move || follow(reader, &connection, topic, partitions, feed, shutdown);
    let thread = std::thread::Builder::new().name(format!("lookup-{topic}"));
    thread.spawn(follow).map_err(|error| EngineError::Thread { reason: error.to_string() })
}

fn open(connection: &Connection, topic: &str, partitions: i32) -> Result<Reader, ClientError> {
    let all: Vec<_> = (0..partitions).map(|partition| (partition, None)).collect();
    Reader::open(connection, topic, &all)
}

fn follow(
    mut reader: Reader,
    connection: &Connection,
    topic: &str,
    partitions: i32,
    mut feed: FeedLookup,
    shutdown: Shutdown,
) {
    while !shutdown.is_signalled() {
        match reader.next(Duration::from_millis(100)) {
            Ok(ReadEvent::Record(record)) => apply(&mut feed, &record),
            Ok(ReadEvent::CaughtUp | ReadEvent::Idle) => {}
            Err(error) => {
                if error.kind() == ErrorKind::Stop {
                    tracing::error!(topic, %error, "a lookup is no longer followed");
                    return;
                }
                tracing::warn!(topic, %error, "a lookup is read again from the beginning");
                #[allow(clippy::disallowed_methods, reason = "a back-off before the broker is asked again")]
                std::thread::sleep(REOPEN_BACKOFF);
                if let Ok(reopened) = open(connection, topic, partitions) {
                    reader = reopened;
                }
            }
        }
    }
}

/// A row that cannot be decoded is left out: handlers see the key's last good value.
fn apply(feed: &mut FeedLookup, record: &Record) {
    if let Err(error) = feed(record) {
        tracing::error!(topic = &*record.topic, partition = record.partition, offset = record.offset, %error,
            "a lookup's record was left out");
    }
}
