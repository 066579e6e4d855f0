//! Fills partitions' tables from their changelogs, from where the local store stands, before the first record is handled.

use std::time::{Duration, Instant};

use super::handling::TablesBeside;
use super::take_over::Cancel;
use super::{EngineError, ProcessorStats};
use crate::kafka::{ClientError, Connection, ErrorKind, OffsetsClient, Reader, TopicPartition, Watermarks};
use crate::process::Processor;
use crate::table::{PartitionTables, Stores};

/// What a restore is done with.
pub(crate) struct Restoring<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) processor: &'a Processor,
    pub(crate) stores: &'a Stores,
    pub(crate) stats: &'a ProcessorStats,
    pub(crate) deadline: Duration,
    pub(crate) cancel: &'a Cancel,
}

/// How often a long restore says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The tables beside input partitions as the last commit left them, by input group and partition number.
///
/// To be called once the group's offsets for the partitions are decided.
pub(crate) fn restore_tables(
    restoring: &Restoring<'_>,
    inputs: &[TopicPartition],
) -> Result<TablesBeside, EngineError> {
    let mut restored: TablesBeside = Vec::new();
    for input in inputs {
        let group = restoring.processor.group_of(&input.topic);
        if restored.iter().any(|(place, _)| *place == (group, input.partition)) {
            continue;
        }
        let (topics, options) = (restoring.processor.tables_of(group), restoring.processor.table_options(group));
        let tables = PartitionTables::open(restoring.stores, input.partition, topics, &options)?;
        restored.push(((group, input.partition), tables));
    }
    let groups: std::collections::BTreeSet<usize> = restored.iter().map(|((group, _), _)| *group).collect();
    for group in groups {
        // For each of the group's partitions the changelogs' ends, table by table.
        let mut ends = vec![Vec::new(); restored.len()];
        for table in 0..restoring.processor.tables_of(group).len() {
            let of_group = restored.iter_mut().enumerate().filter(|(_, ((of, _), _))| *of == group);
            let partitions = of_group.map(|(place, ((_, partition), tables))| (place, *partition, tables)).collect();
            for (place, end) in restore_table(restoring, table, partitions)? {
                ends[place].push(end);
            }
        }
        let of_group = restored.iter_mut().zip(ends).filter(|(((of, _), _), _)| *of == group);
        for ((_, tables), ends) in of_group {
            tables.finish_restore(&ends)?;
        }
    }
    Ok(restored)
}

struct Target<'a> {
    place: usize,
    partition: i32,
    tables: &'a mut PartitionTables,
    /// The changelog's end when the restore began: one past what this table is restored to.
    end: i64,
}

/// Reads one table's changelog for some partitions, each with its place; returns their ends with the places.
fn restore_table(
    restoring: &Restoring<'_>,
    table: usize,
    partitions: Vec<(usize, i32, &mut PartitionTables)>,
) -> Result<Vec<(usize, i64)>, EngineError> {
    let offsets = OffsetsClient::new(restoring.connection)?;
    let Some(topic) = partitions.first().map(|(_, _, tables)| tables.topics()[table].name) else {
        return Ok(Vec::new());
    };
    let (mut targets, mut tails, mut missing) = (Vec::new(), Vec::new(), 0);
    for (place, partition, tables) in partitions {
        let bounds = wait_until_decided(restoring, &offsets, topic, partition)?;
        let from = tables.restore_from(table, bounds.start, bounds.end)?;
        if from < bounds.end {
            missing += bounds.end - from;
            tails.push((partition, Some(from)));
        }
        targets.push(Target { place, partition, tables, end: bounds.end });
    }
    if !tails.is_empty() {
        read_tails(restoring, topic, table, &tails, &mut targets, missing)?;
    }
    Ok(targets.iter().map(|target| (target.place, target.end)).collect())
}

fn read_tails(
    restoring: &Restoring<'_>,
    topic: &'static str,
    table: usize,
    tails: &[(i32, Option<i64>)],
    targets: &mut [Target<'_>],
    missing: i64,
) -> Result<(), EngineError> {
    let (processor, started) = (restoring.processor.name(), Instant::now());
    let (mut records, mut told, mut last_told) = (0_u64, 0, Instant::now());
    let mut reader = Reader::open(restoring.connection, topic, tails)?;
    reader.read_to_end(restoring.deadline, |record| {
        let target = targets.iter_mut().find(|target| target.partition == record.partition);
        if let (Some(target), Some(key)) = (target, &record.key) {
            target.tables.restore(table, key, record.value.as_deref(), record.timestamp_ms);
            records += 1;
        }
        if records - told >= 1_000 {
            restoring.stats.add_restored(records - told);
            told = records;
            if restoring.cancel.is_cancelled() {
                return Err(not_wanted());
            }
            if last_told.elapsed() >= PROGRESS_INTERVAL {
                last_told = Instant::now();
                tracing::info!(processor, topic, records, of_at_most = missing, "restoring a table");
            }
        }
        Ok(())
    })?;
    restoring.stats.add_restored(records - told);
    tracing::info!(
        processor,
        topic,
        records,
        partitions = tails.len(),
        elapsed_ms = started.elapsed().as_millis(),
        "restored a table"
    );
    Ok(())
}

/// Nobody hears of it: the partitions were given away.
fn not_wanted() -> ClientError {
    let reason = "its partitions were given away".to_owned();
    ClientError::Operation { operation: "restore of a table", reason, kind: ErrorKind::Stop }
}

/// Waits until everything up to the changelog's present end is committed or aborted; returns the offsets it spans.
fn wait_until_decided(
    restoring: &Restoring<'_>,
    offsets: &OffsetsClient,
    topic: &'static str,
    partition: i32,
) -> Result<Watermarks, EngineError> {
    let started = Instant::now();
    let first = offsets.watermarks(topic, partition, restoring.deadline)?;
    let mut now = first;
    while now.stable_end < first.end {
        if started.elapsed() > restoring.deadline {
            let operation = "waiting for a changelog's open transactions";
            return Err(ClientError::TimedOut { operation, waited: started.elapsed() }.into());
        }
        if restoring.cancel.is_cancelled() {
            return Err(not_wanted().into());
        }
        // An open transaction here is one that was just fenced or will time out: nothing signals its end.
        #[allow(clippy::disallowed_methods, reason = "a back-off between two questions to the broker")]
        std::thread::sleep(Duration::from_millis(20));
        now = offsets.watermarks(topic, partition, restoring.deadline)?;
    }
    Ok(first)
}
