//! Fetch: a long poll over partitions; records go from the log into the response buffer in one copy.
//!
//! The response is written by hand (the codec crate would copy all records once more). Incremental fetch sessions are
//! declined by answering session id 0 (KIP-227), so every request names all of its partitions.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::offsets::wrong_epoch;
use super::{code_of, fetch_response::Writer};
use crate::core::Core;
use crate::log::partition::PartitionLog;
use crate::topics::catalog::{Partition, Topic};

const READ_COMMITTED: i8 = 1;
/// No client waits longer than this, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Answers a fetch into `out`, after as long a wait as the client allows.
pub async fn handle(core: &RefCell<Core>, request: FetchRequest, version: i16, out: &mut Vec<u8>) {
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let start = out.len();
    let waiter = Rc::new(Notify::new());
    loop {
        let is_over = wait.is_zero() || Instant::now() >= deadline;
        // With a large `min_bytes` reading on every append would be wasted: the index knows how much there is.
        if is_over || request.min_bytes <= 1 || may_be_enough(&core.borrow(), &request, version) {
            let found = answer(&core.borrow(), &request, version, out);
            if is_over || found.failed || found.bytes >= request.min_bytes.max(0) as usize {
                break;
            }
            out.truncate(start);
        }
        for_each_partition(&core.borrow(), &request, |partition| partition.await_records(&waiter));
        // Time is up: the loop answers with what there is then.
        let _ = timeout_at(deadline, waiter.notified()).await;
    }
    for_each_partition(&core.borrow(), &request, |partition| partition.stop_waiting(&waiter));
}

struct Found {
    bytes: usize,
    /// An error is told at once, whatever `min_bytes` says.
    failed: bool,
}

fn topic_of<'a>(core: &'a Core, wanted: &FetchTopic, version: i16) -> Option<&'a Topic> {
    if version >= 13 { core.catalog.by_id(wanted.topic_id) } else { core.catalog.get(&wanted.topic) }
}

fn for_each_partition(core: &Core, request: &FetchRequest, mut each: impl FnMut(&Partition)) {
    for wanted in &request.topics {
        // Versions since 13 name a topic by its id, older ones by its name; the other of the two is empty.
        let Some(topic) = core.catalog.by_id(wanted.topic_id).or_else(|| core.catalog.get(&wanted.topic)) else {
            continue;
        };
        for partition in wanted.partitions.iter().filter_map(|wanted| topic.partitions.get(wanted.partition as usize)) {
            each(partition);
        }
    }
}

/// Whether the partitions hold `min_bytes` for this reader, or an error that is to be told.
fn may_be_enough(core: &Core, request: &FetchRequest, version: i16) -> bool {
    let mut available = 0;
    for wanted in &request.topics {
        let topic = topic_of(core, wanted, version);
        for partition in &wanted.partitions {
            let Some(found) = topic.and_then(|topic| topic.partitions.get(partition.partition as usize)) else {
                return true;
            };
            let log = found.log.borrow();
            let readable = readable(&log, partition, request.isolation_level);
            match readable.map(|until| log.available_bytes(partition.fetch_offset, until)) {
                Ok(Ok(bytes)) => available += bytes.min(partition.partition_max_bytes.max(0) as u64),
                _ => return true,
            }
        }
    }
    available >= request.min_bytes.max(0) as u64
}

fn answer(core: &Core, request: &FetchRequest, version: i16, out: &mut Vec<u8>) -> Found {
    let mut writer = Writer::new(out, version);
    if request.session_id != 0 {
        writer.begin(ResponseError::FetchSessionIdNotFound.code(), 0);
        writer.end();
        return Found { bytes: 0, failed: true };
    }
    let mut found = Found { bytes: 0, failed: false };
    let mut left = (request.max_bytes.max(0) as usize).min(core.config.max_fetch_bytes);
    writer.begin(0, request.topics.len());
    for wanted in &request.topics {
        let topic = topic_of(core, wanted, version);
        writer.begin_topic(&wanted.topic, wanted.topic_id, wanted.partitions.len());
        for partition in &wanted.partitions {
            let log = topic.and_then(|topic| topic.partitions.get(partition.partition as usize));
            let Some(log) = log else {
                let by_id = version >= 13 && topic.is_none();
                let error = if by_id { ResponseError::UnknownTopicId } else { ResponseError::UnknownTopicOrPartition };
                writer.failed_partition(partition.partition, error.code());
                found.failed = true;
                continue;
            };
            let log = log.log.borrow();
            match readable(&log, partition, request.isolation_level) {
                Err(code) => {
                    writer.failed_partition(partition.partition, code);
                    found.failed = true;
                }
                Ok(until) => {
                    let max_bytes = left.min(partition.partition_max_bytes.max(0) as usize);
                    let committed_only = request.isolation_level == READ_COMMITTED;
                    let at_least_one = found.bytes == 0;
                    match writer.partition(&log, partition, until, max_bytes, at_least_one, committed_only) {
                        Ok(bytes) => {
                            found.bytes += bytes;
                            left = left.saturating_sub(bytes);
                        }
                        Err(_) => found.failed = true,
                    }
                }
            }
        }
        writer.end_topic();
    }
    writer.end();
    found
}

/// Up to where this reader may read, or the error it gets.
fn readable(log: &PartitionLog, wanted: &FetchPartition, isolation_level: i8) -> Result<i64, i16> {
    let epoch_error = wrong_epoch(wanted.current_leader_epoch);
    if epoch_error.is_some() {
        return Err(code_of(epoch_error));
    }
    if !(log.log_start()..=log.high_watermark()).contains(&wanted.fetch_offset) {
        return Err(ResponseError::OffsetOutOfRange.code());
    }
    Ok(if isolation_level == READ_COMMITTED { log.last_stable_offset() } else { log.high_watermark() })
}
