//! Fills partitions' tables from their changelogs before the first record is handled.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::EngineError;
use crate::contract::Topic;
use crate::kafka::{ClientError, Connection, OffsetsClient, Reader, TopicPartition};
use crate::process::Processor;
use crate::table::PartitionTables;

/// The tables beside input partitions as the last commit left them, and how many changelog records they came from.
///
/// To be called once the group's offsets for the partitions are decided: then every committed write lies below the
/// changelog's end, though the marker that makes it readable may still be on its way.
pub(crate) fn restore_tables(
    connection: &Connection,
    processor: &Processor,
    inputs: &[TopicPartition],
    deadline: Duration,
) -> Result<(HashMap<TopicPartition, PartitionTables>, u64), EngineError> {
    let tables_of = |input: &TopicPartition| PartitionTables::new(&processor.tables_beside(&input.topic));
    let mut restored: HashMap<_, _> = inputs.iter().map(|input| (input.clone(), tables_of(input))).collect();
    let mut records = 0;
    for topic in processor.declaration().inputs() {
        let partitions: Vec<&TopicPartition> = inputs.iter().filter(|input| &*input.topic == topic.name).collect();
        for table in processor.tables_beside(topic.name) {
            records += restore_table(connection, table, &partitions, &mut restored, deadline)?;
        }
    }
    Ok((restored, records))
}

/// Reads one table's changelog for some input partitions, which have the same numbers there.
fn restore_table(
    connection: &Connection,
    table: &'static Topic,
    inputs: &[&TopicPartition],
    restored: &mut HashMap<TopicPartition, PartitionTables>,
    deadline: Duration,
) -> Result<u64, EngineError> {
    let offsets = OffsetsClient::new(connection)?;
    let mut filled = Vec::new();
    for input in inputs {
        if wait_until_decided(&offsets, table, input.partition, deadline)? > 0 {
            filled.push((input.partition, None));
        }
    }
    if filled.is_empty() {
        return Ok(0);
    }
    let mut records = 0;
    let mut reader = Reader::open(connection, table.name, &filled)?;
    reader.read_to_end(deadline, |record| {
        let input = inputs.iter().find(|input| input.partition == record.partition);
        let tables = input.and_then(|input| restored.get_mut(*input));
        if let (Some(tables), Some(key)) = (tables, record.key) {
            let index = tables.topics().iter().position(|topic| topic.name == table.name).expect("restored");
            tables.restore(index, &key, record.value.as_deref(), record.timestamp_ms);
            records += 1;
        }
        Ok(())
    })?;
    Ok(records)
}

/// Waits until everything up to the changelog's present end is committed or aborted; returns the offsets it spans.
fn wait_until_decided(
    offsets: &OffsetsClient,
    table: &'static Topic,
    partition: i32,
    deadline: Duration,
) -> Result<i64, EngineError> {
    let started = Instant::now();
    let target = offsets.watermarks(table.name, partition, deadline)?.end;
    loop {
        let now = offsets.watermarks(table.name, partition, deadline)?;
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
