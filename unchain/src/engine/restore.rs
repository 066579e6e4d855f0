//! Fills a partition's tables from their changelogs before its first record is handled.

use std::time::{Duration, Instant};

use super::EngineError;
use crate::contract::Topic;
use crate::kafka::{ClientError, Connection, Reader, TopicPartition, Watermarks};
use crate::table::PartitionTables;

/// The tables beside an input partition as the last commit left them, and how many changelog records they came from.
///
/// To be called once the group's offsets for the partition are decided: then every committed write lies below the
/// changelog's end, though the marker that makes it readable may still be on its way.
pub(crate) fn restore_tables(
    connection: &Connection,
    input: &TopicPartition,
    topics: &[&'static Topic],
    deadline: Duration,
) -> Result<(PartitionTables, u64), EngineError> {
    let mut tables = PartitionTables::new(topics);
    let mut restored = 0;
    for topic in topics {
        restored += restore_table(connection, input.partition, topic, &mut tables, deadline)?;
    }
    Ok((tables, restored))
}

fn restore_table(
    connection: &Connection,
    partition: i32,
    topic: &'static Topic,
    tables: &mut PartitionTables,
    deadline: Duration,
) -> Result<u64, EngineError> {
    if wait_until_decided(connection, topic, partition, deadline)? == 0 {
        return Ok(0);
    }
    let mut restored = 0;
    let mut reader = Reader::open(connection, topic.name, &[(partition, None)])?;
    reader.read_to_end(deadline, |record| {
        if let Some(key) = record.key {
            tables.restore(topic, key, record.value);
            restored += 1;
        }
        Ok(())
    })?;
    Ok(restored)
}

/// Waits until everything up to the changelog's present end is committed or aborted; returns the records it spans.
fn wait_until_decided(
    connection: &Connection,
    topic: &'static Topic,
    partition: i32,
    deadline: Duration,
) -> Result<i64, EngineError> {
    let started = Instant::now();
    let watermarks = |step| Watermarks::of(connection, topic.name, &[partition], step).map(|all| all[0].1);
    let target = watermarks(deadline)?.end;
    loop {
        let now = watermarks(deadline)?;
        if now.stable_end >= target {
            return Ok(target - now.start);
        }
        if started.elapsed() > deadline {
            let operation = "waiting for a changelog's open transactions";
            return Err(ClientError::TimedOut { operation, waited: started.elapsed() }.into());
        }
        // An open transaction here is one that was just fenced or will time out: nothing signals its end.
        #[allow(clippy::disallowed_methods, reason = "a back-off between two questions to the broker")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
