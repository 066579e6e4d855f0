//! The writer of numbered inputs: idempotent, at a bounded rate, and sure of what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use unchain::contract::{Codecs, LocalRegistry};
use unchain::kafka::{ClientError, Connection, Headers, NewRecord, Position, Publisher, PublisherSettings};

use crate::contracts::Input;
use crate::random::Random;
use crate::workload::INPUTS;
use crate::{Failure, now_ms, pause};

pub const KEYS: u32 = 200;
/// Brokers that restart hold the writer up for seconds at most.
const FLUSH_PATIENCE: Duration = Duration::from_secs(120);

/// The key of this number, as text.
pub fn key_name(key: u32) -> String {
    format!("k{key}")
}

/// Writes inputs; each key's are numbered from 1, and all are.
pub struct Writer {
    publisher: Publisher,
    codecs: Codecs,
    random: Random,
    sequences: Vec<i64>,
    number: i64,
    waiting: Vec<(i64, Receiver<Result<Position, ClientError>>)>,
    acknowledged: Vec<i64>,
}

/// A writer at work on a thread of its own.
pub struct Writing {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<Result<Writer, Failure>>,
}

impl Writer {
    pub fn connect(bootstrap: &str, seed: u64) -> Result<Writer, Failure> {
        let settings = PublisherSettings { max_queued_records: 50_000, ..PublisherSettings::default() };
        let mut codecs = Codecs::new(Arc::new(LocalRegistry::in_memory()));
        codecs.add_encoder::<Input>().map_err(|error| Failure::Setup(error.to_string()))?;
        Ok(Writer {
            publisher: Publisher::new(&Connection::new(bootstrap), settings)?,
            codecs,
            random: Random::branch(seed, 9),
            sequences: vec![0; KEYS as usize],
            number: 0,
            waiting: Vec::new(),
            acknowledged: Vec::new(),
        })
    }

    /// Writes so many records a second until it is told to end.
    pub fn start(mut self, rate: u32) -> Result<Writing, Failure> {
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let write = move || {
            let begun = Instant::now();
            let mut written = 0;
            while !told.load(Ordering::Relaxed) {
                let due = u128::from(rate) * begun.elapsed().as_millis() / 1_000;
                while written < due {
                    let key = u32::try_from(self.random.between(0, u64::from(KEYS))).unwrap_or(0);
                    self.write(key)?;
                    written += 1;
                }
                self.settle()?;
                pause(Duration::from_millis(2));
            }
            self.flush()?;
            Ok(self)
        };
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(write);
        Ok(Writing { ending, thread: thread.map_err(Failure::io("the writer"))? })
    }

    /// One more record of every key: what a table holds of a key shows in what it makes of the next record.
    pub fn write_lap(&mut self) -> Result<(), Failure> {
        (0..KEYS).try_for_each(|key| self.write(key))?;
        self.flush()
    }

    fn write(&mut self, key: u32) -> Result<(), Failure> {
        self.number += 1;
        let sequence = &mut self.sequences[key as usize];
        *sequence += 1;
        let name = key_name(key);
        let input = Input { key: name.clone(), sequence: *sequence, number: self.number };
        let value = self.codecs.encode(&input).map_err(|error| Failure::Setup(error.to_string()))?;
        let record = NewRecord {
            topic: INPUTS,
            partition: None,
            timestamp_ms: Some(now_ms()),
            key: Some(Bytes::from(name)),
            value: Some(value),
            headers: Headers::default(),
        };
        self.waiting.push((self.number, self.publisher.send_acknowledged(&record)?));
        Ok(())
    }

    /// Takes the acknowledgements that have come.
    fn settle(&mut self) -> Result<(), Failure> {
        let mut failed = None;
        self.waiting.retain_mut(|(number, delivery)| match delivery.try_recv() {
            Err(TryRecvError::Empty) => true,
            Ok(Ok(_)) => {
                self.acknowledged.push(*number);
                false
            }
            // Not acknowledged; whether it was written the input topic tells.
            Ok(Err(error)) => {
                failed.get_or_insert(error);
                false
            }
            Err(TryRecvError::Closed) => false,
        });
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.publisher.flush(FLUSH_PATIENCE)?;
        self.settle()
    }

    /// The numbers of all acknowledged records.
    pub fn acknowledged(&self) -> &[i64] {
        &self.acknowledged
    }
}

impl Writing {
    /// Ends the writing once everything is acknowledged.
    pub fn stop(self) -> Result<Writer, Failure> {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(Failure::Setup("the writer panicked".to_owned())))
    }

    /// Whether it has given up.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }
}
