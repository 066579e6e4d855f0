//! What the topics say: the chain's end followed while a run goes on, and every topic read from its beginning afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use unchain::contract::Contract;
use unchain::kafka::{ClientError, Connection, ReadEvent, Reader};

use super::{Mailed, Placed, RunName};
use crate::clock::now_us;
use crate::effects::Effect;
use crate::error::ExperimentError;

/// How long a topic's reading may bring nothing before it is given up.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Reads the chain's last topic while the run goes on, committed records only: an order is complete for a reader once it
/// comes here, which is later than its record's own time.
pub struct Follower {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<Result<(), ClientError>>>,
}

#[derive(Default)]
struct Seen {
    ending: AtomicBool,
    records: AtomicU64,
    first_us: Mutex<HashMap<String, u64>>,
}

impl Follower {
    pub fn start(connection: &Connection, run: &RunName) -> Result<Follower, ExperimentError> {
        let mut reader = open(connection, &run.topic::<Mailed>())?;
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let follow = move || {
            while !shared.ending.load(Ordering::Relaxed) {
                let ReadEvent::Record(record) = reader.next(POLL)? else { continue };
                let order_id = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
                let mut first = shared.first_us.lock().unwrap_or_else(PoisonError::into_inner);
                first.entry(order_id).or_insert_with(now_us);
                shared.records.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("follower".to_owned()).spawn(follow);
        Ok(Follower { seen, thread: Some(thread.map_err(ExperimentError::Thread)?) })
    }

    /// Records so far: what a wait for completion watches.
    pub fn records(&self) -> u64 {
        self.seen.records.load(Ordering::Relaxed)
    }

    /// Orders so far.
    pub fn orders(&self) -> usize {
        self.seen.first_us.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// When each order was first seen.
    pub fn end(mut self) -> Result<HashMap<String, u64>, ExperimentError> {
        self.seen.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("following returns its errors")?;
        }
        Ok(std::mem::take(&mut self.seen.first_us.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl std::ops::Drop for Follower {
    fn drop(&mut self) {
        self.seen.ending.store(true, Ordering::Relaxed);
    }
}

/// Every committed record of every topic of a run, as the effect of its step. An order's completion has the time at which
/// the follower saw it, where it did.
pub fn read_topics(
    connection: &Connection,
    run: &RunName,
    seen_us: &HashMap<String, u64>,
) -> Result<Vec<Effect>, ExperimentError> {
    let mut effects = Vec::new();
    for (step, topic) in run.topics() {
        let is_last = topic == run.topic::<Mailed>();
        open(connection, &topic)?.read_to_end(SILENCE, |record| {
            let order_id = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let written_us = u64::try_from(record.timestamp_ms).unwrap_or(0) * 1_000;
            let seen_us = seen_us.get(&order_id).filter(|_| is_last).copied();
            effects.push(Effect { order_id, step: step.to_owned(), at_us: seen_us.unwrap_or(written_us) });
            Ok(())
        })?;
    }
    Ok(effects)
}

/// Orders that the front has published.
pub fn count_placed(connection: &Connection, run: &RunName) -> Result<usize, ExperimentError> {
    let mut keys = HashSet::new();
    open(connection, &run.topic::<Placed>())?.read_to_end(SILENCE, |record| {
        keys.extend(record.key);
        Ok(())
    })?;
    Ok(keys.len())
}

fn open(connection: &Connection, topic: &str) -> Result<Reader, ClientError> {
    let all: Vec<_> = (0..Mailed::TOPIC.partitions).map(|partition| (partition, None)).collect();
    Reader::open(connection, topic, &all)
}
