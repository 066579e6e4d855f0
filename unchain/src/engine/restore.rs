//! Fills partitions' tables from their changelogs, from where the local store stands, before the first record is handled.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::handling::{Beside, TablesBeside};
use super::take_over::Cancel;
use super::{EngineError, ProcessorStats};
use crate::kafka::{ClientError, Connection, ErrorKind, OffsetsClient, Reader, TopicPartition, Watermarks};
use crate::process::Processor;
use crate::table::{PartitionTables, StoreError, Stores};

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
/// The pause between two looks for what nothing tells of.
const STEP: Duration = Duration::from_millis(20);

/// Tables on their way.
struct Restored {
    beside: Beside,
    /// `None` once nobody waits for them any more.
    tables: Option<PartitionTables>,
    /// The changelogs' ends when their restore began, table by table: one past what each is restored to.
    ends: Vec<i64>,
}

/// The tables beside input partitions as the last commit left them, by input group and partition number; without those
/// that were given away meanwhile.
///
/// To be called once the group's offsets for the partitions are decided.
pub(crate) fn restore_tables(
    restoring: &Restoring<'_>,
    inputs: &[TopicPartition],
) -> Result<TablesBeside, EngineError> {
    let mut restored: Vec<Restored> = Vec::new();
    for input in inputs {
        let beside = (restoring.processor.group_of(&input.topic), input.partition);
        if restored.iter().all(|known| known.beside != beside) {
            restored.push(Restored { beside, tables: open(restoring, beside)?, ends: Vec::new() });
        }
    }
    let groups: BTreeSet<usize> = restored.iter().map(|known| known.beside.0).collect();
    for group in groups {
        let mut of_group: Vec<&mut Restored> = restored.iter_mut().filter(|known| known.beside.0 == group).collect();
        for (table, topic) in restoring.processor.tables_of(group).iter().enumerate() {
            restore_table(restoring, table, topic.name, &mut of_group)?;
        }
        for Restored { tables, ends, .. } in of_group {
            tables.as_mut().map_or(Ok(()), |tables| tables.finish_restore(ends))?;
        }
    }
    Ok(restored.into_iter().filter_map(|known| Some((known.beside, known.tables?))).collect())
}

/// Opens a partition's tables, which a worker beside this one may be about to let go of.
fn open(restoring: &Restoring<'_>, beside: Beside) -> Result<Option<PartitionTables>, EngineError> {
    let Restoring { processor, stores, cancel, .. } = restoring;
    let (topics, options) = (processor.tables_of(beside.0), processor.table_options(beside.0));
    let started = Instant::now();
    while !cancel.is_given_away(beside) {
        match PartitionTables::open(stores, beside.1, topics, &options) {
            #[allow(clippy::disallowed_methods, reason = "a back-off: nothing tells that they are let go of")]
            Err(StoreError::InUse { .. }) if started.elapsed() < restoring.deadline => std::thread::sleep(STEP),
            opened => return Ok(Some(opened?)),
        }
    }
    Ok(None)
}

/// Reads one table's changelog for some partitions.
fn restore_table(
    restoring: &Restoring<'_>,
    table: usize,
    topic: &'static str,
    partitions: &mut [&mut Restored],
) -> Result<(), EngineError> {
    let offsets = OffsetsClient::new(restoring.connection)?;
    let (mut tails, mut missing) = (Vec::new(), 0);
    for Restored { beside, tables, ends } in partitions.iter_mut().map(|one| &mut **one) {
        let Some(opened) = tables else { continue };
        let Some(bounds) = wait_until_decided(restoring, &offsets, topic, *beside)? else {
            *tables = None;
            continue;
        };
        let from = opened.restore_from(table, bounds.start, bounds.end)?;
        if from < bounds.end {
            missing += bounds.end - from;
            tails.push((beside.1, Some(from)));
        }
        ends.push(bounds.end);
    }
    if tails.is_empty() { Ok(()) } else { read_tails(restoring, topic, table, &tails, partitions, missing) }
}

fn read_tails(
    restoring: &Restoring<'_>,
    topic: &'static str,
    table: usize,
    tails: &[(i32, Option<i64>)],
    partitions: &mut [&mut Restored],
    missing: i64,
) -> Result<(), EngineError> {
    let (processor, started) = (restoring.processor.name(), Instant::now());
    let (mut records, mut told, mut last_told) = (0_u64, 0, Instant::now());
    let mut reader = Reader::open(restoring.connection, topic, tails)?;
    let read = reader.read_to_end(restoring.deadline, |record| {
        let tables = partitions.iter_mut().find(|one| one.beside.1 == record.partition);
        if let (Some(tables), Some(key)) = (tables.and_then(|one| one.tables.as_mut()), &record.key) {
            tables.restore(table, key, record.value.as_deref(), record.timestamp_ms);
            records += 1;
        }
        if records - told >= 1_000 {
            restoring.stats.add_restored(records - told);
            told = records;
            // Let go of at once: their next owner may be in this process, and waits for them.
            partitions
                .iter_mut()
                .filter(|one| restoring.cancel.is_given_away(one.beside))
                .for_each(|one| one.tables = None);
            if partitions.iter().all(|one| one.tables.is_none()) {
                return Err(not_wanted());
            }
            if last_told.elapsed() >= PROGRESS_INTERVAL {
                last_told = Instant::now();
                tracing::info!(processor, topic, records, of_at_most = missing, "restoring a table");
            }
        }
        Ok(())
    });
    restoring.stats.add_restored(records - told);
    if partitions.iter().all(|one| one.tables.is_none()) {
        return Ok(());
    }
    read?;
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

/// Ends the reading, and nobody hears of it: the partitions were given away.
fn not_wanted() -> ClientError {
    let reason = "its partitions were given away".to_owned();
    ClientError::Operation { operation: "restore of a table", reason, kind: ErrorKind::Stop }
}

/// Waits until everything up to the changelog's present end is committed or aborted; returns the offsets it spans, `None`
/// where the partition is given away meanwhile.
fn wait_until_decided(
    restoring: &Restoring<'_>,
    offsets: &OffsetsClient,
    topic: &'static str,
    beside: Beside,
) -> Result<Option<Watermarks>, EngineError> {
    let (started, partition) = (Instant::now(), beside.1);
    let first = offsets.watermarks(topic, partition, restoring.deadline)?;
    let mut now = first;
    while now.stable_end < first.end {
        if started.elapsed() > restoring.deadline {
            let operation = "waiting for a changelog's open transactions";
            return Err(ClientError::TimedOut { operation, waited: started.elapsed() }.into());
        }
        if restoring.cancel.is_given_away(beside) {
            return Ok(None);
        }
        // An open transaction here is one that was just fenced or will time out: nothing signals its end.
        #[allow(clippy::disallowed_methods, reason = "a back-off between two questions to the broker")]
        std::thread::sleep(STEP);
        now = offsets.watermarks(topic, partition, restoring.deadline)?;
    }
    Ok(Some(first))
}
