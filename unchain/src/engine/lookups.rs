//! Loads lookups to the end of their topics before the first record is handled, then follows them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::shutdown::Shutdown;
use super::{EngineError, EngineSettings};
use crate::contract::SchemaRegistry;
use crate::kafka::{ClientError, Connection, ErrorKind, ReadEvent, Reader, Record};
use crate::table::{AnyLookup, FeedLookup};

const REOPEN_BACKOFF: Duration = Duration::from_secs(1);
/// How long a rebuild may stay without a record.
const REBUILD_DEADLINE: Duration = Duration::from_secs(30);
/// For less than this no deletion is compacted away: well below the default `delete.retention.ms` of a day.
const TOMBSTONES_STAY: Duration = Duration::from_secs(3_600);

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
    let mut reader = open(connection, lookup, partitions)?;
    reader.read_to_end(settings.broker_timeout, |record| {
        if shutdown.is_signalled() {
            return Err(stopped(topic));
        }
        apply(&mut feed, &record);
        Ok(())
    })?;
    let follower =
        Follower { reader, connection: connection.clone(), lookup: Arc::clone(lookup), partitions, feed, shutdown };
    let thread = std::thread::Builder::new().name(format!("lookup-{topic}"));
    thread.spawn(move || follower.follow()).map_err(|error| EngineError::Thread { reason: error.to_string() })
}

fn stopped(topic: &str) -> ClientError {
    let reason = "the process is to stop".to_owned();
    ClientError::Topic { operation: "loading a lookup", topic: topic.to_owned(), reason, kind: ErrorKind::Stop }
}

/// Reads on from where the lookup stands.
fn open(connection: &Connection, lookup: &Arc<dyn AnyLookup>, partitions: i32) -> Result<Reader, ClientError> {
    let from: Vec<_> = (0..partitions).map(|partition| (partition, lookup.next_offset(partition))).collect();
    Reader::open(connection, lookup.topic().name, &from)
}

struct Follower {
    reader: Reader,
    connection: Connection,
    lookup: Arc<dyn AnyLookup>,
    partitions: i32,
    feed: FeedLookup,
    shutdown: Shutdown,
}

impl Follower {
    fn follow(mut self) {
        let (topic, mut last_read) = (self.lookup.topic().name, Instant::now());
        while !self.shutdown.is_signalled() {
            match self.reader.next(Duration::from_millis(100)) {
                Ok(ReadEvent::Record(record)) => {
                    apply(&mut self.feed, &record);
                    last_read = Instant::now();
                }
                Ok(ReadEvent::CaughtUp | ReadEvent::Idle) => last_read = Instant::now(),
                Err(error) if error.kind() == ErrorKind::Stop => {
                    tracing::error!(topic, %error, "a lookup is no longer followed");
                    return;
                }
                Err(error) => {
                    tracing::warn!(topic, %error, "a lookup is read on from where it stands");
                    #[allow(clippy::disallowed_methods, reason = "a back-off before the broker is asked again")]
                    std::thread::sleep(REOPEN_BACKOFF);
                    if let Err(error) = self.reopen(last_read.elapsed()) {
                        tracing::warn!(topic, %error, "a lookup cannot be read for now");
                    }
                }
            }
        }
    }

    /// Goes on, or begins anew where deletions may have come and gone meanwhile; old rows are answered until then.
    fn reopen(&mut self, away: Duration) -> Result<(), ClientError> {
        if away < TOMBSTONES_STAY {
            self.reader = open(&self.connection, &self.lookup, self.partitions)?;
            return Ok(());
        }
        (0..self.partitions).for_each(|partition| self.lookup.begin_rebuild(partition));
        self.reader = open(&self.connection, &self.lookup, self.partitions)?;
        let feed = &mut self.feed;
        self.reader.read_to_end(REBUILD_DEADLINE, |record| {
            apply(feed, &record);
            Ok(())
        })?;
        (0..self.partitions).for_each(|partition| self.lookup.finish_rebuild(partition));
        Ok(())
    }
}

/// A row that cannot be decoded is left out: handlers see the key's last good value.
fn apply(feed: &mut FeedLookup, record: &Record) {
    if let Err(error) = feed(record) {
        tracing::error!(topic = &*record.topic, partition = record.partition, offset = record.offset, %error,
            "a lookup's record was left out");
    }
}
